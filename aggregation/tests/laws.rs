//! What holds for every scheme, with secrecy or without.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;
#[macro_use]
#[path = "common/each_scheme.rs"]
mod each_scheme;

use std::collections::BTreeMap;
use std::fmt::Debug;

use aggregation::plain::bend_share;
use aggregation::{
    Canonical, CombineError, Context, Culprits, DecodeError, ElGamal, GroupError, Participant,
    Plain, Range, ResponseError, Scheme, Stored, Table,
};
use common::{Ceremony, KEYS, Members, ROUND, WIDE, for_any};

laws! {
    any_plaintexts_come_back_as_their_sum
    two_hundred_contributions_of_the_maximum_come_back_as_their_sum
    the_order_of_folding_is_irrelevant
    a_contribution_verifies_under_its_own_context_only
    a_contribution_verifies_in_its_own_group_only
    a_claim_folds_to_what_its_contributions_fold_to
    a_claim_survives_a_restart_of_its_owner
    a_claim_to_nothing_is_none
    several_sums_open_in_one_request
    missing_participants_are_named
    a_response_to_other_sums_counts_as_missing
    sums_open_to_their_true_values
    a_value_that_is_off_by_one_is_named
    nothing_is_known_to_open_without_enough_responses
    a_response_is_bound_to_its_participant
    a_response_is_bound_to_its_request
    a_response_is_bound_to_its_context
    a_response_to_another_number_of_sums_is_refused
    an_empty_sum_is_never_opened
    a_stranger_neither_responds_nor_is_accepted
    a_sum_outside_its_range_is_named_and_nothing_is_opened
    a_key_part_verifies_under_its_own_context_only
    a_group_without_members_is_none
    public_values_survive_their_encoding
    a_wrong_length_is_refused
    a_secret_survives_a_restart
    the_debug_of_a_secret_shows_nothing
}

fn accept_all<S: Scheme>(
    members: &mut Members<S>,
    sums: &[S::Aggregate],
) -> BTreeMap<Participant, S::Accepted> {
    members.accept_from(0..u16::try_from(members.secrets.len()).unwrap(), sums)
}

fn open<S: Scheme>(
    members: &mut Members<S>,
    decoder: &S::Decoder,
    sums: &[(S::Aggregate, Range)],
) -> Result<Vec<u64>, CombineError> {
    let asked: Vec<_> = sums.iter().map(|(sum, _)| sum.clone()).collect();
    let accepted = accept_all(members, &asked);
    members.group.combine(decoder, sums, &accepted)
}

fn any_plaintexts_come_back_as_their_sum<S: Scheme>(decoder: &S::Decoder) {
    for_any(proptest::collection::vec(0..=65535_u64, 1..8), |plaintexts| {
        let mut members = Members::<S>::new(3);
        let sum = members.sum(&plaintexts);
        let opened = open(&mut members, decoder, &[(sum, WIDE)]);
        assert_eq!(opened, Ok(vec![plaintexts.iter().sum()]));
    });
}

fn two_hundred_contributions_of_the_maximum_come_back_as_their_sum<S: Scheme>(
    decoder: &S::Decoder,
) {
    let mut members = Members::<S>::new(2);
    let sum = members.sum(&[65535; 200]);
    let range = Range { bound: 200 * 65535, forecast: 0 };
    assert_eq!(open(&mut members, decoder, &[(sum, range)]), Ok(vec![200 * 65535]));
}

fn the_order_of_folding_is_irrelevant<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let contributions: Vec<_> = (0..5).map(|bit| members.contribute(1 << bit, ROUND).0).collect();
    let forwards = members.sum_of(&contributions);
    let backwards = members.sum_of(contributions.iter().rev());
    assert_eq!(forwards, backwards);
}

fn a_contribution_verifies_under_its_own_context_only<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (contribution, _) = members.contribute(5, ROUND);
    let (own, other) = ((ROUND, &contribution), (Context(b"round 8"), &contribution));
    assert_eq!(members.group.verify(&[own], &mut members.rng), Ok(()));
    let verdict = members.group.verify(&[other, own, other], &mut members.rng);
    assert_eq!(verdict, Err(Culprits(vec![0, 2])));
}

fn a_contribution_verifies_in_its_own_group_only<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (contribution, _) = members.contribute(5, ROUND);
    let other = S::group(&members.parts[..1]).unwrap();
    let verdict = other.verify(&[(ROUND, &contribution)], &mut members.rng);
    assert_eq!(verdict, Err(Culprits(vec![0])));
}

fn a_claim_folds_to_what_its_contributions_fold_to<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (contributions, retained): (Vec<_>, Vec<_>) =
        (1..4).map(|wh| members.contribute(wh, ROUND)).unzip();
    let retained: Vec<_> = retained.iter().collect();
    let window = Context(b"window 2");
    let Members { group, rng, .. } = &mut members;
    let claim = group.claim(&retained, window, rng).unwrap();
    assert_eq!(group.verify(&[(window, &claim)], rng), Ok(()));
    assert_eq!(members.sum_of([&claim]), members.sum_of(&contributions));
}

fn a_claim_survives_a_restart_of_its_owner<S: Scheme<Retained: Stored>>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (contribution, retained) = members.contribute(9, ROUND);
    let restored = S::Retained::from_stored(&retained.to_stored()).unwrap();
    let Members { group, rng, .. } = &mut members;
    let claim = group.claim(&[&restored], ROUND, rng).unwrap();
    assert_eq!(group.verify(&[(ROUND, &claim)], rng), Ok(()));
    assert_eq!(members.sum_of([&claim]), members.sum_of([&contribution]));
}

fn a_claim_to_nothing_is_none<S: Scheme>(_: &S::Decoder) {
    let Members { group, mut rng, .. } = Members::<S>::new(2);
    assert_eq!(group.claim(&[], ROUND, &mut rng), None);
}

fn several_sums_open_in_one_request<S: Scheme>(decoder: &S::Decoder) {
    let mut members = Members::<S>::new(4);
    let sums = [&[1, 2][..], &[40], &[0, 500, 8]].map(|one| (members.sum(one), WIDE));
    assert_eq!(open(&mut members, decoder, &sums), Ok(vec![3, 40, 508]));
}

fn missing_participants_are_named<S: Scheme>(decoder: &S::Decoder) {
    let mut members = Members::<S>::new(4);
    let sum = members.sum(&[1, 2]);
    let mut accepted = accept_all(&mut members, std::slice::from_ref(&sum));
    accepted.remove(&Participant(1));
    accepted.remove(&Participant(3));
    let opened = members.group.combine(decoder, &[(sum, WIDE)], &accepted);
    let missing = vec![Participant(1), Participant(3)];
    assert_eq!(opened, Err(CombineError::Missing(missing)));
}

fn a_response_to_other_sums_counts_as_missing<S: Scheme>(decoder: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let [sum, other] = [members.sum(&[1]), members.sum(&[1])];
    let mut accepted = accept_all(&mut members, std::slice::from_ref(&sum));
    let stray = accept_all(&mut members, &[other]).remove(&Participant(0)).unwrap();
    accepted.insert(Participant(0), stray);
    let opened = members.group.combine(decoder, &[(sum, WIDE)], &accepted);
    assert_eq!(opened, Err(CombineError::Missing(vec![Participant(0)])));
}

/// Three sums of several contributions, with their values and all responses.
#[expect(clippy::type_complexity, reason = "a pair that the tests take apart")]
fn told<S: Scheme>(
    members: &mut Members<S>,
) -> (Vec<(S::Aggregate, u64)>, BTreeMap<Participant, S::Accepted>) {
    let plaintexts = [&[1, 2][..], &[0], &[65535, 500, 8]];
    let sums = plaintexts.map(|one| members.sum(one)).to_vec();
    let accepted = accept_all(members, &sums);
    let values = plaintexts.map(|one| one.iter().sum());
    (sums.into_iter().zip(values).collect(), accepted)
}

fn sums_open_to_their_true_values<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(3);
    let (sums, accepted) = told(&mut members);
    assert_eq!(members.group.opens(&sums, &accepted), Ok(()));
}

fn a_value_that_is_off_by_one_is_named<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(3);
    let (sums, accepted) = told(&mut members);
    for at in 0..sums.len() {
        for lie in [sums[at].1.wrapping_sub(1), sums[at].1 + 1] {
            let mut told = sums.clone();
            told[at].1 = lie;
            let verdict = members.group.opens(&told, &accepted);
            assert_eq!(verdict, Err(CombineError::Wrong(vec![at])), "{lie}");
        }
    }
}

fn nothing_is_known_to_open_without_enough_responses<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(3);
    let (sums, mut accepted) = told(&mut members);
    accepted.remove(&Participant(1));
    let verdict = members.group.opens(&sums, &accepted);
    assert_eq!(verdict, Err(CombineError::Missing(vec![Participant(1)])));
}

fn refusal<S: Scheme>(
    members: &Members<S>,
    of: u16,
    sums: &[S::Aggregate],
    response: &S::Response,
    context: Context<'_>,
) -> Option<ResponseError> {
    let request = members.group.request(sums);
    members.group.accept(Participant(of), &request, response, context).err()
}

fn a_response_is_bound_to_its_participant<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let sums = [members.sum(&[1])];
    let response = members.respond(0, &sums);
    assert_eq!(refusal(&members, 0, &sums, &response, ROUND), None);
    assert_eq!(refusal(&members, 1, &sums, &response, ROUND), Some(ResponseError::Proof));
}

fn a_response_is_bound_to_its_request<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let [sum, other] = [members.sum(&[1]), members.sum(&[2])];
    let response = members.respond(0, &[sum.clone(), other.clone()]);
    let swapped = [other, sum];
    let refusal = refusal(&members, 0, &swapped, &response, ROUND);
    assert_eq!(refusal, Some(ResponseError::Proof));
}

fn a_response_is_bound_to_its_context<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let sums = [members.sum(&[1])];
    let response = members.respond(0, &sums);
    let refusal = refusal(&members, 0, &sums, &response, Context(b"round 8"));
    assert_eq!(refusal, Some(ResponseError::Proof));
}

fn a_response_to_another_number_of_sums_is_refused<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let sums = [members.sum(&[1]), members.sum(&[2])];
    let response = members.respond(0, &sums[..1]);
    let refusal = refusal(&members, 0, &sums, &response, ROUND);
    assert_eq!(refusal, Some(ResponseError::Count { expected: 2, found: 1 }));
}

fn an_empty_sum_is_never_opened<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let sums = [members.sum(&[1]), S::Aggregate::default()];
    let honest = members.respond(0, &sums[..1]);
    let refused = Some(ResponseError::Identity(1));
    assert_eq!(refusal(&members, 0, &sums, &honest, ROUND), refused);
    let Members { group, secrets, mut rng, .. } = members;
    let request = group.request(&sums);
    let response = group.respond(&secrets[0], Participant(0), &request, ROUND, &mut rng);
    assert_eq!(response.err(), refused);
}

fn a_stranger_neither_responds_nor_is_accepted<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let sums = [members.sum(&[1])];
    let response = members.respond(0, &sums);
    let unknown = Some(ResponseError::Unknown(Participant(2)));
    assert_eq!(refusal(&members, 2, &sums, &response, ROUND), unknown);
    let Members { group, secrets, mut rng, .. } = members;
    let request = group.request(&sums);
    let response = group.respond(&secrets[0], Participant(2), &request, ROUND, &mut rng);
    assert_eq!(response.err(), unknown);
}

fn a_sum_outside_its_range_is_named_and_nothing_is_opened<S: Scheme>(decoder: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let narrow = Range { bound: 100, forecast: 100 };
    let sums = [99, 101, 100, 102].map(|wh| (members.sum(&[wh]), narrow));
    let opened = open(&mut members, decoder, &sums);
    assert_eq!(opened, Err(CombineError::OutOfRange(vec![1, 3])));
}

fn a_key_part_verifies_under_its_own_context_only<S: Scheme>(_: &S::Decoder) {
    let members = Members::<S>::new(1);
    assert!(S::verify_key_part(&members.parts[0], KEYS));
    assert!(!S::verify_key_part(&members.parts[0], Context(b"keys of epoch 2")));
}

fn a_group_without_members_is_none<S: Scheme>(_: &S::Decoder) {
    assert_eq!(S::group(&[]).err(), Some(GroupError::Empty));
}

fn reread<T: Canonical>(value: &T) -> Result<T, DecodeError> {
    T::from_bytes(&value.to_bytes())
}

fn public_values_survive_their_encoding<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (contribution, _) = members.contribute(5, ROUND);
    let sums = [members.sum(&[1]), members.sum(&[2])];
    let response = members.respond(0, &sums);
    assert_eq!(reread(&members.parts[0]), Ok(members.parts[0].clone()));
    assert_eq!(reread(&contribution), Ok(contribution));
    assert_eq!(reread(&response), Ok(response));
    assert_eq!(reread(&sums[1]), Ok(sums[1].clone()));
    assert_eq!(reread(&S::Aggregate::default()), Ok(S::Aggregate::default()));
    let (dealing, complaint) = bent_dealing_and_complaint::<S>();
    assert_eq!(reread(&dealing), Ok(dealing));
    assert_eq!(reread(&complaint), Ok(complaint));
}

fn bent_dealing_and_complaint<S: Scheme>() -> (S::Dealing, S::Complaint) {
    let mut ceremony = Ceremony::<S>::new(2, 3);
    let bent = bend_share(&ceremony.dealings[0], 3, Participant(1)).unwrap();
    ceremony.dealings[0] = bent.clone();
    (bent, ceremony.complaint(1, 0))
}

fn refuses_a_byte_more_or_less<T: Canonical>(value: &T) {
    let mut bytes = value.to_bytes();
    let expected = bytes.len();
    bytes.push(0);
    let longer = DecodeError::Length { expected, found: expected + 1 };
    assert_eq!(T::from_bytes(&bytes).err(), Some(longer));
    bytes.truncate(expected - 1);
    let shorter = T::from_bytes(&bytes).err();
    assert!(matches!(shorter, Some(DecodeError::Length { found, .. }) if found == expected - 1));
    assert!(T::from_bytes(&[]).is_err());
}

fn a_wrong_length_is_refused<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let (contribution, _) = members.contribute(5, ROUND);
    let sums = [members.sum(&[1])];
    refuses_a_byte_more_or_less(&members.parts[0]);
    refuses_a_byte_more_or_less(&contribution);
    refuses_a_byte_more_or_less(&members.respond(0, &sums));
    refuses_a_byte_more_or_less(&sums[0]);
    let (dealing, complaint) = bent_dealing_and_complaint::<S>();
    refuses_a_byte_more_or_less(&dealing);
    refuses_a_byte_more_or_less(&complaint);
}

fn a_secret_survives_a_restart<S: Scheme>(_: &S::Decoder) {
    let mut members = Members::<S>::new(2);
    let sums = [members.sum(&[1])];
    let stored = members.secrets[0].to_stored();
    members.secrets[0] = S::Secret::from_stored(&stored).unwrap();
    let response = members.respond(0, &sums);
    assert_eq!(refusal(&members, 0, &sums, &response, ROUND), None);
    assert!(S::Secret::from_stored(&stored[1..]).is_err());
}

fn the_debug_of_a_secret_shows_nothing<S: Scheme<Secret: Debug, Retained: Debug>>(_: &S::Decoder) {
    let mut members = Members::<S>::new(1);
    let (_, retained) = members.contribute(5, ROUND);
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(members.secrets[0], @"Secret(..)");
        insta::assert_debug_snapshot!(retained, @"Retained(..)");
        insta::assert_debug_snapshot!(members.device, @"DeviceSecret(..)");
    }
}
