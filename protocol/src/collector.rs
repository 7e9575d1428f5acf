//! The collector's side of the protocol for one region: a state machine
//! without IO. It opens epochs, one after the other, and runs their rounds.

mod book;
mod core;
mod handed_back;
mod opening;
mod past;
mod succession;
mod terms;
pub mod unproven;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use aggregation::{Rng, Scheme};

use crate::entry::EntryError;
use crate::envelope::{Envelope, Rejection};
use crate::id::Epoch;
use crate::identity::{Identity, IdentityKey};
use crate::keygen::Registrar;
use crate::message::Kind;
use crate::output::{Event, Output};
use crate::record::{Key, Records, Sort};
use crate::roster::{AcceptedRoster, RosterError};
use crate::slot::Timestamp;

use book::Book;
use core::Core;
use opening::Opening;
use past::Past;
pub use terms::{Terms, TermsError};

pub use book::KeptError;

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
}
