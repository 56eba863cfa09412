//! Whether a table ended inside a quoted cell: then it was cut short.
//!
//! The reader of rows takes the end of the input for the end of such a cell, and would give half a
//! text as a whole one.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A reader that follows quotes.
pub(super) struct Quotes<Reader> {
    reader: Reader,
    delimiter: u8,
    state: State,
    is_open: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    CellStart,
    Bare,
    Quoted,
    /// After a quote in a quoted cell: its end, or half of a quote that is meant.
    Quote,
}

impl<Reader: Read> Quotes<Reader> {
    /// The flag tells at the end of the input whether a quote was left open.
    pub(super) fn new(reader: Reader, delimiter: u8) -> (Self, Arc<AtomicBool>) {
        let is_open = Arc::new(AtomicBool::new(false));
        let state = State::CellStart;
        (Quotes { reader, delimiter, state, is_open: is_open.clone() }, is_open)
    }

    fn follow(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let ends_cell = byte == self.delimiter || byte == b'\n' || byte == b'\r';
            self.state = match (self.state, byte) {
                (State::Quoted, b'"') => State::Quote,
                (State::Quoted, _) => State::Quoted,
                (State::CellStart | State::Quote, b'"') => State::Quoted,
                _ if ends_cell => State::CellStart,
                _ => State::Bare,
            };
        }
    }
}

impl<Reader: Read> Read for Quotes<Reader> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_read = self.reader.read(buffer)?;
        self.follow(&buffer[..n_read]);
        if n_read == 0 {
            self.is_open.store(self.state == State::Quoted, Ordering::Relaxed);
        }
        Ok(n_read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_a_quote_that_begins_a_cell_can_stay_open() {
        let is_open = |text: &str| {
            let (mut quotes, is_open) = Quotes::new(text.as_bytes(), b',');
            io::copy(&mut quotes, &mut io::sink()).unwrap();
            is_open.load(Ordering::Relaxed)
        };
        for whole in ["", "a,b\n", "\"a\"", "\"a\"\"b\",c", "5\" pipe,6\"", "\"a\n\"\n"] {
            assert!(!is_open(whole), "{whole}");
        }
        for cut in ["\"", "a,\"b", "a\n\"b\"\"", "\"a,b\n"] {
            assert!(is_open(cut), "{cut}");
        }
    }
}
