//! How a party is, as far as faults concern it.

use protocol::slot::Timestamp;

use super::super::proxy::Passage;
use super::Victim;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Up,
    Down { until: Timestamp },
    Frozen { until: Timestamp },
}

pub(super) struct Subject {
    pub(super) victim: Victim,
    pub(super) has_proxy: bool,
    pub(super) health: Health,
    /// How its connection is spoilt, and until when.
    pub(super) spoilt: Option<(Passage, Timestamp)>,
    /// Until when it is of no use to the others, or left alone.
    pub(super) away: Timestamp,
    pub(super) kills: u64,
}

impl Subject {
    pub(super) fn is_free(&self, now: Timestamp) -> bool {
        self.is_there(now) && self.spoilt.is_none()
    }

    /// Whether it is of use to the others.
    pub(super) fn is_there(&self, now: Timestamp) -> bool {
        let is_lost = matches!(self.spoilt, Some((Passage::Hole(_), _)));
        self.health == Health::Up && !is_lost && self.away <= now
    }

    pub(super) fn is_agent(&self) -> bool {
        matches!(self.victim, Victim::Agent(_))
    }
}
