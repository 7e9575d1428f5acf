//! The log: standard error, INFO unless `RUST_LOG` says otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts the log. A second call changes nothing.
pub fn start() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,rumqttd=off,rumqttc=warn"));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
}
