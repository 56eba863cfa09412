//! Access paths: the facts of one attribute that fit each row of a batch.
//!
//! Rows are taken in the order of their keys and a cursor walks the attribute beside them: where
//! the keys of a batch ascend (a star around one entity does by itself) a join is a merge, and
//! where they do not they are sorted first, by radix, because cells are words. A batch of few rows
//! is looked up row by row. Rows with equal keys share what the first of them found. Nothing here
//! calls anything per fact but the cursor; work is told to the meter in blocks.

use std::ops::ControlFlow;

use super::Evaluator;
use super::batch::Matches;
use super::meter::{BLOCK, Meter};
use super::rows::CELL_BYTES;
use super::steps::{Emit, Operand};
use crate::error::QueryError;
use crate::intern::Cell;
use crate::limits;
use crate::sort::sort_by;
use crate::store::{AttributeId, Order, Snapshot};

/// Batches up to this size are looked up row by row.
const FEW_ROWS: usize = 3;

/// Going through so many facts takes about as long as seeking one.
const FACTS_A_SEEK: u64 = 8;

/// More facts of one key are not taken one by one.
const SMALL_GROUP: usize = 8;

/// Keys up to this number are sorted by comparison.
const FEW_KEYS: usize = 256;

/// Tells a meter in blocks what a step does.
#[derive(Default)]
pub(super) struct Pace {
    n_facts: u64,
    n_rows_told: usize,
}

impl Pace {
    /// Takes note of facts read.
    #[inline]
    pub(super) fn read(
        &mut self,
        n_facts: u64,
        out: &Matches,
        meter: &mut Meter,
    ) -> Result<(), QueryError> {
        self.n_facts += n_facts;
        if self.n_facts < BLOCK && out.from.len() - self.n_rows_told < BLOCK as usize {
            return Ok(());
        }
        self.tell(out, meter)
    }

    /// Tells the meter what it has not heard yet.
    pub(super) fn tell(&mut self, out: &Matches, meter: &mut Meter) -> Result<(), QueryError> {
        meter.room_for(out.n_bytes())?;
        meter.read_facts(std::mem::take(&mut self.n_facts))?;
        let n_rows = out.from.len() - std::mem::replace(&mut self.n_rows_told, out.from.len());
        meter.made_rows(n_rows as u64)
    }
}

/// What a walk beside the keys has not told the meter yet. A failure is kept until the walk has
/// ended, so that what goes from fact to fact is no more than whether to go on.
struct Unpaid<'p> {
    /// Facts read that the pace has not heard of.
    n_facts: u64,
    pace: &'p mut Pace,
    meter: &'p mut Meter,
    failure: Result<(), QueryError>,
}

impl Unpaid<'_> {
    /// To be called after the `n`th row that facts have been compared with, because one may fit
    /// all rows there are: pays for each block of them. Whether to go on.
    #[inline]
    fn compared(&mut self, n: usize, out: &Matches) -> bool {
        !n.is_multiple_of(limits::BLOCK) || self.pay(out)
    }

    /// Pays, and looks at the limits; whether to go on.
    #[inline(never)]
    fn pay(&mut self, out: &Matches) -> bool {
        let n_facts = std::mem::take(&mut self.n_facts);
        let told = self.pace.tell(out, self.meter);
        let told = told.and_then(|()| self.meter.read_facts(n_facts));
        self.failure = told.and_then(|()| self.meter.check());
        self.failure.is_ok()
    }
}

/// Which of the facts with a row's key are wanted: each of them, whether there is any, or the one
/// with this second cell.
#[derive(Clone, Copy)]
enum Wanted<'r> {
    Each,
    Any,
    This(Operand<'r>),
}

impl Evaluator<'_> {
    /// Continues each row by the facts of an attribute that fit what is known of entity and value,
    /// once where the rest is blank. Matches may come in any order of rows.
    pub(super) fn facts(
        &mut self,
        id: AttributeId,
        entity: Operand<'_>,
        value: Operand<'_>,
        n_rows: usize,
    ) -> Result<Matches, QueryError> {
        let emit = Emit::new(&[entity, value]);
        let mut out = emit.matches();
        let wanted = |operand| match operand {
            Operand::Free(_) => Wanted::Each,
            Operand::Blank => Wanted::Any,
            Operand::Cell(_) | Operand::Column(_) => Wanted::This(operand),
        };
        let mut walk =
            Walk { snapshot: self.snapshot, meter: &mut self.meter, id, pace: Pace::default() };
        match (entity, value) {
            (Operand::Column(keys), _) => {
                walk.by_keys(Order::ByEntity, keys, wanted(value), &mut out)?;
            }
            (Operand::Cell(key), _) => {
                walk.by_key(Order::ByEntity, key, wanted(value), n_rows, &mut out)?;
            }
            (_, Operand::Column(keys)) => {
                walk.by_keys(Order::ByValue, keys, wanted(entity), &mut out)?;
            }
            (_, Operand::Cell(key)) => {
                walk.by_key(Order::ByValue, key, wanted(entity), n_rows, &mut out)?;
            }
            _ => {
                let facts = walk.scan(entity, value, &emit)?;
                if n_rows == 1 {
                    out = facts;
                } else {
                    walk.each_row(n_rows, facts.from.len(), &facts.cells, &mut out)?;
                }
            }
        }
        walk.pace.tell(&out, &mut self.meter)?;
        Ok(out)
    }
}

/// A step's way through the facts of one attribute.
struct Walk<'w, 's> {
    snapshot: &'s Snapshot,
    meter: &'w mut Meter,
    id: AttributeId,
    pace: Pace,
}

impl Walk<'_, '_> {
    /// For a key that is the same for all rows.
    fn by_key(
        &mut self,
        order: Order,
        key: Cell,
        wanted: Wanted<'_>,
        n_rows: usize,
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        let mut column = Vec::new();
        match wanted {
            Wanted::This(Operand::Column(seconds)) => {
                for (row, second) in seconds.iter().enumerate() {
                    if self.contains(order, key, *second) {
                        out.from.push(row as u32);
                    }
                    self.pace.read(1, out, self.meter)?;
                }
                return Ok(());
            }
            Wanted::This(second) => {
                let second = second.known(0).expect("a constant is known in every row");
                self.pace.read(1, out, self.meter)?;
                if !self.contains(order, key, second) {
                    return Ok(());
                }
            }
            Wanted::Any => {
                if !self.seconds(order, key, |_| ControlFlow::Break(())).is_break() {
                    return Ok(());
                }
                self.pace.read(1, out, self.meter)?;
            }
            Wanted::Each => {
                self.collect(order, key, &mut column)?;
                return self.each_row(n_rows, column.len(), &[column], out);
            }
        }
        out.from.extend(0..n_rows as u32);
        Ok(())
    }

    /// For a key of each row.
    fn by_keys(
        &mut self,
        order: Order,
        keys: &[Cell],
        wanted: Wanted<'_>,
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        match wanted {
            Wanted::This(second) => self.check(order, keys, second, out),
            Wanted::Each if keys.len() <= FEW_ROWS => {
                let mut found = Vec::new();
                for (row, key) in keys.iter().enumerate() {
                    found.clear();
                    self.collect(order, *key, &mut found)?;
                    out.from.extend(std::iter::repeat_n(row as u32, found.len()));
                    out.cells[0].append(&mut found);
                    self.pace.read(0, out, self.meter)?;
                }
                Ok(())
            }
            Wanted::Any if keys.len() <= FEW_ROWS => {
                for (row, key) in keys.iter().enumerate() {
                    if self.seconds(order, *key, |_| ControlFlow::Break(())).is_break() {
                        out.from.push(row as u32);
                    }
                    self.pace.read(1, out, self.meter)?;
                }
                Ok(())
            }
            Wanted::Each => self.merge_each(order, keys, out),
            Wanted::Any => self.merge_any(order, keys, out),
        }
    }

    /// Walks beside the keys, for all facts of each.
    fn merge_each(
        &mut self,
        order: Order,
        keys: &[Cell],
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        let rows = rows_by_key(keys, self.meter)?;
        if self.is_dense(order, keys, &rows) {
            return self.stream_each(order, keys, &rows, out);
        }
        let mut cursor = self.snapshot.cursor(self.id, order);
        // What the key before has found: rows with the same key share it.
        let mut last: Option<(Cell, usize)> = None;
        for row in rows {
            let key = keys[row as usize];
            if let Some((last, begin)) = last
                && last == key
            {
                let end = out.from.len();
                let n_found =
                    out.from[begin..].iter().take_while(|other| **other == out.from[begin]);
                let end = end.min(begin + n_found.count());
                for begin in (begin..end).step_by(limits::BLOCK) {
                    let end = end.min(begin + limits::BLOCK);
                    out.from.extend(std::iter::repeat_n(row, end - begin));
                    out.cells[0].extend_from_within(begin..end);
                    self.pace.read(0, out, self.meter)?;
                }
                self.pace.read(1, out, self.meter)?;
                continue;
            }
            last = Some((key, out.from.len()));
            cursor.seek_first(key);
            let begin = out.from.len();
            while let Some((first, second)) = cursor.current()
                && first == key
            {
                if out.from.len() - begin == SMALL_GROUP {
                    self.collect_from(order, key, second, &mut out.cells[0])?;
                    out.from.resize(out.cells[0].len(), row);
                    break;
                }
                out.from.push(row);
                out.cells[0].push(second);
                cursor.advance();
            }
            self.pace.read((out.from.len() - begin).min(SMALL_GROUP) as u64, out, self.meter)?;
        }
        Ok(())
    }

    /// Whether so many of the facts have one of the keys that going through all of them between
    /// the first key and the last takes less than seeking each.
    fn is_dense(&self, order: Order, keys: &[Cell], rows: &[u32]) -> bool {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return false };
        let (first, last) = (keys[*first as usize], keys[*last as usize]);
        let n_facts = self.snapshot.count_within(self.id, order, first, last.after());
        n_facts / FACTS_A_SEEK <= keys.len() as u64
    }

    /// Goes through the facts between the first key and the last, in order; `take` is told each
    /// and the rows from the first on whose key is not below it, and pays for what it does.
    fn stream(
        &mut self,
        order: Order,
        keys: &[Cell],
        rows: &[u32],
        out: &mut Matches,
        mut take: impl FnMut(&mut Matches, &mut Unpaid<'_>, &mut usize, (Cell, Cell)) -> bool,
    ) -> Result<(), QueryError> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let (from, until) = (keys[*first as usize], keys[*last as usize].after());
        let (pace, meter) = (&mut self.pace, &mut *self.meter);
        let mut unpaid = Unpaid { n_facts: 0, pace, meter, failure: Ok(()) };
        let mut next = 0;
        let _ = self.snapshot.for_each_within(self.id, order, from, until, |first, second| {
            unpaid.n_facts += 1;
            let goes_on = take(out, &mut unpaid, &mut next, (first, second));
            let n_untold = out.from.len() - unpaid.pace.n_rows_told;
            let is_due = unpaid.n_facts == BLOCK || n_untold >= limits::BLOCK;
            match goes_on && (!is_due || unpaid.pay(out)) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        if unpaid.failure.is_ok() {
            unpaid.pay(out);
        }
        unpaid.failure
    }

    /// Goes through the facts beside the keys, for all facts of each.
    fn stream_each(
        &mut self,
        order: Order,
        keys: &[Cell],
        rows: &[u32],
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        let key = |index: usize| keys[rows[index] as usize];
        self.stream(order, keys, rows, out, |out, unpaid, next, (first, second)| {
            // The last key is not below any fact.
            while key(*next) < first {
                *next += 1;
                if !unpaid.compared(*next, out) {
                    return false;
                }
            }
            let is_same = |row: &&u32| keys[**row as usize] == first;
            for (n, row) in (1..).zip(rows[*next..].iter().take_while(is_same)) {
                out.from.push(*row);
                out.cells[0].push(second);
                if !unpaid.compared(n, out) {
                    return false;
                }
            }
            true
        })
    }

    /// Goes through the facts beside the keys, for whether each has one.
    fn stream_any(
        &mut self,
        order: Order,
        keys: &[Cell],
        rows: &[u32],
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        self.stream(order, keys, rows, out, |out, unpaid, next, (first, _)| {
            while let Some(row) = rows.get(*next)
                && keys[*row as usize] <= first
            {
                if keys[*row as usize] == first {
                    out.from.push(*row);
                }
                *next += 1;
                if !unpaid.compared(*next, out) {
                    return false;
                }
            }
            true
        })
    }

    /// Walks beside the keys, for whether each has a fact.
    fn merge_any(
        &mut self,
        order: Order,
        keys: &[Cell],
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        let rows = rows_by_key(keys, self.meter)?;
        if self.is_dense(order, keys, &rows) {
            return self.stream_any(order, keys, &rows, out);
        }
        let mut cursor = self.snapshot.cursor(self.id, order);
        for row in rows {
            let key = keys[row as usize];
            cursor.seek_first(key);
            match cursor.current() {
                Some((first, _)) if first == key => out.from.push(row),
                Some(_) => {}
                None => break,
            }
            self.pace.read(1, out, self.meter)?;
        }
        Ok(())
    }

    /// The rows whose pair of cells is a fact.
    fn check(
        &mut self,
        order: Order,
        keys: &[Cell],
        second: Operand<'_>,
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        let second = |row: usize| second.known(row).expect("it is known");
        if keys.len() <= FEW_ROWS {
            for (row, key) in keys.iter().enumerate() {
                if self.contains(order, *key, second(row)) {
                    out.from.push(row as u32);
                }
                self.pace.read(1, out, self.meter)?;
            }
            return Ok(());
        }
        let mut rows = rows_by_key(keys, self.meter)?;
        // Rows with one key follow each other; their second cells must ascend as well.
        let runs = rows.chunk_by_mut(|a, b| keys[*a as usize] == keys[*b as usize]);
        for run in runs.filter(|run| run.len() > 1) {
            let by_second = |a: &u32, b: &u32| second(*a as usize).cmp(&second(*b as usize));
            run.copy_from_slice(&sort_by(run.to_vec(), by_second, || self.meter.check())?);
        }
        if self.is_dense(order, keys, &rows) {
            return self.stream(order, keys, &rows, out, |out, unpaid, next, fact| {
                while let Some(row) = rows.get(*next)
                    && let pair = (keys[*row as usize], second(*row as usize))
                    && pair <= fact
                {
                    if pair == fact {
                        out.from.push(*row);
                    }
                    *next += 1;
                    if !unpaid.compared(*next, out) {
                        return false;
                    }
                }
                true
            });
        }
        let mut cursor = self.snapshot.cursor(self.id, order);
        for row in rows {
            let pair = (keys[row as usize], second(row as usize));
            cursor.seek(pair.0, pair.1);
            match cursor.current() {
                Some(current) if current == pair => out.from.push(row),
                Some(_) => {}
                None => break,
            }
            self.pace.read(1, out, self.meter)?;
        }
        Ok(())
    }

    /// All facts of the attribute, as matches of the first row; its different entities or values
    /// where the rest is blank.
    fn scan(
        &mut self,
        entity: Operand<'_>,
        value: Operand<'_>,
        emit: &Emit,
    ) -> Result<Matches, QueryError> {
        let mut out = emit.matches();
        let order = match (entity, value) {
            (_, Operand::Blank) => Order::ByEntity,
            (Operand::Blank, _) => Order::ByValue,
            _ => return self.scan_pairs(emit, out),
        };
        let wants_one = matches!((entity, value), (Operand::Blank, Operand::Blank));
        let mut cursor = self.snapshot.cursor(self.id, order);
        while let Some((first, _)) = cursor.current() {
            emit.push(&mut out, 0, &[first, first]);
            if wants_one {
                break;
            }
            if out.from.len().is_multiple_of(BLOCK as usize) {
                self.told_block(&out)?;
            }
            cursor.next_first();
        }
        self.meter.read_facts(out.from.len() as u64 % BLOCK)?;
        Ok(out)
    }

    fn scan_pairs(&mut self, emit: &Emit, mut out: Matches) -> Result<Matches, QueryError> {
        let (mut n_facts, mut failure) = (0, Ok(()));
        let n_most = self.snapshot.count(self.id) as usize;
        self.meter.room_for(n_most as u64 * 3 * CELL_BYTES)?;
        let (mut entities, mut values) = (Vec::with_capacity(n_most), Vec::with_capacity(n_most));
        let _ = self.snapshot.for_each_fact(self.id, Order::ByEntity, |entity, value| {
            if emit.fits(&[entity, value]) {
                entities.push(entity);
                values.push(value);
            }
            n_facts += 1;
            if n_facts % BLOCK == 0 {
                failure = self.meter.read_facts(BLOCK);
            }
            if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        failure?;
        self.meter.read_facts(n_facts % BLOCK)?;
        out.from = vec![0; entities.len()];
        emit.put(&mut out, [entities, values]);
        Ok(out)
    }

    fn told_block(&mut self, out: &Matches) -> Result<(), QueryError> {
        self.meter.room_for(out.n_bytes())?;
        self.meter.read_facts(BLOCK)
    }

    /// Every row with every one of the found cells, which are given by column.
    fn each_row(
        &mut self,
        n_rows: usize,
        n_found: usize,
        found: &[Vec<Cell>],
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        for row in 0..n_rows {
            for begin in (0..n_found).step_by(BLOCK as usize) {
                let end = n_found.min(begin + BLOCK as usize);
                out.from.extend(std::iter::repeat_n(row as u32, end - begin));
                for (column, cells) in out.cells.iter_mut().zip(found) {
                    column.extend_from_slice(&cells[begin..end]);
                }
                self.pace.read(0, out, self.meter)?;
            }
        }
        Ok(())
    }

    fn collect(
        &mut self,
        order: Order,
        key: Cell,
        found: &mut Vec<Cell>,
    ) -> Result<(), QueryError> {
        self.collect_from(order, key, Cell::MIN, found)
    }

    /// The second cells of the facts with this first one, from a second cell on.
    fn collect_from(
        &mut self,
        order: Order,
        key: Cell,
        from: Cell,
        found: &mut Vec<Cell>,
    ) -> Result<(), QueryError> {
        let meter = &mut *self.meter;
        let mut n_untold = 0;
        let mut failure = Ok(());
        let take = |second| {
            found.push(second);
            n_untold += 1;
            if n_untold == BLOCK {
                failure = meter.read_facts(std::mem::take(&mut n_untold));
            }
            if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let _ = self.snapshot.for_each_second(self.id, order, key, from, take);
        failure?;
        self.meter.read_facts(n_untold)
    }

    fn seconds(
        &self,
        order: Order,
        key: Cell,
        take: impl FnMut(Cell) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match order {
            Order::ByEntity => self.snapshot.for_each_value(self.id, key, take),
            Order::ByValue => self.snapshot.for_each_entity(self.id, key, take),
        }
    }

    fn contains(&self, order: Order, first: Cell, second: Cell) -> bool {
        match order {
            Order::ByEntity => self.snapshot.contains(self.id, first, second),
            Order::ByValue => self.snapshot.contains(self.id, second, first),
        }
    }
}

/// The positions of keys in ascending order; equal keys in order of position.
fn rows_by_key(keys: &[Cell], meter: &Meter) -> Result<Vec<u32>, QueryError> {
    let mut rows: Vec<u32> = (0..keys.len() as u32).collect();
    if keys.len() <= FEW_KEYS {
        rows.sort_by_key(|row| keys[*row as usize]);
        return Ok(rows);
    }
    let mut last = keys[0];
    let mut is_sorted = true;
    meter.in_blocks(keys.len(), |block| {
        let block = &keys[block];
        is_sorted = is_sorted && last <= block[0] && block.is_sorted();
        last = block[block.len() - 1];
    })?;
    if is_sorted {
        return Ok(rows);
    }
    // Digits that are the same in all keys, as most are in cells of one type, need no pass.
    let mut differing = 0;
    meter.in_blocks(keys.len(), |block| {
        differing |= keys[block].iter().fold(0, |bits, key| bits | (key.0 ^ keys[0].0));
    })?;
    let mut pairs = meter.map(&rows, |row| (keys[*row as usize].0, *row))?;
    let mut sorted = vec![(0, 0); pairs.len()];
    for shift in (0..64).step_by(8).filter(|shift| differing >> shift & 0xff != 0) {
        let digit = |key: u64| (key >> shift & 0xff) as usize;
        let mut ends = [0_usize; 256];
        for block in pairs.chunks(BLOCK as usize) {
            meter.check()?;
            block.iter().for_each(|(key, _)| ends[digit(*key)] += 1);
        }
        let mut total = 0;
        for end in &mut ends {
            total += std::mem::replace(end, total);
        }
        for block in pairs.chunks(BLOCK as usize) {
            meter.check()?;
            for (key, row) in block {
                let place = &mut ends[digit(*key)];
                sorted[*place] = (*key, *row);
                *place += 1;
            }
        }
        std::mem::swap(&mut pairs, &mut sorted);
    }
    meter.map(&pairs, |(_, row)| *row)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_their_keys() {
        let meter = Meter::new(&limits::Budget::unlimited());
        let spread = |row: u64| Cell(row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20 & 0x3ff_ffff);
        for n_keys in [0, 1, 100, 5_000] {
            let keys: Vec<Cell> = (0..n_keys).map(spread).collect();
            let mut expected: Vec<u32> = (0..n_keys as u32).collect();
            expected.sort_by_key(|row| keys[*row as usize]);
            assert_eq!(rows_by_key(&keys, &meter).unwrap(), expected);
        }
        let few: Vec<Cell> = (0..5_000).map(|row| Cell(row * 7 % 5)).collect();
        let mut expected: Vec<u32> = (0..5_000).collect();
        expected.sort_by_key(|row| few[*row as usize]);
        assert_eq!(rows_by_key(&few, &meter).unwrap(), expected);
    }
}
