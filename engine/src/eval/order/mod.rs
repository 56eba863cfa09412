//! The order of an answer: rows with codes for values, sorted as integers, each once.
//!
//! It exists because sorting rows by their values is what large answers would spend most of their
//! time on. [`Found`] are rows in any order, duplicates allowed; [`Ordered`] are the same rows in
//! the order of some of their columns, each once. Where all codes of a row fit a word, the words
//! are all that is moved, and rows are read back out of them; only rows wider than 128 bits are
//! sorted by reference. What the columns mean is left out.

mod coding;
mod keys;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use coding::Decoding;
pub(super) use coding::{Coding, Source};
use keys::{Key, Least};
pub(super) use keys::{sort, sort_distinct};

use super::meter::{self, Meter};
use super::scratch::Scratch;
use crate::answer::{Column, Output};
use crate::error::QueryError;
use crate::sort::sort_by;
use crate::value::Value;

/// Rows packed between two looks at the limits.
const BLOCK: usize = meter::BLOCK as usize;

/// Rows as columns, in any order.
pub(super) struct Found {
    pub(super) n_rows: usize,
    /// Columns without a second copy of one.
    pub(super) sources: Vec<Source>,
    /// For each find element its column.
    pub(super) elements: Vec<usize>,
}

/// A column to order by.
#[derive(Debug, Clone, Copy)]
pub(super) struct By {
    pub(super) source: usize,
    pub(super) descending: bool,
}

/// Where the code of a column stands in a word.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    shift: u32,
    bits: u32,
    /// The greatest code, where codes are taken from it so that they descend.
    from: Option<u64>,
}

impl Place {
    fn turn(self, code: u64) -> u64 {
        self.from.map_or(code, |last| last - code)
    }
}

/// Rows in an order.
pub(super) struct Ordered {
    found: Found,
    /// By column.
    codings: Vec<Coding>,
    places: Vec<Place>,
    rows: Packed,
}

enum Packed {
    Narrow(Vec<u64>),
    Wide(Vec<u128>),
    /// Positions in what was found.
    Rows(Vec<u32>),
}

impl Found {
    /// These rows alone.
    pub(super) fn keep(&self, rows: &[u32], meter: &Meter) -> Result<Found, QueryError> {
        let source = |source: &Source| match source {
            Source::Cells(cells) => meter.map(rows, |row| cells[*row as usize]).map(Source::Cells),
            Source::Outputs(outputs) => {
                meter.map(rows, |row| outputs[*row as usize].clone()).map(Source::Outputs)
            }
        };
        let sources = self.sources.iter().map(source).collect::<Result<_, _>>()?;
        Ok(Found { n_rows: rows.len(), sources, elements: self.elements.clone() })
    }

    /// The output of a find element.
    pub(super) fn output(&self, element: usize, row: usize, scratch: &Scratch<'_>) -> Output {
        match &self.sources[self.elements[element]] {
            Source::Cells(cells) => Output::Value(scratch.value(cells[row])),
            Source::Outputs(outputs) => outputs[row].clone(),
        }
    }

    /// Whether one of the columns shows that no two rows are the same. Rows that come out of an
    /// index mostly ascend in what it is by.
    pub(super) fn is_distinct(&self, meter: &Meter) -> Result<bool, QueryError> {
        for source in &self.sources {
            if let Source::Cells(cells) = source
                && ascends(cells, meter)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The rows whose columns come after some values in the order of these columns.
    pub(super) fn after(
        &self,
        by: &[(By, &Value)],
        scratch: &Scratch<'_>,
        meter: &Meter,
    ) -> Result<Vec<u32>, QueryError> {
        let bounds = by.iter().map(|(by, value)| {
            let source = &self.sources[by.source];
            let coding = Coding::of(source, scratch, meter)?;
            Ok(Bound::new(source, *by, value, coding, scratch))
        });
        let bounds: Vec<Bound<'_>> = bounds.collect::<Result<_, _>>()?;
        let is_after = |row: &usize| {
            let mut orders = bounds.iter().map(|bound| bound.compare(*row));
            orders.find(|order| order.is_ne()) == Some(Ordering::Greater)
        };
        let mut rows = Vec::new();
        meter.in_blocks(self.n_rows, |block| {
            rows.extend(block.filter(is_after).map(|row| row as u32));
        })?;
        Ok(rows)
    }

    /// The rows in the order of all their columns, each once.
    pub(super) fn order(
        self,
        by: &[By],
        scratch: &Scratch<'_>,
        meter: &Meter,
    ) -> Result<Ordered, QueryError> {
        let codings = self.codings(scratch, meter)?;
        let (keyed, bits) = keyed(by, &self.sources, |source| &codings[source]);
        let rows = if bits <= u64::BITS {
            Packed::Narrow(sort_distinct(pack(self.n_rows, &keyed, meter)?, bits, meter)?)
        } else if bits <= u128::BITS {
            Packed::Wide(sort_distinct(pack(self.n_rows, &keyed, meter)?, bits, meter)?)
        } else {
            let rows = sort_rows(self.n_rows, &keyed, meter)?;
            Packed::Rows(distinct_rows(&rows, &keyed, meter)?)
        };
        let places = places(&keyed, by, self.sources.len());
        Ok(Ordered { found: self, codings, places, rows })
    }

    /// The rows, of which no two are the same, in the order of some columns, and where each run of
    /// rows begins that are the same in them.
    pub(super) fn group(
        self,
        by: &[By],
        scratch: &Scratch<'_>,
        meter: &Meter,
    ) -> Result<(Ordered, Vec<usize>), QueryError> {
        let codings = self.codings(scratch, meter)?;
        let (keyed, bits) = keyed(by, &self.sources, |source| &codings[source]);
        let row_bits = usize::BITS - self.n_rows.leading_zeros();
        let (rows, starts) = if bits + row_bits <= u64::BITS {
            let mut keys: Vec<u64> = pack(self.n_rows, &keyed, meter)?;
            meter.in_blocks(self.n_rows, |block| {
                for row in block {
                    keys[row] = keys[row].push(row as u64, row_bits);
                }
            })?;
            let keys = sort(keys, row_bits, bits, meter)?;
            let is_same = |a: usize, b: usize| keys[a] >> row_bits == keys[b] >> row_bits;
            let starts = starts(keys.len(), is_same, meter)?;
            (meter.map(&keys, |key| key.code(0, row_bits) as u32)?, starts)
        } else {
            let rows = sort_rows(self.n_rows, &keyed, meter)?;
            let is_same = |a: usize, b: usize| compare(&keyed, rows[a], rows[b]).is_eq();
            let starts = starts(rows.len(), is_same, meter)?;
            (rows, starts)
        };
        let places = vec![Place::default(); self.sources.len()];
        Ok((Ordered { found: self, codings, places, rows: Packed::Rows(rows) }, starts))
    }

    /// The first `n` rows, and perhaps some after them, in the order of all their columns; each row
    /// once. Only what may be among the first by the first `n_keys` columns is ordered by all.
    pub(super) fn first(
        self,
        n: usize,
        by: &[By],
        n_keys: usize,
        scratch: &Scratch<'_>,
        meter: &Meter,
    ) -> Result<Ordered, QueryError> {
        let mut codings: BTreeMap<usize, Coding> = BTreeMap::new();
        for By { source, .. } in &by[..n_keys] {
            codings.insert(*source, Coding::of(&self.sources[*source], scratch, meter)?);
        }
        let (keyed, bits) = keyed(&by[..n_keys], &self.sources, |source| &codings[&source]);
        if bits > u64::BITS {
            return self.order(by, scratch, meter);
        }
        let words: Vec<u64> = pack(self.n_rows, &keyed, meter)?;
        let mut n_candidates = n.max(1);
        loop {
            let mut least = Least::new(n_candidates);
            for block in words.chunks(BLOCK) {
                meter.check()?;
                block.iter().for_each(|word| least.push(*word));
            }
            let Some(bound) = least.bound() else { return self.order(by, scratch, meter) };
            let mut rows: Vec<u32> = Vec::new();
            meter.in_blocks(words.len(), |block| {
                rows.extend(block.filter(|row| words[*row] <= bound).map(|row| row as u32));
            })?;
            let ordered = self.keep(&rows, meter)?.order(by, scratch, meter)?;
            // Rows may have been found more than once.
            if ordered.len() >= n || rows.len() == self.n_rows {
                return Ok(ordered);
            }
            n_candidates = n_candidates.saturating_mul(4);
        }
    }

    fn codings(&self, scratch: &Scratch<'_>, meter: &Meter) -> Result<Vec<Coding>, QueryError> {
        self.sources.iter().map(|source| Coding::of(source, scratch, meter)).collect()
    }
}

/// Whether each of some cells or words is above the one before.
fn ascends<Item: Ord>(cells: &[Item], meter: &Meter) -> Result<bool, QueryError> {
    // Blocks overlap by a cell, so that each is compared with the one before.
    for start in (0..cells.len()).step_by(BLOCK) {
        let end = cells.len().min(start + BLOCK + 1);
        if !cells[start..end].is_sorted_by(|a, b| a < b) {
            return Ok(false);
        }
        meter.check()?;
    }
    Ok(true)
}

/// A value that rows are compared with in one column.
struct Bound<'f> {
    source: &'f Source,
    coding: Coding,
    /// How many codes are below those of the value.
    n_below: u64,
    /// Whether the value has a code.
    is_there: bool,
    descending: bool,
}

impl<'f> Bound<'f> {
    /// `coding` is that of the source.
    fn new(
        source: &'f Source,
        by: By,
        value: &Value,
        coding: Coding,
        scratch: &Scratch<'_>,
    ) -> Bound<'f> {
        let (n_below, is_there) = coding.place(source, value, scratch);
        Bound { source, coding, n_below, is_there, descending: by.descending }
    }

    fn compare(&self, row: usize) -> Ordering {
        let order = match self.coding.code(self.source, row).cmp(&self.n_below) {
            Ordering::Equal if !self.is_there => Ordering::Greater,
            order => order,
        };
        if self.descending { order.reverse() } else { order }
    }
}

/// A column that rows are ordered by.
struct Keyed<'f> {
    source: &'f Source,
    coding: &'f Coding,
    place: Place,
}

impl Keyed<'_> {
    fn code(&self, row: u32) -> u64 {
        self.place.turn(self.coding.code(self.source, row as usize))
    }
}

/// The columns with the places of their codes in a word, and how many bits they take.
fn keyed<'f>(
    by: &[By],
    sources: &'f [Source],
    coding: impl Fn(usize) -> &'f Coding,
) -> (Vec<Keyed<'f>>, u32) {
    let mut shift = 0;
    let mut keyed = Vec::with_capacity(by.len());
    for by in by.iter().rev() {
        let coding = coding(by.source);
        let from = by.descending.then_some(coding.last());
        let place = Place { shift, bits: coding.bits(), from };
        keyed.push(Keyed { source: &sources[by.source], coding, place });
        shift += coding.bits();
    }
    keyed.reverse();
    (keyed, shift)
}

/// The places of the codes by column.
fn places(keyed: &[Keyed<'_>], by: &[By], n_sources: usize) -> Vec<Place> {
    let mut places = vec![Place::default(); n_sources];
    for (by, keyed) in by.iter().zip(keyed) {
        places[by.source] = keyed.place;
    }
    places
}

fn pack<Word: Key>(
    n_rows: usize,
    keyed: &[Keyed<'_>],
    meter: &Meter,
) -> Result<Vec<Word>, QueryError> {
    // Sorting takes as much again.
    meter.room_for((n_rows * 2 * size_of::<Word>()) as u64)?;
    let mut keys = vec![Word::EMPTY; n_rows];
    for start in (0..n_rows).step_by(BLOCK) {
        let block = start..n_rows.min(start + BLOCK);
        let words = &mut keys[block.clone()];
        for Keyed { source, coding, place } in keyed {
            coding.for_each(source, block.clone(), |index, code| {
                words[index] = words[index].push(place.turn(code), place.bits);
            });
        }
        meter.check()?;
    }
    Ok(keys)
}

fn compare(keyed: &[Keyed<'_>], a: u32, b: u32) -> Ordering {
    let orders = keyed.iter().map(|keyed| keyed.code(a).cmp(&keyed.code(b)));
    orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Positions of rows too wide for a word.
fn sort_rows(n_rows: usize, keyed: &[Keyed<'_>], meter: &Meter) -> Result<Vec<u32>, QueryError> {
    let rows: Vec<u32> = (0..n_rows as u32).collect();
    sort_by(rows, |a, b| compare(keyed, *a, *b), || meter.check())
}

/// The rows of sorted ones, each once.
fn distinct_rows(rows: &[u32], keyed: &[Keyed<'_>], meter: &Meter) -> Result<Vec<u32>, QueryError> {
    let is_same = |a: usize, b: usize| compare(keyed, rows[a], rows[b]).is_eq();
    let starts = starts(rows.len(), is_same, meter)?;
    meter.map(&starts, |start| rows[*start])
}

/// Where runs of the same begin.
fn starts(
    n: usize,
    is_same: impl Fn(usize, usize) -> bool,
    meter: &Meter,
) -> Result<Vec<usize>, QueryError> {
    let mut starts = Vec::new();
    meter.in_blocks(n, |block| {
        starts.extend(block.filter(|index| *index == 0 || !is_same(index - 1, *index)));
    })?;
    Ok(starts)
}

impl Ordered {
    pub(super) fn len(&self) -> usize {
        match &self.rows {
            Packed::Narrow(keys) => keys.len(),
            Packed::Wide(keys) => keys.len(),
            Packed::Rows(rows) => rows.len(),
        }
    }

    /// Bytes of the words.
    pub(super) fn n_bytes(&self) -> u64 {
        let word = match &self.rows {
            Packed::Narrow(_) => size_of::<u64>(),
            Packed::Wide(_) => size_of::<u128>(),
            Packed::Rows(_) => size_of::<u32>(),
        };
        (self.len() * word) as u64
    }

    /// Where runs of rows begin that are the same in the first columns of the order.
    pub(super) fn starts(&self, first: &[By], meter: &Meter) -> Result<Vec<usize>, QueryError> {
        let Some(last) = first.last() else { return starts(self.len(), |_, _| true, meter) };
        let shift = self.places[last.source].shift;
        match &self.rows {
            // Without bits behind, a shift of a whole word would not be one.
            Packed::Narrow(keys) if shift < u64::BITS => {
                starts(keys.len(), |a, b| keys[a] >> shift == keys[b] >> shift, meter)
            }
            Packed::Wide(keys) if shift < u128::BITS => {
                starts(keys.len(), |a, b| keys[a] >> shift == keys[b] >> shift, meter)
            }
            _ => {
                let is_same = |a, b| {
                    first.iter().all(|by| self.code(a, by.source) == self.code(b, by.source))
                };
                starts(self.len(), is_same, meter)
            }
        }
    }

    /// The code that a row has in a column.
    pub(super) fn code(&self, row: usize, source: usize) -> u64 {
        let mut found = 0;
        self.for_each_code(row..row + 1, source, |code| found = code);
        found
    }

    /// Gives the codes that rows have in a column.
    pub(super) fn for_each_code(
        &self,
        rows: Range<usize>,
        source: usize,
        mut visit: impl FnMut(u64),
    ) {
        let place = self.places[source];
        let Place { shift, bits, .. } = place;
        match &self.rows {
            Packed::Narrow(keys) => {
                keys[rows].iter().for_each(|key| visit(place.turn(key.code(shift, bits))));
            }
            Packed::Wide(keys) => {
                keys[rows].iter().for_each(|key| visit(place.turn(key.code(shift, bits))));
            }
            Packed::Rows(found) => {
                let (coding, source) = (&self.codings[source], &self.found.sources[source]);
                found[rows].iter().for_each(|row| visit(coding.code(source, *row as usize)));
            }
        }
    }

    /// The column of a find element.
    pub(super) fn source_of(&self, element: usize) -> usize {
        self.found.elements[element]
    }

    /// The codes of a column.
    pub(super) fn coding(&self, source: usize) -> &Coding {
        &self.codings[source]
    }

    /// The output that a row has for a find element.
    pub(super) fn output(&self, row: usize, element: usize, scratch: &Scratch<'_>) -> Output {
        let source = self.source_of(element);
        let (coding, found) = (self.coding(source), &self.found.sources[source]);
        coding.output(found, self.code(row, source), scratch)
    }

    /// Some of the rows as a column of the answer.
    pub(super) fn column(
        &self,
        rows: Range<usize>,
        element: usize,
        scratch: &Scratch<'_>,
        meter: &Meter,
    ) -> Result<Column, QueryError> {
        let source = self.source_of(element);
        let (coding, found) = (self.coding(source), &self.found.sources[source]);
        let output = |code| coding.output(found, code, scratch);
        Ok(match coding.decoding(rows.len(), meter)? {
            Decoding::Distances(base) => {
                let codes = self.gather(rows, source, |code| code as u32, meter)?;
                Column::Narrow { base, codes }
            }
            Decoding::Narrow(base, distances) => {
                let codes = self.gather(rows, source, |code| distances[code as usize], meter)?;
                Column::Narrow { base, codes }
            }
            Decoding::Cells => {
                Column::Cells(self.gather(rows, source, |code| coding.cell(code), meter)?)
            }
            Decoding::Shared => {
                let mut outputs = Vec::new();
                for (index, code) in coding.all().enumerate() {
                    outputs.push(output(code));
                    meter.check_at(index)?;
                }
                let codes = self.gather(rows, source, |code| code as u32, meter)?;
                Column::Coded { outputs, codes }
            }
            Decoding::Outputs => Column::Outputs(self.gather(rows, source, output, meter)?),
        })
    }

    /// What is made of the codes that rows have in a column.
    fn gather<Item>(
        &self,
        rows: Range<usize>,
        source: usize,
        mut make: impl FnMut(u64) -> Item,
        meter: &Meter,
    ) -> Result<Vec<Item>, QueryError> {
        let mut items = Vec::with_capacity(rows.len());
        meter.in_blocks_of(rows, |rows| {
            self.for_each_code(rows, source, |code| items.push(make(code)));
        })?;
        Ok(items)
    }
}

#[cfg(test)]
mod tests;
