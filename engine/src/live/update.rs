//! What a step tells of a live result: the rows that came and those that went.

use std::sync::Arc;

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
    /// Several steps as one: a row that came and went again is in neither list.
    pub fn sum<'a>(deltas: impl IntoIterator<Item = &'a RowsDelta>) -> RowsDelta {
        let mut changes = Changes::new();
        for delta in deltas {
            changes.extend(delta.added.iter().map(|row| (row.clone(), 1)));
            changes.extend(delta.removed.iter().map(|row| (row.clone(), -1)));
        }
        RowsDelta::of(changes)
    }

    /// Whether nothing came and nothing went.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// These rows went and came: what stands behind them has changed.
    pub(super) fn replace(&mut self, rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        for side in [&mut self.added, &mut self.removed] {
            side.extend(rows.iter().cloned());
            side.sort_unstable();
        }
    }

    /// What is left of changes in the end; it may be empty.
    pub(super) fn of(changes: Changes) -> RowsDelta {
        let mut delta = RowsDelta::default();
        for (row, count) in net(changes) {
            let n_times = usize::try_from(count.unsigned_abs()).expect("no more than the rows");
            let side = if count > 0 { &mut delta.added } else { &mut delta.removed };
            side.extend(std::iter::repeat_n(row, n_times));
        }
        delta
    }

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
        let went = middle(before).into_iter().map(|row| (row, -1));
        let came = middle(after).into_iter().map(|row| (row, 1));
        let delta = RowsDelta::of(went.chain(came).collect());
        (!delta.is_empty()).then_some(delta)
    }
}

/// Rows with how often they came, or went.
pub(super) type Changes = Vec<(Row, i64)>;

/// Each row once, in their order, with how often it came in the end; never 0.
pub(super) fn net(mut changes: Changes) -> Changes {
    if let [_] = &changes[..] {
        return changes;
    }
    changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    changes.dedup_by(|(row, n), (first, sum)| {
        let is_same = row == first;
        if is_same {
            *sum += *n;
        }
        is_same
    });
    changes.retain(|(_, n)| *n != 0);
    changes
}

/// Deltas that wait for a reader, to be read as one.
///
/// Taking one costs nothing but its place, however slow the reader is. When they come to more rows
/// than a reader would compare, they are dropped, and the reader compares.
#[derive(Debug, Clone, Default)]
pub struct UnreadDeltas {
    /// None when they were dropped.
    deltas: Option<Vec<Arc<RowsDelta>>>,
    n_rows: usize,
}

impl UnreadDeltas {
    /// Nothing has been missed.
    pub fn new() -> UnreadDeltas {
        UnreadDeltas { deltas: Some(Vec::new()), n_rows: 0 }
    }

    /// Nothing is known of what was missed.
    pub fn unknown() -> UnreadDeltas {
        UnreadDeltas::default()
    }

    /// One more, which led to an answer of so many rows.
    pub fn push(&mut self, delta: Arc<RowsDelta>, n_rows_after: usize) {
        self.n_rows += delta.added.len() + delta.removed.len();
        match &mut self.deltas {
            Some(deltas) if deltas.is_empty() || self.n_rows <= n_rows_after => deltas.push(delta),
            deltas => *deltas = None,
        }
    }

    /// What leads from the answer that was read last to the newest one.
    pub fn between(self, before: &AnswerRows, after: &AnswerRows) -> RowsDelta {
        match self.deltas.as_deref() {
            None => RowsDelta::between(before, after).unwrap_or_default(),
            Some([delta]) => (**delta).clone(),
            Some(deltas) => RowsDelta::sum(deltas.iter().map(|delta| &**delta)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Output;
    use crate::value::Value;

    fn rows(numbers: &[i64]) -> Vec<Row> {
        numbers.iter().map(|number| vec![Output::Value(Value::int(*number))]).collect()
    }

    fn delta(removed: &[i64], added: &[i64]) -> Arc<RowsDelta> {
        Arc::new(RowsDelta { added: rows(added), removed: rows(removed), ..RowsDelta::default() })
    }

    #[test]
    fn steps_that_take_each_other_back_are_none() {
        let deltas = [delta(&[1], &[2, 2]), delta(&[2], &[3]), delta(&[2, 3], &[1])];
        assert_eq!(RowsDelta::sum(deltas.iter().map(|delta| &**delta)), RowsDelta::default());
    }

    /// Guards against a reader who never comes: what waits for it must not grow.
    #[test]
    fn what_waits_is_bounded_and_leads_to_the_newest_answer() {
        let before = AnswerRows::from(rows(&[0, 1, 2, 3]));
        let mut unread = UnreadDeltas::new();
        let mut last = 3;
        for n_steps in 1..=100 {
            unread.push(delta(&[last], &[last + 1]), before.len());
            last += 1;
            let after = AnswerRows::from(rows(&[0, 1, 2, last]));
            let expected =
                RowsDelta { added: rows(&[last]), removed: rows(&[3]), ..RowsDelta::default() };
            assert_eq!(unread.clone().between(&before, &after), expected);
            assert_eq!(unread.deltas.as_ref().map(Vec::len), (n_steps <= 2).then_some(n_steps));
        }
    }
}
