//! What a household has sent and helped to open, read from what its agent
//! keeps. No reading and no plaintext is in it.
//!
//! Whatever is past its deadline was erased, and is not told.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::envelope::Envelope;
use crate::evidence::{Accusation, Evidence};
use crate::id::{Epoch, MeterId, RegionId};
use crate::message::{Receipt, Roster};
use crate::meter::StoredSent;
use crate::portion::Portion;
use crate::record::{self, Key, Records, Sort, Unreadable};
use crate::release::{AnsweredBills, AnsweredSet};
use crate::slot::{Grid, Slot, Window};
use crate::tariff::{StepName, Tariff};

/// What a household did in an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct History {
    /// The region.
    pub region: RegionId,
    /// The epoch.
    pub epoch: Epoch,
    /// Length of a slot in seconds.
    pub slot_seconds: u32,
    /// Slots in a window.
    pub window_slots: u32,
    /// The first slot of the epoch, and of window 0.
    pub first_slot: Slot,
    /// Members of the roster.
    pub members: usize,
    /// Slots for which something was sent or answered.
    pub slots: Vec<OfSlot>,
    /// Portions that something was claimed or answered for.
    pub portions: Vec<OfPortion>,
    #[serde(skip)]
    grid: Grid,
}

impl History {
    /// How the epoch's time is cut.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }
}

/// What a household did about a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfSlot {
    /// The slot.
    pub slot: Slot,
    /// Bytes of the contribution, if one was made.
    pub sent_bytes: Option<usize>,
    /// What the collector's receipt says, if there is one.
    pub on_time: Option<bool>,
    /// Members in the sum that this household helped to open, if it did.
    pub contributors: Option<usize>,
}

/// What a household did about a tariff step of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfPortion {
    /// The window.
    pub window: Window,
    /// The tariff step.
    pub step: StepName,
    /// Whether this household has claimed its own sum.
    pub claimed: bool,
    /// Members whose bills this household helped to open.
    pub bills: usize,
}

/// What a household did, by epoch.
///
/// # Errors
/// The record that is not what was written.
pub fn of(kept: &Records) -> Result<Vec<History>, Unreadable> {
    kept.of(Sort::Roster).map(|(key, bytes)| of_epoch(kept, key, bytes)).collect()
}

/// The evidence that is kept, with what it shows.
///
/// # Errors
/// The record that is none.
pub fn evidence(kept: &Records) -> Result<Vec<(Evidence, Accusation)>, Unreadable> {
    let read = |(key, bytes): (&Key, &[u8])| {
        let evidence: Evidence = record::read(key, bytes)?;
        let accusation = evidence.check().map_err(|_| key)?;
        Ok((evidence, accusation))
    };
    kept.of(Sort::Evidence).map(read).collect()
}

fn of_epoch(kept: &Records, key: &Key, bytes: &[u8]) -> Result<History, Unreadable> {
    let envelope = Envelope::parse(bytes).map_err(|_| key)?;
    let roster: Roster = envelope.peek().map_err(|_| key)?;
    Ok(History {
        region: envelope.header().region.clone(),
        epoch: key.epoch,
        slot_seconds: roster.parameters.slot_seconds.get(),
        window_slots: roster.parameters.window_slots.get(),
        first_slot: roster.first_slot,
        members: roster.members.len(),
        slots: slots(kept, key.epoch)?,
        portions: portions(kept, key.epoch, &roster.parameters.tariff)?,
        grid: roster.parameters.grid(roster.first_slot),
    })
}

fn slots(kept: &Records, epoch: Epoch) -> Result<Vec<OfSlot>, Unreadable> {
    let mut slots: BTreeMap<u64, OfSlot> = BTreeMap::new();
    let empty = |slot| OfSlot { slot, sent_bytes: None, on_time: None, contributors: None };
    for (key, bytes) in kept.within(Sort::Sent, epoch) {
        let sent: StoredSent = record::read(key, bytes)?;
        let of = slots.entry(key.position).or_insert_with(|| empty(Slot(key.position)));
        of.sent_bytes = Some(sent.message.len());
        let receipt = sent.receipt.as_ref().map(|message| {
            let body = Envelope::parse(message).and_then(|envelope| envelope.peek::<Receipt>());
            body.map_err(|_| Unreadable::from(key))
        });
        of.on_time = receipt.transpose()?.map(|receipt| receipt.on_time);
    }
    for (key, bytes) in kept.within(Sort::Answer, epoch) {
        let answered: AnsweredSet = record::read(key, bytes)?;
        let of = slots.entry(key.position).or_insert_with(|| empty(Slot(key.position)));
        of.contributors = Some(answered.members.count());
    }
    Ok(slots.into_values().collect())
}

fn portions(kept: &Records, epoch: Epoch, tariff: &Tariff) -> Result<Vec<OfPortion>, Unreadable> {
    let mut claimed = BTreeSet::new();
    for (key, _) in kept.within(Sort::Claim, epoch) {
        claimed.insert(key.portion().ok_or(key)?);
    }
    let mut owners: BTreeMap<Portion, BTreeSet<MeterId>> = BTreeMap::new();
    for (key, bytes) in kept.within(Sort::Bill, epoch) {
        let answered: AnsweredBills = record::read(key, bytes)?;
        owners.entry(key.portion().ok_or(key)?).or_default().extend(answered.claims.into_keys());
    }
    let all: BTreeSet<_> = claimed.iter().chain(owners.keys()).copied().collect();
    let of = |portion: Portion| {
        Some(OfPortion {
            window: portion.window,
            step: tariff.name(portion.step)?.clone(),
            claimed: claimed.contains(&portion),
            bills: owners.get(&portion).map_or(0, BTreeSet::len),
        })
    };
    Ok(all.into_iter().filter_map(of).collect())
}
