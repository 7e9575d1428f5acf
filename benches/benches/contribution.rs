//! What a meter does in every slot, and the parts of it.

use benches::region::{MAX_WH, Region};
use benches::{criterion, parts};
use criterion::{Criterion, criterion_group, criterion_main};

use benches::cpu_time::CpuTime;

fn contribution(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("contribution");
    let mut region = Region::of(20);
    let length = region.contribution(0, 0).len();
    let mut readings = (0..u64::from(MAX_WH)).step_by(17).cycle();
    group.bench_function("whole", |b| {
        b.iter(|| region.contribution(3, readings.next().unwrap()));
    });
    parts::fixed_base(&mut group);
    parts::key_table(&mut group);
    parts::add(&mut group);
    parts::compress(&mut group);
    parts::sign(&mut group, length);
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = contribution }
criterion_main!(benches);
