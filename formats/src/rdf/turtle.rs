//! An importer of Turtle: statements that may span lines and nest.
//!
//! The parser is fed a line at a time, so that a triple that makes no fact can be placed. As long
//! as no triple comes out the pieces grow, because the parser reads an unfinished string again
//! from its start: feeding lines into a string of 8 MiB would be quadratic. What was fed since the
//! last triple is bounded.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use oxttl::TurtleParser;
use oxttl::turtle::LowLevelTurtleParser;
use tercet_engine::fact::Op;

use super::nesting::{NESTING_MAX, Nesting};
use super::{Mapper, syntax_error};
use crate::error::{FormatError, Place};
use crate::import::{Import, Progress};
use crate::ndjson::LINE_BYTES_MAX;
use crate::note::Note;
use crate::options::ImportOptions;

/// The most that is fed at once.
const PIECE_BYTES_MAX: usize = 1 << 20;

/// An importer of Turtle. A syntax error is the last item: nobody can tell where the next
/// statement begins.
pub struct Turtle<Reader> {
    reader: Reader,
    parser: LowLevelTurtleParser,
    mapper: Mapper,
    nesting: Nesting,
    /// The last line that was fed, in whole or in part.
    at: Place,
    piece: Vec<u8>,
    n_bytes_at_once: usize,
    n_bytes_since_triple: usize,
    n_bytes: u64,
    n_bytes_total: Option<u64>,
    n_records: u64,
    has_ended: bool,
    finished: bool,
}

impl Turtle<BufReader<File>> {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, options: &ImportOptions) -> Result<Self, FormatError> {
        let failed = |source| FormatError::Io { at: Place::path(path), source };
        let file = File::open(path).map_err(failed)?;
        let n_bytes_total = Some(file.metadata().map_err(failed)?.len());
        let reader = BufReader::with_capacity(1 << 16, file);
        let input = path.display().to_string();
        Ok(Turtle { n_bytes_total, ..Turtle::new(reader, &input, options) })
    }
}

impl<Reader: BufRead> Turtle<Reader> {
    /// Reads a stream; `input` is what errors call it.
    pub fn new(reader: Reader, input: &str, options: &ImportOptions) -> Self {
        Turtle {
            reader,
            parser: TurtleParser::new().low_level(),
            mapper: Mapper::new(options),
            nesting: Nesting::default(),
            at: Place { line: Some(1), ..Place::input(input) },
            piece: Vec::new(),
            n_bytes_at_once: 1,
            n_bytes_since_triple: 0,
            n_bytes: 0,
            n_bytes_total: None,
            n_records: 0,
            has_ended: false,
            finished: false,
        }
    }

    fn next_op(&mut self) -> Result<Option<Op>, FormatError> {
        loop {
            match self.parser.parse_next() {
                Some(Ok(triple)) => {
                    self.n_records += 1;
                    (self.n_bytes_since_triple, self.n_bytes_at_once) = (0, 1);
                    if let Some(op) = self.mapper.op(triple.as_ref(), &self.at)? {
                        return Ok(Some(op));
                    }
                }
                Some(Err(error)) => {
                    self.finished = true;
                    return Err(syntax_error(&self.at, 0, &error));
                }
                None if self.has_ended => {
                    self.finished = true;
                    return Ok(None);
                }
                None => self.feed()?,
            }
        }
    }

    /// Feeds at least one line, and more the longer no triple has come out.
    fn feed(&mut self) -> Result<(), FormatError> {
        let n_lines_before = lines_in(&self.piece);
        let line = self.at.line.get_or_insert(1);
        *line += n_lines_before;
        self.piece.clear();
        if let Err(source) = self.fill() {
            self.finished = true;
            return Err(FormatError::Io { at: self.at.clone(), source });
        }
        if self.piece.is_empty() {
            self.parser.end();
            self.has_ended = true;
            return Ok(());
        }
        if let Err(index) = self.nesting.follow(&self.piece) {
            self.finished = true;
            let before = &self.piece[..index];
            let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let line = self.at.line.map(|line| line + lines_in(before));
            let column = Some((index - start) as u64 + 1);
            let at = Place { line, column, ..self.at.clone() };
            let message = format!("brackets nest deeper than {NESTING_MAX}");
            return Err(FormatError::malformed(at, "too_deep", message));
        }
        self.n_bytes_since_triple += self.piece.len();
        if self.n_bytes_since_triple > LINE_BYTES_MAX + PIECE_BYTES_MAX {
            self.finished = true;
            let at = self.at.clone();
            return Err(FormatError::LineTooLong { at, n_bytes_max: LINE_BYTES_MAX });
        }
        self.n_bytes += self.piece.len() as u64;
        self.n_bytes_at_once = (self.n_bytes_at_once * 2).min(PIECE_BYTES_MAX);
        self.parser.extend_from_slice(&self.piece);
        Ok(())
    }

    fn fill(&mut self) -> std::io::Result<()> {
        loop {
            let n_bytes_left = PIECE_BYTES_MAX.saturating_sub(self.piece.len()) as u64;
            let mut bounded = (&mut self.reader).take(n_bytes_left);
            let n_read = bounded.read_until(b'\n', &mut self.piece)?;
            if n_read == 0 || self.piece.len() >= self.n_bytes_at_once {
                return Ok(());
            }
        }
    }
}

fn lines_in(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

impl<Reader: BufRead> Iterator for Turtle<Reader> {
    type Item = Result<Op, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished { None } else { self.next_op().transpose() }
    }
}

impl<Reader: BufRead> Import for Turtle<Reader> {
    fn progress(&self) -> Progress {
        Progress {
            n_bytes: self.n_bytes,
            n_bytes_total: self.n_bytes_total,
            n_records: self.n_records,
        }
    }

    fn notes(&self) -> Vec<Note> {
        self.mapper.notes.list()
    }
}
