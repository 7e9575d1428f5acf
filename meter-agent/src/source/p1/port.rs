//! The port itself: bytes from a line that may vanish at any time.

use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

use protocol::Rng;
use protocol::slot::Timestamp;
use rand::RngExt as _;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_serial::{DataBits, FlowControl, Parity, SerialPortBuilderExt as _, StopBits};

use super::config::Baud;
use super::frame::{Crc, Framed, Framer};
use super::stamp::Stamp;
use super::telegram::Telegram;
use super::{Clock, Refusal};

/// The first and the longest pause before a line is opened again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How long a bridge may take to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// The longest pause between two telegrams of a capture.
const LONGEST_GAP_S: u64 = 3_600;

/// Bytes that are read at once.
const CHUNK: usize = 4_096;

/// What came from a line.
pub(super) enum Notice {
    /// A telegram.
    Telegram(Telegram, Timestamp),
    /// Bytes that are none.
    Refused(Refusal, Timestamp),
    /// The line is gone; it will be opened again.
    Lost(Loss, Timestamp),
    /// The capture has ended.
    Ended,
}

/// Why a line is gone.
#[derive(Debug, Error)]
pub(super) enum Loss {
    #[error("it cannot be opened: {0}")]
    Open(io::Error),
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    #[error("the other end closed it")]
    Closed,
    #[error("no byte came for {} s", .0.as_secs())]
    Stalled(Duration),
}

/// Why a line is no longer followed.
enum Halt {
    Lost(Loss),
    /// Nobody listens.
    Unheard,
}

/// A line that is opened whenever it is there.
pub(super) enum Live {
    Device { path: String, baud: Baud },
    Tcp { address: String },
}

/// What was captured, and how fast it is to come.
pub(super) struct Capture {
    pub(super) file: File,
    pub(super) speedup: u32,
    pub(super) interval: Duration,
}

/// Reads a line to whoever listens.
pub(super) struct Reader {
    pub(super) crc: Crc,
    /// How long a line may say nothing before it is opened again: the other
    /// end of a TCP connection may be gone without a word.
    pub(super) stall: Duration,
    pub(super) clock: Clock,
    pub(super) rng: Rng,
    pub(super) notices: mpsc::Sender<Notice>,
}

impl Reader {
    /// Follows a line for ever, with growing pauses while it is gone.
    pub(super) async fn follow(mut self, line: Live) {
        let mut ceiling = PAUSES.0;
        loop {
            let mut telegrams = 0;
            let Halt::Lost(loss) = self.follow_once(&line, &mut telegrams).await else { return };
            if telegrams > 0 {
                ceiling = PAUSES.0;
            }
            if self.send(Notice::Lost(loss, (self.clock)())).await.is_err() {
                return;
            }
            sleep(self.rng.random_range(ceiling / 2..=ceiling)).await;
            ceiling = PAUSES.1.min(ceiling * 2);
        }
    }

    async fn follow_once(&self, line: &Live, telegrams: &mut u64) -> Halt {
        match line {
            Live::Device { path, baud } => match open_device(path, *baud) {
                Ok(port) => self.follow_stream(port, telegrams).await,
                Err(error) => Halt::Lost(Loss::Open(error)),
            },
            Live::Tcp { address } => match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => self.follow_stream(stream, telegrams).await,
                Ok(Err(error)) => Halt::Lost(Loss::Open(error)),
                Err(_) => Halt::Lost(Loss::Open(io::ErrorKind::TimedOut.into())),
            },
        }
    }

    async fn follow_stream(&self, mut stream: impl AsyncRead + Unpin, telegrams: &mut u64) -> Halt {
        let mut framer = Framer::new(self.crc);
        let mut chunk = [0; CHUNK];
        loop {
            let (read, loss) = match timeout(self.stall, stream.read(&mut chunk)).await {
                Ok(Ok(0)) => (0, Some(Loss::Closed)),
                Ok(Ok(read)) => (read, None),
                Ok(Err(error)) => (0, Some(Loss::Read(error))),
                Err(_) => (0, Some(Loss::Stalled(self.stall))),
            };
            for byte in chunk.iter().take(read) {
                if let Some(framed) = framer.push(*byte) {
                    let notice = self.notice(framed);
                    *telegrams += u64::from(matches!(notice, Notice::Telegram(..)));
                    if self.send(notice).await.is_err() {
                        return Halt::Unheard;
                    }
                }
            }
            if let Some(loss) = loss {
                if let Some(framed) = framer.end()
                    && self.send(self.notice(framed)).await.is_err()
                {
                    return Halt::Unheard;
                }
                return Halt::Lost(loss);
            }
        }
    }

    /// Sends a capture once, at its pace.
    pub(super) async fn replay(self, mut capture: Capture) {
        let mut framer = Framer::new(self.crc);
        let mut pace = Pace::of(&capture);
        let mut chunk = [0; CHUNK];
        loop {
            // A regular file answers at once. One that cannot be read further has ended.
            let read = capture.file.read(&mut chunk).unwrap_or(0);
            for byte in chunk.iter().take(read) {
                if let Some(framed) = framer.push(*byte)
                    && self.send_in_time(framed, &mut pace).await.is_err()
                {
                    return;
                }
            }
            if read == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        if let Some(framed) = framer.end()
            && self.send_in_time(framed, &mut pace).await.is_err()
        {
            return;
        }
        // Nobody who listens is nobody to tell.
        self.send(Notice::Ended).await.ok();
    }

    async fn send_in_time(&self, framed: Framed, pace: &mut Pace) -> Result<(), Halt> {
        let mut notice = self.notice(framed);
        if let Notice::Telegram(telegram, at) = &mut notice {
            sleep_until(pace.next(telegram.stamp)).await;
            *at = (self.clock)();
        }
        self.send(notice).await
    }

    fn notice(&self, framed: Framed) -> Notice {
        let now = (self.clock)();
        let parse = |bytes: Vec<u8>| Telegram::parse(&bytes).map_err(Refusal::from);
        match framed.map_err(Refusal::from).and_then(parse) {
            Ok(telegram) => Notice::Telegram(telegram, now),
            Err(refusal) => Notice::Refused(refusal, now),
        }
    }

    async fn send(&self, notice: Notice) -> Result<(), Halt> {
        self.notices.send(notice).await.map_err(|_| Halt::Unheard)
    }
}

fn open_device(path: &str, baud: Baud) -> io::Result<tokio_serial::SerialStream> {
    let (speed, bits, parity) = match baud {
        Baud::B115200 => (115_200, DataBits::Eight, Parity::None),
        Baud::B9600 => (9_600, DataBits::Seven, Parity::Even),
    };
    let port = tokio_serial::new(path, speed).data_bits(bits).parity(parity);
    let port = port.stop_bits(StopBits::One).flow_control(FlowControl::None);
    port.open_native_async().map_err(io::Error::from)
}

/// When the telegrams of a capture are due.
struct Pace {
    speedup: u32,
    interval: Duration,
    last: Option<Stamp>,
    due: Option<Instant>,
}

impl Pace {
    fn of(capture: &Capture) -> Self {
        Self { speedup: capture.speedup, interval: capture.interval, last: None, due: None }
    }

    /// When the telegram with this stamp is due: as long after the one before
    /// as the meter's clock says, where both say it and it is not hours.
    fn next(&mut self, stamp: Option<Stamp>) -> Instant {
        let gap = stamp.zip(self.last).and_then(|(stamp, last)| stamp.seconds_since(last));
        let gap = gap.filter(|gap| *gap <= LONGEST_GAP_S).map(Duration::from_secs);
        let gap = gap.unwrap_or(self.interval) / self.speedup.max(1);
        self.last = stamp;
        let due = self.due.map_or_else(Instant::now, |due| due + gap);
        self.due = Some(due);
        due
    }
}
