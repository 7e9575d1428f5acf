//! A group with all its secrets, as no machine ever holds it.

use aggregation::{Context, DeviceSecret, Participant, Rng, Scheme};
use rand::SeedableRng;

pub(crate) const KEYS: Context<'static> = Context(b"keys of epoch 1");
pub(crate) const ROUND: Context<'static> = Context(b"round 7");

pub(crate) struct Members<S: Scheme> {
    pub(crate) group: S,
    pub(crate) parts: Vec<S::KeyPart>,
    pub(crate) secrets: Vec<S::Secret>,
    pub(crate) device: DeviceSecret,
    pub(crate) rng: Rng,
}

impl<S: Scheme> Members<S> {
    pub(crate) fn new(count: usize) -> Self {
        let mut rng = Rng::seed_from_u64(1);
        let (secrets, parts): (Vec<_>, Vec<_>) =
            (0..count).map(|_| S::key_part(KEYS, &mut rng)).unzip();
        let group = S::group(&parts).unwrap();
        Self { group, parts, secrets, device: DeviceSecret::new([7; 32]), rng }
    }

    pub(crate) fn contribute(
        &mut self,
        plaintext: u64,
        context: Context<'_>,
    ) -> (S::Contribution, S::Retained) {
        self.group.contribute(&self.device, plaintext, context, &mut self.rng)
    }

    pub(crate) fn sum_of<'a>(
        &self,
        contributions: impl IntoIterator<Item = &'a S::Contribution>,
    ) -> S::Aggregate {
        let mut sum = S::Aggregate::default();
        contributions.into_iter().for_each(|one| self.group.fold(&mut sum, one));
        sum
    }

    pub(crate) fn sum(&mut self, plaintexts: &[u64]) -> S::Aggregate {
        let contributions: Vec<_> =
            plaintexts.iter().map(|one| self.contribute(*one, ROUND).0).collect();
        self.sum_of(&contributions)
    }

    pub(crate) fn respond(&mut self, of: u16, sums: &[S::Aggregate]) -> S::Response {
        let (of, secret) = (Participant(of), &self.secrets[usize::from(of)]);
        let request = self.group.request(sums, of);
        self.group.respond(secret, of, &request, ROUND, &mut self.rng).unwrap()
    }
}
