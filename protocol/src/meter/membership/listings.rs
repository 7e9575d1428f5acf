//! What a member makes of listings: it endorses one for each portion, and a
//! final one settles what it has contributed there.

use std::collections::BTreeSet;

use aggregation::Scheme;

use crate::envelope::Envelope;
use crate::id::Sender;
use crate::listing::portion_of;
use crate::message::{Inquiry, Listing, Target};
use crate::output::Event;
use crate::portion::Portion;
use crate::reading::Register;
use crate::release::{Clock, Endorsed, Reason};
use crate::retry::Retry;
use crate::slot::{Slot, Timestamp, Window};
use crate::tariff::StepName;
use crate::topic::MeterTopic;

use super::super::outbox::Standing;
use super::super::{Core, Quantities};
use super::Membership;

/// How many listings are asked for at once.
const INQUIRIES: usize = 8;

impl<S: Scheme> Membership<S> {
    /// Endorses a listing that agrees with all that this holder has answered.
    pub(super) fn handle_listing(&mut self, core: &mut Core, envelope: &Envelope, now: Timestamp) {
        let clock = Clock { now, forgotten: core.marks.forgotten };
        match self.guard.endorse(&self.roster, envelope, clock) {
            Ok(Endorsed { endorsement, change }) => {
                if let Some(change) = change {
                    core.persist(change);
                    self.persist_outbox(core);
                }
                let message = self.seal(core, &endorsement);
                core.publish(MeterTopic::Listing, message);
            }
            Err(refused) => {
                if let (Reason::Previous, Some((_, Target::Bill(portion)))) =
                    (&refused.reason, refused.request)
                {
                    self.want_before(core, portion, now);
                }
                self.refuse(core, &envelope.header().sender, refused, now);
            }
        }
    }

    /// Takes a final listing: it settles the slots of its portion.
    pub(super) fn handle_final(
        &mut self,
        core: &mut Core,
        (envelope, message): (&Envelope, &[u8]),
        now: Timestamp,
    ) {
        match self.guard.settle(&self.roster, message) {
            Ok(None) => {}
            Ok(Some((portion, change))) => {
                core.persist(change);
                self.settle(core, portion);
                self.persist_outbox(core);
                self.wanted.remove(&portion);
                self.claim(core, portion, now);
            }
            Err(Reason::Previous) => {
                if let Some(portion) = portion_named(envelope) {
                    self.want_before(core, portion, now);
                    self.want(core, portion, now);
                }
            }
            Err(reason) => {
                let (sender, name) = (Some(envelope.header().sender.clone()), reason.name());
                core.event(Event::Rejected { sender, reason: reason.to_string(), name });
            }
        }
    }

    /// Notes of each own slot what a final listing makes of it: energy that is
    /// in no sum waits in the pools.
    fn settle(&mut self, core: &mut Core, portion: Portion) {
        let Some(listed) = self.guard.listings().final_of(portion) else { return };
        let of = |slot: &Slot| match () {
            () if listed.is_void(*slot) => Standing::Void,
            () if listed.is_counted(*slot, self.own) => Standing::Counted,
            () => Standing::Pooled,
        };
        let standings: Vec<_> = listed.slots().iter().map(|slot| (*slot, of(slot))).collect();
        let Some(step) = self.step_name(portion) else { return };
        self.settle_doubts(core, portion);
        let (mut pooled, mut void) = (0, 0);
        for (slot, standing) in standings {
            let standing = core.doubts.without_carry(slot, standing);
            let Some(energy) = self.outbox.settle((portion, slot), standing) else {
                continue;
            };
            pooled += u32::from(standing == Standing::Pooled);
            void += u32::from(standing == Standing::Void);
            for (register, wh) in energy {
                move_energy(core, standing, (register, &step), (1, wh));
            }
        }
        self.settle_gaps(core, portion);
        if pooled + void > 0 {
            core.event(Event::Pooled { portion, pooled, void });
        }
    }

    /// Gives up what no final listing settled when the epoch is over.
    pub(in crate::meter) fn give_up(&mut self, core: &mut Core) {
        let unsettled: Vec<_> = self.outbox.unsettled().collect();
        for slot in unsettled {
            let Some(portion) = portion_of(&self.roster, slot) else { continue };
            let Some(step) = self.step_name(portion) else { continue };
            let energy = self.outbox.settle((portion, slot), Standing::Void);
            for (register, wh) in energy.unwrap_or_default() {
                move_energy(core, Standing::Void, (register, &step), (1, wh));
            }
        }
        self.give_up_gaps(core);
        self.give_up_doubts(core);
    }

    pub(super) fn step_name(&self, portion: Portion) -> Option<StepName> {
        self.roster.parameters().tariff.name(portion.step).cloned()
    }

    /// Asks for the final listings of a window in which something is
    /// unsettled, once others must have it.
    pub(super) fn close_window(&mut self, core: &mut Core, now: Timestamp) {
        let window = self.next_closing;
        self.next_closing = Window(window.0 + 1);
        let unsettled = self.unsettled(core).into_iter();
        for portion in unsettled.filter(|portion| portion.window == window) {
            core.event(Event::Unsettled { portion });
            self.want(core, portion, now);
        }
    }

    /// Contributions that are unsettled, and those that are counted and in no
    /// claim.
    pub(in crate::meter) fn open_slots(&self) -> (u32, u32) {
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        (count(self.outbox.unsettled().count()), count(self.outbox.unbilled()))
    }

    /// The energy of contributions and gaps that are unsettled.
    pub(in crate::meter) fn unsettled_energy(&self) -> impl Iterator<Item = &Quantities> {
        self.outbox.unsettled_energy().chain(self.gaps.energy())
    }

    pub(in crate::meter) fn contents(&self, slot: Slot) -> Option<&Quantities> {
        self.outbox.contents(slot)
    }

    /// Portions in which something of this meter's is unsettled.
    pub(super) fn unsettled(&self, core: &Core) -> BTreeSet<Portion> {
        let slots = self.outbox.unsettled();
        let portions = slots.filter_map(|slot| portion_of(&self.roster, slot));
        let doubts = core.doubts.portions(self.roster.epoch());
        portions.chain(self.gaps.portions()).chain(doubts).collect()
    }

    /// Wants every listing of a step that comes before one and was not seen.
    fn want_before(&mut self, core: &mut Core, portion: Portion, now: Timestamp) {
        let windows = (0..portion.window.0).rev().map(Window);
        let before = windows.map(|window| Portion { window, ..portion });
        let listings = self.guard.listings();
        let missing: Vec<_> =
            before.take_while(|portion| !listings.is_settled(*portion)).take(INQUIRIES).collect();
        for portion in missing {
            self.want(core, portion, now);
        }
    }

    pub(super) fn want(&mut self, core: &mut Core, portion: Portion, now: Timestamp) {
        if !self.guard.listings().is_settled(portion) && self.wanted.insert(portion) {
            let retry = self.inquiry.get_or_insert_with(|| Retry::started(now, &mut core.rng));
            retry.bring_forward(now);
        }
    }

    /// Wants the listings that gaps and doubts of closed windows wait for.
    pub(super) fn want_for_gaps(&mut self, core: &mut Core, now: Timestamp) {
        let closed = self.next_closing;
        let doubts = core.doubts.portions(self.roster.epoch());
        let waits = self.gaps.portions().chain(doubts).filter(|of| of.window < closed);
        for portion in waits.collect::<Vec<_>>() {
            self.want(core, portion, now);
        }
    }

    /// The listings to ask for: in turn, since some may never be final.
    fn next_wanted(&self) -> Vec<Portion> {
        let is_later = |of: &&Portion| self.inquired.is_none_or(|last| **of > last);
        let (later, earlier): (Vec<_>, Vec<_>) = self.wanted.iter().partition(is_later);
        later.into_iter().chain(earlier).copied().take(INQUIRIES).collect()
    }

    /// Asks for some of the listings that are wanted.
    pub(super) fn inquire(&mut self, core: &mut Core, due_by: Timestamp, now: Timestamp) {
        if self.wanted.is_empty() {
            self.inquiry = None;
        }
        let Some(retry) = self.inquiry.as_mut().filter(|retry| retry.due() <= due_by) else {
            return;
        };
        retry.again(now, &mut core.rng);
        for portion in self.next_wanted() {
            self.inquired = Some(portion);
            let message = self.seal(core, &Inquiry { portion });
            core.publish(MeterTopic::Listing, message);
        }
    }
}

/// Moves energy that is in no sum to where it waits, or is given up.
pub(super) fn move_energy(
    core: &mut Core,
    standing: Standing,
    (register, step): (Register, &StepName),
    amount: (u32, u64),
) {
    let change = match standing {
        Standing::Pooled => core.pools.add(register, step, amount),
        Standing::Void => core.pools.lose(register, step, amount),
        Standing::Unsettled | Standing::Counted | Standing::Claimed => return,
    };
    core.persist(change);
}

/// The portion that a final listing names, unchecked.
fn portion_named(envelope: &Envelope) -> Option<Portion> {
    let body: crate::message::FinalListing = envelope.peek().ok()?;
    let listing: Listing = Envelope::parse(&body.listing).ok()?.peek().ok()?;
    (envelope.header().sender == Sender::Collector).then_some(listing.portion)
}
