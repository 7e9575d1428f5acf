//! Telegrams of every dialect, invented, and what is to become of them; and a
//! real capture. The files' carriage returns are stripped, as on many bridges.

use protocol::reading::Register;
use protocol::slot::Timestamp;

use super::frame::{Crc, FrameError, Framer};
use super::telegram::{Telegram, TelegramError};
use super::{Refusal, Stamp};

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/telegrams/", $name, ".txt")).as_slice()
    };
}

/// A telegram of DSMR 5 that other tests bend.
pub(super) const DSMR50: &[u8] = vector!("dsmr50");

/// What comes out of bytes.
pub(super) fn outcomes(crc: Crc, bytes: &[u8]) -> Vec<Result<Telegram, Refusal>> {
    let mut framer = Framer::new(crc);
    let mut cut: Vec<_> = bytes.iter().filter_map(|byte| framer.push(*byte)).collect();
    cut.extend(framer.end());
    let parse = |bytes: Vec<u8>| Ok(Telegram::parse(&bytes)?);
    cut.into_iter().map(|framed| framed.map_err(Refusal::from).and_then(parse)).collect()
}

/// Import and export in Wh, or why there are none.
pub(super) fn energy(crc: Crc, bytes: &[u8]) -> Vec<Result<(u64, u64), Refusal>> {
    let wh = |telegram: &Telegram, register| telegram.stands.get(&register).map_or(0, |s| s.wh);
    let both = |t: Telegram| (wh(&t, Register::Import), wh(&t, Register::Export));
    outcomes(crc, bytes).into_iter().map(|outcome| outcome.map(both)).collect()
}

pub(super) fn with_carriage_returns(bytes: &[u8]) -> Vec<u8> {
    String::from_utf8(bytes.to_vec()).unwrap().replace('\n', "\r\n").into_bytes()
}

#[test]
fn every_dialect_is_read() {
    for (name, bytes, wh) in [
        ("dsmr22", vector!("dsmr22"), (999_375, 30_003)),
        ("dsmr22-whole-kwh", vector!("dsmr22-whole-kwh"), (269_000, 32_000)),
        ("dsmr42", vector!("dsmr42"), (3_000_021, 304_304)),
        ("dsmr50", vector!("dsmr50"), (7_373_999, 0)),
        ("vendor-codes", vector!("vendor-codes"), (4_000, 0)),
        ("belgium", vector!("belgium"), (400_030, 1_000_070)),
        ("luxembourg", vector!("luxembourg"), (12_345_678, 987_654)),
        ("sweden", vector!("sweden"), (6_678_394, 12_006)),
    ] {
        assert_eq!(energy(Crc::Auto, bytes), [Ok(wh)], "{name}");
        assert_eq!(energy(Crc::Auto, &with_carriage_returns(bytes)), [Ok(wh)], "{name} with CR");
        let expected =
            if name.starts_with("dsmr22") { Err(FrameError::NoChecksum.into()) } else { Ok(wh) };
        assert_eq!(energy(Crc::Require, bytes), [expected], "{name} with crc = \"require\"");
    }
}

#[test]
fn a_register_that_the_meter_does_not_have_is_absent() {
    let telegrams = outcomes(Crc::Auto, b"/ABC5\n1-0:1.8.0(1*kWh)\n!\n");
    let registers: Vec<_> = telegrams[0].as_ref().ok().unwrap().stands.keys().collect();
    assert_eq!(registers, [&Register::Import]);
}

#[test]
fn every_fault_is_refused_by_name() {
    let cut_off = Err(FrameError::CutOff.into());
    let value = TelegramError::Value { code: "1-0:1.8.1" };
    let conflict = TelegramError::Conflict { code: "1-0:1.8.1" };
    for (name, bytes, outcome) in [
        ("checksum", vector!("bad-checksum"), Err(FrameError::Checksum.into())),
        ("value", vector!("bad-value"), Err(value.into())),
        ("conflict", vector!("bad-conflict"), Err(conflict.into())),
        ("no register", vector!("bad-no-register"), Err(TelegramError::NoRegister.into())),
        ("beginning", vector!("bad-beginning"), cut_off),
        ("end", vector!("bad-end"), cut_off),
    ] {
        assert_eq!(energy(Crc::Auto, bytes), [outcome], "{name}");
    }
    let missing = vector!("bad-no-checksum");
    assert_eq!(energy(Crc::Require, missing), [Err(FrameError::NoChecksum.into())]);
    assert_eq!(energy(Crc::Auto, missing), energy(Crc::Auto, DSMR50));
}

#[test]
fn two_telegrams_line_by_line_into_each_other_count_nothing() {
    for crc in [Crc::Auto, Crc::Require, Crc::Off] {
        let outcomes = energy(crc, vector!("bad-interleaved"));
        assert!(outcomes.len() >= 2 && outcomes.iter().all(Result::is_err), "{crc:?}");
    }
}

#[test]
fn a_wrong_checksum_counts_where_checksums_are_off() {
    assert_eq!(energy(Crc::Off, vector!("bad-checksum")), energy(Crc::Auto, DSMR50));
}

/// The capture begins with the end of a telegram; 566 whole ones follow.
#[test]
fn a_real_capture_is_accepted_but_for_its_cut_off_beginning() {
    let name = "a_real_capture_is_accepted_but_for_its_cut_off_beginning";
    let Some(file) = super::super::real_data(name, "p1/capture-566-telegrams.txt") else {
        return;
    };
    let capture = std::fs::read(file).unwrap();
    let restored = with_carriage_returns(&capture);
    for bytes in [&capture, &restored] {
        let outcomes = energy(Crc::Require, bytes);
        assert_eq!(outcomes.len(), 567);
        assert_eq!(outcomes[0], Err(FrameError::CutOff.into()));
        let imports: Vec<u64> = outcomes[1..].iter().map(|wh| wh.unwrap().0).collect();
        assert_eq!((imports[0], imports[565]), (6_657_459, 6_657_553));
        assert!(imports.windows(2).all(|pair| pair[1] - pair[0] <= 1));
        assert!(outcomes[1..].iter().all(|wh| wh.unwrap().1 == 0));
    }
    let telegrams = outcomes(Crc::Require, &capture);
    let telegrams: Vec<_> = telegrams.into_iter().filter_map(Result::ok).collect();
    let instant = |telegram: &Telegram| telegram.stamp.and_then(Stamp::instant);
    // 2019-03-24, 15:05:19 to 15:14:45 CET: one a second, and one second missing.
    assert_eq!(instant(&telegrams[0]), Some(Timestamp(1_553_436_319_000)));
    assert_eq!(instant(&telegrams[565]), Some(Timestamp(1_553_436_885_000)));
    assert!(telegrams.iter().all(|telegram| telegram.meter == telegrams[0].meter));
}
