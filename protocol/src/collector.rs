//! The collector's side of the protocol for one region: a state machine
//! without IO. It opens epochs, one after the other, and runs their rounds.

mod book;
mod handed_back;
mod opening;
mod past;
mod terms;
pub mod unproven;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use aggregation::{Rng, Scheme};

use crate::entry::EntryError;
use crate::envelope::{Envelope, Message, Rejection, encode};
use crate::evidence::Evidence;
use crate::id::{Digest, Epoch, MeterId, Sender};
use crate::identity::{Identity, IdentityKey};
use crate::keygen::Registrar;
use crate::message::{Kind, Roster};
use crate::output::{Event, Output, Publication};
use crate::record::{Change, Key, Records, Sort};
use crate::roster::{AcceptedRoster, RosterError};
use crate::slot::{Slot, Timestamp, slot_at};
use crate::topic::{self, CollectorTopic};

use book::Book;
use opening::Opening;
use past::Past;
pub use terms::{Terms, TermsError};

pub use book::KeptError;

/// The epoch that a region starts with.
const FIRST_EPOCH: Epoch = Epoch(1);

/// What every part of the machine works with.
struct Core<S: Scheme> {
    terms: Terms,
    identity: Identity,
    rng: Rng,
    decoder: Arc<S::Decoder>,
    outputs: VecDeque<Output>,
    counters: BTreeMap<&'static str, u64>,
    /// The latest epoch that has opened.
    latest: Epoch,
    /// The latest one before which none is missing here that is not over.
    unbroken: Epoch,
    /// Whether this start may have been from a copy of some time ago: not after
    /// all members have answered an attempt.
    is_copy: bool,
    /// Who has not proved what it was asked to.
    unproven: BTreeMap<MeterId, unproven::Kept>,
}

impl<S: Scheme> Core<S> {
    fn event(&mut self, event: Event) {
        *self.counters.entry(event.name()).or_default() += 1;
        self.outputs.push_back(Output::Event(event));
    }

    fn reject(&mut self, sender: Option<&Sender>, error: &EntryError) {
        let (sender, reason) = (sender.cloned(), error.to_string());
        self.event(Event::Rejected { sender, reason, name: error.name() });
    }

    fn persist(&mut self, change: Change) {
        self.outputs.push_back(Output::Persist(change));
    }

    fn keep_evidence(&mut self, epoch: Epoch, evidence: &Evidence) {
        let key = Key::evidence(epoch, &evidence.digest());
        self.persist(Change::Write(key, encode(evidence).into()));
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

/// The collector of one region.
pub struct Collector<S: Scheme> {
    core: Core<S>,
    registrar: Registrar,
    /// The epochs of which sums may still be opened, and the latest.
    books: BTreeMap<Epoch, Book<S>>,
    past: Past,
    /// The ceremony of the next epoch.
    opening: Option<Box<Opening<S>>>,
}

impl<S: Scheme> Collector<S> {
    /// A collector that starts at `now`, with what it kept from before.
    ///
    /// # Errors
    /// See [`TermsError`].
    pub fn new(
        terms: Terms,
        (identity, registrar): (Identity, Registrar),
        kept: &Records,
        (decoder, rng): (Arc<S::Decoder>, Rng),
        now: Timestamp,
    ) -> Result<Self, TermsError> {
        let terms = terms.checked()?;
        let (outputs, counters) = (VecDeque::new(), BTreeMap::new());
        let unproven = unproven::of(kept).map_err(KeptError::from)?;
        let is_copy = kept.of(Sort::Ceremony).chain(kept.of(Sort::Roster)).next().is_some();
        let mut rosters = kept.of(Sort::Roster).map(|(key, _)| key.epoch);
        let unbroken = rosters.next().unwrap_or_default();
        let latest = rosters.last().unwrap_or(unbroken);
        let core = Core {
            terms,
            identity,
            rng,
            decoder,
            outputs,
            counters,
            latest,
            unbroken,
            is_copy,
            unproven,
        };
        let past = Past::restore(kept).map_err(RosterError::Rejected)?;
        let mut collector = Self { core, registrar, books: BTreeMap::new(), past, opening: None };
        for (_, roster) in kept.of(Sort::Roster) {
            collector.restore(roster, kept, now)?;
        }
        collector.note_unbroken();
        collector.retire(now);
        if let Some(roster) = collector.latest() {
            let (epoch, agree) = (roster.epoch(), collector.core.terms.agree_with(roster));
            collector.check_slot_seconds(&collector.core.terms)?;
            if !agree {
                collector.core.event(Event::TermsIgnored { epoch });
            }
        }
        if let Some(mut latest) = collector.books.last_entry() {
            latest.get_mut().ask_for_rosters();
        }
        collector.resume(kept, now);
        if collector.opening.is_none() && collector.books.is_empty() {
            collector.begin(false, now);
        }
        Ok(collector)
    }

    /// Goes on with the ceremony that was kept, if it is the next epoch's.
    fn resume(&mut self, kept: &Records, now: Timestamp) {
        let Some(kept) = kept.get(&Key::ceremony()) else { return };
        let (next, core) = (self.next(), &mut self.core);
        let opening = Opening::resume(core, &self.registrar, next, kept, now);
        self.opening = opening.map(Box::new);
    }

    fn restore(&mut self, bytes: &[u8], kept: &Records, now: Timestamp) -> Result<(), TermsError> {
        let core = &self.core;
        let roster = AcceptedRoster::open(bytes, &core.terms.region, &self.registrar.key())?;
        if roster.body().collector != core.identity.key() {
            return Err(TermsError::Collector);
        }
        self.end_before(roster.body().first_slot);
        let book = Book::restore(roster, bytes.to_vec(), kept, now)?;
        self.books.insert(book.roster().epoch(), book);
        Ok(())
    }

    /// The key that members pin.
    #[must_use]
    pub fn registrar_key(&self) -> IdentityKey {
        self.registrar.key()
    }

    /// Begins the ceremony of the next epoch, which then follows as soon as a
    /// window ends, with these terms.
    ///
    /// # Errors
    /// See [`TermsError`]; nothing has changed then.
    pub fn next_epoch(&mut self, terms: Terms, now: Timestamp) -> Result<Epoch, TermsError> {
        let terms = terms.checked()?;
        self.check_slot_seconds(&terms)?;
        self.core.terms = terms;
        self.begin(true, now);
        Ok(self.next_number())
    }

    fn check_slot_seconds(&self, terms: &Terms) -> Result<(), TermsError> {
        let seconds = terms.parameters.slot_seconds;
        let differs = |latest: &AcceptedRoster<S>| latest.parameters().slot_seconds != seconds;
        if self.latest().is_some_and(differs) { Err(TermsError::SlotSeconds) } else { Ok(()) }
    }

    /// Takes whatever came in under one of the region's subscriptions.
    pub fn handle_message(&mut self, message: &[u8], now: Timestamp) {
        self.handle_messages(&[message], now);
    }

    /// Takes messages in their order, each as if it came alone. The proofs of
    /// contributions that follow each other are checked in one batch.
    pub fn handle_messages<B: AsRef<[u8]>>(&mut self, messages: &[B], now: Timestamp) {
        let mut contributions = Vec::new();
        for message in messages.iter().map(AsRef::as_ref) {
            match Envelope::parse(message) {
                Ok(envelope) if envelope.header().kind == Kind::Contribution => {
                    contributions.push((envelope, message));
                }
                other => {
                    self.take_contributions(&contributions, now);
                    contributions.clear();
                    self.take(other, message, now);
                }
            }
        }
        self.take_contributions(&contributions, now);
    }

    fn take_contributions(&mut self, contributions: &[(Envelope, &[u8])], now: Timestamp) {
        let epoch = |(envelope, _): &(Envelope, &[u8])| envelope.header().epoch;
        for run in contributions.chunk_by(|a, b| epoch(a) == epoch(b)) {
            match run.first().and_then(|first| self.books.get_mut(&epoch(first))) {
                Some(book) => book.handle_contributions(&mut self.core, run, now),
                None => {
                    for (envelope, _) in run {
                        let sender = Some(&envelope.header().sender);
                        self.core.reject(sender, &Rejection::Epoch.into());
                    }
                }
            }
        }
    }

    /// Takes anything but a contribution.
    fn take(&mut self, parsed: Result<Envelope, Rejection>, message: &[u8], now: Timestamp) {
        let envelope = match parsed {
            Ok(envelope) => envelope,
            Err(rejection) => return self.core.reject(None, &rejection.into()),
        };
        let taken = match envelope.header().kind {
            Kind::Roster => self.handle_roster((envelope.header().epoch, message), now),
            Kind::KeyPart | Kind::Dealing | Kind::Complaint | Kind::Confirmation => {
                self.handle_candidate(&envelope, message, now)
            }
            _ => self.handle_member(&envelope, message, now),
        };
        if let Err(error) = taken {
            self.core.reject(Some(&envelope.header().sender), &error);
        }
    }

    fn handle_candidate(
        &mut self,
        envelope: &Envelope,
        message: &[u8],
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let (core, epoch) = (&mut self.core, envelope.header().epoch);
        match &mut self.opening {
            Some(opening) if opening.epoch() == epoch => {
                opening.handle_message(core, &self.registrar, (envelope, message), now)?;
                self.open_if_complete(now);
                Ok(())
            }
            _ => match self.books.get(&epoch) {
                Some(book) => book.answer_candidate(core, envelope),
                None => Err(Rejection::Epoch.into()),
            },
        }
    }

    fn handle_member(
        &mut self,
        envelope: &Envelope,
        message: &[u8],
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let core = &mut self.core;
        let book = self.books.get_mut(&envelope.header().epoch).ok_or(Rejection::Epoch)?;
        match envelope.header().kind {
            Kind::Claim => book.handle_claim(core, envelope, message, now),
            Kind::Share => book.handle_share(core, envelope, now),
            Kind::Refusal => book.handle_refusal(core, envelope),
            Kind::Omission => book.handle_omission(core, envelope),
            Kind::Endorsement => book.handle_endorsement(core, (envelope, message), now),
            Kind::Inquiry => book.handle_inquiry(core, envelope, now),
            Kind::Evidence => book.handle_evidence(core, envelope),
            Kind::Recollection => book.handle_recollection(core, envelope, now),
            Kind::Proof => {
                book.handle_proof(core, envelope)?;
                self.leave_out(now);
                Ok(())
            }
            _ => Err(Rejection::Kind.into()),
        }
    }

    /// Says again what may have been lost with the last connection.
    pub fn handle_connected(&mut self, now: Timestamp) {
        for book in self.books.values_mut() {
            book.handle_connected(&mut self.core, now);
        }
        if let Some(opening) = &mut self.opening {
            opening.say(&mut self.core, now);
        }
    }

    /// Notes that the connection is gone, with what was on its way.
    pub fn handle_disconnected(&mut self, now: Timestamp) {
        for book in self.books.values_mut() {
            book.handle_disconnected(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        for book in self.books.values_mut() {
            book.handle_timeout(&mut self.core, now);
        }
        self.leave_out(now);
        self.retire(now);
        if let Some(opening) = &mut self.opening {
            let latest = self.books.values().next_back().map(Book::signed_roster);
            opening.handle_timeout((&mut self.core, latest), &self.registrar, now);
        } else if self.next_begins().is_some_and(|due| due <= now) {
            self.begin(false, now);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// When to call [`Collector::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let opening = match &self.opening {
            Some(opening) => Some(opening.poll_timeout(&self.core)),
            None => self.next_begins(),
        };
        self.books.values().filter_map(Book::poll_timeout).chain(opening).min()
    }

    /// How often each event has occurred.
    #[must_use]
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.core.counters
    }

    fn latest(&self) -> Option<&AcceptedRoster<S>> {
        self.books.values().next_back().map(Book::roster)
    }

    /// The epoch that comes after the latest one.
    #[must_use]
    pub fn next_number(&self) -> Epoch {
        self.latest().map_or(FIRST_EPOCH, |latest| Epoch(latest.epoch().0.saturating_add(1)))
    }

    /// The next epoch, and the digest of the roster before it.
    fn next(&self) -> (Epoch, Digest) {
        let previous = self.latest().map_or(Digest::NONE, |latest| *latest.digest());
        (self.next_number(), previous)
    }

    /// When the ceremony of the next epoch is due.
    fn next_begins(&self) -> Option<Timestamp> {
        let latest = self.latest()?;
        Some(latest.grid().start(latest.end_slot()) - self.core.terms.ahead())
    }

    /// Begins the ceremony of the next epoch; `soon` where it is to follow at
    /// the end of a window and not of its predecessor.
    fn begin(&mut self, soon: bool, now: Timestamp) {
        let next = self.next();
        let before = self.opening.take();
        let opening = Opening::begin(&mut self.core, &self.registrar, next, (soon, before), now);
        self.opening = Some(Box::new(opening));
    }

    /// Goes on with the ceremony of the next epoch without those that have not
    /// proved what they were asked to.
    fn leave_out(&mut self, now: Timestamp) {
        if let Some(opening) = &mut self.opening {
            opening.leave_out(&mut self.core, &self.registrar, now);
        }
    }

    fn open_if_complete(&mut self, now: Timestamp) {
        let Some(opening) = &mut self.opening else { return };
        let soon = opening.is_soon();
        let (epoch, end) = (opening.epoch(), self.core.terms.epoch_slots());
        let latest = self.books.values().next_back().map(Book::roster);
        let first_slot = first_slot(latest, self.core.terms.parameters.slot_seconds, soon, now);
        match opening.roster(first_slot, first_slot.plus(end)) {
            None => {}
            Some(Ok(roster)) => self.open(epoch, &roster, now),
            // Honest secrets do not cancel out: draw new ones.
            Some(Err(_)) => opening.again(&mut self.core, &self.registrar, now),
        }
    }

    fn open(&mut self, epoch: Epoch, roster: &Roster, now: Timestamp) {
        let region = &self.core.terms.region;
        let bytes = self.registrar.sign(region, epoch, roster);
        let roster = match AcceptedRoster::open(&bytes, region, &self.registrar.key()) {
            Ok(roster) => roster,
            Err(error) => return self.core.event(Event::RosterRefused(error)),
        };
        self.core.persist(Change::Write(Key::roster(epoch), bytes.clone().into()));
        self.core.persist(Change::Erase(Key::ceremony()));
        let first_slot = roster.body().first_slot;
        self.core.event(Event::Opened { epoch, first_slot });
        self.end_before(first_slot);
        let book = Book::new(roster, bytes, now);
        book.publish_roster(&mut self.core);
        self.core.latest = epoch;
        self.books.insert(epoch, book);
        self.note_unbroken();
        self.opening = None;
    }

    /// Notes up to which epoch none is missing.
    fn note_unbroken(&mut self) {
        for epoch in self.books.keys() {
            if epoch.follows(self.core.unbroken) {
                self.core.unbroken = *epoch;
            }
        }
    }

    fn end_before(&mut self, first_slot: Slot) {
        for book in self.books.values_mut() {
            book.end_before(first_slot);
        }
    }

    /// Closes the books of epochs whose last deadline has passed.
    fn retire(&mut self, now: Timestamp) {
        let latest = self.latest().map(AcceptedRoster::epoch);
        let over = self.books.extract_if(.., |epoch, book| {
            Some(*epoch) != latest && book.roster().last_deadline() < now
        });
        let mut over: Vec<_> = over.collect();
        if over.is_empty() {
            return;
        }
        // A collector that starts this late ends what nobody was asked about.
        for (_, book) in &mut over {
            book.handle_timeout(&mut self.core, now);
        }
        let taken: Vec<_> = over.iter().flat_map(|(_, book)| self.past.take(book)).collect();
        for change in taken.into_iter().chain(self.past.prune()) {
            self.core.persist(change);
        }
    }
}

/// Where the next epoch begins: at the end of the one before, or `soon` at the
/// end of one of its windows, a slot from now at the earliest.
fn first_slot<S: Scheme>(
    latest: Option<&AcceptedRoster<S>>,
    slot_seconds: std::num::NonZeroU32,
    soon: bool,
    now: Timestamp,
) -> Slot {
    let next = slot_at(slot_seconds, now).plus(1);
    let Some(latest) = latest else { return next };
    let grid = latest.grid();
    let windows =
        grid.window_of(next.max(grid.origin)).map(|window| grid.first_slot(window.plus(1)));
    match windows.filter(|_| soon) {
        Some(boundary) => boundary.min(latest.end_slot()).max(next),
        None => latest.end_slot().max(next),
    }
}
