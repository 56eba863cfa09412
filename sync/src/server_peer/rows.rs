//! A rows-mode instance: the result of one live query, kept up by rows that came and went.
//!
//! Nobody keeps the result: the engine tells what a commit did to it, and evaluates it when
//! somebody needs all of it. Here are its fingerprint over the encoded rows and, until the next
//! change, all of it as frames, so that a crowd that comes at once costs one evaluation and one
//! encoding. Formula: `fingerprint = Σ hash(encoded row)`.

use tercet_engine::answer::{Answer, Row, RowRef};
use tercet_engine::db::{self, RowsDelta};
use tercet_engine::ids::Seq;

use super::parts::rows_frames;
use crate::codec::SharedFrame;
use crate::message::{Fingerprint, InstanceId};
use crate::size::text_bytes;
use crate::wire_row::{WireOutput, WireRow, WireRowError, row_hash, to_wire};

/// The result of one live query.
pub(crate) struct RowsInstance {
    /// The engine's own number of it.
    pub(crate) live: db::InstanceId,
    pub(crate) fingerprint: Fingerprint,
    /// About how much memory all of it takes.
    pub(crate) n_bytes: u64,
    /// What the last evaluation was: facts read, rows made.
    pub(crate) n_work: u64,
    /// All of it as frames, until the next change.
    reset: Option<Vec<SharedFrame>>,
}

/// The longest row that is sent, encoded: with what stands around it, it fits into the smallest
/// frame that clients take by default.
const ROW_BYTES_MAX: usize = 3 << 20;

/// What an output takes besides its texts: in the engine's result, and as part of a frame.
const OUTPUT_BYTES: u64 = 128;

/// How many times its JSON text a tree takes, as the engine holds it.
const TREE_FACTOR: u64 = 8;

fn wire_rows(rows: impl Iterator<Item = Row>) -> Result<Vec<WireRow>, WireRowError> {
    rows.map(wire_row).collect()
}

fn wire_row(row: Row) -> Result<WireRow, WireRowError> {
    let row = to_wire(row)?;
    let n_bytes = row.iter().map(text_bytes).sum();
    if n_bytes > ROW_BYTES_MAX {
        return Err(WireRowError::TooLarge { n_bytes, n_bytes_max: ROW_BYTES_MAX });
    }
    Ok(row)
}

/// About what a row takes for as long as its instance is kept up.
fn held_bytes(row: &WireRow) -> u64 {
    let output_bytes = |output: &WireOutput| {
        let factor = if matches!(output, WireOutput::Tree(_)) { TREE_FACTOR } else { 1 };
        OUTPUT_BYTES + factor * text_bytes(output) as u64
    };
    row.iter().map(output_bytes).sum()
}

fn held_sum(rows: &[WireRow]) -> u64 {
    rows.iter().map(held_bytes).sum()
}

fn sum(rows: &[WireRow]) -> Fingerprint {
    rows.iter().map(row_hash).fold(Fingerprint::default(), Fingerprint::with)
}

impl RowsInstance {
    /// An instance, not yet counted: [`RowsInstance::load`] comes next.
    pub(crate) fn new(live: db::InstanceId) -> RowsInstance {
        let fingerprint = Fingerprint::default();
        RowsInstance { live, fingerprint, n_bytes: 0, n_work: 0, reset: None }
    }

    /// Counts the result as it is now.
    pub(crate) fn load(
        &mut self,
        instance: InstanceId,
        seq: Seq,
        answer: &Answer,
    ) -> Result<(), WireRowError> {
        let rows = wire_rows(answer.rows.iter().map(RowRef::to_row))?;
        self.fingerprint = sum(&rows);
        self.n_bytes = held_sum(&rows);
        self.n_work = answer.work.n_facts_read + answer.work.n_rows_made + rows.len() as u64;
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
        let added = wire_rows(delta.added.iter().cloned())?;
        let removed = wire_rows(delta.removed.iter().cloned())?;
        self.fingerprint = self.fingerprint.with(sum(&added).0).without(sum(&removed).0);
        self.n_bytes = (self.n_bytes + held_sum(&added)).saturating_sub(held_sum(&removed));
        self.reset = None;
        Ok(rows_frames(instance, seq, false, added, removed))
    }

    /// All of it, if nothing changed since it was last made.
    pub(crate) fn reset_frames(&self) -> Option<Vec<SharedFrame>> {
        self.reset.clone()
    }

    /// Makes all of it anew; it is counted already.
    pub(crate) fn make_reset(
        &mut self,
        instance: InstanceId,
        seq: Seq,
        answer: &Answer,
    ) -> Result<Vec<SharedFrame>, WireRowError> {
        let rows = wire_rows(answer.rows.iter().map(RowRef::to_row))?;
        let frames = rows_frames(instance, seq, true, rows, Vec::new());
        self.reset = Some(frames.clone());
        Ok(frames)
    }
}
