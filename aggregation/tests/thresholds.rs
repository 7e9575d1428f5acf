//! What holds for t of n with every scheme, with secrecy or without.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;
#[macro_use]
#[path = "common/each_scheme.rs"]
mod each_scheme;

use aggregation::plain::bend_share;
use aggregation::{
    Canonical, CombineError, Context, DecodeError, ElGamal, GroupError, Participant, Plain,
    ResponseError, Scheme, Stored, Table,
};
use common::{Ceremony, DEALING, Members, ROUND, WIDE, for_any};
use proptest::sample::subsequence;

laws! {
    any_quorum_opens_a_sum
    every_threshold_from_one_to_all_opens_a_sum
    fewer_than_the_threshold_open_nothing
    a_response_to_other_sums_does_not_fill_a_quorum
    several_sums_open_in_one_request_to_a_quorum
    a_quorum_shows_what_sums_open_to_and_nothing_else
    a_bad_response_is_named_and_the_others_open
    a_claim_opens_with_a_quorum
    a_dealt_group_says_its_threshold_and_an_undealt_one_its_size
    a_named_group_is_the_shared_group
    a_named_group_with_one_altered_share_is_refused
    a_named_group_with_another_key_is_refused
    a_named_group_with_a_lower_threshold_is_refused
    a_named_group_names_the_share_that_is_not_encoded_as_one
    a_threshold_that_no_quorum_reaches_is_refused
    a_dealing_verifies_as_it_was_meant_only
    a_dealing_with_too_few_commitments_is_refused
    a_dealing_that_lacks_a_share_is_refused
    a_dealing_of_134_of_200_takes_13986_bytes
    a_dealer_with_a_bad_share_is_convicted
    a_bad_share_harms_its_recipient_only
    every_bad_dealer_is_named_at_once
    no_dealings_give_no_secret
    a_complaint_about_a_share_that_fits_convicts_nobody_else
    a_complaint_with_a_false_proof_convicts_nobody_else
    a_complaint_reused_in_another_ceremony_convicts_nobody
    a_complaint_convicts_its_own_parties_only
    a_stranger_convicts_nobody
    a_dealt_secret_survives_a_restart
}

fn dealt<S: Scheme>(threshold: u16, count: u16) -> Members<S> {
    Ceremony::new(threshold, count).members()
}

fn open<S: Scheme>(
    members: &mut Members<S>,
    decoder: &S::Decoder,
    quorum: impl IntoIterator<Item = u16>,
    sums: &[S::Aggregate],
) -> Result<Vec<u64>, CombineError> {
    let accepted = members.accept_from(quorum, sums);
    let sums: Vec<_> = sums.iter().map(|sum| (sum.clone(), WIDE)).collect();
    members.group.combine(decoder, &sums, &accepted)
}

fn named<S: Scheme>(group: &S, threshold: u16, count: u16) -> Result<S, GroupError> {
    S::named_group(threshold, &group.group_key(), &public_shares(group, count))
}

fn public_shares<S: Scheme>(group: &S, count: u16) -> Vec<Vec<u8>> {
    (0..count).map(|of| group.public_share(Participant(of)).unwrap()).collect()
}

/// What is wrong with a group named with another share of participant 2.
fn with_share<S: Scheme>(share: &[u8]) -> Option<GroupError> {
    let group = dealt::<S>(3, 5).group;
    let mut shares = public_shares(&group, 5);
    shares[2] = share.to_vec();
    S::named_group(3, &group.group_key(), &shares).err()
}

fn any_quorum_opens_a_sum<S: Scheme>(decoder: &S::Decoder) {
    for_any(subsequence((0..7).collect::<Vec<u16>>(), 4..=7), |quorum| {
        let mut members = dealt::<S>(4, 7);
        let sums = [members.sum(&[1, 20, 300])];
        assert_eq!(open(&mut members, decoder, quorum, &sums), Ok(vec![321]));
    });
}

fn every_threshold_from_one_to_all_opens_a_sum<S: Scheme>(decoder: &S::Decoder) {
    for threshold in 1..=5 {
        let mut members = dealt::<S>(threshold, 5);
        let sums = [members.sum(&[6, 70])];
        let last = 5 - threshold..5;
        assert_eq!(open(&mut members, decoder, last, &sums), Ok(vec![76]), "{threshold}");
    }
}

fn fewer_than_the_threshold_open_nothing<S: Scheme>(decoder: &S::Decoder) {
    let mut members = dealt::<S>(4, 6);
    let sums = [members.sum(&[5])];
    let missing = [1, 3, 4].map(Participant).to_vec();
    let opened = open(&mut members, decoder, [0, 2, 5], &sums);
    assert_eq!(opened, Err(CombineError::Missing(missing)));
}

fn a_response_to_other_sums_does_not_fill_a_quorum<S: Scheme>(decoder: &S::Decoder) {
    let mut members = dealt::<S>(2, 3);
    let [sum, other] = [members.sum(&[1]), members.sum(&[1])];
    let mut accepted = members.accept_from([0], std::slice::from_ref(&sum));
    accepted.extend(members.accept_from([1], &[other]));
    let opened = members.group.combine(decoder, &[(sum, WIDE)], &accepted);
    assert_eq!(opened, Err(CombineError::Missing([1, 2].map(Participant).to_vec())));
}

fn several_sums_open_in_one_request_to_a_quorum<S: Scheme>(decoder: &S::Decoder) {
    let mut members = dealt::<S>(3, 4);
    let sums = [&[1, 2][..], &[40], &[0, 500, 8]].map(|one| members.sum(one));
    assert_eq!(open(&mut members, decoder, [0, 1, 3], &sums), Ok(vec![3, 40, 508]));
}

fn a_quorum_shows_what_sums_open_to_and_nothing_else<S: Scheme>(_: &S::Decoder) {
    let mut members = dealt::<S>(3, 5);
    let sums = [&[1, 2][..], &[40]].map(|one| members.sum(one));
    let accepted = members.accept_from([0, 2, 4], &sums);
    let opens = |values: [u64; 2]| {
        let told: Vec<_> = sums.iter().cloned().zip(values).collect();
        members.group.opens(&told, &accepted)
    };
    assert_eq!(opens([3, 40]), Ok(()));
    assert_eq!(opens([3, 41]), Err(CombineError::Wrong(vec![1])));
    assert_eq!(opens([40, 3]), Err(CombineError::Wrong(vec![0, 1])));
}

fn a_bad_response_is_named_and_the_others_open<S: Scheme>(decoder: &S::Decoder) {
    let mut members = dealt::<S>(3, 4);
    let sums = [members.sum(&[8])];
    let bad = members.respond(1, &sums);
    let request = members.group.request(&sums);
    let refused = members.group.accept(Participant(0), &request, &bad, ROUND);
    assert_eq!(refused.err(), Some(ResponseError::Proof));
    assert_eq!(open(&mut members, decoder, [1, 2, 3], &sums), Ok(vec![8]));
}

fn a_claim_opens_with_a_quorum<S: Scheme>(decoder: &S::Decoder) {
    let mut members = dealt::<S>(2, 3);
    let retained = [1, 2, 4].map(|wh| members.contribute(wh, ROUND).1);
    let Members { group, rng, .. } = &mut members;
    let claim = group.claim(&retained.iter().collect::<Vec<_>>(), ROUND, rng).unwrap();
    assert_eq!(group.verify(&[(ROUND, &claim)], rng), Ok(()));
    let sums = [members.sum_of([&claim])];
    assert_eq!(open(&mut members, decoder, [0, 2], &sums), Ok(vec![7]));
}

fn a_dealt_group_says_its_threshold_and_an_undealt_one_its_size<S: Scheme>(_: &S::Decoder) {
    assert_eq!(dealt::<S>(3, 5).group.threshold(), 3);
    let undealt = Members::<S>::new(5).group;
    assert_eq!(undealt.threshold(), 5);
    assert_eq!(undealt.public_share(Participant(5)), None);
}

fn a_named_group_is_the_shared_group<S: Scheme>(decoder: &S::Decoder) {
    let mut members = dealt::<S>(3, 5);
    let sums = [members.sum(&[9, 10])];
    let group = named(&members.group, 3, 5).unwrap();
    assert_eq!(group.group_key(), members.group.group_key());
    assert_eq!(public_shares(&group, 5), public_shares(&members.group, 5));
    assert_eq!(group.threshold(), 3);
    members.group = group;
    assert_eq!(open(&mut members, decoder, [1, 2, 4], &sums), Ok(vec![19]));
}

fn a_named_group_with_one_altered_share_is_refused<S: Scheme>(_: &S::Decoder) {
    let other = dealt::<S>(2, 5).group.public_share(Participant(2)).unwrap();
    assert_eq!(with_share::<S>(&other), Some(GroupError::Polynomial));
}

fn a_named_group_with_another_key_is_refused<S: Scheme>(_: &S::Decoder) {
    let group = dealt::<S>(3, 5).group;
    let other = dealt::<S>(2, 5).group.group_key();
    let named = S::named_group(3, &other, &public_shares(&group, 5));
    assert_eq!(named.err(), Some(GroupError::Polynomial));
}

fn a_named_group_with_a_lower_threshold_is_refused<S: Scheme>(_: &S::Decoder) {
    let group = dealt::<S>(3, 5).group;
    assert_eq!(named(&group, 2, 5).err(), Some(GroupError::Polynomial));
}

fn a_named_group_names_the_share_that_is_not_encoded_as_one<S: Scheme>(_: &S::Decoder) {
    let length = DecodeError::Length { expected: 32, found: 31 };
    assert_eq!(with_share::<S>(&[1; 31]), Some(GroupError::Share(Participant(2), length)));
    let key = S::named_group(1, &[1; 31], &[[1; 32]]).err();
    assert_eq!(key, Some(GroupError::Key(length)));
}

fn a_threshold_that_no_quorum_reaches_is_refused<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = Ceremony::<S>::new(2, 3);
    let key = [1; 32];
    for threshold in [0, 4] {
        let refused = Some(GroupError::Threshold { threshold, participants: 3 });
        assert_eq!(S::shared_group(threshold, &ceremony.dealings).err(), refused);
        assert_eq!(S::named_group(threshold, &key, &[key; 3]).err(), refused);
        ceremony.threshold = threshold;
        let dealing = ceremony.deal(0, DEALING);
        assert!(!ceremony.verifies(0, &dealing));
    }
    assert_eq!(S::shared_group(1, &[]).err(), Some(GroupError::Empty));
}

fn a_dealing_verifies_as_it_was_meant_only<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = Ceremony::<S>::new(2, 3);
    let dealing = ceremony.dealings[0].clone();
    assert!(ceremony.verifies(0, &dealing));
    assert!(!ceremony.verifies(1, &dealing), "another dealer");
    let other = ceremony.deal(0, Context(b"dealings of epoch 2"));
    assert!(!ceremony.verifies(0, &other), "another context");
    ceremony.threshold = 3;
    assert!(!ceremony.verifies(0, &dealing), "another threshold");
    ceremony.threshold = 2;
    ceremony.parts.swap(1, 2);
    assert!(!ceremony.verifies(0, &dealing), "other participants");
}

fn a_dealing_with_too_few_commitments_is_refused<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = Ceremony::<S>::new(3, 4);
    ceremony.threshold = 2;
    let short = ceremony.deal(1, DEALING);
    ceremony.threshold = 3;
    assert!(!ceremony.verifies(1, &short));
    ceremony.dealings[1] = short;
    let group = S::shared_group(3, &ceremony.dealings);
    assert_eq!(group.err(), Some(GroupError::Dealing(Participant(1))));
}

fn a_dealing_that_lacks_a_share_is_refused<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = Ceremony::<S>::new(2, 3);
    let bytes = ceremony.dealings[2].to_bytes();
    let short = S::Dealing::from_bytes(&bytes[..bytes.len() - 48]).unwrap();
    assert!(!ceremony.verifies(2, &short));
    ceremony.dealings[2] = short;
    let group = S::shared_group(2, &ceremony.dealings);
    assert_eq!(group.err(), Some(GroupError::Dealing(Participant(2))));
}

fn a_dealing_of_134_of_200_takes_13986_bytes<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = Ceremony::<S>::new(1, 1);
    ceremony.threshold = 134;
    ceremony.parts = vec![ceremony.parts[0].clone(); 200];
    assert_eq!(ceremony.deal(0, DEALING).to_bytes().len(), 13_986);
}

/// Of three participants with a threshold of two, dealer 1 bends the share of
/// each of these.
fn bent<S: Scheme>(recipients: &[u16]) -> Ceremony<S> {
    let mut ceremony = Ceremony::<S>::new(2, 3);
    for of in recipients {
        let dealing = bend_share(&ceremony.dealings[1], 3, Participant(*of)).unwrap();
        assert!(ceremony.verifies(1, &dealing), "nobody but the recipient can tell");
        ceremony.dealings[1] = dealing;
    }
    ceremony
}

/// What the complaint of 2 about 1 binds.
const ABOUT: &[u8] = b"complaint of epoch 1 about 1";

fn a_dealer_with_a_bad_share_is_convicted<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = bent::<S>(&[2]);
    let complaint = ceremony.complaint(2, 1);
    assert!(ceremony.convicts(2, 1, &complaint, ABOUT));
}

fn a_bad_share_harms_its_recipient_only<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = bent::<S>(&[2]);
    assert!(ceremony.receive(0).is_ok());
    assert!(ceremony.receive(1).is_ok());
    let named: Vec<_> = ceremony.receive(2).err().unwrap().into_keys().collect();
    assert_eq!(named, [Participant(1)]);
}

fn every_bad_dealer_is_named_at_once<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = bent::<S>(&[0]);
    ceremony.dealings[2] = bend_share(&ceremony.dealings[2], 3, Participant(0)).unwrap();
    let named: Vec<_> = ceremony.receive(0).err().unwrap().into_keys().collect();
    assert_eq!(named, [1, 2].map(Participant));
}

fn no_dealings_give_no_secret<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = Ceremony::<S>::new(2, 3);
    ceremony.dealings.clear();
    assert!(ceremony.receive(0).err().unwrap().is_empty());
}

fn a_complaint_about_a_share_that_fits_convicts_nobody_else<S: Scheme>(_: &S::Decoder) {
    let complaint = bent::<S>(&[2]).complaint(2, 1);
    assert!(!Ceremony::<S>::new(2, 3).convicts(2, 1, &complaint, ABOUT));
}

fn a_complaint_with_a_false_proof_convicts_nobody_else<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = bent::<S>(&[2]);
    let mut bytes = ceremony.complaint(2, 1).to_bytes();
    let last = bytes.len() - 32;
    bytes[last] ^= 1;
    let complaint = S::Complaint::from_bytes(&bytes).unwrap();
    assert!(!ceremony.convicts(2, 1, &complaint, ABOUT));
}

fn a_complaint_reused_in_another_ceremony_convicts_nobody<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = bent::<S>(&[2]);
    let complaint = ceremony.complaint(2, 1);
    assert!(!ceremony.convicts(2, 1, &complaint, b"complaint of epoch 2 about 1"));
}

fn a_complaint_convicts_its_own_parties_only<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = bent::<S>(&[0, 2]);
    ceremony.dealings[0] = ceremony.dealings[1].clone();
    let complaint = ceremony.complaint(2, 1);
    assert!(ceremony.convicts(2, 1, &complaint, ABOUT));
    assert!(!ceremony.convicts(0, 1, &complaint, ABOUT), "another complainant");
    assert!(!ceremony.convicts(2, 0, &complaint, ABOUT), "another dealer");
}

fn a_stranger_convicts_nobody<S: Scheme>(_: &S::Decoder) {
    let mut ceremony = bent::<S>(&[2]);
    let complaint = ceremony.complaint(2, 1);
    assert!(!ceremony.convicts(3, 1, &complaint, ABOUT));
}

fn a_dealt_secret_survives_a_restart<S: Scheme>(decoder: &S::Decoder) {
    let mut members = dealt::<S>(2, 3);
    let sums = [members.sum(&[4])];
    let stored = members.secrets[1].to_stored();
    members.secrets[1] = S::Secret::from_stored(&stored).unwrap();
    assert_eq!(open(&mut members, decoder, [1, 2], &sums), Ok(vec![4]));
}
