//! The collector's side of the protocol for one region: a state machine
//! without IO. It opens the epoch, then runs its rounds.

mod book;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use aggregation::{Rng, Scheme};
use thiserror::Error;

use crate::entry::EntryError;
use crate::envelope::{Envelope, Message, Rejection};
use crate::id::{Digest, Epoch, RegionId, Sender};
use crate::identity::{Identity, IdentityKey};
use crate::keygen::{Ceremony, Registrar};
use crate::message::{Invitation, Invited, Kind};
use crate::output::{Event, Output, Publication};
use crate::parameters::{ParameterError, Parameters};
use crate::record::{Change, Key, Records, Sort};
use crate::retry::Retry;
use crate::roster::{AcceptedRoster, RosterError};
use crate::slot::{Timestamp, slot_at};
use crate::topic::{self, CollectorTopic};

use book::Book;
pub use book::KeptError;

/// What a collector knows of a region before any message reaches it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The region.
    pub region: RegionId,
    /// What is to hold.
    pub parameters: Parameters,
    /// How many windows the epoch lasts.
    pub epoch_windows: u32,
    /// The members, in any order.
    pub members: Vec<Invited>,
}

impl Terms {
    fn epoch_slots(&self) -> u64 {
        u64::from(self.epoch_windows) * u64::from(self.parameters.window_slots.get())
    }

    fn agree_with<S: Scheme>(&self, roster: &AcceptedRoster<S>) -> bool {
        let members = roster.body().members.iter().map(|member| (&member.meter, &member.key));
        let slots = roster.body().end_slot.since(roster.body().first_slot);
        self.parameters == *roster.parameters()
            && slots == Some(self.epoch_slots())
            && members.eq(self.members.iter().map(|invited| (&invited.meter, &invited.key)))
    }
}

/// Why a collector cannot serve a region.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TermsError {
    /// A parameter.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// A roster that was kept and is not this collector's.
    #[error("the kept {0}")]
    Roster(#[from] RosterError),
    /// A member twice.
    #[error("two members have the same id")]
    Members,
    /// What was kept of an epoch's rounds.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The kept roster names another collector.
    #[error("the kept roster names another collector's identity key")]
    Collector,
}

/// What every part of the machine works with.
struct Core<S: Scheme> {
    terms: Terms,
    identity: Identity,
    rng: Rng,
    decoder: Arc<S::Decoder>,
    outputs: VecDeque<Output>,
    counters: BTreeMap<&'static str, u64>,
}

impl<S: Scheme> Core<S> {
    fn event(&mut self, event: Event) {
        *self.counters.entry(event.name()).or_default() += 1;
        self.outputs.push_back(Output::Event(event));
    }

    fn publish(&mut self, topic: &CollectorTopic, payload: Vec<u8>, retain: bool) {
        let topic = topic::of_collector(&self.terms.region, topic);
        self.outputs.push_back(Output::Publish(Publication { topic, payload, retain }));
    }

    /// Publishes a signed message with its JSON view beside it.
    fn publish_with_view<M: Message>(
        &mut self,
        (topic, epoch): (&CollectorTopic, Epoch),
        message: Vec<u8>,
        body: &M,
    ) {
        let view = crate::view::json(&self.terms.region, epoch, body);
        self.publish(topic, message, false);
        let topic = topic::json(&topic::of_collector(&self.terms.region, topic));
        let view = Publication { topic, payload: view, retain: false };
        self.outputs.push_back(Output::Publish(view));
    }
}

enum Stage<S: Scheme> {
    Gathering(Box<Ceremony<S>>, Retry),
    Open(Box<Book<S>>),
}

/// The collector of one region.
pub struct Collector<S: Scheme> {
    core: Core<S>,
    registrar: Registrar,
    stage: Stage<S>,
}

impl<S: Scheme> Collector<S> {
    /// A collector that starts at `now`, with what it kept from before.
    ///
    /// # Errors
    /// See [`TermsError`].
    pub fn new(
        mut terms: Terms,
        (identity, registrar): (Identity, Registrar),
        kept: &Records,
        (decoder, rng): (Arc<S::Decoder>, Rng),
        now: Timestamp,
    ) -> Result<Self, TermsError> {
        terms.members.sort_by(|a, b| a.meter.cmp(&b.meter));
        if !terms.members.is_sorted_by(|a, b| a.meter < b.meter) {
            return Err(TermsError::Members);
        }
        terms.parameters.check(terms.members.len())?;
        let (outputs, counters) = (VecDeque::new(), BTreeMap::new());
        let mut core = Core { terms, identity, rng, decoder, outputs, counters };
        let stage = match kept.of(Sort::Roster).last() {
            Some((_, bytes)) => {
                let roster = AcceptedRoster::open(bytes, &core.terms.region, &registrar.key())?;
                if roster.body().collector != core.identity.key() {
                    return Err(TermsError::Collector);
                }
                if !core.terms.agree_with(&roster) {
                    core.event(Event::TermsIgnored { epoch: roster.epoch() });
                }
                Stage::Open(Box::new(Book::restore(roster, bytes.to_vec(), kept, now)?))
            }
            None => open_ceremony(&mut core, &registrar, now),
        };
        Ok(Self { core, registrar, stage })
    }

    /// The key that members pin.
    #[must_use]
    pub fn registrar_key(&self) -> IdentityKey {
        self.registrar.key()
    }

    /// Takes whatever came in under one of the region's subscriptions.
    pub fn handle_message(&mut self, message: &[u8], now: Timestamp) {
        let envelope = match Envelope::parse(message) {
            Ok(envelope) => envelope,
            Err(rejection) => return self.reject(None, rejection.to_string(), rejection.name()),
        };
        let sender = Some(envelope.header().sender.clone());
        let core = &mut self.core;
        let taken: Result<(), EntryError> = match (&mut self.stage, envelope.header().kind) {
            (Stage::Gathering(ceremony, _), Kind::KeyPart) => {
                ceremony.take(&envelope).map_err(Into::into)
            }
            (Stage::Gathering(..), _) => Err(Rejection::Epoch.into()),
            (Stage::Open(book), Kind::KeyPart) => book.answer_key_part(core, &envelope),
            (Stage::Open(book), Kind::Contribution) => {
                book.handle_contribution(core, &envelope, message, now)
            }
            (Stage::Open(book), Kind::Claim) => book.handle_claim(core, &envelope, message, now),
            (Stage::Open(book), Kind::Share) => book.handle_share(core, &envelope, now),
            (Stage::Open(book), Kind::Refusal) => book.handle_refusal(core, &envelope),
            (Stage::Open(_), _) => Err(Rejection::Kind.into()),
        };
        if let Err(error) = taken {
            self.reject(sender, error.to_string(), error.name());
        }
        self.open_if_complete(now);
    }

    /// Says again what may have been lost with the last connection.
    pub fn handle_connected(&mut self, now: Timestamp) {
        match &mut self.stage {
            Stage::Gathering(ceremony, retry) => invite(&mut self.core, ceremony, retry, now),
            Stage::Open(book) => book.handle_connected(&mut self.core, now),
        }
    }

    /// Notes that the connection is gone, with what was on its way.
    pub fn handle_disconnected(&mut self, now: Timestamp) {
        if let Stage::Open(book) = &mut self.stage {
            book.handle_disconnected(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        match &mut self.stage {
            Stage::Gathering(ceremony, retry) if retry.due() <= now => {
                invite(&mut self.core, ceremony, retry, now);
            }
            Stage::Gathering(..) => {}
            Stage::Open(book) => book.handle_timeout(&mut self.core, now),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// When to call [`Collector::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Gathering(_, retry) => Some(retry.due()),
            Stage::Open(book) => book.poll_timeout(),
        }
    }

    /// How often each event has occurred.
    #[must_use]
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.core.counters
    }

    fn reject(&mut self, sender: Option<Sender>, reason: String, name: &'static str) {
        self.core.event(Event::Rejected { sender, reason, name });
    }

    fn open_if_complete(&mut self, now: Timestamp) {
        let Stage::Gathering(ceremony, _) = &self.stage else { return };
        let terms = &self.core.terms;
        let parameters = &terms.parameters;
        let first_slot = slot_at(parameters.slot_seconds, now).plus(1);
        let roster = match ceremony.roster(first_slot, first_slot.plus(terms.epoch_slots())) {
            None => return,
            Some(Ok(roster)) => roster,
            // Honest parts do not cancel out: draw new ones.
            Some(Err(_)) => {
                self.stage = open_ceremony(&mut self.core, &self.registrar, now);
                return;
            }
        };
        let bytes = self.registrar.sign(&terms.region, FIRST_EPOCH, &roster);
        match AcceptedRoster::open(&bytes, &terms.region, &self.registrar.key()) {
            Ok(roster) => self.open(roster, bytes, now),
            Err(error) => self.core.event(Event::RosterRefused(error)),
        }
    }

    fn open(&mut self, roster: AcceptedRoster<S>, bytes: Vec<u8>, now: Timestamp) {
        let record = Change::Write(Key::roster(roster.epoch()), bytes.clone().into());
        self.core.outputs.push_back(Output::Persist(record));
        let (epoch, first_slot) = (roster.epoch(), roster.body().first_slot);
        self.core.event(Event::Opened { epoch, first_slot });
        let book = Book::new(roster, bytes, now);
        book.publish_roster(&mut self.core);
        self.stage = Stage::Open(Box::new(book));
    }
}

/// The epoch that a region starts with.
const FIRST_EPOCH: Epoch = Epoch(1);

fn open_ceremony<S: Scheme>(core: &mut Core<S>, registrar: &Registrar, now: Timestamp) -> Stage<S> {
    let invitation = Invitation {
        previous: Digest::NONE,
        collector: core.identity.key(),
        parameters: core.terms.parameters.clone(),
        members: core.terms.members.clone(),
    };
    let ceremony = Ceremony::open(registrar, &core.terms.region, FIRST_EPOCH, invitation);
    let mut retry = Retry::started(now, &mut core.rng);
    invite(core, &ceremony, &mut retry, now);
    Stage::Gathering(Box::new(ceremony), retry)
}

fn invite<S: Scheme>(
    core: &mut Core<S>,
    ceremony: &Ceremony<S>,
    retry: &mut Retry,
    now: Timestamp,
) {
    core.publish(&CollectorTopic::Keygen, ceremony.message().to_vec(), true);
    core.event(Event::Gathering { epoch: FIRST_EPOCH, missing: ceremony.missing().count() });
    retry.again(now, &mut core.rng);
}
