//! When members prove that their contributions lie in their range.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// When members prove that their contributions lie in their range, from the
/// least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RangeProofs {
    /// Never.
    Off,
    /// For past slots that are asked for.
    Audit,
    /// With each contribution.
    Each,
}

impl RangeProofs {
    /// The mode's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Each => "each",
        }
    }
}

impl fmt::Display for RangeProofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no mode.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no mode of range proofs: off, audit or each")]
pub struct RangeProofsError(String);

impl FromStr for RangeProofs {
    type Err = RangeProofsError;
    fn from_str(text: &str) -> Result<Self, RangeProofsError> {
        let mode = [Self::Off, Self::Audit, Self::Each].into_iter().find(|m| m.as_str() == text);
        mode.ok_or_else(|| RangeProofsError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_reads_back_from_its_text() {
        for mode in [RangeProofs::Off, RangeProofs::Audit, RangeProofs::Each] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
        let error = "always".parse::<RangeProofs>().unwrap_err().to_string();
        assert_eq!(error, "`always` is no mode of range proofs: off, audit or each");
    }

    #[test]
    fn a_proof_with_each_contribution_is_more_than_an_audit() {
        assert!(RangeProofs::Off < RangeProofs::Audit && RangeProofs::Audit < RangeProofs::Each);
    }
}
