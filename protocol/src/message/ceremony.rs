//! What opens an epoch.

use serde_bytes::ByteBuf;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::id::{Digest, MeterId};
use crate::identity::IdentityKey;
use crate::parameters::Parameters;
use crate::slot::Slot;

/// Who may join an epoch, under which parameters. Every key part answers one
/// invitation and is bound to its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Invitation {
    /// Digest of the roster of the epoch before; [`Digest::NONE`] before the
    /// first.
    pub previous: Digest,
    /// How often members were invited to this epoch before.
    pub attempt: u32,
    /// The collector that will sum and ask.
    pub collector: IdentityKey,
    /// What will hold for the epoch.
    pub parameters: Parameters,
    /// The members, in the order of their ids.
    pub members: Vec<Invited>,
}

/// A member that is asked for its key part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Invited {
    /// The member.
    pub meter: MeterId,
    /// The key that it signs with.
    pub key: IdentityKey,
}

/// A member's part of the group key with its proof of possession.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct KeyPart {
    /// The scheme's encoding of the part.
    pub part: ByteBuf,
}

/// Members, keys and parameters that hold together for one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Roster {
    /// Digest of the roster of the epoch before; [`Digest::NONE`] before the
    /// first.
    pub previous: Digest,
    /// The attempt of the invitation that the key parts answer.
    pub attempt: u32,
    /// Digest of that invitation.
    pub invitation: Digest,
    /// Digest of all dealings; [`Digest::NONE`] where every member is needed.
    pub dealings: Digest,
    /// The collector that sums and asks.
    pub collector: IdentityKey,
    /// First slot of the epoch.
    pub first_slot: Slot,
    /// First slot after the epoch.
    pub end_slot: Slot,
    /// What holds for the epoch.
    pub parameters: Parameters,
    /// The scheme's encoding of the group key. Members recompute it.
    pub group_key: ByteBuf,
    /// The members, in the order of their ids.
    pub members: Vec<Member>,
}

/// A member as the roster names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Member {
    /// The member.
    pub meter: MeterId,
    /// The key that it signs with.
    pub key: IdentityKey,
    /// What its shares are checked against: the scheme's encoding of its key
    /// part with the proof of possession, or of its public share where the
    /// group's secret was dealt.
    pub part: ByteBuf,
}

/// The key parts of every invited meter, as each has signed its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct KeyParts {
    /// Their messages, in the order of the invitation.
    pub messages: Vec<ByteBuf>,
}

/// What one candidate deals to all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Dealing {
    /// Digest of the key parts that the shares are sealed to.
    pub parts: Digest,
    /// The scheme's encoding of the dealing.
    pub dealing: ByteBuf,
}

/// Dealings of several candidates, as each has signed its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Dealings {
    /// Position in the invitation of the first one's dealer.
    pub first: u16,
    /// Their messages, in the order of the invitation.
    pub messages: Vec<ByteBuf>,
}

/// A dealer's share for the sender does not fit what it committed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Complaint {
    /// The dealer.
    pub dealer: MeterId,
    /// The scheme's encoding of what shows it.
    pub complaint: ByteBuf,
}

/// The sender has taken its share from these dealings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Confirmation {
    /// Digest of all dealings.
    pub dealings: Digest,
    /// Digest of the group that they make.
    pub group: Digest,
}
