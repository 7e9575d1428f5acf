//! A group with all its secrets, as no machine ever holds it.
#![allow(dead_code, reason = "each file of tests needs a part of it")]

use std::collections::BTreeMap;

use aggregation::{Context, DeviceSecret, Participant, Range, Rng, Scheme, Sharing};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use rand::SeedableRng;

pub(crate) const KEYS: Context<'static> = Context(b"keys of epoch 1");
pub(crate) const ROUND: Context<'static> = Context(b"round 7");
pub(crate) const DEALING: Context<'static> = Context(b"dealings of epoch 1");
pub(crate) const WIDE: Range = Range { bound: 1 << 20, forecast: 0 };

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
        let request = self.group.request(sums);
        self.group.respond(secret, of, &request, ROUND, &mut self.rng).unwrap()
    }
}

/// What a dealer's complaint is about, in the ceremony of epoch 1.
pub(crate) fn complaint_about(dealer: Participant) -> Vec<u8> {
    format!("complaint of epoch 1 about {}", dealer.0).into_bytes()
}

/// A ceremony in which everyone has dealt and nobody has received.
pub(crate) struct Ceremony<S: Scheme> {
    pub(crate) threshold: u16,
    pub(crate) parts: Vec<S::KeyPart>,
    pub(crate) secrets: Vec<S::Secret>,
    pub(crate) dealings: Vec<S::Dealing>,
    pub(crate) device: DeviceSecret,
    pub(crate) rng: Rng,
}

pub(crate) type Complaints<S> = BTreeMap<Participant, <S as Scheme>::Complaint>;

impl<S: Scheme> Ceremony<S> {
    pub(crate) fn new(threshold: u16, count: u16) -> Self {
        let Members { parts, secrets, device, rng, .. } = Members::<S>::new(count.into());
        let mut ceremony = Self { threshold, parts, secrets, dealings: vec![], device, rng };
        ceremony.dealings = (0..count).map(|dealer| ceremony.deal(dealer, DEALING)).collect();
        ceremony
    }

    pub(crate) fn sharing(&self) -> Sharing<'_, S::KeyPart> {
        Sharing { threshold: self.threshold, parts: &self.parts }
    }

    pub(crate) fn deal(&mut self, dealer: u16, context: Context<'_>) -> S::Dealing {
        let sharing = Sharing { threshold: self.threshold, parts: &self.parts };
        S::deal(sharing, Participant(dealer), &self.device, context, &mut self.rng)
    }

    pub(crate) fn verifies(&self, dealer: u16, dealing: &S::Dealing) -> bool {
        S::verify_dealing(self.sharing(), Participant(dealer), dealing, DEALING)
    }

    pub(crate) fn receive(&mut self, own: u16) -> Result<S::Secret, Complaints<S>> {
        let sharing = Sharing { threshold: self.threshold, parts: &self.parts };
        let dealings: Vec<_> = self.dealings.iter().map(|dealing| (DEALING, dealing)).collect();
        let secret = &self.secrets[usize::from(own)];
        S::receive(sharing, Participant(own), secret, &dealings, complaint_about, &mut self.rng)
    }

    /// The complaint of `own` about a share that `own` finds not to fit.
    pub(crate) fn complaint(&mut self, own: u16, dealer: u16) -> S::Complaint {
        self.receive(own).err().unwrap().remove(&Participant(dealer)).unwrap()
    }

    pub(crate) fn convicts(
        &self,
        complainant: u16,
        dealer: u16,
        complaint: &S::Complaint,
        context: &[u8],
    ) -> bool {
        let parties = (Participant(complainant), Participant(dealer));
        let dealing = (DEALING, &self.dealings[usize::from(dealer)]);
        S::judge(self.sharing(), parties, complaint, dealing, Context(context))
    }

    /// The group, with every member's secret in it.
    pub(crate) fn members(mut self) -> Members<S> {
        let everyone = 0..u16::try_from(self.parts.len()).unwrap();
        let secrets = everyone.map(|own| self.receive(own).ok().unwrap()).collect();
        let group = S::shared_group(self.threshold, &self.dealings).unwrap();
        Members { group, parts: self.parts, secrets, device: self.device, rng: self.rng }
    }
}

impl<S: Scheme> Members<S> {
    pub(crate) fn accept_from(
        &mut self,
        quorum: impl IntoIterator<Item = u16>,
        sums: &[S::Aggregate],
    ) -> BTreeMap<Participant, S::Accepted> {
        let request = self.group.request(sums);
        let accept = |of| {
            let (of, response) = (Participant(of), self.respond(of, sums));
            (of, self.group.accept(of, &request, &response, ROUND).unwrap())
        };
        quorum.into_iter().map(accept).collect()
    }
}

pub(crate) fn for_any<T: Strategy>(strategy: T, law: impl Fn(T::Value)) {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let check = |value| {
        law(value);
        Ok(())
    };
    TestRunner::new(config).run(&strategy, check).unwrap();
}
