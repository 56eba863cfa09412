//! A reader that counts what is pulled through it, and bounds what one record may pull.
//!
//! Readers of other crates (CSV, RDF) grow their buffers for as long as a record goes on: an
//! opening quote that is never closed would read a whole file into memory. Between two records of
//! theirs at most `n_bytes_max` bytes pass here, plus one buffer that they read ahead; then reading
//! fails. Counting here also gives the progress that those readers do not tell.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{FormatError, Place};

/// The counters of a [`Metered`] reader, for whoever owns the reader that owns it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    n_bytes: AtomicU64,
    /// Where the present record began.
    n_bytes_before_record: AtomicU64,
}

impl Meter {
    /// Bytes pulled so far.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.counts.n_bytes.load(Ordering::Relaxed)
    }

    /// Says that a record has come out: the next one has the whole bound again.
    pub(crate) fn record_done(&self) {
        self.counts.n_bytes_before_record.store(self.n_bytes(), Ordering::Relaxed);
    }
}

/// A reader with a [`Meter`].
pub(crate) struct Metered<Reader> {
    reader: Reader,
    meter: Meter,
    n_bytes_max: u64,
}

/// A record pulled more than its bound.
#[derive(Debug)]
pub(crate) struct RecordTooLong {
    pub(crate) n_bytes_max: u64,
}

impl fmt::Display for RecordTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record has more than {} bytes", self.n_bytes_max)
    }
}

impl std::error::Error for RecordTooLong {}

impl<Reader: Read> Metered<Reader> {
    pub(crate) fn new(reader: Reader, n_bytes_max: usize) -> (Self, Meter) {
        let meter = Meter::default();
        (Metered { reader, meter: meter.clone(), n_bytes_max: n_bytes_max as u64 }, meter)
    }
}

impl<Reader: Read> Read for Metered<Reader> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let counts = &self.meter.counts;
        let n_bytes = counts.n_bytes.load(Ordering::Relaxed);
        if n_bytes - counts.n_bytes_before_record.load(Ordering::Relaxed) >= self.n_bytes_max {
            let error = RecordTooLong { n_bytes_max: self.n_bytes_max };
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let n_read = self.reader.read(buffer)?;
        counts.n_bytes.store(n_bytes + n_read as u64, Ordering::Relaxed);
        Ok(n_read)
    }
}

/// What a failed read means: the bound of a record, the nesting of its parts, or the system.
pub(crate) fn read_error(source: io::Error, at: Place) -> FormatError {
    let bound = source.get_ref().and_then(|inner| inner.downcast_ref::<RecordTooLong>());
    match bound {
        Some(RecordTooLong { n_bytes_max }) => {
            FormatError::LineTooLong { at, n_bytes_max: *n_bytes_max as usize }
        }
        None => FormatError::Io { at, source },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_record_has_a_bound_and_the_next_one_has_it_again() {
        let (mut reader, meter) = Metered::new(&[0_u8; 100][..], 10);
        let mut buffer = [0; 8];
        assert_eq!(reader.read(&mut buffer).unwrap(), 8);
        assert_eq!(reader.read(&mut buffer).unwrap(), 8);
        assert!(reader.read(&mut buffer).is_err());
        meter.record_done();
        assert_eq!(reader.read(&mut buffer).unwrap(), 8);
        assert_eq!(meter.n_bytes(), 24);
    }
}
