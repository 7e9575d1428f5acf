//! What every store promises: the records that were committed, and after a
//! crash at any point too. A second implementation joins [`suite::STORES`].
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails says so"
)]

mod beside;
mod crash;
mod disk;
mod figures;
mod laws;
mod migration;
#[path = "../shim/shim.rs"]
mod shim;
mod space;
mod suite;
