//! The collector's side of one attempt at a ceremony: it gathers what the
//! candidates say, checks it, and passes it on.

mod passed_on;

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, GroupError, Participant, Scheme, Sharing};
use serde_bytes::ByteBuf;

use crate::envelope::{Envelope, Message, Rejection, seal};
use crate::evidence::Evidence;
use crate::id::{Digest, Epoch, MeterId, RegionId, Sender};
use crate::identity::Identity;
use crate::message::{
    Complaint, Confirmation, Dealing, Invitation, Invited, KeyPart, KeyParts, Kind, Member, Roster,
};
use crate::parameters::Threshold;
use crate::slot::Slot;
use crate::statement::Place;

use super::error::{Conviction, Step};
use super::{Registrar, parts_digest};

/// What became of a candidate's message.
#[derive(Debug)]
pub enum Progress {
    /// It was taken, or known already.
    Taken,
    /// It shows that the candidate misses something that was passed on.
    Behind,
    /// It ends the attempt: a party is left out of the next one.
    Convicted(MeterId, Conviction, Option<Box<Evidence>>),
}

/// One attempt.
pub struct Ceremony<S: Scheme> {
    place: Place,
    invitation: Invitation,
    message: Vec<u8>,
    parts: BTreeMap<MeterId, (S::KeyPart, Vec<u8>)>,
    dealings: BTreeMap<MeterId, (S::Dealing, Vec<u8>)>,
    confirmations: BTreeMap<MeterId, Confirmation>,
    /// What a candidate confirms that has heard these dealings.
    expected: Option<Confirmation>,
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
        let binding = super::digest(region, epoch, &invitation);
        let place = Place { region: region.clone(), epoch, binding };
        let (parts, dealings, confirmations, expected) = Default::default();
        Self { place, invitation, message, parts, dealings, confirmations, expected }
    }

    /// The signed invitation.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Digest of the invitation.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.place.binding
    }

    /// What was invited to.
    #[must_use]
    pub fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// The epoch that is to be opened.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.place.epoch
    }

    /// How far it has come.
    #[must_use]
    pub fn step(&self) -> Step {
        let members = self.invitation.members.len();
        if self.parts.len() < members {
            Step::Parts
        } else if self.invitation.parameters.threshold == Threshold::All {
            Step::Complete
        } else if self.dealings.len() < members {
            Step::Dealings
        } else if self.confirmations.len() < members {
            Step::Confirmations
        } else {
            Step::Complete
        }
    }

    /// Invited meters that this step waits for.
    pub fn missing(&self) -> impl Iterator<Item = &MeterId> {
        let step = self.step();
        let said = move |meter: &MeterId| match step {
            Step::Parts => self.parts.contains_key(meter),
            Step::Dealings => self.dealings.contains_key(meter),
            Step::Confirmations => self.confirmations.contains_key(meter),
            Step::Complete => true,
        };
        self.invitation.members.iter().map(|invited| &invited.meter).filter(move |m| !said(m))
    }

    /// Takes what a candidate says.
    ///
    /// # Errors
    /// See [`Rejection`]; [`Rejection::Body`] where a proof of possession does
    /// not verify.
    pub fn take(&mut self, envelope: &Envelope, message: &[u8]) -> Result<Progress, Rejection> {
        match envelope.header().kind {
            Kind::KeyPart => self.take_part(envelope, message),
            Kind::Dealing => self.take_dealing(envelope, message),
            Kind::Complaint => self.take_complaint(envelope),
            Kind::Confirmation => self.take_confirmation(envelope),
            _ => Err(Rejection::Kind),
        }
    }

    fn take_part(&mut self, envelope: &Envelope, message: &[u8]) -> Result<Progress, Rejection> {
        let (_, invited, body) = self.open_from::<KeyPart>(envelope)?;
        let meter = invited.meter.clone();
        if let Some((_, known)) = self.parts.get(&meter) {
            // Key parts are drawn anew after a start without anything kept:
            // the first one stays, and whoever drew it is behind for good.
            let waits = self.step() > Step::Parts && !self.dealings.contains_key(&meter);
            let is_behind = known == message && waits;
            return Ok(if is_behind { Progress::Behind } else { Progress::Taken });
        }
        let part = S::KeyPart::from_bytes(&body.part).map_err(|_| Rejection::Body)?;
        if !S::verify_key_part(&part, Context(&self.place.key_part(&meter))) {
            return Err(Rejection::Body);
        }
        self.parts.insert(meter, (part, message.to_vec()));
        Ok(Progress::Taken)
    }

    fn take_dealing(&mut self, envelope: &Envelope, message: &[u8]) -> Result<Progress, Rejection> {
        let (of, invited, body) = self.open_from::<Dealing>(envelope)?;
        let (meter, key) = (invited.meter.clone(), invited.key);
        // Said under a collector that has forgotten the step before.
        if self.step() < Step::Dealings {
            return Ok(Progress::Taken);
        }
        if let Some((_, known)) = self.dealings.get(&meter) {
            let (first, second) = (known.clone().into(), message.to_vec().into());
            let evidence = Evidence { key, binding: self.place.binding, first, second };
            if evidence.check().is_ok() {
                let evidence = Some(Box::new(evidence));
                return Ok(Progress::Convicted(meter, Conviction::TwoStatements, evidence));
            }
            let waits = self.step() > Step::Dealings && !self.confirmations.contains_key(&meter);
            return Ok(if waits { Progress::Behind } else { Progress::Taken });
        }
        let parts = self.parts();
        let digest = parts_digest(&self.key_parts());
        let context = self.place.dealing(&meter, &digest);
        let holds = |dealing: &S::Dealing| {
            body.parts == digest
                && S::verify_dealing(self.sharing(&parts), of, dealing, Context(&context))
        };
        let dealing = S::Dealing::from_bytes(&body.dealing).ok().filter(holds);
        let Some(dealing) = dealing else {
            return Ok(Progress::Convicted(meter, Conviction::BadDealing, None));
        };
        self.dealings.insert(meter, (dealing, message.to_vec()));
        Ok(Progress::Taken)
    }

    fn take_complaint(&self, envelope: &Envelope) -> Result<Progress, Rejection> {
        let (of, invited, body) = self.open_from::<Complaint>(envelope)?;
        if self.step() < Step::Confirmations {
            return Ok(Progress::Taken);
        }
        let dealer = self.position(&body.dealer).ok_or(Rejection::Body)?;
        let (dealing, _) = self.dealings.get(&body.dealer).ok_or(Rejection::Body)?;
        let parts = self.parts();
        let digest = parts_digest(&self.key_parts());
        let dealt = self.place.dealing(&body.dealer, &digest);
        let context = self.place.complaint(&invited.meter, &body.dealer);
        let convicts = S::Complaint::from_bytes(&body.complaint).is_ok_and(|complaint| {
            let (sharing, dealing) = (self.sharing(&parts), (Context(&dealt), dealing));
            S::judge(sharing, (of, dealer), &complaint, dealing, Context(&context))
        });
        Ok(if convicts {
            Progress::Convicted(body.dealer, Conviction::BadShare, None)
        } else {
            Progress::Convicted(invited.meter.clone(), Conviction::FalseComplaint, None)
        })
    }

    fn take_confirmation(&mut self, envelope: &Envelope) -> Result<Progress, Rejection> {
        let (_, invited, body) = self.open_from::<Confirmation>(envelope)?;
        let meter = invited.meter.clone();
        if self.step() < Step::Confirmations {
            return Ok(Progress::Taken);
        }
        if self.expected().is_some_and(|expected| body != *expected) {
            return Ok(Progress::Convicted(meter, Conviction::OtherDealings, None));
        }
        self.confirmations.insert(meter, body);
        Ok(Progress::Taken)
    }

    fn expected(&mut self) -> Option<&Confirmation> {
        if self.expected.is_none() {
            let (group_key, shares) = self.group().ok()?;
            let group = super::group_digest(&group_key, &shares);
            self.expected = Some(Confirmation { dealings: self.dealings_digest(), group });
        }
        self.expected.as_ref()
    }

    /// The roster, once nothing is missing.
    ///
    /// # Errors
    /// [`GroupError`] where the key parts or dealings make no group.
    #[must_use]
    pub fn roster(&self, first_slot: Slot, end_slot: Slot) -> Option<Result<Roster, GroupError>> {
        if self.step() != Step::Complete {
            return None;
        }
        Some(
            self.group()
                .map(|(group_key, parts)| self.named(group_key, parts, first_slot, end_slot)),
        )
    }

    fn group(&self) -> Result<(ByteBuf, Vec<ByteBuf>), GroupError> {
        let parts = self.parts();
        if let Threshold::Of(threshold) = self.invitation.parameters.threshold {
            let dealings: Vec<_> =
                self.dealings.values().map(|(dealing, _)| dealing.clone()).collect();
            let group = S::shared_group(threshold, &dealings)?;
            let shares = super::public_shares(&group, parts.len());
            return Ok((ByteBuf::from(group.group_key()), shares));
        }
        let group_key = ByteBuf::from(S::group(&parts)?.group_key());
        Ok((group_key, parts.iter().map(|part| ByteBuf::from(part.to_bytes())).collect()))
    }

    fn named(
        &self,
        group_key: ByteBuf,
        parts: Vec<ByteBuf>,
        first_slot: Slot,
        end_slot: Slot,
    ) -> Roster {
        let members = self.invitation.members.iter().zip(parts);
        let member = |(invited, part): (&Invited, _)| Member {
            meter: invited.meter.clone(),
            key: invited.key,
            part,
        };
        let Invitation { previous, attempt, collector, parameters, .. } = self.invitation.clone();
        let dealings = if parameters.threshold == Threshold::All {
            Digest::NONE
        } else {
            self.dealings_digest()
        };
        Roster {
            previous,
            attempt,
            invitation: self.place.binding,
            dealings,
            collector,
            first_slot,
            end_slot,
            parameters,
            group_key,
            members: members.map(member).collect(),
        }
    }

    /// Opens what an invited meter has signed under this invitation.
    fn open_from<M: Message>(
        &self,
        envelope: &Envelope,
    ) -> Result<(Participant, &Invited, M), Rejection> {
        let header = envelope.header();
        if (&header.region, header.epoch) != (&self.place.region, self.place.epoch) {
            return Err(Rejection::Epoch);
        }
        let Sender::Meter(meter) = &header.sender else { return Err(Rejection::Sender) };
        let of = self.position(meter).ok_or(Rejection::Sender)?;
        let invited = self.invitation.members.get(usize::from(of.0)).ok_or(Rejection::Sender)?;
        Ok((of, invited, envelope.open(&invited.key, &self.place.binding)?))
    }

    fn position(&self, meter: &MeterId) -> Option<Participant> {
        let at = self.invitation.members.binary_search_by(|invited| invited.meter.cmp(meter));
        at.ok().and_then(|at| u16::try_from(at).ok()).map(Participant)
    }

    fn parts(&self) -> Vec<S::KeyPart> {
        self.parts.values().map(|(part, _)| part.clone()).collect()
    }

    fn sharing<'a>(&self, parts: &'a [S::KeyPart]) -> Sharing<'a, S::KeyPart> {
        let threshold = match self.invitation.parameters.threshold {
            Threshold::Of(threshold) => threshold,
            Threshold::All => u16::MAX,
        };
        Sharing { threshold, parts }
    }

    fn key_parts(&self) -> KeyParts {
        let messages = self.parts.values().map(|(_, message)| ByteBuf::from(message.clone()));
        KeyParts { messages: messages.collect() }
    }

    fn dealings_digest(&self) -> Digest {
        let messages = self.dealings.values().map(|(_, message)| message.as_slice());
        super::digest_of_all("dealings", messages)
    }

    fn seal<M: Message>(&self, identity: &Identity, body: &M) -> Vec<u8> {
        let place = (&self.place.region, self.place.epoch, Sender::Collector);
        seal(identity, place, &self.place.binding, body)
    }
}
