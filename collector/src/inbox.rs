//! The way of inputs from the daemon's loop to a region's machine.

use std::cell::Cell;
use std::convert::Infallible;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::time::Duration;

/// Inputs that wait for the machine.
const LENGTH: usize = 1024;
/// The most inputs that the machine takes before it does what is due, and the
/// most that one commit holds. It takes what waits and never waits for more:
/// while one commit is under way the next one fills.
const BATCH: usize = 1000;

/// What goes into a region's machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The link to the broker is up.
    Connected,
    /// The link to the broker is down.
    Disconnected,
    /// A message of one of the region's meters.
    Message(Vec<u8>),
}

/// The daemon's end. Dropping it ends the machine.
pub(crate) struct Inbox {
    inputs: SyncSender<Input>,
    /// Dropped with the rest, for a machine that takes nothing.
    _open: Sender<Infallible>,
    missed: Arc<AtomicBool>,
    dropped: Cell<u64>,
}

/// The machine's end.
pub(crate) struct Inputs {
    waiting: Receiver<Input>,
    closed: Receiver<Infallible>,
    /// That the link was up or down, while there was no room.
    missed: Arc<AtomicBool>,
}

/// Both ends.
pub(crate) fn open() -> (Inbox, Inputs) {
    let ((inputs, received), (open, closed)) = (sync_channel(LENGTH), channel());
    let missed = Arc::new(AtomicBool::new(false));
    let machine = Inputs { waiting: received, closed, missed: Arc::clone(&missed) };
    (Inbox { inputs, _open: open, missed, dropped: Cell::new(0) }, machine)
}

impl Inbox {
    /// Hands an input over. A machine that lags behind by a whole inbox loses
    /// messages, which their senders send again; how many is logged at the 1st,
    /// 2nd, 4th ... of them. What it misses of the link it hears later.
    pub(crate) fn put(&self, input: Input) {
        match self.inputs.try_send(input) {
            // It has ended, which its thread says.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(Input::Message(_))) => {
                let dropped = self.dropped.get() + 1;
                self.dropped.set(dropped);
                if dropped.is_power_of_two() {
                    tracing::warn!(dropped, "a region's machine lags behind: messages are dropped");
                }
            }
            Err(TrySendError::Full(Input::Connected | Input::Disconnected)) => {
                self.missed.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Inputs {
    /// What waits, up to a batch; nothing if nothing comes in time, and none
    /// once the inbox is dropped.
    pub(crate) fn take(&self, wait: Duration) -> Option<Vec<Input>> {
        if self.missed.swap(false, Ordering::Relaxed) {
            // Whatever it was: what was on its way may be lost.
            return Some(vec![Input::Disconnected, Input::Connected]);
        }
        match self.waiting.recv_timeout(wait) {
            Ok(first) => {
                Some(iter::once(first).chain(self.waiting.try_iter()).take(BATCH).collect())
            }
            Err(RecvTimeoutError::Timeout) => Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Waits and takes nothing; whether the inbox was dropped meanwhile.
    pub(crate) fn is_closed_within(&self, wait: Duration) -> bool {
        matches!(self.closed.recv_timeout(wait), Err(RecvTimeoutError::Disconnected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_beyond_a_whole_inbox_are_dropped_and_the_others_keep_their_order() {
        let (inbox, inputs) = open();
        let message = |at: usize| Input::Message(at.to_be_bytes().to_vec());
        (0..LENGTH + 3).map(message).for_each(|input| inbox.put(input));
        drop(inbox);
        let taken = iter::from_fn(|| inputs.take(Duration::ZERO)).flatten();
        assert!(taken.eq((0..LENGTH).map(message)));
    }

    #[test]
    fn a_machine_hears_later_that_the_link_was_up_while_it_took_nothing() {
        let (inbox, inputs) = open();
        (0..LENGTH).for_each(|_| inbox.put(Input::Message(vec![])));
        inbox.put(Input::Connected);
        let heard = inputs.take(Duration::ZERO);
        assert_eq!(heard, Some(vec![Input::Disconnected, Input::Connected]));
        assert_eq!(inputs.take(Duration::ZERO).unwrap().len(), BATCH);
    }

    #[test]
    fn a_machine_that_takes_nothing_notices_that_its_inbox_is_dropped() {
        let (inbox, inputs) = open();
        inbox.put(Input::Connected);
        assert!(!inputs.is_closed_within(Duration::ZERO));
        drop(inbox);
        assert!(inputs.is_closed_within(Duration::MAX));
    }
}
