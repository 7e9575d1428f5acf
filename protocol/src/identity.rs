//! Identities: the Ed25519 keys of meters, registrar and collector (RFC 8032).
//!
//! One verification rule everywhere: strict, one signature at a time, so that
//! no two parties disagree on a signature.

#[cfg(hushgrid_simulation)]
mod remembered;

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use rand::Rng as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zeroize::Zeroizing;

use aggregation::{DeviceSecret, Rng};

use crate::hexadecimal;
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
        IdentityKey(self.0.verifying_key())
    }

    /// The secret that hedges this party's randomness; it says nothing about
    /// the signing key.
    pub(crate) fn device_secret(&self) -> DeviceSecret {
        let seed = self.to_seed();
        DeviceSecret::new(*Digest::of("device secret", seed.as_ref()).as_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(message).to_bytes().to_vec();
        #[cfg(hushgrid_simulation)]
        remembered::note(self.key().0.as_bytes(), message, &signature);
        signature
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// A party's public key: a point of Ed25519, decoded once and not for every
/// signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdentityKey(VerifyingKey);

/// Why a text is no identity key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an identity key is 64 hexadecimal digits that encode a point of Ed25519")]
pub struct IdentityKeyError;

impl IdentityKey {
    /// Whether `signature` is this party's on `message` (strict rule: no small
    /// order, canonical encodings only).
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        #[cfg(hushgrid_simulation)]
        return remembered::or(self.0.as_bytes(), message, signature, || {
            self.verify(message, signature)
        });
        #[cfg(not(hushgrid_simulation))]
        self.verify(message, signature)
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.0.verify_strict(message, &signature).is_ok()
    }

    fn decode(bytes: &[u8; 32]) -> Result<Self, IdentityKeyError> {
        #[cfg(hushgrid_simulation)]
        return remembered::point(bytes, Self::read);
        #[cfg(not(hushgrid_simulation))]
        Self::read(bytes)
    }

    fn read(bytes: &[u8; 32]) -> Result<Self, IdentityKeyError> {
        VerifyingKey::from_bytes(bytes).map(Self).map_err(|_| IdentityKeyError)
    }
}

impl Serialize for IdentityKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hexadecimal::serialize(self.0.as_bytes(), serializer)
    }
}

impl<'de> Deserialize<'de> for IdentityKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::decode(&hexadecimal::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl FromStr for IdentityKey {
    type Err = IdentityKeyError;
    fn from_str(text: &str) -> Result<Self, IdentityKeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdentityKeyError)?;
        Self::decode(&bytes)
    }
}

impl fmt::Display for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0.as_bytes()))
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
    use crate::envelope::encode;
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
        assert!(!IdentityKey::decode(&key).unwrap().signed(b"anything", &signature));
    }

    #[test]
    fn bytes_that_are_no_point_are_no_key() {
        // x^2 = (y^2 - 1) / (d y^2 + 1) is no square for y = 2.
        let mut bytes = [0; 32];
        bytes[0] = 2;
        assert_eq!(IdentityKey::decode(&bytes), Err(IdentityKeyError));
        let message = encode(&serde_bytes::Bytes::new(&bytes));
        assert!(ciborium::from_reader::<IdentityKey, _>(message.as_slice()).is_err());
    }

    #[test]
    fn a_key_is_the_32_bytes_of_its_point() {
        let key = Identity::from_seed(&[7; 32]).key();
        assert_eq!(encode(&key), encode(&serde_bytes::Bytes::new(key.0.as_bytes())));
        assert_eq!(ciborium::from_reader::<IdentityKey, _>(encode(&key).as_slice()).unwrap(), key);
    }
}
