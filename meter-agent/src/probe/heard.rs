//! What the bytes of a line show the meter to be.

use std::time::Duration;

use protocol::reading::Register;
use tokio::time::Instant;

use crate::source::p1::frame::{Crc, FrameError, Framed, Framer};
use crate::source::p1::telegram::{Basis, Telegram};
use crate::source::p1::{Refusal, Stamp};

/// Telegrams after which nothing new is expected.
const ENOUGH: u64 = 3;

/// No meter sends telegrams more often: they were held up on the way.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// What begins a message of SML over a serial line: "1b 1b 1b 1b" escapes,
/// "01 01 01 01" starts version 1 of the transport (BSI TR-03109-1, annex IV,
/// §8).
const SML_START: u64 = 0x1b1b_1b1b_0101_0101;

/// What a line is.
pub(super) enum Verdict {
    /// P1.
    P1(Found),
    /// SML.
    Sml,
    /// P1, it seems, but no telegram was accepted.
    Refused(Refusal),
    /// So many bytes of something else.
    Noise(u64),
    /// No byte came.
    Silent,
}

/// A P1 port.
pub(super) struct Found {
    /// Accepted telegrams.
    pub(super) telegrams: u64,
    /// From one telegram to the next, where that was seen.
    pub(super) interval: Option<Duration>,
    /// Whether each telegram had a checksum.
    pub(super) has_checksum: bool,
    /// The OBIS codes that energy drawn is read from.
    pub(super) import: Vec<String>,
    /// The OBIS codes that energy fed in is read from.
    pub(super) export: Vec<String>,
}

/// What has come from a line so far.
pub(super) struct Heard {
    bytes: u64,
    framer: Framer,
    /// Accepts telegrams with a checksum alone.
    strict: Framer,
    checked: u64,
    telegrams: u64,
    first: Option<Arrival>,
    last: Option<(Arrival, Telegram)>,
    refusal: Option<Refusal>,
    /// The last eight bytes.
    window: u64,
    is_sml: bool,
}

/// When a telegram came, by the agent's clock and by the meter's.
#[derive(Clone, Copy)]
struct Arrival {
    at: Instant,
    stamp: Option<Stamp>,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self {
            bytes: 0,
            framer: Framer::new(Crc::Auto),
            strict: Framer::new(Crc::Require),
            checked: 0,
            telegrams: 0,
            first: None,
            last: None,
            refusal: None,
            window: 0,
            is_sml: false,
        }
    }

    /// Takes what came at `at`.
    pub(super) fn push(&mut self, bytes: &[u8], at: Instant) {
        for byte in bytes {
            self.bytes += 1;
            self.window = self.window << 8 | u64::from(*byte);
            self.is_sml |= self.window == SML_START;
            self.checked += u64::from(matches!(self.strict.push(*byte), Some(Ok(_))));
            if let Some(framed) = self.framer.push(*byte) {
                self.take(framed, at);
            }
        }
    }

    /// How many bytes came.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many telegrams were accepted.
    pub(super) fn telegrams(&self) -> u64 {
        self.telegrams
    }

    /// Whether it is clear what the line is.
    pub(super) fn is_enough(&self) -> bool {
        self.telegrams >= ENOUGH || self.is_sml
    }

    /// What the line is, given that nothing more comes.
    pub(super) fn verdict(mut self) -> Verdict {
        self.checked += u64::from(matches!(self.strict.end(), Some(Ok(_))));
        if let Some(framed) = self.framer.end() {
            self.take(framed, Instant::now());
        }
        match (self.found(), self.refusal) {
            (Some(found), _) => Verdict::P1(found),
            (None, _) if self.is_sml => Verdict::Sml,
            (None, Some(refusal)) => Verdict::Refused(refusal),
            (None, None) if self.bytes > 0 => Verdict::Noise(self.bytes),
            (None, None) => Verdict::Silent,
        }
    }

    fn take(&mut self, framed: Framed, at: Instant) {
        let parse = |bytes: Vec<u8>| Telegram::parse(&bytes).map_err(Refusal::from);
        match framed.map_err(Refusal::from).and_then(parse) {
            Ok(telegram) => {
                let arrival = Arrival { at, stamp: telegram.stamp };
                self.telegrams += 1;
                self.first.get_or_insert(arrival);
                self.last = Some((arrival, telegram));
            }
            Err(refusal) if is_p1(refusal) => self.refusal = Some(refusal),
            Err(_) => {}
        }
    }

    fn found(&self) -> Option<Found> {
        let (last, telegram) = self.last.as_ref()?;
        let codes = |register| {
            telegram.stands.get(&register).map_or(Vec::new(), |stand| codes(register, stand.basis))
        };
        Some(Found {
            telegrams: self.telegrams,
            interval: self.first.and_then(|first| last.interval(first, self.telegrams)),
            has_checksum: self.checked >= self.telegrams,
            import: codes(Register::Import),
            export: codes(Register::Export),
        })
    }
}

impl Arrival {
    /// The mean time from one of `telegrams` telegrams to the next: by the
    /// meter's clock, or by the agent's where that shows none.
    fn interval(self, first: Self, telegrams: u64) -> Option<Duration> {
        let steps = u32::try_from(telegrams).ok()?.checked_sub(1).filter(|steps| *steps > 0)?;
        let stamps = self.stamp.zip(first.stamp);
        let by_meter = stamps.and_then(|(last, first)| last.seconds_since(first));
        let by_meter = by_meter.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let span = by_meter.unwrap_or_else(|| self.at.saturating_duration_since(first.at));
        Some(span / steps).filter(|interval| *interval >= SHORTEST_INTERVAL)
    }
}

/// Whether what was refused was a telegram rather than noise or a part of one.
fn is_p1(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::Telegram(_) | Refusal::Frame(FrameError::Checksum))
}

/// The OBIS codes that a stand is read from.
fn codes(register: Register, basis: Basis) -> Vec<String> {
    let kind = match register {
        Register::Import => 1,
        Register::Export => 2,
    };
    let tariffs = match basis {
        Basis::Total => vec![0],
        Basis::Tariffs(bits) => (1..=4).filter(|tariff| bits >> (tariff - 1) & 1 == 1).collect(),
    };
    tariffs.into_iter().map(|tariff| format!("1-0:{kind}.8.{tariff}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DSMR50: &[u8] = include_bytes!("../../tests/telegrams/dsmr50.txt");
    const DSMR22: &[u8] = include_bytes!("../../tests/telegrams/dsmr22.txt");

    /// What the pieces are, each a second after the one before.
    fn verdict(pieces: &[&[u8]]) -> Verdict {
        let mut heard = Heard::new();
        let begin = Instant::now();
        for (second, piece) in (0..).zip(pieces) {
            heard.push(piece, begin + Duration::from_secs(second));
        }
        heard.verdict()
    }

    fn found(pieces: &[&[u8]]) -> Found {
        let Verdict::P1(found) = verdict(pieces) else { panic!("no P1") };
        found
    }

    #[test]
    fn a_meter_is_told_by_its_registers_checksum_and_pace() {
        let found = found(&[DSMR50, DSMR50, DSMR50]);
        assert_eq!(found.import, ["1-0:1.8.1", "1-0:1.8.2"]);
        assert_eq!(found.export, ["1-0:2.8.1", "1-0:2.8.2"]);
        assert_eq!(found.interval, Some(Duration::from_secs(1)));
        assert!(found.has_checksum && found.telegrams == 3);
    }

    #[test]
    fn a_meter_without_checksum_is_told_so() {
        assert!(!found(&[DSMR22]).has_checksum);
        assert!(!found(&[DSMR50, DSMR22]).has_checksum);
    }

    #[test]
    fn the_meters_clock_tells_the_interval_of_a_capture() {
        let telegram = |s| format!("/ABC5\n0-0:1.0.0(2401151200{s}W)\n1-0:2.8.0(1*kWh)\n!\n");
        let capture = [telegram("00"), telegram("10"), telegram("20")].concat();
        assert_eq!(found(&[capture.as_bytes()]).interval, Some(Duration::from_secs(10)));
        let without = "/ABC5\n1-0:2.8.0(1*kWh)\n!\n".repeat(3);
        assert_eq!(found(&[without.as_bytes()]).interval, None);
    }

    #[test]
    fn three_telegrams_are_enough_and_two_are_not() {
        let mut heard = Heard::new();
        heard.push(&DSMR50.repeat(2), Instant::now());
        assert!(!heard.is_enough());
        heard.push(DSMR50, Instant::now());
        assert!(heard.is_enough());
    }

    #[test]
    fn what_is_no_telegram_is_told_apart() {
        let broken = [&DSMR50[..300], b"8", &DSMR50[301..]].concat();
        let checksum = Refusal::Frame(FrameError::Checksum);
        assert!(matches!(verdict(&[&broken]), Verdict::Refused(refusal) if refusal == checksum));
        assert!(matches!(verdict(&[&[0xf0, 0x80, b'/', 0x00]]), Verdict::Noise(4)));
        assert!(matches!(verdict(&[&DSMR50[..300]]), Verdict::Noise(300)));
        assert!(matches!(verdict(&[]), Verdict::Silent));
    }

    #[test]
    fn sml_is_known_by_its_escape_sequence_wherever_it_is_cut() {
        let (begin, end) = ([0x76, 0x1b, 0x1b, 0x1b, 0x1b, 0x01], [0x01, 0x01, 0x01, 0x76]);
        assert!(matches!(verdict(&[&begin, &end]), Verdict::Sml));
        assert!(matches!(verdict(&[&begin, &begin]), Verdict::Noise(12)));
    }
}
