//! Signatures that have verified, so that a world in virtual time checks each
//! once and not once for each of its parties. Only a build with
//! `--cfg hushgrid_simulation` has this file, and no daemon builds with that.

use std::cell::RefCell;
use std::collections::HashSet;

use crate::id::Digest;

/// How many are remembered at most.
const MOST: usize = 1 << 16;

thread_local! {
    static VERIFIED: RefCell<HashSet<Digest>> = RefCell::default();
}

/// Whether this very signature of this key on this message verified before, or
/// does now.
pub(super) fn or(
    key: &[u8; 32],
    message: &[u8],
    signature: &[u8],
    verify: impl FnOnce() -> bool,
) -> bool {
    // The first two have one length wherever the third one is looked at.
    let digest = Digest::of("verified", &[key, signature, message].concat());
    VERIFIED.with_borrow_mut(|verified| {
        if verified.contains(&digest) {
            return true;
        }
        let is_signed = verify();
        if is_signed {
            if verified.len() >= MOST {
                verified.clear();
            }
            verified.insert(digest);
        }
        is_signed
    })
}
