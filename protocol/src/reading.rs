//! Quantities: the only place where energy becomes the integer that schemes
//! add.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// What a meter counts, one series each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Register {
    /// Energy drawn from the grid (OBIS 1.8.0).
    Import,
    /// Energy fed into the grid (OBIS 2.8.0).
    Export,
}

impl Register {
    /// The register's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Export => "export",
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text or number names no register.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no register: import or export")]
pub struct RegisterError(String);

impl FromStr for Register {
    type Err = RegisterError;
    fn from_str(text: &str) -> Result<Self, RegisterError> {
        match text {
            "import" => Ok(Self::Import),
            "export" => Ok(Self::Export),
            other => Err(RegisterError(other.to_owned())),
        }
    }
}

impl TryFrom<u8> for Register {
    type Error = RegisterError;
    fn try_from(number: u8) -> Result<Self, RegisterError> {
        match number {
            1 => Ok(Self::Import),
            2 => Ok(Self::Export),
            other => Err(RegisterError(other.to_string())),
        }
    }
}

/// Its name where people read, its number elsewhere.
impl Serialize for Register {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.as_str())
        } else {
            serializer.serialize_u8(u8::from(*self))
        }
    }
}

impl<'de> Deserialize<'de> for Register {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            u8::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
        }
    }
}

impl From<Register> for u8 {
    fn from(register: Register) -> u8 {
        match register {
            Register::Import => 1,
            Register::Export => 2,
        }
    }
}

/// Energy in one slot of one register, in Wh. It has no negative spelling, and
/// no Debug: a reading reaches no log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reading(u32);

/// One reading for each register of a slot.
pub type Readings = BTreeMap<Register, Reading>;

/// Why a quantity is no reading.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ReadingError {
    /// More than a connection can draw in a slot.
    #[error("the reading exceeds {limit} Wh, half of max_wh_per_slot")]
    AboveMaximum {
        /// The largest reading in Wh.
        limit: u32,
    },
}

impl Reading {
    /// A reading of `wh`, given the most that a slot's contribution may hold.
    /// Half of it is left for carried energy.
    ///
    /// # Errors
    /// [`ReadingError::AboveMaximum`].
    pub fn new(wh: u64, max_wh_per_slot: u32) -> Result<Self, ReadingError> {
        let limit = max_wh_per_slot / 2;
        match u32::try_from(wh) {
            Ok(wh) if wh <= limit => Ok(Self(wh)),
            _ => Err(ReadingError::AboveMaximum { limit }),
        }
    }

    /// How much carried energy in Wh fits into the contribution beside it.
    #[must_use]
    pub fn room(self, max_wh_per_slot: u32) -> u64 {
        u64::from(max_wh_per_slot.saturating_sub(self.0))
    }

    /// The integer that schemes add.
    #[must_use]
    pub fn to_plaintext(self) -> u64 {
        u64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_at_most_half_of_a_contribution() {
        assert!(Reading::new(32_767, 65_535).is_ok());
        let refused = Reading::new(32_768, 65_535).err();
        assert_eq!(refused, Some(ReadingError::AboveMaximum { limit: 32_767 }));
        assert!(Reading::new(u64::MAX, u32::MAX).is_err());
    }

    #[test]
    fn a_register_reads_back_as_written() {
        for register in [Register::Import, Register::Export] {
            assert_eq!(register.to_string().parse(), Ok(register));
            assert_eq!(Register::try_from(u8::from(register)), Ok(register));
        }
        assert!(Register::try_from(0).is_err() && "gas".parse::<Register>().is_err());
    }
}
