//! A meter within an epoch: contributions out, shares on request, a claim at
//! the end of each window.

mod claims;
mod disputes;

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Canonical as _, Context, Participant, Scheme};
use serde_bytes::ByteBuf;

use crate::envelope::{Envelope, Message, Rejection, seal};
use crate::id::Sender;
use crate::message::{Contribution, Kind, Receipt, Refusal, Target};
use crate::output::{Event, SlotError};
use crate::reading::{Reading, Readings};
use crate::record::{Change, Records, Sort, Unreadable};
use crate::release::{Clock, Guard, Reason, Refused, Released};
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Timestamp, Window};
use crate::topic::MeterTopic;

use super::outbox::{Outbox, Retained};
use super::{Core, Quantities};
use claims::OwnClaim;

/// The shortest time between two refusals that are published.
const REFUSAL_SPAN_MS: u64 = 1000;

pub(super) struct Membership<S: Scheme> {
    roster: AcceptedRoster<S>,
    signed_roster: Vec<u8>,
    guard: Guard<S>,
    outbox: Outbox<S>,
    claims: BTreeMap<Window, OwnClaim>,
    /// The window whose time to be claimed ends next.
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
            outbox: Outbox::new(roster.epoch()),
            claims: BTreeMap::new(),
            next_closing: Window(0),
            oldest: Window(0),
            accused: BTreeSet::new(),
            last_refusal: None,
            roster,
            signed_roster,
        };
        while membership.covers_next_closing() && membership.claim_due() <= now {
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
        self.restore_claims(core, kept, now);
        self.restore_evidence(kept)?;
        let grid = *self.roster.grid();
        let answered = kept.within(Sort::Answer, self.roster.epoch());
        let windows = answered.filter_map(|(key, _)| grid.window_of(Slot(key.position)));
        for window in windows.collect::<BTreeSet<_>>() {
            self.claim_if_complete(core, window, now);
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

    pub(super) fn contribute(
        &mut self,
        core: &mut Core,
        slot: Slot,
        quantities: &Quantities,
        now: Timestamp,
    ) -> Result<(), SlotError> {
        self.check_slot(core, slot, now)?;
        let readings = self.readings(quantities)?;
        let (body, retained) = self.hide(core, slot, readings);
        let message = self.seal(core, &body);
        let sent = self.outbox.add(slot, message.clone(), retained, (now, &mut core.rng));
        core.marks.encrypted = self.roster.grid().end(slot);
        core.persist(sent);
        core.persist(core.marks.written());
        self.persist_receipts(core);
        core.publish(MeterTopic::Contribution, message);
        Ok(())
    }

    fn check_slot(&self, core: &Core, slot: Slot, now: Timestamp) -> Result<(), SlotError> {
        let grid = self.roster.grid();
        if !self.roster.covers(slot) {
            return Err(SlotError::NoEpoch);
        }
        if grid.end(slot) > now {
            return Err(SlotError::NotEnded);
        }
        // What ended before this start may have been sent before it, even if
        // an older disk says nothing of it.
        if grid.end(slot) <= core.started || grid.start(slot) < core.marks.encrypted {
            return Err(SlotError::Again);
        }
        Ok(())
    }

    fn hide(&self, core: &mut Core, slot: Slot, readings: Readings) -> (Contribution, Retained<S>) {
        let (mut registers, mut retained) = (BTreeMap::new(), BTreeMap::new());
        let device = core.identity.device_secret();
        for (register, reading) in readings {
            let statement = self.roster.place().contribution(&core.terms.meter, slot, register);
            let (hidden, kept) = self.roster.scheme().contribute(
                &device,
                reading.to_plaintext(),
                Context(&statement),
                &mut core.rng,
            );
            registers.insert(register, ByteBuf::from(hidden.to_bytes()));
            retained.insert(register, kept);
        }
        (Contribution { slot, registers }, retained)
    }

    fn readings(&self, quantities: &Quantities) -> Result<Readings, SlotError> {
        let parameters = self.roster.parameters();
        let reading = |register: &_| {
            let wh = quantities.get(register).ok_or(SlotError::Missing(*register))?;
            let reading = Reading::new(*wh, parameters.max_wh_per_slot);
            Ok((*register, reading.map_err(|error| SlotError::Reading(*register, error))?))
        };
        parameters.registers.iter().map(reading).collect()
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
        self.handle_request(core, (envelope, message), now);
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
            Ok(released) => self.help(core, released, now),
            Err(refused) => {
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
    fn help(&mut self, core: &mut Core, released: Released, now: Timestamp) {
        let Released { target, share, change } = released;
        if let Some(change) = change {
            core.persist(change);
            self.persist_receipts(core);
        }
        let digest = share.request;
        let message = self.seal(core, &share);
        core.publish(MeterTopic::Share, message);
        match target {
            Target::Region(slot) => {
                self.complain_if_omitted(core, slot, digest);
                if let Some(window) = self.roster.grid().window_of(slot) {
                    self.claim_if_complete(core, window, now);
                }
            }
            Target::Bill(window) => {
                if let Some(claim) = self.claims.get_mut(&window) {
                    claim.retry = None;
                }
            }
        }
    }

    /// Makes receipts durable together with something else.
    fn persist_receipts(&mut self, core: &mut Core) {
        self.outbox.unwritten().into_iter().for_each(|change| core.persist(change));
    }

    fn refuse(&mut self, core: &mut Core, sender: &Sender, refused: Refused, now: Timestamp) {
        let Refused { request, reason } = refused;
        let Some((request, target)) = request else {
            let (sender, name) = (Some(sender.clone()), reason.name());
            return core.event(Event::Rejected { sender, reason: reason.to_string(), name });
        };
        let answered = match &reason {
            Reason::Answered(digest) => Some(*digest),
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
        while self.covers_next_closing() && self.claim_due() <= now {
            self.close_window(core);
        }
        self.forget(core, now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let claims = self.claims.values().filter_map(|claim| Some(claim.retry?.due()));
        let due = self.covers_next_closing().then(|| self.claim_due());
        claims.chain(self.outbox.due()).chain(due).min()
    }

    /// Drops everything about windows whose deadline has passed.
    fn forget(&mut self, core: &mut Core, now: Timestamp) {
        let grid = *self.roster.grid();
        let spans = self.roster.parameters().grace() + self.roster.parameters().deadline();
        // A clock that jumps far ahead forgets no later epoch.
        let end = grid.window_of(self.roster.end_slot());
        let oldest = grid.window_of(grid.slot_at(now - spans)).min(end);
        let Some(oldest) = oldest.filter(|oldest| *oldest > self.oldest) else { return };
        self.oldest = oldest;
        let first_slot = grid.first_slot(oldest);
        self.outbox.forget(first_slot);
        self.guard.forget(oldest, first_slot);
        self.claims = self.claims.split_off(&oldest);
        core.marks.forgotten = core.marks.forgotten.max(grid.start(first_slot));
        core.persist(core.marks.written());
        for (sort, position) in [
            (Sort::Sent, first_slot.0),
            (Sort::Answer, first_slot.0),
            (Sort::Bill, oldest.0),
            (Sort::Claim, oldest.0),
        ] {
            core.persist(Change::EraseBefore(sort, self.roster.epoch(), position));
        }
    }

    fn seal<M: Message>(&self, core: &Core, body: &M) -> Vec<u8> {
        let sender = Sender::Meter(core.terms.meter.clone());
        let place = (self.roster.region(), self.roster.epoch(), sender);
        seal(&core.identity, place, self.roster.digest(), body)
    }
}
