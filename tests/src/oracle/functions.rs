//! What predicates and functions give for values.
//!
//! A function without a result (wrong type, overflow, division by zero) gives none, which makes
//! its row absent; a predicate over wrong types is false. Integers are exact; as soon as one
//! argument is no 64-bit integer, all are doubles. `missing?` and `get-else` read facts and are
//! in `eval`.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive, Zero};
use tercet_engine::value::{Number, Value};

/// Whether a predicate holds.
///
/// # Panics
/// When there is no such predicate.
pub fn holds(predicate: &str, args: &[Value]) -> bool {
    let chain = |accepts: fn(Ordering) -> bool| {
        args.windows(2).all(|pair| {
            pair[0].value_type() == pair[1].value_type() && accepts(pair[0].cmp(&pair[1]))
        })
    };
    let strings = |accepts: fn(&str, &str) -> bool| match args {
        [Value::String(a), Value::String(b)] => accepts(a, b),
        _ => false,
    };
    match predicate {
        "=" => args.windows(2).all(|pair| pair[0] == pair[1]),
        "!=" | "not=" => !args.windows(2).all(|pair| pair[0] == pair[1]),
        "<" => chain(Ordering::is_lt),
        "<=" => chain(Ordering::is_le),
        ">" => chain(Ordering::is_gt),
        ">=" => chain(Ordering::is_ge),
        "starts-with?" => strings(|text, part| text.starts_with(part)),
        "ends-with?" => strings(|text, part| text.ends_with(part)),
        "includes?" => strings(|text, part| text.contains(part)),
        _ => panic!("no predicate {predicate}"),
    }
}

/// The result of a function, if it has one.
///
/// # Panics
/// When there is no such function.
pub fn call(function: &str, args: &[Value]) -> Option<Value> {
    match function {
        "+" | "-" | "*" | "/" => arithmetic(function, &numbers(args)?),
        "mod" | "quot" | "rem" => whole_division(function, args),
        "identity" | "ground" => args.first().cloned(),
        "str" => Some(Value::string(args.iter().map(text).collect::<String>())),
        "count" => match args {
            [Value::String(text)] => Some(Value::int(text.chars().count() as i64)),
            _ => None,
        },
        "upper-case" => match args {
            [Value::String(text)] => Some(Value::string(text.to_uppercase())),
            _ => None,
        },
        "lower-case" => match args {
            [Value::String(text)] => Some(Value::string(text.to_lowercase())),
            _ => None,
        },
        "subs" => part(args),
        "min" => args.iter().min().cloned(),
        "max" => args.iter().max().cloned(),
        _ => panic!("no function {function}"),
    }
}

fn numbers(args: &[Value]) -> Option<Vec<Number>> {
    let number = |arg: &Value| match arg {
        Value::Number(number) => Some(*number),
        _ => None,
    };
    args.iter().map(number).collect()
}

fn arithmetic(function: &str, args: &[Number]) -> Option<Value> {
    // One argument alone: `(- x)` is 0 - x, `(/ x)` is 1 / x.
    if let [only] = args {
        return match function {
            "-" => arithmetic("-", &[Number::from(0), *only]),
            "/" => arithmetic("/", &[Number::from(1), *only]),
            _ => Some(Value::Number(*only)),
        };
    }
    match args.iter().map(|arg| arg.as_i64()).collect::<Option<Vec<_>>>() {
        Some(ints) if function == "/" => divide_ints(&ints),
        Some(ints) => {
            let ints = ints.into_iter().map(BigInt::from);
            let result = match function {
                "+" => ints.reduce(|a, b| a + b),
                "-" => ints.reduce(|a, b| a - b),
                _ => ints.reduce(|a, b| a * b),
            };
            Some(Value::int(result?.to_i64()?))
        }
        None => {
            let doubles = args.iter().map(|arg| arg.to_f64());
            let result = match function {
                "+" => doubles.reduce(|a, b| a + b)?,
                "-" => doubles.reduce(|a, b| a - b)?,
                "*" => doubles.reduce(|a, b| a * b)?,
                _ => divide_doubles(&doubles.collect::<Vec<_>>())?,
            };
            Value::double(result).ok()
        }
    }
}

fn divide_ints(ints: &[i64]) -> Option<Value> {
    let (first, rest) = ints.split_first()?;
    let mut quotient = *first;
    for (index, divisor) in rest.iter().enumerate() {
        let (a, b) = (BigInt::from(quotient), BigInt::from(*divisor));
        if b.is_zero() {
            return None;
        }
        if !(&a % &b).is_zero() {
            // From here on there is a double among the numbers.
            let rest = rest[index + 1..].iter().map(|int| *int as f64);
            let doubles = [quotient as f64, *divisor as f64].into_iter().chain(rest);
            return Value::double(divide_doubles(&doubles.collect::<Vec<_>>())?).ok();
        }
        quotient = (a / b).to_i64()?;
    }
    Some(Value::int(quotient))
}

fn divide_doubles(doubles: &[f64]) -> Option<f64> {
    let (first, rest) = doubles.split_first()?;
    let zero = rest.contains(&0.0);
    (!zero).then(|| rest.iter().fold(*first, |quotient, divisor| quotient / divisor))
}

/// `quot` and `rem` cut towards zero; `mod` has the sign of the divisor.
fn whole_division(function: &str, args: &[Value]) -> Option<Value> {
    let ints = numbers(args)?.into_iter().map(Number::as_i64).collect::<Option<Vec<_>>>()?;
    let [a, b] = <[i64; 2]>::try_from(ints).ok()?.map(BigInt::from);
    if b.is_zero() {
        return None;
    }
    let rem = &a % &b;
    let result = match function {
        "quot" => a / b,
        "rem" => rem,
        _ if !rem.is_zero() && rem.is_negative() != b.is_negative() => rem + b,
        _ => rem,
    };
    Some(Value::int(result.to_i64()?))
}

/// The text form of a value: strings as they are, refs by their id.
fn text(value: &Value) -> String {
    match value {
        Value::Boolean(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Date(date) => date.to_string(),
        Value::String(text) => text.to_string(),
        Value::Ref(entity) => entity.to_string(),
    }
}

/// `(subs text start end?)`, in characters.
fn part(args: &[Value]) -> Option<Value> {
    let (Value::String(text), bounds) = args.split_first()? else {
        return None;
    };
    let characters = text.chars().collect::<Vec<_>>();
    let bounds = numbers(bounds)?.into_iter().map(|bound| usize::try_from(bound.as_i64()?).ok());
    let bounds = bounds.collect::<Option<Vec<_>>>()?;
    let (start, end) = match bounds[..] {
        [start] => (start, characters.len()),
        [start, end] => (start, end),
        _ => return None,
    };
    Some(Value::string(characters.get(start..end)?.iter().collect::<String>()))
}
