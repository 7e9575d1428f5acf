//! The daemon that collects encrypted contributions, asks for shares, and
//! publishes sums; with its embedded broker.

pub mod backup;
pub mod broker;
pub mod cli;
pub mod config;
mod daemon;
pub mod decode;
pub mod epoch;
pub mod evidence;
mod inbox;
mod region;
pub mod report;
mod round;
pub mod transcript;
pub mod verify;

pub use config::Config;
pub use daemon::run;
pub use region::database;
