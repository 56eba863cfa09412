//! A rows-mode instance: the result of one live query, kept up by rows that came and went.
//!
//! The engine keeps the result; here are its fingerprint over the encoded rows and, until the
//! next change, all of it as frames. Formula: `fingerprint = Σ hash(encoded row)`.

use std::sync::Arc;

use tercet_engine::answer::{Answer, Row};
use tercet_engine::db::{self, RowsDelta};
use tercet_engine::ids::Seq;

use super::parts::rows_frames;
use crate::codec::SharedFrame;
use crate::message::{Fingerprint, InstanceId};
use crate::wire_row::{WireRow, WireRowError, row_hash, to_wire};

/// The result of one live query.
pub(crate) struct RowsInstance {
    /// The engine's own number of it.
    pub(crate) live: db::InstanceId,
    pub(crate) fingerprint: Fingerprint,
    /// All of it as frames, until the next change.
    reset: Option<Vec<SharedFrame>>,
}

fn wire_rows(rows: &[Row]) -> Result<Vec<WireRow>, WireRowError> {
    rows.iter().map(to_wire).collect()
}

fn sum(rows: &[WireRow]) -> Fingerprint {
    rows.iter().map(row_hash).fold(Fingerprint::default(), Fingerprint::with)
}

impl RowsInstance {
    /// An instance, not yet counted: [`RowsInstance::load`] comes next.
    pub(crate) fn new(live: db::InstanceId) -> RowsInstance {
        RowsInstance { live, fingerprint: Fingerprint::default(), reset: None }
    }

    /// Counts the result as it is now.
    pub(crate) fn load(
        &mut self,
        instance: InstanceId,
        seq: Seq,
        answer: &Answer,
    ) -> Result<(), WireRowError> {
        let rows = wire_rows(&answer.rows)?;
        self.fingerprint = sum(&rows);
        self.reset = Some(rows_frames(instance, seq, true, rows, Vec::new()));
        Ok(())
    }

    /// Takes what a commit did to the result; what its holders get.
    pub(crate) fn change(
        &mut self,
        instance: InstanceId,
        seq: Seq,
        delta: &RowsDelta,
    ) -> Result<Vec<SharedFrame>, WireRowError> {
        let (added, removed) = (wire_rows(&delta.added)?, wire_rows(&delta.removed)?);
        self.fingerprint = self.fingerprint.with(sum(&added).0).without(sum(&removed).0);
        self.reset = None;
        Ok(rows_frames(instance, seq, false, added, removed))
    }

    /// All of it.
    pub(crate) fn reset_frames(
        &mut self,
        instance: InstanceId,
        seq: Seq,
        answer: &Arc<Answer>,
    ) -> Result<Vec<SharedFrame>, WireRowError> {
        if self.reset.is_none() {
            let rows = wire_rows(&answer.rows)?;
            self.reset = Some(rows_frames(instance, seq, true, rows, Vec::new()));
        }
        Ok(self.reset.clone().unwrap_or_default())
    }
}
