//! What a household can read of what became of its energy.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::num::NonZeroU32;

use aggregation::Plain;
use common::region::{HOLDER, IMPORT, MEMBERS, Region};
use common::{meter_terms, parameters};
use protocol::account::{self, Account, OfPool, OfStep, Slots, Why, Withholding};
use protocol::meter::Quantities;
use protocol::parameters::Parameters;
use protocol::record::Records;
use protocol::slot::Window;

type Street = Region<Plain>;

/// Windows of eight slots, of which a bill has three at least.
fn eight_slots() -> Parameters {
    Parameters { window_slots: NonZeroU32::new(8).unwrap(), ..parameters::<Plain>() }
}

impl Street {
    /// Runs a window of eight slots; `missed` members contribute nothing at
    /// positions.
    fn run_window(&mut self, window: u64, missed: &[(usize, std::ops::Range<u64>)]) {
        for position in 0..8 {
            let slot = self.end_slot(8 * window + position);
            let is_missed =
                |at| missed.iter().any(|(of, at_all)| *of == at && at_all.contains(&position));
            for at in (0..MEMBERS).filter(|at| !is_missed(*at)) {
                self.meters[at].handle_reading(slot, &Quantities::from([(IMPORT, 10)]), self.now);
            }
            self.close(slot);
        }
    }

    fn account(&self) -> Account {
        account::of::<Plain>(&self.disks[HOLDER], &meter_terms::<Plain>(HOLDER)).unwrap()
    }

    fn step(&self) -> OfStep {
        self.account().epochs[0].steps[0].clone()
    }
}

fn withheld(street: &Street) -> (u32, Option<Why>) {
    let OfStep { slots, withholding, .. } = street.step();
    (slots.withheld, withholding.map(|withholding| withholding.why))
}

#[test]
fn a_household_that_is_counted_everywhere_has_claimed_all() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    street.run_window(0, &[]);
    let slots = Slots { contributed: 8, claimed: 8, ..Slots::default() };
    let step = "all".parse().unwrap();
    let expected = OfStep { step, listed: Some(Window(0)), slots, withholding: None };
    assert_eq!(street.step(), expected);
    assert!(street.account().pools.is_empty());
}

#[test]
fn a_household_reads_that_it_is_itself_counted_too_rarely() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    street.run_window(0, &[(HOLDER, 2..8)]);
    assert_eq!(withheld(&street), (2, Some(Why::Own { counted: 2 })));
}

#[test]
fn a_household_reads_that_others_are_counted_too_rarely() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    street.run_window(0, &[(4, 2..8)]);
    assert_eq!(withheld(&street), (2, Some(Why::Others { members: 1 })));
}

#[test]
fn a_household_reads_that_its_slots_have_too_few_partners() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    // The first slot and the last have three members in common with any other.
    street.run_window(0, &[(4, 0..1), (3, 1..4), (2, 4..7), (1, 7..8)]);
    assert_eq!(withheld(&street), (2, Some(Why::Partners)));
}

#[test]
fn what_the_last_listing_withholds_joins_none() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    let joins = |street: &Street| street.step().withholding.map(|of: Withholding| of.joins_next);
    for window in 0..4 {
        street.run_window(window, &[(HOLDER, 1..8)]);
        let expected = (window != 2).then_some(window < 3);
        assert_eq!(joins(&street), expected, "{window}");
    }
}

#[test]
fn a_household_reads_what_waits_to_be_carried() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    street.run_window(0, &[(HOLDER, 6..8)]);
    let slots = (street.slot(6), street.slot(8));
    assert!(street.account().pools.is_empty());
    street.meters[HOLDER].handle_gap(slots, &Quantities::from([(IMPORT, 77)]));
    street.drain(HOLDER);
    let step = "all".parse().unwrap();
    let waits = OfPool {
        register: IMPORT,
        step,
        waiting_slots: 2,
        waiting_wh: 77,
        carried_wh: 0,
        lost_slots: 0,
        lost_wh: 0,
    };
    assert!(street.account().pools == [waits]);
}

#[test]
fn a_household_reads_what_waits_for_a_listing() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    street.end_slot(9);
    let slots = (street.slot(0), street.slot(10));
    street.meters[HOLDER].handle_gap(slots, &Quantities::from([(IMPORT, 77)]));
    street.drain(HOLDER);
    let gap = &street.account().epochs[0].gaps[0];
    assert_eq!((gap.first, gap.end, gap.energy[&IMPORT]), (slots.0, slots.1, 77));
    let windows: Vec<_> = gap.waits_for.iter().map(|(window, _)| window.0).collect();
    assert_eq!(windows, [0, 1]);
}

#[test]
fn who_takes_part_in_nothing_has_an_empty_account() {
    let account = account::of::<Plain>(&Records::default(), &meter_terms::<Plain>(HOLDER)).unwrap();
    assert!(account.epochs.is_empty() && account.pools.is_empty());
}
