//! Energy that no sum counts waits in pools and is carried: no Wh is lost, and
//! none tells a reading.
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
use common::billed::{ALL, Billed};
use common::region::{HOLDER, IMPORT, MEMBERS, Region, receipt};
use common::{dealt, events, parameters, published};
use protocol::message::Receipt;
use protocol::meter::Uncounted;
use protocol::output::Event;
use protocol::parameters::Parameters;

type Street = Region<Plain>;

/// Windows of eight slots, of which a pool and a bill need three.
fn eight_slots() -> Parameters {
    Parameters { window_slots: NonZeroU32::new(8).unwrap(), ..dealt::<Plain>() }
}

impl Region<Plain> {
    /// Lets slots end in which the last member reads so much and all others
    /// nothing, and the last one is heard or not.
    fn let_pass(&mut self, positions: std::ops::Range<u64>, is_heard: bool, wh: u64) {
        for position in positions {
            let slot = self.end_slot(position);
            self.offline = (!is_heard).then_some(LAST).into_iter().collect();
            for at in 0..MEMBERS {
                let wh = if at == LAST { wh } else { 0 };
                self.meters[at].handle_reading(slot, &BTreeMap::from([(IMPORT, wh)]), self.now);
            }
            self.close(slot);
        }
        self.offline.clear();
    }

    fn holds(&self, position: u64) -> u64 {
        self.meters[LAST].contents(self.slot(position)).unwrap()[&IMPORT]
    }

    fn uncounted(&self) -> Uncounted {
        self.meters[LAST].uncounted().get(&IMPORT).copied().unwrap_or_default()
    }
}

/// The meter that is away.
const LAST: usize = MEMBERS - 1;

/// A street in whose first window the last member was away for so many slots
/// of 100 Wh each, and which has settled that.
fn after_absence(slots: u64) -> Street {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    street.let_pass(0..slots, false, 100);
    street.let_pass(slots..8, true, 100);
    street.run_until(street.now + Duration::from_mins(5));
    street
}

#[test]
fn a_pool_of_enough_slots_is_carried_over_the_window_that_runs() {
    let mut street = after_absence(3);
    assert_eq!(street.uncounted().pooled_wh, 300);
    let mut held = Vec::new();
    for position in 8..16 {
        let slot = street.end_slot(position);
        street.read(LAST, slot, 1);
        held.push(street.holds(position));
    }
    assert_eq!(held, [39, 39, 39, 39, 38, 38, 38, 38]);
    assert_eq!(held.iter().sum::<u64>(), 300 + 8);
}

#[test]
fn a_pool_of_too_few_slots_waits() {
    let mut street = after_absence(2);
    street.let_pass(8..16, true, 1);
    street.run_until(street.now + Duration::from_mins(5));
    let left = street.uncounted();
    assert_eq!((left.pooled_wh, left.unsettled_wh), (200, 0));
}

#[test]
fn what_does_not_fit_into_a_contribution_stays() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    street.let_pass(0..7, false, 32_000);
    street.let_pass(7..8, true, 32_000);
    street.run_until(street.now + Duration::from_mins(5));
    let pooled = street.uncounted().pooled_wh;
    assert_eq!(pooled, 7 * 32_000);
    let slot = street.end_slot(15);
    street.read(LAST, slot, 32_000);
    assert_eq!(street.holds(15), 65_535);
    assert_eq!(street.uncounted().pooled_wh, pooled - (65_535 - 32_000));
}

/// At night every other meter exports nothing, and a collector that leaves the
/// victim out of one slot sees what it contributes to the next.
#[test]
fn carry_forced_into_a_slot_where_all_others_are_zero_tells_no_single_reading() {
    let mut street = Street::open_with(MEMBERS, eight_slots());
    street.let_pass(0..1, false, 100);
    street.let_pass(1..16, true, 0);
    assert!(street.sums().iter().all(|wh| *wh == 0));
    // Three slots are carried together, and none before.
    street.let_pass(16..18, false, 10);
    street.let_pass(18..24, true, 0);
    assert!(street.sums().iter().all(|wh| *wh == 0));
    street.let_pass(24..32, true, 0);
    let regions = street.results().into_iter().filter(|result| result.step.is_none());
    assert_eq!(regions.map(|result| result.sum_wh).sum::<u64>(), 100 + 10 + 10);
}

/// A collector that says that a contribution is not counted, and counts it,
/// would see the same energy again.
#[test]
fn carry_after_a_false_not_counted_is_none() {
    let mut street = Billed::<Plain>::ended(parameters::<Plain>(), &[(HOLDER, 1)], &ALL);
    // What no receipt has come for is said again.
    street.street.meters[HOLDER].handle_connected(street.street.now);
    let sent = published(&street.street.drain(HOLDER), "/contribution");
    assert_eq!(sent.len(), ALL.len());
    for (position, message) in ALL.into_iter().zip(&sent) {
        let slot = street.street.slot(position.into());
        let late = Receipt { on_time: false, ..receipt(HOLDER, slot, message) };
        let late = street.street.by_collector(&late);
        let said = street.street.tell(HOLDER, &late);
        assert_eq!(events(&said), [Event::Uncounted { slot }]);
    }
    let meter = |street: &Billed<Plain>| street.street.meters[HOLDER].uncounted()[&IMPORT];
    assert_eq!((meter(&street).pooled_wh, meter(&street).unsettled_wh), (0, 4));
    street.settle(&street.listing());
    assert_eq!((meter(&street).pooled_wh, meter(&street).unsettled_wh), (1, 0));
}

#[test]
fn without_a_final_listing_nothing_is_carried_and_what_is_left_is_given_up() {
    let mut street = Street::open_with(MEMBERS, parameters::<Plain>());
    street.let_pass(0..4, false, 100);
    street.offline.insert(LAST);
    street.run_until(street.now + Duration::from_hours(3));
    assert_eq!((street.uncounted().pooled_wh, street.uncounted().unsettled_wh), (0, 400));
    let over = street.roster.last_deadline() + Duration::from_mins(1);
    street.meters[LAST].handle_timeout(over);
    assert_eq!((street.uncounted().lost_wh, street.uncounted().unsettled_wh), (400, 0));
}

#[test]
fn pools_survive_a_restart() {
    let mut street = after_absence(3);
    street.restart(LAST);
    assert_eq!(street.uncounted().pooled_wh, 300);
    let slot = street.end_slot(8);
    street.read(LAST, slot, 1);
    assert_eq!(street.holds(8), 39);
    street.restart(LAST);
    assert_eq!((street.uncounted().pooled_wh, street.uncounted().unsettled_wh), (262, 39));
}
