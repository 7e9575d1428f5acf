//! The ceremony that opens an epoch, attempt after attempt: whoever lies or is
//! absent is named, and the next attempt goes on without.

mod attempt;

use std::collections::BTreeMap;
use std::time::Duration;

use aggregation::{GroupError, Scheme};
use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, Rejection, encode};
use crate::id::{Digest, Epoch, MeterId};
use crate::keygen::{self, Ceremony, Conviction, Progress, Registrar, Standing, Step};
use crate::message::{Invited, Roster};
use crate::output::Event;
use crate::record::{Change, Key};
use crate::retry::Retry;
use crate::slot::{Slot, Timestamp};
use crate::topic::CollectorTopic;

use super::Core;

use attempt::{Age, Attempt, after, can_open, invitation, left_out, members};

/// When somebody that is behind is helped, so that others may join in.
const SOON: Duration = Duration::from_secs(1);
/// The shortest time between two helps: each is as long as all dealings.
const RARELY: Duration = Duration::from_secs(10);
pub(super) struct Opening<S: Scheme> {
    epoch: Epoch,
    previous: Digest,
    soon: bool,
    attempt: u32,
    age: Age,
    /// Who is left out of this attempt, and why.
    left_out: BTreeMap<MeterId, Conviction>,
    ceremony: Ceremony<S>,
    step: Step,
    /// When this step began.
    since: Timestamp,
    retry: Retry,
    /// When everybody was last told.
    said: Timestamp,
    /// Whether somebody misses what was passed on before.
    is_behind: bool,
    /// Whether too few are left for the next attempt.
    is_stalled: bool,
}

/// What a collector keeps of a ceremony, to go on with it after a restart.
#[derive(Serialize, Deserialize)]
struct Stored {
    epoch: Epoch,
    soon: bool,
    attempt: u32,
    left_out: BTreeMap<MeterId, Conviction>,
    /// Digest of the attempt's invitation.
    invitation: Digest,
}

impl<S: Scheme> Opening<S> {
    /// Begins the first attempt, or the next one where one has begun `before`
    /// for other terms.
    pub(super) fn begin(
        core: &mut Core<S>,
        registrar: &Registrar,
        next: (Epoch, Digest),
        (soon, before): (bool, Option<Box<Self>>),
        now: Timestamp,
    ) -> Self {
        let attempt = before.map_or(0, |before| after(core, before.attempt));
        let left_out = left_out(core, next.0);
        let age = Age::of_new(core);
        Self::start(core, registrar, next, (soon, (attempt, left_out, age)), now)
    }

    /// Goes on with the attempt that was kept, or with the next one where
    /// other terms hold by now; none if it is another epoch's.
    pub(super) fn resume(
        core: &mut Core<S>,
        registrar: &Registrar,
        (epoch, previous): (Epoch, Digest),
        kept: &[u8],
        now: Timestamp,
    ) -> Option<Self> {
        let kept: Stored = ciborium::from_reader(kept).ok()?;
        if kept.epoch != epoch {
            return None;
        }
        let same = invitation(core, (previous, kept.attempt), &kept.left_out);
        let same = keygen::digest(&core.terms.region, epoch, &same) == kept.invitation;
        let attempt = if same {
            (kept.attempt, kept.left_out, Age::Older)
        } else {
            (after(core, kept.attempt), left_out(core, epoch), Age::of_new(core))
        };
        Some(Self::start(core, registrar, (epoch, previous), (kept.soon, attempt), now))
    }

    fn start(
        core: &mut Core<S>,
        registrar: &Registrar,
        (epoch, previous): (Epoch, Digest),
        (soon, (attempt, left_out, age)): (bool, Attempt),
        now: Timestamp,
    ) -> Self {
        let invitation = invitation(core, (previous, attempt), &left_out);
        let ceremony = Ceremony::open(registrar, &core.terms.region, epoch, invitation);
        let retry = Retry::started(now, &mut core.rng);
        let (step, is_behind, is_stalled) = (Step::Parts, false, false);
        let mut opening = Self {
            epoch,
            previous,
            soon,
            attempt,
            age,
            left_out,
            ceremony,
            step,
            since: now,
            retry,
            said: now,
            is_behind,
            is_stalled,
        };
        opening.keep(core);
        opening.say(core, now);
        opening
    }

    fn keep(&self, core: &mut Core<S>) {
        let kept = Stored {
            epoch: self.epoch,
            soon: self.soon,
            attempt: self.attempt,
            left_out: self.left_out.clone(),
            invitation: self.ceremony.digest(),
        };
        core.persist(Change::Write(Key::ceremony(), encode(&kept).into()));
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the epoch is to begin at the end of a window.
    pub(super) fn is_soon(&self) -> bool {
        self.soon
    }

    /// The roster, once nothing is missing.
    pub(super) fn roster(
        &self,
        first_slot: Slot,
        end_slot: Slot,
    ) -> Option<Result<Roster, GroupError>> {
        if self.is_stalled { None } else { self.ceremony.roster(first_slot, end_slot) }
    }

    /// Begins the next attempt.
    pub(super) fn again(&mut self, core: &mut Core<S>, registrar: &Registrar, now: Timestamp) {
        (self.attempt, self.age) = (after(core, self.attempt), Age::of_new(core));
        let invitation = invitation(core, (self.previous, self.attempt), &self.left_out);
        self.ceremony = Ceremony::open(registrar, &core.terms.region, self.epoch, invitation);
        (self.step, self.since) = (Step::Parts, now);
        (self.is_behind, self.is_stalled) = (false, false);
        self.retry = Retry::started(now, &mut core.rng);
        self.keep(core);
        self.say(core, now);
    }

    /// Says what the candidates need to go on: the invitation, or what is
    /// passed on in this step.
    pub(super) fn say(&mut self, core: &mut Core<S>, now: Timestamp) {
        let invitation = self.ceremony.message().to_vec();
        if self.step == Step::Parts {
            core.publish(&CollectorTopic::Keygen, invitation, true);
        }
        for message in self.ceremony.passed_on(&core.identity, self.is_behind) {
            core.publish(&CollectorTopic::Keygen, message, false);
        }
        (self.is_behind, self.said) = (false, now);
        let (epoch, step, missing) = (self.epoch, self.step, self.ceremony.missing().count());
        core.event(Event::Gathering { epoch, step, missing });
        self.keep_standing(core);
        self.retry.again(now, &mut core.rng);
    }

    /// Keeps how far the ceremony is, for the operator.
    fn keep_standing(&self, core: &mut Core<S>) {
        let left_out = self.left_out.iter().map(|(meter, why)| (meter.clone(), why.to_string()));
        let standing = Standing {
            epoch: self.epoch,
            attempt: self.attempt,
            step: self.step.to_string(),
            missing: self.ceremony.missing().cloned().collect(),
            left_out: left_out.collect(),
        };
        core.persist(Change::Write(Key::standing(), encode(&standing).into()));
    }

    pub(super) fn handle_message(
        &mut self,
        core: &mut Core<S>,
        registrar: &Registrar,
        (envelope, message): (&Envelope, &[u8]),
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if self.is_stalled {
            return Ok(());
        }
        match self.ceremony.take(envelope, message)? {
            Progress::Taken => {}
            Progress::Behind => {
                self.is_behind = true;
                self.retry.bring_forward((now + SOON).max(self.said + RARELY));
            }
            Progress::Convicted(_, _, None) if self.age == Age::Older => {
                // It may have said that to other key parts or dealings. Who lies
                // does so again.
                self.again(core, registrar, now);
                return Ok(());
            }
            Progress::Convicted(meter, conviction, evidence) => {
                if let Some(evidence) = evidence {
                    core.keep_evidence(self.epoch, &evidence);
                }
                self.go_on_without(core, registrar, vec![(meter, conviction)], now);
                return Ok(());
            }
        }
        let step = self.ceremony.step();
        if step != self.step {
            (self.step, self.since, core.is_copy) = (step, now, false);
            self.retry = Retry::started(now, &mut core.rng);
            match step {
                Step::Complete => self.keep_standing(core),
                _ => self.say(core, now),
            }
        }
        Ok(())
    }

    pub(super) fn handle_timeout(
        &mut self,
        (core, latest): (&mut Core<S>, Option<&[u8]>),
        registrar: &Registrar,
        now: Timestamp,
    ) {
        if self.patience_ends(core) <= now {
            self.be_patient_no_more(core, registrar, now);
        } else if !self.is_stalled && self.retry.due() <= now {
            self.say_what_is_missing((core, latest), now);
        }
    }

    /// Dealings are long: they are said again only to whoever shows that it
    /// has missed them. Who has missed the latest roster answers no invitation
    /// and shows nothing.
    fn say_what_is_missing(
        &mut self,
        (core, latest): (&mut Core<S>, Option<&[u8]>),
        now: Timestamp,
    ) {
        if let Some(roster) = latest.filter(|_| self.step == Step::Parts) {
            // The broker keeps the one that was published first.
            core.publish(&CollectorTopic::Roster, roster.to_vec(), false);
        }
        if self.step < Step::Confirmations || self.is_behind {
            self.say(core, now);
        } else {
            self.retry.again(now, &mut core.rng);
        }
    }

    pub(super) fn poll_timeout(&self, core: &Core<S>) -> Timestamp {
        let ends = self.patience_ends(core);
        if self.is_stalled { ends } else { self.retry.due().min(ends) }
    }

    fn patience_ends(&self, core: &Core<S>) -> Timestamp {
        self.since + core.terms.patience
    }

    fn be_patient_no_more(&mut self, core: &mut Core<S>, registrar: &Registrar, now: Timestamp) {
        let step = self.step;
        let absent = self.ceremony.missing().map(|meter| (meter.clone(), Conviction::Absent(step)));
        let absent: Vec<_> = absent.collect();
        self.since = now;
        if !self.is_stalled && self.is_enough(core, &absent) {
            if !absent.is_empty() {
                self.go_on_without(core, registrar, absent, now);
            }
        } else if !self.left_out.is_empty() || core.is_copy || step > Step::Parts {
            // Whoever came back with other key parts has spoilt the dealings of all.
            self.ask_again(core);
            self.again(core, registrar, now);
        }
    }

    /// Too few are left: whoever was absent may be there by now. Who lied is
    /// asked again only if nobody else can take its place.
    fn ask_again(&mut self, core: &Core<S>) {
        self.left_out.retain(|_, conviction| !matches!(conviction, Conviction::Absent(_)));
        if !self.is_enough(core, &[]) {
            self.left_out.clear();
        }
    }

    /// Begins the next attempt without these, if that leaves enough.
    fn go_on_without(
        &mut self,
        core: &mut Core<S>,
        registrar: &Registrar,
        convicted: Vec<(MeterId, Conviction)>,
        now: Timestamp,
    ) {
        self.is_stalled = !self.is_enough(core, &convicted);
        for (meter, conviction) in convicted {
            let epoch = self.epoch;
            core.event(Event::LeftOut { epoch, meter: meter.clone(), conviction });
            self.left_out.insert(meter, conviction);
        }
        if !self.is_stalled {
            self.again(core, registrar, now);
        }
    }

    /// Begins the next attempt without those that have not proved what they
    /// were asked to, if that leaves enough.
    pub(super) fn leave_out(&mut self, core: &mut Core<S>, registrar: &Registrar, now: Timestamp) {
        let unproven = core.left_out().into_iter();
        let unproven: Vec<_> =
            unproven.filter(|(meter, _)| !self.left_out.contains_key(meter)).collect();
        if !unproven.is_empty() && !self.is_stalled && self.is_enough(core, &unproven) {
            self.go_on_without(core, registrar, unproven, now);
        }
    }

    /// Whether those that are left without these can open an epoch.
    fn is_enough(&self, core: &Core<S>, without: &[(MeterId, Conviction)]) -> bool {
        let goes = |member: &&Invited| without.iter().any(|(meter, _)| *meter == member.meter);
        can_open(core, members(core, &self.left_out).filter(|member| !goes(member)).count())
    }
}
