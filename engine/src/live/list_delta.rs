//! What a delta does to the ordered list that a result is: rows with their positions.
//!
//! [`RowsDelta`] says which rows came and went, and sums up over steps. Whoever shows a list needs
//! to know where, and that a row which only changed its place is the same one. That follows from
//! both lists and the delta between them, in O(changes · log n).
//!
//! Definitions: positions of what went, and of where a row moved *from*, are in the list before;
//! those of what came, and of where it moved *to*, in the list after. The *sort keys* of a row are
//! its outputs for the elements of `:order-by`. Its *identity* is its outputs for the variables of
//! `:find` that are no sort key, or, where there are none, for all elements that are no sort key. A
//! row *moved* when one row of its identity went, one came, and their sort keys differ. So
//! `[:find ?e (pull ?e [*]) ?score … :order-by [?score]]` moves entities whatever else changed in
//! them; a result without an order, or of sort keys alone, has no row that moves.

use std::collections::{BTreeMap, BTreeSet};

use super::result::place;
use super::update::RowsDelta;
use crate::answer::{AnswerRows, Output, Row};
use crate::eval::query::Query;
use crate::program::FindElement;

/// How one ordered list of rows becomes another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListDelta {
    /// Rows that are gone, by their position before, ascending.
    pub removed: Vec<Placed>,
    /// Rows that are new, by their position after, ascending.
    pub added: Vec<Placed>,
    /// Rows that have other sort keys, by their position after, ascending.
    pub moved: Vec<Moved>,
}

/// A row and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Where it stands, or stood.
    pub index: usize,
    /// The row.
    pub row: Row,
}

/// A row that changed its sort keys, and so, mostly, its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Where it stood before.
    pub from: usize,
    /// Where it stands after. The same number where the rows around it did not change places with
    /// it.
    pub to: usize,
    /// The row as it is after.
    pub row: Row,
}

impl ListDelta {
    /// The way from one result of a query to another one, given the rows between them.
    ///
    /// Both lists are in the order of the query, and `rows` is their difference.
    pub fn between(
        query: &Query,
        before: &AnswerRows,
        after: &AnswerRows,
        rows: RowsDelta,
    ) -> ListDelta {
        let removed = placed(query, before, rows.removed);
        let added = placed(query, after, rows.added);
        let mut delta = ListDelta { removed, added, moved: Vec::new() };
        if !delta.removed.is_empty() && !delta.added.is_empty() {
            delta.find_moved(query);
        }
        delta
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty() && self.moved.is_empty()
    }

    /// Makes the list after of the list before.
    ///
    /// # Panics
    /// When it is not the list that this leads from.
    pub fn apply(&self, rows: &mut Vec<Row>) {
        let from = self.moved.iter().map(|moved| moved.from);
        let mut gone: Vec<usize> = self.removed.iter().map(|row| row.index).chain(from).collect();
        gone.sort_unstable();
        for index in gone.into_iter().rev() {
            rows.remove(index);
        }
        let to = self.moved.iter().map(|moved| (moved.to, &moved.row));
        let mut come: Vec<(usize, &Row)> =
            self.added.iter().map(|placed| (placed.index, &placed.row)).chain(to).collect();
        come.sort_unstable_by_key(|(index, _)| *index);
        for (index, row) in come {
            rows.insert(index, row.clone());
        }
    }

    /// Takes rows that went and came again out of both lists.
    fn find_moved(&mut self, query: &Query) {
        let Some(elements) = Elements::of(query) else { return };
        let mut pairs: BTreeMap<Vec<&Output>, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (index, Placed { row, .. }) in self.removed.iter().enumerate() {
            pairs.entry(elements.identity(row)).or_default().0.push(index);
        }
        for (index, Placed { row, .. }) in self.added.iter().enumerate() {
            pairs.entry(elements.identity(row)).or_default().1.push(index);
        }
        let is_moved = |pair: &(usize, usize)| {
            elements.keys(&self.removed[pair.0].row) != elements.keys(&self.added[pair.1].row)
        };
        let pairs = pairs.into_values().filter_map(|(gone, come)| match (&gone[..], &come[..]) {
            ([gone], [come]) => Some((*gone, *come)),
            _ => None,
        });
        let pairs: Vec<(usize, usize)> = pairs.filter(is_moved).collect();
        let moved = pairs.iter().map(|(gone, come)| Moved {
            from: self.removed[*gone].index,
            to: self.added[*come].index,
            row: self.added[*come].row.clone(),
        });
        self.moved = moved.collect();
        self.moved.sort_unstable_by_key(|moved| moved.to);
        self.removed = without(&self.removed, pairs.iter().map(|(gone, _)| *gone));
        self.added = without(&self.added, pairs.iter().map(|(_, come)| *come));
    }
}

/// What tells a row from others, and what it is ordered by.
struct Elements {
    identity: Vec<usize>,
    keys: Vec<usize>,
}

impl Elements {
    /// None where no row can move.
    fn of(query: &Query) -> Option<Elements> {
        let program = query.program();
        let keys: Vec<usize> = program.order_by().iter().map(|key| key.element as usize).collect();
        let others = || (0..program.find.len()).filter(|element| !keys.contains(element));
        let is_variable =
            |element: &usize| matches!(program.find[*element], FindElement::Variable(_));
        let mut identity: Vec<usize> = others().filter(is_variable).collect();
        if identity.is_empty() {
            identity = others().collect();
        }
        (!keys.is_empty() && !identity.is_empty()).then_some(Elements { identity, keys })
    }

    fn identity<'row>(&self, row: &'row Row) -> Vec<&'row Output> {
        self.identity.iter().map(|element| &row[*element]).collect()
    }

    fn keys<'row>(&self, row: &'row Row) -> Vec<&'row Output> {
        self.keys.iter().map(|element| &row[*element]).collect()
    }
}

/// Rows with their positions in a list that has them. Equal rows stand side by side there.
fn placed(query: &Query, list: &AnswerRows, rows: Vec<Row>) -> Vec<Placed> {
    let mut placed: Vec<Placed> = Vec::with_capacity(rows.len());
    for row in rows {
        let index = match placed.last() {
            Some(last) if last.row == row => last.index + 1,
            _ => place(query, list, &row),
        };
        placed.push(Placed { index, row });
    }
    placed.sort_by_key(|placed| placed.index);
    placed
}

/// The rows but for those at some places.
fn without(rows: &[Placed], places: impl Iterator<Item = usize>) -> Vec<Placed> {
    let places: BTreeSet<usize> = places.collect();
    let kept = rows.iter().enumerate().filter(|(index, _)| !places.contains(index));
    kept.map(|(_, placed)| placed.clone()).collect()
}
