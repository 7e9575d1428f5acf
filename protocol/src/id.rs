//! Who and where: meters, regions, epochs, senders, digests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Longest meter or region name in bytes; names of at most 8 keep a
/// contribution of one register within 256 bytes. Two of the longest, joined,
/// are a client id that every broker takes.
pub const NAME_MAX: usize = 31;

/// Names that messages use for the parties that are not meters.
const RESERVED: [&str; 2] = ["collector", "registrar"];

/// Why a text is no name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no name: 1 to 31 of a-z, 0-9 and `-`, other than collector and registrar")]
pub struct NameError(String);

fn check_name(text: &str) -> Result<(), NameError> {
    if is_name(text, NAME_MAX) && !RESERVED.contains(&text) {
        Ok(())
    } else {
        Err(NameError(text.chars().take(NAME_MAX).collect()))
    }
}

/// Whether a text is 1 to `longest` of the letters that names are written in.
pub(crate) fn is_name(text: &str, longest: usize) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=longest).contains(&text.len()) && text.bytes().all(legal)
}

/// A text that passes a check, or fails with its error.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path, $error:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use name;

name! {
    /// A meter, under the name that its region knows it by. Never a serial
    /// number or an address: the name stands in topics.
    MeterId, check_name, NameError
}

name! {
    /// A set of meters that are summed together.
    RegionId, check_name, NameError
}

/// The time for which one roster and its keys hold; counted from 1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u32);

impl Epoch {
    /// Whether this epoch is the next one after another.
    #[must_use]
    pub fn follows(self, before: Self) -> bool {
        before.0.checked_add(1) == Some(self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who signed a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// A member of the region, or one that wants to be.
    Meter(MeterId),
    /// The party that sums and asks.
    Collector,
    /// The party that vouches for membership and parameters.
    Registrar,
}

impl FromStr for Sender {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "collector" => Ok(Self::Collector),
            "registrar" => Ok(Self::Registrar),
            meter => Ok(Self::Meter(meter.parse()?)),
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meter(id) => id.fmt(f),
            Self::Collector => f.write_str("collector"),
            Self::Registrar => f.write_str("registrar"),
        }
    }
}

/// SHA-256 of labelled bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(#[serde(with = "crate::hexadecimal")] [u8; 32]);

impl Digest {
    /// What stands where there is nothing to refer to: before the first
    /// roster, and outside any epoch.
    pub const NONE: Self = Self([0; 32]);

    /// The digest that no other sorts after.
    pub const LAST: Self = Self([0xff; 32]);

    /// The digest of `bytes` as a thing of the kind `label`.
    #[must_use]
    pub fn of(label: &str, bytes: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"hushgrid/1/");
        hash.update([u8::try_from(label.len()).unwrap_or(u8::MAX)]);
        hash.update(label.as_bytes());
        hash.update(bytes);
        Self(hash.finalize().into())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", hex::encode(self.0.get(..4).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_lower_case_ascii() {
        for good in ["m-01", "a", "0", "north-street-12"] {
            assert_eq!(good.parse::<MeterId>().unwrap().as_str(), good);
        }
        for bad in ["", "M-01", "a/b", "a+b", "#", "ü", "a b", &"a".repeat(32), "collector"] {
            assert!(bad.parse::<MeterId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_label_never_runs_into_its_bytes() {
        assert_ne!(Digest::of("ab", b"c"), Digest::of("a", b"bc"));
    }

    #[test]
    fn a_sender_reads_back_as_written() {
        for text in ["m-01", "collector", "registrar"] {
            assert_eq!(text.parse::<Sender>().unwrap().to_string(), text);
        }
    }
}
