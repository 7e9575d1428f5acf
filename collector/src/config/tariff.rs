//! Tariff steps as a configuration names them.

use std::num::NonZeroU32;

use host::config::Within;
use protocol::tariff::{Step, StepName, Tariff, TariffError, TimesError, WEEK_S, read_times};
use serde::Deserialize;
use thiserror::Error;

/// The steps that are billed apart; one unless given.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "TariffTable")]
pub struct TariffConfig(pub Tariff);

impl Default for TariffConfig {
    fn default() -> Self {
        Self(Tariff::single())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TariffTable {
    #[serde(default = "cycle")]
    cycle_s: Within<1, 604_800>,
    steps: Vec<StepTable>,
}

/// A step with its times in UTC; the last one has none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepTable {
    name: StepName,
    #[serde(default)]
    times: Vec<String>,
}

fn cycle() -> Within<1, 604_800> {
    Within::of(604_800)
}

/// Why a table makes no tariff.
#[derive(Debug, Error)]
enum TableError {
    #[error("tariff.steps: {0}")]
    Tariff(#[from] TariffError),
    #[error("tariff.steps: step `{name}`: {error}")]
    Times { name: StepName, error: TimesError },
}

impl TryFrom<TariffTable> for TariffConfig {
    type Error = TableError;
    fn try_from(table: TariffTable) -> Result<Self, TableError> {
        let cycle_s = NonZeroU32::new(table.cycle_s.get()).unwrap_or(WEEK_S);
        let step = |StepTable { name, times }| match read_times(&times, cycle_s) {
            Ok(spans) => Ok(Step { name, spans }),
            Err(error) => Err(TableError::Times { name, error }),
        };
        let steps = table.steps.into_iter().map(step).collect::<Result<_, _>>()?;
        Ok(Self(Tariff::new(cycle_s, steps)?))
    }
}
