//! Meters with nothing but a link and an outbox in memory: they connect as
//! agents do, and say their contribution again until it is receipted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aggregation::ElGamal;
use anyhow::Context as _;
use host::clock;
use link::{Event, Options, PublishError};
use protocol::envelope::Envelope;
use protocol::id::Digest;
use protocol::message::Receipt;
use protocol::roster::AcceptedRoster;
use protocol::topic::{self, CollectorTopic, MeterTopic};
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};

use crate::streets::{Outbox, Street};

/// As agents say again what has no receipt: after half to all of a span that
/// doubles.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);
/// Between two meters that connect for the first time.
const PACE: Duration = Duration::from_millis(5);

/// How far all meters are.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) online: AtomicU64,
    pub(crate) settled: AtomicU64,
    /// Contributions that were handed to the link.
    pub(crate) sent: AtomicU64,
    /// Connections that came about.
    pub(crate) connected: AtomicU64,
    /// Connections that were lost or did not come about.
    pub(crate) lost: AtomicU64,
    /// Why connections were lost or did not come about, and how often.
    pub(crate) reasons: Mutex<BTreeMap<String, u64>>,
    /// Receipts that are not what they have to be.
    pub(crate) wrong: AtomicU64,
}

impl Progress {
    fn note_lost(&self, reason: String) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        *reasons.entry(reason).or_default() += 1;
    }

    /// Why connections were lost or did not come about, and how often.
    pub(crate) fn reasons(&self) -> BTreeMap<String, u64> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All meters of all streets.
pub(crate) struct Meters {
    pub(crate) progress: Arc<Progress>,
    /// Whether outboxes may be emptied.
    go: watch::Sender<bool>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Meters {
    /// No meter yet.
    pub(crate) fn none() -> Self {
        let (go, _) = watch::channel(false);
        Self { progress: Arc::default(), go, tasks: JoinSet::new() }
    }

    /// Connects all meters to the broker on `port`, one after the other.
    pub(crate) async fn start(&mut self, streets: Vec<Street>, port: u16) -> anyhow::Result<()> {
        let mut paces = interval(PACE);
        for Street { region, roster, outboxes } in streets {
            let roster = Arc::new(roster);
            for outbox in outboxes {
                paces.tick().await;
                let url = format!("mqtt://127.0.0.1:{port}").parse()?;
                let mut options = Options::new(url, format!("{region}_{}", outbox.meter));
                options.subscriptions = topic::meter_subscriptions(&region, &outbox.meter);
                options.spread = link::SPREAD;
                let (sender, receiver) = link::open(options, clock::generator()?)?;
                let meter = Meter::new(sender, (roster.clone(), outbox), self.progress.clone());
                self.tasks.spawn(meter.run(receiver, self.go.subscribe()));
            }
        }
        Ok(())
    }

    /// Lets everybody say its contribution.
    pub(crate) fn let_go(&self) {
        self.go.send_replace(true);
    }

    /// Fails if a meter's task has ended: none of them should.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.tasks.try_join_next() {
            Some(ended) => ended?.context("a meter"),
            None => Ok(()),
        }
    }
}

struct Meter {
    sender: link::Sender,
    topic: String,
    receipts: String,
    contribution: Vec<u8>,
    digest: Digest,
    roster: Arc<AcceptedRoster<ElGamal>>,
    progress: Arc<Progress>,
    is_online: AtomicBool,
    is_settled: bool,
}

impl Meter {
    fn new(
        sender: link::Sender,
        (roster, outbox): (Arc<AcceptedRoster<ElGamal>>, Outbox),
        progress: Arc<Progress>,
    ) -> Self {
        let (region, Outbox { meter, contribution }) = (roster.region(), outbox);
        Self {
            sender,
            topic: topic::of_meter(region, &meter, MeterTopic::Contribution),
            receipts: topic::of_collector(region, &CollectorTopic::Receipt(meter)),
            digest: Digest::of("contribution", &contribution),
            contribution,
            roster,
            progress,
            is_online: AtomicBool::new(false),
            is_settled: false,
        }
    }

    async fn run(
        mut self,
        mut receiver: link::Receiver,
        mut allowed: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let (mut rng, mut span) = (clock::generator()?, FIRST);
        let mut due = Instant::now();
        loop {
            let may_send = *allowed.borrow() && !self.is_settled;
            tokio::select! {
                event = receiver.recv() => {
                    let is_new = self.take(event.context("the link has ended")?);
                    if is_new && may_send {
                        (due, span) = (Instant::now(), FIRST);
                    }
                }
                changed = allowed.changed() => {
                    changed?;
                    (due, span) = (Instant::now(), FIRST);
                }
                () = sleep_until(due), if may_send => {
                    self.send()?;
                    due = Instant::now() + rng.random_range(span / 2..=span);
                    span = LONGEST.min(2 * span);
                }
            }
        }
    }

    /// Takes what the link tells; whether it is a new connection.
    fn take(&mut self, event: Event) -> bool {
        let progress = &self.progress;
        match event {
            Event::Connected { .. } => {
                progress.connected.fetch_add(1, Ordering::Relaxed);
                if !self.is_online.swap(true, Ordering::Relaxed) {
                    progress.online.fetch_add(1, Ordering::Relaxed);
                }
                return true;
            }
            Event::Disconnected { reason } => {
                progress.note_lost(reason);
                if self.is_online.swap(false, Ordering::Relaxed) {
                    progress.online.fetch_sub(1, Ordering::Relaxed);
                }
            }
            Event::Message { topic, payload } if topic == self.receipts => self.settle(&payload),
            Event::Message { .. } => {}
            Event::Refused { .. } => {
                progress.wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
        false
    }

    fn settle(&mut self, receipt: &[u8]) {
        let opened = Envelope::parse(receipt)
            .and_then(|envelope| self.roster.open_from_collector::<Receipt>(&envelope));
        match opened {
            Ok(receipt) if receipt.on_time && receipt.contribution == self.digest => {
                if !std::mem::replace(&mut self.is_settled, true) {
                    self.progress.settled.fetch_add(1, Ordering::Relaxed);
                }
            }
            _ => {
                self.progress.wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn send(&self) -> anyhow::Result<()> {
        match self.sender.try_publish(self.topic.clone(), self.contribution.clone(), false) {
            Ok(()) => {
                self.progress.sent.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(PublishError::Offline) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
