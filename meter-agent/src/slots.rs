//! From the source into the meter: each slot once, in order, as a reading or in
//! a gap.
//!
//! A gap reaches from where the meter was given energy last to the next slot
//! at whose start the energy is known: the agent was down, or the source did
//! not tell enough.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use aggregation::Scheme;
use anyhow::Context as _;
use protocol::meter::{Measured, Meter, Stands};
use protocol::slot::{Grid, Slot, Timestamp};

use crate::source::p1::{P1, Since};
use crate::source::{Answer, Quantities, ReadError, Source, SourceConfig};

/// A source with its place on the slot grid.
pub struct Slots {
    config: SourceConfig,
    source: Source,
    slot_seconds: NonZeroU32,
    next: Option<Slot>,
    /// When to ask again for what the meter has not told yet.
    ask_again: Option<Timestamp>,
    failed: u64,
    /// Why the latest slot has no reading.
    unread: Option<ReadError>,
    /// Registers that did not go on across a gap.
    unknown: u64,
}

impl Slots {
    /// Opens the source that `config` describes, for slots of so many seconds
    /// until an epoch says how long they are.
    ///
    /// # Errors
    /// Where the source is of no use.
    pub fn open(config: &SourceConfig, slot_seconds: u32) -> anyhow::Result<Self> {
        let slot_seconds = NonZeroU32::new(slot_seconds).context("slot_seconds = 0")?;
        let source = Source::open(config, slot_seconds).context("source")?;
        Ok(Self::of((config.clone(), source), slot_seconds))
    }

    /// The slots of a source that is open already.
    #[must_use]
    pub fn of((config, source): (SourceConfig, Source), slot_seconds: NonZeroU32) -> Self {
        let (next, ask_again) = (None, None);
        let (unread, unknown) = (None, 0);
        Self { config, source, slot_seconds, next, ask_again, failed: 0, unread, unknown }
    }

    /// Hands all slots that have ended to the meter, and before each what was
    /// measured and not handed in.
    ///
    /// # Errors
    /// Where the source cannot be opened for slots of the epoch's length.
    pub fn hand_in<S: Scheme>(
        &mut self,
        meter: &mut Meter<S>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        self.source.handle_timeout(now);
        let Some(grid) = meter.grid() else { return Ok(()) };
        self.begin(&grid, now)?;
        while let Some((slot, read)) = self.read_next(&grid, now) {
            self.fill_gap(meter, &grid, slot);
            match read {
                Ok(energy) => {
                    let stands = self.source.stands(grid.end(slot));
                    let measured = Measured { energy: &energy, stands: stands.as_ref() };
                    meter.handle_reading(slot, measured, now);
                }
                Err(error) => tracing::warn!(%slot, "no reading: {error}"),
            }
        }
        // Not only when it ends: the agent may start again before.
        if let Some(running) = self.next.filter(|running| grid.start(*running) <= now) {
            self.fill_gap(meter, &grid, running);
        }
        Ok(())
    }

    /// Waits for the source to tell something.
    pub async fn arrival(&mut self) {
        self.source.arrival().await;
    }

    /// When [`Self::hand_in`] is due.
    #[must_use]
    pub fn poll_timeout(&self, grid: Option<&Grid>) -> Option<Timestamp> {
        let end = grid.zip(self.next).map(|(grid, slot)| self.ask_again.unwrap_or(grid.end(slot)));
        end.into_iter().chain(self.source.poll_timeout()).min()
    }

    /// What to write beside every number that comes from the source.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.source.label()
    }

    /// Why readings are missing, if they are; never what a reading is.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        if self.source.is_silent() {
            return Some("the meter is silent".to_owned());
        }
        self.unread.as_ref().map(|error| format!("the latest slot has no reading: {error}"))
    }

    /// How often what happened, for the reports of state.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = self.source.counters();
        counters.insert("source-failed".to_owned(), self.failed);
        counters.insert("gap-unknown".to_owned(), self.unknown);
        counters
    }

    /// Takes its place on the grid: the slot that runs now comes first.
    fn begin(&mut self, grid: &Grid, now: Timestamp) -> anyhow::Result<()> {
        if self.next.is_none() {
            if grid.slot_seconds != self.slot_seconds {
                self.source = Source::open(&self.config, grid.slot_seconds).context("source")?;
                self.slot_seconds = grid.slot_seconds;
            }
            self.next = Some(grid.slot_at(now).max(grid.origin));
        }
        Ok(())
    }

    fn read_next(
        &mut self,
        grid: &Grid,
        now: Timestamp,
    ) -> Option<(Slot, Result<Quantities, ReadError>)> {
        let slot = self.next.filter(|slot| grid.end(*slot) <= now)?;
        let read = match self.source.read(grid, slot, now) {
            Ok(Answer::Pending(until)) => {
                self.ask_again = Some(until);
                return None;
            }
            Ok(Answer::Ready(quantities)) => Ok(quantities),
            Err(error) => Err(error),
        };
        (self.next, self.ask_again) = (Some(slot.plus(1)), None);
        self.failed += u64::from(read.is_err());
        self.unread = read.as_ref().err().cloned();
        Some((slot, read))
    }

    /// Hands in what was measured before a slot and not handed in, as far as
    /// it is known.
    fn fill_gap<S: Scheme>(&mut self, meter: &mut Meter<S>, grid: &Grid, slot: Slot) {
        let until = meter.measured_until();
        if until.is_some_and(|until| until >= grid.start(slot)) || !meter.takes_part(slot) {
            return;
        }
        match &mut self.source {
            Source::P1(port) => self.unknown += give_difference(meter, port, (grid, slot)),
            source => recall(meter, source, (grid, slot)),
        }
    }
}

/// Gives what registers counted up to a slot, once they have told what they
/// showed at its start; how many of them do not go on.
fn give_difference<S: Scheme>(meter: &mut Meter<S>, port: &P1, (grid, slot): (&Grid, Slot)) -> u64 {
    let start = grid.start(slot);
    let Some(until) = meter.measured_until() else {
        // The first gap begins here.
        if let Some(stands) = port.stands(start) {
            let measured = Measured { energy: &Quantities::new(), stands: Some(&stands) };
            meter.handle_gap((slot, slot), measured);
        }
        return 0;
    };
    let nothing = Stands::new();
    let kept = (until, meter.stands().unwrap_or(&nothing));
    let Some(Since { energy, stands, broken }) = port.since(kept, start) else { return 0 };
    for why in &broken {
        tracing::warn!(%slot, "what was used before is not known and cannot be carried: {why}");
    }
    let measured = Measured { energy: &energy, stands: Some(&stands) };
    meter.handle_gap((first_after(grid, until), slot), measured);
    u64::try_from(broken.len()).unwrap_or(u64::MAX)
}

/// Gives what a source that can be asked for any slot counted up to one, for
/// each run of slots in which the meter takes part.
fn recall<S: Scheme>(meter: &mut Meter<S>, source: &mut Source, (grid, slot): (&Grid, Slot)) {
    let until = meter.measured_until().map(|until| first_after(grid, until));
    let first = until.map_or(grid.origin, |first| first.max(grid.origin));
    let slots: Vec<_> =
        (first.0..slot.0).map(Slot).filter(|slot| meter.takes_part(*slot)).collect();
    for run in slots.chunk_by(|a, b| a.plus(1) == *b) {
        let energy = read_all(source, grid, run);
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            meter.handle_gap((*first, last.plus(1)), &energy);
        }
    }
}

/// What a source counted in slots together; those that it has no reading of
/// add nothing.
fn read_all(source: &mut Source, grid: &Grid, slots: &[Slot]) -> Quantities {
    let mut energy = Quantities::new();
    for slot in slots {
        let Ok(Answer::Ready(read)) = source.read(grid, *slot, grid.end(*slot)) else { continue };
        for (register, wh) in read {
            *energy.entry(register).or_default() += wh;
        }
    }
    energy
}

/// The first slot that does not begin before an instant.
fn first_after(grid: &Grid, until: Timestamp) -> Slot {
    let slot = grid.slot_at(until);
    slot.plus(u64::from(grid.start(slot) < until))
}
