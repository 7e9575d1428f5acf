//! Sums become readable again, wherever they lie in their range.

use aggregation::{Range, Table};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;

fn point(number: u64) -> RistrettoPoint {
    RistrettoPoint::mul_base(&Scalar::from(number))
}

fn decoded(table: &Table, number: u64, bound: u64, forecast: u64) -> Option<u64> {
    table.decode(&point(number), Range { bound, forecast })
}

#[test]
fn every_number_of_a_small_range_decodes_from_every_forecast() {
    let table = Table::new(4);
    for number in 0..=70 {
        for forecast in [0, 1, 15, 16, 35, 69, 70, 71, u64::MAX] {
            assert_eq!(decoded(&table, number, 70, forecast), Some(number));
        }
    }
}

#[test]
fn a_number_above_the_bound_is_none_even_within_its_last_block() {
    let table = Table::new(4);
    for number in 71..=100 {
        assert_eq!(decoded(&table, number, 70, 70), None);
    }
}

#[test]
fn a_negative_number_is_none() {
    let range = Range { bound: 1 << 16, forecast: 0 };
    assert_eq!(Table::new(8).decode(&-point(1), range), None);
}

#[test]
fn a_bound_of_zero_admits_zero_only() {
    let table = Table::new(4);
    assert_eq!(decoded(&table, 0, 0, 0), Some(0));
    assert_eq!(decoded(&table, 1, 0, 0), None);
}

#[test]
fn the_largest_numbers_decode_near_their_forecast() {
    let table = Table::new(8);
    for number in [u64::MAX, u64::MAX - 300, 1 << 63] {
        assert_eq!(decoded(&table, number, u64::MAX, number - 200), Some(number));
    }
}

#[test]
fn a_forecast_far_off_still_leads_to_the_sum() {
    let table = Table::new(16);
    let bound = 1 << 32;
    assert_eq!(decoded(&table, bound, bound, 0), Some(bound));
    assert_eq!(decoded(&table, 12_345, bound, bound), Some(12_345));
}

#[test]
fn a_random_point_is_none_within_the_bound() {
    let range = Range { bound: 1 << 26, forecast: 1 << 25 };
    let stray = RistrettoPoint::mul_base(&-Scalar::from(u128::MAX));
    assert_eq!(Table::new(16).decode(&stray, range), None);
}

#[test]
fn the_size_of_a_table_is_clamped() {
    assert_eq!(decoded(&Table::new(0), 1000, 1000, 0), Some(1000));
}
