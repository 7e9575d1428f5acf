//! What must hold for any bytes that a decoder is given, beyond that it does
//! not panic: the fuzzing binaries call these functions, and so does a test
//! that replays the corpora.
//!
//! Each function takes what a stranger might send or write, says whether it
//! was accepted, and panics on a finding.
#![allow(clippy::must_use_candidate, reason = "the fuzzing engine wants the panics alone")]
#![allow(clippy::missing_panics_doc, reason = "a panic is a finding, see above")]
#![allow(clippy::unwrap_used, reason = "where one stands, a refusal is a finding")]

mod configs;
mod epoch;
mod messages;
mod sources;
mod street;

pub use configs::{agent_config, broker_config, collector_config};
pub use epoch::{kept, roster};
pub use messages::{envelope, message};
pub use sources::{csv, telegram};

/// A function that says whether bytes are accepted.
pub type Target = fn(&[u8]) -> bool;

/// Every target by its name, which is that of its corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("envelope", envelope),
    ("message", message),
    ("roster", roster),
    ("kept", kept),
    ("telegram", telegram),
    ("csv", csv),
    ("agent_config", agent_config),
    ("collector_config", collector_config),
    ("broker_config", broker_config),
];
