//! What counts as a failure, and the judge that looks for it in everything
//! that is published.

mod help;
mod listings;
mod receipts;
mod sums;
mod violation;

use std::collections::BTreeMap;

use crate::plan::Party;
use crate::truth::Truth;
use aggregation::Scheme;
use protocol::envelope::Envelope;
use protocol::id::{Digest, Epoch, MeterId, RegionId};
use protocol::identity::IdentityKey;
use protocol::listing::Listed;
use protocol::message::{
    Contribution, Kind, Outcome, Phase, Receipt, Request, Share, Status, Subject, Target,
};
use protocol::output::Publication;
use protocol::portion::Portion;
use protocol::reading::Register;
use protocol::release;
use protocol::roster::AcceptedRoster;
use protocol::slot::{Slot, Timestamp};
use protocol::tariff::StepName;
use protocol::topic;

use receipts::Receipts;
pub use violation::Violation;

/// What a result is the result of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResultKey {
    /// Whose sum it is.
    pub subject: Subject,
    /// The register.
    pub register: Register,
    /// The first slot of the span.
    pub first_slot: Slot,
    /// The tariff step of a bill.
    pub step: Option<StepName>,
}

impl ResultKey {
    fn of(outcome: &Outcome) -> Self {
        let Outcome { subject, register, first_slot, step, .. } = outcome.clone();
        Self { subject, register, first_slot, step }
    }
}

/// A result and when it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The result.
    pub outcome: Outcome,
    /// When it reached the broker first.
    pub at: Timestamp,
}

/// Sees all that is said, and knows what the meters read. What is said may be
/// lost on its way: only a result that reached the broker is published.
pub(crate) struct Judge<S: Scheme> {
    region: RegionId,
    registrar: IdentityKey,
    ids: Vec<MeterId>,
    pub(crate) truth: Truth,
    /// What contributions hold beside their readings, in Wh.
    pub(crate) carried: BTreeMap<(u16, Register, Slot), u64>,
    /// What contributions of liars hold in Wh, whatever they read.
    pub(crate) pretended: BTreeMap<(u16, Slot), u64>,
    finals: BTreeMap<(Epoch, Portion), Listed>,
    /// The roster of each epoch, which ends where the next one begins.
    pub(crate) rosters: BTreeMap<Epoch, AcceptedRoster<S>>,
    pub(crate) results: BTreeMap<ResultKey, Published>,
    pub(crate) abandoned: BTreeMap<(Epoch, Target), Status>,
    said: BTreeMap<ResultKey, Outcome>,
    requests: BTreeMap<Digest, Target>,
    encrypted: BTreeMap<(MeterId, Slot), Contribution>,
    sets: BTreeMap<(MeterId, Slot), Digest>,
    receipts: Receipts,
    /// Whether the collector went on with a disk of some time ago.
    pub(crate) is_restored: bool,
    /// The time.
    pub(crate) now: Timestamp,
}

impl<S: Scheme> Judge<S> {
    pub(crate) fn new(
        region: RegionId,
        registrar: IdentityKey,
        ids: Vec<MeterId>,
        truth: Truth,
    ) -> Self {
        let (rosters, results, abandoned, said, requests, encrypted, sets) = Default::default();
        Self {
            region,
            registrar,
            ids,
            truth,
            carried: BTreeMap::new(),
            pretended: BTreeMap::new(),
            finals: BTreeMap::new(),
            rosters,
            results,
            abandoned,
            said,
            requests,
            encrypted,
            sets,
            receipts: Receipts::default(),
            is_restored: false,
            now: Timestamp(0),
        }
    }

    /// Judges a message that `party` hands out, whoever gets it.
    pub(crate) fn see(&mut self, party: Party, publication: &Publication) -> Result<(), Violation> {
        if topic::is_json(&publication.topic) {
            return Ok(());
        }
        let unreadable = |rejection| Violation::Unreadable { party, rejection };
        let envelope = Envelope::parse(&publication.payload).map_err(unreadable)?;
        let epoch = envelope.header().epoch;
        let Some(roster) = self.rosters.get(&epoch) else { return Ok(()) };
        match envelope.header().kind {
            Kind::Request => {
                let request = roster.open_from_collector(&envelope).map_err(unreadable)?;
                self.see_request(&request)
            }
            Kind::Receipt => {
                let receipt: Receipt = roster.open_from_collector(&envelope).map_err(unreadable)?;
                // A collector that was restored takes an epoch for longer than it is
                // until it hears of the next one.
                if self.is_restored && !roster.covers(receipt.slot) {
                    return Ok(());
                }
                self.see_receipt(receipt)
            }
            Kind::Contribution => {
                let (meter, body) = roster.open_from_member(&envelope).map_err(unreadable)?;
                self.see_contribution(meter, &body)
            }
            Kind::Share => {
                let (holder, share) = roster.open_from_member(&envelope).map_err(unreadable)?;
                self.see_share(party, holder, &share)
            }
            Kind::FinalListing => {
                let body = roster.open_from_collector(&envelope).map_err(unreadable)?;
                self.see_final(epoch, &body)
            }
            Kind::Status => {
                let status = roster.open_from_collector(&envelope).map_err(unreadable)?;
                self.see_status(epoch, status);
                Ok(())
            }
            Kind::Outcome => {
                let outcome: Outcome = roster.open_from_collector(&envelope).map_err(unreadable)?;
                sums::check_epoch(roster, &outcome)?;
                self.see_outcome(&outcome)
            }
            _ => Ok(()),
        }
    }

    /// Takes a message that has reached the broker: the rosters and results
    /// among them are published. A roster that no broker has passed on holds
    /// for nobody.
    pub(crate) fn hear(
        &mut self,
        publication: &Publication,
        at: Timestamp,
    ) -> Result<(), Violation> {
        let Ok(envelope) = Envelope::parse(&publication.payload) else { return Ok(()) };
        if envelope.header().kind == Kind::Roster {
            return self.hear_roster(&publication.payload);
        }
        let Some(roster) = self.rosters.get(&envelope.header().epoch) else { return Ok(()) };
        if let Ok(outcome) = roster.open_from_collector::<Outcome>(&envelope) {
            let key = ResultKey::of(&outcome);
            self.results.entry(key).or_insert(Published { outcome, at });
        }
        Ok(())
    }

    /// What was published of a slot of the region.
    pub(crate) fn regions(&self, slot: Slot) -> impl Iterator<Item = &Outcome> {
        let outcomes = self.results.values().map(|published| &published.outcome);
        outcomes.filter(move |outcome| {
            outcome.first_slot == slot && matches!(outcome.subject, Subject::Region(_))
        })
    }

    fn see_contribution(&mut self, meter: MeterId, body: &Contribution) -> Result<(), Violation> {
        let slot = body.slot;
        let known = self.encrypted.entry((meter.clone(), slot)).or_insert_with(|| body.clone());
        if known == body { Ok(()) } else { Err(Violation::EncryptedTwice { meter, slot }) }
    }

    fn hear_roster(&mut self, message: &[u8]) -> Result<(), Violation> {
        let roster = AcceptedRoster::open(message, &self.region, &self.registrar)?;
        if let Some(known) = self.rosters.get(&roster.epoch()) {
            let is_same = known.digest() == roster.digest();
            return if is_same { Ok(()) } else { Err(Violation::TwoRosters(roster.epoch())) };
        }
        if let Some((_, before)) = self.rosters.last_key_value() {
            roster.check_succession(before)?;
        }
        for before in self.rosters.values_mut() {
            before.end_before(roster.body().first_slot);
        }
        self.rosters.insert(roster.epoch(), roster);
        Ok(())
    }

    fn see_request(&mut self, request: &Request) -> Result<(), Violation> {
        let digest = release::digest(request);
        if self.requests.insert(digest, release::target(request)).is_some() {
            return Ok(());
        }
        match request {
            Request::Region(slot, listed) => self.see_set(*slot, digest, listed),
            Request::Bill(..) => Ok(()),
        }
    }

    fn see_share(&mut self, party: Party, holder: MeterId, share: &Share) -> Result<(), Violation> {
        match self.requests.get(&share.request) {
            None => Err(Violation::NotAsked(party)),
            Some(Target::Bill(_)) => Ok(()),
            Some(Target::Region(slot)) => {
                let known = self.sets.entry((holder.clone(), *slot)).or_insert(share.request);
                if *known == share.request {
                    Ok(())
                } else {
                    Err(Violation::TwoSets { holder, slot: *slot })
                }
            }
        }
    }

    fn see_status(&mut self, epoch: Epoch, status: Status) {
        if matches!(status.phase, Phase::Abandoned(_)) {
            self.abandoned.insert((epoch, status.target), status);
        }
    }

    pub(crate) fn see_outcome(&mut self, outcome: &Outcome) -> Result<(), Violation> {
        match &outcome.subject {
            Subject::Region(_) => self.check_region(outcome)?,
            Subject::Meter(meter) => self.check_bill(meter, outcome)?,
        }
        self.check_agreement(outcome)?;
        self.check_holders(outcome)?;
        let known = self.said.entry(ResultKey::of(outcome)).or_insert_with(|| outcome.clone());
        // A collector of some time ago asks again, and others may help.
        let is_repeated = known == outcome
            || self.is_restored && without_holders(known) == without_holders(outcome);
        if is_repeated { Ok(()) } else { Err(Violation::TwoResults(outcome.first_slot)) }
    }

    /// The roster of the epoch that a slot belongs to.
    fn roster_at(&self, slot: Slot) -> Option<&AcceptedRoster<S>> {
        self.rosters.values().find(|roster| roster.covers(slot))
    }

    /// Who is a member when a slot runs.
    fn members(&self, slot: Slot) -> Vec<MeterId> {
        let roster = self.roster_at(slot);
        let members = roster.into_iter().flat_map(AcceptedRoster::participants);
        members.map(|(_, meter)| meter.clone()).collect()
    }

    fn contributors_needed(&self, slot: Slot) -> usize {
        self.roster_at(slot).map_or(0, |roster| roster.parameters().contributors_needed())
    }

    /// The number of a meter.
    pub(crate) fn number(&self, meter: &MeterId) -> Option<u16> {
        self.ids.binary_search(meter).ok().and_then(|at| u16::try_from(at).ok())
    }

    /// What a contribution holds.
    fn wh(&self, meter: &MeterId, register: Register, slot: Slot) -> u64 {
        let number = self.number(meter);
        let carried = |number| self.carried.get(&(number, register, slot)).copied();
        let pretended = number.and_then(|number| self.pretended.get(&(number, slot)));
        if let Some(wh) = pretended {
            return *wh;
        }
        number.map_or(0, |number| {
            self.truth.wh(number, register, slot) + carried(number).unwrap_or_default()
        })
    }
}

fn without_holders(outcome: &Outcome) -> Outcome {
    let (helpers, unanswered, culprits) = Default::default();
    Outcome { helpers, unanswered, culprits, ..outcome.clone() }
}

#[cfg(test)]
mod tests;
