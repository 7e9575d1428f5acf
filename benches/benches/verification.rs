//! What a contribution costs those who add it up, and the parts of it.

use std::hint::black_box;

use aggregation::{ElGamal, Rng};
use benches::cpu_time::CpuTime;
use benches::region::{Region, rng};
use benches::{criterion, parts};
use criterion::{Criterion, criterion_group, criterion_main};
use protocol::entry::{self, Entry, Sum};
use protocol::envelope::Envelope;
use protocol::message::Target;
use protocol::roster::AcceptedRoster;

/// Contributions that are checked together.
const BATCH: usize = 200;

type Roster = AcceptedRoster<ElGamal>;

fn read(roster: &Roster, message: &[u8]) -> Entry<ElGamal> {
    let envelope = Envelope::parse(message).unwrap();
    Entry::contribution(roster, &envelope, message).unwrap()
}

/// As a holder checks a request, and a collector what waits for it.
fn together(region: &Region, messages: &[Vec<u8>], rng: &mut Rng) -> Vec<Sum<ElGamal>> {
    let roster = &region.roster;
    let entries: Vec<_> = messages.iter().map(|message| read(roster, message)).collect();
    entry::verify(roster, &entries, rng).unwrap();
    entry::sums(roster, Target::Region(region.slot()), &entries)
}

/// As a collector checks contributions that come in one at a time.
fn one_by_one(region: &Region, messages: &[Vec<u8>], rng: &mut Rng) -> Vec<Sum<ElGamal>> {
    let roster = &region.roster;
    let checked = messages.iter().map(|message| {
        let entry = read(roster, message);
        entry::verify(roster, std::slice::from_ref(&entry), rng).unwrap();
        entry
    });
    let entries: Vec<_> = checked.collect();
    entry::sums(roster, Target::Region(region.slot()), &entries)
}

fn verification(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("verification");
    let mut region = Region::of(BATCH);
    let messages = region.contributions();
    let mut rng = rng(11);
    group.bench_function("batch-200", |b| {
        b.iter(|| together(&region, black_box(&messages), &mut rng));
    });
    parts::decompress(&mut group);
    parts::verify_strict(&mut group, messages[0].len());
    parts::batch_check(&mut group, BATCH as u64);
    parts::add(&mut group);
    group.bench_function("one-by-one-200", |b| {
        b.iter(|| one_by_one(&region, black_box(&messages), &mut rng));
    });
    parts::double_base(&mut group);
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = verification }
criterion_main!(benches);
