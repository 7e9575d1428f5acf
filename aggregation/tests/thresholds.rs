//! What holds for t of n with every scheme, with secrecy or without.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]

mod common;

use aggregation::{CombineError, ElGamal, Participant, Plain, Scheme, Table};
use common::{Ceremony, Members, WIDE};
use proptest::sample::subsequence;

macro_rules! laws {
    ($($law:ident)*) => {
        mod elgamal {
            $(#[test] fn $law() { super::$law::<super::ElGamal>(&super::Table::new(12)); })*
        }
        mod plain {
            $(#[test] fn $law() { super::$law::<super::Plain>(&()); })*
        }
    };
}

laws! {
    any_quorum_opens_a_sum
    fewer_than_the_threshold_open_nothing
}

fn dealt<S: Scheme>(threshold: u16, count: u16) -> Members<S> {
    Ceremony::new(threshold, count).members()
}

fn any_quorum_opens_a_sum<S: Scheme>(decoder: &S::Decoder) {
    common::for_any(subsequence((0..7).collect::<Vec<u16>>(), 4..=7), |quorum| {
        let mut members = dealt::<S>(4, 7);
        let sum = members.sum(&[1, 20, 300]);
        let accepted = members.accept_from(quorum, std::slice::from_ref(&sum));
        assert_eq!(members.group.combine(decoder, &[(sum, WIDE)], &accepted), Ok(vec![321]));
    });
}

fn fewer_than_the_threshold_open_nothing<S: Scheme>(decoder: &S::Decoder) {
    let mut members = dealt::<S>(4, 6);
    let sum = members.sum(&[5]);
    let accepted = members.accept_from([0, 2, 5], std::slice::from_ref(&sum));
    let missing = [1, 3, 4].map(Participant).to_vec();
    let opened = members.group.combine(decoder, &[(sum, WIDE)], &accepted);
    assert_eq!(opened, Err(CombineError::Missing(missing)));
}
