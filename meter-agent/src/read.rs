//! `meter-agent read`: the live readings of this household, on its own
//! terminal and nowhere else. It needs no broker and no key.

mod screen;

use std::future::{Future, pending};
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use host::clock;
use protocol::slot::{Grid, Slot, Timestamp, slot_at};
use tokio::io::AsyncReadExt as _;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::probe::line::{self, Stream};
use crate::source::p1::frame::{FrameError, Framed, Framer};
use crate::source::p1::telegram::Telegram;
use crate::source::p1::{Line, P1Config, Refusal, Stamp};
use crate::source::{Answer, Quantities, ReadError, Source, SourceConfig};
use screen::Screen;

/// The longest sleep: a clock that was set is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// The pause before a line that is gone is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two telegrams of a capture.
const LONGEST_GAP_S: u64 = 3_600;

/// Bytes that are read at once.
const CHUNK: usize = 4_096;

/// How to show readings, and for how long.
#[derive(Args, Debug)]
#[group(skip)]
pub struct Read {
    /// One JSON object per line: `at` is in milliseconds since 1970, and the
    /// energies are totals of the meter's registers or those of a slot, as `of`
    /// says (`register` or `slot`).
    #[arg(long)]
    pub json: bool,
    /// Ends by itself after so many seconds, 1 to 86400.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: Option<u32>,
}

impl Read {
    /// Writes the readings of the configured source as they come, until
    /// `stop`, the given time, or the end of a file. What else there is to say
    /// goes to standard error.
    ///
    /// # Errors
    /// Where the source cannot be opened, or the output cannot be written.
    pub async fn run(
        &self,
        config: &Config,
        out: &mut impl Write,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let time_out = async {
            match self.seconds {
                Some(seconds) => sleep(Duration::from_secs(seconds.into())).await,
                None => pending().await,
            }
        };
        let show = async {
            match &config.source {
                SourceConfig::P1(p1) => self.show_telegrams(p1, out).await,
                source => self.show_slots(source, config.floors.slot_seconds.get(), out).await,
            }
        };
        tokio::select! {
            () = stop => Ok(()),
            () = time_out => Ok(()),
            shown = show => shown,
        }
    }

    /// Each slot that ends, from the one that ended last.
    async fn show_slots(
        &self,
        config: &SourceConfig,
        slot_seconds: u32,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let slot_seconds = NonZeroU32::new(slot_seconds).context("slot_seconds = 0")?;
        let mut source = Source::open(config, slot_seconds).context("source")?;
        let mut slot = Slot(slot_at(slot_seconds, clock::now()).0.saturating_sub(1));
        let grid = Grid { slot_seconds, window_slots: NonZeroU32::MIN, origin: slot };
        if !source.is_simulated() {
            note("the file is shown from its first line, as if the epoch began now");
        }
        let mut screen = Screen { json: self.json, of: "slot", label: source.label(), out };
        screen.begin(&format!("energy of each slot of {slot_seconds} s"))?;
        let mut since = Quantities::new();
        loop {
            wait_until(grid.end(slot)).await;
            match source.read(&grid, slot, clock::now()) {
                Ok(Answer::Ready(quantities)) => {
                    for (register, wh) in &quantities {
                        *since.entry(*register).or_default() += wh;
                    }
                    screen.show(grid.end(slot), &quantities, &since)?;
                }
                Ok(Answer::Pending(then)) => {
                    wait_until(then).await;
                    continue;
                }
                Err(error @ ReadError::Ended { .. }) => {
                    note(&error.to_string());
                    return Ok(());
                }
                Err(error) => note(&format!("no reading: {error}")),
            }
            slot = slot.plus(1);
        }
    }

    /// Each telegram of a P1 port.
    async fn show_telegrams(&self, config: &P1Config, out: &mut impl Write) -> anyhow::Result<()> {
        let is_capture = matches!(config.line, Line::File { .. });
        let label = if is_capture { "replayed from a P1 capture" } else { "P1 port" };
        let mut stream = line::open(&config.line).await.context(
            "the P1 line cannot be opened; does another program hold it, such as a running \
             meter-agent?",
        )?;
        let mut screen = Screen { json: self.json, of: "register", label, out };
        screen.begin("totals of the meter's registers")?;
        let mut shown = Shown { first: None, pace: Pace::of(&config.line) };
        loop {
            let lost = follow(&mut stream, config, &mut shown, &mut screen).await?;
            if is_capture {
                note("the capture has ended");
                return Ok(());
            }
            note(&format!("the line is gone and will be opened again: {lost}"));
            stream = open_again(&config.line).await;
        }
    }
}

/// Shows telegrams until the line is gone, and returns why.
async fn follow<W: Write>(
    stream: &mut Stream,
    config: &P1Config,
    shown: &mut Shown,
    screen: &mut Screen<'_, W>,
) -> io::Result<String> {
    let mut framer = Framer::new(config.crc);
    let mut chunk = [0; CHUNK];
    let stall = Duration::from_secs(config.silence_s.into());
    loop {
        let (read, lost) = match timeout(stall, stream.read(&mut chunk)).await {
            Ok(Ok(0)) => (0, Some("the other end closed it".to_owned())),
            Ok(Ok(read)) => (read, None),
            Ok(Err(error)) => (0, Some(error.to_string())),
            Err(_) => (0, Some(format!("no byte came for {} s", stall.as_secs()))),
        };
        let bytes = chunk.get(..read).unwrap_or_default();
        for framed in bytes.iter().filter_map(|byte| framer.push(*byte)) {
            shown.take(framed, screen).await?;
        }
        if let Some(lost) = lost {
            if let Some(framed) = framer.end() {
                shown.take(framed, screen).await?;
            }
            return Ok(lost);
        }
    }
}

async fn open_again(line: &Line) -> Stream {
    loop {
        sleep(PAUSE).await;
        if let Ok(stream) = line::open(line).await {
            return stream;
        }
    }
}

async fn wait_until(then: Timestamp) {
    while clock::now() < then {
        sleep(clock::until(then).min(LONGEST_SLEEP)).await;
    }
}

/// What was shown of a P1 port.
struct Shown {
    first: Option<Telegram>,
    pace: Pace,
}

impl Shown {
    async fn take<W: Write>(
        &mut self,
        framed: Framed,
        screen: &mut Screen<'_, W>,
    ) -> io::Result<()> {
        let parse = |bytes: Vec<u8>| Telegram::parse(&bytes).map_err(Refusal::from);
        match framed.map_err(Refusal::from).and_then(parse) {
            Ok(telegram) => {
                self.pace.wait(telegram.stamp).await;
                let since = self.since(&telegram);
                screen.show(clock::now(), &stands(&telegram), &since)
            }
            // Every start in the middle of a telegram cuts one off.
            Err(Refusal::Frame(FrameError::CutOff)) => Ok(()),
            Err(refusal) => {
                note(&format!("a telegram is refused: {refusal}"));
                Ok(())
            }
        }
    }

    /// The energy since the first telegram, or since registers that do not go
    /// on from it: another meter's, or one that was reset.
    fn since(&mut self, telegram: &Telegram) -> Quantities {
        let first = self.first.get_or_insert_with(|| telegram.clone());
        let goes_on = first.meter == telegram.meter
            && telegram.stands.iter().all(|(register, stand)| {
                let first = first.stands.get(register);
                first.is_some_and(|first| first.basis == stand.basis && first.wh <= stand.wh)
            });
        if !goes_on {
            *first = telegram.clone();
        }
        let first = stands(first);
        let mut since = stands(telegram);
        for (register, wh) in &mut since {
            *wh -= first.get(register).copied().unwrap_or_default().min(*wh);
        }
        since
    }
}

fn stands(telegram: &Telegram) -> Quantities {
    telegram.stands.iter().map(|(register, stand)| (*register, stand.wh)).collect()
}

/// How a capture's telegrams follow each other; those of a line come as they
/// do.
struct Pace {
    /// The interval where there are no stamps, and how much faster it goes.
    capture: Option<(Duration, u32)>,
    begun: bool,
    last: Option<Stamp>,
}

impl Pace {
    fn of(line: &Line) -> Self {
        let capture = match line {
            Line::File { speedup, interval_ms, .. } => {
                Some((Duration::from_millis((*interval_ms).into()), *speedup))
            }
            Line::Device { .. } | Line::Tcp { .. } => None,
        };
        Self { capture, begun: false, last: None }
    }

    async fn wait(&mut self, stamp: Option<Stamp>) {
        let Some((interval, speedup)) = self.capture else { return };
        let last = std::mem::replace(&mut self.last, stamp);
        if std::mem::replace(&mut self.begun, true) {
            let gap = stamp.zip(last).and_then(|(stamp, last)| stamp.seconds_since(last));
            let gap = gap.filter(|gap| *gap <= LONGEST_GAP_S).map(Duration::from_secs);
            sleep(gap.unwrap_or(interval) / speedup.max(1)).await;
        }
    }
}

/// Tells a person something that is no reading.
fn note(text: &str) {
    // Whoever closed standard error wants no notes.
    writeln!(io::stderr(), "{text}").ok();
}

#[cfg(test)]
mod tests {
    use protocol::reading::Register;

    use super::*;

    fn telegram(lines: &str) -> Telegram {
        Telegram::parse(format!("/ABC5\n{lines}\n!").as_bytes()).ok().unwrap()
    }

    #[test]
    fn energy_since_the_start_begins_anew_with_another_meter_or_codes() {
        let mut shown =
            Shown { first: None, pace: Pace { capture: None, begun: false, last: None } };
        let mut import = |lines: &str| shown.since(&telegram(lines))[&Register::Import];
        assert_eq!(import("1-0:1.8.0(5.000*kWh)"), 0);
        assert_eq!(import("1-0:1.8.0(5.007*kWh)"), 7);
        assert_eq!(import("1-0:1.8.0(1.000*kWh)"), 0);
        assert_eq!(import("1-0:1.8.0(1.003*kWh)"), 3);
        assert_eq!(import("1-0:1.8.1(2.000*kWh)"), 0);
        assert_eq!(import("0-0:96.1.1(A)\n1-0:1.8.1(3.000*kWh)"), 0);
        assert_eq!(import("0-0:96.1.1(A)\n1-0:1.8.1(3.001*kWh)"), 1);
    }
}
