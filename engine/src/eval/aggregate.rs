//! Aggregates over the values of one group.
//!
//! A group is a bag: one value for each distinct tuple of the find and `:with` variables. Its
//! members come as codes, which are ordered as the values are, so most aggregates never see a
//! value: sums of integers are sums of distances from the least one, and only a result is decoded.
//! Numeric aggregates of a group that holds something else have no result, and its row is absent.
//! Everything is independent of the order of the bag.

use std::ops::Range;

use super::exact::{DistanceSpread, ExactSum, Spread};
use super::meter::Meter;
use super::order::{Ordered, sort, sort_distinct};
use super::scratch::Scratch;
use crate::answer::Output;
use crate::error::QueryError;
use crate::intern::Cell;
use crate::program::Aggregate;
use crate::sort::sort_by;
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

    /// The aggregate of a group that is not empty; none where it has no result. A group may be
    /// all rows there are, so limits are looked at for each block of its members.
    pub(super) fn aggregate(
        &self,
        function: Aggregate,
        n: Option<usize>,
        group: Range<usize>,
        meter: &Meter,
    ) -> Result<Option<Output>, QueryError> {
        let number = |number: Option<Number>| number.map(Value::Number);
        let value = match (function, n) {
            (Aggregate::Count, _) => Some(count(group.len())),
            (Aggregate::CountDistinct, _) => Some(count(self.distinct(group, meter)?.len())),
            (Aggregate::Sum, _) => number(self.sum(group, meter)?.and_then(|sum| sum.sum())),
            (Aggregate::Avg, _) => number(self.sum(group, meter)?.and_then(|sum| sum.mean())),
            (Aggregate::Min, None) => self.extreme(group, u64::min, meter)?,
            (Aggregate::Max, None) => self.extreme(group, u64::max, meter)?,
            (Aggregate::Min, Some(n)) => {
                let sorted = self.sorted(group, meter)?;
                return self.list(&sorted[..n.min(sorted.len())], meter).map(Some);
            }
            (Aggregate::Max, Some(n)) => {
                let mut sorted = self.sorted(group, meter)?;
                sorted.reverse();
                return self.list(&sorted[..n.min(sorted.len())], meter).map(Some);
            }
            (Aggregate::Median, _) => number(self.median(group, meter)?),
            (Aggregate::Variance, _) => number(self.variance(group, meter)?),
            (Aggregate::Stddev, _) => {
                let variance = self.variance(group, meter)?;
                variance.and_then(|variance| Value::double(variance.to_f64().sqrt()).ok())
            }
            (Aggregate::Distinct, _) => {
                return self.list(&self.distinct(group, meter)?, meter).map(Some);
            }
            (Aggregate::Sample | Aggregate::Rand, _) => {
                let values = self.values(&self.distinct(group, meter)?, meter)?;
                return draw(function, n, values, meter);
            }
        };
        Ok(value.map(Output::Value))
    }

    /// The cell of one row.
    pub(super) fn cell(&self, row: usize) -> Cell {
        self.ordered.coding(self.source).cell(self.ordered.code(row, self.source))
    }

    fn value(&self, code: u64) -> Value {
        self.ordered.coding(self.source).value(code, self.scratch)
    }

    fn values(&self, codes: &[u64], meter: &Meter) -> Result<Vec<Value>, QueryError> {
        meter.map(codes, |code| self.value(*code))
    }

    fn list(&self, codes: &[u64], meter: &Meter) -> Result<Output, QueryError> {
        Ok(Output::List(self.values(codes, meter)?))
    }

    fn number(&self, code: u64) -> Option<Number> {
        match self.value(code) {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// What adding the codes of a group one by one makes of nothing.
    #[inline]
    fn fold<Sum: Default>(
        &self,
        group: Range<usize>,
        meter: &Meter,
        mut add: impl FnMut(&mut Sum, u64),
    ) -> Result<Sum, QueryError> {
        let mut total = Sum::default();
        meter.in_blocks_of(group, |block| {
            // A sum of its own for each block stays in registers.
            let mut sum = std::mem::take(&mut total);
            self.ordered.for_each_code(block, self.source, |code| add(&mut sum, code));
            total = sum;
        })?;
        Ok(total)
    }

    fn codes(&self, group: Range<usize>, meter: &Meter) -> Result<Vec<u64>, QueryError> {
        self.fold(group, meter, Vec::push)
    }

    fn sorted(&self, group: Range<usize>, meter: &Meter) -> Result<Vec<u64>, QueryError> {
        let bits = self.ordered.coding(self.source).bits();
        sort(self.codes(group, meter)?, 0, bits, meter)
    }

    fn distinct(&self, group: Range<usize>, meter: &Meter) -> Result<Vec<u64>, QueryError> {
        let bits = self.ordered.coding(self.source).bits();
        sort_distinct(self.codes(group, meter)?, bits, meter)
    }

    fn extreme(
        &self,
        group: Range<usize>,
        pick: impl Fn(u64, u64) -> u64,
        meter: &Meter,
    ) -> Result<Option<Value>, QueryError> {
        let found = self.fold(group, meter, |found: &mut Option<u64>, code| {
            *found = Some(found.map_or(code, |found| pick(found, code)));
        })?;
        Ok(found.map(|code| self.value(code)))
    }

    /// The same of the members as numbers; none where one is no number, which is enough for no
    /// result.
    fn fold_numbers<Sum: Default>(
        &self,
        group: Range<usize>,
        meter: &Meter,
        add: impl Fn(&mut Sum, Number),
    ) -> Result<Option<Sum>, QueryError> {
        let (sum, has_others) =
            self.fold(group, meter, |(sum, has_others), code| match self.number(code) {
                Some(number) => add(sum, number),
                None => *has_others = true,
            })?;
        Ok((!has_others).then_some(sum))
    }

    fn sum(&self, group: Range<usize>, meter: &Meter) -> Result<Option<ExactSum>, QueryError> {
        let n_members = group.len() as u64;
        if let Some(base) = self.integer_base {
            let distances = self.fold(group, meter, |sum, code| *sum += u128::from(code))?;
            return Ok(Some(ExactSum::of_distances(base, distances, n_members)));
        }
        self.fold_numbers(group, meter, ExactSum::add)
    }

    fn median(&self, group: Range<usize>, meter: &Meter) -> Result<Option<Number>, QueryError> {
        let are_integers = self.integer_base.is_some();
        if !are_integers && self.fold_numbers(group.clone(), meter, |(), _| {})?.is_none() {
            return Ok(None);
        }
        let sorted = self.sorted(group, meter)?;
        let middle = sorted.len() / 2;
        let upper = self.number(sorted[middle]);
        if !sorted.len().is_multiple_of(2) {
            return Ok(upper);
        }
        let lower = self.number(sorted[middle - 1]);
        Ok(lower.zip(upper).and_then(|(lower, upper)| ExactSum::of([lower, upper]).mean()))
    }

    fn variance(&self, group: Range<usize>, meter: &Meter) -> Result<Option<Number>, QueryError> {
        if self.integer_base.is_some() {
            let spread = self.fold(group.clone(), meter, DistanceSpread::add)?;
            if let Some(variance) = spread.variance() {
                return Ok(variance);
            }
        }
        let spread = self.fold_numbers(group, meter, Spread::add)?;
        Ok(spread.and_then(|spread| spread.variance()))
    }
}

fn count(n: usize) -> Value {
    Value::int(i64::try_from(n).expect("fewer than 2^63 values fit memory"))
}

/// Draws from different values in their order by a hash of them, so that one group always gives one answer: `(sample n ?x)`
/// different values, `(rand ?x)` one value, `(rand n ?x)` n values with repeats.
fn draw(
    function: Aggregate,
    n: Option<usize>,
    values: Vec<Value>,
    meter: &Meter,
) -> Result<Option<Output>, QueryError> {
    if function == Aggregate::Sample {
        return sample(n.unwrap_or(1), &values, meter).map(Some);
    }
    let pick = picker(&values, meter)?;
    let Some(n) = n else { return Ok(pick(0).map(Output::Value)) };
    let mut picked = Vec::new();
    for index in 0..n {
        picked.extend(pick(index as u64));
        meter.check_at(index)?;
    }
    Ok(Some(Output::List(picked)))
}

/// Those of some different values, which ascend, that have the least hashes.
fn sample(n: usize, values: &[Value], meter: &Meter) -> Result<Output, QueryError> {
    let hash = |value: &Value| *blake3::hash(&value.to_canonical()).as_bytes();
    let hashes = meter.map(values, hash)?;
    let by_hash = |a: &usize, b: &usize| hashes[*a].cmp(&hashes[*b]);
    let mut drawn = sort_by((0..values.len()).collect(), by_hash, || meter.check())?;
    drawn.truncate(n);
    let drawn = sort_by(drawn, Ord::cmp, || meter.check())?;
    Ok(Output::List(meter.map(&drawn, |index| values[*index].clone())?))
}

/// Picks any one of the values for each number, all of them equally often.
fn picker<'v>(
    values: &'v [Value],
    meter: &Meter,
) -> Result<impl Fn(u64) -> Option<Value> + use<'v>, QueryError> {
    let mut hasher = blake3::Hasher::new();
    meter.in_blocks(values.len(), |block| {
        for value in &values[block] {
            let bytes = value.to_canonical();
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(&bytes);
        }
    })?;
    let seed = *hasher.finalize().as_bytes();
    Ok(move |number: u64| {
        let hash = blake3::keyed_hash(&seed, &number.to_le_bytes());
        let first = *hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        let index = u64::from_le_bytes(first).checked_rem(values.len() as u64)?;
        values.get(index as usize).cloned()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::eval::meter::tests::n_looks;
    use crate::eval::order::{Found, Source};
    use crate::intern::Dictionary;
    use crate::limits::{BLOCK, Budget};

    fn aggregate(function: Aggregate, n: Option<usize>, values: Vec<Value>) -> Option<Output> {
        let dictionary = Dictionary::default();
        let cells: Vec<Cell> = values.iter().map(|value| dictionary.intern(value)).collect();
        let n_rows = cells.len();
        let found = Found { n_rows, sources: vec![Source::Cells(cells)], elements: vec![0] };
        let (scratch, meter) = (Scratch::new(&dictionary), Meter::new(&Budget::unlimited()));
        let (ordered, starts) = found.group(&[], &scratch, &meter).expect("there is no limit");
        assert_eq!(starts, [0]);
        let members = Members::new(&ordered, 0, &scratch);
        members.aggregate(function, n, 0..n_rows, &meter).expect("there is no limit")
    }

    fn of(function: Aggregate, n: Option<usize>, values: &[i64]) -> Option<Output> {
        aggregate(function, n, values.iter().map(|value| Value::int(*value)).collect())
    }

    /// However large a group is, no aggregate goes through more than a block of it unasked.
    #[test]
    fn limits_are_looked_at_within_one_group() {
        let n_rows = 20 * BLOCK;
        let spread = |row: usize| row * 7_919 % n_rows;
        let integer = |row| Value::int(spread(row) as i64);
        let double = |row| Value::double(spread(row) as f64 + 0.5).expect("finite");
        let makes: [&dyn Fn(usize) -> Value; 2] = [&integer, &double];
        for make in makes {
            let dictionary = Dictionary::default();
            let cells = (0..n_rows).map(|row| dictionary.intern(&make(row))).collect();
            let found = Found { n_rows, sources: vec![Source::Cells(cells)], elements: vec![0] };
            let (scratch, meter) = (Scratch::new(&dictionary), Meter::new(&Budget::unlimited()));
            let (ordered, _) = found.group(&[], &scratch, &meter).expect("there is no limit");
            let members = Members::new(&ordered, 0, &scratch);
            let n_and_passes = [
                (Aggregate::CountDistinct, None, 2),
                (Aggregate::Sum, None, 1),
                (Aggregate::Avg, None, 1),
                (Aggregate::Min, None, 1),
                (Aggregate::Max, Some(n_rows), 3),
                (Aggregate::Median, None, 2),
                (Aggregate::Variance, None, 1),
                (Aggregate::Stddev, None, 1),
                (Aggregate::Distinct, None, 3),
                (Aggregate::Sample, Some(n_rows), 4),
                (Aggregate::Rand, Some(n_rows), 3),
            ];
            for (function, n, n_passes) in n_and_passes {
                let looks =
                    n_looks(|meter| members.aggregate(function, n, 0..n_rows, meter).map(drop));
                assert!(looks >= n_passes * 20, "{function:?}: {looks} looks in {n_passes} passes");
            }
        }
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
