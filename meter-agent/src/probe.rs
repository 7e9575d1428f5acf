//! `meter-agent probe`: which meter hangs on which line, and the configuration
//! for it. It shows no reading and no meter's serial number.

mod heard;
pub(crate) mod line;
mod ports;
mod report;

use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, interval, sleep_until};

use self::heard::{Heard, Verdict};
use self::line::{Setting, Stream};
use self::report::Finding;
use crate::source::p1::{Baud, Line};

/// What to check where there is no serial port.
const NO_PORT: &str = "no serial port was found. Is the cable plugged in \
    (`ls /dev/serial/by-id`)? A bridge on the network is given by --tcp HOST:PORT, any other \
    port by --device PATH";

/// The weight of a verdict that stands.
const SETTLED: u8 = 3;

/// Bytes that are read at once.
const CHUNK: usize = 4_096;

/// Where to look, and for how long.
#[derive(Args, Debug)]
pub struct Probe {
    /// Only this serial port, in place of all that are found.
    #[arg(long, value_name = "PATH", group = "line")]
    pub device: Option<PathBuf>,
    /// A bridge from a serial port to TCP.
    #[arg(long, value_name = "HOST:PORT", group = "line")]
    pub tcp: Option<String>,
    /// What was captured from a port.
    #[arg(long, value_name = "FILE", group = "line")]
    pub file: Option<PathBuf>,
    /// Seconds to listen at each speed, 1 to 3600.
    #[arg(long, value_name = "N", default_value_t = 15,
          value_parser = clap::value_parser!(u16).range(1..=3_600))]
    pub seconds: u16,
    /// One JSON object per line.
    #[arg(long)]
    pub json: bool,
}

impl Probe {
    /// Looks at the lines that are asked for, or at the serial ports below
    /// `dev`, and writes what is there. Where `watched`, standard error shows
    /// how far it is. `stop` ends the looking early.
    ///
    /// # Errors
    /// What to check, where nothing of use was found.
    pub async fn run(
        &self,
        dev: &Path,
        out: &mut impl Write,
        watched: bool,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let lines = self.lines(dev)?;
        let span = Duration::from_secs(self.seconds.into());
        let mut ear = Ear { span, watched, stop: pin!(stop), stopped: false };
        let mut found = false;
        for line in lines {
            let finding = ear.look_at(line).await;
            found |= finding.is_usable();
            write!(out, "{}", if self.json { finding.json() } else { finding.human() })?;
            out.flush()?;
            if ear.stopped {
                break;
            }
        }
        if found { Ok(()) } else { bail!("no P1 meter was found") }
    }

    fn lines(&self, dev: &Path) -> anyhow::Result<Vec<Line>> {
        let device = |path| Line::Device { path, baud: Baud::default() };
        if let Some(path) = &self.device {
            return Ok(vec![device(ports::by_id(dev, path))]);
        }
        if let Some(address) = &self.tcp {
            return Ok(vec![Line::Tcp { address: address.clone() }]);
        }
        if let Some(file) = &self.file {
            let read = || format!("cannot read {}", file.display());
            let path = fs::canonicalize(file).with_context(read)?;
            return Ok(vec![Line::File { path, speedup: 1, interval_ms: 1_000 }]);
        }
        let ports = ports::list(dev);
        if ports.is_empty() {
            bail!(NO_PORT);
        }
        Ok(ports.into_iter().map(device).collect())
    }
}

/// What listens to one line after the other.
struct Ear<S> {
    span: Duration,
    watched: bool,
    stop: S,
    stopped: bool,
}

impl<S: Future<Output = ()> + Unpin> Ear<S> {
    async fn look_at(&mut self, line: Line) -> Finding {
        match line {
            Line::Device { path, .. } => self.look_at_device(path).await,
            Line::Tcp { .. } | Line::File { .. } => {
                let verdict = match line::open(&line).await {
                    Ok(stream) => self.listen(&report::name(&line), stream).await,
                    Err(error) => Err(error),
                };
                Finding { line, setting: None, verdict }
            }
        }
    }

    /// Tries one speed after the other, and keeps what says most. SML heads
    /// send 9600 8N1, whose bytes are spoilt at 7E1, so that is tried where
    /// anything comes at 9600.
    async fn look_at_device(&mut self, path: PathBuf) -> Finding {
        let (mut best, mut verdict) = (None, Ok(Verdict::Silent));
        for setting in [Setting::P1, Setting::OLD_P1, Setting::SML] {
            let name = format!("{} at {setting}", path.display());
            let heard = match line::open_serial(&path, setting) {
                Ok(port) => self.listen(&name, Box::new(port)).await,
                Err(error) => Err(error),
            };
            let is_silent = matches!(heard, Ok(Verdict::Silent));
            if !is_silent && weight(&heard) >= weight(&verdict) {
                (best, verdict) = (Some(setting), heard);
            }
            let is_slow_silent = is_silent && setting == Setting::OLD_P1;
            if weight(&verdict) == SETTLED || is_slow_silent || self.stopped {
                break;
            }
        }
        let baud = best.map_or(Baud::default(), Setting::baud);
        Finding { line: Line::Device { path, baud }, setting: best, verdict }
    }

    /// Listens until it is clear what the line is, or for the whole span.
    async fn listen(&mut self, name: &str, mut stream: Stream) -> io::Result<Verdict> {
        let mut heard = Heard::new();
        let end = Instant::now() + self.span;
        let mut second = interval(Duration::from_secs(1));
        let mut chunk = [0; CHUNK];
        while !heard.is_enough() && !self.stopped {
            tokio::select! {
                () = &mut self.stop => self.stopped = true,
                () = sleep_until(end) => break,
                _ = second.tick() => self.show_progress(name, end, &heard),
                read = stream.read(&mut chunk) => match read {
                    Ok(0) => break,
                    Ok(read) => heard.push(chunk.get(..read).unwrap_or_default(), Instant::now()),
                    Err(error) if heard.bytes() == 0 => return Err(error),
                    Err(_) => break,
                },
            }
        }
        self.clear_progress();
        Ok(heard.verdict())
    }

    fn show_progress(&self, name: &str, end: Instant, heard: &Heard) {
        if self.watched {
            let left = end.saturating_duration_since(Instant::now()).as_secs();
            let (bytes, telegrams) = (heard.bytes(), heard.telegrams());
            show(&format!("{name}: {bytes} bytes, {telegrams} telegrams, at most {left} s more"));
        }
    }

    fn clear_progress(&self) {
        if self.watched {
            show("");
        }
    }
}

/// How much a verdict says: another speed cannot say more than [`SETTLED`].
fn weight(verdict: &io::Result<Verdict>) -> u8 {
    match verdict {
        Ok(Verdict::Silent) => 0,
        Ok(Verdict::Noise(_)) => 1,
        Ok(Verdict::Refused(_)) => 2,
        Ok(Verdict::P1(_) | Verdict::Sml) | Err(_) => SETTLED,
    }
}

/// Puts `text` in place of the terminal's line.
fn show(text: &str) {
    let mut terminal = io::stderr();
    // A terminal that cannot be written to shows no progress.
    write!(terminal, "\r\x1b[2K{text}").and_then(|()| terminal.flush()).ok();
}
