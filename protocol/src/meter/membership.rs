//! A meter within an epoch: contributions out, shares on request, a claim at
//! the end of each window.

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, Participant, Scheme};
use serde_bytes::ByteBuf;

use crate::envelope::{Envelope, Message, Rejection, seal};
use crate::id::Sender;
use crate::message::{Claim, Contribution, Kind, Receipt, Refusal, Target};
use crate::output::{Event, SlotError};
use crate::reading::{Reading, Readings};
use crate::record::Records;
use crate::release::{Guard, Reason, Refused};
use crate::retry::Retry;
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Timestamp, Window};
use crate::slots::SlotSet;
use crate::topic::MeterTopic;

use super::outbox::Outbox;
use super::{Core, Quantities};

/// The shortest time between two refusals that are published.
const REFUSAL_SPAN_MS: u64 = 1000;

/// A claim that the collector has not asked the holders about yet.
struct OpenClaim {
    message: Vec<u8>,
    retry: Retry,
}

pub(super) struct Membership<S: Scheme> {
    roster: AcceptedRoster<S>,
    signed_roster: Vec<u8>,
    guard: Guard<S>,
    outbox: Outbox<S>,
    claims: BTreeMap<Window, OpenClaim>,
    /// The window that is claimed next.
    next_claim: Window,
    last_refusal: Option<Timestamp>,
}

impl<S: Scheme> Membership<S> {
    pub(super) fn new(
        core: &Core,
        (roster, signed_roster): (AcceptedRoster<S>, Vec<u8>),
        secret: S::Secret,
        _kept: &Records,
        now: Timestamp,
    ) -> Self {
        let meter = core.terms.meter.clone();
        // A roster is accepted only with this meter in it.
        let own = roster.member(&meter).map_or(Participant(u16::MAX), |(of, _)| of);
        let current = roster.grid().slot_at(now);
        let next_claim = roster.grid().window_of(current).unwrap_or(Window(0));
        Self {
            guard: Guard::new(secret, (own, meter), core.started),
            outbox: Outbox::new(),
            claims: BTreeMap::new(),
            next_claim,
            last_refusal: None,
            roster,
            signed_roster,
        }
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

    pub(super) fn roster(&self) -> &AcceptedRoster<S> {
        &self.roster
    }

    pub(super) fn contribute(
        &mut self,
        core: &mut Core,
        slot: Slot,
        quantities: &Quantities,
        now: Timestamp,
    ) -> Result<(), SlotError> {
        if !self.roster.covers(slot) {
            return Err(SlotError::NoEpoch);
        }
        if self.roster.grid().end(slot) > now {
            return Err(SlotError::NotEnded);
        }
        // What ended before this start may have been sent before it.
        let before_start = self.roster.grid().end(slot) <= core.started;
        if before_start || core.latest.is_some_and(|latest| latest >= slot) {
            return Err(SlotError::Again);
        }
        let readings = self.readings(quantities)?;
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
        let message = self.seal(core, &Contribution { slot, registers });
        core.publish(MeterTopic::Contribution, message.clone());
        core.latest = Some(slot);
        self.outbox.add(slot, message, retained, (now, &mut core.rng));
        Ok(())
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
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if envelope.header().kind == Kind::Receipt {
            let receipt: Receipt = self.roster.open_from_collector(envelope)?;
            if receipt.meter != core.terms.meter {
                return Err(Rejection::Sender);
            }
            let known = self.outbox.receipt(receipt.slot, &receipt.contribution);
            if known && !receipt.on_time {
                core.event(Event::Uncounted { slot: receipt.slot });
            }
            return Ok(());
        }
        self.handle_request(core, envelope, now);
        Ok(())
    }

    fn handle_request(&mut self, core: &mut Core, envelope: &Envelope, now: Timestamp) {
        let own = |slot| self.outbox.message(slot);
        match self.guard.release(&self.roster, envelope, own, now, &mut core.rng) {
            Ok((target, share)) => {
                let message = self.seal(core, &share);
                core.publish(MeterTopic::Share, message);
                self.after_release(core, target, now);
            }
            Err(refused) => self.refuse(core, &envelope.header().sender, refused, now),
        }
    }

    fn after_release(&mut self, core: &mut Core, target: Target, now: Timestamp) {
        match target {
            Target::Region(slot) => {
                self.claim_again(core, slot, now);
                self.claim_if_complete(core, now);
            }
            Target::Bill(window) => {
                self.claims.remove(&window);
            }
        }
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

    /// Claims the next window at once if its every slot was contributed to and
    /// answered: no more slots of it will be counted.
    fn claim_if_complete(&mut self, core: &mut Core, now: Timestamp) {
        let grid = self.roster.grid();
        let (first, last) = (grid.first_slot(self.next_claim), grid.last_slot(self.next_claim));
        let answered = (first.0..=last.0).all(|slot| self.guard.has_answered(Slot(slot)));
        if answered {
            self.claim_next(core, now);
        }
    }

    /// Claims a window anew that nobody was asked about yet, with a slot that
    /// was counted meanwhile.
    fn claim_again(&mut self, core: &mut Core, slot: Slot, now: Timestamp) {
        let window = self.roster.grid().window_of(slot);
        let open = |window: &Window| *window < self.next_claim && !self.guard.has_billed(*window);
        if let Some(window) = window.filter(open) {
            // Too few slots still: that was said when the window was claimed.
            self.claim(core, window, now).ok();
        }
    }

    /// When the next window is claimed even if some of its slots were never
    /// asked about.
    fn claim_due(&self) -> Timestamp {
        let last = self.roster.grid().last_slot(self.next_claim);
        self.roster.slot_closes(last) + self.roster.parameters().deadline() / 4
    }

    fn claim_next(&mut self, core: &mut Core, now: Timestamp) {
        let window = self.next_claim;
        self.next_claim = Window(window.0 + 1);
        if let Err(slots) = self.claim(core, window, now) {
            let needed = self.roster.parameters().min_slots;
            core.event(Event::WindowClosed { window, slots, needed });
        }
    }

    /// Claims the slots of a window in which this meter was counted.
    ///
    /// # Errors
    /// The number of those slots, if there are too few.
    fn claim(&mut self, core: &mut Core, window: Window, now: Timestamp) -> Result<(), u32> {
        let slots = self.guard.counted(&self.roster, window, &core.terms.meter);
        let (found, needed) = (slots.count(), self.roster.parameters().min_slots);
        let claim = if found < u32::from(needed) { None } else { self.sum_up(core, window, slots) };
        let claim = claim.ok_or(found)?;
        let message = self.seal(core, &claim);
        core.publish(MeterTopic::Claim, message.clone());
        let retry = Retry::started(now, &mut core.rng);
        self.claims.insert(window, OpenClaim { message, retry });
        Ok(())
    }

    fn sum_up(&self, core: &mut Core, window: Window, slots: SlotSet) -> Option<Claim> {
        let first = self.roster.grid().first_slot(window);
        let mut registers = BTreeMap::new();
        for register in &self.roster.parameters().registers {
            let retained = self.outbox.retained(*register, first, &slots)?;
            let meter = &core.terms.meter;
            let statement = self.roster.place().claim(meter, window, &slots, *register);
            let context = Context(&statement);
            let sum = self.roster.scheme().claim(&retained, context, &mut core.rng)?;
            registers.insert(*register, ByteBuf::from(sum.to_bytes()));
        }
        Some(Claim { window, slots, registers })
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
        for claim in self.claims.values_mut().filter(|claim| claim.retry.due() <= due_by) {
            core.publish(MeterTopic::Claim, claim.message.clone());
            claim.retry.again(now, &mut core.rng);
        }
    }

    pub(super) fn handle_timeout(&mut self, core: &mut Core, now: Timestamp) {
        self.say_again(core, now, now);
        while self.claim_due() <= now && self.covers_next_claim() {
            self.claim_next(core, now);
        }
        self.forget(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let claims = self.claims.values().map(|claim| claim.retry.due());
        let due = self.covers_next_claim().then(|| self.claim_due());
        claims.chain(self.outbox.due()).chain(due).min()
    }

    fn covers_next_claim(&self) -> bool {
        self.roster.covers(self.roster.grid().last_slot(self.next_claim))
    }

    /// Drops everything about windows whose deadline has passed.
    fn forget(&mut self, now: Timestamp) {
        let grid = self.roster.grid();
        let spans = self.roster.parameters().grace() + self.roster.parameters().deadline();
        let Some(oldest) = grid.window_of(grid.slot_at(now - spans)) else { return };
        let first_slot = grid.first_slot(oldest);
        self.outbox.forget(first_slot);
        self.guard.forget(oldest, first_slot);
        self.claims = self.claims.split_off(&oldest);
    }

    fn seal<M: Message>(&self, core: &Core, body: &M) -> Vec<u8> {
        let sender = Sender::Meter(core.terms.meter.clone());
        let place = (self.roster.region(), self.roster.epoch(), sender);
        seal(&core.identity, place, self.roster.digest(), body)
    }
}
