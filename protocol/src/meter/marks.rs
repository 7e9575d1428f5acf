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

impl Marks {
    pub(super) fn restore(kept: &Records) -> Result<Self, Unreadable> {
        let key = Key::mark();
        kept.get(&key).map_or(Ok(Self::default()), |bytes| record::read(&key, bytes))
    }

    pub(super) fn written(&self) -> Change {
        Change::Write(Key::mark(), encode(self).into())
    }
}
