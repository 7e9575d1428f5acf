//! What it takes to open sums: a holder's share, the collector's check of it,
//! and the combination of all shares.

use std::collections::BTreeMap;
use std::hint::black_box;

use aggregation::elgamal::Response;
use aggregation::{Canonical as _, Context, Participant, Range, Scheme as _, Table};
use benches::cpu_time::CpuTime;
use benches::region::{Region, rng};
use benches::{Group, criterion, parts};
use criterion::{Criterion, criterion_group, criterion_main};

const CONTEXT: Context<'static> = Context(b"the request that the shares answer");
const TABLE_BITS: u32 = Table::DEFAULT_BITS;

/// Ends with what the region's shares of this many sums cost.
fn shares_of(group: &mut Group<'_>, sums: u64) {
    let mut region = Region::of(20);
    let sums_asked = region.sums(0..sums);
    let (scheme, of) = (region.roster.scheme(), Participant(0));
    let (secret, mut rng) = (region.secret(0), rng(3));
    let request = scheme.request(&sums_asked);
    let mut answer = || scheme.respond(secret, of, &request, CONTEXT, &mut rng).unwrap();
    let bytes = answer().to_bytes();
    group.bench_function(format!("share-{sums}"), |b| b.iter(|| answer().to_bytes()));
    group.bench_function(format!("accept-{sums}"), |b| {
        b.iter(|| {
            let response = Response::from_bytes(black_box(&bytes)).unwrap();
            scheme.accept(of, &request, &response, CONTEXT).unwrap()
        });
    });
    parts::combination(group, sums);
}

fn share(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("share");
    parts::variable_base(&mut group);
    parts::fixed_base(&mut group);
    parts::double_base(&mut group);
    parts::compress(&mut group);
    parts::decompress(&mut group);
    // Two points with full scalars are hardly more than one with G.
    for sums in [1, 100, 1000] {
        shares_of(&mut group, sums);
    }
    group.finish();
}

/// One region sum from the shares of this many holders, near its forecast.
fn combine_of(group: &mut Group<'_>, holders: usize, table: &Table) {
    let mut region = Region::of(holders);
    let value = 200 * holders as u64;
    let sums = region.sums([value]);
    let (scheme, mut rng) = (region.roster.scheme(), rng(3));
    let accepted: BTreeMap<_, _> = region
        .holders()
        .map(|(of, secret)| {
            let request = scheme.request(&sums);
            let response = scheme.respond(secret, of, &request, CONTEXT, &mut rng).unwrap();
            (of, scheme.accept(of, &request, &response, CONTEXT).unwrap())
        })
        .collect();
    let bound = 65_535 * holders as u64;
    let sums = [(sums[0], Range { bound, forecast: value + value / 10 })];
    group.bench_function(format!("combine-{holders}"), |b| {
        b.iter(|| {
            let opened = scheme.combine(table, black_box(&sums), &accepted).unwrap();
            assert_eq!(opened, [value]);
        });
    });
}

fn combine(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("combine");
    let table = Table::new(TABLE_BITS);
    parts::add(&mut group);
    parts::fixed_base(&mut group);
    parts::compress_batch(&mut group, 4);
    for holders in [10, 50, 200] {
        combine_of(&mut group, holders, &table);
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = share, combine }
criterion_main!(benches);
