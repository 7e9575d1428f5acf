//! What has become of a household's energy, read from what its agent keeps: in
//! which sums and claims it is, and what waits to be carried.
//!
//! It holds energy in Wh, for the household's own terminal and nobody else.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Participant, Scheme};
use serde::Serialize;
use zeroize::Zeroize;

use crate::id::{Epoch, RegionId};
use crate::listing::{self, Listed};
use crate::meter::{Gap, Pool, Quantities, Standing, StoredSent, Terms, pool_of, standings};
use crate::portion::Portion;
use crate::reading::Register;
use crate::record::{self, Key, Records, Sort, Unreadable};
use crate::roster::AcceptedRoster;
use crate::slot::{Grid, Slot, Window};
use crate::tariff::{StepId, StepName};

/// What has become of a household's energy. It has no Debug: no energy reaches
/// a log.
pub struct Account {
    /// The epochs of which sums may still be opened.
    pub epochs: Vec<OfEpoch>,
    /// Energy that is in no sum, by register and step.
    pub pools: Vec<OfPool>,
}

/// An epoch that the household takes part in.
pub struct OfEpoch {
    /// The region.
    pub region: RegionId,
    /// The epoch.
    pub epoch: Epoch,
    /// Slots that a bill has at least.
    pub min_slots: u16,
    /// The tariff steps, in their order.
    pub steps: Vec<OfStep>,
    /// What was measured where nothing was contributed, and is not settled.
    pub gaps: Vec<OfGap>,
    /// How the epoch's time is cut.
    pub grid: Grid,
}

/// What has become of a household's contributions in a tariff step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfStep {
    /// The step.
    pub step: StepName,
    /// The window of its latest final listing.
    pub listed: Option<Window>,
    /// Contributions, as far as they are kept.
    #[serde(flatten)]
    pub slots: Slots,
    /// Why some of them are withheld by the latest final listing.
    pub withholding: Option<Withholding>,
}

/// How many slots a household contributed to, and what became of them: each is
/// one of those that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// All of them.
    pub contributed: u32,
    /// No final listing of them was seen.
    pub unsettled: u32,
    /// Counted, and in this household's claim.
    pub claimed: u32,
    /// Counted and open to be billed, and in no claim.
    pub unclaimed: u32,
    /// Counted, and withheld from all bills.
    pub withheld: u32,
    /// Not counted: their energy went into the pools.
    pub pooled: u32,
    /// Void: their energy is given up.
    pub void: u32,
}

/// Why slots are withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Withholding {
    /// The reason.
    #[serde(flatten)]
    pub why: Why,
    /// Whether a listing of the epoch follows, which they join.
    pub joins_next: bool,
}

/// What withholds slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "lowercase")]
pub enum Why {
    /// The household is counted in fewer slots than a bill takes.
    Own {
        /// Slots that it is counted in.
        counted: u32,
    },
    /// Members that are counted beside it are counted in fewer slots.
    Others {
        /// How many members.
        members: u32,
    },
    /// Too few other slots have as many members in common with them.
    Partners,
}

/// Slots in a row to which a household contributed nothing.
pub struct OfGap {
    /// The first of them.
    pub first: Slot,
    /// The first slot after them.
    pub end: Slot,
    /// What was measured in them, in Wh together.
    pub energy: Quantities,
    /// Window and step of the final listings that it waits for.
    pub waits_for: Vec<(Window, StepName)>,
}

impl Drop for OfGap {
    fn drop(&mut self) {
        self.energy.values_mut().for_each(Zeroize::zeroize);
    }
}

/// Energy of a register and tariff step that is in no sum.
#[derive(Clone, PartialEq, Eq)]
pub struct OfPool {
    /// The register.
    pub register: Register,
    /// The step.
    pub step: StepName,
    /// Slots whose energy waits until there are enough of them.
    pub waiting_slots: u32,
    /// Their energy in Wh.
    pub waiting_wh: u64,
    /// Energy in Wh that goes into the next contributions.
    pub carried_wh: u64,
    /// Slots whose energy is given up: void, counted after all, or never
    /// settled.
    pub lost_slots: u32,
    /// Their energy in Wh.
    pub lost_wh: u64,
}

impl Drop for OfPool {
    fn drop(&mut self) {
        self.waiting_wh.zeroize();
        self.carried_wh.zeroize();
        self.lost_wh.zeroize();
    }
}

/// What has become of the energy of the meter that kept these records.
///
/// # Errors
/// The record that is not what was written.
pub fn of<S: Scheme>(kept: &Records, terms: &Terms) -> Result<Account, Unreadable> {
    let mut rosters = Vec::new();
    for (key, bytes) in kept.of(Sort::Roster) {
        let roster = AcceptedRoster::<S>::open(bytes, &terms.region, &terms.registrar);
        rosters.push(roster.map_err(|_| key)?);
    }
    AcceptedRoster::end_in_turn(&mut rosters);
    let mut epochs = Vec::new();
    for roster in &rosters {
        let is_open = kept.get(&Key::key_share(roster.epoch())).is_some();
        if let Some((own, _)) = roster.member(&terms.meter).filter(|_| is_open) {
            epochs.push(of_epoch(kept, roster, own)?);
        }
    }
    let pools = kept.of(Sort::Pool).map(of_pool).collect::<Result<_, _>>()?;
    Ok(Account { epochs, pools })
}

fn of_epoch<S: Scheme>(
    kept: &Records,
    roster: &AcceptedRoster<S>,
    own: Participant,
) -> Result<OfEpoch, Unreadable> {
    let finals = listing::known(roster, kept)?;
    let settled = standings(kept, roster.epoch())?;
    let settled: BTreeMap<_, _> = settled.into_values().flatten().collect();
    let mut sent = Vec::new();
    for (key, bytes) in kept.within(Sort::Sent, roster.epoch()) {
        let stored: StoredSent = record::read(key, bytes)?;
        let slot = Slot(key.position);
        sent.push((slot, settled.get(&slot).copied().unwrap_or(stored.standing)));
    }
    let gaps = kept.within(Sort::Gap, roster.epoch()).map(|record| of_gap(roster, record));
    let tariff = &roster.parameters().tariff;
    let named = tariff.ids().zip(tariff.steps());
    let steps = named.map(|(id, step)| {
        let of_step = |listed: &&Listed| listed.portion().step == id;
        let finals: Vec<_> = finals.iter().filter(of_step).collect();
        let latest = finals.last();
        OfStep {
            step: step.name.clone(),
            listed: latest.map(|latest| latest.portion().window),
            slots: slots(roster, id, &finals, &sent),
            withholding: latest.and_then(|latest| withholding(roster, latest, own)),
        }
    });
    Ok(OfEpoch {
        region: roster.region().clone(),
        epoch: roster.epoch(),
        min_slots: roster.parameters().min_slots,
        steps: steps.collect(),
        gaps: gaps.collect::<Result<_, _>>()?,
        grid: *roster.grid(),
    })
}

fn slots<S: Scheme>(
    roster: &AcceptedRoster<S>,
    step: StepId,
    finals: &[&Listed],
    sent: &[(Slot, Standing)],
) -> Slots {
    let open: BTreeSet<_> = finals.iter().flat_map(|listed| listed.open()).collect();
    let mut slots = Slots::default();
    for (slot, standing) in sent.iter().filter(|(slot, _)| roster.step_of(*slot) == step) {
        let count = match standing {
            Standing::Unsettled => &mut slots.unsettled,
            Standing::Claimed => &mut slots.claimed,
            Standing::Counted if open.contains(slot) => &mut slots.unclaimed,
            Standing::Counted => &mut slots.withheld,
            Standing::Pooled => &mut slots.pooled,
            Standing::Void => &mut slots.void,
        };
        *count = count.saturating_add(1);
        slots.contributed = slots.contributed.saturating_add(1);
    }
    slots
}

/// Why a listing withholds slots that a member is counted in, if it does.
fn withholding<S: Scheme>(
    roster: &AcceptedRoster<S>,
    listed: &Listed,
    own: Participant,
) -> Option<Withholding> {
    let withheld = listed.withheld();
    let counted = |of: Participant| {
        let slots = listed.open().iter().chain(withheld.keys());
        u32::try_from(slots.filter(|slot| listed.is_counted(**slot, of)).count()).ok()
    };
    let beside: Vec<_> = withheld.values().filter(|set| set.contains(own)).collect();
    if beside.is_empty() {
        return None;
    }
    let needed = u32::from(roster.parameters().min_slots);
    let is_rare = |of: &Participant| counted(*of).is_some_and(|counted| counted < needed);
    let others = roster.participants().map(|(of, _)| of).filter(|of| *of != own);
    let others = others.filter(|of| beside.iter().any(|set| set.contains(*of)));
    let why = match (counted(own), others.filter(is_rare).count()) {
        (Some(counted), _) if counted < needed => Why::Own { counted },
        (_, 0) => Why::Partners,
        (_, members) => Why::Others { members: u32::try_from(members).unwrap_or(u32::MAX) },
    };
    let next = roster.grid().last_slot(listed.portion().window.plus(1));
    Some(Withholding { why, joins_next: roster.covers(next) })
}

fn of_gap<S: Scheme>(
    roster: &AcceptedRoster<S>,
    (key, bytes): (&Key, &[u8]),
) -> Result<OfGap, Unreadable> {
    let gap: Gap = record::read(key, bytes)?;
    let named = |portion: &Portion| {
        let step = roster.parameters().tariff.name(portion.step)?.clone();
        Some((portion.window, step))
    };
    Ok(OfGap {
        first: Slot(key.position),
        end: gap.end,
        energy: gap.energy.clone(),
        waits_for: gap.pending.iter().filter_map(named).collect(),
    })
}

fn of_pool((key, bytes): (&Key, &[u8])) -> Result<OfPool, Unreadable> {
    let (register, step) = pool_of(key)?;
    let pool: Pool = record::read(key, bytes)?;
    Ok(OfPool {
        register,
        step,
        waiting_slots: pool.slots,
        waiting_wh: pool.waiting_wh,
        carried_wh: pool.carried_wh,
        lost_slots: pool.lost_slots,
        lost_wh: pool.lost_wh,
    })
}
