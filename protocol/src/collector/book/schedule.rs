//! What is due in the rounds of an epoch, and when.

use std::time::Duration;

use aggregation::Scheme;

use crate::message::Target;
use crate::portion::Portion;
use crate::round::Round;
use crate::slot::{Slot, Timestamp, Window};
use crate::topic::CollectorTopic;

use super::super::Core;
use super::Book;

/// Why nobody was asked about a target, or nobody any more.
pub(super) const ABSENT: &str = "its deadline has passed, and the collector was not there";

impl<S: Scheme> Book<S> {
    pub(in crate::collector) fn handle_timeout(&mut self, core: &mut Core<S>, now: Timestamp) {
        self.close_slots(core, now);
        self.abandon_overdue(core, now);
        self.give_up_listings(core, now);
        self.publish_listings(core, now);
        self.close_portions(core, now);
        self.settle(core, now);
        self.end_audits(core, now);
        if self.next_republish.is_some_and(|due| due <= now) {
            self.publish_requests(core, now);
        }
        self.forget(core, now);
    }

    pub(in crate::collector) fn poll_timeout(&self) -> Option<Timestamp> {
        let slot = self.roster.covers(self.next_slot);
        let slot = slot.then(|| self.closes(self.next_slot));
        let portions = self.unasked().into_iter().map(|portion| self.claims_close(portion));
        // Early contributions wait for the end by this clock.
        let next = Target::Region(self.next_slot);
        let waits = self.has_all(next) && !self.is_recalled(self.next_slot);
        let ends = waits.then(|| self.roster.grid().end(self.next_slot));
        let waits = |round: &Round<S>| round.request().is_some() || round.is_unsettled();
        let open = self.rounds.iter().filter(|(_, round)| waits(round));
        let open = open.map(|(target, _)| self.deadline(*target));
        let overdue = open.chain(self.unmade().map(|slot| self.recall_ends(slot))).min();
        let left = self.left_open.first().map(|_| Timestamp(0));
        let fixed = [slot, ends, overdue, left, self.next_republish, self.audits_due()];
        let fixed = fixed.into_iter().flatten();
        fixed.chain(portions).chain(self.listings_due()).min()
    }

    /// When a slot's round closes even if somebody is missing: at the end of
    /// its grace, or of that after this collector's start.
    fn closes(&self, slot: Slot) -> Timestamp {
        let (deadline, closes) =
            (self.deadline(Target::Region(slot)), self.roster.slot_closes(slot));
        match self.hearing(slot) {
            None => closes.max(self.patience.min(deadline)),
            Some(of) => closes.max(self.recalling.patience(of).min(self.recall_ends(slot))),
        }
    }

    /// Closes the rounds of slots in order: each when it is due, or as soon as
    /// every member is in; and lists the portions that end with them.
    pub(super) fn close_slots(&mut self, core: &mut Core<S>, now: Timestamp) {
        while self.roster.covers(self.next_slot) {
            let slot = self.next_slot;
            if !self.is_closed(slot) {
                self.note_enough(slot, now);
                if !self.may_close(slot, now) {
                    break;
                }
                if self.is_recalled(slot) && self.recall_ends(slot) > now {
                    self.close_recalled(core, slot, now);
                } else {
                    self.close_slot(core, slot, now);
                }
            }
            self.next_slot = slot.plus(1);
        }
        self.publish_listings(core, now);
        self.recall_next(core, now);
    }

    /// Whether a slot's round has a request or an end.
    fn is_closed(&self, slot: Slot) -> bool {
        let round = self.rounds.get(&Target::Region(slot));
        round.is_some_and(|round| !round.is_collecting())
    }

    fn may_close(&self, slot: Slot, now: Timestamp) -> bool {
        let is_complete = self.has_all(Target::Region(slot)) && self.has_heard_all(slot);
        let has_ended = self.roster.grid().end(slot) <= now;
        self.closes(slot) <= now || is_complete && has_ended
    }

    /// Turns to the holders with a slot's contributions, if there are enough.
    pub(super) fn close_slot(&mut self, core: &mut Core<S>, slot: Slot, now: Timestamp) {
        let target = Target::Region(slot);
        let needed = self.roster.parameters().contributors_needed();
        let found = self.rounds.get(&target).map_or(0, |round| round.meters().count());
        if found < needed {
            let reason = format!("{found} contributors of at least {needed}");
            self.abandon(core, target, reason, now);
        } else if self.deadline(target) <= now {
            self.abandon(core, target, ABSENT.to_owned(), now);
        } else {
            self.request(core, target, now);
        }
    }

    /// Until when claims to a portion are waited for: owners have a grace after
    /// this start, and after its listing became final.
    pub(super) fn claims_close(&self, portion: Portion) -> Timestamp {
        let last = self.roster.grid().last_slot(portion.window);
        let listed = self.listings.final_since(portion) + self.roster.parameters().grace();
        let patience = self.patience.max(listed).min(self.deadline(Target::Bill(portion)));
        (self.roster.slot_closes(last) + self.roster.parameters().deadline() / 2).max(patience)
    }

    pub(super) fn request(&mut self, core: &mut Core<S>, target: Target, now: Timestamp) {
        if let Some(request) = self.commit(core, target) {
            core.publish(&CollectorTopic::Request, request, false);
        }
        self.publish_status(core, target);
        if self.next_republish.is_none() {
            self.schedule_republish(now);
        }
    }

    /// Commits the set of a round; the signed request.
    pub(super) fn commit(&mut self, core: &mut Core<S>, target: Target) -> Option<Vec<u8>> {
        let mut round = self.rounds.remove(&target)?;
        round.commit(&self.roster, |request| self.seal(core, request));
        let request = round.request().map(<[u8]>::to_vec);
        if let Some(request) = &request {
            self.keep_request(core, target, request);
        }
        self.rounds.insert(target, round);
        request
    }

    pub(super) fn schedule_republish(&mut self, now: Timestamp) {
        let asked = self.rounds.values().any(|round| round.request().is_some());
        let open = asked || self.wants_endorsements() || self.wants_proofs();
        let open = open || self.wants_recall(now);
        let span = self.roster.parameters().deadline() / 8;
        let span = span.clamp(Duration::from_secs(1), Duration::from_mins(1));
        self.next_republish = open.then(|| now + span);
    }

    pub(super) fn deadline(&self, target: Target) -> Timestamp {
        match target {
            Target::Region(slot) => self.roster.slot_deadline(slot),
            Target::Bill(portion) => self.roster.window_deadline(portion.window),
        }
    }

    /// Targets of rounds whose deadline has passed.
    fn overdue(&self, now: Timestamp, waits: impl Fn(&Round<S>) -> bool) -> Vec<Target> {
        let overdue = |(target, round): (&Target, &Round<S>)| {
            (waits(round) && self.deadline(*target) <= now).then_some(*target)
        };
        self.rounds.iter().filter_map(overdue).collect()
    }

    /// Ends the rounds whose deadline has passed.
    fn abandon_overdue(&mut self, core: &mut Core<S>, now: Timestamp) {
        for target in std::mem::take(&mut self.left_open) {
            self.abandon(core, target, ABSENT.to_owned(), now);
        }
        for target in self.overdue(now, |round| round.request().is_some()) {
            let reason = self.too_little_help(target);
            self.abandon(core, target, reason, now);
        }
        for slot in self.unmade().collect::<Vec<_>>() {
            if self.recall_ends(slot) <= now {
                self.give_up(core, slot, now);
            }
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

    /// Drops rounds that no bill can need any more: those of withheld slots
    /// stay.
    fn forget(&mut self, core: &mut Core<S>, now: Timestamp) {
        let (slot, window) = self.horizon(now);
        if self.oldest_window >= window {
            return;
        }
        self.oldest_window = window;
        self.audits.forget(window);
        self.sums.forget(window);
        let withheld = self.listings.withheld();
        self.rounds.retain(|target, _| match target {
            Target::Region(found) => *found >= slot || withheld.contains_key(found),
            Target::Bill(portion) => portion.window >= window,
        });
        let oldest = withheld.into_keys().next().map_or(slot, |oldest| oldest.min(slot));
        self.erase_before(core, (oldest, window));
    }
}
