//! The keys of a region, made in one place and not by a ceremony.

use aggregation::elgamal::Secret;
use aggregation::{Canonical, Context, ElGamal, Scheme as _, Stored as _};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use protocol::id::{Digest, Epoch, RegionId};
use protocol::statement::Place;
use rand::Rng as _;

use crate::region::{meter_id, rng};

/// What every member holds, and what a roster says of it.
pub struct Keys {
    /// The members' secrets, in their order.
    pub secrets: Vec<Secret>,
    /// What readings are encrypted to.
    pub group_key: Vec<u8>,
    /// The members' key parts.
    pub parts: Vec<Vec<u8>>,
}

/// Key parts that answer an invitation without a digest: every member has to
/// help.
pub fn parts(region: &RegionId, epoch: Epoch, members: usize) -> Keys {
    let place = Place { region: region.clone(), epoch, binding: Digest::NONE };
    let part = |at| {
        let statement = place.key_part(&meter_id(at));
        ElGamal::key_part(Context(&statement), &mut rng(1000 + at as u64))
    };
    let (secrets, parts): (Vec<_>, Vec<_>) = (0..members).map(part).unzip();
    let group_key = ElGamal::group(&parts).unwrap().group_key();
    Keys { secrets, group_key, parts: parts.iter().map(Canonical::to_bytes).collect() }
}

/// Values of one polynomial, dealt by a dealer that everybody has to trust:
/// what a ceremony comes to, at less than a thousandth of its cost.
pub fn dealt(threshold: u16, members: usize) -> Keys {
    let coefficients: Vec<_> = (0..threshold.into()).map(scalar).collect();
    let value = |x: u64| {
        let x = Scalar::from(x);
        coefficients.iter().rev().fold(Scalar::ZERO, |value, coefficient| value * x + coefficient)
    };
    let public = |x| RistrettoPoint::mul_base(&value(x)).compress().to_bytes().to_vec();
    let places = 1..=members as u64;
    let secret = |x| Secret::from_stored(value(x).as_bytes()).unwrap();
    Keys {
        secrets: places.clone().map(secret).collect(),
        group_key: public(0),
        parts: places.map(public).collect(),
    }
}

fn scalar(seed: u64) -> Scalar {
    let mut wide = [0; 64];
    rng(1000 + seed).fill_bytes(&mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}
