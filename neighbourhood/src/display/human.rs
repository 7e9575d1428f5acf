//! Lines for a person at a terminal.

use std::time::Duration;

use protocol::id::MeterId;
use protocol::message::{Roster, Subject};
use protocol::slot::{Grid, Slot, Timestamp, Window};

use crate::args::Options;
use crate::balance::Balance;
use crate::billed::Billed;
use crate::display::Summary;
use crate::tally::{Checked, Settled, Span, Sum};
use crate::transcripts::Audit;

/// Meters that stand beside each other in a window's table.
const COLUMNS: usize = 3;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// How to write for a person.
pub(crate) struct Human {
    meters: u16,
    slots: u32,
    source: String,
    /// The meter that is a P1 capture.
    captured: Option<MeterId>,
    colours: bool,
}

impl Human {
    pub(super) fn new(options: &Options, colours: bool) -> Self {
        let source = if options.csv.is_some() { "recorded readings" } else { "simulated readings" };
        let (meters, slots, source) = (options.meters, options.slots, source.to_owned());
        Self { meters, slots, source, captured: None, colours }
    }

    pub(super) fn label(&mut self, captured: MeterId) {
        self.source = format!("{}, {captured}'s from the P1 capture", self.source);
        self.captured = Some(captured);
    }

    pub(super) fn opened(&self, roster: &Roster) -> String {
        let grid = roster.parameters.grid(roster.first_slot);
        let start = time_of_day(grid.start(roster.first_slot));
        format!(
            "all {} key parts are in: the first slot, {}, starts at {start} UTC\n\n\
             The region's sum of each slot ({}); `truth` is known to this demonstration alone.\n\
             {:>9}  {:>8}  {:>9}  {:>9}  {:<5}  {:>7}  {:>8}",
            self.meters,
            roster.first_slot,
            self.source,
            "slot",
            "end, UTC",
            "sum, Wh",
            "truth, Wh",
            "",
            "meters",
            "latency",
        )
    }

    /// A region's result; a meter's waits for its window's table.
    pub(super) fn result(&self, checked: &Checked, grid: &Grid) -> Option<String> {
        let outcome = &checked.outcome;
        let Subject::Region(_) = outcome.subject else { return None };
        let absent = names(outcome.uncounted.iter());
        Some(format!(
            "{}  {:>9}  {:>9}  {}  {:>7}  {:>8}{}{absent}",
            self.slot(outcome.first_slot, grid),
            outcome.sum_wh,
            truth(checked),
            self.verdict(checked.is_right()),
            format!("{}/{}", outcome.contributors.len(), self.meters),
            millis(checked.latency),
            if absent.is_empty() { "" } else { "  without " },
        ))
    }

    /// A window's table, or the absence of a slot's result.
    pub(super) fn settled(&self, settled: &Settled, grid: &Grid) -> Option<String> {
        match settled.span {
            Span::Window(first, last) => Some(self.window(settled, (first, last), grid)),
            Span::Slot(_) if settled.missing.is_empty() => None,
            Span::Slot(slot) => {
                let verdict = self.paint(RED, "MISSING");
                Some(format!("{}  {verdict}: {}", self.slot(slot, grid), reason(settled)))
            }
        }
    }

    fn window(&self, settled: &Settled, (first, last): (Slot, Slot), grid: &Grid) -> String {
        let number = grid.window_of(first).unwrap_or(Window(0)).0 + 1;
        let (first, last) = (position(first, grid), position(last, grid));
        let mut lines = vec![format!(
            "\nWindow {number} (slots {first} to {last}): each meter's own sum and (truth), Wh, {}",
            self.source,
        )];
        let results = settled.results.values();
        let (captured, results): (Vec<_>, Vec<_>) =
            results.partition(|bill| self.is_captured(bill));
        for row in results.chunks(COLUMNS) {
            lines.push(row.iter().map(|checked| self.bill(checked)).collect());
        }
        lines.extend(captured.iter().map(|bill| self.bill(bill) + "  P1 capture"));
        let results = settled.results.values();
        if let Some(slowest) = results.clone().map(|checked| checked.latency).max() {
            lines.push(format!("  {} sums, the last after {}", results.len(), millis(slowest)));
        }
        lines.extend(self.without_bill(settled));
        lines.join("\n") + "\n"
    }

    fn is_captured(&self, checked: &Checked) -> bool {
        let Subject::Meter(meter) = &checked.outcome.subject else { return false };
        self.captured.as_ref() == Some(meter)
    }

    fn bill(&self, checked: &Checked) -> String {
        let outcome = &checked.outcome;
        let name = names(outcome.contributors.iter());
        let slots = match outcome.uncounted_slots.len() + outcome.withheld_slots.len() {
            0 => String::new(),
            missed => format!("-{missed}"),
        };
        let truth = format!("({})", truth(checked));
        let verdict = self.verdict(checked.is_right());
        format!("  {name:<5} {:>7} {truth:>8} {slots:>2} {verdict}", outcome.sum_wh)
    }

    /// What to say of meters without a sum over a window.
    fn without_bill(&self, settled: &Settled) -> Option<String> {
        if !settled.missing.is_empty() {
            let meters = names(settled.missing.iter().filter_map(meter));
            let verdict = self.paint(RED, "MISSING");
            return Some(format!("  {verdict} {meters}: {}", reason(settled)));
        }
        let without = names(settled.without_bill.iter());
        let closed = format!("  without a sum: {without}, counted in too few slots");
        (!settled.without_bill.is_empty()).then_some(closed)
    }

    pub(super) fn summary(&self, summary: &Summary) -> String {
        let counts = summary.counts;
        let total = format!(
            "{} region sums, {} meters' sums, {} wrong, {} missing, {} refused, {} epochs, {} kills, \
             in {:.1} s",
            counts.region_results,
            counts.meter_results,
            counts.wrong,
            counts.missing,
            counts.refused,
            counts.epochs,
            counts.kills,
            summary.took.as_secs_f64(),
        );
        let latency = summary.latencies.map(|(half, most)| {
            let (half, most) = (millis(half), millis(most));
            format!("from the end of a span to its sum: half within {half}, 99 % within {most}")
        });
        let billed = summary.billed.as_ref().map(|billed| {
            let Billed { meter, windows, register_wh, opened_wh } = billed;
            format!(
                "{meter}, the P1 capture: register difference over {windows} windows: \
                 {register_wh} Wh, opened: {opened_wh} Wh"
            )
        });
        let unclaimed = (counts.unclaimed > 0).then(|| {
            format!("{} sums of killed meters were not claimed in time", counts.unclaimed)
        });
        let energy = summary.balance.map(energy);
        let audit = summary.audit.map(|Audit { verified, rejected, wrong }| {
            format!(
                "{verified} transcripts verify, {rejected} altered ones do not; {wrong} are wrong"
            )
        });
        let good = counts.wrong == 0 && counts.missing == 0;
        let (colour, verdict) = match (good, counts.region_results) {
            (true, 0) => (PLAIN, "nothing was summed"),
            (true, _) => (GREEN, "every sum equals the truth"),
            (false, _) => (RED, "NOT every sum is there and right"),
        };
        let verdict = Some(self.paint(colour, verdict));
        let lines = [Some(total), latency, billed, unclaimed, energy, audit, verdict];
        lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }

    fn slot(&self, slot: Slot, grid: &Grid) -> String {
        let count = format!("{}/{}", position(slot, grid), self.slots);
        format!("{count:>9}  {}", time_of_day(grid.end(slot)))
    }

    fn verdict(&self, is_right: bool) -> String {
        if is_right { self.paint(GREEN, "ok   ") } else { self.paint(RED, "WRONG") }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }
}

/// Where the energy of all meters is.
fn energy(balance: Balance) -> String {
    let Balance { measured_wh, counted_wh, unsettled_wh, pooled_wh, lost_wh, unopened } = balance;
    let verdict = match (unopened, balance.is_even()) {
        (0, true) => "no Wh is lost or counted twice".to_owned(),
        (0, false) => "it is NOT all there".to_owned(),
        (unopened, _) => format!("not weighed: {unopened} listed sums were not opened"),
    };
    format!(
        "energy: {measured_wh} Wh measured; {counted_wh} counted, {unsettled_wh} unsettled, \
         {pooled_wh} pooled, {lost_wh} given up: {verdict}"
    )
}

/// A slot's place in the run, counted from 1.
fn position(slot: Slot, grid: &Grid) -> u64 {
    slot.since(grid.origin).unwrap_or_default() + 1
}

fn truth(checked: &Checked) -> String {
    checked.expected.map_or("none".to_owned(), |wh| wh.to_string())
}

fn meter((subject, _): &Sum) -> Option<&MeterId> {
    match subject {
        Subject::Meter(meter) => Some(meter),
        Subject::Region(_) => None,
    }
}

fn names<'a>(meters: impl Iterator<Item = &'a MeterId>) -> String {
    meters.map(MeterId::as_str).collect::<Vec<_>>().join(", ")
}

fn reason(settled: &Settled) -> &str {
    settled.reason.as_deref().unwrap_or("nothing came in time")
}

fn millis(span: Duration) -> String {
    format!("{} ms", span.as_millis())
}

/// Hours, minutes and seconds of the UTC day.
fn time_of_day(at: Timestamp) -> String {
    let seconds = at.0 / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests;
