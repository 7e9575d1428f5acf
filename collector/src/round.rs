//! A round, for a person or a machine.

use std::fmt;

use host::clock;
use protocol::id::{Epoch, RegionId};
use protocol::message::{Roster, Target};
use serde_json::{Map, Value, json};

/// A round of an epoch.
pub(crate) struct Round<'a> {
    pub(crate) region: &'a RegionId,
    pub(crate) epoch: Epoch,
    pub(crate) target: Target,
    pub(crate) roster: &'a Roster,
}

impl Round<'_> {
    /// When it begins and ends, in UTC.
    fn span(&self) -> [String; 2] {
        let grid = self.roster.parameters.grid(self.roster.first_slot);
        let (first, end) = match self.target {
            Target::Region(slot) => (slot, grid.end(slot)),
            Target::Bill(portion) => {
                (grid.first_slot(portion.window), grid.window_end(portion.window))
            }
        };
        [grid.start(first), end].map(clock::utc)
    }

    /// Its names, in a JSON object.
    pub(crate) fn fields(&self) -> Map<String, Value> {
        let (slot, window, step) = match self.target {
            Target::Region(slot) => (Some(slot), None, None),
            Target::Bill(portion) => {
                let step = self.roster.parameters.tariff.name(portion.step);
                (None, Some(portion.window), step)
            }
        };
        let [begins, ends] = self.span();
        let fields = [
            ("region", json!(self.region)),
            ("epoch", json!(self.epoch)),
            ("slot", json!(slot)),
            ("window", json!(window)),
            ("step", json!(step)),
            ("begins", json!(begins)),
            ("ends", json!(ends)),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl fmt::Display for Round<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "region {}, epoch {}: ", self.region, self.epoch)?;
        match self.target {
            Target::Region(slot) => write!(f, "slot {slot}")?,
            Target::Bill(portion) => {
                write!(f, "bills of window {}", portion.window)?;
                let tariff = &self.roster.parameters.tariff;
                if let Some(step) = tariff.name(portion.step).filter(|_| tariff.len() > 1) {
                    write!(f, ", step {step}")?;
                }
            }
        }
        let [begins, ends] = self.span();
        write!(f, ", {begins} to {ends}")
    }
}
