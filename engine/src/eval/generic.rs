//! Steps that join a cycle of patterns as a whole.
//!
//! Variables are bound one after the other; the candidates of each are the intersection of what
//! every pattern allows, given the variables bound before. So no more candidates are ever held than
//! the smallest pattern allows, which is what makes the join worst-case optimal (generic join: Ngo,
//! Ré & Rudra, *Skew strikes back*, SIGMOD Record 2013). Patterns are gone through once to make
//! *adjacencies*: cells become dense numbers of 32 bits, each number has a sorted list, and lists
//! are intersected by merging, or by galloping where one is much longer.
//!
//! Left out: existential variables are enumerated like others, and equal rows merged later.

use std::ops::ControlFlow;

use super::Evaluator;
use super::access::Pace;
use super::batch::{Matches, Rows};
use super::meter::{BLOCK, Meter};
use super::order::sort_distinct;
use super::reads::Key;
use super::steps::Emit;
use crate::error::QueryError;
use crate::ids::Attribute;
use crate::intern::{Cell, CellMap};
use crate::plan::Slot;
use crate::store::{AttributeId, Order};

/// Where one list is so many times longer, it is searched instead of walked.
const MUCH_LONGER: usize = 8;

/// How many slots by symbol there may be for each fact.
const SLOTS_PER_FACT: u64 = 8;

/// Dense numbers for the cells of some attributes.
enum Codes {
    /// All of them refer, and there are not many fewer of them than symbols up to the greatest:
    /// those are numbers already.
    Refs,
    /// The place of each in the sorted list of all.
    Ranks { cells: Vec<Cell>, ranks: CellMap<u32> },
}

impl Codes {
    fn code(&self, cell: Cell) -> u32 {
        match self {
            Codes::Refs => cell.narrow().expect("all cells refer"),
            Codes::Ranks { ranks, .. } => ranks[&cell],
        }
    }

    fn cell(&self, code: u32) -> Cell {
        match self {
            Codes::Refs => Cell::from_narrow(code),
            Codes::Ranks { cells, .. } => cells[code as usize],
        }
    }
}

/// For each number the sorted numbers that facts lead to, in one direction.
struct Adjacency {
    /// Where the list of each number begins; one more than there are numbers.
    begins: Vec<u32>,
    to: Vec<u32>,
    /// The numbers that have a list, ascending.
    from: Vec<u32>,
}

impl Adjacency {
    /// From pairs in ascending order.
    fn new(pairs: &[(u32, u32)], meter: &Meter) -> Result<Adjacency, QueryError> {
        let n_numbers = pairs.last().map_or(0, |(first, _)| *first as usize + 1);
        let mut begins = vec![0; n_numbers + 1];
        let mut from: Vec<u32> = Vec::new();
        for (index, (first, _)) in pairs.iter().enumerate() {
            meter.check_at(index)?;
            begins[*first as usize + 1] += 1;
            if from.last() != Some(first) {
                from.push(*first);
            }
        }
        let mut total = 0;
        for (index, begin) in begins.iter_mut().enumerate() {
            meter.check_at(index)?;
            total += *begin;
            *begin = total;
        }
        let mut to = Vec::with_capacity(pairs.len());
        for block in pairs.chunks(BLOCK as usize) {
            meter.check()?;
            to.extend(block.iter().map(|(_, second)| *second));
        }
        Ok(Adjacency { begins, to, from })
    }

    fn of(&self, number: u32) -> &[u32] {
        match self.begins.get(number as usize..number as usize + 2) {
            Some(&[begin, end]) => &self.to[begin as usize..end as usize],
            _ => &[],
        }
    }

    fn n_bytes(&self) -> u64 {
        (self.begins.len() + self.to.len() + self.from.len()) as u64 * 4
    }
}

/// What limits a variable: a list of an adjacency.
#[derive(Clone, Copy)]
enum Limit {
    /// Those that have a list.
    From(usize),
    /// The list of a variable bound before.
    Of(usize, usize),
}

/// The limits of each variable, parted by whether they stay while the variable just before it
/// takes one candidate after the other.
struct Limits {
    staying: Vec<Vec<Limit>>,
    moving: Vec<Vec<Limit>>,
    /// By variable: later ones whose staying limits are settled when everything before it is bound.
    settled_at: Vec<Vec<usize>>,
}

impl Limits {
    fn new(limits: Vec<Vec<Limit>>) -> Limits {
        let n_vars = limits.len();
        let mut parted = Limits {
            staying: vec![Vec::new(); n_vars],
            moving: vec![Vec::new(); n_vars],
            settled_at: vec![Vec::new(); n_vars],
        };
        for (var, limits) in limits.into_iter().enumerate() {
            let moves = |limit: &Limit| matches!(limit, Limit::Of(_, other) if other + 1 == var);
            let (moving, staying): (Vec<Limit>, Vec<Limit>) =
                limits.into_iter().partition(|limit| moves(limit));
            let after = staying.iter().map(|limit| match limit {
                Limit::From(_) => 0,
                Limit::Of(_, other) => other + 1,
            });
            parted.settled_at[after.max().unwrap_or(0)].push(var);
            (parted.staying[var], parted.moving[var]) = (staying, moving);
        }
        parted
    }
}

/// Numbers as an ascending list and as bits.
#[derive(Default)]
struct NumberSet {
    list: Vec<u32>,
    bits: Vec<u64>,
}

impl NumberSet {
    fn replace(
        &mut self,
        fill: impl FnOnce(&mut Vec<u32>) -> Result<(), QueryError>,
        meter: &Meter,
    ) -> Result<(), QueryError> {
        let NumberSet { list, bits } = self;
        meter.in_blocks(list.len(), |block| {
            list[block].iter().for_each(|number| bits[*number as usize / 64] = 0);
        })?;
        list.clear();
        fill(list)?;
        let n_words = list.last().map_or(0, |last| *last as usize / 64 + 1);
        bits.resize(bits.len().max(n_words), 0);
        meter.in_blocks(list.len(), |block| {
            list[block].iter().for_each(|number| bits[*number as usize / 64] |= 1 << (number % 64));
        })
    }

    fn has(&self, number: u32) -> bool {
        self.bits.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Puts the numbers that an ascending list also holds into `out`.
    fn common(&self, list: &[u32], out: &mut Vec<u32>, meter: &Meter) -> Result<(), QueryError> {
        if list.len() / MUCH_LONGER >= self.list.len().max(1) {
            return intersect(&self.list, list, out, meter);
        }
        // Written always and counted only where it is common: a branch here would be a guess.
        out.resize(list.len(), 0);
        let (common, mut n_common) = (out.as_mut_slice(), 0);
        meter.in_blocks(list.len(), |block| {
            // A count of its own for each block stays in a register.
            let mut n = n_common;
            for number in &list[block] {
                common[n] = *number;
                n += usize::from(self.has(*number));
            }
            n_common = n;
        })?;
        out.truncate(n_common);
        Ok(())
    }
}

/// A join that is going on: the numbers bound so far, and for each variable what its staying limits
/// allow and its candidates.
struct Search<'j> {
    limits: &'j Limits,
    adjacencies: &'j [Adjacency],
    bound: Vec<u32>,
    staying: Vec<NumberSet>,
    candidates: Vec<Vec<u32>>,
}

impl<'j> Search<'j> {
    fn new(limits: &'j Limits, adjacencies: &'j [Adjacency], n_vars: usize) -> Search<'j> {
        Search {
            limits,
            adjacencies,
            bound: vec![0; n_vars],
            staying: std::iter::repeat_with(NumberSet::default).take(n_vars).collect(),
            candidates: vec![Vec::new(); n_vars],
        }
    }

    fn lists(&self, limits: &[Limit]) -> Vec<&'j [u32]> {
        let adjacencies = self.adjacencies;
        let list = |limit: &Limit| match limit {
            Limit::From(adjacency) => &*adjacencies[*adjacency].from,
            Limit::Of(adjacency, other) => adjacencies[*adjacency].of(self.bound[*other]),
        };
        limits.iter().map(list).collect()
    }

    /// What the staying limits of a variable allow, now that those before are bound.
    fn settle(&mut self, var: usize, meter: &Meter) -> Result<(), QueryError> {
        let lists = self.lists(&self.limits.staying[var]);
        self.staying[var].replace(|out| intersect_all(lists, out, meter), meter)
    }

    /// Puts the candidates of a variable, given those before it, into their place.
    fn find_candidates(&mut self, var: usize, meter: &Meter) -> Result<(), QueryError> {
        let limits = self.limits;
        let mut candidates = std::mem::take(&mut self.candidates[var]);
        candidates.clear();
        match &limits.moving[var][..] {
            [] => candidates.extend_from_slice(&self.staying[var].list),
            [Limit::Of(adjacency, other)] if !limits.staying[var].is_empty() => {
                let list = self.adjacencies[*adjacency].of(self.bound[*other]);
                self.staying[var].common(list, &mut candidates, meter)?;
            }
            moving => {
                intersect_all(self.lists(moving), &mut candidates, meter)?;
                if !limits.staying[var].is_empty() {
                    keep(&mut candidates, |number| self.staying[var].has(number), meter)?;
                }
            }
        }
        self.candidates[var] = candidates;
        Ok(())
    }

    /// Binds the variables from one on in every way, and hands each block of ways to bind the last
    /// one to `found`.
    fn run(&mut self, var: usize, found: &mut FoundRows<'_>) -> Result<(), QueryError> {
        for settled in &self.limits.settled_at[var] {
            self.settle(*settled, found.meter)?;
        }
        self.find_candidates(var, found.meter)?;
        if var + 1 == self.candidates.len() {
            let last = &self.candidates[var];
            let mut blocks = last.chunks(BLOCK as usize);
            return blocks.try_for_each(|block| found.take(&self.bound, block));
        }
        let candidates = std::mem::take(&mut self.candidates[var]);
        for candidate in &candidates {
            self.bound[var] = *candidate;
            self.run(var + 1, found)?;
        }
        self.candidates[var] = candidates;
        // A branch that finds nothing has still been walked.
        found.take(&self.bound, &[])
    }
}

/// Where the ways to bind all variables go.
struct FoundRows<'f> {
    codes: &'f Codes,
    /// The variables that are columns of the matches.
    kept: Vec<usize>,
    /// How many rows each way continues.
    n_rows: usize,
    out: Matches,
    pace: Pace,
    meter: &'f mut Meter,
}

impl FoundRows<'_> {
    /// Takes ways that differ in the last variable alone.
    fn take(&mut self, bound: &[u32], last: &[u32]) -> Result<(), QueryError> {
        let mut n_read = last.len() as u64 + 1;
        for row in 0..self.n_rows as u32 {
            self.out.from.extend(std::iter::repeat_n(row, last.len()));
            for (column, var) in self.out.cells.iter_mut().zip(&self.kept) {
                if *var + 1 == bound.len() {
                    column.extend(last.iter().map(|code| self.codes.cell(*code)));
                } else {
                    column.extend(std::iter::repeat_n(self.codes.cell(bound[*var]), last.len()));
                }
            }
            self.pace.read(std::mem::take(&mut n_read), &self.out, self.meter)?;
        }
        Ok(())
    }
}

/// The numbers that all of some ascending lists hold.
fn intersect_all(
    mut lists: Vec<&[u32]>,
    out: &mut Vec<u32>,
    meter: &Meter,
) -> Result<(), QueryError> {
    lists.sort_unstable_by_key(|list| list.len());
    match &lists[..] {
        [] => {}
        [only] => out.extend_from_slice(only),
        [first, second, rest @ ..] => {
            intersect(first, second, out, meter)?;
            rest.iter().try_for_each(|list| keep_common(out, list, meter))?;
        }
    }
    Ok(())
}

/// The numbers that both ascending lists hold; the first is the shorter one.
fn intersect(
    short: &[u32],
    long: &[u32],
    out: &mut Vec<u32>,
    meter: &Meter,
) -> Result<(), QueryError> {
    if long.len() / MUCH_LONGER >= short.len().max(1) {
        let mut rest = long;
        return meter.in_blocks(short.len(), |block| {
            for number in &short[block] {
                rest = &rest[gallop(rest, *number)..];
                if rest.first() == Some(number) {
                    out.push(*number);
                }
            }
        });
    }
    let (mut a, mut b) = (0, 0);
    // A step moves at least one of the two, and a block of either is not left within a block.
    while a < short.len() && b < long.len() {
        let (a_end, b_end) =
            (short.len().min(a + BLOCK as usize), long.len().min(b + BLOCK as usize));
        let (short, long) = (&short[..a_end], &long[..b_end]);
        while a < short.len() && b < long.len() {
            let (left, right) = (short[a], long[b]);
            if left == right {
                out.push(left);
            }
            a += usize::from(left <= right);
            b += usize::from(right <= left);
        }
        if a_end.max(b_end) >= BLOCK as usize {
            meter.check()?;
        }
    }
    Ok(())
}

/// Drops the numbers that a list does not hold.
fn keep_common(numbers: &mut Vec<u32>, list: &[u32], meter: &Meter) -> Result<(), QueryError> {
    let mut rest = list;
    let is_common = |number| {
        rest = &rest[gallop(rest, number)..];
        rest.first() == Some(&number)
    };
    keep(numbers, is_common, meter)
}

/// Drops the numbers that are not wanted.
fn keep(
    numbers: &mut Vec<u32>,
    mut is_wanted: impl FnMut(u32) -> bool,
    meter: &Meter,
) -> Result<(), QueryError> {
    let (kept, mut n_kept) = (numbers.as_mut_slice(), 0);
    meter.in_blocks(kept.len(), |block| {
        let mut n = n_kept;
        for index in block {
            let number = kept[index];
            kept[n] = number;
            n += usize::from(is_wanted(number));
        }
        n_kept = n;
    })?;
    numbers.truncate(n_kept);
    Ok(())
}

/// The position of the first number that is not below `number`, by doubling steps.
fn gallop(list: &[u32], number: u32) -> usize {
    let mut end = 1;
    while end < list.len() && list[end - 1] < number {
        end *= 2;
    }
    let begin = end / 2;
    let end = end.min(list.len());
    begin.min(end) + list[begin.min(end)..end].partition_point(|other| *other < number)
}

impl Evaluator<'_> {
    /// Every row with every binding of the variables that satisfies all patterns; `edges` are
    /// attributes with the positions of entity and value among the variables.
    pub(super) fn generic(
        &mut self,
        vars: &[Slot],
        edges: &[(Attribute, usize, usize)],
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let emit = Emit::of_vars(vars.iter().map(|var| match var {
            Slot::Free(var) => Some(*var),
            _ => None,
        }));
        let out = emit.matches();
        let mut ids = Vec::with_capacity(edges.len());
        for (attribute, ..) in edges {
            match self.attribute_id(attribute) {
                Some(id) => ids.push(id),
                None => return Ok(out),
            }
            self.record(*ids.last().expect("it was just put there"), Key::All);
        }
        let codes = self.codes(&ids)?;
        let (limits, adjacencies) = self.limits(vars.len(), edges, &ids, &codes)?;
        let held: u64 = adjacencies.iter().map(Adjacency::n_bytes).sum();
        self.meter.hold(held)?;
        let kept: Vec<usize> =
            (0..vars.len()).filter(|var| matches!(vars[*var], Slot::Free(_))).collect();
        let pace = Pace::default();
        let meter = &mut self.meter;
        let mut found = FoundRows { codes: &codes, kept, n_rows: rows.len(), out, pace, meter };
        Search::new(&limits, &adjacencies, vars.len()).run(0, &mut found)?;
        let FoundRows { out, mut pace, meter, .. } = found;
        pace.tell(&out, meter)?;
        meter.release(held);
        Ok(out)
    }

    /// Numbers for the cells of these attributes.
    fn codes(&mut self, ids: &[AttributeId]) -> Result<Codes, QueryError> {
        let mut cells: Vec<u64> = Vec::new();
        let mut distinct = ids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let snapshot = self.snapshot;
        let n_facts: u64 = distinct.iter().map(|id| snapshot.count(*id)).sum();
        let are_dense = distinct.iter().all(|id| {
            let n_slots = snapshot.symbols_end(*id).map(u64::from);
            n_slots.is_some_and(|n_slots| n_slots <= n_facts * SLOTS_PER_FACT)
        });
        if are_dense {
            return Ok(Codes::Refs);
        }
        for id in distinct {
            self.meter.room_for((cells.len() as u64 + 2 * snapshot.count(id)) * 32)?;
            for (entity, value) in snapshot.facts(id) {
                cells.extend([entity.0, value.0]);
                self.meter.read_facts(1)?;
            }
        }
        let cells = sort_distinct(cells, u64::BITS, &self.meter)?;
        let cells: Vec<Cell> = cells.into_iter().map(Cell).collect();
        let mut ranks = CellMap::with_capacity_and_hasher(cells.len(), self.cell_hash());
        for (rank, cell) in (0..).zip(&cells) {
            ranks.insert(*cell, rank);
            self.meter.check_at(rank as usize)?;
        }
        Ok(Codes::Ranks { cells, ranks })
    }

    /// The limits of each variable, and the adjacencies they name.
    fn limits(
        &mut self,
        n_vars: usize,
        edges: &[(Attribute, usize, usize)],
        ids: &[AttributeId],
        codes: &Codes,
    ) -> Result<(Limits, Vec<Adjacency>), QueryError> {
        let mut limits = vec![Vec::new(); n_vars];
        let mut made: Vec<(AttributeId, Order)> = Vec::new();
        let mut adjacencies = Vec::new();
        for ((_, entity, value), id) in edges.iter().zip(ids) {
            let order = if entity < value { Order::ByEntity } else { Order::ByValue };
            let adjacency = match made.iter().position(|other| *other == (*id, order)) {
                Some(adjacency) => adjacency,
                None => {
                    made.push((*id, order));
                    adjacencies.push(self.adjacency(*id, order, codes)?);
                    adjacencies.len() - 1
                }
            };
            let (first, second) = (*entity.min(value), *entity.max(value));
            limits[first].push(Limit::From(adjacency));
            limits[second].push(Limit::Of(adjacency, first));
        }
        Ok((Limits::new(limits), adjacencies))
    }

    fn adjacency(
        &mut self,
        id: AttributeId,
        order: Order,
        codes: &Codes,
    ) -> Result<Adjacency, QueryError> {
        let n_facts = self.snapshot.count(id);
        self.meter.room_for(n_facts * 16)?;
        if order == Order::ByValue && matches!(codes, Codes::Ranks { .. }) {
            return self.turned(id, codes);
        }
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(n_facts as usize);
        let mut failure = Ok(());
        let meter: &mut Meter = &mut self.meter;
        let _ = self.snapshot.for_each_fact(id, order, |first, second| {
            pairs.push((codes.code(first), codes.code(second)));
            if pairs.len().is_multiple_of(BLOCK as usize) {
                failure = meter.read_facts(BLOCK);
            }
            if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        failure?;
        debug_assert!(pairs.is_sorted(), "numbers are in the order of cells");
        Adjacency::new(&pairs, &self.meter)
    }

    /// From values to entities, sorted here: an index by value would be built and kept up for it.
    fn turned(&mut self, id: AttributeId, codes: &Codes) -> Result<Adjacency, QueryError> {
        let mut words: Vec<u64> = Vec::with_capacity(self.snapshot.count(id) as usize);
        for (entity, value) in self.snapshot.facts(id) {
            words.push(u64::from(codes.code(value)) << 32 | u64::from(codes.code(entity)));
            self.meter.read_facts(1)?;
        }
        let words = sort_distinct(words, u64::BITS, &self.meter)?;
        let pairs = self.meter.map(&words, |word| ((word >> 32) as u32, *word as u32))?;
        Adjacency::new(&pairs, &self.meter)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;
    use crate::eval::meter::tests::n_looks;
    use crate::limits::Budget;

    fn meter() -> Meter {
        Meter::new(&Budget::unlimited())
    }

    #[test]
    fn lists_are_intersected_however_long_they_are() {
        let multiples = |of: u32, below: u32| (0..below).step_by(of as usize).collect::<Vec<u32>>();
        let cases = [
            (multiples(2, 60), multiples(3, 60)),
            (multiples(70, 1_000), multiples(3, 1_000)),
            (vec![], multiples(1, 9)),
            (vec![5], multiples(2, 400)),
        ];
        for (short, long) in cases {
            let (a, b): (BTreeSet<u32>, BTreeSet<u32>) =
                (short.iter().copied().collect(), long.iter().copied().collect());
            let expected: Vec<u32> = a.intersection(&b).copied().collect();
            let mut found = Vec::new();
            intersect(&short, &long, &mut found, &meter()).unwrap();
            assert_eq!(found, expected);
            let mut kept = short.clone();
            keep_common(&mut kept, &long, &meter()).unwrap();
            assert_eq!(kept, expected);
        }
    }

    /// Whether lists are walked side by side or searched, and whatever they have in common.
    #[test]
    fn limits_are_looked_at_within_one_intersection() {
        let block = BLOCK as u32;
        let list = |n_blocks: u32, step: u32| -> Vec<u32> {
            (0..n_blocks * block).map(|number| number * step).collect()
        };
        let cases = [
            (list(50, 1), list(50, 2)),
            (list(50, 2), list(50, 1)),
            (list(50, 5), list(900, 1)),
            (list(50, 1), (0..50 * block).map(|number| number + 50 * block).collect()),
        ];
        for (short, long) in &cases {
            let found = n_looks(|meter| intersect(short, long, &mut Vec::new(), meter));
            assert!(found >= 50, "{found} looks");
            let kept = n_looks(|meter| keep_common(&mut short.clone(), long, meter));
            assert!(kept >= 50, "{kept} looks");
            let mut set = NumberSet::default();
            let fill = |list: &mut Vec<u32>| {
                list.extend_from_slice(short);
                Ok(())
            };
            assert!(n_looks(|meter| set.replace(fill, meter)) >= 50, "filled");
            assert!(n_looks(|meter| set.common(long, &mut Vec::new(), meter)) >= 50, "searched");
            assert!(n_looks(|meter| set.replace(|_| Ok(()), meter)) >= 50, "emptied");
        }
    }

    #[test]
    fn a_set_of_numbers_forgets_what_it_held() {
        let mut set = NumberSet::default();
        for numbers in [vec![1, 64, 200], vec![2, 65], vec![]] {
            let fill = |list: &mut Vec<u32>| {
                list.extend_from_slice(&numbers);
                Ok(())
            };
            set.replace(fill, &meter()).unwrap();
            let held: Vec<u32> = (0..300).filter(|number| set.has(*number)).collect();
            assert_eq!(held, numbers);
            for list in [(0..300).collect::<Vec<u32>>(), vec![2, 64], vec![]] {
                let mut common = vec![];
                set.common(&list, &mut common, &meter()).unwrap();
                let expected: Vec<u32> =
                    list.iter().copied().filter(|number| numbers.contains(number)).collect();
                assert_eq!(common, expected);
            }
        }
    }

    #[test]
    fn an_adjacency_leads_from_each_number_to_its_list() {
        let adjacency = Adjacency::new(&[(1, 0), (1, 7), (4, 2)], &meter()).unwrap();
        let lists: Vec<&[u32]> = (0..7).map(|number| adjacency.of(number)).collect();
        let expected: [&[u32]; 7] = [&[], &[0, 7], &[], &[], &[2], &[], &[]];
        assert_eq!(lists, expected);
        assert_eq!(adjacency.from, [1, 4]);
    }
}
