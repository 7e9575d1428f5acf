//! Running sums: what each member's contributions to a portion add up to, over
//! the slots whose rounds have ended. Claims are checked against them, and
//! snapshots of them spare a start to read again what was counted.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Canonical as _, Participant, Scheme};
use serde_bytes::ByteBuf;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::envelope::encode;
use crate::id::{Digest, MeterId};
use crate::listing::{portion_of, slots_of};
use crate::members::MemberSet;
use crate::message::Target;
use crate::portion::Portion;
use crate::reading::Register;
use crate::record::{self, Change, Key, Records, Sort, Unreadable};
use crate::roster::AcceptedRoster;
use crate::slot::{Slot, Window};

use super::super::Core;
use super::{Book, persist};

/// Slots after which the running sums of a portion are kept again: a start reads
/// the contributions of fewer.
const SNAPSHOT_SLOTS: usize = 32;

/// The set that a round has committed.
#[derive(Clone, Serialize_tuple, Deserialize_tuple)]
struct Committed {
    request: Digest,
    set: MemberSet,
}

/// Running sums as the disk holds them.
#[derive(Serialize_tuple, Deserialize_tuple)]
struct Snapshot {
    slots: BTreeMap<Slot, Committed>,
    /// By position of the member, in the order of the registers.
    sums: BTreeMap<u16, Vec<ByteBuf>>,
}

/// The running sums of a portion.
struct Running<S: Scheme> {
    slots: BTreeMap<Slot, Committed>,
    sums: BTreeMap<Participant, BTreeMap<Register, S::Aggregate>>,
    /// How many of the slots are in the snapshot.
    kept: usize,
}

impl<S: Scheme> Default for Running<S> {
    fn default() -> Self {
        Self { slots: BTreeMap::new(), sums: BTreeMap::new(), kept: 0 }
    }
}

/// The running sums of an epoch.
pub(super) struct RunningSums<S: Scheme>(BTreeMap<Portion, Running<S>>);

impl<S: Scheme> Default for RunningSums<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S: Scheme> RunningSums<S> {
    /// Takes up the snapshots of an epoch.
    pub(super) fn restore(roster: &AcceptedRoster<S>, kept: &Records) -> Result<Self, Unreadable> {
        let read = |(key, bytes): (&Key, &[u8])| {
            let snapshot = record::read(key, bytes)?;
            Ok((key.portion().ok_or(key)?, Running::restore(roster, snapshot).ok_or(key)?))
        };
        let all = kept.within(Sort::Snapshot, roster.epoch()).map(read);
        Ok(Self(all.collect::<Result<_, Unreadable>>()?))
    }

    /// What a member's contributions to some slots add up to, as far as it is
    /// known here, and the slots that are to be added to it.
    pub(super) fn of(
        &self,
        portion: Portion,
        of: Participant,
        billed: Vec<Slot>,
    ) -> (BTreeMap<Register, S::Aggregate>, Vec<Slot>) {
        let Some(running) = self.0.get(&portion) else { return (BTreeMap::new(), billed) };
        let own: BTreeSet<_> = running.slots_of(of).collect();
        // A slot that is withheld cannot be taken out of a sum.
        if !own.iter().all(|slot| billed.binary_search(slot).is_ok()) {
            return (BTreeMap::new(), billed);
        }
        let others = billed.into_iter().filter(|slot| !own.contains(slot)).collect();
        (running.sums.get(&of).cloned().unwrap_or_default(), others)
    }

    /// Drops those of portions before a window.
    pub(super) fn forget(&mut self, before: Window) {
        self.0.retain(|portion, _| portion.window >= before);
    }
}

impl<S: Scheme> Running<S> {
    fn restore(roster: &AcceptedRoster<S>, snapshot: Snapshot) -> Option<Self> {
        let registers = &roster.parameters().registers;
        let read = |(of, sums): (u16, Vec<ByteBuf>)| {
            let sums: Option<Vec<_>> =
                sums.iter().map(|sum| S::Aggregate::from_bytes(sum).ok()).collect();
            let sums = sums.filter(|sums| sums.len() == registers.len())?;
            Some((Participant(of), registers.iter().copied().zip(sums).collect()))
        };
        let sums = snapshot.sums.into_iter().map(read).collect::<Option<_>>()?;
        Some(Self { kept: snapshot.slots.len(), slots: snapshot.slots, sums })
    }

    fn snapshot(&self) -> Snapshot {
        let sums = self.sums.iter().map(|(of, sums)| {
            let sums = sums.values().map(|sum| ByteBuf::from(sum.to_bytes()));
            (of.0, sums.collect())
        });
        Snapshot { slots: self.slots.clone(), sums: sums.collect() }
    }

    /// The slots that are in a member's sums.
    fn slots_of(&self, of: Participant) -> impl Iterator<Item = Slot> {
        let own = self.slots.iter().filter(move |(_, committed)| committed.set.contains(of));
        own.map(|(slot, _)| *slot)
    }
}

impl<S: Scheme> Book<S> {
    /// Adds the contributions to a slot to the running sums once its round has
    /// ended with a committed set.
    pub(super) fn add_up(&mut self, target: Target) {
        let Target::Region(slot) = target else { return };
        let (Some(portion), Some(round)) =
            (portion_of(&self.roster, slot), self.rounds.get_mut(&target))
        else {
            return;
        };
        let Some(request) = round.committed().filter(|_| round.end().is_some()) else { return };
        let running = self.sums.0.entry(portion).or_default();
        if !running.slots.contains_key(&slot) {
            let mut set = MemberSet::default();
            for (of, meter) in self.roster.participants() {
                if let Some(entry) = round.entry(&self.roster, meter) {
                    set.insert(of);
                    entry.fold_into(self.roster.scheme(), running.sums.entry(of).or_default());
                }
            }
            running.slots.insert(slot, Committed { request, set });
        }
        round.put_away();
    }

    /// Keeps the running sums of portions of which enough is new, or which are
    /// whole.
    pub(super) fn keep_sums(&mut self, core: &mut Core<S>) {
        let epoch = self.roster.epoch();
        for (portion, running) in &mut self.sums.0 {
            let (found, new) = (running.slots.len(), running.slots.len() - running.kept);
            let is_whole = || slots_of(&self.roster, *portion).len() == found;
            if new >= SNAPSHOT_SLOTS || new > 0 && is_whole() {
                running.kept = found;
                let snapshot = encode(&running.snapshot());
                persist(core, Change::Write(Key::snapshot(epoch, *portion), snapshot.into()));
            }
        }
    }

    /// The request of a slot whose contributions are in a snapshot, if these are
    /// they.
    pub(super) fn summed_up(
        &self,
        slot: Slot,
        messages: &BTreeMap<MeterId, Vec<u8>>,
    ) -> Option<Digest> {
        let running = self.sums.0.get(&portion_of(&self.roster, slot)?)?;
        let Committed { request, set } = running.slots.get(&slot)?;
        let members = self.roster.participants();
        let found = members.filter(|(_, meter)| messages.contains_key(*meter));
        let found: MemberSet = found.map(|(of, _)| of).collect();
        (found == *set && messages.len() == set.count()).then_some(*request)
    }
}
