//! What threshold ElGamal refuses, and what it never repeats.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use aggregation::elgamal::{Contribution, KeyPart, Response, Secret};
use aggregation::{
    Canonical, Context, Culprits, DecodeError, DeviceSecret, ElGamal, GroupError, Participant,
    ResponseError, Rng, Scheme, Stored,
};
use common::{KEYS, Members, ROUND};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use rand::SeedableRng;

type Neighbours = Members<ElGamal>;

/// The group order, the least scalar that is not canonical (RFC 9496,
/// section 4).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The field's prime plus 2, which a lax decoder reads as 2.
const UNREDUCED: [u8; 32] = {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xef;
    bytes[31] = 0x7f;
    bytes
};

const IDENTITY: [u8; 32] = [0; 32];

fn chunks<T: Canonical>(value: &T) -> Vec<[u8; 32]> {
    value.to_bytes().as_chunks().0.to_vec()
}

fn from_chunks<T: Canonical>(chunks: &[[u8; 32]]) -> Result<T, DecodeError> {
    T::from_bytes(&chunks.concat())
}

/// `value` with other 32 bytes at one position.
fn with<T: Canonical>(value: &T, at: usize, bytes: [u8; 32]) -> Result<T, DecodeError> {
    let mut chunks = chunks(value);
    chunks[at] = bytes;
    from_chunks(&chunks)
}

fn decode(bytes: [u8; 32]) -> RistrettoPoint {
    CompressedRistretto(bytes).decompress().unwrap()
}

fn negated(bytes: [u8; 32]) -> [u8; 32] {
    (-decode(bytes)).compress().to_bytes()
}

fn shifted(bytes: [u8; 32], by: Scalar) -> [u8; 32] {
    (Scalar::from_canonical_bytes(bytes).unwrap() + by).to_bytes()
}

fn moved(bytes: [u8; 32], by: RistrettoPoint) -> [u8; 32] {
    (decode(bytes) + by).compress().to_bytes()
}

fn verifies(members: &mut Neighbours, contribution: &Contribution) -> bool {
    members.group.verify(&[(ROUND, contribution)], &mut members.rng).is_ok()
}

fn verdict(members: &mut Neighbours, batch: &[Contribution]) -> Result<(), Culprits> {
    let batch: Vec<_> = batch.iter().map(|one| (ROUND, one)).collect();
    members.group.verify(&batch, &mut members.rng)
}

fn contributions(members: &mut Neighbours, count: u64) -> Vec<Contribution> {
    (0..count).map(|wh| members.contribute(wh, ROUND).0).collect()
}

#[test]
fn a_point_that_is_not_canonical_is_refused_in_each_position() {
    let mut members = Neighbours::new(2);
    let (contribution, _) = members.contribute(5, ROUND);
    for (at, name) in ["C1", "C2", "A"].into_iter().enumerate() {
        let refused = Err(DecodeError::NotCanonical(name));
        assert_eq!(with(&contribution, at, UNREDUCED), refused);
    }
    let refused = Err(DecodeError::NotCanonical("Y"));
    assert_eq!(with(&members.parts[0], 0, UNREDUCED), refused);
    let sums = [members.sum(&[1])];
    let refused = Err(DecodeError::NotCanonical("D"));
    assert_eq!(with(&members.respond(0, &sums), 0, UNREDUCED), refused);
}

#[test]
fn an_identity_point_is_refused_in_each_position() {
    let mut members = Neighbours::new(2);
    let (contribution, _) = members.contribute(5, ROUND);
    for (at, name) in ["C1", "C2", "A"].into_iter().enumerate() {
        assert_eq!(with(&contribution, at, IDENTITY), Err(DecodeError::Identity(name)));
    }
    for (at, name) in ["Y", "A"].into_iter().enumerate() {
        assert_eq!(with(&members.parts[0], at, IDENTITY), Err(DecodeError::Identity(name)));
    }
    let sums = [members.sum(&[1])];
    let refused = Err(DecodeError::Identity("D"));
    assert_eq!(with(&members.respond(0, &sums), 0, IDENTITY), refused);
}

#[test]
fn a_scalar_that_is_not_canonical_is_refused_in_each_position() {
    let mut members = Neighbours::new(2);
    let (contribution, _) = members.contribute(5, ROUND);
    let sums = [members.sum(&[1])];
    let response = members.respond(0, &sums);
    assert_eq!(with(&contribution, 3, ORDER), Err(DecodeError::NotCanonical("z")));
    assert_eq!(with(&members.parts[0], 2, ORDER), Err(DecodeError::NotCanonical("z")));
    assert_eq!(with(&response, 1, ORDER), Err(DecodeError::NotCanonical("e")));
    assert_eq!(with(&response, 2, ORDER), Err(DecodeError::NotCanonical("z")));
}

#[test]
fn a_stored_secret_of_zero_or_beyond_the_order_is_refused() {
    let zero = Secret::from_stored(&[0; 32]).err();
    assert_eq!(zero, Some(DecodeError::Identity("key part")));
    let beyond = Secret::from_stored(&ORDER).err();
    assert_eq!(beyond, Some(DecodeError::NotCanonical("secret")));
}

#[test]
fn a_negated_contribution_is_refused_with_any_proof() {
    let mut members = Neighbours::new(2);
    let victim = chunks(&members.contribute(5, ROUND).0);
    let own = chunks(&members.contribute(5, ROUND).0);
    let [c1, c2] = [negated(victim[0]), negated(victim[1])];
    let minus_z = (-Scalar::from_canonical_bytes(victim[3]).unwrap()).to_bytes();
    for proof in [
        [victim[2], victim[3]],
        [negated(victim[2]), minus_z],
        [negated(victim[2]), victim[3]],
        [own[2], own[3]],
    ] {
        let forged = from_chunks(&[c1, c2, proof[0], proof[1]]).unwrap();
        assert!(!verifies(&mut members, &forged));
    }
}

#[test]
fn a_proof_does_not_verify_beside_another_ciphertext() {
    let mut members = Neighbours::new(2);
    let [one, two] = [5, 6].map(|wh| members.contribute(wh, ROUND).0);
    for at in 0..4 {
        let mixed = with(&one, at, chunks(&two)[at]).unwrap();
        assert!(!verifies(&mut members, &mixed));
    }
}

#[test]
fn a_ciphertext_with_a_plaintext_added_is_refused() {
    let mut members = Neighbours::new(2);
    let (contribution, _) = members.contribute(5, ROUND);
    let more = RistrettoPoint::mul_base(&Scalar::from(100_u8));
    let bent = with(&contribution, 1, moved(chunks(&contribution)[1], more)).unwrap();
    assert!(!verifies(&mut members, &bent));
}

#[test]
fn a_batch_names_exactly_its_bad_entries() {
    let mut members = Neighbours::new(2);
    let mut batch = contributions(&mut members, 40);
    assert_eq!(verdict(&mut members, &batch), Ok(()));
    for at in [0, 17, 39] {
        let z = chunks(&batch[at])[3];
        batch[at] = with(&batch[at], 3, shifted(z, Scalar::ONE)).unwrap();
    }
    assert_eq!(verdict(&mut members, &batch), Err(Culprits(vec![0, 17, 39])));
}

#[test]
fn an_empty_batch_has_no_culprits() {
    assert_eq!(verdict(&mut Neighbours::new(2), &[]), Ok(()));
}

#[test]
fn errors_of_two_proofs_do_not_cancel() {
    let mut members = Neighbours::new(2);
    let mut batch = contributions(&mut members, 3);
    let error = Scalar::from(77_u8);
    let [plus, minus] = [(0, error), (2, -error)].map(|(at, by)| {
        let z = chunks(&batch[at])[3];
        with(&batch[at], 3, shifted(z, by)).unwrap()
    });
    (batch[0], batch[2]) = (plus, minus);
    assert_eq!(verdict(&mut members, &batch), Err(Culprits(vec![0, 2])));
}

fn refusal(
    members: &Neighbours,
    sums: &[<ElGamal as Scheme>::Aggregate],
    response: &Response,
) -> Option<ResponseError> {
    let request = members.group.request(sums);
    members.group.accept(Participant(0), &request, response, ROUND).err()
}

#[test]
fn a_bad_share_among_good_ones_is_refused() {
    let mut members = Neighbours::new(2);
    let sums = [1, 2, 3, 4].map(|wh| members.sum(&[wh]));
    let response = members.respond(0, &sums);
    assert_eq!(refusal(&members, &sums, &response), None);
    for at in 0..sums.len() {
        let share = moved(chunks(&response)[at], RistrettoPoint::mul_base(&Scalar::ONE));
        let bent = with(&response, at, share).unwrap();
        assert_eq!(refusal(&members, &sums, &bent), Some(ResponseError::Proof));
    }
}

#[test]
fn errors_of_two_shares_do_not_cancel() {
    let mut members = Neighbours::new(2);
    let sums = [1, 2].map(|wh| members.sum(&[wh]));
    let mut bent = chunks(&members.respond(0, &sums));
    let error = RistrettoPoint::mul_base(&Scalar::from(77_u8));
    (bent[0], bent[1]) = (moved(bent[0], error), moved(bent[1], -error));
    let bent = from_chunks(&bent).unwrap();
    assert_eq!(refusal(&members, &sums, &bent), Some(ResponseError::Proof));
}

#[test]
fn shares_swapped_between_two_requests_are_refused() {
    let mut members = Neighbours::new(2);
    let [one, two] = [1, 2].map(|wh| [members.sum(&[wh])]);
    let [first, second] = [&one, &two].map(|sums| members.respond(0, sums));
    assert_eq!(refusal(&members, &one, &second), Some(ResponseError::Proof));
    let grafted = with(&first, 0, chunks(&second)[0]).unwrap();
    assert_eq!(refusal(&members, &one, &grafted), Some(ResponseError::Proof));
    assert_eq!(refusal(&members, &two, &grafted), Some(ResponseError::Proof));
}

#[test]
fn shares_in_another_order_are_refused() {
    let mut members = Neighbours::new(2);
    let sums = [1, 2].map(|wh| members.sum(&[wh]));
    let mut swapped = chunks(&members.respond(0, &sums));
    swapped.swap(0, 1);
    let swapped = from_chunks(&swapped).unwrap();
    assert_eq!(refusal(&members, &sums, &swapped), Some(ResponseError::Proof));
}

#[test]
fn a_rogue_key_has_no_proof_of_possession() {
    let members = Neighbours::new(3);
    let parts: Vec<_> = members.parts.iter().map(chunks).collect();
    let others = decode(parts[1][0]) + decode(parts[2][0]);
    let rogue = moved(parts[0][0], -others);
    for proof in &parts {
        let part: KeyPart = from_chunks(&[rogue, proof[1], proof[2]]).unwrap();
        assert!(!ElGamal::verify_key_part(&part, KEYS));
    }
}

#[test]
fn key_parts_that_cancel_make_no_group() {
    let members = Neighbours::new(1);
    let part = members.parts[0].clone();
    let opposite = with(&part, 0, negated(chunks(&part)[0])).unwrap();
    assert_eq!(ElGamal::group(&[part, opposite]).err(), Some(GroupError::Identity));
}

#[test]
fn a_repeated_generator_gives_other_randomness_to_another_statement() {
    let group = Neighbours::new(2).group;
    let c1_and_a = |device, wh, context| {
        let mut rng = Rng::seed_from_u64(9);
        let bytes = chunks(
            &group.contribute(&DeviceSecret::new([device; 32]), wh, Context(context), &mut rng).0,
        );
        (bytes[0], bytes[2])
    };
    let first = c1_and_a(0, 5, b"round 7");
    for (device, wh, context) in [(0, 6, b"round 7"), (0, 5, b"round 8"), (1, 5, b"round 7")] {
        let other = c1_and_a(device, wh, context);
        assert_ne!(first.0, other.0);
        assert_ne!(first.1, other.1);
    }
    assert_eq!(first, c1_and_a(0, 5, b"round 7"));
}

#[test]
fn a_repeated_generator_gives_another_nonce_to_another_request() {
    let mut members = Neighbours::new(2);
    let [one, two] = [1, 2].map(|wh| members.sum(&[wh]));
    // A repeated nonce with two challenges would give away the secret:
    // x = (z − z') / (e − e').
    let [(e, z), (f, y)] = [one, two].map(|sum| {
        members.rng = Rng::seed_from_u64(9);
        let bytes = chunks(&members.respond(0, &[sum]));
        let scalar = |at: usize| Scalar::from_canonical_bytes(bytes[at]).unwrap();
        (scalar(1), scalar(2))
    });
    let guess = (z - y) * (e - f).invert();
    assert_ne!(guess.to_bytes().as_slice(), members.secrets[0].to_stored().as_slice());
}

#[test]
fn contributions_of_the_same_number_differ() {
    let mut members = Neighbours::new(2);
    let [one, two] = [5, 5].map(|wh| chunks(&members.contribute(wh, ROUND).0));
    for at in 0..4 {
        assert_ne!(one[at], two[at]);
    }
}
