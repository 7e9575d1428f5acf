//! What results are sums of, and the epoch that they belong to.

use std::fmt;

use protocol::message::{Outcome, Roster, Subject};
use protocol::slot::{Grid, Slot, Window};

/// What is summed at once: the region over a slot, or each meter over a window.
/// The slots of epochs are disjoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Span {
    /// One slot.
    Slot(Slot),
    /// A window, by its first and last slot.
    Window(Slot, Slot),
}

impl Span {
    pub(super) fn last(self) -> Slot {
        match self {
            Self::Slot(slot) | Self::Window(_, slot) => slot,
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(slot) => write!(f, "slot {slot}"),
            Self::Window(first, last) => write!(f, "slots {first} to {last}"),
        }
    }
}

/// An epoch that has opened.
pub(super) struct Opened {
    pub(super) roster: Roster,
    pub(super) grid: Grid,
}

impl Opened {
    /// What a result is the sum of.
    pub(super) fn span(&self, outcome: &Outcome) -> Option<Span> {
        match outcome.subject {
            Subject::Region(_) => Some(Span::Slot(outcome.first_slot)),
            Subject::Meter(_) => {
                Some(window_span(&self.grid, self.grid.window_of(outcome.first_slot)?))
            }
        }
    }

    /// Whether a result lies within its epoch, and names each member once.
    pub(super) fn is_sound(&self, outcome: &Outcome) -> bool {
        let slots = self.roster.first_slot..self.roster.end_slot;
        let members = self.roster.members.iter().map(|member| &member.meter);
        let names_all = match &outcome.subject {
            Subject::Region(_) => {
                let mut named: Vec<_> =
                    outcome.contributors.iter().chain(&outcome.uncounted).collect();
                named.sort();
                members.eq(named)
            }
            Subject::Meter(meter) => members.into_iter().any(|member| member == meter),
        };
        slots.contains(&outcome.first_slot) && names_all
    }
}

pub(super) fn window_span(grid: &Grid, window: Window) -> Span {
    Span::Window(grid.first_slot(window), grid.last_slot(window))
}
