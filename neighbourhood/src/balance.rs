//! Whether every Wh is where it has to be: all that the meters measured is in
//! a region sum, or waits, or was given up.

use std::collections::BTreeMap;

use aggregation::{ElGamal, Participant};
use anyhow::Context as _;
use host::clock;
use meter_agent::Config;
use protocol::id::MeterId;
use protocol::listing::Listed;
use protocol::message::{Outcome, Roster, Subject};
use protocol::meter::Meter;
use protocol::reading::Register;
use protocol::slot::{Grid, Slot};

use crate::household::{Agent, Household};
use crate::truth::Truth;

/// The energy of all meters and registers together, in Wh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// What the meters measured.
    pub(crate) measured_wh: u64,
    /// What the sums of listed slots count.
    pub(crate) counted_wh: u64,
    /// What no final listing settled yet.
    pub(crate) unsettled_wh: u64,
    /// What waits to be carried.
    pub(crate) pooled_wh: u64,
    /// What is given up.
    pub(crate) lost_wh: u64,
    /// Listed slots whose sum was not opened: with any, nothing is known.
    pub(crate) unopened: usize,
}

impl Balance {
    /// Whether no Wh is lost or counted twice.
    pub(crate) fn is_even(&self) -> bool {
        let found = self.counted_wh + self.unsettled_wh + self.pooled_wh + self.lost_wh;
        self.unopened > 0 || found == self.measured_wh
    }
}

/// All that was published about slots, within the run and after it.
#[derive(Default)]
pub(crate) struct Books {
    sums: BTreeMap<(Register, Slot), u64>,
    /// Who was counted where, by the final listings.
    counted: BTreeMap<Slot, Vec<MeterId>>,
}

impl Books {
    pub(crate) fn note_result(&mut self, outcome: &Outcome) {
        if let Subject::Region(_) = outcome.subject {
            self.sums.insert((outcome.register, outcome.first_slot), outcome.sum_wh);
        }
    }

    pub(crate) fn note_listed(&mut self, roster: &Roster, listed: &Listed) {
        for slot in listed.slots() {
            let members = (0..).map(Participant).zip(&roster.members);
            let counted = members.filter(|(of, _)| listed.is_counted(*slot, *of));
            let counted = counted.map(|(_, member)| member.meter.clone()).collect();
            self.counted.insert(*slot, counted);
        }
    }

    /// Weighs what the stopped agents keep.
    pub(crate) fn weigh(
        &self,
        household: &Household,
        truth: &mut Truth,
        (grid, registers): (&Grid, &[Register]),
    ) -> anyhow::Result<Balance> {
        let mut balance = Balance::default();
        for (slot, counted) in &self.counted {
            for register in registers.iter().filter(|_| !counted.is_empty()) {
                match self.sums.get(&(*register, *slot)) {
                    Some(sum) => balance.counted_wh += sum,
                    None => balance.unopened += 1,
                }
            }
        }
        for agent in &household.agents {
            let one = self.weigh_one(agent, truth, (grid, registers))?;
            balance.measured_wh += one.measured_wh;
            balance.unsettled_wh += one.unsettled_wh;
            balance.pooled_wh += one.pooled_wh;
            balance.lost_wh += one.lost_wh;
        }
        Ok(balance)
    }

    /// Weighs what a stopped agent keeps; what is counted of it, it does not
    /// keep.
    pub(crate) fn weigh_one(
        &self,
        agent: &Agent,
        truth: &mut Truth,
        (grid, registers): (&Grid, &[Register]),
    ) -> anyhow::Result<Balance> {
        let mut balance = Balance::default();
        let meter = meter(&agent.config).with_context(|| agent.meter.to_string())?;
        let Some(until) = meter.measured_until() else { return Ok(balance) };
        for register in registers {
            let end = grid.slot_at(until);
            balance.measured_wh += truth.measured(&agent.meter, end, *register);
            let left = meter.uncounted().get(register).copied().unwrap_or_default();
            let known = self.counted_unknown(&agent.meter, &meter, *register);
            balance.unsettled_wh += left.unsettled_wh.saturating_sub(known);
            balance.pooled_wh += left.pooled_wh;
            balance.lost_wh += left.lost_wh;
        }
        Ok(balance)
    }

    /// What a meter's contributions hold that are counted, as far as it does
    /// not know that yet.
    fn counted_unknown(&self, id: &MeterId, meter: &Meter<ElGamal>, register: Register) -> u64 {
        let counted = self.counted.iter().filter(|(_, members)| members.contains(id));
        let holds = counted.filter_map(|(slot, _)| meter.contents(*slot)?.get(&register));
        holds.sum()
    }
}

/// A stopped agent's machine, as its files have it.
fn meter(config: &std::path::Path) -> anyhow::Result<Meter<ElGamal>> {
    let config = Config::load(config)?;
    let mut rng = clock::generator()?;
    let identity = config.identity(&mut rng)?;
    let records = meter_agent::sent::records(&config)?;
    Ok(Meter::new(config.terms(), identity, &records, rng, clock::now())?)
}
