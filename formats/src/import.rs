//! The contract of importers: an iterator of operations that can say how far it has come.
//!
//! Progress is polled, not called back: whoever pulls operations already has the loop in which a
//! bar is drawn or a line is printed, and an importer stays free of closures and terminals.

use tercet_engine::fact::Op;

use crate::error::FormatError;
use crate::note::Note;

/// How far an importer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes of input consumed.
    pub n_bytes: u64,
    /// Bytes of the whole input, if known beforehand; not for a pipe.
    pub n_bytes_total: Option<u64>,
    /// Records of the format consumed: lines, synsets.
    pub n_records: u64,
}

/// A source of operations.
///
/// Contract: operations come in the input's order, the same ones each time; an `Err` names a
/// place. After an error that concerns one record (`Malformed`, `LineTooLong`, `NotUtf8`) an
/// importer of independent lines goes on with the next record, so that a caller can report
/// several; every other error, and every error of a format whose records refer to each other, is
/// the last item. After `None` it gives `None` for ever.
pub trait Import: Iterator<Item = Result<Op, FormatError>> {
    /// How far it has come. Cheap; never goes down.
    fn progress(&self) -> Progress;

    /// What was understood without being said, and what the input holds that facts cannot. It is
    /// complete once the last operation has been pulled.
    fn notes(&self) -> Vec<Note> {
        Vec::new()
    }
}

impl Import for Box<dyn Import + Send> {
    fn progress(&self) -> Progress {
        (**self).progress()
    }

    fn notes(&self) -> Vec<Note> {
        (**self).notes()
    }
}
