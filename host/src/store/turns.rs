//! A machine's turns, carried out: what is to be durable first, and then what
//! is said.

use std::time::Duration;

use protocol::output::{Event, Output, Publication};
use protocol::record::Change;
use protocol::slot::Timestamp;

use super::{CommitError, Sqlite, Store};

/// Between two attempts to commit what was refused: space comes back by a
/// person's hand, and an attempt costs a transaction that is rolled back.
const PAUSE: Duration = Duration::from_secs(2);

/// Carries out the turns of one machine, and holds the one that the store has
/// refused. Its owner hands the machine no further input while one waits.
#[derive(Debug)]
pub struct Turns<S> {
    store: S,
    waiting: Option<Waiting>,
}

/// What a machine hands out between two inputs.
#[derive(Debug)]
struct Turn {
    changes: Vec<Change>,
    /// Publications and events, in order.
    said: Vec<Output>,
    /// How often the store has refused it.
    refused: u64,
}

/// A turn that the store has refused.
#[derive(Debug)]
struct Waiting {
    turn: Turn,
    reason: String,
    tried: Timestamp,
}

impl<S: Store> Turns<S> {
    /// Nothing waits yet.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self { store, waiting: None }
    }

    /// Carries out what a machine hands out: all its changes in one commit, and
    /// then, in order, what it publishes and tells. A change may be durable
    /// before what precedes it is published: whoever is interrupted in between
    /// says again what its records hold.
    ///
    /// Where the store is full nothing is published, and the turn waits with
    /// all that follows; it is tried again by the calls that are due.
    ///
    /// Whether anything was committed.
    ///
    /// # Errors
    /// Where it is not certain what is durable; nothing is published then, and
    /// the process is to end.
    pub fn carry_out(
        &mut self,
        mut poll_output: impl FnMut() -> Option<Output>,
        now: Timestamp,
        mut publish: impl FnMut(Publication),
        mut note: impl FnMut(&Event),
    ) -> Result<bool, CommitError> {
        let mut is_committed = false;
        while let Some(turn) = self.next(&mut poll_output, now) {
            let changes = !turn.changes.is_empty();
            let Some(said) = self.commit(turn, now)? else { break };
            is_committed |= changes;
            for output in said {
                match output {
                    Output::Publish(publication) => publish(publication),
                    Output::Event(event) => note(&event),
                    Output::Persist(_) => {}
                }
            }
        }
        Ok(is_committed)
    }

    /// Whether a turn waits for space.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Why a turn waits, for a person.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.waiting.as_ref().map(|waiting| waiting.reason.as_str())
    }

    /// When [`Self::carry_out`] is due, whatever the machine has to say.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.waiting.as_ref().map(|waiting| waiting.tried + PAUSE)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The turn that waits, once it is due again; where none waits, the
    /// machine's next.
    fn next(
        &mut self,
        poll_output: &mut impl FnMut() -> Option<Output>,
        now: Timestamp,
    ) -> Option<Turn> {
        let due = self.waiting.take_if(|waiting| waiting.is_due(now)).map(|waiting| waiting.turn);
        if due.is_none() && self.waiting.is_none() { Turn::of(poll_output) } else { due }
    }

    /// What is to be said now that the turn is durable; none if it waits.
    fn commit(&mut self, turn: Turn, now: Timestamp) -> Result<Option<Vec<Output>>, CommitError> {
        let made = if turn.changes.is_empty() { Ok(()) } else { self.store.commit(&turn.changes) };
        match made {
            Ok(()) => {
                if turn.refused > 0 {
                    tracing::info!(refused = turn.refused, "there is space again: going on");
                }
                Ok(Some(turn.said))
            }
            Err(CommitError::Full { reason }) => {
                self.wait(turn, reason, now);
                Ok(None)
            }
            Err(error @ CommitError::Uncertain { .. }) => Err(error),
        }
    }

    fn wait(&mut self, mut turn: Turn, reason: String, now: Timestamp) {
        turn.refused += 1;
        let refused = turn.refused;
        if refused.is_power_of_two() {
            tracing::error!(refused, "{}", CommitError::Full { reason: reason.clone() });
        }
        self.waiting = Some(Waiting { turn, reason, tried: now });
    }
}

impl Turns<Sqlite> {
    /// Closes the store. A turn that waits is given up, as by a crash before
    /// it: nothing that follows from it was said.
    ///
    /// # Errors
    /// [`CommitError::Uncertain`].
    pub fn close(self) -> Result<(), CommitError> {
        if self.is_waiting() {
            tracing::warn!("stopping while there is no space: the last changes are given up");
        }
        match self.store.close() {
            // The next start checks the database, and that is all.
            Err(CommitError::Full { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Turn {
    /// All that a machine hands out now; none if that is nothing.
    fn of(poll_output: &mut impl FnMut() -> Option<Output>) -> Option<Self> {
        let (mut changes, mut said) = (Vec::new(), Vec::new());
        while let Some(output) = poll_output() {
            match output {
                Output::Persist(change) => changes.push(change),
                other => said.push(other),
            }
        }
        let is_empty = changes.is_empty() && said.is_empty();
        (!is_empty).then_some(Self { changes, said, refused: 0 })
    }
}

impl Waiting {
    /// A clock that was set back makes nobody wait longer.
    fn is_due(&self, now: Timestamp) -> bool {
        now < self.tried || now >= self.tried + PAUSE
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use protocol::id::Epoch;
    use protocol::record::{Key, Records};
    use protocol::slot::Slot;

    use super::*;

    const NOW: Timestamp = Timestamp(1_750_000_000_000);

    /// A store that writes down in which order things happen, and answers as it
    /// is told to.
    struct Told<'a>(&'a RefCell<Vec<String>>, VecDeque<CommitError>);

    impl Store for Told<'_> {
        fn load(&self) -> anyhow::Result<Records> {
            Ok(Records::default())
        }

        fn commit(&mut self, changes: &[Change]) -> Result<(), CommitError> {
            self.0.borrow_mut().push(format!("commit {}", changes.len()));
            self.1.pop_front().map_or(Ok(()), Err)
        }
    }

    fn full() -> CommitError {
        CommitError::Full { reason: "the disk is full".to_owned() }
    }

    fn uncertain() -> CommitError {
        CommitError::Uncertain { reason: "fsync".to_owned() }
    }

    fn persist(slot: u64) -> Output {
        Output::Persist(Change::Write(Key::sent(Epoch(1), Slot(slot)), vec![1].into()))
    }

    fn publication(topic: &str) -> Output {
        Output::Publish(Publication { topic: topic.to_owned(), payload: vec![], retain: false })
    }

    /// Turns over a store that answers so, and what has happened.
    fn turns(
        told: &RefCell<Vec<String>>,
        answers: impl IntoIterator<Item = CommitError>,
    ) -> Turns<Told<'_>> {
        Turns::new(Told(told, answers.into_iter().collect()))
    }

    fn carry_out(
        turns: &mut Turns<Told<'_>>,
        outputs: Vec<Output>,
        now: Timestamp,
    ) -> Result<bool, CommitError> {
        let (told, mut outputs) = (turns.store.0, outputs.into_iter());
        let publish = |what: Publication| told.borrow_mut().push(what.topic);
        turns.carry_out(|| outputs.next(), now, publish, |_| ())
    }

    #[test]
    fn changes_are_durable_in_one_commit_before_anything_is_published() {
        let told = RefCell::default();
        let outputs = vec![persist(1), publication("a"), publication("b"), persist(2)];
        carry_out(&mut turns(&told, []), outputs, NOW).unwrap();
        assert_eq!(told.take(), ["commit 2", "a", "b"]);
    }

    #[test]
    fn nothing_is_published_after_a_write_that_is_not_certain() {
        let told = RefCell::default();
        let outputs = vec![persist(1), publication("a")];
        let done = carry_out(&mut turns(&told, [uncertain()]), outputs, NOW);
        assert_eq!(done, Err(uncertain()));
        assert_eq!(told.take(), ["commit 1"]);
    }

    #[test]
    fn what_a_full_store_refuses_waits_with_all_that_follows_until_there_is_space() {
        let told = RefCell::default();
        let mut turns = turns(&told, [full(), full()]);
        carry_out(&mut turns, vec![persist(1), persist(2), publication("a")], NOW).unwrap();
        assert_eq!(turns.refusal(), Some("the disk is full"));
        assert!(!carry_out(&mut turns, vec![], NOW + PAUSE).unwrap());
        assert!(turns.is_waiting());
        let later = vec![publication("b"), persist(3)];
        assert!(carry_out(&mut turns, later, NOW + PAUSE * 2).unwrap());
        let expected = ["commit 2", "commit 2", "commit 2", "a", "commit 1", "b"];
        assert_eq!(told.take(), expected);
        assert_eq!((turns.refusal(), turns.poll_timeout()), (None, None));
    }

    #[test]
    fn a_store_that_refused_is_not_asked_before_its_pause_is_over() {
        let told = RefCell::default();
        let mut turns = turns(&told, [full()]);
        carry_out(&mut turns, vec![persist(1)], NOW).unwrap();
        let due = turns.poll_timeout().unwrap();
        assert_eq!(due, NOW + PAUSE);
        let mut unasked = vec![persist(2), publication("a")].into_iter();
        let before = due - Duration::from_millis(1);
        turns.carry_out(|| unasked.next(), before, |_| (), |_| ()).unwrap();
        assert_eq!((unasked.len(), told.take()), (2, vec!["commit 1".to_owned()]));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_longer() {
        let told = RefCell::default();
        let mut turns = turns(&told, [full()]);
        carry_out(&mut turns, vec![persist(1), publication("a")], NOW).unwrap();
        carry_out(&mut turns, vec![], NOW - Duration::from_hours(1)).unwrap();
        assert_eq!(told.take(), ["commit 1", "commit 1", "a"]);
    }

    #[test]
    fn a_store_that_was_full_and_is_not_certain_any_more_ends_the_process() {
        let told = RefCell::default();
        let mut turns = turns(&told, [full(), uncertain()]);
        carry_out(&mut turns, vec![persist(1), publication("a")], NOW).unwrap();
        assert_eq!(carry_out(&mut turns, vec![], NOW + PAUSE), Err(uncertain()));
        assert_eq!(told.take(), ["commit 1", "commit 1"]);
    }
}
