//! The agent's loop: the meter's state machine between source, link and disk.

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroU32;
use std::time::Duration;

use aggregation::ElGamal;
use anyhow::Context as _;
use host::clock;
use host::journal::Journal;
use host::store::{self, Sqlite, Store as _};
use protocol::message::State;
use protocol::meter::{Meter, Terms};
use protocol::output::Publication;
use protocol::slot::{Grid, Slot, Timestamp};
use protocol::topic;

use crate::config::Config;
use crate::source::{Answer, Quantities, ReadError, Source, SourceConfig};
use crate::vitals::Machine;

/// All that the meter keeps.
pub(crate) const DATABASE: &str = "meter.db";
/// The longest sleep: a clock that was set is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Runs the agent until `shutdown`.
///
/// # Errors
/// Where the configuration, the state folder or the source is of no use.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (mut agent, mut inbox) = Agent::start(&config)?;
    tokio::pin!(shutdown);
    loop {
        agent.do_what_is_due()?;
        let wait = clock::until(agent.wake()).min(LONGEST_SLEEP);
        tokio::select! {
            () = &mut shutdown => break,
            () = tokio::time::sleep(wait) => {}
            () = agent.source.source.arrival() => {}
            event = inbox.recv() => agent.take(event.context("the link has ended")?)?,
        }
    }
    if let Err(error) = agent.sender.close().await {
        tracing::warn!("{error}; they are sent again after the next start");
    }
    Ok(())
}

struct Agent {
    meter: Meter<ElGamal>,
    region: String,
    store: Sqlite,
    sender: link::Sender,
    source: SlotSource,
    machine: Machine,
    journal: Journal,
    state_interval: Duration,
    next_state: Timestamp,
}

impl Agent {
    fn start(config: &Config) -> anyhow::Result<(Self, link::Receiver)> {
        let keystore = config.keystore()?;
        let mut rng = clock::generator()?;
        let identity = config.identity(&mut rng)?;
        tracing::info!(region = %config.region, meter = %config.meter, key = %identity.key(), "starting");
        let floors = config.floors.floors();
        let source = SlotSource::open(&config.source, floors.slot_seconds)?;
        let terms = Terms {
            region: config.region.clone(),
            meter: config.meter.clone(),
            registrar: config.registrar,
            floors,
        };
        let store = Sqlite::open(&keystore, DATABASE)?;
        let meter = Meter::new(terms, identity, &store.load()?, rng, clock::now())
            .with_context(|| format!("{DATABASE} in {}", keystore.dir().display()))?;
        let (sender, inbox) = connect(config)?;
        let agent = Self {
            meter,
            region: config.region.to_string(),
            machine: Machine::open(keystore.dir()),
            store,
            sender,
            source,
            journal: Journal::default(),
            state_interval: Duration::from_secs(config.state_interval_s.get()),
            next_state: clock::now(),
        };
        Ok((agent, inbox))
    }

    fn take(&mut self, event: link::Event) -> anyhow::Result<()> {
        match event {
            link::Event::Connected { .. } => {
                self.meter.handle_connected(clock::now());
                self.next_state = clock::now();
            }
            link::Event::Disconnected { reason } => tracing::warn!("no broker: {reason}"),
            link::Event::Refused { filter } => {
                tracing::error!("the broker refuses the subscription to {filter}");
            }
            link::Event::Message { payload, .. } => {
                self.meter.handle_message(&payload, clock::now());
            }
        }
        self.empty_outputs()
    }

    fn do_what_is_due(&mut self) -> anyhow::Result<()> {
        let now = clock::now();
        if self.meter.poll_timeout().is_some_and(|due| due <= now) {
            self.meter.handle_timeout(now);
        }
        self.source.source.handle_timeout(now);
        if let Some(grid) = self.meter.grid() {
            self.source.begin(&grid, now)?;
            while let Some((slot, read)) = self.source.read_next(&grid, now) {
                match read {
                    Ok(quantities) => self.meter.handle_reading(slot, &quantities, now),
                    Err(error) => tracing::warn!(%slot, "no reading: {error}"),
                }
            }
        }
        if self.next_state <= now {
            self.next_state = now + self.state_interval;
            let state = self.state();
            self.meter.publish_state(state);
        }
        self.empty_outputs()
    }

    fn wake(&self) -> Timestamp {
        let slot = self.meter.grid().and_then(|grid| self.source.next_end(&grid));
        let due = [self.meter.poll_timeout(), slot, self.source.source.poll_timeout()];
        let due = due.into_iter().flatten();
        due.fold(self.next_state, Timestamp::min)
    }

    fn empty_outputs(&mut self) -> anyhow::Result<()> {
        let Self { meter, store, sender, journal, region, .. } = self;
        let publish = |message| publish(sender, message);
        store::carry_out(
            || meter.poll_output(),
            store,
            publish,
            |event| journal.note(region, event),
        )
    }

    fn state(&mut self) -> State {
        let vitals = self.machine.vitals();
        State {
            version: vitals.version.to_owned(),
            source: self.source.label().to_owned(),
            uptime_s: vitals.uptime_s,
            load_1m_milli: vitals.load_1m_milli,
            memory_used_bytes: vitals.memory_used_bytes,
            agent_memory_bytes: vitals.agent_memory_bytes,
            disk_free_bytes: vitals.disk_free_bytes,
            temperature_c: vitals.temperature_c,
            member_of: None,
            counters: self.source.counters(),
        }
    }
}

/// What cannot be published now is sent again by the machine itself: on the
/// next connection, or when its patience ends.
fn publish(sender: &link::Sender, message: Publication) {
    match sender.try_publish(message.topic, message.payload, message.retain) {
        Ok(()) | Err(link::PublishError::Offline) => {}
        Err(error) => tracing::warn!("not published: {error}"),
    }
}

fn connect(config: &Config) -> anyhow::Result<(link::Sender, link::Receiver)> {
    let client_id = format!("{}_{}", config.region, config.meter);
    let mut options = link::Options::new(config.broker.url.clone(), client_id);
    options.subscriptions = topic::meter_subscriptions(&config.region, &config.meter);
    Ok(link::open(options, clock::generator()?)?)
}

/// A source with its place on the slot grid.
struct SlotSource {
    config: SourceConfig,
    source: Source,
    slot_seconds: NonZeroU32,
    next: Option<Slot>,
    /// When to ask again for what the meter has not told yet.
    ask_again: Option<Timestamp>,
    failed: u64,
}

impl SlotSource {
    fn open(config: &SourceConfig, slot_seconds: u32) -> anyhow::Result<Self> {
        let slot_seconds = NonZeroU32::new(slot_seconds).context("slot_seconds = 0")?;
        let source = Source::open(config, slot_seconds).context("source")?;
        Ok(Self {
            config: config.clone(),
            source,
            slot_seconds,
            next: None,
            ask_again: None,
            failed: 0,
        })
    }

    /// Takes its place on the grid: the slot that runs now comes first.
    fn begin(&mut self, grid: &Grid, now: Timestamp) -> anyhow::Result<()> {
        if self.next.is_none() {
            if grid.slot_seconds != self.slot_seconds {
                self.source = Source::open(&self.config, grid.slot_seconds).context("source")?;
                self.slot_seconds = grid.slot_seconds;
            }
            self.next = Some(grid.slot_at(now).max(grid.origin));
        }
        Ok(())
    }

    fn next_end(&self, grid: &Grid) -> Option<Timestamp> {
        self.ask_again.or_else(|| self.next.map(|slot| grid.end(slot)))
    }

    fn read_next(
        &mut self,
        grid: &Grid,
        now: Timestamp,
    ) -> Option<(Slot, Result<Quantities, ReadError>)> {
        let slot = self.next.filter(|slot| grid.end(*slot) <= now)?;
        let read = match self.source.read(grid, slot, now) {
            Ok(Answer::Pending(until)) => {
                self.ask_again = Some(until);
                return None;
            }
            Ok(Answer::Ready(quantities)) => Ok(quantities),
            Err(error) => Err(error),
        };
        (self.next, self.ask_again) = (Some(slot.plus(1)), None);
        self.failed += u64::from(read.is_err());
        Some((slot, read))
    }

    fn label(&self) -> &'static str {
        self.source.label()
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = self.source.counters();
        counters.insert("source-failed".to_owned(), self.failed);
        counters
    }
}
