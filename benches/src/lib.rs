//! What the benchmarks share: a clock, a region by hand, its machines, and
//! the parts that everything else is made of.

pub mod bulletproofs;
pub mod cpu_time;
pub mod keys;
pub mod machines;
pub mod parts;
pub mod region;

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion};

use cpu_time::CpuTime;

/// Benchmarks that are measured one after the other.
pub type Group<'a> = BenchmarkGroup<'a, CpuTime>;

/// The settings of every benchmark.
pub fn criterion() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(40)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}
