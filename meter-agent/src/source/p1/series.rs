//! Slot energy from cumulative registers.
//!
//! A stand at a slot's boundary is known from two telegrams of the same run,
//! both within 60 s of it, and a slot's energy is the difference of the stands
//! at its ends. Stands are rounded down once, where they are made, so that the
//! slots between two boundaries sum to the difference of their stands to the
//! Wh. Telegrams are placed in time by the agent's clock alone.
//!
//! A telegram that does not fit waits. If the next one fits the run, it was an
//! error and is dropped; if the next one fits it instead, a new run begins with
//! it, and no slot reaches from the one to the other. So a meter may be
//! swapped or reset, and one bad telegram costs nothing.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use protocol::meter::Stands;
use protocol::reading::Register;
use protocol::slot::{Grid, Slot, Timestamp};
use thiserror::Error;

use super::super::Quantities;
use super::mark::{Mark, Since};
use super::run::{Misfit, NEAR, Rating, Run};
use super::stamp::Stamp;
use super::telegram::{Serial, Stand, Telegram};

/// Boundaries that are remembered until their slots are asked for: ten days of
/// slots of 15 minutes.
pub const MAX_MARKS: usize = 1_024;

/// Events that wait to be told, at most.
const MAX_EVENTS: usize = 16;

/// How far the clocks of meter and agent may be apart.
const APART: Duration = Duration::from_mins(5);

/// What a series is told.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Length of a slot in milliseconds, at least 1.
    pub slot_ms: u64,
    /// The most that the connection carries, in W of the agent's time.
    pub rating_w: u64,
    /// How long no telegram may come before it is an alarm.
    pub silence: Duration,
    /// Whether the meter's clock should show the agent's time.
    pub compare_clocks: bool,
}

/// What a slot's energy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By register; a register that the meter does not have is absent.
    Ready(Quantities),
    /// Not known before the next telegram, and never if none comes by then.
    Pending(Timestamp),
    /// It will never be known. The registers' difference keeps it.
    LeftOut(LeftOut),
}

/// Why a slot has no reading.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LeftOut {
    /// The agent has not seen the beginning.
    #[error("no telegram had come when it began")]
    NotSeen,
    /// No two telegrams around the beginning.
    #[error("no telegrams within {} s of its beginning", NEAR.as_secs())]
    Beginning,
    /// No two telegrams around the end.
    #[error("no telegrams within {} s of its end", NEAR.as_secs())]
    End,
    /// The meter was swapped or reset, or a clock was set.
    #[error("a new series began in it")]
    NewSeries,
    /// A register was not in the telegrams around a boundary.
    #[error("the {0} register was missing at its beginning or end")]
    Register(Register),
}

/// What a person should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A telegram was set aside.
    SetAside(Misfit),
    /// The next telegram confirmed it: the registers begin anew.
    NewSeries(Misfit),
    /// The agent's clock went back: the registers begin anew.
    ClockBack,
    /// The clocks of meter and agent are more than 5 minutes apart.
    ClocksApart,
    /// They no longer are.
    ClocksAgree,
    /// No telegram for as long as the configuration allows.
    Silent,
    /// Telegrams again, after so long.
    Heard(Duration),
}

/// One meter's telegrams as energy in slots.
pub struct Series {
    terms: Terms,
    rating: Rating,
    run: Option<Run>,
    /// A telegram that does not fit, until the next one.
    aside: Option<(Run, Misfit)>,
    /// How many runs there were.
    runs: u64,
    /// When the first telegram came.
    first: Option<Timestamp>,
    marks: BTreeMap<Timestamp, Mark>,
    /// When the last telegram was counted.
    heard: Timestamp,
    silent: bool,
    apart: bool,
    events: VecDeque<Event>,
}

impl Series {
    /// A series that has seen no telegram.
    #[must_use]
    pub fn new(terms: Terms, now: Timestamp) -> Self {
        Self {
            terms,
            rating: Rating { watts: terms.rating_w },
            run: None,
            aside: None,
            runs: 0,
            first: None,
            marks: BTreeMap::new(),
            heard: now,
            silent: false,
            apart: false,
            events: VecDeque::new(),
        }
    }

    /// Takes a telegram that came at `now`.
    pub fn handle_telegram(&mut self, telegram: &Telegram, now: Timestamp) {
        let now = self.not_before_the_last(now);
        let Some(run) = &self.run else {
            self.begin(Run::begin(telegram, now, self.rating));
            return self.hear(telegram, now);
        };
        let aside = self.aside.as_ref().map(|(run, _)| run);
        if [Some(run), aside].into_iter().flatten().any(|run| run.is_repeated_by(telegram)) {
            return;
        }
        match run.misfit(telegram, now, self.rating) {
            None => {
                self.aside = None;
                self.advance(telegram, now);
                self.hear(telegram, now);
            }
            Some(misfit) => self.set_aside(telegram, now, misfit),
        }
    }

    /// Notices silence.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        // A clock that was set back does not put the alarm off.
        self.heard = self.heard.min(now);
        if !self.silent && now.since(self.heard) >= self.terms.silence {
            self.silent = true;
            self.tell(Event::Silent);
        }
    }

    /// When [`Self::handle_timeout`] is due; none while it is silent already.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        (!self.silent).then(|| self.heard + self.terms.silence)
    }

    /// What a person should know next. To be asked until there is none after
    /// each call of a `handle_` function.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether no telegram has come for too long.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// The energy of a slot.
    #[must_use]
    pub fn read(&self, grid: &Grid, slot: Slot, now: Timestamp) -> Answer {
        let (start, end) = (grid.start(slot), grid.end(slot));
        match (self.marks.get(&start), self.marks.get(&end)) {
            (Some(first), Some(last)) => first.difference(last),
            (_, None) if now < end => Answer::Pending(end),
            (None, _) if self.may_mark(start, now) => Answer::Pending(after_near(start)),
            (Some(_), None) if self.may_mark(end, now) => Answer::Pending(after_near(end)),
            (Some(_), None) => Answer::LeftOut(LeftOut::End),
            (None, _) if self.first.is_some_and(|first| first <= start) => {
                Answer::LeftOut(LeftOut::Beginning)
            }
            (None, _) => Answer::LeftOut(LeftOut::NotSeen),
        }
    }

    /// What the registers showed at a boundary, if all of them were seen there.
    #[must_use]
    pub fn stands(&self, boundary: Timestamp) -> Option<Stands> {
        self.marks.get(&boundary)?.kept()
    }

    /// What the registers counted up to a boundary since they showed what was
    /// kept at an instant before it; none where [`Self::stands`] has none.
    #[must_use]
    pub fn since(&self, (at, kept): (Timestamp, &Stands), boundary: Timestamp) -> Option<Since> {
        Some(Since::of(at, kept, (boundary, self.stands(boundary)?), self.rating))
    }

    /// Puts a telegram that comes a little before the last one, as clocks are
    /// corrected, beside it. Where the clock was set back further, nothing that
    /// was placed by it is left.
    fn not_before_the_last(&mut self, now: Timestamp) -> Timestamp {
        let aside = self.aside.as_ref().map(|(run, _)| run.at());
        let Some(last) = self.run.as_ref().map(Run::at).max(aside) else { return now };
        if last.since(now) <= NEAR {
            return now.max(last);
        }
        self.run = None;
        self.aside = None;
        self.first = None;
        self.marks.split_off(&now);
        self.tell(Event::ClockBack);
        now
    }

    fn begin(&mut self, run: Run) {
        self.runs += 1;
        self.first = self.first.or(Some(run.at()));
        if run.at().0.is_multiple_of(self.terms.slot_ms) {
            self.mark(run.at(), run.meter().clone(), run.stands());
        }
        self.run = Some(run);
    }

    fn advance(&mut self, telegram: &Telegram, now: Timestamp) {
        let Some(run) = &mut self.run else { return };
        let boundaries = boundaries(run.at(), now, self.terms.slot_ms);
        let stands = |at| (at, run.stands_between(at, telegram, now));
        let marks: Vec<_> = boundaries.map(stands).collect();
        run.advance(telegram, now, self.rating);
        let meter = run.meter().clone();
        for (boundary, stands) in marks {
            self.mark(boundary, meter.clone(), stands);
        }
    }

    fn set_aside(&mut self, telegram: &Telegram, now: Timestamp, misfit: Misfit) {
        let (aside, reason) = match self.aside.take() {
            Some((run, reason)) if run.misfit(telegram, now, self.rating).is_none() => {
                (run, reason)
            }
            _ => {
                self.aside = Some((Run::begin(telegram, now, self.rating), misfit));
                return self.tell(Event::SetAside(misfit));
            }
        };
        self.begin(aside);
        self.advance(telegram, now);
        self.tell(Event::NewSeries(reason));
        self.hear(telegram, now);
    }

    fn hear(&mut self, telegram: &Telegram, now: Timestamp) {
        if self.silent {
            self.silent = false;
            self.tell(Event::Heard(now.since(self.heard)));
        }
        self.heard = now;
        let meter = telegram.stamp.and_then(Stamp::instant);
        let Some(meter) = meter.filter(|_| self.terms.compare_clocks) else { return };
        let apart = now.since(meter).max(meter.since(now)) > APART;
        if apart != self.apart {
            self.apart = apart;
            self.tell(if apart { Event::ClocksApart } else { Event::ClocksAgree });
        }
    }

    fn mark(
        &mut self,
        boundary: Timestamp,
        meter: Serial,
        stands: BTreeMap<Register, Option<Stand>>,
    ) {
        self.marks.insert(boundary, Mark { run: self.runs, meter, stands });
        if self.marks.len() > MAX_MARKS {
            self.marks.pop_first();
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    /// Whether a telegram that is still to come can mark `boundary`.
    fn may_mark(&self, boundary: Timestamp, now: Timestamp) -> bool {
        let last = self.run.as_ref().map(Run::at);
        let in_reach = |last| last < boundary && boundary.since(last) <= NEAR;
        now <= boundary + NEAR && last.is_some_and(in_reach)
    }
}

/// The slots' boundaries after `last` and not after `next`, near to both.
fn boundaries(
    last: Timestamp,
    next: Timestamp,
    slot_ms: u64,
) -> impl Iterator<Item = Timestamp> + use<> {
    let first = last.0.max((next - NEAR).0.saturating_sub(1)) / slot_ms + 1;
    let end = next.min(last + NEAR);
    (first..=end.0 / slot_ms).map(move |slot| Timestamp(slot.saturating_mul(slot_ms)))
}

/// The first instant that is too far after `boundary`.
fn after_near(boundary: Timestamp) -> Timestamp {
    boundary + NEAR + Duration::from_millis(1)
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetAside(misfit) => write!(f, "a telegram is not counted: {misfit}"),
            Self::NewSeries(misfit) => write!(f, "a new series begins: {misfit}"),
            Self::ClockBack => f.write_str("a new series begins: this machine's clock went back"),
            Self::ClocksApart => write!(
                f,
                "the meter's clock and this machine's are more than {} s apart",
                APART.as_secs()
            ),
            Self::ClocksAgree => f.write_str("the meter's clock and this machine's agree again"),
            Self::Silent => f.write_str("the meter is silent"),
            Self::Heard(after) => write!(f, "the meter sends again after {} s", after.as_secs()),
        }
    }
}
