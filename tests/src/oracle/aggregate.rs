//! Aggregates over a bag of values, with exact rational numbers.
//!
//! Every finite double and every integer is a rational number, so sums, means and variances are
//! computed without any rounding. A result that is an integer of 64 bits is that integer; any other
//! is rounded once, to the nearest double. An aggregate over numbers has no result when its bag
//! holds anything else, or when the result is beyond all doubles.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};
use tercet_engine::answer::Output;
use tercet_engine::value::{Number, Value};

/// The result of an aggregate over a bag of values that is not empty, if it has one.
///
/// # Panics
/// When there is no such aggregate.
pub fn aggregate(function: &str, n: Option<usize>, bag: &[Value]) -> Option<Output> {
    let mut sorted = bag.to_vec();
    sorted.sort();
    let distinct = || bag.iter().cloned().collect::<BTreeSet<_>>();
    let output = match (function, n) {
        ("count", _) => Output::Value(Value::int(bag.len() as i64)),
        ("count-distinct", _) => Output::Value(Value::int(distinct().len() as i64)),
        ("distinct", _) => Output::List(distinct().into_iter().collect()),
        ("min", None) => Output::Value(sorted.first()?.clone()),
        ("max", None) => Output::Value(sorted.last()?.clone()),
        ("min", Some(n)) => Output::List(sorted.into_iter().take(n).collect()),
        ("max", Some(n)) => Output::List(sorted.into_iter().rev().take(n).collect()),
        ("sample", Some(n)) => {
            let hash = |value: &Value| blake3::hash(&value.to_canonical()).to_hex().to_string();
            let hashed = distinct().into_iter().map(|value| (hash(&value), value));
            let first = hashed.collect::<BTreeSet<_>>().into_iter().take(n);
            Output::List(
                first.map(|(_, value)| value).collect::<BTreeSet<_>>().into_iter().collect(),
            )
        }
        ("rand", None) => Output::Value(drawn(&distinct(), 0)),
        ("rand", Some(n)) => Output::List((0..n).map(|draw| drawn(&distinct(), draw)).collect()),
        _ => Output::Value(numeric(function, &sorted)?),
    };
    Some(output)
}

/// One of several values, by the number of the draw: a hash under the hash of all of them.
fn drawn(values: &BTreeSet<Value>, draw: usize) -> Value {
    let mut all = Vec::new();
    for value in values {
        let bytes = value.to_canonical();
        all.extend((bytes.len() as u64).to_le_bytes());
        all.extend(bytes);
    }
    let hash = blake3::keyed_hash(blake3::hash(&all).as_bytes(), &(draw as u64).to_le_bytes());
    let number = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes"));
    values.iter().nth((number % values.len() as u64) as usize).expect("one of them").clone()
}

fn numeric(function: &str, sorted: &[Value]) -> Option<Value> {
    let exact = sorted.iter().map(|value| match value {
        Value::Number(number) => Some(rational(*number)),
        _ => None,
    });
    let exact = exact.collect::<Option<Vec<_>>>()?;
    let n = BigRational::from_integer(BigInt::from(exact.len()));
    let sum: BigRational = exact.iter().sum();
    let mean = &sum / &n;
    let variance = || {
        let deviations = exact.iter().map(|number| (number - &mean) * (number - &mean));
        deviations.sum::<BigRational>() / &n
    };
    match function {
        "sum" => nearest_value(&sum),
        "avg" => nearest_value(&mean),
        "median" => {
            let (low, high) = ((exact.len() - 1) / 2, exact.len() / 2);
            nearest_value(&((&exact[low] + &exact[high]) / BigInt::from(2)))
        }
        "variance" => nearest_value(&variance()),
        "stddev" => Value::double(nearest_double(&variance()).sqrt()).ok(),
        _ => panic!("no aggregate {function}"),
    }
}

/// The integer, if the number is one of 64 bits; else the nearest double, if there is one.
fn nearest_value(number: &BigRational) -> Option<Value> {
    match number.to_integer().to_i64() {
        Some(int) if number.is_integer() => Some(Value::int(int)),
        _ => Value::double(nearest_double(number)).ok(),
    }
}

fn rational(number: Number) -> BigRational {
    match number.as_i64() {
        Some(int) => BigRational::from_integer(BigInt::from(int)),
        None => BigRational::from_float(number.to_f64()).expect("numbers are finite"),
    }
}

/// The double nearest to a number, the one with an even last bit when two are equally near;
/// an infinity when it lies beyond all doubles.
fn nearest_double(number: &BigRational) -> f64 {
    // Whatever the library gives is only where the search starts.
    let mut guess = number.to_f64().filter(|guess| guess.is_finite()).unwrap_or(f64::MAX);
    if number.is_negative() && guess == f64::MAX {
        guess = f64::MIN;
    }
    loop {
        let better =
            [guess.next_down(), guess.next_up()].into_iter().find(|other| {
                match distance(number, *other).cmp(&distance(number, guess)) {
                    Ordering::Less => true,
                    Ordering::Equal => is_even(*other),
                    Ordering::Greater => false,
                }
            });
        match better {
            Some(other) if other.is_finite() => guess = other,
            Some(infinity) => return infinity,
            None => return guess,
        }
    }
}

/// How far a double is from a number; the doubles' next step after the greatest stands for the
/// infinities, as IEEE 754 rounding has it.
fn distance(number: &BigRational, double: f64) -> BigRational {
    let exact = if double.is_finite() {
        BigRational::from_float(double).expect("finite")
    } else {
        let beyond = BigRational::from_integer(BigInt::from(2).pow(1024));
        if double > 0.0 { beyond } else { -beyond }
    };
    (number - exact).abs()
}

fn is_even(double: f64) -> bool {
    double.is_zero() || double.is_infinite() || double.to_bits() & 1 == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_then_to_even() {
        let power = |n: u32| BigInt::from(2).pow(n);
        let two_53 = power(53);
        let nearest = |n: BigInt, d: i64| nearest_double(&BigRational::new(n, BigInt::from(d)));
        assert_eq!(nearest(BigInt::from(1), 3), 1.0 / 3.0);
        assert_eq!(nearest(&two_53 + 1, 1), 9_007_199_254_740_992.0);
        assert_eq!(nearest(&two_53 + 3, 1), 9_007_199_254_740_996.0);
        assert_eq!(nearest((&two_53 + 1) * 1000 + 1, 1000), 9_007_199_254_740_994.0);
        assert_eq!(nearest(BigInt::from(-1), 10), -0.1);
        assert_eq!(nearest(BigInt::zero(), 1), 0.0);
        assert_eq!(nearest(power(1023), 1), 2f64.powi(1023));
        assert_eq!(nearest(power(1024), 1), f64::INFINITY);
        assert_eq!(nearest(-power(2000), 1), f64::NEG_INFINITY);
        let smallest = BigRational::from_float(f64::from_bits(1)).unwrap();
        assert_eq!(nearest_double(&(&smallest / BigInt::from(2))), 0.0);
        assert_eq!(nearest_double(&(&smallest * BigInt::from(3) / BigInt::from(4))).to_bits(), 1);
    }

    #[test]
    fn cancellation_loses_nothing() {
        let bag = [1e300, 0.1, -1e300].map(|double| Value::double(double).unwrap());
        assert_eq!(numeric("sum", &bag), Some(Value::double(0.1).unwrap()));
        let ints = [i64::MAX, i64::MAX].map(Value::int);
        assert_eq!(numeric("sum", &ints), Some(Value::double(2f64.powi(64)).unwrap()));
        assert_eq!(numeric("avg", &[1, 2].map(Value::int)), Some(Value::double(1.5).unwrap()));
        assert_eq!(numeric("sum", &[Value::int(1), Value::from("x")]), None);
    }
}
