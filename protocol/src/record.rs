//! What a machine keeps: records under keys, and the changes that make them.
//!
//! A machine hands out changes and never reads its disk; its owner makes them
//! durable in order, and hands all records back at the next start. The changes
//! of one turn belong together: all of them survive, or none.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::id::{Digest, Epoch, MeterId};
use crate::message::Target;
use crate::portion::Portion;
use crate::reading::Register;
use crate::slot::{Slot, Window};
use crate::tariff::{StepId, StepName};

macro_rules! sorts {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a record holds. The numbers stand on disks and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Sort { $($(#[$doc])* $name = $number,)* }

        impl Sort {
            /// Every sort.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

sorts! {
    /// A meter's state in the ceremony that opens the next epoch. Secret.
    Candidate = 1,
    /// A meter's key share of an epoch. Secret.
    KeyShare = 2,
    /// The signed roster of an epoch.
    Roster = 3,
    /// How far a meter's ledger reaches, whatever was erased since.
    Mark = 4,
    /// A contribution with what it takes to claim it. Secret.
    Sent = 5,
    /// What a holder answered for a slot.
    Answer = 6,
    /// What a holder answered for the bills of a portion.
    Bill = 7,
    /// A meter's claim to a portion.
    Claim = 8,
    /// Two signed statements that exclude each other.
    Evidence = 9,
    /// A contribution that a collector has taken.
    Counted = 10,
    /// A claim that a collector has taken.
    Claimed = 11,
    /// The transcript of a round of a slot that a collector has closed.
    SlotRound = 12,
    /// The transcript of a round of a portion that a collector has closed.
    BillRound = 13,
    /// A collector's state in the ceremony that opens the next epoch.
    Ceremony = 14,
    /// A listing of a portion: one that a holder has endorsed, or the one that
    /// a collector has published.
    Listing = 15,
    /// A final listing of a portion.
    Final = 16,
    /// Energy of a meter that waits to be counted. Secret.
    Pool = 17,
    /// What a meter measured while it contributed nothing. Secret.
    Gap = 18,
    /// What the registers of a meter's source showed when it gave energy last.
    /// Secret.
    Stand = 19,
    /// The signed roster of an epoch that is over, for those who check its
    /// transcripts.
    PastRoster = 20,
    /// What a collector has challenged a member to prove of a portion.
    Challenge = 21,
    /// That a member has not proved what a collector asked it to.
    Unproven = 22,
    /// Slots in which a meter may have contributed what its disk has lost.
    Doubt = 23,
    /// What final listings made of a meter's contributions to a portion.
    Standings = 24,
    /// What the contributions of each member to a portion add up to so far.
    Snapshot = 25,
}

impl Sort {
    /// The number that stands for the sort.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The sort of a number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|sort| sort.number() == number)
    }
}

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
    fn at(sort: Sort, epoch: Epoch, position: u64, name: String) -> Self {
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

/// A record that is not what was written.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the record {sort:?} of epoch {epoch} at {position} is malformed")]
pub struct Unreadable {
    /// What it holds.
    pub sort: Sort,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its slot or window.
    pub position: u64,
}

impl From<&Key> for Unreadable {
    fn from(key: &Key) -> Self {
        Self { sort: key.sort, epoch: key.epoch, position: key.position }
    }
}

/// Reads an encoded record.
pub(crate) fn read<T: DeserializeOwned>(key: &Key, bytes: &[u8]) -> Result<T, Unreadable> {
    ciborium::from_reader(bytes).map_err(|_| key.into())
}

/// A change of what is kept.
pub enum Change {
    /// A record, in place of the one under its key if there is one.
    Write(Key, Zeroizing<Vec<u8>>),
    /// No record under the key any more.
    Erase(Key),
    /// No record of a sort and epoch any more at a position before this one.
    EraseBefore(Sort, Epoch, u64),
}

/// A record may be secret: Debug says where it stands and no more.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(key, _) => write!(f, "Write({key:?}, ..)"),
            Self::Erase(key) => write!(f, "Erase({key:?})"),
            Self::EraseBefore(sort, epoch, position) => {
                write!(f, "EraseBefore({sort:?}, {epoch}, {position})")
            }
        }
    }
}

/// All records of a machine.
#[derive(Default)]
pub struct Records(BTreeMap<Key, Zeroizing<Vec<u8>>>);

impl Records {
    /// Makes a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Write(key, value) => {
                self.0.insert(key, value);
            }
            Change::Erase(key) => {
                self.0.remove(&key);
            }
            Change::EraseBefore(sort, epoch, position) => self.0.retain(|key, _| {
                (key.sort, key.epoch) != (sort, epoch) || key.position >= position
            }),
        }
    }

    /// The record under a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&[u8]> {
        self.0.get(key).map(|value| value.as_slice())
    }

    /// All records of a sort, in the order of their keys.
    pub fn of(&self, sort: Sort) -> impl Iterator<Item = (&Key, &[u8])> {
        self.from(sort, Epoch::default()).take_while(move |(key, _)| key.sort == sort)
    }

    /// All records of a sort in an epoch, in the order of their keys.
    pub fn within(&self, sort: Sort, epoch: Epoch) -> impl Iterator<Item = (&Key, &[u8])> {
        let is_within = move |key: &Key| (key.sort, key.epoch) == (sort, epoch);
        self.from(sort, epoch).take_while(move |(key, _)| is_within(key))
    }

    fn from(&self, sort: Sort, epoch: Epoch) -> impl Iterator<Item = (&Key, &[u8])> {
        let records = self.0.range(Key::at(sort, epoch, 0, String::new())..);
        records.map(|(key, value)| (key, value.as_slice()))
    }
}

impl FromIterator<(Key, Zeroizing<Vec<u8>>)> for Records {
    fn from_iter<I: IntoIterator<Item = (Key, Zeroizing<Vec<u8>>)>>(records: I) -> Self {
        Self(records.into_iter().collect())
    }
}

/// Records may be secret: Debug counts them and no more.
impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(slots: impl IntoIterator<Item = u64>) -> Records {
        let record = |slot| (Key::sent(Epoch(1), Slot(slot)), vec![7].into());
        slots.into_iter().map(record).collect()
    }

    #[test]
    fn a_sort_reads_back_from_its_number() {
        for sort in Sort::ALL {
            assert_eq!(Sort::of(sort.number()), Some(*sort));
        }
        assert_eq!(Sort::of(0), None);
    }

    #[test]
    fn a_part_of_a_round_reads_back_from_its_name() {
        let holder: MeterId = "end".parse().unwrap();
        let of_holder = [Part::Share(holder.clone()), Part::Late(holder)];
        for part in [Part::Request, Part::End, Part::Results].into_iter().chain(of_holder) {
            assert_eq!(Part::of(&part.to_string()), Some(part));
        }
        assert_eq!((Part::of(""), Part::of("share/")), (None, None));
    }

    #[test]
    fn what_lies_before_a_position_is_erased_in_its_epoch_alone() {
        let mut records = records(0..4);
        records.apply(Change::Write(Key::sent(Epoch(2), Slot(0)), vec![7].into()));
        records.apply(Change::EraseBefore(Sort::Sent, Epoch(1), 3));
        let left: Vec<_> =
            records.of(Sort::Sent).map(|(key, _)| (key.epoch.0, key.position)).collect();
        assert_eq!(left, [(1, 3), (2, 0)]);
    }

    #[test]
    fn no_debug_shows_what_a_record_holds() {
        let change = Change::Write(Key::key_share(Epoch(1)), b"secret".to_vec().into());
        let shown = format!("{change:?} {:?}", records(0..2));
        assert!(!shown.contains("115") && shown.contains("Records(2)"), "{shown}");
    }
}
