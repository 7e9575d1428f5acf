//! The collector with its broker, and the port that it gets.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, bail};
use host::clock;

use crate::bridge::Bridge;
use crate::household::{Household, Plan, Ports, check_homes};
use crate::processes::Role;
use crate::watch::{Sighting, Watch};

use super::Run;

/// MQTT's own port, taken if it is free.
const PORT: u16 = 1883;
/// Ports to try, should others take them first.
const PORTS: usize = 5;
/// The longest wait for a broker that accepts connections.
const BROKER_TIMEOUT: Duration = Duration::from_mins(1);

impl Run<'_> {
    /// Starts the collector with its broker on the first port that it gets.
    pub(super) async fn open_broker(&mut self) -> anyhow::Result<(Household, Watch)> {
        let mut port = PORT;
        for _ in 0..PORTS {
            if is_taken(port) {
                let free = free_port()?;
                self.display.note(&format!("port {port} is taken: {free} is used instead"))?;
                port = free;
            }
            let bridge = self.bridge.as_ref().map(Bridge::address);
            let (dir, options, lowered) = (self.dir, self.options, &self.lowered);
            let plan = Plan { dir, options, lowered, bridge };
            let household = plan.write(&Ports::at(port, options.meters))?;
            check_homes(&household, self.options)?;
            self.processes.start(Role::Collector, "collector", &household.collector)?;
            let mut watch = Watch::open(&household, port)?;
            match self.broker_opens(&mut watch).await {
                Ok(()) => {
                    self.display.ready(port, &household.region)?;
                    return Ok((household, watch));
                }
                // Somebody else was faster.
                Err(_) if self.processes.are_none() && is_taken(port) => {}
                Err(error) => return Err(error),
            }
        }
        bail!("every port was taken by others before the broker had it")
    }

    /// Waits until the household's own collector speaks at the broker; a port
    /// that answers may be another's.
    async fn broker_opens(&mut self, watch: &mut Watch) -> anyhow::Result<()> {
        let overdue = clock::now() + BROKER_TIMEOUT;
        loop {
            if let Some((Sighting::Invited, _)) = self.next(watch).await? {
                return Ok(());
            }
            if clock::now() > overdue {
                bail!("the broker is silent; its log:\n{}", self.processes.tail("collector"));
            }
        }
    }
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}
