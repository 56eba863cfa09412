//! The complete result of a live query, kept in step with its deltas.
//!
//! The engine keeps no result of what it maintains by deltas. Whoever has to show one keeps it
//! here: evaluated once, and then changed by the rows that came and went. A row costs O(log n),
//! and an answer that was handed out stays as it is and shares what did not change. Server-side
//! instances, which only pass deltas on, keep none.
//!
//! Formula: `answerₙ = answer₀ + delta₁ + … + deltaₙ`, in the order of the query: by `:order-by`,
//! then by the whole row.

use std::cmp::Ordering;
use std::sync::Arc;

use super::update::RowsDelta;
use crate::answer::{Answer, AnswerRows, OutputRef, Row, RowRef, Work};
use crate::eval::query::Query;

/// A delta of more than one row for so many rows is applied by ordering all of them anew.
const REBUILD_SHARE: usize = 8;

/// The rows of an evaluation are let go when so many times fewer are left.
const SHRINK_FACTOR: usize = 4;

/// A complete result that follows deltas. A clone is cheap.
///
/// ```
/// # use std::sync::Arc;
/// # use tercet_engine::db::{Db, LiveResult, Query};
/// # use tercet_engine::fact::{Op, Transaction};
/// # use tercet_engine::hlc::Hlc;
/// # use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
/// # use tercet_engine::limits::Budget;
/// # fn follow(db: &mut Db, query: &Query, transaction: Transaction)
/// # -> Result<(), tercet_engine::error::QueryError> {
/// let instance = db.subscribe(query, &[], &Budget::unlimited())?;
/// let answer = db.answer(instance).expect("it is not stale")?;
/// let mut result = LiveResult::new(query, answer);
///
/// let mut successor = db.store().clone();
/// let delta = successor.apply(&transaction);
/// for update in db.publish(successor, &delta) {
///     assert!(result.apply(&update.change?));
/// }
/// assert_eq!(result.answer().rows, db.answer(instance).expect("it is not stale")?.rows);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct LiveResult {
    query: Query,
    answer: Arc<Answer>,
    /// How many rows of an evaluation are held as long as one of them is shown.
    n_rows_evaluated: usize,
}

impl LiveResult {
    /// Begins with an answer of the query.
    pub fn new(query: &Query, answer: Arc<Answer>) -> LiveResult {
        LiveResult { query: query.clone(), n_rows_evaluated: answer.rows.len(), answer }
    }

    /// Begins without rows.
    pub fn empty(query: &Query) -> LiveResult {
        let answer = Answer {
            columns: query.columns().clone(),
            form: query.raw().find_form,
            rows: AnswerRows::default(),
            n_without_result: 0,
            work: Work::default(),
        };
        LiveResult::new(query, Arc::new(answer))
    }

    /// The answer now. Its rows are those of a fresh evaluation; its counts (`n_without_result`,
    /// `work`) are those of the evaluation that it began with.
    pub fn answer(&self) -> &Arc<Answer> {
        &self.answer
    }

    /// Goes on with another evaluation of the query; what differs.
    pub fn replace(&mut self, answer: Arc<Answer>) -> RowsDelta {
        let before = self.answer.rows.clone();
        let delta = RowsDelta::between(&before, &answer.rows).unwrap_or_default();
        *self = LiveResult::new(&self.query, answer);
        delta
    }

    /// Begins anew, without rows.
    pub fn clear(&mut self) {
        *self = LiveResult::empty(&self.query);
    }

    /// Follows a delta. Whether all rows that went were there; those that were not are passed
    /// over.
    ///
    /// # Panics
    /// When a row has not one output for each find element.
    #[must_use = "a delta that does not fit was told of another result"]
    pub fn apply(&mut self, delta: &RowsDelta) -> bool {
        let rows = &self.answer.rows;
        let n_changes = delta.added.len() + delta.removed.len();
        let is_bulk = n_changes > 1 && n_changes >= rows.len() / REBUILD_SHARE;
        let (mut rows, fits) = match is_bulk {
            true => rebuilt(&self.query, rows, delta),
            false => edited(&self.query, rows, delta),
        };
        let is_sparse = rows.len() < self.n_rows_evaluated / SHRINK_FACTOR;
        if is_sparse && !is_bulk {
            rows = AnswerRows::from(rows.to_vec());
        }
        if is_sparse || is_bulk {
            self.n_rows_evaluated = rows.len();
        }
        self.answer = Arc::new(Answer { rows, ..(*self.answer).clone() });
        fits
    }
}

/// One row after the other, everything else shared.
fn edited(query: &Query, rows: &AnswerRows, delta: &RowsDelta) -> (AnswerRows, bool) {
    let (mut rows, mut fits) = (rows.clone(), true);
    for row in &delta.removed {
        let place = place(query, &rows, row);
        match rows.get(place).is_some_and(|found| found == row[..]) {
            true => rows = rows.without(place),
            false => fits = false,
        }
    }
    for row in &delta.added {
        rows = rows.with(place(query, &rows, row), row.clone());
    }
    (rows, fits)
}

/// All rows ordered anew: for deltas that are a good part of them.
fn rebuilt(query: &Query, rows: &AnswerRows, delta: &RowsDelta) -> (AnswerRows, bool) {
    let by_query = |a: &Row, b: &Row| compare_rows(query, a, b);
    let mut removed: Vec<&Row> = delta.removed.iter().collect();
    removed.sort_unstable_by(|a, b| by_query(a, b));
    let mut removed = removed.into_iter().peekable();
    let mut kept: Vec<Row> = Vec::with_capacity(rows.len() + delta.added.len());
    let mut fits = true;
    for row in rows {
        // What would have stood before this row is not there.
        while removed.next_if(|gone| compare(query, row, gone).is_gt()).is_some() {
            fits = false;
        }
        if removed.next_if(|gone| row == gone[..]).is_none() {
            kept.push(row.to_row());
        }
    }
    fits &= removed.next().is_none();
    kept.extend(delta.added.iter().cloned());
    // Two ordered runs, mostly: a stable sort finds and merges them.
    kept.sort_by(by_query);
    (AnswerRows::from(kept), fits)
}

/// Where a row stands, or would stand: before all that equal it.
pub(super) fn place(query: &Query, rows: &AnswerRows, row: &Row) -> usize {
    rows.partition_point(|other| compare(query, other, row).is_lt())
}

/// The order of the rows of a result: by the keys of `:order-by`, then by the whole row.
fn compare(query: &Query, a: RowRef<'_>, b: &Row) -> Ordering {
    let by_key = query.program().order_by().iter().map(|key| {
        let element = key.element as usize;
        let order = a.get(element).cmp(&b.get(element).map(OutputRef::from));
        if key.descending { order.reverse() } else { order }
    });
    let by_row = || a.iter().cmp(b.iter().map(OutputRef::from));
    by_key.fold(Ordering::Equal, Ordering::then).then_with(by_row)
}

fn compare_rows(query: &Query, a: &Row, b: &Row) -> Ordering {
    crate::eval::find::compare_keys(query.program(), a, b).then_with(|| a.cmp(b))
}
