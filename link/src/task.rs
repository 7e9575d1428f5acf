//! The task that owns the connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use rumqttc::{ConnAck, ConnectionError, Outgoing, Packet, SubAck, SubscribeReasonCode};
use tokio::select;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::connection::{Connection, Phase, Stuck};
use crate::inbox::{Inbox, Overflow};
use crate::sender::Publication;
use crate::{Event, Options};

/// All that a link is, apart from its present connection.
pub(crate) struct Task {
    options: Options,
    queue: mpsc::Receiver<Publication>,
    closing: mpsc::Receiver<oneshot::Sender<usize>>,
    /// Who waits for the link to close.
    closer: Option<oneshot::Sender<usize>>,
    online: watch::Sender<bool>,
    inbox: Inbox,
    backoff: Backoff,
    /// A session that the broker still has holds all our filters: every attempt since they were
    /// confirmed has brought a connection. One that did not may have left a session without them
    /// at a broker that has started anew.
    subscribed: bool,
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// As the owner wished, with so many publishes unacknowledged.
    Closed(usize),
    Lost(String),
}

type Polled = Result<rumqttc::Event, ConnectionError>;

impl Task {
    pub(crate) fn new(
        options: Options,
        queue: mpsc::Receiver<Publication>,
        closing: mpsc::Receiver<oneshot::Sender<usize>>,
        online: watch::Sender<bool>,
        inbox: Inbox,
        backoff: Backoff,
    ) -> Self {
        let (closer, subscribed) = (None, false);
        Self { options, queue, closing, closer, online, inbox, backoff, subscribed }
    }

    /// Connects again and again, until the owner closes the link.
    pub(crate) async fn run(mut self) {
        let unacknowledged = loop {
            let Err(end) = self.connect().await;
            self.online.send_replace(false);
            match end {
                End::Closed(unacknowledged) => break unacknowledged,
                End::Lost(reason) => self.inbox.announce(Event::Disconnected { reason }),
            }
            let pause = self.backoff.pause();
            if let Err(End::Closed(unacknowledged)) = self.rest(pause).await {
                break unacknowledged;
            }
        };
        self.queue.close();
        if let Some(closer) = self.closer
            && closer.send(unacknowledged).is_err()
        {
            debug!(unacknowledged, "closed, with nobody waiting for it");
        }
    }

    /// One connection, to its end.
    async fn connect(&mut self) -> Result<Infallible, End> {
        let (mut connection, mut events) = Connection::dial(&self.options);
        let mut turns = async || -> Result<Infallible, End> {
            loop {
                // Cancelled in between, a poll could lose half a packet: it always runs to its end.
                let mut poll = pin!(events.poll());
                let event = loop {
                    if let Some(polled) = self.turn(&mut connection, poll.as_mut()).await? {
                        break polled?;
                    }
                };
                self.on_event(&mut connection, event)?;
            }
        };
        let end = turns().await;
        if connection.was_stable() {
            self.backoff.reset();
        }
        self.subscribed &= connection.was_online();
        let Err(End::Lost(reason)) = end else {
            return end;
        };
        Err(self.lose(&connection, &reason))
    }

    /// The next thing that happens; `Some` if it was the poll's end.
    async fn turn(
        &mut self,
        connection: &mut Connection,
        poll: Pin<&mut impl Future<Output = Polled>>,
    ) -> Result<Option<Polled>, End> {
        let takes_publishes = match connection.phase {
            Phase::Online => connection.has_window(),
            Phase::Draining => connection.has_window() && !self.queue.is_empty(),
            // Whatever was queued before the connection stood is out of date.
            Phase::Connecting | Phase::Subscribing { .. } => true,
            Phase::Leaving => false,
        };
        let is_closing = matches!(connection.phase, Phase::Draining | Phase::Leaving);
        select! {
            polled = poll => return Ok(Some(polled)),
            publication = self.queue.recv(), if takes_publishes =>
                self.on_publication(connection, publication)?,
            Some(closer) = self.closing.recv(), if self.closer.is_none() => {
                self.closer = Some(closer);
                self.drain(connection)?;
            }
            has_room = self.inbox.has_room(), if !is_closing || self.inbox.is_behind() =>
                self.on_room(connection, has_room)?,
            () = sleep_until(connection.deadline()) =>
                return Err(End::Lost("the broker does not answer".into())),
        }
        Ok(None)
    }

    /// Waits before the next attempt, at least until the owner has read what the last connection
    /// brought: so the memory that an absent owner costs stays bounded.
    async fn rest(&mut self, pause: Duration) -> Result<(), End> {
        let until = Instant::now() + pause;
        let mut rested = false;
        self.inbox.deliver(None);
        while !rested || self.inbox.is_behind() {
            select! {
                () = sleep_until(until), if !rested => rested = true,
                // Queued when the connection was already lost.
                publication = self.queue.recv() => if publication.is_none() {
                    return Err(End::Closed(0));
                },
                Some(closer) = self.closing.recv() => {
                    self.closer = Some(closer);
                    return Err(End::Closed(0));
                }
                has_room = self.inbox.has_room() => {
                    if !has_room {
                        return Err(End::Closed(0));
                    }
                    self.inbox.deliver(None);
                }
            }
        }
        Ok(())
    }

    fn on_event(&mut self, connection: &mut Connection, event: rumqttc::Event) -> Result<(), End> {
        let packet = match event {
            rumqttc::Event::Incoming(packet) => packet,
            rumqttc::Event::Outgoing(Outgoing::Disconnect) => {
                return Err(End::Closed(connection.unacknowledged));
            }
            rumqttc::Event::Outgoing(_) => return Ok(()),
        };
        connection.hear();
        match packet {
            Packet::ConnAck(connack) => self.on_connack(connection, &connack),
            Packet::SubAck(suback) => self.on_suback(connection, &suback),
            Packet::Publish(publish) => {
                self.inbox.accept(publish)?;
                self.deliver(connection)
            }
            Packet::PubAck(_) => {
                connection.unacknowledged = connection.unacknowledged.saturating_sub(1);
                self.leave_if_drained(connection)
            }
            _ => Ok(()),
        }
    }

    fn on_connack(&mut self, connection: &mut Connection, connack: &ConnAck) -> Result<(), End> {
        let session_present = connack.session_present;
        if self.options.subscriptions.is_empty() || (session_present && self.subscribed) {
            return self.go_online(connection, session_present);
        }
        connection.enter(Phase::Subscribing { session_present });
        Ok(connection.subscribe(&self.options.subscriptions)?)
    }

    fn on_suback(&mut self, connection: &mut Connection, suback: &SubAck) -> Result<(), End> {
        let Phase::Subscribing { session_present } = connection.phase else {
            return Ok(());
        };
        let filters = &self.options.subscriptions;
        if suback.return_codes.len() != filters.len() {
            return Err(End::Lost("the broker answered only some of the subscriptions".into()));
        }
        let answers = filters.iter().zip(&suback.return_codes);
        let refused: Vec<_> = answers
            .filter(|(_, code)| **code == SubscribeReasonCode::Failure)
            .map(|(filter, _)| filter.clone())
            .collect();
        if refused.is_empty() {
            return self.go_online(connection, session_present);
        }
        let reason = format!("the broker refused subscriptions: {}", refused.join(", "));
        for filter in refused {
            self.inbox.announce(Event::Refused { filter });
        }
        Err(End::Lost(reason))
    }

    fn go_online(&mut self, connection: &mut Connection, session_present: bool) -> Result<(), End> {
        // Queued before the last connection was lost, and noticed only now.
        while self.queue.try_recv().is_ok() {}
        info!(address = %self.options.address, session_present, "connected");
        self.subscribed = true;
        connection.enter(Phase::Online);
        self.online.send_replace(true);
        self.inbox.announce(Event::Connected { session_present });
        self.deliver(connection)
    }

    fn on_publication(
        &mut self,
        connection: &mut Connection,
        publication: Option<Publication>,
    ) -> Result<(), End> {
        match (publication, connection.phase) {
            (Some(publication), Phase::Online | Phase::Draining) => {
                Ok(connection.publish(publication)?)
            }
            (Some(_), _) => Ok(()),
            // All senders are gone, and the queue is empty.
            (None, _) => {
                self.drain(connection)?;
                self.leave_if_drained(connection)
            }
        }
    }

    fn on_room(&mut self, connection: &mut Connection, has_room: bool) -> Result<(), End> {
        if has_room {
            return self.deliver(connection);
        }
        self.inbox.forget();
        self.drain(connection)
    }

    fn deliver(&mut self, connection: &Connection) -> Result<(), End> {
        if self.inbox.deliver(Some(&connection.client)) { Ok(()) } else { Err(Stuck.into()) }
    }

    /// Begins to close: what is queued still goes out.
    fn drain(&mut self, connection: &mut Connection) -> Result<(), End> {
        self.queue.close();
        match connection.phase {
            Phase::Connecting | Phase::Subscribing { .. } => Err(End::Closed(0)),
            Phase::Online => {
                connection.enter(Phase::Draining);
                self.leave_if_drained(connection)
            }
            Phase::Draining | Phase::Leaving => Ok(()),
        }
    }

    fn leave_if_drained(&mut self, connection: &mut Connection) -> Result<(), End> {
        let is_drained = self.queue.is_empty() && connection.unacknowledged == 0;
        if connection.phase == Phase::Draining && is_drained {
            connection.leave()?;
        }
        Ok(())
    }

    /// Tells a connection that was lost from one that was to end anyway.
    fn lose(&self, connection: &Connection, reason: &str) -> End {
        if matches!(connection.phase, Phase::Draining | Phase::Leaving) {
            return End::Closed(connection.unacknowledged + self.queue.len());
        }
        let address = &self.options.address;
        warn!(%address, reason, "no connection");
        End::Lost(format!("{address}: {reason}"))
    }
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<Stuck> for End {
    fn from(_: Stuck) -> Self {
        Self::Lost("the connection does not move".into())
    }
}

impl From<Overflow> for End {
    fn from(_: Overflow) -> Self {
        Self::Lost("the broker sends on without acknowledgements".into())
    }
}
