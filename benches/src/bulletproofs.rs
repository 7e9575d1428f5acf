//! Bulletproofs+ alone, as the library gives them: no contexts, no link.

use std::hint::black_box;

use aggregation::Rng;
use curve25519_dalek::constants::{RISTRETTO_BASEPOINT_COMPRESSED, RISTRETTO_BASEPOINT_POINT};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use tari_bulletproofs_plus::commitment_opening::CommitmentOpening;
use tari_bulletproofs_plus::generators::pedersen_gens::ExtensionDegree;
use tari_bulletproofs_plus::range_parameters::RangeParameters;
use tari_bulletproofs_plus::range_proof::VerifyAction;
use tari_bulletproofs_plus::range_statement::RangeStatement;
use tari_bulletproofs_plus::range_witness::RangeWitness;
use tari_bulletproofs_plus::ristretto::RistrettoRangeProof;
use tari_bulletproofs_plus::{PedersenGens, Transcript};

use crate::Group;
use crate::region::rng;

/// What proofs are about, and how many there are.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Bits of a number.
    pub bits: usize,
    /// Numbers that one proof covers.
    pub numbers: usize,
    /// Proofs that are checked together.
    pub proofs: usize,
}

impl Shape {
    /// The largest number.
    pub fn max(self) -> u32 {
        u32::MAX >> (32 - self.bits)
    }

    /// The name of these proofs among benchmarks.
    pub fn name(self) -> String {
        format!("{}x{}", self.bits, self.numbers)
    }
}

type Statement = RangeStatement<RistrettoPoint>;

fn generators(bits: usize) -> RangeParameters<RistrettoPoint> {
    let key = RistrettoPoint::mul_base(&Scalar::from(77_u8));
    let bases = PedersenGens {
        h_base: RISTRETTO_BASEPOINT_POINT,
        h_base_compressed: RISTRETTO_BASEPOINT_COMPRESSED,
        g_base_vec: vec![key],
        g_base_compressed_vec: vec![key.compress()],
        extension_degree: ExtensionDegree::DefaultPedersen,
    };
    RangeParameters::init(bits, 4, bases).unwrap()
}

/// A statement for each proof, with what opens it.
fn statements(shape: Shape) -> Vec<(Statement, RangeWitness)> {
    let (generators, mut rng) = (generators(shape.bits), rng(31));
    let statement = |_| {
        let numbers: Vec<_> =
            (0..shape.numbers as u64).map(|m| (m, Scalar::random(&mut rng))).collect();
        let commit = |(m, r): &(u64, _)| generators.pc_gens().commit(&Scalar::from(*m), &[*r]);
        let hidden: Vec<_> = numbers.iter().map(|one| commit(one).unwrap()).collect();
        let open = |(m, r)| CommitmentOpening::new(m, vec![r]);
        let witness = RangeWitness::init(numbers.into_iter().map(open).collect()).unwrap();
        let lowest = vec![None; hidden.len()];
        (RangeStatement::init(generators.clone(), hidden, lowest, None).unwrap(), witness)
    };
    (0..shape.proofs).map(statement).collect()
}

fn transcript() -> Transcript {
    Transcript::new(b"alone")
}

fn proof((statement, witness): &(Statement, RangeWitness), rng: &mut Rng) -> RistrettoRangeProof {
    RistrettoRangeProof::prove_with_rng(&mut transcript(), statement, witness, rng).unwrap()
}

/// One proof.
pub fn prove(group: &mut Group<'_>, shape: Shape) {
    let (statements, mut rng) = (statements(Shape { proofs: 1, ..shape }), rng(32));
    group.bench_function(format!("bulletproof-{}", shape.name()), |b| {
        b.iter(|| proof(black_box(&statements[0]), &mut rng));
    });
}

/// The check of all proofs at once.
pub fn verify(group: &mut Group<'_>, shape: Shape) {
    let (statements, mut rng) = (statements(shape), rng(32));
    let proofs: Vec<_> = statements.iter().map(|one| proof(one, &mut rng)).collect();
    let statements: Vec<_> = statements.into_iter().map(|(statement, _)| statement).collect();
    group.bench_function(format!("bulletproofs-{}-{}", shape.name(), shape.proofs), |b| {
        b.iter(|| {
            let (transcripts, action) =
                (&mut vec![transcript(); shape.proofs], VerifyAction::VerifyOnly);
            let (statements, proofs) = (black_box(&statements), &proofs);
            RistrettoRangeProof::verify_batch(transcripts, statements, proofs, action).unwrap()
        });
    });
}
