//! Which P1 port, and what to expect of it.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;

use super::frame::Crc;

/// A P1 port, by exactly one of the keys `device`, `tcp` and `file`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct P1Config {
    /// Where telegrams come from.
    pub line: Line,
    /// What to do about checksums: `auto`, which is the default, `require` or
    /// `off`.
    pub crc: Crc,
    /// Seconds without a telegram that are an alarm: 10 to 86400, by default
    /// 60.
    pub silence_s: u32,
    /// The most that the connection carries in either direction, in W: 1000 to
    /// 250000, by default 17250, which is 3 × 25 A. Registers that go up
    /// faster are not believed.
    pub rating_w: u32,
}

/// Where telegrams come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A serial port.
    Device {
        /// Its path; those under `/dev/serial/by-id` survive replugging.
        path: PathBuf,
        /// Its speed.
        baud: Baud,
    },
    /// A bridge from a serial port to TCP.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// What was captured from a port.
    File {
        /// The capture.
        path: PathBuf,
        /// Seconds of the capture per real second: 1 to 3600.
        speedup: u32,
        /// Milliseconds from one telegram to the next where they have no
        /// stamps: 1 to 60000, by default 1000.
        interval_ms: u32,
    },
}

/// The speed of a serial port, which says its framing too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Baud {
    /// 115200 8N1, from DSMR 4 on.
    #[default]
    B115200,
    /// 9600 7E1, to DSMR 3.
    B9600,
}

/// Why the keys describe no P1 port.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// None of the keys, or several.
    #[error("one of the keys device, tcp and file is needed, and only one")]
    NotOneLine,
    /// A key that would not be read.
    #[error("{key} is of use with {with} only")]
    Unread {
        /// The key.
        key: &'static str,
        /// The key that it belongs to.
        with: &'static str,
    },
    /// A number that its key does not allow.
    #[error("{key} = {value} is out of range: {least} to {most} are accepted")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// The number given.
        value: u32,
        /// The least number accepted.
        least: u32,
        /// The greatest number accepted.
        most: u32,
    },
    /// A speed that no P1 port has.
    #[error("baud = {0} is no P1 port's speed: 115200 (8N1) and 9600 (7E1) are accepted")]
    Baud(u32),
    /// No host and port.
    #[error("tcp = {0:?} is no address: host:port is accepted")]
    Address(String),
}

/// The keys as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    device: Option<PathBuf>,
    baud: Option<u32>,
    tcp: Option<String>,
    file: Option<PathBuf>,
    speedup: Option<u32>,
    interval_ms: Option<u32>,
    #[serde(default)]
    crc: Crc,
    silence_s: Option<u32>,
    rating_w: Option<u32>,
}

impl TryFrom<Keys> for P1Config {
    type Error = ConfigError;
    fn try_from(keys: Keys) -> Result<Self, ConfigError> {
        Ok(Self {
            crc: keys.crc,
            silence_s: in_range("silence_s", keys.silence_s.unwrap_or(60), 10..=86_400)?,
            rating_w: in_range("rating_w", keys.rating_w.unwrap_or(17_250), 1_000..=250_000)?,
            line: Line::try_from(keys)?,
        })
    }
}

impl TryFrom<Keys> for Line {
    type Error = ConfigError;
    fn try_from(keys: Keys) -> Result<Self, ConfigError> {
        let unread = |key: &'static str, value: Option<u32>, with| match value {
            Some(_) => Err(ConfigError::Unread { key, with }),
            None => Ok(()),
        };
        if keys.device.is_none() {
            unread("baud", keys.baud, "device")?;
        }
        if keys.file.is_none() {
            unread("speedup", keys.speedup, "file")?;
            unread("interval_ms", keys.interval_ms, "file")?;
        }
        match (keys.device, keys.tcp, keys.file) {
            (Some(path), None, None) => {
                Ok(Self::Device { path, baud: keys.baud.map_or(Ok(Baud::B115200), Baud::new)? })
            }
            (None, Some(tcp), None) => Ok(Self::Tcp { address: address(tcp)? }),
            (None, None, Some(path)) => Ok(Self::File {
                path,
                speedup: in_range("speedup", keys.speedup.unwrap_or(1), 1..=3_600)?,
                interval_ms: in_range(
                    "interval_ms",
                    keys.interval_ms.unwrap_or(1_000),
                    1..=60_000,
                )?,
            }),
            _ => Err(ConfigError::NotOneLine),
        }
    }
}

impl Baud {
    fn new(baud: u32) -> Result<Self, ConfigError> {
        match baud {
            115_200 => Ok(Self::B115200),
            9_600 => Ok(Self::B9600),
            other => Err(ConfigError::Baud(other)),
        }
    }
}

fn address(tcp: String) -> Result<String, ConfigError> {
    let is_address = tcp.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if is_address { Ok(tcp) } else { Err(ConfigError::Address(tcp)) }
}

fn in_range(key: &'static str, value: u32, range: RangeInclusive<u32>) -> Result<u32, ConfigError> {
    if range.contains(&value) {
        Ok(value)
    } else {
        let (least, most) = range.into_inner();
        Err(ConfigError::OutOfRange { key, value, least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Result<P1Config, String> {
        serde_json::from_str(json).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn a_line_is_all_that_a_port_needs() {
        let device = config(r#"{"device": "/dev/ttyUSB0"}"#).unwrap();
        let line = Line::Device { path: "/dev/ttyUSB0".into(), baud: Baud::B115200 };
        let expected = P1Config { line, crc: Crc::Auto, silence_s: 60, rating_w: 17_250 };
        assert_eq!(device, expected);
        let tcp = config(r#"{"tcp": "[::1]:2001", "crc": "off"}"#).unwrap();
        assert_eq!(tcp.line, Line::Tcp { address: "[::1]:2001".into() });
        let file = config(r#"{"file": "capture.txt", "speedup": 60}"#).unwrap();
        let line = Line::File { path: "capture.txt".into(), speedup: 60, interval_ms: 1_000 };
        assert_eq!(file.line, line);
    }

    #[test]
    fn a_refusal_names_key_value_and_range() {
        for (json, says) in [
            ("{}", "one of the keys device, tcp and file is needed, and only one"),
            (r#"{"device": "a", "tcp": "b:1"}"#, "one of the keys device, tcp and file"),
            (r#"{"tcp": "b:1", "baud": 9600}"#, "baud is of use with device only"),
            (r#"{"device": "a", "speedup": 2}"#, "speedup is of use with file only"),
            (r#"{"device": "a", "baud": 2400}"#, "baud = 2400 is no P1 port's speed: 115200"),
            (r#"{"tcp": "bridge"}"#, r#"tcp = "bridge" is no address: host:port"#),
            (r#"{"tcp": "bridge:0"}"#, "is no address"),
            (r#"{"file": "a", "speedup": 0}"#, "speedup = 0 is out of range: 1 to 3600"),
            (r#"{"tcp": "b:1", "silence_s": 9}"#, "silence_s = 9 is out of range: 10 to 86400"),
            (r#"{"tcp": "b:1", "rating_w": 999}"#, "rating_w = 999 is out of range: 1000 to"),
            (r#"{"tcp": "b:1", "crc": "maybe"}"#, "expected one of `auto`, `require`, `off`"),
            (r#"{"tcp": "b:1", "bawd": 9600}"#, "unknown field `bawd`"),
        ] {
            let refused = config(json).err().unwrap();
            assert!(refused.contains(says), "{json}: {refused}");
        }
    }

    #[test]
    fn a_port_is_one_kind_of_source() {
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(tag = "kind", rename_all = "lowercase")]
        enum Kinds {
            P1(P1Config),
        }
        let json = r#"{"kind": "p1", "tcp": "bridge:2001", "rating_w": 9200}"#;
        let Kinds::P1(config) = serde_json::from_str(json).unwrap();
        assert_eq!(config.rating_w, 9_200);
    }
}
