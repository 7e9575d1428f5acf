//! The embedded broker and its settings.
#![allow(clippy::unwrap_used, reason = "a test that cannot start fails")]

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use collector::broker::{self, Broker, Error, Settings};

const SHIPPED: &str = include_str!("../../broker.toml");

/// The refusal of the shipped settings after one change.
fn refusal(from: &str, to: &str) -> String {
    assert!(SHIPPED.contains(from), "{from}");
    Settings::parse(&SHIPPED.replacen(from, to, 1)).unwrap_err().to_string()
}

fn shipped_on_a_free_port() -> Settings {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    Settings::parse(SHIPPED).unwrap().with_port(port)
}

#[test]
fn the_shipped_settings_are_accepted() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(SHIPPED.as_bytes()).unwrap();
    let settings = broker::load(file.path()).unwrap();
    assert_eq!(settings.port(), 1883);
    assert_eq!(settings.with_port(18830).port(), 18830);
}

#[test]
fn a_missing_file_is_named() {
    let error = broker::load("no/such/broker.toml".as_ref()).unwrap_err();
    assert!(error.to_string().starts_with("no/such/broker.toml: "), "{error}");
}

#[test]
fn a_listener_that_others_could_reach_is_refused() {
    for address in ["0.0.0.0:1883", "192.168.1.5:1883", "[::]:1883"] {
        let refusal = refusal("127.0.0.1:1883", address);
        assert!(refusal.contains("`v4.local.listen` is ") && refusal.contains(address));
        assert!(refusal.contains("loopback"), "{refusal}");
    }
}

#[test]
fn whatever_else_rumqttd_could_open_is_refused_by_name() {
    for (section, key) in [
        ("[v5.1]\nname = \"v5\"", "v5"),
        ("[ws.1]\nname = \"ws\"", "ws"),
        ("[console]\nlisten = \"127.0.0.1:3030\"", "console"),
        ("[prometheus]\ninterval = 1", "prometheus"),
        ("[bridge]\nname = \"b\"", "bridge"),
        ("[cluster]\nnode_id = 1", "cluster"),
        ("[metrics.meters]\npush_interval = 1", "metrics"),
        ("[v4.local.tls]\ncertpath = \"c\"", "v4.local.tls"),
        ("[v4.local.connections.auth]\nuser = \"pw\"", "v4.local.connections.auth"),
        ("[router.custom_segment.a]\nmax_segment_size = 1", "router.custom_segment"),
    ] {
        let error = Settings::parse(&format!("{SHIPPED}\n{section}\n")).unwrap_err();
        assert!(matches!(&error, Error::Key(named) if named == key), "{key}: {error}");
    }
}

#[test]
fn a_misspelt_key_is_refused_and_not_ignored() {
    let refusal = refusal("max_payload_size", "max_payload_sise");
    assert!(refusal.contains("`v4.local.connections.max_payload_sise`"), "{refusal}");
}

#[test]
fn two_listeners_are_refused() {
    let (_, listener) = SHIPPED.split_once("[v4.local]").unwrap();
    let second = format!("[v4.local]{listener}").replace("v4.local", "v4.second");
    let error = Settings::parse(&format!("{SHIPPED}{second}")).unwrap_err().to_string();
    assert!(error.contains("`v4` is 2 listeners; accepted is exactly one"), "{error}");
}

#[test]
fn a_value_out_of_range_is_refused_with_its_key_and_the_range() {
    for (from, to, key) in [
        ("max_segment_size = 8388608", "max_segment_size = 1023", "router.max_segment_size"),
        ("max_segment_count = 8", "max_segment_count = 0", "router.max_segment_count"),
        ("max_connections = 4096", "max_connections = 0", "router.max_connections"),
        ("= 1114112", "= 20480", "v4.local.connections.max_payload_size"),
    ] {
        let refusal = refusal(from, to);
        assert!(refusal.contains(&format!("`{key}`")) && refusal.contains(" to "), "{refusal}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Broker::start(Settings::parse(SHIPPED).unwrap().with_port(port)).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("port {port} is taken: ")), "{error}");
}

#[tokio::test]
async fn a_broker_answers_once_it_has_started_and_is_not_taken_for_dead() {
    let settings = shipped_on_a_free_port();
    let port = settings.port();
    let broker = Broker::start(settings).await.unwrap();
    assert_eq!(broker.port(), port);
    // The first look at the broker comes at once; it is answered, and nothing has ended.
    let death = tokio::time::timeout(Duration::from_millis(500), broker.died()).await;
    assert!(death.is_err(), "{death:?}");
}

#[tokio::test]
async fn a_running_broker_keeps_its_port() {
    let settings = shipped_on_a_free_port();
    let _broker = Broker::start(settings.clone()).await.unwrap();
    assert!(matches!(Broker::start(settings).await, Err(Error::PortTaken { .. })));
}

#[tokio::test]
async fn a_broker_listens_on_the_loopback_of_ipv6_where_there_is_one() {
    let listener = match TcpListener::bind("[::1]:0") {
        Ok(listener) => listener,
        Err(error) => {
            let name = "a_broker_listens_on_the_loopback_of_ipv6_where_there_is_one";
            // Not `println!`, which the harness keeps of a test that passes.
            writeln!(std::io::stderr(), "SKIPPED {name}: no [::1]: {error}").unwrap();
            return;
        }
    };
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = SHIPPED.replacen("127.0.0.1:1883", &address.to_string(), 1);
    let settings = Settings::parse(&text).unwrap();
    assert_eq!(settings.address(), address);
    assert!(settings.address().is_ipv6());
    let broker = Broker::start(settings).await.unwrap();
    assert_eq!(broker.port(), address.port());
    // It is there, and not on the loopback of IPv4.
    std::net::TcpStream::connect(address).unwrap();
}
