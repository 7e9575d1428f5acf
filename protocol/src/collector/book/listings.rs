//! Listings: published when the slots of a portion are closed, endorsed by
//! the holders, and then final.

mod stage;

use std::collections::BTreeMap;

use aggregation::Scheme;
use serde_bytes::ByteBuf;

use crate::entry::EntryError;
use crate::envelope::{Envelope, Rejection, encode};
use crate::evidence::{About, Evidence};
use crate::id::{Digest, MeterId, Sender};
use crate::listing::{self, Listed, StoredFinal, slots_of};
use crate::members::MemberSet;
use crate::message::{Endorsement, FinalListing, Inquiry, Listing, Target};
use crate::output::Event;
use crate::portion::Portion;
use crate::record::{Change, Key, Records, Sort, Unreadable};
use crate::slot::{Slot, Timestamp, Window};
use crate::tariff::StepId;
use crate::topic::CollectorTopic;

use super::super::Core;
use super::recall::Named;
use super::schedule::ABSENT;
use super::{Book, persist};
use stage::portion_before;
pub(super) use stage::{Listings, Stage};

/// The shortest time between two answers to inquiries about one portion.
const ANSWER_SPAN_MS: u64 = 1000;

impl<S: Scheme> Book<S> {
    /// Publishes the listing of each portion whose slots are closed, once its
    /// rounds have ended or have had their time, and the listing before is
    /// final or never will be.
    pub(super) fn publish_listings(&mut self, core: &mut Core<S>, now: Timestamp) {
        for step in self.roster.parameters().tariff.ids() {
            while let Some(portion) = self.next_portion(step) {
                if self.listing_due(portion) > now {
                    break;
                }
                self.listings.next.insert(step, portion.window.plus(1));
                if slots_of(&self.roster, portion).is_empty() {
                    continue;
                }
                if self.deadline(Target::Bill(portion)) <= now {
                    self.give_up_listing(core, portion, ABSENT.to_owned(), now);
                } else {
                    self.publish_listing(core, portion, now);
                }
            }
        }
    }

    /// The portion of a step that is listed next, if all of its slots are
    /// closed.
    fn next_portion(&self, step: StepId) -> Option<Portion> {
        let portion = self.listings.next(step);
        let last = self.roster.grid().last_slot(portion.window);
        (self.roster.covers(last) && last < self.next_slot).then_some(portion)
    }

    /// When a portion may be listed whose slots are closed.
    fn listing_due(&self, portion: Portion) -> Timestamp {
        let open = |slot: &Slot| {
            let round = self.rounds.get(&Target::Region(*slot));
            round.is_some_and(|round| round.request().is_some() || round.is_collecting())
        };
        let last = self.roster.grid().last_slot(portion.window);
        let closes = self.roster.slot_closes(last);
        let mut due = self.roster.grid().end(last);
        if slots_of(&self.roster, portion).iter().any(open) {
            due = closes + self.roster.parameters().deadline() / 4;
        }
        match portion_before(portion)
            .and_then(|before| Some((before, self.listings.stages.get(&before)?)))
        {
            Some((before, Stage::Published { .. })) => due.max(self.deadline(Target::Bill(before))),
            _ => due,
        }
    }

    /// When something about listings is due.
    pub(super) fn listings_due(&self) -> impl Iterator<Item = Timestamp> {
        let steps = self.roster.parameters().tariff.ids();
        let next = steps.filter_map(|step| self.next_portion(step));
        let next = next.map(|portion| self.listing_due(portion));
        let published = self.listings.stages.iter().filter_map(|(portion, stage)| match stage {
            Stage::Published { .. } => Some(self.deadline(Target::Bill(*portion))),
            _ => None,
        });
        next.chain(published)
    }

    fn publish_listing(&mut self, core: &mut Core<S>, portion: Portion, now: Timestamp) {
        let before = self.listings.before(portion);
        let before = before.filter(|before| !before.withheld().is_empty());
        let previous = before.map_or(Digest::NONE, Listed::digest);
        let slots = slots_of(&self.roster, portion);
        let void: BTreeMap<_, _> = slots
            .iter()
            .filter_map(|slot| Some((*slot, self.listings.void.get(slot)?.clone())))
            .collect();
        let set = |slot: &Slot| match void.get(slot) {
            Some(_) => MemberSet::default(),
            None => self.counted(*slot),
        };
        let sets = slots.iter().map(set).collect();
        let listing = Listing { portion, previous, sets, void };
        let message = self.seal(core, &listing);
        let key = Key::listing(self.roster.epoch(), portion);
        persist(core, Change::Write(key, message.clone().into()));
        core.publish(&CollectorTopic::Listing, message.clone(), false);
        let endorsements = BTreeMap::new();
        self.listings.stages.insert(portion, Stage::Published { listing, message, endorsements });
        if self.next_republish.is_none() {
            self.schedule_republish(now);
        }
    }

    /// Who is counted in a slot: the set that a request has committed, by this
    /// collector's records or by what its members remember.
    fn counted(&self, slot: Slot) -> MemberSet {
        if let Named::One(answered) = self.named(slot) {
            return answered.set;
        }
        let Some(round) = self.rounds.get(&Target::Region(slot)) else {
            return MemberSet::default();
        };
        let members = self.roster.participants();
        members.filter(|(_, meter)| round.is_counted(meter)).map(|(of, _)| of).collect()
    }

    /// Whether a listing waits for endorsements.
    pub(super) fn wants_endorsements(&self) -> bool {
        self.listings.stages.values().any(|stage| matches!(stage, Stage::Published { .. }))
    }

    /// Asks again for endorsements.
    pub(super) fn publish_listings_again(&self, core: &mut Core<S>) {
        for stage in self.listings.stages.values() {
            if let Stage::Published { message, .. } = stage {
                core.publish(&CollectorTopic::Listing, message.clone(), false);
            }
        }
    }

    /// Whether a refusal is of a listing that waits for endorsements.
    pub(super) fn is_published(&self, digest: &Digest) -> bool {
        self.listings.stages.values().any(|stage| {
            matches!(stage, Stage::Published { listing, .. } if listing::digest(listing) == *digest)
        })
    }

    /// Publishes the final listing of a portion.
    pub(super) fn publish_final(&self, core: &mut Core<S>, portion: Portion) {
        if let Some(Stage::Final { message, .. }) = self.listings.stages.get(&portion) {
            core.publish(&CollectorTopic::Listing, message.clone(), false);
        }
    }

    pub(in crate::collector) fn handle_endorsement(
        &mut self,
        core: &mut Core<S>,
        (envelope, message): (&Envelope, &[u8]),
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let (holder, body): (MeterId, Endorsement) = self.roster.open_from_member(envelope)?;
        match self.listings.stages.get_mut(&body.portion) {
            Some(Stage::Published { listing, endorsements, .. })
                if listing::digest(listing) == body.listing =>
            {
                endorsements.insert(holder, message.to_vec());
                if endorsements.len() >= usize::from(self.roster.scheme().threshold()) {
                    self.settle_listing(core, body.portion, now);
                }
                Ok(())
            }
            Some(Stage::Final { listed, .. }) if listed.digest() == body.listing => Ok(()),
            Some(Stage::Unlisted) => Ok(()),
            _ => Err(Rejection::Body.into()),
        }
    }

    /// Makes a listing final that enough holders have endorsed.
    fn settle_listing(&mut self, core: &mut Core<S>, portion: Portion, now: Timestamp) {
        let Some(Stage::Published { listing, message, endorsements }) =
            self.listings.stages.get(&portion)
        else {
            return;
        };
        let before = self.listings.before(portion).filter(|_| listing.previous != Digest::NONE);
        let joined = before.map(Listed::withheld).unwrap_or_default();
        // Its own listing was made by the rules.
        let Ok(listed) = Listed::read(&self.roster, listing, joined.clone()) else { return };
        let endorsements = endorsements.values().map(|message| ByteBuf::from(message.clone()));
        let body =
            FinalListing { listing: message.clone().into(), endorsements: endorsements.collect() };
        let message = self.seal(core, &body);
        let record = encode(&StoredFinal { message: message.clone().into(), joined });
        let key = Key::final_listing(self.roster.epoch(), portion);
        persist(core, Change::Write(key, record.into()));
        let (open, withheld) = (listed.open().len(), listed.withheld().len());
        let stage = Stage::Final { listed: Box::new(listed), message, answered: None, since: now };
        self.listings.stages.insert(portion, stage);
        self.publish_final(core, portion);
        core.event(Event::Listed { portion, open, withheld });
        self.draw(core, portion, now);
        self.publish_listings(core, now);
        self.close_portions(core, now);
        // Owners that knew it have claimed before, and say it once they are
        // asked.
        if self.lacks_claims(portion, now) {
            self.publish_recall(core, now);
        }
    }

    /// Gives up listings that too few holders have endorsed in time.
    pub(super) fn give_up_listings(&mut self, core: &mut Core<S>, now: Timestamp) {
        let needed = self.roster.scheme().threshold();
        let over = self.listings.stages.iter().filter_map(|(portion, stage)| match stage {
            Stage::Published { endorsements, .. }
                if self.deadline(Target::Bill(*portion)) <= now =>
            {
                Some((*portion, endorsements.len()))
            }
            _ => None,
        });
        for (portion, found) in over.collect::<Vec<_>>() {
            let reason =
                format!("{found} of at least {needed} holders endorsed its listing in time");
            self.give_up_listing(core, portion, reason, now);
        }
    }

    fn give_up_listing(
        &mut self,
        core: &mut Core<S>,
        portion: Portion,
        reason: String,
        now: Timestamp,
    ) {
        self.listings.stages.insert(portion, Stage::Unlisted);
        self.abandon(core, Target::Bill(portion), reason, now);
    }

    /// Answers a member that asks for a final listing.
    pub(in crate::collector) fn handle_inquiry(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let (_, Inquiry { portion }) = self.roster.open_from_member(envelope)?;
        if let Some(Stage::Final { answered, .. }) = self.listings.stages.get_mut(&portion) {
            let recent = |last: Timestamp| now.0.saturating_sub(last.0) < ANSWER_SPAN_MS;
            if !answered.is_some_and(recent) {
                *answered = Some(now);
                self.publish_final(core, portion);
            }
        }
        Ok(())
    }

    /// Takes evidence of two sets: the slot is void.
    pub(in crate::collector) fn handle_evidence(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
    ) -> Result<(), EntryError> {
        let (_, evidence): (MeterId, Evidence) = self.roster.open_from_member(envelope)?;
        let own = evidence.binding == *self.roster.digest()
            && evidence.key == self.roster.body().collector;
        match evidence.check() {
            Ok(found) if own && found.party == Sender::Collector => {
                let About::Sets(slot) = found.about else { return Err(Rejection::Body.into()) };
                if self.listings.void.insert(slot, evidence.clone()).is_none() {
                    core.keep_evidence(self.roster.epoch(), &evidence);
                    core.event(Event::Evidence(found));
                }
                Ok(())
            }
            _ => Err(Rejection::Body.into()),
        }
    }

    /// Takes up the listings that were published before this start.
    pub(super) fn restore_listings(&mut self, kept: &Records) -> Result<(), Unreadable> {
        for (key, message) in kept.within(Sort::Listing, self.roster.epoch()) {
            let (portion, unreadable) = (key.portion().ok_or(key)?, |_| Unreadable::from(key));
            let envelope = Envelope::parse(message).map_err(unreadable)?;
            let listing = self.roster.open_from_collector(&envelope).map_err(unreadable)?;
            let (message, endorsements) = (message.to_vec(), BTreeMap::new());
            let stage = Stage::Published { listing, message, endorsements };
            self.listings.stages.insert(portion, stage);
        }
        for (listed, message) in listing::kept(&self.roster, kept)? {
            let portion = listed.portion();
            let (listed, since) = (Box::new(listed), Timestamp(0));
            let stage = Stage::Final { listed, message, answered: None, since };
            self.listings.stages.insert(portion, stage);
        }
        for portion in self.listings.stages.keys() {
            let next = self.listings.next.entry(portion.step).or_insert(Window(0));
            *next = (*next).max(portion.window.plus(1));
        }
        for (_, bytes) in kept.within(Sort::Evidence, self.roster.epoch()) {
            let Ok(evidence) = Evidence::from_bytes(bytes) else { continue };
            if let Ok(About::Sets(slot)) = evidence.check().map(|found| found.about) {
                self.listings.void.insert(slot, evidence);
            }
        }
        Ok(())
    }
}
