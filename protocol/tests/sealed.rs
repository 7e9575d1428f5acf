//! A dealer that seals what does not fit its commitments, in a ceremony of real
//! machines.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

#[allow(dead_code, reason = "each file of tests needs a part of it")]
mod common;

use aggregation::{Context, ElGamal, Scheme as _, Stored as _};
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use common::founding::EPOCH;
use common::{
    START, drain, events, meter_id, meter_identity, meter_rng, meter_terms, new_collector,
    parameters, published, region_id,
};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use merlin::Transcript;
use protocol::envelope::{Envelope, seal};
use protocol::id::{Digest, Sender};
use protocol::keygen::{self, Conviction};
use protocol::message::{Dealing, Invitation, Kind};
use protocol::meter::Meter;
use protocol::output::{Event, Output};
use protocol::parameters::{Parameters, Threshold, ThresholdRule};
use protocol::record::Records;
use protocol::statement::Place;

const MEMBERS: usize = 5;
const THRESHOLD: u16 = 4;
const DEALER: usize = 1;
const RECIPIENT: usize = 3;

/// Where the dealer key and the recipient's share stand in a dealing.
const KEY: usize = 2 + 32 * THRESHOLD as usize + 64;
const SHARE: usize = KEY + 32 + 48 * RECIPIENT;

fn place(binding: Digest) -> Place {
    Place { region: region_id(), epoch: EPOCH, binding }
}

/// The cipher of the share, from the recipient's side.
fn cipher(place: &Place, body: &Dealing) -> ChaCha20Poly1305 {
    let statement = place.key_part(&meter_id(RECIPIENT));
    let secret = ElGamal::key_part(Context(&statement), &mut meter_rng(RECIPIENT)).0.to_stored();
    let secret = Scalar::from_canonical_bytes((&**secret).try_into().unwrap()).unwrap();
    let dealer_key = &body.dealing[KEY..][..32];
    let point = CompressedRistretto::from_slice(dealer_key).unwrap().decompress().unwrap();
    let mut transcript = Transcript::new(b"hushgrid/1/threshold-elgamal/seal");
    transcript.append_message(b"context", &place.dealing(&meter_id(DEALER), &body.parts));
    transcript.append_u64(b"dealer", DEALER as u64);
    transcript.append_u64(b"recipient", RECIPIENT as u64);
    transcript.append_message(b"D", dealer_key);
    transcript.append_message(b"E", RistrettoPoint::mul_base(&secret).compress().as_bytes());
    transcript.append_message(b"K", (point * secret).compress().as_bytes());
    let mut key = [0; 32];
    transcript.challenge_bytes(b"key", &mut key);
    ChaCha20Poly1305::new(&key.into())
}

/// Seals another share for the recipient, which opens as the honest one does.
fn shift(place: &Place, body: &mut Dealing) {
    let cipher = cipher(place, body);
    let (text, tag) = body.dealing[SHARE..][..48].split_at_mut(32);
    let nonce = [0; 12].into();
    let honest = <[u8; 16]>::try_from(&*tag).unwrap().into();
    cipher.decrypt_inout_detached(&nonce, &[], (&mut *text).into(), &honest).unwrap();
    let share = Scalar::from_canonical_bytes((&*text).try_into().unwrap()).unwrap();
    text.copy_from_slice((share + Scalar::ONE).as_bytes());
    let bent = cipher.encrypt_inout_detached(&nonce, &[], (&mut *text).into()).unwrap();
    tag.copy_from_slice(&bent);
}

/// What a meter says, the dealer's dealing bent.
fn bent(at: usize, message: Vec<u8>, binding: Digest) -> Vec<u8> {
    let envelope = Envelope::parse(&message).unwrap();
    if at != DEALER || envelope.header().kind != Kind::Dealing {
        return message;
    }
    let mut body: Dealing = envelope.peek().unwrap();
    shift(&place(binding), &mut body);
    let sender = Sender::Meter(meter_id(DEALER));
    seal(&meter_identity(DEALER), (&region_id(), EPOCH, sender), &binding, &body)
}

fn meter(at: usize) -> Meter<ElGamal> {
    let mut terms = meter_terms::<ElGamal>(at);
    terms.floors.threshold = ThresholdRule::Count(THRESHOLD);
    Meter::new(terms, meter_identity(at), &Records::default(), meter_rng(at), START).unwrap()
}

/// All that a collector says in a ceremony with such a dealer.
fn ceremony() -> Vec<Output> {
    let given = Parameters { threshold: Threshold::Of(THRESHOLD), ..parameters::<ElGamal>() };
    let mut collector = new_collector::<ElGamal>(MEMBERS, given, START);
    let mut meters: Vec<_> = (0..MEMBERS).map(meter).collect();
    let (mut all, mut binding) = (Vec::new(), Digest::NONE);
    loop {
        let said: Vec<_> = std::iter::from_fn(|| collector.poll_output()).collect();
        if said.is_empty() {
            return all;
        }
        let messages = [published(&said, "/c/keygen"), published(&said, "/c/roster")].concat();
        for message in &messages {
            let invitation = Envelope::parse(message).unwrap().peek::<Invitation>();
            binding = invitation.map_or(binding, |body| keygen::digest(&region_id(), EPOCH, &body));
            for meter in &mut meters {
                meter.handle_message(message, START);
            }
        }
        for (at, meter) in meters.iter_mut().enumerate() {
            for message in published(&drain(meter), "/keygen") {
                collector.handle_message(&bent(at, message, binding), START);
            }
        }
        all.extend(said);
    }
}

#[test]
fn a_dealer_whose_share_opens_and_does_not_fit_is_left_out() {
    let said = ceremony();
    let conviction = Conviction::BadShare;
    let left_out = Event::LeftOut { epoch: EPOCH, meter: meter_id(DEALER), conviction };
    assert!(events(&said).contains(&left_out), "{:?}", events(&said));
    assert_eq!(published(&said, "/c/roster").len(), 1);
}
