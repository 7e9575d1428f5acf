//! Shares sealed to one recipient each.
//!
//! Dealer and recipient share the point K = d·E = e·D (Diffie and Hellman,
//! 1976); whoever sees K opens this one seal and no other.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use zeroize::Zeroizing;

use super::proof::{Element, Purpose, Statement, decode_scalar};
use crate::scheme::{Context, Participant};

/// A sealed share: a scalar (32 bytes, little-endian) under ChaCha20-Poly1305,
/// and its tag (16 bytes).
pub(super) type Sealed = [u8; 48];

/// From whom to whom a share is sealed.
#[derive(Clone, Copy)]
pub(super) struct Route<'a> {
    pub(super) context: Context<'a>,
    pub(super) dealer: Participant,
    /// D.
    pub(super) dealer_key: &'a Element,
    pub(super) recipient: Participant,
    /// E.
    pub(super) recipient_key: &'a Element,
}

impl Route<'_> {
    pub(super) fn seal(self, shared: &RistrettoPoint, share: &Scalar) -> Sealed {
        let mut text = Zeroizing::new(*share.as_bytes());
        let tag = self.cipher(shared).encrypt_inout_detached(
            &NONCE.into(),
            &[],
            text.as_mut_slice().into(),
        );
        // 32 bytes are within what the cipher takes; an empty tag opens never.
        let tag = tag.map_or([0; 16], Into::into);
        let mut sealed = [0; 48];
        let (head, tail) = sealed.split_at_mut(32);
        head.copy_from_slice(text.as_slice());
        tail.copy_from_slice(&tag);
        sealed
    }

    /// None if the seal was not made by whoever knew `shared`, or does not
    /// hold a canonical scalar.
    pub(super) fn open(
        self,
        shared: &RistrettoPoint,
        sealed: &Sealed,
    ) -> Option<Zeroizing<Scalar>> {
        let (text, tag) = sealed.split_first_chunk::<32>()?;
        let tag = <[u8; 16]>::try_from(tag).ok()?;
        let mut text = Zeroizing::new(*text);
        self.cipher(shared)
            .decrypt_inout_detached(&NONCE.into(), &[], text.as_mut_slice().into(), &tag.into())
            .ok()?;
        decode_scalar(&text, "share").ok().map(Zeroizing::new)
    }

    fn cipher(self, shared: &RistrettoPoint) -> ChaCha20Poly1305 {
        let mut statement = Statement::about(Purpose::Seal, self.context);
        statement.bind_number(b"dealer", self.dealer.0.into());
        statement.bind_number(b"recipient", self.recipient.0.into());
        statement.bind_element(b"D", self.dealer_key);
        statement.bind_element(b"E", self.recipient_key);
        statement.bind(b"K", Zeroizing::new(shared.compress().to_bytes()).as_slice());
        let key = statement.key();
        ChaCha20Poly1305::new((&*key).into())
    }
}

/// Every key seals one share only: the dealer key is fresh and the key binds
/// the recipient.
const NONCE: [u8; 12] = [0; 12];
