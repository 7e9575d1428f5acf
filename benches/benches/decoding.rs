//! A sum's number from its point, and the table that this takes.

use std::hint::black_box;

use aggregation::{Range, Table};
use benches::cpu_time::CpuTime;
use benches::region::rng;
use benches::{criterion, parts};
use criterion::{Criterion, criterion_group, criterion_main};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand::Rng as _;

/// Sums that are decoded in one pass; they lie evenly in the range.
const SUMS: u64 = 16;
const BOUND: u64 = u32::MAX as u64;

/// One random number from each of [`SUMS`] equal pieces of the range.
fn values() -> Vec<(u64, RistrettoPoint)> {
    let (mut rng, piece) = (rng(1), BOUND / SUMS);
    let value = |at| at * piece + rng.next_u64() % piece;
    let values = (0..SUMS).map(value);
    values.map(|value| (value, RistrettoPoint::mul_base(&Scalar::from(value)))).collect()
}

fn decode(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("decode");
    let (table, values) = (Table::new(Table::DEFAULT_BITS), values());
    let all = |forecast: fn(u64) -> u64| {
        for (value, point) in &values {
            let range = Range { bound: BOUND, forecast: forecast(*value) };
            assert_eq!(table.decode(black_box(point), range), Some(*value));
        }
    };
    group.bench_function("forecast-16", |b| b.iter(|| all(|value| value - value % 1000)));
    group.bench_function("no-forecast-16", |b| b.iter(|| all(|_| 0)));
    parts::add(&mut group);
    parts::fixed_base(&mut group);
    parts::compress_batch(&mut group, 4);
    parts::compress_batch(&mut group, 256);
    group.sample_size(10);
    group.bench_function("table-20", |b| b.iter(|| Table::new(black_box(20))));
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = decode }
criterion_main!(benches);
