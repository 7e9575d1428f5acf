//! What can happen, and to whom.

use std::fmt;

use super::super::proxy::{Cut, Passage};
use crate::processes::Role;

/// A party to which something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    /// The collector, with its broker if that is embedded.
    Collector,
    /// The other broker.
    Mosquitto,
    /// The agent at this place.
    Agent(usize),
}

impl Victim {
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Collector => Role::Collector,
            Self::Mosquitto => Role::Mosquitto,
            Self::Agent(_) => Role::Agent,
        }
    }
}

/// What to do to a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Kill(Victim),
    Start(Victim),
    Freeze(Victim),
    Thaw(Victim),
    Cut(Victim, Cut),
    Pass(Victim, Passage),
}

/// What can happen to a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Kill,
    Freeze,
    Close,
    Reset,
    Hole,
    Slow,
    Split,
    /// Everybody is killed.
    Blackout,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Close => "close",
            Self::Reset => "reset",
            Self::Hole => "hole",
            Self::Slow => "slow",
            Self::Split => "split",
            Self::Blackout => "blackout",
        })
    }
}
