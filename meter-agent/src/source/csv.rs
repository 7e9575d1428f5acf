//! A home out of a file: one row for each slot, one column for each home.
//!
//! The first line that is not empty names the homes, the first cell of every
//! line is a label. A row is a line: cells may be quoted, but none goes on in
//! the next line. An empty line before the last row is a row without readings
//! rather than skipped, so that no row moves to another slot.

mod cell;
mod error;
mod rows;

use std::fmt;
use std::path::{Path, PathBuf};

use ::csv::ByteRecord;
use protocol::reading::Register;
use serde::Deserialize;

use self::cell::in_wh;
pub use self::error::{BadRow, CsvError, Fault};
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
            let empty = (next..line).map(|line| Refusal::of(line, b"", Fault::Missing));
            csv.rows.extend(empty.map(|refusal| Err(Box::new(refusal))));
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
        let label = cells.get(0).unwrap_or_default();
        let refusal = |fault| Box::new(Refusal::of(line, label, fault));
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
    fn of(line: u64, label: &[u8], fault: Fault) -> Self {
        Self { line, label: shown(label), fault }
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
    use super::*;

    const TWO_HOMES: &str = "slot,a,b\nw_0,0.001,1.5\nw_1,0.002,-1\nw_2,0.0035,2\n";

    fn opened(text: &str, home: Home) -> Result<Csv, CsvError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("homes");
        std::fs::write(&file, text).unwrap();
        Csv::open(&CsvConfig { file, home, unit: Unit::Kwh })
    }

    /// The column of the home `a`.
    fn column(text: &str) -> Csv {
        opened(text, Home::Name("a".into())).unwrap()
    }

    fn refused(text: &str, home: Home) -> CsvError {
        opened(text, home).err().unwrap()
    }

    fn wh(csv: &Csv) -> Vec<Option<u64>> {
        (0..csv.slots()).map(|row| csv.read(row).ok().map(|q| q[&Register::Import])).collect()
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
            let csv = opened(TWO_HOMES, home).unwrap();
            assert_eq!(wh(&csv), [Some(1_500), None, Some(2_000)]);
        }
    }

    #[test]
    fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
        let text = format!("\u{feff}{}", TWO_HOMES.replace('\n', "\r\n"));
        assert_eq!(wh(&column(&text)), wh(&column(TWO_HOMES)));
        assert_eq!(wh(&column("\u{feff}a,a\r\n0,1\r\n\r\n")), [Some(1_000)]);
    }

    #[test]
    fn a_bad_cell_is_named_by_row_and_column_and_not_repeated() {
        let csv = opened(TWO_HOMES, Home::Place(1)).unwrap();
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
        for text in
            ["slot,a\n0,1\n\n2,3\n\n\n", "slot,a\r\n0,1\r\n\r\n2,3\r\n\r\n", "slot,a\n0,1\n\n2,3"]
        {
            let csv = column(text);
            assert_eq!(wh(&csv), [Some(1_000), None, Some(3_000)]);
            let row = csv.bad_rows().next().unwrap();
            assert_eq!((row.line, row.label.as_str(), row.fault), (3, "", Fault::Missing));
        }
        assert_eq!(wh(&column("slot,a\n\n1,1\n")), [None, Some(1_000)]);
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
            let refused = refused(TWO_HOMES, home).to_string();
            assert!(refused.contains("has 2 homes, counted from 0"), "{refused}");
        }
        let twice = refused("slot,a,a\n0,1,2\n", Home::Name("a".into()));
        assert!(matches!(twice, CsvError::NotOneHome { .. }));
    }

    #[test]
    fn a_file_without_rows_is_refused() {
        for text in ["", "\n\n", "slot,a\n", "slot,a\n\n\n"] {
            assert!(matches!(refused(text, Home::Place(0)), CsvError::Empty { .. }));
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let config = CsvConfig { file: "nowhere".into(), home: Home::Place(0), unit: Unit::Kwh };
        let absent = Csv::open(&config).err().unwrap().to_string();
        assert!(absent.starts_with("cannot read nowhere after line 0"), "{absent}");
    }

    #[test]
    fn names_and_numbers_in_quotes_read_as_without() {
        let text = TWO_HOMES.replace("slot,a,b", r#""slot, UTC","a","b""#);
        let text = text.replace("0.002", r#""0.002""#);
        assert_eq!(wh(&column(&text)), wh(&column(TWO_HOMES)));
        let refusal = refused(&text.replace("0035", "0035,\""), Home::Place(0)).to_string();
        assert!(refusal.starts_with("line 4 of ") && !refusal.contains("0035"), "{refusal}");
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
