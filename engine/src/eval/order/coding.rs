//! Codes: small integers that are ordered as the values of a column are.
//!
//! One value has one code, so codes stand for values wherever rows are sorted, compared and told
//! apart. Where the cells of a column are ordered as their values, a code is the distance from the
//! least cell; texts have the ranks that the dictionary gives them; anything else gets codes of its own, and
//! only then are values compared. How codes are packed is left out.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::answer::Output;
use crate::eval::scratch::Scratch;
use crate::intern::{Cell, Ranks};
use crate::value::{Value, ValueType};

/// A column of rows that are not ordered yet.
pub(crate) enum Source {
    /// Cells, those of the evaluation included.
    Cells(Vec<Cell>),
    /// Outputs of aggregates.
    Outputs(Vec<Output>),
}

impl Source {
    fn is_empty(&self) -> bool {
        match self {
            Source::Cells(cells) => cells.is_empty(),
            Source::Outputs(outputs) => outputs.is_empty(),
        }
    }

    /// Cells instead of outputs, where each is a value that needs no table.
    pub(crate) fn narrow(self) -> Source {
        let cell = |output: &Output| match output {
            Output::Value(value) => Cell::inline(value),
            Output::List(_) | Output::Tree(_) => None,
        };
        match &self {
            Source::Outputs(outputs) => {
                outputs.iter().map(cell).collect::<Option<_>>().map_or(self, Source::Cells)
            }
            Source::Cells(_) => self,
        }
    }
}

/// The codes of one column.
pub(crate) struct Coding {
    kind: Kind,
    /// The greatest code.
    last: u64,
}

enum Kind {
    /// Cells that are ordered as their values, if only because they are all the same: the distance
    /// from the least one.
    Distance { least: Cell },
    /// A code for each row: the distance of its text's key from the least one.
    Ranked { codes: Vec<u32>, least: u64, ranks: Arc<Ranks> },
    /// A code for each row, and what it stands for.
    Own { codes: Vec<u32>, table: Table },
}

/// How codes become a column of an answer.
pub(crate) enum Decoding<'c> {
    /// Cells, by their distance from this one, as codes are.
    Distances(Cell),
    /// Cells, by their distance from this one, which the table gives for each code.
    Narrow(Cell, Cow<'c, [u32]>),
    /// Cells.
    Cells,
    /// Outputs by code: what codes stand for is kept once.
    Shared,
    /// An output for each row.
    Outputs,
}

/// What codes stand for, by code.
enum Table {
    /// Cells.
    Cells(Vec<Cell>),
    /// A row that has the code.
    Rows(Vec<u32>),
}

impl Coding {
    pub(crate) fn of(source: &Source, scratch: &Scratch<'_>) -> Coding {
        match source {
            Source::Cells(cells) => {
                of_one_kind(cells, scratch).unwrap_or_else(|| own_of_cells(cells, scratch))
            }
            Source::Outputs(outputs) => own_of_outputs(outputs),
        }
    }

    /// The codes there may be.
    pub(crate) fn all(&self) -> RangeInclusive<u64> {
        0..=self.last
    }

    /// How many bits every code fits.
    pub(crate) fn bits(&self) -> u32 {
        u64::BITS - self.last.leading_zeros()
    }

    /// The greatest code.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The code of one row; `source` is what the coding is of.
    #[inline]
    pub(crate) fn code(&self, source: &Source, row: usize) -> u64 {
        match (&self.kind, source) {
            (Kind::Distance { least }, Source::Cells(cells)) => cells[row].0 - least.0,
            (Kind::Own { codes, .. } | Kind::Ranked { codes, .. }, _) => u64::from(codes[row]),
            (Kind::Distance { .. }, Source::Outputs(_)) => unreachable!("outputs have own codes"),
        }
    }

    /// Gives the codes of some rows, numbered from the first of them.
    #[inline]
    pub(crate) fn for_each(
        &self,
        source: &Source,
        rows: Range<usize>,
        mut visit: impl FnMut(usize, u64),
    ) {
        match (&self.kind, source) {
            (Kind::Distance { least }, Source::Cells(cells)) => {
                for (index, cell) in cells[rows].iter().enumerate() {
                    visit(index, cell.0 - least.0);
                }
            }
            (Kind::Own { codes, .. } | Kind::Ranked { codes, .. }, _) => {
                for (index, code) in codes[rows].iter().enumerate() {
                    visit(index, u64::from(*code));
                }
            }
            (Kind::Distance { .. }, Source::Outputs(_)) => unreachable!("outputs have own codes"),
        }
    }

    /// The integer that code 0 stands for, where codes are distances between integers.
    pub(crate) fn integer_base(&self) -> Option<i64> {
        match &self.kind {
            Kind::Distance { least } => match least.to_inline() {
                Some(Value::Number(number)) => number.as_i64(),
                _ => None,
            },
            Kind::Ranked { .. } | Kind::Own { .. } => None,
        }
    }

    /// How codes become the column of an answer that has so many rows.
    pub(crate) fn decoding(&self, n_rows: usize) -> Decoding<'_> {
        match &self.kind {
            Kind::Distance { least } if self.last <= u64::from(u32::MAX) => {
                Decoding::Distances(*least)
            }
            Kind::Distance { .. } => Decoding::Cells,
            Kind::Ranked { least, ranks, .. } => {
                let (base, symbols) = symbols(ranks, *least);
                Decoding::Narrow(base, Cow::Borrowed(symbols))
            }
            Kind::Own { table: Table::Cells(cells), .. }
                if cells.iter().all(|cell| cell.as_scratch().is_none()) =>
            {
                narrow(cells).unwrap_or(Decoding::Cells)
            }
            // Outputs that rows share are kept once.
            Kind::Own { .. } if self.last < n_rows as u64 => Decoding::Shared,
            Kind::Own { .. } => Decoding::Outputs,
        }
    }

    /// The cell that has a code; the source is of cells.
    #[inline]
    pub(crate) fn cell(&self, code: u64) -> Cell {
        match &self.kind {
            Kind::Distance { least } => Cell(least.0 + code),
            Kind::Ranked { least, ranks, .. } => {
                let (base, symbols) = symbols(ranks, *least);
                Cell(base.0 + u64::from(symbols[code as usize]))
            }
            Kind::Own { table: Table::Cells(cells), .. } => cells[code as usize],
            Kind::Own { table: Table::Rows(_), .. } => unreachable!("outputs have no cells"),
        }
    }

    /// The output that has a code.
    pub(crate) fn output(&self, source: &Source, code: u64, scratch: &Scratch<'_>) -> Output {
        match (&self.kind, source) {
            (Kind::Own { table: Table::Rows(rows), .. }, Source::Outputs(outputs)) => {
                outputs[rows[code as usize] as usize].clone()
            }
            _ => Output::Value(self.value(code, scratch)),
        }
    }

    /// The value that has a code; the source is of cells.
    pub(crate) fn value(&self, code: u64, scratch: &Scratch<'_>) -> Value {
        let cell = self.cell(code);
        cell.to_inline().unwrap_or_else(|| scratch.value(cell))
    }

    /// How many codes there are below those of a value, and whether the value has one.
    pub(crate) fn place(
        &self,
        source: &Source,
        value: &Value,
        scratch: &Scratch<'_>,
    ) -> (u64, bool) {
        if source.is_empty() {
            return (0, false);
        }
        let compare = |code: u64| match self.output(source, code, scratch) {
            Output::Value(found) => found.cmp(value),
            Output::List(_) | Output::Tree(_) => Ordering::Greater,
        };
        let (mut below, mut above) = (0, self.last + 1);
        while below < above {
            let middle = below + (above - below) / 2;
            match compare(middle) {
                Ordering::Less => below = middle + 1,
                Ordering::Equal => return (middle, true),
                Ordering::Greater => above = middle,
            }
        }
        (below, false)
    }
}

/// What the codes of texts stand for, as distances from a cell.
fn symbols(ranks: &Ranks, least: u64) -> (Cell, &[u32]) {
    ranks.symbols_from(least).expect("the least key is that of a text")
}

/// The distances of the cells of a table from the least of them, where they are narrow.
fn narrow(table: &[Cell]) -> Option<Decoding<'_>> {
    let (least, greatest) = (table.iter().min()?, table.iter().max()?);
    let is_narrow = greatest.0 - least.0 <= u64::from(u32::MAX);
    let distance = |cell: &Cell| (cell.0 - least.0) as u32;
    is_narrow.then(|| Decoding::Narrow(*least, table.iter().map(distance).collect()))
}

/// Where all cells are of one kind that cells or ranks order.
fn of_one_kind(cells: &[Cell], scratch: &Scratch<'_>) -> Option<Coding> {
    let (mut least, mut greatest) = (*cells.first()?, *cells.first()?);
    for cell in cells {
        least = least.min(*cell);
        greatest = greatest.max(*cell);
    }
    if least.tag() != greatest.tag() {
        return None;
    }
    let is_one = least == greatest && least.as_scratch().is_none();
    if is_one || least.to_inline().is_some() {
        return Some(Coding { kind: Kind::Distance { least }, last: greatest.0 - least.0 });
    }
    let is_text = matches!(least.value_type()?, ValueType::String | ValueType::Ref);
    is_text.then(|| ranks(cells, scratch)).flatten()
}

/// Where all cells, which are of one kind of text, have a rank: the distance from the least.
fn ranks(cells: &[Cell], scratch: &Scratch<'_>) -> Option<Coding> {
    let ranks = scratch.ranks_for(cells.len())?;
    let first = ranks.key(*cells.first()?)?;
    let (mut least, mut greatest) = (first, first);
    // Keys of cells with one tag differ in the ranks alone.
    let mut codes = Vec::with_capacity(cells.len());
    for cell in cells {
        let key = ranks.key(*cell)?;
        least = least.min(key);
        greatest = greatest.max(key);
        codes.push(key as u32);
    }
    codes.iter_mut().for_each(|code| *code -= least as u32);
    Some(Coding { kind: Kind::Ranked { codes, least, ranks }, last: greatest - least })
}

/// Each different cell is compared by value only here.
fn own_of_cells(cells: &[Cell], scratch: &Scratch<'_>) -> Coding {
    let mut codes_of: FxHashMap<Cell, u32> = FxHashMap::default();
    let mut distinct: Vec<Cell> = Vec::new();
    let mut codes = Vec::with_capacity(cells.len());
    for cell in cells {
        let code = *codes_of.entry(*cell).or_insert_with(|| {
            distinct.push(*cell);
            distinct.len() as u32 - 1
        });
        codes.push(code);
    }
    let values: Vec<Value> = distinct.iter().map(|cell| scratch.value(*cell)).collect();
    let mut order: Vec<(u64, u32)> = values.iter().map(prefix).zip(0..).collect();
    let value = |index: u32| &values[index as usize];
    order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| value(a.1).cmp(value(b.1))));
    let mut places = vec![0_u32; order.len()];
    for (place, (_, index)) in (0..).zip(&order) {
        places[*index as usize] = place;
    }
    for code in &mut codes {
        *code = places[*code as usize];
    }
    let table: Vec<Cell> = order.iter().map(|(_, index)| distinct[*index as usize]).collect();
    let last = table.len().saturating_sub(1) as u64;
    Coding { kind: Kind::Own { codes, table: Table::Cells(table) }, last }
}

/// A word that is ordered as values are, but for values that it cannot tell apart: most are told
/// apart by comparing words, without a look at their texts.
fn prefix(value: &Value) -> u64 {
    const TYPE_BITS: u32 = 3;
    let text = |text: &str| {
        let mut first = [0; 8];
        let n_bytes = text.len().min(8);
        first[..n_bytes].copy_from_slice(&text.as_bytes()[..n_bytes]);
        u64::from_be_bytes(first)
    };
    let (kind, first) = match value {
        Value::Boolean(flag) => (0, u64::from(*flag) << TYPE_BITS),
        Value::Number(number) => (1, number.prefix()),
        Value::Date(date) => (2, (date.ms() as u64) ^ 1 << 63),
        Value::String(string) => (3, text(string)),
        Value::Ref(entity) => (4, text(entity.as_str())),
    };
    kind << (u64::BITS - TYPE_BITS) | first >> TYPE_BITS
}

fn own_of_outputs(outputs: &[Output]) -> Coding {
    let mut order: Vec<u32> = (0..outputs.len() as u32).collect();
    let output = |row: u32| &outputs[row as usize];
    order.sort_unstable_by(|a, b| output(*a).cmp(output(*b)));
    let (mut codes, mut rows) = (vec![0; outputs.len()], Vec::new());
    for row in order {
        if rows.last().is_none_or(|last| output(*last) != output(row)) {
            rows.push(row);
        }
        codes[row as usize] = rows.len() as u32 - 1;
    }
    let last = rows.len().saturating_sub(1) as u64;
    Coding { kind: Kind::Own { codes, table: Table::Rows(rows) }, last }
}
