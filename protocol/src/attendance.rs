//! Which slots of a final listing may be billed, by who was counted where.
//!
//! Region sums and bills are equations in the same unknowns. Draw each as a
//! vertex, each counted contribution as an edge between its slot and its
//! member's bill, and everything unopened as one vertex: the sums that can be
//! formed are the cuts of that graph, and a reading is known where its edge is
//! a bridge. Among the slots that are opened here no cut has fewer than
//! `min(min_slots, min_contributors)` edges of honest members.

use std::collections::{BTreeMap, BTreeSet};

use crate::members::MemberSet;
use crate::slot::Slot;

/// What the slots of a bill need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The least number of slots of a bill.
    pub min_slots: u16,
    /// How many members two partners share: `min_contributors +
    /// max_corrupted`.
    pub contributors_needed: usize,
}

/// The slots that may be billed of one window and tariff step: the largest set
/// in which every member of every slot is counted in at least `min_slots - 1`
/// partners of that slot. Partners are two slots of the set that share at least
/// `contributors_needed` members. With the slot itself these are the least
/// `min_slots` slots of the member's bill.
///
/// Each step has bills of its own: slots of several steps in one call would
/// hold each other up where no bill joins them.
#[must_use]
pub fn open(counted: &BTreeMap<Slot, MemberSet>, rule: Rule) -> BTreeSet<Slot> {
    // The union of two sets that keep to the rule keeps to it, so there is one
    // largest. None of its slots fails below, in whatever order the others go:
    // each has all its partners within it.
    let mut search = Search::new(counted, rule);
    // Every open slot that lacks partners is among these, and once.
    let mut unsure: Vec<usize> = (0..counted.len()).collect();
    while let Some(at) = unsure.pop() {
        if search.fails(at) {
            unsure.extend(search.remove(at));
        }
    }
    let slots = counted.keys().zip(&search.open);
    slots.filter(|(_, open)| **open).map(|(slot, _)| *slot).collect()
}

/// The search for partners, by the positions of the slots.
struct Search {
    needed: usize,
    /// The members of each slot, 64 in a word.
    members: Vec<Vec<u64>>,
    /// The slots that are not removed.
    open: Vec<bool>,
    found: Vec<Found>,
}

/// The partners that a slot was found to have.
struct Found {
    /// How many of the slots that follow in a circle were looked at.
    searched: usize,
    /// In how many open partners among these a member is counted, less those
    /// that it takes.
    surplus: Vec<Counters>,
}

impl Search {
    fn new(counted: &BTreeMap<Slot, MemberSet>, rule: Rule) -> Self {
        let members: Vec<Vec<_>> = counted.values().map(|set| set.words().collect()).collect();
        let lacking = usize::from(rule.min_slots.saturating_sub(1));
        let counters = |members: &u64| Counters::new(*members, lacking, counted.len());
        let found =
            |slot: &Vec<_>| Found { searched: 0, surplus: slot.iter().map(counters).collect() };
        Self {
            needed: rule.contributors_needed,
            open: vec![true; members.len()],
            found: members.iter().map(found).collect(),
            members,
        }
    }

    /// Whether an open slot lacks partners, after a look at no more slots than
    /// it takes to know: no two are compared twice for the same one.
    fn fails(&mut self, at: usize) -> bool {
        let Self { needed, members, open, found } = self;
        let (Some(own), Some(found)) = (members.get(at), found.get_mut(at)) else { return false };
        while found.lacks() && found.searched + 1 < members.len() {
            found.searched += 1;
            let other = (at + found.searched) % members.len();
            if let (Some(true), Some(other)) = (open.get(other), members.get(other)) {
                found.change(own, other, *needed, Counters::add);
            }
        }
        found.lacks()
    }

    /// Removes a slot, and gives those that lacked no partner until then.
    fn remove(&mut self, at: usize) -> Vec<usize> {
        let Self { needed, members, open, found } = self;
        if let Some(open) = open.get_mut(at) {
            *open = false;
        }
        let Some(removed) = members.get(at) else { return Vec::new() };
        let mut lacking = Vec::new();
        for (other, ((own, found), open)) in members.iter().zip(found).zip(open).enumerate() {
            let distance = (at + members.len() - other) % members.len();
            if *open && distance <= found.searched {
                let lacked = found.lacks();
                found.change(own, removed, *needed, Counters::subtract);
                if !lacked && found.lacks() {
                    lacking.push(other);
                }
            }
        }
        lacking
    }
}

impl Found {
    fn lacks(&self) -> bool {
        self.surplus.iter().any(Counters::any_below_zero)
    }

    /// Counts the members that a slot shares with a partner.
    fn change(&mut self, own: &[u64], other: &[u64], needed: usize, by: fn(&mut Counters, u64)) {
        let shared = own.iter().zip(other).map(|(own, other)| own & other);
        if shared.clone().map(|word| word.count_ones() as usize).sum::<usize>() >= needed {
            self.surplus.iter_mut().zip(shared).for_each(|(counters, word)| by(counters, word));
        }
    }
}

/// A signed number for each of 64 members: word `i` holds bit `i` of all of
/// them, the last word their signs. One addition counts all members of a word.
struct Counters(Vec<u64>);

impl Counters {
    /// So far below zero for these members, zero for the others, with room to
    /// count `most`.
    fn new(members: u64, below: usize, most: usize) -> Self {
        let bits = usize::BITS - (below | most).leading_zeros();
        let of_bit = |bit| if below.wrapping_neg() >> bit & 1 == 1 { members } else { 0 };
        Self((0..=bits).map(of_bit).collect())
    }

    fn add(&mut self, members: u64) {
        self.carry(members, |word, carry| word & carry);
    }

    fn subtract(&mut self, members: u64) {
        self.carry(members, |word, borrow| !word & borrow);
    }

    fn carry(&mut self, mut members: u64, on: impl Fn(u64, u64) -> u64) {
        for word in &mut self.0 {
            let next = on(*word, members);
            *word ^= members;
            members = next;
            if members == 0 {
                break;
            }
        }
    }

    fn any_below_zero(&self) -> bool {
        self.0.last().is_some_and(|signs| *signs != 0)
    }
}
