//! A meter within an epoch: contributions out, shares on request, and at the
//! end of each window a listing to endorse and a claim to make.

mod challenges;
mod claims;
mod contributions;
mod disputes;
mod doubts;
mod gaps;
mod listings;
mod recalls;

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Participant, Scheme};

use crate::envelope::{Envelope, Message, Rejection, seal};
use crate::id::Sender;
use crate::listing::Listed;
use crate::message::{Kind, Receipt, Refusal, Target};
use crate::output::Event;
use crate::portion::Portion;
use crate::record::{Change, Records, Sort, Unreadable};
use crate::release::{Clock, Guard, Reason, Refused, Released};
use crate::retry::Retry;
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Timestamp, Window};
use crate::topic::MeterTopic;

use super::Core;
use super::outbox::Outbox;
use challenges::Proofs;
use claims::OwnClaim;
pub(crate) use gaps::Gap;
use gaps::Gaps;
use recalls::Recalls;

/// The shortest time between two refusals that are published.
const REFUSAL_SPAN_MS: u64 = 1000;

pub(super) struct Membership<S: Scheme> {
    roster: AcceptedRoster<S>,
    signed_roster: Vec<u8>,
    guard: Guard<S>,
    outbox: Outbox<S>,
    own: Participant,
    claims: BTreeMap<Portion, OwnClaim>,
    gaps: Gaps,
    proofs: Proofs,
    recalls: Recalls,
    /// Portions whose final listings this meter asks for.
    wanted: BTreeSet<Portion>,
    inquiry: Option<Retry>,
    /// The last portion that was asked about: the next ones come first then.
    inquired: Option<Portion>,
    /// The window of which this meter waits for final listings.
    next_closing: Window,
    /// The first window that is not forgotten.
    oldest: Window,
    /// Slots for which there is evidence against the collector.
    accused: BTreeSet<Slot>,
    last_refusal: Option<Timestamp>,
}

impl<S: Scheme> Membership<S> {
    pub(super) fn new(
        core: &Core,
        (roster, signed_roster): (AcceptedRoster<S>, Vec<u8>),
        secret: S::Secret,
        now: Timestamp,
    ) -> Self {
        let meter = core.terms.meter.clone();
        // A roster is accepted only with this meter in it.
        let own = roster.member(&meter).map_or(Participant(u16::MAX), |(of, _)| of);
        let mut membership = Self {
            guard: Guard::new(secret, (own, meter), core.started),
            outbox: Outbox::new(roster.epoch(), roster.parameters().range_proofs),
            own,
            claims: BTreeMap::new(),
            gaps: Gaps::default(),
            proofs: Proofs::default(),
            recalls: Recalls::default(),
            wanted: BTreeSet::new(),
            inquiry: None,
            inquired: None,
            next_closing: Window(0),
            oldest: Window(0),
            accused: BTreeSet::new(),
            last_refusal: None,
            roster,
            signed_roster,
        };
        while membership.covers_next_closing() && membership.listing_due() <= now {
            membership.next_closing = Window(membership.next_closing.0 + 1);
        }
        membership
    }

    /// Takes up what was kept of the epoch, and what a crash left undone.
    ///
    /// # Errors
    /// The record that is not what was written.
    pub(super) fn restore(
        &mut self,
        core: &mut Core,
        kept: &Records,
        now: Timestamp,
    ) -> Result<(), Unreadable> {
        self.guard.restore(&self.roster, kept)?;
        self.outbox.restore(kept, (now, &mut core.rng))?;
        self.gaps = Gaps::restore(self.roster.epoch(), kept)?;
        self.restore_claims(core, kept, now);
        self.restore_evidence(kept)?;
        self.begin_doubt(core);
        let finals: Vec<_> = self.guard.listings().finals().map(Listed::portion).collect();
        for portion in finals {
            self.claim(core, portion, now);
        }
        let closed = self.next_closing;
        for portion in self.unsettled(core).into_iter().filter(|portion| portion.window < closed) {
            self.want(core, portion, now);
        }
        Ok(())
    }

    pub(super) fn roster(&self) -> &AcceptedRoster<S> {
        &self.roster
    }

    /// The roster as the registrar signed it.
    pub(super) fn signed_roster(&self) -> &[u8] {
        &self.signed_roster
    }

    /// Ends the epoch where the next one begins.
    pub(super) fn end_before(&mut self, next: Slot) {
        self.roster.end_before(next);
    }

    pub(super) fn into_roster(self) -> AcceptedRoster<S> {
        self.roster
    }

    pub(super) fn handle(
        &mut self,
        core: &mut Core,
        (envelope, message): (&Envelope, &[u8]),
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if envelope.header().kind == Kind::Receipt {
            let receipt: Receipt = self.roster.open_from_collector(envelope)?;
            if receipt.meter != core.terms.meter {
                return Err(Rejection::Sender);
            }
            let (slot, on_time) = (receipt.slot, receipt.on_time);
            if self.outbox.receipt(receipt, message) && !on_time {
                core.event(Event::Uncounted { slot });
            }
            return Ok(());
        }
        match envelope.header().kind {
            Kind::Challenge => return self.handle_challenge(core, envelope, now),
            Kind::Recall => return self.handle_recall(core, envelope, now),
            Kind::Listing => self.handle_listing(core, envelope, now),
            Kind::FinalListing => self.handle_final(core, (envelope, message), now),
            _ => self.handle_request(core, (envelope, message), now),
        }
        Ok(())
    }

    fn handle_request(
        &mut self,
        core: &mut Core,
        (envelope, message): (&Envelope, &[u8]),
        now: Timestamp,
    ) {
        let own = |slot| self.outbox.message(slot).map(<[u8]>::to_vec);
        let clock = Clock { now, forgotten: core.marks.forgotten };
        match self.guard.release(&self.roster, (envelope, message), own, clock, &mut core.rng) {
            Ok(released) => self.help(core, released),
            Err(refused) => {
                if let (Reason::NotFinal, Some((_, Target::Bill(portion)))) =
                    (&refused.reason, refused.request)
                {
                    self.want(core, portion, now);
                }
                if let (Reason::Answered(_), Some((_, Target::Region(slot)))) =
                    (&refused.reason, refused.request)
                {
                    self.accuse(core, slot, message);
                }
                self.refuse(core, &envelope.header().sender, refused, now);
            }
        }
    }

    /// Hands out a share, once the ledger is durable that says so.
    fn help(&mut self, core: &mut Core, released: Released) {
        let Released { target, share, change } = released;
        if let Some(change) = change {
            core.persist(change);
            self.persist_outbox(core);
        }
        let digest = share.request;
        let message = self.seal(core, &share);
        core.publish(MeterTopic::Share, message);
        match target {
            Target::Region(slot) => self.complain_if_omitted(core, slot, digest),
            Target::Bill(portion) => {
                if let Some(claim) = self.claims.get_mut(&portion) {
                    claim.retry = None;
                }
            }
        }
    }

    /// Makes receipts, and what became of contributions, durable together with
    /// something else.
    fn persist_outbox(&mut self, core: &mut Core) {
        self.outbox.unwritten().into_iter().for_each(|change| core.persist(change));
    }

    fn refuse(&mut self, core: &mut Core, sender: &Sender, refused: Refused, now: Timestamp) {
        let Refused { request, reason } = refused;
        let Some((request, target)) = request else {
            let (sender, name) = (Some(sender.clone()), reason.name());
            return core.event(Event::Rejected { sender, reason: reason.to_string(), name });
        };
        let answered = match &reason {
            Reason::Answered(digest) | Reason::Endorsed(digest) => Some(*digest),
            _ => None,
        };
        let recent = |last: Timestamp| now.0.saturating_sub(last.0) < REFUSAL_SPAN_MS;
        if !self.last_refusal.is_some_and(recent) {
            self.last_refusal = Some(now);
            let refusal = Refusal { request, reason: reason.name().to_owned(), answered };
            let message = self.seal(core, &refusal);
            core.publish(MeterTopic::Refusal, message);
        }
        core.event(Event::Refused { target, reason });
    }

    /// Says everything again that has no answer yet.
    pub(super) fn resend(&mut self, core: &mut Core, now: Timestamp) {
        self.say_again(core, Timestamp(u64::MAX), now);
        self.inquire(core, Timestamp(u64::MAX), now);
    }

    /// Says again what has no answer yet and is due by `due_by`.
    fn say_again(&mut self, core: &mut Core, due_by: Timestamp, now: Timestamp) {
        if self.outbox.due().is_some_and(|due| due <= due_by) {
            for sent in self.outbox.unreceipted() {
                core.publish(MeterTopic::Contribution, sent.message.clone());
            }
            self.outbox.again(now, &mut core.rng);
        }
        for claim in self.claims.values_mut() {
            if let Some(retry) = claim.retry.as_mut().filter(|retry| retry.due() <= due_by) {
                core.publish(MeterTopic::Claim, claim.message.clone());
                retry.again(now, &mut core.rng);
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, core: &mut Core, now: Timestamp) {
        self.say_again(core, now, now);
        self.say_proofs(core, now);
        self.recollect(core, now);
        while self.covers_next_closing() && self.listing_due() <= now {
            self.close_window(core, now);
        }
        self.want_for_gaps(core, now);
        self.inquire(core, now, now);
        self.forget(core, now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let claims = self.claims.values().filter_map(|claim| Some(claim.retry?.due()));
        let due = self.covers_next_closing().then(|| self.listing_due());
        let inquiry = self.inquiry.map(|retry| retry.due());
        let said = [self.outbox.due(), self.proofs.due(), self.recalls.due()];
        claims.chain(said.into_iter().flatten()).chain(inquiry).chain(due).min()
    }

    /// From when on others must have the final listings of the next window.
    /// Claims are waited for as long again: whoever missed one can ask for it
    /// and claim.
    fn listing_due(&self) -> Timestamp {
        let last = self.roster.grid().last_slot(self.next_closing);
        self.roster.slot_closes(last) + self.roster.parameters().deadline() / 4
    }

    fn covers_next_closing(&self) -> bool {
        self.roster.covers(self.roster.grid().last_slot(self.next_closing))
    }

    fn deadline(&self, window: Window) -> Timestamp {
        self.roster.window_deadline(window)
    }

    /// Drops everything about windows whose deadline has passed; on the disk
    /// with the next contribution or answer.
    fn forget(&mut self, core: &mut Core, now: Timestamp) {
        let grid = *self.roster.grid();
        let spans = self.roster.parameters().grace() + self.roster.parameters().deadline();
        // A clock that jumps far ahead forgets no later epoch.
        let end = grid.window_of(self.roster.end_slot());
        let oldest = grid.window_of(grid.slot_at(now - spans)).min(end);
        let Some(oldest) = oldest.filter(|oldest| *oldest > self.oldest) else { return };
        self.oldest = oldest;
        let first_slot = grid.first_slot(oldest);
        self.guard.forget(oldest, first_slot);
        let withheld = self.guard.listings().withheld();
        let over = self.outbox.forget(first_slot, |slot| withheld.contains(&slot));
        for change in over {
            core.defer(change);
        }
        self.claims.retain(|portion, _| portion.window >= oldest);
        self.proofs.forget(first_slot);
        core.marks.forgotten = core.marks.forgotten.max(grid.start(first_slot));
        core.defer(core.marks.written());
        for (sort, position) in
            [(Sort::Answer, first_slot.0), (Sort::Bill, oldest.0), (Sort::Claim, oldest.0)]
        {
            core.defer(Change::EraseBefore(sort, self.roster.epoch(), position));
        }
    }

    fn seal<M: Message>(&self, core: &Core, body: &M) -> Vec<u8> {
        let sender = Sender::Meter(core.terms.meter.clone());
        let place = (self.roster.region(), self.roster.epoch(), sender);
        seal(&core.identity, place, self.roster.digest(), body)
    }
}
