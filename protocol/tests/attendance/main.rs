//! Which slots are opened, and that nothing but sums of enough contributions
//! can be computed from all that is published.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod left_out;
mod naive;
mod patterns;
mod published;
mod sums;

use std::collections::BTreeSet;

use naive::WHOLE;
use patterns::{Case, adversarial, by_chance, large, small, tiny};
use protocol::Rng;
use protocol::slot::Slot;
use published::{Listing, Members, Published, Terms, publish};
use rand::{RngExt as _, SeedableRng as _};

fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}

impl Case {
    /// Everything that may be opened is, as the rule says by its letter too.
    fn publish(&self) -> Published {
        publish(&self.windows, &self.terms, |counted| {
            let open = self.terms.open(counted);
            assert_eq!(open, WHOLE.open(counted, &self.terms), "{:?} {counted:?}", self.terms);
            open
        })
    }

    /// As many members as may be corrupted, by chance.
    fn corrupted(&mut self) -> Members {
        let mut corrupted = Members::new();
        while corrupted.len() < self.terms.max_corrupted {
            corrupted.insert(self.rng.random_range(0..self.terms.members));
        }
        corrupted
    }

    fn assert_hidden(&self, published: &Published, corrupted: &Members) {
        let told = || format!("{:?} {:?} {corrupted:?}", self.terms, self.windows);
        assert_eq!(published.read(corrupted), [], "{}", told());
        let smallest = published.smallest_sum(corrupted);
        assert!(smallest.is_none_or(|held| held >= self.terms.floor()), "{smallest:?} {}", told());
    }

    /// Nothing is read from all sums, nor from some of them; how many bills
    /// there are, and how many slots are in none.
    fn check(&mut self) -> (usize, usize) {
        let mut published = self.publish();
        let counts = (published.bills.len(), published.withheld);
        let corrupted = self.corrupted();
        self.assert_hidden(&published, &corrupted);
        published.bills.retain(|_| self.rng.random_bool(0.7));
        published.sums.retain(|_| self.rng.random_bool(0.8));
        let corrupted = self.corrupted();
        self.assert_hidden(&published, &corrupted);
        counts
    }
}

/// How many of the cases have bills, and how many of these withhold slots.
fn check(cases: impl Iterator<Item = Case>) -> (usize, usize) {
    let counts: Vec<_> = cases.map(|mut case| case.check()).collect();
    let billed: Vec<_> = counts.iter().filter(|(bills, _)| *bills > 0).collect();
    (billed.len(), billed.iter().filter(|(_, withheld)| *withheld > 0).count())
}

#[test]
fn whoever_drops_out_by_chance_no_reading_and_no_small_sum_follows() {
    let (billed, withheld) = check((0..1_000).map(by_chance));
    assert!(billed > 500 && withheld > 300, "{billed} {withheld}");
}

#[test]
fn however_members_attend_no_reading_and_no_small_sum_follows() {
    let (billed, withheld) = check((0..360).map(adversarial));
    assert!(billed > 200 && withheld > 100, "{billed} {withheld}");
}

#[test]
fn whichever_two_members_are_corrupted_no_reading_and_no_small_sum_follows() {
    let mut billed = 0;
    for case in (0..120).map(small) {
        let published = case.publish();
        billed += usize::from(!published.bills.is_empty());
        for one in 0..case.terms.members {
            for other in 0..one {
                case.assert_hidden(&published, &Members::from([one, other]));
            }
        }
    }
    assert!(billed > 60, "{billed}");
}

#[test]
#[ignore = "minutes: for the nightly run, with --release"]
fn in_a_hundred_thousand_regions_no_reading_and_no_small_sum_follows() {
    check((10_000..60_000).map(by_chance));
    check((10_000..60_000).map(adversarial));
}

#[test]
fn a_smallest_cut_is_a_smallest_sum_of_all_that_are_formed_by_trial() {
    let mut tried = 0;
    for mut case in (0..300).map(tiny) {
        let (published, corrupted) = (case.publish(), case.corrupted());
        let equations = published.equations(&corrupted);
        if (1..=7).contains(&equations.len()) {
            tried += 1;
            let smallest = published.smallest_sum(&corrupted);
            assert_eq!(
                smallest,
                equations.smallest_by_trial(),
                "{:?} {:?}",
                case.terms,
                case.windows
            );
        }
    }
    assert!(tried > 50, "{tried}");
}

/// Who was counted in the first window.
fn listing(case: &Case) -> Listing {
    let members = case.windows[0].iter().map(|(_, members)| members.clone());
    (0..).map(Slot).zip(members).collect()
}

fn only(counted: &Listing, slots: &BTreeSet<Slot>) -> Listing {
    let kept = counted.iter().filter(|(slot, _)| slots.contains(slot));
    kept.map(|(slot, members)| (*slot, members.clone())).collect()
}

#[test]
fn what_is_opened_holds_every_set_of_slots_that_keeps_to_the_rule() {
    let mut opened = 0;
    for case in (0..600).map(tiny) {
        let counted = listing(&case);
        let of_bits =
            |bits: u64| counted.keys().copied().filter(|slot| bits >> slot.0 & 1 == 1).collect();
        let sets = (0..1 << counted.len()).map(of_bits);
        let keeping = sets.filter(|set| WHOLE.holds(&only(&counted, set), &case.terms));
        let largest: BTreeSet<Slot> = keeping.flatten().collect();
        assert_eq!(case.terms.open(&counted), largest, "{:?} {counted:?}", case.terms);
        opened += usize::from(!largest.is_empty() && largest.len() < counted.len());
    }
    assert!(opened > 50, "{opened}");
}

#[test]
fn what_is_opened_of_many_members_is_what_the_rule_says_by_its_letter() {
    let published: Vec<Published> = (0..48).map(|seed| large(seed).publish()).collect();
    let partly = published.iter().filter(|all| !all.bills.is_empty() && all.withheld > 0).count();
    assert!(partly > 10, "{partly}");
}

#[test]
fn what_is_opened_does_not_depend_on_the_order_of_slots_and_members() {
    for case in (0..200).map(adversarial) {
        let counted = listing(&case);
        let (last, members) = (counted.len() as u64 - 1, case.terms.members);
        let moved = |slot: &Slot| Slot((last - slot.0) * 7 + 3);
        let turned = |set: &Members| set.iter().map(|member| (member + 3) % members).collect();
        let other = counted.iter().map(|(slot, set)| (moved(slot), turned(set))).collect();
        let expected: BTreeSet<Slot> = case.terms.open(&counted).iter().map(moved).collect();
        assert_eq!(case.terms.open(&other), expected);
    }
}

#[test]
fn among_the_opened_slots_alone_the_same_ones_are_opened() {
    for case in (0..200).map(adversarial) {
        let counted = listing(&case);
        let open = case.terms.open(&counted);
        assert_eq!(case.terms.open(&only(&counted, &open)), open);
    }
}

#[test]
fn a_slot_that_counts_nobody_is_opened_and_holds_nobody_up() {
    let terms = Terms { members: 2, min_slots: 2, min_contributors: 2, max_corrupted: 0 };
    let counted = Listing::from([(Slot(5), Members::new()), (Slot(6), Members::from([0, 1]))]);
    assert_eq!(terms.open(&counted), BTreeSet::from([Slot(5)]));
    assert_eq!(terms.open(&Listing::new()), BTreeSet::new());
}

#[test]
fn where_a_bill_takes_more_slots_than_there_are_none_is_opened() {
    let counted: Listing = (0..4).map(|at| (Slot(at), Members::from([0, 1, 2]))).collect();
    for min_slots in 2..=70 {
        let terms = Terms { members: 3, min_slots, min_contributors: 2, max_corrupted: 0 };
        let opened = if min_slots <= 4 { 4 } else { 0 };
        assert_eq!(terms.open(&counted).len(), opened, "{min_slots}");
    }
}
