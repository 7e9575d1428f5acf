//! What a watch saw while faults happened: enough to know what must not be
//! otherwise at the end. What it missed meanwhile stands on the disks.

use std::collections::{BTreeMap, BTreeSet};

use protocol::id::{Epoch, MeterId};
use protocol::message::{Outcome, Subject};
use protocol::reading::Register;
use protocol::slot::Slot;

use crate::watch::Sighting;

/// What a result is the sum of.
pub(super) type Opened = (Epoch, Subject, Register, Slot);

/// Results and receipts as they were published.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) results: BTreeMap<Opened, Outcome>,
    /// Results that differ from the first of the same sum.
    pub(super) contradictions: Vec<Outcome>,
    /// Whose contributions were receipted as on time.
    pub(super) on_time: BTreeSet<(MeterId, Slot)>,
    pub(super) refused: u64,
}

impl Seen {
    pub(super) fn take(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Result(epoch, outcome) => {
                let of = opened(epoch, &outcome);
                let first = self.results.entry(of).or_insert_with(|| outcome.clone());
                if *first != outcome {
                    self.contradictions.push(outcome);
                }
            }
            Sighting::Receipted(receipt) if receipt.on_time => {
                self.on_time.insert((receipt.meter, receipt.slot));
            }
            Sighting::Refused(..) => self.refused += 1,
            _ => {}
        }
    }
}

/// What a result is the sum of.
pub(super) fn opened(epoch: Epoch, outcome: &Outcome) -> Opened {
    (epoch, outcome.subject.clone(), outcome.register, outcome.first_slot)
}
