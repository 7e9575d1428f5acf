//! The agent's loop: the meter's state machine between source, link and disk.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use aggregation::ElGamal;
use anyhow::Context as _;
use host::clock;
use host::health::{Endpoint, Health, Pulse};
use host::journal::Journal;
use host::lock::Lock;
use host::store::{Sqlite, Turns};
use protocol::message::State;
use protocol::meter::Meter;
use protocol::output::Publication;
use protocol::slot::Timestamp;
use protocol::topic;

use crate::config::Config;
use crate::growth::Growth;
use crate::home::Home;
use crate::slots::Slots;
use crate::vigil::{CHECKS, Vigil};
use crate::vitals::Machine;

/// Length of a slot in seconds from which on a meter takes all the time there is
/// to return to a broker.
const FULL_SLOT_S: u32 = 900;
/// The longest sleep: a clock that was set is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Runs the agent until `shutdown`.
///
/// # Errors
/// Where the configuration, the state folder or the source is of no use.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (region, meter) = (config.region.to_string(), config.meter.to_string());
    let health = Health::of("meter-agent", env!("CARGO_PKG_VERSION"), &[("meter", &meter)]);
    let pulse = health.pulse(Some(&region), &CHECKS);
    let _endpoint = Endpoint::start(config.listen(), health.clone())?;
    let home = Home::open(&config)?;
    tokio::pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => {
            health.stopping();
            return Ok(home.turns.close()?);
        }
        believed = home.until_clock_is_believed(&config, &pulse) => believed?,
    }
    let (mut agent, mut inbox) = Agent::start(&config, home, pulse)?;
    health.serving();
    tokio::select! {
        () = &mut shutdown => {}
        lost = agent.serve(&mut inbox, health.longest_sleep(LONGEST_SLEEP)) => match lost? {},
    }
    health.stopping();
    if let Err(error) = agent.sender.close().await {
        tracing::warn!("{error}; they are sent again after the next start");
    }
    Ok(agent.turns.close()?)
}

struct Agent {
    _lock: Lock,
    meter: Meter<ElGamal>,
    region: String,
    turns: Turns<Sqlite>,
    sender: link::Sender,
    slots: Slots,
    machine: Machine,
    growth: Growth,
    journal: Journal,
    vigil: Vigil,
    state_interval: Duration,
    next_state: Timestamp,
}

impl Agent {
    fn start(config: &Config, home: Home, pulse: Pulse) -> anyhow::Result<(Self, link::Receiver)> {
        let slot_seconds = config.floors.slot_seconds.get();
        let slots = Slots::open(&config.source, slot_seconds)?;
        let meter = home.meter(config)?;
        let (sender, inbox) = connect(config)?;
        let agent = Self {
            _lock: home.lock,
            meter,
            region: config.region.to_string(),
            machine: Machine::open(home.keystore.dir()),
            growth: Growth::default(),
            turns: home.turns,
            sender,
            slots,
            journal: Journal::of(pulse.clone()),
            vigil: Vigil::of(pulse, config.clock.marker(), slot_seconds),
            state_interval: Duration::from_secs(config.state_interval_s.get()),
            next_state: clock::now(),
        };
        Ok((agent, inbox))
    }

    /// Does what is due and takes what comes in, for as long as there is a link.
    async fn serve(
        &mut self,
        inbox: &mut link::Receiver,
        longest_sleep: Duration,
    ) -> anyhow::Result<Infallible> {
        loop {
            self.do_what_is_due()?;
            let wait = clock::until(self.wake()).min(longest_sleep);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.slots.arrival() => {}
                // Where the disk is full, messages wait at the broker.
                event = inbox.recv(), if !self.turns.is_waiting() => {
                    self.take(event.context("the link has ended")?)?;
                }
            }
        }
    }

    fn take(&mut self, event: link::Event) -> anyhow::Result<()> {
        match event {
            link::Event::Connected { .. } => {
                self.vigil.link(None);
                self.meter.handle_connected(clock::now());
                self.next_state = clock::now();
            }
            link::Event::Disconnected { reason } => {
                tracing::warn!("no broker: {reason}");
                self.vigil.link(Some(&reason));
            }
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
        self.empty_outputs()?;
        let (parts, disk) = ((&self.meter, &self.slots), (&self.turns, &self.growth));
        self.vigil.look_at(parts, disk, clock::now())?;
        if self.turns.is_waiting() {
            // What the source tells waits in the source.
            return Ok(());
        }
        let now = clock::now();
        if self.meter.poll_timeout().is_some_and(|due| due <= now) {
            self.meter.handle_timeout(now);
        }
        self.slots.hand_in(&mut self.meter, now)?;
        if self.next_state <= now {
            self.next_state = now + self.state_interval;
            self.growth.watch(self.turns.store());
            let state = self.state();
            self.vigil.note(&self.meter.publish_state(state));
        }
        self.empty_outputs()
    }

    fn wake(&self) -> Timestamp {
        if let Some(again) = self.turns.poll_timeout() {
            return again;
        }
        let slots = self.slots.poll_timeout(self.meter.grid().as_ref());
        let due = self.meter.poll_timeout().into_iter().chain(slots);
        due.fold(self.next_state, Timestamp::min)
    }

    fn empty_outputs(&mut self) -> anyhow::Result<()> {
        let Self { meter, turns, sender, journal, vigil, region, .. } = self;
        let poll = || meter.poll_output().inspect(|output| vigil.hear(output));
        let publish = |message| publish(sender, message);
        let note = |event: &_| journal.note(region, event);
        if turns.carry_out(poll, clock::now(), publish, note)? {
            vigil.committed(meter.grid().as_ref());
        }
        Ok(())
    }

    fn state(&mut self) -> State {
        let vitals = self.machine.vitals();
        State {
            version: vitals.version.to_owned(),
            source: self.slots.label().to_owned(),
            uptime_s: vitals.uptime_s,
            load_1m_milli: vitals.load_1m_milli,
            memory_used_bytes: vitals.memory_used_bytes,
            agent_memory_bytes: vitals.agent_memory_bytes,
            disk_free_bytes: vitals.disk_free_bytes,
            temperature_c: vitals.temperature_c,
            // The meter fills in what it alone knows.
            member_of: None,
            unsettled_slots: 0,
            withheld_slots: 0,
            pooled_slots: 0,
            lost_slots: 0,
            counters: self.slots.counters(),
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

/// How long a meter may take to return to a broker that it has lost: 20 s where
/// slots have 15 minutes, and as much less as they are shorter.
fn spread(slot_seconds: u32) -> Duration {
    link::SPREAD.min(link::SPREAD * slot_seconds / FULL_SLOT_S)
}

fn connect(config: &Config) -> anyhow::Result<(link::Sender, link::Receiver)> {
    let client_id = format!("{}_{}", config.region, config.meter);
    let mut options = link::Options::new(config.broker.url.clone(), client_id);
    options.subscriptions = topic::meter_subscriptions(&config.region, &config.meter);
    options.spread = spread(config.floors.slot_seconds.get());
    Ok(link::open(options, clock::generator()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_of_short_slots_returns_soon() {
        let millis = |slot_seconds| spread(slot_seconds).as_millis();
        assert_eq!([900, 3_600, 90, 2].map(millis), [20_000, 20_000, 2_000, 44]);
    }
}
