//! What a book keeps: what was taken, the transcripts of its rounds, and
//! evidence; and the book that is made of them after a restart.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::entry::{Entry, EntryError};
use crate::envelope::{Envelope, Rejection, encode};
use crate::evidence::{About, Accusation, Evidence};
use crate::id::{MeterId, Sender};
use crate::message::{Share, Target};
use crate::record::{Change, Key, Part, Records, Sort};
use crate::roster::AcceptedRoster;
use crate::round::{Ended, Round};
use crate::slot::{Slot, Timestamp, Window};

use super::super::Core;
use super::schedule::is_before;
use super::{Book, UNNOTICED, persist};

/// Transcripts of rounds that are kept of each sort at least.
const TRANSCRIPTS: u64 = 1000;

/// A record that is not what was written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the kept record of {target}: {error}")]
pub struct KeptError {
    target: Target,
    error: EntryError,
}

/// The parts of a round's transcript.
type Transcript<'a> = Vec<(Part, &'a [u8])>;

impl<S: Scheme> Book<S> {
    /// The book of an epoch that was open before this start.
    pub(in crate::collector) fn restore(
        roster: AcceptedRoster<S>,
        signed_roster: Vec<u8>,
        kept: &Records,
        now: Timestamp,
    ) -> Result<Self, KeptError> {
        let grace = roster.parameters().grace();
        let mut book = Self::new(roster, signed_roster, now);
        book.patience = now + grace;
        book.accused = accused(&book.roster, kept);
        let horizon = book.horizon(now);
        book.restore_entries(kept, horizon)?;
        book.restore_transcripts(kept, horizon)?;
        book.restore_what_is_said(now);
        Ok(book)
    }

    fn restore_entries(
        &mut self,
        kept: &Records,
        horizon: (Slot, Window),
    ) -> Result<(), KeptError> {
        for sort in [Sort::Counted, Sort::Claimed] {
            for (key, message) in kept.within(sort, self.roster.epoch()) {
                let target = match sort {
                    Sort::Counted => Target::Region(Slot(key.position)),
                    _ => Target::Bill(Window(key.position)),
                };
                if !is_before(target, horizon) {
                    let entry = read_entry(&self.roster, target, message);
                    let entry = entry.map_err(|error| KeptError { target, error })?;
                    let round = self.rounds.entry(target);
                    round.or_insert_with(|| Round::collecting(target)).admit(entry);
                }
            }
        }
        Ok(())
    }

    fn restore_transcripts(
        &mut self,
        kept: &Records,
        horizon: (Slot, Window),
    ) -> Result<(), KeptError> {
        for (target, transcript) in transcripts(kept, &self.roster) {
            match target {
                Target::Region(slot) => self.next_slot = self.next_slot.max(slot.plus(1)),
                Target::Bill(window) => {
                    self.next_window = self.next_window.max(Window(window.0.saturating_add(1)));
                }
            }
            if !is_before(target, horizon) {
                let round = self.rounds.entry(target);
                let round = round.or_insert_with(|| Round::collecting(target));
                restore_round(&self.roster, round, &transcript)
                    .map_err(|error| KeptError { target, error })?;
            }
        }
        Ok(())
    }

    /// The forecasts, and from when on results may not have been heard: it is
    /// not known when the last life ended, but it did after its last result.
    fn restore_what_is_said(&mut self, now: Timestamp) {
        self.online_since = None;
        for outcome in self.rounds.values().flat_map(|round| round.outcomes(Timestamp(0))) {
            let series = (outcome.subject.clone(), outcome.register);
            self.forecasts.insert(series, outcome.sum_wh);
        }
        let ends = self.rounds.values().filter_map(|round| match round.end() {
            Some(Ended::Combined(end)) => Some(end.at),
            _ => None,
        });
        if let Some(last) = ends.max() {
            self.unheard_since = last - UNNOTICED;
        }
        self.schedule_republish(now);
    }

    /// Keeps the request that commits a round's set.
    pub(super) fn keep_request(&self, core: &mut Core<S>, target: Target, request: &[u8]) {
        let key = Key::round(self.roster.epoch(), target, &Part::Request);
        persist(core, Change::Write(key, request.to_vec().into()));
    }

    /// Keeps how a round ended.
    pub(super) fn keep_end(&self, core: &mut Core<S>, target: Target) {
        if let Some(end) = self.rounds.get(&target).and_then(Round::end) {
            let key = Key::round(self.roster.epoch(), target, &Part::End);
            persist(core, Change::Write(key, encode(&end).into()));
        }
    }

    /// Whether an entry is another one than that of its meter in the round.
    /// Other proofs of the same quantities are no contradiction.
    pub(super) fn contradicts(&self, entry: &Entry<S>) -> bool {
        let scheme = self.roster.scheme();
        let known = self.rounds.get(&entry.target).and_then(|round| round.entry(&entry.meter));
        known.is_some_and(|known| {
            known.slots != entry.slots || known.alone(scheme) != entry.alone(scheme)
        })
    }

    /// Keeps the evidence that an entry is, beside the one in the round;
    /// whether that is news.
    pub(super) fn accuse(&mut self, core: &mut Core<S>, second: &Entry<S>) -> bool {
        let (target, meter) = (second.target, &second.meter);
        let first = self.rounds.get(&target).and_then(|round| round.entry(meter));
        let (Some(first), Some((_, member))) = (first, self.roster.member(meter)) else {
            return false;
        };
        let evidence = Evidence {
            key: member.key,
            binding: *self.roster.digest(),
            first: ByteBuf::from(first.message.clone()),
            second: ByteBuf::from(second.message.clone()),
        };
        if evidence.check().is_err() || !self.accused.insert((meter.clone(), target)) {
            return false;
        }
        let key = Key::evidence(self.roster.epoch(), &evidence.digest());
        persist(core, Change::Write(key, evidence.to_bytes().into()));
        true
    }

    /// Erases what no bill can need any more, and transcripts beyond the last
    /// ones.
    pub(super) fn erase_before(&mut self, core: &mut Core<S>, (slot, window): (Slot, Window)) {
        if self.erased >= slot {
            return;
        }
        self.erased = slot;
        for (sort, position) in [
            (Sort::Counted, slot.0),
            (Sort::Claimed, window.0),
            (Sort::SlotRound, oldest_transcript(slot.0, self.next_slot.0)),
            (Sort::BillRound, oldest_transcript(window.0, self.next_window.0)),
        ] {
            persist(core, Change::EraseBefore(sort, self.roster.epoch(), position));
        }
    }
}

/// The position of the oldest transcript that is kept: what a bill can need
/// from `needed` on, and the last ones before `next`.
fn oldest_transcript(needed: u64, next: u64) -> u64 {
    needed.min(next.saturating_sub(TRANSCRIPTS))
}

/// All parts of each round's transcript, as they stand in the records.
fn transcripts<'a, S: Scheme>(
    kept: &'a Records,
    roster: &AcceptedRoster<S>,
) -> BTreeMap<Target, Transcript<'a>> {
    let mut transcripts: BTreeMap<_, Transcript<'_>> = BTreeMap::new();
    for sort in [Sort::SlotRound, Sort::BillRound] {
        for (key, value) in kept.within(sort, roster.epoch()) {
            let target = match sort {
                Sort::SlotRound => Target::Region(Slot(key.position)),
                _ => Target::Bill(Window(key.position)),
            };
            let parts = transcripts.entry(target).or_default();
            parts.extend(Part::of(&key.name).map(|part| (part, value)));
        }
    }
    transcripts
}

/// Brings a round to where its transcript says it stands: a committed set, the
/// shares while they are wanted, and its end.
fn restore_round<S: Scheme>(
    roster: &AcceptedRoster<S>,
    round: &mut Round<S>,
    transcript: &Transcript<'_>,
) -> Result<(), EntryError> {
    let part = |wanted: &Part| transcript.iter().find(|(part, _)| part == wanted);
    if let Some((_, request)) = part(&Part::Request) {
        round.resume(roster, request.to_vec())?;
    }
    if let Some((_, end)) = part(&Part::End) {
        let end = ciborium::from_reader(*end).map_err(|_| Rejection::Body)?;
        round.finish(roster, end);
    }
    for (part, value) in transcript {
        match part {
            Part::Share(_) if round.request().is_some() => {
                let envelope = Envelope::parse(value)?;
                let (holder, share): (MeterId, Share) = roster.open_from_member(&envelope)?;
                // A bad one names its culprit again.
                round.take(roster, &holder, &share).ok();
            }
            Part::Late(holder) => {
                round.note(holder);
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_entry<S: Scheme>(
    roster: &AcceptedRoster<S>,
    target: Target,
    message: &[u8],
) -> Result<Entry<S>, EntryError> {
    let envelope = Envelope::parse(message)?;
    let entry = match target {
        Target::Region(_) => Entry::contribution(roster, &envelope, message)?,
        Target::Bill(_) => Entry::claim(roster, &envelope, message)?,
    };
    if entry.target == target { Ok(entry) } else { Err(EntryError::Outside) }
}

/// Whom the kept evidence of an epoch accuses, and about what.
fn accused<S: Scheme>(roster: &AcceptedRoster<S>, kept: &Records) -> BTreeSet<(MeterId, Target)> {
    let accusation = |(_, bytes)| {
        let Accusation { party, about, .. } = Evidence::from_bytes(bytes).ok()?.check().ok()?;
        match (party, about) {
            (Sender::Meter(meter), About::Contributions(slot)) => {
                Some((meter, Target::Region(slot)))
            }
            (Sender::Meter(meter), About::Claims(window)) => Some((meter, Target::Bill(window))),
            _ => None,
        }
    };
    kept.within(Sort::Evidence, roster.epoch()).filter_map(accusation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thousand_transcripts_are_kept_and_more_where_bills_need_them() {
        assert_eq!(oldest_transcript(900, 950), 0);
        assert_eq!(oldest_transcript(5_000, 5_020), 4_020);
        assert_eq!(oldest_transcript(2_000, 5_020), 2_000);
    }
}
