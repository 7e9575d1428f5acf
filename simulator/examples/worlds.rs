//! Worlds with operations drawn at random, on every core, until one fails.
//!
//! `just sim` and `just worlds` run it. What fails is printed with the command
//! that replays it, and with the operations that are left when all are dropped
//! that the failure does not need.
#![allow(clippy::print_stdout, reason = "a program that reports what it found")]
#![allow(clippy::disallowed_methods, reason = "it measures its own time; worlds have their own")]

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use aggregation::{ElGamal, Plain, Scheme, Table};
use clap::{Parser, ValueEnum};
use rand::TryRng as _;
use rand::rngs::SysRng;
use simulator::{Failure, Plan, Remembering, Report, Step, Truth, World, draw, shrink};

/// Worlds with operations drawn at random.
#[derive(Clone, Parser)]
struct Args {
    /// Seeds: one, or FIRST..END.
    #[arg(long, default_value = "0..100", value_parser = seeds)]
    seeds: Range<u64>,
    /// One seed more, drawn by chance and printed.
    #[arg(long)]
    random: bool,
    /// Steps of each world.
    #[arg(long, default_value_t = 200)]
    steps: usize,
    /// What hides the readings, and who verifies.
    #[arg(long, value_enum, default_value_t = Kind::Plain)]
    kind: Kind,
    /// Begins no world after so many seconds.
    #[arg(long)]
    budget: Option<u64>,
    /// How many worlds at once: one for each core unless given.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Drops no operations of a world that fails.
    #[arg(long)]
    whole: bool,
    /// Prints the last so many events of a world that fails.
    #[arg(long)]
    events: Option<usize>,
    /// Prints the operations before they are played.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Readings are not hidden.
    Plain,
    /// `ElGamal`, each proof verified once.
    Elgamal,
    /// `ElGamal`, everything verified by everybody.
    Full,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Elgamal => "elgamal",
            Self::Full => "full",
        }
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    match text.split_once("..") {
        Some((first, end)) => Ok(number(first)?..number(end)?),
        None => number(text).map(|seed| seed..seed + 1),
    }
}

/// A world that failed: how, and after which operations.
struct Failed {
    seed: u64,
    failure: Failure,
    steps: Vec<Step>,
    drawn: usize,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if matches!(args.kind, Kind::Full) && cfg!(hushgrid_simulation) {
        println!("this build verifies each signature once: build without hushgrid_simulation");
        return ExitCode::FAILURE;
    }
    let mut all: Vec<_> = args.seeds.clone().collect();
    if args.random {
        let Ok(seed) = SysRng.try_next_u32().map(u64::from) else {
            println!("the system has no randomness");
            return ExitCode::FAILURE;
        };
        println!("one seed by chance: {seed}");
        all.insert(0, seed);
    }
    args.seeds = 0..0;
    let started = Instant::now();
    let (played, failed) = match args.kind {
        Kind::Plain => run::<Plain>(&args, &all, &Arc::new(())),
        Kind::Elgamal => run::<Remembering<ElGamal>>(&args, &all, &Arc::new(Table::new(16))),
        Kind::Full => run::<ElGamal>(&args, &all, &Arc::new(Table::new(16))),
    };
    let seconds = started.elapsed().as_secs_f64();
    println!("{played} worlds of {} steps, {}, in {seconds:.0} s", args.steps, args.kind.name());
    match failed {
        None => ExitCode::SUCCESS,
        Some(failed) => {
            println!("{}", tell(&failed, &args));
            ExitCode::FAILURE
        }
    }
}

/// Plays the seeds on all threads; how many came to a good end, and the first
/// that did not.
fn run<S: Scheme>(args: &Args, seeds: &[u64], decoder: &Arc<S::Decoder>) -> (u64, Option<Failed>) {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = args.threads.map_or(cores, NonZeroUsize::get);
    let (next, played, is_over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    let end = args.budget.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    thread::scope(|scope| {
        for _ in 0..threads {
            let (tell, next, played, is_over) = (tell.clone(), &next, &played, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) && end.is_none_or(|end| Instant::now() < end)
                {
                    let at =
                        usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                    let Some(seed) = seeds.get(at) else { return };
                    if let Some(failed) = play::<S>(args, *seed, decoder) {
                        is_over.store(true, Ordering::Relaxed);
                        // Nobody listens any more once one has failed.
                        let _ = tell.send(failed);
                        return;
                    }
                    let count = played.fetch_add(1, Ordering::Relaxed) + 1;
                    progress(count, seeds.len());
                }
            });
        }
        drop(tell);
    });
    (played.into_inner(), told.recv().ok())
}

fn progress(count: u64, all: usize) {
    let mut out = std::io::stdout();
    if out.is_terminal() || count.is_multiple_of(100) {
        let end = if out.is_terminal() { '\r' } else { '\n' };
        let _ = write!(out, "{count} of {all} worlds{end}");
        let _ = out.flush();
    }
}

fn play<S: Scheme>(args: &Args, seed: u64, decoder: &Arc<S::Decoder>) -> Option<Failed> {
    let region = "north".parse().ok()?;
    let plan = Plan::random::<S>(seed, region);
    let steps = draw(&plan, args.steps);
    if args.list {
        println!("{}", lines(&steps));
    }
    let begin = || World::<S>::new(plan.clone(), Truth::powers(15), decoder.clone());
    let fails = |steps: &[Step]| begin().ok()?.live(steps).err();
    let failure = fails(&steps)?;
    let drawn = steps.len();
    let (steps, failure) =
        if args.whole { (steps, failure) } else { shrink(steps, failure, fails) };
    if let (Some(count), Ok(mut world)) = (args.events, begin()) {
        // It fails again.
        let _ = world.live(&steps);
        println!("{}", last_events(&world.report(), count));
    }
    Some(Failed { seed, failure, steps, drawn })
}

fn last_events(report: &Report, count: usize) -> String {
    let mut text = String::new();
    for (at, party, event) in report.events.iter().rev().take(count).rev() {
        let _ = writeln!(text, "{} {party}: {event}", at.0);
    }
    text
}

fn tell(failed: &Failed, args: &Args) -> String {
    let Failed { seed, failure, steps, drawn } = failed;
    let mut text = format!("{failure}\n{} of {drawn} operations are left:\n", steps.len());
    text += &lines(steps);
    let (kind, count) = (args.kind.name(), args.steps);
    let _ = write!(text, "replay: just world {seed} {kind} {count}");
    text
}

fn lines(steps: &[Step]) -> String {
    let mut text = String::new();
    for (at, step) in (1..).zip(steps) {
        let _ = writeln!(text, "{at:>4} {step}");
    }
    text
}
