//! A candidate on its owner's disk.

use aggregation::{DecodeError, Scheme, Stored as _};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::envelope::encode;
use crate::id::{Digest, Epoch, MeterId, RegionId};
use crate::message::Invitation;
use crate::record::Unreadable;
use crate::statement::Place;

use super::{Candidate, Confirmed};

/// Why a file holds no candidate or key share.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StoredError {
    /// Not what was written.
    #[error("the key share is malformed")]
    Malformed,
    /// The secret in it.
    #[error("the secret of the key share: {0}")]
    Secret(#[from] DecodeError),
    /// Another record of the same meter.
    #[error(transparent)]
    Record(#[from] Unreadable),
}

impl<S: Scheme> Candidate<S> {
    /// What the owner writes to its own disk, so that it can take part in the
    /// epoch after a restart.
    #[must_use]
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let mut secret = self.secret.to_stored();
        let confirmed = self.confirmed.as_ref().map(|confirmed| StoredConfirmed {
            secret: std::mem::take(&mut *confirmed.secret.to_stored()),
            dealings: confirmed.dealings,
            group: confirmed.group,
        });
        let record = StoredCandidate {
            region: self.place.region.clone(),
            epoch: self.place.epoch,
            meter: self.meter.clone(),
            invitation: self.invitation.clone(),
            secret: std::mem::take(&mut *secret),
            part: ByteBuf::from(self.part.clone()),
            dealt: self.dealt.clone().map(|(parts, message)| (parts, ByteBuf::from(message))),
            confirmed,
        };
        Zeroizing::new(encode(&record))
    }

    /// Reads what [`Candidate::to_stored`] wrote.
    ///
    /// # Errors
    /// [`StoredError`] for anything else.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, StoredError> {
        let record: StoredCandidate =
            ciborium::from_reader(bytes).map_err(|_| StoredError::Malformed)?;
        if *Zeroizing::new(encode(&record)) != *bytes {
            return Err(StoredError::Malformed);
        }
        let secret = S::Secret::from_stored(&record.secret)?;
        let (region, epoch) = (record.region.clone(), record.epoch);
        let binding = crate::keygen::digest(&region, epoch, &record.invitation);
        let place = Place { region, epoch, binding };
        let kept = (secret, record.part.to_vec());
        let candidate = Self::at(place, record.invitation.clone(), &record.meter, kept);
        let mut candidate = candidate.ok_or(StoredError::Malformed)?;
        candidate.dealt = record.dealt.as_ref().map(|(parts, sent)| (*parts, sent.to_vec()));
        if let Some(StoredConfirmed { secret, dealings, group }) = &record.confirmed {
            let secret = S::Secret::from_stored(secret)?;
            candidate.confirmed = Some(Confirmed { secret, dealings: *dealings, group: *group });
        }
        Ok(candidate)
    }
}

/// What stands on the disk.
#[derive(Serialize, Deserialize)]
struct StoredCandidate {
    region: RegionId,
    epoch: Epoch,
    meter: MeterId,
    invitation: Invitation,
    #[serde(with = "serde_bytes")]
    secret: Vec<u8>,
    part: ByteBuf,
    dealt: Option<(Digest, ByteBuf)>,
    confirmed: Option<StoredConfirmed>,
}

#[derive(Serialize, Deserialize)]
struct StoredConfirmed {
    #[serde(with = "serde_bytes")]
    secret: Vec<u8>,
    dealings: Digest,
    group: Digest,
}

impl Drop for StoredCandidate {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Drop for StoredConfirmed {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}
