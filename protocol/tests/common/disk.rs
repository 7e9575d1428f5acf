//! What a machine has made durable, and crashes before or after that.

use std::ops::{Deref, DerefMut};

use protocol::output::Output;
use protocol::record::Records;

/// A machine crashes in the turn of this commit, before or after it is durable.
#[derive(Clone, Copy)]
pub(crate) struct Crash {
    pub(crate) commit: usize,
    pub(crate) is_durable: bool,
}

/// What a machine has made durable.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) records: Records,
    /// How many turns had something to make durable.
    pub(crate) commits: usize,
    pub(crate) crash: Option<Crash>,
}

impl Disk {
    /// Lets a machine crash at one of its next commits.
    pub(crate) fn crash_at(&mut self, commit: usize, is_durable: bool) {
        self.crash = Some(Crash { commit: self.commits + commit, is_durable });
    }

    /// What a machine hands out in a turn, once it is carried out as far as the
    /// disk goes; none if it crashes.
    pub(super) fn carry_out(&mut self, outputs: Vec<Output>) -> Option<Vec<Output>> {
        let is_commit = outputs.iter().any(|output| matches!(output, Output::Persist(_)));
        self.commits += usize::from(is_commit);
        let crash = self.crash.take_if(|crash| is_commit && crash.commit == self.commits);
        if crash.is_some_and(|crash| !crash.is_durable) {
            return None;
        }
        let outputs = carried_out(outputs, self);
        crash.is_none().then_some(outputs)
    }
}

impl Deref for Disk {
    type Target = Records;
    fn deref(&self) -> &Records {
        &self.records
    }
}

impl DerefMut for Disk {
    fn deref_mut(&mut self) -> &mut Records {
        &mut self.records
    }
}

/// What a machine hands out, once it is carried out as far as its disk goes.
pub(super) fn carried_out(mut outputs: Vec<Output>, disk: &mut Records) -> Vec<Output> {
    for change in outputs.extract_if(.., |output| matches!(output, Output::Persist(_))) {
        if let Output::Persist(change) = change {
            disk.apply(change);
        }
    }
    outputs
}
