//! Aggregates over the values of one group.
//!
//! A group is a bag: one value for each distinct tuple of the find and `:with` variables. Numeric
//! aggregates of a group that holds something else have no result, and its row is absent.
//! Everything is independent of the order of the bag.

use super::exact::{ExactSum, variance};
use crate::answer::Output;
use crate::program::Aggregate;
use crate::value::{Number, Value};

/// The aggregate of a group that is not empty; none where it has no result.
pub(crate) fn aggregate(
    function: Aggregate,
    n: Option<usize>,
    mut values: Vec<Value>,
) -> Option<Output> {
    let value = match function {
        Aggregate::Count => count(values.len()),
        Aggregate::CountDistinct => {
            values.sort_unstable();
            values.dedup();
            count(values.len())
        }
        Aggregate::Sum => Value::Number(ExactSum::of(numbers(&values)?).sum()?),
        Aggregate::Avg => Value::Number(ExactSum::of(numbers(&values)?).mean()?),
        Aggregate::Min => match n {
            None => values.into_iter().min()?,
            Some(n) => return Some(Output::List(first(values, n))),
        },
        Aggregate::Max => match n {
            None => values.into_iter().max()?,
            Some(n) => return Some(Output::List(last(values, n))),
        },
        Aggregate::Median => Value::Number(median(numbers(&values)?)?),
        Aggregate::Variance => Value::Number(variance(&numbers(&values)?)?),
        Aggregate::Stddev => Value::double(variance(&numbers(&values)?)?.to_f64().sqrt()).ok()?,
        Aggregate::Distinct => {
            values.sort_unstable();
            values.dedup();
            return Some(Output::List(values));
        }
        Aggregate::Sample | Aggregate::Rand => return draw(function, n, values),
    };
    Some(Output::Value(value))
}

fn count(n: usize) -> Value {
    Value::int(i64::try_from(n).expect("fewer than 2^63 values fit memory"))
}

fn numbers(values: &[Value]) -> Option<Vec<Number>> {
    let number = |value: &Value| match value {
        Value::Number(number) => Some(*number),
        _ => None,
    };
    values.iter().map(number).collect()
}

fn first(mut values: Vec<Value>, n: usize) -> Vec<Value> {
    values.sort_unstable();
    values.truncate(n);
    values
}

fn last(mut values: Vec<Value>, n: usize) -> Vec<Value> {
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.truncate(n);
    values
}

fn median(mut numbers: Vec<Number>) -> Option<Number> {
    numbers.sort_unstable();
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 {
        return numbers.get(middle).copied();
    }
    ExactSum::of(numbers.get(middle.checked_sub(1)?..=middle)?.iter().copied()).mean()
}

/// Draws by a hash of the values, so that one group always gives one answer: `(sample n ?x)`
/// different values, `(rand ?x)` one value, `(rand n ?x)` n values with repeats.
fn draw(function: Aggregate, n: Option<usize>, mut values: Vec<Value>) -> Option<Output> {
    values.sort_unstable();
    values.dedup();
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
