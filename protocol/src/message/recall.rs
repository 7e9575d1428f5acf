//! What a collector gets back after a start.

use std::collections::BTreeMap;

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::id::{Digest, Epoch};
use crate::members::MemberSet;
use crate::portion::Portion;
use crate::slot::Slot;

/// What a collector holds after a start. It may have lost more: members send
/// what it lacks, and say what they have answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Recall {
    /// Slots that have ended and of which it has committed no set, each with
    /// the members whose contributions it holds.
    pub slots: BTreeMap<Slot, MemberSet>,
    /// Portions with a final listing whose bills it has not asked for, each
    /// with the members whose claims it holds.
    pub claims: BTreeMap<Portion, MemberSet>,
    /// The latest epoch up to which it misses none that is not over.
    pub latest: Epoch,
}

/// What a member knows of the slots of a recall. Rosters of later epochs go
/// before it, as the registrar has signed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Recollection {
    /// Each slot of the recall.
    pub slots: BTreeMap<Slot, Remembered>,
}

/// What a member knows of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Remembered {
    /// Whether it has a contribution there, which the collector holds or is
    /// sent.
    pub is_sent: bool,
    /// What it has answered as a holder.
    pub answered: Option<Answered>,
}

/// The set of a slot that a holder has answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize_tuple, Deserialize_tuple)]
pub struct Answered {
    /// Digest of the request.
    pub request: Digest,
    /// The members that it lists.
    pub set: MemberSet,
}
