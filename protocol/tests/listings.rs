//! What a holder endorses, which listings are final, and what follows from
//! them.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use aggregation::Plain;
use common::billed::{ALL, Billed, PORTION};
use common::region::{Answer, HOLDER, MEMBERS, Region, portion, set};
use common::{Kit, dealt, events, parameters, published};
use protocol::envelope::{Envelope, Rejection};
use protocol::evidence::Evidence;
use protocol::id::Digest;
use protocol::listing::{self, ListingError};
use protocol::members::MemberSet;
use protocol::message::{Inquiry, Listing};
use protocol::output::Event;
use protocol::release::Reason;

type Street = Billed<Plain>;

impl<S: Kit> Billed<S> {
    /// Asks the holder to endorse a listing; why it does not, if so.
    fn endorse(&mut self, listing: &Listing) -> Result<(), Reason> {
        let message = self.street.by_collector(listing);
        self.said = self.street.tell(HOLDER, &message);
        let refused = events(&self.said).into_iter().find_map(|event| match event {
            Event::Refused { reason, .. } => Some(reason),
            _ => None,
        });
        let endorsed = published(&self.said, "/listing").iter().any(|message| {
            Envelope::parse(message).unwrap().header().kind.as_str() == "endorsement"
        });
        assert_ne!(endorsed, refused.is_some());
        refused.map_or(Ok(()), Err)
    }

    /// Two requests for different sets of a slot.
    fn two_sets(&self, position: usize) -> Evidence {
        let slot = self.street.slot(position as u64);
        let other = common::region::region_request(slot, &[]);
        Evidence {
            key: self.street.body().collector,
            binding: *self.street.roster.digest(),
            first: self.requests[position].clone().into(),
            second: self.street.by_collector(&other).into(),
        }
    }

    /// The listing with a void slot.
    fn void(&self, position: usize, evidence: Evidence) -> Listing {
        let mut listing = self.listing();
        listing.sets[position] = MemberSet::default();
        listing.void.insert(self.street.slot(position as u64), evidence);
        listing
    }

    /// What the holder asks for.
    fn inquiries(&self) -> Vec<Inquiry> {
        let opened = published(&self.said, "/listing").into_iter().filter_map(|message| {
            let envelope = Envelope::parse(&message).unwrap();
            Some(self.street.roster.open_from_member::<Inquiry>(&envelope).ok()?.1)
        });
        opened.collect()
    }
}

/// A street whose first window is over and was answered, with nothing listed.
fn ended(absent: &[(usize, u32)]) -> Street {
    Street::ended(parameters::<Plain>(), absent, &ALL)
}

/// The listing with another set at a position.
fn with(street: &Street, position: usize, members: MemberSet) -> Listing {
    let mut listing = street.listing();
    listing.sets[position] = members;
    listing
}

#[test]
fn a_holder_endorses_a_listing_that_agrees_with_what_it_answered() {
    let mut street = ended(&[(3, 1)]);
    let listing = street.listing();
    assert_eq!(street.endorse(&listing), Ok(()));
    let first = published(&street.said, "/listing");
    assert_eq!(street.endorse(&listing), Ok(()));
    assert_eq!(published(&street.said, "/listing"), first);
}

#[test]
fn a_listing_that_hides_an_opened_sum_is_refused() {
    let mut street = ended(&[]);
    let hidden = with(&street, 2, MemberSet::default());
    assert_eq!(street.endorse(&hidden), Err(Reason::Set(street.street.slot(2))));
}

#[test]
fn a_listing_with_another_set_than_was_answered_is_refused() {
    let mut street = ended(&[(3, 1)]);
    for members in [set(0..MEMBERS), set(0..4), set([0, 1, 3, 4])] {
        let other = with(&street, 1, members);
        assert_eq!(street.endorse(&other), Err(Reason::Set(street.street.slot(1))));
    }
}

#[test]
fn a_holder_endorses_one_listing_of_a_portion() {
    let mut street = Street::ended(parameters::<Plain>(), &[], &[0, 1, 3]);
    let first = with(&street, 2, MemberSet::default());
    assert_eq!(street.endorse(&first), Ok(()));
    let (second, digest) = (street.listing(), listing::digest(&first));
    assert_eq!(street.endorse(&second), Err(Reason::Endorsed(digest)));
    street.street.restart(HOLDER);
    assert_eq!(street.endorse(&second), Err(Reason::Endorsed(digest)));
    assert_eq!(street.endorse(&first), Ok(()));
}

#[test]
fn a_set_that_is_not_the_listed_one_is_never_answered() {
    let mut street = Street::ended(parameters::<Plain>(), &[], &[0, 1, 3]);
    let hidden = with(&street, 2, MemberSet::default());
    assert_eq!(street.endorse(&hidden), Ok(()));
    let (request, slot) = (street.requests[2].clone(), street.street.slot(2));
    let refused = Answer::Refused(Reason::Unlisted(slot));
    assert_eq!(street.street.ask_with(HOLDER, &request), refused);
    // Nor is it by a holder that knows the final listing alone.
    let mut street = Street::ended(parameters::<Plain>(), &[], &[0, 1, 3]);
    street.settle(&hidden);
    assert_eq!(street.street.ask_with(HOLDER, &request), refused);
}

#[test]
fn the_listed_set_is_answered_still() {
    let mut street = Street::ended(parameters::<Plain>(), &[], &[0, 1, 3]);
    let listing = street.listing();
    assert_eq!(street.endorse(&listing), Ok(()));
    street.hear(2);
}

#[test]
fn a_slot_with_two_sets_is_void() {
    let mut street = ended(&[]);
    let listing = street.void(1, street.two_sets(1));
    assert_eq!(street.endorse(&listing), Ok(()));
    street.settle(&listing);
    // It is neither billed nor carried.
    let lost = street.street.meters[HOLDER].uncounted()[&common::region::IMPORT];
    assert_eq!((lost.lost_wh, lost.pooled_wh, lost.unsettled_wh), (1, 0, 0));
    let claim = street.claimed();
    assert_eq!(claim.listing, listing::digest(&listing));
}

#[test]
fn no_slot_is_void_without_evidence() {
    let mut street = ended(&[]);
    let slot = street.street.slot(1);
    let void = Err(Reason::Listing(ListingError::Void(slot)));
    let same = Evidence { second: street.two_sets(1).first, ..street.two_sets(1) };
    let elsewhere = Evidence { binding: Digest::NONE, ..street.two_sets(1) };
    for evidence in [same, elsewhere, street.two_sets(2)] {
        let listing = street.void(1, evidence);
        assert_eq!(street.endorse(&listing), void);
    }
    let mut both = street.listing();
    both.void.insert(slot, street.two_sets(1));
    assert_eq!(street.endorse(&both), void);
}

#[test]
fn a_listing_of_strangers_or_of_too_few_is_refused() {
    let mut street = Street::ended(parameters::<Plain>(), &[], &[0, 1, 3]);
    let slot = street.street.slot(2);
    for members in [set(0..3), set(1..6)] {
        let listing = with(&street, 2, members);
        assert_eq!(street.endorse(&listing), Err(ListingError::Set(slot).into()));
    }
    let short = Listing { sets: vec![set(0..MEMBERS); 3], ..street.listing() };
    let slots = ListingError::Slots { found: 3, expected: 4 };
    assert_eq!(street.endorse(&short), Err(slots.into()));
    let nowhere = Listing { portion: portion(9), ..street.listing() };
    assert_eq!(street.endorse(&nowhere), Err(Reason::Outside));
}

#[test]
fn a_listing_is_endorsed_between_the_end_and_the_deadline_of_its_window() {
    let mut street = ended(&[]);
    let next = street.listing_of(1);
    assert_eq!(street.endorse(&next), Err(Reason::NotEnded));
    let closes = street.street.roster.slot_closes(street.street.slot(3));
    street.street.now = closes + Duration::from_hours(2) + Duration::from_millis(1);
    let listing = street.listing();
    assert_eq!(street.endorse(&listing), Err(Reason::PastDeadline));
}

/// Why a final listing is none.
fn final_error(street: &mut Street, holders: impl IntoIterator<Item = usize>) -> Option<String> {
    let message = street.street.final_listing(&street.listing(), holders);
    let said = events(&street.street.tell(HOLDER, &message));
    said.into_iter().find_map(|event| match event {
        Event::Rejected { reason, .. } => Some(reason),
        _ => None,
    })
}

#[test]
fn a_listing_is_final_once_as_many_holders_as_the_threshold_have_endorsed_it() {
    let mut street = Street::ended(dealt::<Plain>(), &[], &[]);
    let few = ListingError::NotFinal { found: 3, needed: 4 };
    let refused = Some(Reason::Listing(few).to_string());
    assert_eq!(final_error(&mut street, 1..4), refused);
    let twice = Some(Reason::Listing(Rejection::NotCanonical.into()).to_string());
    assert_eq!(final_error(&mut street, [1, 1, 2, 3]), twice);
    assert_eq!(final_error(&mut street, 1..5), None);
}

#[test]
fn a_forged_final_listing_is_none() {
    let mut street = ended(&[]);
    let body = street.street.final_listing(&street.listing(), 0..MEMBERS);
    let body: protocol::message::FinalListing = Envelope::parse(&body).unwrap().peek().unwrap();
    let by_member = street.street.by_meter(1, &body);
    let other = street.street.by_collector(&with(&street, 0, MemberSet::default()));
    let swapped = protocol::message::FinalListing { listing: other.into(), ..body };
    let swapped = street.street.by_collector(&swapped);
    for message in [by_member, swapped] {
        let said = events(&street.street.tell(HOLDER, &message));
        assert!(matches!(said[..], [Event::Rejected { .. }]), "{said:?}");
    }
}

/// A street of two windows, the first of which withholds all of its slots:
/// the last member is counted in two of them.
fn withholding() -> (Street, Listing, Listing) {
    let mut street = ended(&[(4, 0), (4, 1)]);
    for position in 4..8 {
        street.end_slot(position);
        street.hear(position);
    }
    let first = street.listing();
    let second = Listing { previous: listing::digest(&first), ..street.listing_of(1) };
    (street, first, second)
}

#[test]
fn withheld_slots_join_once_their_listing_is_known_to_be_final() {
    let (mut street, first, second) = withholding();
    assert_eq!(street.endorse(&second), Err(Reason::Previous));
    let due = street.street.meters[HOLDER].poll_timeout().unwrap();
    assert!(due <= street.street.now);
    street.street.meters[HOLDER].handle_timeout(street.street.now);
    street.said = street.street.drain(HOLDER);
    assert_eq!(street.inquiries(), [Inquiry { portion: PORTION }]);
    street.settle(&first);
    assert!(published(&street.said, "/claim").is_empty());
    assert_eq!(street.endorse(&second), Ok(()));
    street.settle(&second);
    assert_eq!(street.claimed().listing, listing::digest(&second));
}

#[test]
fn the_same_withheld_slots_never_join_two_listings() {
    let (mut street, first, second) = withholding();
    street.settle(&first);
    for position in 8..12 {
        street.end_slot(position);
        street.hear(position);
    }
    let third = Listing { previous: listing::digest(&first), ..street.listing_of(2) };
    assert_eq!(street.endorse(&second), Ok(()));
    assert_eq!(street.endorse(&third), Err(Reason::Previous));
    street.street.restart(HOLDER);
    assert_eq!(street.endorse(&third), Err(Reason::Previous));
    // In the other order as well.
    let (mut street, first, second) = withholding();
    street.settle(&first);
    for position in 8..12 {
        street.end_slot(position);
        street.hear(position);
    }
    assert_eq!(street.endorse(&third), Ok(()));
    assert_eq!(street.endorse(&second), Err(Reason::Previous));
}

#[test]
fn a_listing_follows_the_latest_final_one_and_no_other() {
    let (mut street, first, second) = withholding();
    street.settle(&first);
    let invented = Listing { previous: Digest::of("listing", b"none"), ..second.clone() };
    assert_eq!(street.endorse(&invented), Err(Reason::Previous));
    street.settle(&second);
    for position in 8..12 {
        street.end_slot(position);
        street.hear(position);
    }
    let third = Listing { previous: listing::digest(&first), ..street.listing_of(2) };
    assert_eq!(street.endorse(&third), Err(Reason::Previous));
    let third = Listing { previous: Digest::NONE, ..third };
    assert_eq!(street.endorse(&third), Ok(()));
}

#[test]
fn a_member_that_was_away_asks_for_the_listings_that_it_missed() {
    let mut street = Region::<Plain>::open_with(MEMBERS, dealt::<Plain>());
    street.run_slots(0..3);
    // Its last contribution is lost, and it hears nothing of the listing.
    let slot = street.end_slot(3);
    street.offline.insert(4);
    for at in 0..MEMBERS {
        street.meters[at].handle_reading(
            slot,
            &BTreeMap::from([(common::region::IMPORT, 7)]),
            street.now,
        );
    }
    street.close(slot);
    street.run_until(street.now + Duration::from_mins(10));
    assert_eq!(street.meters[4].uncounted()[&common::region::IMPORT].unsettled_wh, 3 * 16 + 7);
    street.offline.clear();
    street.meters[4].handle_connected(street.now);
    street.run_until(street.now + Duration::from_hours(1));
    let left = street.meters[4].uncounted()[&common::region::IMPORT];
    assert_eq!((left.unsettled_wh, left.pooled_wh), (0, 7));
}

#[test]
fn who_misses_a_final_listing_asks_for_it_while_claims_are_waited_for() {
    let mut street = Region::<Plain>::open_with(MEMBERS, dealt::<Plain>());
    street.run_slots(0..3);
    let slot = street.end_slot(3);
    let last = street.contribution(4, slot, 1 << 4);
    street.send(&last);
    street.offline.insert(4);
    street.run_slot(3);
    assert_eq!(street.finals().len(), 1);
    street.offline.clear();
    street.run_until(street.now + Duration::from_hours(2));
    assert_eq!(street.sums()[4..], [4, 8, 16, 32, 64]);
}

#[test]
fn two_sets_after_a_restored_collector_make_the_slot_void() {
    let mut street = Region::<Plain>::open_with(MEMBERS, dealt::<Plain>());
    street.run_slots(0..2);
    let slot = street.run_slot(2);
    let asked = published(&street.outputs, "/c/request").pop().unwrap();
    // The collector was put back to before it asked, and asks for another set.
    let other: Vec<_> = street.play_all(slot, 0..4).into_iter().map(|one| one.message).collect();
    let other = street.by_collector(&common::region::region_request(slot, &other));
    for at in 0..MEMBERS {
        street.tell(at, &asked);
        let said = street.tell(at, &other);
        let evidence = published(&said, "/evidence");
        assert_eq!(evidence.len(), 1);
        street.send(&evidence[0]);
    }
    street.run_slot(3);
    street.run_until(street.now + Duration::from_mins(1));
    let [listing] = &street.heard::<Listing>("/c/listing")[..] else { panic!("no one listing") };
    assert!(listing.void.keys().eq([&slot]));
    let bills: Vec<_> = street.sums().split_off(4);
    assert_eq!(bills, (0..MEMBERS).map(|at| 3 << at).collect::<Vec<_>>());
}
