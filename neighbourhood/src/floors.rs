//! What a small and fast neighbourhood has to lower, and by how much.

use meter_agent::config::FloorsConfig;
use protocol::parameters::ThresholdRule;

/// Slots in a billing window.
pub const WINDOW_SLOTS: u32 = 10;
/// Contributions and slots that protect a reading where few are at hand, as
/// the design allows for a demonstration.
const LOWERED: u16 = 5;
/// Meters from which on the default is kept: of as many, a third may be absent.
const ENOUGH_METERS: u16 = 15;
/// The shortest time for the sums of a slot or window.
const SHORTEST_DEADLINE_S: u32 = 20;
/// The longest.
const LONGEST_DEADLINE_S: u32 = 600;
/// The longest time in which contributions still count.
const LONGEST_GRACE_S: u32 = 60;

/// The shortest such time. A round closes before it is over once every member is
/// in, so that it costs nothing but where somebody is missing, and a machine
/// that is busy for two seconds loses no contribution.
const SHORTEST_GRACE_S: u32 = 3;
/// The shortest such time where a meter tells of a slot's end only with its next
/// telegram, up to a second and a half later.
const SHORTEST_GRACE_WITH_P1_S: u32 = 5;

/// The shortest time that a step of a ceremony waits for absent meters, where
/// another epoch follows.
const SHORTEST_PATIENCE_S: u32 = 10;

/// The same where agents are killed.
const SHORTEST_PATIENCE_WITH_KILLS_S: u32 = 4;

/// How a region's threshold follows from its meters, as by default.
const RULE: ThresholdRule = ThresholdRule::TwoThirds;

/// What the registrar signs for a demonstration, and every agent accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lowered {
    /// Honest contributions in every region sum.
    pub min_contributors: u16,
    /// Slots in every bill.
    pub min_slots: u16,
    /// Length of a slot in seconds.
    pub slot_seconds: u32,
    meters: u16,
    shortest_grace_s: u32,
    shortest_deadline_s: u32,
}

impl Lowered {
    /// Lowers what a region of `meters` with slots of `slot_seconds` needs
    /// lowered, and nothing else.
    #[must_use]
    pub fn for_region(meters: u16, slot_seconds: u32) -> Self {
        let min_contributors = if meters >= ENOUGH_METERS {
            FloorsConfig::default().min_contributors.get()
        } else {
            // One of them may be absent, and as many may collude with the
            // collector as the threshold allows.
            let corrupted = RULE.max_corrupted(meters.into(), 0);
            meters.saturating_sub(1 + corrupted).clamp(2, LOWERED)
        };
        let (shortest_grace_s, shortest_deadline_s) = (SHORTEST_GRACE_S, SHORTEST_DEADLINE_S);
        let min_slots = LOWERED;
        Self {
            min_contributors,
            min_slots,
            slot_seconds,
            meters,
            shortest_grace_s,
            shortest_deadline_s,
        }
    }

    /// The same with so much time at least for a sum to be opened.
    #[must_use]
    pub fn with_deadline_s(self, shortest_deadline_s: u32) -> Self {
        Self { shortest_deadline_s, ..self }
    }

    /// The same with time for a P1 port's contributions.
    #[must_use]
    pub fn with_p1(self) -> Self {
        Self { shortest_grace_s: SHORTEST_GRACE_WITH_P1_S, ..self }
    }

    /// How many holders open a sum.
    #[must_use]
    pub fn threshold(&self) -> usize {
        let members = self.meters.into();
        RULE.threshold(members).of(members)
    }

    /// How many members may collude with the collector.
    #[must_use]
    pub fn max_corrupted(&self) -> u16 {
        RULE.max_corrupted(self.meters.into(), self.min_contributors)
    }

    /// How many meters may be away while the others open every region sum.
    #[must_use]
    pub fn spare(&self) -> usize {
        let contributors = usize::from(self.min_contributors) + usize::from(self.max_corrupted());
        usize::from(self.meters).saturating_sub(self.threshold().max(contributors))
    }

    /// Seconds that a step of a ceremony waits for absent meters. Where no
    /// other epoch follows, it waits for all. Where agents are killed, somebody
    /// is down nearly always: it waits for those that are up, no longer than
    /// their work takes, or more would be killed meanwhile.
    #[must_use]
    pub fn patience_s(&self, epochs: u32, kill: u16) -> u32 {
        let meters = u32::from(self.meters);
        match (epochs, kill) {
            (1, _) => 60 + meters,
            (_, 0) => SHORTEST_PATIENCE_S.max(meters / 5),
            _ => SHORTEST_PATIENCE_WITH_KILLS_S.max(meters / 12),
        }
    }

    /// Seconds after a slot in which contributions still count.
    #[must_use]
    pub fn grace_s(&self) -> u32 {
        (self.slot_seconds / 3).clamp(self.shortest_grace_s, LONGEST_GRACE_S)
    }

    /// Seconds after the grace in which a sum may be opened: a window, within
    /// reason. Half of it is spent waiting for a claim that does not come.
    #[must_use]
    pub fn deadline_s(&self) -> u32 {
        (self.slot_seconds * WINDOW_SLOTS).clamp(self.shortest_deadline_s, LONGEST_DEADLINE_S)
    }

    /// What was lowered from which default, and why, for a person.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let default = FloorsConfig::default();
        let (contributors, slots): (u16, u16) =
            (default.min_contributors.get(), default.min_slots.get());
        let seconds: u32 = default.slot_seconds.get();
        let mut reasons = Vec::new();
        if self.min_contributors < contributors {
            reasons.push(format!(
                "min_contributors {contributors} -> {}: of {} meters some may be absent",
                self.min_contributors, self.meters
            ));
        }
        if self.min_slots < slots {
            reasons.push(format!(
                "min_slots {slots} -> {}: a window has {WINDOW_SLOTS} slots, some may be missed",
                self.min_slots
            ));
        }
        if self.slot_seconds < seconds {
            reasons.push(format!(
                "slot_seconds {seconds} -> {}: nobody watches for hours",
                self.slot_seconds
            ));
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn min_contributors(meters: u16) -> u16 {
        Lowered::for_region(meters, 3).min_contributors
    }

    #[test]
    fn twelve_meters_with_windows_of_ten_slots_use_five_for_both() {
        let lowered = Lowered::for_region(12, 3);
        assert_eq!((lowered.min_contributors, lowered.min_slots), (5, 5));
    }

    #[test]
    fn a_few_meters_can_do_without_one_of_them_but_never_show_one_alone() {
        for meters in 3..=14 {
            let floor = min_contributors(meters);
            assert!((2..meters).contains(&floor), "{floor} of {meters}");
        }
        assert_eq!([3, 4, 6, 9].map(min_contributors), [2, 2, 4, 5]);
    }

    #[test]
    fn many_meters_keep_the_default() {
        assert_eq!((min_contributors(15), min_contributors(50)), (10, 10));
        let said = Lowered::for_region(50, 3).reasons().join("\n");
        assert!(!said.contains("min_contributors") && said.contains("min_slots 10 -> 5"), "{said}");
    }

    #[test]
    fn every_region_can_do_without_a_meter_but_those_of_three() {
        for meters in 3..=200 {
            let lowered = Lowered::for_region(meters, 3);
            let least = usize::from(lowered.min_contributors + lowered.max_corrupted());
            assert!(least <= meters.into(), "{meters}");
            assert!(lowered.spare() >= usize::from(meters > 3), "{meters}: {lowered:?}");
        }
        assert_eq!([8, 12, 50].map(|meters| Lowered::for_region(meters, 3).spare()), [1, 4, 16]);
    }

    #[test]
    fn slots_as_long_as_the_default_are_not_called_lowered() {
        let said = Lowered::for_region(12, 900).reasons().join("\n");
        assert!(!said.contains("slot_seconds"), "{said}");
    }

    #[test]
    fn the_times_fit_the_slots() {
        let times = |seconds| {
            let lowered = Lowered::for_region(12, seconds);
            (lowered.grace_s(), lowered.deadline_s())
        };
        assert_eq!(
            [times(1), times(3), times(15), times(900)],
            [(3, 20), (3, 30), (5, 150), (60, 600)]
        );
    }

    #[test]
    fn a_p1_port_has_five_seconds_at_least() {
        let grace = |seconds| Lowered::for_region(12, seconds).with_p1().grace_s();
        assert_eq!([grace(1), grace(3), grace(18), grace(900)], [5, 5, 6, 60]);
    }
}
