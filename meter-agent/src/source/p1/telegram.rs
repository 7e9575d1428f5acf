//! What a telegram says, by OBIS code: the stands of its registers, whose they
//! are, and what the meter's clock shows. Everything else is ignored.

use std::collections::BTreeMap;
use std::fmt;

use protocol::id::Digest;
use protocol::reading::Register;
use thiserror::Error;

use super::stamp::Stamp;

/// The meter's clock.
const STAMP: &str = "0-0:1.0.0";

/// What names the meter, the best first: the equipment identifier, its
/// elder spelling, and the logical device name.
const SERIALS: [&str; 3] = ["0-0:96.1.1", "0-0:96.1.0", "0-0:42.0.0"];

/// Energy drawn: the total, then the tariffs.
const IMPORT: [&str; 5] = ["1-0:1.8.0", "1-0:1.8.1", "1-0:1.8.2", "1-0:1.8.3", "1-0:1.8.4"];

/// Energy fed in: the total, then the tariffs.
const EXPORT: [&str; 5] = ["1-0:2.8.0", "1-0:2.8.1", "1-0:2.8.2", "1-0:2.8.3", "1-0:2.8.4"];

/// What a telegram says. It has no Debug: a stand reaches no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Telegram {
    /// Whose registers these are.
    pub meter: Serial,
    /// What the meter's clock shows, where it has one that is right.
    pub stamp: Option<Stamp>,
    /// The registers that the meter has, at least one.
    pub stands: BTreeMap<Register, Stand>,
}

/// What a cumulative register shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Energy since the meter was made, in whole Wh.
    pub wh: u64,
    /// What was read to know it.
    pub basis: Basis,
}

/// The registers that a stand is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The total.
    Total,
    /// The sum of the tariffs whose bits are set.
    Tariffs(u8),
}

/// Names a meter. It is compared and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Serial(Box<[u8]>);

/// Why a telegram is of no use. It repeats no value.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TelegramError {
    /// A value is no amount of energy.
    #[error("the value of {code} does not parse")]
    Value {
        /// The OBIS code.
        code: &'static str,
    },
    /// A code stands there twice, with two values.
    #[error("{code} has two values")]
    Conflict {
        /// The OBIS code.
        code: &'static str,
    },
    /// Neither 1.8 nor 2.8.
    #[error("it has no energy register")]
    NoRegister,
}

impl Telegram {
    /// Reads a telegram from its `/` to its `!`.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub fn parse(telegram: &[u8]) -> Result<Self, TelegramError> {
        let mut lines = telegram.split(|byte| matches!(byte, b'\n' | b'\r'));
        let identification = lines.next().unwrap_or_default().trim_ascii();
        let values = Values::collect(lines)?;
        let import = values.stand(&IMPORT)?.map(|stand| (Register::Import, stand));
        let export = values.stand(&EXPORT)?.map(|stand| (Register::Export, stand));
        let stands: BTreeMap<_, _> = import.into_iter().chain(export).collect();
        if stands.is_empty() {
            return Err(TelegramError::NoRegister);
        }
        let meter = Serial(values.serial().unwrap_or(identification).into());
        Ok(Self { meter, stamp: values.stamp(), stands })
    }
}

impl Serial {
    /// What tells the stands of one of this meter's registers, read from the
    /// same codes, from all others.
    #[must_use]
    pub fn series(&self, register: Register, basis: Basis) -> Digest {
        let basis = match basis {
            Basis::Total => 0,
            Basis::Tariffs(bits) => bits,
        };
        Digest::of("series", &[&[u8::from(register), basis], &*self.0].concat())
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Serial(..)")
    }
}

/// The values of the codes that are read, with their parentheses.
struct Values<'a>(BTreeMap<&'static str, &'a [u8]>);

impl<'a> Values<'a> {
    /// A line is a code and its values. One that begins with a parenthesis
    /// goes on with the line before it, as the gas meter's in DSMR 2.2 does.
    fn collect(lines: impl Iterator<Item = &'a [u8]>) -> Result<Self, TelegramError> {
        let mut values = BTreeMap::new();
        for line in lines.map(<[u8]>::trim_ascii) {
            let split = line.iter().position(|byte| *byte == b'(').unwrap_or(line.len());
            let (code, value) = line.split_at(split);
            if let Some(code) = known(code)
                && *values.entry(code).or_insert(value) != value
            {
                return Err(TelegramError::Conflict { code });
            }
        }
        Ok(Self(values))
    }

    /// The total, or the sum of the tariffs where there is none. All of them
    /// have to parse.
    fn stand(&self, codes: &[&'static str; 5]) -> Result<Option<Stand>, TelegramError> {
        let [total_code, tariff_codes @ ..] = codes;
        let total = self.wh(total_code)?.map(|wh| Stand { wh, basis: Basis::Total });
        let (mut sum, mut bits) = (0_u64, 0);
        for (bit, code) in tariff_codes.iter().enumerate() {
            if let Some(wh) = self.wh(code)? {
                sum = sum.checked_add(wh).ok_or(TelegramError::Value { code })?;
                bits |= 1 << bit;
            }
        }
        let tariffs = (bits != 0).then_some(Stand { wh: sum, basis: Basis::Tariffs(bits) });
        Ok(total.or(tariffs))
    }

    fn wh(&self, code: &'static str) -> Result<Option<u64>, TelegramError> {
        let Some(value) = self.0.get(code) else { return Ok(None) };
        in_parentheses(value).and_then(in_wh).map(Some).ok_or(TelegramError::Value { code })
    }

    fn serial(&self) -> Option<&'a [u8]> {
        let serial = |code| in_parentheses(self.0.get(code)?).filter(|serial| !serial.is_empty());
        SERIALS.into_iter().find_map(serial)
    }

    /// A stamp that does not parse is none: many meters have none, and nothing
    /// is placed by it.
    fn stamp(&self) -> Option<Stamp> {
        in_parentheses(self.0.get(STAMP)?).and_then(Stamp::parse)
    }
}

/// The code that a line begins with, if it is one that is read. `.255` and
/// `*255` mean the running value; any other ending is a past period's.
fn known(code: &[u8]) -> Option<&'static str> {
    let code = code.trim_ascii();
    let running = code.strip_suffix(b".255").or_else(|| code.strip_suffix(b"*255"));
    let code = running.unwrap_or(code);
    let mut codes = [STAMP].into_iter().chain(SERIALS).chain(IMPORT).chain(EXPORT);
    codes.find(|known| known.as_bytes() == code)
}

fn in_parentheses(value: &[u8]) -> Option<&[u8]> {
    let value = value.strip_prefix(b"(")?.strip_suffix(b")")?;
    (!value.contains(&b'(') && !value.contains(&b')')).then_some(value.trim_ascii())
}

/// A decimal number and its unit, in whole Wh. What is below 1 Wh is cut: the
/// differences of stands keep it.
fn in_wh(value: &[u8]) -> Option<u64> {
    let mut parts = value.splitn(2, |byte| *byte == b'*');
    let (number, unit) = (parts.next()?, parts.next()?);
    let places = match unit {
        unit if unit.eq_ignore_ascii_case(b"kWh") => 3,
        unit if unit.eq_ignore_ascii_case(b"Wh") => 0,
        _ => return None,
    };
    let mut parts = number.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (parts.next()?, parts.next().unwrap_or(b"0"));
    let are_digits = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let padded = fraction.iter().chain(std::iter::repeat(&b'0')).take(places);
    whole
        .iter()
        .chain(padded)
        .try_fold(0_u64, |wh, digit| wh.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telegram(lines: &str) -> Result<Telegram, TelegramError> {
        Telegram::parse(format!("/KMP5 A\r\n\r\n{lines}\r\n!").as_bytes())
    }

    fn import(lines: &str) -> Option<u64> {
        Some(telegram(lines).ok()?.stands.get(&Register::Import)?.wh)
    }

    fn refused(lines: &str) -> TelegramError {
        telegram(lines).err().unwrap()
    }

    #[test]
    fn energy_is_whole_wh_by_its_digits() {
        for (value, wh) in [
            ("003432.827*kWh", Some(3_432_827)),
            ("00001.1*kWh", Some(1_100)),
            ("185*kWh", Some(185_000)),
            ("0000012*Wh", Some(12)),
            ("12.9*Wh", Some(12)),
            ("0.1239999*kWh", Some(123)),
            ("9007199254740.993*kWh", Some(9_007_199_254_740_993)),
            ("1*KWH", Some(1_000)),
            ("18446744073709551.615*kWh", Some(u64::MAX)),
            ("18446744073709551.616*kWh", None),
            ("-1.000*kWh", None),
            ("+1.000*kWh", None),
            ("1,000*kWh", None),
            ("1e3*kWh", None),
            ("1.2.3*kWh", None),
            (".5*kWh", None),
            ("1.*kWh", None),
            ("1.000", None),
            ("1.000*kW", None),
            ("*kWh", None),
            ("", None),
            ("1*kWh)(2*kWh", None),
            ("1.000*kWh)x", None),
        ] {
            assert_eq!(import(&format!("1-0:1.8.0({value})")), wh, "{value}");
        }
    }

    #[test]
    fn the_total_goes_before_the_sum_of_the_tariffs() {
        let tariffs = "1-0:1.8.1(1*kWh)\n1-0:1.8.2(2*kWh)\n1-0:1.8.3(4*kWh)\n1-0:1.8.4(8*kWh)";
        assert_eq!(import(tariffs), Some(15_000));
        assert_eq!(import(&format!("1-0:1.8.0(14.5*kWh)\n{tariffs}")), Some(14_500));
        let stand = telegram("1-0:2.8.2(1*kWh)").ok().unwrap().stands[&Register::Export];
        assert_eq!((stand.wh, stand.basis), (1_000, Basis::Tariffs(2)));
    }

    #[test]
    fn a_value_that_does_not_parse_is_named_by_its_code_alone() {
        let error = refused("1-0:1.8.0(1*kWh)\n1-0:2.8.2(09x7*kWh)");
        assert_eq!(error, TelegramError::Value { code: "1-0:2.8.2" });
        assert_eq!(error.to_string(), "the value of 1-0:2.8.2 does not parse");
        assert_eq!(refused("1-0:1.8.1"), TelegramError::Value { code: "1-0:1.8.1" });
    }

    #[test]
    fn a_code_may_repeat_itself_and_not_contradict_itself() {
        assert_eq!(import("1-0:1.8.0(1*kWh)\n1-0:1.8.0(1*kWh)"), Some(1_000));
        let twice = refused("1-0:1.8.0(1*kWh)\n1-0:1.8.0(2*kWh)");
        assert_eq!(twice, TelegramError::Conflict { code: "1-0:1.8.0" });
    }

    #[test]
    fn a_past_periods_value_is_not_the_running_one() {
        assert_eq!(import("1-0:1.8.0*255(7*kWh)\n1-0:1.8.0*01(6*kWh)"), Some(7_000));
        assert_eq!(import("1-0:1.8.0.255(7*kWh)\n1-0:1.8.0.126(6*kWh)"), Some(7_000));
        assert_eq!(refused("1-0:1.8.0*12(6*kWh)"), TelegramError::NoRegister);
    }

    #[test]
    fn lists_and_lines_that_go_on_are_ignored() {
        let lists = "0-0:98.1.0(1)(1-0:1.6.0)(230101000000W)(1-0:1.8.0)(9*kWh)\n\
                     0-1:24.3.0(121030140000)(00)(60)(1)(0-1:24.2.1)(m3)\n(00024.123)\n\
                     (1-0:1.8.0)\n1-0:1.8.0(1*kWh)";
        assert_eq!(import(lists), Some(1_000));
    }

    #[test]
    fn a_meter_is_known_by_its_best_name() {
        let serial = |lines: &str| telegram(&format!("1-0:1.8.0(1*kWh)\n{lines}")).ok().unwrap();
        let serial = |lines: &str| serial(lines).meter;
        let best = serial("0-0:42.0.0(C)\n0-0:96.1.0(B)\n0-0:96.1.1(A)");
        assert!(best == serial("0-0:96.1.1(A)") && best != serial("0-0:96.1.1(B)"));
        assert!(serial("0-0:96.1.1()") == serial("") && serial("") != best);
        assert_ne!(
            best.series(Register::Import, Basis::Total),
            serial("").series(Register::Import, Basis::Total)
        );
        assert_eq!(format!("{best:?}"), "Serial(..)");
    }
}
