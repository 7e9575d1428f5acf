//! The link against a broker that misbehaves, byte by byte (MQTT 3.1.1).
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and a skipped one says so"
)]

mod shared;

use std::time::Duration;

use link::{CloseError, Event, Options, PublishError, Sender};
use shared::{connected, disconnected, next, open, options, patiently};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const CONNACK_WITH_SESSION: [u8; 4] = [0x20, 2, 1, 0];

struct Script {
    listener: TcpListener,
}

impl Script {
    async fn start() -> (Self, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (Self { listener }, port)
    }

    /// Accepts a client and answers its CONNECT.
    async fn accept(&self, connack: [u8; 4]) -> TcpStream {
        let (mut stream, _) = patiently("a client", self.listener.accept()).await.unwrap();
        assert_eq!(read_packet(&mut stream).await.0, 0x10, "CONNECT");
        stream.write_all(&connack).await.unwrap();
        stream
    }
}

/// A packet's first byte and its body; bodies here are shorter than 128 bytes.
async fn read_packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    patiently("a packet", stream.read_exact(&mut head)).await.unwrap();
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body).await.unwrap();
    (head[0], body)
}

/// Answers a SUBSCRIBE with these codes.
async fn suback(stream: &mut TcpStream, codes: &[u8]) {
    let (kind, body) = read_packet(stream).await;
    assert_eq!(kind, 0x82, "SUBSCRIBE");
    let length = u8::try_from(2 + codes.len()).unwrap();
    let answer = [&[0x90, length, body[0], body[1]], codes].concat();
    stream.write_all(&answer).await.unwrap();
}

#[tokio::test]
async fn a_refused_subscription_is_named_and_tried_again() {
    let (script, port) = Script::start().await;
    let (_sender, mut receiver) = open(options(port, "refused", &["open/#", "secret/#"]));

    let mut stream = script.accept(CONNACK).await;
    suback(&mut stream, &[1, 0x80]).await;
    assert_eq!(next(&mut receiver).await, Event::Refused { filter: "secret/#".into() });
    assert!(disconnected(&mut receiver).await.contains("secret/#"));

    let mut stream = script.accept(CONNACK).await;
    suback(&mut stream, &[1, 1]).await;
    assert!(!connected(&mut receiver).await);
}

#[tokio::test]
async fn a_resumed_session_is_not_subscribed_again_but_a_new_one_is() {
    let (script, port) = Script::start().await;
    let (sender, mut receiver) = open(options(port, "resumed", &["a"]));

    // The first connection of a process subscribes even so: its filters may be new.
    let mut stream = script.accept(CONNACK_WITH_SESSION).await;
    suback(&mut stream, &[1]).await;
    assert!(connected(&mut receiver).await);
    drop(stream);

    let mut stream = script.accept(CONNACK_WITH_SESSION).await;
    assert!(connected(&mut receiver).await);
    sender.publish("p", vec![1], false).await.unwrap();
    assert_eq!(read_packet(&mut stream).await.0, 0x32, "PUBLISH, not SUBSCRIBE");
    drop(stream);

    let mut stream = script.accept(CONNACK).await;
    suback(&mut stream, &[1]).await;
    assert!(!connected(&mut receiver).await);
}

#[tokio::test]
async fn a_session_that_a_failed_attempt_has_left_behind_is_subscribed() {
    let (script, port) = Script::start().await;
    let (_sender, mut receiver) = open(options(port, "left-behind", &["a"]));
    let mut stream = script.accept(CONNACK).await;
    suback(&mut stream, &[1]).await;
    connected(&mut receiver).await;
    drop(stream);

    // A broker that has started anew makes a session; its answer is lost.
    let (mut stream, _) = patiently("an attempt", script.listener.accept()).await.unwrap();
    assert_eq!(read_packet(&mut stream).await.0, 0x10, "CONNECT");
    drop(stream);

    let mut stream = script.accept(CONNACK_WITH_SESSION).await;
    suback(&mut stream, &[1]).await;
    assert!(connected(&mut receiver).await);
}

#[tokio::test]
async fn a_publish_that_was_not_acknowledged_is_forgotten_with_its_connection() {
    let (script, port) = Script::start().await;
    let (sender, mut receiver) = open(options(port, "forgets", &[]));
    let mut stream = script.accept(CONNACK).await;
    connected(&mut receiver).await;
    sender.publish("old", vec![1], false).await.unwrap();
    assert_eq!(&read_packet(&mut stream).await.1[2..5], b"old");
    drop(stream);

    let mut stream = script.accept(CONNACK_WITH_SESSION).await;
    connected(&mut receiver).await;
    sender.publish("new", vec![2], false).await.unwrap();
    assert_eq!(&read_packet(&mut stream).await.1[2..5], b"new");
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_taken_for_dead() {
    let (script, port) = Script::start().await;
    let keep_alive = Duration::from_secs(1);
    let (_sender, mut receiver) = open(Options { keep_alive, ..options(port, "silent", &[]) });
    let _silent = script.accept(CONNACK).await;
    connected(&mut receiver).await;
    assert!(disconnected(&mut receiver).await.contains("does not answer"));
}

#[tokio::test]
async fn pings_go_out_while_the_owner_is_away() {
    let (script, port) = Script::start().await;
    let keep_alive = Duration::from_secs(1);
    let (_sender, _unread) = open(Options { keep_alive, ..options(port, "away", &[]) });
    let mut stream = script.accept(CONNACK).await;
    for packet_id in 1..=300_u16 {
        let [high, low] = packet_id.to_be_bytes();
        stream.write_all(&[0x32, 5, 0, 1, b'a', high, low]).await.unwrap();
    }
    let (mut acknowledged, mut pings) = (0, 0);
    while pings < 2 {
        match read_packet(&mut stream).await.0 {
            0x40 => acknowledged += 1,
            0xc0 => {
                pings += 1;
                stream.write_all(&[0xd0, 0]).await.unwrap();
            }
            kind => panic!("packet {kind:#x}"),
        }
    }
    // One place of 256 holds the event `Connected`.
    assert_eq!(acknowledged, 255, "the rest waits for the owner");
}

#[tokio::test]
async fn a_topic_that_is_not_utf8_costs_the_connection_and_no_more() {
    let (script, port) = Script::start().await;
    let (_sender, mut receiver) = open(options(port, "utf8", &[]));
    let mut stream = script.accept(CONNACK).await;
    connected(&mut receiver).await;
    stream.write_all(&[0x30, 4, 0, 2, 0xff, 0xfe]).await.unwrap();
    disconnected(&mut receiver).await;
    let _stream = script.accept(CONNACK).await;
    connected(&mut receiver).await;
}

#[tokio::test]
async fn close_tells_how_much_the_broker_may_not_have_heard() {
    let (script, port) = Script::start().await;
    let (sender, mut receiver) = open(options(port, "deaf", &[]));
    let _deaf = script.accept(CONNACK).await;
    connected(&mut receiver).await;
    for _ in 0..150 {
        sender.publish("a", vec![1], false).await.unwrap();
    }
    let closed = patiently("the end", sender.close()).await;
    assert_eq!(closed, Err(CloseError { unacknowledged: 150 }));
}

#[tokio::test]
async fn a_full_queue_is_an_error_and_a_lost_connection_frees_whoever_waits() {
    let (script, port) = Script::start().await;
    let (sender, mut receiver) = open(options(port, "full", &[]));
    let deaf = script.accept(CONNACK).await;
    connected(&mut receiver).await;
    while sender.try_publish("a", vec![1], false).is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(sender.try_publish("a", vec![1], false), Err(PublishError::Full));
    let waiting = tokio::spawn(async move { sender.publish("a", vec![1], false).await });
    drop(deaf);
    assert_eq!(patiently("the wait's end", waiting).await.unwrap(), Ok(()));
}

async fn assert_closed(sender: &Sender) {
    let closed = async {
        while sender.try_publish("a", vec![], false) != Err(PublishError::Closed) {
            tokio::task::yield_now().await;
        }
    };
    patiently("the end", closed).await;
}

#[tokio::test]
async fn dropping_the_receiver_closes_the_link() {
    let (script, port) = Script::start().await;
    let (sender, mut receiver) = open(options(port, "dropped", &[]));
    let mut stream = script.accept(CONNACK).await;
    connected(&mut receiver).await;
    drop(receiver);
    assert_eq!(read_packet(&mut stream).await.0, 0xe0, "DISCONNECT");
    assert_closed(&sender).await;
}

#[tokio::test]
async fn a_link_that_never_connected_closes_at_once() {
    let (sender, _receiver) = open(options(shared::free_port(), "nobody", &[]));
    assert_eq!(sender.try_publish("a", vec![], false), Err(PublishError::Offline));
    let clone = sender.clone();
    assert_eq!(patiently("the end", sender.close()).await, Ok(()));
    assert_closed(&clone).await;
}
