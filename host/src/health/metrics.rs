//! What is counted, in the text format of `OpenMetrics`, which Prometheus reads.
//! Labels are regions, meters and words of ours: whoever invents names can add
//! no series.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

/// The region, or nothing where it concerns the process.
type OfRegion = [(&'static str, String); 1];
/// The region, and something that is told apart in it.
type InRegion = [(&'static str, String); 2];
type Seconds = Gauge<f64, AtomicU64>;
/// Wide enough for every count of bytes and seconds, also where pointers have
/// 32 bits.
type Whole = Gauge<i64>;

/// What slots of a meter wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Contributed; no final listing says whether they are counted.
    Unsettled,
    /// Counted, and in no claim.
    Withheld,
    /// Not counted; their energy waits to be carried.
    Pooled,
    /// Their energy is given up.
    Lost,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unsettled => "unsettled",
            Self::Withheld => "withheld",
            Self::Pooled => "pooled",
            Self::Lost => "lost",
        }
    }
}

/// All metrics of a daemon.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    checks: Family<InRegion, Whole>,
    events: Family<InRegion, Counter>,
    contributions: Family<OfRegion, Counter>,
    receipts: Family<OfRegion, Counter>,
    slots: Family<InRegion, Whole>,
    contributed_until: Family<OfRegion, Whole>,
    database: Family<OfRegion, Whole>,
    age: Family<OfRegion, Seconds>,
    store_age: Family<OfRegion, Seconds>,
    commit_age: Family<OfRegion, Seconds>,
}

impl Metrics {
    pub(super) fn of(
        (daemon, version): (&'static str, &'static str),
        labels: &[(&'static str, &str)],
    ) -> Self {
        let labels =
            labels.iter().map(|(name, value)| ((*name).into(), (*value).to_owned().into()));
        let mut registry = Registry::with_prefix_and_labels("hushgrid", labels);
        let build = Info::new([("daemon", daemon), ("version", version)]);
        registry.register("build", "What runs", build);
        let mut new = Registering(&mut registry);
        Self {
            checks: new.family("check_ok", "Whether a check of /readyz found all well"),
            events: new.family("events", "Events by name"),
            contributions: new.family("contributions", "Contributions taken"),
            receipts: new.family("receipts", "Receipts handed to the link"),
            slots: new.family("slots", "Slots of this meter, by what they wait for"),
            contributed_until: new.family(
                "contributed_until_timestamp_seconds",
                "End of the latest slot that this meter has contributed to",
            ),
            database: new.family("database_bytes", "Size of the database"),
            age: new.family("loop_age_seconds", "Since the loop has moved"),
            store_age: new.family("store_age_seconds", "Since the store has answered"),
            commit_age: new.family("commit_age_seconds", "Since the store has committed"),
            registry,
        }
    }

    pub(super) fn check(&self, region: &str, check: &'static str, ok: bool) {
        self.checks.get_or_create(&within(region, "check", check)).set(ok.into());
    }

    pub(super) fn event(&self, region: &str, name: &'static str) {
        self.events.get_or_create(&within(region, "event", name)).inc();
    }

    pub(super) fn contribution(&self, region: &str) {
        self.contributions.get_or_create(&of(region)).inc();
    }

    pub(super) fn receipt(&self, region: &str) {
        self.receipts.get_or_create(&of(region)).inc();
    }

    pub(super) fn slots(&self, region: &str, standing: Standing, slots: u32) {
        let labels = within(region, "standing", standing.as_str());
        self.slots.get_or_create(&labels).set(slots.into());
    }

    pub(super) fn contributed_until(&self, region: &str, unix_seconds: u64) {
        self.contributed_until.get_or_create(&of(region)).set(whole(unix_seconds));
    }

    pub(super) fn database(&self, region: &str, bytes: u64) {
        self.database.get_or_create(&of(region)).set(whole(bytes));
    }

    pub(super) fn age(&self, region: &str, age: Duration) {
        self.age.get_or_create(&of(region)).set(seconds(age));
    }

    pub(super) fn store_age(&self, region: &str, age: Duration) {
        self.store_age.get_or_create(&of(region)).set(seconds(age));
    }

    pub(super) fn commit_age(&self, region: &str, age: Duration) {
        self.commit_age.get_or_create(&of(region)).set(seconds(age));
    }

    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

struct Registering<'a>(&'a mut Registry);

impl Registering<'_> {
    fn family<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let family = M::default();
        self.0.register(name, help, family.clone());
        family
    }
}

fn of(region: &str) -> OfRegion {
    [("region", region.to_owned())]
}

fn within(region: &str, name: &'static str, value: &'static str) -> InRegion {
    [("region", region.to_owned()), (name, value.to_owned())]
}

/// To the millisecond.
fn seconds(age: Duration) -> f64 {
    Duration::from_millis(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_told_in_the_text_format_with_their_labels() {
        let metrics = Metrics::of(("meter-agent", "1.2.3"), &[("meter", "m-01")]);
        metrics.event("north", "refused");
        metrics.event("north", "refused");
        metrics.check("north", "broker", true);
        metrics.slots("north", Standing::Pooled, 7);
        metrics.contributed_until("north", 1_750_000_500);
        metrics.age("", Duration::from_millis(1_500));
        let text = metrics.text().unwrap();
        for line in [
            r#"hushgrid_build_info{meter="m-01",daemon="meter-agent",version="1.2.3"} 1"#,
            r#"hushgrid_events_total{meter="m-01",region="north",event="refused"} 2"#,
            r#"hushgrid_check_ok{meter="m-01",region="north",check="broker"} 1"#,
            r#"hushgrid_slots{meter="m-01",region="north",standing="pooled"} 7"#,
            r#"hushgrid_contributed_until_timestamp_seconds{meter="m-01",region="north"} 1750000500"#,
            r#"hushgrid_loop_age_seconds{meter="m-01",region=""} 1.5"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
    }
}
