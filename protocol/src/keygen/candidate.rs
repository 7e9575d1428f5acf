//! An invited meter's side of the ceremony: its secrets, and what it says.

use std::collections::BTreeMap;

use aggregation::{
    Canonical as _, Context, DecodeError, Participant, Rng, Scheme, Sharing, Stored as _,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::envelope::{Envelope, Message, Rejection, encode, seal};
use crate::id::{Digest, Epoch, MeterId, RegionId, Sender};
use crate::identity::Identity;
use crate::message::{
    Complaint, Confirmation, Dealing, Dealings, Invitation, Invited, KeyPart, KeyParts,
};
use crate::parameters::Threshold;
use crate::record::Unreadable;
use crate::statement::Place;

/// An invited meter on its way to become a member.
pub struct Candidate<S: Scheme> {
    place: Place,
    invitation: Invitation,
    meter: MeterId,
    own: Participant,
    secret: S::Secret,
    part: Vec<u8>,
    /// The digest of the key parts that it has dealt to, and its dealing as it
    /// was sent.
    dealt: Option<(Digest, Vec<u8>)>,
    heard: Heard<S>,
    confirmed: Option<Confirmed<S>>,
    complaints: Vec<Vec<u8>>,
}

/// What a candidate has heard of the others.
struct Heard<S: Scheme> {
    parts: Vec<S::KeyPart>,
    dealings: BTreeMap<u16, (S::Dealing, Vec<u8>)>,
}

impl<S: Scheme> Default for Heard<S> {
    fn default() -> Self {
        Self { parts: Vec::new(), dealings: BTreeMap::new() }
    }
}

/// A key share that was taken from the dealings of all.
pub struct Confirmed<S: Scheme> {
    pub(crate) secret: S::Secret,
    /// Digest of all dealings.
    pub dealings: Digest,
    /// Digest of the group that they make.
    pub group: Digest,
}

/// Why a candidate does not go on with a ceremony.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CeremonyError {
    /// A message that the collector passed on.
    #[error("a message of {0} that was passed on: {1}")]
    PassedOn(MeterId, Rejection),
    /// More or fewer messages than members, or not in their order.
    #[error("the messages that were passed on are not those of the members in order")]
    Members,
    /// Another key part under this meter's name.
    #[error("the key parts name another one for this meter")]
    OwnPart,
    /// Other key parts than those that this meter has dealt to.
    #[error("other key parts than those that this meter has dealt to")]
    OtherParts,
    /// Another dealing of the same dealer.
    #[error("a second dealing of {0}")]
    SecondDealing(MeterId),
    /// A dealing that does not hold.
    #[error("the dealing of {0} does not verify")]
    Dealing(MeterId),
    /// Dealings that make no group.
    #[error("the dealings make no group")]
    Group,
    /// Shares that do not fit; this meter has complained.
    #[error("the shares of {0:?} do not fit what they committed to")]
    Shares(Vec<MeterId>),
}

impl<S: Scheme> Candidate<S> {
    /// Answers an invitation with a fresh key part; none where the meter is
    /// not invited.
    pub fn answer(
        region: &RegionId,
        epoch: Epoch,
        body: &Invitation,
        meter: &MeterId,
        rng: &mut Rng,
    ) -> Option<Self> {
        let binding = super::digest(region, epoch, body);
        let place = Place { region: region.clone(), epoch, binding };
        let (secret, part) = S::key_part(Context(&place.key_part(meter)), rng);
        Self::at(place, body.clone(), meter, (secret, part.to_bytes()))
    }

    fn at(
        place: Place,
        invitation: Invitation,
        meter: &MeterId,
        (secret, part): (S::Secret, Vec<u8>),
    ) -> Option<Self> {
        let at = invitation.members.iter().position(|member| member.meter == *meter)?;
        Some(Self {
            place,
            meter: meter.clone(),
            own: Participant(u16::try_from(at).ok()?),
            invitation,
            secret,
            part,
            dealt: None,
            heard: Heard::default(),
            confirmed: None,
            complaints: Vec::new(),
        })
    }

    /// Where the ceremony takes place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Digest of the roster of the epoch before, as the invitation named it.
    #[must_use]
    pub fn previous(&self) -> Digest {
        self.invitation.previous
    }

    /// The key part as it is sent.
    #[must_use]
    pub fn part(&self) -> &[u8] {
        &self.part
    }

    /// The collector of the epoch.
    #[must_use]
    pub fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// What was taken from the dealings, once it is confirmed.
    #[must_use]
    pub fn confirmed(&self) -> Option<&Confirmed<S>> {
        self.confirmed.as_ref()
    }

    /// What this candidate has to say: all that may still be missing.
    #[must_use]
    pub fn messages(&self, identity: &Identity) -> Vec<Vec<u8>> {
        if let Some(Confirmed { dealings, group, .. }) = &self.confirmed {
            let body = Confirmation { dealings: *dealings, group: *group };
            return vec![self.seal(identity, &body)];
        }
        if !self.complaints.is_empty() {
            return self.complaints.clone();
        }
        match &self.dealt {
            Some((_, dealing)) => vec![dealing.clone()],
            None => vec![self.part_message(identity)],
        }
    }

    /// The signed message that carries the key part.
    #[must_use]
    pub fn part_message(&self, identity: &Identity) -> Vec<u8> {
        self.seal(identity, &KeyPart { part: ByteBuf::from(self.part.clone()) })
    }

    /// Takes everybody's key parts and deals. True if what is to be kept has
    /// changed.
    ///
    /// # Errors
    /// See [`CeremonyError`].
    pub fn take_parts(
        &mut self,
        body: &KeyParts,
        identity: &Identity,
        rng: &mut Rng,
    ) -> Result<bool, CeremonyError> {
        let Threshold::Of(threshold) = self.invitation.parameters.threshold else {
            return Ok(false);
        };
        if body.messages.len() != self.invitation.members.len() {
            return Err(CeremonyError::Members);
        }
        let members = self.invitation.members.iter().zip(&body.messages);
        let read = |(member, message): (&Invited, &ByteBuf)| self.read_part(member, message);
        let parts: Vec<_> = members.map(read).collect::<Result<_, _>>()?;
        if parts.get(usize::from(self.own.0)).is_none_or(|part| part.to_bytes() != self.part) {
            return Err(CeremonyError::OwnPart);
        }
        let digest = parts_digest(body);
        self.heard.parts = parts;
        match &self.dealt {
            Some((dealt_to, _)) if *dealt_to == digest => Ok(false),
            Some(_) => Err(CeremonyError::OtherParts),
            None => {
                self.deal(threshold, digest, identity, rng);
                Ok(true)
            }
        }
    }

    fn read_part(&self, member: &Invited, message: &[u8]) -> Result<S::KeyPart, CeremonyError> {
        let body: KeyPart = self.open(member, message)?;
        let context = self.place.key_part(&member.meter);
        let part = S::KeyPart::from_bytes(&body.part).ok();
        part.filter(|part| S::verify_key_part(part, Context(&context)))
            .ok_or_else(|| CeremonyError::PassedOn(member.meter.clone(), Rejection::Body))
    }

    fn deal(&mut self, threshold: u16, parts: Digest, identity: &Identity, rng: &mut Rng) {
        let context = self.place.dealing(&self.meter, &parts);
        let sharing = Sharing { threshold, parts: &self.heard.parts };
        let device = identity.device_secret();
        let dealing = S::deal(sharing, self.own, &device, Context(&context), rng);
        let body = Dealing { parts, dealing: ByteBuf::from(dealing.to_bytes()) };
        self.dealt = Some((parts, self.seal(identity, &body)));
    }

    /// Takes dealings of others. Once all are there, it has its share or
    /// complaints. True if what is to be kept has changed.
    ///
    /// # Errors
    /// See [`CeremonyError`].
    pub fn take_dealings(
        &mut self,
        body: &Dealings,
        identity: &Identity,
        rng: &mut Rng,
    ) -> Result<bool, CeremonyError> {
        let Some((parts, _)) = self.dealt.clone() else { return Ok(false) };
        // A restarted candidate hears the key parts again before the dealings.
        if self.heard.parts.is_empty() || self.confirmed.is_some() {
            return Ok(false);
        }
        for (at, message) in (body.first..).zip(&body.messages) {
            let member = self.invitation.members.get(usize::from(at));
            let member = member.ok_or(CeremonyError::Members)?.clone();
            match self.heard.dealings.get(&at) {
                Some((_, known)) if *known == **message => {}
                Some(_) => return Err(CeremonyError::SecondDealing(member.meter)),
                None => {
                    let dealing = self.read_dealing(&member, at, message, &parts)?;
                    self.heard.dealings.insert(at, (dealing, message.to_vec()));
                }
            }
        }
        if self.heard.dealings.len() < self.invitation.members.len() {
            return Ok(false);
        }
        self.receive(&parts, identity, rng).map(|()| true)
    }

    fn read_dealing(
        &self,
        member: &Invited,
        at: u16,
        message: &[u8],
        parts: &Digest,
    ) -> Result<S::Dealing, CeremonyError> {
        let body: Dealing = self.open(member, message)?;
        let context = self.place.dealing(&member.meter, parts);
        let dealing = S::Dealing::from_bytes(&body.dealing).ok();
        let holds = |dealing: &S::Dealing| {
            body.parts == *parts
                && S::verify_dealing(self.sharing(), Participant(at), dealing, Context(&context))
        };
        dealing.filter(holds).ok_or_else(|| CeremonyError::Dealing(member.meter.clone()))
    }

    fn receive(
        &mut self,
        parts: &Digest,
        identity: &Identity,
        rng: &mut Rng,
    ) -> Result<(), CeremonyError> {
        let members: Vec<_> = self.invitation.members.iter().map(|m| m.meter.clone()).collect();
        let contexts: Vec<_> =
            members.iter().map(|meter| self.place.dealing(meter, parts)).collect();
        let dealings = self.heard.dealings.values().map(|(dealing, _)| dealing);
        let heard: Vec<_> =
            contexts.iter().map(|context| Context(context)).zip(dealings.clone()).collect();
        let name = |of: Participant| members.get(usize::from(of.0)).unwrap_or(&self.meter);
        let complain = |dealer| self.place.complaint(&self.meter, name(dealer));
        let (sharing, own, secret) = (self.sharing(), self.own, &self.secret);
        match S::receive(sharing, own, secret, &heard, complain, rng) {
            Ok(secret) => {
                let dealings: Vec<_> = dealings.cloned().collect();
                let group = S::shared_group(sharing.threshold, &dealings);
                self.confirm(secret, &group.map_err(|_| CeremonyError::Group)?);
                Ok(())
            }
            Err(complaints) => {
                let accused: Vec<_> = complaints.keys().map(|of| name(*of).clone()).collect();
                let signed = accused.iter().zip(complaints.values()).map(|(dealer, complaint)| {
                    let complaint = ByteBuf::from(complaint.to_bytes());
                    self.seal(identity, &Complaint { dealer: dealer.clone(), complaint })
                });
                self.complaints = signed.collect();
                Err(CeremonyError::Shares(accused))
            }
        }
    }

    fn confirm(&mut self, secret: S::Secret, group: &S) {
        let messages = self.heard.dealings.values().map(|(_, message)| message.as_slice());
        let dealings = super::digest_of_all("dealings", messages);
        let shares = super::public_shares(group, self.invitation.members.len());
        let group = super::group_digest(&ByteBuf::from(group.group_key()), &shares);
        self.confirmed = Some(Confirmed { secret, dealings, group });
        self.heard = Heard::default();
    }

    fn sharing(&self) -> Sharing<'_, S::KeyPart> {
        let threshold = match self.invitation.parameters.threshold {
            Threshold::Of(threshold) => threshold,
            Threshold::All => u16::MAX,
        };
        Sharing { threshold, parts: &self.heard.parts }
    }

    fn open<M: Message>(&self, member: &Invited, message: &[u8]) -> Result<M, CeremonyError> {
        let open = || {
            let envelope = Envelope::parse(message)?;
            let header = envelope.header();
            let expected = (&self.place.region, self.place.epoch);
            if (&header.region, header.epoch) != expected {
                return Err(Rejection::Epoch);
            }
            if header.sender != Sender::Meter(member.meter.clone()) {
                return Err(Rejection::Sender);
            }
            envelope.open(&member.key, &self.place.binding)
        };
        open().map_err(|rejection| CeremonyError::PassedOn(member.meter.clone(), rejection))
    }

    fn seal<M: Message>(&self, identity: &Identity, body: &M) -> Vec<u8> {
        let sender = Sender::Meter(self.meter.clone());
        seal(identity, (&self.place.region, self.place.epoch, sender), &self.place.binding, body)
    }

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
        let binding = super::digest(&region, epoch, &record.invitation);
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

    /// The secret that opens sums, for the release guard alone.
    pub(crate) fn into_secret(self) -> S::Secret {
        match self.confirmed {
            Some(confirmed) => confirmed.secret,
            None => self.secret,
        }
    }
}

/// The digest that stands for everybody's key parts.
pub(super) fn parts_digest(body: &KeyParts) -> Digest {
    super::digest_of_all("key parts", body.messages.iter().map(|message| message.as_slice()))
}

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

/// A candidate on its owner's disk.
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
