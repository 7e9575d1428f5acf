//! The machine under a daemon: its clock, its randomness, its disk, its
//! signals, its log, and what it tells about itself. State machines get none of
//! these but as arguments.

#[cfg(hushgrid_simulation)]
compile_error!("hushgrid_simulation is for worlds in virtual time, never for a daemon");

pub mod clock;
pub mod config;
pub mod health;
pub mod journal;
pub mod keystore;
pub mod lock;
pub mod log;
pub mod shutdown;
pub mod store;

pub use keystore::Keystore;
