//! Sums over encrypted numbers: schemes and their proofs.

pub mod elgamal;
mod layout;
#[cfg(any(test, feature = "plain"))]
pub mod plain;
pub mod scheme;

pub use elgamal::ElGamal;
pub use elgamal::dlog::Table;
#[cfg(any(test, feature = "plain"))]
pub use plain::Plain;
pub use scheme::{
    Canonical, CombineError, Context, Culprits, DecodeError, DeviceSecret, GroupError, Hidden,
    Participant, Range, Ranged, ResponseError, Rng, Scheme, Sharing, Stored,
};
