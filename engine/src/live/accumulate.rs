//! Groups that change often: their aggregates, kept so that a member can come or go.
//!
//! A member costs what its aggregates cost: a count and a sum a few words, whatever asks for an
//! order (least and greatest values, the median, distinct values) a multiset, which is also what
//! makes `min` and `max` survive the removal of the value they show. Sums are exact integers of any
//! length, so taking a number out leaves the bits of a sum it never was in.

use std::collections::BTreeMap;

use crate::answer::{Output, Row};
use crate::eval::exact::{ExactSum, Spread};
use crate::program::{Aggregate, FindElement, Program};
use crate::value::{Number, Value};

/// The members of one group of one instance, as its aggregates see them.
pub(super) struct Group {
    n_members: u64,
    columns: Vec<Column>,
}

/// What one find element keeps.
enum Column {
    /// It is part of the group's key.
    Key,
    /// The number of members is all.
    Count,
    Sum {
        sum: ExactSum,
        n_others: u64,
    },
    Values(BTreeMap<Value, u64>),
}

impl Group {
    pub(super) fn new(program: &Program) -> Group {
        let column = |element: &FindElement| match element {
            FindElement::Variable(_) | FindElement::Pull { .. } => Column::Key,
            FindElement::Aggregate { function, .. } => match function {
                Aggregate::Count => Column::Count,
                Aggregate::Sum | Aggregate::Avg => {
                    Column::Sum { sum: ExactSum::default(), n_others: 0 }
                }
                _ => Column::Values(BTreeMap::new()),
            },
        };
        Group { n_members: 0, columns: program.find.iter().map(column).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.n_members == 0
    }

    /// How many values it keeps.
    pub(super) fn n_kept(&self) -> usize {
        let kept = |column: &Column| match column {
            Column::Values(values) => values.len(),
            _ => 1,
        };
        self.columns.iter().map(kept).sum()
    }

    pub(super) fn n_members(&self) -> u64 {
        self.n_members
    }

    /// A member comes, or goes; `values` are those of the find elements.
    pub(super) fn change<'v>(&mut self, values: impl Iterator<Item = &'v Value>, comes: bool) {
        if comes {
            self.n_members += 1;
        } else {
            self.n_members -= 1;
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            match column {
                Column::Key | Column::Count => {}
                Column::Sum { sum, n_others } => match (value, comes) {
                    (Value::Number(number), true) => sum.add(*number),
                    (Value::Number(number), false) => sum.remove(*number),
                    (_, true) => *n_others += 1,
                    (_, false) => *n_others -= 1,
                },
                Column::Values(values) if comes => {
                    *values.entry(value.clone()).or_default() += 1;
                }
                Column::Values(values) => {
                    let n = values.get_mut(value).expect("only a member goes");
                    *n -= 1;
                    if *n == 0 {
                        values.remove(value);
                    }
                }
            }
        }
    }

    /// The group's row; none where an aggregate has no result. `key` are the values of the find
    /// elements that are no aggregates.
    pub(super) fn row(&self, program: &Program, key: impl Fn(usize) -> Output) -> Option<Row> {
        let elements = program.find.iter().zip(&self.columns).zip(0..);
        elements
            .map(|((element, column), place)| match element {
                FindElement::Aggregate { function, n, .. } => {
                    result(*function, *n, column, self.n_members)
                }
                _ => Some(key(place)),
            })
            .collect()
    }
}

fn result(
    function: Aggregate,
    n: Option<usize>,
    column: &Column,
    n_members: u64,
) -> Option<Output> {
    let value = match (function, column) {
        (Aggregate::Count, _) => count(n_members),
        (Aggregate::Sum, Column::Sum { sum, n_others: 0 }) => Value::Number(sum.sum()?),
        (Aggregate::Avg, Column::Sum { sum, n_others: 0 }) => Value::Number(sum.mean()?),
        (_, Column::Values(values)) => return of_values(function, n, values, n_members),
        _ => return None,
    };
    Some(Output::Value(value))
}

fn of_values(
    function: Aggregate,
    n: Option<usize>,
    values: &BTreeMap<Value, u64>,
    n_members: u64,
) -> Option<Output> {
    let repeated = |(value, n): (&Value, &u64)| {
        std::iter::repeat_n(value.clone(), usize::try_from(*n).unwrap_or(usize::MAX))
    };
    let value = match (function, n) {
        (Aggregate::CountDistinct, _) => count(values.len() as u64),
        (Aggregate::Distinct, _) => return Some(Output::List(values.keys().cloned().collect())),
        (Aggregate::Min, None) => values.keys().next()?.clone(),
        (Aggregate::Max, None) => values.keys().next_back()?.clone(),
        (Aggregate::Min, Some(n)) => {
            return Some(Output::List(values.iter().flat_map(repeated).take(n).collect()));
        }
        (Aggregate::Max, Some(n)) => {
            return Some(Output::List(values.iter().rev().flat_map(repeated).take(n).collect()));
        }
        (Aggregate::Median, _) => Value::Number(median(values, n_members)?),
        (Aggregate::Variance, _) => Value::Number(variance(values)?),
        (Aggregate::Stddev, _) => Value::double(variance(values)?.to_f64().sqrt()).ok()?,
        _ => return None,
    };
    Some(Output::Value(value))
}

fn count(n: u64) -> Value {
    Value::int(i64::try_from(n).expect("fewer than 2^63 values fit memory"))
}

/// The variance of all of them, if they are numbers.
fn variance(values: &BTreeMap<Value, u64>) -> Option<Number> {
    let mut spread = Spread::default();
    for (value, n) in values {
        let Value::Number(number) = value else { return None };
        (0..*n).for_each(|_| spread.add(*number));
    }
    spread.variance()
}

fn median(values: &BTreeMap<Value, u64>, n_members: u64) -> Option<Number> {
    if values.keys().any(|value| !matches!(value, Value::Number(_))) {
        return None;
    }
    let at = |position: u64| {
        let mut n_before = 0;
        values.iter().find_map(|(value, n)| {
            n_before += n;
            match value {
                Value::Number(number) if n_before > position => Some(*number),
                _ => None,
            }
        })
    };
    let upper = at(n_members / 2)?;
    if !n_members.is_multiple_of(2) {
        return Some(upper);
    }
    ExactSum::of([at(n_members / 2 - 1)?, upper]).mean()
}
