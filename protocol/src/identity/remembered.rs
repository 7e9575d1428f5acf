//! Signatures that have verified or were made here, and keys that were decoded, so that a world in
//! virtual time checks each once and not once for each of its parties. Only a build with
//! `--cfg hushgrid_simulation` has this file, and no daemon builds with that.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use crate::id::Digest;

use super::IdentityKey;

/// How many are remembered at most.
const MOST: usize = 1 << 16;

thread_local! {
    static VERIFIED: RefCell<HashSet<Digest>> = RefCell::default();
    static POINTS: RefCell<HashMap<[u8; 32], IdentityKey>> = RefCell::default();
}

/// The key that these bytes encode, as `read` finds it.
pub(super) fn point<E>(
    bytes: &[u8; 32],
    read: impl FnOnce(&[u8; 32]) -> Result<IdentityKey, E>,
) -> Result<IdentityKey, E> {
    if let Some(known) = POINTS.with_borrow(|points| points.get(bytes).copied()) {
        return Ok(known);
    }
    let key = read(bytes)?;
    POINTS.with_borrow_mut(|points| {
        if points.len() >= MOST {
            points.clear();
        }
        points.insert(*bytes, key);
    });
    Ok(key)
}

/// Whether this very signature of this key on this message verified before, or
/// does now.
pub(super) fn or(
    key: &[u8; 32],
    message: &[u8],
    signature: &[u8],
    verify: impl FnOnce() -> bool,
) -> bool {
    let digest = digest(key, message, signature);
    if VERIFIED.with_borrow(|verified| verified.contains(&digest)) {
        return true;
    }
    let is_signed = verify();
    if is_signed {
        insert(digest);
    }
    is_signed
}

/// Remembers a signature that this key has just made: it verifies.
pub(super) fn note(key: &[u8; 32], message: &[u8], signature: &[u8]) {
    insert(digest(key, message, signature));
}

fn digest(key: &[u8; 32], message: &[u8], signature: &[u8]) -> Digest {
    // The first two have one length wherever the third one is looked at.
    Digest::of("verified", &[key, signature, message].concat())
}

fn insert(digest: Digest) {
    VERIFIED.with_borrow_mut(|verified| {
        if verified.len() >= MOST {
            verified.clear();
        }
        verified.insert(digest);
    });
}

#[cfg(test)]
mod tests {
    use crate::identity::Identity;

    #[test]
    fn what_is_remembered_of_a_signature_is_true_of_no_other() {
        let (identity, other) = (Identity::from_seed(&[7; 32]), Identity::from_seed(&[8; 32]));
        let mut signature = identity.sign(b"one");
        for _ in 0..2 {
            assert!(identity.key().signed(b"one", &signature));
            assert!(!identity.key().signed(b"two", &signature));
            assert!(!other.key().signed(b"one", &signature));
        }
        signature[0] ^= 1;
        assert!(!identity.key().signed(b"one", &signature));
    }
}
