//! Epochs that a collector opened after the copy was made that it was restored
//! from: members hand their rosters back.

use aggregation::Scheme;

use crate::entry::EntryError;
use crate::envelope::Rejection;
use crate::id::Epoch;
use crate::output::Event;
use crate::record::{Change, Key, Records};
use crate::roster::AcceptedRoster;
use crate::slot::Timestamp;

use super::Collector;
use super::book::Book;

impl<S: Scheme> Collector<S> {
    /// Takes up the epoch of a roster that a member has handed back.
    pub(super) fn handle_roster(
        &mut self,
        (epoch, bytes): (Epoch, &[u8]),
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let core = &self.core;
        // All members hand the same one back.
        if epoch <= core.unbroken || self.books.contains_key(&epoch) {
            return Ok(());
        }
        let mut roster = AcceptedRoster::open(bytes, &core.terms.region, &self.registrar.key())
            .map_err(|_| Rejection::Signature)?;
        let first_slot = roster.body().first_slot;
        if let Some((_, next)) = self.books.range(epoch..).next() {
            roster.end_before(next.roster().body().first_slot);
        }
        if epoch < core.latest && roster.last_deadline() < now {
            return Ok(());
        }
        let before = self.books.range(..epoch).next_back();
        let follows = before.is_none_or(|(_, book)| roster.check_succession(book.roster()).is_ok());
        if roster.body().collector != core.identity.key() || !follows {
            return Err(Rejection::Epoch.into());
        }
        let restored = Book::restore(roster, bytes.to_vec(), &Records::default(), now);
        let book = restored.map_err(|_| Rejection::Body)?;
        self.core.persist(Change::Write(Key::roster(epoch), bytes.to_vec().into()));
        self.core.event(Event::HandedBack { epoch, first_slot });
        self.take_back(epoch, book, now);
        Ok(())
    }

    fn take_back(&mut self, epoch: Epoch, mut book: Book<S>, now: Timestamp) {
        let first_slot = book.roster().body().first_slot;
        for (_, before) in self.books.range_mut(..epoch) {
            before.end_before(first_slot);
        }
        let is_latest = epoch > self.core.latest;
        if is_latest {
            self.core.latest = epoch;
            book.ask_for_rosters();
        }
        book.handle_connected(&mut self.core, now);
        self.books.insert(epoch, book);
        self.note_unbroken();
        if is_latest {
            self.begin_anew(now);
        } else if let Some((_, latest)) = self.books.last_key_value() {
            // It is the one that the broker keeps.
            latest.publish_roster(&mut self.core);
        }
    }

    /// Goes on with a ceremony that was under way, for the next epoch after the
    /// latest one; not with the one that has led to it.
    fn begin_anew(&mut self, now: Timestamp) {
        self.core.persist(Change::Erase(Key::ceremony()));
        let agree = self.latest().is_none_or(|latest| self.core.terms.agree_with(latest));
        if let Some(opening) = self.opening.take().filter(|_| !agree) {
            self.begin(opening.is_soon(), now);
        }
    }
}
