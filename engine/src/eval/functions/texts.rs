//! Strings: their parts, places and letters, and what regular expressions find in them.
//!
//! Lengths and places are in characters (Unicode scalar values), from 0. A string longer than
//! [`STRING_BYTES_MAX`] is no result, and is never made: what could grow is measured first or
//! checked as it grows.

use regex::Captures;

use super::{integer, string, truth};
use crate::program::functions::Function;
use crate::program::pattern::{Extent, Patterns};
use crate::value::Value;

/// The longest string a function makes, in bytes: as long as a stored one may be by default. A few
/// clauses that each double a string would otherwise make one larger than memory.
const STRING_BYTES_MAX: usize = 1 << 20;

pub(super) fn call(function: Function, args: &[Value]) -> Option<Value> {
    use Function::*;
    if function == Concatenate {
        return concatenate(args);
    }
    let text = string(&args[0])?;
    let part = || string(&args[1]);
    match function {
        Length => Some(n_characters(text)),
        Substring => substring(text, &args[1..]),
        IndexOf => text.find(part()?).map(|at| n_characters(&text[..at])),
        LastIndexOf => text.rfind(part()?).map(|at| n_characters(&text[..at])),
        UpperCase => of_text(text.to_uppercase()),
        LowerCase => of_text(text.to_lowercase()),
        Trim => Some(Value::from(text.trim())),
        TrimStart => Some(Value::from(text.trim_start())),
        TrimEnd => Some(Value::from(text.trim_end())),
        Replace => replace(text, part()?, string(&args[2])?),
        StartsWith => truth(text.starts_with(part()?)),
        EndsWith => truth(text.ends_with(part()?)),
        Includes => truth(text.contains(part()?)),
        IsBlank => truth(text.trim().is_empty()),
        Namespace => text.split_once('/').map(|(namespace, _)| Value::from(namespace)),
        LocalName => text.split_once('/').map(|(_, name)| Value::from(name)),
        _ => unreachable!("{function:?} is not about strings"),
    }
}

/// Functions whose first argument is a regular expression and whose second is a text.
pub(super) fn search(function: Function, args: &[Value], patterns: &mut Patterns) -> Option<Value> {
    let Value::String(pattern) = &args[0] else { return None };
    let text = string(&args[1])?;
    let extent = if function == Function::Matches { Extent::Whole } else { Extent::Part };
    let regex = patterns.get(pattern, extent)?;
    match function {
        Function::Matches | Function::Finds => truth(regex.is_match(text)),
        Function::Find => regex.find(text).map(|found| Value::from(found.as_str())),
        Function::Group => {
            let group = usize::try_from(integer(&args[2])?).ok()?;
            regex.captures(text)?.get(group).map(|found| Value::from(found.as_str()))
        }
        Function::ReplaceMatches => {
            let by = string(&args[2])?;
            let (mut out, mut end) = (String::new(), 0);
            for found in regex.captures_iter(text) {
                let whole = found.get_match();
                push(&mut out, &text[end..whole.start()])?;
                expand(by, &found, &mut out)?;
                end = whole.end();
            }
            push(&mut out, &text[end..])?;
            Some(Value::from(out))
        }
        _ => unreachable!("{function:?} has no pattern"),
    }
}

/// Adds to a text, unless that makes it too long.
fn push(text: &mut String, part: &str) -> Option<()> {
    (text.len() + part.len() <= STRING_BYTES_MAX).then(|| text.push_str(part))
}

/// What stands for a match: `$1` and `${name}` are its groups, `$$` is `$`, any other `$` itself.
fn expand(by: &str, found: &Captures<'_>, out: &mut String) -> Option<()> {
    let mut rest = by;
    while let Some(at) = rest.find('$') {
        push(out, &rest[..at])?;
        rest = &rest[at + 1..];
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, after) = rest.split_at(n_digits);
        let braced = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        if let Some(after) = rest.strip_prefix('$') {
            push(out, "$")?;
            rest = after;
        } else if n_digits > 0 {
            let group = digits.parse().ok().and_then(|group: usize| found.get(group));
            push(out, group.map_or("", |group| group.as_str()))?;
            rest = after;
        } else if let Some((name, after)) = braced {
            push(out, found.name(name).map_or("", |group| group.as_str()))?;
            rest = after;
        } else {
            push(out, "$")?;
        }
    }
    push(out, rest)
}

fn n_characters(text: &str) -> Value {
    Value::int(i64::try_from(text.chars().count()).expect("a text fits memory"))
}

/// A string, unless it is too long.
fn of_text(text: String) -> Option<Value> {
    (text.len() <= STRING_BYTES_MAX).then(|| Value::from(text))
}

fn concatenate(args: &[Value]) -> Option<Value> {
    let mut text = String::new();
    for arg in args {
        push(&mut text, &text_form(arg))?;
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

/// Characters from a start up to, without, an end; no result outside.
fn substring(text: &str, bounds: &[Value]) -> Option<Value> {
    let index = |value: &Value| usize::try_from(integer(value)?).ok();
    let start = index(&bounds[0])?;
    let n_characters = text.chars().count();
    let end = match bounds.get(1) {
        Some(end) => index(end)?,
        None => n_characters,
    };
    if start > end || end > n_characters {
        return None;
    }
    Some(Value::from(text.chars().skip(start).take(end - start).collect::<String>()))
}

fn replace(text: &str, part: &str, by: &str) -> Option<Value> {
    if part.is_empty() {
        return None;
    }
    let n_places = text.matches(part).count();
    let n_bytes = (text.len() - n_places * part.len()) + n_places.checked_mul(by.len())?;
    (n_bytes <= STRING_BYTES_MAX).then(|| Value::from(text.replace(part, by)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::from(text)
    }

    #[test]
    fn strings_have_a_longest() {
        let half = Value::from("ß".repeat(STRING_BYTES_MAX / 4));
        let whole = call(Function::Concatenate, &[half.clone(), half.clone()]).expect("just fits");
        assert_eq!(whole.n_bytes(), STRING_BYTES_MAX);
        assert_eq!(call(Function::Concatenate, &[whole.clone(), Value::int(1)]), None);
        // Some letters are longer in the other case: ß is SS, ΐ three letters.
        let long = Value::from("ΐ".repeat(STRING_BYTES_MAX / 2));
        assert_eq!(call(Function::UpperCase, &[long]), None);
        assert_eq!(call(Function::Replace, &[half, text("ß"), text("ßßßß")]), None);
        let args = [text("."), whole, text(&"$0".repeat(STRING_BYTES_MAX / 2))];
        assert_eq!(search(Function::ReplaceMatches, &args, &mut Patterns::default()), None);
    }

    #[test]
    fn strings_are_counted_in_characters() {
        let word = text("grüße");
        assert_eq!(call(Function::Length, std::slice::from_ref(&word)), Some(Value::int(5)));
        let middle = call(Function::Substring, &[word.clone(), Value::int(2), Value::int(4)]);
        assert_eq!(middle, Some(text("üß")));
        let beyond = [word.clone(), Value::int(4), Value::int(9)];
        assert_eq!(call(Function::Substring, &beyond), None);
        assert_eq!(call(Function::IndexOf, &[word, text("ß")]), Some(Value::int(3)));
    }

    #[test]
    fn groups_are_filled_in() {
        let replace = |pattern: &str, by: &str| {
            let args = [text(pattern), text("2024-01"), text(by)];
            search(Function::ReplaceMatches, &args, &mut Patterns::default())
        };
        assert_eq!(replace("(\\d+)-(?<month>\\d+)", "${month}/$1"), Some(text("01/2024")));
        assert_eq!(replace("\\d", "<$0>"), Some(text("<2><0><2><4>-<0><1>")));
        assert_eq!(replace("-", "$$ $ $9${none}${"), Some(text("2024$ $ ${01")));
        assert_eq!(replace("", "."), Some(text(".2.0.2.4.-.0.1.")));
    }
}
