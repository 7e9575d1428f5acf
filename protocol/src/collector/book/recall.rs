//! What a collector asks its members for after a start: it cannot tell a crash,
//! after which it has all that it took, from a backup that was put back.
//!
//! A slot that ended before the start and has no request is not asked about
//! before the members are heard. A set that one of them has answered is taken
//! up again, byte for byte: another one would be evidence of two.

mod adopted;

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Participant, Scheme};

use crate::entry::EntryError;
use crate::envelope::Envelope;
use crate::id::MeterId;
use crate::members::MemberSet;
use crate::message::{Recall, Recollection, Remembered, Target};
use crate::output::Event;
use crate::portion::Portion;
use crate::recall::{PORTIONS_MAX, RUN};
use crate::round::Round;
use crate::slot::{Slot, Timestamp};
use crate::topic::CollectorTopic;

use super::super::Core;
use super::listings::Stage;
use super::{Book, NEVER};
pub(super) use adopted::Named;

/// Whose word on a slot has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    /// That of everybody but those who were silent before.
    All,
    /// That of as many as it takes to open a sum.
    Enough,
    /// That of fewer: a set that was opened may have no witness among them.
    TooFew,
}

/// What was asked since a start, and what members said.
pub(super) struct Recalling {
    /// Slots before this one had ended at the start.
    end: Slot,
    /// The end of the run of slots that is asked about.
    asked: Slot,
    /// Until when absent members are waited for in this run.
    until: Option<Timestamp>,
    /// Whether enough were heard in it.
    has_enough: bool,
    /// Members that were waited for in vain.
    silent: BTreeSet<MeterId>,
    remembered: BTreeMap<Slot, BTreeMap<MeterId, Remembered>>,
    /// Who has answered, as long as members may know of a later epoch.
    heard: Option<BTreeSet<MeterId>>,
}

impl Recalling {
    /// A start in the slot `running`.
    pub(super) fn started(running: Slot) -> Self {
        let (until, silent, remembered, heard) = Default::default();
        Self { end: running, asked: Slot(0), until, has_enough: false, silent, remembered, heard }
    }

    /// Until when a slot waits for members.
    pub(super) fn patience(&self, hearing: Hearing) -> Timestamp {
        match hearing {
            Hearing::All => Timestamp(0),
            Hearing::Enough => self.until.unwrap_or(NEVER),
            Hearing::TooFew => NEVER,
        }
    }
}

impl<S: Scheme> Book<S> {
    /// Begins with the first slot from `oldest` on that was not closed.
    pub(super) fn turn_back(&mut self, oldest: Slot) {
        let oldest = oldest.max(self.roster.body().first_slot);
        let is_open = |slot: &Slot| match self.rounds.get(&Target::Region(*slot)) {
            Some(round) => round.is_collecting(),
            None => true,
        };
        let mut closed = (oldest.0..self.next_slot.0).map(Slot);
        self.next_slot = closed.find(is_open).unwrap_or(self.next_slot);
    }

    /// Whether a slot that ended before the start waits for members.
    pub(super) fn is_recalled(&self, slot: Slot) -> bool {
        let round = self.rounds.get(&Target::Region(slot));
        let is_open = round.map_or(slot >= self.next_slot, Round::is_collecting);
        slot < self.recalling.end && is_open
    }

    /// Until when a slot waits for what was answered: after its own deadline it
    /// is listed and billed, and its sum is not opened again.
    pub(super) fn recall_ends(&self, slot: Slot) -> Timestamp {
        let window = self.roster.grid().window_of(slot);
        window.map_or(Timestamp(0), |window| self.roster.window_deadline(window))
    }

    /// Closed slots whose set was answered and cannot be made yet.
    pub(super) fn unmade(&self) -> impl Iterator<Item = Slot> {
        let waits = |(target, round): (&Target, &Round<S>)| match target {
            Target::Region(slot) if *slot < self.next_slot && round.is_collecting() => Some(*slot),
            _ => None,
        };
        self.rounds.iter().filter_map(waits)
    }

    /// How many members are heard of a slot; none of one that needs no word.
    pub(super) fn hearing(&self, slot: Slot) -> Option<Hearing> {
        if !self.is_recalled(slot) {
            return None;
        }
        let unheard: Vec<_> = self.unheard(slot).collect();
        let heard = self.roster.body().members.len() - unheard.len();
        let is_silent = |meter: &&MeterId| self.recalling.silent.contains(*meter);
        Some(match () {
            () if heard < usize::from(self.roster.scheme().threshold()) => Hearing::TooFew,
            () if unheard.iter().all(is_silent) => Hearing::All,
            () => Hearing::Enough,
        })
    }

    pub(super) fn has_heard_all(&self, slot: Slot) -> bool {
        self.hearing(slot).is_none_or(|hearing| hearing == Hearing::All)
    }

    /// Members without a word on a slot, or whose contribution is on its way.
    fn unheard(&self, slot: Slot) -> impl Iterator<Item = &MeterId> {
        let remembered = self.recalling.remembered.get(&slot);
        let round = self.rounds.get(&Target::Region(slot));
        let is_heard = move |meter: &MeterId| {
            let said = remembered.and_then(|of| of.get(meter));
            let has = || round.is_some_and(|round| round.has(meter));
            said.is_some_and(|said| !said.is_sent || has())
        };
        self.roster.participants().map(|(_, meter)| meter).filter(move |meter| !is_heard(meter))
    }

    /// Gives those that come with the one that was needed their time as well.
    pub(super) fn note_enough(&mut self, slot: Slot, now: Timestamp) {
        let has_enough = self.hearing(slot).is_some_and(|hearing| hearing != Hearing::TooFew);
        if has_enough && !self.recalling.has_enough {
            let until = now + self.roster.parameters().grace();
            self.recalling.until = self.recalling.until.map(|earlier| earlier.max(until));
        }
        self.recalling.has_enough = has_enough;
    }

    /// Asks about the next run of slots once this one is closed.
    pub(super) fn recall_next(&mut self, core: &mut Core<S>, now: Timestamp) {
        if self.recalling.until.is_some() && self.recalling.asked <= self.next_slot {
            self.publish_recall(core, now);
        }
    }

    /// Asks members for the rosters of later epochs, until as many have answered
    /// as it takes to open a sum.
    pub(in crate::collector) fn ask_for_rosters(&mut self) {
        self.recalling.heard = Some(BTreeSet::new());
    }

    fn note_answer(&mut self, meter: &MeterId) {
        let Some(heard) = &mut self.recalling.heard else { return };
        heard.insert(meter.clone());
        if heard.len() >= usize::from(self.roster.scheme().threshold()) {
            self.recalling.heard = None;
        }
    }

    /// Says what is here, and so asks for what is not.
    pub(super) fn publish_recall(&mut self, core: &mut Core<S>, now: Timestamp) {
        if self.online_since.is_none() {
            return;
        }
        let slots = self.recalled_slots(now).map(|slot| (slot, self.held(Target::Region(slot))));
        let claims = self.recalled_portions(now).map(|of| (of, self.held(Target::Bill(of))));
        let (slots, claims): (BTreeMap<_, _>, BTreeMap<_, _>) = (slots.collect(), claims.collect());
        let (is_empty, asks) =
            (slots.is_empty() && claims.is_empty(), self.recalling.heard.is_some());
        if is_empty && !asks {
            return;
        }
        if !is_empty {
            self.begin_run(core, (&slots, claims.len()), now);
        }
        let message = self.seal(core, &Recall { slots, claims, latest: core.unbroken });
        core.publish(&CollectorTopic::Recall, message, false);
        if self.next_republish.is_none() {
            self.schedule_republish(now);
        }
    }

    /// Notes that a run of slots is asked about, if it is another one.
    fn begin_run(
        &mut self,
        core: &mut Core<S>,
        (slots, portions): (&BTreeMap<Slot, MemberSet>, usize),
        now: Timestamp,
    ) {
        let last = slots.keys().next_back().map_or(self.next_slot, |last| last.plus(1));
        if self.recalling.until.is_none() || self.recalling.asked <= self.next_slot {
            self.recalling.asked = last.max(self.next_slot.plus(1));
            self.recalling.until = Some(now + self.roster.parameters().grace());
            self.recalling.has_enough = false;
            core.event(Event::Recalled { slots: slots.len(), portions });
        }
    }

    pub(super) fn wants_recall(&self, now: Timestamp) -> bool {
        self.recalling.heard.is_some()
            || self.recalled_slots(now).next().is_some()
            || self.recalled_portions(now).next().is_some()
    }

    /// The slots to ask about: a run from the next one on, and as many that are
    /// closed and wait.
    fn recalled_slots(&self, now: Timestamp) -> impl Iterator<Item = Slot> {
        let is_open = move |slot: &Slot| self.is_recalled(*slot) && self.recall_ends(*slot) > now;
        let next = (self.next_slot.0..self.recalling.end.0).map(Slot);
        let next = next.filter(move |slot| self.roster.covers(*slot) && is_open(slot)).take(RUN);
        self.unmade().filter(is_open).take(RUN).chain(next)
    }

    fn recalled_portions(&self, now: Timestamp) -> impl Iterator<Item = Portion> {
        let portions = self.unasked().into_iter();
        portions.filter(move |portion| self.lacks_claims(*portion, now)).take(PORTIONS_MAX)
    }

    /// Whether claims to a portion that ended before the start may be lost.
    pub(super) fn lacks_claims(&self, portion: Portion, now: Timestamp) -> bool {
        let round = self.rounds.get(&Target::Bill(portion));
        let is_open = round.is_none_or(Round::is_collecting);
        self.roster.grid().last_slot(portion.window) < self.recalling.end
            && matches!(self.listings.stages.get(&portion), Some(Stage::Final { .. }))
            && is_open
            && self.deadline(Target::Bill(portion)) > now
            && !self.has_claimed_all(portion)
    }

    /// The members whose entries are here.
    fn held(&self, target: Target) -> MemberSet {
        let round = self.rounds.get(&target);
        let has = |(_, meter): &(Participant, &MeterId)| round.is_some_and(|of| of.has(meter));
        self.roster.participants().filter(has).map(|(of, _)| of).collect()
    }

    /// Takes what a member remembers.
    pub(in crate::collector) fn handle_recollection(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let (meter, body): (MeterId, Recollection) = self.roster.open_from_member(envelope)?;
        self.recalling.silent.remove(&meter);
        self.note_answer(&meter);
        let mut heard = Vec::new();
        for (slot, said) in body.slots {
            if self.is_recalled(slot) && self.roster.covers(slot) {
                let said = self.checked(said);
                let of_slot = self.recalling.remembered.entry(slot).or_default();
                of_slot.insert(meter.clone(), said);
                heard.push(slot);
            }
        }
        for slot in heard {
            self.adopt_if_made(core, slot, now);
        }
        self.close_slots(core, now);
        Ok(())
    }
}
