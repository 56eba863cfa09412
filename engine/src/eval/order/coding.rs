//! Codes: small integers that are ordered as the values of a column are.
//!
//! One value has one code, so codes stand for values wherever rows are sorted, compared and told
//! apart. Where the cells of a column are ordered as their values, a code is the distance from the
//! least cell; texts have the ranks that the dictionary gives them; anything else gets codes of its own, and
//! only then are values compared. How codes are packed is left out.

use std::cmp::Ordering;
use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::answer::{Column, Output};
use crate::eval::scratch::Scratch;
use crate::intern::Cell;
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
    /// Cells that are ordered as their values: the distance from the least one.
    Distance { least: Cell },
    /// A code for each row, and what it stands for.
    Own { codes: Vec<u32>, table: Table },
}

/// What codes stand for, by code.
enum Table {
    /// Cells; [`NO_CELL`] where no row has the code.
    Cells(Vec<Cell>),
    /// A row that has the code.
    Rows(Vec<u32>),
}

/// No value has this cell.
const NO_CELL: Cell = Cell::MIN;

/// The most places of a table for each row: where ranks lie further apart, the column gets codes
/// of its own.
const SPARSE_MAX: usize = 16;

impl Coding {
    pub(crate) fn of(source: &Source, scratch: &Scratch<'_>) -> Coding {
        match source {
            Source::Cells(cells) => distances(cells)
                .or_else(|| ranks(cells, scratch))
                .unwrap_or_else(|| own_of_cells(cells, scratch)),
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
            (Kind::Own { table: Table::Cells(cells), .. }, _)
                if cells.iter().all(|cell| cell.as_scratch().is_none()) =>
            {
                Column::of_cells(codes.into_iter().map(|code| cells[code as usize]).collect())
            }
            // Outputs that rows share are kept once.
            (Kind::Own { .. }, _) if self.last < codes.len() as u64 => {
                let outputs = 0..=self.last;
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
    #[inline]
    pub(crate) fn cell(&self, code: u64) -> Cell {
        match &self.kind {
            Kind::Distance { least } => Cell(least.0 + code),
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
        if let Kind::Own { table: Table::Cells(cells), .. } = &self.kind {
            let used: Vec<u64> =
                (0..=self.last).filter(|code| cells[*code as usize] != NO_CELL).collect();
            let place = used.partition_point(|code| compare(*code).is_lt());
            let code = used.get(place).copied();
            return (code.unwrap_or(self.last + 1), code.is_some_and(|code| compare(code).is_eq()));
        }
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

/// Where all cells are strings, or references, that have a rank: the distance from the least.
fn ranks(cells: &[Cell], scratch: &Scratch<'_>) -> Option<Coding> {
    let tag = cells.first()?.tag();
    let is_text = matches!(cells[0].value_type()?, ValueType::String | ValueType::Ref);
    if !is_text || cells.len() < 2 || cells.iter().any(|cell| cell.tag() != tag) {
        return None;
    }
    let ranks = scratch.ranks_for(cells.len())?;
    // Keys of cells with one tag differ in the ranks alone.
    let codes: Option<Vec<u32>> =
        cells.iter().map(|cell| ranks.key(*cell).map(|key| key as u32)).collect();
    let mut codes = codes?;
    let (least, greatest) = (*codes.iter().min()?, *codes.iter().max()?);
    let n_places = (greatest - least) as usize + 1;
    if n_places > SPARSE_MAX * cells.len() {
        return None;
    }
    let mut table = vec![NO_CELL; n_places];
    for (code, cell) in codes.iter_mut().zip(cells) {
        *code -= least;
        table[*code as usize] = *cell;
    }
    let last = u64::from(greatest - least);
    Some(Coding { kind: Kind::Own { codes, table: Table::Cells(table) }, last })
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
