//! Rows of parameters that are intervals, found by a value inside them.
//!
//! `[(>= ?v ?from)] [(< ?v ?until)]` with both bounds parameters asks which of many intervals hold
//! a value. By one bound alone half of them would do; so they are kept in order of their lower
//! bounds under a binary tree of the greatest upper bounds, and whole branches that end below the
//! value are left out: O(found · log n). Changes gather beside the tree until it is made again, so
//! that they are cheap on average.
//!
//! What is found may miss the value by a bound that is exclusive, or be of another type: whoever
//! asks compares again. Source: Cormen et al., *Introduction to Algorithms*, ch. 14.3, laid out as
//! an implicit tree.

use std::ops::ControlFlow;

use super::params::RowIndex;
use crate::value::Value;

/// Changes that are always kept aside.
const ASIDE_MIN: usize = 32;

struct Interval {
    from: Value,
    until: Value,
    /// None where it was taken out.
    row: Option<RowIndex>,
}

/// Intervals of rows.
#[derive(Default)]
pub(super) struct Intervals {
    /// In order of (from, row).
    sorted: Vec<Interval>,
    /// An implicit tree over `sorted`: node `i` has the children `2i` and `2i + 1`, leaves come
    /// last; each holds the place of the interval with the greatest end below it.
    greatest: Vec<u32>,
    /// In no order.
    aside: Vec<Interval>,
    n_removed: usize,
}

impl Intervals {
    pub(super) fn insert(&mut self, from: Value, until: Value, row: RowIndex) {
        self.aside.push(Interval { from, until, row: Some(row) });
        if self.aside.len() > ASIDE_MIN.max(self.sorted.len() / 8) {
            self.rebuild();
        }
    }

    pub(super) fn remove(&mut self, from: &Value, row: RowIndex) {
        if let Some(place) = self.aside.iter().position(|interval| interval.row == Some(row)) {
            self.aside.swap_remove(place);
            return;
        }
        let start = self.sorted.partition_point(|interval| interval.from < *from);
        let mut same = self.sorted[start..].iter_mut().take_while(|it| it.from == *from);
        let found = same.find(|interval| interval.row == Some(row));
        found.expect("only what was inserted is removed").row = None;
        self.n_removed += 1;
        if self.n_removed > ASIDE_MIN.max(self.sorted.len() / 2) {
            self.rebuild();
        }
    }

    fn rebuild(&mut self) {
        self.sorted.append(&mut self.aside);
        self.sorted.retain(|interval| interval.row.is_some());
        self.sorted.sort_by(|a, b| (&a.from, a.row).cmp(&(&b.from, b.row)));
        self.n_removed = 0;
        let n_leaves = self.sorted.len().next_power_of_two();
        self.greatest = vec![u32::MAX; 2 * n_leaves];
        for place in 0..self.sorted.len() {
            self.greatest[n_leaves + place] = place as u32;
        }
        for node in (1..n_leaves).rev() {
            let (left, right) = (self.greatest[2 * node], self.greatest[2 * node + 1]);
            let is_right = right != u32::MAX
                && self.sorted[left as usize].until < self.sorted[right as usize].until;
            self.greatest[node] = if is_right { right } else { left };
        }
    }

    /// Hands over the rows of all intervals that hold the value, and perhaps some that end at it.
    pub(super) fn holding<Break>(
        &self,
        value: &Value,
        mut take: impl FnMut(RowIndex) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        for interval in &self.aside {
            if interval.from <= *value
                && *value <= interval.until
                && let Some(row) = interval.row
            {
                take(row)?;
            }
        }
        let n_begun = self.sorted.partition_point(|interval| interval.from <= *value);
        if n_begun == 0 {
            return ControlFlow::Continue(());
        }
        let n_leaves = self.greatest.len() / 2;
        // Nodes to look into, with the first leaf below and how many there are.
        let mut waiting = vec![(1, 0, n_leaves)];
        while let Some((node, first, n)) = waiting.pop() {
            let greatest = self.greatest[node];
            if first >= n_begun
                || greatest == u32::MAX
                || self.sorted[greatest as usize].until < *value
            {
                continue;
            }
            if n > 1 {
                waiting.push((2 * node + 1, first + n / 2, n / 2));
                waiting.push((2 * node, first, n / 2));
            } else if let Some(row) = self.sorted[first].row {
                take(row)?;
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a walk over all of them, while they come and go.
    #[test]
    fn what_holds_a_value_is_found() {
        let mut state = 7_u64;
        let mut draw = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        let mut intervals = Intervals::default();
        let mut known: Vec<(i64, i64, RowIndex)> = Vec::new();
        for row in 0..2_000 {
            let from = draw(500) as i64;
            let until = from + draw(40) as i64;
            intervals.insert(Value::int(from), Value::int(until), row);
            known.push((from, until, row));
            if draw(3) == 0 {
                let (from, _, row) = known.swap_remove(draw(known.len() as u64) as usize);
                intervals.remove(&Value::int(from), row);
            }
            let value = draw(560) as i64;
            let mut found = Vec::new();
            let _ = intervals.holding(&Value::int(value), |row| {
                found.push(row);
                ControlFlow::<()>::Continue(())
            });
            found.sort_unstable();
            let holds = known.iter().filter(|(from, until, _)| (*from..=*until).contains(&value));
            let mut expected: Vec<RowIndex> = holds.map(|(.., row)| *row).collect();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
    }
}
