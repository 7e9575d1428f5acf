//! The ceremony that opens an epoch: the registrar invites, every invited
//! meter answers with its key part, the collector assembles the roster, and
//! the registrar signs it whole.
//!
//! Where fewer holders than all shall open a sum, the group's secret is dealt
//! in between, after Pedersen, "A threshold cryptosystem without a trusted
//! party", EUROCRYPT 1991: the collector passes all key parts on, every
//! candidate makes one dealing, the collector passes these on, and every
//! candidate confirms what it has taken its share from, or complains. A
//! dealing carries all that it takes to judge a complaint about it, so that
//! nobody is asked to answer one. The collector relays, and is trusted with
//! nothing: it may end the ceremony, and everything else shows in a digest.

mod candidate;
mod ceremony;
mod error;

use std::collections::BTreeMap;

use aggregation::Scheme;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::envelope::{encode, seal};
use crate::id::{Digest, Epoch, MeterId, RegionId, Sender};
use crate::identity::{Identity, IdentityKey};
use crate::message::{Invitation, KeyParts, Roster};
use crate::record::{Key, Records};

pub use candidate::{Candidate, Confirmed, StoredError};
pub use ceremony::{Ceremony, Progress};
pub use error::{CeremonyError, Conviction, Step};

/// The party that vouches for membership and parameters.
#[derive(Debug)]
pub struct Registrar(Identity);

impl Registrar {
    /// The registrar with the given identity.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self(identity)
    }

    /// The key that members pin.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        self.0.key()
    }

    /// Signs who may join an epoch.
    #[must_use]
    pub fn invite(&self, region: &RegionId, epoch: Epoch, invitation: &Invitation) -> Vec<u8> {
        seal(&self.0, (region, epoch, Sender::Registrar), &Digest::NONE, invitation)
    }

    /// Signs a roster whole, parameters included.
    #[must_use]
    pub fn sign(&self, region: &RegionId, epoch: Epoch, roster: &Roster) -> Vec<u8> {
        seal(&self.0, (region, epoch, Sender::Registrar), &Digest::NONE, roster)
    }
}

/// How far a ceremony is, for an operator: what a collector keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The epoch that is to be opened, or was opened last.
    pub epoch: Epoch,
    /// The attempt, counted from 0.
    pub attempt: u32,
    /// What it waits for.
    pub step: String,
    /// Whom it waits for.
    pub missing: Vec<MeterId>,
    /// Who is left out of this attempt, and why.
    pub left_out: BTreeMap<MeterId, String>,
}

impl Standing {
    /// Reads what a collector keeps; none if it keeps nothing of a ceremony.
    #[must_use]
    pub fn of(records: &Records) -> Option<Self> {
        ciborium::from_reader(records.get(&Key::standing())?).ok()
    }
}

/// The digest that stands for an invitation.
#[must_use]
pub fn digest(region: &RegionId, epoch: Epoch, body: &Invitation) -> Digest {
    Digest::of("invitation", &encode(&(region, epoch, body)))
}

/// The digest that stands for messages in order: the key parts of all, or the
/// dealings of all.
#[must_use]
pub fn digest_of_all<'a>(label: &str, messages: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let digests: Vec<_> =
        messages.into_iter().map(|message| Digest::of("message", message)).collect();
    Digest::of(label, &encode(&digests))
}

/// The digest that stands for everybody's key parts.
fn parts_digest(body: &KeyParts) -> Digest {
    digest_of_all("key parts", body.messages.iter().map(|message| message.as_slice()))
}

/// The digest that stands for a group: its key, and what each member's shares
/// are checked against, in order.
#[must_use]
pub fn group_digest(group_key: &ByteBuf, parts: &[ByteBuf]) -> Digest {
    Digest::of("group", &encode(&(group_key, parts)))
}

/// What each member's shares are checked against, in order.
fn public_shares<S: Scheme>(group: &S, members: usize) -> Vec<ByteBuf> {
    let participants = (0..).map(aggregation::Participant).take(members);
    participants.filter_map(|of| group.public_share(of)).map(ByteBuf::from).collect()
}
