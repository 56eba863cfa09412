//! Lines of text with their numbers, in bounded memory.
//!
//! Why not `BufRead::lines`: it allocates each line, has no limit, keeps a byte order mark and
//! cannot say where a line is not UTF-8. Invariant: a line holds no line break, `\r\n` counts as
//! one; at most `n_bytes_max` bytes are held, the rest of a longer line is skipped unheld.

use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use crate::error::{FormatError, Place};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Text lines of a reader, borrowed one at a time.
pub(crate) struct Lines<Reader> {
    reader: Reader,
    input: Arc<str>,
    n_bytes_max: usize,
    buffer: Vec<u8>,
    line_number: u64,
    n_bytes: u64,
}

/// Buffered lines of a file, and its size.
pub(crate) fn open_file(
    path: &Path,
    n_bytes_max: usize,
) -> Result<(Lines<std::io::BufReader<std::fs::File>>, u64), FormatError> {
    let failed = |source| FormatError::Io { at: Place::path(path), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let n_bytes = file.metadata().map_err(failed)?.len();
    let reader = std::io::BufReader::with_capacity(1 << 16, file);
    Ok((Lines::new(reader, path.display().to_string(), n_bytes_max), n_bytes))
}

impl<Reader: BufRead> Lines<Reader> {
    pub(crate) fn new(reader: Reader, input: impl Into<Arc<str>>, n_bytes_max: usize) -> Self {
        let (buffer, input) = (Vec::new(), input.into());
        Lines { reader, input, n_bytes_max, buffer, line_number: 0, n_bytes: 0 }
    }

    /// The next line without its break; `None` at the end of the input.
    pub(crate) fn next_line(&mut self) -> Result<Option<&str>, FormatError> {
        self.buffer.clear();
        // Two more than the limit, for the line break that does not count.
        let n_bytes_wanted = self.n_bytes_max as u64 + 2;
        let n_bytes_read =
            (&mut self.reader).take(n_bytes_wanted).read_until(b'\n', &mut self.buffer).map_err(
                |source| FormatError::Io { at: place(&self.input, self.line_number + 1), source },
            )?;
        if n_bytes_read == 0 {
            return Ok(None);
        }
        self.n_bytes += n_bytes_read as u64;
        self.line_number += 1;
        let broken = self.buffer.ends_with(b"\n");
        if broken {
            self.buffer.pop();
            if self.buffer.ends_with(b"\r") {
                self.buffer.pop();
            }
        }
        if self.buffer.len() > self.n_bytes_max {
            if !broken {
                self.skip_line()?;
            }
            return Err(FormatError::LineTooLong {
                at: self.place(),
                n_bytes_max: self.n_bytes_max,
            });
        }
        if self.line_number == 1 && self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.buffer.drain(..BYTE_ORDER_MARK.len());
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(line) => Ok(Some(line)),
            Err(error) => {
                let column = Some(error.valid_up_to() as u64 + 1);
                Err(FormatError::NotUtf8 {
                    at: Place { column, ..place(&self.input, self.line_number) },
                })
            }
        }
    }

    /// The line that was read last.
    pub(crate) fn place(&self) -> Place {
        place(&self.input, self.line_number)
    }

    /// Bytes consumed so far.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    fn skip_line(&mut self) -> Result<(), FormatError> {
        let skipped = self.reader.skip_until(b'\n');
        let n_bytes = skipped.map_err(|source| FormatError::Io { at: self.place(), source })?;
        self.n_bytes += n_bytes as u64;
        Ok(())
    }
}

fn place(input: &Arc<str>, line_number: u64) -> Place {
    Place { input: input.clone(), line: Some(line_number), column: None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// All lines, or the codes and places of errors.
    fn read(bytes: &[u8], n_bytes_max: usize) -> Vec<String> {
        let mut lines = Lines::new(bytes, "in", n_bytes_max);
        let mut found = Vec::new();
        loop {
            match lines.next_line() {
                Ok(None) => break,
                Ok(Some(line)) => found.push(line.to_owned()),
                Err(error) => found.push(format!("{} {}", error.code(), error.place().unwrap())),
            }
        }
        assert_eq!(lines.n_bytes(), bytes.len() as u64);
        found
    }

    #[test]
    fn breaks_marks_and_ends() {
        assert_eq!(read(b"", 9), Vec::<String>::new());
        assert_eq!(read(b"a\nb", 9), ["a", "b"]);
        assert_eq!(read(b"a\r\n\r\nb\n", 9), ["a", "", "b"]);
        assert_eq!(read(b"\xef\xbb\xbfa\n\xef\xbb\xbfb", 9), ["a", "\u{feff}b"]);
        assert_eq!(read(b"a\rb\n", 9), ["a\rb"]);
    }

    #[test]
    fn a_long_line_is_skipped_and_the_next_one_read() {
        assert_eq!(read(b"1234\nab\n", 4), ["1234", "ab"]);
        assert_eq!(read(b"1234\r\nab\n", 4), ["1234", "ab"]);
        assert_eq!(read(b"12345\nab\n", 4), ["line_too_long in:1", "ab"]);
        assert_eq!(read(b"123456\nab\n", 4), ["line_too_long in:1", "ab"]);
        assert_eq!(read(b"ab\n123456789", 4), ["ab", "line_too_long in:2"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_placed() {
        assert_eq!(read(b"ok\nab\xff\nok", 9), ["ok", "not_utf8 in:2:3", "ok"]);
    }
}
