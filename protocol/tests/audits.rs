//! Audits: members prove, when they are challenged, that what was counted of
//! them lies in its range. Who cannot is named and left out.
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

use aggregation::{ElGamal, Plain};
use common::region::{ALL, HOLDER, IMPORT, MEMBERS, Played, Region, portion, set};
use common::{
    Kit, both_registers, collector_terms, dealt, events, meter_id, meter_identity, proven,
    published, registrar,
};
use protocol::collector::Terms;
use protocol::envelope::{Envelope, seal};
use protocol::id::{Digest, Epoch, Sender};
use protocol::message::{
    Challenge, Contribution, Invitation, Lapse, Listing, Phase, Proof, Unproven,
};
use protocol::output::{ChallengeError, Event, Output, Publication};
use protocol::parameters::{Parameters, RangeProofs};
use protocol::record::{Records, Sort};
use protocol::slot::Slot;

/// The member whose part the test plays.
const BENT: usize = 4;

/// Longer than an outbox waits, and than it takes to make a few proofs.
const SOON: Duration = Duration::from_secs(10);

/// Any four of five open a sum, and all that is counted has to be proved.
fn audited<S: Kit>() -> Region<S> {
    let parameters = Parameters { range_proofs: RangeProofs::Audit, ..dealt::<S>() };
    Region::open_with(MEMBERS, parameters)
}

impl<S: Kit> Region<S> {
    /// Lets a member contribute by the test's hand, and the others by their
    /// machines.
    fn run_slot_with(&mut self, position: u64, wh: u64) -> Played<S> {
        self.offline.insert(BENT);
        let slot = self.end_slot(position);
        let played = self.play(BENT, slot, wh);
        self.send(&played.message);
        self.run_slot(position);
        played
    }

    /// Runs a window in whose slots the bent member hides these.
    fn run_window_with(&mut self, hidden: [u64; 4]) -> Vec<Played<S>> {
        let run = |(position, wh)| self.run_slot_with(position, wh);
        let played = (0..).zip(hidden).map(run).collect();
        self.run_until(self.now + SOON);
        played
    }

    /// The slots that a member was challenged about.
    fn challenged(&self, at: usize) -> Vec<Vec<Slot>> {
        let challenges: Vec<Challenge> = self.heard(&format!("/c/challenge/{}", meter_id(at)));
        let mut slots: Vec<_> = challenges.into_iter().map(|one| one.slots).collect();
        slots.dedup();
        slots
    }

    fn unproven(&self) -> Vec<Unproven> {
        self.heard("/c/unproven")
    }

    /// A member's proof about slots in which it hides so much.
    fn proof_of(&mut self, at: usize, played: &[(&Played<S>, u64)]) -> Option<Proof> {
        let mut hides: Vec<_> = played
            .iter()
            .map(|(one, wh)| (one.body.slot, IMPORT, &one.retained[&IMPORT], *wh))
            .collect();
        let slots = hides.iter().map(|one| one.0).collect();
        if let [.., last] = hides[..]
            && hides.len() == 3
        {
            hides.push(last);
        }
        let registers = BTreeMap::from([(IMPORT, self.range_proof(at, &hides)?)]);
        Some(Proof { slots, registers })
    }

    /// Lets the time for claims of the first window pass.
    fn pass_deadline(&mut self) {
        self.run_until(self.roster.slot_closes(self.slot(3)) + Duration::from_mins(121));
    }

    fn terms(&self) -> Terms {
        collector_terms(MEMBERS, self.body().parameters.clone())
    }

    /// The members that are invited to the next epoch, by these terms.
    fn invited_next(&mut self, terms: Terms) -> Vec<usize> {
        self.outputs.clear();
        self.collector.next_epoch(terms, self.now).unwrap();
        self.deliver();
        let invited = published(&self.outputs, "/c/keygen");
        let invited = invited.iter().map(|message| Envelope::parse(message).unwrap());
        let mut invited = invited.filter_map(|envelope| envelope.peek::<Invitation>().ok());
        let invited = invited.next().unwrap();
        let is_invited = |at: &usize| invited.members.iter().any(|one| one.meter == meter_id(*at));
        (0..MEMBERS).filter(is_invited).collect()
    }
}

fn lapse(street: &Region<impl Kit>) -> Vec<(usize, Lapse)> {
    let at = |said: &Unproven| (0..MEMBERS).find(|at| meter_id(*at) == said.meter).unwrap();
    street.unproven().iter().map(|said| (at(said), said.why)).collect()
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::name).collect()
}

fn proves_all<S: Kit>(parameters: Parameters) {
    let mut street = Region::<S>::open_with(MEMBERS, parameters);
    street.run_slots(0..4);
    let all: Vec<_> = (0..4).map(|position| street.slot(position)).collect();
    for at in 0..MEMBERS {
        assert_eq!(street.challenged(at), std::slice::from_ref(&all));
    }
    let challenged = Event::Challenged { portion: portion(0), meters: MEMBERS, slots: 20 };
    assert!(street.collector_events().contains(&challenged));
    street.run_until(street.now + SOON);
    street.outputs.clear();
    street.pass_deadline();
    assert!((0..MEMBERS).all(|at| street.challenged(at).is_empty()), "asked again");
    assert!(street.unproven().is_empty());
}

#[test]
fn what_was_counted_is_proved_once_it_is_asked_for() {
    let audit = RangeProofs::Audit;
    proves_all::<Plain>(proven::<Plain>(audit));
    proves_all::<ElGamal>(proven::<ElGamal>(audit));
    let wide = Parameters { max_wh_per_slot: u32::MAX, ..both_registers::<ElGamal>() };
    proves_all::<ElGamal>(Parameters { range_proofs: audit, ..wide });
}

#[test]
fn three_slots_are_proved_like_four() {
    let mut street = audited::<ElGamal>();
    street.run_slots(0..3);
    street.offline.insert(HOLDER);
    street.run_slot(3);
    street.close(street.slot(3));
    street.offline.clear();
    street.run_until(street.now + Duration::from_mins(10));
    assert_eq!(street.challenged(HOLDER)[0].len(), 3);
    street.pass_deadline();
    assert!(street.unproven().is_empty());
}

#[test]
fn nobody_is_challenged_before_the_listing_is_final() {
    let mut street = audited::<Plain>();
    street.run_slots(0..4);
    let is_listed = |output: &Output| matches!(output, Output::Event(Event::Listed { .. }));
    let is_challenge = |output: &Output| matches!(output, Output::Publish(Publication { topic, .. }) if topic.contains("/challenge/"));
    let listed = street.outputs.iter().position(is_listed).unwrap();
    let challenge = street.outputs.iter().position(is_challenge).unwrap();
    assert!(listed < challenge);
}

#[test]
fn as_many_are_drawn_as_the_collector_is_told() {
    let drawn = |percent| {
        let mut street = audited::<Plain>();
        let terms = Terms { audit_percent: percent, ..street.terms() };
        street.collector = common::collector_with(terms, &street.disk, street.now);
        street.collector.handle_connected(street.now);
        street.run_slots(0..4);
        (0..MEMBERS).flat_map(|at| street.challenged(at)).flatten().count()
    };
    assert_eq!((drawn(0), drawn(100)), (0, 20));
    assert!((1..20).contains(&drawn(50)));
}

#[test]
fn regions_without_audits_have_no_challenges() {
    for mode in [RangeProofs::Off, RangeProofs::Each] {
        let mut street = Region::<Plain>::open_with(MEMBERS, proven::<Plain>(mode));
        street.run_slots(0..4);
        street.run_until(street.now + SOON);
        assert!(street.collector_events().iter().any(|event| event.name() == "listed"));
        assert!((0..MEMBERS).all(|at| street.challenged(at).is_empty()));
    }
}

/// A street in which the bent member has hidden 70,000 Wh in one slot, which
/// the sum does not show.
fn with_liar<S: Kit>() -> (Region<S>, Vec<Played<S>>) {
    let mut street = audited();
    let played = street.run_window_with([16, 70_000, 16, 16]);
    assert_eq!(street.sums()[..4], [ALL, ALL - 16 + 70_000, ALL, ALL]);
    (street, played)
}

#[test]
fn who_hides_what_is_no_reading_has_no_proof_and_is_left_out() {
    let (mut street, played) = with_liar::<ElGamal>();
    let slots: Vec<_> = played.iter().map(|one| one.body.slot).collect();
    assert_eq!(street.challenged(BENT), [slots]);
    let wh = [16, 70_000, 16, 16];
    let all: Vec<_> = played.iter().zip(wh).collect();
    assert_eq!(street.proof_of(BENT, &all), None);
    // The best that it can do: the truth of the others, and silence.
    let rest: Vec<_> = [0, 2, 3].map(|at| all[at]).into();
    let rest = street.proof_of(BENT, &rest).unwrap();
    let rest = street.by_meter(BENT, &rest);
    assert!(street.send(&rest).is_empty());
    street.pass_deadline();
    let (meter, slots, why) = (meter_id(BENT), vec![played[1].body.slot], Lapse::Silent);
    let said = Unproven { meter, portion: portion(0), slots, why };
    assert_eq!(street.unproven(), [said]);
    let terms = street.terms();
    assert_eq!(street.invited_next(terms), [0, 1, 2, 3]);
    assert!(names(&street.collector_events()).contains(&"left-out"));
}

#[test]
fn a_proof_that_does_not_hold_names_its_sender_at_once() {
    let (mut street, played) = with_liar::<ElGamal>();
    let low = street.play(BENT, played[1].body.slot, 5);
    let all = [(&played[0], 16), (&low, 5), (&played[2], 16), (&played[3], 16)];
    let false_one = street.proof_of(BENT, &all).unwrap();
    let false_one = street.by_meter(BENT, &false_one);
    assert_eq!(names(&street.send(&false_one)), ["unproven"]);
    assert_eq!(lapse(&street), [(BENT, Lapse::Bad)]);
    assert!(names(&street.send(&false_one)).is_empty());
}

#[test]
fn a_proof_of_another_slot_or_member_proves_nothing() {
    for other in [BENT, 1] {
        let mut street = audited::<ElGamal>();
        let played = street.run_window_with([16; 4]);
        let elsewhere = if other == BENT { street.slot(4) } else { played[0].body.slot };
        let replayed = street.play(other, elsewhere, 16);
        let replayed = street.proof_of(other, &[(&replayed, 16)]).unwrap();
        let replayed = Proof { slots: vec![played[0].body.slot], ..replayed };
        let replayed = street.by_meter(BENT, &replayed);
        assert_eq!(names(&street.send(&replayed)), ["unproven"]);
        assert_eq!(lapse(&street), [(BENT, Lapse::Bad)]);
    }
}

#[test]
fn a_proof_that_nobody_asked_for_changes_nothing() {
    let mut street = audited::<ElGamal>();
    let played = street.run_window_with([16; 4]);
    let next = street.play(BENT, street.slot(4), 16);
    let early = street.proof_of(BENT, &[(&next, 16)]).unwrap();
    let early = street.by_meter(BENT, &early);
    // Under the name of a member that has proved everything.
    let anothers = street.proof_of(BENT, &[(&played[0], 16)]).unwrap();
    let anothers = street.by_meter(1, &anothers);
    assert!(street.send(&early).is_empty() && street.send(&anothers).is_empty());
    assert!(street.unproven().is_empty());
}

#[test]
fn an_absent_meter_has_until_the_deadline_to_prove() {
    let absent_for = |minutes| {
        let mut street = audited::<Plain>();
        street.run_slots(0..4);
        street.offline.insert(BENT);
        street.run_until(street.now + Duration::from_mins(minutes));
        street.offline.clear();
        street.pass_deadline();
        lapse(&street)
    };
    assert_eq!(absent_for(110), []);
    assert_eq!(absent_for(130), [(BENT, Lapse::Silent)]);
}

#[test]
fn a_challenge_that_was_not_out_for_long_names_nobody() {
    let mut street = audited::<Plain>();
    street.run_window_with([16; 4]);
    assert!(!street.challenged(BENT).is_empty());
    let late = street.roster.slot_closes(street.slot(3)) + Duration::from_mins(100);
    // Whatever was said on the lost connection, and is said without one, may be
    // lost.
    street.collector.handle_disconnected(street.now);
    street.run_until(late);
    street.collector.handle_connected(street.now);
    street.pass_deadline();
    assert!(street.unproven().is_empty());
}

#[test]
fn those_behind_a_sum_out_of_its_range_are_asked_at_once() {
    let mut street = audited::<Plain>();
    let beyond = MEMBERS as u64 * 65_535;
    let played = street.run_slot_with(0, beyond);
    let outside = Phase::Abandoned("sums [0] lie outside their range".to_owned());
    assert_eq!(street.statuses().pop().unwrap().phase, outside);
    for at in 0..MEMBERS {
        assert_eq!(street.challenged(at), [[played.body.slot]]);
    }
    street.run_until(street.now + SOON);
    street.outputs.clear();
    street.run_until(street.now + Duration::from_mins(2));
    assert!((0..BENT).all(|at| street.challenged(at).is_empty()));
    assert_eq!(street.challenged(BENT), [[played.body.slot]]);
}

#[test]
fn the_owner_of_a_bill_out_of_its_range_is_asked_about_all_of_it() {
    let mut street = audited::<Plain>();
    let terms = Terms { audit_percent: 0, ..street.terms() };
    street.collector = common::collector_with(terms, &street.disk, street.now);
    street.collector.handle_connected(street.now);
    // Each slot's sum lies in its range, and the bill does not.
    let played = street.run_window_with([200_000; 4]);
    assert_eq!(street.sums().len(), 4);
    let digest = street.listing_of(portion(0));
    let claim = street.claim(BENT, (portion(0), digest), &played.iter().collect::<Vec<_>>());
    let claim = street.by_meter(BENT, &claim);
    street.send(&claim);
    street.run_until(street.now + Duration::from_mins(2));
    let slots: Vec<_> = played.iter().map(|one| one.body.slot).collect();
    assert_eq!(street.challenged(BENT), [slots]);
    assert!((0..BENT).all(|at| street.challenged(at).is_empty()));
}

#[test]
fn who_was_named_is_let_in_again_by_its_operator_or_under_a_new_key() {
    let (mut street, _) = with_liar::<Plain>();
    street.pass_deadline();
    let readmitted = |until| Terms {
        readmitted: BTreeMap::from([(meter_id(BENT), Epoch(until))]),
        ..collector_terms(
            MEMBERS,
            Parameters { range_proofs: RangeProofs::Audit, ..dealt::<Plain>() },
        )
    };
    assert_eq!(street.invited_next(readmitted(0)), [0, 1, 2, 3]);
    assert_eq!(street.invited_next(readmitted(1)), [0, 1, 2, 3, 4]);
    let mut terms = street.terms();
    terms.members[BENT].key = meter_identity(MEMBERS).key();
    assert_eq!(street.invited_next(terms), [0, 1, 2, 3, 4]);
}

#[test]
fn who_is_named_while_the_next_epoch_is_prepared_is_not_in_it() {
    let (mut street, _) = with_liar::<Plain>();
    let terms = street.terms();
    assert_eq!(street.invited_next(terms), [0, 1, 2, 3, 4]);
    street.pass_deadline();
    let rosters = published(&street.outputs, "/c/roster");
    let next = Envelope::parse(rosters.last().unwrap()).unwrap();
    let next: protocol::message::Roster = next.open(&registrar().key(), &Digest::NONE).unwrap();
    assert_eq!(next.members.len(), MEMBERS - 1);
}

#[test]
fn too_few_are_not_made_fewer() {
    let mut street = Region::<Plain>::open_with(4, proven::<Plain>(RangeProofs::Audit));
    street.run_slots(0..4);
    street.offline.insert(3);
    street.pass_deadline();
    assert_eq!(lapse(&street), [(3, Lapse::Silent)]);
    let terms = collector_terms(4, street.body().parameters.clone());
    assert_eq!(street.invited_next(terms), [0, 1, 2, 3]);
}

#[test]
fn a_restarted_collector_asks_again_and_forgets_nobody() {
    let (mut street, played) = with_liar::<Plain>();
    street.restart_collector();
    let slots: Vec<_> = played.iter().map(|one| one.body.slot).collect();
    assert_eq!(street.challenged(BENT), [slots]);
    assert!((0..BENT).all(|at| street.challenged(at).is_empty()));
    street.pass_deadline();
    assert_eq!(lapse(&street), [(BENT, Lapse::Silent)]);
    street.restart_collector();
    assert_eq!(lapse(&street), [(BENT, Lapse::Silent)]);
    let terms = street.terms();
    assert_eq!(street.invited_next(terms), [0, 1, 2, 3]);
}

/// A street in which all is counted and proved, and nobody was challenged yet.
fn listed() -> Region<Plain> {
    let mut street = audited::<Plain>();
    let terms = Terms { audit_percent: 0, ..street.terms() };
    street.collector = common::collector_with(terms, &street.disk, street.now);
    street.collector.handle_connected(street.now);
    street.run_slots(0..4);
    street
}

/// What a meter makes of a challenge: why it does not meet it, or how often it
/// has said a proof soon after.
fn challenge(street: &mut Region<Plain>, slots: &[Slot]) -> Result<usize, ChallengeError> {
    let challenge = Challenge { meter: meter_id(HOLDER), slots: slots.to_vec() };
    let message = street.by_collector(&challenge);
    let told = street.tell(HOLDER, &message);
    if let [Event::ChallengeRefused(error)] = events(&told)[..] {
        return Err(error);
    }
    Ok(proofs(street, SOON).len())
}

/// What a meter proves within a while.
fn proofs(street: &mut Region<Plain>, within: Duration) -> Vec<Vec<u8>> {
    let (end, mut said) = (street.now + within, Vec::new());
    while let Some(due) = street.meters[HOLDER].poll_timeout().filter(|due| *due <= end) {
        street.now = due;
        street.meters[HOLDER].handle_timeout(due);
        said.extend(published(&street.drain(HOLDER), "/proof"));
    }
    said
}

#[test]
fn a_meter_meets_the_challenges_of_its_own_collector_to_itself_alone() {
    let mut street = listed();
    let slots = vec![street.slot(0)];
    let of = |at| Challenge { meter: meter_id(at), slots: slots.clone() };
    let place = (street.roster.region(), street.roster.epoch(), Sender::Collector);
    let forged = seal(&meter_identity(1), place, street.roster.digest(), &of(HOLDER));
    let [by_member, to_another] = [street.by_meter(1, &of(HOLDER)), street.by_collector(&of(1))];
    for (message, reason) in [(forged, "signature"), (by_member, "sender"), (to_another, "sender")]
    {
        let told = street.tell(HOLDER, &message);
        let [Event::Rejected { name, .. }] = &events(&told)[..] else { panic!("{told:?}") };
        assert_eq!(*name, reason);
    }
    assert!(proofs(&mut street, SOON).is_empty());
}

#[test]
fn a_meter_proves_only_what_it_knows_to_be_counted() {
    let mut street = listed();
    let [slot, running, later] = [0, 4, 16].map(|position| street.slot(position));
    assert_eq!(challenge(&mut street, &[later]), Err(ChallengeError::Outside(later)));
    assert_eq!(challenge(&mut street, &[running]), Err(ChallengeError::NotCounted(running)));
    assert_eq!(challenge(&mut street, &[slot]), Ok(1));
    // A slot that it has contributed to, and helped to open without itself.
    street.end_slot(4);
    street.contribution(HOLDER, running, 1);
    let others: Vec<_> = (1..MEMBERS).map(|at| street.play(at, running, 1).message).collect();
    assert_eq!(street.ask_region(HOLDER, running, &others).name(), "share");
    assert_eq!(challenge(&mut street, &[running]), Err(ChallengeError::NotCounted(running)));
}

#[test]
fn a_listing_that_leaves_a_meter_out_owes_no_proof() {
    let mut street = audited::<Plain>();
    street.offline.insert(HOLDER);
    street.run_slots(0..4);
    let sets = vec![set(1..MEMBERS); 4];
    let listing =
        Listing { portion: portion(0), previous: Digest::NONE, sets, void: BTreeMap::new() };
    let listed = street.final_listing(&listing, 1..MEMBERS);
    street.tell(HOLDER, &listed);
    let slot = street.slot(0);
    assert_eq!(challenge(&mut street, &[slot]), Err(ChallengeError::NotCounted(slot)));
}

#[test]
fn a_meter_meets_no_challenge_of_another_form_mode_or_time() {
    let mut street = listed();
    let slots: Vec<_> = (0..5).map(|position| street.slot(position)).collect();
    for slots in [&[][..], &slots, &[slots[1], slots[0]], &[slots[0], slots[0]]] {
        assert_eq!(challenge(&mut street, slots), Err(ChallengeError::Slots));
    }
    street.now = street.roster.slot_closes(slots[3]) + Duration::from_mins(121);
    let late = Err(ChallengeError::PastDeadline(slots[0]));
    assert_eq!(challenge(&mut street, &slots[..1]), late);
    for mode in [RangeProofs::Off, RangeProofs::Each] {
        let mut street = Region::<Plain>::open_with(MEMBERS, proven::<Plain>(mode));
        street.run_slots(0..4);
        assert_eq!(challenge(&mut street, &slots[..1]), Err(ChallengeError::Mode));
    }
}

#[test]
fn a_slot_is_proved_once_and_the_same_proof_is_said_again() {
    let mut street = listed();
    let slots: Vec<_> = (0..4).map(|position| street.slot(position)).collect();
    let mut ask = |slots: &[Slot]| {
        let challenge = Challenge { meter: meter_id(HOLDER), slots: slots.to_vec() };
        let message = street.by_collector(&challenge);
        for _ in 0..3 {
            street.tell(HOLDER, &message);
        }
        proofs(&mut street, SOON)
    };
    let first = ask(&slots[..2]);
    assert_eq!(first.len(), 1);
    assert_eq!(ask(&slots[..2]), first);
    // Of slots of which some are proved, the others are proved alone.
    let both = ask(&slots);
    assert_eq!((both.len(), &both[0]), (2, &first[0]));
    let rest: Proof = Envelope::parse(&both[1]).unwrap().peek().unwrap();
    assert_eq!(rest.slots, slots[2..]);
}

#[test]
fn a_meter_makes_one_proof_at_a_time_and_says_none_in_the_turn_that_makes_it() {
    let mut street = listed();
    for position in 0..4 {
        let slots = vec![street.slot(position)];
        let challenge = Challenge { meter: meter_id(HOLDER), slots };
        let message = street.by_collector(&challenge);
        assert!(published(&street.tell(HOLDER, &message), "/proof").is_empty());
    }
    let turns = (0..5).map(|_| {
        let due = street.meters[HOLDER].poll_timeout().unwrap();
        assert!(due >= street.now + Duration::from_millis(500));
        street.now = due;
        street.meters[HOLDER].handle_timeout(due);
        published(&street.drain(HOLDER), "/proof").len()
    });
    // The first turn makes one; each one after it says that, and makes another.
    assert_eq!(turns.collect::<Vec<_>>(), [0, 1, 1, 1, 1]);
}

#[test]
fn a_restarted_meter_proves_what_it_sent_before() {
    let mut street = listed();
    street.restart(HOLDER);
    let slots: Vec<_> = (0..4).map(|position| street.slot(position)).collect();
    assert_eq!(challenge(&mut street, &slots), Ok(1));
}

#[test]
fn a_disk_that_was_put_back_proves_nothing_that_it_lacks() {
    let mut street = audited::<Plain>();
    let all = Sort::ALL.iter().flat_map(|sort| street.disks[HOLDER].of(*sort));
    let backup: Records = all.map(|(key, value)| (key.clone(), value.to_vec().into())).collect();
    street.run_slots(0..4);
    street.roll_back(HOLDER, backup);
    let listed = published(&street.outputs, "/c/listing").pop().unwrap();
    street.tell(HOLDER, &listed);
    let slot = street.slot(0);
    assert_eq!(challenge(&mut street, &[slot]), Err(ChallengeError::Lost(slot)));
}

#[test]
fn a_contribution_is_no_proof_and_a_proof_no_contribution() {
    let mut street = audited::<ElGamal>();
    let played = street.run_window_with([16; 4]);
    let proof = street.proof_of(BENT, &[(&played[0], 16)]).unwrap();
    let range_proof = proof.registers.get(&IMPORT).cloned();
    let slot = street.end_slot(4);
    let body = street.play(BENT, slot, 16).body;
    let message = street.by_meter(BENT, &Contribution { range_proof, ..body });
    assert_eq!(names(&street.send(&message)), ["surplus-range-proof"]);
}
