//! A scheme that checks everything once, however many parties ask.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

use aggregation::{
    Canonical, CombineError, Context, Culprits, DeviceSecret, GroupError, Hidden, Participant,
    Range, Ranged, ResponseError, Rng, Scheme, Sharing,
};
use protocol::id::Digest;

/// How many facts a thread remembers at most.
const MOST: usize = 1 << 16;

thread_local! {
    static TRUE: RefCell<HashSet<Digest>> = RefCell::default();
}

/// A scheme that does what `S` does. What has verified once, bit for bit under
/// the same key and context, is not computed again.
pub struct Remembering<S>(S);

/// Whether it is remembered that something verified.
fn is_known(fact: &Digest) -> bool {
    TRUE.with_borrow(|known| known.contains(fact))
}

fn remember(fact: Digest) {
    TRUE.with_borrow_mut(|known| {
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(fact);
    });
}

/// A fact is a label and parts, each with its length.
fn fact(label: &str, parts: &[&[u8]]) -> Digest {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Digest::of(label, &bytes)
}

fn once(fact: Digest, verify: impl FnOnce() -> bool) -> bool {
    let is_true = is_known(&fact) || verify();
    if is_true {
        remember(fact);
    }
    is_true
}

/// Checks what is not known of a batch; `batch` gives the facts in order.
fn check_unknown(
    facts: Vec<Digest>,
    verify: impl FnOnce(&[usize]) -> Result<(), Culprits>,
) -> Result<(), Culprits> {
    let unknown: Vec<_> =
        (0..facts.len()).filter(|at| facts.get(*at).is_some_and(|fact| !is_known(fact))).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let bad: Vec<_> = match verify(&unknown) {
        Ok(()) => Vec::new(),
        Err(Culprits(found)) => {
            found.into_iter().filter_map(|at| unknown.get(at).copied()).collect()
        }
    };
    for (at, fact) in facts.into_iter().enumerate() {
        if !bad.contains(&at) {
            remember(fact);
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(Culprits(bad)) }
}

impl<S: Scheme> Scheme for Remembering<S> {
    const NAME: &'static str = S::NAME;

    type Secret = S::Secret;
    type KeyPart = S::KeyPart;
    type Dealing = S::Dealing;
    type Complaint = S::Complaint;
    type Contribution = S::Contribution;
    type RangeProof = S::RangeProof;
    type Retained = S::Retained;
    type Aggregate = S::Aggregate;
    type Request = S::Request;
    type Response = S::Response;
    type Accepted = S::Accepted;
    type Decoder = S::Decoder;

    fn key_part(context: Context<'_>, rng: &mut Rng) -> (Self::Secret, Self::KeyPart) {
        S::key_part(context, rng)
    }

    fn verify_key_part(part: &Self::KeyPart, context: Context<'_>) -> bool {
        let fact = fact("key part", &[&part.to_bytes(), context.0]);
        once(fact, || S::verify_key_part(part, context))
    }

    fn group(parts: &[Self::KeyPart]) -> Result<Self, GroupError> {
        S::group(parts).map(Self)
    }

    fn deal(
        sharing: Sharing<'_, Self::KeyPart>,
        dealer: Participant,
        device: &DeviceSecret,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Self::Dealing {
        S::deal(sharing, dealer, device, context, rng)
    }

    fn verify_dealing(
        sharing: Sharing<'_, Self::KeyPart>,
        dealer: Participant,
        dealing: &Self::Dealing,
        context: Context<'_>,
    ) -> bool {
        let (threshold, dealer_bytes) = (sharing.threshold.to_be_bytes(), dealer.0.to_be_bytes());
        let keys: Vec<_> = sharing.parts.iter().map(Canonical::to_bytes).collect();
        let dealt = dealing.to_bytes();
        let mut parts: Vec<&[u8]> = vec![&threshold, &dealer_bytes, &dealt, context.0];
        parts.extend(keys.iter().map(Vec::as_slice));
        let fact = fact("dealing", &parts);
        once(fact, || S::verify_dealing(sharing, dealer, dealing, context))
    }

    fn receive(
        sharing: Sharing<'_, Self::KeyPart>,
        own: Participant,
        secret: &Self::Secret,
        dealings: &[(Context<'_>, &Self::Dealing)],
        complaint_context: impl Fn(Participant) -> Vec<u8>,
        rng: &mut Rng,
    ) -> Result<Self::Secret, BTreeMap<Participant, Self::Complaint>> {
        S::receive(sharing, own, secret, dealings, complaint_context, rng)
    }

    fn judge(
        sharing: Sharing<'_, Self::KeyPart>,
        parties: (Participant, Participant),
        complaint: &Self::Complaint,
        dealing: (Context<'_>, &Self::Dealing),
        context: Context<'_>,
    ) -> bool {
        S::judge(sharing, parties, complaint, dealing, context)
    }

    fn shared_group(threshold: u16, dealings: &[Self::Dealing]) -> Result<Self, GroupError> {
        S::shared_group(threshold, dealings).map(Self)
    }

    fn named_group(
        threshold: u16,
        key: &[u8],
        shares: &[impl AsRef<[u8]>],
    ) -> Result<Self, GroupError> {
        S::named_group(threshold, key, shares).map(Self)
    }

    fn group_key(&self) -> Vec<u8> {
        self.0.group_key()
    }

    fn public_share(&self, of: Participant) -> Option<Vec<u8>> {
        self.0.public_share(of)
    }

    fn threshold(&self) -> u16 {
        self.0.threshold()
    }

    fn contribute(
        &self,
        device: &DeviceSecret,
        plaintext: u64,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> (Self::Contribution, Self::Retained) {
        self.0.contribute(device, plaintext, context, rng)
    }

    fn claim(
        &self,
        retained: &[&Self::Retained],
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Option<Self::Contribution> {
        self.0.claim(retained, context, rng)
    }

    fn verify(
        &self,
        batch: &[(Context<'_>, &Self::Contribution)],
        rng: &mut Rng,
    ) -> Result<(), Culprits> {
        let key = self.group_key();
        let of = |(context, hidden): &(Context<'_>, &Self::Contribution)| {
            fact("contribution", &[&key, context.0, &hidden.to_bytes()])
        };
        check_unknown(batch.iter().map(of).collect(), |unknown| {
            let some: Vec<_> = unknown.iter().filter_map(|at| batch.get(*at).copied()).collect();
            self.0.verify(&some, rng)
        })
    }

    fn prove_range(
        &self,
        hidden: &[Hidden<'_, Self::Retained>],
        max: u32,
        rng: &mut Rng,
    ) -> Option<Self::RangeProof> {
        self.0.prove_range(hidden, max, rng)
    }

    fn verify_ranges(
        &self,
        batch: &[Ranged<'_, Self::Contribution, Self::RangeProof>],
        rng: &mut Rng,
    ) -> Result<(), Culprits> {
        let key = self.group_key();
        let of = |ranged: &Ranged<'_, Self::Contribution, Self::RangeProof>| {
            let (max, proof) = (ranged.max.to_be_bytes(), ranged.proof.to_bytes());
            let hidden: Vec<_> = ranged.contributions.iter().map(|(_, of)| of.to_bytes()).collect();
            let mut parts: Vec<&[u8]> = vec![&key, &max, &proof];
            for ((context, _), hidden) in ranged.contributions.iter().zip(&hidden) {
                parts.extend([context.0, hidden]);
            }
            fact("range", &parts)
        };
        check_unknown(batch.iter().map(of).collect(), |unknown| {
            let some: Vec<_> = unknown.iter().filter_map(|at| batch.get(*at)).map(again).collect();
            self.0.verify_ranges(&some, rng)
        })
    }

    fn fold(&self, sum: &mut Self::Aggregate, contribution: &Self::Contribution) {
        self.0.fold(sum, contribution);
    }

    fn request(&self, sums: &[Self::Aggregate]) -> Self::Request {
        self.0.request(sums)
    }

    fn respond(
        &self,
        secret: &Self::Secret,
        of: Participant,
        request: &Self::Request,
        context: Context<'_>,
        rng: &mut Rng,
    ) -> Result<Self::Response, ResponseError> {
        self.0.respond(secret, of, request, context, rng)
    }

    fn accept(
        &self,
        of: Participant,
        request: &Self::Request,
        response: &Self::Response,
        context: Context<'_>,
    ) -> Result<Self::Accepted, ResponseError> {
        self.0.accept(of, request, response, context)
    }

    fn combine(
        &self,
        decoder: &Self::Decoder,
        sums: &[(Self::Aggregate, Range)],
        accepted: &BTreeMap<Participant, Self::Accepted>,
    ) -> Result<Vec<u64>, CombineError> {
        self.0.combine(decoder, sums, accepted)
    }

    fn opens(
        &self,
        sums: &[(Self::Aggregate, u64)],
        accepted: &BTreeMap<Participant, Self::Accepted>,
    ) -> Result<(), CombineError> {
        self.0.opens(sums, accepted)
    }
}

fn again<'a, C, P>(ranged: &Ranged<'a, C, P>) -> Ranged<'a, C, P> {
    Ranged { contributions: ranged.contributions, max: ranged.max, proof: ranged.proof }
}

#[cfg(test)]
mod tests {
    use aggregation::Plain;
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn what_is_remembered_of_a_contribution_is_true_in_no_other_context() {
        let mut rng = Rng::seed_from_u64(1);
        let parts = [b"a", b"b"].map(|of| Remembering::<Plain>::key_part(Context(of), &mut rng).1);
        let group = Remembering::<Plain>::group(&parts).unwrap();
        let device = DeviceSecret::new([0; 32]);
        let mut hide = |context| group.contribute(&device, 7, Context(context), &mut rng).0;
        let (one, two) = (hide(b"one"), hide(b"two"));
        let mut rng = Rng::seed_from_u64(2);
        for _ in 0..2 {
            let good = (Context(b"one"), &one);
            assert_eq!(group.verify(&[good], &mut rng), Ok(()));
            let batch = [good, (Context(b"one"), &two), (Context(b"two"), &two)];
            assert_eq!(group.verify(&batch, &mut rng), Err(Culprits(vec![1])));
        }
    }

    #[test]
    fn what_is_remembered_of_a_key_part_is_true_in_no_other_context() {
        let (_, part) = Plain::key_part(Context(b"one"), &mut Rng::seed_from_u64(1));
        for _ in 0..2 {
            assert!(Remembering::<Plain>::verify_key_part(&part, Context(b"one")));
            assert!(!Remembering::<Plain>::verify_key_part(&part, Context(b"two")));
        }
    }
}
