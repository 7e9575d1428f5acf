//! Assembles `docs/performance.md` from what one run of `just bench` measured.

mod figures;
mod machine;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use serde_json::Value;

use figures::{FIGURES, Figure, OTHERS, Part, Rival};

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

    fn sum(&self, parts: &[Part]) -> Option<f64> {
        parts.iter().map(|part| Some(part.count * self.median(part.id)?)).sum()
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
    let (whole, parts) = (results.median(figure.id), results.sum(figure.parts));
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
    let (each, parts) = (time(each), time(parts / figure.per));
    format!("| {} | {each} | {parts} | {ratio:.2} | {} |\n", figure.title, targets.join("; "))
}

fn details(figure: &Figure, results: &Results) -> String {
    let part = |part: &Part| {
        let count = part.count / figure.per;
        let count =
            if count.fract() == 0.0 { format!("{count}") } else { format!("1/{}", 1.0 / count) };
        format!("{count} × {} ({})", part.title, maybe(results.median(part.id)))
    };
    let parts: Vec<_> = figure.parts.iter().map(part).collect();
    format!("- **{}**: {}. Beyond these: {}.\n", figure.title, parts.join(", "), figure.rest)
}

fn ours(results: &Results) -> String {
    let mut page = "## Ours, beside the sum of its parts\n\n".to_owned();
    page += "Command: `cargo bench` in `benches/`. A figure and its parts come from the same\n\
             process. The parts are the calls into the libraries below, each measured alone.\n\n";
    page += "| what | time | its parts | ratio | target |\n|---|---|---|---|---|\n";
    page.extend(FIGURES.iter().map(|figure| row(figure, results)));
    page += "\nThe parts:\n\n";
    page.extend(FIGURES.iter().map(|figure| details(figure, results)));
    page
}

fn others(results: &Results) -> String {
    let mut page = "\n## The same work by others\n\n".to_owned();
    page += "Commands: `cargo bench --bench others` in `benches/`, and\n\
             `python3 benches/python/petlib_elgamal.py`, `python3 benches/python/phe_paillier.py`.\n\
             The same clock in the same run. What a row lacks of ours stands beside it: the\n\
             guarantees differ, and with them the price.\n\n";
    page += "| library | one reading, its sender | one reading, its receiver | help with a sum | what it is |\n";
    page += "|---|---|---|---|---|\n";
    page.extend(OTHERS.iter().map(|rival| rival_row(rival, results)));
    page
}

fn rival_row(rival: &Rival, results: &Results) -> String {
    let python = rival.file.and_then(|file| results.other(file));
    if let Some(reason) = python.as_ref().and_then(|python| python.get("skipped")) {
        let reason = reason.as_str().unwrap_or_default().replace(['\n', '|'], " ");
        return format!("| {} | skipped: {reason} | | | {} |\n", rival.library, rival.what);
    }
    let measured = |(id, per): (&str, f64)| match &python {
        Some(python) => python.get("nanoseconds")?.get(id)?.as_f64(),
        None => results.median(id).map(|ns| ns / per),
    };
    let name = python.as_ref().and_then(|python| python.get("library")?.as_str());
    let [sender, receiver, help] = rival.ids.map(|id| maybe(measured(id)));
    let name = name.unwrap_or(rival.library);
    format!("| {name} | {sender} | {receiver} | {help} | {} |\n", rival.what)
}

/// A line for each fact of a run of the whole neighbourhood.
fn whole(results: &Results) -> String {
    let mut page = "\n## The whole process\n\n".to_owned();
    let Some(run) = results.other("neighbourhood.json") else {
        return page + "Not measured.\n";
    };
    let number = |path: &str| run.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let text = |path: &str| run.pointer(path).and_then(Value::as_str).unwrap_or("unknown");
    let _ = writeln!(page, "Command: `{}`, watched by `whole` in `benches/`.\n", text("/command"));
    page += "| sums | results | right | after the end of the next slot | p50 | p99 | longest |\n";
    page += "|---|---|---|---|---|---|---|\n";
    let mut all_good = true;
    let slots = number("/slots");
    let bills = number("/meters") * (slots / 10.0).floor();
    for (sums, key, expected) in [("regions", "regions", slots), ("bills", "bills", bills)] {
        let of = |fact: &str| number(&format!("/{key}/{fact}"));
        let (right, late) = (of("right"), of("after_the_next_slot"));
        all_good &= right >= expected && right >= of("results") && late == 0.0;
        let _ = writeln!(
            page,
            "| {sums} | {} of {expected} | {right} | {late} | {} | {} | {} |",
            of("results"),
            time(1e6 * of("p50_ms")),
            time(1e6 * of("p99_ms")),
            time(1e6 * of("max_ms")),
        );
    }
    let reason = "see the table";
    let _ = writeln!(
        page,
        "\nTimes are from the end of a sum's last slot to its result at another subscriber;\n\
         members that are on time are not waited for any longer. Every result right and\n\
         before the next slot ends: {}. Sums of every meter: {} of {}. Refusals: {}.\n",
        verdict(all_good, reason),
        number("/regions/of_everybody"),
        number("/regions/results"),
        number("/ending/refused"),
    );
    page += "| process | count | processor time | of one core | memory, most seen |\n|---|---|---|---|---|\n";
    let seconds = number("/ending/seconds");
    for (process, key) in [("collector, with broker and table", "collector"), ("agent", "agent")] {
        let of = |fact: &str| number(&format!("/{key}/{fact}"));
        let _ = writeln!(
            page,
            "| {process} | {} | {} (most: {}) | {:.2} % | {:.1} MiB (most: {:.1} MiB) |",
            of("processes"),
            time(1e6 * of("cpu_ms_mean")),
            time(1e6 * of("cpu_ms_max")),
            of("cpu_ms_mean") / seconds / 10.0,
            of("memory_bytes_mean") / f64::from(1 << 20),
            of("memory_bytes_max") / f64::from(1 << 20),
        );
    }
    let load = number("/load_1m_after");
    let _ = writeln!(
        page,
        "\nThe run took {seconds:.0} s with the ceremony. Agents, collector and observer share the\n\
         machine's cores, whose load over the last minute was {load:.2}.",
    );
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
    page += &others(&results);
    page += &whole(&results);
    fs::write(&args.page, page).context("the page")
}
