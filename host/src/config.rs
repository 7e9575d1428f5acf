//! Configuration files: TOML, unknown keys refused, every refusal with the
//! line, the value and what would be accepted.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use protocol::parameters::ThresholdRule;
use serde::de::{DeserializeOwned, Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

/// Reads a configuration file.
///
/// # Errors
/// Where the file cannot be read, or a key or value is not accepted.
pub fn load<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in the configuration {}", path.display()))
}

/// An integer from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Within<MIN, MAX> {
    /// A default that stands in the code.
    ///
    /// # Panics
    /// Where it lies outside its own range.
    #[must_use]
    pub const fn of(value: i64) -> Self {
        assert!(MIN <= value && value <= MAX, "a default outside its range");
        Self(value)
    }

    /// The integer, as a type that holds the whole range.
    ///
    /// # Panics
    /// Never for a type that holds `MIN` to `MAX`.
    #[must_use]
    pub fn get<T: TryFrom<i64>>(self) -> T {
        T::try_from(self.0).unwrap_or_else(|_| unreachable!("the type holds {MIN} to {MAX}"))
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Range<const MIN: i64, const MAX: i64>;
        impl<const MIN: i64, const MAX: i64> serde::de::Expected for Range<MIN, MAX> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an integer from {MIN} to {MAX}")
            }
        }
        let value = i64::deserialize(deserializer)?;
        if (MIN..=MAX).contains(&value) {
            Ok(Self(value))
        } else {
            Err(D::Error::invalid_value(Unexpected::Signed(value), &Range::<MIN, MAX>))
        }
    }
}

/// How many holders it takes to open a sum: `"all"`, `"two-thirds"` or a
/// number from 2 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold(pub ThresholdRule);

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "no threshold: \"all\", \"two-thirds\" or a number from 2 to 65535"
        )]
        enum Written {
            Number(u16),
            Word(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Word(word) => word,
        };
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        slots: Within<2, 10>,
    }

    fn refusal(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sample.toml");
        fs::write(&path, text).unwrap();
        format!("{:#}", load::<Sample>(&path).unwrap_err())
    }

    #[test]
    fn a_value_within_its_range_is_taken() {
        let sample: Sample = toml::from_str("slots = 10").unwrap();
        assert_eq!(sample.slots.get::<u8>(), 10);
    }

    #[test]
    fn a_refusal_names_key_value_and_range() {
        let text = refusal("slots = 11");
        for part in ["slots = 11", "`11`", "from 2 to 10", "sample.toml", "line 1"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[derive(Debug, Deserialize)]
    struct Holders {
        threshold: Threshold,
    }

    #[test]
    fn a_threshold_is_a_word_or_a_number() {
        let read = |text: &str| toml::from_str::<Holders>(text).unwrap().threshold.0;
        assert_eq!(read("threshold = \"all\""), ThresholdRule::All);
        assert_eq!(read("threshold = \"two-thirds\""), ThresholdRule::TwoThirds);
        assert_eq!(read("threshold = 4"), ThresholdRule::Count(4));
    }

    #[test]
    fn anything_else_is_no_threshold() {
        for value in ["1", "0", "-1", "70000", "0.5", "\"half\"", "true", "[4]"] {
            let text = format!("threshold = {value}");
            let error = toml::from_str::<Holders>(&text).unwrap_err().to_string();
            assert!(error.contains("\"two-thirds\""), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_those_that_exist() {
        let text = refusal("slots = 3\nslot = 4");
        assert!(text.contains("unknown field `slot`, expected `slots`"), "{text}");
    }
}
