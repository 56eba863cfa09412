//! What the functions of the language mean: pure, on values, with no result where there is none.
//!
//! Numbers are exact while they are integers of 64 bits; any double makes the arithmetic double.
//! Overflow, division by zero, a result that is not finite, a string longer than
//! [`STRING_BYTES_MAX`], and arguments of another type give no result. Comparisons between types are false. Only IEEE operations are used, which give the same
//! bits everywhere.

use std::cmp::Ordering;

use crate::program::functions::Function;
use crate::value::{Number, Value};

/// The longest string a function makes, in bytes: as long as a stored one may be by default. A few
/// clauses that each double a string would otherwise make one larger than memory.
const STRING_BYTES_MAX: usize = 1 << 20;

/// The result of a function; none where it has none.
pub(crate) fn call(function: Function, args: &[Value]) -> Option<Value> {
    use Function::*;
    match function {
        Equal => Some(Value::Boolean(args.windows(2).all(|pair| pair[0] == pair[1]))),
        NotEqual => Some(Value::Boolean(args[0] != args[1])),
        Less => Some(chain(args, Ordering::is_lt)),
        LessEqual => Some(chain(args, Ordering::is_le)),
        Greater => Some(chain(args, Ordering::is_gt)),
        GreaterEqual => Some(chain(args, Ordering::is_ge)),
        Add => fold(args, i64::checked_add, |a, b| a + b),
        Multiply => fold(args, i64::checked_mul, |a, b| a * b),
        Subtract => subtract(args),
        Divide => divide(number(&args[0])?, number(&args[1])?),
        Quotient => integers(args, i64::checked_div),
        Remainder => integers(args, i64::checked_rem),
        Modulo => integers(args, |a, b| {
            let rest = a.checked_rem(b)?;
            Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
        }),
        Least => args.iter().min().cloned(),
        Greatest => args.iter().max().cloned(),
        Not => match args[0] {
            Value::Boolean(flag) => Some(Value::Boolean(!flag)),
            _ => None,
        },
        Identity => Some(args[0].clone()),
        Concatenate => concatenate(args),
        Length => Some(Value::int(i64::try_from(string(&args[0])?.chars().count()).ok()?)),
        UpperCase => of_text(string(&args[0])?.to_uppercase()),
        LowerCase => of_text(string(&args[0])?.to_lowercase()),
        Substring => substring(args),
        StartsWith => strings(args, |text, part| text.starts_with(part)),
        EndsWith => strings(args, |text, part| text.ends_with(part)),
        Includes => strings(args, |text, part| text.contains(part)),
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn string(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Whether each neighbouring pair is of one type and in the order asked for.
fn chain(args: &[Value], holds: fn(Ordering) -> bool) -> Value {
    let in_order = |pair: &[Value]| {
        pair[0].value_type() == pair[1].value_type() && holds(pair[0].cmp(&pair[1]))
    };
    Value::Boolean(args.windows(2).all(in_order))
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

fn subtract(args: &[Value]) -> Option<Value> {
    match args {
        [only] => fold(&[Value::int(0), only.clone()], i64::checked_sub, |a, b| a - b),
        _ => fold(args, i64::checked_sub, |a, b| a - b),
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
    let (a, b) = (number(&args[0])?.as_i64()?, number(&args[1])?.as_i64()?);
    operation(a, b).map(Value::int)
}

fn strings(args: &[Value], holds: fn(&str, &str) -> bool) -> Option<Value> {
    Some(Value::Boolean(holds(string(&args[0])?, string(&args[1])?)))
}

/// A string, unless it is too long.
fn of_text(text: String) -> Option<Value> {
    (text.len() <= STRING_BYTES_MAX).then(|| Value::from(text))
}

fn concatenate(args: &[Value]) -> Option<Value> {
    let mut text = String::new();
    for arg in args {
        text.push_str(&text_form(arg));
        if text.len() > STRING_BYTES_MAX {
            return None;
        }
    }
    Some(Value::from(text))
}

/// The text of a value as a person would write it: strings and ids without quotes.
fn text_form(value: &Value) -> String {
    match value {
        Value::Boolean(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Date(date) => date.to_string(),
        Value::String(text) => text.to_string(),
        Value::Ref(entity) => entity.to_string(),
    }
}

/// `(subs text start end)`: characters from `start` up to, without, `end`; no result outside.
fn substring(args: &[Value]) -> Option<Value> {
    let text = string(&args[0])?;
    let index = |value: &Value| usize::try_from(number(value)?.as_i64()?).ok();
    let start = index(&args[1])?;
    let n_characters = text.chars().count();
    let end = match args.get(2) {
        Some(end) => index(end)?,
        None => n_characters,
    };
    if start > end || end > n_characters {
        return None;
    }
    Some(Value::from(text.chars().skip(start).take(end - start).collect::<String>()))
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
            (Quotient, vec![int(i64::MIN), int(-1)], None),
            (Multiply, vec![double(1e300), double(1e300)], None),
        ];
        for (function, args, expected) in cases {
            assert_eq!(call(function, &args), expected, "{function:?} {args:?}");
        }
    }

    #[test]
    fn comparisons_between_types_are_false() {
        let args = [int(1), Value::from("a")];
        for function in [Function::Less, Function::Greater, Function::Equal] {
            assert_eq!(call(function, &args), Some(Value::Boolean(false)));
        }
        assert_eq!(call(Function::NotEqual, &args), Some(Value::Boolean(true)));
        assert_eq!(call(Function::Less, &[int(1), int(2), int(2)]), Some(Value::Boolean(false)));
    }

    #[test]
    fn strings_have_a_longest() {
        let half = Value::from("ß".repeat(STRING_BYTES_MAX / 4));
        let whole = call(Function::Concatenate, &[half.clone(), half]).expect("just fits");
        assert_eq!(whole.n_bytes(), STRING_BYTES_MAX);
        assert_eq!(call(Function::Concatenate, &[whole, int(1)]), None);
        // Some letters are longer in the other case: ß is SS, ΐ three letters.
        let long = Value::from("ΐ".repeat(STRING_BYTES_MAX / 2));
        assert_eq!(call(Function::UpperCase, &[long]), None);
    }

    #[test]
    fn strings_are_counted_in_characters() {
        let text = Value::from("grüße");
        assert_eq!(call(Function::Length, std::slice::from_ref(&text)), Some(int(5)));
        let middle = call(Function::Substring, &[text.clone(), int(2), int(4)]);
        assert_eq!(middle, Some(Value::from("üß")));
        assert_eq!(call(Function::Substring, &[text, int(4), int(9)]), None);
    }
}
