//! Identities: the Ed25519 keys of meters, registrar and collector (RFC 8032).
//!
//! One verification rule everywhere: strict, one signature at a time, so that
//! no two parties disagree on a signature.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use aggregation::{DeviceSecret, Rng};

use crate::id::Digest;

/// A party's secret signing key. It is wiped when dropped and shows nothing
/// of itself.
pub struct Identity(SigningKey);

impl Identity {
    /// Draws a new identity.
    #[must_use]
    pub fn generate(rng: &mut Rng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The identity with the given 32-byte seed (RFC 8032, section 5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for the owner's own disk.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        IdentityKey(self.0.verifying_key().to_bytes())
    }

    /// The secret that hedges this party's randomness; it says nothing about
    /// the signing key.
    pub(crate) fn device_secret(&self) -> DeviceSecret {
        let seed = self.to_seed();
        DeviceSecret::new(*Digest::of("device secret", seed.as_ref()).as_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).to_bytes().to_vec()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// A party's public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityKey(#[serde(with = "crate::hexadecimal")] [u8; 32]);

/// Why a text is no identity key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an identity key is 64 hexadecimal digits that encode a point of Ed25519")]
pub struct IdentityKeyError;

impl IdentityKey {
    /// Whether `signature` is this party's on `message` (strict rule: no small
    /// order, canonical encodings only).
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        key.verify_strict(message, &signature).is_ok()
    }
}

impl FromStr for IdentityKey {
    type Err = IdentityKeyError;
    fn from_str(text: &str) -> Result<Self, IdentityKeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdentityKeyError)?;
        VerifyingKey::from_bytes(&bytes).map_err(|_| IdentityKeyError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn an_identity_shows_nothing_of_itself() {
        let identity = Identity::generate(&mut Rng::from_seed([7; 32]));
        assert_eq!(format!("{identity:?}"), "Identity(..)");
    }

    #[test]
    fn an_identity_is_the_same_after_a_restart() {
        let identity = Identity::generate(&mut Rng::from_seed([7; 32]));
        assert_eq!(Identity::from_seed(&identity.to_seed()).key(), identity.key());
        assert_eq!(identity.key().to_string().parse(), Ok(identity.key()));
    }

    #[test]
    fn a_small_order_key_signs_nothing() {
        // The identity point as key and as R, with s = 0, satisfies the
        // cofactored equation for every message.
        let mut signature = [0; 64];
        signature[0] = 1;
        let mut key = [0; 32];
        key[0] = 1;
        assert!(!IdentityKey(key).signed(b"anything", &signature));
    }
}
