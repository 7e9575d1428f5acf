//! The parties' folders: identities and configurations, as an installation
//! would have them.

mod tables;

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use host::clock;
use meter_agent::source::{Source, SourceConfig};
use protocol::id::{MeterId, RegionId};
use protocol::identity::IdentityKey;
use serde::Serialize;

use crate::args::Options;
use crate::floors::{Lowered, WINDOW_SLOTS};
use tables::{
    AgentBroker, AgentConfig, Clock, CollectorBroker, CollectorConfig, Floors, Health, Member,
    Region, SourceTable,
};

/// The region's name.
const REGION: &str = "demo";
/// The repository's own settings of the broker.
const BROKER: &str = include_str!("../../broker.toml");
/// What a slot of a simulated meter stands for, in seconds.
const SIMULATED_SLOT_S: u32 = 900;
/// Every third simulated home has a solar plant of this power.
const SOLAR_PEAK_W: u32 = 4_000;

/// The parties of a neighbourhood, ready to be started.
pub(crate) struct Household {
    pub(crate) region: RegionId,
    pub(crate) registrar: IdentityKey,
    pub(crate) collector: PathBuf,
    pub(crate) agents: Vec<Agent>,
}

/// One meter, and what its agent is told.
pub(crate) struct Agent {
    pub(crate) meter: MeterId,
    pub(crate) config: PathBuf,
    pub(crate) source: SourceConfig,
    key: IdentityKey,
}

impl Household {
    /// The meter whose P1 port was captured.
    pub(crate) fn captured(&self) -> Option<&MeterId> {
        self.agents.iter().find(|agent| agent.is_captured()).map(|agent| &agent.meter)
    }
}

impl Agent {
    pub(crate) fn is_captured(&self) -> bool {
        matches!(self.source, SourceConfig::P1(_))
    }
}

/// What a neighbourhood is made from.
pub(crate) struct Plan<'a> {
    /// The folder of all parties' folders.
    pub(crate) dir: &'a Path,
    pub(crate) options: &'a Options,
    pub(crate) lowered: &'a Lowered,
    /// Where the last meter's P1 port answers, if it has one.
    pub(crate) bridge: Option<SocketAddr>,
}

/// The ports at which the parties reach the broker.
pub(crate) struct Ports {
    /// That of the embedded broker, or where the collector reaches another one.
    pub(crate) collector: u16,
    /// Whether the collector has a broker of its own.
    pub(crate) is_embedded: bool,
    /// Where each agent reaches it, in their order.
    pub(crate) agents: Vec<u16>,
}

impl Ports {
    /// Everybody meets at the port of the embedded broker.
    pub(crate) fn at(port: u16, agents: u16) -> Self {
        Self { collector: port, is_embedded: true, agents: vec![port; agents.into()] }
    }
}

impl Plan<'_> {
    /// Writes the configuration of every party for a broker at these ports, and
    /// draws the identities that are not there yet.
    pub(crate) fn write(&self, ports: &Ports) -> anyhow::Result<Household> {
        let region = REGION.parse()?;
        let registrar = self.registrar()?;
        let agent =
            |(place, port): (u16, &u16)| self.write_agent(place, (&region, &registrar, *port));
        let places = (0..self.options.meters).zip(&ports.agents);
        let agents = places.map(agent).collect::<anyhow::Result<Vec<_>>>()?;
        let collector = self.dir.join("collector.toml");
        let members = agents.iter();
        let members = members.map(|a| Member { id: &a.meter, key: a.key.to_string() }).collect();
        let region_table = self.region(&region, members)?;
        write(&collector, &self.collector(ports, vec![region_table]))?;
        fs::write(self.broker(), BROKER).context("broker.toml")?;
        Ok(Household { region, registrar, collector, agents })
    }

    fn broker(&self) -> PathBuf {
        self.dir.join("broker.toml")
    }

    /// The registrar's key, as the collector draws it at its first start.
    fn registrar(&self) -> anyhow::Result<IdentityKey> {
        let text = toml::to_string(&self.collector(&Ports::at(1, 0), Vec::new()))?;
        let config: collector::Config = toml::from_str(&text)?;
        let (_, registrar) = config.identities(&mut clock::generator()?)?;
        Ok(registrar.key())
    }

    fn collector<'a>(&self, ports: &Ports, region: Vec<Region<'a>>) -> CollectorConfig<'a> {
        let port = ports.collector;
        let broker = if ports.is_embedded {
            CollectorBroker::Embedded { config: self.broker(), port }
        } else {
            CollectorBroker::Other { url: url(port) }
        };
        let health = Health { listen: "off" };
        CollectorConfig { state_dir: self.dir.join("collector"), broker, health, region }
    }

    fn region<'a>(
        &self,
        name: &'a RegionId,
        members: Vec<Member<'a>>,
    ) -> anyhow::Result<Region<'a>> {
        Ok(Region {
            name,
            slot_seconds: self.options.slot_seconds,
            window_slots: WINDOW_SLOTS,
            epoch_windows: self.options.epoch_windows()?,
            patience_s: self.lowered.patience_s(self.options.epochs, self.options.kill),
            grace_s: self.lowered.grace_s(),
            deadline_s: self.lowered.deadline_s(),
            min_contributors: self.lowered.min_contributors,
            min_slots: self.lowered.min_slots,
            members,
        })
    }

    fn write_agent(
        &self,
        place: u16,
        (region, registrar, port): (&RegionId, &IdentityKey, u16),
    ) -> anyhow::Result<Agent> {
        let meter = self.meter(place)?;
        let table = AgentConfig {
            region,
            meter: &meter,
            registrar: registrar.to_string(),
            state_dir: self.dir.join(meter.as_str()),
            broker: AgentBroker { url: url(port) },
            // All parties have this machine's clock, and nobody asks for them.
            clock: Clock { synchronised: false },
            health: Health { listen: "off" },
            floors: Floors {
                min_contributors: self.lowered.min_contributors,
                min_slots: self.lowered.min_slots,
                slot_seconds: self.lowered.slot_seconds,
            },
            source: self.source(place)?,
        };
        let path = self.dir.join(format!("{meter}.toml"));
        write(&path, &table)?;
        // What the agent will read, as it will read it.
        let config = meter_agent::Config::load(&path)?;
        let key = config.identity(&mut clock::generator()?)?.key();
        Ok(Agent { meter, config: path, source: config.source, key })
    }

    /// Names of equal length, so that they sort as they count.
    fn meter(&self, place: u16) -> anyhow::Result<MeterId> {
        let number = place + 1;
        let wide = self.options.meters >= 100;
        let name = if wide { format!("m-{number:03}") } else { format!("m-{number:02}") };
        Ok(name.parse()?)
    }

    fn source(&self, place: u16) -> anyhow::Result<SourceTable> {
        if let Some(bridge) = self.bridge.filter(|_| place + 1 == self.options.meters) {
            return Ok(SourceTable::P1 { tcp: bridge.to_string() });
        }
        let Some(file) = &self.options.csv else {
            return Ok(SourceTable::Simulated {
                seed: u64::from(place) + 1,
                solar_peak_w: if place % 3 == 2 { SOLAR_PEAK_W } else { 0 },
                speedup: SIMULATED_SLOT_S / self.options.slot_seconds,
            });
        };
        let file = file.canonicalize().with_context(|| format!("--csv {}", file.display()))?;
        Ok(SourceTable::Csv { file, home: place.into() })
    }
}

/// The address of a broker on this machine.
fn url(port: u16) -> String {
    format!("mqtt://127.0.0.1:{port}")
}

/// Refuses a file of recorded homes that ends before the demonstration does.
pub(crate) fn check_homes(household: &Household, options: &Options) -> anyhow::Result<()> {
    let slot_seconds = NonZeroU32::new(options.slot_seconds).context("slots of 0 s")?;
    // A capture begins with whoever opens its port, and that is to be its agent.
    let agents = household.agents.iter().filter(|agent| !agent.is_captured());
    // The last home first: a file of too few homes says so at once.
    for agent in agents.rev() {
        let source = Source::open(&agent.source, slot_seconds);
        let source = source.with_context(|| format!("--meters {}", options.meters))?;
        if let Source::Csv(home) = &source
            && home.slots() < u64::from(options.slots)
        {
            bail!("--slots {}: {} slots are in the file", options.slots, home.slots());
        }
    }
    Ok(())
}

fn write(path: &Path, table: &impl Serialize) -> anyhow::Result<()> {
    fs::write(path, toml::to_string(table)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use meter_agent::source::p1::Line as PortLine;
    use std::net::Ipv4Addr;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn written(line: &[&str]) -> (tempfile::TempDir, Options, Household) {
        let dir = tempfile::tempdir().unwrap();
        let words = std::iter::once("neighbourhood").chain(line.iter().copied());
        let options = Line::parse_from(words).options;
        let lowered = Lowered::for_region(options.meters, options.slot_seconds);
        let bridge = options.p1.as_ref().map(|_| (Ipv4Addr::LOCALHOST, 2001).into());
        let plan = Plan { dir: dir.path(), options: &options, lowered: &lowered, bridge };
        let household = plan.write(&Ports::at(1883, options.meters)).unwrap();
        (dir, options, household)
    }

    #[test]
    fn the_daemons_take_their_configurations() {
        let (_dir, _, household) = written(&[]);
        let collector = collector::Config::load(&household.collector).unwrap();
        let terms = collector.regions.first().unwrap().terms();
        assert_eq!(terms.members.len(), 12);
        let first = household.agents.first().unwrap();
        let agent = meter_agent::Config::load(&first.config).unwrap();
        assert_eq!(agent.floors.floors().check(&terms.parameters_for(12), 12), Ok(()));
        assert_eq!(agent.registrar, household.registrar);
    }

    #[test]
    fn another_port_changes_no_identity() {
        let (dir, options, before) = written(&["--meters", "3"]);
        let lowered = Lowered::for_region(3, 3);
        let bridge = None;
        let plan = Plan { dir: dir.path(), options: &options, lowered: &lowered, bridge };
        let after = plan.write(&Ports::at(1884, 3)).unwrap();
        let keys = |h: &Household| h.agents.iter().map(|a| a.key).collect::<Vec<_>>();
        assert_eq!((before.registrar, keys(&before)), (after.registrar, keys(&after)));
    }

    #[test]
    fn the_last_meter_alone_has_the_captured_port() {
        let (_dir, _, household) = written(&["--meters", "3", "--p1", "capture.txt"]);
        assert_eq!(household.captured().map(MeterId::as_str), Some("m-03"));
        let [first, second, last] = household.agents.as_slice() else { panic!() };
        for agent in [first, second] {
            assert!(matches!(agent.source, SourceConfig::Simulated(_)));
        }
        let SourceConfig::P1(port) = &last.source else { panic!() };
        assert_eq!(port.line, PortLine::Tcp { address: "127.0.0.1:2001".to_owned() });
    }

    #[test]
    fn names_sort_as_they_count() {
        let (_dir, _, household) = written(&["--meters", "100"]);
        let names: Vec<_> = household.agents.iter().map(|agent| agent.meter.as_str()).collect();
        assert!(names.is_sorted() && names.last() == Some(&"m-100"));
    }
}
