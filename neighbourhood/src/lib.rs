//! A whole neighbourhood on one machine over real MQTT: a collector with its
//! broker and one agent for each meter, each a process of its own, and beside
//! every sum the truth that only this demonstration knows.

pub mod args;
mod balance;
mod billed;
mod bridge;
mod chaos;
mod demonstration;
mod disks;
mod display;
pub mod floors;
mod household;
mod killer;
mod processes;
mod tally;
mod transcripts;
mod truth;
mod watch;
