//! How epochs follow each other: when the next one begins, how it opens, and
//! when those before it are over.

use aggregation::Scheme;

use crate::id::{Digest, Epoch};
use crate::message::Roster;
use crate::output::Event;
use crate::record::{Change, Key};
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Timestamp, slot_at};

use super::book::Book;
use super::opening::Opening;
use super::{Collector, Terms, TermsError};

/// The epoch that a region starts with.
const FIRST_EPOCH: Epoch = Epoch(1);

impl<S: Scheme> Collector<S> {
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

    pub(super) fn check_slot_seconds(&self, terms: &Terms) -> Result<(), TermsError> {
        let seconds = terms.parameters.slot_seconds;
        let differs = |latest: &AcceptedRoster<S>| latest.parameters().slot_seconds != seconds;
        if self.latest().is_some_and(differs) { Err(TermsError::SlotSeconds) } else { Ok(()) }
    }

    pub(super) fn latest(&self) -> Option<&AcceptedRoster<S>> {
        self.books.values().next_back().map(Book::roster)
    }

    /// The epoch that comes after the latest one.
    #[must_use]
    pub fn next_number(&self) -> Epoch {
        self.latest().map_or(FIRST_EPOCH, |latest| Epoch(latest.epoch().0.saturating_add(1)))
    }

    /// The next epoch, and the digest of the roster before it.
    pub(super) fn next(&self) -> (Epoch, Digest) {
        let previous = self.latest().map_or(Digest::NONE, |latest| *latest.digest());
        (self.next_number(), previous)
    }

    /// When the ceremony of the next epoch is due.
    pub(super) fn next_begins(&self) -> Option<Timestamp> {
        let latest = self.latest()?;
        Some(latest.grid().start(latest.end_slot()) - self.core.terms.ahead())
    }

    /// Begins the ceremony of the next epoch; `soon` where it is to follow at
    /// the end of a window and not of its predecessor.
    pub(super) fn begin(&mut self, soon: bool, now: Timestamp) {
        let next = self.next();
        let before = self.opening.take();
        let opening = Opening::begin(&mut self.core, &self.registrar, next, (soon, before), now);
        self.opening = Some(Box::new(opening));
    }

    /// Goes on with the ceremony of the next epoch without those that have not
    /// proved what they were asked to.
    pub(super) fn leave_out(&mut self, now: Timestamp) {
        if let Some(opening) = &mut self.opening {
            opening.leave_out(&mut self.core, &self.registrar, now);
        }
    }

    pub(super) fn open_if_complete(&mut self, now: Timestamp) {
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
    pub(super) fn note_unbroken(&mut self) {
        for epoch in self.books.keys() {
            if epoch.follows(self.core.unbroken) {
                self.core.unbroken = *epoch;
            }
        }
    }

    pub(super) fn end_before(&mut self, first_slot: Slot) {
        for book in self.books.values_mut() {
            book.end_before(first_slot);
        }
    }

    /// Closes the books of epochs whose last deadline has passed.
    pub(super) fn retire(&mut self, now: Timestamp) {
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
