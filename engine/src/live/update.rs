//! What a step tells of a live result: the rows that came and those that went.

use rustc_hash::FxHashMap;

use super::InstanceId;
use super::patch::RowPatch;
use crate::answer::{AnswerRows, Row, RowRef};
use crate::error::QueryError;

/// What a step did to one live result.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveUpdate {
    /// Whose result it is.
    pub instance: InstanceId,
    /// What changed. An error (over budget) leaves the instance stale: its answer is not kept up
    /// any more until it is refreshed.
    pub change: Result<RowsDelta, QueryError>,
}

/// Rows that came and went, each list in the order of rows; never both empty. A row that several
/// entities were pulled to stands as often as its count changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowsDelta {
    /// Rows that are new.
    pub added: Vec<Row>,
    /// Rows that are gone.
    pub removed: Vec<Row>,
    /// Of rows on both lists that show the same entities, what changed inside their trees.
    pub patches: Vec<RowPatch>,
}

impl RowsDelta {
    /// The difference between two lists of rows, whatever their order; none where they hold the
    /// same. Rows are counted: two entities may be pulled to equal trees.
    pub fn between(before: &AnswerRows, after: &AnswerRows) -> Option<RowsDelta> {
        // Results of one query mostly begin and end alike, and alike rows need not be made.
        let n_alike = |pairs: &mut dyn Iterator<Item = (RowRef<'_>, RowRef<'_>)>| {
            pairs.take_while(|(a, b)| a == b).count()
        };
        let n_first = n_alike(&mut before.iter().zip(after));
        let n_last_max = before.len().min(after.len()) - n_first;
        let n_last = n_alike(&mut before.iter().rev().zip(after.iter().rev()).take(n_last_max));
        let middle = |rows: &AnswerRows| -> Vec<Row> {
            let n_rows = rows.len() - n_first - n_last;
            rows.iter().skip(n_first).take(n_rows).map(RowRef::to_row).collect()
        };
        let mut counts: FxHashMap<Row, i64> = FxHashMap::default();
        for row in middle(before) {
            *counts.entry(row).or_default() -= 1;
        }
        for row in middle(after) {
            *counts.entry(row).or_default() += 1;
        }
        let mut delta = RowsDelta::default();
        let mut changed: Vec<(Row, i64)> =
            counts.into_iter().filter(|(_, count)| *count != 0).collect();
        changed.sort_unstable();
        for (row, count) in changed {
            let n_times = usize::try_from(count.unsigned_abs()).expect("no more than the rows");
            let side = if count > 0 { &mut delta.added } else { &mut delta.removed };
            side.extend(std::iter::repeat_n(row, n_times));
        }
        (!delta.added.is_empty() || !delta.removed.is_empty()).then_some(delta)
    }
}
