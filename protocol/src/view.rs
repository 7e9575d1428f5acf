//! JSON views of what people read, beside the signed messages.

use serde::Serialize;

use crate::id::{Epoch, RegionId};

#[derive(Serialize)]
struct View<'a, T> {
    region: &'a RegionId,
    epoch: Epoch,
    #[serde(flatten)]
    body: &'a T,
}

/// The JSON view of a body: its fields, with region and epoch before them.
#[must_use]
pub(crate) fn json<T: Serialize>(region: &RegionId, epoch: Epoch, body: &T) -> Vec<u8> {
    // Bodies that have a view are maps with text keys, which JSON can say.
    serde_json::to_vec(&View { region, epoch, body }).unwrap_or_default()
}
