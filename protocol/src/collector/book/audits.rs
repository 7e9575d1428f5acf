//! Audits: members are challenged to prove that what was counted of them lies
//! in its range.
//!
//! Which contributions are to be proved is drawn when the listing of their
//! portion is final. What is counted does not change any more by then, and
//! nobody knew of the draw when it was made.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{CombineError, Scheme};
use rand::RngExt as _;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::entry::EntryError;
use crate::envelope::{Envelope, encode};
use crate::id::MeterId;
use crate::listing::portion_of;
use crate::message::{Challenge, Lapse, Proof, Target, Unproven};
use crate::output::Event;
use crate::parameters::RangeProofs;
use crate::portion::Portion;
use crate::range_proof::{self, SLOTS_MAX};
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::slot::{Slot, Timestamp};
use crate::topic::CollectorTopic;

use super::super::Core;
use super::{Book, persist};

/// What a member was challenged to prove of a portion.
#[derive(Default)]
struct Challenged {
    kept: KeptChallenge,
    /// Since when the challenge is out, as far as it may have been heard.
    out_since: Option<Timestamp>,
}

/// The same, as the disk holds it.
#[derive(Clone, Default, Serialize_tuple, Deserialize_tuple)]
struct KeptChallenge {
    open: BTreeSet<Slot>,
    proven: BTreeSet<Slot>,
    /// Whether the member was named, or its time is over.
    is_over: bool,
}

impl Challenged {
    fn is_open(&self) -> bool {
        !self.kept.is_over && !self.kept.open.is_empty()
    }
}

/// The challenges of an epoch.
#[derive(Default)]
pub(super) struct Audits(BTreeMap<(Portion, MeterId), Challenged>);

impl Audits {
    /// Takes up what was kept of an epoch.
    pub(super) fn restore<S: Scheme>(book: &Book<S>, kept: &Records) -> Result<Self, Unreadable> {
        let read = |(key, bytes): (&Key, &[u8])| {
            let (portion, meter) = key.portion_and_meter().ok_or(key)?;
            let kept = record::read(key, bytes)?;
            Ok(((portion, meter), Challenged { kept, out_since: None }))
        };
        let all = kept.within(Sort::Challenge, book.roster.epoch()).map(read);
        Ok(Self(all.collect::<Result<_, Unreadable>>()?))
    }

    fn open(&self) -> impl Iterator<Item = (Portion, &MeterId, &BTreeSet<Slot>)> {
        let open = self.0.iter().filter(|(_, challenged)| challenged.is_open());
        open.map(|((portion, meter), challenged)| (*portion, meter, &challenged.kept.open))
    }

    /// Notes that what was said lately may be lost.
    pub(super) fn disconnected(&mut self) {
        for challenged in self.0.values_mut() {
            challenged.out_since = None;
        }
    }

    /// Drops what is about portions before a window.
    pub(super) fn forget(&mut self, before: crate::slot::Window) {
        self.0.retain(|(portion, _), _| portion.window >= before);
    }
}

impl<S: Scheme> Book<S> {
    /// Whether a challenge waits for its answer.
    pub(super) fn wants_proofs(&self) -> bool {
        self.audits.open().next().is_some()
    }

    /// When the time of a challenge is over.
    pub(super) fn audits_due(&self) -> Option<Timestamp> {
        let open = self.audits.open().map(|(portion, ..)| self.deadline(Target::Bill(portion)));
        open.min()
    }

    /// Draws which contributions of a portion are to be proved, now that its
    /// listing is final.
    pub(super) fn draw(&mut self, core: &mut Core<S>, portion: Portion, now: Timestamp) {
        if self.roster.parameters().range_proofs != RangeProofs::Audit {
            return;
        }
        let Some(listed) = self.listings.final_of(portion) else { return };
        let percent = core.terms.audit_percent;
        let mut drawn = Vec::new();
        for (of, meter) in self.roster.participants() {
            let counted = listed.slots().iter().filter(|slot| listed.is_counted(**slot, of));
            let slots = counted.filter(|_| core.rng.random_range(0..100) < percent).copied();
            drawn.push((meter.clone(), slots.collect()));
        }
        // What was asked before about a slot that is void is owed no more.
        let is_void: BTreeSet<_> =
            listed.slots().iter().filter(|slot| listed.is_void(**slot)).copied().collect();
        for ((of, _), challenged) in &mut self.audits.0 {
            challenged.kept.open.retain(|slot| *of != portion || !is_void.contains(slot));
        }
        self.challenge(core, portion, drawn, now);
    }

    /// Challenges those behind a sum that lies outside its range to prove all
    /// of it.
    pub(super) fn challenge_behind(
        &mut self,
        core: &mut Core<S>,
        target: Target,
        error: &CombineError,
        now: Timestamp,
    ) {
        let CombineError::OutOfRange(sums) = error else { return };
        if self.roster.parameters().range_proofs != RangeProofs::Audit {
            return;
        }
        let Some(round) = self.rounds.get(&target) else { return };
        match target {
            Target::Region(slot) => {
                let Some(portion) = portion_of(&self.roster, slot) else { return };
                let all = round.meters().map(|meter| (meter.clone(), BTreeSet::from([slot])));
                self.challenge(core, portion, all.collect(), now);
            }
            Target::Bill(portion) => {
                let registers = self.roster.parameters().registers.len().max(1);
                let owners: BTreeSet<_> = sums.iter().map(|sum| sum / registers).collect();
                let owners = round.meters().enumerate().filter(|(at, _)| owners.contains(at));
                let slots = |meter: &MeterId| {
                    let listed = self.listings.final_of(portion)?;
                    let (of, _) = self.roster.member(meter)?;
                    let own = |slot: &&Slot| listed.is_counted(**slot, of);
                    Some(listed.slots().iter().filter(own).copied().collect())
                };
                let all = owners.filter_map(|(_, meter)| Some((meter.clone(), slots(meter)?)));
                let all = all.collect();
                self.challenge(core, portion, all, now);
            }
        }
    }

    /// Challenges members about slots of a portion, those of them that they
    /// were not asked about before.
    fn challenge(
        &mut self,
        core: &mut Core<S>,
        portion: Portion,
        all: Vec<(MeterId, BTreeSet<Slot>)>,
        now: Timestamp,
    ) {
        let (mut meters, mut count) = (0, 0);
        for (meter, mut slots) in all {
            let known = self.audits.0.get(&(portion, meter.clone())).map(|known| &known.kept);
            slots.retain(|slot| {
                known.is_none_or(|known| !known.open.contains(slot) && !known.proven.contains(slot))
            });
            if known.is_some_and(|known| known.is_over) || slots.is_empty() {
                continue;
            }
            (meters, count) = (meters + 1, count + slots.len());
            let challenged = self.audits.0.entry((portion, meter.clone())).or_default();
            challenged.kept.open.append(&mut slots);
            challenged.out_since = None;
            self.keep_challenge(core, portion, &meter);
        }
        if meters > 0 {
            core.event(Event::Challenged { portion, meters, slots: count });
            self.publish_challenges(core, now);
            if self.next_republish.is_none() {
                self.schedule_republish(now);
            }
        }
    }

    fn keep_challenge(&self, core: &mut Core<S>, portion: Portion, meter: &MeterId) {
        if let Some(challenged) = self.audits.0.get(&(portion, meter.clone())) {
            let key = Key::challenge(self.roster.epoch(), portion, meter);
            persist(core, Change::Write(key, encode(&challenged.kept).into()));
        }
    }

    /// Asks for all proofs that are missing.
    pub(super) fn publish_challenges(&mut self, core: &mut Core<S>, now: Timestamp) {
        for (_, meter, open) in self.audits.open() {
            let open: Vec<_> = open.iter().copied().collect();
            for slots in open.chunks(SLOTS_MAX) {
                let challenge = Challenge { meter: meter.clone(), slots: slots.to_vec() };
                let message = self.seal(core, &challenge);
                core.publish(&CollectorTopic::Challenge(meter.clone()), message, false);
            }
        }
        if self.online_since.is_some() {
            for challenged in self.audits.0.values_mut().filter(|one| one.is_open()) {
                challenged.out_since.get_or_insert(now);
            }
        }
    }

    /// Takes a member's proof. It is checked only if something that it proves
    /// is asked for.
    pub(in crate::collector) fn handle_proof(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
    ) -> Result<(), EntryError> {
        let (meter, proof): (MeterId, Proof) = self.roster.open_from_member(envelope)?;
        let is_meant = |portion: Portion, open: &BTreeSet<Slot>| {
            let here = |slot: &Slot| portion_of(&self.roster, *slot) == Some(portion);
            proof.slots.iter().all(here) && proof.slots.iter().any(|slot| open.contains(slot))
        };
        let meant = self
            .audits
            .open()
            .find(|(portion, of, open)| **of == meter && is_meant(*portion, open));
        let Some((portion, ..)) = meant else { return Ok(()) };
        let counted = |slot| {
            let round = self.rounds.get(&Target::Region(slot))?;
            round.is_counted(&meter).then(|| round.entry(&self.roster, &meter))?
        };
        if !range_proof::holds(&self.roster, &meter, &proof, counted, &mut core.rng) {
            self.name(core, (portion, &meter), Lapse::Bad);
            return Ok(());
        }
        if let Some(challenged) = self.audits.0.get_mut(&(portion, meter.clone())) {
            challenged.kept.open.retain(|slot| !proof.slots.contains(slot));
            challenged.kept.proven.extend(proof.slots);
        }
        self.keep_challenge(core, portion, &meter);
        Ok(())
    }

    /// Ends the challenges whose time is over, and names who has not met them.
    pub(super) fn end_audits(&mut self, core: &mut Core<S>, now: Timestamp) {
        let over = |portion: &Portion| self.deadline(Target::Bill(*portion)) <= now;
        let over: Vec<_> = self
            .audits
            .open()
            .filter(|(portion, ..)| over(portion))
            .map(|(portion, meter, _)| (portion, meter.clone()))
            .collect();
        for (portion, meter) in over {
            if self.had_time(portion, &meter) {
                self.name(core, (portion, &meter), Lapse::Silent);
            } else if let Some(challenged) = self.audits.0.get_mut(&(portion, meter.clone())) {
                challenged.kept.is_over = true;
                self.keep_challenge(core, portion, &meter);
            }
        }
    }

    /// Whether a challenge was out for a quarter of the time to answer it, on
    /// one connection, and the listing that the member goes by was there.
    fn had_time(&self, portion: Portion, meter: &MeterId) -> bool {
        let fair = self.roster.parameters().deadline() / 4;
        let deadline = self.deadline(Target::Bill(portion));
        let out_since = self.audits.0.get(&(portion, meter.clone())).and_then(|one| one.out_since);
        self.listings.final_of(portion).is_some()
            && out_since.is_some_and(|since| since + fair <= deadline)
    }

    /// Names a member that has not proved what it was asked to.
    fn name(&mut self, core: &mut Core<S>, (portion, meter): (Portion, &MeterId), why: Lapse) {
        let key = self.roster.member(meter).map(|(_, member)| member.key);
        let challenged = self.audits.0.get_mut(&(portion, meter.clone()));
        let (Some(key), Some(challenged)) = (key, challenged) else { return };
        challenged.kept.is_over = true;
        let slots: Vec<_> = challenged.kept.open.iter().copied().collect();
        self.keep_challenge(core, portion, meter);
        let count = slots.len();
        let said = Unproven { meter: meter.clone(), portion, slots, why };
        core.keep_unproven(self.roster.epoch(), key, &said);
        core.event(Event::Unproven { meter: meter.clone(), portion, slots: count, why });
        self.publish_unproven(core, &said);
    }

    fn publish_unproven(&self, core: &mut Core<S>, said: &Unproven) {
        let message = self.seal(core, said);
        core.publish_with_view((&CollectorTopic::Unproven, self.roster.epoch()), message, said);
    }

    /// Names again who has not proved what it was asked to in this epoch.
    pub(super) fn publish_all_unproven(&self, core: &mut Core<S>) {
        let here = core.unproven.values().filter(|kept| kept.epoch == self.roster.epoch());
        let said: Vec<_> = here.map(|kept| kept.said.clone()).collect();
        for said in &said {
            self.publish_unproven(core, said);
        }
    }
}
