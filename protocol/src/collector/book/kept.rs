//! What a book keeps: what was taken, the transcripts of its rounds, and
//! evidence; and the book that is made of them after a restart.

use std::collections::BTreeSet;

use aggregation::Scheme;
use serde_bytes::{ByteBuf, Bytes};
use thiserror::Error;

use crate::entry::{Entry, EntryError};
use crate::envelope::{Envelope, Rejection, encode};
use crate::evidence::{About, Accusation, Evidence};
use crate::id::{MeterId, Sender};
use crate::message::{Request, Share, Target};
use crate::record::{Change, Key, Part, Records, Sort, Unreadable};
use crate::roster::AcceptedRoster;
use crate::round::{Ended, Round};
use crate::slot::{Slot, Timestamp, Window};

use super::super::Core;
use super::super::past::{TRANSCRIPTS, oldest_transcript};
use super::audits::Audits;
use super::recall::Recalling;
use super::rounds::{Messages, Transcript, holes, messages, part, transcripts};
use super::sums::RunningSums;
use super::{Book, Told, UNNOTICED, persist};

/// A record that is not what was written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeptError {
    /// One of a round.
    #[error("the kept record of {target}: {error}")]
    Round {
        /// The round.
        target: Target,
        /// What is wrong with it.
        error: EntryError,
    },
    /// One of a listing.
    #[error(transparent)]
    Listing(#[from] Unreadable),
}

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
        book.recalling = Recalling::started(book.roster.grid().slot_at(now));
        book.accused = accused(&book.roster, kept);
        book.restore_listings(kept)?;
        book.audits = Audits::restore(&book, kept)?;
        let (slot, window) = book.horizon(now);
        book.oldest_window = window;
        let withheld = book.listings.withheld();
        let is_needed = |target: Target| match target {
            Target::Region(found) => found >= slot || withheld.contains_key(&found),
            Target::Bill(portion) => portion.window >= window,
        };
        book.sums = RunningSums::restore(&book.roster, kept)?;
        book.restore_rounds(kept, is_needed)?;
        book.turn_back(slot);
        book.restore_what_is_said(now);
        Ok(book)
    }

    fn restore_rounds(
        &mut self,
        kept: &Records,
        is_needed: impl Fn(Target) -> bool,
    ) -> Result<(), KeptError> {
        let mut transcripts = transcripts(kept, &self.roster)?;
        let unclosed = holes(&transcripts).into_iter().filter(|target| !is_needed(*target));
        self.left_open.extend(unclosed);
        for (target, transcript) in &transcripts {
            if let Target::Region(slot) = target {
                self.next_slot = self.next_slot.max(slot.plus(1));
            }
            if !is_needed(*target) && part(transcript, &Part::End).is_none() {
                self.left_open.push(*target);
            }
        }
        let mut messages = messages(kept, &self.roster)?;
        let all: BTreeSet<_> = messages.keys().chain(transcripts.keys()).copied().collect();
        for target in all.into_iter().filter(|target| is_needed(*target)) {
            let messages = messages.remove(&target).unwrap_or_default();
            let transcript = transcripts.remove(&target).unwrap_or_default();
            let round = self.restore_round(target, messages, &transcript);
            let round = round.map_err(|error| KeptError::Round { target, error })?;
            self.rounds.insert(target, round);
            self.add_up(target);
        }
        Ok(())
    }

    /// The round where its transcript says it stands: a committed set, the
    /// shares while they are wanted, and its end.
    fn restore_round(
        &self,
        target: Target,
        messages: Messages,
        transcript: &Transcript<'_>,
    ) -> Result<Round<S>, EntryError> {
        let end = part(transcript, &Part::End).map(ciborium::from_reader).transpose();
        let end = end.map_err(|_| Rejection::Body)?;
        let mut round = match (target, end) {
            (Target::Region(slot), Some(end))
                if let Some(request) = self.summed_up(slot, &messages) =>
            {
                Round::ended(&self.roster, (slot, request), messages, end)
            }
            (_, end) => self.replay(target, &messages, part(transcript, &Part::Request), end)?,
        };
        take_shares(&self.roster, &mut round, transcript)?;
        Ok(round)
    }

    /// The round that its messages make.
    fn replay(
        &self,
        target: Target,
        messages: &Messages,
        request: Option<&[u8]>,
        end: Option<Ended>,
    ) -> Result<Round<S>, EntryError> {
        let mut round = self.collected(target, messages.values())?;
        if let Some(message) = request {
            let request: Request = self.roster.open_from_collector(&Envelope::parse(message)?)?;
            // A clock that ran ahead erases entries, and some are sent again.
            if !round.is_of(&request) {
                round = self.collected(target, request.entries())?;
            }
            round.resume(&self.roster, &request, message.to_vec())?;
        }
        if let Some(end) = end {
            round.finish(&self.roster, end);
        }
        Ok(round)
    }

    /// A round of these entries.
    fn collected(
        &self,
        target: Target,
        messages: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Round<S>, EntryError> {
        let mut round = Round::collecting(target);
        for message in messages {
            round.admit(self.read_entry(target, message.as_ref())?);
        }
        Ok(round)
    }

    fn read_entry(&self, target: Target, message: &[u8]) -> Result<Entry<S>, EntryError> {
        let envelope = Envelope::parse(message)?;
        let entry = match target {
            Target::Region(_) => Entry::kept_contribution(&self.roster, &envelope, message)?,
            Target::Bill(portion) => {
                let listed = self.listings.final_of(portion).ok_or(EntryError::Listing)?;
                Entry::claim(&self.roster, listed, &envelope, message)?
            }
        };
        if entry.target == target { Ok(entry) } else { Err(EntryError::Outside) }
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
            Some(Ended::Abandoned(end)) => Some(end.at),
            None => None,
        });
        self.unheard_since = ends.max().unwrap_or(now) - UNNOTICED;
        self.schedule_republish(now);
    }

    /// Keeps the request that commits a round's set.
    pub(super) fn keep_request(&self, core: &mut Core<S>, target: Target, request: &[u8]) {
        let key = Key::round(self.roster.epoch(), target, &Part::Request);
        persist(core, Change::Write(key, request.to_vec().into()));
    }

    /// Keeps how a round ended, and what its contributions add up to.
    pub(super) fn keep_end(&mut self, core: &mut Core<S>, target: Target) {
        if let Some(end) = self.rounds.get(&target).and_then(Round::end) {
            let key = Key::round(self.roster.epoch(), target, &Part::End);
            persist(core, Change::Write(key, encode(&end).into()));
            self.add_up(target);
            self.keep_sums(core);
        }
    }

    /// Keeps the results of a round as they are said.
    pub(super) fn keep_results(&self, core: &mut Core<S>, target: Target, told: &[Told]) {
        let messages = told.iter().map(|(_, message)| Bytes::new(message));
        let messages: Vec<_> = messages.collect();
        let key = Key::round(self.roster.epoch(), target, &Part::Results);
        persist(core, Change::Write(key, encode(&messages).into()));
    }

    /// Whether an entry is another one than that of its meter in the round.
    /// Other proofs of the same quantities are no contradiction.
    pub(super) fn contradicts(&self, entry: &Entry<S>) -> bool {
        let scheme = self.roster.scheme();
        let Some(round) = self.rounds.get(&entry.target) else { return false };
        let is_other = || {
            round.entry(&self.roster, &entry.meter).is_some_and(|known| {
                known.listing != entry.listing || known.alone(scheme) != entry.alone(scheme)
            })
        };
        !round.knows(entry) && is_other()
    }

    /// Keeps the evidence that an entry is, beside the one in the round;
    /// whether that is news.
    pub(super) fn accuse(&mut self, core: &mut Core<S>, second: &Entry<S>) -> bool {
        let (target, meter) = (second.target, &second.meter);
        let first = self.rounds.get(&target).and_then(|round| round.message(meter));
        let (Some(first), Some((_, member))) = (first, self.roster.member(meter)) else {
            return false;
        };
        let evidence = Evidence {
            key: member.key,
            binding: *self.roster.digest(),
            first: ByteBuf::from(first),
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
            (Sort::Challenge, window.0),
            (Sort::Snapshot, window.0),
            (Sort::SlotRound, oldest_transcript(slot.0, self.next_slot.0)),
            (Sort::BillRound, window.0.saturating_sub(TRANSCRIPTS)),
        ] {
            persist(core, Change::EraseBefore(sort, self.roster.epoch(), position));
        }
    }
}

/// Takes the shares of a transcript, while they are wanted.
fn take_shares<S: Scheme>(
    roster: &AcceptedRoster<S>,
    round: &mut Round<S>,
    transcript: &Transcript<'_>,
) -> Result<(), EntryError> {
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

/// Whom the kept evidence of an epoch accuses, and about what.
fn accused<S: Scheme>(roster: &AcceptedRoster<S>, kept: &Records) -> BTreeSet<(MeterId, Target)> {
    let accusation = |(_, bytes)| {
        let Accusation { party, about, .. } = Evidence::from_bytes(bytes).ok()?.check().ok()?;
        match (party, about) {
            (Sender::Meter(meter), About::Contributions(slot)) => {
                Some((meter, Target::Region(slot)))
            }
            (Sender::Meter(meter), About::Claims(portion)) => Some((meter, Target::Bill(portion))),
            _ => None,
        }
    };
    kept.within(Sort::Evidence, roster.epoch()).filter_map(accusation).collect()
}
