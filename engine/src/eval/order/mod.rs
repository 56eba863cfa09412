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
pub(super) use keys::sort_distinct;
use keys::{Key, Least, sort};

use super::meter::{self, Meter};
use super::scratch::Scratch;
use crate::answer::{Column, Output};
use crate::error::QueryError;
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
    pub(super) fn keep(&self, rows: &[u32]) -> Found {
        let source = |source: &Source| match source {
            Source::Cells(cells) => {
                Source::Cells(rows.iter().map(|row| cells[*row as usize]).collect())
            }
            Source::Outputs(outputs) => {
                Source::Outputs(rows.iter().map(|row| outputs[*row as usize].clone()).collect())
            }
        };
        Found {
            n_rows: rows.len(),
            sources: self.sources.iter().map(source).collect(),
            elements: self.elements.clone(),
        }
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
    pub(super) fn is_distinct(&self) -> bool {
        self.sources.iter().any(|source| match source {
            Source::Cells(cells) => cells.is_sorted_by(|a, b| a < b),
            Source::Outputs(_) => false,
        })
    }

    /// The rows whose columns come after some values in the order of these columns.
    pub(super) fn after(&self, by: &[(By, &Value)], scratch: &Scratch<'_>) -> Vec<u32> {
        let bounds: Vec<Bound<'_>> = by
            .iter()
            .map(|(by, value)| Bound::new(&self.sources[by.source], *by, value, scratch))
            .collect();
        let is_after = |row: &u32| {
            let mut orders = bounds.iter().map(|bound| bound.compare(*row as usize));
            orders.find(|order| order.is_ne()) == Some(Ordering::Greater)
        };
        (0..self.n_rows as u32).filter(is_after).collect()
    }

    /// The rows in the order of all their columns, each once.
    pub(super) fn order(
        self,
        by: &[By],
        scratch: &Scratch<'_>,
        meter: &Meter,
    ) -> Result<Ordered, QueryError> {
        let codings = self.codings(scratch);
        let (keyed, bits) = keyed(by, &self.sources, |source| &codings[source]);
        let rows = if bits <= u64::BITS {
            Packed::Narrow(sort_distinct(pack(self.n_rows, &keyed, meter)?, bits, meter)?)
        } else if bits <= u128::BITS {
            Packed::Wide(sort_distinct(pack(self.n_rows, &keyed, meter)?, bits, meter)?)
        } else {
            let mut rows = sort_rows(self.n_rows, &keyed, meter)?;
            rows.dedup_by(|a, b| compare(&keyed, *a, *b).is_eq());
            Packed::Rows(rows)
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
        let codings = self.codings(scratch);
        let (keyed, bits) = keyed(by, &self.sources, |source| &codings[source]);
        let row_bits = usize::BITS - self.n_rows.leading_zeros();
        let (rows, starts) = if bits + row_bits <= u64::BITS {
            let mut keys: Vec<u64> = pack(self.n_rows, &keyed, meter)?;
            for (row, key) in (0..).zip(&mut keys) {
                *key = key.push(row, row_bits);
            }
            let keys = sort(keys, row_bits, bits, meter)?;
            let starts = starts(keys.len(), |a, b| keys[a] >> row_bits == keys[b] >> row_bits);
            (keys.into_iter().map(|key| key.code(0, row_bits) as u32).collect(), starts)
        } else {
            let rows = sort_rows(self.n_rows, &keyed, meter)?;
            let is_same = |a: usize, b: usize| compare(&keyed, rows[a], rows[b]).is_eq();
            let starts = starts(rows.len(), is_same);
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
        let codings: BTreeMap<usize, Coding> = by[..n_keys]
            .iter()
            .map(|by| (by.source, Coding::of(&self.sources[by.source], scratch)))
            .collect();
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
            let rows = (0..).zip(&words).filter(|(_, word)| **word <= bound);
            let rows: Vec<u32> = rows.map(|(row, _)| row).collect();
            let ordered = self.keep(&rows).order(by, scratch, meter)?;
            // Rows may have been found more than once.
            if ordered.len() >= n || rows.len() == self.n_rows {
                return Ok(ordered);
            }
            n_candidates = n_candidates.saturating_mul(4);
        }
    }

    fn codings(&self, scratch: &Scratch<'_>) -> Vec<Coding> {
        self.sources.iter().map(|source| Coding::of(source, scratch)).collect()
    }
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
    fn new(source: &'f Source, by: By, value: &Value, scratch: &Scratch<'_>) -> Bound<'f> {
        let coding = Coding::of(source, scratch);
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
    let mut rows: Vec<u32> = (0..n_rows as u32).collect();
    for block in rows.chunks_mut(BLOCK) {
        meter.check()?;
        block.sort_by(|a, b| compare(keyed, *a, *b));
    }
    // Sorted runs are merged in pairs, so that limits are looked at on the way.
    let mut run = BLOCK;
    while run < n_rows {
        let mut merged = Vec::with_capacity(n_rows);
        for pair in rows.chunks(2 * run) {
            let (mut left, mut right) = pair.split_at(run.min(pair.len()));
            while let (Some(a), Some(b)) = (left.first(), right.first()) {
                let side = if compare(keyed, *a, *b).is_le() { &mut left } else { &mut right };
                merged.push(side[0]);
                *side = &side[1..];
                meter.check_at(merged.len())?;
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        rows = merged;
        run *= 2;
    }
    Ok(rows)
}

/// Where runs of the same begin.
fn starts(n: usize, is_same: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    (0..n).filter(|index| *index == 0 || !is_same(index - 1, *index)).collect()
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
    pub(super) fn starts(&self, first: &[By]) -> Vec<usize> {
        let Some(last) = first.last() else { return starts(self.len(), |_, _| true) };
        let shift = self.places[last.source].shift;
        match &self.rows {
            // Without bits behind, a shift of a whole word would not be one.
            Packed::Narrow(keys) if shift < u64::BITS => {
                starts(keys.len(), |a, b| keys[a] >> shift == keys[b] >> shift)
            }
            Packed::Wide(keys) if shift < u128::BITS => {
                starts(keys.len(), |a, b| keys[a] >> shift == keys[b] >> shift)
            }
            _ => starts(self.len(), |a, b| {
                first.iter().all(|by| self.code(a, by.source) == self.code(b, by.source))
            }),
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
    ) -> Column {
        let source = self.source_of(element);
        let (coding, found) = (self.coding(source), &self.found.sources[source]);
        let output = |code| coding.output(found, code, scratch);
        match coding.decoding(rows.len()) {
            Decoding::Distances(base) => {
                Column::Narrow { base, codes: self.gather(rows, source, |code| code as u32) }
            }
            Decoding::Narrow(base, distances) => {
                let codes = self.gather(rows, source, |code| distances[code as usize]);
                Column::Narrow { base, codes }
            }
            Decoding::Cells => Column::Cells(self.gather(rows, source, |code| coding.cell(code))),
            Decoding::Shared => Column::Coded {
                outputs: coding.all().map(output).collect(),
                codes: self.gather(rows, source, |code| code as u32),
            },
            Decoding::Outputs => Column::Outputs(self.gather(rows, source, output)),
        }
    }

    /// What is made of the codes that rows have in a column.
    fn gather<Item>(
        &self,
        rows: Range<usize>,
        source: usize,
        mut make: impl FnMut(u64) -> Item,
    ) -> Vec<Item> {
        let mut items = Vec::with_capacity(rows.len());
        self.for_each_code(rows, source, |code| items.push(make(code)));
        items
    }
}

#[cfg(test)]
mod tests;
