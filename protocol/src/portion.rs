//! What is listed, claimed and billed at once: the slots of one tariff step in
//! one window.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::slot::Window;
use crate::tariff::StepId;

/// The slots of one tariff step in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Portion {
    /// The window.
    pub window: Window,
    /// The tariff step.
    pub step: StepId,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Portion")]
struct Named {
    window: Window,
    step: StepId,
}

/// Its names where people read, a pair elsewhere.
impl Serialize for Portion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { window, step } = *self;
        if serializer.is_human_readable() {
            Named { window, step }.serialize(serializer)
        } else {
            (window, step).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Portion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (window, step) = if deserializer.is_human_readable() {
            let Named { window, step } = Named::deserialize(deserializer)?;
            (window, step)
        } else {
            Deserialize::deserialize(deserializer)?
        };
        Ok(Self { window, step })
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} of window {}", self.step, self.window)
    }
}
