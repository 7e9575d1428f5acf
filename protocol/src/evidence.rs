//! Evidence: two statements that one party signed and that exclude each other.
//! Whoever has the party's key can check it, offline and for ever.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::envelope::{Envelope, Rejection, encode};
use crate::id::{Digest, Epoch, RegionId, Sender};
use crate::identity::IdentityKey;
use crate::kind::Message;
use crate::message::{
    Claim, Contribution, Dealing, Endorsement, Kind, Listing, Request, Roster, Target,
};
use crate::portion::Portion;
use crate::reading::Register;
use crate::release;
use crate::slot::Slot;

/// Bytes of C1 and C2; the proof behind them has as many.
const CIPHERTEXT: usize = 64;

/// Two signed messages, and what it takes to check them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The key that signed both.
    pub key: IdentityKey,
    /// The digest that both are bound to: of the roster, or of the invitation
    /// while there is none; [`Digest::NONE`] for rosters.
    pub binding: Digest,
    /// The one that was there first.
    pub first: ByteBuf,
    /// The one that excludes it.
    pub second: ByteBuf,
}

/// What evidence shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// Who signed both statements.
    pub party: Sender,
    /// The region.
    pub region: RegionId,
    /// The epoch.
    pub epoch: Epoch,
    /// What both are about.
    pub about: About,
}

/// What two statements that exclude each other are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Two rosters for one epoch.
    Rosters,
    /// Two dealings under one invitation.
    Dealings,
    /// Two contributions for one slot.
    Contributions(Slot),
    /// Two sets for one slot.
    Sets(Slot),
    /// Two listings of one portion.
    Listings(Portion),
    /// Endorsements of two listings of one portion.
    Endorsements(Portion),
    /// Two claims to one portion.
    Claims(Portion),
}

/// Why two messages are no evidence.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EvidenceError {
    /// The bytes are no evidence at all.
    #[error("not evidence")]
    Unreadable,
    /// One of them is not what it has to be.
    #[error("not a signed message: {0}")]
    Rejected(#[from] Rejection),
    /// They are of different parties, epochs or kinds, or of a kind of which
    /// a party may sign many.
    #[error("the two messages do not exclude each other")]
    Compatible,
}

impl Evidence {
    /// Reads evidence as it is kept and handed on.
    ///
    /// # Errors
    /// [`EvidenceError::Unreadable`]; what it shows is for
    /// [`Evidence::check`] to say.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EvidenceError> {
        ciborium::from_reader(bytes).map_err(|_| EvidenceError::Unreadable)
    }

    /// The evidence as it is kept and handed on.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// The digest that stands for the evidence.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of("evidence", &self.to_bytes())
    }

    /// Checks both signatures, and that the statements exclude each other.
    ///
    /// # Errors
    /// See [`EvidenceError`].
    pub fn check(&self) -> Result<Accusation, EvidenceError> {
        let first = Envelope::parse(&self.first)?;
        let second = Envelope::parse(&self.second)?;
        let header = first.header().clone();
        if header != *second.header() {
            return Err(EvidenceError::Compatible);
        }
        let pair = Pair { evidence: self, first, second };
        let about = match header.kind {
            Kind::Roster => pair.excludes(|_: &mut Roster| Some(About::Rosters)),
            Kind::Dealing => pair.excludes(|_: &mut Dealing| Some(About::Dealings)),
            Kind::Contribution => pair.excludes(|body: &mut Contribution| {
                strip_proofs(&mut body.registers);
                body.range_proof = None;
                Some(About::Contributions(body.slot))
            }),
            Kind::Claim => pair.excludes(|body: &mut Claim| {
                strip_proofs(&mut body.registers);
                Some(About::Claims(body.portion))
            }),
            Kind::Listing => {
                pair.excludes(|body: &mut Listing| Some(About::Listings(body.portion)))
            }
            Kind::Endorsement => {
                pair.excludes(|body: &mut Endorsement| Some(About::Endorsements(body.portion)))
            }
            Kind::Request => pair.excludes(|body: &mut Request| match release::target(body) {
                Target::Region(slot) => Some(About::Sets(slot)),
                // A portion's bills may be asked for in several parts.
                Target::Bill(_) => None,
            }),
            _ => Err(EvidenceError::Compatible),
        };
        let (party, region, epoch) = (header.sender, header.region, header.epoch);
        Ok(Accusation { party, region, epoch, about: about? })
    }
}

struct Pair<'a> {
    evidence: &'a Evidence,
    first: Envelope,
    second: Envelope,
}

impl Pair<'_> {
    /// What both are about, if that is the same and they say different things.
    /// `about` takes away what may differ.
    fn excludes<M: Message + PartialEq>(
        &self,
        about: impl Fn(&mut M) -> Option<About>,
    ) -> Result<About, EvidenceError> {
        let Evidence { key, binding, .. } = self.evidence;
        let mut first: M = self.first.open(key, binding)?;
        let mut second: M = self.second.open(key, binding)?;
        match (about(&mut first), about(&mut second)) {
            (Some(a), Some(b)) if a == b && first != second => Ok(a),
            _ => Err(EvidenceError::Compatible),
        }
    }
}

/// Leaves C1 and C2 of what is C1, C2, A, z: the same ciphertexts with another
/// proof say the same.
fn strip_proofs(registers: &mut BTreeMap<Register, ByteBuf>) {
    for hidden in registers.values_mut().filter(|hidden| hidden.len() == 2 * CIPHERTEXT) {
        hidden.truncate(CIPHERTEXT);
    }
}

impl fmt::Display for Accusation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { party, region, epoch, about } = self;
        write!(f, "{party} signed {about} of region {region} in epoch {epoch}")
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rosters => f.write_str("two rosters"),
            Self::Dealings => f.write_str("two dealings"),
            Self::Contributions(slot) => write!(f, "two contributions for slot {slot}"),
            Self::Sets(slot) => write!(f, "requests for two sets of slot {slot}"),
            Self::Listings(portion) => write!(f, "two listings of {portion}"),
            Self::Endorsements(portion) => write!(f, "endorsements of two listings of {portion}"),
            Self::Claims(portion) => write!(f, "two claims to {portion}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::seal;
    use crate::identity::Identity;
    use crate::message::Share;
    use crate::slot::Window;
    use crate::tariff::StepId;

    fn identity() -> Identity {
        Identity::from_seed(&[1; 32])
    }

    fn signed<M: Message>(epoch: u32, body: &M) -> ByteBuf {
        let (region, meter) = ("north".parse().unwrap(), "m-1".parse().unwrap());
        let place = (&region, Epoch(epoch), Sender::Meter(meter));
        seal(&identity(), place, &Digest::LAST, body).into()
    }

    fn contribution(slot: u64, byte: u8) -> Contribution {
        let registers = BTreeMap::from([(Register::Import, vec![byte].into())]);
        Contribution { slot: Slot(slot), registers, range_proof: None }
    }

    fn portion() -> Portion {
        Portion { window: Window(7), step: StepId(1) }
    }

    fn check(first: ByteBuf, second: ByteBuf) -> Result<Accusation, EvidenceError> {
        Evidence { key: identity().key(), binding: Digest::LAST, first, second }.check()
    }

    #[test]
    fn two_contributions_for_one_slot_accuse_their_meter() {
        let found = check(signed(1, &contribution(7, 1)), signed(1, &contribution(7, 2))).unwrap();
        let said = "m-1 signed two contributions for slot 7 of region north in epoch 1";
        assert_eq!(found.to_string(), said);
    }

    #[test]
    fn two_sets_for_one_slot_accuse_and_two_bills_do_not() {
        let region = |byte: u8| Request::Region(Slot(7), vec![vec![byte].into()]);
        let found = check(signed(1, &region(1)), signed(1, &region(2))).unwrap();
        assert_eq!(found.about, About::Sets(Slot(7)));
        let bill = |byte: u8| Request::Bill(portion(), vec![vec![byte].into()]);
        let found = check(signed(1, &bill(1)), signed(1, &bill(2)));
        assert_eq!(found, Err(EvidenceError::Compatible));
    }

    #[test]
    fn evidence_reads_back_as_it_was_handed_on() {
        let (first, second) = (signed(1, &contribution(7, 1)), signed(1, &contribution(7, 2)));
        let evidence = Evidence { key: identity().key(), binding: Digest::LAST, first, second };
        let bytes = evidence.to_bytes();
        assert_eq!(Evidence::from_bytes(&bytes), Ok(evidence));
        assert_eq!(Evidence::from_bytes(&bytes[1..]), Err(EvidenceError::Unreadable));
    }

    #[test]
    fn what_does_not_exclude_each_other_accuses_nobody() {
        let one = || signed(1, &contribution(7, 1));
        let share = |byte| Share { request: Digest::NONE, response: vec![byte].into() };
        for (first, second) in [
            (one(), one()),
            (one(), signed(1, &contribution(8, 2))),
            (one(), signed(2, &contribution(7, 2))),
            (signed(1, &share(1)), signed(1, &share(2))),
        ] {
            assert_eq!(check(first, second), Err(EvidenceError::Compatible));
        }
    }

    #[test]
    fn a_fresh_proof_of_the_same_ciphertexts_accuses_nobody() {
        let claim = |ciphertext: u8, proof: u8| {
            let hidden = [[ciphertext; CIPHERTEXT], [proof; CIPHERTEXT]].concat();
            let registers = BTreeMap::from([(Register::Import, hidden.into())]);
            signed(1, &Claim { portion: portion(), listing: Digest::NONE, registers })
        };
        assert_eq!(check(claim(1, 1), claim(1, 2)), Err(EvidenceError::Compatible));
        assert_eq!(check(claim(1, 1), claim(2, 1)).unwrap().about, About::Claims(portion()));
    }

    #[test]
    fn another_range_proof_of_the_same_ciphertexts_accuses_nobody() {
        let proven = |byte: u8, proof: &[u8]| {
            let range_proof = Some(proof.to_vec().into());
            signed(1, &Contribution { range_proof, ..contribution(7, byte) })
        };
        assert_eq!(check(proven(1, b"a"), proven(1, b"b")), Err(EvidenceError::Compatible));
        let found = check(proven(1, b"a"), proven(2, b"a")).unwrap();
        assert_eq!(found.about, About::Contributions(Slot(7)));
    }

    #[test]
    fn what_the_party_did_not_sign_accuses_nobody() {
        let (first, second) = (signed(1, &contribution(7, 1)), signed(1, &contribution(7, 2)));
        let key = Identity::from_seed(&[2; 32]).key();
        let forged = Evidence { key, binding: Digest::LAST, first, second };
        assert_eq!(forged.check(), Err(EvidenceError::Rejected(Rejection::Signature)));
        let elsewhere = Evidence { key: identity().key(), binding: Digest::NONE, ..forged };
        assert_eq!(elsewhere.check(), Err(EvidenceError::Rejected(Rejection::Signature)));
    }
}
