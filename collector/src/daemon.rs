//! The collector's process: broker, link, and one machine for each region.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aggregation::Table;
use anyhow::Context as _;
use host::clock::{self, BUILT, Doubt, Lookout, Marker};
use host::health::{Check, Endpoint, Health, Pulse};
use host::lock::Lock;
use host::store::Sqlite;
use protocol::id::RegionId;
use protocol::topic;
use tokio::sync::Notify;
use tokio::time::interval;

use crate::backup::restore;
use crate::broker::{self, Broker};
use crate::config::{Config, RegionConfig};
use crate::inbox::Input;
use crate::region::{self, Region};

/// The collector's name at the broker.
const CLIENT_ID: &str = "collector";
/// Entries of the decoder's table, as a power of two: 16 MiB.
const DECODER_BITS: u32 = 20;

/// The longest sleep of the daemon's own loop.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Runs the collector, and its embedded broker if the configuration names no
/// other, until `shutdown`.
///
/// # Errors
/// Where the configuration, the state folder or the broker is of no use.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let keystore = config.keystore()?;
    let _lock = Lock::take(&keystore)?;
    restore::check_is_done(&keystore)?;
    let health = Health::of("collector", env!("CARGO_PKG_VERSION"), &[]);
    let pulse = health.pulse(None, &[Check::Broker, Check::Clock]);
    let _endpoint = Endpoint::start(config.listen(), health.clone())?;
    let decoder = tokio::task::spawn_blocking(|| Arc::new(Table::new(DECODER_BITS)));
    let stores = region::open_stores(&config)?;
    let (address, broker) = start_broker(&config).await?;
    let broker_died = broker_died(broker);
    tokio::pin!(shutdown, broker_died);
    tokio::select! {
        () = &mut shutdown => {
            health.stopping();
            return Ok(stores.into_iter().try_for_each(Sqlite::close)?);
        }
        error = &mut broker_died => return Err(error.into()),
        believed = until_clock_is_believed((&config, &stores), &pulse) => believed?,
    }
    let (sender, inbox) = connect(&config, address)?;
    let decoder = decoder.await.context("the decoder's table")?;
    let ended = Arc::new(Notify::new());
    let regions = start_regions((&config, stores), &decoder, (&sender, &ended, &health))?;
    health.serving();
    tokio::select! {
        () = &mut shutdown => {}
        error = &mut broker_died => return Err(error.into()),
        () = ended.notified() => tracing::error!("a region's machine has stopped"),
        lost = serve((&config, &regions), inbox, &pulse) => match lost? {},
    }
    health.stopping();
    stop(regions, sender).await
}

/// Hands to the regions what comes in, for as long as there is a link.
async fn serve(
    (config, regions): (&Config, &BTreeMap<RegionId, Region>),
    mut inbox: link::Receiver,
    pulse: &Pulse,
) -> anyhow::Result<Infallible> {
    let mut ticks = interval(pulse.health().longest_sleep(LONGEST_SLEEP));
    let mut lookout = Lookout::default();
    loop {
        tokio::select! {
            event = inbox.recv() => take(event.context("the link has ended")?, regions, pulse),
            _ = ticks.tick() => pulse.check(Check::Clock, look_at_clock(&mut lookout, config)),
        }
        pulse.moved();
    }
}

/// Waits for a clock by which rounds can be closed.
async fn until_clock_is_believed(
    (config, stores): (&Config, &[Sqlite]),
    pulse: &Pulse,
) -> anyhow::Result<()> {
    let recorded = region::recorded_until(config, stores)?;
    let look = || Ok(clock::doubt(clock::now(), BUILT, recorded, Marker::NONE.look()));
    clock::until_believed(pulse, look).await
}

fn look_at_clock(lookout: &mut Lookout, config: &Config) -> Option<Doubt> {
    let shortest = config.regions.iter().map(|region| region.slot_seconds.get()).min();
    let slot = Duration::from_secs(shortest.unwrap_or_default());
    lookout.look(clock::now(), slot, Marker::NONE.look())
}

async fn start_broker(config: &Config) -> anyhow::Result<(link::Address, Option<Broker>)> {
    if let Some(url) = &config.broker.url {
        return Ok((url.clone(), None));
    }
    let mut settings = broker::load(&config.broker.config)?;
    if let Some(port) = config.broker.port {
        settings = settings.with_port(port.get());
    }
    let address = format!("mqtt://{}", settings.address()).parse()?;
    Ok((address, Some(Broker::start(settings).await?)))
}

async fn broker_died(broker: Option<Broker>) -> broker::Error {
    match broker {
        Some(broker) => broker.died().await,
        None => std::future::pending().await,
    }
}

fn connect(
    config: &Config,
    address: link::Address,
) -> anyhow::Result<(link::Sender, link::Receiver)> {
    let mut options = link::Options::new(address, CLIENT_ID);
    let names = config.regions.iter().map(|region| &region.name);
    options.subscriptions = names.flat_map(topic::collector_subscriptions).collect();
    Ok(link::open(options, clock::generator()?)?)
}

fn start_regions(
    (config, stores): (&Config, Vec<Sqlite>),
    decoder: &Arc<Table>,
    (sender, ended, health): (&link::Sender, &Arc<Notify>, &Health),
) -> anyhow::Result<BTreeMap<RegionId, Region>> {
    let start = |(region, store): (&RegionConfig, Sqlite)| {
        let pulse = health.pulse(Some(region.name.as_str()), &[Check::Store, Check::Epoch]);
        let ties = (sender.clone(), Arc::clone(ended), pulse);
        let machine = Region::start(config, (region, store), Arc::clone(decoder), ties)?;
        Ok((region.name.clone(), machine))
    };
    config.regions.iter().zip(stores).map(start).collect()
}

fn take(event: link::Event, regions: &BTreeMap<RegionId, Region>, pulse: &Pulse) {
    match event {
        link::Event::Connected { .. } => {
            pulse.check(Check::Broker, None::<&str>);
            for region in regions.values() {
                region.inbox.put(Input::Connected);
            }
        }
        link::Event::Disconnected { reason } => {
            tracing::warn!("no broker: {reason}");
            pulse.check(Check::Broker, Some(&reason));
            for region in regions.values() {
                region.inbox.put(Input::Disconnected);
            }
        }
        link::Event::Refused { filter } => {
            tracing::error!("the broker refuses the subscription to {filter}");
        }
        link::Event::Message { topic, payload } => {
            if let Some(region) = topic::region(&topic).and_then(|name| regions.get(&name)) {
                region.inbox.put(Input::Message(payload));
            }
        }
    }
}

async fn stop(regions: BTreeMap<RegionId, Region>, sender: link::Sender) -> anyhow::Result<()> {
    for (name, region) in regions {
        drop(region.inbox);
        let ended = tokio::task::spawn_blocking(|| region.thread.join()).await?;
        ended.map_err(|_| anyhow::anyhow!("region {name}: its machine has panicked"))??;
    }
    if let Err(error) = sender.close().await {
        tracing::warn!("{error}");
    }
    Ok(())
}
