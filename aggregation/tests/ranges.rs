//! Range proofs: what holds for every scheme, and what those of threshold
//! ElGamal refuse.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;
#[macro_use]
#[path = "common/each_scheme.rs"]
mod each_scheme;

use aggregation::elgamal::RangeProof;
use aggregation::{
    Canonical, Context, Culprits, DecodeError, ElGamal, Hidden, Plain, Ranged, Rng, Scheme, Stored,
    Table,
};
use common::Members;
use rand::SeedableRng;

const NARROW: u32 = 0xffff;
const WIDE: u32 = u32::MAX;
const CONTEXTS: [Context<'static>; 4] =
    [Context(b"import, slot 5"), Context(b"export, slot 5"), Context(b"slot 6"), Context(b"7")];

laws! {
    one_two_or_four_numbers_are_proved_to_lie_in_either_range
    a_number_above_the_largest_has_no_proof
    another_count_or_largest_number_has_no_proof
    three_numbers_are_proved_with_one_of_them_twice
    another_number_than_the_one_that_was_hidden_has_no_proof
    a_range_is_proved_after_a_restart
    a_range_proof_is_bound_to_its_contexts
    a_range_proof_is_bound_to_its_contributions
    a_range_proof_is_bound_to_the_order_of_its_contributions
    a_range_proof_is_bound_to_the_number_of_its_contributions
    a_range_proof_is_bound_to_its_largest_number
    a_range_proof_is_bound_to_its_group
    a_batch_of_range_proofs_names_exactly_its_bad_entries
    a_range_proof_has_one_encoding_of_one_length
    the_debug_of_a_hidden_number_shows_nothing
}

/// Contributions of one contributor, each under its context.
struct Numbers<S: Scheme> {
    plaintexts: Vec<u64>,
    contributions: Vec<S::Contribution>,
    retained: Vec<S::Retained>,
}

impl<S: Scheme> Numbers<S> {
    fn new(members: &mut Members<S>, plaintexts: &[u64]) -> Self {
        let hide = |(wh, context): (&u64, _)| members.contribute(*wh, context);
        let (contributions, retained) = plaintexts.iter().zip(CONTEXTS).map(hide).unzip();
        Self { plaintexts: plaintexts.to_vec(), contributions, retained }
    }

    fn hidden(&self) -> Vec<Hidden<'_, S::Retained>> {
        let hidden = self.retained.iter().zip(&self.plaintexts).zip(CONTEXTS);
        hidden
            .map(|((retained, plaintext), context)| Hidden {
                context,
                retained,
                plaintext: *plaintext,
            })
            .collect()
    }

    fn listed(&self) -> Vec<(Context<'_>, &S::Contribution)> {
        CONTEXTS.into_iter().zip(&self.contributions).collect()
    }

    fn proof(&self, members: &mut Members<S>, max: u32) -> Option<S::RangeProof> {
        members.group.prove_range(&self.hidden(), max, &mut members.rng)
    }
}

type Listed<'a, S> = [(Context<'a>, &'a <S as Scheme>::Contribution)];

fn proves<S: Scheme>(
    members: &mut Members<S>,
    proof: &S::RangeProof,
    contributions: &Listed<'_, S>,
    max: u32,
) -> bool {
    members.group.verify_ranges(&[Ranged { contributions, max, proof }], &mut members.rng).is_ok()
}

/// Two numbers with their proof, which verifies.
fn two<S: Scheme>(members: &mut Members<S>) -> (Numbers<S>, S::RangeProof) {
    let numbers = Numbers::new(members, &[5, 6]);
    let proof = numbers.proof(members, NARROW).unwrap();
    assert!(proves(members, &proof, &numbers.listed(), NARROW));
    (numbers, proof)
}

fn one_two_or_four_numbers_are_proved_to_lie_in_either_range<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    for max in [NARROW, WIDE] {
        let largest = u64::from(max);
        for plaintexts in [&[largest][..], &[0, largest], &[1, 0, largest, 1]] {
            let numbers = Numbers::new(&mut members, plaintexts);
            let proof = numbers.proof(&mut members, max).unwrap();
            assert!(proves(&mut members, &proof, &numbers.listed(), max));
        }
    }
}

fn a_number_above_the_largest_has_no_proof<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    for max in [NARROW, WIDE] {
        let numbers = Numbers::new(&mut members, &[0, u64::from(max) + 1]);
        assert_eq!(numbers.proof(&mut members, max), None);
    }
}

fn another_count_or_largest_number_has_no_proof<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (numbers, proof) = two(&mut members);
    for max in [0, 1, NARROW - 1, NARROW + 1, WIDE - 1] {
        assert_eq!(numbers.proof(&mut members, max), None);
        assert!(!proves(&mut members, &proof, &numbers.listed(), max));
    }
    for plaintexts in [&[][..], &[1, 2, 3]] {
        let numbers = Numbers::new(&mut members, plaintexts);
        assert_eq!(numbers.proof(&mut members, NARROW), None);
        assert!(!proves(&mut members, &proof, &numbers.listed(), NARROW));
    }
}

fn three_numbers_are_proved_with_one_of_them_twice<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let numbers = Numbers::new(&mut members, &[1, 2, 3]);
    let mut hidden = numbers.hidden();
    hidden.extend(numbers.hidden().pop());
    let proof = members.group.prove_range(&hidden, NARROW, &mut members.rng).unwrap();
    let mut listed = numbers.listed();
    listed.push(listed[2]);
    assert!(proves(&mut members, &proof, &listed, NARROW));
    assert!(!proves(&mut members, &proof, &listed[..3], NARROW));
}

fn another_number_than_the_one_that_was_hidden_has_no_proof<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let mut numbers = Numbers::new(&mut members, &[5, 65_536]);
    numbers.plaintexts[1] = 0;
    assert_eq!(numbers.proof(&mut members, NARROW), None);
}

fn a_range_is_proved_after_a_restart<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let mut numbers = Numbers::new(&mut members, &[5, 6]);
    let restored = numbers.retained.iter().map(|one| S::Retained::from_stored(&one.to_stored()));
    numbers.retained = restored.collect::<Result<_, _>>().unwrap();
    let proof = numbers.proof(&mut members, NARROW).unwrap();
    assert!(proves(&mut members, &proof, &numbers.listed(), NARROW));
}

fn a_range_proof_is_bound_to_its_contexts<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (numbers, proof) = two(&mut members);
    let mut listed = numbers.listed();
    for (one, other) in [(2, 1), (0, 2), (1, 0)] {
        (listed[0].0, listed[1].0) = (CONTEXTS[one], CONTEXTS[other]);
        assert!(!proves(&mut members, &proof, &listed, NARROW));
    }
}

fn a_range_proof_is_bound_to_its_contributions<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (numbers, proof) = two(&mut members);
    let others = Numbers::new(&mut members, &[5, 6]);
    for at in 0..2 {
        let mut listed = numbers.listed();
        listed[at] = others.listed()[at];
        assert!(!proves(&mut members, &proof, &listed, NARROW));
    }
}

fn a_range_proof_is_bound_to_the_order_of_its_contributions<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (numbers, proof) = two(&mut members);
    let mut listed = numbers.listed();
    listed.reverse();
    assert!(!proves(&mut members, &proof, &listed, NARROW));
}

fn a_range_proof_is_bound_to_the_number_of_its_contributions<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (numbers, proof) = two(&mut members);
    let listed = numbers.listed();
    assert!(!proves(&mut members, &proof, &listed[..1], NARROW));
    assert!(!proves(&mut members, &proof, &[listed[0], listed[1], listed[0], listed[1]], NARROW));
}

fn a_range_proof_is_bound_to_its_largest_number<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let beyond = Numbers::new(&mut members, &[65_536]);
    let wide = beyond.proof(&mut members, WIDE).unwrap();
    assert!(!proves(&mut members, &wide, &beyond.listed(), NARROW));
    // As long as a proof for two of 16 bits.
    let twice = [beyond.listed()[0]; 2];
    assert!(!proves(&mut members, &wide, &twice, NARROW));
    let (numbers, proof) = two(&mut members);
    assert!(!proves(&mut members, &proof, &numbers.listed(), WIDE));
}

fn a_range_proof_is_bound_to_its_group<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (numbers, proof) = two(&mut members);
    members.group = S::group(&members.parts[..1]).unwrap();
    assert!(!proves(&mut members, &proof, &numbers.listed(), NARROW));
}

fn a_batch_of_range_proofs_names_exactly_its_bad_entries<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let mut entry = |plaintexts: &[u64], max| {
        let numbers = Numbers::new(&mut members, plaintexts);
        let proof = numbers.proof(&mut members, max).unwrap();
        (numbers, max, proof)
    };
    let all = [
        entry(&[1], NARROW),
        entry(&[2, 3], WIDE),
        entry(&[4, 5, 6, 7], NARROW),
        entry(&[8, 9], NARROW),
        entry(&[10], WIDE),
        entry(&[11], NARROW),
    ];
    let listed: Vec<_> = all.iter().map(|(numbers, ..)| numbers.listed()).collect();
    let mut batch: Vec<_> = (all.iter().zip(&listed))
        .map(|((_, max, proof), contributions)| Ranged { contributions, max: *max, proof })
        .collect();
    let Members { group, rng, .. } = &mut members;
    assert_eq!(group.verify_ranges(&[], rng), Ok(()));
    assert_eq!(group.verify_ranges(&batch, rng), Ok(()));
    // Another's proof, another's range, and no range at all.
    batch[0].proof = &all[5].2;
    batch[3].max = WIDE;
    batch[4].max = 7;
    assert_eq!(group.verify_ranges(&batch, rng), Err(Culprits(vec![0, 3, 4])));
}

fn a_range_proof_has_one_encoding_of_one_length<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (_, proof) = two(&mut members);
    let mut bytes = proof.to_bytes();
    let expected = bytes.len();
    assert_eq!(S::RangeProof::from_bytes(&bytes), Ok(proof));
    bytes.push(0);
    let longer = DecodeError::Length { expected, found: expected + 1 };
    assert_eq!(S::RangeProof::from_bytes(&bytes), Err(longer));
    for found in [0, 31, expected - 1] {
        let shorter = S::RangeProof::from_bytes(&bytes[..found]).err();
        assert!(matches!(shorter, Some(DecodeError::Length { found: it, .. }) if it == found));
    }
}

fn the_debug_of_a_hidden_number_shows_nothing<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(1);
    let numbers = Numbers::new(&mut members, &[5]);
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(numbers.hidden()[0], @"Hidden(..)");
    }
}

type Neighbours = Members<ElGamal>;

#[test]
fn range_proofs_have_these_lengths() {
    let mut members = Neighbours::new(2);
    let mut lengths = Vec::new();
    for max in [NARROW, WIDE] {
        for count in [1, 2, 4] {
            let numbers = Numbers::new(&mut members, &[5, 6, 7, 8][..count]);
            lengths.push(numbers.proof(&mut members, max).unwrap().to_bytes().len());
        }
    }
    assert_eq!(lengths, [576, 640, 704, 640, 704, 768]);
}

#[test]
fn a_range_proof_with_any_byte_flipped_is_refused() {
    let mut members = Neighbours::new(2);
    let numbers = Numbers::new(&mut members, &[5]);
    let bytes = numbers.proof(&mut members, NARROW).unwrap().to_bytes();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let Ok(proof) = RangeProof::from_bytes(&flipped) else { continue };
        assert_eq!(proof.to_bytes(), flipped);
        assert!(!proves(&mut members, &proof, &numbers.listed(), NARROW), "byte {at}");
    }
}

#[test]
fn a_scalar_of_a_range_proof_that_is_not_reduced_is_refused() {
    let mut members = Neighbours::new(2);
    let bytes = two(&mut members).1.to_bytes();
    let last = bytes.len() / 32 - 1;
    for (at, name) in [(0, "range"), (4, "range"), (5, "range"), (last - 1, "z_m"), (last, "z_r")] {
        let mut bent = bytes.clone();
        bent[32 * at + 31] |= 0xf0;
        assert_eq!(RangeProof::from_bytes(&bent), Err(DecodeError::NotCanonical(name)));
    }
}

#[test]
fn an_identity_point_in_a_range_proof_is_refused() {
    let mut members = Neighbours::new(2);
    let (numbers, proof) = two(&mut members);
    let bytes = proof.to_bytes();
    let link = bytes.len() / 32 - 4;
    for at in (1..4).chain(6..link + 2) {
        let mut bent = bytes.clone();
        bent[32 * at..32 * at + 32].fill(0);
        let refused = RangeProof::from_bytes(&bent)
            .map_or(true, |proof| !proves(&mut members, &proof, &numbers.listed(), NARROW));
        assert!(refused, "point {at}");
    }
}

#[test]
fn a_repeated_generator_gives_another_nonce_to_another_range() {
    let mut members = Neighbours::new(2);
    let numbers = Numbers::new(&mut members, &[5]);
    // A nonce that repeats itself under two challenges would give away r.
    let [one, other] = [NARROW, WIDE].map(|max| {
        members.rng = Rng::seed_from_u64(9);
        let bytes = numbers.proof(&mut members, max).unwrap().to_bytes();
        let link = bytes.last_chunk::<128>().unwrap();
        link[..64].to_vec()
    });
    assert_ne!(one[..32], other[..32]);
    assert_ne!(one[32..], other[32..]);
}
