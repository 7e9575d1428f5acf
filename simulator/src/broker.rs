//! The broker between the parties: sessions, retained messages, queues. None
//! of it survives a restart.

use std::collections::{BTreeMap, HashMap};

use protocol::output::Publication;

use crate::plan::Party;

/// One party's persistent session.
struct Session {
    filters: Vec<String>,
    connected: bool,
    /// What came while the party was away.
    queue: Vec<Vec<u8>>,
}

pub(crate) struct Broker {
    sessions: BTreeMap<Party, Session>,
    retained: BTreeMap<String, Vec<u8>>,
    /// Who subscribes to a topic, found once.
    subscribers: HashMap<String, Vec<Party>>,
}

impl Broker {
    pub(crate) fn new(subscriptions: impl IntoIterator<Item = (Party, Vec<String>)>) -> Self {
        let session =
            |(party, filters)| (party, Session { filters, connected: false, queue: Vec::new() });
        let sessions = subscriptions.into_iter().map(session).collect();
        Self { sessions, retained: BTreeMap::new(), subscribers: HashMap::new() }
    }

    pub(crate) fn is_connected(&self, party: Party) -> bool {
        self.sessions.get(&party).is_some_and(|session| session.connected)
    }

    /// Whether a party subscribes to a topic; else it is for those outside.
    pub(crate) fn serves(&mut self, topic: &str) -> bool {
        !self.subscribers(topic).is_empty()
    }

    fn subscribers(&mut self, topic: &str) -> Vec<Party> {
        if let Some(known) = self.subscribers.get(topic) {
            return known.clone();
        }
        let wanted = self.sessions.iter().filter(|(_, session)| session.wants(topic));
        let found: Vec<_> = wanted.map(|(party, _)| *party).collect();
        self.subscribers.insert(topic.to_owned(), found.clone());
        found
    }

    /// Whom a message goes to now; it is queued for those that are away.
    pub(crate) fn route(&mut self, message: &Publication) -> Vec<Party> {
        if message.retain {
            self.retained.insert(message.topic.clone(), message.payload.clone());
        }
        let mut receivers = self.subscribers(&message.topic);
        receivers.retain(|party| match self.sessions.get_mut(party) {
            Some(session) if !session.connected => {
                session.queue.push(message.payload.clone());
                false
            }
            _ => true,
        });
        receivers
    }

    /// Keeps a message for a party that went away while it was under way.
    pub(crate) fn keep(&mut self, party: Party, payload: Vec<u8>) {
        if let Some(session) = self.sessions.get_mut(&party) {
            session.queue.push(payload);
        }
    }

    /// Connects a party: what was queued for it, then what is retained.
    pub(crate) fn connect(&mut self, party: Party) -> Vec<Vec<u8>> {
        let Some(session) = self.sessions.get_mut(&party) else { return Vec::new() };
        session.connected = true;
        let mut messages = std::mem::take(&mut session.queue);
        let retained = self.retained.iter().filter(|(topic, _)| session.wants(topic));
        messages.extend(retained.map(|(_, payload)| payload.clone()));
        messages
    }

    pub(crate) fn disconnect(&mut self, party: Party) {
        if let Some(session) = self.sessions.get_mut(&party) {
            session.connected = false;
        }
    }

    /// Forgets what a party subscribes to, for good.
    #[cfg(test)]
    pub(crate) fn forget(&mut self, party: Party) {
        self.sessions.remove(&party);
        self.subscribers.clear();
    }

    /// Loses everything but the subscriptions, which parties renew when they
    /// connect.
    pub(crate) fn restart(&mut self) {
        self.retained.clear();
        for session in self.sessions.values_mut() {
            session.connected = false;
            session.queue.clear();
        }
    }
}

impl Session {
    fn wants(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| matches(filter, topic))
    }
}

/// Whether a topic falls under a filter (MQTT 3.1.1, section 4.7.1): `+` is
/// any one level, `#` this level and all below.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, found) if found == Some(wanted) => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_one_level_and_a_hash_all_that_follow() {
        for (filter, topic) in [
            ("a/b", "a/b"),
            ("a/+/c", "a/b/c"),
            ("a/#", "a/b/c"),
            ("a/#", "a"),
            ("+/+", "a/b"),
            ("#", "a/b"),
        ] {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in
            [("a/b", "a/b/c"), ("a/b/c", "a/b"), ("a/+", "a/b/json"), ("a/+", "a"), ("a", "b")]
        {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }
}
