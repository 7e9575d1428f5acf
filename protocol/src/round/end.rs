//! How a round ends: what is kept of it beside its request and shares.

use serde::{Deserialize, Serialize};

use crate::id::MeterId;
use crate::slot::Timestamp;

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// Its sums were opened.
    Combined(Combined),
    /// There will be no result.
    Abandoned(Abandoned),
}

/// A round whose sums were opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Combined {
    /// When.
    pub at: Timestamp,
    /// The sums in Wh, in the order in which holders answer for them.
    pub values: Vec<u64>,
    /// Holders whose shares opened them.
    pub helpers: Vec<MeterId>,
    /// Holders whose share had not come.
    pub unanswered: Vec<MeterId>,
    /// Holders with a share that does not verify.
    pub culprits: Vec<MeterId>,
    /// Whether it was said at the deadline who never answered.
    pub is_settled: bool,
}

/// A round without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandoned {
    /// When; records of the first versions do not say it.
    #[serde(default)]
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Holders whose share was missing.
    pub waiting_for: Vec<MeterId>,
    /// Holders with a share that does not verify.
    pub culprits: Vec<MeterId>,
}
