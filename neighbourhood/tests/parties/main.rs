//! Parties as processes, over real brokers.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

mod cast;
mod disk;
mod epochs;
mod health;
mod liars;
#[path = "../common/mosquitto.rs"]
mod mosquitto;
mod privacy;
mod processes;
mod rig;
#[path = "../../../host/tests/shim/shim.rs"]
mod shim;
mod street;
mod systemd;
