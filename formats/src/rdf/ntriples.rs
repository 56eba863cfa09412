//! An importer of N-Triples: lines that do not depend on each other.

use std::io::BufRead;
use std::path::Path;

use oxttl::NTriplesParser;
use tercet_engine::fact::Op;

use super::{Mapper, syntax_error};
use crate::error::FormatError;
use crate::import::{Import, Progress};
use crate::lines::{Lines, open_file};
use crate::ndjson::LINE_BYTES_MAX;
use crate::note::Note;
use crate::options::ImportOptions;

/// An importer of N-Triples. After a bad line it goes on with the next one.
///
/// # Example: read a triple under a prefix
/// ```
/// use tercet_formats::{ImportOptions, Ntriples};
/// let prefixes = vec!["foaf=http://xmlns.com/foaf/0.1/".parse()?];
/// let options = ImportOptions { prefixes, ..ImportOptions::default() };
/// let text = "<http://example.org/ann> <http://xmlns.com/foaf/0.1/name> \"Ann\"@en .";
/// let mut import = Ntriples::new(text.as_bytes(), "stdin", &options);
/// let op = import.next().expect("there is one triple")?;
/// assert_eq!(op.entity().as_str(), "http://example.org/ann");
/// assert_eq!(op.attribute().expect("it writes a field").as_str(), "foaf/name@en");
/// # Ok::<(), tercet_formats::FormatError>(())
/// ```
pub struct Ntriples<Reader> {
    lines: Lines<Reader>,
    mapper: Mapper,
    n_bytes_total: Option<u64>,
    n_records: u64,
    finished: bool,
}

impl Ntriples<std::io::BufReader<std::fs::File>> {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, options: &ImportOptions) -> Result<Self, FormatError> {
        let (lines, n_bytes) = open_file(path, LINE_BYTES_MAX)?;
        Ok(Ntriples { n_bytes_total: Some(n_bytes), ..Ntriples::over(lines, options) })
    }
}

impl<Reader: BufRead> Ntriples<Reader> {
    /// Reads a stream; `input` is what errors call it.
    pub fn new(reader: Reader, input: &str, options: &ImportOptions) -> Self {
        Ntriples::over(Lines::new(reader, input, LINE_BYTES_MAX), options)
    }

    fn over(lines: Lines<Reader>, options: &ImportOptions) -> Self {
        let mapper = Mapper::new(options);
        Ntriples { lines, mapper, n_bytes_total: None, n_records: 0, finished: false }
    }

    fn next_op(&mut self) -> Result<Option<Op>, FormatError> {
        while let Some(line) = self.lines.next_line()? {
            let mut parsed = NTriplesParser::new().for_slice(line.as_bytes());
            let triple = parsed.next();
            let excess = parsed.next();
            let at = self.lines.place();
            let number = at.line.unwrap_or(1) - 1;
            let triple = match (triple, excess) {
                (None, None) => continue,
                (Some(Err(error)), _) | (_, Some(Err(error))) => {
                    return Err(syntax_error(&at, number, &error));
                }
                (_, Some(Ok(_))) => {
                    let message = "the line has two triples";
                    return Err(FormatError::malformed(at, "malformed", message)
                        .with_hint("write each on its own line, or import it as Turtle"));
                }
                (Some(Ok(triple)), None) => triple,
            };
            self.n_records += 1;
            if let Some(op) = self.mapper.op(triple.as_ref(), &at)? {
                return Ok(Some(op));
            }
        }
        self.finished = true;
        Ok(None)
    }
}

impl<Reader: BufRead> Iterator for Ntriples<Reader> {
    type Item = Result<Op, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let item = self.next_op().transpose();
        if let Some(Err(FormatError::Io { .. })) = item {
            self.finished = true;
        }
        item
    }
}

impl<Reader: BufRead> Import for Ntriples<Reader> {
    fn progress(&self) -> Progress {
        Progress {
            n_bytes: self.lines.n_bytes(),
            n_bytes_total: self.n_bytes_total,
            n_records: self.n_records,
        }
    }

    fn notes(&self) -> Vec<Note> {
        self.mapper.notes.list()
    }
}
