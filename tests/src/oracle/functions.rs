//! What predicates and functions give for values.
//!
//! A function without a result (wrong type, overflow, division by zero) gives none, which makes
//! its row absent; a predicate without one is false. Integers are exact; as soon as one argument
//! is no 64-bit integer, all are doubles. Dates are in `dates`, regular expressions in `pattern`;
//! `missing?` and `get-else` read facts and are in `eval`.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive, Zero};
use tercet_engine::value::{Date, Number, Value};

use super::{dates, pattern};

/// Whether a predicate holds.
///
/// # Panics
/// When there is no such predicate.
pub fn holds(predicate: &str, args: &[Value]) -> bool {
    call(predicate, args) == Some(Value::Boolean(true))
}

/// The result of a function, if it has one.
///
/// # Panics
/// When there is no such function.
pub fn call(function: &str, args: &[Value]) -> Option<Value> {
    match function {
        "=" | "==" | "!=" | "not=" | "<" | "<=" | ">" | ">=" => {
            Some(Value::Boolean(compare(function, args)))
        }
        "compare" => Some(Value::int(match args[0].cmp(&args[1]) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        })),
        "min" => args.iter().min().cloned(),
        "max" => args.iter().max().cloned(),
        "+" | "-" | "*" | "/" => arithmetic(function, &numbers(args)?),
        "inc" => arithmetic("+", &numbers(&[args[0].clone(), Value::int(1)])?),
        "dec" => arithmetic("-", &numbers(&[args[0].clone(), Value::int(1)])?),
        "mod" | "quot" | "rem" => whole_division(function, args),
        "pow" => power(args),
        "abs" | "floor" | "ceil" | "round" | "sqrt" => to_whole(function, numbers(args)?[0]),
        "zero?" | "pos?" | "neg?" => sign(function, numbers(args)?[0]).map(Value::Boolean),
        "even?" => Some(Value::Boolean(numbers(args)?[0].as_i64()?.rem_euclid(2) == 0)),
        "odd?" => Some(Value::Boolean(numbers(args)?[0].as_i64()?.rem_euclid(2) == 1)),
        "identity" | "ground" => args.first().cloned(),
        "not" => match args {
            [Value::Boolean(flag)] => Some(Value::Boolean(!flag)),
            _ => None,
        },
        "str" => Some(Value::string(args.iter().map(text).collect::<String>())),
        "count" | "upper-case" | "lower-case" | "trim" | "triml" | "trimr" | "blank?" | "subs"
        | "index-of" | "last-index-of" | "replace" | "starts-with?" | "ends-with?"
        | "includes?" | "namespace" | "name" => of_string(function, args),
        "re-matches?" | "re-find?" | "re-find" | "re-group" | "re-replace" => {
            of_pattern(function, args)
        }
        "year" | "month" | "day" | "hour" | "minute" | "second" | "millisecond" | "weekday"
        | "day-of-year" | "date->ms" => match args {
            [Value::Date(date)] => Some(Value::int(dates::part(function, *date))),
            _ => None,
        },
        "date-add" | "date-diff" | "date-trunc" => of_dates(function, args),
        "parse-date" => Date::parse(string(&args[0])?).ok().map(Value::Date),
        "format-date" => match args {
            [Value::Date(date)] => Some(Value::string(date.to_string())),
            _ => None,
        },
        "ms->date" => Date::from_ms(numbers(args)?[0].as_i64()?).ok().map(Value::Date),
        "type" => Some(Value::from(match args[0] {
            Value::Boolean(_) => "boolean",
            Value::Number(_) => "number",
            Value::Date(_) => "date",
            Value::String(_) => "string",
            Value::Ref(_) => "ref",
        })),
        "number?" | "string?" | "boolean?" | "date?" | "ref?" => {
            let kind = call("type", args)?;
            Some(Value::Boolean(kind == Value::from(function.trim_end_matches('?'))))
        }
        "int?" => {
            let int = |numbers: Vec<Number>| numbers[0].as_i64().is_some();
            Some(Value::Boolean(numbers(args).is_some_and(int)))
        }
        "number" => match &args[0] {
            Value::Number(_) => args.first().cloned(),
            other => read_number(string(other)?),
        },
        "id" => match &args[0] {
            Value::Ref(entity) => Some(Value::string(entity.to_string())),
            _ => None,
        },
        "ref" => Value::reference(string(&args[0])?).ok(),
        "hash" => {
            let digits = blake3::hash(&args[0].to_canonical()).to_hex();
            let bits = i64::from_str_radix(&digits[..14], 16).expect("hex digits");
            Some(Value::int(bits >> 3))
        }
        _ => panic!("no function {function}"),
    }
}

fn compare(function: &str, args: &[Value]) -> bool {
    let chain = |accepts: fn(Ordering) -> bool| {
        args.windows(2).all(|pair| {
            pair[0].value_type() == pair[1].value_type() && accepts(pair[0].cmp(&pair[1]))
        })
    };
    match function {
        "=" | "==" => args.windows(2).all(|pair| pair[0] == pair[1]),
        "!=" | "not=" => !args.windows(2).all(|pair| pair[0] == pair[1]),
        "<" => chain(Ordering::is_lt),
        "<=" => chain(Ordering::is_le),
        ">" => chain(Ordering::is_gt),
        _ => chain(Ordering::is_ge),
    }
}

fn string(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
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
        let exact = (&a % &b).is_zero().then(|| (a / b).to_i64()).flatten();
        let Some(exact) = exact else {
            // From here on there is a double among the numbers.
            let rest = rest[index + 1..].iter().map(|int| *int as f64);
            let doubles = [quotient as f64, *divisor as f64].into_iter().chain(rest);
            return Value::double(divide_doubles(&doubles.collect::<Vec<_>>())?).ok();
        };
        quotient = exact;
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

/// By multiplying so often, until it is beyond 64 bits or nothing changes any more.
fn power(args: &[Value]) -> Option<Value> {
    let ints = numbers(args)?.into_iter().map(Number::as_i64).collect::<Option<Vec<_>>>()?;
    let (base, n) = (BigInt::from(ints[0]), ints[1]);
    if !(0..=i64::from(u32::MAX)).contains(&n) {
        return None;
    }
    let n = if [-1, 0, 1].contains(&ints[0]) && n > 1 { 2 + n % 2 } else { n };
    let mut product = BigInt::from(1);
    for _ in 0..n {
        product *= &base;
        product.to_i64()?;
    }
    product.to_i64().map(Value::int)
}

fn to_whole(function: &str, number: Number) -> Option<Value> {
    let double = number.to_f64();
    let result = match (function, number.as_i64()) {
        ("sqrt", _) if double < 0.0 => return None,
        ("sqrt", _) => double.sqrt(),
        ("abs", Some(int)) => return BigInt::from(int).abs().to_i64().map(Value::int),
        (_, Some(int)) => return Some(Value::int(int)),
        ("abs", None) => double.abs(),
        ("floor", None) => double - double.rem_euclid(1.0),
        ("ceil", None) => -(-double - (-double).rem_euclid(1.0)),
        (_, None) => {
            let cut = double.trunc();
            if (double - cut).abs() >= 0.5 { cut + double.signum() } else { cut }
        }
    };
    Value::double(result).ok()
}

fn sign(function: &str, number: Number) -> Option<bool> {
    let order = number.cmp(&Number::from(0));
    Some(match function {
        "zero?" => order == Ordering::Equal,
        "pos?" => order == Ordering::Greater,
        _ => order == Ordering::Less,
    })
}

/// A sign or none, digits, and perhaps a point with digits, and perhaps an exponent.
fn read_number(text: &str) -> Option<Value> {
    let lower = text.replace('E', "e");
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let unsigned = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let mantissa = unsigned(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((&mantissa, "0"));
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || !digits(&unsigned(exponent)) {
        return None;
    }
    if text.contains(['.', 'e', 'E']) {
        return Value::double(text.parse().ok()?).ok();
    }
    text.parse::<BigInt>().ok()?.to_i64().map(Value::int)
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

/// Functions whose arguments are strings, or for `subs` one string and places.
fn of_string(function: &str, args: &[Value]) -> Option<Value> {
    if function == "subs" {
        return part(args);
    }
    let texts = args.iter().map(string).collect::<Option<Vec<_>>>()?;
    let (text, part) = (texts[0], texts.get(1).copied().unwrap_or_default());
    let characters = text.chars().collect::<Vec<_>>();
    let wanted = part.chars().collect::<Vec<_>>();
    let mut places = (0..=characters.len()).filter(|at| characters[*at..].starts_with(&wanted));
    let is_space = |c: char| c.is_whitespace();
    Some(match function {
        "count" => Value::int(characters.len() as i64),
        "upper-case" => Value::string(text.to_uppercase()),
        "lower-case" => Value::string(text.to_lowercase()),
        "trim" => Value::from(text.trim_matches(is_space)),
        "triml" => Value::from(text.trim_start_matches(is_space)),
        "trimr" => Value::from(text.trim_end_matches(is_space)),
        "blank?" => Value::Boolean(text.chars().all(is_space)),
        "index-of" => Value::int(places.next()? as i64),
        "last-index-of" => Value::int(places.next_back()? as i64),
        "starts-with?" => Value::Boolean(places.next() == Some(0)),
        "ends-with?" => Value::Boolean(places.any(|at| at + wanted.len() == characters.len())),
        "includes?" => Value::Boolean(places.next().is_some()),
        "replace" if wanted.is_empty() => return None,
        "replace" => Value::string(text.split(part).collect::<Vec<_>>().join(texts[2])),
        "namespace" => Value::from(text.split_once('/')?.0),
        _ => Value::from(text.split_once('/')?.1),
    })
}

/// `(subs text start end?)`, in characters.
fn part(args: &[Value]) -> Option<Value> {
    let (text, bounds) = args.split_first()?;
    let characters = string(text)?.chars().collect::<Vec<_>>();
    let bounds = numbers(bounds)?.into_iter().map(|bound| usize::try_from(bound.as_i64()?).ok());
    let bounds = bounds.collect::<Option<Vec<_>>>()?;
    let (start, end) = match bounds[..] {
        [start] => (start, characters.len()),
        [start, end] => (start, end),
        _ => return None,
    };
    Some(Value::string(characters.get(start..end)?.iter().collect::<String>()))
}

fn of_pattern(function: &str, args: &[Value]) -> Option<Value> {
    let pattern = pattern::Pattern::read(string(&args[0])?)?;
    let text = string(&args[1])?;
    match function {
        "re-matches?" => Some(Value::Boolean(pattern.matches(text))),
        "re-find?" => Some(Value::Boolean(pattern.find(text, 0).is_some())),
        "re-find" => Some(Value::from(pattern.find(text, 0)?.group(text, 0)?)),
        "re-group" => {
            let group = usize::try_from(numbers(&args[2..])?[0].as_i64()?).ok()?;
            Some(Value::from(pattern.find(text, 0)?.group(text, group)?))
        }
        _ => Some(Value::string(pattern.replace(text, string(&args[2])?))),
    }
}

fn of_dates(function: &str, args: &[Value]) -> Option<Value> {
    let Value::Date(date) = &args[0] else {
        return None;
    };
    let unit = string(args.last()?)?;
    if !dates::UNITS.contains(&unit) {
        return None;
    }
    match (function, &args[1]) {
        ("date-trunc", _) => dates::truncate(*date, unit).map(Value::Date),
        ("date-add", Value::Number(n)) => dates::add(*date, n.as_i64()?, unit).map(Value::Date),
        ("date-diff", Value::Date(to)) => Some(Value::int(dates::between(*date, *to, unit))),
        _ => None,
    }
}
