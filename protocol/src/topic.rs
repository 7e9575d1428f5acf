//! All topic text, in one place. Subscriptions, and later the access rules,
//! are derived from it.

use std::fmt;

use crate::id::{MeterId, RegionId};

const ROOT: &str = "hushgrid/v1";

/// Appended to the topic of a message for its JSON view.
const JSON: &str = "/json";

/// What a meter publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MeterTopic {
    /// Its messages of the ceremony that opens an epoch.
    Keygen,
    /// Its encrypted readings.
    Contribution,
    /// Its shares.
    Share,
    /// Its consents to open its own windows.
    Claim,
    /// Why it did not help.
    Refusal,
    /// That a set leaves out its contribution.
    Omission,
    /// Its endorsements of listings, and which of them it asks for.
    Listing,
    /// Two requests of the collector for different sets of one slot.
    Evidence,
    /// Its answers to challenges.
    Proof,
    /// What it knows of slots that the collector may have lost.
    Recollection,
    /// How its machine is.
    State,
}

impl MeterTopic {
    /// What the collector subscribes to.
    const FOR_COLLECTOR: [Self; 10] = [
        Self::Keygen,
        Self::Contribution,
        Self::Share,
        Self::Claim,
        Self::Refusal,
        Self::Omission,
        Self::Listing,
        Self::Evidence,
        Self::Proof,
        Self::Recollection,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Keygen => "keygen",
            Self::Contribution => "contribution",
            Self::Share => "share",
            Self::Claim => "claim",
            Self::Refusal => "refusal",
            Self::Omission => "omission",
            Self::Listing => "listing",
            Self::Evidence => "evidence",
            Self::Proof => "proof",
            Self::Recollection => "recollection",
            Self::State => "state",
        }
    }
}

/// What a collector publishes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CollectorTopic {
    /// Messages of the ceremony that opens an epoch.
    Keygen,
    /// The roster of the epoch.
    Roster,
    /// Requests for shares.
    Request,
    /// Who was counted in which slots.
    Listing,
    /// Where the rounds stand.
    Status,
    /// Sums.
    Result,
    /// Receipts for one meter.
    Receipt(MeterId),
    /// Challenges to one meter.
    Challenge(MeterId),
    /// Who has not proved what it was asked to.
    Unproven,
    /// What the collector holds after a start.
    Recall,
}

impl fmt::Display for CollectorTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keygen => f.write_str("keygen"),
            Self::Roster => f.write_str("roster"),
            Self::Request => f.write_str("request"),
            Self::Listing => f.write_str("listing"),
            Self::Status => f.write_str("status"),
            Self::Result => f.write_str("result"),
            Self::Receipt(meter) => write!(f, "receipt/{meter}"),
            Self::Challenge(meter) => write!(f, "challenge/{meter}"),
            Self::Unproven => f.write_str("unproven"),
            Self::Recall => f.write_str("recall"),
        }
    }
}

/// The topic of what `meter` publishes.
#[must_use]
pub fn of_meter(region: &RegionId, meter: &MeterId, topic: MeterTopic) -> String {
    format!("{ROOT}/{region}/m/{meter}/{}", topic.as_str())
}

/// The topic of what the collector of `region` publishes.
#[must_use]
pub fn of_collector(region: &RegionId, topic: &CollectorTopic) -> String {
    format!("{ROOT}/{region}/c/{topic}")
}

/// The topic of the JSON view beside `topic`.
#[must_use]
pub fn json(topic: &str) -> String {
    format!("{topic}{JSON}")
}

/// Whether a topic is that of a JSON view.
#[must_use]
pub fn is_json(topic: &str) -> bool {
    topic.ends_with(JSON)
}

/// Whether a topic is that of receipts for one meter, and not of their views.
#[must_use]
pub fn is_receipt(topic: &str) -> bool {
    let levels: Vec<_> = topic.split('/').skip(3).collect();
    matches!(levels[..], ["c", "receipt", _])
}

/// The region that a topic belongs to.
#[must_use]
pub fn region(topic: &str) -> Option<RegionId> {
    let rest = topic.strip_prefix(ROOT)?.strip_prefix('/')?;
    rest.split('/').next()?.parse().ok()
}

/// What a meter's agent subscribes to.
#[must_use]
pub fn meter_subscriptions(region: &RegionId, meter: &MeterId) -> Vec<String> {
    let own = [CollectorTopic::Receipt(meter.clone()), CollectorTopic::Challenge(meter.clone())];
    let shared = [
        CollectorTopic::Keygen,
        CollectorTopic::Roster,
        CollectorTopic::Request,
        CollectorTopic::Listing,
        CollectorTopic::Recall,
    ];
    shared.iter().chain(&own).map(|topic| of_collector(region, topic)).collect()
}

/// What the collector subscribes to for one region.
#[must_use]
pub fn collector_subscriptions(region: &RegionId) -> Vec<String> {
    MeterTopic::FOR_COLLECTOR
        .iter()
        .map(|topic| format!("{ROOT}/{region}/m/+/{}", topic.as_str()))
        .collect()
}

/// The filter for the JSON views of what the collector publishes to all.
#[must_use]
pub fn collector_views(region: &RegionId) -> String {
    json(&format!("{ROOT}/{region}/c/+"))
}

/// The filter for everything that a region's parties publish.
#[must_use]
pub fn everything(region: &RegionId) -> String {
    format!("{ROOT}/{region}/#")
}

/// The topic of the watch over an embedded broker. No region has a name with
/// `_`, so that no party of one hears it.
#[must_use]
pub fn of_watch() -> String {
    format!("{ROOT}/_watch")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region_and_meter() -> (RegionId, MeterId) {
        ("north".parse().unwrap(), "m-01".parse().unwrap())
    }

    #[test]
    fn topics_read_as_the_design_says() {
        let (region, meter) = region_and_meter();
        let contribution = of_meter(&region, &meter, MeterTopic::Contribution);
        assert_eq!(contribution, "hushgrid/v1/north/m/m-01/contribution");
        let receipt = of_collector(&region, &CollectorTopic::Receipt(meter));
        assert_eq!(receipt, "hushgrid/v1/north/c/receipt/m-01");
        assert_eq!(json(&receipt), "hushgrid/v1/north/c/receipt/m-01/json");
    }

    #[test]
    fn receipts_are_told_by_their_topic_and_views_are_none() {
        let (region, meter) = region_and_meter();
        let topics = [CollectorTopic::Receipt(meter.clone()), CollectorTopic::Challenge(meter)];
        let [receipt, challenge] = topics.map(|topic| of_collector(&region, &topic));
        let all = [is_receipt(&receipt), is_receipt(&json(&receipt)), is_receipt(&challenge)];
        assert_eq!(all, [true, false, false]);
    }

    #[test]
    fn a_topic_names_its_region() {
        assert_eq!(region("hushgrid/v1/north/m/m-01/share"), Some("north".parse().unwrap()));
        assert_eq!(region("hushgrid/v2/north/m/m-01/share"), None);
        assert_eq!(region("hushgrid/v1/No!/m"), None);
    }

    #[test]
    fn the_watch_over_the_broker_is_in_no_region() {
        assert_eq!(of_watch(), "hushgrid/v1/_watch");
        assert_eq!(region(&of_watch()), None);
    }

    #[test]
    fn no_party_subscribes_to_json_views() {
        let (region, meter) = region_and_meter();
        let all = [meter_subscriptions(&region, &meter), collector_subscriptions(&region)].concat();
        assert!(all.iter().all(|topic| !is_json(topic)) && all.len() == 17);
    }
}
