//! The operations that everything is made of, as the libraries give them, each
//! on ever other inputs.

use std::hint::black_box;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul as _;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use rand::Rng as _;

use crate::Group;
use crate::region::{noise, rng};

/// Inputs of every part; more than a branch predictor learns.
const INPUTS: u64 = 256;

fn scalar(seed: u64) -> Scalar {
    let mut wide = [0; 64];
    rng(seed).fill_bytes(&mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// A weight of a batch: 128 bits.
fn weight(seed: u64) -> Scalar {
    let mut half = [0; 16];
    rng(seed).fill_bytes(&mut half);
    Scalar::from(u128::from_le_bytes(half))
}

fn point(seed: u64) -> RistrettoPoint {
    RistrettoPoint::mul_base(&scalar(seed))
}

fn part<I, O>(group: &mut Group<'_>, name: &str, input: fn(u64) -> I, run: impl Fn(&I) -> O) {
    let inputs: Vec<I> = (0..INPUTS).map(input).collect();
    let mut next = inputs.iter().cycle();
    group.bench_function(name, |b| b.iter(|| next.next().map(|input| run(black_box(input)))));
}

/// rG, in constant time.
pub fn fixed_base(group: &mut Group<'_>) {
    part(group, "fixed-base", scalar, RistrettoPoint::mul_base);
}

/// rY by the table of the region's key, in constant time.
pub fn key_table(group: &mut Group<'_>) {
    let table = Box::new(RistrettoBasepointTable::create(&point(1)));
    part(group, "key-table", scalar, |r| r * &*table);
}

/// The table of a key.
pub fn table(group: &mut Group<'_>) {
    part(group, "table", point, |key| Box::new(RistrettoBasepointTable::create(key)));
}

/// xP, in constant time.
pub fn variable_base(group: &mut Group<'_>) {
    part(group, "variable-base", |seed| (scalar(seed), point(seed)), |(x, point)| point * x);
}

/// xP + zG, in variable time.
pub fn double_base(group: &mut Group<'_>) {
    let input = |seed| (scalar(seed), point(seed), scalar(seed + INPUTS));
    part(group, "double-base", input, |(x, point, z)| {
        RistrettoPoint::vartime_double_scalar_mul_basepoint(x, point, z)
    });
}

/// P + Q.
pub fn add(group: &mut Group<'_>) {
    part(group, "add", |seed| (point(seed), point(seed + 1)), |(one, other)| one + other);
}

/// A point's encoding.
pub fn compress(group: &mut Group<'_>) {
    part(group, "compress", point, RistrettoPoint::compress);
}

/// A point from its encoding.
pub fn decompress(group: &mut Group<'_>) {
    let input = |seed| point(seed).compress();
    part(group, "decompress", input, CompressedRistretto::decompress);
}

/// The encodings of 2P for this many points at once.
pub fn compress_batch(group: &mut Group<'_>, size: u64) {
    let points: Vec<_> = (0..size).map(point).collect();
    group.bench_function(format!("compress-batch-{size}"), |b| {
        b.iter(|| RistrettoPoint::double_and_compress_batch(black_box(&points)));
    });
}

fn msm(group: &mut Group<'_>, name: String, scalars: &[Scalar]) {
    let points: Vec<_> = (0..scalars.len() as u64).map(point).collect();
    group.bench_function(name, |b| {
        b.iter(|| RistrettoPoint::vartime_multiscalar_mul(black_box(scalars), &points));
    });
}

/// The one multiplication of many points that checks a batch of proofs: a full
/// scalar and a weight for each, and one full scalar for G.
pub fn batch_check(group: &mut Group<'_>, proofs: u64) {
    let scalars: Vec<_> =
        (0..proofs).flat_map(|seed| [scalar(seed), weight(seed)]).chain([scalar(proofs)]).collect();
    msm(group, format!("batch-check-{proofs}"), &scalars);
}

/// The one multiplication that checks the links of so many range proofs: two
/// weights for each proof and two full scalars for each of its numbers, and one
/// each for G and Y.
pub fn links(group: &mut Group<'_>, numbers: u64, proofs: u64) {
    let full = |proof| (0..2 * numbers).map(move |at| scalar(2 * numbers * proof + at));
    let scalars = (0..proofs)
        .flat_map(|proof| [weight(2 * proof), weight(2 * proof + 1)].into_iter().chain(full(proof)))
        .chain([scalar(INPUTS), scalar(INPUTS + 1)]);
    msm(group, format!("links-{numbers}-{proofs}"), &scalars.collect::<Vec<_>>());
}

/// Points combined with weights.
pub fn combination(group: &mut Group<'_>, points: u64) {
    let scalars: Vec<_> = (0..points).map(weight).collect();
    msm(group, format!("combination-{points}"), &scalars);
}

/// Points combined with full scalars, as shares are with Lagrange's factors.
pub fn interpolation(group: &mut Group<'_>, points: u64) {
    let scalars: Vec<_> = (0..points).map(scalar).collect();
    msm(group, format!("interpolation-{points}"), &scalars);
}

/// An Ed25519 signature on this many bytes.
pub fn sign(group: &mut Group<'_>, length: usize) {
    let (key, message) = (SigningKey::from_bytes(&[1; 32]), noise(length));
    group.bench_function("sign", |b| b.iter(|| key.sign(black_box(&message))));
}

/// A strict check of an Ed25519 signature on this many bytes, the key decoded
/// before.
pub fn verify_strict(group: &mut Group<'_>, length: usize) {
    verify(group, "verify-strict", length);
}

/// The same for a message that is named.
pub fn verify_strict_of(group: &mut Group<'_>, what: &str, length: usize) {
    verify(group, &format!("verify-{what}"), length);
}

fn verify(group: &mut Group<'_>, name: &str, length: usize) {
    let message = noise(length);
    let signed = |seed| {
        let mut bytes = [0; 32];
        rng(seed).fill_bytes(&mut bytes);
        let key = SigningKey::from_bytes(&bytes);
        (key.verifying_key(), key)
    };
    let inputs: Vec<(VerifyingKey, Signature)> =
        (0..INPUTS).map(signed).map(|(public, key)| (public, key.sign(&message))).collect();
    let mut next = inputs.iter().cycle();
    group.bench_function(name, |b| {
        b.iter(|| {
            let (key, signature) = next.next().unwrap();
            key.verify_strict(black_box(&message), signature).unwrap();
        });
    });
}
