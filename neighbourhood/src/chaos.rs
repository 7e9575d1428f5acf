//! Faults in real time: parties are killed, frozen and cut off at random, and
//! start again as systemd would start them; at the end everything heals, and
//! what has to hold is looked up on the disks.

mod args;
mod contents;
mod fault;
mod healing;
mod judge;
mod proxy;
mod seen;
mod setup;
mod summary;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use host::clock;
use host::shutdown::Shutdown;
use protocol::message::Roster;
use protocol::slot::{Timestamp, Window};
use rand::RngExt as _;
use tokio::runtime::Builder;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::floors::Lowered;
use crate::household::Household;
use crate::processes::{Processes, Role};
use crate::watch::{Sighting, Watch};
use fault::{Act, Faults, Victim};
use proxy::Proxy;
use seen::Seen;
use setup::{open_proxies, quiet_port, write, write_mosquitto};
use summary::Summary;

pub(crate) use args::ChaosOptions;

/// Between two looks at processes and faults.
const LOOK: Duration = Duration::from_millis(50);
/// The longest wait for the epoch.
const OPENING: Duration = Duration::from_secs(90);
/// The longest pause of a link that has lost its broker often, and a start.
const RECOVERY: Duration = Duration::from_secs(35);
/// How long an agent takes until it is of use again, its grace apart.
const START: Duration = Duration::from_secs(3);
/// Between two lines about how it goes.
const PROGRESS: Duration = Duration::from_secs(30);
/// Runs faults to their end.
///
/// # Errors
/// What went wrong, for a person, with the folder where the logs are.
pub(crate) fn run(options: &ChaosOptions) -> anyhow::Result<ExitCode> {
    if std::env::var_os("RUST_LOG").is_some() {
        host::log::start();
    }
    let dir = tempfile::Builder::new().prefix("chaos-").tempdir()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(cause(options, dir.path()));
    if let Ok(summary) = &ended {
        print(&if options.json { summary.json() } else { summary.text() })?;
        if summary.is_success() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let kept = dir.keep();
    let said = format!("the parties' files and logs are in {}", kept.display());
    writeln!(std::io::stderr(), "{said}")?;
    ended.map(|_| ExitCode::FAILURE)
}

fn print(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

async fn cause(options: &ChaosOptions, dir: &Path) -> anyhow::Result<Summary> {
    let shutdown = Shutdown::new()?;
    let mut run = Run::new(options, dir).await?;
    let ended = tokio::select! {
        ended = run.go() => ended,
        () = shutdown.requested() => bail!("ended by a signal"),
    };
    run.processes.stop().await;
    let settled = ended?;
    run.sum_up(settled)
}

struct Run<'a> {
    options: &'a ChaosOptions,
    seed: u64,
    lowered: Lowered,
    household: Household,
    mosquitto: Option<PathBuf>,
    /// The collector's, if it has one, then the agents'.
    proxies: BTreeMap<Victim, Proxy>,
    processes: Processes,
    watch: Watch,
    looks: Interval,
    seen: Seen,
    roster: Option<Box<Roster>>,
    faults: Faults,
    ended: BTreeMap<Role, u64>,
    begun: Timestamp,
    healed: Timestamp,
    /// What happened when.
    diary: File,
}

impl<'a> Run<'a> {
    async fn new(options: &'a ChaosOptions, dir: &Path) -> anyhow::Result<Self> {
        let seed = match options.seed {
            Some(seed) => seed,
            None => clock::generator()?.random_range(0..1_000_000),
        };
        let lowered = Lowered::for_region(options.meters, options.slot_seconds);
        let lowered = lowered.with_deadline_s(options.deadline_s);
        let broker = quiet_port()?;
        let proxies = open_proxies(options, broker).await?;
        let household = write(options, dir, &lowered, (broker, &proxies))?;
        let mosquitto = options.mosquitto.then(|| write_mosquitto(dir, broker)).transpose()?;
        let watch = Watch::open_with_receipts(&household, broker)?;
        let now = clock::now();
        let recovery = Duration::from_secs(lowered.grace_s().into()) + START;
        let agents = (options.meters.into(), lowered.spare());
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            options,
            seed,
            lowered,
            household,
            mosquitto,
            proxies,
            processes: Processes::none(dir)?,
            watch,
            looks,
            seen: Seen::default(),
            roster: None,
            faults: Faults::new(agents, options.mosquitto, recovery, (seed, now)),
            ended: BTreeMap::new(),
            begun: now,
            healed: now,
            diary: File::create(dir.join("faults.log"))?,
        })
    }

    /// The window by which everything was complete again, and how long that
    /// took; none if it was not in time.
    async fn go(&mut self) -> anyhow::Result<Option<(Window, Duration)>> {
        self.introduce()?;
        if self.mosquitto.is_some() {
            self.act(Act::Start(Victim::Mosquitto))?;
        }
        self.act(Act::Start(Victim::Collector))?;
        for place in 0..self.household.agents.len() {
            self.act(Act::Start(Victim::Agent(place)))?;
        }
        self.open().await?;
        self.disturb().await?;
        self.heal()?;
        self.settle().await
    }

    fn introduce(&self) -> anyhow::Result<()> {
        let ChaosOptions { meters, slot_seconds, mosquitto, .. } = self.options;
        let broker = if *mosquitto { "mosquitto" } else { "the embedded broker" };
        self.note(&format!(
            "{meters} meters, slots of {slot_seconds} s, {broker}, faults for {} s at most, seed {}",
            self.options.span().as_secs(),
            self.seed
        ))
    }

    fn note(&self, text: &str) -> anyhow::Result<()> {
        if self.options.json {
            writeln!(std::io::stderr(), "{text}")?;
        } else {
            print(text)?;
        }
        Ok(())
    }

    async fn open(&mut self) -> anyhow::Result<()> {
        let overdue = clock::now() + OPENING;
        while self.roster.is_none() {
            self.look().await?;
            self.processes.check()?;
            if clock::now() > overdue {
                bail!("no epoch was opened; the collector:\n{}", self.processes.tail("collector"));
            }
        }
        Ok(())
    }

    async fn disturb(&mut self) -> anyhow::Result<()> {
        let end = clock::now() + self.options.span();
        let mut progress = clock::now() + PROGRESS;
        while clock::now() < end && !self.has_killed_enough() {
            self.look().await?;
            for (role, name) in self.processes.poll_ended() {
                *self.ended.entry(role).or_default() += 1;
                self.write(&format!("{name} has ended by itself"))?;
                self.faults.note_ended(self.victim(&name), clock::now());
            }
            for act in self.faults.poll(clock::now()) {
                self.act(act)?;
            }
            if progress <= clock::now() {
                progress = clock::now() + PROGRESS;
                self.tell_progress()?;
            }
        }
        Ok(())
    }

    fn has_killed_enough(&self) -> bool {
        let least = |role: &Role| self.faults.least_kills(*role);
        let wanted = self.options.kills;
        wanted.is_some_and(|wanted| Role::ALL.iter().filter_map(least).all(|kills| kills >= wanted))
    }

    fn tell_progress(&self) -> anyhow::Result<()> {
        let kills = Role::ALL.iter().filter_map(|role| {
            let least = self.faults.least_kills(*role)?;
            Some(format!("{} {} ({least})", role.as_str(), self.faults.kills(*role)))
        });
        let (kills, results) = (kills.collect::<Vec<_>>().join(", "), self.seen.results.len());
        let seconds = clock::now().since(self.begun).as_secs();
        self.note(&format!("{seconds} s: {results} results seen; killed: {kills}"))
    }

    /// Waits for a sighting, or until it is time to look at the rest.
    async fn look(&mut self) -> anyhow::Result<()> {
        let sighting = tokio::select! {
            sighting = self.watch.next() => sighting?.0,
            _ = self.looks.tick() => return Ok(()),
        };
        match sighting {
            Sighting::Opened(_, roster) => self.roster = Some(roster),
            Sighting::Trouble(text) => self.write(&text)?,
            other => self.seen.take(other),
        }
        Ok(())
    }

    fn act(&mut self, act: Act) -> anyhow::Result<()> {
        self.write(&format!("{act:?}"))?;
        match act {
            Act::Kill(victim) => self.processes.kill_one(&self.name(victim)),
            Act::Start(victim) => {
                let config = self.config(victim)?;
                self.processes.start(victim.role(), &self.name(victim), &config)
            }
            Act::Freeze(victim) => self.processes.freeze(&self.name(victim), true),
            Act::Thaw(victim) => self.processes.freeze(&self.name(victim), false),
            Act::Cut(victim, cut) => {
                self.proxies.get(&victim).into_iter().for_each(|proxy| proxy.cut(cut));
                Ok(())
            }
            Act::Pass(victim, passage) => {
                self.proxies.get(&victim).into_iter().for_each(|proxy| proxy.set(passage));
                Ok(())
            }
        }
    }

    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let seconds = clock::now().since(self.begun).as_secs_f64();
        writeln!(self.diary, "{seconds:9.3} {text}").context("the diary")
    }

    fn name(&self, victim: Victim) -> String {
        match victim {
            Victim::Agent(place) => {
                let agent = self.household.agents.get(place);
                agent.map_or_else(String::new, |agent| agent.meter.to_string())
            }
            other => other.role().as_str().to_owned(),
        }
    }

    fn victim(&self, name: &str) -> Victim {
        let place = self.household.agents.iter().position(|agent| agent.meter.as_str() == name);
        match place {
            Some(place) => Victim::Agent(place),
            None if name == Role::Mosquitto.as_str() => Victim::Mosquitto,
            None => Victim::Collector,
        }
    }

    fn config(&self, victim: Victim) -> anyhow::Result<PathBuf> {
        let found = match victim {
            Victim::Collector => Some(&self.household.collector),
            Victim::Mosquitto => self.mosquitto.as_ref(),
            Victim::Agent(place) => self.household.agents.get(place).map(|agent| &agent.config),
        };
        found.cloned().context("a party that is not there")
    }
}
