//! A storm of reconnecting meters: the collector is killed while all of them
//! are connected, each comes back with one contribution, and all are to be
//! receipted.

mod hub;
mod meters;
mod streets;

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use host::clock;
use rand::RngExt as _;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use hub::{Hub, Usage};
use meters::{Meters, Progress};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// So long all are connected before the kill: a connection has held then.
const HOLD: Duration = Duration::from_secs(12);
/// The kill comes so long before the end of the slot.
const BEFORE_END: Duration = Duration::from_secs(5);
/// Free ports are looked for where no connection begins.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// Kills the collector while all meters are connected, and measures until each
/// has come back and has the receipt of one contribution.
///
/// The exit status is 0 if that is in time.
#[derive(Parser)]
struct Args {
    /// Where to write to.
    #[arg(long)]
    out: PathBuf,
    /// How many regions.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=99))]
    regions: u16,
    /// How many meters each region has.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(10..=999))]
    meters: u16,
    /// The longest that it may take from the kill, in seconds.
    #[arg(long, default_value_t = 60)]
    target_s: u64,
    /// After which a step is given up, in seconds.
    #[arg(long, default_value_t = 180)]
    patience_s: u64,
    /// The collector's program.
    #[arg(long, default_value = "target/release/collector")]
    collector: PathBuf,
}

/// What a storm comes to. The collector has its broker in it.
#[derive(Serialize)]
struct Storm {
    command: String,
    regions: u16,
    meters: u16,
    connections: u64,
    /// From the first start until all were connected.
    connected_s: f64,
    /// From the kill until the collector was started again.
    down_s: f64,
    /// From the kill until every contribution had its receipt.
    settled_s: f64,
    target_s: u64,
    load_1m: f64,
    sent: u64,
    reconnections: u64,
    failed_attempts: u64,
    wrong: u64,
    collector_first: Usage,
    collector_until_settled: Usage,
    generator: Usage,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let storm = runtime.block_on(storm(&args))?;
    serde_json::to_writer_pretty(File::create(&args.out)?, &storm)?;
    println!("{}", storm.line());
    let in_time = storm.settled_s <= args.target_s as f64 && storm.wrong == 0;
    Ok(if in_time { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn storm(args: &Args) -> anyhow::Result<Storm> {
    let dir = tempfile::Builder::new().prefix("storm-").tempdir()?;
    let port = quiet_port()?;
    let size = (args.regions.into(), args.meters.into());
    let streets = streets::prepare(dir.path(), port, size)?;
    let (config, log) = (streets.config, dir.path().join("collector.log"));
    let all = u64::from(args.regions) * u64::from(args.meters);

    let begun = Instant::now();
    let mut hub = Hub::start(&args.collector, &config, &log)?;
    let mut meters = Meters::none();
    meters.start(streets.all, port).await?;
    let wait = Wait { all, patience: Duration::from_secs(args.patience_s) };
    wait.until("connected", &mut meters, &mut hub, |progress| &progress.online).await?;
    let connected_s = begun.elapsed().as_secs_f64();

    sleep(HOLD).await;
    // A collector does not receipt what ended before its start until it has
    // heard the members, and these do not answer.
    let kill = streets.ends - BEFORE_END;
    ensure!(clock::now() < kill, "the slot was over before all were connected");
    sleep(clock::until(kill)).await;
    let collector_first = hub.usage()?;
    let [connected, lost] = counts(&meters.progress);
    let killed = Instant::now();
    hub.kill()?;
    meters.let_go();
    hub = Hub::start(&args.collector, &config, &log)?;
    let down_s = killed.elapsed().as_secs_f64();
    let settled = wait.until("settled", &mut meters, &mut hub, |progress| &progress.settled).await;
    if settled.is_err() {
        eprintln!("{:#?}", meters.progress.reasons());
        eprintln!("the collector's files and log are in {}", dir.keep().display());
    }
    settled?;
    let settled_s = killed.elapsed().as_secs_f64();
    let [reconnected, failed] = counts(&meters.progress);
    Ok(Storm {
        command: std::env::args().collect::<Vec<_>>().join(" "),
        regions: args.regions,
        meters: args.meters,
        connections: all,
        connected_s,
        down_s,
        settled_s,
        target_s: args.target_s,
        load_1m: sysinfo::System::load_average()?.one,
        sent: meters.progress.sent.load(Ordering::Relaxed),
        reconnections: reconnected - connected,
        // Everybody has lost one that stood.
        failed_attempts: (failed - lost).saturating_sub(all),
        wrong: meters.progress.wrong.load(Ordering::Relaxed),
        collector_first,
        collector_until_settled: hub.usage()?,
        generator: hub::usage(std::process::id())?,
    })
}

fn counts(progress: &Progress) -> [u64; 2] {
    [&progress.connected, &progress.lost].map(|count| count.load(Ordering::Relaxed))
}

/// What is waited for.
struct Wait {
    all: u64,
    patience: Duration,
}

impl Wait {
    async fn until(
        &self,
        what: &str,
        meters: &mut Meters,
        hub: &mut Hub,
        count: impl Fn(&Progress) -> &AtomicU64,
    ) -> anyhow::Result<()> {
        let found = |meters: &Meters| count(&meters.progress).load(Ordering::Relaxed);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let waiting = async {
            while found(meters) < self.all {
                looks.tick().await;
                meters.check()?;
                hub.check()?;
            }
            anyhow::Ok(())
        };
        if let Ok(ended) = timeout(self.patience, waiting).await {
            return ended;
        }
        bail!("{} of {} were {what} in {:?}", found(meters), self.all, self.patience)
    }
}

impl Storm {
    fn line(&self) -> String {
        let mib = |bytes| bytes as f64 / f64::from(1 << 20);
        let Usage { memory_peak_bytes, cpu_ms } = self.collector_until_settled;
        format!(
            "{} meters in {} regions settled {:.1} s after the kill (at most {} s): collector and \
             broker {:.0} MiB at most, {:.1} s of processor time; {} contributions sent, {} failed \
             attempts; generator {:.0} MiB, {:.1} s",
            self.connections,
            self.regions,
            self.settled_s,
            self.target_s,
            mib(memory_peak_bytes),
            cpu_ms as f64 / 1e3,
            self.sent,
            self.failed_attempts,
            mib(self.generator.memory_peak_bytes),
            self.generator.cpu_ms as f64 / 1e3,
        )
    }
}

fn quiet_port() -> anyhow::Result<u16> {
    let mut rng = clock::generator()?;
    let mut ports = (0..100).map(|_| rng.random_range(PORTS));
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(is_free).context("no free port")
}
