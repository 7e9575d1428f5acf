//! A member proves, when it is challenged, that what was counted of it lies in
//! its range. A proof tells that and nothing else.
//!
//! How long a proof takes depends on what it proves, so it never leaves in the
//! turn in which it is made: it waits for a timer that was set before. One
//! challenge is worked off at a time, and a slot is proved once: to a challenge
//! that names it again the same proof goes out again.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Rng, Scheme};

use crate::envelope::{Envelope, Rejection};
use crate::listing::portion_of;
use crate::message::{Challenge, Proof};
use crate::output::{ChallengeError, Event};
use crate::parameters::RangeProofs;
use crate::range_proof::{self, Own};
use crate::retry::Retry;
use crate::slot::{Slot, Timestamp};
use crate::topic::MeterTopic;

use super::super::Core;
use super::Membership;

/// A proof that was made.
struct Made {
    slots: Vec<Slot>,
    message: Vec<u8>,
    /// Whether it was asked for since it was said.
    is_wanted: bool,
}

/// The proofs of an epoch.
#[derive(Default)]
pub(super) struct Proofs {
    made: Vec<Made>,
    /// Slots that a proof is to be made about, together.
    owed: BTreeSet<Vec<Slot>>,
    timer: Option<Retry>,
}

impl Proofs {
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.timer.map(|timer| timer.due())
    }

    /// Takes a challenge that will be met: what was proved is said again.
    fn owe(&mut self, mut slots: Vec<Slot>, (now, rng): (Timestamp, &mut Rng)) {
        for made in &mut self.made {
            let before = slots.len();
            slots.retain(|slot| !made.slots.contains(slot));
            made.is_wanted |= slots.len() < before;
        }
        let owed: BTreeSet<_> = self.owed.iter().flatten().copied().collect();
        slots.retain(|slot| !owed.contains(slot));
        if !slots.is_empty() {
            self.owed.insert(slots);
        }
        self.timer.get_or_insert_with(|| Retry::started(now, rng));
    }

    /// The proofs to say now.
    fn wanted(&mut self) -> impl Iterator<Item = &[u8]> {
        let wanted = self.made.iter_mut();
        wanted.filter_map(|made| {
            std::mem::take(&mut made.is_wanted).then_some(made.message.as_slice())
        })
    }

    /// Waits anew if there is something to say or to prove.
    fn wait(&mut self, now: Timestamp, rng: &mut Rng) {
        let waits = !self.owed.is_empty() || self.made.iter().any(|made| made.is_wanted);
        self.timer = waits.then(|| Retry::started(now, rng));
    }

    /// Drops what is about slots before this one.
    pub(super) fn forget(&mut self, before: Slot) {
        let is_needed = |slots: &[Slot]| slots.iter().all(|slot| *slot >= before);
        self.made.retain(|made| is_needed(&made.slots));
        self.owed.retain(|slots| is_needed(slots));
    }
}

impl<S: Scheme> Membership<S> {
    pub(super) fn handle_challenge(
        &mut self,
        core: &mut Core,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let challenge: Challenge = self.roster.open_from_collector(envelope)?;
        if challenge.meter != core.terms.meter {
            return Err(Rejection::Sender);
        }
        match self.check_challenge(core, &challenge.slots, now) {
            Ok(()) => self.proofs.owe(challenge.slots, (now, &mut core.rng)),
            Err(error) => {
                self.want_listing(core, &error, now);
                core.event(Event::ChallengeRefused(error));
            }
        }
        Ok(())
    }

    /// Whether this meter owes a proof about slots: it was counted in each of
    /// them, and has what it takes to prove it.
    fn check_challenge(
        &self,
        core: &Core,
        slots: &[Slot],
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        if self.roster.parameters().range_proofs != RangeProofs::Audit {
            return Err(ChallengeError::Mode);
        }
        if !range_proof::are_legal(slots) {
            return Err(ChallengeError::Slots);
        }
        for slot in slots.iter().copied() {
            let portion = portion_of(&self.roster, slot).filter(|_| self.roster.covers(slot));
            let portion = portion.ok_or(ChallengeError::Outside(slot))?;
            let is_over = self.roster.grid().end(slot) <= core.marks.forgotten;
            if is_over || self.deadline(portion.window) < now {
                return Err(ChallengeError::PastDeadline(slot));
            }
            if !self.is_counted(slot) {
                return Err(ChallengeError::NotCounted(slot));
            }
            if self.outbox.own(slot).count() != self.roster.parameters().registers.len() {
                return Err(ChallengeError::Lost(slot));
            }
        }
        Ok(())
    }

    /// Whether a final listing counts this meter in a slot, or a set that it
    /// has helped to open, where there is no listing yet.
    fn is_counted(&self, slot: Slot) -> bool {
        let listed = portion_of(&self.roster, slot)
            .and_then(|portion| self.guard.listings().final_of(portion));
        match listed {
            Some(listed) => listed.is_counted(slot, self.own),
            None => self.guard.set(slot).is_some_and(|set| set.contains(self.own)),
        }
    }

    /// Asks for the listing that a challenge goes by, if it was missed.
    fn want_listing(&mut self, core: &mut Core, error: &ChallengeError, now: Timestamp) {
        let ChallengeError::NotCounted(slot) = error else { return };
        if let Some(portion) = portion_of(&self.roster, *slot)
            && self.roster.grid().window_end(portion.window) <= now
        {
            self.want(core, portion, now);
        }
    }

    /// Says the proofs that were made before this turn, and makes the next.
    pub(super) fn say_proofs(&mut self, core: &mut Core, now: Timestamp) {
        if self.proofs.due().is_none_or(|due| due > now) {
            return;
        }
        for message in self.proofs.wanted() {
            core.publish(MeterTopic::Proof, message.to_vec());
        }
        if let Some(slots) = self.proofs.owed.pop_first()
            && let Some(body) = self.prove(core, &slots)
        {
            let message = self.seal(core, &body);
            self.proofs.made.push(Made { slots, message, is_wanted: true });
        }
        self.proofs.wait(now, &mut core.rng);
    }

    /// None if a slot was given up since, so that there is nothing to prove.
    fn prove(&self, core: &mut Core, slots: &[Slot]) -> Option<Proof> {
        let mut all: BTreeMap<_, Vec<Own<'_, S>>> = BTreeMap::new();
        for own in slots.iter().flat_map(|slot| self.outbox.own(*slot)) {
            all.entry(own.register).or_default().push(own);
        }
        let (meter, rng) = (&core.terms.meter, &mut core.rng);
        let proofs = all.into_iter().map(|(register, own)| {
            let own = (own.len() == slots.len()).then_some(own)?;
            Some((register, range_proof::prove(&self.roster, meter, &own, rng)?))
        });
        Some(Proof { slots: slots.to_vec(), registers: proofs.collect::<Option<_>>()? })
    }
}
