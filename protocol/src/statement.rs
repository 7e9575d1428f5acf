//! What a proof is about, as bytes. Each kind of statement has a label of its
//! own, and no two statements share their bytes.

use serde::Serialize;

use crate::envelope::encode;
use crate::id::{Digest, Epoch, MeterId, RegionId};
use crate::portion::Portion;
use crate::reading::Register;
use crate::slot::Slot;

/// Where a statement is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The region.
    pub region: RegionId,
    /// The epoch.
    pub epoch: Epoch,
    /// Digest of the roster, or of the invitation while there is no roster.
    pub binding: Digest,
}

impl Place {
    fn statement(&self, label: &str, of: &MeterId, what: impl Serialize) -> Vec<u8> {
        encode(&("hushgrid/1", label, self, of, what))
    }

    /// "I know the secret of this key part."
    #[must_use]
    pub fn key_part(&self, meter: &MeterId) -> Vec<u8> {
        self.statement("key part", meter, ())
    }

    /// "I know the polynomial of this dealing, whose shares are sealed to these
    /// key parts."
    #[must_use]
    pub fn dealing(&self, dealer: &MeterId, parts: &Digest) -> Vec<u8> {
        self.statement("dealing", dealer, parts)
    }

    /// "The share that this dealer sealed to me opens with this."
    #[must_use]
    pub fn complaint(&self, complainant: &MeterId, dealer: &MeterId) -> Vec<u8> {
        self.statement("complaint", complainant, dealer)
    }

    /// "I encrypted this, for this slot and register."
    #[must_use]
    pub fn contribution(&self, meter: &MeterId, slot: Slot, register: Register) -> Vec<u8> {
        self.statement("contribution", meter, (slot, register))
    }

    /// "This is the sum of what I encrypted in the slots that this final listing
    /// opens, open it."
    #[must_use]
    pub fn claim(
        &self,
        meter: &MeterId,
        portion: Portion,
        listing: &Digest,
        register: Register,
    ) -> Vec<u8> {
        self.statement("claim", meter, (portion, listing, register))
    }

    /// "These shares answer this request with my key part."
    #[must_use]
    pub fn share(&self, holder: &MeterId, request: &Digest) -> Vec<u8> {
        self.statement("share", holder, request)
    }
}
