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

use super::BLOCK;
use crate::answer::Output;
use crate::error::QueryError;
use crate::eval::meter::Meter;
use crate::eval::scratch::Scratch;
use crate::intern::{Cell, CellMap, Ranks};
use crate::sort::sort_by;
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
    pub(crate) fn narrow(self, meter: &Meter) -> Result<Source, QueryError> {
        let Source::Outputs(outputs) = &self else { return Ok(self) };
        let mut cells = Vec::new();
        for (index, output) in outputs.iter().enumerate() {
            meter.check_at(index)?;
            match output {
                Output::Value(value) if let Some(cell) = Cell::inline(value) => cells.push(cell),
                _ => return Ok(self),
            }
        }
        Ok(Source::Cells(cells))
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
    pub(crate) fn of(
        source: &Source,
        scratch: &Scratch<'_>,
        meter: &Meter,
    ) -> Result<Coding, QueryError> {
        match source {
            Source::Cells(cells) => match of_one_kind(cells, scratch, meter)? {
                Some(coding) => Ok(coding),
                None => own_of_cells(cells, scratch, meter),
            },
            Source::Outputs(outputs) => own_of_outputs(outputs, meter),
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
    pub(crate) fn decoding(
        &self,
        n_rows: usize,
        meter: &Meter,
    ) -> Result<Decoding<'_>, QueryError> {
        Ok(match &self.kind {
            Kind::Distance { least } if self.last <= u64::from(u32::MAX) => {
                Decoding::Distances(*least)
            }
            Kind::Distance { .. } => Decoding::Cells,
            Kind::Ranked { least, ranks, .. } => {
                let (base, symbols) = symbols(ranks, *least);
                Decoding::Narrow(base, Cow::Borrowed(symbols))
            }
            Kind::Own { table: Table::Cells(cells), .. }
                if let Some(decoding) = of_table(cells, meter)? =>
            {
                decoding
            }
            // Outputs that rows share are kept once.
            Kind::Own { .. } if self.last < n_rows as u64 => Decoding::Shared,
            Kind::Own { .. } => Decoding::Outputs,
        })
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

/// How the cells of a table become a column of cells; none where only the evaluation knows one.
fn of_table<'t>(table: &[Cell], meter: &Meter) -> Result<Option<Decoding<'t>>, QueryError> {
    let Some((least, greatest)) = extremes(table, meter)? else { return Ok(None) };
    // Their cells are above all others.
    if greatest.as_scratch().is_some() {
        return Ok(None);
    }
    if greatest.0 - least.0 > u64::from(u32::MAX) {
        return Ok(Some(Decoding::Cells));
    }
    let distances = meter.map(table, |cell| (cell.0 - least.0) as u32)?;
    Ok(Some(Decoding::Narrow(least, Cow::Owned(distances))))
}

/// The least and the greatest of some cells.
fn extremes(cells: &[Cell], meter: &Meter) -> Result<Option<(Cell, Cell)>, QueryError> {
    let Some(first) = cells.first() else { return Ok(None) };
    let (mut least, mut greatest) = (*first, *first);
    meter.in_blocks(cells.len(), |block| {
        for cell in &cells[block] {
            least = least.min(*cell);
            greatest = greatest.max(*cell);
        }
    })?;
    Ok(Some((least, greatest)))
}

/// Where all cells are of one kind that cells or ranks order.
fn of_one_kind(
    cells: &[Cell],
    scratch: &Scratch<'_>,
    meter: &Meter,
) -> Result<Option<Coding>, QueryError> {
    let Some(first) = cells.first() else { return Ok(None) };
    // Which bits differ is told faster than which cell is least, and often enough.
    let mut differing = 0;
    meter.in_blocks(cells.len(), |block| {
        differing |= cells[block].iter().fold(0, |bits, cell| bits | (cell.0 ^ first.0));
    })?;
    if Cell(first.0 ^ differing).tag() != first.tag() {
        return Ok(None);
    }
    if differing == 0 && first.as_scratch().is_none() {
        return Ok(Some(Coding { kind: Kind::Distance { least: *first }, last: 0 }));
    }
    if first.to_inline().is_some() {
        let Some((least, greatest)) = extremes(cells, meter)? else { return Ok(None) };
        let last = greatest.0 - least.0;
        return Ok(Some(Coding { kind: Kind::Distance { least }, last }));
    }
    match first.value_type() {
        Some(ValueType::String | ValueType::Ref) => ranks(cells, scratch, meter),
        _ => Ok(None),
    }
}

/// Where all cells, which are of one kind of text, have a rank: the distance from the least.
fn ranks(
    cells: &[Cell],
    scratch: &Scratch<'_>,
    meter: &Meter,
) -> Result<Option<Coding>, QueryError> {
    let Some(ranks) = scratch.ranks_for(cells.len(), meter)? else { return Ok(None) };
    let Some(first) = cells.first() else { return Ok(None) };
    let Some(by_symbol) = ranks.by_symbol(*first) else { return Ok(None) };
    let (mut least, mut greatest) = (u32::MAX, 0);
    let mut codes = Vec::with_capacity(cells.len());
    for block in cells.chunks(BLOCK) {
        for cell in block {
            let (_, symbol) = cell.halves();
            let Some(rank) = by_symbol.get(symbol as usize) else { return Ok(None) };
            least = least.min(*rank);
            greatest = greatest.max(*rank);
            codes.push(*rank);
        }
        meter.check()?;
    }
    for block in codes.chunks_mut(BLOCK) {
        block.iter_mut().for_each(|code| *code -= least);
        meter.check()?;
    }
    let (last, (kind, _)) = (u64::from(greatest - least), first.halves());
    let least = Cell::from_halves(kind, least).0;
    Ok(Some(Coding { kind: Kind::Ranked { codes, least, ranks }, last }))
}

/// Each different cell is compared by value only here.
fn own_of_cells(
    cells: &[Cell],
    scratch: &Scratch<'_>,
    meter: &Meter,
) -> Result<Coding, QueryError> {
    let mut codes_of: CellMap<u32> = CellMap::with_hasher(scratch.cell_hash());
    let mut distinct: Vec<Cell> = Vec::new();
    let mut codes = meter.map(cells, |cell| {
        *codes_of.entry(*cell).or_insert_with(|| {
            distinct.push(*cell);
            distinct.len() as u32 - 1
        })
    })?;
    let values: Vec<Value> = meter.map(&distinct, |cell| scratch.value(*cell))?;
    let mut n_values = 0;
    let order: Vec<(u64, u32)> = meter.map(&values, |value| {
        n_values += 1;
        (prefix(value), n_values - 1)
    })?;
    let value = |index: u32| &values[index as usize];
    let by_value =
        |a: &(u64, u32), b: &(u64, u32)| a.0.cmp(&b.0).then_with(|| value(a.1).cmp(value(b.1)));
    let order = sort_by(order, by_value, || meter.check())?;
    let mut places = vec![0_u32; order.len()];
    meter.in_blocks(order.len(), |block| {
        for (place, (_, index)) in block.clone().zip(&order[block]) {
            places[*index as usize] = place as u32;
        }
    })?;
    for block in codes.chunks_mut(BLOCK) {
        block.iter_mut().for_each(|code| *code = places[*code as usize]);
        meter.check()?;
    }
    let table: Vec<Cell> = meter.map(&order, |(_, index)| distinct[*index as usize])?;
    let last = table.len().saturating_sub(1) as u64;
    Ok(Coding { kind: Kind::Own { codes, table: Table::Cells(table) }, last })
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

fn own_of_outputs(outputs: &[Output], meter: &Meter) -> Result<Coding, QueryError> {
    let output = |row: u32| &outputs[row as usize];
    let order: Vec<u32> = (0..outputs.len() as u32).collect();
    let order = sort_by(order, |a, b| output(*a).cmp(output(*b)), || meter.check())?;
    let (mut codes, mut rows) = (vec![0; outputs.len()], Vec::new());
    for (index, row) in order.into_iter().enumerate() {
        meter.check_at(index)?;
        if rows.last().is_none_or(|last| output(*last) != output(row)) {
            rows.push(row);
        }
        codes[row as usize] = rows.len() as u32 - 1;
    }
    let last = rows.len().saturating_sub(1) as u64;
    Ok(Coding { kind: Kind::Own { codes, table: Table::Rows(rows) }, last })
}
