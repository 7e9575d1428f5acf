//! Where records stand: their keys, and how a key is made of what it is about.

use std::fmt;

use crate::id::{Digest, Epoch, MeterId};
use crate::message::Target;
use crate::portion::Portion;
use crate::reading::Register;
use crate::slot::{Slot, Window};
use crate::tariff::{StepId, StepName};

use super::Sort;

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What it holds.
    pub sort: Sort,
    /// Its epoch, where it belongs to one.
    pub epoch: Epoch,
    /// Its slot or window, where it belongs to one.
    pub position: u64,
    /// What tells it from others at the same place.
    pub name: String,
}

impl Key {
    pub(super) fn at(sort: Sort, epoch: Epoch, position: u64, name: String) -> Self {
        Self { sort, epoch, position, name }
    }

    /// A meter's state in a ceremony; there is one at a time.
    #[must_use]
    pub fn candidate() -> Self {
        Self::at(Sort::Candidate, Epoch::default(), 0, String::new())
    }

    /// A collector's state in a ceremony; there is one at a time.
    #[must_use]
    pub fn ceremony() -> Self {
        Self::at(Sort::Ceremony, Epoch::default(), 0, String::new())
    }

    /// The key share of an epoch.
    #[must_use]
    pub fn key_share(epoch: Epoch) -> Self {
        Self::at(Sort::KeyShare, epoch, 0, String::new())
    }

    /// The signed roster of an epoch.
    #[must_use]
    pub fn roster(epoch: Epoch) -> Self {
        Self::at(Sort::Roster, epoch, 0, String::new())
    }

    /// The signed roster of an epoch that is over.
    #[must_use]
    pub fn past_roster(epoch: Epoch) -> Self {
        Self::at(Sort::PastRoster, epoch, 0, String::new())
    }

    /// How far the ceremony is that a collector opens an epoch with, for its
    /// operator.
    #[must_use]
    pub fn standing() -> Self {
        Self::at(Sort::Ceremony, Epoch::default(), 0, "standing".to_owned())
    }

    /// A meter's marks.
    #[must_use]
    pub fn mark() -> Self {
        Self::at(Sort::Mark, Epoch::default(), 0, String::new())
    }

    /// A meter's own contribution.
    #[must_use]
    pub fn sent(epoch: Epoch, slot: Slot) -> Self {
        Self::at(Sort::Sent, epoch, slot.0, String::new())
    }

    /// What a holder answered to a request.
    #[must_use]
    pub fn answer(epoch: Epoch, target: Target, request: &Digest) -> Self {
        match target {
            Target::Region(slot) => Self::at(Sort::Answer, epoch, slot.0, String::new()),
            Target::Bill(Portion { window, step }) => {
                Self::at(Sort::Bill, epoch, window.0, format!("{step}/{request}"))
            }
        }
    }

    fn of_portion(sort: Sort, epoch: Epoch, Portion { window, step }: Portion) -> Self {
        Self::at(sort, epoch, window.0, step.to_string())
    }

    /// What became of a meter's contributions to a portion.
    #[must_use]
    pub fn standings(epoch: Epoch, portion: Portion) -> Self {
        Self::of_portion(Sort::Standings, epoch, portion)
    }

    /// A meter's own claim.
    #[must_use]
    pub fn claim(epoch: Epoch, portion: Portion) -> Self {
        Self::of_portion(Sort::Claim, epoch, portion)
    }

    /// What contributions to a portion add up to so far.
    #[must_use]
    pub fn snapshot(epoch: Epoch, portion: Portion) -> Self {
        Self::of_portion(Sort::Snapshot, epoch, portion)
    }

    /// A listing that was endorsed, or published.
    #[must_use]
    pub fn listing(epoch: Epoch, portion: Portion) -> Self {
        Self::of_portion(Sort::Listing, epoch, portion)
    }

    /// A final listing.
    #[must_use]
    pub fn final_listing(epoch: Epoch, portion: Portion) -> Self {
        Self::of_portion(Sort::Final, epoch, portion)
    }

    /// A meter's pool of a register and tariff step, whatever the epoch.
    #[must_use]
    pub fn pool(register: Register, step: &StepName) -> Self {
        Self::at(Sort::Pool, Epoch::default(), 0, format!("{register}/{step}"))
    }

    /// What a meter measured in slots of an epoch to which it did not
    /// contribute, from this one on.
    #[must_use]
    pub fn gap(epoch: Epoch, first: Slot) -> Self {
        Self::at(Sort::Gap, epoch, first.0, String::new())
    }

    /// Slots of an epoch, from this one on, in which a meter may have
    /// contributed what its disk has lost.
    #[must_use]
    pub fn doubt(epoch: Epoch, first: Slot) -> Self {
        Self::at(Sort::Doubt, epoch, first.0, String::new())
    }

    /// The stands of a meter's source, whatever the epoch.
    #[must_use]
    pub fn stands() -> Self {
        Self::at(Sort::Stand, Epoch::default(), 0, String::new())
    }

    /// Evidence, by its digest.
    #[must_use]
    pub fn evidence(epoch: Epoch, digest: &Digest) -> Self {
        Self::at(Sort::Evidence, epoch, 0, digest.to_string())
    }

    /// A member's contribution at the collector.
    #[must_use]
    pub fn counted(epoch: Epoch, slot: Slot, meter: &MeterId) -> Self {
        Self::at(Sort::Counted, epoch, slot.0, meter.to_string())
    }

    /// A member's claim at the collector.
    #[must_use]
    pub fn claimed(epoch: Epoch, Portion { window, step }: Portion, meter: &MeterId) -> Self {
        Self::at(Sort::Claimed, epoch, window.0, format!("{step}/{meter}"))
    }

    /// What a member was challenged to prove of a portion.
    #[must_use]
    pub fn challenge(epoch: Epoch, Portion { window, step }: Portion, meter: &MeterId) -> Self {
        Self::at(Sort::Challenge, epoch, window.0, format!("{step}/{meter}"))
    }

    /// That a member has not proved what it was asked to, whatever the epoch.
    #[must_use]
    pub fn unproven(meter: &MeterId) -> Self {
        Self::at(Sort::Unproven, Epoch::default(), 0, meter.to_string())
    }

    /// The portion of a record that belongs to one.
    #[must_use]
    pub fn portion(&self) -> Option<Portion> {
        let step = self.name.split('/').next()?.parse().ok()?;
        Some(Portion { window: Window(self.position), step: StepId(step) })
    }

    /// The portion and the member of a record that belongs to both.
    #[must_use]
    pub(crate) fn portion_and_meter(&self) -> Option<(Portion, MeterId)> {
        Some((self.portion()?, self.meter()?))
    }

    /// The member of a record that belongs to one.
    #[must_use]
    pub(crate) fn meter(&self) -> Option<MeterId> {
        self.name.rsplit('/').next()?.parse().ok()
    }

    /// The part of a round's transcript that a record holds.
    #[must_use]
    pub fn part(&self) -> Option<Part> {
        match self.sort {
            Sort::SlotRound => Part::of(&self.name),
            Sort::BillRound => Part::of(self.name.split_once('/')?.1),
            _ => None,
        }
    }

    /// A part of a round's transcript at the collector.
    #[must_use]
    pub fn round(epoch: Epoch, target: Target, part: &Part) -> Self {
        match target {
            Target::Region(slot) => Self::at(Sort::SlotRound, epoch, slot.0, part.to_string()),
            Target::Bill(Portion { window, step }) => {
                Self::at(Sort::BillRound, epoch, window.0, format!("{step}/{part}"))
            }
        }
    }
}

/// A part of what is kept of a round: its transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The signed request, which commits the set.
    Request,
    /// A holder's signed share, good or bad, that came before the sum was
    /// opened.
    Share(MeterId),
    /// That a holder's share came later.
    Late(MeterId),
    /// How the round ended.
    End,
    /// The signed results, in the order of the sums.
    Results,
}

impl Part {
    /// The part of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name.split_once('/') {
            None if name == "request" => Some(Self::Request),
            None if name == "end" => Some(Self::End),
            None if name == "results" => Some(Self::Results),
            Some(("share", holder)) => holder.parse().ok().map(Self::Share),
            Some(("late", holder)) => holder.parse().ok().map(Self::Late),
            _ => None,
        }
    }
}

/// The part's name in keys.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("request"),
            Self::Share(holder) => write!(f, "share/{holder}"),
            Self::Late(holder) => write!(f, "late/{holder}"),
            Self::End => f.write_str("end"),
            Self::Results => f.write_str("results"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_round_reads_back_from_its_name() {
        let holder: MeterId = "end".parse().unwrap();
        let of_holder = [Part::Share(holder.clone()), Part::Late(holder)];
        for part in [Part::Request, Part::End, Part::Results].into_iter().chain(of_holder) {
            assert_eq!(Part::of(&part.to_string()), Some(part));
        }
        assert_eq!((Part::of(""), Part::of("share/")), (None, None));
    }
}
