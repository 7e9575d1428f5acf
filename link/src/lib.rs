//! Bytes in and out over MQTT 3.1.1, and nothing else: this crate knows no message of the project.
//!
//! A link stays within the profile that every broker serves: `QoS` 1, no MQTT 5, no shared
//! subscriptions, plain ASCII topics. It connects, subscribes, and connects again with backoff and
//! jitter. Its promises:
//!
//! * **A connection is a value.** Whatever ends it, the link forgets every publish that was queued
//!   or not yet acknowledged, and refuses new ones ([`PublishError::Offline`]) until
//!   [`Event::Connected`]. Whoever needs a message to arrive sends it again on every `Connected`
//!   until a receipt from the other end settles it. So nothing old piles up, and nothing is
//!   remembered in two places.
//! * **`Ok` from a publish means queued**, not delivered and not even heard by the broker.
//! * **A slow owner slows the broker.** A message is acknowledged when it enters the receiver's
//!   bounded queue. While that queue is full the link keeps talking and withholds
//!   acknowledgements, so that the broker stops at its own limit of messages in flight. One broker
//!   (rumqttd 0.20) then withholds its own answers too, pings included: an owner that stays away
//!   for longer than one and a half keep-alives loses the connection, and the next attempt waits
//!   until the queue has room. A message may therefore arrive twice.
//! * **Dropping either half closes the link**; [`Sender::close`] does so and tells what was left.

mod address;
mod backoff;
mod connection;
mod event;
mod inbox;
mod options;
mod sender;
mod task;

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use tokio::sync::{mpsc, oneshot, watch};

pub use address::{Address, AddressError};
pub use event::{Event, Receiver};
pub use options::{Options, OptionsError, Session};
pub use sender::{CloseError, PublishError, Sender};

use backoff::Backoff;
use inbox::Inbox;
use task::Task;

/// For [`Options::spread`] of one among thousands. rumqttd accepts some 300 connections a second on
/// two busy cores and has room for 128 that wait; the others are dropped, and the system tries them
/// again after 1, 3, 7 and 15 s.
pub const SPREAD: Duration = Duration::from_secs(20);

/// Publishes that wait for the connection's window.
const QUEUE: usize = 256;
/// Events that wait for the owner.
const INBOX: usize = 256;

/// Opens a link and starts to connect. `rng` jitters the pauses between attempts.
///
/// Must be called within a tokio runtime: the connection lives in a task of its own, because
/// keep-alives have to go out while the owner is busy.
///
/// # Errors
/// [`OptionsError`] names the option that no broker would accept.
pub fn open(options: Options, rng: ChaCha20Rng) -> Result<(Sender, Receiver), OptionsError> {
    options.check()?;
    let (queue, queued) = mpsc::channel(QUEUE);
    let (closing, closers) = mpsc::channel::<oneshot::Sender<usize>>(1);
    let (online, is_online) = watch::channel(false);
    let (events, received) = mpsc::channel(INBOX);
    let sender = Sender::new(queue, closing, is_online, options.max_packet);
    let backoff = Backoff::new(rng, options.spread);
    let task = Task::new(options, queued, closers, online, Inbox::new(events), backoff);
    tokio::spawn(task.run());
    Ok((sender, Receiver::new(received)))
}
