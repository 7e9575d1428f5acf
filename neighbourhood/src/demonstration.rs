//! The run itself: parties up, results in, parties down.

mod books;
mod broker;
mod introduction;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use aggregation::Participant;
use anyhow::{Context as _, bail};
use host::clock;
use host::shutdown::Shutdown;
use protocol::id::MeterId;
use protocol::listing::Listed;
use protocol::message::Roster;
use protocol::slot::Timestamp;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::args::Options;
use crate::balance::Balance;
use crate::bridge::Bridge;
use crate::display::{Display, Summary};
use crate::floors::Lowered;
use crate::household::Household;
use crate::killer::Act;
use crate::processes::{Processes, Role};
use crate::tally::{Billable, Counts, Ending};
use crate::transcripts;
use crate::watch::{Sighting, Watch};
use books::Books;

/// Between two looks at processes and deadlines.
const LOOK: Duration = Duration::from_millis(100);
/// The longest wait for an agent that listens to the capture.
const CAPTURE_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest wait for the epoch, and what each meter adds to it.
const EPOCH_TIMEOUT: Duration = Duration::from_mins(1);
const EPOCH_TIMEOUT_PER_METER: Duration = Duration::from_secs(1);

/// Runs a neighbourhood to its end, or to the signal that ends it.
///
/// # Errors
/// What went wrong, for a person, with the folder where the logs are.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if std::env::var_os("RUST_LOG").is_some() {
        host::log::start();
    }
    let dir = tempfile::Builder::new().prefix("neighbourhood-").tempdir()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(demonstrate(options, dir.path()));
    match ended {
        Ok(counts) if counts.wrong == 0 && counts.missing == 0 => Ok(ExitCode::SUCCESS),
        Ok(_) => {
            let dir = keep(dir);
            Display::new(options).note(&format!("the parties' logs are in {dir}"))?;
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            let dir = keep(dir);
            Err(error.context(format!("the demonstration failed; its parties' logs are in {dir}")))
        }
    }
}

fn keep(dir: TempDir) -> String {
    dir.keep().display().to_string()
}

async fn demonstrate(options: &Options, dir: &Path) -> anyhow::Result<Counts> {
    let shutdown = Shutdown::new()?;
    let lowered = Lowered::for_region(options.meters, options.slot_seconds);
    check_kills(options, &lowered)?;
    let mut run = Run::new(options, dir, lowered)?;
    let ended = tokio::select! {
        ended = run.go() => ended.map(|()| Ending::Complete),
        () = shutdown.requested() => Ok(Ending::Interrupted),
    };
    run.processes.stop().await;
    let ending = *ended.as_ref().unwrap_or(&Ending::Failed);
    if ending == Ending::Failed && run.books.is_none() {
        return ended.map(|_| Counts::default());
    }
    let counts = run.sum_up(ending)?;
    ended.map(|_| counts)
}

/// Refuses more kills than the region can spare meters.
fn check_kills(options: &Options, lowered: &Lowered) -> anyhow::Result<()> {
    let (meters, kill, spare) = (options.meters, options.kill, lowered.spare());
    if usize::from(kill) > spare {
        bail!(
            "--kill {kill}: of {meters} meters {} have to be there for every region sum, so that \
             {spare} can be killed at a time",
            usize::from(meters) - spare
        );
    }
    Ok(())
}

struct Run<'a> {
    options: &'a Options,
    dir: &'a Path,
    lowered: Lowered,
    display: Display,
    processes: Processes,
    looks: Interval,
    started: Timestamp,
    /// The captured meter's P1 port, until the books have it.
    bridge: Option<Bridge>,
    books: Option<Books>,
    household: Option<Household>,
}

impl<'a> Run<'a> {
    fn new(options: &'a Options, dir: &'a Path, lowered: Lowered) -> anyhow::Result<Self> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            options,
            dir,
            lowered: if options.p1.is_some() { lowered.with_p1() } else { lowered },
            display: Display::new(options),
            processes: Processes::none(dir)?,
            looks,
            started: clock::now(),
            bridge: None,
            books: None,
            household: None,
        })
    }

    async fn go(&mut self) -> anyhow::Result<()> {
        self.introduce()?;
        if let Some(file) = &self.options.p1 {
            self.bridge = Some(Bridge::open(file).await?);
        }
        let (household, mut watch) = self.open_broker().await?;
        self.start_agents(&household).await?;
        self.introduce_capture(&household)?;
        let count = household.agents.len();
        self.display.note(&format!("waiting for {count} key parts ..."))?;
        let overdue =
            clock::now() + EPOCH_TIMEOUT + EPOCH_TIMEOUT_PER_METER * u32::from(self.options.meters);
        while !self.is_complete() {
            if let Some((sighting, arrived)) = self.next(&mut watch).await? {
                self.take(sighting, arrived, &household)?;
            }
            self.settle()?;
            self.disturb(&household)?;
            if self.books.is_none() && clock::now() > overdue {
                bail!("no epoch was opened; the collector:\n{}", self.processes.tail("collector"));
            }
        }
        self.household = Some(household);
        Ok(())
    }

    /// Starts the captured meter's agent before all others: no slot begins
    /// before it has heard its meter, since the epoch needs every member.
    async fn start_agents(&mut self, household: &Household) -> anyhow::Result<()> {
        let (captured, others): (Vec<_>, Vec<_>) =
            household.agents.iter().partition(|agent| agent.is_captured());
        for agent in captured {
            self.processes.start(Role::Agent, agent.meter.as_str(), &agent.config)?;
        }
        if let Some(bridge) = &mut self.bridge {
            let begun = timeout(CAPTURE_TIMEOUT, bridge.has_begun()).await;
            begun.context("no agent has connected to the P1 capture")?;
        }
        for agent in others {
            self.processes.start(Role::Agent, agent.meter.as_str(), &agent.config)?;
        }
        Ok(())
    }

    /// The next sighting; none when it is time to look at the rest.
    async fn next(&mut self, watch: &mut Watch) -> anyhow::Result<Option<(Sighting, Timestamp)>> {
        tokio::select! {
            sighting = watch.next() => sighting.map(Some),
            _ = self.looks.tick() => self.processes.check().map(|()| None),
        }
    }

    fn take(
        &mut self,
        sighting: Sighting,
        arrived: Timestamp,
        household: &Household,
    ) -> anyhow::Result<()> {
        let Some(Books { truth, published, tally, billed, .. }) = &mut self.books else {
            return self.open_books(sighting, household);
        };
        match sighting {
            Sighting::Invited | Sighting::Receipted(_) => {}
            Sighting::Opened(epoch, roster) => {
                if tally.open(epoch, &roster) {
                    let meters = household.agents.iter().map(|agent| &agent.meter);
                    let left_out: Vec<_> =
                        meters.filter(|meter| !is_member(&roster, meter)).collect();
                    self.display.follows((epoch, &roster), &left_out)?;
                }
            }
            Sighting::Result(epoch, outcome) => {
                published.note_result(&outcome);
                if let Some(checked) = tally.take((epoch, outcome), arrived, truth) {
                    self.display.result(&checked, tally.grid())?;
                    if let Some(billed) = billed {
                        billed.take(&checked, truth);
                    }
                }
            }
            Sighting::Listed(epoch, listed) => {
                if let Some(roster) = tally.roster(epoch) {
                    truth.note_listed(&roster, &listed);
                    published.note_listed(&roster, &listed);
                    let billable = billable(&roster, &listed);
                    tally.note_listed(epoch, listed.portion().window, billable);
                }
            }
            Sighting::Status(epoch, status) => tally.note(epoch, status, arrived),
            Sighting::Refused(holder, reason) => {
                tally.refused();
                // Those that were killed refuse what ended while they were down.
                if self.options.kill == 0 {
                    self.display.note(&format!("{holder} refused to help: {reason}"))?;
                }
            }
            Sighting::Trouble(text) => self.display.note(&text)?,
        }
        Ok(())
    }

    /// Kills agents as long as slots are summed, and brings them back.
    fn disturb(&mut self, household: &Household) -> anyhow::Result<()> {
        let Some(Books { tally, killer, .. }) = &mut self.books else { return Ok(()) };
        let now = clock::now();
        let acts =
            if tally.is_over(now) { killer.rest() } else { killer.poll(&tally.rosters(now), now) };
        for act in acts {
            match act {
                Act::Kill(meter, down) => {
                    self.processes.kill_one(meter.as_str())?;
                    let seconds = down.as_secs_f64();
                    self.display.note(&format!("{meter} is killed, for {seconds:.1} s"))?;
                }
                Act::Revive(meter) => {
                    let agent = household.agents.iter().find(|agent| agent.meter == meter);
                    let agent = agent.context("an agent that was never there")?;
                    self.processes.start(Role::Agent, meter.as_str(), &agent.config)?;
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> anyhow::Result<()> {
        let Some(Books { tally, truth, .. }) = &mut self.books else { return Ok(()) };
        if let Some((meter, slot)) = truth.poll_over() {
            let text = format!("the P1 capture has ended: {meter} is left out from slot {slot} on");
            self.display.note(&text)?;
        }
        for settled in tally.settle(clock::now()) {
            self.display.settled(&settled, tally.grid())?;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.books.as_ref().is_some_and(|books| books.tally.is_complete())
    }

    /// Weighs the energy of all meters, unless one is a capture, whose register
    /// goes on beside the run.
    fn weigh(&mut self, household: &Household) -> anyhow::Result<Option<Balance>> {
        let Some(Books { truth, published, tally, .. }) = &mut self.books else { return Ok(None) };
        if household.captured().is_some() {
            return Ok(None);
        }
        let grid = (*tally.grid(), tally.registers().to_vec());
        published.weigh(household, truth, (&grid.0, &grid.1)).map(Some)
    }

    fn sum_up(&mut self, ending: Ending) -> anyhow::Result<Counts> {
        let household = self.household.take();
        let balance = match (&household, ending) {
            (Some(household), Ending::Complete) => self.weigh(household)?,
            _ => None,
        };
        let audit = match (&household, ending) {
            (Some(household), Ending::Complete) if self.options.transcripts => {
                let of = (&household.region, &household.registrar);
                Some(transcripts::audit(&household.collector, of)?)
            }
            _ => None,
        };
        let tally = self.books.as_ref().map(|books| &books.tally);
        let billed = self.books.as_ref().and_then(|books| books.billed.clone());
        let mut counts = tally.map(|tally| tally.counts(ending)).unwrap_or_default();
        counts.kills = self.books.as_ref().map_or(0, |books| books.killer.kills());
        if billed.as_ref().is_some_and(|billed| !billed.is_right()) {
            // The window that is wrong was counted when it came.
            counts.wrong = counts.wrong.max(1);
        }
        counts.wrong += audit.map_or(0, |audit| audit.wrong);
        if balance.is_some_and(|balance| !balance.is_even()) {
            counts.wrong = counts.wrong.max(1);
        }
        let latencies = tally.and_then(|tally| Some((tally.latency(50)?, tally.latency(99)?)));
        let took = clock::now().since(self.started);
        self.display.summary(&Summary { counts, took, latencies, billed, balance, audit })?;
        Ok(counts)
    }
}

fn is_member(roster: &Roster, meter: &MeterId) -> bool {
    roster.members.iter().any(|member| member.meter == *meter)
}

/// The slots that may be billed of each member.
fn billable(roster: &Roster, listed: &Listed) -> Billable {
    let members = (0..).map(Participant).zip(&roster.members);
    members.map(|(of, member)| (member.meter.clone(), listed.billed(of))).collect()
}
