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
    /// The doubles that are no integers.
    doubles: Option<Box<Limbs>>,
    n_doubles: u64,
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

    /// The sum of integers that are given by their distances from one of them: of `n_numbers`,
    /// fewer than 2^64, whose distances, each below 2^60, sum up to this.
    pub(crate) fn of_distances(base: i64, distances: u128, n_numbers: u64) -> ExactSum {
        let distances = i128::try_from(distances).expect("2^64 distances below 2^60 stay below");
        let integers = i128::from(base) * i128::from(n_numbers) + distances;
        ExactSum { integers, n_numbers, ..ExactSum::default() }
    }

    pub(crate) fn add(&mut self, number: Number) {
        self.n_numbers += 1;
        match number.as_i64() {
            Some(integer) => self.integers += i128::from(integer),
            None => {
                self.n_doubles += 1;
                self.doubles.get_or_insert_default().add(number.to_f64());
            }
        }
    }

    /// Takes out a number that was added: the sum is as if it never had been.
    pub(crate) fn remove(&mut self, number: Number) {
        self.n_numbers -= 1;
        match (number.as_i64(), &mut self.doubles) {
            (Some(integer), _) => self.integers -= i128::from(integer),
            (None, Some(doubles)) => {
                doubles.add(-number.to_f64());
                self.n_doubles -= 1;
            }
            (None, None) => unreachable!("only what was added is removed"),
        }
        if self.n_doubles == 0 {
            // Without doubles integers are divided as integers.
            self.doubles = None;
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
        let Some(doubles) = &self.doubles else {
            let (quotient, rest) =
                (self.integers / i128::from(divisor), self.integers % i128::from(divisor));
            return match i64::try_from(quotient) {
                Ok(integer) if rest == 0 => Some(Number::from(integer)),
                _ => ratio(&BigInt::from(self.integers), &BigInt::from(divisor)),
            };
        };
        let total = doubles.in_units() + (BigInt::from(self.integers) << -EXPONENT_MIN);
        ratio(&total, &(BigInt::from(divisor) << -EXPONENT_MIN))
    }
}

/// Bits of a limb that a double's own bits are added to; the others take what is carried.
const LIMB_BITS: u32 = 32;

/// Doubles have 2,098 bits in units of 2^-1074; a double reaches into three limbs.
const N_LIMBS: usize = 68;

/// A sum of doubles as a long integer in units of 2^-1074, whose limbs carry only now and then: an
/// addition touches three words, whatever has been added before.
///
/// Source: Neal, *Fast exact summation using small and large superaccumulators*, 2015.
#[derive(Debug, Clone)]
struct Limbs {
    /// Formula: the sum is `Σ limbs[i] · 2^(32 i)`; limbs may be negative.
    limbs: [i64; N_LIMBS],
    /// Additions since limbs last carried; each adds less than 2^32 to a limb.
    n_added: u32,
}

impl Default for Limbs {
    fn default() -> Limbs {
        Limbs { limbs: [0; N_LIMBS], n_added: 0 }
    }
}

impl Limbs {
    fn add(&mut self, double: f64) {
        if self.n_added == 1 << 30 {
            self.carry();
        }
        self.n_added += 1;
        let (is_negative, mantissa, shift) = parts(double);
        let shifted = u128::from(mantissa) << (shift % LIMB_BITS);
        for (place, limb) in
            self.limbs[(shift / LIMB_BITS) as usize..].iter_mut().take(3).enumerate()
        {
            let part = i64::from((shifted >> (LIMB_BITS * place as u32)) as u32);
            *limb += if is_negative { -part } else { part };
        }
    }

    /// Leaves less than 2^32 in every limb but the last, which holds the sign.
    fn carry(&mut self) {
        let mut carried = 0;
        let (last, limbs) = self.limbs.split_last_mut().expect("there are limbs");
        for limb in limbs {
            let sum = *limb + carried;
            *limb = sum & i64::from(u32::MAX);
            carried = sum >> LIMB_BITS;
        }
        *last += carried;
        self.n_added = 0;
    }

    fn in_units(&self) -> BigInt {
        let used = self.limbs.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
        let first = self.limbs.iter().position(|limb| *limb != 0).unwrap_or(0);
        let limbs = self.limbs[first..used.max(first)].iter().rev();
        let sum = limbs.fold(BigInt::ZERO, |sum, limb| (sum << LIMB_BITS) + limb);
        sum << (LIMB_BITS as usize * first)
    }
}

/// A finite double as its sign, and `mantissa · 2^shift` in units of 2^-1074.
fn parts(double: f64) -> (bool, u64, u32) {
    let bits = double.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as u32, bits & ((1 << 52) - 1));
    let (mantissa, shift) = match exponent {
        0 => (fraction, 0),
        _ => (fraction | 1 << 52, exponent - 1),
    };
    (bits >> 63 == 1, mantissa, shift)
}

/// What the population variance is made of, for integers that are given by their distances from
/// one of them: distances have the same variance.
#[derive(Debug)]
pub(crate) struct DistanceSpread {
    n_numbers: u128,
    sum: u128,
    /// None once it does not fit.
    squares: Option<u128>,
}

impl Default for DistanceSpread {
    fn default() -> DistanceSpread {
        DistanceSpread { n_numbers: 0, sum: 0, squares: Some(0) }
    }
}

impl DistanceSpread {
    /// Fewer than 2^64 are ever added.
    pub(crate) fn add(&mut self, distance: u64) {
        let distance = u128::from(distance);
        self.n_numbers += 1;
        self.sum += distance;
        self.squares = self.squares.and_then(|squares| squares.checked_add(distance * distance));
    }

    /// The variance, which none have of nothing; outside none where it does not fit 128 bits.
    pub(crate) fn variance(&self) -> Option<Option<Number>> {
        let n_numbers = self.n_numbers;
        if n_numbers == 0 {
            return Some(None);
        }
        let squares = self.squares?.checked_mul(n_numbers)?;
        let numerator = squares.checked_sub(self.sum.checked_mul(self.sum)?)?;
        Some(ratio(&BigInt::from(numerator), &BigInt::from(n_numbers * n_numbers)))
    }
}

/// What the population variance of any numbers is made of.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    n_numbers: u64,
    /// In units of 2^-1074.
    sum: BigInt,
    /// In units of 2^-2148.
    squares: BigInt,
}

impl Spread {
    pub(crate) fn add(&mut self, number: Number) {
        let number = in_units(number);
        self.n_numbers += 1;
        self.squares += &number * &number;
        self.sum += number;
    }

    /// The variance, `(n Σx² − (Σx)²) / n²`, rounded once; none of nothing.
    pub(crate) fn variance(&self) -> Option<Number> {
        if self.n_numbers == 0 {
            return None;
        }
        let n_numbers = BigInt::from(self.n_numbers);
        let unit_squared: BigInt = BigInt::from(1) << (-2 * EXPONENT_MIN);
        let numerator = &n_numbers * &self.squares - &self.sum * &self.sum;
        ratio(&numerator, &(&n_numbers * &n_numbers * unit_squared))
    }
}

/// A number in units of 2^-1074.
fn in_units(number: Number) -> BigInt {
    if let Some(integer) = number.as_i64() {
        return BigInt::from(integer) << -EXPONENT_MIN;
    }
    let (is_negative, mantissa, shift) = parts(number.to_f64());
    let magnitude = BigInt::from(mantissa) << shift;
    if is_negative { -magnitude } else { magnitude }
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

    fn variance(numbers: &[Number]) -> Option<Number> {
        let mut spread = Spread::default();
        numbers.iter().for_each(|number| spread.add(*number));
        spread.variance()
    }

    proptest! {
        #[test]
        fn one_double_is_its_own_sum(double in any::<f64>().prop_filter("finite", |d| d.is_finite())) {
            prop_assert_eq!(sum(&[double, 0.5, -0.5]), Some(double + 0.0));
        }

        /// Against the same sum in integers of any length, which rounds nothing on the way.
        #[test]
        fn limbs_lose_nothing(
            doubles in proptest::collection::vec(any::<f64>().prop_filter("finite", |d| d.is_finite()), 0..40),
        ) {
            let mut limbs = Limbs::default();
            let mut carried = Limbs::default();
            for double in &doubles {
                limbs.add(*double);
                carried.add(*double);
                carried.carry();
            }
            let expected: BigInt = doubles
                .iter()
                .map(|double| {
                    let (is_negative, mantissa, shift) = parts(*double);
                    let magnitude = BigInt::from(mantissa) << shift;
                    if is_negative { -magnitude } else { magnitude }
                })
                .sum();
            prop_assert_eq!(&limbs.in_units(), &expected);
            prop_assert_eq!(carried.in_units(), expected);
        }

        #[test]
        fn distances_give_what_the_integers_give(
            base in any::<i64>(),
            distances in proptest::collection::vec(
                prop_oneof![0..9_u64, 0..1_u64 << 33, 0..1_u64 << 60], 1..20),
        ) {
            let integers: Option<Vec<i64>> =
                distances.iter().map(|distance| base.checked_add_unsigned(*distance)).collect();
            prop_assume!(integers.is_some());
            let numbers: Vec<Number> =
                integers.unwrap_or_default().into_iter().map(Number::from).collect();
            let total = distances.iter().map(|distance| u128::from(*distance)).sum();
            let sum = ExactSum::of_distances(base, total, distances.len() as u64);
            let expected = ExactSum::of(numbers.iter().copied());
            prop_assert_eq!(sum.sum(), expected.sum());
            prop_assert_eq!(sum.mean(), expected.mean());
            let mut spread = DistanceSpread::default();
            distances.iter().for_each(|distance| spread.add(*distance));
            if let Some(quick) = spread.variance() {
                prop_assert_eq!(quick, variance(&numbers));
            }
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
