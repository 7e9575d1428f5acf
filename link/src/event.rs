//! What a link tells its owner.

use std::fmt;

use tokio::sync::mpsc;

/// Something that happened on the link.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// The broker accepted the connection and all subscriptions; publishes are accepted from now
    /// on. Send again whatever has no receipt yet.
    Connected {
        /// The broker kept this client's session: messages that it queued meanwhile follow, and
        /// some of them may have come before this event.
        session_present: bool,
    },
    /// A connection ended or an attempt failed; another attempt follows. Publishes that were not
    /// acknowledged are forgotten. A repeated failure that the owner has not read yet replaces
    /// the one before it.
    Disconnected {
        /// Why, for a person.
        reason: String,
    },
    /// The broker refused a subscription. The attempt counts as failed: `Disconnected` follows.
    Refused {
        /// The filter in question.
        filter: String,
    },
    /// A message. It may be a repetition.
    Message {
        /// The topic it was published under.
        topic: String,
        /// Its bytes.
        payload: Vec<u8>,
    },
}

/// Payloads stay out of logs, even by accident.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { session_present } => {
                f.debug_struct("Connected").field("session_present", session_present).finish()
            }
            Self::Disconnected { reason } => {
                f.debug_struct("Disconnected").field("reason", reason).finish()
            }
            Self::Refused { filter } => f.debug_struct("Refused").field("filter", filter).finish(),
            Self::Message { topic, payload } => f
                .debug_struct("Message")
                .field("topic", topic)
                .field("payload", &format_args!("{} bytes", payload.len()))
                .finish(),
        }
    }
}

/// The owner's end of a link's events, in the order in which they happened.
#[derive(Debug)]
pub struct Receiver {
    events: mpsc::Receiver<Event>,
}

impl Receiver {
    pub(crate) fn new(events: mpsc::Receiver<Event>) -> Self {
        Self { events }
    }

    /// Waits for the next event; `None` once the link has closed. Cancel safe: an event is lost
    /// neither in `select!` nor under a timeout.
    pub async fn recv(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_form_of_a_message_hides_its_payload() {
        let message = Event::Message { topic: "a/b".into(), payload: vec![250, 251, 252] };
        assert_eq!(format!("{message:?}"), "Message { topic: \"a/b\", payload: 3 bytes }");
    }
}
