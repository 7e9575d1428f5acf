//! Telegrams out of a stream of bytes, whatever else is in it.
//!
//! A telegram goes from a `/` to a line that begins with `!`, after which its
//! checksum may stand. Whatever was lost before it, the next `/` begins anew.

use std::mem;

use serde::Deserialize;
use thiserror::Error;

use super::crc::crc16_as_sent;

/// The longest telegram in bytes.
pub const MAX_TELEGRAM: usize = 8_192;

/// `/` as seven bits and an even parity bit. No other byte begins a telegram
/// whose line was 7E1 and came through a bridge that kept the parity bits.
const PARITY_SLASH: u8 = b'/' | 0x80;

/// What to do about checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crc {
    /// Checked where there is one; DSMR 2.2 has none.
    #[default]
    Auto,
    /// Checked; a telegram without one is refused.
    Require,
    /// Not looked at.
    Off,
}

/// Why bytes are no telegram. It repeats none of them.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The beginning or the end of a telegram is missing.
    #[error("it is cut off")]
    CutOff,
    /// No end within [`MAX_TELEGRAM`].
    #[error("it is longer than {MAX_TELEGRAM} bytes")]
    TooLong,
    /// A byte of seven bits came without its parity.
    #[error("a parity bit is wrong")]
    Parity,
    /// The checksum is another telegram's, or none.
    #[error("its checksum is wrong")]
    Checksum,
    /// There is no checksum, and one is required.
    #[error("it has no checksum, and crc = \"require\" wants one")]
    NoChecksum,
}

/// A telegram from its `/` to its `!`, or why it is none.
pub type Framed = Result<Vec<u8>, FrameError>;

/// Cuts a stream into telegrams. It never holds more than [`MAX_TELEGRAM`].
pub struct Framer {
    crc: Crc,
    place: Place,
    bytes: Vec<u8>,
    /// Whether the last byte ended a line.
    line_ended: bool,
    /// Whether the telegram's bytes carry an even parity bit.
    parity: bool,
}

/// Where in the stream the framer stands.
#[derive(Clone, Copy)]
enum Place {
    /// Outside of a telegram. What is `lost` was already reported, and its end
    /// says nothing new.
    Between { lost: bool },
    /// After the `/`.
    Body,
    /// After the `!`.
    Checksum(Checksum),
}

/// What stands after the `!`.
#[derive(Clone, Copy, Default)]
struct Checksum {
    value: u16,
    digits: u8,
    malformed: bool,
}

impl Framer {
    /// A framer that has seen nothing.
    #[must_use]
    pub fn new(crc: Crc) -> Self {
        let place = Place::Between { lost: false };
        Self { crc, place, bytes: Vec::new(), line_ended: true, parity: false }
    }

    /// Takes the next byte, and returns what it completes or gives up.
    pub fn push(&mut self, byte: u8) -> Option<Framed> {
        let begins_line = self.line_ended;
        if self.begins_telegram(byte, begins_line) {
            return self.begin(byte);
        }
        let Some(byte) = self.without_parity(byte) else {
            return Some(self.refuse(FrameError::Parity));
        };
        self.line_ended = matches!(byte, b'\n' | b'\r');
        match self.place {
            Place::Between { lost } => {
                let ends = begins_line && byte == b'!';
                self.place = Place::Between { lost: lost && !ends };
                (ends && !lost).then_some(Err(FrameError::CutOff))
            }
            Place::Body => self.push_to_body(byte, begins_line),
            Place::Checksum(checksum) => self.push_to_checksum(byte, checksum),
        }
    }

    /// Ends the stream: what was begun will not be completed.
    pub fn end(&mut self) -> Option<Framed> {
        let ended = self.give_up();
        *self = Self::new(self.crc);
        ended
    }

    fn begins_telegram(&self, byte: u8, begins_line: bool) -> bool {
        let slash = byte == b'/' || byte == PARITY_SLASH;
        slash && (begins_line || !matches!(self.place, Place::Body))
    }

    fn begin(&mut self, byte: u8) -> Option<Framed> {
        let ended = self.give_up();
        self.parity = byte == PARITY_SLASH;
        self.bytes.clear();
        self.bytes.push(b'/');
        self.place = Place::Body;
        self.line_ended = false;
        ended
    }

    /// What has become of the telegram that is not complete.
    fn give_up(&mut self) -> Option<Framed> {
        match self.place {
            Place::Between { .. } => None,
            Place::Body => Some(Err(FrameError::CutOff)),
            Place::Checksum(checksum) => Some(self.check(checksum)),
        }
    }

    fn push_to_body(&mut self, byte: u8, begins_line: bool) -> Option<Framed> {
        if self.bytes.len() == MAX_TELEGRAM {
            return Some(self.refuse(FrameError::TooLong));
        }
        self.bytes.push(byte);
        if begins_line && byte == b'!' {
            self.place = Place::Checksum(Checksum::default());
            return None;
        }
        self.begin_in_line()
    }

    /// Where a telegram was cut within a line, the next one begins there: with
    /// `/`, three letters for the maker and a digit for the speed. A `/` alone
    /// may be part of a unit.
    fn begin_in_line(&mut self) -> Option<Framed> {
        let [cut @ .., b'/', a, b, c, speed] = self.bytes.as_slice() else {
            return None;
        };
        let is_maker = [a, b, c].iter().all(|letter| letter.is_ascii_alphabetic());
        if cut.is_empty() || !is_maker || !speed.is_ascii_digit() {
            return None;
        }
        self.bytes.drain(..cut.len());
        Some(Err(FrameError::CutOff))
    }

    fn push_to_checksum(&mut self, byte: u8, mut checksum: Checksum) -> Option<Framed> {
        match char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok()) {
            _ if self.line_ended => return Some(self.finish(checksum)),
            Some(digit) => {
                checksum.value = checksum.value << 4 | digit;
                checksum.digits += 1;
            }
            None if byte == b' ' => {}
            None => checksum.malformed = true,
        }
        self.place = Place::Checksum(checksum);
        (checksum.digits == 4).then(|| self.finish(checksum))
    }

    fn finish(&mut self, checksum: Checksum) -> Framed {
        self.parity = false;
        self.place = Place::Between { lost: false };
        self.check(checksum)
    }

    fn refuse(&mut self, error: FrameError) -> Framed {
        self.parity = false;
        self.place = Place::Between { lost: true };
        self.line_ended = false;
        Err(error)
    }

    fn check(&mut self, checksum: Checksum) -> Framed {
        let telegram = mem::take(&mut self.bytes);
        let absent = checksum.digits == 0 && !checksum.malformed;
        let right = checksum.digits == 4 && !checksum.malformed;
        match self.crc {
            Crc::Off => Ok(telegram),
            Crc::Auto if absent => Ok(telegram),
            Crc::Require if absent => Err(FrameError::NoChecksum),
            _ if right && checksum.value == crc16_as_sent(&telegram) => Ok(telegram),
            _ => Err(FrameError::Checksum),
        }
    }

    /// The byte's seven bits where the telegram has parity bits; none where
    /// the parity bit is wrong.
    fn without_parity(&self, byte: u8) -> Option<u8> {
        if self.parity {
            byte.count_ones().is_multiple_of(2).then_some(byte & 0x7f)
        } else {
            Some(byte)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `bytes` are in the mode `crc`, to the end of the stream.
    fn framed(crc: Crc, bytes: &[u8]) -> Vec<Framed> {
        let mut framer = Framer::new(crc);
        let mut telegrams: Vec<Framed> = bytes.iter().filter_map(|b| framer.push(*b)).collect();
        telegrams.extend(framer.end());
        telegrams
    }

    fn with_parity(bytes: &[u8]) -> Vec<u8> {
        let even = |b: &u8| if b.count_ones().is_multiple_of(2) { *b } else { *b | 0x80 };
        bytes.iter().map(even).collect()
    }

    const PLAIN: &[u8] = b"/KMP5 A\r\n\r\n1-0:1.8.1(00001.001*kWh)\r\n!";

    fn plain() -> Vec<u8> {
        PLAIN.to_vec()
    }

    fn with_checksum(telegram: &[u8]) -> Vec<u8> {
        let crc = format!("{:04X}\r\n", crc16_as_sent(telegram));
        [telegram, crc.as_bytes()].concat()
    }

    #[test]
    fn a_checksum_is_checked_required_or_ignored() {
        let good = with_checksum(PLAIN);
        let wrong = [PLAIN, b"0000\r\n"].concat();
        let absent = [PLAIN, b"\r\n"].concat();
        let short = [PLAIN, b"12\r\n"].concat();
        let (checksum, none) = (FrameError::Checksum, FrameError::NoChecksum);
        for (crc, expected) in [
            (Crc::Auto, [Ok(plain()), Err(checksum), Ok(plain()), Err(checksum)]),
            (Crc::Require, [Ok(plain()), Err(checksum), Err(none), Err(checksum)]),
            (Crc::Off, [Ok(plain()), Ok(plain()), Ok(plain()), Ok(plain())]),
        ] {
            for (bytes, expected) in [&good, &wrong, &absent, &short].into_iter().zip(expected) {
                assert_eq!(framed(crc, bytes), [expected], "{crc:?}");
            }
        }
    }

    #[test]
    fn a_telegram_is_complete_with_the_last_digit_of_its_checksum() {
        let bytes = with_checksum(PLAIN);
        let mut framer = Framer::new(Crc::Require);
        let (last, rest) = bytes.strip_suffix(b"\r\n").unwrap().split_last().unwrap();
        assert!(rest.iter().all(|b| framer.push(*b).is_none()));
        assert_eq!(framer.push(*last), Some(Ok(plain())));
    }

    #[test]
    fn a_telegram_that_began_before_the_stream_is_cut_off() {
        let bytes = [b"8.1(00001.001*kWh)\r\n!F21E\r\n", with_checksum(PLAIN).as_slice()].concat();
        assert_eq!(framed(Crc::Auto, &bytes), [Err(FrameError::CutOff), Ok(plain())]);
    }

    #[test]
    fn a_telegram_that_stops_within_a_line_loses_only_itself() {
        let bytes = [&PLAIN[..20], with_checksum(PLAIN).as_slice(), PLAIN].concat();
        assert_eq!(framed(Crc::Auto, &bytes), [Err(FrameError::CutOff), Ok(plain()), Ok(plain())]);
    }

    #[test]
    fn a_slash_in_a_unit_begins_nothing() {
        let telegram = b"/KMP5 A\r\n\r\n0-4:24.2.2(1.2*m3/h)\r\n!";
        let expected: Framed = Ok(telegram.to_vec());
        assert_eq!(framed(Crc::Require, &with_checksum(telegram)), [expected]);
    }

    #[test]
    fn an_endless_telegram_is_refused_once_and_takes_8_kib() {
        let mut framer = Framer::new(Crc::Auto);
        let endless = b"/ISK5".iter().chain([b'x', b'\n'].iter().cycle()).take(1_000_000);
        let refused: Vec<Framed> = endless.filter_map(|b| framer.push(*b)).collect();
        assert_eq!(refused, [Err(FrameError::TooLong)]);
        assert!(framer.bytes.capacity() <= 2 * MAX_TELEGRAM);
        assert!(b"\n!0000\r\n".iter().all(|b| framer.push(*b).is_none()));
        let next = with_checksum(PLAIN);
        let next: Vec<Framed> = next.iter().filter_map(|b| framer.push(*b)).collect();
        assert_eq!(next, [Ok(plain())]);
    }

    #[test]
    fn parity_bits_that_a_bridge_kept_are_checked_and_removed() {
        let mut bytes = with_parity(&with_checksum(PLAIN));
        assert_eq!(framed(Crc::Require, &bytes), [Ok(plain())]);
        bytes[30] ^= 1;
        bytes.extend(with_checksum(PLAIN));
        assert_eq!(framed(Crc::Auto, &bytes), [Err(FrameError::Parity), Ok(plain())]);
    }

    #[test]
    fn a_telegram_without_checksum_or_line_end_is_complete_at_the_next() {
        let bytes = [PLAIN, PLAIN].concat();
        assert_eq!(framed(Crc::Auto, &bytes), [Ok(plain()), Ok(plain())]);
    }
}
