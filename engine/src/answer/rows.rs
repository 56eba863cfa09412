//! The rows of an answer: columns of cells that become values when they are read.
//!
//! They exist because most of what a large answer costs is making its values: three million rows
//! of two references are 26 MB of symbols, but 320 MB of owned rows. A column is as narrow as its
//! cells allow; lists, trees and values that only the evaluation knew are kept as they are.
//! Invariants: every column has one item for each row; cells are of the dictionary beside them,
//! which only grows, so rows never change while the store is written; no lock is held while a
//! reader's code runs. Rows that follow a live query are slices of such columns (`pieces`). What
//! the rows mean, and how they got their order, is left out.

use std::fmt;
use std::ops::Range;

use super::pieces::Pieces;
use super::{Output, OutputRef, Row, ValueRef};
use crate::intern::{Cell, Dictionary};
use crate::value::Value;

/// Rows of an answer, in its order. A clone is a pointer.
///
/// ```
/// use tercet_engine::answer::{AnswerRows, Output, ValueRef};
/// use tercet_engine::value::Value;
///
/// let row = |name: &str, age| vec![Output::Value(name.into()), Output::Value(Value::int(age))];
/// let rows = AnswerRows::from(vec![row("Ann", 30), row("Bob", 20)]);
/// let ages: Vec<i64> = rows.iter().filter_map(|row| row.value(1)?.as_i64()).collect();
/// assert_eq!(ages, [30, 20]);
/// assert_eq!(rows.first().and_then(|row| row.value(0)), Some(ValueRef::String("Ann")));
/// assert_eq!(rows, [row("Ann", 30), row("Bob", 20)]);
/// ```
#[derive(Clone, Default)]
pub struct AnswerRows(Pieces);

/// Columns of one length.
#[derive(Default)]
pub(crate) struct Columns {
    pub(crate) n_rows: usize,
    pub(crate) columns: Vec<Column>,
    /// What the cells are of.
    pub(crate) dictionary: Dictionary,
}

/// The outputs of one find element.
pub(crate) enum Column {
    /// Cells `base + code`.
    Narrow { base: Cell, codes: Vec<u32> },
    /// Any cells of the dictionary.
    Cells(Vec<Cell>),
    /// Outputs that rows share, by position.
    Coded { outputs: Vec<Output>, codes: Vec<u32> },
    /// An output for each row.
    Outputs(Vec<Output>),
}

/// What a column holds for one row.
enum Item<'a> {
    Cell(Cell),
    Output(&'a Output),
}

impl Column {
    #[inline]
    fn item(&self, index: usize) -> Item<'_> {
        match self {
            Column::Narrow { base, codes } => Item::Cell(Cell(base.0 + u64::from(codes[index]))),
            Column::Cells(cells) => Item::Cell(cells[index]),
            Column::Coded { outputs, codes } => Item::Output(&outputs[codes[index] as usize]),
            Column::Outputs(outputs) => Item::Output(&outputs[index]),
        }
    }
}

impl Columns {
    #[inline]
    fn output(&self, column: usize, index: usize) -> OutputRef<'_> {
        match self.columns[column].item(index) {
            Item::Cell(cell) => OutputRef::Value(self.value(cell)),
            Item::Output(output) => OutputRef::from(output),
        }
    }

    #[inline]
    fn value(&self, cell: Cell) -> ValueRef<'_> {
        if cell.is_ref() {
            return ValueRef::Ref(self.dictionary.read().entity(cell).as_str());
        }
        match cell.to_inline() {
            Some(Value::Boolean(flag)) => ValueRef::Boolean(flag),
            Some(Value::Number(number)) => ValueRef::Number(number),
            Some(Value::Date(date)) => ValueRef::Date(date),
            _ => self.symbol(cell),
        }
    }

    /// The value of a cell that is a symbol of the dictionary and refers to no entity.
    fn symbol(&self, cell: Cell) -> ValueRef<'_> {
        let reader = self.dictionary.read();
        if let Some(text) = reader.string(cell) {
            return ValueRef::String(text);
        }
        match reader.value(cell) {
            Value::Number(number) => ValueRef::Number(number),
            value => unreachable!("{value} is inline or a text"),
        }
    }

    fn to_output(&self, column: usize, index: usize) -> Output {
        match self.columns[column].item(index) {
            Item::Cell(cell) => {
                Output::Value(cell.to_inline().unwrap_or_else(|| self.dictionary.value(cell)))
            }
            Item::Output(output) => output.clone(),
        }
    }

    /// Whether two rows hold the same outputs; cells of one dictionary are compared as they are.
    fn is_equal(&self, index: usize, other: &Columns, other_index: usize) -> bool {
        let is_one_dictionary = self.dictionary.is_same(&other.dictionary);
        self.columns.len() == other.columns.len()
            && (0..self.columns.len()).all(|column| {
                let items =
                    (self.columns[column].item(index), other.columns[column].item(other_index));
                match items {
                    (Item::Cell(a), Item::Cell(b)) if is_one_dictionary => a == b,
                    _ => self.output(column, index) == other.output(column, other_index),
                }
            })
    }
}

impl AnswerRows {
    pub(crate) fn new(columns: Columns) -> AnswerRows {
        AnswerRows(Pieces::from(columns))
    }

    #[cfg(test)]
    pub(super) fn from_pieces(pieces: Pieces) -> AnswerRows {
        AnswerRows(pieces)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.n_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at this position.
    #[inline]
    pub fn get(&self, index: usize) -> Option<RowRef<'_>> {
        self.0.find(index).map(|(slice, index)| slice.row(index))
    }

    /// The first row.
    pub fn first(&self) -> Option<RowRef<'_>> {
        self.get(0)
    }

    /// The rows in their order.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        let mut iter = Iter { pieces: &self.0, front: None, middle: 0..self.len(), back: None };
        iter.start();
        iter
    }

    /// How many rows pass, of rows of which the first pass and the others do not.
    pub(crate) fn partition_point(&self, passes: impl FnMut(RowRef<'_>) -> bool) -> usize {
        self.0.partition_point(passes)
    }

    /// The rows with another one at a position; all others are shared.
    pub(crate) fn with(&self, index: usize, row: Row) -> AnswerRows {
        let first = self.0.find(0);
        let dictionary = first.map(|(slice, _)| slice.columns.dictionary.clone());
        let dictionary = dictionary.unwrap_or_default();
        let columns = row.into_iter().map(|output| Column::Outputs(vec![output])).collect();
        AnswerRows(self.0.with(index, Columns { n_rows: 1, columns, dictionary }))
    }

    /// The rows without the one at a position; all others are shared.
    pub(crate) fn without(&self, index: usize) -> AnswerRows {
        AnswerRows(self.0.without(index))
    }

    /// All rows as data of their own.
    pub fn to_vec(&self) -> Vec<Row> {
        self.iter().map(RowRef::to_row).collect()
    }
}

/// A row of an answer.
#[derive(Clone, Copy)]
pub struct RowRef<'a> {
    pub(super) columns: &'a Columns,
    pub(super) index: usize,
}

impl<'a> RowRef<'a> {
    /// How many outputs it has: one for each find element.
    #[expect(clippy::len_without_is_empty, reason = "a row has at least one output")]
    #[inline]
    pub fn len(self) -> usize {
        self.columns.columns.len()
    }

    /// The output of a find element.
    #[inline]
    pub fn get(self, element: usize) -> Option<OutputRef<'a>> {
        (element < self.len()).then(|| self.columns.output(element, self.index))
    }

    /// The value of a find element; none for lists and trees.
    #[inline]
    pub fn value(self, element: usize) -> Option<ValueRef<'a>> {
        self.get(element)?.as_value()
    }

    /// The output of a find element as data of its own; its text is shared, not copied.
    pub fn to_output(self, element: usize) -> Option<Output> {
        (element < self.len()).then(|| self.columns.to_output(element, self.index))
    }

    /// The outputs in order of the find elements.
    #[inline]
    pub fn iter(self) -> impl ExactSizeIterator<Item = OutputRef<'a>> {
        (0..self.len()).map(move |element| self.columns.output(element, self.index))
    }

    /// The row as data of its own; texts are shared, not copied.
    pub fn to_row(self) -> Row {
        (0..self.len()).map(|element| self.columns.to_output(element, self.index)).collect()
    }
}

impl PartialEq for RowRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.columns.is_equal(self.index, other.columns, other.index)
    }
}

impl Eq for RowRef<'_> {}

impl PartialEq<[Output]> for RowRef<'_> {
    fn eq(&self, other: &[Output]) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(output, other)| output == *other)
    }
}

impl fmt::Debug for RowRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The rows of an answer, one after the other.
#[derive(Clone)]
pub struct Iter<'a> {
    pieces: &'a Pieces,
    /// What is left of the slice that the next row is of.
    front: Option<Run<'a>>,
    /// Positions between the two slices.
    middle: Range<usize>,
    /// What is left of the slice that the last row is of.
    back: Option<Run<'a>>,
}

/// Rows of one slice.
#[derive(Clone)]
struct Run<'a> {
    columns: &'a Columns,
    range: Range<usize>,
}

impl<'a> Run<'a> {
    #[inline]
    fn row(&self, index: usize) -> RowRef<'a> {
        RowRef { columns: self.columns, index }
    }

    #[inline]
    fn nth(&mut self, n: usize) -> Option<RowRef<'a>> {
        self.range.nth(n).map(|index| self.row(index))
    }

    #[inline]
    fn next_back(&mut self) -> Option<RowRef<'a>> {
        self.range.next_back().map(|index| self.row(index))
    }

    fn n_left(run: Option<&Run<'a>>) -> usize {
        run.map_or(0, |run| run.range.len())
    }
}

impl<'a> Iter<'a> {
    /// Begins with the next slice; whether there is one.
    fn start(&mut self) -> bool {
        let Some(first) = self.middle.clone().next() else { return false };
        let Some((slice, index)) = self.pieces.find(first) else { return false };
        let n_rows = (slice.n_rows - index).min(self.middle.len());
        let start = slice.start + index;
        self.front = Some(Run { columns: &slice.columns, range: start..start + n_rows });
        self.middle.start += n_rows;
        true
    }

    /// The same from the end.
    fn start_back(&mut self) -> bool {
        let Some(last) = self.middle.clone().next_back() else { return false };
        let Some((slice, index)) = self.pieces.find(last) else { return false };
        let n_rows = (index + 1).min(self.middle.len());
        let end = slice.start + index + 1;
        self.back = Some(Run { columns: &slice.columns, range: end - n_rows..end });
        self.middle.end -= n_rows;
        true
    }

    /// The row at a place beyond the slice that was begun.
    #[cold]
    fn jump(&mut self, n: usize) -> Option<RowRef<'a>> {
        let n = n - Run::n_left(self.front.as_ref());
        self.front = None;
        if n < self.middle.len() {
            self.middle.start += n;
            self.start();
            return self.front.as_mut()?.nth(0);
        }
        let n = n - self.middle.len();
        self.middle.start = self.middle.end;
        self.back.as_mut()?.nth(n)
    }

    #[cold]
    fn jump_back(&mut self) -> Option<RowRef<'a>> {
        match self.start_back() {
            true => self.back.as_mut()?.next_back(),
            false => self.front.as_mut()?.next_back(),
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = RowRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RowRef<'a>> {
        let next = self.front.as_mut().and_then(|front| front.nth(0));
        if next.is_some() { next } else { self.jump(0) }
    }

    #[inline]
    fn nth(&mut self, n: usize) -> Option<RowRef<'a>> {
        match &mut self.front {
            Some(front) if n < front.range.len() => front.nth(n),
            _ => self.jump(n),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n_ends = Run::n_left(self.front.as_ref()) + Run::n_left(self.back.as_ref());
        (n_ends + self.middle.len(), Some(n_ends + self.middle.len()))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let next = self.back.as_mut().and_then(Run::next_back);
        if next.is_some() { next } else { self.jump_back() }
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a AnswerRows {
    type Item = RowRef<'a>;
    type IntoIter = Iter<'a>;

    #[inline]
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Rows that were made elsewhere, in their order.
///
/// # Panics
/// When they are not of one width.
impl From<Vec<Row>> for AnswerRows {
    fn from(rows: Vec<Row>) -> AnswerRows {
        let (n_rows, width) = (rows.len(), rows.first().map_or(0, Vec::len));
        let mut columns: Vec<Vec<Output>> =
            (0..width).map(|_| Vec::with_capacity(n_rows)).collect();
        for row in rows {
            assert_eq!(row.len(), width, "rows of an answer are of one width");
            for (column, output) in columns.iter_mut().zip(row) {
                column.push(output);
            }
        }
        let columns = columns.into_iter().map(Column::Outputs).collect();
        AnswerRows::new(Columns { n_rows, columns, dictionary: Dictionary::default() })
    }
}

impl FromIterator<Row> for AnswerRows {
    fn from_iter<Rows: IntoIterator<Item = Row>>(rows: Rows) -> AnswerRows {
        AnswerRows::from(rows.into_iter().collect::<Vec<Row>>())
    }
}

impl PartialEq for AnswerRows {
    fn eq(&self, other: &AnswerRows) -> bool {
        self.0.is_same(&other.0)
            || self.len() == other.len() && self.iter().zip(other).all(|(a, b)| a == b)
    }
}

impl Eq for AnswerRows {}

impl<Other: AsRef<[Output]>> PartialEq<[Other]> for AnswerRows {
    fn eq(&self, other: &[Other]) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(a, b)| a == *b.as_ref())
    }
}

impl<Other: AsRef<[Output]>> PartialEq<Vec<Other>> for AnswerRows {
    fn eq(&self, other: &Vec<Other>) -> bool {
        *self == **other
    }
}

impl<Other: AsRef<[Output]>, const N: usize> PartialEq<[Other; N]> for AnswerRows {
    fn eq(&self, other: &[Other; N]) -> bool {
        *self == other[..]
    }
}

impl PartialEq<AnswerRows> for Vec<Row> {
    fn eq(&self, other: &AnswerRows) -> bool {
        other == self
    }
}

impl fmt::Debug for AnswerRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::answer::Tree;

    fn texts(dictionary: &Dictionary, texts: &[&str]) -> Column {
        let cell = |text: &&str| dictionary.intern(&Value::from(*text));
        Column::Cells(texts.iter().map(cell).collect())
    }

    fn rows(dictionary: &Dictionary, columns: Vec<Column>, n_rows: usize) -> AnswerRows {
        AnswerRows::new(Columns { n_rows, columns, dictionary: dictionary.clone() })
    }

    #[test]
    fn rows_go_to_other_threads() {
        fn check<Rows: Clone + Send + Sync + 'static>() {}
        check::<AnswerRows>();
    }

    /// Guards against a lock that is held while a reader's code runs, and against cells that mean
    /// something else once the dictionary has grown.
    #[test]
    fn a_reader_may_write_what_it_reads() {
        let dictionary = Dictionary::default();
        let rows = rows(&dictionary, vec![texts(&dictionary, &["a", "b", "a"])], 3);
        let before = rows.to_vec();
        let mut n_new = 0;
        for row in &rows {
            let ValueRef::String(text) = row.value(0).unwrap() else { panic!("{row:?}") };
            for _ in 0..1_000 {
                dictionary.intern(&Value::from(format!("{text}{n_new}")));
                n_new += 1;
            }
            assert_eq!(row.value(0), Some(ValueRef::String(text)));
        }
        assert_eq!(rows.to_vec(), before);
    }

    #[test]
    fn rows_are_equal_by_value_however_they_are_kept() {
        let dictionary = Dictionary::default();
        let first = rows(&dictionary, vec![texts(&dictionary, &["a", "b"])], 2);
        let other = Dictionary::default();
        other.intern(&Value::from("b"));
        let elsewhere = rows(&other, vec![texts(&other, &["a", "b"])], 2);
        let output = |text: &str| Output::Value(Value::from(text));
        let coded = Column::Coded { outputs: vec![output("b"), output("a")], codes: vec![1, 0] };
        let coded = rows(&dictionary, vec![coded], 2);
        let owned = AnswerRows::from(vec![vec![output("a")], vec![output("b")]]);
        for rows in [&elsewhere, &coded, &owned] {
            assert_eq!(&first, rows);
            assert_eq!(rows.to_vec(), first.to_vec());
        }
        assert_ne!(first, rows(&dictionary, vec![texts(&dictionary, &["b", "a"])], 2));
        assert_ne!(first, rows(&dictionary, vec![texts(&dictionary, &["a"])], 1));
        assert_eq!(AnswerRows::default(), rows(&dictionary, vec![texts(&dictionary, &[])], 0));
    }

    #[test]
    fn every_kind_of_value_is_read_as_it_is() {
        let dictionary = Dictionary::default();
        let values = [
            Value::from(true),
            Value::int(-7),
            Value::int(i64::MAX),
            Value::double(0.5).unwrap(),
            Value::from(crate::value::Date::from_ms(5).unwrap()),
            Value::from("text"),
            Value::reference("id").unwrap(),
        ];
        let cells = values.iter().map(|value| dictionary.intern(value)).collect();
        let outputs = vec![
            Output::Tree(Tree::default()),
            Output::List(vec![Value::int(1)]),
            Output::Value(Value::int(2)),
        ];
        let n_rows = values.len();
        let codes = (0..n_rows as u32).map(|row| row % 3).collect();
        let columns = vec![Column::Cells(cells), Column::Coded { outputs: outputs.clone(), codes }];
        let rows = rows(&dictionary, columns, n_rows);
        for (index, (row, value)) in rows.iter().zip(&values).enumerate() {
            let expected = [Output::Value(value.clone()), outputs[index % 3].clone()];
            assert_eq!(row, expected[..]);
            assert_eq!(row.to_row(), expected);
            assert_eq!(row.to_output(1), Some(expected[1].clone()));
            assert_eq!(row.value(0).unwrap().to_value(), *value);
            assert_eq!(row.value(0).unwrap().to_string(), value.to_string());
            assert_eq!((row.get(2), row.value(1).is_some()), (None, index % 3 == 2));
        }
        assert_eq!(rows.iter().nth(2), rows.get(2));
        assert_eq!(rows.get(n_rows), None);
    }
}
