//! A meter's P1 port (DSMR 2.2 to 5, and its Belgian, Luxembourg and Swedish
//! dialects): by a serial device, a TCP bridge, or a capture that is replayed.
//!
//! One task reads the line and opens it again whenever it vanishes. What it
//! reads goes through [`frame`] (bytes to telegrams), [`telegram`] (what they
//! say) and [`series`] (energy in slots). Telegrams, stands and the meter's
//! serial number are shown nowhere.

mod config;
pub mod crc;
pub mod frame;
mod mark;
mod port;
mod run;
pub mod series;
mod stamp;
mod tally;
pub mod telegram;

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod vectors;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::future::pending;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::Rng;
use protocol::meter::Stands;
use protocol::slot::{Grid, Slot, Timestamp};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use self::config::{Baud, ConfigError, Line, P1Config};
use self::frame::FrameError;
pub use self::mark::{Broken, Since};
use self::port::{Capture, Live, Notice, Reader};
pub use self::run::Misfit;
pub use self::series::{Answer, LeftOut};
use self::series::{Event, Series, Terms};
pub use self::stamp::Stamp;
use self::tally::Tally;
use self::telegram::TelegramError;

/// Notices that wait; when there are more, the line waits.
const QUEUE: usize = 64;

/// What reads the time.
pub type Clock = fn() -> Timestamp;

/// Why a P1 source cannot be opened.
#[derive(Debug, Error)]
pub enum P1Error {
    /// The capture cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// The capture.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The capture is a device, a pipe or a folder.
    #[error("{} is no regular file; a serial port is given by the key device", file.display())]
    NotRegular {
        /// What stands there.
        file: PathBuf,
    },
}

/// Why bytes from a line are not counted. It repeats none of them.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// They are no whole telegram.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The telegram is of no use.
    #[error(transparent)]
    Telegram(#[from] TelegramError),
}

/// A P1 port.
pub struct P1 {
    series: Series,
    notices: mpsc::Receiver<Notice>,
    tally: Tally,
    telegrams: u64,
    ended: bool,
    label: &'static str,
    /// The task that reads. It ends with this.
    _reader: JoinSet<()>,
}

impl P1 {
    /// Begins to read the port that `config` describes. A line that is not
    /// there yet is no error.
    ///
    /// # Errors
    /// [`P1Error`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(
        config: &P1Config,
        slot_seconds: NonZeroU32,
        rng: Rng,
        clock: Clock,
    ) -> Result<Self, P1Error> {
        let (sender, notices) = mpsc::channel(QUEUE);
        let stall = Duration::from_secs(config.silence_s.into());
        let reader = Reader { crc: config.crc, stall, clock, rng, notices: sender };
        let mut tasks = JoinSet::new();
        let mut speedup = None;
        match &config.line {
            Line::Device { path, baud } => {
                let path = path.to_string_lossy().into_owned();
                tasks.spawn(reader.follow(Live::Device { path, baud: *baud }));
            }
            Line::Tcp { address } => {
                tasks.spawn(reader.follow(Live::Tcp { address: address.clone() }));
            }
            Line::File { path, speedup: times, interval_ms } => {
                let interval = Duration::from_millis((*interval_ms).into());
                let capture = Capture { file: regular(path)?, speedup: *times, interval };
                tasks.spawn(reader.replay(capture));
                speedup = Some(*times);
            }
        }
        let terms = terms(config, slot_seconds, speedup);
        Ok(Self {
            series: Series::new(terms, clock()),
            notices,
            tally: Tally::default(),
            telegrams: 0,
            ended: false,
            label: if speedup.is_some() { "replayed from a P1 capture" } else { "P1 port" },
            _reader: tasks,
        })
    }

    /// Waits for the line to say something, and takes it. Nothing is lost when
    /// it is dropped before.
    pub async fn arrival(&mut self) {
        match self.notices.recv().await {
            Some(notice) => self.take(notice),
            None => pending().await,
        }
        self.take_waiting();
    }

    /// The energy of a slot, as far as the line has told.
    pub fn read(&mut self, grid: &Grid, slot: Slot, now: Timestamp) -> Answer {
        self.take_waiting();
        self.series.read(grid, slot, now)
    }

    /// What the registers showed at a boundary of slots, if the line has told.
    #[must_use]
    pub fn stands(&self, boundary: Timestamp) -> Option<Stands> {
        self.series.stands(boundary)
    }

    /// What the registers counted up to a boundary of slots since they showed
    /// what was kept, as far as the line has told.
    #[must_use]
    pub fn since(&self, kept: (Timestamp, &Stands), boundary: Timestamp) -> Option<Since> {
        self.series.since(kept, boundary)
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.series.poll_timeout().filter(|_| !self.ended)
    }

    /// Notices silence.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.take_waiting();
        if !self.ended {
            self.series.handle_timeout(now);
            self.tell_events(now);
        }
    }

    /// Whether no telegram has come for as long as the configuration allows.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.series.is_silent()
    }

    /// What happened how often, and `p1-silent`, which is 1 while no telegram
    /// comes.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = self.tally.counts();
        counters.insert("p1-telegrams".to_owned(), self.telegrams);
        counters.insert("p1-silent".to_owned(), self.series.is_silent().into());
        counters
    }

    /// What to write beside every number that comes from this port.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Whether this was a capture and it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn take_waiting(&mut self) {
        for _ in 0..QUEUE {
            let Ok(notice) = self.notices.try_recv() else { return };
            self.take(notice);
        }
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Telegram(telegram, at) => {
                self.telegrams = self.telegrams.saturating_add(1);
                self.series.handle_telegram(&telegram, at);
                self.tell_events(at);
            }
            Notice::Refused(refusal, at) => self.tell_refusal(refusal, at),
            Notice::Lost(loss, at) => {
                if let Some(times) = self.tally.count("p1-lost", at) {
                    tracing::warn!(times, "the P1 line is gone and will be opened again: {loss}");
                }
            }
            Notice::Ended => {
                self.ended = true;
                tracing::info!("the P1 capture has ended");
            }
        }
    }

    /// Every start in the middle of a telegram cuts one off.
    fn tell_refusal(&mut self, refusal: Refusal, at: Timestamp) {
        let Some(times) = self.tally.count(refusal.name(), at) else { return };
        if refusal == Refusal::Frame(FrameError::CutOff) {
            tracing::debug!(times, "a telegram is refused: {refusal}");
        } else {
            tracing::warn!(times, "a telegram is refused: {refusal}");
        }
    }

    /// Silence is said as often as it begins and ends, anything else at most
    /// once an hour.
    fn tell_events(&mut self, at: Timestamp) {
        while let Some(event) = self.series.poll_event() {
            let times = self.tally.count(event.name(), at);
            match (event, times) {
                (Event::Silent, _) => tracing::error!("{event}: is the cable or the bridge loose?"),
                (Event::Heard(_), _) => tracing::info!("{event}"),
                (_, Some(times)) => tracing::warn!(times, "{event}"),
                (_, None) => {}
            }
        }
    }
}

impl Refusal {
    /// Its name among the counters.
    fn name(self) -> &'static str {
        match self {
            Self::Frame(FrameError::CutOff) => "p1-cut-off",
            Self::Frame(FrameError::TooLong) => "p1-too-long",
            Self::Frame(FrameError::Parity) => "p1-parity",
            Self::Frame(FrameError::Checksum) => "p1-checksum",
            Self::Frame(FrameError::NoChecksum) => "p1-no-checksum",
            Self::Telegram(TelegramError::Value { .. }) => "p1-value",
            Self::Telegram(TelegramError::Conflict { .. }) => "p1-conflict",
            Self::Telegram(TelegramError::NoRegister) => "p1-no-register",
        }
    }
}

impl Event {
    /// Its name among the counters.
    fn name(self) -> &'static str {
        match self {
            Self::SetAside(Misfit::Meter) => "p1-other-meter",
            Self::SetAside(Misfit::Basis(_)) => "p1-other-codes",
            Self::SetAside(Misfit::Back(_)) => "p1-back",
            Self::SetAside(Misfit::Jump(_)) => "p1-jump",
            Self::NewSeries(_) => "p1-new-series",
            Self::ClockBack => "p1-clock-back",
            Self::ClocksApart => "p1-clocks-apart",
            Self::ClocksAgree => "p1-clocks-agree",
            Self::Silent => "p1-silences",
            Self::Heard(_) => "p1-heard-again",
        }
    }
}

/// A capture that runs faster carries more in the same time, and its clock
/// shows another time than the agent's.
fn terms(config: &P1Config, slot_seconds: NonZeroU32, speedup: Option<u32>) -> Terms {
    Terms {
        slot_ms: u64::from(slot_seconds.get()) * 1_000,
        rating_w: u64::from(config.rating_w) * u64::from(speedup.unwrap_or(1)),
        silence: Duration::from_secs(config.silence_s.into()),
        compare_clocks: speedup.is_none(),
    }
}

fn regular(path: &Path) -> Result<File, P1Error> {
    let unreadable = |error| P1Error::Unreadable { file: path.to_owned(), error };
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(P1Error::NotRegular { file: path.to_owned() });
    }
    File::open(path).map_err(unreadable)
}
