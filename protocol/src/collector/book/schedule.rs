//! What is due in the rounds of an epoch, and when.

use std::time::Duration;

use aggregation::Scheme;

use crate::message::Target;
use crate::round::Round;
use crate::slot::{Slot, Timestamp, Window};
use crate::topic::CollectorTopic;

use super::super::Core;
use super::Book;

impl<S: Scheme> Book<S> {
    pub(in crate::collector) fn handle_timeout(&mut self, core: &mut Core<S>, now: Timestamp) {
        self.close_slots(core, now);
        self.close_windows(core, now);
        self.abandon_overdue(core, now);
        if self.next_republish.is_some_and(|due| due <= now) {
            self.publish_requests(core, now);
        }
        self.forget(now);
    }

    pub(in crate::collector) fn poll_timeout(&self) -> Option<Timestamp> {
        let slot = self.roster.covers(self.next_slot);
        let slot = slot.then(|| self.roster.slot_closes(self.next_slot));
        let last = self.roster.grid().last_slot(self.next_window);
        let window = self.roster.covers(last).then(|| self.claims_close(self.next_window));
        // Early claims or contributions wait for the end by this clock.
        let ends = self.complete().map(|last| self.roster.grid().end(last));
        let open = self.rounds.iter().filter(|(_, round)| round.request().is_some());
        let overdue = open.map(|(target, _)| self.deadline(*target)).min();
        let fixed = [slot, window, overdue, self.next_republish].into_iter().flatten();
        fixed.chain(ends).min()
    }

    /// The last slots of what closes next, where every member is in.
    fn complete(&self) -> impl Iterator<Item = Slot> {
        let last = self.roster.grid().last_slot(self.next_window);
        let next = [
            (Target::Region(self.next_slot), self.next_slot),
            (Target::Bill(self.next_window), last),
        ];
        next.into_iter().filter(|(target, _)| self.has_all(*target)).map(|(_, last)| last)
    }

    /// Closes the rounds of slots in order: each at the end of its grace, or
    /// as soon as every member is in.
    pub(super) fn close_slots(&mut self, core: &mut Core<S>, now: Timestamp) {
        while self.roster.covers(self.next_slot) {
            let (slot, target) = (self.next_slot, Target::Region(self.next_slot));
            let complete = self.has_all(target);
            let over = self.roster.slot_closes(slot) <= now;
            if !(over || complete && self.roster.grid().end(slot) <= now) {
                break;
            }
            self.next_slot = slot.plus(1);
            let needed = self.roster.parameters().contributors_needed();
            let found = self.rounds.get(&target).map_or(0, |round| round.meters().count());
            if found < needed {
                self.abandon(core, target, format!("{found} contributors of at least {needed}"));
            } else {
                self.request(core, target, now);
            }
        }
    }

    /// Until when claims for a window are waited for.
    fn claims_close(&self, window: Window) -> Timestamp {
        let last = self.roster.grid().last_slot(window);
        self.roster.slot_closes(last) + self.roster.parameters().deadline() / 2
    }

    /// Asks for the bills of a window once everybody has claimed, or when
    /// waiting for claims is over.
    pub(super) fn close_windows(&mut self, core: &mut Core<S>, now: Timestamp) {
        while self.roster.covers(self.roster.grid().last_slot(self.next_window)) {
            let (window, target) = (self.next_window, Target::Bill(self.next_window));
            let complete = self.has_all(target);
            let ended = self.roster.grid().window_end(window) <= now;
            if !(complete && ended || self.claims_close(window) <= now) {
                break;
            }
            self.next_window = Window(window.0 + 1);
            if self.rounds.contains_key(&target) {
                self.request(core, target, now);
            } else {
                self.abandon(core, target, "no member claimed its window".to_owned());
            }
        }
    }

    fn request(&mut self, core: &mut Core<S>, target: Target, now: Timestamp) {
        let Some(mut round) = self.rounds.remove(&target) else { return };
        round.commit(&self.roster, |request| self.seal(core, request));
        if let Some(request) = round.request() {
            core.publish(&CollectorTopic::Request, request.to_vec(), false);
        }
        self.rounds.insert(target, round);
        self.publish_status(core, target);
        if self.next_republish.is_none() {
            self.schedule_republish(now);
        }
    }

    pub(super) fn schedule_republish(&mut self, now: Timestamp) {
        let open = self.rounds.values().any(|round| round.request().is_some());
        let span = self.roster.parameters().deadline() / 8;
        let span = span.clamp(Duration::from_secs(1), Duration::from_mins(1));
        self.next_republish = open.then(|| now + span);
    }

    fn deadline(&self, target: Target) -> Timestamp {
        let last = match target {
            Target::Region(slot) => slot,
            Target::Bill(window) => self.roster.grid().last_slot(window),
        };
        self.roster.slot_closes(last) + self.roster.parameters().deadline()
    }

    fn abandon_overdue(&mut self, core: &mut Core<S>, now: Timestamp) {
        let overdue = |(target, round): (&Target, &Round<S>)| {
            (round.request().is_some() && self.deadline(*target) <= now).then_some(*target)
        };
        let overdue: Vec<_> = self.rounds.iter().filter_map(overdue).collect();
        for target in overdue {
            let missing = self.rounds.get(&target).and_then(|round| round.status(&self.roster));
            let missing = missing.map_or(0, |status| status.waiting_for.len());
            self.abandon(core, target, format!("{missing} holders did not help in time"));
        }
    }

    /// Drops rounds that no bill can need any more.
    fn forget(&mut self, now: Timestamp) {
        let grid = self.roster.grid();
        let spans = self.roster.parameters().grace() + self.roster.parameters().deadline();
        let Some(oldest) = grid.window_of(grid.slot_at(now - spans)) else { return };
        let first = grid.first_slot(oldest);
        self.rounds.retain(|target, _| match target {
            Target::Region(slot) => *slot >= first,
            Target::Bill(window) => *window >= oldest,
        });
    }
}
