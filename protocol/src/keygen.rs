//! The ceremony that opens an epoch: the registrar invites, every invited
//! meter answers with its key part, the collector assembles the roster, and
//! the registrar signs it whole.

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, DecodeError, GroupError, Rng, Scheme, Stored as _};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::envelope::{Envelope, Rejection, encode, seal};
use crate::id::{Digest, Epoch, MeterId, RegionId, Sender};
use crate::identity::{Identity, IdentityKey};
use crate::message::{Invitation, KeyPart, Member, Roster};
use crate::record::Unreadable;
use crate::slot::Slot;
use crate::statement::Place;

/// The party that vouches for membership and parameters.
#[derive(Debug)]
pub struct Registrar(Identity);

impl Registrar {
    /// The registrar with the given identity.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self(identity)
    }

    /// The key that members pin.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        self.0.key()
    }

    /// Signs who may join an epoch.
    #[must_use]
    pub fn invite(&self, region: &RegionId, epoch: Epoch, invitation: &Invitation) -> Vec<u8> {
        seal(&self.0, (region, epoch, Sender::Registrar), &Digest::NONE, invitation)
    }

    /// Signs a roster whole, parameters included.
    #[must_use]
    pub fn sign(&self, region: &RegionId, epoch: Epoch, roster: &Roster) -> Vec<u8> {
        seal(&self.0, (region, epoch, Sender::Registrar), &Digest::NONE, roster)
    }
}

/// The digest that stands for an invitation.
#[must_use]
pub fn digest(region: &RegionId, epoch: Epoch, body: &Invitation) -> Digest {
    Digest::of("invitation", &encode(&(region, epoch, body)))
}

/// An invited meter's side of the ceremony: its secret and what it sent.
pub struct Candidate<S: Scheme> {
    place: Place,
    previous: Digest,
    secret: S::Secret,
    part: Vec<u8>,
}

impl<S: Scheme> Candidate<S> {
    /// Answers an invitation with a fresh key part.
    pub fn answer(
        region: &RegionId,
        epoch: Epoch,
        body: &Invitation,
        meter: &MeterId,
        rng: &mut Rng,
    ) -> Self {
        let place = Place { region: region.clone(), epoch, binding: digest(region, epoch, body) };
        let (secret, part) = S::key_part(Context(&place.key_part(meter)), rng);
        Self { place, previous: body.previous, secret, part: part.to_bytes() }
    }

    /// Where the ceremony takes place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Digest of the roster of the epoch before, as the invitation named it.
    #[must_use]
    pub fn previous(&self) -> Digest {
        self.previous
    }

    /// The key part as it is sent.
    #[must_use]
    pub fn part(&self) -> &[u8] {
        &self.part
    }

    /// The signed message that carries the key part.
    #[must_use]
    pub fn message(&self, identity: &Identity, meter: &MeterId) -> Vec<u8> {
        let sender = Sender::Meter(meter.clone());
        let body = KeyPart { part: ByteBuf::from(self.part.clone()) };
        seal(identity, (&self.place.region, self.place.epoch, sender), &self.place.binding, &body)
    }

    /// What the owner writes to its own disk, so that it can take part in the
    /// epoch after a restart.
    #[must_use]
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let mut secret = self.secret.to_stored();
        let record = StoredCandidate {
            region: self.place.region.clone(),
            epoch: self.place.epoch,
            invitation: self.place.binding,
            previous: self.previous,
            secret: std::mem::take(&mut *secret),
            part: ByteBuf::from(self.part.clone()),
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
        let secret = S::Secret::from_stored(&record.secret)?;
        let place = Place {
            region: record.region.clone(),
            epoch: record.epoch,
            binding: record.invitation,
        };
        Ok(Self { place, previous: record.previous, secret, part: record.part.to_vec() })
    }

    /// The secret, for the release guard alone.
    pub(crate) fn into_secret(self) -> S::Secret {
        self.secret
    }
}

/// Why a meter cannot go on from what it kept.
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

/// A key share on its owner's disk.
#[derive(Serialize, Deserialize)]
struct StoredCandidate {
    region: RegionId,
    epoch: Epoch,
    invitation: Digest,
    previous: Digest,
    #[serde(with = "serde_bytes")]
    secret: Vec<u8>,
    part: ByteBuf,
}

impl Drop for StoredCandidate {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// The collector's side of the ceremony: it gathers the key parts.
pub struct Ceremony<S: Scheme> {
    place: Place,
    invitation: Invitation,
    message: Vec<u8>,
    parts: BTreeMap<MeterId, S::KeyPart>,
}

impl<S: Scheme> Ceremony<S> {
    /// Opens the ceremony with an invitation that the registrar signs.
    #[must_use]
    pub fn open(
        registrar: &Registrar,
        region: &RegionId,
        epoch: Epoch,
        invitation: Invitation,
    ) -> Self {
        let message = registrar.invite(region, epoch, &invitation);
        let binding = digest(region, epoch, &invitation);
        let place = Place { region: region.clone(), epoch, binding };
        Self { place, invitation, message, parts: BTreeMap::new() }
    }

    /// The signed invitation.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Invited meters whose key part is still missing.
    pub fn missing(&self) -> impl Iterator<Item = &MeterId> {
        let absent = |meter: &&MeterId| !self.parts.contains_key(*meter);
        self.invitation.members.iter().map(|invited| &invited.meter).filter(absent)
    }

    /// Takes a key part. A second one of the same meter changes nothing.
    ///
    /// # Errors
    /// See [`Rejection`]; [`Rejection::Body`] where the proof of possession
    /// does not verify.
    pub fn take(&mut self, envelope: &Envelope) -> Result<(), Rejection> {
        let header = envelope.header();
        if (&header.region, header.epoch) != (&self.place.region, self.place.epoch) {
            return Err(Rejection::Epoch);
        }
        let Sender::Meter(meter) = &header.sender else { return Err(Rejection::Sender) };
        let invited = self.invitation.members.iter().find(|invited| invited.meter == *meter);
        let invited = invited.ok_or(Rejection::Sender)?;
        let body: KeyPart = envelope.open(&invited.key, &self.place.binding)?;
        let part = S::KeyPart::from_bytes(&body.part).map_err(|_| Rejection::Body)?;
        if !S::verify_key_part(&part, Context(&self.place.key_part(meter))) {
            return Err(Rejection::Body);
        }
        self.parts.entry(meter.clone()).or_insert(part);
        Ok(())
    }

    /// The roster, once every key part is there.
    ///
    /// # Errors
    /// [`GroupError`] where the key parts make no group.
    #[must_use]
    pub fn roster(&self, first_slot: Slot, end_slot: Slot) -> Option<Result<Roster, GroupError>> {
        if self.missing().next().is_some() {
            return None;
        }
        let parts: Vec<_> = self.parts.values().cloned().collect();
        let group_key = match S::group(&parts) {
            Ok(group) => ByteBuf::from(group.group_key()),
            Err(error) => return Some(Err(error)),
        };
        let members = self.invitation.members.iter().zip(&parts).map(|(invited, part)| Member {
            meter: invited.meter.clone(),
            key: invited.key,
            part: ByteBuf::from(part.to_bytes()),
        });
        Some(Ok(Roster {
            previous: self.invitation.previous,
            invitation: self.place.binding,
            collector: self.invitation.collector,
            first_slot,
            end_slot,
            parameters: self.invitation.parameters.clone(),
            group_key,
            members: members.collect(),
        }))
    }
}
