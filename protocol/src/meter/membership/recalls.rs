//! What a member gives a collector that has just started and may have lost it:
//! its own messages again, as they were sent, and which sets it has answered.
//!
//! An answer says nothing that was not said before: who was in a set that this
//! collector has asked about, and messages that went to it. It uses no key
//! share.

use std::time::Duration;

use aggregation::Scheme;

use crate::envelope::{Envelope, Rejection};
use crate::message::{Recall, Recollection, Remembered};
use crate::recall::{PORTIONS_MAX, SLOTS_MAX};
use crate::slot::{Slot, Timestamp};
use crate::topic::MeterTopic;

use super::super::Core;
use super::Membership;

/// The shortest time between two answers: who repeats a recall gets no more.
const SPAN: Duration = Duration::from_secs(1);

/// Recalls that wait for an answer.
#[derive(Default)]
pub(super) struct Recalls {
    /// The latest one.
    pending: Option<Recall>,
    answered: Option<Timestamp>,
}

impl Recalls {
    pub(super) fn due(&self) -> Option<Timestamp> {
        let due = self.answered.map_or(Timestamp(0), |last| last + SPAN);
        self.pending.as_ref().map(|_| due)
    }

    fn take(&mut self, now: Timestamp) -> Option<Recall> {
        self.due().filter(|due| *due <= now)?;
        self.answered = Some(now);
        self.pending.take()
    }
}

impl<S: Scheme> Membership<S> {
    pub(super) fn handle_recall(
        &mut self,
        core: &mut Core,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let recall: Recall = self.roster.open_from_collector(envelope)?;
        if recall.slots.len() > SLOTS_MAX || recall.claims.len() > PORTIONS_MAX {
            return Err(Rejection::Body);
        }
        core.asked = Some(recall.latest);
        self.recalls.pending = Some(recall);
        self.recollect(core, now);
        Ok(())
    }

    /// Answers the latest recall, if it is time to.
    pub(super) fn recollect(&mut self, core: &mut Core, now: Timestamp) {
        let Some(recall) = self.recalls.take(now) else { return };
        for (slot, held) in &recall.slots {
            let sent = self.outbox.countable(*slot).filter(|_| !held.contains(self.own));
            if let Some(message) = sent {
                core.publish(MeterTopic::Contribution, message.to_vec());
            }
        }
        for (portion, held) in &recall.claims {
            let claim = self.claims.get(portion).filter(|_| !held.contains(self.own));
            if let Some(claim) = claim {
                core.publish(MeterTopic::Claim, claim.message.clone());
            }
        }
        let slots = recall.slots.keys().map(|slot| (*slot, self.remembered(*slot)));
        let message = self.seal(core, &Recollection { slots: slots.collect() });
        core.publish(MeterTopic::Recollection, message);
    }

    fn remembered(&self, slot: Slot) -> Remembered {
        Remembered {
            is_sent: self.outbox.countable(slot).is_some(),
            answered: self.guard.answered(slot),
        }
    }
}
