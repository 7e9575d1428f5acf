//! Whoever has a round's transcript and the roster finds its results again, and
//! finds every lie.
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

use aggregation::{ElGamal, Plain};
use common::region::{ALL, IMPORT, MEMBERS, Region, portion, region_request};
use common::{Kit, both_registers, dealt, meter_id, meter_ids, parameters, rng};
use protocol::entry::EntryError;
use protocol::envelope::{Envelope, Rejection, encode};
use protocol::listing::{self, ListingError};
use protocol::message::{FinalListing, Listing, Outcome, Request, Share, Subject, Target};
use protocol::parameters::Parameters;
use protocol::reading::Register;
use protocol::release::{self, Reason};
use protocol::transcript::{self, Piece, Transcript, TranscriptError, Verified, VerifiedSum};
use rand::RngExt as _;
use serde_bytes::ByteBuf;

const EXPORT: Register = Register::Export;

type Verdict = Result<Verified, TranscriptError>;

impl<S: Kit> Region<S> {
    fn transcript(&self, target: Target) -> Transcript {
        transcript::of(&self.disk, self.roster.epoch(), target).unwrap().unwrap()
    }

    fn slot_transcript(&self, position: u64) -> Transcript {
        self.transcript(Target::Region(self.slot(position)))
    }

    fn bill_transcript(&self, window: u64) -> Transcript {
        self.transcript(Target::Bill(portion(window)))
    }

    /// What anybody finds who has the bytes and the roster.
    fn verdict_of(&self, bytes: &[u8]) -> Verdict {
        Transcript::from_bytes(bytes)?.verify(&self.roster)
    }

    fn verdict(&self, transcript: &Transcript) -> Verdict {
        self.verdict_of(&transcript.to_bytes())
    }

    fn lie(&self, transcript: &Transcript) -> TranscriptError {
        self.verdict(transcript).unwrap_err()
    }

    fn results_in(&self, transcript: &Transcript) -> Vec<Outcome> {
        let open = |message: &ByteBuf| {
            self.roster.open_from_collector(&Envelope::parse(message).unwrap()).unwrap()
        };
        transcript.results.iter().map(open).collect()
    }

    /// Bends what the results say, and signs them again.
    fn bend(&self, transcript: &mut Transcript, bend: impl FnOnce(&mut [Outcome])) {
        let mut results = self.results_in(transcript);
        bend(&mut results);
        let signed = |result| ByteBuf::from(self.by_collector(result));
        transcript.results = results.iter().map(signed).collect();
    }

    /// What is found where the collector bends the results.
    fn bent(&self, transcript: &Transcript, bend: impl FnOnce(&mut [Outcome])) -> TranscriptError {
        let mut altered = transcript.clone();
        self.bend(&mut altered, bend);
        self.lie(&altered)
    }

    /// A transcript in which every holder has helped with a request that none
    /// should answer.
    fn helped_by_all(&mut self, request: &Request, honest: &Transcript) -> Transcript {
        let shares: Vec<_> = (0..MEMBERS).map(|at| self.played_share(at, request)).collect();
        let signed = |(at, share)| ByteBuf::from(self.by_meter(at, share));
        Transcript {
            request: self.by_collector(request).into(),
            shares: shares.iter().enumerate().map(signed).collect(),
            ..honest.clone()
        }
    }

    fn listing_in(&self, message: &[u8]) -> Listing {
        let envelope = Envelope::parse(message).unwrap();
        let body: FinalListing = self.roster.open_from_collector(&envelope).unwrap();
        listing::open_final(&self.roster, &body).unwrap().0
    }

    /// Lets a slot pass to which the first members contribute; one Wh each.
    fn run_with(&mut self, position: u64, present: usize) {
        let slot = self.end_slot(position);
        for at in 0..present {
            let quantities = BTreeMap::from([(IMPORT, 1), (EXPORT, 0)]);
            self.meters[at].handle_reading(slot, &quantities, self.now);
        }
        self.close(slot);
    }
}

/// A street of all registers whose first sums are opened.
fn counted() -> (Region<ElGamal>, Transcript) {
    let mut street = Region::open_with(MEMBERS, both_registers::<ElGamal>());
    street.run_slot(0);
    let transcript = street.slot_transcript(0);
    (street, transcript)
}

/// A street whose first bills are opened.
fn billed<S: Kit>(parameters: Parameters) -> (Region<S>, Transcript) {
    let mut street = Region::open_with(MEMBERS, parameters);
    street.run_slots(0..4);
    let transcript = street.bill_transcript(0);
    (street, transcript)
}

/// A street of which four holders open a sum, and whose second bills cover two
/// slots of the first window.
fn joined<S: Kit>() -> (Region<S>, Transcript) {
    let window_slots = NonZeroU32::new(8).unwrap();
    let mut street = Region::open_with(MEMBERS, Parameters { window_slots, ..dealt::<S>() });
    for position in 0..16 {
        // The last member appears in slots 6 and 7, and from then on.
        street.run_with(position, if position < 6 { MEMBERS - 1 } else { MEMBERS });
    }
    let transcript = street.bill_transcript(1);
    (street, transcript)
}

fn sum(subject: Subject, register: Register, (slots, sum_wh): (u32, u64)) -> VerifiedSum {
    VerifiedSum { subject, register, slots, sum_wh }
}

fn of_region<S: Kit>(street: &Region<S>) -> Subject {
    Subject::Region(street.roster.region().clone())
}

fn of_meter(at: usize) -> Subject {
    Subject::Meter(meter_id(at))
}

#[test]
fn the_sums_of_a_region_are_found_again() {
    let (street, transcript) = counted();
    let sums = [(IMPORT, ALL), (EXPORT, 0)];
    let verified = Verified {
        target: Target::Region(street.slot(0)),
        contributors: meter_ids(0..MEMBERS),
        helpers: meter_ids(0..MEMBERS),
        sums: sums.map(|(of, wh)| sum(of_region(&street), of, (1, wh))).to_vec(),
    };
    assert_eq!(street.verdict(&transcript), Ok(verified));
}

#[test]
fn bills_are_found_again_with_the_slots_that_joined() {
    let (street, transcript) = joined::<ElGamal>();
    assert_eq!(transcript.listings.len(), 2);
    let verified = Verified {
        target: Target::Bill(portion(1)),
        contributors: meter_ids(0..MEMBERS),
        helpers: meter_ids(0..4),
        sums: (0..MEMBERS).map(|at| sum(of_meter(at), IMPORT, (10, 10))).collect(),
    };
    assert_eq!(street.verdict(&transcript), Ok(verified));
}

#[test]
fn a_transcript_holds_the_results_as_they_were_published() {
    for (street, transcript) in [counted(), billed(both_registers::<ElGamal>())] {
        let published = common::published(&street.outputs, "/c/result");
        let last = published.len() - transcript.results.len();
        assert_eq!(transcript.results, published[last..]);
    }
}

#[test]
fn a_transcript_outlives_a_restart_of_the_collector() {
    let (mut street, transcript) = counted();
    street.restart_collector();
    street.run_until(street.now + Duration::from_hours(3));
    assert_eq!(street.slot_transcript(0), transcript);
}

#[test]
fn a_bad_share_is_in_no_transcript() {
    let mut street = Region::<ElGamal>::open_with(MEMBERS, dealt::<ElGamal>());
    let slot = street.end_slot(0);
    street.offline.extend(0..MEMBERS);
    for at in 1..MEMBERS {
        let contribution = street.contribution(at, slot, 1);
        street.send(&contribution);
    }
    street.close(slot);
    let request = release::digest(&street.last_request());
    let bad = street.by_meter(0, &Share { request, response: vec![0; 96].into() });
    street.send(&bad);
    street.offline = [0].into();
    street.run_until(street.now + Duration::from_hours(1));
    let transcript = street.slot_transcript(0);
    assert_eq!(street.verdict(&transcript).unwrap().helpers, meter_ids(1..MEMBERS));
    assert_eq!(street.results_in(&transcript)[0].culprits, meter_ids([0]));
}

#[test]
fn a_round_without_results_has_no_transcript() {
    let mut street = Region::<Plain>::open(MEMBERS);
    street.run_with(0, 2);
    let target = Target::Region(street.slot(0));
    assert_eq!(transcript::of(&street.disk, street.roster.epoch(), target), Ok(None));
    assert_eq!(transcript::combined(&street.disk).count(), 0);
}

#[test]
fn a_transcript_has_one_encoding() {
    let (street, transcript) = counted();
    let Transcript { listings, request, shares, results } = &transcript;
    let honest = encode(&(transcript::VERSION, listings, request, shares, results));
    assert!(street.verdict_of(&honest).is_ok());
    let longer = [&honest[..], &[0]].concat();
    assert_eq!(street.verdict_of(&longer), Err(TranscriptError::Unreadable));
    // The same array of an indefinite length.
    let other = [&[0x9f], &honest[1..], &[0xff]].concat();
    assert_eq!(street.verdict_of(&other), Err(TranscriptError::Unreadable));
    let newer = encode(&(2_u64, listings, request, shares, results));
    assert_eq!(street.verdict_of(&newer), Err(TranscriptError::Version(2)));
}

/// Whether a transcript is refused with another bit at this byte.
fn is_refused<S: Kit>(street: &Region<S>, bytes: &[u8], at: usize, bit: u8) -> bool {
    let mut bent = bytes.to_vec();
    bent[at] ^= 1 << bit;
    street.verdict_of(&bent).is_err()
}

#[test]
fn every_flipped_byte_of_a_regions_transcript_is_refused() {
    let (street, transcript) = counted();
    let (bytes, mut rng) = (transcript.to_bytes(), rng(1));
    for at in 0..bytes.len() {
        assert!(is_refused(&street, &bytes, at, rng.random_range(0..8)), "byte {at}");
    }
}

#[test]
fn every_flipped_byte_of_a_transcript_of_bills_is_refused() {
    let (street, transcript) = billed::<ElGamal>(parameters::<ElGamal>());
    let (bytes, mut rng) = (transcript.to_bytes(), rng(2));
    for at in 0..bytes.len() {
        assert!(is_refused(&street, &bytes, at, rng.random_range(0..8)), "byte {at}");
    }
}

#[test]
fn flipped_bits_anywhere_in_other_transcripts_are_refused() {
    let with_both = billed::<ElGamal>(both_registers::<ElGamal>());
    for (street, transcript) in [with_both, joined()] {
        let (bytes, mut rng) = (transcript.to_bytes(), rng(3));
        for _ in 0..100 {
            let (at, bit) = (rng.random_range(0..bytes.len()), rng.random_range(0..8));
            assert!(is_refused(&street, &bytes, at, bit), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_sum_that_is_off_by_one_is_refused() {
    let (street, transcript) = counted();
    for (at, register, sum_wh) in [(0, IMPORT, ALL - 1), (0, IMPORT, ALL + 1), (1, EXPORT, 1)] {
        let lie = TranscriptError::Sum { subject: of_region(&street), register, sum_wh };
        assert_eq!(street.bent(&transcript, |results| results[at].sum_wh = sum_wh), lie);
    }
}

#[test]
fn a_bill_that_is_off_by_one_is_refused() {
    let (street, transcript) = billed::<ElGamal>(parameters::<ElGamal>());
    for at in 0..MEMBERS {
        let sum_wh = (4 << at) + 1;
        let lie = TranscriptError::Sum { subject: of_meter(at), register: IMPORT, sum_wh };
        assert_eq!(street.bent(&transcript, |results| results[at].sum_wh = sum_wh), lie);
    }
}

/// The result of the region's import says something else than it has to.
fn says(street: &Region<ElGamal>, field: &'static str) -> TranscriptError {
    let (piece, subject, register) = (Piece::Result(1), of_region(street), IMPORT);
    TranscriptError::Result { piece, subject, register, field }
}

#[test]
fn a_contributor_that_is_left_out_is_refused() {
    let (street, transcript) = counted();
    let hide = |results: &mut [Outcome]| {
        let hidden = results[0].contributors.pop();
        results[0].uncounted.extend(hidden);
    };
    assert_eq!(street.bent(&transcript, hide), says(&street, "list of contributors"));
    let Request::Region(slot, mut listed) = street.last_request() else { panic!("no region") };
    listed.pop();
    let request = street.by_collector(&Request::Region(slot, listed)).into();
    let lie = street.lie(&Transcript { request, ..transcript });
    assert_eq!(lie, TranscriptError::OtherRequest(meter_id(0)));
}

#[test]
fn a_result_that_says_anything_else_is_refused() {
    type Bend = (&'static str, fn(&mut Outcome));
    let (street, transcript) = counted();
    let bends: [Bend; 9] = [
        ("subject", |result| result.subject = of_meter(0)),
        ("first slot", |result| result.first_slot = result.first_slot.plus(1)),
        ("number of slots", |result| result.slots = 2),
        ("list of uncounted members", |result| result.uncounted.push(meter_id(0))),
        ("tariff step", |result| result.step = "peak".parse().ok()),
        ("list of uncounted slots", |result| result.uncounted_slots.push(result.first_slot)),
        ("list of withheld slots", |result| result.withheld_slots.push(result.first_slot)),
        ("list of joined slots", |result| result.joined_slots.push(result.first_slot)),
        ("list of helpers", |result| drop(result.helpers.pop())),
    ];
    for (field, bend) in bends {
        assert_eq!(street.bent(&transcript, |all| bend(&mut all[0])), says(&street, field));
    }
}

#[test]
fn a_result_too_few_is_refused() {
    let (street, mut transcript) = counted();
    transcript.results.pop();
    let lie = TranscriptError::Results { found: 1, expected: 2 };
    assert_eq!(street.lie(&transcript), lie);
}

#[test]
fn results_that_are_swapped_between_registers_are_refused() {
    let (street, transcript) = counted();
    assert_eq!(street.bent(&transcript, |results| results.swap(0, 1)), says(&street, "register"));
    let swap_sums = |results: &mut [Outcome]| {
        (results[0].sum_wh, results[1].sum_wh) = (results[1].sum_wh, results[0].sum_wh);
    };
    let lie = TranscriptError::Sum { subject: of_region(&street), register: IMPORT, sum_wh: 0 };
    assert_eq!(street.bent(&transcript, swap_sums), lie);
}

#[test]
fn a_holder_that_helped_is_called_neither_a_culprit_nor_unanswered() {
    let (street, transcript) = counted();
    let accuse = |results: &mut [Outcome]| results[0].culprits.push(meter_id(2));
    let lie = street.bent(&transcript, accuse);
    assert_eq!(lie, TranscriptError::Culprit(meter_id(2)));
    let silence = |results: &mut [Outcome]| results[0].unanswered.push(meter_id(2));
    let lie = street.bent(&transcript, silence);
    assert_eq!(lie, says(&street, "list of unanswered holders"));
}

#[test]
fn a_share_too_few_is_refused() {
    let (street, transcript) = counted();
    let mut bent = transcript.clone();
    bent.shares.pop();
    street.bend(&mut bent, |results| {
        for result in results {
            let missing = result.helpers.pop();
            result.unanswered.extend(missing);
        }
    });
    let lie = TranscriptError::TooFewShares { found: 4, needed: 5 };
    assert_eq!(street.lie(&bent), lie);
}

#[test]
fn a_share_that_stands_twice_is_refused() {
    let (street, mut transcript) = counted();
    transcript.shares[4] = transcript.shares[3].clone();
    assert_eq!(street.lie(&transcript), TranscriptError::Order(meter_id(3)));
}

#[test]
fn a_share_of_another_round_is_refused() {
    let (mut street, mut transcript) = counted();
    street.run_slot(1);
    transcript.shares[2] = street.slot_transcript(1).shares[2].clone();
    assert_eq!(street.lie(&transcript), TranscriptError::OtherRequest(meter_id(2)));
}

#[test]
fn a_share_that_does_not_verify_is_refused() {
    let (mut street, mut transcript) = counted();
    let request = street.last_request();
    let mut share = street.played_share(2, &request);
    let other = street.played_share(1, &request);
    share.response = other.response;
    transcript.shares[2] = street.by_meter(2, &share).into();
    assert_eq!(street.lie(&transcript), TranscriptError::Share(meter_id(2)));
}

#[test]
fn a_transcript_under_another_roster_is_refused() {
    let (street, transcript) = counted();
    let other = Region::<ElGamal>::open_with(MEMBERS, parameters::<ElGamal>());
    let (piece, error) = (Piece::Request, Rejection::Signature);
    let lie = Err(TranscriptError::Rejected { piece, error });
    assert_eq!(transcript.verify(&other.roster), lie);
    assert!(transcript.verify(&street.roster).is_ok());
}

#[test]
fn a_set_of_too_few_is_refused_even_where_every_holder_has_helped() {
    let (mut street, transcript) = counted();
    let slot = street.slot(0);
    let listed = common::region::messages(&street.play_all(slot, 0..3));
    let bent = street.helped_by_all(&region_request(slot, &listed), &transcript);
    let lie = Reason::TooFew { found: 3, needed: 4 };
    assert_eq!(street.lie(&bent), TranscriptError::Set(lie));
}

#[test]
fn a_contribution_that_stands_twice_is_refused_even_where_every_holder_has_helped() {
    let (mut street, transcript) = counted();
    let slot = street.slot(0);
    let mut listed = common::region::messages(&street.play_all(slot, 0..4));
    listed.push(listed[1].clone());
    let bent = street.helped_by_all(&region_request(slot, &listed), &transcript);
    assert_eq!(street.lie(&bent), TranscriptError::Set(Reason::Twice(meter_id(1))));
}

#[test]
fn a_contribution_whose_proof_is_another_ones_is_refused() {
    let (mut street, transcript) = counted();
    let slot = street.slot(0);
    let mut played = street.play_all(slot, 0..4);
    let body = played[1].body.clone();
    played[0].message = street.by_meter(0, &body);
    let listed = common::region::messages(&played);
    let bent = street.helped_by_all(&region_request(slot, &listed), &transcript);
    assert_eq!(street.lie(&bent), TranscriptError::Set(Reason::Proof(meter_ids([0]))));
}

#[test]
fn a_sum_beyond_its_bound_is_refused_even_where_the_shares_open_it() {
    let (mut street, transcript) = counted();
    let slot = street.slot(0);
    let sum_wh = 5 * 65_535 + 1;
    let mut played = street.play_all(slot, 1..MEMBERS);
    played.insert(0, street.play(0, slot, sum_wh + 1 - ALL));
    let listed = common::region::messages(&played);
    let mut bent = street.helped_by_all(&region_request(slot, &listed), &transcript);
    street.bend(&mut bent, |all| all.iter_mut().for_each(|result| result.sum_wh = sum_wh));
    let lie = TranscriptError::Sum { subject: of_region(&street), register: IMPORT, sum_wh };
    assert_eq!(street.lie(&bent), lie);
}

#[test]
fn a_listing_that_is_not_final_is_refused() {
    let (street, transcript) = billed::<Plain>(parameters::<Plain>());
    let listing = street.listing_in(&transcript.listings[0]);
    let listings = vec![street.final_listing(&listing, 0..4).into()];
    let error = ListingError::NotFinal { found: 4, needed: 5 };
    let lie = TranscriptError::Listing { piece: Piece::Listing(1), error };
    assert_eq!(street.lie(&Transcript { listings, ..transcript }), lie);
}

#[test]
fn claims_under_another_listing_are_refused() {
    let (street, transcript) = billed::<Plain>(parameters::<Plain>());
    let mut listing = street.listing_in(&transcript.listings[0]);
    listing.sets[0] = common::region::set(0..4);
    let listings = vec![street.final_listing(&listing, 0..MEMBERS).into()];
    let lie = Reason::Entry { at: 0, error: EntryError::Listing };
    let lie = TranscriptError::Set(lie);
    assert_eq!(street.lie(&Transcript { listings, ..transcript }), lie);
}

#[test]
fn listings_that_do_not_follow_each_other_are_refused() {
    let (street, transcript) = joined::<Plain>();
    let chain = |at| TranscriptError::Chain { piece: Piece::Listing(at), portion: portion(1) };
    let with = |listings: &[usize]| {
        let listings = listings.iter().map(|at| transcript.listings[*at].clone()).collect();
        street.lie(&Transcript { listings, ..transcript.clone() })
    };
    assert_eq!(with(&[1]), chain(1));
    assert_eq!(with(&[0, 1, 1]), chain(3));
    assert_eq!(with(&[0]), TranscriptError::Listings);
    assert_eq!(with(&[]), TranscriptError::Listings);
}

#[test]
fn a_listing_beside_a_regions_sums_is_refused() {
    let (street, transcript) = billed::<Plain>(parameters::<Plain>());
    let of_slot = street.slot_transcript(3);
    assert!(street.verdict(&of_slot).is_ok());
    let bent = Transcript { listings: transcript.listings, ..of_slot };
    assert_eq!(street.lie(&bent), TranscriptError::Listings);
}

#[test]
fn a_bill_that_hides_slots_is_refused() {
    let (street, transcript) = joined::<Plain>();
    let lie = |field| {
        let (piece, subject, register) = (Piece::Result(1), of_meter(0), IMPORT);
        TranscriptError::Result { piece, subject, register, field }
    };
    let hide = |results: &mut [Outcome]| results[0].joined_slots.clear();
    assert_eq!(street.bent(&transcript, hide), lie("list of joined slots"));
    let fewer = |results: &mut [Outcome]| results[0].slots = 8;
    assert_eq!(street.bent(&transcript, fewer), lie("number of slots"));
}
