//! One message of each kind, byte for byte. The texts in `golden/` are what is
//! on the wire, split field by field; a change of any of them is a change of
//! the wire format and needs another version.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[path = "common/annotated.rs"]
mod annotated;
#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;

use aggregation::elgamal::{Retained, Secret};
use aggregation::{
    Canonical, Context, DeviceSecret, ElGamal, Hidden, Participant, Scheme as _, Sharing,
};
use annotated::{HIDDEN, annotate, bytes_of};
use common::founding::{EPOCH, first_slot, invitation};
use common::region::{IMPORT, messages, portion, region_request, set};
use common::{
    both_registers, collector_identity, meter_id, meter_identity, meter_ids, parameters, region_id,
    registrar, rng,
};
use protocol::envelope::{Envelope, Message, seal};
use protocol::evidence::Evidence;
use protocol::id::{Digest, Epoch, Sender};
use protocol::identity::Identity;
use protocol::keygen;
use protocol::listing;
use protocol::message::{
    Answered, Challenge, Claim, Complaint, Confirmation, Contribution, Dealing, Dealings,
    Endorsement, FinalListing, Inquiry, KeyPart, KeyParts, Kind, Lapse, Listing, Member, Omission,
    Outcome, Phase, Proof, Recall, Receipt, Recollection, Refusal, Remembered, Roster, Share,
    State, Status, Subject, Target, Unproven,
};
use protocol::parameters::{Parameters, RangeProofs};
use protocol::roster::AcceptedRoster;
use protocol::statement::Place;
use serde_bytes::ByteBuf;

const MEMBERS: usize = 4;

const PARAMETERS: [&str; 20] = [
    "parameters",
    "scheme",
    "threshold",
    "min_contributors",
    "max_corrupted",
    "min_slots",
    "slot_seconds",
    "window_slots",
    "grace_s",
    "deadline_s",
    "max_wh_per_slot",
    "registers",
    "register",
    "range_proofs",
    "tariff",
    "cycle_s",
    "steps",
    "step",
    "name",
    "spans",
];

const RANGE_PROOF: &str =
    "range_proof: d1, A, A1, B, r1, s1, L, R, L, R, L, R, L, R, A1, A2, z_m, z_r";

/// A region with keys that depend on nothing but seeds.
struct Street {
    roster: AcceptedRoster<ElGamal>,
    signed: Vec<u8>,
    secrets: Vec<Secret>,
    parts: Vec<ByteBuf>,
    invited: Place,
}

impl Street {
    fn new() -> Self {
        let invitation = invitation(MEMBERS, parameters::<ElGamal>());
        let binding = keygen::digest(&region_id(), EPOCH, &invitation);
        let invited = Place { region: region_id(), epoch: EPOCH, binding };
        let mut rng = rng(1);
        let mut draw = |at| ElGamal::key_part(Context(&invited.key_part(&meter_id(at))), &mut rng);
        let (secrets, parts): (Vec<_>, Vec<_>) = (0..MEMBERS).map(&mut draw).unzip();
        let group_key = ByteBuf::from(ElGamal::group(&parts).unwrap().group_key());
        let parts: Vec<_> = parts.iter().map(|part| ByteBuf::from(part.to_bytes())).collect();
        let member = |(at, part): (usize, &ByteBuf)| Member {
            meter: meter_id(at),
            key: meter_identity(at).key(),
            part: part.clone(),
        };
        let body = Roster {
            previous: invitation.previous,
            attempt: invitation.attempt,
            invitation: binding,
            dealings: Digest::NONE,
            collector: invitation.collector,
            first_slot: first_slot(),
            end_slot: first_slot().plus(8),
            parameters: invitation.parameters,
            group_key,
            members: parts.iter().enumerate().map(member).collect(),
        };
        let signed = registrar().sign(&region_id(), EPOCH, &body);
        let roster = AcceptedRoster::open(&signed, &region_id(), &registrar().key()).unwrap();
        Self { roster, signed, secrets, parts, invited }
    }

    /// A contribution of 417 Wh, with what was retained of it.
    fn contribution(&self, at: usize) -> (Contribution, Retained) {
        let (slot, device) = (first_slot(), DeviceSecret::new([9; 32]));
        let statement = self.roster.place().contribution(&meter_id(at), slot, IMPORT);
        let scheme = self.roster.scheme();
        let made = scheme.contribute(&device, 417, Context(&statement), &mut rng(2));
        let registers = BTreeMap::from([(IMPORT, ByteBuf::from(made.0.to_bytes()))]);
        (Contribution { slot, registers, range_proof: None }, made.1)
    }

    /// The range proof of the first meter's contributions to the first slot.
    fn range_proof(&self, hidden: &[(u64, &Retained)]) -> ByteBuf {
        let statement = self.roster.place().contribution(&meter_id(0), first_slot(), IMPORT);
        let hidden = hidden.iter().map(|(plaintext, retained)| Hidden {
            context: Context(&statement),
            retained: *retained,
            plaintext: *plaintext,
        });
        let (hidden, scheme): (Vec<_>, _) = (hidden.collect(), self.roster.scheme());
        ByteBuf::from(scheme.prove_range(&hidden, 65_535, &mut rng(6)).unwrap().to_bytes())
    }

    fn by_meter<M: Message>(&self, body: &M) -> Vec<u8> {
        let place = (&region_id(), EPOCH, Sender::Meter(meter_id(0)));
        seal(&meter_identity(0), place, self.roster.digest(), body)
    }

    fn by_collector<M: Message>(&self, body: &M) -> Vec<u8> {
        let place = (&region_id(), EPOCH, Sender::Collector);
        seal(&collector_identity(), place, self.roster.digest(), body)
    }
}

/// Compares a message with its golden text, and reads it back.
fn check<M: Message + Debug + PartialEq>(
    message: &[u8],
    (signer, binding): (&Identity, &Digest),
    body: &M,
    names: &[&'static str],
) {
    let file = M::KIND.as_str().replace(' ', "-");
    check_file(&file, message, (signer, binding), body, names);
}

fn check_file<M: Message + Debug + PartialEq>(
    file: &str,
    message: &[u8],
    (signer, binding): (&Identity, &Digest),
    body: &M,
    names: &[&'static str],
) {
    let path = format!("{}/tests/golden/{file}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(annotate(message, names), text, "{path}");
    assert_eq!(bytes_of(&text), message);
    let envelope = Envelope::parse(&bytes_of(&text)).unwrap();
    assert_eq!(envelope.header().kind, M::KIND);
    assert_eq!(&envelope.open::<M>(&signer.key(), binding).unwrap(), body);
}

fn registrar_identity() -> Identity {
    Identity::from_seed(&common::REGISTRAR_SEED)
}

#[test]
fn an_invitation_is_written_as_before() {
    let body = invitation(MEMBERS, parameters::<ElGamal>());
    let message = registrar().invite(&region_id(), EPOCH, &body);
    let member = ["member", "meter", "key"].repeat(MEMBERS);
    let names =
        [&["previous", "attempt", "collector"], &PARAMETERS[..], &["members"], &member].concat();
    check(&message, (&registrar_identity(), &Digest::NONE), &body, &names);
}

#[test]
fn a_key_part_is_written_as_before() {
    let street = Street::new();
    let body = KeyPart { part: street.parts[0].clone() };
    let place = (&region_id(), EPOCH, Sender::Meter(meter_id(0)));
    let message = seal(&meter_identity(0), place, &street.invited.binding, &body);
    check(&message, (&meter_identity(0), &street.invited.binding), &body, &["part: Y, A, z"]);
}

#[test]
fn a_roster_is_written_as_before() {
    let street = Street::new();
    let member = ["member", "meter", "key", "part: Y, A, z"].repeat(MEMBERS);
    let head = ["previous", "attempt", "invitation", "dealings", "collector"];
    let head = [&head[..], &["first_slot", "end_slot"]].concat();
    let names = [&head[..], &PARAMETERS, &["group_key", "members"], &member].concat();
    let body = street.roster.body();
    check(&street.signed, (&registrar_identity(), &Digest::NONE), body, &names);
}

/// What candidates say where three of the members open a sum. The last dealer
/// seals a share to the first that does not fit.
struct Dealt {
    street: Street,
    digest: Digest,
    dealing: Vec<u8>,
    complaint: Vec<u8>,
}

impl Dealt {
    fn new() -> Self {
        let street = Street::new();
        let digest = Digest::of("key parts", b"golden");
        let parts: Vec<_> =
            street.parts.iter().map(|part| Canonical::from_bytes(part).unwrap()).collect();
        let sharing = Sharing { threshold: 3, parts: &parts };
        let statements: Vec<_> =
            (0..MEMBERS).map(|at| street.invited.dealing(&meter_id(at), &digest)).collect();
        let (device, mut rng) = (DeviceSecret::new([9; 32]), rng(5));
        let of = |at| Participant(u16::try_from(at).unwrap());
        let mut deal =
            |at: usize| ElGamal::deal(sharing, of(at), &device, Context(&statements[at]), &mut rng);
        let mut dealings: Vec<_> = (0..MEMBERS).map(&mut deal).collect();
        let dealing = dealings[0].to_bytes();
        let mut bent = dealings[3].to_bytes();
        let sealed = bent.len() - 48 * MEMBERS;
        bent[sealed] ^= 1;
        dealings[3] = Canonical::from_bytes(&bent).unwrap();
        let heard: Vec<_> = statements.iter().map(|s| Context(s)).zip(&dealings).collect();
        let place = &street.invited;
        let complain =
            |dealer: Participant| place.complaint(&meter_id(0), &meter_id(dealer.0.into()));
        let received =
            ElGamal::receive(sharing, of(0), &street.secrets[0], &heard, complain, &mut rng);
        let complaint = received.err().unwrap()[&of(3)].to_bytes();
        Self { street, digest, dealing, complaint }
    }

    fn by_meter<M: Message>(&self, body: &M) -> Vec<u8> {
        let place = (&region_id(), EPOCH, Sender::Meter(meter_id(0)));
        seal(&meter_identity(0), place, &self.street.invited.binding, body)
    }

    fn check_by_meter<M: Message + Debug + PartialEq>(&self, body: &M, names: &[&'static str]) {
        let signed = (&meter_identity(0), &self.street.invited.binding);
        check(&self.by_meter(body), signed, body, names);
    }

    fn check_by_collector<M: Message + Debug + PartialEq>(&self, body: &M, names: &[&'static str]) {
        let (place, binding) =
            ((&region_id(), EPOCH, Sender::Collector), &self.street.invited.binding);
        let message = seal(&collector_identity(), place, binding, body);
        check(&message, (&collector_identity(), binding), body, names);
    }

    fn dealing(&self) -> Dealing {
        Dealing { parts: self.digest, dealing: self.dealing.clone().into() }
    }
}

#[test]
fn key_parts_are_written_as_before() {
    let dealt = Dealt::new();
    let part = KeyPart { part: dealt.street.parts[0].clone() };
    let body = KeyParts { messages: vec![dealt.by_meter(&part).into()] };
    dealt.check_by_collector(&body, &["messages", "the whole message"]);
}

#[test]
fn a_dealing_is_written_as_before() {
    let dealt = Dealt::new();
    dealt.check_by_meter(&dealt.dealing(), &["parts", "dealing"]);
}

#[test]
fn dealings_are_written_as_before() {
    let dealt = Dealt::new();
    let body = Dealings { first: 2, messages: vec![dealt.by_meter(&dealt.dealing()).into()] };
    dealt.check_by_collector(&body, &["first", "messages", "the whole message"]);
}

#[test]
fn a_complaint_is_written_as_before() {
    let dealt = Dealt::new();
    let body = Complaint { dealer: meter_id(3), complaint: dealt.complaint.clone().into() };
    dealt.check_by_meter(&body, &["dealer", "complaint: K, e, z"]);
}

#[test]
fn a_confirmation_is_written_as_before() {
    let body = Confirmation {
        dealings: Digest::of("dealings", b"golden"),
        group: Digest::of("group", b"golden"),
    };
    Dealt::new().check_by_meter(&body, &["dealings", "group"]);
}

#[test]
fn a_contribution_is_written_as_before() {
    let street = Street::new();
    let body = street.contribution(0).0;
    let message = street.by_meter(&body);
    let signed = (&meter_identity(0), street.roster.digest());
    check(&message, signed, &body, &["slot", "registers"]);
}

#[test]
fn a_contribution_with_its_range_proof_is_written_as_before() {
    let street = Street::new();
    let (contribution, retained) = street.contribution(0);
    let range_proof = Some(street.range_proof(&[(417, &retained)]));
    let body = Contribution { range_proof, ..contribution };
    let message = street.by_meter(&body);
    let signed = (&meter_identity(0), street.roster.digest());
    let names = ["slot", "registers", HIDDEN, RANGE_PROOF];
    check_file("contribution-with-range-proof", &message, signed, &body, &names);
}

#[test]
fn a_receipt_is_written_as_before() {
    let street = Street::new();
    let contribution = street.by_meter(&street.contribution(0).0);
    let body = Receipt {
        meter: meter_id(0),
        slot: first_slot(),
        on_time: true,
        contribution: Digest::of("contribution", &contribution),
    };
    let message = street.by_collector(&body);
    check(&message, (&collector_identity(), street.roster.digest()), &body, &[]);
}

#[test]
fn a_request_is_written_as_before() {
    let street = Street::new();
    let body = region_request(first_slot(), &[street.by_meter(&street.contribution(0).0)]);
    let message = street.by_collector(&body);
    let names = ["slot", "contributions", "the whole message"];
    check(&message, (&collector_identity(), street.roster.digest()), &body, &names);
}

#[test]
fn a_share_is_written_as_before() {
    let street = Street::new();
    let scheme = street.roster.scheme();
    let (contribution, _) = street.contribution(0);
    let hidden = Canonical::from_bytes(&contribution.registers[&IMPORT]).unwrap();
    let mut sum = aggregation::elgamal::Aggregate::default();
    scheme.fold(&mut sum, &hidden);
    let request = Digest::of("request", b"golden");
    let statement = street.roster.place().share(&meter_id(0), &request);
    let (of, secret) = (Participant(0), &street.secrets[0]);
    let asked = scheme.request(&[sum]);
    let context = Context(&statement);
    let response = scheme.respond(secret, of, &asked, context, &mut rng(3)).unwrap();
    let body = Share { request, response: ByteBuf::from(response.to_bytes()) };
    let message = street.by_meter(&body);
    let signed = (&meter_identity(0), street.roster.digest());
    check(&message, signed, &body, &["request", "response: D, e, z"]);
}

#[test]
fn a_claim_is_written_as_before() {
    let street = Street::new();
    let (_, retained) = street.contribution(0);
    let (portion, listing) = (portion(0), Digest::of("listing", b"golden"));
    let statement = street.roster.place().claim(&meter_id(0), portion, &listing, IMPORT);
    let scheme = street.roster.scheme();
    let sum = scheme.claim(&[&retained], Context(&statement), &mut rng(4)).unwrap();
    let registers = BTreeMap::from([(IMPORT, ByteBuf::from(sum.to_bytes()))]);
    let body = Claim { portion, listing, registers };
    let message = street.by_meter(&body);
    let signed = (&meter_identity(0), street.roster.digest());
    check(&message, signed, &body, &["portion", "window", "step", "listing", "registers"]);
}

/// A listing of two slots, of which the second is void.
fn listing(street: &Street) -> Listing {
    let portion = portion(0);
    let slot = first_slot().plus(1);
    Listing {
        portion,
        previous: Digest::of("listing", b"golden"),
        sets: vec![set([0, 1, 3]), set([])],
        void: BTreeMap::from([(slot, evidence(street))]),
    }
}

fn evidence(street: &Street) -> Evidence {
    let slot = first_slot().plus(1);
    let asked = |meters: &[u8]| street.by_collector(&region_request(slot, &[meters.to_vec()]));
    Evidence {
        key: collector_identity().key(),
        binding: *street.roster.digest(),
        first: asked(&[1]).into(),
        second: asked(&[2]).into(),
    }
}

fn endorsement(street: &Street) -> Endorsement {
    Endorsement { portion: portion(0), listing: listing::digest(&listing(street)) }
}

#[test]
fn a_recall_is_written_as_before() {
    let street = Street::new();
    let body = Recall {
        slots: BTreeMap::from([(first_slot(), set([0, 1, 3]))]),
        claims: BTreeMap::from([(portion(0), set([2]))]),
        latest: Epoch(1),
    };
    let message = street.by_collector(&body);
    let signed = (&collector_identity(), street.roster.digest());
    let names = ["slots", "held", "claims", "window", "step", "held", "latest"];
    check(&message, signed, &body, &names);
}

#[test]
fn a_recollection_is_written_as_before() {
    let street = Street::new();
    let answered = Answered { request: Digest::of("request", b"golden"), set: set([0, 1, 3]) };
    let said = |answered| Remembered { is_sent: true, answered };
    let slots = [(first_slot(), said(Some(answered))), (first_slot().plus(1), said(None))];
    let body = Recollection { slots: slots.into() };
    let message = street.by_meter(&body);
    let signed = (&meter_identity(0), street.roster.digest());
    let one = ["remembered", "is_sent", "answered"];
    let names = [&["slots"][..], &one, &["request", "set"], &one].concat();
    check(&message, signed, &body, &names);
}

#[test]
fn a_listing_is_written_as_before() {
    let street = Street::new();
    let body = listing(&street);
    let message = street.by_collector(&body);
    let signed = (&collector_identity(), street.roster.digest());
    let names = ["portion", "window", "step", "previous", "sets", "set", "nobody", "void"];
    check(&message, signed, &body, &names);
}

#[test]
fn an_endorsement_is_written_as_before() {
    let street = Street::new();
    let body = endorsement(&street);
    let message = street.by_meter(&body);
    let signed = (&meter_identity(0), street.roster.digest());
    check(&message, signed, &body, &["portion", "window", "step", "listing"]);
}

#[test]
fn a_final_listing_is_written_as_before() {
    let street = Street::new();
    let listing = Listing { void: BTreeMap::new(), ..listing(&street) };
    let endorsement = street.by_meter(&endorsement(&street));
    let body = FinalListing {
        listing: street.by_collector(&listing).into(),
        endorsements: vec![endorsement.into()],
    };
    let message = street.by_collector(&body);
    let signed = (&collector_identity(), street.roster.digest());
    check(&message, signed, &body, &["listing", "endorsements", "endorsement"]);
}

#[test]
fn an_inquiry_is_written_as_before() {
    let street = Street::new();
    let body = Inquiry { portion: portion(0) };
    let message = street.by_meter(&body);
    let signed = (&meter_identity(0), street.roster.digest());
    check(&message, signed, &body, &["portion", "window", "step"]);
}

#[test]
fn evidence_is_written_as_before() {
    let street = Street::new();
    let body = evidence(&street);
    let message = street.by_meter(&body);
    check(&message, (&meter_identity(0), street.roster.digest()), &body, &[]);
}

#[test]
fn a_refusal_is_written_as_before() {
    let street = Street::new();
    let body = Refusal {
        request: Digest::of("request", b"second"),
        reason: "answered".to_owned(),
        answered: Some(Digest::of("request", b"golden")),
    };
    let message = street.by_meter(&body);
    check(&message, (&meter_identity(0), street.roster.digest()), &body, &[]);
}

#[test]
fn an_omission_is_written_as_before() {
    let street = Street::new();
    let receipt = Receipt {
        meter: meter_id(0),
        slot: first_slot(),
        on_time: true,
        contribution: Digest::of("contribution", b"golden"),
    };
    let body = Omission {
        slot: first_slot(),
        receipt: street.by_collector(&receipt).into(),
        request: Digest::of("request", b"golden"),
    };
    let message = street.by_meter(&body);
    check(&message, (&meter_identity(0), street.roster.digest()), &body, &[]);
}

#[test]
fn a_result_is_written_as_before() {
    let street = Street::new();
    let body = Outcome {
        subject: Subject::Region(region_id()),
        register: IMPORT,
        first_slot: first_slot(),
        slots: 1,
        sum_wh: 1_251,
        contributors: meter_ids(0..3),
        uncounted: meter_ids(3..4),
        step: None,
        uncounted_slots: vec![],
        withheld_slots: vec![],
        joined_slots: vec![],
        helpers: meter_ids(0..2),
        unanswered: meter_ids(2..3),
        culprits: meter_ids(3..4),
    };
    let message = street.by_collector(&body);
    let signed = (&collector_identity(), street.roster.digest());
    let names = ["contributor", "contributor", "contributor", "uncounted"];
    let names = [&names[..], &["helper", "helper", "unanswered", "culprit"]].concat();
    check(&message, signed, &body, &names);
}

#[test]
fn a_status_is_written_as_before() {
    let street = Street::new();
    let body = Status {
        target: Target::Bill(portion(0)),
        phase: Phase::Abandoned(
            "3 of at least 4 holders helped in time: waiting for meter-04".to_owned(),
        ),
        counted: meter_ids(0..2),
        uncounted: meter_ids(2..4),
        waiting_for: meter_ids(3..4),
        culprits: vec![],
    };
    let message = street.by_collector(&body);
    let names = ["counted", "counted", "uncounted", "uncounted", "waiting for"];
    check(&message, (&collector_identity(), street.roster.digest()), &body, &names);
}

#[test]
fn a_challenge_is_written_as_before() {
    let street = Street::new();
    let body = Challenge { meter: meter_id(0), slots: vec![first_slot(), first_slot().plus(2)] };
    let message = street.by_collector(&body);
    let signed = (&collector_identity(), street.roster.digest());
    check(&message, signed, &body, &["meter", "slots", "slot", "slot"]);
}

#[test]
fn a_proof_is_written_as_before() {
    let street = Street::new();
    let (_, retained) = street.contribution(0);
    let registers = BTreeMap::from([(IMPORT, street.range_proof(&[(417, &retained)]))]);
    let body = Proof { slots: vec![first_slot()], registers };
    let message = street.by_meter(&body);
    let signed = (&meter_identity(0), street.roster.digest());
    check(&message, signed, &body, &["slots", "slot", "registers", RANGE_PROOF]);
}

#[test]
fn what_is_unproven_is_written_as_before() {
    let street = Street::new();
    let slots = vec![first_slot().plus(2)];
    let body = Unproven { meter: meter_id(0), portion: portion(0), slots, why: Lapse::Silent };
    let message = street.by_collector(&body);
    let signed = (&collector_identity(), street.roster.digest());
    check(&message, signed, &body, &["window", "step", "slot"]);
}

#[test]
fn a_state_is_written_as_before() {
    let street = Street::new();
    let body = State {
        version: "0.1.0".to_owned(),
        source: "simulated".to_owned(),
        uptime_s: Some(86_400),
        load_1m_milli: Some(120),
        memory_used_bytes: Some(1 << 30),
        agent_memory_bytes: None,
        disk_free_bytes: Some(1 << 34),
        temperature_c: Some(-4),
        member_of: Some(1),
        unsettled_slots: 3,
        withheld_slots: 2,
        pooled_slots: 1,
        lost_slots: 0,
        counters: BTreeMap::from([("refused".to_owned(), 2)]),
    };
    let message = street.by_meter(&body);
    check(&message, (&meter_identity(0), street.roster.digest()), &body, &[]);
}

#[test]
fn every_kind_has_a_golden_message() {
    let directory = format!("{}/tests/golden", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(directory).unwrap();
    // A contribution has two forms.
    assert_eq!(files.count(), Kind::ALL.len() + 1);
    let numbers: Vec<_> = Kind::ALL.iter().map(|kind| u8::from(*kind)).collect();
    assert_eq!(numbers, (1..=28).collect::<Vec<_>>());
}

#[test]
fn a_contribution_of_one_register_takes_241_bytes() {
    let street = Street::new();
    let message = street.by_meter(&street.contribution(0).0);
    assert_eq!((meter_id(0).as_str().len(), region_id().as_str().len()), (8, 8));
    assert!((1 << 16..1 << 32).contains(&first_slot().0));
    assert_eq!(message.len(), 241);
}

#[test]
fn a_contribution_takes_at_most_256_bytes_in_any_epoch() {
    let street = Street::new();
    let body = street.contribution(0).0;
    let place = (&region_id(), Epoch(u32::MAX), Sender::Meter(meter_id(0)));
    let message = seal(&meter_identity(0), place, street.roster.digest(), &body);
    assert_eq!(message.len(), 245);
}

/// The length of a contribution in a region like this.
fn length(parameters: Parameters) -> usize {
    let mut street = common::region::Region::<ElGamal>::open_with(4, parameters);
    let slot = street.end_slot(0);
    messages(&street.play_all(slot, 0..1))[0].len()
}

#[test]
fn a_contribution_of_two_registers_takes_373_bytes() {
    assert_eq!(length(both_registers::<ElGamal>()), 373);
}

#[test]
fn a_range_proof_adds_its_own_bytes_and_its_framing_to_a_contribution() {
    let proven = |max_wh_per_slot, parameters| {
        let range_proofs = RangeProofs::Each;
        length(Parameters { range_proofs, max_wh_per_slot, ..parameters })
    };
    let (narrow, wide) = (0xffff, u32::MAX);
    let (one, two) = (parameters::<ElGamal>, both_registers::<ElGamal>);
    // Three bytes of length, and one more for the length of the payload.
    assert_eq!(proven(narrow, one()), 241 + 576 + 4);
    assert_eq!(proven(wide, one()), 241 + 640 + 4);
    // The payload of two registers has the longer length already.
    assert_eq!(proven(narrow, two()), 373 + 640 + 3);
    assert_eq!(proven(wide, two()), 373 + 704 + 3);
}
