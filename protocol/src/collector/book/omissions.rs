//! What members say of sets that leave them out.

use aggregation::Scheme;

use crate::entry::EntryError;
use crate::envelope::{Envelope, Rejection};
use crate::omission::{self, OmissionError};
use crate::output::Event;

use super::super::Core;
use super::Book;

impl<S: Scheme> Book<S> {
    pub(in crate::collector) fn handle_omission(
        &self,
        core: &mut Core<S>,
        envelope: &Envelope,
    ) -> Result<(), EntryError> {
        match omission::read(&self.roster, envelope) {
            Ok((meter, complaint)) => {
                core.event(Event::Omission { meter, slot: complaint.slot });
                Ok(())
            }
            Err(OmissionError::Rejected(rejection)) => Err(rejection.into()),
            Err(_) => Err(Rejection::Body.into()),
        }
    }
}
