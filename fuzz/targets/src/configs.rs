//! Configuration files: an owner's mistakes, never a stranger's bytes.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU32;

use collector::broker::Settings;
use meter_agent::source::SourceConfig;
use meter_agent::source::simulated::Simulated;
use protocol::slot::Slot;
use serde::de::DeserializeOwned;

/// A `meter-agent.toml`. What is accepted has floors within their ranges, and
/// a household, where it is invented, that can be read.
pub fn agent_config(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else { return false };
    let Ok(config) = toml::from_str::<meter_agent::Config>(text) else { return false };
    refuses_one_key_more::<meter_agent::Config>(text);
    assert_eq!(config.region.as_str().parse(), Ok(config.region.clone()));
    assert_eq!(config.meter.as_str().parse(), Ok(config.meter.clone()));
    assert_eq!(config.registrar.to_string().parse(), Ok(config.registrar));
    assert_eq!(config.broker.url.to_string().parse(), Ok(config.broker.url.clone()));
    assert!((1..=86_400).contains(&config.state_interval_s.get::<u32>()));
    let floors = config.floors.floors();
    assert!(floors.min_contributors >= 2 && floors.min_slots >= 2);
    let slot_seconds = NonZeroU32::new(floors.slot_seconds).unwrap();
    let SourceConfig::Simulated(home) = &config.source else { return true };
    let Ok(mut home) = Simulated::open(home, slot_seconds) else { return false };
    assert_eq!(home.read(Slot(1_944_444)).len(), 2);
    true
}

/// A `collector.toml`. What is accepted makes regions with legal parameters.
pub fn collector_config(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else { return false };
    let Ok(read) = toml::from_str::<collector::Config>(text) else { return false };
    refuses_one_key_more::<collector::Config>(text);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), data).unwrap();
    // The checks of keys against each other.
    let Ok(config) = collector::Config::load(file.path()) else { return false };
    assert_eq!(config.regions.len(), read.regions.len());
    let names: BTreeSet<_> = config.regions.iter().map(|region| &region.name).collect();
    assert!(!names.is_empty() && names.len() == config.regions.len());
    for region in &config.regions {
        let terms = region.terms();
        let meters: BTreeSet<_> = terms.members.iter().map(|invited| &invited.meter).collect();
        assert_eq!(meters.len(), region.members.len());
        assert_eq!(terms.parameters.check(terms.members.len()), Ok(()));
        assert!(terms.epoch_windows >= 1);
    }
    true
}

/// A `broker.toml`. What is accepted listens on loopback alone.
pub fn broker_config(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else { return false };
    let Ok(settings) = Settings::parse(text) else { return false };
    assert!(settings.address().ip().is_loopback());
    assert_eq!(settings.address().port(), settings.port());
    assert!(Settings::parse(&with_one_key_more(text)).is_err());
    assert_eq!(settings.with_port(18_830).port(), 18_830);
    true
}

fn refuses_one_key_more<T: DeserializeOwned>(text: &str) {
    assert!(toml::from_str::<T>(&with_one_key_more(text)).is_err());
}

/// The text with a key at its top that nobody reads.
fn with_one_key_more(text: &str) -> String {
    format!("nobody_reads_this = 1\n{text}")
}
