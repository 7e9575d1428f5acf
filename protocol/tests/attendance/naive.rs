//! The rule of open slots by its letter, with each part to be left out.

use std::collections::BTreeSet;

use crate::published::{Listing, Terms};
use protocol::slot::Slot;

/// Which slots hold a slot up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Partners {
    /// None are asked for.
    Unasked,
    /// Those that share enough members with it, whoever these are.
    OfTheSlot,
    /// For each member, those of them where it is counted itself.
    OfEachMember,
}

/// What is asked of a slot.
#[derive(Clone, Copy)]
pub(crate) struct Naive {
    /// Whether each member needs `min_slots` open slots.
    pub(crate) appearances: bool,
    pub(crate) partners: Partners,
}

pub(crate) const WHOLE: Naive = Naive { appearances: true, partners: Partners::OfEachMember };

impl Naive {
    /// Removes what fails until nothing does.
    pub(crate) fn open(self, counted: &Listing, terms: &Terms) -> BTreeSet<Slot> {
        let mut open = counted.clone();
        loop {
            let keeps = |slot: &Slot| self.keeps(*slot, &open, terms);
            let kept: BTreeSet<Slot> = open.keys().copied().filter(keeps).collect();
            if kept.len() == open.len() {
                return kept;
            }
            open.retain(|slot, _| kept.contains(slot));
        }
    }

    /// Whether every slot keeps to the rule among all of them.
    pub(crate) fn holds(self, slots: &Listing, terms: &Terms) -> bool {
        slots.keys().all(|slot| self.keeps(*slot, slots, terms))
    }

    fn keeps(self, slot: Slot, open: &Listing, terms: &Terms) -> bool {
        let members = &open[&slot];
        let shares = |other: &&Slot| {
            **other != slot && open[*other].intersection(members).count() >= terms.needed()
        };
        let partners: Vec<&Slot> = open.keys().filter(shares).collect();
        let least = usize::from(terms.min_slots);
        let appears = |member| open.values().filter(|set| set.contains(member)).count() >= least;
        let held = |member| partners.iter().filter(|slot| open[slot].contains(member)).count();
        let partnered = match self.partners {
            Partners::Unasked => true,
            Partners::OfTheSlot => partners.len() + 1 >= least,
            Partners::OfEachMember => members.iter().all(|member| held(member) + 1 >= least),
        };
        partnered && (!self.appearances || members.iter().all(appears))
    }
}
