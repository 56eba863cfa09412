//! Arithmetic.
//!
//! Numbers are exact while they are integers of 64 bits; any double makes the arithmetic double.
//! Overflow, division by zero and a result that is not finite give no result. A power is of
//! integers only, because powers of doubles are not rounded alike on all machines.

use std::cmp::Ordering;

use super::{integer, number, truth};
use crate::program::functions::Function;
use crate::value::{Number, Value};

pub(super) fn call(function: Function, args: &[Value]) -> Option<Value> {
    use Function::*;
    match function {
        Add => fold(args, i64::checked_add, |a, b| a + b),
        Multiply => fold(args, i64::checked_mul, |a, b| a * b),
        Subtract => match args {
            [only] => fold(&[Value::int(0), only.clone()], i64::checked_sub, |a, b| a - b),
            _ => fold(args, i64::checked_sub, |a, b| a - b),
        },
        Increment => fold(&[args[0].clone(), Value::int(1)], i64::checked_add, |a, b| a + b),
        Decrement => fold(&[args[0].clone(), Value::int(1)], i64::checked_sub, |a, b| a - b),
        Divide => divide(number(&args[0])?, number(&args[1])?),
        Quotient => integers(args, i64::checked_div),
        // The rest of the least integer by -1 is 0, though the quotient has no place.
        Remainder => integers(args, |a, b| (b != 0).then(|| a.wrapping_rem(b))),
        Modulo => integers(args, |a, b| {
            let rest = (b != 0).then(|| a.wrapping_rem(b))?;
            Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
        }),
        Power => integers(args, |a, n| a.checked_pow(u32::try_from(n).ok()?)),
        Absolute => whole(&args[0], i64::checked_abs, f64::abs),
        Floor => whole(&args[0], Some, f64::floor),
        Ceiling => whole(&args[0], Some, f64::ceil),
        Round => whole(&args[0], Some, f64::round),
        SquareRoot => Value::double(number(&args[0])?.to_f64().sqrt()).ok(),
        IsZero => truth(sign(args)?.is_eq()),
        IsPositive => truth(sign(args)?.is_gt()),
        IsNegative => truth(sign(args)?.is_lt()),
        IsEven => truth(integer(&args[0])? % 2 == 0),
        IsOdd => truth(integer(&args[0])? % 2 != 0),
        _ => unreachable!("{function:?} is no arithmetic"),
    }
}

/// How a number compares to 0.
fn sign(args: &[Value]) -> Option<Ordering> {
    Some(number(&args[0])?.cmp(&Number::from(0)))
}

/// Applies an operation from left to right: on integers while all are, else on doubles.
fn fold(
    args: &[Value],
    exact: fn(i64, i64) -> Option<i64>,
    inexact: fn(f64, f64) -> f64,
) -> Option<Value> {
    let numbers: Vec<Number> = args.iter().map(number).collect::<Option<_>>()?;
    let integers: Option<Vec<i64>> = numbers.iter().map(|number| number.as_i64()).collect();
    if let Some(integers) = integers {
        let mut rest = integers.into_iter();
        let first = rest.next()?;
        return rest.try_fold(first, exact).map(Value::int);
    }
    let mut rest = numbers.into_iter().map(Number::to_f64);
    let first = rest.next()?;
    Value::double(rest.fold(first, inexact)).ok()
}

fn whole(arg: &Value, exact: fn(i64) -> Option<i64>, inexact: fn(f64) -> f64) -> Option<Value> {
    let number = number(arg)?;
    match number.as_i64() {
        Some(int) => exact(int).map(Value::int),
        None => Value::double(inexact(number.to_f64())).ok(),
    }
}

fn divide(a: Number, b: Number) -> Option<Value> {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64())
        && a.checked_rem(b) == Some(0)
    {
        return a.checked_div(b).map(Value::int);
    }
    if b.to_f64() == 0.0 {
        return None;
    }
    Value::double(a.to_f64() / b.to_f64()).ok()
}

fn integers(args: &[Value], operation: impl Fn(i64, i64) -> Option<i64>) -> Option<Value> {
    operation(integer(&args[0])?, integer(&args[1])?).map(Value::int)
}

/// Reads digits with an optional sign, fraction and exponent, and nothing else.
pub(super) fn parse(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, rest) = leading_digits(unsigned)?;
    if rest.is_empty() {
        debug_assert!(!digits.is_empty(), "there are digits");
        return text.parse().ok().map(Value::int);
    }
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => leading_digits(fraction)?.1,
        None => rest,
    };
    if !rest.is_empty() {
        let power = rest.strip_prefix(['e', 'E'])?;
        let (_, end) = leading_digits(power.strip_prefix(['+', '-']).unwrap_or(power))?;
        if !end.is_empty() {
            return None;
        }
    }
    Value::double(text.parse().ok()?).ok()
}

/// The digits at the beginning, of which there is one at least, and what follows them.
fn leading_digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(number: i64) -> Value {
        Value::int(number)
    }

    fn double(number: f64) -> Value {
        Value::double(number).expect("finite")
    }

    #[test]
    fn arithmetic_is_exact_or_has_no_result() {
        use Function::*;
        let cases = [
            (Add, vec![int(1), int(2), int(3)], Some(int(6))),
            (Add, vec![int(i64::MAX), int(1)], None),
            (Add, vec![int(1), double(0.5)], Some(double(1.5))),
            (Add, vec![int(1), Value::from("x")], None),
            (Subtract, vec![int(5)], Some(int(-5))),
            (Subtract, vec![int(i64::MIN)], None),
            (Divide, vec![int(6), int(3)], Some(int(2))),
            (Divide, vec![int(1), int(2)], Some(double(0.5))),
            (Divide, vec![int(1), int(0)], None),
            (Divide, vec![int(i64::MIN), int(-1)], Some(double(9_223_372_036_854_775_808.0))),
            (Modulo, vec![int(-7), int(3)], Some(int(2))),
            (Modulo, vec![int(7), int(-3)], Some(int(-2))),
            (Remainder, vec![int(-7), int(3)], Some(int(-1))),
            (Remainder, vec![int(i64::MIN), int(-1)], Some(int(0))),
            (Quotient, vec![int(i64::MIN), int(-1)], None),
            (Multiply, vec![double(1e300), double(1e300)], None),
            (Power, vec![int(3), int(4)], Some(int(81))),
            (Power, vec![int(2), int(63)], None),
            (Power, vec![int(2), int(-1)], None),
            (Power, vec![double(0.5), int(2)], None),
            (Absolute, vec![int(i64::MIN)], None),
            (Round, vec![double(-2.5)], Some(int(-3))),
            (Floor, vec![double(-2.5)], Some(int(-3))),
            (Ceiling, vec![double(-2.5)], Some(int(-2))),
            (SquareRoot, vec![int(9)], Some(int(3))),
            (SquareRoot, vec![int(-9)], None),
        ];
        for (function, args, expected) in cases {
            assert_eq!(call(function, &args), expected, "{function:?} {args:?}");
        }
    }

    #[test]
    fn numbers_are_read_strictly() {
        assert_eq!(parse("-12"), Some(int(-12)));
        assert_eq!(parse("+1.50"), Some(double(1.5)));
        assert_eq!(parse("2e3"), Some(int(2000)));
        assert_eq!(parse("007"), Some(int(7)));
        for bad in ["", "-", "1.", ".5", "1e", "1e999", "inf", "NaN", " 1", "9223372036854775808"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
