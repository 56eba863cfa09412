//! What the functions of the language mean: pure, on values, with no result where there is none.
//!
//! An argument of another type than a function works on gives no result, as do overflow, division
//! by zero, a date outside the calendar and a text that is too long. Comparisons between types are
//! false. Here are comparisons, types and conversions; [`numbers`], [`texts`] and [`dates`] hold
//! the rest. Only IEEE operations that are rounded exactly are used, which give the same bits
//! everywhere. Names and arities are in `program::functions`.

mod dates;
mod numbers;
mod texts;

use std::cmp::Ordering;

use crate::program::functions::Function;
use crate::program::pattern::Patterns;
use crate::value::{Number, Value};

/// The result of a function; none where it has none.
///
/// # Panics
/// When there are fewer arguments than the table of functions says.
pub(crate) fn call(function: Function, args: &[Value], patterns: &mut Patterns) -> Option<Value> {
    use Function::*;
    match function {
        Equal => truth(args.windows(2).all(|pair| pair[0] == pair[1])),
        NotEqual => truth(args[0] != args[1]),
        Less => truth(chain(args, Ordering::is_lt)),
        LessEqual => truth(chain(args, Ordering::is_le)),
        Greater => truth(chain(args, Ordering::is_gt)),
        GreaterEqual => truth(chain(args, Ordering::is_ge)),
        Compare => Some(Value::int(args[0].cmp(&args[1]) as i64)),
        Least => args.iter().min().cloned(),
        Greatest => args.iter().max().cloned(),
        Not => truth(!boolean(&args[0])?),
        Identity => Some(args[0].clone()),
        Add | Subtract | Multiply | Divide | Quotient | Remainder | Modulo | Increment
        | Decrement | Absolute | Power | SquareRoot | Floor | Ceiling | Round | IsZero
        | IsPositive | IsNegative | IsEven | IsOdd => numbers::call(function, args),
        Concatenate | Length | Substring | IndexOf | LastIndexOf | UpperCase | LowerCase | Trim
        | TrimStart | TrimEnd | Replace | StartsWith | EndsWith | Includes | IsBlank
        | Namespace | LocalName => texts::call(function, args),
        Matches | Finds | Find | Group | ReplaceMatches => texts::search(function, args, patterns),
        Year | Month | Day | Hour | Minute | Second | Millisecond | Weekday | DayOfYear
        | AddTime | TimeBetween | Truncate | MsOfDate | DateOfMs => dates::call(function, args),
        ParseDate => crate::value::Date::parse(string(&args[0])?).ok().map(Value::Date),
        FormatDate => Some(Value::from(date(&args[0])?.to_string())),
        Type => Some(Value::from(args[0].value_type().name())),
        IsNumber => truth(matches!(args[0], Value::Number(_))),
        IsInteger => truth(matches!(&args[0], Value::Number(number) if number.as_i64().is_some())),
        IsString => truth(matches!(args[0], Value::String(_))),
        IsBoolean => truth(matches!(args[0], Value::Boolean(_))),
        IsDate => truth(matches!(args[0], Value::Date(_))),
        IsRef => truth(matches!(args[0], Value::Ref(_))),
        ParseNumber => match &args[0] {
            number @ Value::Number(_) => Some(number.clone()),
            other => numbers::parse(string(other)?),
        },
        Id => match &args[0] {
            Value::Ref(entity) => Some(Value::from(entity.as_str())),
            _ => None,
        },
        Ref => Value::reference(string(&args[0])?).ok(),
        Hash => Some(hash(&args[0])),
    }
}

fn truth(holds: bool) -> Option<Value> {
    Some(Value::Boolean(holds))
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(flag) => Some(*flag),
        _ => None,
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    number(value)?.as_i64()
}

fn string(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn date(value: &Value) -> Option<crate::value::Date> {
    match value {
        Value::Date(date) => Some(*date),
        _ => None,
    }
}

/// Whether each neighbouring pair is of one type and in the order asked for.
fn chain(args: &[Value], holds: fn(Ordering) -> bool) -> bool {
    let in_order = |pair: &[Value]| {
        pair[0].value_type() == pair[1].value_type() && holds(pair[0].cmp(&pair[1]))
    };
    args.windows(2).all(in_order)
}

/// The first 53 bits of BLAKE3 of the canonical bytes: a whole number that JSON carries too.
fn hash(value: &Value) -> Value {
    let hash = blake3::hash(&value.to_canonical());
    let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    Value::int((u64::from_be_bytes(*first) >> 11) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: Function, args: &[Value]) -> Option<Value> {
        super::call(function, args, &mut Patterns::default())
    }

    #[test]
    fn comparisons_between_types_are_false() {
        let args = [Value::int(1), Value::from("a")];
        for function in [Function::Less, Function::Greater, Function::Equal] {
            assert_eq!(call(function, &args), Some(Value::Boolean(false)));
        }
        assert_eq!(call(Function::NotEqual, &args), Some(Value::Boolean(true)));
        let chain = [Value::int(1), Value::int(2), Value::int(2)];
        assert_eq!(call(Function::Less, &chain), Some(Value::Boolean(false)));
        assert_eq!(call(Function::Compare, &args), Some(Value::int(-1)));
    }

    /// What is written into partitions and samples must never change.
    #[test]
    fn a_hash_is_the_same_for_ever() {
        let hash = |value| call(Function::Hash, &[value]);
        assert_eq!(hash(Value::from("a")), Some(Value::int(6_107_506_248_815_013)));
        assert_eq!(hash(Value::double(1.0).expect("finite")), hash(Value::int(1)));
        assert_ne!(hash(Value::from("1")), hash(Value::int(1)));
    }

    #[test]
    fn every_function_takes_any_value_without_a_panic() {
        let values = [
            Value::Boolean(true),
            Value::int(i64::MIN),
            Value::int(i64::MAX),
            Value::int(-1),
            Value::double(1e300).expect("finite"),
            Value::Date(crate::value::Date::MIN),
            Value::Date(crate::value::Date::MAX),
            Value::from(""),
            Value::from("ß(\u{10ffff}"),
            Value::from("month"),
            Value::reference("e").expect("an id"),
        ];
        for signature in crate::program::functions::FUNCTIONS {
            for n_args in signature.args_min.max(1)..=signature.args_max.min(3) {
                for n in 0..values.len().pow(n_args as u32) {
                    let digit = |place: u32| n / values.len().pow(place) % values.len();
                    let args: Vec<Value> =
                        (0..n_args as u32).map(|place| values[digit(place)].clone()).collect();
                    let result = call(signature.function, &args);
                    if signature.function.is_predicate() {
                        let truth = matches!(result, None | Some(Value::Boolean(_)));
                        assert!(truth, "{} {args:?}", signature.usage);
                    }
                }
            }
        }
    }
}
