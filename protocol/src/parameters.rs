//! What holds for an epoch, the ranges of it, and the floors that each agent
//! sets for itself.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use thiserror::Error;

use crate::envelope::MESSAGE_MAX;
use crate::reading::Register;
use crate::slot::{Grid, Slot};
use crate::tariff::Tariff;

/// Most members of a region whose secret is dealt: each reads the dealings of
/// all: 54 MiB for so many with two thirds of them as threshold.
const DEALT_MEMBERS_MAX: usize = 900;

/// How many holders it takes to open a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    /// Every member: the group key is the sum of their key parts.
    All,
    /// So many of the members: the group's secret is dealt.
    Of(u16),
}

impl Threshold {
    /// Holders that it takes of so many members.
    #[must_use]
    pub fn of(self, members: usize) -> usize {
        match self {
            Self::All => members,
            Self::Of(holders) => holders.into(),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Of(holders) => holders.fmt(f),
        }
    }
}

/// How a threshold follows from the number of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdRule {
    /// Every member.
    All,
    /// Two thirds of them, rounded up.
    TwoThirds,
    /// So many.
    Count(u16),
}

impl ThresholdRule {
    /// The threshold for so many members.
    #[must_use]
    pub fn threshold(self, members: usize) -> Threshold {
        let two_thirds = u16::try_from((2 * members).div_ceil(3)).unwrap_or(u16::MAX);
        match self {
            Self::All => Threshold::All,
            Self::TwoThirds => Threshold::Of(two_thirds),
            Self::Count(holders) => Threshold::Of(holders),
        }
    }

    /// The most members that may collude with the collector under this rule:
    /// as many as two quorums have in common, less one, and no more than leave
    /// a region sum its honest contributors.
    #[must_use]
    pub fn max_corrupted(self, members: usize, min_contributors: u16) -> u16 {
        let common = match self {
            Self::All => 1,
            _ => (2 * self.threshold(members).of(members)).saturating_sub(members),
        };
        let left = members.saturating_sub(min_contributors.into());
        u16::try_from(common.saturating_sub(1).min(left)).unwrap_or(u16::MAX)
    }
}

impl fmt::Display for ThresholdRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::TwoThirds => f.write_str("two-thirds"),
            Self::Count(holders) => holders.fmt(f),
        }
    }
}

/// A text that is no rule.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no threshold: \"all\", \"two-thirds\" or a number from 2 to 65535")]
pub struct ThresholdRuleError(String);

impl FromStr for ThresholdRule {
    type Err = ThresholdRuleError;
    fn from_str(text: &str) -> Result<Self, ThresholdRuleError> {
        match text {
            "all" => Ok(Self::All),
            "two-thirds" => Ok(Self::TwoThirds),
            number => match number.parse() {
                Ok(holders @ 2..) => Ok(Self::Count(holders)),
                _ => Err(ThresholdRuleError(text.to_owned())),
            },
        }
    }
}

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

/// What holds for an epoch, the same for all members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Parameters {
    /// Name of the scheme.
    pub scheme: String,
    /// How many holders it takes to open a sum.
    pub threshold: Threshold,
    /// Honest contributions that every region sum holds at least.
    pub min_contributors: u16,
    /// Members that may collude with the collector.
    pub max_corrupted: u16,
    /// Slots that every bill holds at least.
    pub min_slots: u16,
    /// Length of a slot in seconds.
    pub slot_seconds: NonZeroU32,
    /// Slots in a billing window.
    pub window_slots: NonZeroU32,
    /// Seconds after the end of a slot in which contributions still count.
    pub grace_s: u32,
    /// Seconds after the grace in which a target may be opened.
    pub deadline_s: u32,
    /// Most that one contribution holds, in Wh: 2^16 - 1 or 2^32 - 1.
    pub max_wh_per_slot: u32,
    /// What is counted, in rising order.
    pub registers: Vec<Register>,
    /// When members prove that their contributions lie in their range.
    pub range_proofs: RangeProofs,
    /// The steps that are billed apart.
    pub tariff: Tariff,
}

/// A parameter outside its range.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key} = {value}: accepted is {accepted}")]
pub struct ParameterError {
    /// The parameter.
    pub key: &'static str,
    /// What was given.
    pub value: String,
    /// What would be accepted.
    pub accepted: String,
}

pub(crate) fn check(
    legal: bool,
    key: &'static str,
    value: &dyn fmt::Display,
    accepted: &dyn fmt::Display,
) -> Result<(), ParameterError> {
    if legal {
        return Ok(());
    }
    Err(ParameterError { key, value: value.to_string(), accepted: accepted.to_string() })
}

fn within<T: Copy + PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ParameterError> {
    let accepted = format!("{} to {}", range.start(), range.end());
    check(range.contains(&value), key, &value, &accepted)
}

impl Parameters {
    /// Checks every parameter against its range and against the others, for a
    /// region of `members` members.
    ///
    /// # Errors
    /// The first parameter that is outside its range.
    pub fn check(&self, members: usize) -> Result<(), ParameterError> {
        let (slots, needed) = (self.window_slots.get(), self.contributors_needed());
        within("slot_seconds", self.slot_seconds.get(), 1..=86_400)?;
        within("window_slots", slots, 2..=35_136)?;
        within("min_slots", u32::from(self.min_slots), 2..=slots)?;
        within("min_contributors", self.min_contributors, 2..=u16::MAX)?;
        within("members", members, needed..=self.members_max())?;
        within("grace_s", self.grace_s, 0..=86_400)?;
        within("deadline_s", self.deadline_s, 1..=31_622_400)?;
        let max_wh = self.max_wh_per_slot;
        let known = [u32::from(u16::MAX), u32::MAX].contains(&max_wh);
        check(known, "max_wh_per_slot", &max_wh, &"65535 or 4294967295")?;
        self.check_threshold(members)?;
        let distinct = self.registers.is_sorted_by(|a, b| a < b) && !self.registers.is_empty();
        let names: Vec<_> = self.registers.iter().map(|r| r.as_str()).collect();
        let accepted = "import, export or both, in this order";
        check(distinct, "registers", &names.join(", "), &accepted)?;
        let known = self.range_proofs == RangeProofs::Off;
        check(known, "range_proofs", &self.range_proofs, &"off: this version has no others yet")?;
        self.check_listing(members)?;
        self.check_steps()
    }

    /// The listing of a window, with a digest and a set of members for each
    /// slot, fits into a message.
    fn check_listing(&self, members: usize) -> Result<(), ParameterError> {
        // Header, signature, digests, and the framing of all.
        const FRAMING: usize = 1024;
        // Framing of one slot and what it is said of it.
        const SLOT: usize = 8;
        let most = (MESSAGE_MAX - FRAMING) / (members.div_ceil(8) + SLOT);
        let accepted = format!(
            "at most {most} with {members} members, so that a listing of the window fits into \
             one message"
        );
        let fits = self.window_slots.get() as usize <= most;
        check(fits, "window_slots", &self.window_slots, &accepted)
    }

    /// Wherever a window begins, every step has slots enough in it for a bill:
    /// a window that begins with the epoch can begin with any slot.
    fn check_steps(&self) -> Result<(), ParameterError> {
        let (cycle, slot) = (self.tariff.cycle_s(), self.slot_seconds);
        if self.tariff.len() == 1 {
            return Ok(());
        }
        let accepted =
            format!("a multiple of slot_seconds = {slot}, where there are several steps");
        check(cycle.get() % slot == 0, "tariff.cycle_s", &cycle, &accepted)?;
        for (name, fewest) in self.tariff.fewest_slots(slot, self.window_slots) {
            let value = format!(
                "`{name}`, with {fewest} slots in some windows of {} slots",
                self.window_slots
            );
            let accepted = format!(
                "at least min_slots = {} slots of each step in every window, wherever it begins; \
                 most have them where window_slots is {}, a whole cycle",
                self.min_slots,
                cycle.get() / slot
            );
            check(fewest >= self.min_slots.into(), "tariff.steps", &value, &accepted)?;
        }
        Ok(())
    }

    /// Two quorums have a member in common that does not collude, so that no
    /// two of them can be shown two different sets.
    fn check_threshold(&self, members: usize) -> Result<(), ParameterError> {
        if let Threshold::Of(holders) = self.threshold {
            within("threshold", usize::from(holders), 2..=members)?;
        }
        let common = (2 * self.threshold.of(members)).saturating_sub(members);
        let accepted = format!(
            "less than 2 * threshold - members = {common}, so that two quorums have an honest \
             member in common"
        );
        let corrupted = usize::from(self.max_corrupted);
        check(corrupted < common, "max_corrupted", &self.max_corrupted, &accepted)
    }

    /// Members whose messages fit into one request, of contributions or of
    /// claims, and whose dealings can be relayed.
    fn members_max(&self) -> usize {
        // Names, header, signature and their framing, with names of 31 bytes.
        const FRAMING: usize = 200;
        // A point or scalar has 32 bytes; a ciphertext with its proof is four.
        const HIDDEN: usize = 4 * 32 + 4;
        let slots = self.window_slots.get().div_ceil(8) as usize;
        let members = MESSAGE_MAX / (FRAMING + HIDDEN * self.registers.len() + slots);
        match self.threshold {
            Threshold::All => members.min(usize::from(u16::MAX)),
            Threshold::Of(_) => members.min(DEALT_MEMBERS_MAX),
        }
    }

    /// Contributions that a region sum needs, so that `min_contributors` of
    /// them are honest whatever the collector leaves out.
    #[must_use]
    pub fn contributors_needed(&self) -> usize {
        usize::from(self.min_contributors) + usize::from(self.max_corrupted)
    }

    /// The grid that starts at `origin`.
    #[must_use]
    pub fn grid(&self, origin: Slot) -> Grid {
        Grid { slot_seconds: self.slot_seconds, window_slots: self.window_slots, origin }
    }

    /// For how long after the end of a slot contributions still count.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_s.into())
    }

    /// For how long after the grace a target may be opened.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s.into())
    }
}

/// The least that an agent accepts, whatever the registrar signs. No message
/// lowers a floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floors {
    /// The scheme that the agent runs.
    pub scheme: String,
    /// Floor of [`Parameters::threshold`].
    pub threshold: ThresholdRule,
    /// Floor of [`Parameters::min_contributors`].
    pub min_contributors: u16,
    /// Floor of [`Parameters::max_corrupted`].
    pub max_corrupted: u16,
    /// Floor of [`Parameters::min_slots`].
    pub min_slots: u16,
    /// Floor of [`Parameters::slot_seconds`].
    pub slot_seconds: u32,
    /// Floor of [`Parameters::range_proofs`].
    pub range_proofs: RangeProofs,
}

impl Floors {
    /// Whether parameters for a region of `members` keep to the floors.
    ///
    /// # Errors
    /// The first parameter below its floor.
    pub fn check(&self, given: &Parameters, members: usize) -> Result<(), ParameterError> {
        fn floor<T: Copy + PartialOrd + fmt::Display>(
            key: &'static str,
            given: T,
            floor: T,
        ) -> Result<(), ParameterError> {
            let accepted = format!("at least {floor}, this agent's own floor");
            check(given >= floor, key, &given, &accepted)
        }
        check(given.scheme == self.scheme, "scheme", &given.scheme, &self.scheme)?;
        let least = self.threshold.threshold(members).of(members);
        floor("threshold", given.threshold.of(members), least)?;
        floor("min_contributors", given.min_contributors, self.min_contributors)?;
        floor("max_corrupted", given.max_corrupted, self.max_corrupted)?;
        floor("min_slots", given.min_slots, self.min_slots)?;
        floor("slot_seconds", given.slot_seconds.get(), self.slot_seconds)?;
        floor("range_proofs", given.range_proofs, self.range_proofs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(threshold: Threshold, max_corrupted: u16) -> Parameters {
        let number = |number| NonZeroU32::new(number).unwrap();
        Parameters {
            scheme: "plain".to_owned(),
            threshold,
            min_contributors: 2,
            max_corrupted,
            min_slots: 2,
            slot_seconds: number(900),
            window_slots: number(4),
            grace_s: 60,
            deadline_s: 7200,
            max_wh_per_slot: 65_535,
            registers: vec![Register::Import],
            range_proofs: RangeProofs::Off,
            tariff: Tariff::single(),
        }
    }

    /// The key that is refused for so many members.
    fn refused(threshold: Threshold, max_corrupted: u16, members: usize) -> Option<&'static str> {
        let checked = parameters(threshold, max_corrupted).check(members);
        checked.err().map(|error| error.key)
    }

    fn floors(threshold: ThresholdRule) -> Floors {
        Floors {
            scheme: "plain".to_owned(),
            threshold,
            min_contributors: 2,
            max_corrupted: 0,
            min_slots: 2,
            slot_seconds: 1,
            range_proofs: RangeProofs::Off,
        }
    }

    const RULES: [ThresholdRule; 4] = [
        ThresholdRule::All,
        ThresholdRule::TwoThirds,
        ThresholdRule::Count(3),
        ThresholdRule::Count(4),
    ];

    #[test]
    fn two_thirds_are_rounded_up() {
        let thresholds = (3..=20).map(|members| ThresholdRule::TwoThirds.threshold(members));
        let expected = [2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10, 11, 12, 12, 13, 14];
        assert!(thresholds.eq(expected.map(Threshold::Of)));
    }

    #[test]
    fn the_most_that_may_collude_leave_every_check_in_place() {
        for members in 3..=20 {
            for rule in RULES.iter().filter(|rule| rule.threshold(members).of(members) <= members) {
                let (threshold, most) = (rule.threshold(members), rule.max_corrupted(members, 2));
                let common = 2 * threshold.of(members) > members;
                let expected = (!common).then_some("max_corrupted");
                assert_eq!(refused(threshold, most, members), expected, "{rule} of {members}");
                // One more leaves two quorums, or a sum, without an honest one.
                let one_more = refused(threshold, most + 1, members);
                let is_all = threshold == Threshold::All;
                assert!(one_more.is_some() || is_all, "{rule} of {members}");
            }
        }
    }

    #[test]
    fn with_all_holders_none_may_collude_unless_it_is_said() {
        assert!((3..=20).all(|members| ThresholdRule::All.max_corrupted(members, 2) == 0));
        assert_eq!(refused(Threshold::All, 3, 5), None);
        assert_eq!(refused(Threshold::All, 4, 5), Some("members"));
    }

    #[test]
    fn two_quorums_have_an_honest_member_in_common() {
        assert_eq!(refused(Threshold::Of(4), 2, 5), None);
        assert_eq!(refused(Threshold::Of(4), 3, 5), Some("max_corrupted"));
        assert_eq!(refused(Threshold::Of(3), 0, 5), None);
        assert_eq!(refused(Threshold::Of(3), 1, 5), Some("max_corrupted"));
        assert_eq!(refused(Threshold::Of(3), 0, 6), Some("max_corrupted"));
        let error = parameters(Threshold::Of(3), 1).check(5).unwrap_err().to_string();
        assert!(error.starts_with("max_corrupted = 1: accepted is less than 2 * threshold"));
    }

    #[test]
    fn a_threshold_lies_between_two_and_all() {
        assert_eq!(refused(Threshold::Of(1), 0, 5), Some("threshold"));
        assert_eq!(refused(Threshold::Of(6), 0, 5), Some("threshold"));
        assert_eq!(refused(Threshold::Of(5), 0, 5), None);
        assert_eq!(refused(Threshold::Of(2), 0, 2), None);
    }

    #[test]
    fn a_region_whose_secret_is_dealt_is_no_larger_than_its_dealings_allow() {
        let two_thirds = |members| refused(ThresholdRule::TwoThirds.threshold(members), 0, members);
        assert_eq!(two_thirds(DEALT_MEMBERS_MAX), None);
        assert_eq!(two_thirds(DEALT_MEMBERS_MAX + 1), Some("members"));
        assert_eq!(refused(Threshold::All, 0, DEALT_MEMBERS_MAX + 1), None);
    }

    #[test]
    fn a_floor_of_every_rule_takes_as_many_holders_and_more() {
        for rule in RULES {
            let least = rule.threshold(6).of(6);
            let low = |holders| floors(rule).check(&parameters(holders, 0), 6).err();
            for holders in 2..=6_u16 {
                let key = low(Threshold::Of(holders)).map(|error| error.key);
                let below = usize::from(holders) < least;
                assert_eq!(key, below.then_some("threshold"), "{rule}: {holders}");
            }
            assert_eq!(low(Threshold::All), None, "{rule}");
        }
    }

    #[test]
    fn a_rule_reads_back_from_its_text() {
        for rule in RULES {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        for text in ["", "1", "0", "-2", "half", "65536", "All"] {
            let error = text.parse::<ThresholdRule>().unwrap_err().to_string();
            assert!(error.contains("\"two-thirds\""), "{error}");
        }
    }
}
