//! What a participant takes from the dealings, or why it takes nothing: the
//! third part of a ceremony.
//!
//! A complaint is the point K that opens the seal, with a proof that it does.
//! It needs no answer: K, the dealing and the proof decide. K is e·D for a D
//! whose secret the dealer has proved to know, so that a complaint tells the
//! dealer nothing that it could not compute itself.

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use zeroize::Zeroizing;

use super::dealing::{Dealing, sum};
use super::equality::{Equality, EqualityProof};
use super::keygen::{KeyPart, Secret};
use super::polynomial::public_share;
use super::proof::{Element, Purpose, Statement};
use crate::scheme::{Canonical, Context, DecodeError, Participant, Rng, Sharing};

/// K = e·D and the proof that e is the secret of the complainant's key part.
/// 96 bytes: K, e, z.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    shared: Element,
    proof: EqualityProof,
}

impl Canonical for Complaint {
    fn to_bytes(&self) -> Vec<u8> {
        let [e, z] = self.proof.encode();
        [*self.shared.bytes(), e, z].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ([shared, e, z], []) = bytes.as_chunks() else {
            return Err(DecodeError::Length { expected: 96, found: bytes.len() });
        };
        let shared = Element::decode(shared, "K")?;
        Ok(Self { shared, proof: EqualityProof::decode(e, z)? })
    }
}

/// The sum of the shares, if it fits the sum of the commitments; otherwise a
/// complaint about every share that does not fit its own.
///
/// Errors that cancel out are none: it is the sums that the group is made of.
pub(super) fn receive(
    threshold: u16,
    own: Participant,
    secret: &Secret,
    dealings: &[(Context<'_>, &Dealing)],
    complaint_context: impl Fn(Participant) -> Vec<u8>,
    rng: &mut Rng,
) -> Result<Secret, BTreeMap<Participant, Complaint>> {
    let Some(key) = Element::new(RistrettoPoint::mul_base(secret.scalar())) else {
        // No secret is 0: neither a drawn nor a stored one.
        return Err(BTreeMap::new());
    };
    let shares = open_all(own, &key, secret, dealings);
    if let Some(received) = fitting_sum(threshold, own, &shares, dealings) {
        return Ok(received);
    }
    let bad =
        (0..).map(Participant).zip(dealings).zip(&shares).filter(|((_, (_, one)), share)| {
            share.as_ref().is_none_or(|share| !one.fits(own, share))
        });
    let complaints = bad.filter_map(|((dealer, (_, one)), _)| {
        let context = complaint_context(dealer);
        let complaint = Complaint::new(one, (own, dealer), &key, secret, Context(&context), rng)?;
        Some((dealer, complaint))
    });
    Err(complaints.collect())
}

/// None for a seal that does not open.
fn open_all(
    own: Participant,
    key: &Element,
    secret: &Secret,
    dealings: &[(Context<'_>, &Dealing)],
) -> Vec<Option<Zeroizing<Scalar>>> {
    let dealings = (0..).map(Participant).zip(dealings);
    let open = |(dealer, (context, dealing)): (_, &(Context<'_>, &Dealing))| {
        let shared = Zeroizing::new(dealing.dealer_key().point() * secret.scalar());
        open(dealing, (dealer, own), key, *context, &shared)
    };
    dealings.map(open).collect()
}

fn open(
    dealing: &Dealing,
    parties: (Participant, Participant),
    recipient_key: &Element,
    context: Context<'_>,
    shared: &RistrettoPoint,
) -> Option<Zeroizing<Scalar>> {
    let route = dealing.route(parties, recipient_key, context);
    route.open(shared, dealing.sealed(parties.1)?)
}

/// None unless all shares were opened and fit together, to a secret other
/// than 0.
fn fitting_sum(
    threshold: u16,
    own: Participant,
    shares: &[Option<Zeroizing<Scalar>>],
    dealings: &[(Context<'_>, &Dealing)],
) -> Option<Secret> {
    let mut secret = Zeroizing::new(Scalar::ZERO);
    for share in shares {
        *secret += **share.as_ref()?;
    }
    let commitments = sum(threshold, dealings.iter().map(|(_, dealing)| *dealing));
    let public = Element::new(RistrettoPoint::mul_base(&secret))?;
    (public.point() == public_share(&commitments, own)).then_some(Secret::new(secret))
}

impl Complaint {
    fn new(
        dealing: &Dealing,
        parties: (Participant, Participant),
        key: &Element,
        secret: &Secret,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Option<Self> {
        let shared = Element::new(dealing.dealer_key().point() * secret.scalar())?;
        let equality = equality(dealing, parties, key, &shared, context);
        Some(Self { shared, proof: equality.prove(secret.scalar(), rng) })
    }

    /// Whether the proof holds and the share does not fit.
    pub(super) fn convicts(
        &self,
        sharing: Sharing<'_, KeyPart>,
        (complainant, dealer): (Participant, Participant),
        (dealing_context, dealing): (Context<'_>, &Dealing),
        context: Context<'_>,
    ) -> bool {
        let Some(part) = sharing.parts.get(usize::from(complainant.0)) else { return false };
        let parties = (complainant, dealer);
        let equality = equality(dealing, parties, part.key(), &self.shared, context);
        if !equality.holds(&[self.shared], &self.proof) {
            return false;
        }
        let route = (dealer, complainant);
        let share = open(dealing, route, part.key(), dealing_context, &self.shared.point());
        share.is_none_or(|share| !dealing.fits(complainant, &share))
    }
}

/// One secret e gives E = eG and K = eD.
fn equality(
    dealing: &Dealing,
    (complainant, dealer): (Participant, Participant),
    key: &Element,
    shared: &Element,
    context: Context<'_>,
) -> Equality {
    let mut statement = Statement::about(Purpose::Complaint, context);
    statement.bind_number(b"complainant", complainant.0.into());
    statement.bind_number(b"dealer", dealer.0.into());
    statement.bind_element(b"E", key);
    statement.bind(b"dealing", &dealing.to_bytes());
    Equality::new(statement, key, &[*dealing.dealer_key()], &[*shared])
}
