//! Why a file is of no use, or a row of it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{Home, MAX_LINE, MAX_ROWS};

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
