//! The window of an ordered result: its rows and a few more behind them.
//!
//! Rows beyond the last one kept are not known and need not be: a row that comes or goes there
//! changes nothing. Every row up to it is kept, so the window can be told from these alone; when so
//! many went that it cannot, the first rows are evaluated again.
//!
//! Invariant: `rows` are the first of all rows in the order of the query, or all of them.

use std::cmp::Ordering;
use std::ops::Range;

use super::update::Changes;
use crate::answer::Row;

/// Rows kept behind the window, at least.
const MARGIN_MIN: usize = 16;

/// Which rows of the order are shown, and how many are kept.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    pub(super) shown: Range<usize>,
    pub(super) n_kept: usize,
}

impl Extent {
    pub(super) fn new(offset: u64, limit: Option<u64>, margin_max: usize) -> Extent {
        let bound = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let start = bound(offset);
        let end = limit.map_or(usize::MAX, |n| start.saturating_add(bound(n)));
        let margin = (end / 2).max(MARGIN_MIN).min(margin_max);
        Extent { shown: start..end, n_kept: end.saturating_add(margin) }
    }
}

/// The first rows of one instance.
pub(super) struct Window {
    rows: Vec<Row>,
    is_all: bool,
}

impl Window {
    /// Of the first rows, as many as are kept or all there are.
    pub(super) fn new(rows: Vec<Row>, extent: &Extent) -> Window {
        let is_all = rows.len() < extent.n_kept;
        Window { rows, is_all }
    }

    pub(super) fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// Of all rows there are.
    pub(super) fn all(rows: Vec<Row>) -> Window {
        Window { rows, is_all: true }
    }

    /// Whether it can be told what is shown.
    pub(super) fn is_enough(&self, extent: &Extent) -> bool {
        self.is_all || self.rows.len() >= extent.shown.end
    }

    /// Follows what happened to all rows; what happened to those shown.
    pub(super) fn follow(
        &mut self,
        changes: Changes,
        extent: &Extent,
        compare: impl Fn(&Row, &Row) -> Ordering,
    ) -> Changes {
        let mut shown = Changes::new();
        let (came, went): (Changes, Changes) = changes.into_iter().partition(|(_, n)| *n > 0);
        for (row, n) in went {
            for _ in 0..n.unsigned_abs() {
                if let Ok(place) = self.rows.binary_search_by(|other| compare(other, &row)) {
                    self.remove(place, extent, &mut shown);
                }
            }
        }
        for (row, n) in came {
            for _ in 0..n.unsigned_abs() {
                let place = self.rows.partition_point(|other| compare(other, &row).is_lt());
                if place < self.rows.len() || self.is_all {
                    self.insert(place, row.clone(), extent, &mut shown);
                }
            }
        }
        if self.rows.len() > extent.n_kept.saturating_mul(2) {
            self.rows.truncate(extent.n_kept);
            self.is_all = false;
        }
        shown
    }

    fn remove(&mut self, place: usize, extent: &Extent, shown: &mut Changes) {
        let Range { start, end } = extent.shown;
        if place < end {
            if let Some(row) = self.rows.get(place.max(start)) {
                shown.push((row.clone(), -1));
            }
            if let Some(row) = self.rows.get(end) {
                shown.push((row.clone(), 1));
            }
        }
        self.rows.remove(place);
    }

    fn insert(&mut self, place: usize, row: Row, extent: &Extent, shown: &mut Changes) {
        self.rows.insert(place, row);
        let Range { start, end } = extent.shown;
        if place < end {
            if let Some(row) = self.rows.get(place.max(start)) {
                shown.push((row.clone(), 1));
            }
            if let Some(row) = self.rows.get(end) {
                shown.push((row.clone(), -1));
            }
        }
    }

    /// The rows shown.
    pub(super) fn shown(&self, extent: &Extent) -> &[Row] {
        let end = extent.shown.end.min(self.rows.len());
        &self.rows[extent.shown.start.min(end)..end]
    }
}
