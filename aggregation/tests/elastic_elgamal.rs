//! The same mathematics by another library over the same group.
//!
//! Proofs are not compared: its transcripts bind labels, key sets and
//! ciphertexts of its own, and know neither our contexts nor one proof for
//! many sums. What the proofs are about is compared byte by byte.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use aggregation::elgamal::{Aggregate, Contribution, Secret};
use aggregation::{Canonical, ElGamal, GroupError, Participant, Scheme, Stored, Table};
use common::{Ceremony, Members, ROUND, WIDE};
use elastic_elgamal::group::{ElementOps as _, Ristretto};
use elastic_elgamal::sharing::{ActiveParticipant, Dealer, Params, PublicKeySet};
use elastic_elgamal::{Ciphertext, DiscreteLogTable, PublicKey, SecretKey};

type Neighbours = Members<ElGamal>;

/// What it makes of our C1 and C2.
fn theirs(contribution: &Contribution) -> Ciphertext<Ristretto> {
    let bytes = contribution.to_bytes();
    let [c1, c2] = [0, 32].map(|at| Ristretto::deserialize_element(&bytes[at..at + 32]).unwrap());
    Ciphertext::from_elements(c1, c2)
}

/// What we make of its C1 and C2, beside a proof that nobody looks at.
fn ours(members: &mut Neighbours, ciphertext: &Ciphertext<Ristretto>) -> Aggregate {
    let any = members.contribute(0, ROUND).0.to_bytes();
    let bytes = [&ciphertext.to_bytes(), &any[64..]].concat();
    members.sum_of([&Contribution::from_bytes(&bytes).unwrap()])
}

fn secret(members: &Neighbours, of: usize) -> SecretKey<Ristretto> {
    SecretKey::from_bytes(&members.secrets[of].to_stored()).unwrap()
}

/// Its view of our group with t of n.
fn key_set(group: &ElGamal, params: Params) -> PublicKeySet<Ristretto> {
    let shares = (0..).map(Participant).map_while(|of| group.public_share(of));
    let keys = shares.map(|share| PublicKey::from_bytes(&share).unwrap());
    PublicKeySet::from_participants(params, keys.collect()).unwrap()
}

fn open(members: &mut Neighbours, quorum: &[u16], sum: &Aggregate) -> Vec<u64> {
    let accepted = members.accept_from(quorum.iter().copied(), &[*sum]);
    members.group.combine(&Table::new(12), &[(*sum, WIDE)], &accepted).unwrap()
}

#[test]
fn our_ciphertext_decrypts_under_their_secret_key() {
    let mut members = Neighbours::new(1);
    let (contribution, _) = members.contribute(137, ROUND);
    let decrypted =
        secret(&members, 0).decrypt(theirs(&contribution), &DiscreteLogTable::new(0..200));
    assert_eq!(decrypted, Some(137));
}

#[test]
fn their_ciphertext_opens_with_our_responses() {
    let mut members = Neighbours::new(3);
    let key = PublicKey::<Ristretto>::from_bytes(&members.group.group_key()).unwrap();
    let ciphertext = key.encrypt(41_u64, &mut members.rng) + key.encrypt(1_u64, &mut members.rng);
    let sum = ours(&mut members, &ciphertext);
    assert_eq!(open(&mut members, &[0, 1, 2], &sum), [42]);
}

#[test]
fn they_find_the_key_of_our_dealt_group_from_its_shares() {
    let group = Ceremony::<ElGamal>::new(4, 7).members().group;
    let keys = key_set(&group, Params::new(7, 4));
    assert_eq!(keys.shared_key().as_bytes(), group.group_key());
}

#[test]
fn their_decryption_share_with_our_secret_is_our_share() {
    let mut members = Ceremony::<ElGamal>::new(3, 5).members();
    let (contribution, _) = members.contribute(7, ROUND);
    let sums = [members.sum_of([&contribution])];
    let keys = key_set(&members.group, Params::new(5, 3));
    for of in 0..5 {
        let index = usize::from(of);
        let holder = ActiveParticipant::new(keys.clone(), index, secret(&members, index)).unwrap();
        let (share, _) = holder.decrypt_share(theirs(&contribution), &mut members.rng);
        assert_eq!(share.to_bytes(), members.respond(of, &sums).to_bytes()[..32]);
    }
}

#[test]
fn their_quorum_with_our_secrets_opens_our_ciphertext() {
    let mut members = Ceremony::<ElGamal>::new(3, 5).members();
    let (contribution, _) = members.contribute(99, ROUND);
    let (params, ciphertext) = (Params::new(5, 3), theirs(&contribution));
    let keys = key_set(&members.group, params);
    let shares = [4, 0, 2].map(|index| {
        let holder = ActiveParticipant::new(keys.clone(), index, secret(&members, index)).unwrap();
        (index, holder.decrypt_share(ciphertext, &mut members.rng).0)
    });
    let opened = params.combine_shares(shares).unwrap();
    assert_eq!(opened.decrypt(ciphertext, &DiscreteLogTable::new(0..100)), Some(99));
}

/// A group dealt by it, with its secrets in our hands.
fn dealt_by_them(threshold: usize, count: usize) -> (Neighbours, PublicKeySet<Ristretto>) {
    let mut members = Neighbours::new(count);
    let params = Params::new(count, threshold);
    let dealer = Dealer::<Ristretto>::new(params, &mut members.rng);
    let (polynomial, proof) = dealer.public_info();
    let keys = PublicKeySet::new(params, polynomial, proof).unwrap();
    let shares = (0..count).map(|index| dealer.secret_share_for_participant(index));
    let secrets =
        shares.map(|share| Secret::from_stored(share.expose_scalar().as_bytes()).unwrap());
    members.secrets = secrets.collect();
    (members, keys)
}

fn named(threshold: u16, keys: &PublicKeySet<Ristretto>) -> Result<ElGamal, GroupError> {
    let shares: Vec<_> = keys.participant_keys().iter().map(PublicKey::as_bytes).collect();
    ElGamal::named_group(threshold, keys.shared_key().as_bytes(), &shares)
}

#[test]
fn a_group_dealt_by_them_opens_with_our_responses() {
    let (mut members, keys) = dealt_by_them(4, 6);
    members.group = named(4, &keys).unwrap();
    let sum = keys.shared_key().encrypt(1234_u64, &mut members.rng);
    let sum = ours(&mut members, &sum);
    assert_eq!(open(&mut members, &[5, 3, 0, 2], &sum), [1234]);
}

#[test]
fn a_group_dealt_by_them_has_exactly_its_threshold() {
    let (_, keys) = dealt_by_them(4, 6);
    assert_eq!(named(3, &keys).err(), Some(GroupError::Polynomial));
}
