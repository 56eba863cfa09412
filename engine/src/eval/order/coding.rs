//! Codes: small integers that are ordered as the values of a column are.
//!
//! One value has one code, so codes stand for values wherever rows are sorted, compared and told
//! apart. Where the cells of a column are ordered as their values, a code is the distance from the
//! least cell; texts have the ranks of the dictionary; anything else gets codes of its own, and
//! only then are values compared. How codes are packed is left out.

use std::cmp::Ordering;
use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::answer::{Column, Output};
use crate::eval::scratch::Scratch;
use crate::intern::Cell;
use crate::value::Value;

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
    /// Cells that are ordered as their values: the distance from the least one.
    Distance { least: Cell },
    /// Codes of this column alone: for each row, and for each code a row that has it.
    Own { codes: Vec<u32>, rows: Vec<u32> },
}

impl Coding {
    pub(crate) fn of(source: &Source, scratch: &Scratch<'_>) -> Coding {
        match source {
            Source::Cells(cells) => {
                distances(cells).unwrap_or_else(|| own_of_cells(cells, scratch))
            }
            Source::Outputs(outputs) => own_of_outputs(outputs),
        }
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
            (Kind::Own { codes, .. }, _) => u64::from(codes[row]),
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
            (Kind::Own { codes, .. }, _) => {
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
            Kind::Own { .. } => None,
        }
    }

    /// Codes as a column of an answer.
    pub(crate) fn column(&self, source: &Source, codes: Vec<u64>, scratch: &Scratch<'_>) -> Column {
        let narrow = |codes: &[u64]| codes.iter().map(|code| *code as u32).collect();
        match (&self.kind, source) {
            (Kind::Distance { least }, _) if self.last <= u64::from(u32::MAX) => {
                Column::Narrow { base: *least, codes: narrow(&codes) }
            }
            (Kind::Distance { least }, _) => {
                Column::Cells(codes.into_iter().map(|code| Cell(least.0 + code)).collect())
            }
            (Kind::Own { rows, .. }, Source::Cells(cells))
                if rows.iter().all(|row| cells[*row as usize].as_scratch().is_none()) =>
            {
                Column::of_cells(codes.into_iter().map(|code| self.cell(source, code)).collect())
            }
            // Outputs that rows share are kept once.
            (Kind::Own { rows, .. }, _) if rows.len() <= codes.len() => {
                let outputs = 0..rows.len() as u64;
                let outputs = outputs.map(|code| self.output(source, code, scratch)).collect();
                Column::Coded { outputs, codes: narrow(&codes) }
            }
            (Kind::Own { .. }, _) => {
                let outputs = codes.into_iter();
                Column::Outputs(outputs.map(|code| self.output(source, code, scratch)).collect())
            }
        }
    }

    /// The cell that has a code; the source is of cells.
    pub(crate) fn cell(&self, source: &Source, code: u64) -> Cell {
        match (&self.kind, source) {
            (Kind::Distance { least }, _) => Cell(least.0 + code),
            (Kind::Own { rows, .. }, Source::Cells(cells)) => cells[rows[code as usize] as usize],
            (_, Source::Outputs(_)) => unreachable!("outputs have no cells"),
        }
    }

    /// The output that has a code.
    pub(crate) fn output(&self, source: &Source, code: u64, scratch: &Scratch<'_>) -> Output {
        match (&self.kind, source) {
            (Kind::Own { rows, .. }, Source::Outputs(outputs)) => {
                outputs[rows[code as usize] as usize].clone()
            }
            _ => Output::Value(self.value(source, code, scratch)),
        }
    }

    /// The value that has a code; the source is of cells.
    pub(crate) fn value(&self, source: &Source, code: u64, scratch: &Scratch<'_>) -> Value {
        let cell = self.cell(source, code);
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

/// Where all cells are inline and of one kind.
fn distances(cells: &[Cell]) -> Option<Coding> {
    let (mut least, mut greatest) = (*cells.first()?, *cells.first()?);
    for cell in cells {
        least = least.min(*cell);
        greatest = greatest.max(*cell);
    }
    let is_ordered = least.tag() == greatest.tag() && least.to_inline().is_some();
    is_ordered.then(|| Coding { kind: Kind::Distance { least }, last: greatest.0 - least.0 })
}

/// Each different cell is compared by value only here.
fn own_of_cells(cells: &[Cell], scratch: &Scratch<'_>) -> Coding {
    let mut codes_of: FxHashMap<Cell, u32> = FxHashMap::default();
    let mut values: Vec<(Value, u32)> = Vec::new();
    let mut codes = Vec::with_capacity(cells.len());
    for (row, cell) in (0_u32..).zip(cells) {
        let code = *codes_of.entry(*cell).or_insert_with(|| {
            values.push((scratch.value(*cell), row));
            values.len() as u32 - 1
        });
        codes.push(code);
    }
    let mut order: Vec<(u64, u32)> =
        values.iter().map(|(value, _)| prefix(value)).zip(0..).collect();
    let value = |index: u32| &values[index as usize].0;
    order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| value(a.1).cmp(value(b.1))));
    let mut places = vec![0_u32; order.len()];
    for (place, (_, index)) in (0..).zip(&order) {
        places[*index as usize] = place;
    }
    for code in &mut codes {
        *code = places[*code as usize];
    }
    let rows: Vec<u32> = order.iter().map(|(_, index)| values[*index as usize].1).collect();
    let last = rows.len().saturating_sub(1) as u64;
    Coding { kind: Kind::Own { codes, rows }, last }
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
    Coding { kind: Kind::Own { codes, rows }, last }
}
