//! `/livez`, `/readyz` and `/metrics`, and the thread that answers there and
//! tells systemd.

use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::systemd::Systemd;
use super::{Health, LIVE_WITHIN, Listen};
use crate::clock;

/// How often systemd is told, if it does not want to hear more often.
const TELL: Duration = Duration::from_secs(5);
/// As the format asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A thread that answers for a daemon, until this is dropped.
#[derive(Debug)]
pub struct Endpoint {
    _end: oneshot::Sender<()>,
}

impl Endpoint {
    /// Starts to answer and to tell systemd. An address that is taken is said
    /// and stops nothing: a second agent on one machine still measures.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(listen: Listen, health: Health) -> anyhow::Result<Self> {
        let (end, ended) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = async move {
            tokio::select! {
                _ = ended => {}
                () = tell(&health) => {}
                () = answer(listen, health.clone()) => {}
            }
        };
        let thread = thread::Builder::new().name("health".into());
        thread.spawn(move || runtime.block_on(run)).context("the thread of the health endpoint")?;
        Ok(Self { _end: end })
    }
}

async fn tell(health: &Health) {
    let mut systemd = Systemd::default();
    let mut ticks = interval(health.longest_sleep(TELL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        systemd.tell(health, clock::monotonic());
    }
}

async fn answer(listen: Listen, health: Health) {
    if let Listen::On(address) = listen {
        match TcpListener::bind(address).await {
            Ok(listener) => serve(listener, health).await,
            Err(error) => tracing::warn!("nobody can ask for the health on {address}: {error}"),
        }
    }
    std::future::pending::<()>().await;
}

async fn serve(listener: TcpListener, health: Health) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!("health: http://{address}/livez, /readyz, /metrics");
    }
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::warn!("nobody can ask for the health any more: {error}");
    }
}

async fn livez(State(health): State<Health>) -> Response {
    let stuck = health.stuck(clock::monotonic(), LIVE_WITHIN);
    if stuck.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, stuck.join("\n") + "\n").into_response()
}

async fn readyz(State(health): State<Health>) -> Response {
    let checks = health.checked();
    let is_ready = checks.iter().all(|check| check.ok);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": is_ready, "checks": checks }).to_string() + "\n";
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn metrics(State(health): State<Health>) -> Response {
    match health.metrics(clock::monotonic()) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::super::Check;
    use super::super::tests::two_loops;
    use super::*;

    /// The status and the body of an answer.
    async fn get(path: &str, health: &Health) -> (u16, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::select! {
            () = serve(listener, health.clone()) => {}
            read = stream.read_to_string(&mut answer) => { read.unwrap(); }
        }
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn a_daemon_lives_while_its_loops_move() {
        let (health, own, north) = two_loops();
        assert_eq!(get("/livez", &health).await, (200, "ok\n".to_owned()));
        own.moved();
        north.moved_at(clock::monotonic().checked_sub(LIVE_WITHIN + TELL).unwrap());
        assert_eq!(
            get("/livez", &health).await,
            (503, "north has not moved for 125 s\n".to_owned())
        );
    }

    #[tokio::test]
    async fn a_daemon_is_ready_when_every_check_is_well_and_says_why_not() {
        let (health, own, north) = two_loops();
        own.check(Check::Broker, None::<&str>);
        north.check(Check::Epoch, None::<&str>);
        north.check(Check::Store, Some("the disk is full"));
        let (status, body) = get("/readyz", &health).await;
        let expected = concat!(
            r#"{"ready":false,"checks":[{"check":"broker","ok":true},"#,
            r#"{"region":"north","check":"store","ok":false,"reason":"the disk is full"},"#,
            r#"{"region":"north","check":"epoch","ok":true}]}"#,
            "\n"
        );
        assert_eq!((status, body.as_str()), (503, expected));
        north.check(Check::Store, None::<&str>);
        assert_eq!(get("/readyz", &health).await.0, 200);
    }

    #[tokio::test]
    async fn metrics_have_the_checks_and_the_ages_of_this_moment() {
        let (health, own, north) = two_loops();
        own.check(Check::Broker, Some("not connected"));
        north.store_answered_at(clock::monotonic());
        north.event("combined");
        let (status, body) = get("/metrics", &health).await;
        assert_eq!(status, 200);
        for line in [
            "hushgrid_check_ok{region=\"\",check=\"broker\"} 0\n",
            "hushgrid_events_total{region=\"north\",event=\"combined\"} 1\n",
            "hushgrid_loop_age_seconds{region=\"north\"} ",
            "hushgrid_store_age_seconds{region=\"north\"} ",
            "# EOF\n",
        ] {
            assert!(body.contains(line), "{line} in\n{body}");
        }
    }

    #[tokio::test]
    async fn whatever_else_is_asked_for_is_not_there() {
        let (health, ..) = two_loops();
        assert_eq!(get("/", &health).await.0, 404);
    }
}
