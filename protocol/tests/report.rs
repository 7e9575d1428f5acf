//! What a collector's records say of bills.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use aggregation::Plain;
use common::region::{ALL, IMPORT, MEMBERS, Region};
use common::{dealt, meter_id, published};
use protocol::parameters::Parameters;
use protocol::report::{self, Line, OfPortion};
use protocol::tariff::{Step, Tariff};

type Street = Region<Plain>;

/// Windows of eight slots, of which a bill has three at least.
fn parameters() -> Parameters {
    Parameters { window_slots: NonZeroU32::new(8).unwrap(), ..dealt::<Plain>() }
}

/// A day of four slots and a rest of four in each window.
fn two_steps() -> Parameters {
    let day = Step { name: "day".parse().unwrap(), spans: vec![(0, 3600)] };
    let rest = Step { name: "rest".parse().unwrap(), spans: vec![] };
    let tariff = Tariff::new(NonZeroU32::new(7200).unwrap(), vec![day, rest]).unwrap();
    Parameters { tariff, ..parameters() }
}

impl Region<Plain> {
    /// Lets slots end in which all but the absent members contribute 2^i.
    fn let_pass(&mut self, positions: std::ops::Range<u64>, absent: &[usize]) {
        for position in positions {
            let slot = self.end_slot(position);
            for at in (0..MEMBERS).filter(|at| !absent.contains(at)) {
                let reading = BTreeMap::from([(IMPORT, 1 << at)]);
                self.meters[at].handle_reading(slot, &reading, self.now);
            }
            self.close(slot);
        }
    }

    fn report(&self) -> Vec<OfPortion> {
        report::of(&self.roster, &self.disk, self.now).unwrap().portions
    }
}

fn line(of: &OfPortion, at: usize) -> &Line {
    of.lines.iter().find(|line| line.meter == meter_id(at)).unwrap()
}

#[test]
fn every_step_has_its_sums_and_they_are_those_of_its_slots() {
    let mut street = Street::open_with(MEMBERS, two_steps());
    street.let_pass(0..8, &[]);
    let report = street.report();
    let steps: Vec<_> = report.iter().map(|of| of.step.as_str()).collect();
    assert_eq!(steps, ["day", "rest"]);
    for of in &report {
        let sums: Vec<_> = of.lines.iter().map(|line| line.wh).collect();
        assert_eq!(sums, (0..MEMBERS).map(|at| Some(4 << at)).collect::<Vec<_>>());
        let [agreement] = &of.agreements[..] else { panic!("{of:?}") };
        assert_eq!((agreement.meters_wh, agreement.agrees()), (4 * ALL, Some(true)));
    }
}

#[test]
fn sums_that_do_not_agree_are_said_to() {
    let mut street = Street::open_with(MEMBERS, parameters());
    street.let_pass(0..8, &[]);
    let mut of = street.report().remove(0);
    let agreement = &mut of.agreements[0];
    agreement.slots_wh += 1;
    assert_eq!(agreement.agrees(), Some(false));
    agreement.missing = 1;
    assert_eq!(agreement.agrees(), None);
}

#[test]
fn a_line_says_what_is_not_in_its_sum() {
    let mut street = Street::open_with(MEMBERS, parameters());
    street.let_pass(0..6, &[4]);
    street.let_pass(6..16, &[]);
    let [first, second] = &street.report()[..] else { panic!("two windows") };
    // Two slots of a member are withheld for all, and join the next window.
    let away = line(first, 4);
    assert_eq!((away.wh, away.slots, away.pooled_slots, away.withheld_slots), (None, 0, 6, 2));
    let other = line(first, 0);
    assert_eq!((other.wh, other.slots, other.withheld_slots), (Some(6), 6, 2));
    assert_eq!((first.slots, first.billed_slots, first.withheld_slots), (8, 6, 2));
    let joined = line(second, 4);
    assert_eq!((joined.slots, joined.joined_slots, joined.estimated_slots), (10, 2, 0));
    assert!([first, second].iter().all(|of| of.agreements[0].agrees() == Some(true)));
}

#[test]
fn what_will_be_in_no_sum_is_estimated_by_what_was() {
    let mut street = Street::open_with(MEMBERS, parameters());
    street.let_pass(0..8, &[]);
    street.let_pass(8..15, &[]);
    // The last member is gone before it can claim the second window.
    let slot = street.end_slot(15);
    let said = street.read(4, slot, 16);
    street.send(&published(&said, "/contribution")[0]);
    street.offline.insert(4);
    street.let_pass(15..16, &[4]);
    street.run_until(street.now + Duration::from_hours(3));
    let second = street.report().remove(1);
    let line = line(&second, 4);
    assert_eq!((line.wh, line.estimated_slots, line.estimated_wh), (None, 8, Some(8 * 16)));
    assert_eq!(second.agreements[0].agrees(), None);
}

#[test]
fn a_portion_without_a_final_listing_says_why_it_has_no_bills() {
    let mut street = Street::open_with(MEMBERS, parameters());
    street.let_pass(0..8, &[]);
    street.let_pass(8..15, &[]);
    street.offline.extend([3, 4]);
    street.let_pass(15..16, &[]);
    street.run_until(street.now + Duration::from_hours(3));
    let second = street.report().remove(1);
    assert!(
        second.reason.as_ref().unwrap().ends_with("endorsed its listing in time"),
        "{second:?}"
    );
    let line = line(&second, 0);
    assert_eq!((line.wh, line.estimated_slots, line.estimated_wh), (None, 8, Some(8)));
}
