//! One JSON object for each event.

use protocol::id::MeterId;
use protocol::message::Subject;
use protocol::slot::Slot;
use serde::Serialize;

use crate::balance::Balance;
use crate::billed::Billed;
use crate::display::Summary;
use crate::tally::Checked;
use crate::transcripts::Audit;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Ready {
        port: u16,
    },
    Result {
        subject: &'a Subject,
        register: &'static str,
        first_slot: Slot,
        slots: u32,
        sum_wh: u64,
        expected_wh: Option<u64>,
        contributors: &'a [MeterId],
        latency_ms: u128,
    },
    Summary {
        region_results: u64,
        meter_results: u64,
        wrong: u64,
        missing: u64,
        refused: u64,
        epochs: u64,
        unclaimed: u64,
        kills: u64,
        seconds: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        energy: Option<Energy>,
        #[serde(skip_serializing_if = "Option::is_none")]
        transcripts: Option<Transcripts>,
        #[serde(skip_serializing_if = "Option::is_none")]
        p1: Option<P1<'a>>,
    },
}

/// The transcripts of all results.
#[derive(Serialize)]
struct Transcripts {
    verified: u64,
    altered_rejected: u64,
    wrong: u64,
}

impl From<Audit> for Transcripts {
    fn from(audit: Audit) -> Self {
        let Audit { verified, rejected, wrong } = audit;
        Self { verified, altered_rejected: rejected, wrong }
    }
}

/// The energy of all meters.
#[derive(Serialize)]
struct Energy {
    measured_wh: u64,
    counted_wh: u64,
    unsettled_wh: u64,
    pooled_wh: u64,
    lost_wh: u64,
    unopened: usize,
    even: bool,
}

impl From<Balance> for Energy {
    fn from(balance: Balance) -> Self {
        let Balance { measured_wh, counted_wh, unsettled_wh, pooled_wh, lost_wh, unopened } =
            balance;
        let even = balance.is_even();
        Self { measured_wh, counted_wh, unsettled_wh, pooled_wh, lost_wh, unopened, even }
    }
}

/// The captured meter's bills beside its register.
#[derive(Serialize)]
struct P1<'a> {
    meter: &'a MeterId,
    register_wh: u64,
    opened_wh: u64,
}

impl<'a> From<&'a Billed> for P1<'a> {
    fn from(billed: &'a Billed) -> Self {
        let Billed { meter, register_wh, opened_wh, .. } = billed;
        Self { meter, register_wh: *register_wh, opened_wh: *opened_wh }
    }
}

pub(super) fn ready(port: u16) -> String {
    line(&Line::Ready { port })
}

pub(super) fn result(checked: &Checked) -> String {
    let outcome = &checked.outcome;
    line(&Line::Result {
        subject: &outcome.subject,
        register: outcome.register.as_str(),
        first_slot: outcome.first_slot,
        slots: outcome.slots,
        sum_wh: outcome.sum_wh,
        expected_wh: checked.expected,
        contributors: &outcome.contributors,
        latency_ms: checked.latency.as_millis(),
    })
}

pub(super) fn summary(summary: &Summary) -> String {
    let counts = summary.counts;
    line(&Line::Summary {
        region_results: counts.region_results,
        meter_results: counts.meter_results,
        wrong: counts.wrong,
        missing: counts.missing,
        refused: counts.refused,
        epochs: counts.epochs,
        unclaimed: counts.unclaimed,
        kills: counts.kills,
        seconds: summary.took.as_secs_f64(),
        energy: summary.balance.map(Energy::from),
        transcripts: summary.audit.map(Transcripts::from),
        p1: summary.billed.as_ref().map(P1::from),
    })
}

fn line(line: &Line<'_>) -> String {
    // A map with text keys, which JSON can say.
    serde_json::to_string(line).unwrap_or_default()
}
