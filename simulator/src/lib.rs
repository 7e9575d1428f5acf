//! The state machines in virtual time, with every fault.
//!
//! A [`World`] holds the meters and the collector of one region, the broker
//! between them and the daemons around them. Nothing in it waits, and all that
//! is left to chance is drawn from one seed: the same seed gives the same
//! trace. Whatever is published is judged at once: see [`Violation`] for what
//! counts as a failure.

mod account;
mod broker;
mod disk;
mod faults;
mod judge;
mod node;
mod operation;
mod plan;
mod remembering;
mod report;
mod shrink;
mod truth;
mod world;

pub use broker::matches;
pub use faults::{Faults, Steps};
pub use judge::{Published, ResultKey, Violation};
pub use node::Moment;
pub use operation::{Operation, Step, Way, Weather, draw};
pub use plan::{NextEpochError, Party, Plan, StartError};
pub use remembering::Remembering;
pub use report::Report;
pub use shrink::shrink;
pub use truth::Truth;
pub use world::{Failure, OPENING, World};
