//! What a query gives: rows of outputs, plain data that can be compared, ordered and sent.

mod pieces;
mod rows;
mod value_ref;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use rows::{AnswerRows, RowRef};
pub(crate) use rows::{Column, Columns};
pub use value_ref::{OutputRef, ValueRef};

use crate::program::raw::FindForm;
use crate::value::Value;

/// One cell of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// A value.
    Value(Value),
    /// The result of an aggregate that gives several, e.g. `(min 3 ?x)`.
    List(Vec<Value>),
    /// The result of a pull.
    Tree(Tree),
}

/// The result of a pull: keys in order of their text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tree(pub BTreeMap<Arc<str>, Branch>);

/// What stands behind a key of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Branch {
    /// One value.
    Value(Value),
    /// Values of a field written by `add`, or a reverse reference.
    List(Vec<Branch>),
    /// A nested pull.
    Tree(Tree),
}

/// A row of a result, one output for each find element.
pub type Row = Vec<Output>;

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The name of each find element: its `:keys` name, or its text.
    pub columns: Arc<[Arc<str>]>,
    /// The form asked for. The rows are the same whatever it is: a tuple or scalar is the first
    /// row, a collection the first column.
    pub form: FindForm,
    /// Rows in the query's order and then by the whole row, pulled trees included. No two are the
    /// same, but for entities that are pulled to equal trees.
    pub rows: AnswerRows,
    /// How often a function had no result (overflow, wrong type), which made its row absent.
    pub n_without_result: u64,
    /// What the evaluation touched.
    pub work: Work,
}

/// What an evaluation did. Counts, not times: they are the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Facts read from indexes.
    pub n_facts_read: u64,
    /// Rows made by any step.
    pub n_rows_made: u64,
    /// Rounds of all fixpoints.
    pub n_rounds: u64,
}
