//! What kind of value a field takes, and which stored values it can read although they are of
//! another type.
//!
//! A coercion is allowed exactly where it loses nothing: the result, turned back, gives the
//! stored value again. So `"30"` reads as the number 30 but `"030"` does not, and nothing turns a
//! number into a date, because the unit would be a guess.

use std::fmt;
use std::sync::Arc;

use tercet_engine::ids::EntityId;
use tercet_engine::value::{Date, Number, Value};

use crate::error::{Fault, VALUE_BYTES_MAX, shown};

/// The kind of value a field takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldType {
    /// Text.
    String,
    /// An integer of 64 bits or a finite double.
    Number,
    /// `false` or `true`.
    Boolean,
    /// A moment in UTC.
    Date,
    /// A reference to an entity.
    Ref {
        /// The type referred to. For readers of the definition: a reference does not say what
        /// it refers to, so it is not checked.
        target: Option<Arc<str>>,
    },
    /// One of several texts.
    Union {
        /// The texts, at least one, no duplicates.
        options: Arc<[Arc<str>]>,
    },
}

impl FieldType {
    /// Whether a value may be written to such a field.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, value: &Value) -> Result<(), Fault> {
        match (self, value) {
            (FieldType::Union { options }, Value::String(text)) => {
                if options.contains(text) {
                    return Ok(());
                }
                Err(Fault::NotInUnion { options: Arc::clone(options), value: shown(value) })
            }
            _ if !self.holds(value) => {
                Err(Fault::Type { expected: self.clone(), value: shown(value) })
            }
            _ if value.n_bytes() > VALUE_BYTES_MAX => {
                Err(Fault::TooLarge { n_bytes: value.n_bytes() })
            }
            _ => Ok(()),
        }
    }

    /// Reads a stored value: as it is, or coerced where that loses nothing.
    pub fn read(&self, stored: &Value) -> Option<Value> {
        match self {
            FieldType::Union { options } => match stored {
                Value::String(text) if options.contains(text) => Some(stored.clone()),
                _ => None,
            },
            _ if self.holds(stored) => Some(stored.clone()),
            _ => self.coerce(stored),
        }
    }

    fn holds(&self, value: &Value) -> bool {
        matches!(
            (self, value),
            (FieldType::String, Value::String(_))
                | (FieldType::Number, Value::Number(_))
                | (FieldType::Boolean, Value::Boolean(_))
                | (FieldType::Date, Value::Date(_))
                | (FieldType::Ref { .. }, Value::Ref(_))
        )
    }

    fn coerce(&self, stored: &Value) -> Option<Value> {
        match (self, stored) {
            (FieldType::String, _) => Some(Value::from(text_of(stored))),
            (_, Value::String(text)) => {
                let value = self.parse(text)?;
                (text_of(&value) == **text).then_some(value)
            }
            _ => None,
        }
    }

    /// A value of this type from text, by any notation; the caller checks that it prints back.
    fn parse(&self, text: &Arc<str>) -> Option<Value> {
        match self {
            FieldType::Number => match text.parse::<i64>() {
                Ok(int) => Some(Value::int(int)),
                Err(_) => Number::from_f64(text.parse().ok()?).ok().map(Value::Number),
            },
            FieldType::Boolean => text.parse().ok().map(Value::Boolean),
            FieldType::Date => Date::parse(text).ok().map(Value::Date),
            FieldType::Ref { .. } => EntityId::new(Arc::clone(text)).ok().map(Value::Ref),
            FieldType::String | FieldType::Union { .. } => None,
        }
    }

    /// A value of this type as one writes it, for hints.
    pub(crate) fn example(&self) -> String {
        match self {
            FieldType::String => "a text".to_owned(),
            FieldType::Number => "a number such as 30 or 1.5".to_owned(),
            FieldType::Boolean => "true or false".to_owned(),
            FieldType::Date => "a date such as 2024-01-15T10:30:00.000Z".to_owned(),
            FieldType::Ref { .. } => "a reference, {\"$ref\": id} in JSON".to_owned(),
            FieldType::Union { options } => {
                let texts: Vec<_> = options.iter().map(|option| format!("\"{option}\"")).collect();
                texts.join(" or ")
            }
        }
    }
}

/// The one text of a value; what it parses back from.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Date(date) => date.to_string(),
        Value::Ref(entity) => entity.to_string(),
    }
}

/// The type's name: `string`, `number`, `boolean`, `date`, `ref`, `union`.
impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FieldType::String => "string",
            FieldType::Number => "number",
            FieldType::Boolean => "boolean",
            FieldType::Date => "date",
            FieldType::Ref { .. } => "ref",
            FieldType::Union { .. } => "union",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const REF: FieldType = FieldType::Ref { target: None };

    #[test]
    fn a_stored_value_is_coerced_only_without_loss() {
        let date = Value::Date(Date::from_ms(0).unwrap());
        let cases = [
            (FieldType::Number, Value::from("30"), Some(Value::int(30))),
            (FieldType::Number, Value::from("1.5"), Some(Value::double(1.5).unwrap())),
            (FieldType::Number, Value::from("030"), None),
            (FieldType::Number, Value::from("1.0"), None),
            (FieldType::Number, Value::from("NaN"), None),
            (FieldType::Number, Value::from("1e400"), None),
            (FieldType::Number, Value::Boolean(true), None),
            (FieldType::Number, date.clone(), None),
            (FieldType::Boolean, Value::from("true"), Some(Value::Boolean(true))),
            (FieldType::Boolean, Value::from("True"), None),
            (FieldType::Boolean, Value::int(1), None),
            (FieldType::Date, Value::from("1970-01-01T00:00:00.000Z"), Some(date.clone())),
            (FieldType::Date, Value::from("1970-01-01"), None),
            (FieldType::Date, Value::int(0), None),
            (FieldType::String, Value::int(-4), Some(Value::from("-4"))),
            (FieldType::String, date, Some(Value::from("1970-01-01T00:00:00.000Z"))),
            (FieldType::String, Value::reference("u1").unwrap(), Some(Value::from("u1"))),
            (REF, Value::from("u1"), Some(Value::reference("u1").unwrap())),
            (REF, Value::from(""), None),
            (REF, Value::int(1), None),
        ];
        for (field_type, stored, expected) in cases {
            assert_eq!(field_type.read(&stored), expected, "{stored} as {field_type}");
        }
    }

    #[test]
    fn a_union_takes_its_texts_only() {
        let union = FieldType::Union { options: ["admin".into(), "member".into()].into() };
        assert_eq!(union.check(&Value::from("admin")), Ok(()));
        assert_eq!(union.check(&Value::from("root")).unwrap_err().code(), "field_not_in_union");
        assert_eq!(union.check(&Value::int(1)).unwrap_err().code(), "field_type");
        assert_eq!(union.read(&Value::from("root")), None);
    }

    #[test]
    fn a_text_beyond_the_limit_is_refused_and_its_error_stays_short() {
        let text = Value::from("é".repeat(VALUE_BYTES_MAX));
        assert_eq!(FieldType::String.check(&text).unwrap_err().code(), "value_too_large");
        assert!(FieldType::Number.check(&text).unwrap_err().to_string().len() < 300);
        assert_eq!(FieldType::String.check(&Value::from("x".repeat(VALUE_BYTES_MAX))), Ok(()));
    }
}
