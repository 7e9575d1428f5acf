//! Whether the transcripts of a run verify, and none that was altered does.

use std::path::Path;

use aggregation::ElGamal;
use anyhow::Context as _;
use host::clock;
use protocol::Rng;
use protocol::id::RegionId;
use protocol::identity::IdentityKey;
use protocol::message::Target;
use protocol::roster::AcceptedRoster;
use protocol::transcript::{self, Transcript};
use rand::{Rng as _, RngExt as _};

use crate::disks;

/// Bytes of each transcript that are flipped one at a time, unless all are.
const FLIPS: usize = 100;

/// What the transcripts of a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Transcripts that verify.
    pub(crate) verified: u64,
    /// Altered ones that do not.
    pub(crate) rejected: u64,
    /// Transcripts that do not verify, and altered ones that do.
    pub(crate) wrong: u64,
}

/// Verifies every transcript that a stopped collector keeps, and each with one
/// byte flipped: every byte of the first of a region and of the first of
/// meters, a hundred random ones of each other one.
pub(crate) fn audit(
    collector: &Path,
    (region, registrar): (&RegionId, &IdentityKey),
) -> anyhow::Result<Audit> {
    let records = disks::of_collector(collector, region)?;
    let (mut audit, mut rng) = (Audit::default(), clock::generator()?);
    let mut whole = Vec::new();
    for (epoch, target) in transcript::combined(&records).collect::<Vec<_>>() {
        let roster = disks::roster(&records, epoch, (region, registrar))?;
        let kept =
            transcript::of(&records, epoch, target)?.context("a transcript that is not kept")?;
        let bytes = kept.to_bytes();
        if verifies(&roster, &bytes) {
            audit.verified += 1;
        } else {
            audit.wrong += 1;
        }
        let sort = matches!(target, Target::Region(_));
        let is_first = !whole.contains(&sort);
        whole.extend(is_first.then_some(sort));
        for altered in altered(&bytes, is_first, &mut rng) {
            if verifies(&roster, &altered) {
                audit.wrong += 1;
            } else {
                audit.rejected += 1;
            }
        }
    }
    Ok(audit)
}

fn verifies(roster: &AcceptedRoster<ElGamal>, bytes: &[u8]) -> bool {
    Transcript::from_bytes(bytes).and_then(|kept| kept.verify(roster)).is_ok()
}

/// Copies of bytes, each with one byte flipped.
fn altered(bytes: &[u8], is_each: bool, rng: &mut Rng) -> impl Iterator<Item = Vec<u8>> {
    let places: Vec<_> = if is_each {
        (0..bytes.len()).collect()
    } else {
        (0..FLIPS).map(|_| rng.random_range(0..bytes.len())).collect()
    };
    let mut masks = vec![0; places.len()];
    rng.fill_bytes(&mut masks);
    let bytes = bytes.to_vec();
    places.into_iter().zip(masks).map(move |(place, mask)| {
        let mut altered = bytes.clone();
        if let Some(byte) = altered.get_mut(place) {
            *byte ^= mask.max(1);
        }
        altered
    })
}
