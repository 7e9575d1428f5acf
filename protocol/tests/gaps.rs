//! Energy that a meter measured while it contributed nothing: in a gap, given
//! once, and carried only where no final listing counts the meter.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::BTreeMap;
use std::ops::Range;

use aggregation::Plain;
use common::region::{
    ALL, HOLDER, IMPORT, MEMBERS, Region, messages, portion, region_request, set,
};
use common::{both_registers, events, parameters, peak, published};
use proptest::prelude::*;
use protocol::evidence::Evidence;
use protocol::id::Digest;
use protocol::listing;
use protocol::message::{Listing, Subject};
use protocol::meter::{Measured, Quantities, Stand, Stands, Uncounted};
use protocol::output::{Event, SlotError};
use protocol::parameters::Parameters;
use protocol::portion::Portion;
use protocol::reading::Register;
use protocol::record::Sort;
use protocol::slot::Slot;
use protocol::tariff::StepId;

type Street = Region<Plain>;

/// Energy that waits for listings, waits to be carried, and is given up.
type Parts = (u64, u64, u64);

fn import(wh: u64) -> Quantities {
    Quantities::from([(IMPORT, wh)])
}

fn stands(wh: u64) -> Stands {
    Stands::from([(IMPORT, Stand { series: Digest::LAST, wh })])
}

impl Street {
    /// The slots at positions, which have ended.
    fn ended(&mut self, positions: &Range<u64>) -> (Slot, Slot) {
        self.end_slot(positions.end - 1);
        (self.slot(positions.start), self.slot(positions.end))
    }

    /// The holder measured so much and contributed nothing.
    fn gap(&mut self, positions: Range<u64>, wh: u64) {
        let slots = self.ended(&positions);
        self.meters[HOLDER].handle_gap(slots, &import(wh));
        self.drain(HOLDER);
    }

    /// The listing of a portion that counts the holder at these positions and
    /// everybody else in every slot.
    fn listing(&self, portion: Portion, counted: &[u64]) -> Listing {
        let is_present = |slot: Slot, at: usize| {
            at != HOLDER || counted.iter().any(|position| self.slot(*position) == slot)
        };
        let present = |slot| set((0..MEMBERS).filter(|at| is_present(slot, *at)));
        let sets = listing::slots_of(&self.roster, portion).into_iter().map(present).collect();
        Listing { portion, previous: Digest::NONE, sets, void: BTreeMap::new() }
    }

    /// The holder hears that a listing is final.
    fn settle_with(&mut self, listing: &Listing) {
        let message = self.final_listing(listing, 0..MEMBERS);
        self.tell(HOLDER, &message);
    }

    fn settle(&mut self, portion: Portion, counted: &[u64]) {
        self.settle_with(&self.listing(portion, counted));
    }

    fn parts(&self) -> Parts {
        let of: Uncounted =
            self.meters[HOLDER].uncounted().get(&IMPORT).copied().unwrap_or_default();
        (of.unsettled_wh, of.pooled_wh, of.lost_wh)
    }
}

/// Two steps of four slots in windows of eight.
fn two_steps() -> Parameters {
    let window_slots = 8.try_into().unwrap();
    Parameters { window_slots, tariff: peak(4, 8), ..parameters::<Plain>() }
}

#[test]
fn a_gap_is_pooled_only_when_all_its_portions_are_settled() {
    let mut street = Street::open(MEMBERS);
    street.gap(2..6, 400);
    assert_eq!(street.parts(), (400, 0, 0));
    street.settle(portion(0), &[]);
    assert_eq!(street.parts(), (400, 0, 0));
    street.settle(portion(1), &[]);
    assert_eq!(street.parts(), (0, 400, 0));
}

#[test]
fn a_gap_that_is_heard_of_late_is_pooled_at_once() {
    let mut street = Street::open(MEMBERS);
    street.end_slot(3);
    street.settle(portion(0), &[]);
    street.gap(0..4, 400);
    assert_eq!(street.parts(), (0, 400, 0));
    assert_eq!(street.disks[HOLDER].of(Sort::Gap).count(), 0);
}

#[test]
fn a_gap_of_which_a_slot_was_counted_after_all_is_never_carried() {
    let mut street = Street::open(MEMBERS);
    street.gap(2..6, 400);
    street.settle(portion(0), &[3]);
    street.settle(portion(1), &[]);
    assert_eq!(street.parts(), (0, 0, 400));
}

#[test]
fn a_gap_with_a_void_slot_is_never_carried() {
    let mut street = Street::open(MEMBERS);
    street.gap(0..4, 400);
    let slot = street.slot(0);
    let played = messages(&street.play_all(slot, 1..MEMBERS));
    let sets = [&played[..], &played[1..]];
    let [first, second] =
        sets.map(|listed| street.by_collector(&region_request(slot, listed)).into());
    let (key, binding) = (street.body().collector, *street.roster.digest());
    let evidence = Evidence { key, binding, first, second };
    let mut listing = street.listing(portion(0), &[]);
    listing.sets[0] = set([]);
    listing.void = BTreeMap::from([(slot, evidence)]);
    street.settle_with(&listing);
    assert_eq!(street.parts(), (0, 0, 400));
}

#[test]
fn a_gap_that_no_final_listing_settles_is_given_up_with_its_epoch() {
    let mut street = Street::open(MEMBERS);
    street.gap(0..4, 400);
    street.now = street.roster.last_deadline() + std::time::Duration::from_secs(1);
    street.meters[HOLDER].handle_timeout(street.now);
    street.drain(HOLDER);
    assert_eq!(street.parts(), (0, 0, 400));
    assert_eq!(street.disks[HOLDER].of(Sort::Gap).count(), 0);
}

#[test]
fn a_gap_is_split_evenly_over_its_slots_and_their_steps() {
    let mut street = Street::open_with(MEMBERS, two_steps());
    street.gap(1..8, 700);
    let first = street.roster.step_of(street.slot(0));
    street.settle(Portion { step: first, ..portion(0) }, &[]);
    assert_eq!(street.parts(), (700, 0, 0));
    street.settle(Portion { step: StepId(1 - first.0), ..portion(0) }, &[]);
    assert_eq!(street.parts(), (0, 700, 0));
    // Three slots of the one step and four of the other, each over four slots.
    for position in 8..16 {
        let (slot, before) = (street.end_slot(position), street.parts().1);
        street.contribution(HOLDER, slot, 0);
        let carried = if street.roster.step_of(slot) == first { 75 } else { 100 };
        assert_eq!(before - street.parts().1, carried);
    }
}

#[test]
fn a_gap_survives_restarts_at_any_point() {
    let mut street = Street::open(MEMBERS);
    street.restart(HOLDER);
    street.gap(2..6, 400);
    let until = street.meters[HOLDER].measured_until();
    assert_eq!(until, Some(street.roster.grid().start(street.slot(6))));
    for (window, parts) in [(0, (400, 0, 0)), (1, (0, 400, 0))] {
        street.restart(HOLDER);
        street.settle(portion(window), &[]);
        street.restart(HOLDER);
        street.settle(portion(window), &[]);
        assert_eq!(street.parts(), parts);
        assert_eq!(street.meters[HOLDER].measured_until(), until);
    }
}

#[test]
fn that_a_slot_of_a_gap_was_counted_survives_a_restart() {
    let mut street = Street::open(MEMBERS);
    street.gap(2..6, 400);
    street.settle(portion(0), &[3]);
    street.restart(HOLDER);
    street.settle(portion(1), &[]);
    assert_eq!(street.parts(), (0, 0, 400));
}

#[test]
fn what_was_measured_is_given_once() {
    let mut street = Street::open(MEMBERS);
    street.gap(0..3, 300);
    for positions in [0..3, 2..4, 0..4] {
        street.gap(positions, 1000);
        assert_eq!(street.parts(), (300, 0, 0));
    }
    street.restart(HOLDER);
    street.gap(2..4, 1000);
    street.gap(3..4, 100);
    assert_eq!(street.parts(), (400, 0, 0));
}

#[test]
fn a_slot_of_a_gap_is_not_encrypted_any_more() {
    let mut street = Street::open(MEMBERS);
    street.gap(0..2, 200);
    let slot = street.slot(1);
    let said = street.read(HOLDER, slot, 1);
    assert_eq!(events(&said), [Event::SlotRefused { slot, error: SlotError::Again }]);
    assert_eq!(street.parts(), (200, 0, 0));
    let slot = street.end_slot(2);
    assert_eq!(published(&street.read(HOLDER, slot, 1), "/contribution").len(), 1);
}

#[test]
fn what_is_too_large_for_a_reading_is_a_gap_once() {
    let mut street = Street::open(MEMBERS);
    let slot = street.end_slot(0);
    for _ in 0..2 {
        street.read(HOLDER, slot, 40_000);
        assert_eq!(street.parts(), (40_000, 0, 0));
    }
    street.settle(portion(0), &[]);
    assert_eq!(street.parts(), (0, 40_000, 0));
}

#[test]
fn the_stands_are_kept_with_the_energy_that_leads_to_them() {
    let mut street = Street::open(MEMBERS);
    let slots = street.ended(&(0..2));
    let measured = Measured { energy: &import(200), stands: Some(&stands(1_200)) };
    street.meters[HOLDER].handle_gap(slots, measured);
    street.drain(HOLDER);
    street.restart(HOLDER);
    assert!(street.meters[HOLDER].stands() == Some(&stands(1_200)));
    let slot = street.end_slot(2);
    let measured = Measured { energy: &import(7), stands: Some(&stands(1_207)) };
    street.meters[HOLDER].handle_reading(slot, measured, street.now);
    street.drain(HOLDER);
    street.restart(HOLDER);
    assert!(street.meters[HOLDER].stands() == Some(&stands(1_207)));
}

#[test]
fn stands_of_refused_energy_are_not_kept() {
    let mut street = Street::open(MEMBERS);
    let slots = street.ended(&(0..2));
    let measured = Measured { energy: &import(200), stands: Some(&stands(1_200)) };
    street.meters[HOLDER].handle_gap(slots, measured);
    let again = Measured { energy: &import(1), stands: Some(&stands(1_201)) };
    street.meters[HOLDER].handle_gap(slots, again);
    street.meters[HOLDER].handle_reading(slots.0, again, street.now);
    assert!(street.meters[HOLDER].stands() == Some(&stands(1_200)));
}

#[test]
fn stands_are_forgotten_where_energy_comes_without() {
    let mut street = Street::open(MEMBERS);
    let slots = street.ended(&(0..2));
    let measured = Measured { energy: &import(200), stands: Some(&stands(1_200)) };
    street.meters[HOLDER].handle_gap(slots, measured);
    let slot = street.end_slot(2);
    street.contribution(HOLDER, slot, 1);
    assert_eq!(street.disks[HOLDER].of(Sort::Stand).count(), 0);
    street.restart(HOLDER);
    assert!(street.meters[HOLDER].stands().is_none());
}

#[test]
fn a_gap_holds_the_registers_of_the_roster_alone() {
    let both = Quantities::from([(IMPORT, 100), (Register::Export, 50)]);
    for (parameters, exported) in
        [(parameters::<Plain>(), None), (both_registers::<Plain>(), Some(50))]
    {
        let mut street = Street::open_with(MEMBERS, parameters);
        let slots = street.ended(&(0..2));
        street.meters[HOLDER].handle_gap(slots, &both);
        let uncounted = street.meters[HOLDER].uncounted();
        let unsettled = |register| uncounted.get(&register).map(|of: &Uncounted| of.unsettled_wh);
        assert_eq!(unsettled(Register::Export), exported);
        assert_eq!(unsettled(IMPORT), Some(100));
    }
}

#[test]
fn the_energy_of_a_gap_is_in_the_sums_of_later_slots() {
    let mut street = Street::open(MEMBERS);
    for position in 0..4 {
        let slot = street.end_slot(position);
        for at in 1..MEMBERS {
            street.meters[at].handle_reading(slot, &import(1 << at), street.now);
        }
        street.close(slot);
    }
    street.gap(0..4, 403);
    assert_eq!(street.parts(), (0, 403, 0));
    street.run_slots(4..8);
    let all = street.results().into_iter();
    let regions = all.filter(|result| matches!(result.subject, Subject::Region(_)));
    let sums: Vec<_> = regions.map(|result| result.sum_wh).skip(4).collect();
    assert_eq!(sums, [101, 101, 101, 100].map(|carried| ALL + carried));
    street.close(street.slot(7));
    assert_eq!(street.parts(), (0, 0, 0));
}

#[test]
fn a_gap_of_more_than_its_slots_can_hold_is_dropped() {
    for (wh, kept) in [(2 * 65_535, 2 * 65_535), (2 * 65_535 + 1, 0), (u64::MAX, 0)] {
        let mut street = Street::open(MEMBERS);
        let (first, end) = (street.slot(1), street.end_slot(3));
        street.meters[HOLDER].handle_gap((first, end), &import(wh));
        let said = events(&street.drain(HOLDER));
        let refused = Event::GapRefused { first, end };
        assert_eq!(said.contains(&refused), kept == 0, "{said:?}");
        assert_eq!(street.parts(), (kept, 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_parts_of_two_epochs_add_up_to_the_whole(
        first in 0_u64..4,
        last in 4_u64..8,
        wh in 0_u64..100_000,
    ) {
        let mut street = Street::open(MEMBERS);
        street.run_slot(0);
        let start = street.slot(0);
        let mut before = street.next_epoch(&[0, 1, 2, 3, 4]);
        prop_assert_eq!(street.slot(0), start.plus(4));
        street.restart(HOLDER);
        let slots = (start.plus(first.max(1)), start.plus(last + 1));
        street.now = street.roster.grid().start(slots.1);
        let (unsettled, ..) = street.parts();
        street.meters[HOLDER].handle_gap(slots, &import(wh));
        street.drain(HOLDER);
        prop_assert_eq!(street.parts(), (unsettled + wh, 0, 0));
        street.settle(portion(0), &[]);
        std::mem::swap(&mut street.roster, &mut before);
        street.settle(portion(0), &[0]);
        prop_assert_eq!(street.parts(), (0, wh, 0));
    }
}
