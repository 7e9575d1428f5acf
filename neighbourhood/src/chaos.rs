//! Faults in real time: parties are killed, frozen and cut off at random, and
//! start again as systemd would start them; at the end everything heals, and
//! what has to hold is looked up on the disks.

mod args;
mod contents;
mod fault;
mod judge;
mod proxy;
mod seen;
mod summary;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
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

use crate::args::Options;
use crate::floors::{Lowered, WINDOW_SLOTS};
use crate::household::{Household, Plan, Ports};
use crate::processes::{Processes, Role};
use crate::truth::Truth;
use crate::watch::{Sighting, Watch};
use fault::{Act, Faults, Victim};
use judge::{Findings, Judge};
use proxy::Proxy;
use seen::Seen;
use summary::{Course, Summary};

pub(crate) use args::ChaosOptions;

/// Between two looks at processes and faults.
const LOOK: Duration = Duration::from_millis(50);
/// Between two looks at the collector's disk.
const DISK_LOOK: Duration = Duration::from_secs(2);
/// The longest wait for the epoch.
const OPENING: Duration = Duration::from_secs(90);
/// The longest pause of a link that has lost its broker often, and a start.
const RECOVERY: Duration = Duration::from_secs(35);
/// How long an agent takes until it is of use again, its grace apart.
const START: Duration = Duration::from_secs(3);
/// Between two lines about how it goes.
const PROGRESS: Duration = Duration::from_secs(30);
/// Ports that no connection takes for its own end: a party that looks for a
/// broker that is down could meet itself there.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

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

    /// From here on nothing happens any more.
    fn heal(&mut self) -> anyhow::Result<()> {
        for act in self.faults.rest() {
            self.act(act)?;
        }
        self.healed = clock::now();
        self.note("no fault from here on")
    }

    /// The longest time from the last fault until everything is complete: until
    /// everybody is there, to the end of the window after that, and until the
    /// bills of the last window before are past their deadline.
    fn bound(&self) -> Duration {
        let slots = u64::from(WINDOW_SLOTS * self.options.slot_seconds);
        let deadline = u64::from(self.lowered.grace_s() + self.lowered.deadline_s());
        RECOVERY + Duration::from_secs(2 * slots + deadline)
    }

    async fn settle(&mut self) -> anyhow::Result<Option<(Window, Duration)>> {
        let mut next = self.healed;
        while clock::now() < self.healed + self.bound() {
            self.look().await?;
            for (role, name) in self.processes.poll_ended() {
                *self.ended.entry(role).or_default() += 1;
                self.write(&format!("{name} has ended by itself"))?;
                self.act(Act::Start(self.victim(&name)))?;
            }
            if next <= clock::now() {
                next = clock::now() + DISK_LOOK;
                let judge = Judge::new(&self.household)?;
                if let Some(window) = judge.settled(self.healed, clock::now())? {
                    return Ok(Some((window, clock::now().since(self.healed))));
                }
            }
        }
        Ok(None)
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

    fn sum_up(&self, settled: Option<(Window, Duration)>) -> anyhow::Result<Summary> {
        let judge = Judge::new(&self.household)?;
        let last = settled.map_or(judge.last_listed(), |(window, _)| window);
        let calm = self.healed + RECOVERY;
        let findings = self.judge(&judge, (last, calm))?;
        let course = Course {
            has_mosquitto: self.options.mosquitto,
            seed: self.seed,
            took: clock::now().since(self.begun),
            ended: self.ended.clone(),
            refused: self.seen.refused,
            settled: settled.map(|(_, took)| took),
            bound: self.bound(),
        };
        Ok(Summary::new(&course, &self.faults, &findings))
    }

    fn judge(&self, judge: &Judge<'_>, span: (Window, Timestamp)) -> anyhow::Result<Findings> {
        let roster = self.roster.as_ref().context("no epoch")?;
        let grid = roster.parameters.grid(roster.first_slot);
        let sources = self.household.agents.iter().map(|agent| (&agent.meter, &agent.source));
        let mut truth = Truth::open(sources, grid, roster.parameters.max_wh_per_slot, None)?;
        judge.judge(span, &self.seen, &mut truth)
    }
}

async fn open_proxies(
    options: &ChaosOptions,
    broker: u16,
) -> anyhow::Result<BTreeMap<Victim, Proxy>> {
    let agents = (0..usize::from(options.meters)).map(Victim::Agent);
    let collector = options.mosquitto.then_some(Victim::Collector);
    let mut proxies = BTreeMap::new();
    for victim in collector.into_iter().chain(agents) {
        proxies.insert(victim, Proxy::open(broker).await?);
    }
    Ok(proxies)
}

fn write(
    options: &ChaosOptions,
    dir: &Path,
    lowered: &Lowered,
    (broker, proxies): (u16, &BTreeMap<Victim, Proxy>),
) -> anyhow::Result<Household> {
    let of_agents = proxies.iter().filter(|(victim, _)| matches!(victim, Victim::Agent(_)));
    let ports = Ports {
        collector: proxies.get(&Victim::Collector).map_or(broker, Proxy::port),
        is_embedded: !options.mosquitto,
        agents: of_agents.map(|(_, proxy)| proxy.port()).collect(),
    };
    // Twice as many slots as faults and healing take, in one epoch.
    let slots = 2 * (options.span().as_secs() + 600) / u64::from(options.slot_seconds);
    let options = Options {
        meters: options.meters,
        slots: u32::try_from(slots)?,
        slot_seconds: options.slot_seconds,
        epochs: 1,
        kill: 0,
        kill_seed: 0,
        transcripts: false,
        csv: None,
        p1: None,
        json: options.json,
    };
    Plan { dir, options: &options, lowered, bridge: None }.write(&ports)
}

fn write_mosquitto(dir: &Path, port: u16) -> anyhow::Result<PathBuf> {
    let config = dir.join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
         persistence_location {}/\nmax_queued_messages 0\n",
        dir.display()
    );
    fs::write(&config, text).context("mosquitto.conf")?;
    Ok(config)
}

fn quiet_port() -> anyhow::Result<u16> {
    let mut rng = clock::generator()?;
    let mut ports = (0..100).map(|_| rng.random_range(PORTS));
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(is_free).context("no free port")
}
