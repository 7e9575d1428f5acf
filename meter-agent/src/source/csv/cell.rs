//! A cell: a decimal number, read as a whole number of Wh without floats.

use super::{Fault, Unit};

/// A cell as a whole number of Wh.
#[derive(Clone, Copy)]
pub(super) struct Wh {
    pub(super) wh: u32,
    /// Whether the cell said more than the number does.
    pub(super) rounded: bool,
}

/// Reads digits, or digits, a point and digits; what is finer than 1 Wh is
/// rounded half up. Blanks around the number are ignored.
pub(super) fn in_wh(cell: &[u8], unit: Unit) -> Result<Wh, Fault> {
    let cell = cell.trim_ascii();
    if cell.is_empty() {
        return Err(Fault::Missing);
    }
    let positive = cell.strip_prefix(b"-");
    let (whole, fraction) = decimal(positive.unwrap_or(cell)).ok_or(Fault::NotDecimal)?;
    if positive.is_some() {
        return Err(Fault::Negative);
    }
    let (kept, dropped) = fraction.split_at(fraction.len().min(unit.places()));
    let zeros = std::iter::repeat_n(&b'0', unit.places() - kept.len());
    let append = |wh: u32, digit: &u8| wh.checked_mul(10)?.checked_add(u32::from(digit - b'0'));
    let wh = whole.iter().chain(kept).chain(zeros).try_fold(0, append);
    let up = u32::from(dropped.first().is_some_and(|digit| *digit >= b'5'));
    let wh = wh.and_then(|wh| wh.checked_add(up)).ok_or(Fault::TooLarge)?;
    Ok(Wh { wh, rounded: dropped.iter().any(|digit| *digit != b'0') })
}

impl Unit {
    /// Digits after the point that make whole Wh.
    fn places(self) -> usize {
        match self {
            Self::Kwh => 3,
            Self::Wh => 0,
        }
    }
}

/// The digits before and after the point, if there is nothing else.
fn decimal(number: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = number.splitn(2, |byte| *byte == b'.');
    let whole = parts.next()?;
    let fraction = parts.next();
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    (digits(whole) && fraction.is_none_or(digits)).then(|| (whole, fraction.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_finer_than_a_watt_hour_is_rounded_half_up_and_counted() {
        for (kwh, expected, rounded) in [
            ("0", 0, false),
            ("0.0", 0, false),
            ("0.00049", 0, true),
            ("0.0005", 1, true),
            ("1.2345", 1_235, true),
            ("1.23449999999999999999999999999", 1_234, true),
            ("1.2340000", 1_234, false),
            ("0.9995", 1_000, true),
            (" 1.0 ", 1_000, false),
            ("007", 7_000, false),
            ("4294967.295", u32::MAX, false),
        ] {
            let cell = in_wh(kwh.as_bytes(), Unit::Kwh).unwrap();
            assert_eq!((cell.wh, cell.rounded), (expected, rounded), "{kwh}");
        }
        assert_eq!(in_wh(b"2.5", Unit::Wh).unwrap().wh, 3);
        assert_eq!(in_wh(b"12", Unit::Wh).unwrap().wh, 12);
    }

    #[test]
    fn a_cell_is_a_plain_decimal_number_or_refused() {
        for (cell, fault) in [
            ("", Fault::Missing),
            ("  ", Fault::Missing),
            ("-0.1", Fault::Negative),
            ("-0", Fault::Negative),
            ("--1", Fault::NotDecimal),
            ("+1", Fault::NotDecimal),
            ("1e3", Fault::NotDecimal),
            ("1,5", Fault::NotDecimal),
            (".5", Fault::NotDecimal),
            ("5.", Fault::NotDecimal),
            (".", Fault::NotDecimal),
            ("1.2.3", Fault::NotDecimal),
            ("1 000", Fault::NotDecimal),
            ("NaN", Fault::NotDecimal),
            ("inf", Fault::NotDecimal),
            ("\"1\"", Fault::NotDecimal),
            ("0x10", Fault::NotDecimal),
            ("١", Fault::NotDecimal),
            ("4294967.2955", Fault::TooLarge),
            ("4294967.296", Fault::TooLarge),
            ("99999999999999999999999999999999999999999", Fault::TooLarge),
        ] {
            assert_eq!(in_wh(cell.as_bytes(), Unit::Kwh).err(), Some(fault), "{cell}");
        }
    }

    proptest! {
        #[test]
        fn every_number_of_watt_hours_reads_back_as_written(any: u32, bits in 0..32) {
            let wh = any >> bits;
            let kwh = format!("{}.{:03}", wh / 1_000, wh % 1_000);
            let cell = in_wh(kwh.as_bytes(), Unit::Kwh).unwrap();
            prop_assert_eq!((cell.wh, cell.rounded), (wh, false), "{}", kwh);
        }
    }
}
