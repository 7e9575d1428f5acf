//! Rounds, messages and the state machines of meter and collector. No IO: time
//! and randomness are handed in, and what is to be done is handed out.

pub use aggregation::Rng;

pub mod account;
pub mod attendance;
pub mod collector;
pub mod entry;
pub mod envelope;
pub mod evidence;
mod hexadecimal;
pub mod history;
pub mod id;
pub mod identity;
pub mod keygen;
pub mod kind;
pub mod listing;
pub mod members;
pub mod message;
pub mod meter;
pub mod omission;
pub mod output;
pub mod parameters;
pub mod portion;
mod range_proof;
pub mod reading;
mod recall;
pub mod record;
pub mod release;
pub mod report;
mod retry;
pub mod roster;
pub mod round;
pub mod slot;
pub mod statement;
pub mod tariff;
pub mod topic;
pub mod transcript;
mod view;
