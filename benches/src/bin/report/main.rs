//! Assembles `docs/performance.md` from what one run of `just bench` measured.

mod ceremonies;
mod figures;
mod machine;
mod others;
mod rivals;
mod whole;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use serde_json::Value;

use figures::{Figure, Part, figures};

/// Assembles the page on performance from the results of one run.
#[derive(Parser)]
struct Args {
    /// The folder that the benchmarks wrote to.
    results: PathBuf,
    /// The page.
    page: PathBuf,
}

/// What one run measured.
struct Results(PathBuf);

impl Results {
    /// The median of a benchmark in nanoseconds.
    fn median(&self, id: &str) -> Option<f64> {
        let path = self.0.join("criterion").join(id).join("new/estimates.json");
        json(&path)?.pointer("/median/point_estimate")?.as_f64()
    }

    /// How many bytes a benchmark's group says that an iteration is about.
    fn bytes(&self, id: &str) -> Option<f64> {
        let path = self.0.join("criterion").join(id).join("new/benchmark.json");
        json(&path)?.pointer("/throughput/Bytes")?.as_f64()
    }

    fn sum(&self, parts: &[Part]) -> Option<f64> {
        parts.iter().map(|part| Some(part.count * self.median(&part.id)?)).sum()
    }

    fn other(&self, name: &str) -> Option<Value> {
        json(&self.0.join(name))
    }
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Three digits of a time.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    let digits = [(100.0, 0), (10.0, 1)].into_iter().find(|(least, _)| value >= *least);
    format!("{value:.*} {unit}", digits.map_or(2, |(_, digits)| digits))
}

fn maybe(ns: Option<f64>) -> String {
    ns.map_or_else(|| "not measured".to_owned(), time)
}

/// A number with its thousands apart.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn verdict(met: bool, reason: &str) -> String {
    if met { "met".to_owned() } else { format!("**missed**: {reason}") }
}

fn row(figure: &Figure, results: &Results) -> String {
    let (whole, parts) = (results.median(&figure.id), results.sum(&figure.parts));
    let (Some(whole), Some(parts)) = (whole, parts) else {
        return format!("| {} | not measured | | | |\n", figure.title);
    };
    let (each, ratio) = (whole / figure.per, whole / parts);
    let reason = format!("beyond its parts there is {}", figure.rest);
    let mut targets = Vec::new();
    if let Some(most) = figure.ratio_max {
        let verdict = verdict(ratio <= most, &reason);
        targets.push(format!("at most {most} times its parts: {verdict}"));
    }
    if let Some(least) = figure.rate_min {
        let (rate, met) = (1e9 / each, 1e9 / each >= least);
        let verdict = verdict(met, &reason);
        targets.push(format!(
            "{} a second of at least {}: {verdict}",
            thousands(rate),
            thousands(least)
        ));
    }
    if let Some(most) = figure.time_max_ms {
        let verdict = verdict(each <= 1e6 * most, &reason);
        targets.push(format!("at most {}: {verdict}", time(1e6 * most)));
    }
    let (each, parts) = (time(each), time(parts / figure.per));
    format!("| {} | {each} | {parts} | {ratio:.2} | {} |\n", figure.title, targets.join("; "))
}

fn details(figure: &Figure, results: &Results) -> String {
    let part = |part: &Part| {
        let count = part.count / figure.per;
        let count =
            if count.fract() == 0.0 { thousands(count) } else { format!("1/{}", 1.0 / count) };
        format!("{count} × {} ({})", part.title, maybe(results.median(&part.id)))
    };
    let parts: Vec<_> = figure.parts.iter().map(part).collect();
    format!("- **{}**: {}. Beyond these: {}.\n", figure.title, parts.join(", "), figure.rest)
}

fn ours(results: &Results) -> String {
    let mut page = "## Ours, beside the sum of its parts\n\n".to_owned();
    page += "Command: `cargo bench` in `benches/`. A figure and its parts come from the same\n\
             process. The parts are the calls into the libraries below, each measured alone.\n\n";
    page += "| what | time | its parts | ratio | target |\n|---|---|---|---|---|\n";
    let figures = figures();
    page.extend(figures.iter().map(|figure| row(figure, results)));
    page += "\nThe parts:\n\n";
    page.extend(figures.iter().map(|figure| details(figure, results)));
    page
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let results = Results(args.results);
    let mut page = "# Performance\n\n\
        Written by `just bench` from what it measured: change the benchmarks, not this page.\n\n"
        .to_owned();
    page += &machine::description()?;
    page += &ours(&results);
    page += &ceremonies::section(&results);
    page += &others::section(&results);
    page += &whole::section(&results);
    fs::write(&args.page, page).context("the page")
}
