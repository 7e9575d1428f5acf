//! The rounds of an epoch: what comes in, and what is published.

mod audits;
mod bills;
mod help;
mod intake;
mod kept;
mod listings;
mod omissions;
mod recall;
mod rounds;
mod schedule;
mod sums;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aggregation::Scheme;

use crate::entry::{self, Entry, EntryError};
use crate::envelope::{Envelope, Message, Rejection, seal};
use crate::id::{MeterId, Sender};
use crate::message::{Confirmation, KeyPart, Kind, Outcome, Receipt, Subject, Target};
use crate::meter::contribution_digest;
use crate::output::{Event, Output};
use crate::reading::Register;
use crate::record::{Change, Key};
use crate::roster::AcceptedRoster;
use crate::round::{self, Admission, Round};
use crate::slot::{Slot, Timestamp, Window};
use crate::topic::CollectorTopic;

use super::Core;

use audits::Audits;
pub use kept::KeptError;
use listings::Listings;
use recall::Recalling;
use sums::RunningSums;

/// How far a member's clock may run ahead of the collector's.
const CLOCK_AHEAD: Duration = Duration::from_secs(2);

/// How long a connection may be dead before anyone notices.
const UNNOTICED: Duration = Duration::from_mins(1);

/// Later than any instant.
const NEVER: Timestamp = Timestamp(u64::MAX);

/// A result, and the message that says it.
type Told = (Outcome, Vec<u8>);

pub(super) struct Book<S: Scheme> {
    roster: AcceptedRoster<S>,
    signed_roster: Vec<u8>,
    rounds: BTreeMap<Target, Round<S>>,
    sums: RunningSums<S>,
    /// The slot whose round closes next.
    next_slot: Slot,
    listings: Listings,
    audits: Audits,
    recalling: Recalling,
    /// Rounds of earlier windows are dropped.
    oldest_window: Window,
    /// Rounds of earlier windows that were open when the collector ended: they
    /// end at last.
    left_open: Vec<Target>,
    /// No round closes before that: after a start, members have a grace to
    /// say what they could not say before.
    patience: Timestamp,
    next_republish: Option<Timestamp>,
    /// Results from then on may not have been heard.
    unheard_since: Timestamp,
    online_since: Option<Timestamp>,
    forecasts: BTreeMap<(Subject, Register), u64>,
    /// Whom there is evidence against, and about what.
    accused: BTreeSet<(MeterId, Target)>,
    /// Records of earlier slots are erased.
    erased: Slot,
}

impl<S: Scheme> Book<S> {
    /// The book of an epoch that has just opened.
    pub(super) fn new(roster: AcceptedRoster<S>, signed_roster: Vec<u8>, now: Timestamp) -> Self {
        let (rounds, next_republish, forecasts, accused) = Default::default();
        Self {
            next_slot: roster.body().first_slot,
            erased: roster.body().first_slot,
            listings: Listings::default(),
            audits: Audits::default(),
            recalling: Recalling::started(Slot(0)),
            oldest_window: Window(0),
            left_open: Vec::new(),
            roster,
            signed_roster,
            rounds,
            sums: RunningSums::default(),
            patience: Timestamp(0),
            next_republish,
            unheard_since: NEVER,
            online_since: Some(now),
            forecasts,
            accused,
        }
    }

    pub(super) fn roster(&self) -> &AcceptedRoster<S> {
        &self.roster
    }

    pub(super) fn signed_roster(&self) -> &[u8] {
        &self.signed_roster
    }

    /// Ends the epoch where the next one begins.
    pub(super) fn end_before(&mut self, next: Slot) {
        self.roster.end_before(next);
    }

    /// The broker keeps the latest one, whoever misses one before it.
    pub(super) fn publish_roster(&self, core: &mut Core<S>) {
        let is_latest = self.roster.epoch() >= core.latest;
        core.publish(&CollectorTopic::Roster, self.signed_roster.clone(), is_latest);
    }

    /// Sends the roster again to a member that is a candidate still.
    pub(super) fn answer_candidate(
        &self,
        core: &mut Core<S>,
        envelope: &Envelope,
    ) -> Result<(), EntryError> {
        let Sender::Meter(meter) = &envelope.header().sender else {
            return Err(Rejection::Sender.into());
        };
        let (_, member) = self.roster.member(meter).ok_or(Rejection::Sender)?;
        let invitation = &self.roster.body().invitation;
        match envelope.header().kind {
            Kind::Confirmation => {
                envelope.open::<Confirmation>(&member.key, invitation)?;
            }
            _ => {
                envelope.open::<KeyPart>(&member.key, invitation)?;
            }
        }
        self.publish_roster(core);
        Ok(())
    }

    /// Notes that what was published lately may be lost.
    pub(super) fn handle_disconnected(&mut self, now: Timestamp) {
        self.audits.disconnected();
        let Some(online_since) = self.online_since.take() else { return };
        // What was said at its beginning has arrived if it lived on unnoticed.
        if now.since(online_since) > 2 * UNNOTICED {
            self.unheard_since = NEVER;
        }
        self.unheard_since = self.unheard_since.min(now - UNNOTICED);
    }

    /// Says again what may be lost, and asks for what is open.
    pub(super) fn handle_connected(&mut self, core: &mut Core<S>, now: Timestamp) {
        self.publish_roster(core);
        let was_lost = self.online_since.replace(now).is_none();
        let since = if was_lost { self.unheard_since } else { NEVER };
        let targets: Vec<_> = self.rounds.keys().copied().collect();
        for portion in self.unasked() {
            self.publish_final(core, portion);
        }
        for target in targets {
            let told = self.told(core, target, since);
            self.publish_outcomes(core, told);
            if self.rounds.get(&target).is_some_and(|round| round.is_abandoned_since(since)) {
                self.publish_status(core, target);
            }
        }
        self.publish_all_unproven(core);
        self.publish_requests(core, now);
    }

    /// Asks again for what is open, and says where it stands.
    pub(super) fn publish_requests(&mut self, core: &mut Core<S>, now: Timestamp) {
        self.publish_recall(core, now);
        self.publish_listings_again(core);
        self.publish_challenges(core, now);
        for (target, round) in &self.rounds {
            if let Some(request) = round.request() {
                if let Target::Bill(portion) = target {
                    self.publish_final(core, *portion);
                }
                core.publish(&CollectorTopic::Request, request.to_vec(), false);
                self.publish_status(core, *target);
            }
        }
        self.schedule_republish(now);
    }

    /// Takes a contribution whose proofs were checked.
    fn take_contribution(
        &mut self,
        core: &mut Core<S>,
        entry: Entry<S>,
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let Target::Region(slot) = entry.target else { return Err(EntryError::Outside) };
        let (meter, message) = (entry.meter.clone(), entry.message.clone());
        if self.contradicts(&entry) {
            if self.accuse(core, &entry) {
                core.event(Event::Conflict { meter, slot });
            }
            return Ok(());
        }
        let Some(admission) = self.admit(entry) else {
            // It may have been counted, which is forgotten: no receipt would
            // be true.
            core.event(Event::Late { meter, slot });
            return Ok(());
        };
        let contribution = contribution_digest(&message);
        match admission {
            Admission::Counted => {
                let key = Key::counted(self.roster.epoch(), slot, &meter);
                persist(core, Change::Write(key, message.into()));
            }
            Admission::Late => core.event(Event::Late { meter: meter.clone(), slot }),
            // The same ciphertexts with another proof are known as well.
            Admission::Known | Admission::Conflict => {}
        }
        let on_time = admission != Admission::Late;
        let receipt = Receipt { meter, slot, on_time, contribution };
        // What members have answered may have left it out: no receipt would be
        // true before they are heard.
        if self.is_recalled(slot) {
            self.adopt_if_made(core, slot, now);
        } else {
            self.receipt(core, &receipt);
        }
        self.close_slots(core, now);
        Ok(())
    }

    /// Checks that an entry is not early, and its proofs unless they are known.
    fn check(
        &self,
        core: &mut Core<S>,
        entry: &Entry<S>,
        now: Timestamp,
    ) -> Result<(), EntryError> {
        if self.is_early(entry.target, now) {
            return Err(EntryError::Outside);
        }
        if self.knows(entry) {
            return Ok(());
        }
        let checked = entry::check_batch(&self.roster, &[entry], &mut core.rng);
        checked.map_err(|bad| bad.into_values().next().unwrap_or(EntryError::Proof))
    }

    /// Offers an entry whose proofs were checked to its round; none if nothing
    /// is known of that round.
    fn admit(&mut self, entry: Entry<S>) -> Option<Admission> {
        let target = entry.target;
        if self.is_past(target) {
            return None;
        }
        let round = self.rounds.entry(target).or_insert_with(|| Round::collecting(target));
        Some(round.admit(entry))
    }

    /// Whether a target's round was closed and is forgotten.
    fn is_past(&self, target: Target) -> bool {
        let past = match target {
            Target::Region(slot) => slot < self.next_slot,
            Target::Bill(portion) => portion.window < self.oldest_window,
        };
        past && !self.rounds.contains_key(&target)
    }

    /// Whether a round still collects and every member is in it.
    fn has_all(&self, target: Target) -> bool {
        let Some(round) = self.rounds.get(&target).filter(|round| round.is_collecting()) else {
            return false;
        };
        self.roster.participants().all(|(_, meter)| round.has(meter))
    }

    fn receipt(&self, core: &mut Core<S>, receipt: &Receipt) {
        let message = self.seal(core, receipt);
        let topic = CollectorTopic::Receipt(receipt.meter.clone());
        core.publish_with_view((&topic, self.roster.epoch()), message, receipt);
    }

    fn publish_outcomes(&mut self, core: &mut Core<S>, told: Vec<Told>) {
        for (outcome, message) in told {
            let place = (&CollectorTopic::Result, self.roster.epoch());
            core.publish_with_view(place, message, &outcome);
            self.forecasts.insert((outcome.subject, outcome.register), outcome.sum_wh);
        }
    }

    /// The results of a round that was combined at `since` or later, signed.
    fn told(&self, core: &Core<S>, target: Target, since: Timestamp) -> Vec<Told> {
        let outcomes = self.rounds.get(&target).map_or(&[][..], |round| round.outcomes(since));
        let listed = match target {
            Target::Region(_) => None,
            Target::Bill(portion) => self.listings.final_of(portion),
        };
        let tell = |outcome: &Outcome| {
            let outcome = match listed {
                Some(listed) => round::with_slots(&self.roster, listed, outcome.clone()),
                None => outcome.clone(),
            };
            let message = self.seal(core, &outcome);
            (outcome, message)
        };
        outcomes.iter().map(tell).collect()
    }

    fn publish_status(&self, core: &mut Core<S>, target: Target) {
        let status = self.rounds.get(&target).and_then(|round| round.status(&self.roster));
        if let Some(status) = status {
            let message = self.seal(core, &status);
            core.publish_with_view(
                (&CollectorTopic::Status, self.roster.epoch()),
                message,
                &status,
            );
        }
    }

    fn abandon(&mut self, core: &mut Core<S>, target: Target, reason: String, now: Timestamp) {
        let round = self.rounds.entry(target).or_insert_with(|| Round::collecting(target));
        round.abandon(&self.roster, reason.clone(), now);
        self.keep_end(core, target);
        core.event(Event::Abandoned { target, reason });
        self.publish_status(core, target);
    }

    fn seal<M: Message>(&self, core: &Core<S>, body: &M) -> Vec<u8> {
        let place = (self.roster.region(), self.roster.epoch(), Sender::Collector);
        seal(&core.identity, place, self.roster.digest(), body)
    }
}

/// Makes a change durable before anything that waits to be published: the
/// changes of all messages that are taken together are one commit.
fn persist<S: Scheme>(core: &mut Core<S>, change: Change) {
    let is_change = |output: &Output| matches!(output, Output::Persist(_));
    let at = core.outputs.iter().rposition(is_change).map_or(0, |last| last + 1);
    core.outputs.insert(at, Output::Persist(change));
}
