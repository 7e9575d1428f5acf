//! What a range proof costs its maker and those who check it, beside the proof
//! of range without a link and the link without a proof of range.

use std::hint::black_box;

use aggregation::elgamal::{Contribution, RangeProof, Retained};
use aggregation::{Canonical as _, Context, DeviceSecret, ElGamal, Hidden, Ranged, Scheme as _};
use benches::bulletproofs::{self, Shape};
use benches::cpu_time::CpuTime;
use benches::region::rng;
use benches::{Group, criterion, parts};
use criterion::{Criterion, criterion_group, criterion_main};

const CONTEXT: Context<'static> = Context(b"the slot that a contribution is for");

/// Readings that are checked together: 256, one or four to a proof.
const SHAPES: [Shape; 4] = [
    Shape { bits: 16, numbers: 1, proofs: 256 },
    Shape { bits: 16, numbers: 4, proofs: 64 },
    Shape { bits: 32, numbers: 1, proofs: 256 },
    Shape { bits: 32, numbers: 4, proofs: 64 },
];

type Numbers = Vec<(Contribution, Retained)>;

/// The number that a proof's contribution hides at this position.
fn plaintext(at: usize) -> u64 {
    137 + at as u64
}

fn hide(group: &ElGamal, shape: Shape) -> Vec<Numbers> {
    let (device, mut rng) = (DeviceSecret::new([7; 32]), rng(33));
    let mut hidden = |at| group.contribute(&device, plaintext(at), CONTEXT, &mut rng);
    (0..shape.proofs).map(|_| (0..shape.numbers).map(&mut hidden).collect()).collect()
}

fn prove(group: &ElGamal, numbers: &Numbers, max: u32, rng: &mut aggregation::Rng) -> RangeProof {
    let hidden = numbers.iter().enumerate().map(|(at, (_, retained))| Hidden {
        context: CONTEXT,
        retained,
        plaintext: plaintext(at),
    });
    group.prove_range(&hidden.collect::<Vec<_>>(), max, rng).unwrap()
}

/// One proof, and the check of many, each beside its parts.
fn shape(group: &mut Group<'_>, scheme: &ElGamal, shape: Shape) {
    let (hidden, max, mut rng) = (hide(scheme, shape), shape.max(), rng(34));
    group.bench_function(format!("prove-{}", shape.name()), |b| {
        b.iter(|| prove(scheme, black_box(&hidden[0]), max, &mut rng).to_bytes());
    });
    bulletproofs::prove(group, shape);

    let proofs: Vec<_> =
        hidden.iter().map(|numbers| prove(scheme, numbers, max, &mut rng).to_bytes()).collect();
    let listed: Vec<Vec<_>> =
        hidden.iter().map(|all| all.iter().map(|(one, _)| (CONTEXT, one)).collect()).collect();
    group.bench_function(format!("verify-{}-{}", shape.name(), shape.proofs), |b| {
        b.iter(|| {
            let read = |bytes: &Vec<u8>| RangeProof::from_bytes(black_box(bytes)).unwrap();
            let proofs: Vec<_> = proofs.iter().map(read).collect();
            let batch = proofs.iter().zip(&listed);
            let batch = batch.map(|(proof, contributions)| Ranged { contributions, max, proof });
            scheme.verify_ranges(&batch.collect::<Vec<_>>(), &mut rng).unwrap();
        });
    });
    bulletproofs::verify(group, shape);
}

fn ranges(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("ranges");
    let (_, part) = ElGamal::key_part(CONTEXT, &mut rng(35));
    let scheme = ElGamal::group(&[part]).unwrap();
    parts::fixed_base(&mut group);
    parts::key_table(&mut group);
    parts::compress(&mut group);
    parts::decompress(&mut group);
    // What the others are judged by on a machine that is not quiet.
    parts::variable_base(&mut group);
    // The same for numbers of 16 and of 32 bits.
    parts::links(&mut group, 1, 256);
    parts::links(&mut group, 4, 64);
    for one in SHAPES {
        shape(&mut group, &scheme, one);
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = ranges }
criterion_main!(benches);
