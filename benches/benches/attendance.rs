//! What it costs to find the slots of a month that may be billed.

use std::collections::BTreeMap;
use std::hint::black_box;

use aggregation::Participant;
use benches::cpu_time::CpuTime;
use benches::region::rng;
use benches::{Group, criterion};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use protocol::attendance::{Rule, open};
use protocol::members::MemberSet;
use protocol::slot::Slot;
use rand::Rng as _;

/// Slots of 15 minutes in a month of 31 days.
const SLOTS: u64 = 2976;

const MEMBERS: u16 = 200;

/// Ten honest contributors and 67 corrupted ones.
const CONTRIBUTORS_NEEDED: usize = 77;

type Listing = BTreeMap<Slot, MemberSet>;

/// So many of a hundred contributions are missing, by chance.
fn dropouts(percent: u32) -> Listing {
    let mut rng = rng(1);
    let mut counted = |_: &u16| rng.next_u32() % 100 >= percent;
    let mut slot = || (0..MEMBERS).filter(&mut counted).map(Participant).collect();
    (0..SLOTS).map(|at| (Slot(at), slot())).collect()
}

fn measure(group: &mut Group<'_>, name: &str, counted: &Listing, min_slots: u16) -> usize {
    let rule = Rule { min_slots, contributors_needed: CONTRIBUTORS_NEEDED };
    group.bench_function(name, |b| b.iter(|| open(black_box(counted), rule)));
    open(counted, rule).len()
}

fn attendance(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("attendance");
    let few = dropouts(1);
    let (one, other) = (&few[&Slot(0)], &few[&Slot(1)]);
    group.bench_function("common-200", |b| b.iter(|| black_box(one).common(black_box(other))));
    assert_eq!(measure(&mut group, "dropouts-2976", &few, 10), few.len());
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    // A bill takes about as many slots as its member is counted in: almost
    // every two are compared before any fails, and then some do.
    let many = dropouts(30);
    let opened = measure(&mut group, "worst-2976", &many, 1933);
    assert!((1..many.len()).contains(&opened), "{opened}");
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = attendance }
criterion_main!(benches);
