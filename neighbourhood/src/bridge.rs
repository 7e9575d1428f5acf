//! A P1 port on TCP: the telegrams of a capture, one a second, to whoever
//! connects. The capture begins with the first who does.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use host::clock;
use meter_agent::source::Quantities;
use meter_agent::source::p1::frame::{Crc, Framer};
use meter_agent::source::p1::telegram::Telegram;
use protocol::slot::Timestamp;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// From one telegram to the next.
const PACE: Duration = Duration::from_secs(1);
/// When in its second a telegram goes. Slots begin and end with whole seconds,
/// 0.47 of the way from one telegram to the next. Where the register rises by
/// [`MOST_WH`] or less, its stand there, rounded down, is the same for every
/// part of the way from 0.4 to 0.5: milliseconds do not matter.
const PHASE_MS: u64 = 530;
/// The most that a register may rise from one telegram to the next: 3 × 25 A
/// carry no more in a second.
const MOST_WH: u64 = 5;
/// A telegram that would go later than this waits for the next second.
const LATE: Duration = Duration::from_millis(250);
/// The longest wait for somebody who does not read, or a port without means.
const PATIENCE: Duration = Duration::from_millis(100);

/// A P1 port that answers for as long as this lives.
pub(crate) struct Bridge {
    address: SocketAddr,
    telegrams: usize,
    sent: mpsc::Receiver<Sent>,
    _port: JoinSet<()>,
    begun: watch::Receiver<bool>,
}

/// What a telegram showed, and when it went.
pub(crate) struct Sent {
    pub(crate) at: Timestamp,
    pub(crate) stands: Quantities,
}

/// What is to go, and what it shows.
struct Captured {
    /// From the end of the telegram before: a capture may begin within one.
    bytes: Vec<u8>,
    stands: Quantities,
}

impl Bridge {
    /// Opens a port for the telegrams in `file`.
    pub(crate) async fn open(file: &Path) -> anyhow::Result<Self> {
        let telegrams = fs::read(file).context("it cannot be read");
        let telegrams = telegrams.and_then(|capture| cut(&capture));
        let telegrams = telegrams.with_context(|| format!("--p1 {}", file.display()))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free port")?;
        let address = listener.local_addr()?;
        // Room for all of them: nobody looks before the epoch is open.
        let (sender, sent) = mpsc::channel(telegrams.len());
        let (first, begun) = watch::channel(false);
        let count = telegrams.len();
        let mut port = JoinSet::new();
        port.spawn(Port { listener, listeners: Vec::new() }.replay(telegrams, sender, first));
        Ok(Self { address, telegrams: count, sent, _port: port, begun })
    }

    /// A bridge whose capture is over.
    #[cfg(test)]
    pub(crate) fn after(telegrams: Vec<Sent>) -> Self {
        let (sender, sent) = mpsc::channel(telegrams.len());
        let (address, count) = ((Ipv4Addr::LOCALHOST, 1).into(), telegrams.len());
        for telegram in telegrams {
            sender.try_send(telegram).unwrap();
        }
        Self {
            address,
            telegrams: count,
            sent,
            _port: JoinSet::new(),
            begun: watch::channel(true).1,
        }
    }

    /// Waits until the first telegram has gone: a slot that begins before it
    /// has no reading.
    pub(crate) async fn has_begun(&mut self) {
        // A port that has ended will not begin any more.
        self.begun.wait_for(|begun| *begun).await.ok();
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many telegrams it has.
    pub(crate) fn telegrams(&self) -> usize {
        self.telegrams
    }

    /// The next telegram that went and was not looked at; `Disconnected` after
    /// the last of the capture.
    pub(crate) fn poll_sent(&mut self) -> Result<Sent, TryRecvError> {
        self.sent.try_recv()
    }
}

struct Port {
    listener: TcpListener,
    listeners: Vec<TcpStream>,
}

impl Port {
    async fn replay(
        mut self,
        telegrams: Vec<Captured>,
        sent: mpsc::Sender<Sent>,
        first: watch::Sender<bool>,
    ) {
        while self.listeners.is_empty() {
            self.accept().await;
        }
        let mut due = clock::now();
        for Captured { bytes, stands } in telegrams {
            let at = self.moment(&mut due).await;
            // Known before anybody can act on it.
            if sent.try_send(Sent { at, stands }).is_err() {
                return;
            }
            self.write(&bytes).await;
            first.send_replace(true);
        }
        drop(sent);
        // A meter that falls silent does not hang up.
        loop {
            self.accept().await;
        }
    }

    async fn accept(&mut self) {
        match self.listener.accept().await {
            Ok((listener, _)) => self.listeners.push(listener),
            Err(_) => sleep(PATIENCE).await,
        }
    }

    /// Waits for the next moment at which a telegram may go.
    async fn moment(&mut self, due: &mut Timestamp) -> Timestamp {
        loop {
            *due = next_due(clock::now().max(*due));
            while clock::now() < *due {
                tokio::select! {
                    () = sleep(clock::until(*due)) => {}
                    () = self.accept() => {}
                }
            }
            let now = clock::now();
            if now.since(*due) <= LATE {
                return now;
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        for mut listener in std::mem::take(&mut self.listeners) {
            if let Ok(Ok(())) = timeout(PATIENCE, listener.write_all(bytes)).await {
                self.listeners.push(listener);
            }
        }
    }
}

/// The first moment after `last` at which a telegram may go.
fn next_due(last: Timestamp) -> Timestamp {
    let due = Timestamp(last.0 / 1_000 * 1_000 + PHASE_MS);
    if due > last { due } else { due + PACE }
}

/// The telegrams of a capture, each with all bytes since the one before. What
/// follows the last one is left away.
fn cut(capture: &[u8]) -> anyhow::Result<Vec<Captured>> {
    let mut framer = Framer::new(Crc::Auto);
    let (mut telegrams, mut bytes, mut last) = (Vec::new(), Vec::new(), None);
    for byte in capture {
        bytes.push(*byte);
        let Some(Ok(whole)) = framer.push(*byte) else { continue };
        let Ok(telegram) = Telegram::parse(&whole) else { continue };
        let follows = last.as_ref().is_none_or(|last| is_followed_by(last, &telegram));
        let number = telegrams.len() + 1;
        ensure!(
            follows,
            "telegram {number} does not go on from the one before: another meter's, or a \
             register that went back or up by more than {MOST_WH} Wh"
        );
        let stands = telegram.stands.iter().map(|(register, stand)| (*register, stand.wh));
        telegrams.push(Captured { bytes: std::mem::take(&mut bytes), stands: stands.collect() });
        last = Some(telegram);
    }
    ensure!(telegrams.len() > 1, "{} telegrams in it are of use", telegrams.len());
    Ok(telegrams)
}

/// Whether the same registers of the same meter rise as far as they may.
fn is_followed_by(last: &Telegram, next: &Telegram) -> bool {
    let have_same = last.stands.keys().eq(next.stands.keys());
    let mut pairs = last.stands.values().zip(next.stands.values());
    last.meter == next.meter
        && have_same
        && pairs.all(|(last, next)| {
            let risen = next.wh.checked_sub(last.wh);
            last.basis == next.basis && risen.is_some_and(|wh| wh <= MOST_WH)
        })
}

#[cfg(test)]
mod tests;
