//! What counts as a failure, and the judge that looks for it in everything
//! that is published.

mod listings;

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;
use protocol::envelope::{Envelope, Rejection};
use protocol::id::{Digest, Epoch, MeterId, RegionId};
use protocol::identity::IdentityKey;
use protocol::listing::{Listed, ListingError};
use protocol::message::{
    Contribution, Kind, Outcome, Phase, Request, Share, Status, Subject, Target,
};
use protocol::output::Publication;
use protocol::portion::Portion;
use protocol::reading::Register;
use protocol::release;
use protocol::roster::{AcceptedRoster, RosterError};
use protocol::slot::{Slot, Timestamp};
use protocol::tariff::StepName;
use protocol::topic;
use thiserror::Error;

use crate::plan::Party;
use crate::truth::Truth;

/// The failure conditions. None of them may ever hold, whatever the faults.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs)] // Each condition's sentence stands beside it.
pub enum Violation {
    #[error(
        "the sum of slot {slot}, {register}, is {said} Wh and its contributors read {truth} Wh"
    )]
    RegionSum { slot: Slot, register: Register, said: u64, truth: u64 },
    #[error(
        "the bill of {meter} from slot {first_slot} on, {register}, is {said} Wh and it read {truth} Wh"
    )]
    Bill { meter: MeterId, first_slot: Slot, register: Register, said: u64, truth: u64 },
    #[error("slot {0} was published twice, with two results")]
    TwoResults(Slot),
    #[error("contributors and uncounted members of slot {0} are not the members")]
    Members(Slot),
    #[error("slot {slot} was opened with {found} contributors of at least {needed}")]
    TooFewContributors { slot: Slot, found: usize, needed: usize },
    #[error("the slots of a bill from slot {0} on are not those of a window, or too few")]
    Span(Slot),
    #[error("the bill of {meter} covers slot {slot}, whose result does not count it")]
    Disagreement { meter: MeterId, slot: Slot },
    #[error("the listing of {portion} cannot be read: {error}")]
    Listing { portion: Portion, error: ListingError },
    #[error("what was published as a final listing: {0}")]
    NotFinal(ListingError),
    #[error("two final listings of {0}")]
    TwoListings(Portion),
    #[error("slot {0} is listed with another set than its result")]
    Listed(Slot),
    #[error(
        "{meter} measured {measured} Wh of {register}, and {found} Wh of it are counted or wait"
    )]
    Energy { meter: MeterId, register: Register, measured: u64, found: u64 },
    #[error("the sum from slot {slot} on was opened by {found} of at least {needed} holders")]
    TooFewHelpers { slot: Slot, found: usize, needed: usize },
    #[error("helpers, unanswered and culprits of slot {0} are not the members")]
    Holders(Slot),
    #[error("{holder} helped to open two sets of slot {slot}")]
    TwoSets { holder: MeterId, slot: Slot },
    #[error("a result of epoch {epoch} begins with slot {slot}, which lies outside it")]
    OutsideEpoch { epoch: Epoch, slot: Slot },
    #[error("{meter} encrypted slot {slot} twice")]
    EncryptedTwice { meter: MeterId, slot: Slot },
    #[error("{0} helped with a request that was never made")]
    NotAsked(Party),
    #[error("what {party} published cannot be read: {rejection}")]
    Unreadable { party: Party, rejection: Rejection },
    #[error("what the collector published as a roster: {0}")]
    Roster(#[from] RosterError),
    #[error("{0} has done what is due and wants to be woken at once, for ever")]
    Spinning(Party),
    #[error("no epoch within {} s of the start", crate::world::OPENING.as_secs())]
    NotOpened,
}

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
        }
    }

    /// Judges a message that `party` hands out, whoever gets it.
    pub(crate) fn see(&mut self, party: Party, publication: &Publication) -> Result<(), Violation> {
        if topic::is_json(&publication.topic) {
            return Ok(());
        }
        let unreadable = |rejection| Violation::Unreadable { party, rejection };
        let envelope = Envelope::parse(&publication.payload).map_err(unreadable)?;
        if envelope.header().kind == Kind::Roster {
            return self.see_roster(&publication.payload);
        }
        let epoch = envelope.header().epoch;
        let Some(roster) = self.rosters.get(&epoch) else { return Ok(()) };
        match envelope.header().kind {
            Kind::Request => {
                let request = roster.open_from_collector(&envelope).map_err(unreadable)?;
                self.see_request(&request);
                Ok(())
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
                check_epoch(roster, &outcome)?;
                self.see_outcome(&outcome)
            }
            _ => Ok(()),
        }
    }

    /// Takes a message that has reached the broker: the results among them are
    /// published.
    pub(crate) fn hear(&mut self, publication: &Publication, at: Timestamp) {
        let Ok(envelope) = Envelope::parse(&publication.payload) else { return };
        let Some(roster) = self.rosters.get(&envelope.header().epoch) else { return };
        if let Ok(outcome) = roster.open_from_collector::<Outcome>(&envelope) {
            let key = ResultKey::of(&outcome);
            self.results.entry(key).or_insert(Published { outcome, at });
        }
    }

    fn see_contribution(&mut self, meter: MeterId, body: &Contribution) -> Result<(), Violation> {
        let slot = body.slot;
        let known = self.encrypted.entry((meter.clone(), slot)).or_insert_with(|| body.clone());
        if known == body { Ok(()) } else { Err(Violation::EncryptedTwice { meter, slot }) }
    }

    fn see_roster(&mut self, message: &[u8]) -> Result<(), Violation> {
        let roster = AcceptedRoster::open(message, &self.region, &self.registrar)?;
        if self.rosters.contains_key(&roster.epoch()) {
            return Ok(());
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

    fn see_request(&mut self, request: &Request) {
        self.requests.insert(release::digest(request), release::target(request));
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
        if known == outcome { Ok(()) } else { Err(Violation::TwoResults(outcome.first_slot)) }
    }

    fn check_region(&self, outcome: &Outcome) -> Result<(), Violation> {
        let slot = outcome.first_slot;
        let mut members = outcome.contributors.clone();
        members.extend_from_slice(&outcome.uncounted);
        members.sort();
        if members != self.members(slot) || outcome.slots != 1 {
            return Err(Violation::Members(slot));
        }
        let (found, needed) = (outcome.contributors.len(), self.contributors_needed(slot));
        if found < needed {
            return Err(Violation::TooFewContributors { slot, found, needed });
        }
        self.check_help(slot)?;
        self.check_listed(outcome)?;
        let (register, said) = (outcome.register, outcome.sum_wh);
        let read = |meter| self.wh(meter, register, slot);
        let truth = outcome.contributors.iter().map(read).sum();
        if said == truth {
            Ok(())
        } else {
            Err(Violation::RegionSum { slot, register, said, truth })
        }
    }

    /// As many holders as the threshold says have handed out shares of a slot.
    /// Whom a result names as its helpers belongs here too.
    fn check_help(&self, slot: Slot) -> Result<(), Violation> {
        let needed = self
            .roster_at(slot)
            .map_or(0, |roster| roster.parameters().threshold.of(roster.body().members.len()));
        let found = self.sets.keys().filter(|(_, helped)| *helped == slot).count();
        if found >= needed { Ok(()) } else { Err(Violation::TooFewHelpers { slot, found, needed }) }
    }

    fn check_bill(&self, meter: &MeterId, outcome: &Outcome) -> Result<(), Violation> {
        let (register, said, first_slot) = (outcome.register, outcome.sum_wh, outcome.first_slot);
        let slots = self.slots_of_bill(outcome).ok_or(Violation::Span(first_slot))?;
        let roster = self.roster_at(first_slot);
        let min_slots = roster.map_or(0, |roster| usize::from(roster.parameters().min_slots));
        let is_member = roster.is_some_and(|roster| roster.member(meter).is_some());
        let named = is_member && outcome.contributors == [meter.clone()];
        if slots.len() != outcome.slots as usize || slots.len() < min_slots || !named {
            return Err(Violation::Span(first_slot));
        }
        let truth = slots.iter().map(|slot| self.wh(meter, register, *slot)).sum();
        if said == truth {
            Ok(())
        } else {
            let meter = meter.clone();
            Err(Violation::Bill { meter, first_slot, register, said, truth })
        }
    }

    /// The slots that a bill covers; none if they are not those that its final
    /// listing opens.
    fn slots_of_bill(&self, outcome: &Outcome) -> Option<BTreeSet<Slot>> {
        let roster = self.roster_at(outcome.first_slot)?;
        let window = roster.grid().window_of(outcome.first_slot)?;
        let first = roster.grid().first_slot(window) == outcome.first_slot;
        let tariff = &roster.parameters().tariff;
        let step = tariff.ids().find(|step| tariff.name(*step) == outcome.step.as_ref())?;
        let own = roster.step_slots(window, step).into_iter();
        let left_out = |slot: &Slot| {
            outcome.uncounted_slots.contains(slot) || outcome.withheld_slots.contains(slot)
        };
        let covered = own.filter(|slot| !left_out(slot));
        let covered: BTreeSet<_> = covered.chain(outcome.joined_slots.iter().copied()).collect();
        let Subject::Meter(meter) = &outcome.subject else { return None };
        let (of, _) = roster.member(meter)?;
        let listed = self.finals.get(&(roster.epoch(), Portion { window, step }))?;
        (first && listed.billed(of).iter().eq(&covered)).then_some(covered)
    }

    /// A bill covers no slot whose own result does not count the meter.
    fn check_agreement(&self, new: &Outcome) -> Result<(), Violation> {
        let known = self.said.values();
        let all: Vec<_> = known.filter(|known| known.register == new.register).collect();
        let is_region = |outcome: &&&Outcome| matches!(outcome.subject, Subject::Region(_));
        if is_region(&&new) {
            let mut bills = all.iter().filter(|outcome| !is_region(outcome));
            bills.try_for_each(|bill| self.check_pair(bill, new))
        } else {
            all.iter().filter(is_region).try_for_each(|region| self.check_pair(new, region))
        }
    }

    fn check_pair(&self, bill: &Outcome, region: &Outcome) -> Result<(), Violation> {
        let slot = region.first_slot;
        let covered = self.slots_of_bill(bill).is_some_and(|slots| slots.contains(&slot));
        match &bill.subject {
            Subject::Meter(meter) if covered && !region.contributors.contains(meter) => {
                Err(Violation::Disagreement { meter: meter.clone(), slot })
            }
            _ => Ok(()),
        }
    }

    fn check_holders(&self, outcome: &Outcome) -> Result<(), Violation> {
        let slot = outcome.first_slot;
        let mut holders = outcome.helpers.clone();
        holders.extend_from_slice(&outcome.unanswered);
        holders.extend_from_slice(&outcome.culprits);
        holders.sort();
        if holders != self.members(slot) {
            return Err(Violation::Holders(slot));
        }
        let found = outcome.helpers.len();
        let scheme = self.roster_at(slot).map(AcceptedRoster::scheme);
        let needed = scheme.map_or(0, |scheme| usize::from(scheme.threshold()));
        if found < needed {
            return Err(Violation::TooFewHelpers { slot, found, needed });
        }
        Ok(())
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

    /// What a contribution holds.
    fn wh(&self, meter: &MeterId, register: Register, slot: Slot) -> u64 {
        let number = self.ids.binary_search(meter).ok().and_then(|at| u16::try_from(at).ok());
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

/// A result lies within its epoch. Slots of another one are somebody else's.
fn check_epoch<S: Scheme>(roster: &AcceptedRoster<S>, outcome: &Outcome) -> Result<(), Violation> {
    let (epoch, slot) = (roster.epoch(), outcome.first_slot);
    let grid = roster.grid();
    let last = match outcome.subject {
        Subject::Region(_) => Some(slot),
        Subject::Meter(_) => grid.window_of(slot).map(|window| grid.last_slot(window)),
    };
    let is_within = roster.covers(slot) && last.is_some_and(|last| roster.covers(last));
    if is_within { Ok(()) } else { Err(Violation::OutsideEpoch { epoch, slot }) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aggregation::Plain;

    use super::*;
    use crate::plan::Plan;
    use crate::world::World;

    /// A world after two windows: with a bill of the first, and the result of a
    /// slot of the second that does not count everybody.
    fn after_a_window() -> (World<Plain>, Outcome, Outcome) {
        let plan = Plan::small::<Plain>(1, "north".parse().unwrap());
        let mut world = World::new(plan, Truth::powers(15), Arc::new(())).unwrap();
        let grid = world.open().unwrap();
        world.silence(3, grid.origin.plus(12));
        world.run_until(grid.end(grid.origin.plus(20))).unwrap();
        let of = |slot: u64, is_region: bool| {
            let mut found = world.judge.results.values().map(|published| &published.outcome);
            let sort = |outcome: &&Outcome| {
                matches!(outcome.subject, Subject::Region(_)) == is_region
                    && outcome.first_slot == grid.origin.plus(slot)
            };
            found.rfind(sort).unwrap().clone()
        };
        let (region, bill) = (of(12, true), of(0, false));
        (world, region, bill)
    }

    /// What the judge says to a result that differs from a true one.
    fn verdict(alter: impl FnOnce(&mut Outcome, &mut Outcome)) -> Result<(), Violation> {
        let (mut world, mut region, mut bill) = after_a_window();
        let before = (region.clone(), bill.clone());
        alter(&mut region, &mut bill);
        let altered = if region == before.0 { bill } else { region };
        world.judge.see_outcome(&altered)
    }

    #[test]
    fn a_true_result_may_be_repeated() {
        assert_eq!(verdict(|_, _| {}), Ok(()));
    }

    #[test]
    fn a_wrong_sum_is_seen() {
        let found = verdict(|region, _| region.sum_wh += 1);
        assert!(matches!(found, Err(Violation::RegionSum { .. })), "{found:?}");
        let found = verdict(|_, bill| bill.sum_wh -= 1);
        assert!(matches!(found, Err(Violation::Bill { .. })), "{found:?}");
    }

    #[test]
    fn a_contributor_that_is_exchanged_for_another_is_seen() {
        let (mut world, mut region, _) = after_a_window();
        let uncounted = std::mem::take(&mut region.uncounted);
        region.uncounted = region.contributors.splice(..1, uncounted).collect();
        assert_eq!(world.judge.see_outcome(&region), Err(Violation::Listed(region.first_slot)));
        world.judge.finals.clear();
        let found = world.judge.see_outcome(&region);
        assert!(matches!(found, Err(Violation::RegionSum { .. })), "{found:?}");
    }

    #[test]
    fn a_member_that_is_nowhere_or_in_two_places_is_seen() {
        for alter in [
            |region: &mut Outcome| region.uncounted.clear(),
            |region: &mut Outcome| region.uncounted.push(region.contributors[0].clone()),
            |region: &mut Outcome| region.slots = 2,
        ] {
            let found = verdict(|region, _| alter(region));
            assert!(matches!(found, Err(Violation::Members(_))), "{found:?}");
        }
    }

    #[test]
    fn a_sum_of_too_few_is_seen() {
        let found = verdict(|region, _| {
            let left_out = region.contributors.split_off(4);
            region.uncounted.extend(left_out);
        });
        let expected = (4, 5);
        let Err(Violation::TooFewContributors { found, needed, .. }) = found else {
            panic!("{found:?}")
        };
        assert_eq!((found, needed), expected);
    }

    #[test]
    fn a_bill_off_its_window_is_seen() {
        for alter in [
            |bill: &mut Outcome| bill.slots -= 1,
            |bill: &mut Outcome| bill.first_slot = bill.first_slot.plus(1),
            |bill: &mut Outcome| bill.contributors.clear(),
        ] {
            let found = verdict(|_, bill| alter(bill));
            assert!(matches!(found, Err(Violation::Span(_))), "{found:?}");
        }
    }

    #[test]
    fn a_second_result_is_seen_even_if_it_is_true() {
        let (mut world, mut region, _) = after_a_window();
        world.judge.finals.clear();
        let left_out = region.contributors.remove(0);
        region.sum_wh -= Truth::powers(15).wh(0, region.register, region.first_slot);
        region.uncounted.push(left_out);
        let found = world.judge.see_outcome(&region);
        assert!(matches!(found, Err(Violation::TwoResults(_))), "{found:?}");
    }

    #[test]
    fn a_bill_of_a_window_without_a_final_listing_is_seen() {
        let (mut world, _, bill) = after_a_window();
        world.judge.finals.clear();
        let found = world.judge.see_outcome(&bill);
        assert_eq!(found, Err(Violation::Span(bill.first_slot)));
    }

    #[test]
    fn a_result_that_disagrees_with_its_listing_is_seen() {
        let (mut world, region, bill) = after_a_window();
        let first = bill.first_slot;
        let listed = Outcome { first_slot: first, ..region };
        assert_eq!(world.judge.see_outcome(&listed), Err(Violation::Listed(first)));
    }

    #[test]
    fn a_result_that_names_too_few_helpers_is_seen() {
        let found = verdict(|_, bill| bill.unanswered.extend(bill.helpers.pop()));
        assert!(matches!(found, Err(Violation::TooFewHelpers { found: 11, .. })), "{found:?}");
        let found = verdict(|_, bill| bill.helpers.truncate(11));
        assert!(matches!(found, Err(Violation::Holders(_))), "{found:?}");
    }

    #[test]
    fn a_slot_that_is_encrypted_twice_is_seen_and_a_repetition_is_none() {
        let (mut world, _, _) = after_a_window();
        let ((meter, slot), body) = world.judge.encrypted.pop_first().unwrap();
        let other = world.judge.encrypted.pop_first().unwrap().1;
        let other = Contribution { slot, ..other };
        let mut see = |body: &Contribution| world.judge.see_contribution(meter.clone(), body);
        assert_eq!(see(&body), Ok(()));
        assert_eq!(see(&body), Ok(()));
        let twice = Violation::EncryptedTwice { meter: meter.clone(), slot };
        assert_eq!(see(&other), Err(twice));
    }

    #[test]
    fn a_result_that_never_reaches_the_broker_is_not_published() {
        let (mut world, region, _) = after_a_window();
        world.judge.results.clear();
        assert_eq!(world.judge.see_outcome(&region), Ok(()));
        assert!(world.judge.results.is_empty());
        let mut sent = world.wire().iter().filter(|sent| sent.topic.ends_with("/c/result"));
        let (sent, now) = (sent.next().unwrap().clone(), world.now());
        world.judge.hear(&sent, now);
        assert_eq!(world.judge.results.len(), 1);
    }

    #[test]
    fn a_holder_that_opens_two_sets_is_seen() {
        let (mut world, region, _) = after_a_window();
        let (holder, slot) = (world.id(0).unwrap().clone(), region.first_slot);
        let request = Request::Region(slot, Vec::new());
        let share = Share { request: release::digest(&request), response: Vec::new().into() };
        let party = Party::Meter(0);
        let found = world.judge.see_share(party, holder.clone(), &share);
        assert_eq!(found, Err(Violation::NotAsked(party)));
        world.judge.see_request(&request);
        let found = world.judge.see_share(party, holder.clone(), &share);
        assert_eq!(found, Err(Violation::TwoSets { holder, slot }));
    }

    #[test]
    fn a_sum_with_too_little_help_is_seen() {
        let (mut world, region, _) = after_a_window();
        let slot = region.first_slot;
        let holder = world.id(0).unwrap().clone();
        assert!(world.judge.sets.remove(&(holder, slot)).is_some());
        let few = Violation::TooFewHelpers { slot, found: 11, needed: 12 };
        assert_eq!(world.judge.see_outcome(&region), Err(few));
    }

    #[test]
    fn a_result_outside_its_epoch_is_seen() {
        let (world, region, bill) = after_a_window();
        let roster = world.judge.rosters.values().next().unwrap();
        let moved = |outcome: &Outcome, slots| {
            let outcome = Outcome { first_slot: outcome.first_slot.plus(slots), ..outcome.clone() };
            check_epoch(roster, &outcome)
        };
        assert_eq!(moved(&region, 0), Ok(()));
        assert_eq!(moved(&bill, 30), Ok(()));
        for (outcome, slots) in [(&region, 40), (&bill, 40)] {
            let found = moved(outcome, slots);
            assert!(matches!(found, Err(Violation::OutsideEpoch { .. })), "{found:?}");
        }
    }

    #[test]
    fn a_slot_of_an_epoch_that_ended_early_is_the_next_ones() {
        let (world, region, _) = after_a_window();
        let mut roster = world.judge.rosters.into_values().next().unwrap();
        roster.end_before(region.first_slot);
        assert!(check_epoch(&roster, &region).is_err());
    }
}
