//! The same work by other libraries.

use std::hint::black_box;

use benches::cpu_time::CpuTime;
use benches::criterion;
use criterion::{Criterion, criterion_group, criterion_main};
use elastic_elgamal::group::{ElementOps as _, Ristretto};
use elastic_elgamal::sharing::{ActiveParticipant, Dealer, Params, PublicKeySet};
use elastic_elgamal::{CandidateDecryption, Ciphertext, RangeDecomposition};
use prio::vdaf::prio3::Prio3Sum;
use prio::vdaf::{Aggregator as _, Client as _, Collector as _, VerifyTransition};

/// Readings below 2^16, as everywhere.
const READINGS: u64 = 1 << 16;

/// Threshold ElGamal over the same group: as it is, and with a range proof.
/// Without signatures and without a binding to meter and slot.
fn elastic_elgamal(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("elastic-elgamal");
    let mut rng = benches::region::rng(21);
    let params = Params::new(3, 3);
    let dealer = Dealer::<Ristretto>::new(params, &mut rng);
    let (polynomial, proof) = dealer.public_info();
    let keys = PublicKeySet::new(params, polynomial, proof).unwrap();
    let holder =
        ActiveParticipant::new(keys.clone(), 0, dealer.secret_share_for_participant(0)).unwrap();
    let key = keys.shared_key();

    group.bench_function("encrypt", |b| b.iter(|| key.encrypt(137_u64, &mut rng).to_bytes()));
    let range = RangeDecomposition::optimal(READINGS).into();
    group.bench_function("encrypt-range", |b| {
        b.iter(|| {
            let (hidden, proof) = key.encrypt_range(&range, 137, &mut rng);
            (hidden.to_bytes(), proof)
        });
    });
    let (hidden, proof) = key.encrypt_range(&range, 137, &mut rng);
    let mut sum = Ciphertext::zero();
    let bytes = hidden.to_bytes();
    group.bench_function("add", |b| {
        b.iter(|| {
            let (c1, c2) = black_box(&bytes).split_at(32);
            let [c1, c2] = [c1, c2].map(|c| Ristretto::deserialize_element(c).unwrap());
            sum += Ciphertext::from_elements(c1, c2);
        });
    });
    group.bench_function("verify-range-and-add", |b| {
        b.iter(|| {
            key.verify_range(&range, black_box(hidden), &proof).unwrap();
            sum += hidden;
        });
    });
    group.bench_function("share", |b| {
        b.iter(|| {
            let (share, proof) = holder.decrypt_share(black_box(hidden), &mut rng);
            (share.to_bytes(), proof.to_bytes())
        });
    });
    let (share, proof) = holder.decrypt_share(hidden, &mut rng);
    let share = share.to_bytes();
    group.bench_function("accept", |b| {
        b.iter(|| {
            let share = CandidateDecryption::from_bytes(black_box(&share)).unwrap();
            keys.verify_share(share, hidden, 0, &proof).unwrap()
        });
    });
    group.finish();
}

/// Two aggregators of which one is honest; every reading proved to be in range.
fn prio(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("prio");
    let vdaf = Prio3Sum::new_sum(2, READINGS - 1).unwrap();
    let (context, nonce, key) = (b"context", [7; 16], [1; 32]);
    let shard = || vdaf.shard(context, black_box(&137), &nonce).unwrap();
    group.bench_function("shard", |b| b.iter(shard));
    let (public, inputs) = shard();
    let aggregate = || {
        let (states, shares): (Vec<_>, Vec<_>) = (0..)
            .zip(&inputs)
            .map(|(at, input)| {
                vdaf.verify_init(&key, context, at, &(), &nonce, &public, input).unwrap()
            })
            .unzip();
        let message = vdaf.verifier_shares_to_message(context, &(), shares).unwrap();
        let outputs = states.into_iter().map(|state| {
            match vdaf.verify_next(context, state, message.clone()).unwrap() {
                VerifyTransition::Finish(output) => vdaf.aggregate(&(), [output]).unwrap(),
                VerifyTransition::Continue(..) => unreachable!("one round"),
            }
        });
        outputs.collect::<Vec<_>>()
    };
    assert_eq!(vdaf.unshard(&(), aggregate(), 1).unwrap(), 137);
    group.bench_function("both-aggregators", |b| b.iter(aggregate));
    let aggregates = aggregate();
    group.bench_function("unshard", |b| {
        b.iter(|| vdaf.unshard(&(), black_box(aggregates.clone()), 1).unwrap());
    });
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = elastic_elgamal, prio }
criterion_main!(benches);
