//! Exact sums: the same bits whatever the order and grouping of the numbers.
//!
//! Integers are added in 128 bits, doubles as integers of any length in units of 2^-1074 (every
//! finite double is a multiple of it). Only the end result is rounded, once, to the nearest
//! double, ties to even. A result that is an integer of 64 bits stays one.

use num_bigint::{BigInt, BigUint, Sign};

use crate::value::Number;

/// The exponent of the smallest double.
const EXPONENT_MIN: i64 = -1_074;

/// A sum of numbers, exactly.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExactSum {
    /// The integers; 2^64 of them fit.
    integers: i128,
    /// The doubles, in units of 2^-1074.
    doubles: BigInt,
    n_numbers: u64,
}

impl ExactSum {
    pub(crate) fn of(numbers: impl IntoIterator<Item = Number>) -> ExactSum {
        let mut sum = ExactSum::default();
        for number in numbers {
            sum.add(number);
        }
        sum
    }

    fn add(&mut self, number: Number) {
        self.n_numbers += 1;
        match number.as_i64() {
            Some(integer) => self.integers += i128::from(integer),
            None => self.doubles += in_units(number),
        }
    }

    /// The sum; none where it is beyond the doubles.
    pub(crate) fn sum(&self) -> Option<Number> {
        self.divided_by(1)
    }

    /// The sum over the count; none of nothing.
    pub(crate) fn mean(&self) -> Option<Number> {
        (self.n_numbers > 0).then(|| self.divided_by(self.n_numbers)).flatten()
    }

    fn divided_by(&self, divisor: u64) -> Option<Number> {
        if self.doubles == BigInt::ZERO
            && self.integers % i128::from(divisor) == 0
            && let Ok(integer) = i64::try_from(self.integers / i128::from(divisor))
        {
            return Some(Number::from(integer));
        }
        let total = &self.doubles + (BigInt::from(self.integers) << -EXPONENT_MIN);
        ratio(&total, &(BigInt::from(divisor) << -EXPONENT_MIN))
    }
}

/// The population variance, `(n Σx² − (Σx)²) / n²`, rounded once; none of nothing.
pub(crate) fn variance(numbers: &[Number]) -> Option<Number> {
    if numbers.is_empty() {
        return None;
    }
    let n_numbers = BigInt::from(numbers.len());
    let in_units: Vec<BigInt> = numbers.iter().map(|number| in_units(*number)).collect();
    let sum: BigInt = in_units.iter().sum();
    let squares: BigInt = in_units.iter().map(|number| number * number).sum();
    let unit_squared: BigInt = BigInt::from(1) << (-2 * EXPONENT_MIN);
    ratio(&(&n_numbers * squares - &sum * &sum), &(&n_numbers * &n_numbers * unit_squared))
}

/// A number in units of 2^-1074.
fn in_units(number: Number) -> BigInt {
    if let Some(integer) = number.as_i64() {
        return BigInt::from(integer) << -EXPONENT_MIN;
    }
    let bits = number.to_f64().to_bits();
    let (exponent, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
    let magnitude = match exponent {
        0 => BigInt::from(fraction),
        _ => BigInt::from(fraction | 1 << 52) << (exponent - 1),
    };
    if bits >> 63 == 1 { -magnitude } else { magnitude }
}

/// `numerator / denominator` (positive) as a number: the integer of 64 bits that it is, or the
/// nearest double; none beyond the doubles.
fn ratio(numerator: &BigInt, denominator: &BigInt) -> Option<Number> {
    let (quotient, rest) = (numerator / denominator, numerator % denominator);
    if rest == BigInt::ZERO
        && let Ok(integer) = i64::try_from(&quotient)
    {
        return Some(Number::from(integer));
    }
    let double = nearest_double(numerator.magnitude(), denominator.magnitude())?;
    let signed = if numerator.sign() == Sign::Minus { -double } else { double };
    Number::from_f64(signed).ok()
}

/// The double nearest to a positive fraction, ties to even.
fn nearest_double(numerator: &BigUint, denominator: &BigUint) -> Option<f64> {
    // A quotient of 64 or 65 bits has at least eleven more than a double keeps.
    let bits = |number: &BigUint| i64::try_from(number.bits()).expect("far below 2^63 bits");
    let shift = 64 - (bits(numerator) - bits(denominator));
    let (scaled, divisor) = if shift >= 0 {
        (numerator << shift, denominator.clone())
    } else {
        (numerator.clone(), denominator << -shift)
    };
    let quotient = u128::try_from(&scaled / &divisor).expect("the quotient has at most 65 bits");
    let is_inexact = scaled % divisor != BigUint::ZERO;
    let top_exponent = i64::from(127 - quotient.leading_zeros()) - shift;
    let last_exponent = (top_exponent - 52).max(EXPONENT_MIN);
    let n_dropped = u32::try_from(last_exponent + shift).expect("at least eleven bits go");
    let kept = quotient.checked_shr(n_dropped).unwrap_or(0);
    let dropped = quotient - kept.checked_shl(n_dropped).unwrap_or(0);
    let half = 1_u128.checked_shl(n_dropped - 1).unwrap_or(u128::MAX);
    let rounds_up = dropped > half || dropped == half && (is_inexact || kept % 2 == 1);
    let kept = u64::try_from(kept).expect("53 bits") + u64::from(rounds_up);
    double_from_parts(kept, last_exponent)
}

/// `mantissa × 2^exponent`, where the mantissa has at most 53 bits, or is 2^53.
fn double_from_parts(mantissa: u64, exponent: i64) -> Option<f64> {
    let (mantissa, exponent) =
        if mantissa == 1 << 53 { (1 << 52, exponent + 1) } else { (mantissa, exponent) };
    if mantissa < 1 << 52 {
        return Some(f64::from_bits(mantissa)); // Subnormal: the exponent is the least one.
    }
    let biased = u64::try_from(exponent - EXPONENT_MIN + 1).expect("not below the least exponent");
    (biased < 0x7ff).then(|| f64::from_bits(biased << 52 | (mantissa - (1 << 52))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(double: f64) -> Number {
        Number::from_f64(double).expect("finite")
    }

    fn sum(doubles: &[f64]) -> Option<f64> {
        ExactSum::of(doubles.iter().copied().map(number)).sum().map(Number::to_f64)
    }

    #[test]
    fn nothing_is_lost_on_the_way() {
        assert_eq!(sum(&[1e300, 1.0, -1e300]), Some(1.0));
        assert_eq!(sum(&[0.1; 10]), Some(1.0));
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), Some(f64::MAX));
        assert_eq!(sum(&[f64::MAX, f64::MAX]), None);
        assert_eq!(sum(&[5e-324, 5e-324]), Some(1e-323));
        assert_eq!(sum(&[2f64.powi(53), 0.5, 0.5, 1.0]), Some(2f64.powi(53) + 2.0));
    }

    #[test]
    fn integers_stay_exact() {
        let numbers = [i64::MAX, i64::MAX, -i64::MAX, 3].map(Number::from);
        assert_eq!(ExactSum::of(numbers[1..].iter().copied()).sum(), Some(Number::from(3)));
        let mean = ExactSum::of([i64::MAX, i64::MAX].map(Number::from)).mean();
        assert_eq!(mean, Some(Number::from(i64::MAX)));
        assert_eq!(ExactSum::default().mean(), None);
    }

    #[test]
    fn variance_is_of_the_population() {
        let numbers = [2, 4, 4, 4, 5, 5, 7, 9].map(Number::from);
        assert_eq!(variance(&numbers), Some(Number::from(4)));
        assert_eq!(variance(&[]), None);
    }

    proptest! {
        #[test]
        fn one_double_is_its_own_sum(double in any::<f64>().prop_filter("finite", |d| d.is_finite())) {
            prop_assert_eq!(sum(&[double, 0.5, -0.5]), Some(double + 0.0));
        }

        #[test]
        fn the_order_and_the_grouping_mean_nothing(
            doubles in proptest::collection::vec(any::<f64>().prop_filter("finite", |d| d.is_finite()), 1..9),
            turn in any::<usize>(),
        ) {
            let mut turned = doubles.clone();
            turned.rotate_left(turn % doubles.len());
            let numbers = |doubles: &[f64]| doubles.iter().copied().map(number).collect::<Vec<_>>();
            let (straight, turned) = (numbers(&doubles), numbers(&turned));
            let sums = |numbers: &[Number]| ExactSum::of(numbers.iter().copied());
            prop_assert_eq!(sums(&straight).sum(), sums(&turned).sum());
            prop_assert_eq!(sums(&straight).mean(), sums(&turned).mean());
            prop_assert_eq!(variance(&straight), variance(&turned));
        }

        #[test]
        fn two_doubles_round_as_the_machine_does(a in -1e300..1e300_f64, b in any::<i32>()) {
            let b = f64::from(b) / 7.0;
            prop_assert_eq!(sum(&[a, b]), Some(a + b));
        }
    }
}
