//! The collector's process: broker, link, and one machine for each region.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use aggregation::Table;
use anyhow::Context as _;
use host::clock;
use host::lock::Lock;
use protocol::id::RegionId;
use protocol::topic;
use tokio::sync::Notify;

use crate::broker::{self, Broker};
use crate::config::Config;
use crate::inbox::Input;
use crate::region::Region;

/// The collector's name at the broker.
const CLIENT_ID: &str = "collector";
/// Entries of the decoder's table, as a power of two: 16 MiB.
const DECODER_BITS: u32 = 20;

/// Runs the collector, and its embedded broker if the configuration names no
/// other, until `shutdown`.
///
/// # Errors
/// Where the configuration, the state folder or the broker is of no use.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let _lock = Lock::take(&config.keystore()?)?;
    let decoder = tokio::task::spawn_blocking(|| Arc::new(Table::new(DECODER_BITS)));
    let (address, mut broker) = start_broker(&config).await?;
    let (sender, mut inbox) = connect(&config, address)?;
    let decoder = decoder.await.context("the decoder's table")?;
    let ended = Arc::new(Notify::new());
    let regions = start_regions(&config, &decoder, (&sender, &ended))?;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            error = broker_died(&mut broker) => return Err(error.into()),
            () = ended.notified() => {
                tracing::error!("a region's machine has stopped");
                break;
            }
            event = inbox.recv() => take(event.context("the link has ended")?, &regions),
        }
    }
    stop(regions, sender).await
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

async fn broker_died(broker: &mut Option<Broker>) -> broker::Error {
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
    config: &Config,
    decoder: &Arc<Table>,
    (sender, ended): (&link::Sender, &Arc<Notify>),
) -> anyhow::Result<BTreeMap<RegionId, Region>> {
    let start = |region: &crate::config::RegionConfig| {
        let ties = (sender.clone(), Arc::clone(ended));
        let machine = Region::start(config, region, Arc::clone(decoder), ties)?;
        Ok((region.name.clone(), machine))
    };
    config.regions.iter().map(start).collect()
}

fn take(event: link::Event, regions: &BTreeMap<RegionId, Region>) {
    match event {
        link::Event::Connected { .. } => {
            for region in regions.values() {
                region.inbox.put(Input::Connected);
            }
        }
        link::Event::Disconnected { reason } => {
            tracing::warn!("no broker: {reason}");
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
