//! Range proofs of what a member contributed: beside one contribution, or later
//! about several that were counted.

use aggregation::{Canonical as _, Context, Hidden, Ranged, Rng, Scheme};
use serde_bytes::ByteBuf;

use crate::id::MeterId;
use crate::message::Proof;
use crate::reading::Register;
use crate::roster::AcceptedRoster;
use crate::round::Held;
use crate::slot::Slot;

/// Most slots that a challenge names, and that one range proof covers.
pub(crate) const SLOTS_MAX: usize = 4;

/// One register of a contribution, as its meter knows it.
pub(crate) struct Own<'a, S: Scheme> {
    pub(crate) slot: Slot,
    pub(crate) register: Register,
    pub(crate) retained: &'a S::Retained,
    /// What it hides in Wh.
    pub(crate) plaintext: u64,
}

/// Whether a challenge or a proof can be about these slots.
pub(crate) fn are_legal(slots: &[Slot]) -> bool {
    (1..=SLOTS_MAX).contains(&slots.len()) && slots.is_sorted_by(|a, b| a < b)
}

/// The meter's range proof of all that these hide; none if one of them hides
/// more than a contribution may, or if there are too many.
pub(crate) fn prove<S: Scheme>(
    roster: &AcceptedRoster<S>,
    meter: &MeterId,
    all: &[Own<'_, S>],
    rng: &mut Rng,
) -> Option<ByteBuf> {
    let statement = |own: &Own<'_, S>| roster.place().contribution(meter, own.slot, own.register);
    let statements: Vec<_> = all.iter().map(statement).collect();
    let hidden = || {
        statements.iter().zip(all).map(|(statement, own)| Hidden {
            context: Context(statement),
            retained: own.retained,
            plaintext: own.plaintext,
        })
    };
    let hidden: Vec<_> = hidden().chain(hidden().skip(2).take(padding(all.len()))).collect();
    let max = roster.parameters().max_wh_per_slot;
    let proof = roster.scheme().prove_range(&hidden, max, rng)?;
    Some(ByteBuf::from(proof.to_bytes()))
}

/// Whether a member's proof holds for what was counted of it.
pub(crate) fn holds<'a, S: Scheme>(
    roster: &AcceptedRoster<S>,
    meter: &MeterId,
    proof: &Proof,
    counted: impl Fn(Slot) -> Option<Held<'a, S>>,
    rng: &mut Rng,
) -> bool {
    let entries: Option<Vec<_>> =
        proof.slots.iter().map(|slot| Some((*slot, counted(*slot)?))).collect();
    let Some(entries) = entries.filter(|_| are_legal(&proof.slots)) else { return false };
    let registers = proof.registers.iter();
    registers.clone().map(|(register, _)| register).eq(&roster.parameters().registers)
        && registers.into_iter().all(|of| holds_of_register(roster, meter, of, &entries, rng))
}

fn holds_of_register<S: Scheme>(
    roster: &AcceptedRoster<S>,
    meter: &MeterId,
    (register, proof): (&Register, &ByteBuf),
    entries: &[(Slot, Held<'_, S>)],
    rng: &mut Rng,
) -> bool {
    let Ok(proof) = S::RangeProof::from_bytes(proof) else { return false };
    let statement = |(slot, _): &(Slot, _)| roster.place().contribution(meter, *slot, *register);
    let statements: Vec<_> = entries.iter().map(statement).collect();
    let contributions = || {
        statements.iter().zip(entries).filter_map(|(statement, (_, entry))| {
            Some((Context(statement), &**entry.hidden.get(register)?))
        })
    };
    let again = contributions().skip(2).take(padding(entries.len()));
    let contributions: Vec<_> = contributions().chain(again).collect();
    let max = roster.parameters().max_wh_per_slot;
    let ranged = Ranged { contributions: &contributions, max, proof: &proof };
    roster.scheme().verify_ranges(&[ranged], rng).is_ok()
}

/// How often the third of so many is named again: one proof covers one, two or
/// four.
fn padding(count: usize) -> usize {
    usize::from(count == 3)
}
