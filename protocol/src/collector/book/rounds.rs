//! The rounds of an epoch as they stand in the records.

use std::collections::BTreeMap;

use aggregation::Scheme;

use crate::id::MeterId;
use crate::message::Target;
use crate::record::{Key, Part, Records, Sort, Unreadable};
use crate::roster::AcceptedRoster;
use crate::slot::Slot;

/// The parts of a round's transcript.
pub(super) type Transcript<'a> = Vec<(Part, &'a [u8])>;

/// The contributions or claims of a round.
pub(super) type Messages = BTreeMap<MeterId, Vec<u8>>;

/// All parts of each round's transcript, as they stand in the records.
pub(super) fn transcripts<'a, S: Scheme>(
    kept: &'a Records,
    roster: &AcceptedRoster<S>,
) -> Result<BTreeMap<Target, Transcript<'a>>, Unreadable> {
    let mut transcripts: BTreeMap<_, Transcript<'_>> = BTreeMap::new();
    for sort in [Sort::SlotRound, Sort::BillRound] {
        for (key, value) in kept.within(sort, roster.epoch()) {
            let parts = transcripts.entry(target_of(key)?).or_default();
            parts.extend(key.part().map(|part| (part, value)));
        }
    }
    Ok(transcripts)
}

/// The contributions and claims of each round, by member.
pub(super) fn messages<S: Scheme>(
    kept: &Records,
    roster: &AcceptedRoster<S>,
) -> Result<BTreeMap<Target, Messages>, Unreadable> {
    let mut messages: BTreeMap<_, Messages> = BTreeMap::new();
    for sort in [Sort::Counted, Sort::Claimed] {
        for (key, message) in kept.within(sort, roster.epoch()) {
            let meter = key.meter().ok_or(key)?;
            messages.entry(target_of(key)?).or_default().insert(meter, message.to_vec());
        }
    }
    Ok(messages)
}

/// A part of a transcript.
pub(super) fn part<'a>(transcript: &Transcript<'a>, wanted: &Part) -> Option<&'a [u8]> {
    transcript.iter().find(|(part, _)| part == wanted).map(|(_, value)| *value)
}

/// Slots between others that have no transcript: the last life ended before
/// they were closed.
pub(super) fn holes(transcripts: &BTreeMap<Target, Transcript<'_>>) -> Vec<Target> {
    let slots = transcripts.keys().filter_map(|target| match target {
        Target::Region(slot) => Some(slot.0),
        Target::Bill(_) => None,
    });
    let (Some(first), Some(last)) = (slots.clone().min(), slots.max()) else { return Vec::new() };
    let between = (first..last).map(|slot| Target::Region(Slot(slot)));
    between.filter(|target| !transcripts.contains_key(target)).collect()
}

/// The target of a record that belongs to one.
fn target_of(key: &Key) -> Result<Target, Unreadable> {
    match key.sort {
        Sort::Counted | Sort::SlotRound => Ok(Target::Region(Slot(key.position))),
        _ => Ok(Target::Bill(key.portion().ok_or(key)?)),
    }
}
