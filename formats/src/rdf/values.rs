//! Literals ↔ values, by datatype.
//!
//! | datatype | value |
//! | --- | --- |
//! | `xsd:string`, language-tagged | string |
//! | `xsd:boolean` | boolean |
//! | `xsd:integer` and the types derived from it | number, refused beyond 64 bits |
//! | `xsd:double`, `xsd:float`, `xsd:decimal` | number; a decimal with more digits than a double keeps is noted |
//! | `xsd:dateTime`, `xsd:date` | date; without an offset it is taken as UTC, and noted |
//! | any other | string, and noted |

use std::borrow::Cow;

use oxrdf::vocab::xsd;
use oxrdf::{Literal, LiteralRef};
use tercet_engine::value::{Date, Number, Value, ValueError};

use crate::error::{FormatError, Place};
use crate::note::Notes;
use crate::number::keeps_digits;

const INTEGERS: [&str; 12] = [
    "byte",
    "int",
    "long",
    "negativeInteger",
    "nonNegativeInteger",
    "nonPositiveInteger",
    "positiveInteger",
    "short",
    "unsignedByte",
    "unsignedInt",
    "unsignedLong",
    "unsignedShort",
];

const XSD: &str = "http://www.w3.org/2001/XMLSchema#";

/// The value of a literal.
pub(super) fn value(
    literal: LiteralRef<'_>,
    at: &Place,
    notes: &mut Notes,
) -> Result<Value, FormatError> {
    let text = literal.value();
    let refuse = |code, message: String| FormatError::malformed(at.clone(), code, message);
    let refuse_value = |error: ValueError| refuse(error.code(), error.to_string());
    let datatype = literal.datatype();
    if literal.language().is_some() || datatype == xsd::STRING {
        return Ok(Value::string(text));
    }
    let lexical = text.trim_matches([' ', '\t', '\n', '\r']);
    let name = datatype.as_str().strip_prefix(XSD).unwrap_or_default();
    if name == "integer" || INTEGERS.contains(&name) {
        let digits = lexical.strip_prefix('+').filter(|rest| !rest.starts_with('-'));
        let int = digits.unwrap_or(lexical).parse();
        let wrong = |_| ValueError::IntText { text: lexical.chars().take(64).collect() };
        return int.map(Value::int).map_err(|error| refuse_value(wrong(error)));
    }
    match name {
        "boolean" => match lexical {
            "true" | "1" => Ok(Value::Boolean(true)),
            "false" | "0" => Ok(Value::Boolean(false)),
            _ => Err(refuse("malformed", format!("`{}` is no boolean", shortened(lexical)))),
        },
        "double" | "float" | "decimal" => {
            let number = number(lexical).ok_or_else(|| {
                refuse("malformed", format!("`{}` is no number", shortened(lexical)))
            })?;
            let number = number.map_err(refuse_value)?;
            if name == "decimal" && !keeps_digits(lexical, number) {
                notes.add("decimal_rounded", "a decimal was read as the nearest double");
            }
            Ok(Value::Number(number))
        }
        "dateTime" | "dateTimeStamp" | "date" => {
            let (whole, had_offset) = moment(lexical);
            if !had_offset {
                notes.add("date_without_offset", "a date without an offset was taken as UTC");
            }
            Date::parse(&whole).map(Value::Date).map_err(refuse_value)
        }
        _ => {
            let message = format!("literals of datatype <{datatype}> were read as strings");
            notes.add("datatype_unknown", message.replace("<<", "<").replace(">>", ">"));
            Ok(Value::string(text))
        }
    }
}

/// A number; none if the text is none, an error if it is not finite.
fn number(text: &str) -> Option<Result<Number, ValueError>> {
    let not_finite = || Err(ValueError::NotFinite { text: text.to_owned() });
    if matches!(text, "INF" | "+INF" | "-INF" | "NaN") {
        return Some(not_finite());
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return None;
    }
    // An integer in the form of a decimal is exact up to 64 bits, beyond what a double holds.
    if let Some((whole, fraction)) = text.split_once('.')
        && fraction.bytes().all(|byte| byte == b'0')
        && let Ok(int) = whole.parse::<i64>()
    {
        return Some(Ok(Number::from(int)));
    }
    if let Ok(int) = text.parse::<i64>() {
        return Some(Ok(Number::from(int)));
    }
    text.parse::<f64>().ok().map(Number::from_f64)
}

/// A date as the value reads it, and whether it said its offset.
fn moment(text: &str) -> (Cow<'_, str>, bool) {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    if let Some(time) = time {
        let has_offset = time.contains(['Z', '+', '-']);
        let whole = if has_offset { text.into() } else { format!("{text}Z").into() };
        return (whole, has_offset);
    }
    match date.get(10..) {
        Some(offset) if !offset.is_empty() => {
            (format!("{}T00:00:00{offset}", &date[..10]).into(), true)
        }
        _ => (text.into(), false),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The literal of a value that is no reference.
pub(super) fn literal(value: &Value, language: Option<&str>) -> Option<Literal> {
    Some(match value {
        Value::Ref(_) => return None,
        Value::String(text) => match language {
            Some(language) => Literal::new_language_tagged_literal_unchecked(&**text, language),
            None => Literal::new_simple_literal(&**text),
        },
        Value::Boolean(flag) => Literal::new_typed_literal(flag.to_string(), xsd::BOOLEAN),
        Value::Date(date) => Literal::new_typed_literal(date.to_string(), xsd::DATE_TIME),
        Value::Number(number) => {
            let datatype = if number.as_i64().is_some() { xsd::INTEGER } else { xsd::DOUBLE };
            Literal::new_typed_literal(number.to_string(), datatype)
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use oxrdf::NamedNodeRef;

    use super::*;

    fn read(text: &str, name: &str) -> (Result<Value, String>, usize) {
        let (datatype, mut notes) = (format!("{XSD}{name}"), Notes::default());
        let datatype = NamedNodeRef::new(&datatype).unwrap();
        let literal = LiteralRef::new_typed_literal(text, datatype);
        let value = value(literal, &Place::input("in"), &mut notes);
        (value.map_err(|error| error.code().to_owned()), notes.list().len())
    }

    #[test]
    fn literals_are_read_by_datatype() {
        let int = |number| Ok(Value::int(number));
        let date = |text: &str| Ok(Value::Date(Date::parse(text).unwrap()));
        let cases = [
            ("42", "integer", int(42), 0),
            (" +42\n", "unsignedShort", int(42), 0),
            ("+-1", "integer", Err("integer_malformed".into()), 0),
            ("9223372036854775808", "integer", Err("integer_malformed".into()), 0),
            ("9007199254740993.0", "decimal", int(9_007_199_254_740_993), 0),
            ("0.5", "decimal", Ok(Value::double(0.5).unwrap()), 0),
            ("-00.50", "decimal", Ok(Value::double(-0.5).unwrap()), 0),
            ("0.10", "decimal", Ok(Value::double(0.1).unwrap()), 0),
            ("0.1000000000000000055", "decimal", Ok(Value::double(0.1).unwrap()), 1),
            ("00100.", "decimal", int(100), 0),
            ("9223372036854775809", "decimal", Ok(Value::double(9.223372036854776e18).unwrap()), 1),
            ("1e300", "double", Ok(Value::double(1e300).unwrap()), 0),
            ("INF", "double", Err("number_not_finite".into()), 0),
            ("1e999", "double", Err("number_not_finite".into()), 0),
            ("inf", "double", Err("malformed".into()), 0),
            ("1", "boolean", Ok(Value::Boolean(true)), 0),
            ("yes", "boolean", Err("malformed".into()), 0),
            ("2024-01-15T10:30:00+02:00", "dateTime", date("2024-01-15T08:30:00Z"), 0),
            ("2024-01-15T10:30:00", "dateTime", date("2024-01-15T10:30:00Z"), 1),
            ("2024-01-15", "date", date("2024-01-15"), 1),
            ("2024-01-15+02:00", "date", date("2024-01-14T22:00:00Z"), 0),
            ("soon", "date", Err("date_malformed".into()), 1),
            ("P1D", "duration", Ok(Value::from("P1D")), 1),
        ];
        for (text, name, expected, n_notes) in cases {
            assert_eq!(read(text, name), (expected, n_notes), "{text} {name}");
        }
    }
}
