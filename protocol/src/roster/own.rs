//! The checks that only a member can make.

use aggregation::Scheme;

use crate::id::{Digest, MeterId};
use crate::identity::IdentityKey;
use crate::keygen;
use crate::message::Member;
use crate::parameters::Floors;

use super::{AcceptedRoster, RosterError};

/// What a member compares a roster with.
pub struct OwnTerms<'a> {
    /// The member.
    pub meter: &'a MeterId,
    /// Its identity key.
    pub key: &'a IdentityKey,
    /// What it knows of its own key share.
    pub share: OwnShare<'a>,
    /// Digest of the invitation that it answered.
    pub invitation: Digest,
    /// Digest of the roster of the epoch before.
    pub previous: Digest,
    /// The least that it accepts.
    pub floors: &'a Floors,
}

/// What a member knows of its own key share.
#[derive(Clone, Copy, Debug)]
pub enum OwnShare<'a> {
    /// Its key part as it sent it.
    Part(&'a [u8]),
    /// It was dealt.
    Dealt {
        /// Digest of all dealings.
        dealings: Digest,
        /// Digest of the group that they make.
        group: Digest,
    },
}

impl<S: Scheme> AcceptedRoster<S> {
    /// Checks what only a member can: its floors, its own place in the roster,
    /// and that this is the epoch that it agreed to.
    ///
    /// # Errors
    /// The check that failed.
    pub fn check_for_member(&self, own: &OwnTerms<'_>) -> Result<(), RosterError> {
        own.floors.check(&self.body.parameters, self.body.members.len())?;
        let (_, member) = self.member(own.meter).ok_or(RosterError::NotAMember)?;
        if member.key != *own.key {
            return Err(RosterError::OwnKey);
        }
        self.check_share(member, &own.share)?;
        if self.body.invitation != own.invitation {
            return Err(RosterError::Invitation);
        }
        if self.body.previous != own.previous {
            return Err(RosterError::Chain);
        }
        // The key parts were given for these terms and no others.
        let given_for = keygen::digest(self.region(), self.epoch(), &self.invitation());
        if given_for == own.invitation { Ok(()) } else { Err(RosterError::Invitation) }
    }

    fn check_share(&self, own: &Member, share: &OwnShare<'_>) -> Result<(), RosterError> {
        let (matches, error) = match share {
            OwnShare::Part(part) => (*own.part == **part, RosterError::OwnKey),
            OwnShare::Dealt { dealings, .. } if self.body.dealings != *dealings => {
                (false, RosterError::Dealings)
            }
            // Its own public share is one of the group's.
            OwnShare::Dealt { group, .. } => (self.group_digest() == *group, RosterError::GroupKey),
        };
        if matches { Ok(()) } else { Err(error) }
    }

    fn group_digest(&self) -> Digest {
        let parts: Vec<_> = self.body.members.iter().map(|member| member.part.clone()).collect();
        keygen::group_digest(&self.body.group_key, &parts)
    }
}
