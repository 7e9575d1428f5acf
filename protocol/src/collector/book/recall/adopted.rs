//! The sets that members have answered before a start, and their slots.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;

use crate::id::MeterId;
use crate::members::MemberSet;
use crate::message::{Answered, Remembered, Target};
use crate::output::Event;
use crate::record::{Change, Key};
use crate::round::Round;
use crate::slot::{Slot, Timestamp};

use super::super::super::Core;
use super::super::{Book, persist};

/// Why a sum is not asked for again whose set is known.
const OPENED_BEFORE: &str = "it was asked for before, and its deadline has passed";

/// What members say of the set that was asked about.
pub(in crate::collector::book) enum Named {
    /// None of them has answered one.
    Nobody,
    /// They have answered this one.
    One(Answered),
    /// They do not agree.
    Several,
}

impl<S: Scheme> Book<S> {
    /// What a member says, without a set that no holder can have answered.
    pub(super) fn checked(&self, said: Remembered) -> Remembered {
        let members = self.roster.body().members.len();
        let needed = self.roster.parameters().contributors_needed();
        let is_set =
            |answered: &Answered| answered.set.fits(members) && answered.set.count() >= needed;
        Remembered { answered: said.answered.filter(is_set), ..said }
    }

    /// The set of a slot that was asked about before the start. What more than
    /// `max_corrupted` members say is true whatever the others say; what fewer
    /// say is not if the contributions that it names make another request.
    pub(in crate::collector::book) fn named(&self, slot: Slot) -> Named {
        if !self.is_recalled(slot) {
            return Named::Nobody;
        }
        let said = self.recalling.remembered.get(&slot).into_iter().flat_map(BTreeMap::values);
        let mut names: BTreeMap<&Answered, usize> = BTreeMap::new();
        for answered in said.filter_map(|said| said.answered.as_ref()) {
            *names.entry(answered).or_default() += 1;
        }
        let corrupted = usize::from(self.roster.parameters().max_corrupted);
        if names.values().any(|witnesses| *witnesses > corrupted) {
            names.retain(|_, witnesses| *witnesses > corrupted);
        } else {
            names.retain(|answered, _| self.is_made_of(slot, answered) != Some(false));
        }
        match (names.len(), names.into_keys().next()) {
            (1, Some(answered)) => Named::One(answered.clone()),
            (0, _) => Named::Nobody,
            _ => Named::Several,
        }
    }

    /// Whether the contributions here make a request that was answered; none
    /// while one of them is missing.
    fn is_made_of(&self, slot: Slot, answered: &Answered) -> Option<bool> {
        let round = self.rounds.get(&Target::Region(slot))?;
        Some(round.digest_of(&self.members(&answered.set))? == answered.request)
    }

    fn members(&self, set: &MemberSet) -> BTreeSet<&MeterId> {
        let participants = self.roster.participants();
        participants.filter(|(of, _)| set.contains(*of)).map(|(_, meter)| meter).collect()
    }

    /// Closes a slot that ended before the start: with the set that was
    /// answered, as soon as it can be made, and with no other one.
    pub(in crate::collector::book) fn close_recalled(
        &mut self,
        core: &mut Core<S>,
        slot: Slot,
        now: Timestamp,
    ) {
        let silent: Vec<_> = self.unheard(slot).cloned().collect();
        self.recalling.silent.extend(silent);
        match self.named(slot) {
            Named::Nobody => {
                self.recalling.remembered.remove(&slot);
                self.close_slot(core, slot, now);
            }
            Named::One(answered) if self.is_made_of(slot, &answered) == Some(true) => {
                self.adopt(core, slot, &answered, now);
            }
            Named::One(_) | Named::Several => {
                let target = Target::Region(slot);
                self.rounds.entry(target).or_insert_with(|| Round::collecting(target));
            }
        }
    }

    /// Takes up the set of a closed slot that waits, once it can be made.
    pub(in crate::collector::book) fn adopt_if_made(
        &mut self,
        core: &mut Core<S>,
        slot: Slot,
        now: Timestamp,
    ) {
        if slot < self.next_slot
            && let Named::One(answered) = self.named(slot)
            && self.is_made_of(slot, &answered) == Some(true)
        {
            self.adopt(core, slot, &answered, now);
        }
    }

    fn adopt(&mut self, core: &mut Core<S>, slot: Slot, answered: &Answered, now: Timestamp) {
        let target = Target::Region(slot);
        let Some(mut round) = self.rounds.remove(&target) else { return };
        for left_out in round.keep(&self.members(&answered.set)) {
            let key = Key::counted(self.roster.epoch(), slot, &left_out);
            persist(core, Change::Erase(key));
        }
        self.rounds.insert(target, round);
        self.recalling.remembered.remove(&slot);
        core.event(Event::Adopted { slot, counted: answered.set.count() });
        if self.deadline(target) > now {
            self.request(core, target, now);
        } else {
            self.commit(core, target);
            self.abandon(core, target, OPENED_BEFORE.to_owned(), now);
        }
    }

    /// Gives a slot up that was asked about before the start.
    pub(in crate::collector::book) fn give_up(
        &mut self,
        core: &mut Core<S>,
        slot: Slot,
        now: Timestamp,
    ) {
        let reason = self.why_unmade(slot);
        self.recalling.remembered.remove(&slot);
        self.abandon(core, Target::Region(slot), reason, now);
    }

    fn why_unmade(&self, slot: Slot) -> String {
        match self.named(slot) {
            Named::One(answered) => {
                let members = self.members(&answered.set);
                let round = self.rounds.get(&Target::Region(slot));
                let has = |meter: &&&MeterId| round.is_some_and(|round| round.has(meter));
                let (held, all) = (members.iter().filter(has).count(), members.len());
                format!("a set of {all} was asked about before, and {held} of them are here")
            }
            _ => "members name different sets that were asked about before".to_owned(),
        }
    }
}
