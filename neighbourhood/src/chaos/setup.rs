//! What is there before the first fault: ports, proxies, configurations.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use host::clock;
use rand::RngExt as _;

use super::ChaosOptions;
use super::fault::Victim;
use super::proxy::Proxy;
use crate::args::Options;
use crate::floors::Lowered;
use crate::household::{Household, Plan, Ports};

/// Ports that no connection takes for its own end: a party that looks for a
/// broker that is down could meet itself there.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

pub(super) async fn open_proxies(
    options: &ChaosOptions,
    broker: u16,
) -> anyhow::Result<BTreeMap<Victim, Proxy>> {
    let agents = (0..usize::from(options.meters)).map(Victim::Agent);
    let collector = options.mosquitto.then_some(Victim::Collector);
    let mut proxies = BTreeMap::new();
    for victim in collector.into_iter().chain(agents) {
        proxies.insert(victim, Proxy::open(broker).await?);
    }
    Ok(proxies)
}

pub(super) fn write(
    options: &ChaosOptions,
    dir: &Path,
    lowered: &Lowered,
    (broker, proxies): (u16, &BTreeMap<Victim, Proxy>),
) -> anyhow::Result<Household> {
    let of_agents = proxies.iter().filter(|(victim, _)| matches!(victim, Victim::Agent(_)));
    let ports = Ports {
        collector: proxies.get(&Victim::Collector).map_or(broker, Proxy::port),
        is_embedded: !options.mosquitto,
        agents: of_agents.map(|(_, proxy)| proxy.port()).collect(),
    };
    // Twice as many slots as faults and healing take, in one epoch.
    let slots = 2 * (options.span().as_secs() + 600) / u64::from(options.slot_seconds);
    let options = Options {
        meters: options.meters,
        slots: u32::try_from(slots)?,
        slot_seconds: options.slot_seconds,
        epochs: 1,
        kill: 0,
        kill_seed: 0,
        transcripts: false,
        csv: None,
        p1: None,
        json: options.json,
    };
    Plan { dir, options: &options, lowered, bridge: None }.write(&ports)
}

pub(super) fn write_mosquitto(dir: &Path, port: u16) -> anyhow::Result<PathBuf> {
    let config = dir.join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
         persistence_location {}/\nmax_queued_messages 0\n",
        dir.display()
    );
    fs::write(&config, text).context("mosquitto.conf")?;
    Ok(config)
}

pub(super) fn quiet_port() -> anyhow::Result<u16> {
    let mut rng = clock::generator()?;
    let mut ports = (0..100).map(|_| rng.random_range(PORTS));
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(is_free).context("no free port")
}
