//! The entries of a round: as they were read while it runs, and as their
//! messages once it is over, which take a quarter of the memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use aggregation::Scheme;

use crate::entry::Entry;
use crate::envelope::Envelope;
use crate::id::MeterId;
use crate::roster::AcceptedRoster;

/// An entry of a round: the one that the round holds, or one that was read
/// again from its message.
pub enum Held<'a, S: Scheme> {
    /// The round's own.
    Here(&'a Entry<S>),
    /// Read again.
    Again(Box<Entry<S>>),
}

impl<S: Scheme> Deref for Held<'_, S> {
    type Target = Entry<S>;

    fn deref(&self) -> &Entry<S> {
        match self {
            Self::Here(entry) => entry,
            Self::Again(entry) => entry,
        }
    }
}

pub(super) enum Entries<S: Scheme> {
    Read(BTreeMap<MeterId, Entry<S>>),
    /// Contributions whose signatures and proofs were checked.
    Messages(BTreeMap<MeterId, Vec<u8>>),
}

impl<S: Scheme> Entries<S> {
    pub(super) fn none() -> Self {
        Self::Read(BTreeMap::new())
    }

    pub(super) fn has(&self, meter: &MeterId) -> bool {
        match self {
            Self::Read(entries) => entries.contains_key(meter),
            Self::Messages(messages) => messages.contains_key(meter),
        }
    }

    pub(super) fn insert(&mut self, entry: Entry<S>) {
        let meter = entry.meter.clone();
        match self {
            Self::Read(entries) => drop(entries.insert(meter, entry)),
            Self::Messages(messages) => drop(messages.insert(meter, entry.message)),
        }
    }

    /// The entries, unless the round is over.
    pub(super) fn read(&self) -> impl Iterator<Item = &Entry<S>> {
        let entries = match self {
            Self::Read(entries) => Some(entries.values()),
            Self::Messages(_) => None,
        };
        entries.into_iter().flatten()
    }

    pub(super) fn get(&self, roster: &AcceptedRoster<S>, meter: &MeterId) -> Option<Held<'_, S>> {
        match self {
            Self::Read(entries) => entries.get(meter).map(Held::Here),
            Self::Messages(messages) => {
                let message = messages.get(meter)?;
                let envelope = Envelope::parse(message).ok()?;
                let entry = Entry::kept_contribution(roster, &envelope, message).ok()?;
                Some(Held::Again(Box::new(entry)))
            }
        }
    }

    /// Whether an entry is there whose proofs need no check after this one's.
    pub(super) fn knows(&self, entry: &Entry<S>) -> bool {
        match self {
            Self::Read(entries) => entries.get(&entry.meter).is_some_and(|known| {
                known.hidden == entry.hidden
                    && known.range_proof == entry.range_proof
                    && known.listing == entry.listing
            }),
            Self::Messages(_) => self.message(&entry.meter) == Some(&entry.message),
        }
    }

    pub(super) fn message(&self, meter: &MeterId) -> Option<&[u8]> {
        match self {
            Self::Read(entries) => entries.get(meter).map(|entry| entry.message.as_slice()),
            Self::Messages(messages) => messages.get(meter).map(Vec::as_slice),
        }
    }

    /// In the order of the members' ids.
    pub(super) fn meters(&self) -> Box<dyn Iterator<Item = &MeterId> + '_> {
        match self {
            Self::Read(entries) => Box::new(entries.keys()),
            Self::Messages(messages) => Box::new(messages.keys()),
        }
    }

    /// In the order of the members' ids.
    pub(super) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.meters().filter_map(|meter| self.message(meter))
    }

    /// Drops the entries of all others; whose they were.
    pub(super) fn keep(&mut self, members: &BTreeSet<&MeterId>) -> Vec<MeterId> {
        let goes = |meter: &MeterId| !members.contains(meter);
        match self {
            Self::Read(entries) => {
                let dropped = entries.extract_if(.., |meter, _| goes(meter));
                dropped.map(|(meter, _)| meter).collect()
            }
            Self::Messages(messages) => {
                let dropped = messages.extract_if(.., |meter, _| goes(meter));
                dropped.map(|(meter, _)| meter).collect()
            }
        }
    }

    /// Leaves the messages alone.
    pub(super) fn put_away(&mut self) {
        if let Self::Read(entries) = self {
            let entries = std::mem::take(entries).into_iter();
            *self = Self::Messages(entries.map(|(meter, entry)| (meter, entry.message)).collect());
        }
    }
}
