//! What is due in the rounds of an epoch, and when.

use std::time::Duration;

use aggregation::Scheme;

use crate::message::Target;
use crate::round::Round;
use crate::slot::{Slot, Timestamp, Window};
use crate::topic::CollectorTopic;

use super::super::Core;
use super::Book;

/// Why nobody was asked about a target.
const NOT_ASKED: &str = "its deadline has passed, and the collector was not there";

impl<S: Scheme> Book<S> {
    pub(in crate::collector) fn handle_timeout(&mut self, core: &mut Core<S>, now: Timestamp) {
        self.close_slots(core, now);
        self.close_windows(core, now);
        self.abandon_overdue(core, now);
        self.settle(core, now);
        if self.next_republish.is_some_and(|due| due <= now) {
            self.publish_requests(core, now);
        }
        self.forget(core, now);
    }

    pub(in crate::collector) fn poll_timeout(&self) -> Option<Timestamp> {
        let slot = self.roster.covers(self.next_slot);
        let slot = slot.then(|| self.closes(self.next_slot));
        let last = self.roster.grid().last_slot(self.next_window);
        let window = self.roster.covers(last).then(|| self.claims_close(self.next_window));
        // Early claims or contributions wait for the end by this clock.
        let ends = self.complete().map(|last| self.roster.grid().end(last));
        let waits = |round: &Round<S>| round.request().is_some() || round.is_unsettled();
        let open = self.rounds.iter().filter(|(_, round)| waits(round));
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

    /// When a slot's round closes even if somebody is missing: at the end of
    /// its grace, or of that after this collector's start.
    fn closes(&self, slot: Slot) -> Timestamp {
        let patience = self.patience.min(self.deadline(Target::Region(slot)));
        self.roster.slot_closes(slot).max(patience)
    }

    /// Closes the rounds of slots in order: each when it is due, or as soon as
    /// every member is in; and the windows that end with them.
    pub(super) fn close_slots(&mut self, core: &mut Core<S>, now: Timestamp) {
        while self.roster.covers(self.next_slot) {
            let (slot, target) = (self.next_slot, Target::Region(self.next_slot));
            let complete = self.has_all(target);
            let over = self.closes(slot) <= now;
            if !(over || complete && self.roster.grid().end(slot) <= now) {
                break;
            }
            self.next_slot = slot.plus(1);
            let needed = self.roster.parameters().contributors_needed();
            let found = self.rounds.get(&target).map_or(0, |round| round.meters().count());
            if found < needed {
                self.abandon(core, target, format!("{found} contributors of at least {needed}"));
            } else if self.deadline(target) <= now {
                self.abandon(core, target, NOT_ASKED.to_owned());
            } else {
                self.request(core, target, now);
            }
            self.close_windows(core, now);
        }
    }

    /// Until when claims for a window are waited for.
    fn claims_close(&self, window: Window) -> Timestamp {
        let last = self.roster.grid().last_slot(window);
        let patience = self.patience.min(self.deadline(Target::Bill(window)));
        (self.roster.slot_closes(last) + self.roster.parameters().deadline() / 2).max(patience)
    }

    /// Asks for the bills of a window once everybody has claimed, or when
    /// waiting for claims is over. They stay closed if somebody was not
    /// counted.
    pub(super) fn close_windows(&mut self, core: &mut Core<S>, now: Timestamp) {
        while self.roster.grid().last_slot(self.next_window) < self.next_slot {
            let (window, target) = (self.next_window, Target::Bill(self.next_window));
            let overdue = self.deadline(target) <= now;
            let closed = if overdue {
                Some(NOT_ASKED.to_owned())
            } else {
                self.reason_to_stay_closed(window)
            };
            if closed.is_none() && !self.has_all(target) && self.claims_close(window) > now {
                break;
            }
            self.next_window = Window(window.0 + 1);
            if let Some(reason) = closed {
                self.abandon(core, target, reason);
            } else if self.rounds.contains_key(&target) {
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
            self.keep_request(core, target, request);
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

    /// Targets of rounds whose deadline has passed.
    fn overdue(&self, now: Timestamp, waits: impl Fn(&Round<S>) -> bool) -> Vec<Target> {
        let overdue = |(target, round): (&Target, &Round<S>)| {
            (waits(round) && self.deadline(*target) <= now).then_some(*target)
        };
        self.rounds.iter().filter_map(overdue).collect()
    }

    fn abandon_overdue(&mut self, core: &mut Core<S>, now: Timestamp) {
        for target in self.overdue(now, |round| round.request().is_some()) {
            let reason = self.too_little_help(target);
            self.abandon(core, target, reason);
        }
    }

    /// Names the holders that never answered once their time is over.
    fn settle(&mut self, core: &mut Core<S>, now: Timestamp) {
        for target in self.overdue(now, Round::is_unsettled) {
            if let Some(round) = self.rounds.get_mut(&target) {
                round.settle();
            }
            self.keep_end(core, target);
            self.publish_status(core, target);
        }
    }

    /// The first slot and window that a bill can still need.
    pub(super) fn horizon(&self, now: Timestamp) -> (Slot, Window) {
        let grid = self.roster.grid();
        let spans = self.roster.parameters().grace() + self.roster.parameters().deadline();
        let oldest = grid.window_of(grid.slot_at(now - spans)).unwrap_or(Window(0));
        (grid.first_slot(oldest), oldest)
    }

    /// Drops rounds that no bill can need any more.
    fn forget(&mut self, core: &mut Core<S>, now: Timestamp) {
        let horizon = self.horizon(now);
        self.rounds.retain(|target, _| !is_before(*target, horizon));
        self.erase_before(core, horizon);
    }
}

pub(super) fn is_before(target: Target, (slot, window): (Slot, Window)) -> bool {
    match target {
        Target::Region(found) => found < slot,
        Target::Bill(found) => found < window,
    }
}
