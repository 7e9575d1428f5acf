//! A home out of a file: one row for each slot, one column for each home.
//!
//! The first line names the homes, the first cell of every line is a label. A
//! row is a line: cells may be quoted, but none goes on in the next line. An
//! empty line before the last row is a row without readings rather than
//! skipped, so that no row moves to another slot.

mod cell;
mod rows;

use std::path::PathBuf;
use std::{fmt, io};

use ::csv::ByteRecord;
use protocol::reading::Register;
use serde::Deserialize;
use thiserror::Error;

use self::cell::in_wh;
use self::rows::Rows;
use super::{Quantities, ReadError};

/// The most rows in a file: a year of minutes.
pub const MAX_ROWS: u64 = 366 * 24 * 60;

/// The longest line in bytes, with its end: some 8,000 homes.
pub const MAX_LINE: u64 = 65_536;

/// How much of a label or name an error repeats, in characters.
const SHOWN: usize = 40;

/// Which home of which file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvConfig {
    /// The file, plain or gzip.
    pub file: PathBuf,
    /// The home: a number counts the homes from 0, a text is a home's name.
    pub home: Home,
    /// What the numbers in the file are: `kwh`, which is the default, or `wh`.
    #[serde(default)]
    pub unit: Unit,
}

/// A home by place or by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Home {
    /// How many homes stand before it.
    Place(usize),
    /// The text at the top of its column.
    Name(String),
}

/// The unit of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// 1000 Wh.
    #[default]
    Kwh,
    /// Wh.
    Wh,
}

/// The column of one home, read to its end.
pub struct Csv {
    file: PathBuf,
    home: String,
    rows: Vec<Result<u32, Box<Refusal>>>,
    rounded: u64,
}

/// A row of the column that holds no reading.
struct Refusal {
    line: u64,
    label: String,
    fault: Fault,
}

/// Why a file is of no use.
#[derive(Debug, Error)]
pub enum CsvError {
    /// The file cannot be opened, or its gzip is broken.
    #[error("cannot read {} after line {line}: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The last line that could be read.
        line: u64,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// There is no first line, or no row below it.
    #[error("{} holds no rows", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// No column is the configured one.
    #[error("{} has {homes} homes, counted from 0, and {home} is none of them", file.display())]
    NoSuchHome {
        /// The file.
        file: PathBuf,
        /// The configured home.
        home: Home,
        /// How many there are.
        homes: usize,
    },
    /// More than one column has the configured name.
    #[error("{} has more than one home {home}: give its number instead", file.display())]
    NotOneHome {
        /// The file.
        file: PathBuf,
        /// The configured home.
        home: Home,
    },
    /// A line is longer than any real one.
    #[error("line {line} of {} is longer than {MAX_LINE} bytes", file.display())]
    LongLine {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// A quote is open at the end of a line.
    #[error("line {line} of {} opens a quote and does not close it", file.display())]
    OpenQuote {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// There are more rows than in any real file.
    #[error("{} holds more than {MAX_ROWS} rows", file.display())]
    LongFile {
        /// The file.
        file: PathBuf,
    },
}

/// Where a reading is missing, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}, line {line} ({label:?}), home {home:?}: {fault}", file.display())]
pub struct BadRow {
    /// The file.
    pub file: PathBuf,
    /// The line in the file, counted from 1.
    pub line: u64,
    /// The first cell of the line.
    pub label: String,
    /// The text at the top of the column.
    pub home: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a row. Never what stands in it, which may be a reading.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// More or fewer cells than homes.
    #[error("the line has {found} cells, the first line {expected}")]
    Ragged {
        /// Cells in the line.
        found: usize,
        /// Cells in the first line.
        expected: usize,
    },
    /// Nothing.
    #[error("the cell is empty")]
    Missing,
    /// A number with a minus sign.
    #[error("the cell is negative")]
    Negative,
    /// Anything but digits, or digits, a point and digits.
    #[error("the cell is no plain decimal number")]
    NotDecimal,
    /// More than 2^32 - 1 Wh.
    #[error("the cell exceeds {} Wh", u32::MAX)]
    TooLarge,
}

impl Csv {
    /// Reads the column of the home that `config` names.
    ///
    /// # Errors
    /// [`CsvError`].
    pub fn open(config: &CsvConfig) -> Result<Self, CsvError> {
        let mut rows = Rows::open(&config.file)?;
        let empty = || CsvError::Empty { file: config.file.clone() };
        let (first, names) = rows.next()?.ok_or_else(empty)?;
        let column = Column::find(names, config)?;
        let mut csv = Self::without_rows(&config.file, &column.name);
        let mut next = first + 1;
        while let Some((line, cells)) = rows.next()? {
            csv.rows.extend((next..line).map(|line| Err(Refusal::of_empty(line))));
            csv.push(line, cells, &column, config.unit);
            next = line + 1;
        }
        if csv.rows.is_empty() { Err(empty()) } else { Ok(csv) }
    }

    /// Imported Wh in the row that is `index` rows below the first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, index: u64) -> Result<Quantities, ReadError> {
        let row = usize::try_from(index).ok().and_then(|index| self.rows.get(index));
        let ended = || ReadError::Ended { file: self.file.clone(), slots: self.slots() };
        match row.ok_or_else(ended)? {
            Ok(wh) => Ok(Quantities::from([(Register::Import, u64::from(*wh))])),
            Err(refusal) => Err(ReadError::BadRow(self.bad_row(refusal))),
        }
    }

    /// How many rows the file has.
    #[must_use]
    pub fn slots(&self) -> u64 {
        u64::try_from(self.rows.len()).unwrap_or(u64::MAX)
    }

    /// How many cells of the column were finer than 1 Wh and are rounded.
    #[must_use]
    pub fn rounded(&self) -> u64 {
        self.rounded
    }

    /// The rows that hold no reading.
    pub fn bad_rows(&self) -> impl Iterator<Item = BadRow> {
        self.rows.iter().filter_map(|row| row.as_ref().err()).map(|row| self.bad_row(row))
    }

    fn without_rows(file: &Path, home: &str) -> Self {
        Self { file: file.to_owned(), home: home.to_owned(), rows: Vec::new(), rounded: 0 }
    }

    fn push(&mut self, line: u64, cells: &ByteRecord, column: &Column, unit: Unit) {
        let cell = column.cell(cells).and_then(|cell| in_wh(cell, unit));
        self.rounded += u64::from(cell.is_ok_and(|cell| cell.rounded));
        let label = || shown(cells.get(0).unwrap_or_default());
        let refusal = |fault| Box::new(Refusal { line, label: label(), fault });
        self.rows.push(cell.map(|cell| cell.wh).map_err(refusal));
    }

    fn bad_row(&self, refusal: &Refusal) -> BadRow {
        BadRow {
            file: self.file.clone(),
            line: refusal.line,
            label: refusal.label.clone(),
            home: self.home.clone(),
            fault: refusal.fault,
        }
    }
}

impl Refusal {
    fn of_empty(line: u64) -> Box<Self> {
        Box::new(Self { line, label: String::new(), fault: Fault::Missing })
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => place.fmt(f),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// Where a home stands in every line.
struct Column {
    name: String,
    /// Cells before it: the label and other homes.
    place: usize,
    /// Cells in a line: the label and the homes.
    cells: usize,
}

impl Column {
    /// Finds the home that is meant among the cells of the first line.
    fn find(names: &ByteRecord, config: &CsvConfig) -> Result<Self, CsvError> {
        let (file, home) = (config.file.clone(), config.home.clone());
        let is_meant = |(place, name): &(usize, &[u8])| match &home {
            Home::Place(meant) => *place == meant.saturating_add(1),
            Home::Name(meant) => name.trim_ascii() == meant.as_bytes(),
        };
        let cells = names.len();
        let mut found = names.iter().enumerate().skip(1).filter(is_meant);
        match (found.next(), found.next()) {
            (None, _) => Err(CsvError::NoSuchHome { file, homes: cells - 1, home }),
            (Some(_), Some(_)) => Err(CsvError::NotOneHome { file, home }),
            (Some((place, name)), None) => Ok(Self { name: shown(name), place, cells }),
        }
    }

    /// The home's cell in a line.
    fn cell<'a>(&self, cells: &'a ByteRecord) -> Result<&'a [u8], Fault> {
        let ragged = Fault::Ragged { found: cells.len(), expected: self.cells };
        cells.get(self.place).filter(|_| cells.len() == self.cells).ok_or(ragged)
    }
}

/// As much of a cell as an error may repeat.
fn shown(cell: &[u8]) -> String {
    String::from_utf8_lossy(cell.trim_ascii()).chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha20Rng;
    use tempfile::TempDir;

    use super::*;

    const TWO_HOMES: &str = "slot,a,b\nw_0,0.001,1.5\nw_1,0.002,-1\nw_2,0.0035,2\n";

    fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("homes");
        std::fs::write(&file, bytes).unwrap();
        (dir, file)
    }

    fn opened(bytes: &[u8], home: Home) -> Result<Csv, CsvError> {
        let (_dir, file) = written(bytes);
        Csv::open(&CsvConfig { file, home, unit: Unit::Kwh })
    }

    /// The column of the home `a`.
    fn column(text: &str) -> Csv {
        opened(text.as_bytes(), Home::Name("a".into())).unwrap()
    }

    fn refused(bytes: &[u8], home: Home) -> CsvError {
        opened(bytes, home).err().unwrap()
    }

    fn wh(csv: &Csv) -> Vec<Option<u64>> {
        (0..csv.slots()).map(|row| csv.read(row).ok().map(|q| q[&Register::Import])).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

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

    #[test]
    fn every_number_of_watt_hours_reads_back_as_written() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for _ in 0..10_000 {
            let bits = rng.random_range(0..32);
            let wh = rng.random::<u32>() >> bits;
            let kwh = format!("{}.{:03}", wh / 1_000, wh % 1_000);
            let cell = in_wh(kwh.as_bytes(), Unit::Kwh).unwrap();
            assert_eq!((cell.wh, cell.rounded), (wh, false), "{kwh}");
        }
    }

    #[test]
    fn a_row_is_a_slot_in_the_files_order() {
        let csv = column(TWO_HOMES);
        assert_eq!(wh(&csv), [Some(1), Some(2), Some(4)]);
        assert_eq!(csv.rounded(), 1);
    }

    #[test]
    fn a_home_is_found_by_place_and_by_name() {
        for home in [Home::Place(1), Home::Name("b".into())] {
            let csv = opened(TWO_HOMES.as_bytes(), home).unwrap();
            assert_eq!(wh(&csv), [Some(1_500), None, Some(2_000)]);
        }
    }

    #[test]
    fn gzip_and_plain_read_the_same() {
        let csv = opened(&gzip(TWO_HOMES.as_bytes()), Home::Place(0)).unwrap();
        assert_eq!(wh(&csv), wh(&column(TWO_HOMES)));
    }

    #[test]
    fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
        let text = format!("\u{feff}{}", TWO_HOMES.replace('\n', "\r\n"));
        assert_eq!(wh(&column(&text)), wh(&column(TWO_HOMES)));
        assert_eq!(wh(&column("\u{feff}a,a\r\n0,1\r\n\r\n")), [Some(1_000)]);
    }

    #[test]
    fn a_bad_cell_is_named_by_row_and_column_and_not_repeated() {
        let csv = opened(TWO_HOMES.as_bytes(), Home::Place(1)).unwrap();
        let bad = csv.read(1).err().unwrap().to_string();
        assert!(bad.ends_with(r#"homes, line 3 ("w_1"), home "b": the cell is negative"#), "{bad}");
        assert_eq!(csv.bad_rows().count(), 1);
    }

    #[test]
    fn a_ragged_row_is_refused_alone() {
        let csv = column("slot,a,b\n0,1,1\n1,2\n2,3,3,3\n3\n4,5,5\n");
        assert_eq!(wh(&csv), [Some(1_000), None, None, None, Some(5_000)]);
        let faults: Vec<Fault> = csv.bad_rows().map(|row| row.fault).collect();
        let ragged = |found| Fault::Ragged { found, expected: 3 };
        assert_eq!(faults, [ragged(2), ragged(4), ragged(1)]);
    }

    #[test]
    fn an_empty_line_moves_no_row_to_another_slot() {
        let csv = column("slot,a\n0,1\n\n2,3\n\n\n");
        assert_eq!(wh(&csv), [Some(1_000), None, Some(3_000)]);
        assert_eq!(csv.bad_rows().next().unwrap().line, 3);
    }

    #[test]
    fn after_the_last_row_the_file_has_ended() {
        let csv = column(TWO_HOMES);
        for row in [3, u64::MAX] {
            assert!(matches!(csv.read(row), Err(ReadError::Ended { slots: 3, .. })));
        }
    }

    #[test]
    fn a_home_that_is_not_there_is_refused_with_how_many_are() {
        for home in [Home::Place(2), Home::Name("c".into())] {
            let refused = refused(TWO_HOMES.as_bytes(), home).to_string();
            assert!(refused.contains("has 2 homes, counted from 0"), "{refused}");
        }
        let twice = refused(b"slot,a,a\n0,1,2\n", Home::Name("a".into()));
        assert!(matches!(twice, CsvError::NotOneHome { .. }));
    }

    #[test]
    fn a_file_without_rows_is_refused() {
        for bytes in ["".as_bytes(), b"slot,a\n", b"slot,a\n\n\n", &gzip(b"")] {
            assert!(matches!(refused(bytes, Home::Place(0)), CsvError::Empty { .. }));
        }
    }

    #[test]
    fn a_broken_gzip_is_refused_when_it_is_opened() {
        let whole = gzip(TWO_HOMES.as_bytes());
        let mut broken = whole.clone();
        broken[whole.len() / 2] ^= 0xff;
        for bytes in [&whole[..whole.len() - 9], &whole[..2], &broken] {
            assert!(matches!(refused(bytes, Home::Place(0)), CsvError::Unreadable { .. }));
        }
        let config = CsvConfig { file: "nowhere".into(), home: Home::Place(0), unit: Unit::Kwh };
        let absent = Csv::open(&config).err().unwrap().to_string();
        assert!(absent.starts_with("cannot read nowhere"), "{absent}");
    }

    #[test]
    fn a_file_is_bounded_in_lines_and_length() {
        let long = format!("slot,a\n0,{}", "1".repeat(70_000));
        let refusal = refused(long.as_bytes(), Home::Place(0));
        assert!(matches!(refusal, CsvError::LongLine { line: 2, .. }));
        let rows = usize::try_from(MAX_ROWS).unwrap();
        let full = format!("slot,a\n{}", "0,1\n".repeat(rows));
        assert_eq!(column(&full).slots(), MAX_ROWS);
        let refusal = refused(format!("{full}0,1\n").as_bytes(), Home::Place(0));
        assert!(matches!(refusal, CsvError::LongFile { .. }));
    }

    #[test]
    fn real_homes_read_but_for_the_impossible_cells() {
        let name = "real_homes_read_but_for_the_impossible_cells";
        let path = "homes15/swiss537_15min_kWh_w44-w50.csv.gz";
        let Some(file) = super::super::real_data(name, path) else {
            return;
        };
        let home = |home| Csv::open(&CsvConfig { file: file.clone(), home, unit: Unit::Kwh });
        let absent = home(Home::Place(537)).err();
        assert!(matches!(absent, Some(CsvError::NoSuchHome { homes: 537, .. })));

        let impossible = home(Home::Place(283)).unwrap();
        assert_eq!((impossible.slots(), impossible.home.as_str()), (4_704, "9717902"));
        let bad: Vec<BadRow> = impossible.bad_rows().collect();
        assert_eq!(bad.len(), 15);
        assert!(bad.iter().all(|row| row.fault == Fault::Negative));
        assert_eq!((bad[0].line, bad[0].label.as_str()), (613, "w44_611"));

        let first = home(Home::Name("7855756".into())).unwrap();
        assert_eq!(first.bad_rows().count(), 0);
        assert_eq!(wh(&first)[..2], [Some(30), Some(680)]);
    }
}
