//! Dealings: the second part of a ceremony, in one message per dealer.
//!
//! Every participant shares a random secret of its own (Pedersen, "A threshold
//! cryptosystem without a trusted party", EUROCRYPT 1991); the group's secret
//! is their sum. A dealer that speaks last can bend the distribution of the
//! key and gains no help against discrete logarithms by it (Gennaro, Jarecki,
//! Krawczyk, Rabin, "Secure distributed key generation for discrete-log based
//! cryptosystems", J. Cryptology 2007, section 5).

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use zeroize::Zeroizing;

use super::KeyPart;
use super::polynomial::{Polynomial, public_share};
use super::proof::{Element, Knowledge, Purpose, Statement};
use super::seal::{Route, Sealed};
use crate::layout::Fields;
use crate::scheme::{
    Canonical, Context, DecodeError, DeviceSecret, GroupError, Participant, Rng, Sharing,
    refuse_impossible,
};

/// Commitments `C_k` to a polynomial, a dealer key D that is used once, a proof
/// of knowledge of both secrets behind `C_0` and D, and every participant's
/// share. 32t + 98 + 48n bytes, 13,986 for 134 of 200: t (2 bytes,
/// big-endian), `C_0` ... `C_(t-1)`, A, z, D, sealed shares in order.
///
/// The proof does not cover the sealed shares; whoever passes a dealing on
/// signs it whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dealing {
    commitments: Vec<Element>,
    knowledge: Knowledge,
    dealer_key: Element,
    sealed: Vec<Sealed>,
}

impl Canonical for Dealing {
    fn to_bytes(&self) -> Vec<u8> {
        let commitments: Vec<_> = self.commitments.iter().map(|one| *one.bytes()).collect();
        let [a, z] = self.knowledge.encode();
        let fixed = &[a, z, *self.dealer_key.bytes()];
        Fields { commitments: &commitments, fixed, shares: &self.sealed }.join()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Fields { commitments, fixed: [a, z, key], shares } = Fields::split(bytes)?;
        let commitments = commitments.iter().map(|one| Element::decode(one, "C"));
        Ok(Self {
            commitments: commitments.collect::<Result<_, _>>()?,
            knowledge: Knowledge::decode(a, z)?,
            dealer_key: Element::decode(key, "D")?,
            sealed: shares.to_vec(),
        })
    }
}

impl Dealing {
    pub(super) fn dealer_key(&self) -> &Element {
        &self.dealer_key
    }

    pub(super) fn sealed(&self, recipient: Participant) -> Option<&Sealed> {
        self.sealed.get(usize::from(recipient.0))
    }

    pub(super) fn route<'a>(
        &'a self,
        (dealer, recipient): (Participant, Participant),
        recipient_key: &'a Element,
        context: Context<'a>,
    ) -> Route<'a> {
        Route { context, dealer, dealer_key: &self.dealer_key, recipient, recipient_key }
    }

    /// Whether the committed polynomial has this value at the place of `of`.
    /// Constant time in the share.
    pub(super) fn fits(&self, of: Participant, share: &Scalar) -> bool {
        let commitments: Vec<_> = self.commitments.iter().map(Element::point).collect();
        RistrettoPoint::mul_base(share) == public_share(&commitments, of)
    }
}

/// Draws a polynomial of degree t − 1 and a dealer key.
pub(super) fn deal(
    sharing: Sharing<'_, KeyPart>,
    dealer: Participant,
    device: &DeviceSecret,
    context: Context<'_>,
    rng: &mut Rng,
) -> Dealing {
    let mut randomness = Possession::statement(Purpose::Coefficients, sharing, dealer, context);
    let (constant, first) = draw(&mut randomness, device, rng);
    let others = (1..sharing.threshold).map(|_| draw(&mut randomness, device, rng));
    let (others, more): (Vec<_>, Vec<_>) = others.unzip();
    let (key_secret, dealer_key) = draw(&mut randomness, device, rng);

    let commitments: Vec<_> = std::iter::once(first).chain(more).collect();
    let possession = Possession::new(sharing, dealer, &commitments, &dealer_key, context);
    let knowledge = possession.prove(&constant, &key_secret, rng);
    let polynomial = Polynomial::new(constant, others);
    let mut dealing = Dealing { commitments, knowledge, dealer_key, sealed: Vec::new() };
    dealing.sealed = dealing.seal(sharing, dealer, &polynomial, &key_secret, context);
    dealing
}

/// Every draw binds the one before.
fn draw(
    randomness: &mut Statement,
    device: &DeviceSecret,
    rng: &mut Rng,
) -> (Zeroizing<Scalar>, Element) {
    loop {
        let secret = randomness.hedged(device.as_bytes(), rng);
        if let Some(element) = Element::new(RistrettoPoint::mul_base(&secret)) {
            randomness.bind_element(b"drawn", &element);
            return (secret, element);
        }
    }
}

impl Dealing {
    fn seal(
        &self,
        sharing: Sharing<'_, KeyPart>,
        dealer: Participant,
        polynomial: &Polynomial,
        key_secret: &Scalar,
        context: Context<'_>,
    ) -> Vec<Sealed> {
        let recipients = (0..).map(Participant).zip(sharing.parts);
        let seal = |(recipient, part): (_, &KeyPart)| {
            let route = self.route((dealer, recipient), part.key(), context);
            let shared = Zeroizing::new(part.key().point() * key_secret);
            route.seal(&shared, &polynomial.share(recipient))
        };
        recipients.map(seal).collect()
    }

    /// Whether everything holds that anyone can check.
    pub(super) fn verifies(
        &self,
        sharing: Sharing<'_, KeyPart>,
        dealer: Participant,
        context: Context<'_>,
    ) -> bool {
        sharing.is_possible()
            && self.commitments.len() == usize::from(sharing.threshold)
            && self.sealed.len() == sharing.parts.len()
            && Possession::new(sharing, dealer, &self.commitments, &self.dealer_key, context)
                .holds(&self.knowledge)
    }
}

/// Knowledge of the secrets behind `C_0` and D, proved as knowledge of the one
/// behind `C_0` + ρD for a ρ that is drawn after both: who answers for two
/// values of ρ knows both.
///
/// Without the first, a dealer could cancel the others' constant terms.
/// Without the second, it could use another's dealer key as its own, and a
/// complaint about its seal would open the other's seal too.
struct Possession<'a> {
    statement: Statement,
    constant: Option<&'a Element>,
    dealer_key: &'a Element,
    weight: Scalar,
}

impl<'a> Possession<'a> {
    fn new(
        sharing: Sharing<'_, KeyPart>,
        dealer: Participant,
        commitments: &'a [Element],
        dealer_key: &'a Element,
        context: Context<'_>,
    ) -> Self {
        let mut statement = Self::statement(Purpose::Dealing, sharing, dealer, context);
        for commitment in commitments {
            statement.bind_element(b"C", commitment);
        }
        statement.bind_element(b"D", dealer_key);
        let weight = statement.challenge(b"weight");
        Self { statement, constant: commitments.first(), dealer_key, weight }
    }

    fn statement(
        purpose: Purpose,
        sharing: Sharing<'_, KeyPart>,
        dealer: Participant,
        context: Context<'_>,
    ) -> Statement {
        let mut statement = Statement::about(purpose, context);
        statement.bind_number(b"dealer", dealer.0.into());
        statement.bind_number(b"threshold", sharing.threshold.into());
        statement.bind_number(b"participants", sharing.parts.len() as u64);
        sharing.parts.iter().for_each(|part| statement.bind_element(b"E", part.key()));
        statement
    }

    fn prove(self, constant: &Scalar, key_secret: &Scalar, rng: &mut Rng) -> Knowledge {
        let secret = Zeroizing::new(constant + self.weight * key_secret);
        Knowledge::prove(self.statement, &secret, rng)
    }

    fn holds(self, knowledge: &Knowledge) -> bool {
        let combined =
            self.constant.map(|constant| constant.point() + self.dealer_key.point() * self.weight);
        combined
            .and_then(Element::new)
            .is_some_and(|combined| knowledge.claim(self.statement, &combined).holds())
    }
}

/// The group's key, and every participant's.
pub(super) fn shared_keys(
    threshold: u16,
    dealings: &[Dealing],
) -> Result<(Element, Vec<Element>), GroupError> {
    refuse_impossible(threshold, dealings.len())?;
    let all = || (0..).map(Participant).zip(dealings);
    let size = (usize::from(threshold), dealings.len());
    let odd = all().find(|(_, one)| (one.commitments.len(), one.sealed.len()) != size);
    if let Some((dealer, _)) = odd {
        return Err(GroupError::Dealing(dealer));
    }
    let sum = sum(threshold, dealings);
    let element = |point| Element::new(point).ok_or(GroupError::Identity);
    let shares = all().map(|(of, _)| element(public_share(&sum, of)));
    let key = sum.first().copied().ok_or(GroupError::Empty).and_then(element)?;
    Ok((key, shares.collect::<Result<_, _>>()?))
}

/// The commitments to the sum of all polynomials.
pub(super) fn sum<'a>(
    threshold: u16,
    dealings: impl IntoIterator<Item = &'a Dealing>,
) -> Vec<RistrettoPoint> {
    let mut sum = vec![RistrettoPoint::identity(); threshold.into()];
    for dealing in dealings {
        sum.iter_mut().zip(&dealing.commitments).for_each(|(sum, one)| *sum += one.point());
    }
    sum
}
