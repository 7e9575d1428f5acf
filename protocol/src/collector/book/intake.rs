//! Contributions that came in together: their proofs are checked in one batch.

use aggregation::Scheme;

use crate::entry::{self, Entry, EntryError};
use crate::envelope::Envelope;
use crate::message::Target;
use crate::slot::Timestamp;

use super::super::Core;
use super::{Book, CLOCK_AHEAD};

type Read<S> = Result<Entry<S>, EntryError>;

impl<S: Scheme> Book<S> {
    /// Takes contributions in their order.
    pub(in crate::collector) fn handle_contributions(
        &mut self,
        core: &mut Core<S>,
        contributions: &[(Envelope, &[u8])],
        now: Timestamp,
    ) {
        let entries = self.read_together(core, contributions, now);
        for ((envelope, _), entry) in contributions.iter().zip(entries) {
            let taken = entry.and_then(|entry| self.take_contribution(core, entry, now));
            if let Err(error) = taken {
                core.reject(Some(&envelope.header().sender), &error);
            }
        }
    }

    /// Reads and checks contributions. What is found of one depends on no
    /// other, nor on what a round holds: only a proof that is known to verify
    /// is not checked again.
    fn read_together(
        &self,
        core: &mut Core<S>,
        contributions: &[(Envelope, &[u8])],
        now: Timestamp,
    ) -> Vec<Read<S>> {
        let read = contributions.iter().map(|(envelope, message)| {
            let entry = Entry::contribution(&self.roster, envelope, message)?;
            if self.is_early(entry.target, now) { Err(EntryError::Outside) } else { Ok(entry) }
        });
        let mut read: Vec<Read<S>> = read.collect();
        let entries = (0..).zip(&read).filter_map(|(at, entry)| Some((at, entry.as_ref().ok()?)));
        let (places, unknown): (Vec<usize>, Vec<_>) =
            entries.filter(|(_, entry)| !self.knows(entry)).unzip();
        let bad = entry::check_batch(&self.roster, &unknown, &mut core.rng).err();
        for (at, error) in bad.into_iter().flatten() {
            if let Some(entry) = places.get(at).and_then(|place| read.get_mut(*place)) {
                *entry = Err(error);
            }
        }
        read
    }

    /// Whether a target ends later than a member's clock may run ahead.
    pub(super) fn is_early(&self, target: Target, now: Timestamp) -> bool {
        let end = match target {
            Target::Region(slot) => self.roster.grid().end(slot),
            Target::Bill(portion) => self.roster.grid().window_end(portion.window),
        };
        end > now + CLOCK_AHEAD
    }

    /// Whether an entry's proofs were checked before.
    pub(super) fn knows(&self, entry: &Entry<S>) -> bool {
        self.rounds.get(&entry.target).is_some_and(|round| round.knows(entry))
    }
}
