//! A run of the whole neighbourhood.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{Results, time, verdict};

/// A line for each fact of a run of the whole neighbourhood.
pub(crate) fn section(results: &Results) -> String {
    let mut page = "\n## The whole process\n\n".to_owned();
    let Some(run) = results.other("neighbourhood.json") else {
        return page + "Not measured.\n";
    };
    let command = run.pointer("/command").and_then(Value::as_str).unwrap_or("unknown");
    let _ = writeln!(page, "Command: `{command}`, watched by `whole` in `benches/`.\n");
    let number = |path: &str| number(&run, path);
    page += "| sums | results | right | after the end of the next slot | p50 | p99 | longest |\n";
    page += "|---|---|---|---|---|---|---|\n";
    let mut all_good = true;
    for sums in ["regions", "bills"] {
        let of = |fact: &str| number(&format!("/{sums}/{fact}"));
        let expected = of("expected");
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
         members that are on time are not waited for any longer. Bills are expected of windows\n\
         in whose every slot every meter is counted; in others slots may be withheld. Every result right and\n\
         before the next slot ends: {}. Sums of every meter: {} of {}. Refusals: {}.\n",
        verdict(all_good, reason),
        number("/regions/of_everybody"),
        number("/regions/results"),
        number("/ending/refused"),
    );
    page + &processes(&run)
}

fn number(run: &Value, path: &str) -> f64 {
    run.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// What each process has used.
fn processes(run: &Value) -> String {
    let number = |path: &str| number(run, path);
    let mut page = "| process | count | processor time | of one core | memory, most seen | written for each slot |\n"
        .to_owned();
    page += "|---|---|---|---|---|---|\n";
    let seconds = number("/ending/seconds");
    for (process, key) in [("collector, with broker and table", "collector"), ("agent", "agent")] {
        let of = |fact: &str| number(&format!("/{key}/{fact}"));
        let _ = writeln!(
            page,
            "| {process} | {} | {} (most: {}) | {:.2} % | {:.1} MiB (most: {:.1} MiB) | {:.1} kB (mean: {:.1} kB) |",
            of("processes"),
            time(1e6 * of("cpu_ms_mean")),
            time(1e6 * of("cpu_ms_max")),
            of("cpu_ms_mean") / seconds / 10.0,
            of("memory_bytes_mean") / f64::from(1 << 20),
            of("memory_bytes_max") / f64::from(1 << 20),
            of("written_per_slot_median") / 1e3,
            of("written_per_slot_mean") / 1e3,
        );
    }
    page += "\nWritten is what went to the disk (`write_bytes`) from one region sum to the next, the median and\n\
             the mean: the end of a window, here every tenth slot, adds its listing, claim and proofs.\n\
             On a file system in memory it is 0. ";
    let written = number("/agent/written_per_slot_mean");
    let reason = "see the table";
    let _ = writeln!(
        page,
        "At most 20 kB of an agent on average: {}.",
        verdict(written <= 2e4, reason)
    );
    let load = number("/load_1m_after");
    let _ = writeln!(
        page,
        "\nThe run took {seconds:.0} s with the ceremony. Agents, collector and observer share the\n\
         machine's cores, whose load over the last minute was {load:.2}.",
    );
    page
}
