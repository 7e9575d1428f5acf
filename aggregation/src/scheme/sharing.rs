//! How many responses open a sum, and of whom.

use super::error::GroupError;

/// What every verb of a dealt key needs to know. No secret is in it.
#[derive(Debug)]
pub struct Sharing<'a, P> {
    /// How many responses shall open a sum.
    pub threshold: u16,
    /// The key parts of all participants in order: a share for a participant
    /// is sealed to its key part. Their proofs are the caller's to check.
    pub parts: &'a [P],
}

impl<P> Clone for Sharing<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Sharing<'_, P> {}

impl<P> Sharing<'_, P> {
    /// Whether a quorum can be found: a threshold from 1 to the number of
    /// participants, of which there are at most 65535.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        refuse_impossible(self.threshold, self.parts.len()).is_ok()
    }
}

pub(crate) fn refuse_impossible(threshold: u16, participants: usize) -> Result<(), GroupError> {
    if participants == 0 {
        return Err(GroupError::Empty);
    }
    if threshold == 0 || usize::from(threshold) > participants || participants > 65535 {
        return Err(GroupError::Threshold { threshold, participants });
    }
    Ok(())
}
