//! A list of rows that is changed without being copied: slices of columns in a balanced tree.
//!
//! It exists for live results: whoever was given a result keeps it, while the next one shares all
//! of it but what changed. A row comes or goes in O(log n) time and memory, wherever it stands; a
//! position and a place in an order are found as fast. The columns of an evaluation are never
//! copied: a slice says which of their rows are meant.
//!
//! Invariants: no slice is empty; the heights of two siblings differ by at most 2; two neighbours
//! have together more than [`SMALL`] rows, so pieces do not crumble. The balance is that of Adams
//! (*Efficient sets: a balancing act*, 1993) by heights, as OCaml's `Set` has it: everything is made
//! of `join` and `split`. What order the rows are in is left out.

use std::sync::Arc;

use super::rows::{Column, Columns, RowRef};

/// Neighbours of no more rows together are copied into one.
const SMALL: usize = 32;

/// Rows of columns: `start .. start + n_rows`, at least one.
#[derive(Clone)]
pub(super) struct Slice {
    pub(super) columns: Arc<Columns>,
    pub(super) start: usize,
    pub(super) n_rows: usize,
}

/// A list of rows. A clone is a pointer.
#[derive(Clone, Default)]
pub(super) struct Pieces(Option<Arc<Node>>);

struct Node {
    left: Pieces,
    slice: Slice,
    right: Pieces,
    n_rows: usize,
    height: u8,
}

impl Slice {
    /// All rows of some columns; none where there are none.
    fn of(columns: Columns) -> Option<Slice> {
        let n_rows = columns.n_rows;
        (n_rows > 0).then(|| Slice { columns: Arc::new(columns), start: 0, n_rows })
    }

    #[inline]
    pub(super) fn row(&self, index: usize) -> RowRef<'_> {
        RowRef { columns: &self.columns, index: self.start + index }
    }

    /// The rows before a place, and those from there on. The place is inside.
    fn split(&self, at: usize) -> (Slice, Slice) {
        let columns = || Arc::clone(&self.columns);
        let first = Slice { columns: columns(), start: self.start, n_rows: at };
        let start = self.start + at;
        (first, Slice { columns: columns(), start, n_rows: self.n_rows - at })
    }

    /// The rows of two as one, if they are few, or were one before a row between them came and
    /// went.
    fn merged(&self, next: &Slice) -> Option<Slice> {
        let is_next = self.start + self.n_rows == next.start;
        if is_next && Arc::ptr_eq(&self.columns, &next.columns) {
            return Some(Slice { n_rows: self.n_rows + next.n_rows, ..self.clone() });
        }
        if self.n_rows + next.n_rows > SMALL {
            return None;
        }
        let rows = || [self, next].into_iter().flat_map(|slice| slice.rows());
        let outputs = |element| rows().filter_map(|row| row.to_output(element)).collect();
        let elements = 0..self.columns.columns.len();
        Slice::of(Columns {
            n_rows: self.n_rows + next.n_rows,
            columns: elements.map(|element| Column::Outputs(outputs(element))).collect(),
            dictionary: self.columns.dictionary.clone(),
        })
    }

    fn rows(&self) -> impl Iterator<Item = RowRef<'_>> {
        (0..self.n_rows).map(|index| self.row(index))
    }
}

impl From<Columns> for Pieces {
    fn from(columns: Columns) -> Pieces {
        let slice = Slice::of(columns);
        slice.map_or_else(Pieces::default, |slice| {
            Pieces::node(Pieces::default(), slice, Pieces::default())
        })
    }
}

impl Pieces {
    fn node(left: Pieces, slice: Slice, right: Pieces) -> Pieces {
        let n_rows = left.n_rows() + slice.n_rows + right.n_rows();
        let height = left.height().max(right.height()) + 1;
        Pieces(Some(Arc::new(Node { left, slice, right, n_rows, height })))
    }

    #[inline]
    pub(super) fn n_rows(&self) -> usize {
        self.0.as_ref().map_or(0, |node| node.n_rows)
    }

    fn height(&self) -> u8 {
        self.0.as_ref().map_or(0, |node| node.height)
    }

    pub(super) fn is_same(&self, other: &Pieces) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }

    /// The slice that has the row at this position, and where in it.
    #[inline]
    pub(super) fn find(&self, mut index: usize) -> Option<(&Slice, usize)> {
        let mut node = self.0.as_deref()?;
        loop {
            let n_left = node.left.n_rows();
            if index < n_left {
                node = node.left.0.as_deref()?;
            } else if index - n_left < node.slice.n_rows {
                return Some((&node.slice, index - n_left));
            } else {
                index -= n_left + node.slice.n_rows;
                node = node.right.0.as_deref()?;
            }
        }
    }

    /// How many rows pass, of rows of which the first pass and the others do not.
    pub(super) fn partition_point(&self, mut passes: impl FnMut(RowRef<'_>) -> bool) -> usize {
        let (mut pieces, mut n_before) = (self, 0);
        while let Some(node) = pieces.0.as_deref() {
            let Node { left, slice, right, .. } = node;
            if !passes(slice.row(0)) {
                pieces = left;
            } else if passes(slice.row(slice.n_rows - 1)) {
                n_before += left.n_rows() + slice.n_rows;
                pieces = right;
            } else {
                let (mut low, mut high) = (1, slice.n_rows - 1);
                while low < high {
                    let middle = low.midpoint(high);
                    if passes(slice.row(middle)) {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                return n_before + left.n_rows() + low;
            }
        }
        n_before
    }

    /// The list with other rows put in at a position.
    pub(super) fn with(&self, index: usize, rows: Columns) -> Pieces {
        let (before, after) = self.split(index);
        before.glue(&Pieces::from(rows)).glue(&after)
    }

    /// The list without the row at a position.
    pub(super) fn without(&self, index: usize) -> Pieces {
        let (before, rest) = self.split(index);
        before.glue(&rest.split(1).1)
    }

    /// The rows before a position, and those from there on.
    fn split(&self, index: usize) -> (Pieces, Pieces) {
        let Some(node) = self.0.as_deref() else { return Default::default() };
        let Node { left, slice, right, .. } = node;
        let end = left.n_rows() + slice.n_rows;
        if index <= left.n_rows() {
            let (before, after) = left.split(index);
            (before, after.join(slice.clone(), right))
        } else if index >= end {
            let (before, after) = right.split(index - end);
            (left.join(slice.clone(), &before), after)
        } else {
            let (first, last) = slice.split(index - left.n_rows());
            let none = Pieces::default();
            (left.join(first, &none), none.join(last, right))
        }
    }

    /// Both lists, one after the other; small pieces at the seam become one, with their neighbours
    /// that a cut has left small as well, also where one of the lists is empty.
    fn glue(&self, next: &Pieces) -> Pieces {
        let Some((before, last)) = self.settled_last() else {
            let Some((first, after)) = next.settled_first() else { return Pieces::default() };
            return Pieces::default().join(first, &after);
        };
        let Some((first, after)) = next.settled_first() else {
            return before.join(last, &Pieces::default());
        };
        match last.merged(&first) {
            Some(merged) => before.join(merged, &after),
            None => before.join(last, &Pieces::default().join(first, &after)),
        }
    }

    /// The first piece, with its neighbour if they are small, and the others.
    fn settled_first(&self) -> Option<(Slice, Pieces)> {
        let (first, after) = self.split_first()?;
        let merged =
            after.split_first().and_then(|(next, rest)| Some((first.merged(&next)?, rest)));
        Some(merged.unwrap_or((first, after)))
    }

    /// The last piece, with its neighbour if they are small, and the others.
    fn settled_last(&self) -> Option<(Pieces, Slice)> {
        let (before, last) = self.split_last()?;
        let merged =
            before.split_last().and_then(|(rest, piece)| Some((rest, piece.merged(&last)?)));
        Some(merged.unwrap_or((before, last)))
    }

    fn split_first(&self) -> Option<(Slice, Pieces)> {
        let Node { left, slice, right, .. } = self.0.as_deref()?;
        Some(match left.split_first() {
            None => (slice.clone(), right.clone()),
            Some((first, rest)) => (first, rest.join(slice.clone(), right)),
        })
    }

    fn split_last(&self) -> Option<(Pieces, Slice)> {
        let Node { left, slice, right, .. } = self.0.as_deref()?;
        Some(match right.split_last() {
            None => (left.clone(), slice.clone()),
            Some((rest, last)) => (left.join(slice.clone(), &rest), last),
        })
    }

    /// Two lists of any heights with a slice between them.
    fn join(&self, slice: Slice, next: &Pieces) -> Pieces {
        match (self.0.as_deref(), next.0.as_deref()) {
            (Some(node), _) if node.height > next.height() + 2 => {
                node.left.balanced(node.slice.clone(), &node.right.join(slice, next))
            }
            (_, Some(node)) if node.height > self.height() + 2 => {
                self.join(slice, &node.left).balanced(node.slice.clone(), &node.right)
            }
            _ => Pieces::node(self.clone(), slice, next.clone()),
        }
    }

    /// Two lists, whose heights differ by at most 3, with a slice between them.
    fn balanced(&self, slice: Slice, next: &Pieces) -> Pieces {
        match (self.0.as_deref(), next.0.as_deref()) {
            (Some(node), _) if node.height > next.height() + 2 => {
                let Node { left, slice: middle, right, .. } = node;
                match right.0.as_deref().filter(|_| left.height() < right.height()) {
                    None => {
                        let last = Pieces::node(right.clone(), slice, next.clone());
                        Pieces::node(left.clone(), middle.clone(), last)
                    }
                    Some(inner) => {
                        let first = Pieces::node(left.clone(), middle.clone(), inner.left.clone());
                        let last = Pieces::node(inner.right.clone(), slice, next.clone());
                        Pieces::node(first, inner.slice.clone(), last)
                    }
                }
            }
            (_, Some(node)) if node.height > self.height() + 2 => {
                let Node { left, slice: middle, right, .. } = node;
                match left.0.as_deref().filter(|_| right.height() < left.height()) {
                    None => {
                        let first = Pieces::node(self.clone(), slice, left.clone());
                        Pieces::node(first, middle.clone(), right.clone())
                    }
                    Some(inner) => {
                        let first = Pieces::node(self.clone(), slice, inner.left.clone());
                        let last = Pieces::node(inner.right.clone(), middle.clone(), right.clone());
                        Pieces::node(first, inner.slice.clone(), last)
                    }
                }
            }
            _ => Pieces::node(self.clone(), slice, next.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::answer::{AnswerRows, Output, Row};
    use crate::value::Value;

    fn row(number: usize) -> Row {
        vec![Output::Value(Value::int(number as i64))]
    }

    fn columns(numbers: std::ops::Range<usize>) -> Columns {
        let n_rows = numbers.len();
        let outputs = numbers.map(|number| row(number).remove(0)).collect();
        Columns { n_rows, columns: vec![Column::Outputs(outputs)], dictionary: Default::default() }
    }

    /// Whether the invariants hold; the sizes of all pieces.
    fn check(pieces: &Pieces) -> Vec<usize> {
        let Some(node) = pieces.0.as_deref() else { return Vec::new() };
        assert!(node.slice.n_rows > 0);
        assert!(node.left.height().abs_diff(node.right.height()) <= 2, "it is balanced");
        assert_eq!(node.height, node.left.height().max(node.right.height()) + 1);
        let n_rows = node.left.n_rows() + node.slice.n_rows + node.right.n_rows();
        assert_eq!(node.n_rows, n_rows);
        let sizes = [check(&node.left), vec![node.slice.n_rows], check(&node.right)].concat();
        assert!(sizes.windows(2).all(|pair| pair[0] + pair[1] > SMALL), "{sizes:?}");
        sizes
    }

    proptest! {
        /// Against a vector: every position, both ends of an iteration, and jumps in it.
        #[test]
        fn a_list_that_changes_is_a_vector(
            n_first in 0_usize..200,
            changes in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..300),
            jumps in prop::collection::vec((any::<bool>(), 0_usize..40), 0..40),
        ) {
            let mut expected: Vec<Row> = (0..n_first).map(row).collect();
            let mut pieces = Pieces::from(columns(0..n_first));
            for (number, (comes, at)) in changes.into_iter().enumerate() {
                if comes || expected.is_empty() {
                    let (index, number) = (at.index(expected.len() + 1), 1_000 + number);
                    expected.insert(index, row(number));
                    pieces = pieces.with(index, columns(number..number + 1));
                } else {
                    let index = at.index(expected.len());
                    expected.remove(index);
                    pieces = pieces.without(index);
                }
            }
            check(&pieces);
            let rows = AnswerRows::from_pieces(pieces);
            prop_assert_eq!(&rows, &expected);
            prop_assert_eq!(rows.iter().rev().map(RowRef::to_row).collect::<Vec<_>>(),
                expected.iter().rev().cloned().collect::<Vec<_>>());
            let (mut iter, mut expected) = (rows.iter(), expected.iter());
            for (is_back, n) in jumps {
                prop_assert_eq!(iter.len(), expected.len());
                let (row, other) = match is_back {
                    true => (iter.next_back(), expected.next_back()),
                    false => (iter.nth(n), expected.nth(n)),
                };
                prop_assert_eq!(row.map(RowRef::to_row), other.cloned());
            }
        }

        #[test]
        fn places_are_found_by_order(
            gone in prop::collection::btree_set(0_usize..500, 0..200),
            sought in 0_usize..510,
        ) {
            let mut pieces = Pieces::from(columns(0..500));
            for number in gone.iter().rev() {
                pieces = pieces.without(*number);
            }
            let expected = (0..sought.min(500)).filter(|number| !gone.contains(number)).count();
            let sought = Value::int(sought as i64);
            let before = |row: RowRef<'_>| row.to_output(0) < Some(Output::Value(sought.clone()));
            prop_assert_eq!(pieces.partition_point(before), expected);
        }
    }

    /// A cut at either end has no seam, yet leaves its piece smaller.
    #[test]
    fn an_end_that_goes_leaves_no_small_neighbours() {
        let n_first = SMALL / 2 + 1;
        let pieces = Pieces::from(columns(0..n_first)).with(n_first, columns(n_first..SMALL + 1));
        assert_eq!(check(&pieces), [n_first, SMALL / 2]);
        assert_eq!(check(&pieces.without(0)), [SMALL]);
        assert_eq!(check(&pieces.without(SMALL)), [SMALL]);
    }

    /// Guards against pieces that crumble: rows that come and go leave no piece behind, and rows
    /// that come beside the same seam again and again do not make a piece each.
    #[test]
    fn a_large_list_stays_in_large_pieces() {
        let first = Pieces::from(columns(0..10_000));
        let mut pieces = first.clone();
        for index in (0..10_000).step_by(50) {
            pieces = pieces.with(index, columns(index..index + 1)).without(index);
        }
        assert_eq!(check(&pieces), [10_000]);
        for n in 0..1_000 {
            pieces = pieces.with(5_000 + n, columns(n..n + 1));
        }
        assert!(check(&pieces).len() <= 2 * 1_000 / SMALL + 2);
        assert!(pieces.height() <= 12);
        assert_eq!((first.n_rows(), check(&first)), (10_000, vec![10_000]));
    }
}
