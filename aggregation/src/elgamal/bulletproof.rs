//! Bulletproofs+ directly on C2 = mG + rY: G carries the number, Y the
//! randomness.
//!
//! Chung, Han, Ju, Kim, Seo, "Bulletproofs+: shorter proofs for a
//! privacy-enhanced distributed ledger", IEEE Access 2022, as the crate
//! `tari_bulletproofs_plus` has it. Its prover hedges like ours: every nonce
//! depends on the transcript, on all m and r, and on the generator. Its first
//! multiplication takes longer the more zeros the numbers have in binary.

use std::sync::OnceLock;

use curve25519_dalek::constants::{RISTRETTO_BASEPOINT_COMPRESSED, RISTRETTO_BASEPOINT_POINT};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use tari_bulletproofs_plus::commitment_opening::CommitmentOpening;
use tari_bulletproofs_plus::generators::pedersen_gens::ExtensionDegree;
use tari_bulletproofs_plus::range_parameters::RangeParameters;
use tari_bulletproofs_plus::range_proof::VerifyAction;
use tari_bulletproofs_plus::range_statement::RangeStatement;
use tari_bulletproofs_plus::range_witness::RangeWitness;
use tari_bulletproofs_plus::ristretto::RistrettoRangeProof;
use tari_bulletproofs_plus::{PedersenGens, Transcript};

use super::proof::Element;
use crate::scheme::{Rng, Width};

/// Numbers that one proof covers at most.
const MOST: usize = 4;

type Parameters = RangeParameters<RistrettoPoint>;

/// The generators of a group's range proofs, made when first used: tables of
/// 1 MiB for 16 bits and of 2 MiB for 32.
#[derive(Default)]
pub(super) struct Generators {
    narrow: OnceLock<Option<Parameters>>,
    wide: OnceLock<Option<Parameters>>,
}

impl Generators {
    /// Those for numbers of this width. Some, as the library takes both.
    fn of(&self, key: &Element, width: Width) -> Option<&Parameters> {
        let generators = match width {
            Width::Bits16 => &self.narrow,
            Width::Bits32 => &self.wide,
        };
        let init = || Parameters::init(width.bits(), MOST, bases(key)).ok();
        generators.get_or_init(init).as_ref()
    }
}

fn bases(key: &Element) -> PedersenGens<RistrettoPoint> {
    PedersenGens {
        h_base: RISTRETTO_BASEPOINT_POINT,
        h_base_compressed: RISTRETTO_BASEPOINT_COMPRESSED,
        g_base_vec: vec![key.point()],
        g_base_compressed_vec: vec![CompressedRistretto(*key.bytes())],
        extension_degree: ExtensionDegree::DefaultPedersen,
    }
}

/// That the numbers in all C2 have this width, in a transcript that begins
/// with `seed`.
pub(super) struct Claim {
    pub(super) width: Width,
    pub(super) seed: [u8; 32],
    pub(super) hidden: Vec<Element>,
}

impl Claim {
    fn transcript(&self) -> Transcript {
        let mut transcript = Transcript::new(b"hushgrid/1/threshold-elgamal/bulletproof");
        transcript.append_message(b"statement", &self.seed);
        transcript
    }

    /// What the library's `init` makes, without encoding every C2 again.
    fn statement(&self, parameters: &Parameters) -> RangeStatement<RistrettoPoint> {
        let encoded = self.hidden.iter().map(|c2| CompressedRistretto(*c2.bytes()));
        RangeStatement {
            generators: parameters.clone(),
            commitments: self.hidden.iter().map(Element::point).collect(),
            commitments_compressed: encoded.collect(),
            minimum_value_promises: vec![None; self.hidden.len()],
            seed_nonce: None,
        }
    }

    /// None if the m and r do not open the C2 in order, or an m has more bits.
    pub(super) fn prove<'a>(
        &self,
        (generators, key): (&Generators, &Element),
        openings: impl IntoIterator<Item = (u64, &'a Scalar)>,
        rng: &mut Rng,
    ) -> Option<RistrettoRangeProof> {
        let openings = openings.into_iter().map(|(m, r)| CommitmentOpening::new(m, vec![*r]));
        let witness = RangeWitness::init(openings.collect()).ok()?;
        let statement = self.statement(generators.of(key, self.width)?);
        let transcript = &mut self.transcript();
        RistrettoRangeProof::prove_with_rng(transcript, &statement, &witness, rng).ok()
    }
}

/// Whether each proof proves the claim beside it. All claims have one width.
pub(super) fn all_hold<'a>(
    (generators, key): (&Generators, &Element),
    claims: impl Iterator<Item = (&'a Claim, &'a RistrettoRangeProof)> + Clone,
) -> bool {
    let Some((first, _)) = claims.clone().next() else { return true };
    let Some(parameters) = generators.of(key, first.width) else { return false };
    let mut transcripts: Vec<_> = claims.clone().map(|(claim, _)| claim.transcript()).collect();
    let statements: Vec<_> = claims.clone().map(|(claim, _)| claim.statement(parameters)).collect();
    let proofs: Vec<_> = claims.map(|(_, proof)| proof.clone()).collect();
    let action = VerifyAction::VerifyOnly;
    RistrettoRangeProof::verify_batch(&mut transcripts, &statements, &proofs, action).is_ok()
}
