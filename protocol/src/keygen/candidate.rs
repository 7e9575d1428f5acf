//! An invited meter's side of the ceremony: its secrets, and what it says.

mod stored;

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, Participant, Rng, Scheme, Sharing};
use serde_bytes::ByteBuf;

use crate::envelope::{Envelope, Message, Rejection, seal};
use crate::id::{Digest, Epoch, MeterId, RegionId, Sender};
use crate::identity::Identity;
use crate::message::{
    Complaint, Confirmation, Dealing, Dealings, Invitation, Invited, KeyPart, KeyParts, Kind,
};
use crate::parameters::Threshold;
use crate::statement::Place;

use super::error::CeremonyError;

pub use stored::StoredError;

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

    /// What it said at earlier steps, for a collector that has forgotten them:
    /// its key part to an invitation, its dealing to the key parts.
    #[must_use]
    pub fn said_before(&self, identity: &Identity, to: Kind) -> Option<Vec<u8>> {
        let (_, dealing) = self.dealt.as_ref()?;
        let is_over = self.confirmed.is_some() || !self.complaints.is_empty();
        match to {
            Kind::Invitation => Some(self.part_message(identity)),
            Kind::KeyParts if is_over => Some(dealing.clone()),
            _ => None,
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
        let digest = super::parts_digest(body);
        match &self.dealt {
            Some((dealt_to, _)) if *dealt_to != digest => return Err(CeremonyError::OtherParts),
            Some(_) if self.confirmed.is_some() || !self.heard.parts.is_empty() => {
                return Ok(false);
            }
            _ => {}
        }
        let members = self.invitation.members.iter().zip(&body.messages);
        let read = |(member, message): (&Invited, &ByteBuf)| self.read_part(member, message);
        let parts: Vec<_> = members.map(read).collect::<Result<_, _>>()?;
        if parts.get(usize::from(self.own.0)).is_none_or(|part| part.to_bytes() != self.part) {
            return Err(CeremonyError::OwnPart);
        }
        self.heard.parts = parts;
        let is_first = self.dealt.is_none();
        if is_first {
            self.deal(threshold, digest, identity, rng);
        }
        Ok(is_first)
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
        let Some((parts, own)) = self.dealt.clone() else { return Ok(false) };
        // A restarted candidate hears the key parts again before the dealings.
        let is_done = self.confirmed.is_some() || !self.complaints.is_empty();
        if self.heard.parts.is_empty() || is_done {
            return Ok(false);
        }
        for (at, message) in (usize::from(body.first)..).zip(&body.messages) {
            let member = self.invitation.members.get(at).ok_or(CeremonyError::Members)?.clone();
            let at = u16::try_from(at).map_err(|_| CeremonyError::Members)?;
            let known = self.heard.dealings.get(&at).map(|(_, known)| known);
            let known = if at == self.own.0 { Some(&own) } else { known };
            if known.is_some_and(|known| *known != **message) {
                return Err(CeremonyError::SecondDealing(member.meter));
            }
            if !self.heard.dealings.contains_key(&at) {
                let dealing = self.read_dealing(&member, at, message, &parts)?;
                self.heard.dealings.insert(at, (dealing, message.to_vec()));
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

    /// The secret that opens sums, for the release guard alone.
    pub(crate) fn into_secret(self) -> S::Secret {
        match self.confirmed {
            Some(confirmed) => confirmed.secret,
            None => self.secret,
        }
    }
}
