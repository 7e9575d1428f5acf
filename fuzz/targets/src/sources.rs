//! Readings from outside: files of homes, and telegrams of a P1 port.

use std::fs;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use meter_agent::source::csv::{Csv, CsvConfig, Home, MAX_ROWS, Unit};
use meter_agent::source::p1::crc::crc16_as_sent;
use meter_agent::source::p1::frame::{Crc, Framed, Framer, MAX_TELEGRAM};
use meter_agent::source::p1::telegram::{Basis, Telegram};
use meter_agent::source::{Quantities, ReadError};
use protocol::reading::Register;
use protocol::slot::Timestamp;

/// The most of a label that is kept, in characters.
const LABEL_MAX: usize = 40;

/// A file of homes, plain or gzip: its first home, and the one named `a`.
pub fn csv(data: &[u8]) -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), data).unwrap();
    let open = |home, unit| column(file.path(), home, unit);
    let named = open(Home::Name("a".to_owned()), Unit::Kwh);
    let Some(first) = open(Home::Place(0), Unit::Kwh) else {
        // Where no first home is, none is.
        assert!(named.is_none());
        return false;
    };
    if let Some(named) = named {
        assert_eq!(named.len(), first.len());
    }
    let in_wh = open(Home::Place(0), Unit::Wh).unwrap();
    assert_eq!(in_wh.len(), first.len());
    for (kwh, wh) in first.iter().zip(&in_wh) {
        is_rounded(*kwh, *wh);
    }
    is_the_same_in_gzip(file.path(), data, &first);
    true
}

/// The column of a home: Wh, or none where the row holds no reading.
fn column(file: &Path, home: Home, unit: Unit) -> Option<Vec<Option<u64>>> {
    let csv = Csv::open(&CsvConfig { file: file.to_owned(), home, unit }).ok()?;
    assert!((1..=MAX_ROWS).contains(&csv.slots()));
    let rows: Vec<_> = (0..csv.slots()).map(|row| reading(csv.read(row))).collect();
    let ended = csv.read(csv.slots());
    assert!(matches!(ended, Err(ReadError::Ended { slots, .. }) if slots == csv.slots()));
    let bad: Vec<_> = csv.bad_rows().collect();
    assert_eq!(bad.len(), rows.iter().filter(|row| row.is_none()).count());
    assert!(bad.is_sorted_by(|a, b| a.line < b.line));
    let is_short = |text: &str| text.chars().count() <= LABEL_MAX;
    assert!(bad.iter().all(|row| is_short(&row.label) && is_short(&row.home)));
    assert!(csv.rounded() <= csv.slots());
    Some(rows)
}

fn reading(read: Result<Quantities, ReadError>) -> Option<u64> {
    match read {
        Ok(quantities) => {
            assert!(quantities.keys().eq([&Register::Import]));
            let wh = quantities.into_values().next().unwrap();
            assert!(u32::try_from(wh).is_ok());
            Some(wh)
        }
        Err(error) => {
            assert!(matches!(error, ReadError::BadRow(_)), "{error}");
            None
        }
    }
}

/// A number taken for kWh is a thousand times the same number taken for Wh,
/// within half a Wh of rounding.
fn is_rounded(kwh: Option<u64>, wh: Option<u64>) {
    if let Some(kwh) = kwh {
        let wh = wh.unwrap();
        assert!(kwh.abs_diff(1_000 * wh) <= 500, "{kwh} Wh and {wh} kWh");
    }
}

fn is_the_same_in_gzip(path: &Path, data: &[u8], expected: &[Option<u64>]) {
    // A file that is gzip twice is no file of homes.
    if data.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    std::io::Write::write_all(&mut gzip, data).unwrap();
    fs::write(path, gzip.finish().unwrap()).unwrap();
    assert_eq!(column(path, Home::Place(0), Unit::Kwh).as_deref(), Some(expected));
}

/// The first instant that a meter's clock can show, in summer time.
const YEAR_2000: Timestamp = Timestamp((946_684_800 - 7_200) * 1_000);

/// A telegram that every meter might send.
const GOOD: &[u8] = b"/KMP5 A\r\n\r\n1-0:1.8.0(00001.001*kWh)\r\n!";

/// What a P1 port says. Accepted is what holds a telegram of use.
pub fn telegram(data: &[u8]) -> bool {
    let [auto, required, unchecked] =
        [Crc::Auto, Crc::Require, Crc::Off].map(|crc| framed(crc, data));
    // The mode decides what becomes of a telegram, never where one is.
    assert_eq!(auto.len(), unchecked.len());
    assert_eq!(auto.len(), required.len());
    for ((auto, required), unchecked) in auto.iter().zip(&required).zip(&unchecked) {
        assert!(required.is_err() || required == auto);
        assert!(auto.is_err() || auto == unchecked);
    }
    for crc in [Crc::Auto, Crc::Require, Crc::Off] {
        recovers(crc, data);
    }
    // Each of them is looked at, even where the first is of use.
    auto.iter().flatten().filter(|telegram| is_of_use(telegram)).count() > 0
}

fn framed(crc: Crc, data: &[u8]) -> Vec<Framed> {
    let mut framer = Framer::new(crc);
    let mut all: Vec<_> = data.iter().filter_map(|byte| framer.push(*byte)).collect();
    all.extend(framer.end());
    assert!(framer.end().is_none());
    for telegram in all.iter().flatten() {
        assert!(telegram.len() <= MAX_TELEGRAM);
        assert!(telegram.starts_with(b"/") && telegram.ends_with(b"!"));
        telegram_is_framed_again(telegram);
    }
    all
}

/// A telegram with its own checksum comes out as it went in.
fn telegram_is_framed_again(telegram: &[u8]) {
    let crc = format!("{:04X}\r\n", crc16_as_sent(telegram));
    let mut framer = Framer::new(Crc::Require);
    let bytes = [telegram, crc.as_bytes()].concat();
    let again: Vec<_> = bytes.iter().filter_map(|byte| framer.push(*byte)).collect();
    assert_eq!(again, [Ok(telegram.to_vec())]);
}

/// Whatever stood before it, the second of two good telegrams is read.
fn recovers(crc: Crc, data: &[u8]) {
    let checksum = format!("{:04X}\r\n", crc16_as_sent(GOOD));
    let good = [GOOD, checksum.as_bytes()].concat();
    let bytes = [data, b"\r\n", &good, &good].concat();
    let mut framer = Framer::new(crc);
    let last = bytes.iter().filter_map(|byte| framer.push(*byte)).last();
    assert_eq!(last, Some(Ok(GOOD.to_vec())));
}

/// A telegram of use has stands, and says the same when it says it in Wh.
fn is_of_use(telegram: &[u8]) -> bool {
    let Ok(read) = Telegram::parse(telegram) else { return false };
    assert!(!read.stands.is_empty());
    for stand in read.stands.values() {
        assert_ne!(stand.basis, Basis::Tariffs(0));
        let text = format!("/KMP5 A\r\n\r\n1-0:1.8.0({}*Wh)\r\n!", stand.wh);
        let again = Telegram::parse(text.as_bytes()).ok().unwrap();
        let stand_again = again.stands.get(&Register::Import).unwrap();
        assert_eq!((stand_again.wh, stand_again.basis), (stand.wh, Basis::Total));
    }
    if let Some(stamp) = read.stamp {
        assert_eq!(stamp.seconds_since(stamp), Some(0));
        assert!(stamp.instant().is_none_or(|at| at >= YEAR_2000));
    }
    true
}
