//! The rows of a file, plain or gzip, in bounded memory.
//!
//! A row is a line. The reader of RFC 4180 is dealt one line at a time, so that
//! every row knows its line, and neither an endless line nor a quote that is
//! left open is gathered in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use ::csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Terminator};
use flate2::bufread::MultiGzDecoder;

use super::{CsvError, MAX_LINE, MAX_ROWS};

/// The lines of a file that are not empty, split into cells.
pub(super) struct Rows {
    file: PathBuf,
    reader: Reader<Lines>,
    cells: ByteRecord,
}

impl Rows {
    pub(super) fn open(file: &Path) -> Result<Self, CsvError> {
        let lines = Lines::open(file).map_err(|error| refused(file, 0, error))?;
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            // A carriage return before it is a blank at the end of a cell.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(lines);
        Ok(Self { file: file.to_owned(), reader, cells: ByteRecord::new() })
    }

    /// The next line that is not empty: its number, counted from 1, and cells.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &ByteRecord)>, CsvError> {
        while self.read()? {
            if is_empty(&self.cells) {
                continue;
            }
            let line = self.reader.get_ref().number;
            // One line is the homes' names.
            if line > MAX_ROWS + 1 {
                return Err(CsvError::LongFile { file: self.file.clone() });
            }
            return Ok(Some((line, &self.cells)));
        }
        Ok(None)
    }

    fn read(&mut self) -> Result<bool, CsvError> {
        self.reader.get_mut().is_dealt = false;
        self.reader.read_byte_record(&mut self.cells).map_err(|error| {
            let error = match error.into_kind() {
                ErrorKind::Io(error) => error,
                // A flexible reader of bytes has no others.
                other => io::Error::other(format!("{other:?}")),
            };
            refused(&self.file, self.reader.get_ref().number, error)
        })
    }
}

fn is_empty(cells: &ByteRecord) -> bool {
    cells.len() == 1 && cells.iter().all(|cell| cell.trim_ascii().is_empty())
}

/// What ends the reading of `file` after `line`.
fn refused(file: &Path, line: u64, error: io::Error) -> CsvError {
    let file = file.to_owned();
    match error.downcast() {
        Ok(Broken::LongLine) => CsvError::LongLine { file, line: line + 1 },
        Ok(Broken::OpenQuote) => CsvError::OpenQuote { file, line },
        Err(error) => CsvError::Unreadable { file, line, error },
    }
}

/// Why no more of a line is dealt.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the line is too long")]
    LongLine,
    #[error("the line ends within quotes")]
    OpenQuote,
}

/// Deals the bytes of a file, of one line at most at a time.
struct Lines {
    bytes: Box<dyn BufRead>,
    /// The last line dealt to its end, counted from 1.
    number: u64,
    /// Bytes dealt of the line after it.
    length: u64,
    /// Whether the line of the row that is being read is dealt to its end.
    is_dealt: bool,
}

impl Lines {
    fn open(file: &Path) -> io::Result<Self> {
        let mut plain = BufReader::new(File::open(file)?);
        // RFC 1952, section 2.3.1: gzip begins with 1f 8b.
        let gzip = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        // The last line may lack its end.
        let end = b"\n".as_slice();
        let bytes: Box<dyn BufRead> = if gzip {
            Box::new(BufReader::new(MultiGzDecoder::new(plain)).chain(end))
        } else {
            Box::new(plain.chain(end))
        };
        Ok(Self { bytes, number: 0, length: 0, is_dealt: false })
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // More than a line is asked for only to find the end of a quote.
        if self.is_dealt {
            return Err(io::Error::other(Broken::OpenQuote));
        }
        let mut lines = self.bytes.fill_buf()?.split_inclusive(|byte| *byte == b'\n');
        let mut line = lines.next().unwrap_or_default();
        let at_end = line.len() <= buffer.len() && line.ends_with(b"\n");
        let count = line.read(buffer)?;
        self.bytes.consume(count);
        self.length += u64::try_from(count).unwrap_or(u64::MAX);
        if self.length > MAX_LINE {
            return Err(io::Error::other(Broken::LongLine));
        }
        if at_end {
            self.number += 1;
            // An empty line is no row: the reader goes on to the next.
            self.is_dealt = self.length > 1;
            self.length = 0;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// The rows of a file of `bytes`: the number and the cells of each.
    fn rows(bytes: &[u8]) -> Result<Vec<(u64, Vec<String>)>, CsvError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut rows = Rows::open(file.path())?;
        let mut all = Vec::new();
        while let Some((line, cells)) = rows.next()? {
            let text = |cell| String::from_utf8_lossy(cell).trim().to_owned();
            all.push((line, cells.iter().map(text).collect()));
        }
        Ok(all)
    }

    fn numbers(text: &str) -> Vec<u64> {
        rows(text.as_bytes()).unwrap().into_iter().map(|(line, _)| line).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_row_knows_its_line_past_empty_ones() {
        for text in ["a,b\n\n\n0,1\n \n1,2", "a,b\r\n\r\n\n0,1\r\n\r\n1,2\r\n\r\n\n"] {
            assert_eq!(numbers(text), [1, 4, 6], "{text:?}");
        }
        assert_eq!(rows(b"").unwrap(), []);
        assert_eq!(rows(&gzip(b"")).unwrap(), []);
    }

    #[test]
    fn a_comma_in_quotes_splits_no_cell() {
        let rows = rows(b"\"slot, UTC\",\"a \"\"1\"\"\"\r\n\"0,0\",\"1\"\r\n").unwrap();
        assert_eq!(rows[0].1, ["slot, UTC", "a \"1\""]);
        assert_eq!(rows[1].1, ["0,0", "1"]);
    }

    #[test]
    fn a_quote_left_open_swallows_no_later_row() {
        for text in ["a,b\n\n0,\"1\n1,2\n", "a,b\r\n\r\n0,\"1\r\n", "a,b\n\n0,\"1"] {
            let refused = rows(text.as_bytes()).err();
            assert!(matches!(refused, Some(CsvError::OpenQuote { line: 3, .. })), "{text:?}");
        }
    }

    #[test]
    fn gzip_and_plain_read_the_same() {
        let bytes = b"slot,a\n0,1\n";
        assert_eq!(rows(&gzip(bytes)).unwrap(), rows(bytes).unwrap());
        let in_members = [gzip(b"slot,"), gzip(b"a\n0,1\n")].concat();
        assert_eq!(rows(&in_members).unwrap(), rows(bytes).unwrap());
    }

    #[test]
    fn a_broken_gzip_is_refused() {
        let whole = gzip(b"slot,a,b\nw_0,0.001,1.5\nw_1,0.002,-1\nw_2,0.0035,2\n");
        let mut broken = whole.clone();
        broken[whole.len() / 2] ^= 0xff;
        for bytes in [&whole[..whole.len() - 9], &whole[..2], &broken] {
            assert!(matches!(rows(bytes), Err(CsvError::Unreadable { .. })));
        }
    }

    #[test]
    fn a_line_is_bounded_in_length() {
        let row = |digits| format!("slot,a\n0,{}\n1,2\n", "1".repeat(digits));
        let longest = usize::try_from(MAX_LINE).unwrap() - "0,\n".len();
        assert_eq!(numbers(&row(longest)), [1, 2, 3]);
        for digits in [longest + 1, 10 * longest] {
            let refused = rows(row(digits).as_bytes()).err();
            assert!(matches!(refused, Some(CsvError::LongLine { line: 2, .. })));
        }
    }

    #[test]
    fn a_file_is_bounded_in_rows() {
        let most = usize::try_from(MAX_ROWS).unwrap();
        let full = format!("slot,a\n{}\n\n", "0,1\n".repeat(most));
        assert_eq!(numbers(&full).last(), Some(&(MAX_ROWS + 1)));
        let refused = rows(full.replacen("\n0", "\n\n0", 1).as_bytes()).err();
        assert!(matches!(refused, Some(CsvError::LongFile { .. })));
    }
}
