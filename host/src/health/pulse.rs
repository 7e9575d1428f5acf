//! What one loop says about itself.

use std::fmt::Display;
use std::time::Instant;

use super::{ASK_STORE, Check, Health, Loop, Standing};
use crate::clock;
use crate::store::{CommitError, Sqlite};

/// The pulse of one loop. Whoever holds it is the loop.
#[derive(Clone, Debug)]
pub struct Pulse {
    health: Health,
    region: String,
}

impl Pulse {
    pub(super) fn of(health: Health, region: String) -> Self {
        Self { health, region }
    }

    /// What all loops of this process share.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The loop has moved.
    pub fn moved(&self) {
        self.moved_at(clock::monotonic());
    }

    pub(super) fn moved_at(&self, now: Instant) {
        self.health.with(&self.region, |of| of.moved = now);
    }

    /// Asks the store to answer, every now and then: one that has nothing to
    /// commit has to as well.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn ask(&self, store: &Sqlite) -> anyhow::Result<()> {
        let (now, every) = (clock::monotonic(), self.health.longest_sleep(ASK_STORE));
        let is_due = |of: &Loop| of.answered.is_none_or(|at| now.duration_since(at) >= every);
        if self.health.with(&self.region, |of| is_due(of)).unwrap_or_default() {
            match store.answer() {
                Ok(()) => self.store_answered_at(clock::monotonic()),
                Err(CommitError::Full { .. }) => {}
                Err(error @ CommitError::Uncertain { .. }) => return Err(error.into()),
            }
            self.health.0.metrics.database(&self.region, store.size()?);
        }
        Ok(())
    }

    pub(super) fn store_answered_at(&self, now: Instant) {
        self.health.with(&self.region, |of| of.answered = Some(now));
    }

    /// A turn with changes is durable.
    pub fn committed(&self) {
        self.health.with(&self.region, |of| of.committed = Some(clock::monotonic()));
    }

    /// What a check has found; none is that all is well.
    pub fn check(&self, check: Check, trouble: Option<impl Display>) {
        let state = trouble.map_or(Ok(()), |trouble| Err(trouble.to_string()));
        self.health.with(&self.region, |of| {
            if let Some(known) = of.checks.get_mut(&check) {
                *known = state;
            }
        });
    }

    /// An event, by its name.
    pub fn event(&self, name: &'static str) {
        self.health.0.metrics.event(&self.region, name);
    }

    /// A contribution was taken.
    pub fn contribution(&self) {
        self.health.0.metrics.contribution(&self.region);
    }

    /// A receipt was handed to the link.
    pub fn receipt(&self) {
        self.health.0.metrics.receipt(&self.region);
    }

    /// How many slots of a meter wait for what.
    pub fn slots(&self, standing: Standing, slots: u32) {
        self.health.0.metrics.slots(&self.region, standing, slots);
    }

    /// The latest slot of which there is a contribution ended then.
    pub fn contributed_until(&self, unix_seconds: u64) {
        self.health.0.metrics.contributed_until(&self.region, unix_seconds);
    }
}
