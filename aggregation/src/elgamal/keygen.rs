//! Key parts with proofs of possession, and the sum of them.
//!
//! Without the proof a member could publish its own part minus the sum of the
//! others' and would alone hold the group's secret (the rogue key of
//! Ristenpart, Yilek, "The power of proofs-of-possession", EUROCRYPT 2007).

use std::fmt;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand::Rng as _;
use zeroize::Zeroizing;

use super::polynomial::on_one_polynomial;
use super::proof::{Element, Knowledge, Purpose, Statement, decode_scalar};
use crate::scheme::{
    Canonical, Context, DecodeError, GroupError, Participant, Rng, Stored, refuse_impossible,
};

/// A participant's secret x. Wiped when dropped; its Debug shows nothing.
pub struct Secret(Zeroizing<Scalar>);

impl Secret {
    pub(super) fn new(scalar: Zeroizing<Scalar>) -> Self {
        Self(scalar)
    }

    pub(super) fn scalar(&self) -> &Scalar {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// 32 bytes: the scalar, little-endian, neither 0 nor above the group order.
impl Stored for Secret {
    fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.as_bytes().to_vec())
    }

    fn from_stored(bytes: &[u8]) -> Result<Self, DecodeError> {
        let length = DecodeError::Length { expected: 32, found: bytes.len() };
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes).map_err(|_| length)?);
        let scalar = Zeroizing::new(decode_scalar(&bytes, "secret")?);
        if *scalar == Scalar::ZERO {
            return Err(DecodeError::Identity("key part"));
        }
        Ok(Self(scalar))
    }
}

/// Y = xG with a proof of knowledge of x. 96 bytes: Y, A, z.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPart {
    key: Element,
    possession: Knowledge,
}

impl KeyPart {
    pub(super) fn key(&self) -> &Element {
        &self.key
    }
}

impl Canonical for KeyPart {
    fn to_bytes(&self) -> Vec<u8> {
        let [a, z] = self.possession.encode();
        [*self.key.bytes(), a, z].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ([key, a, z], []) = bytes.as_chunks() else {
            return Err(DecodeError::Length { expected: 96, found: bytes.len() });
        };
        let key = Element::decode(key, "Y")?;
        let possession = Knowledge::decode(a, z)?;
        Ok(Self { key, possession })
    }
}

/// Draws x and proves its possession.
pub(super) fn key_part(context: Context<'_>, rng: &mut Rng) -> (Secret, KeyPart) {
    let (secret, key) = draw(rng);
    let possession = Knowledge::prove(statement(&key, context), secret.scalar(), rng);
    (secret, KeyPart { key, possession })
}

fn draw(rng: &mut Rng) -> (Secret, Element) {
    loop {
        let mut wide = Zeroizing::new([0; 64]);
        rng.fill_bytes(wide.as_mut());
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide));
        if let Some(key) = Element::new(RistrettoPoint::mul_base(&scalar)) {
            return (Secret(scalar), key);
        }
    }
}

/// Whether the maker of `part` knew x and meant `context`.
pub(super) fn verify_key_part(part: &KeyPart, context: Context<'_>) -> bool {
    let statement = statement(&part.key, context);
    part.possession.claim(statement, &part.key).holds()
}

fn statement(key: &Element, context: Context<'_>) -> Statement {
    let mut statement = Statement::about(Purpose::KeyPart, context);
    statement.bind_element(b"Y", key);
    statement
}

/// The sum of the parts: the group's key where nothing is dealt.
pub(super) fn group_key(parts: &[Element]) -> Result<Element, GroupError> {
    Element::new(parts.iter().map(Element::point).sum()).ok_or(GroupError::Identity)
}

/// The keys of a roster, if every quorum opens the same with them.
pub(super) fn named_keys(
    threshold: u16,
    key: &[u8],
    shares: &[impl AsRef<[u8]>],
) -> Result<(Element, Vec<Element>), GroupError> {
    refuse_impossible(threshold, shares.len())?;
    let key = decode(key, "Y").map_err(GroupError::Key)?;
    let shares = (0..).map(Participant).zip(shares).map(|(of, share)| {
        decode(share.as_ref(), "Y_j").map_err(|error| GroupError::Share(of, error))
    });
    let shares: Vec<_> = shares.collect::<Result<_, _>>()?;
    if !on_one_polynomial(threshold, &key, &shares) {
        return Err(GroupError::Polynomial);
    }
    Ok((key, shares))
}

fn decode(bytes: &[u8], name: &'static str) -> Result<Element, DecodeError> {
    let length = DecodeError::Length { expected: 32, found: bytes.len() };
    Element::decode(bytes.try_into().map_err(|_| length)?, name)
}
