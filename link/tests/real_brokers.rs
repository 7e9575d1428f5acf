//! The link against brokers as people run them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and a skipped one says so"
)]

mod shared;

use link::{PublishError, Session};
use shared::{
    Mosquitto, connect, connected, disconnected, message, numbers, open, options, patiently,
    rumqttd,
};

#[tokio::test]
async fn a_message_makes_the_round_trip() {
    let port = rumqttd();
    let (sender, mut receiver) = connect(options(port, "both", &["a/+"])).await;
    sender.publish("a/b", vec![1, 2, 3], false).await.unwrap();
    assert_eq!(message(&mut receiver).await, ("a/b".into(), vec![1, 2, 3]));
}

#[tokio::test]
async fn a_large_message_passes_and_one_beyond_the_limit_is_refused() {
    let port = rumqttd();
    let options = options(port, "large", &["a"]);
    let limit = options.max_packet;
    let (sender, mut receiver) = connect(options).await;
    for size in [200 * 1024, 1024 * 1024] {
        let payload: Vec<u8> = (0..=250).cycle().take(size).collect();
        sender.publish("a", payload.clone(), false).await.unwrap();
        assert!(message(&mut receiver).await == ("a".into(), payload), "{size} bytes");
    }
    let refused = sender.publish("a", vec![0; limit], false).await;
    assert_eq!(refused, Err(PublishError::TooLarge { size: limit + 10, limit }));
}

#[tokio::test]
async fn a_retained_message_waits_for_subscribers() {
    let port = rumqttd();
    let (sender, _receiver) = connect(options(port, "publisher", &[])).await;
    sender.publish("a/state", vec![7], true).await.unwrap();
    sender.close().await.unwrap();
    let (_sender, mut receiver) = connect(options(port, "subscriber", &["a/#"])).await;
    assert_eq!(message(&mut receiver).await, ("a/state".into(), vec![7]));
}

async fn burst(port: u16) {
    let (_keep, mut receiver) = connect(options(port, "subscriber", &["n"])).await;
    let (sender, _events) = connect(options(port, "publisher", &[])).await;
    let publish = async {
        for number in 0..2000_u32 {
            sender.publish("n", number.to_be_bytes().to_vec(), false).await.unwrap();
        }
    };
    let (heard, ()) = tokio::join!(numbers(&mut receiver, 2000), publish);
    assert!(heard.into_iter().eq(0..2000));
}

#[tokio::test]
async fn two_thousand_messages_in_a_burst_all_arrive_through_rumqttd() {
    burst(rumqttd()).await;
}

#[tokio::test]
async fn two_thousand_messages_in_a_burst_all_arrive_through_mosquitto() {
    let Some(mosquitto) = Mosquitto::start("a burst through mosquitto") else {
        return;
    };
    burst(mosquitto.port()).await;
}

#[tokio::test]
async fn an_owner_that_reads_late_gets_everything() {
    let port = rumqttd();
    let (_keep, mut receiver) = connect(options(port, "subscriber", &["n"])).await;
    let (sender, _events) = connect(options(port, "publisher", &[])).await;
    for number in 0..2000_u32 {
        let published = sender.publish("n", number.to_be_bytes().to_vec(), false);
        patiently("room in the queue", published).await.unwrap();
    }
    sender.close().await.unwrap();
    assert!(numbers(&mut receiver, 2000).await.into_iter().eq(0..2000));
}

#[tokio::test]
async fn close_delivers_what_is_queued() {
    let port = rumqttd();
    let (_keep, mut receiver) = connect(options(port, "subscriber", &["n"])).await;
    let (sender, mut events) = connect(options(port, "publisher", &[])).await;
    for number in 0..200_u32 {
        sender.try_publish("n", number.to_be_bytes().to_vec(), false).unwrap();
    }
    let clone = sender.clone();
    patiently("the end", sender.close()).await.unwrap();
    assert!(numbers(&mut receiver, 200).await.into_iter().eq(0..200));
    assert_eq!(clone.try_publish("n", vec![], false), Err(PublishError::Closed));
    assert_eq!(patiently("the end of events", events.recv()).await, None);
}

#[tokio::test]
async fn dropping_the_sender_delivers_what_is_queued_too() {
    let port = rumqttd();
    let (_keep, mut receiver) = connect(options(port, "subscriber", &["n"])).await;
    let (sender, _events) = connect(options(port, "publisher", &[])).await;
    for number in 0..200_u32 {
        sender.try_publish("n", number.to_be_bytes().to_vec(), false).unwrap();
    }
    drop(sender);
    assert!(numbers(&mut receiver, 200).await.into_iter().eq(0..200));
}

async fn messages_wait_for_a_persistent_session(port: u16) {
    let away = options(port, "away", &["n"]);
    let (leaver, _events) = connect(away.clone()).await;
    leaver.close().await.unwrap();
    let (sender, _events) = connect(options(port, "publisher", &[])).await;
    for number in 0..50_u32 {
        sender.publish("n", number.to_be_bytes().to_vec(), false).await.unwrap();
    }
    sender.close().await.unwrap();

    let (_keep, mut receiver) = open(away);
    let mut heard = Vec::new();
    let mut resumed = None;
    while heard.len() < 50 || resumed.is_none() {
        match shared::next(&mut receiver).await {
            link::Event::Connected { session_present } => resumed = Some(session_present),
            link::Event::Message { payload, .. } => heard.extend(payload.last().copied()),
            link::Event::Disconnected { .. } => {}
            link::Event::Refused { filter } => panic!("{filter} was refused"),
        }
    }
    assert_eq!(resumed, Some(true));
    assert!(heard.into_iter().eq(0..50));
}

#[tokio::test]
async fn messages_wait_for_a_persistent_session_at_rumqttd() {
    messages_wait_for_a_persistent_session(rumqttd()).await;
}

#[tokio::test]
async fn messages_wait_for_a_persistent_session_at_mosquitto() {
    let Some(mosquitto) = Mosquitto::start("a persistent session at mosquitto") else {
        return;
    };
    messages_wait_for_a_persistent_session(mosquitto.port()).await;
}

#[tokio::test]
async fn a_clean_session_starts_from_nothing() {
    let port = rumqttd();
    let clean = link::Options { session: Session::Clean, ..options(port, "clean", &["n"]) };
    for _ in 0..2 {
        let (sender, mut receiver) = open(clean.clone());
        assert!(!connected(&mut receiver).await);
        sender.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_link_subscribes_again_when_the_broker_returns() {
    let Some(mut mosquitto) = Mosquitto::start("a broker that returns") else {
        return;
    };
    let (sender, mut receiver) = connect(options(mosquitto.port(), "both", &["a"])).await;
    sender.publish("a", vec![1], false).await.unwrap();
    assert_eq!(message(&mut receiver).await.1, [1]);

    mosquitto.kill().await;
    disconnected(&mut receiver).await;
    assert_eq!(sender.try_publish("a", vec![2], false), Err(PublishError::Offline));

    mosquitto.restart();
    assert!(!connected(&mut receiver).await, "a new mosquitto knows no session");
    sender.publish("a", vec![3], false).await.unwrap();
    assert_eq!(message(&mut receiver).await.1, [3]);
}
