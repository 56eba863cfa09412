//! Aggregates over the values of one group.
//!
//! A group is a bag: one value for each distinct tuple of the find and `:with` variables. Its
//! members come as codes, which are ordered as the values are, so most aggregates never see a
//! value: sums of integers are sums of distances from the least one, and only a result is decoded.
//! Numeric aggregates of a group that holds something else have no result, and its row is absent.
//! Everything is independent of the order of the bag.

use std::ops::Range;

use super::exact::{ExactSum, variance, variance_of_distances};
use super::order::Ordered;
use super::scratch::Scratch;
use crate::answer::Output;
use crate::intern::Cell;
use crate::program::Aggregate;
use crate::value::{Number, Value};

/// One column of grouped rows, and what its codes stand for.
pub(super) struct Members<'g> {
    ordered: &'g Ordered,
    source: usize,
    scratch: &'g Scratch<'g>,
    /// The integer of code 0, where every code is a distance from it.
    integer_base: Option<i64>,
}

impl<'g> Members<'g> {
    pub(super) fn new(
        ordered: &'g Ordered,
        element: usize,
        scratch: &'g Scratch<'g>,
    ) -> Members<'g> {
        let source = ordered.source_of(element);
        let integer_base = ordered.coding(source).integer_base();
        Members { ordered, source, scratch, integer_base }
    }

    /// The aggregate of a group that is not empty; none where it has no result.
    pub(super) fn aggregate(
        &self,
        function: Aggregate,
        n: Option<usize>,
        group: Range<usize>,
    ) -> Option<Output> {
        let value = match function {
            Aggregate::Count => count(group.len()),
            Aggregate::CountDistinct => count(self.distinct(group).len()),
            Aggregate::Sum => Value::Number(self.sum(group)?.sum()?),
            Aggregate::Avg => Value::Number(self.sum(group)?.mean()?),
            Aggregate::Min => match n {
                None => self.value(self.extreme(group, u64::min)?),
                Some(n) => return Some(self.list(self.least(group, n, |code| code))),
            },
            Aggregate::Max => match n {
                None => self.value(self.extreme(group, u64::max)?),
                Some(n) => return Some(self.list(self.least(group, n, std::cmp::Reverse))),
            },
            Aggregate::Median => Value::Number(self.median(group)?),
            Aggregate::Variance => Value::Number(self.variance(group)?),
            Aggregate::Stddev => Value::double(self.variance(group)?.to_f64().sqrt()).ok()?,
            Aggregate::Distinct => return Some(self.list(self.distinct(group))),
            Aggregate::Sample | Aggregate::Rand => {
                let values = self.distinct(group).into_iter().map(|code| self.value(code));
                return draw(function, n, values.collect());
            }
        };
        Some(Output::Value(value))
    }

    /// The cell of one row.
    pub(super) fn cell(&self, row: usize) -> Cell {
        self.ordered.coding(self.source).cell(self.ordered.code(row, self.source))
    }

    fn value(&self, code: u64) -> Value {
        self.ordered.coding(self.source).value(code, self.scratch)
    }

    fn list(&self, codes: Vec<u64>) -> Output {
        Output::List(codes.into_iter().map(|code| self.value(code)).collect())
    }

    fn number(&self, code: u64) -> Option<Number> {
        match self.value(code) {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    fn codes(&self, group: Range<usize>) -> Vec<u64> {
        let mut codes = Vec::with_capacity(group.len());
        self.ordered.for_each_code(group, self.source, |code| codes.push(code));
        codes
    }

    fn distinct(&self, group: Range<usize>) -> Vec<u64> {
        let mut codes = self.codes(group);
        if !codes.is_sorted() {
            codes.sort_unstable();
        }
        codes.dedup();
        codes
    }

    fn extreme(&self, group: Range<usize>, pick: impl Fn(u64, u64) -> u64) -> Option<u64> {
        let mut found = None;
        self.ordered.for_each_code(group, self.source, |code| {
            found = Some(found.map_or(code, |found| pick(found, code)));
        });
        found
    }

    /// The `n` least codes by a key, in its order.
    fn least<Key: Ord>(&self, group: Range<usize>, n: usize, key: fn(u64) -> Key) -> Vec<u64> {
        let mut codes = self.codes(group);
        if n < codes.len() {
            codes.select_nth_unstable_by_key(n, |code| key(*code));
            codes.truncate(n);
        }
        codes.sort_unstable_by_key(|code| key(*code));
        codes
    }

    fn sum(&self, group: Range<usize>) -> Option<ExactSum> {
        let n_members = group.len() as u64;
        if let Some(base) = self.integer_base {
            let mut distances = 0_u128;
            self.ordered.for_each_code(group, self.source, |code| distances += u128::from(code));
            return Some(ExactSum::of_distances(base, distances, n_members));
        }
        let mut sum = Some(ExactSum::default());
        self.ordered.for_each_code(group, self.source, |code| match self.number(code) {
            Some(number) => sum.iter_mut().for_each(|sum| sum.add(number)),
            None => sum = None,
        });
        sum
    }

    fn median(&self, group: Range<usize>) -> Option<Number> {
        let middle = group.len() / 2;
        let is_even = group.len() % 2 == 0;
        if self.integer_base.is_none() {
            // One member that is no number is enough for none.
            let mut is_number = true;
            self.ordered.for_each_code(group.clone(), self.source, |code| {
                is_number &= self.number(code).is_some();
            });
            if !is_number {
                return None;
            }
        }
        let mut codes = self.codes(group);
        let (below, upper, _) = codes.select_nth_unstable(middle);
        let upper = self.number(*upper)?;
        if !is_even {
            return Some(upper);
        }
        let lower = self.number(below.iter().copied().max()?)?;
        ExactSum::of([lower, upper]).mean()
    }

    fn variance(&self, group: Range<usize>) -> Option<Number> {
        let codes = self.codes(group);
        if self.integer_base.is_some()
            && let Some(variance) = variance_of_distances(&codes)
        {
            return variance;
        }
        let numbers: Option<Vec<Number>> =
            codes.into_iter().map(|code| self.number(code)).collect();
        variance(&numbers?)
    }
}

fn count(n: usize) -> Value {
    Value::int(i64::try_from(n).expect("fewer than 2^63 values fit memory"))
}

/// Draws from different values in their order by a hash of them, so that one group always gives one answer: `(sample n ?x)`
/// different values, `(rand ?x)` one value, `(rand n ?x)` n values with repeats.
fn draw(function: Aggregate, n: Option<usize>, mut values: Vec<Value>) -> Option<Output> {
    match (function, n) {
        (Aggregate::Sample, n) => {
            values.sort_by_cached_key(|value| *blake3::hash(&value.to_canonical()).as_bytes());
            values.truncate(n.unwrap_or(1));
            values.sort_unstable();
            Some(Output::List(values))
        }
        (_, n) => {
            let pick = picker(&values);
            match n {
                None => pick(0).map(Output::Value),
                Some(n) => Some(Output::List((0..n as u64).filter_map(pick).collect())),
            }
        }
    }
}

/// Picks any one of the values for each number, all of them equally often.
fn picker(values: &[Value]) -> impl Fn(u64) -> Option<Value> {
    let mut hasher = blake3::Hasher::new();
    for value in values {
        let bytes = value.to_canonical();
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    let seed = *hasher.finalize().as_bytes();
    move |number| {
        let hash = blake3::keyed_hash(&seed, &number.to_le_bytes());
        let first = *hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        let index = u64::from_le_bytes(first).checked_rem(values.len() as u64)?;
        values.get(index as usize).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::eval::meter::Meter;
    use crate::eval::order::{Found, Source};
    use crate::intern::Dictionary;
    use crate::limits::Budget;

    fn aggregate(function: Aggregate, n: Option<usize>, values: Vec<Value>) -> Option<Output> {
        let dictionary = Dictionary::default();
        let cells: Vec<Cell> = values.iter().map(|value| dictionary.intern(value)).collect();
        let n_rows = cells.len();
        let found = Found { n_rows, sources: vec![Source::Cells(cells)], elements: vec![0] };
        let (scratch, meter) = (Scratch::new(&dictionary), Meter::new(&Budget::unlimited()));
        let (ordered, starts) = found.group(&[], &scratch, &meter).expect("there is no limit");
        assert_eq!(starts, [0]);
        Members::new(&ordered, 0, &scratch).aggregate(function, n, 0..n_rows)
    }

    fn of(function: Aggregate, n: Option<usize>, values: &[i64]) -> Option<Output> {
        aggregate(function, n, values.iter().map(|value| Value::int(*value)).collect())
    }

    #[test]
    fn the_middle_of_an_even_group_is_a_mean() {
        let half = Value::double(2.5).expect("finite");
        assert_eq!(of(Aggregate::Median, None, &[4, 1, 3, 2]), Some(Output::Value(half)));
        assert_eq!(of(Aggregate::Median, None, &[9, 1, 3]), Some(Output::Value(Value::int(3))));
    }

    #[test]
    fn several_least_and_greatest() {
        let list = |values: &[i64]| {
            Some(Output::List(values.iter().map(|value| Value::int(*value)).collect()))
        };
        assert_eq!(of(Aggregate::Min, Some(2), &[5, 1, 1, 7]), list(&[1, 1]));
        assert_eq!(of(Aggregate::Max, Some(2), &[5, 1, 1, 7]), list(&[7, 5]));
        assert_eq!(of(Aggregate::Distinct, None, &[5, 1, 1]), list(&[1, 5]));
    }

    #[test]
    fn a_draw_repeats() {
        let values: Vec<Value> = (0..50).map(Value::int).collect();
        let reversed: Vec<Value> = values.iter().rev().cloned().collect();
        let drawn = aggregate(Aggregate::Sample, Some(5), values);
        assert!(matches!(&drawn, Some(Output::List(list)) if list.len() == 5));
        assert_eq!(drawn, aggregate(Aggregate::Sample, Some(5), reversed.clone()));
        let values: Vec<Value> = reversed.iter().rev().cloned().collect();
        let drawn = aggregate(Aggregate::Rand, Some(60), values);
        let Some(Output::List(list)) = &drawn else { panic!("{drawn:?}") };
        let different: BTreeSet<&Value> = list.iter().collect();
        assert!(list.len() == 60 && different.len() > 20, "60 draws of 50, some of them again");
        assert_eq!(drawn, aggregate(Aggregate::Rand, Some(60), reversed));
    }
}
