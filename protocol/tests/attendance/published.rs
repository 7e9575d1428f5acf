//! What is public of some windows of a region, and what can be computed from
//! it.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Participant;
use protocol::attendance::{self, Rule};
use protocol::slot::Slot;

use crate::sums::{Equations, Graph};

pub(crate) type Members = BTreeSet<u16>;

/// Who was counted in each slot.
pub(crate) type Listing = BTreeMap<Slot, Members>;

/// Who was counted in the slots of one window, with the tariff step of each.
pub(crate) type Window = Vec<(usize, Members)>;

/// What holds for a region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) members: u16,
    pub(crate) min_slots: u16,
    pub(crate) min_contributors: usize,
    pub(crate) max_corrupted: usize,
}

impl Terms {
    pub(crate) fn needed(&self) -> usize {
        self.min_contributors + self.max_corrupted
    }

    /// The fewest honest contributions that a sum may hold.
    pub(crate) fn floor(&self) -> usize {
        self.min_contributors.min(self.min_slots.into())
    }

    /// The slots that the crate opens.
    pub(crate) fn open(&self, counted: &Listing) -> BTreeSet<Slot> {
        let rule = Rule { min_slots: self.min_slots, contributors_needed: self.needed() };
        let set = |members: &Members| members.iter().copied().map(Participant).collect();
        let counted = counted.iter().map(|(slot, members)| (*slot, set(members)));
        attendance::open(&counted.collect(), rule)
    }
}

/// A bill that was opened.
#[derive(Clone)]
pub(crate) struct Bill {
    pub(crate) member: u16,
    pub(crate) slots: BTreeSet<Slot>,
}

/// All sums that were opened.
#[derive(Clone, Default)]
pub(crate) struct Published {
    pub(crate) counted: Listing,
    /// The slots whose region sum is known.
    pub(crate) sums: BTreeSet<Slot>,
    pub(crate) bills: Vec<Bill>,
    /// Slots in no bill's listing that was opened.
    pub(crate) withheld: usize,
}

/// Lets windows pass in which everything is opened that may be: slots that one
/// withholds join the next listing of their step.
pub(crate) fn publish(
    windows: &[Window],
    terms: &Terms,
    open: impl Fn(&Listing) -> BTreeSet<Slot>,
) -> Published {
    let mut published = Published::default();
    let mut listings: BTreeMap<usize, Listing> = BTreeMap::new();
    for window in windows {
        for (step, members) in window {
            let slot = Slot(published.counted.len() as u64);
            published.counted.insert(slot, members.clone());
            listings.entry(*step).or_default().insert(slot, members.clone());
        }
        for listing in listings.values_mut() {
            let opened = open(listing);
            published.bill(listing, &opened, terms);
            listing.retain(|slot, _| !opened.contains(slot));
        }
    }
    published.withheld = listings.values().map(BTreeMap::len).sum();
    let summed = published.counted.iter().filter(|(_, members)| members.len() >= terms.needed());
    published.sums = summed.map(|(slot, _)| *slot).collect();
    published
}

impl Published {
    fn bill(&mut self, listing: &Listing, opened: &BTreeSet<Slot>, terms: &Terms) {
        for member in 0..terms.members {
            let counted = |slot: &&Slot| listing[*slot].contains(&member);
            let slots: BTreeSet<Slot> = opened.iter().filter(counted).copied().collect();
            if slots.len() >= usize::from(terms.min_slots) {
                self.bills.push(Bill { member, slots });
            }
        }
    }

    /// The contributions that nobody knows beforehand.
    fn unknowns(&self, corrupted: &Members) -> BTreeMap<(u16, Slot), usize> {
        let of_slot = |(slot, members): (&Slot, &Members)| {
            let honest = members.difference(corrupted);
            honest.map(|member| (*member, *slot)).collect::<Vec<_>>()
        };
        self.counted.iter().flat_map(of_slot).zip(0..).collect()
    }

    /// All sums, less the readings of the corrupted members, who tell.
    pub(crate) fn equations(&self, corrupted: &Members) -> Equations {
        let unknowns = self.unknowns(corrupted);
        let mut equations = Equations::new(unknowns.len());
        for slot in &self.sums {
            let held = self.counted[slot].iter().filter_map(|m| unknowns.get(&(*m, *slot)));
            equations.push(held.copied());
        }
        for bill in &self.bills {
            let held = bill.slots.iter().filter_map(|slot| unknowns.get(&(bill.member, *slot)));
            equations.push(held.copied());
        }
        equations
    }

    /// The readings that follow from all sums.
    pub(crate) fn read(&self, corrupted: &Members) -> Vec<(u16, Slot)> {
        let read = self.equations(corrupted).determined();
        let unknowns = self.unknowns(corrupted);
        unknowns.iter().filter(|(_, at)| read.contains(at)).map(|(reading, _)| *reading).collect()
    }

    /// The fewest honest contributions of any sum that can be formed; none
    /// where there is no sum.
    pub(crate) fn smallest_sum(&self, corrupted: &Members) -> Option<usize> {
        let vertex: BTreeMap<Slot, usize> = self.sums.iter().copied().zip(1..).collect();
        let first_bill = 1 + vertex.len();
        let mut bill = BTreeMap::new();
        for (at, Bill { member, slots }) in (first_bill..).zip(&self.bills) {
            bill.extend(slots.iter().map(|slot| ((*member, *slot), at)));
        }
        let mut graph = Graph::new(first_bill + self.bills.len());
        for (member, slot) in self.unknowns(corrupted).into_keys() {
            let sum = vertex.get(&slot).copied().unwrap_or(0);
            graph.join(sum, bill.get(&(member, slot)).copied().unwrap_or(0));
        }
        graph.smallest_cut()
    }
}
