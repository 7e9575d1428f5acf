//! How far a meter has come, whatever was erased since.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::envelope::encode;
use crate::record::{self, Change, Key, Records, Unreadable};
use crate::slot::Timestamp;

/// Instants, so that they hold for epochs whose slots have another length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub(super) struct Marks {
    /// The end of the latest slot whose energy was given. No slot before it is
    /// encrypted any more.
    pub(super) measured: Timestamp,
    /// The end of the latest slot that was forgotten.
    pub(super) forgotten: Timestamp,
}

/// [`super::Meter::measured_until`] of the meter that starts with these records,
/// of which only the marks are read.
///
/// # Errors
/// A record that is not what was written.
pub fn measured_until(kept: &Records) -> Result<Option<Timestamp>, Unreadable> {
    Ok(Marks::restore(kept)?.measured_until())
}

impl Marks {
    pub(super) fn restore(kept: &Records) -> Result<Self, Unreadable> {
        let key = Key::mark();
        kept.get(&key).map_or(Ok(Self::default()), |bytes| record::read(&key, bytes))
    }

    /// [`Self::measured`]; none before the first.
    pub(super) fn measured_until(&self) -> Option<Timestamp> {
        (self.measured > Timestamp(0)).then_some(self.measured)
    }

    pub(super) fn written(&self) -> Change {
        Change::Write(Key::mark(), encode(self).into())
    }
}
