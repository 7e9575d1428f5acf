//! The range proofs of contributions, where the roster asks for one with each.

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, Culprits, Ranged, Rng, Scheme};
use serde_bytes::ByteBuf;

use crate::parameters::RangeProofs;
use crate::roster::AcceptedRoster;

use super::{Entry, EntryError};

/// Reads the range proof of a contribution. A field that nothing checks would
/// be a second encoding of the same contribution.
pub(super) fn read<S: Scheme>(
    roster: &AcceptedRoster<S>,
    encoded: Option<&ByteBuf>,
) -> Result<Option<Box<S::RangeProof>>, EntryError> {
    match (roster.parameters().range_proofs, encoded) {
        (RangeProofs::Off | RangeProofs::Audit, None) => Ok(None),
        (RangeProofs::Off | RangeProofs::Audit, Some(_)) => Err(EntryError::SurplusRangeProof),
        (RangeProofs::Each, None) => Err(EntryError::NoRangeProof),
        (RangeProofs::Each, Some(bytes)) => {
            let proof = S::RangeProof::from_bytes(bytes).map_err(EntryError::RangeProofForm)?;
            Ok(Some(Box::new(proof)))
        }
    }
}

/// The positions of entries whose range proofs do not verify. `contributions`
/// are those of the entries one after another, each with what it is about.
pub(super) fn check<S: Scheme>(
    roster: &AcceptedRoster<S>,
    entries: &[&Entry<S>],
    contributions: &[(Context<'_>, &S::Contribution)],
    rng: &mut Rng,
) -> BTreeMap<usize, EntryError> {
    let max = roster.parameters().max_wh_per_slot;
    let (mut places, mut batch, mut rest) = (Vec::new(), Vec::new(), contributions);
    for (at, entry) in entries.iter().enumerate() {
        let Some((own, others)) = rest.split_at_checked(entry.hidden.len()) else { break };
        rest = others;
        if let Some(proof) = &entry.range_proof {
            places.push(at);
            batch.push(Ranged { contributions: own, max, proof: &**proof });
        }
    }
    let Err(Culprits(bad)) = roster.scheme().verify_ranges(&batch, rng) else {
        return BTreeMap::new();
    };
    let bad = bad.iter().filter_map(|of| places.get(*of));
    bad.map(|at| (*at, EntryError::RangeProof)).collect()
}
