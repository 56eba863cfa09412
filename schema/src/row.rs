//! Typed rows: the answer of a query as values, tuples or structs of a program.
//!
//! A query's columns are known when it runs, a struct's fields when it compiles. They are matched
//! once for an answer ([`FromRow::bind`]), then every row is read by position. A mismatch is an
//! error that names the column, the field and both types; nothing is read as something near it.
//! `#[derive(FromRow)]` matches the fields of a struct by name, tuples are matched by position.

use std::sync::Arc;

use tercet_engine::answer::{Answer, AnswerRows, OutputRef, RowRef, Tree};
use tercet_engine::value::Value;

use crate::entity::Scalar;

/// Why an answer cannot be read as rows of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A field has no column.
    #[error(
        "no column of the answer is called {}; it has {}; \
         name it with :keys, or the field's column with #[row(column = \"…\")]",
        name_of(.field, .owner), .columns.join(", ")
    )]
    Column {
        /// The field, or the column that its `#[row(column = …)]` asks for.
        field: String,
        /// The struct.
        owner: &'static str,
        /// The columns of the answer.
        columns: Vec<String>,
    },
    /// A value or tuple has another number of columns than the answer.
    #[error("the answer has {n_found} columns, {}, and is read as {n_expected}", .columns.join(", "))]
    Length {
        /// How many the type has.
        n_expected: usize,
        /// How many the answer has.
        n_found: usize,
        /// The columns of the answer.
        columns: Vec<String>,
    },
    /// An output is not of the type that it is read as.
    #[error("row {row}, column {column}: {found} is no {expected}{}", field_text(.field))]
    Type {
        /// Which row, from 0.
        row: usize,
        /// Which column.
        column: String,
        /// The Rust type.
        expected: &'static str,
        /// What is there.
        found: String,
        /// The field and its struct, if it was read for one.
        field: Option<(&'static str, &'static str)>,
    },
}

fn name_of(field: &str, owner: &str) -> String {
    format!("`{field}`, as a field of {owner} is")
}

fn field_text(field: &Option<(&'static str, &'static str)>) -> String {
    match field {
        Some((field, owner)) => format!(" (field `{field}` of {owner})"),
        None => String::new(),
    }
}

impl RowError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            RowError::Column { .. } => "row_column",
            RowError::Length { .. } => "row_length",
            RowError::Type { .. } => "row_type",
        }
    }
}

/// A Rust type that is one output of a row: a [`Scalar`], any [`Value`], a list of scalars (what
/// an aggregate such as `(min 3 ?x)` gives), or the [`Tree`] of a pull.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not one column of a row",
    note = "columns are `String`, `bool`, integers, `f64`, `Number`, `Date`, `EntityId`, `Ref<T>`, enums with `#[derive(Union)]`, `Value`, `Vec` of those, and `Tree`"
)]
pub trait FromOutput: Sized {
    /// Reads an output; `None` where it does not fit.
    fn from_output(output: OutputRef<'_>) -> Option<Self>;
}

impl<T: Scalar> FromOutput for T {
    fn from_output(output: OutputRef<'_>) -> Option<T> {
        T::from_value_ref(output.as_value()?)
    }
}

impl FromOutput for Value {
    fn from_output(output: OutputRef<'_>) -> Option<Value> {
        Some(output.as_value()?.to_value())
    }
}

impl<T: Scalar> FromOutput for Vec<T> {
    fn from_output(output: OutputRef<'_>) -> Option<Vec<T>> {
        match output {
            OutputRef::List(values) => values.iter().map(T::from_value).collect(),
            OutputRef::Value(_) | OutputRef::Tree(_) => None,
        }
    }
}

impl FromOutput for Tree {
    fn from_output(output: OutputRef<'_>) -> Option<Tree> {
        match output {
            OutputRef::Tree(tree) => Some(tree.clone()),
            OutputRef::Value(_) | OutputRef::List(_) => None,
        }
    }
}

/// A Rust type that is a row of an answer: one [`FromOutput`], a tuple of up to 8 by position, or a
/// struct with `#[derive(FromRow)]` by the names of its fields.
///
/// A field is the column of its name, with or without the `?` of a variable; `-` in the column is
/// `_` in the field. `#[row(column = "(count ?post)")]` on a field names the column otherwise,
/// `#[row(crate = "path")]` on the struct says where `tercet_schema` is found. Columns that no
/// field is for are left unread.
///
/// ```
/// use tercet_schema::FromRow;
///
/// #[derive(Debug, PartialEq, FromRow)]
/// struct Author {
///     name: String, // ?name
///     #[row(column = "(count ?post)")]
///     n_posts: u64,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a row of an answer",
    note = "rows are structs with `#[derive(FromRow)]`, tuples, and what can be one column"
)]
pub trait FromRow: Sized {
    /// The positions of the columns that it reads, in its own order.
    ///
    /// # Errors
    /// When a column is missing, or their number is another.
    fn bind(columns: &[Arc<str>]) -> Result<Vec<usize>, RowError>;

    /// Reads a row; `bound` is what [`FromRow::bind`] gave for its columns.
    ///
    /// # Errors
    /// When an output is not of the type it is read as.
    fn from_row(cells: Cells<'_>) -> Result<Self, RowError>;
}

/// A row that is being read.
#[derive(Clone, Copy)]
pub struct Cells<'a> {
    row: RowRef<'a>,
    index: usize,
    bound: &'a [usize],
    columns: &'a [Arc<str>],
}

impl Cells<'_> {
    /// Reads the output at one of the bound positions; `field` is the field it is for.
    ///
    /// # Errors
    /// When it is not of the type.
    pub fn read<T: FromOutput>(
        self,
        position: usize,
        field: Option<(&'static str, &'static str)>,
    ) -> Result<T, RowError> {
        let element = self.bound[position];
        let output = self.row.get(element).expect("it was bound to this answer's columns");
        T::from_output(output).ok_or_else(|| RowError::Type {
            row: self.index,
            column: self.columns[element].to_string(),
            expected: std::any::type_name::<T>(),
            found: described(output),
            field,
        })
    }
}

/// An output with its type, shortened.
fn described(output: OutputRef<'_>) -> String {
    match output {
        OutputRef::Value(value) => {
            let value = value.to_value();
            let (name, text) = (value.value_type().name(), value.to_string());
            let shown: String = text.chars().take(64).collect();
            format!("the {name} {shown}")
        }
        OutputRef::List(_) => "a list".to_owned(),
        OutputRef::Tree(_) => "a pulled tree".to_owned(),
    }
}

impl<T: FromOutput> FromRow for T {
    fn bind(columns: &[Arc<str>]) -> Result<Vec<usize>, RowError> {
        by_position(columns, 1)
    }

    fn from_row(cells: Cells<'_>) -> Result<T, RowError> {
        cells.read(0, None)
    }
}

macro_rules! tuples {
    ($($n:literal: $($type:ident $position:literal),+;)*) => {$(
        impl<$($type: FromOutput),+> FromRow for ($($type,)+) {
            fn bind(columns: &[Arc<str>]) -> Result<Vec<usize>, RowError> {
                by_position(columns, $n)
            }

            fn from_row(cells: Cells<'_>) -> Result<Self, RowError> {
                Ok(($(cells.read::<$type>($position, None)?,)+))
            }
        }
    )*};
}

tuples! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
}

fn by_position(columns: &[Arc<str>], n_expected: usize) -> Result<Vec<usize>, RowError> {
    let n_found = columns.len();
    match n_found == n_expected {
        true => Ok((0..n_found).collect()),
        false => Err(RowError::Length { n_expected, n_found, columns: texts(columns) }),
    }
}

/// The column of a field, for derived code.
#[doc(hidden)]
pub fn by_name(columns: &[Arc<str>], field: &str, owner: &'static str) -> Result<usize, RowError> {
    let exact = columns.iter().position(|column| **column == *field);
    let named = || columns.iter().position(|column| plain(column) == field);
    exact.or_else(named).ok_or_else(|| RowError::Column {
        field: field.to_owned(),
        owner,
        columns: texts(columns),
    })
}

/// A column's name as a field's.
fn plain(column: &str) -> String {
    column.strip_prefix('?').unwrap_or(column).replace('-', "_")
}

fn texts(columns: &[Arc<str>]) -> Vec<String> {
    columns.iter().map(|column| format!("`{column}`")).collect()
}

/// Reads all rows of an answer.
///
/// # Errors
/// When the columns do not fit the type, or an output of a row does not.
pub fn read_rows<T: FromRow>(answer: &Answer) -> Result<Vec<T>, RowError> {
    let bound = T::bind(&answer.columns)?;
    let rows: &AnswerRows = &answer.rows;
    rows.iter()
        .enumerate()
        .map(|(index, row)| {
            T::from_row(Cells { row, index, bound: &bound, columns: &answer.columns })
        })
        .collect()
}
