//! Events on their way to the owner.

use std::collections::VecDeque;

use rumqttc::{AsyncClient, Publish, QoS};
use tokio::sync::mpsc;
use tracing::warn;

use crate::Event;

/// How many messages may wait beside a full channel. Brokers stop earlier, at their limit of
/// unacknowledged messages (rumqttd 100, mosquitto 20); beyond stands a broker that knows none.
const OVERFLOW: usize = 1024;

/// The way to the owner: a bounded channel, and beside it what came while the channel was full.
/// What stands beside it is not acknowledged yet.
pub(crate) struct Inbox {
    events: mpsc::Sender<Event>,
    waiting: VecDeque<Parcel>,
    dropped: u64,
}

struct Parcel {
    event: Event,
    /// The message's packet id and `QoS`, as the client wants them back for the acknowledgement.
    receipt: Option<Publish>,
}

/// The broker sends more than it may without acknowledgements.
pub(crate) struct Overflow;

impl Inbox {
    pub(crate) fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, waiting: VecDeque::new(), dropped: 0 }
    }

    /// Whether something waits beside the channel.
    pub(crate) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Waits until [`Self::deliver`] can achieve something. False: the owner has gone.
    pub(crate) async fn has_room(&self) -> bool {
        if self.waiting.is_empty() {
            self.events.closed().await;
            return false;
        }
        self.events.reserve().await.is_ok()
    }

    /// Gives up what waits, unacknowledged: the owner has gone.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Adds an event of the link itself. Of failures in a row only the last one waits.
    pub(crate) fn announce(&mut self, event: Event) {
        let is_failure = |event: &Event| matches!(event, Event::Disconnected { .. });
        match self.waiting.back_mut() {
            Some(last) if is_failure(&last.event) && is_failure(&event) => last.event = event,
            _ => self.waiting.push_back(Parcel { event, receipt: None }),
        }
    }

    /// Adds a message. One with `QoS` 0 carries no promise and is dropped if there is no room.
    pub(crate) fn accept(&mut self, publish: Publish) -> Result<(), Overflow> {
        if self.waiting.len() >= OVERFLOW {
            if publish.qos != QoS::AtMostOnce {
                return Err(Overflow);
            }
            self.dropped += 1;
            warn!(dropped = self.dropped, "the owner is slow: messages with QoS 0 are dropped");
            return Ok(());
        }
        let mut receipt = Publish::new(String::new(), publish.qos, Vec::new());
        receipt.pkid = publish.pkid;
        let event = Event::Message { topic: publish.topic, payload: publish.payload.into() };
        self.waiting.push_back(Parcel { event, receipt: Some(receipt) });
        Ok(())
    }

    /// Moves what fits into the channel and acknowledges it, if the connection still stands.
    /// False: acknowledgements pile up because the connection does not move.
    pub(crate) fn deliver(&mut self, client: Option<&AsyncClient>) -> bool {
        while let Ok(permit) = self.events.try_reserve() {
            let Some(parcel) = self.waiting.pop_front() else {
                break;
            };
            permit.send(parcel.event);
            if let (Some(client), Some(receipt)) = (client, parcel.receipt)
                && client.try_ack(&receipt).is_err()
            {
                return false;
            }
        }
        true
    }
}
