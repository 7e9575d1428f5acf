//! What a collector's records say of the bills of an epoch: each meter's sums
//! by tariff step, what of its slots is not in them, and whether the sum over
//! meters is the sum over slots.

use std::collections::BTreeMap;

use aggregation::{Participant, Scheme};
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::envelope::Envelope;
use crate::id::{Epoch, MeterId, RegionId, Sender};
use crate::listing::{self, Listed};
use crate::message::{Request, Target};
use crate::portion::Portion;
use crate::reading::Register;
use crate::record::{self, Key, Part, Records, Unreadable};
use crate::roster::AcceptedRoster;
use crate::round::Ended;
use crate::slot::{Slot, Timestamp, Window};
use crate::tariff::StepName;

/// The bills of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The region.
    pub region: RegionId,
    /// The epoch.
    pub epoch: Epoch,
    /// Its portions, in order.
    pub portions: Vec<OfPortion>,
}

/// The bills of one tariff step in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfPortion {
    /// The window.
    pub window: Window,
    /// The tariff step.
    pub step: StepName,
    /// When the window begins.
    pub begins: Timestamp,
    /// Slots of the portion.
    pub slots: usize,
    /// Slots that are billed, those of earlier windows included.
    pub billed_slots: usize,
    /// Slots that are withheld.
    pub withheld_slots: usize,
    /// Slots that were asked about with two sets.
    pub void_slots: usize,
    /// Why there are no bills, if there are none.
    pub reason: Option<String>,
    /// One line for each member and register.
    pub lines: Vec<Line>,
    /// The sum over meters beside the sum over slots, by register.
    pub agreements: Vec<Agreement>,
}

/// What is known of a member's register in a portion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The member.
    pub meter: MeterId,
    /// The register.
    pub register: Register,
    /// The sum that was opened, in Wh.
    pub wh: Option<u64>,
    /// Slots that it covers, or would.
    pub slots: usize,
    /// Slots in which the member was not counted: it carries their energy into
    /// later ones.
    pub pooled_slots: usize,
    /// Slots in which it was counted, and that are withheld.
    pub withheld_slots: usize,
    /// Slots of earlier windows that are in the sum.
    pub joined_slots: usize,
    /// What is estimated, in Wh: slots that will be in no sum, at the mean of
    /// the member's own billed slots of this step in the epoch.
    pub estimated_wh: Option<u64>,
    /// Slots that are estimated.
    pub estimated_slots: usize,
}

/// The sum over meters and the sum over slots of the same contributions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// The register.
    pub register: Register,
    /// All bills of the portion, in Wh.
    pub meters_wh: u64,
    /// All region sums of the billed slots, in Wh.
    pub slots_wh: u64,
    /// Members whose bill is missing, and slots whose region sum is: where
    /// there are any, the two cannot be compared.
    pub missing: usize,
}

impl Agreement {
    /// Whether both sums are the same; none where something is missing.
    #[must_use]
    pub fn agrees(&self) -> Option<bool> {
        (self.missing == 0).then_some(self.meters_wh == self.slots_wh)
    }
}

/// Reads the bills of the roster's epoch from a collector's records, as they
/// stand at `now`.
///
/// # Errors
/// The record that is not what was written.
pub fn of<S: Scheme>(
    roster: &AcceptedRoster<S>,
    kept: &Records,
    now: Timestamp,
) -> Result<Report, Unreadable> {
    let mut finals = BTreeMap::new();
    for (listed, _) in listing::kept(roster, kept)? {
        finals.insert(listed.portion(), listed);
    }
    let reader = Reader { roster, kept, finals, now };
    let mut portions = Vec::new();
    for portion in reader.portions() {
        portions.extend(reader.portion(portion)?);
    }
    estimate(&mut portions);
    Ok(Report { region: roster.region().clone(), epoch: roster.epoch(), portions })
}

/// The sums that were opened, in Wh.
type Bills = BTreeMap<(MeterId, Register), u64>;

struct Reader<'a, S: Scheme> {
    roster: &'a AcceptedRoster<S>,
    kept: &'a Records,
    finals: BTreeMap<Portion, Listed>,
    now: Timestamp,
}

impl<S: Scheme> Reader<'_, S> {
    /// Every portion whose window has ended, in order.
    fn portions(&self) -> Vec<Portion> {
        let grid = self.roster.grid();
        let ended = |window: &Window| {
            self.roster.covers(grid.last_slot(*window)) && grid.window_end(*window) <= self.now
        };
        let windows = (0..).map(Window).take_while(ended);
        let steps: Vec<_> = self.roster.parameters().tariff.ids().collect();
        windows
            .flat_map(|window| steps.iter().map(move |step| Portion { window, step: *step }))
            .collect()
    }

    fn portion(&self, portion: Portion) -> Result<Option<OfPortion>, Unreadable> {
        let slots = listing::slots_of(self.roster, portion);
        let step = self.roster.parameters().tariff.name(portion.step);
        let (Some(step), false) = (step, slots.is_empty()) else { return Ok(None) };
        let listed = self.finals.get(&portion);
        let (bills, reason) = self.bills(portion)?;
        let void = slots.iter().filter(|slot| listed.is_some_and(|listed| listed.is_void(**slot)));
        let mut of = OfPortion {
            window: portion.window,
            step: step.clone(),
            begins: self.roster.grid().start(self.roster.grid().first_slot(portion.window)),
            slots: slots.len(),
            billed_slots: listed.map_or(0, |listed| listed.open().len()),
            withheld_slots: listed.map_or(0, |listed| listed.withheld().len()),
            void_slots: void.count(),
            reason,
            lines: Vec::new(),
            agreements: Vec::new(),
        };
        for register in &self.roster.parameters().registers {
            let first = of.lines.len();
            let members = self.roster.participants();
            of.lines.extend(members.map(|(at, meter)| {
                let wh = bills.get(&(meter.clone(), *register)).copied();
                self.line((meter, at), *register, (portion, wh), &slots)
            }));
            let lines = of.lines.get(first..).unwrap_or_default();
            of.agreements.extend(self.agreement(*register, listed, lines)?);
        }
        Ok(Some(of))
    }

    fn line(
        &self,
        (meter, at): (&MeterId, Participant),
        register: Register,
        (portion, wh): (Portion, Option<u64>),
        slots: &[Slot],
    ) -> Line {
        let listed = self.finals.get(&portion);
        let billed = listed.map(|listed| listed.billed(at)).unwrap_or_default();
        let withheld = listed.map(Listed::withheld).unwrap_or_default();
        let withheld = withheld.values().filter(|set| set.contains(at)).count();
        let uncounted = slots.iter().filter(|slot| {
            listed.is_some_and(|listed| !listed.is_void(**slot) && !listed.is_counted(**slot, at))
        });
        let joined = billed.iter().filter(|slot| !slots.contains(slot)).count();
        let mut line = Line {
            meter: meter.clone(),
            register,
            wh,
            slots: billed.len(),
            pooled_slots: uncounted.count(),
            withheld_slots: withheld,
            joined_slots: joined,
            estimated_wh: None,
            estimated_slots: 0,
        };
        line.estimated_slots = self.never_billed(portion, &line, slots.len());
        line
    }

    /// Slots of a member that will be in no bill: all of a portion without a
    /// final listing, unclaimed ones, and what an epoch's end leaves withheld.
    fn never_billed(&self, portion: Portion, line: &Line, slots: usize) -> usize {
        if self.roster.window_deadline(portion.window) >= self.now {
            return 0;
        }
        if !self.finals.contains_key(&portion) {
            return slots;
        }
        let next = Portion { window: portion.window.plus(1), ..portion };
        let is_last = !self.roster.covers(self.roster.grid().last_slot(next.window));
        let joins =
            self.finals.contains_key(&next) || self.roster.window_deadline(next.window) >= self.now;
        let withheld = if joins && !is_last { 0 } else { line.withheld_slots };
        withheld + if line.wh.is_none() { line.slots } else { 0 }
    }

    /// The opened bills of a portion, or why there are none.
    fn bills(&self, portion: Portion) -> Result<(Bills, Option<String>), Unreadable> {
        let mut bills = Bills::new();
        match self.end(Target::Bill(portion))? {
            Some(Ended::Combined(end)) => {
                let registers = &self.roster.parameters().registers;
                let owners = self.owners(portion)?;
                let sums =
                    owners.iter().flat_map(|owner| registers.iter().map(move |r| (owner, *r)));
                for ((owner, register), wh) in sums.zip(end.values) {
                    bills.insert((owner.clone(), register), wh);
                }
                Ok((bills, None))
            }
            Some(Ended::Abandoned(end)) => Ok((bills, Some(end.reason))),
            None => Ok((bills, Some("not opened yet".to_owned()))),
        }
    }

    /// The owners of the claims that were asked about, in order.
    fn owners(&self, portion: Portion) -> Result<Vec<MeterId>, Unreadable> {
        let key = Key::round(self.roster.epoch(), Target::Bill(portion), &Part::Request);
        let request = self.kept.get(&key).and_then(|bytes| Envelope::parse(bytes).ok());
        let request: Option<Request> = request.and_then(|envelope| envelope.peek().ok());
        let Some(Request::Bill(_, claims)) = request else { return Err(Unreadable::from(&key)) };
        let owner = |claim: &ByteBuf| match Envelope::parse(claim) {
            Ok(envelope) => match &envelope.header().sender {
                Sender::Meter(meter) => Ok(meter.clone()),
                _ => Err(Unreadable::from(&key)),
            },
            Err(_) => Err(Unreadable::from(&key)),
        };
        claims.iter().map(owner).collect()
    }

    /// How a round ended.
    fn end(&self, target: Target) -> Result<Option<Ended>, Unreadable> {
        let key = Key::round(self.roster.epoch(), target, &Part::End);
        self.kept.get(&key).map(|bytes| record::read(&key, bytes)).transpose()
    }

    /// Compares what the meters were billed with the sums of the billed slots.
    fn agreement(
        &self,
        register: Register,
        listed: Option<&Listed>,
        lines: &[Line],
    ) -> Result<Option<Agreement>, Unreadable> {
        let Some(listed) = listed else { return Ok(None) };
        let registers = &self.roster.parameters().registers;
        let at = registers.iter().position(|found| *found == register).unwrap_or_default();
        let (mut slots_wh, mut missing) = (0_u64, 0);
        for slot in listed.open() {
            match self.end(Target::Region(*slot))? {
                Some(Ended::Combined(end)) => {
                    slots_wh += end.values.get(at).copied().unwrap_or_default();
                }
                _ => missing += 1,
            }
        }
        missing += lines.iter().filter(|line| line.slots > 0 && line.wh.is_none()).count();
        let meters_wh = lines.iter().filter_map(|line| line.wh).sum();
        Ok(Some(Agreement { register, meters_wh, slots_wh, missing }))
    }
}

/// Estimates slots that are in no bill, by what the same member was billed for
/// in the same step.
fn estimate(portions: &mut [OfPortion]) {
    let mut billed: BTreeMap<(StepName, MeterId, Register), (u64, u64)> = BTreeMap::new();
    let place = |step: &StepName, line: &Line| (step.clone(), line.meter.clone(), line.register);
    for of in portions.iter() {
        for line in &of.lines {
            if let Some(wh) = line.wh {
                let (sum, slots) = billed.entry(place(&of.step, line)).or_default();
                *sum += wh;
                *slots += line.slots as u64;
            }
        }
    }
    for of in portions {
        for line in of.lines.iter_mut().filter(|line| line.estimated_slots > 0) {
            let known = billed.get(&place(&of.step, line)).filter(|(_, slots)| *slots > 0);
            line.estimated_wh = known.map(|(sum, slots)| sum * line.estimated_slots as u64 / slots);
        }
    }
}
