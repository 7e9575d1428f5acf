//! A region's state machine on a thread of its own: its arithmetic keeps no
//! one else waiting.

use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aggregation::ElGamal;
use aggregation::Table;
use anyhow::Context as _;
use host::clock;
use host::health::{Check, Pulse};
use host::journal::Journal;
use host::keystore::Keystore;
use host::store::{OpenError, Readers, Sqlite, Turns};
use protocol::collector::Collector;
use protocol::id::{Epoch, RegionId};
use protocol::output::{Output, Publication};
use protocol::record::{Change, Key, Records, Sort};
use protocol::slot::Timestamp;
use protocol::topic;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::config::{Config, RegionConfig};
use crate::epoch::Asked;
use crate::inbox::{self, Inbox, Input, Inputs};

/// The longest sleep: a clock that was set, and a next epoch that was asked for,
/// are noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(2);

/// A region's machine, running.
pub(crate) struct Region {
    pub(crate) inbox: Inbox,
    pub(crate) thread: JoinHandle<anyhow::Result<()>>,
}

impl Region {
    /// Starts the machine. It ends when its inbox is dropped; where it ends
    /// by itself, `ended` says so.
    pub(crate) fn start(
        config: &Config,
        (region, store): (&RegionConfig, Sqlite),
        decoder: Arc<Table>,
        (sender, ended, pulse): (link::Sender, Arc<Notify>, Pulse),
    ) -> anyhow::Result<Self> {
        let keystore = config.keystore()?;
        let mut rng = clock::generator()?;
        let keys = config.identities(&mut rng)?;
        let (terms, kept) = (region.terms(), needed(&store)?);
        let machine = Collector::new(terms, keys, &kept, (decoder, rng), clock::now())
            .with_context(|| format!("region {}", region.name))?;
        let asked = Asked::of(keystore, region.clone());
        let (inbox, inputs) = inbox::open();
        let name = region.name.to_string();
        let runner = Runner {
            machine,
            turns: Turns::new(store),
            asked,
            sender,
            runtime: Handle::current(),
            journal: Journal::of(pulse.clone()),
            pulse,
            region: name.clone(),
        };
        let thread = thread::Builder::new().name(name).spawn(move || {
            let _guard = Ended(ended);
            runner.run(&inputs)
        })?;
        Ok(Self { inbox, thread })
    }
}

/// Says that a thread ends, whatever the reason.
struct Ended(Arc<Notify>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

struct Runner {
    machine: Collector<ElGamal>,
    turns: Turns<Sqlite>,
    asked: Asked,
    sender: link::Sender,
    runtime: Handle,
    journal: Journal,
    pulse: Pulse,
    region: String,
}

impl Runner {
    fn run(mut self, inputs: &Inputs) -> anyhow::Result<()> {
        loop {
            self.empty_outputs()?;
            self.look_at_itself()?;
            let longest = self.pulse.health().longest_sleep(LONGEST_SLEEP);
            if let Some(again) = self.turns.poll_timeout() {
                if inputs.is_closed_within(clock::until(again).min(longest)) {
                    return Ok(self.turns.close()?);
                }
                continue;
            }
            let due = self.machine.poll_timeout().map_or(longest, clock::until);
            let Some(waiting) = inputs.take(due.min(longest)) else {
                self.empty_outputs()?;
                return Ok(self.turns.close()?);
            };
            self.take(waiting)?;
            self.look_for_a_next_epoch()?;
            let now = clock::now();
            if self.machine.poll_timeout().is_some_and(|due| due <= now) {
                self.machine.handle_timeout(now);
            }
        }
    }

    /// Begins the next epoch if that is asked for. What cannot be done is said
    /// and stops nothing.
    fn look_for_a_next_epoch(&mut self) -> anyhow::Result<()> {
        let next = self.machine.next_number();
        match self.asked.poll(next) {
            Ok(None) => {}
            Ok(Some(region)) => match self.machine.next_epoch(region.terms(), clock::now()) {
                Ok(epoch) => tracing::info!(region = self.region, "epoch {epoch} is asked for"),
                Err(error) => tracing::error!(region = self.region, "no epoch {next}: {error}"),
            },
            Err(error) => tracing::error!(region = self.region, "no epoch {next}: {error:#}"),
        }
        self.asked.is_open_until(next)
    }

    /// Takes what waits, the messages between two events of the link together.
    fn take(&mut self, waiting: Vec<Input>) -> anyhow::Result<()> {
        let mut messages = Vec::new();
        for input in waiting {
            let handle = match input {
                Input::Message(message) => {
                    messages.push(message);
                    continue;
                }
                Input::Connected => Collector::handle_connected,
                Input::Disconnected => Collector::handle_disconnected,
            };
            self.machine.handle_messages(&mem::take(&mut messages), clock::now());
            self.empty_outputs()?;
            handle(&mut self.machine, clock::now());
            self.empty_outputs()?;
        }
        self.machine.handle_messages(&messages, clock::now());
        Ok(())
    }

    fn empty_outputs(&mut self) -> anyhow::Result<()> {
        let Self { machine, turns, sender, runtime, journal, pulse, region, asked: _ } = self;
        let poll = || machine.poll_output().inspect(|output| hear(pulse, output));
        // What cannot be published now is sent again by the machine itself: on
        // the next connection, or when its patience ends.
        let publish = |Publication { topic, payload, retain }| match runtime
            .block_on(sender.publish(topic, payload, retain))
        {
            Ok(()) | Err(link::PublishError::Offline | link::PublishError::Closed) => {}
            Err(error) => tracing::warn!(region, "not published: {error}"),
        };
        let note = |event: &_| journal.note(region, event);
        if turns.carry_out(poll, clock::now(), publish, note)? {
            pulse.committed();
        }
        Ok(())
    }

    fn look_at_itself(&self) -> anyhow::Result<()> {
        let is_first = self.machine.next_number() == Epoch(1);
        self.pulse.check(Check::Epoch, is_first.then_some("no epoch is open yet"));
        self.pulse.moved();
        self.pulse.check(Check::Store, self.turns.refusal());
        self.pulse.ask(self.turns.store())
    }
}

/// Counts what a machine hands out.
fn hear(pulse: &Pulse, output: &Output) {
    match output {
        Output::Persist(Change::Write(key, _)) if key.sort == Sort::Counted => {
            pulse.contribution();
        }
        Output::Publish(publication) if topic::is_receipt(&publication.topic) => pulse.receipt(),
        _ => {}
    }
}

/// The databases of all regions, in the order of the configuration.
pub(crate) fn open_stores(config: &Config) -> anyhow::Result<Vec<Sqlite>> {
    let keystore = config.keystore()?;
    config.regions.iter().map(|region| open_store(&keystore, region)).collect()
}

/// The end of the latest slot of which a round is on disk, in any region.
pub(crate) fn recorded_until(
    config: &Config,
    stores: &[Sqlite],
) -> anyhow::Result<Option<Timestamp>> {
    let mut latest = None;
    for (region, store) in config.regions.iter().zip(stores) {
        let newest = store.newest(Sort::SlotRound)?;
        let slot_ms: u64 = 1_000 * region.slot_seconds.get::<u64>();
        let end = |slot: u64| Timestamp(slot.saturating_add(1).saturating_mul(slot_ms));
        latest = latest.max(newest.map(end));
    }
    Ok(latest)
}

/// The region's database. A damaged one stays where it is: a collector that
/// began with an empty one would ask its members for epoch 1 again, which all of
/// them refuse.
fn open_store(keystore: &Keystore, region: &RegionConfig) -> anyhow::Result<Sqlite> {
    let opened = Sqlite::open(keystore, &database(&region.name), Readers::OfTheFile);
    opened.map_err(|error| match error {
        OpenError::Damaged { .. } => anyhow::anyhow!(
            "{error}. Nothing was changed. Restore a backup: `collector restore --set-aside \
             --from BACKUP` puts the present state aside, and the members are then asked for \
             what is newer than the backup"
        ),
        OpenError::Unusable(_) => error.into(),
    })
}

/// What a machine needs of its records: transcripts of epochs that are over
/// are for others to read.
fn needed(store: &Sqlite) -> anyhow::Result<Records> {
    let rosters = store.load_some(|key| key.sort == Sort::Roster)?;
    let is_past = |key: &Key| {
        matches!(key.sort, Sort::SlotRound | Sort::BillRound | Sort::Final)
            && rosters.get(&Key::roster(key.epoch)).is_none()
    };
    store.load_some(|key| !is_past(key))
}

/// The name of a region's database.
#[must_use]
pub fn database(region: &RegionId) -> String {
    format!("region-{region}.db")
}

#[cfg(test)]
mod tests {
    use host::store::Store as _;

    use super::*;

    #[test]
    fn a_collectors_records_reach_to_the_end_of_the_newest_slot_that_has_a_round() {
        let dir = tempfile::tempdir().unwrap();
        let text = include_str!("../../docs/samples/collector.toml");
        let mut config: Config = toml::from_str(text).unwrap();
        config.state_dir = dir.path().join("state");
        let mut stores = open_stores(&config).unwrap();
        assert_eq!(recorded_until(&config, &stores).unwrap(), None);
        let record = |sort, position| {
            let key = Key { sort, epoch: Epoch(1), position, name: String::new() };
            Change::Write(key, vec![1].into())
        };
        let round = |slot| record(Sort::SlotRound, slot);
        stores[0].commit(&[round(8), round(9), record(Sort::Counted, 10)]).unwrap();
        assert_eq!(recorded_until(&config, &stores).unwrap(), Some(Timestamp(10 * 900_000)));
    }
}
