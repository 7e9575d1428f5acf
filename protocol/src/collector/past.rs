//! Epochs that are over: what of them is kept for those who check results.

use std::collections::BTreeMap;

use aggregation::Scheme;

use crate::envelope::{Envelope, Rejection};
use crate::id::Epoch;
use crate::message::Roster;
use crate::record::{Change, Key, Records, Sort};
use crate::slot::Slot;

use super::book::Book;

/// Transcripts of rounds that are kept at least: of this many slots, and of the
/// bills of this many windows, across epochs. A roster and its final listings
/// are kept for as long as a transcript needs them.
pub(super) const TRANSCRIPTS: u64 = 1000;

/// Positions that transcripts have in one epoch, and the first that is kept.
struct Span {
    first: u64,
    end: u64,
    kept: u64,
}

impl Span {
    fn new(first: u64, length: u64) -> Self {
        Self { first, end: first.saturating_add(length), kept: first }
    }

    fn length(&self) -> u64 {
        self.end.saturating_sub(self.first)
    }

    /// Keeps the last `count` positions; the first of them, if that is news.
    fn keep(&mut self, count: u64) -> Option<u64> {
        let kept = self.end.saturating_sub(count).max(self.first);
        let is_news = kept > self.kept;
        self.kept = kept.max(self.kept);
        is_news.then_some(kept)
    }

    fn is_empty(&self) -> bool {
        self.kept >= self.end
    }
}

/// The rounds of an epoch that is over.
struct Rounds {
    slots: Span,
    windows: Span,
}

impl Rounds {
    fn of(body: &Roster, end: Slot) -> Self {
        let slots = end.since(body.first_slot).unwrap_or(0);
        let windows = slots / u64::from(body.parameters.window_slots.get());
        Self { slots: Span::new(body.first_slot.0, slots), windows: Span::new(0, windows) }
    }
}

/// The epochs that are over and of which transcripts are kept.
#[derive(Default)]
pub(super) struct Past(BTreeMap<Epoch, Rounds>);

impl Past {
    /// The epochs that were over before this start. The one after each ends
    /// it.
    pub(super) fn restore(kept: &Records) -> Result<Self, Rejection> {
        let mut epochs = BTreeMap::new();
        let mut next: Option<Slot> = None;
        let rosters: Vec<_> = kept.of(Sort::PastRoster).chain(kept.of(Sort::Roster)).collect();
        for (key, bytes) in rosters.into_iter().rev() {
            let body: Roster = Envelope::parse(bytes)?.peek()?;
            let end = next.map_or(body.end_slot, |next| next.min(body.end_slot));
            next = Some(body.first_slot);
            if key.sort == Sort::PastRoster {
                epochs.insert(key.epoch, Rounds::of(&body, end));
            }
        }
        Ok(Self(epochs))
    }

    /// Takes over an epoch whose last deadline has passed: what nobody needs
    /// to check its results is erased.
    pub(super) fn take<S: Scheme>(&mut self, book: &Book<S>) -> Vec<Change> {
        let roster = book.roster();
        let epoch = roster.epoch();
        self.0.insert(epoch, Rounds::of(roster.body(), roster.end_slot()));
        let signed = book.signed_roster().to_vec().into();
        let erased = [Sort::Counted, Sort::Claimed, Sort::Listing, Sort::Challenge, Sort::Snapshot];
        let erased = erased.map(|sort| Change::EraseBefore(sort, epoch, u64::MAX));
        let moved =
            [Change::Write(Key::past_roster(epoch), signed), Change::Erase(Key::roster(epoch))];
        moved.into_iter().chain(erased).collect()
    }

    /// Erases the transcripts before the last ones, and epochs that have none
    /// any more.
    pub(super) fn prune(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let (mut slots, mut windows) = (TRANSCRIPTS, TRANSCRIPTS);
        for (epoch, rounds) in self.0.iter_mut().rev() {
            for (sort, span, left) in [
                (Sort::SlotRound, &mut rounds.slots, &mut slots),
                (Sort::BillRound, &mut rounds.windows, &mut windows),
            ] {
                let first = span.keep(*left);
                changes.extend(first.map(|first| Change::EraseBefore(sort, *epoch, first)));
                *left = left.saturating_sub(span.length());
            }
        }
        let over = self.0.extract_if(.., |_, of| of.slots.is_empty() && of.windows.is_empty());
        for (epoch, _) in over {
            changes.push(Change::Erase(Key::past_roster(epoch)));
            changes.push(Change::EraseBefore(Sort::Final, epoch, u64::MAX));
        }
        changes
    }
}

/// The position of the oldest transcript that is kept of an epoch that serves:
/// what a bill can need from `needed` on, and the last ones before `next`.
pub(super) fn oldest_transcript(needed: u64, next: u64) -> u64 {
    needed.min(next.saturating_sub(TRANSCRIPTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many epochs that are over, each of these slots and windows.
    fn over(epochs: u32, slots: u64, windows: u64) -> Past {
        let rounds = |epoch: u32| {
            let first = u64::from(epoch) * slots;
            let rounds = Rounds { slots: Span::new(first, slots), windows: Span::new(0, windows) };
            (Epoch(epoch), rounds)
        };
        Past((0..epochs).map(rounds).collect())
    }

    fn pruned(past: &mut Past) -> Vec<String> {
        past.prune().iter().map(|change| format!("{change:?}")).collect()
    }

    #[test]
    fn the_last_thousand_slots_have_transcripts_across_epochs() {
        let mut past = over(5, 400, 100);
        let erased = [
            "EraseBefore(SlotRound, 2, 1000)",
            "EraseBefore(SlotRound, 1, 800)",
            "EraseBefore(SlotRound, 0, 400)",
        ];
        assert_eq!(pruned(&mut past), erased);
        assert_eq!(pruned(&mut past), [""; 0]);
        assert_eq!(past.0.len(), 5);
    }

    #[test]
    fn a_roster_is_erased_with_the_last_transcript_that_needs_it() {
        let mut past = over(4, 1, 400);
        let erased = ["EraseBefore(BillRound, 1, 200)", "EraseBefore(BillRound, 0, 400)"];
        assert_eq!(pruned(&mut past), erased);
        assert_eq!(past.0.len(), 4);
        let mut past = over(1001, 2, 1);
        let said = pruned(&mut past);
        let gone = Change::Erase(Key::past_roster(Epoch(0)));
        let finals = Change::EraseBefore(Sort::Final, Epoch(0), u64::MAX);
        assert_eq!(said[said.len() - 2..], [format!("{gone:?}"), format!("{finals:?}")]);
        assert_eq!(past.0.len(), 1000);
    }

    #[test]
    fn the_last_thousand_transcripts_are_kept_and_more_where_bills_need_them() {
        assert_eq!(oldest_transcript(900, 950), 0);
        assert_eq!(oldest_transcript(5_000, 5_020), 4_020);
        assert_eq!(oldest_transcript(2_000, 5_020), 2_000);
    }
}
