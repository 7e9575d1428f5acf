//! The owner's end for publishing and closing.

use tokio::sync::{mpsc, oneshot, watch};

use crate::options::is_topic;

/// The most bytes of an MQTT publish beside topic and payload: one of type, four of length, two of
/// the topic's length, two of packet id.
const OVERHEAD: usize = 9;

/// Publishes over a link. Clones share the link.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: mpsc::Sender<Publication>,
    closing: mpsc::Sender<oneshot::Sender<usize>>,
    online: watch::Receiver<bool>,
    max_packet: usize,
}

/// A message on its way out.
pub(crate) struct Publication {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retain: bool,
}

/// Why a message was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection. Send it again after the next [`crate::Event::Connected`].
    #[error("not connected to the broker")]
    Offline,
    /// The broker is slower than the owner. Only from [`Sender::try_publish`].
    #[error("the queue to the broker is full")]
    Full,
    /// The link has closed, or is closing.
    #[error("the link is closed")]
    Closed,
    /// The packet would exceed [`crate::Options::max_packet`].
    #[error("a packet of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Of the packet, in bytes.
        size: usize,
        /// In bytes.
        limit: usize,
    },
    /// Not a topic that every broker accepts.
    #[error(
        "topic {0:?}: accepted are 1 to 65535 visible ASCII characters without `+` and `#` that \
         do not start with `/` or `$`"
    )]
    Topic(String),
}

/// The link closed before the broker had acknowledged everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{unacknowledged} publishes were not acknowledged before the link closed")]
pub struct CloseError {
    /// How many publishes the broker may not have heard.
    pub unacknowledged: usize,
}

impl Sender {
    pub(crate) fn new(
        queue: mpsc::Sender<Publication>,
        closing: mpsc::Sender<oneshot::Sender<usize>>,
        online: watch::Receiver<bool>,
        max_packet: usize,
    ) -> Self {
        Self { queue, closing, online, max_packet }
    }

    /// Queues a message with `QoS` 1, waiting for room while the connection lasts. The wait ends at
    /// the latest when the broker is taken for dead; the message is then forgotten like all
    /// others. An owner that reads its events in the same task should rather use
    /// [`Self::try_publish`], or wait for both at once.
    ///
    /// # Errors
    /// All of [`PublishError`] but `Full`.
    pub async fn publish(
        &self,
        topic: impl Into<String>,
        payload: Vec<u8>,
        retain: bool,
    ) -> Result<(), PublishError> {
        let publication = self.check(topic.into(), payload, retain)?;
        self.queue.send(publication).await.map_err(|_| PublishError::Closed)
    }

    /// Queues a message with `QoS` 1, or tells at once why not.
    ///
    /// # Errors
    /// All of [`PublishError`].
    pub fn try_publish(
        &self,
        topic: impl Into<String>,
        payload: Vec<u8>,
        retain: bool,
    ) -> Result<(), PublishError> {
        let publication = self.check(topic.into(), payload, retain)?;
        self.queue.try_send(publication).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PublishError::Full,
            mpsc::error::TrySendError::Closed(_) => PublishError::Closed,
        })
    }

    /// Refuses further publishes, hands over those that are queued, waits until the broker has
    /// acknowledged them all, and takes leave of it. Ends after 2 s at the latest, whatever the
    /// broker does. Without a connection there is nothing to hand over.
    ///
    /// # Errors
    /// [`CloseError`] if acknowledgements were missing when the time was up.
    pub async fn close(self) -> Result<(), CloseError> {
        let (closer, outcome) = oneshot::channel();
        if self.closing.try_send(closer).is_err() {
            // A clone is closing the link already, or it has closed.
            self.closing.closed().await;
            return Ok(());
        }
        match outcome.await {
            Ok(0) | Err(_) => Ok(()),
            Ok(unacknowledged) => Err(CloseError { unacknowledged }),
        }
    }

    fn check(
        &self,
        topic: String,
        payload: Vec<u8>,
        retain: bool,
    ) -> Result<Publication, PublishError> {
        if !is_topic(&topic) {
            return Err(PublishError::Topic(topic));
        }
        let size = topic.len() + payload.len() + OVERHEAD;
        if size > self.max_packet {
            return Err(PublishError::TooLarge { size, limit: self.max_packet });
        }
        if self.queue.is_closed() {
            return Err(PublishError::Closed);
        }
        if !*self.online.borrow() {
            return Err(PublishError::Offline);
        }
        Ok(Publication { topic, payload, retain })
    }
}
