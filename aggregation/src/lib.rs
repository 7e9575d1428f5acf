//! Sums over encrypted numbers: schemes and their proofs.

pub mod scheme;

pub use scheme::{
    Canonical, CombineError, Context, Culprits, DecodeError, GroupError, Participant, Range,
    ResponseError, Rng, Scheme, Stored,
};
