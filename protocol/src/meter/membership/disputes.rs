//! What a holder says against its collector: complaints, and evidence.

use aggregation::Scheme;

use crate::envelope::encode;
use crate::evidence::{About, Evidence};
use crate::id::Digest;
use crate::message::Omission;
use crate::output::Event;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::slot::Slot;
use crate::topic::MeterTopic;

use super::super::Core;
use super::Membership;

impl<S: Scheme> Membership<S> {
    /// Takes up which slots there is evidence about.
    pub(super) fn restore_evidence(&mut self, kept: &Records) -> Result<(), Unreadable> {
        for (key, bytes) in kept.within(Sort::Evidence, self.roster.epoch()) {
            let evidence: Evidence = record::read(key, bytes)?;
            if let Ok(About::Sets(slot)) = evidence.check().map(|found| found.about) {
                self.accused.insert(slot);
            }
        }
        Ok(())
    }

    /// Says that a set leaves out what was receipted as on time.
    pub(super) fn complain_if_omitted(&self, core: &mut Core, slot: Slot, request: Digest) {
        let listed = self.guard.set(slot).is_some_and(|set| set.contains(self.own));
        if let Some(receipt) = self.outbox.on_time(slot).filter(|_| !listed) {
            let omission = Omission { slot, receipt: receipt.to_vec().into(), request };
            let message = self.seal(core, &omission);
            core.publish(MeterTopic::Omission, message);
            core.event(Event::Omitted { slot });
        }
    }

    /// Keeps two requests for one slot as evidence, once for each slot, and
    /// tells the collector: it may not know what it asked for before a restart.
    pub(super) fn accuse(&mut self, core: &mut Core, slot: Slot, second: &[u8]) {
        let first = self.guard.request(slot).filter(|_| !self.accused.contains(&slot));
        let Some(first) = first else { return };
        let evidence = Evidence {
            key: self.roster.body().collector,
            binding: *self.roster.digest(),
            first: first.to_vec().into(),
            second: second.to_vec().into(),
        };
        let Ok(accusation) = evidence.check() else { return };
        self.accused.insert(slot);
        let key = Key::evidence(self.roster.epoch(), &evidence.digest());
        core.persist(Change::Write(key, encode(&evidence).into()));
        self.persist_outbox(core);
        let message = self.seal(core, &evidence);
        core.publish(MeterTopic::Evidence, message);
        core.event(Event::Evidence(accusation));
    }
}
