//! How much one recall asks for: what a member answers to it is bounded, and
//! the next one goes out when these slots are closed.

/// Slots of one run: members are asked about the next run once these are
/// closed.
pub(crate) const RUN: usize = 64;

/// Slots that a recall names at most: one run, and as many that wait for what
/// was answered there.
pub(crate) const SLOTS_MAX: usize = 2 * RUN;

/// Portions that a recall names at most.
pub(crate) const PORTIONS_MAX: usize = 64;
