//! Values, their one total order, and the canonical bytes that sort as the values do.
//!
//! A value is a boolean, number, date, string or reference; there is no null, because an absent
//! fact is the absence. Invariants: equal values are `==`, hash alike and have equal canonical
//! bytes (`1` and `1.0` are one number, `-0.0` is `0`); `a < b` ⇔ `canonical(a) < canonical(b)`.
//! In JSON a value is a plain string, number or boolean, or `{"$ref": id}`, `{"$date": text}`,
//! `{"$int": digits}`; in binary it is its canonical bytes. What a value means is left out.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{EntityId, IdError};

/// The integers that JSON numbers carry without loss: up to 2^53 on either side.
const JSON_INT_MAX: u64 = 1 << 53;

/// A text, number or date that is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// NaN or an infinity.
    #[error("{text} is not a value: numbers are finite")]
    NotFinite {
        /// How the number prints.
        text: String,
    },
    /// A date outside the years 1 to 9999.
    #[error("date {ms} ms lies outside the years 0001 to 9999")]
    DateRange {
        /// Milliseconds since 1970.
        ms: i64,
    },
    /// A text that is no ISO-8601 date or time.
    #[error("`{text}` is not a date; write it as 2024-01-15 or 2024-01-15T10:30:00.000Z")]
    DateText {
        /// The text.
        text: String,
    },
    /// A `$int` that is no integer of 64 bits.
    #[error("`{text}` is not an integer of 64 bits")]
    IntText {
        /// The text.
        text: String,
    },
    /// A reference to something that is no entity id.
    #[error(transparent)]
    Ref(#[from] IdError),
    /// Bytes that no value has as its canonical form.
    #[error("stored value is damaged: {why}")]
    Canonical {
        /// What is wrong with them.
        why: &'static str,
    },
}

impl ValueError {
    /// The stable code of this error on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            ValueError::NotFinite { .. } => "number_not_finite",
            ValueError::DateRange { .. } | ValueError::DateText { .. } => "date_malformed",
            ValueError::IntText { .. } => "integer_malformed",
            ValueError::Ref(error) => error.code(),
            ValueError::Canonical { .. } => "value_damaged",
        }
    }
}

/// The object of a fact.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// `false` or `true`.
    Boolean(bool),
    /// An exact integer of 64 bits or a finite double.
    Number(Number),
    /// A moment in UTC, in milliseconds.
    Date(Date),
    /// Text, compared bytewise as UTF-8.
    String(Arc<str>),
    /// A reference to an entity.
    Ref(EntityId),
}

/// The kinds of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// `false` or `true`.
    Boolean,
    /// An exact integer or a finite double.
    Number,
    /// A moment in UTC.
    Date,
    /// Text.
    String,
    /// A reference to an entity.
    Ref,
}

impl ValueType {
    /// The code of the triple form: string 0, number 1, boolean 2, date 3, ref 4.
    pub fn code(self) -> u8 {
        match self {
            ValueType::String => 0,
            ValueType::Number => 1,
            ValueType::Boolean => 2,
            ValueType::Date => 3,
            ValueType::Ref => 4,
        }
    }

    /// The name people use: `boolean`, `number`, `date`, `string`, `ref`.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::Boolean => "boolean",
            ValueType::Number => "number",
            ValueType::Date => "date",
            ValueType::String => "string",
            ValueType::Ref => "ref",
        }
    }
}

impl Value {
    /// A string.
    pub fn string(text: impl Into<Arc<str>>) -> Value {
        Value::String(text.into())
    }

    /// An integer.
    pub fn int(number: i64) -> Value {
        Value::Number(Number::from(number))
    }

    /// A number.
    ///
    /// # Errors
    /// When it is NaN or infinite.
    pub fn double(number: f64) -> Result<Value, ValueError> {
        Number::from_f64(number).map(Value::Number)
    }

    /// A reference.
    ///
    /// # Errors
    /// When the text is no entity id.
    pub fn reference(id: &str) -> Result<Value, ValueError> {
        Ok(Value::Ref(EntityId::new(id)?))
    }

    /// Which kind of value this is.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::Boolean(_) => ValueType::Boolean,
            Value::Number(_) => ValueType::Number,
            Value::Date(_) => ValueType::Date,
            Value::String(_) => ValueType::String,
            Value::Ref(_) => ValueType::Ref,
        }
    }

    /// How many bytes of text it carries; 8 for the other kinds. What size limits count.
    pub fn n_bytes(&self) -> usize {
        match self {
            Value::String(text) => text.len(),
            Value::Ref(entity) => entity.as_str().len(),
            Value::Boolean(_) | Value::Number(_) | Value::Date(_) => 8,
        }
    }
}

/// Shows the value as query text does: `"text"`, `1.5`, `#inst "…"`, `#ref "…"`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(flag) => write!(f, "{flag}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Date(date) => write!(f, "#inst \"{date}\""),
            Value::String(text) => write_quoted(f, text),
            Value::Ref(entity) => {
                f.write_str("#ref ")?;
                write_quoted(f, entity.as_str())
            }
        }
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
            plain => write!(f, "{plain}")?,
        }
    }
    f.write_str("\"")
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Boolean(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::string(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::string(text)
    }
}

impl From<EntityId> for Value {
    fn from(entity: EntityId) -> Value {
        Value::Ref(entity)
    }
}

impl From<Date> for Value {
    fn from(date: Date) -> Value {
        Value::Date(date)
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Value {
        Value::Number(number)
    }
}

/// A number: one domain of exact 64-bit integers and finite doubles, compared exactly.
#[derive(Clone, Copy)]
pub struct Number(Repr);

/// Invariant: `Double` is finite and not an integer in i64 range (such a double is `Int`).
#[derive(Clone, Copy)]
enum Repr {
    Int(i64),
    Double(f64),
}

/// 2^63: the least double above every i64.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

impl Number {
    /// The number a double stands for.
    ///
    /// # Errors
    /// When it is NaN or infinite.
    pub fn from_f64(double: f64) -> Result<Number, ValueError> {
        if !double.is_finite() {
            return Err(ValueError::NotFinite { text: double.to_string() });
        }
        if double.trunc() == double && (-TWO_POW_63..TWO_POW_63).contains(&double) {
            return Ok(Number(Repr::Int(double as i64)));
        }
        Ok(Number(Repr::Double(double)))
    }

    /// The integer, if this is one of 64 bits.
    pub fn as_i64(self) -> Option<i64> {
        match self.0 {
            Repr::Int(int) => Some(int),
            Repr::Double(_) => None,
        }
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        match self.0 {
            Repr::Int(int) => int as f64,
            Repr::Double(double) => double,
        }
    }

    /// A word that is ordered as the numbers are, but for numbers that it cannot tell apart.
    pub(crate) fn prefix(self) -> u64 {
        let bits = self.floor_f64().0.to_bits();
        if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
    }

    /// The greatest double that is not above this number, and how far above it the number lies.
    /// The rest is below 1024, the widest gap between doubles in i64 range.
    fn floor_f64(self) -> (f64, u16) {
        let int = match self.0 {
            Repr::Double(double) => return (double, 0),
            Repr::Int(int) => int,
        };
        let nearest = int as f64;
        let floor = if nearest as i128 > i128::from(int) { nearest.next_down() } else { nearest };
        let rest = i128::from(int) - floor as i128;
        (floor, u16::try_from(rest).expect("doubles in i64 range lie at most 1024 apart"))
    }
}

impl From<i64> for Number {
    fn from(int: i64) -> Number {
        Number(Repr::Int(int))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        if let (Repr::Int(a), Repr::Int(b)) = (self.0, other.0) {
            return a.cmp(&b);
        }
        let ((a, a_rest), (b, b_rest)) = (self.floor_f64(), other.floor_f64());
        a.partial_cmp(&b).expect("numbers are finite").then(a_rest.cmp(&b_rest))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl std::hash::Hash for Number {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self.0 {
            Repr::Int(int) => int.hash(state),
            Repr::Double(double) => double.to_bits().hash(state),
        }
    }
}

/// The shortest text that reads back as the same number.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Repr::Int(int) => write!(f, "{int}"),
            Repr::Double(double) => write!(f, "{double:?}"),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A moment in UTC: milliseconds since 1970, in the years 0001 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

impl Date {
    /// The first moment of the year 1.
    pub const MIN: Date = Date(-62_135_596_800_000);
    /// 9999-12-30T22:00:00.000Z, the last moment of the time library's range.
    pub const MAX: Date = Date(253_402_207_200_000);

    /// A moment from milliseconds since 1970.
    ///
    /// # Errors
    /// When it lies outside the years 0001 to 9999.
    pub fn from_ms(ms: i64) -> Result<Date, ValueError> {
        if (Date::MIN.0..=Date::MAX.0).contains(&ms) {
            Ok(Date(ms))
        } else {
            Err(ValueError::DateRange { ms })
        }
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// Reads ISO-8601: a time with its offset (`2024-01-15T10:30:00Z`), or a date alone, which
    /// is its first moment in UTC. Digits below the millisecond are dropped, towards the past.
    ///
    /// # Errors
    /// When the text is no date, or one outside the years 0001 to 9999.
    pub fn parse(text: &str) -> Result<Date, ValueError> {
        let malformed = || ValueError::DateText { text: text.chars().take(64).collect() };
        let timestamp = match text.parse::<Timestamp>() {
            Ok(timestamp) => timestamp,
            Err(_) if text.len() == 10 => {
                format!("{text}T00:00:00Z").parse().map_err(|_| malformed())?
            }
            Err(_) => return Err(malformed()),
        };
        Date::from_ms(timestamp.as_nanosecond().div_euclid(1_000_000) as i64)
    }
}

/// `YYYY-MM-DDTHH:MM:SS.sssZ`, always 24 characters.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp = Timestamp::from_millisecond(self.0).expect("dates are in jiff's range");
        write!(f, "{timestamp:.3}")
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// Canonical bytes: one tag, then bytes that sort as the values of that kind do. Strings and refs
// need no terminator because a value always ends its key.
const TAG_BOOLEAN: u8 = 0x10;
const TAG_NUMBER: u8 = 0x20;
const TAG_DATE: u8 = 0x30;
const TAG_STRING: u8 = 0x40;
const TAG_REF: u8 = 0x50;

const SIGN: u64 = 1 << 63;

/// Flips the bits of a double so that the results sort as the doubles do.
fn sortable_bits(double: f64) -> u64 {
    let bits = double.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn from_sortable_bits(bits: u64) -> f64 {
    f64::from_bits(if bits & SIGN != 0 { bits & !SIGN } else { !bits })
}

impl Value {
    /// The canonical bytes: type-tagged, sorting as the values sort, equal exactly for equal
    /// values. A number is the double below it (8 bytes) and, if not zero, the rest (2 bytes).
    pub fn to_canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12);
        match self {
            Value::Boolean(flag) => bytes.extend([TAG_BOOLEAN, u8::from(*flag)]),
            Value::Number(number) => {
                let (floor, rest) = number.floor_f64();
                bytes.push(TAG_NUMBER);
                bytes.extend(sortable_bits(floor).to_be_bytes());
                if rest != 0 {
                    bytes.extend(rest.to_be_bytes());
                }
            }
            Value::Date(date) => {
                bytes.push(TAG_DATE);
                bytes.extend((date.ms() as u64 ^ SIGN).to_be_bytes());
            }
            Value::String(text) => {
                bytes.push(TAG_STRING);
                bytes.extend(text.as_bytes());
            }
            Value::Ref(entity) => {
                bytes.push(TAG_REF);
                bytes.extend(entity.as_str().as_bytes());
            }
        }
        bytes
    }

    /// The inverse of [`Value::to_canonical`]; refuses every other byte string.
    ///
    /// # Errors
    /// When no value has these bytes as its canonical form.
    pub fn from_canonical(bytes: &[u8]) -> Result<Value, ValueError> {
        let damaged = |why| ValueError::Canonical { why };
        let (tag, rest) = bytes.split_first().ok_or(damaged("no bytes"))?;
        let eight = || -> Result<u64, ValueError> {
            let head = rest.first_chunk::<8>().ok_or(damaged("too short"))?;
            Ok(u64::from_be_bytes(*head))
        };
        let text = || std::str::from_utf8(rest).map_err(|_| damaged("not UTF-8"));
        let value = match *tag {
            TAG_BOOLEAN => match rest {
                [0] => Value::Boolean(false),
                [1] => Value::Boolean(true),
                _ => return Err(damaged("not a boolean")),
            },
            TAG_NUMBER => Value::Number(number_from_canonical(eight()?, &rest[8..])?),
            TAG_DATE if rest.len() == 8 => {
                Value::Date(Date::from_ms((eight()? ^ SIGN) as i64).map_err(|_| damaged("date"))?)
            }
            TAG_DATE => return Err(damaged("not a date")),
            TAG_STRING => Value::string(text()?),
            TAG_REF => Value::reference(text()?)?,
            _ => return Err(damaged("unknown type")),
        };
        Ok(value)
    }
}

fn number_from_canonical(bits: u64, rest: &[u8]) -> Result<Number, ValueError> {
    let damaged = |why| ValueError::Canonical { why };
    let rest = match rest {
        [] => 0,
        [high, low] if (*high, *low) != (0, 0) => u16::from_be_bytes([*high, *low]),
        _ => return Err(damaged("not a number")),
    };
    let floor = from_sortable_bits(bits);
    let number = Number::from_f64(floor).map_err(|_| damaged("not finite"))?;
    let number = match (number.as_i64(), rest) {
        (_, 0) => number,
        (Some(int), rest) => {
            Number::from(int.checked_add(i64::from(rest)).ok_or(damaged("beyond 64 bits"))?)
        }
        (None, _) => return Err(damaged("a rest after a fraction")),
    };
    // Exactly one form is accepted: the one that `to_canonical` writes.
    let (again, rest_again) = number.floor_f64();
    if sortable_bits(again) != bits || rest_again != rest {
        return Err(damaged("not the canonical form of its number"));
    }
    Ok(number)
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(&self.to_canonical());
        }
        let tagged = |serializer: S, key: &str, text: &str| {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(key, text)?;
            map.end()
        };
        match self {
            Value::Boolean(flag) => serializer.serialize_bool(*flag),
            Value::Number(number) => match number.as_i64() {
                None => serializer.serialize_f64(number.to_f64()),
                Some(int) if int.unsigned_abs() <= JSON_INT_MAX => serializer.serialize_i64(int),
                Some(int) => tagged(serializer, "$int", &int.to_string()),
            },
            Value::Date(date) => tagged(serializer, "$date", &date.to_string()),
            Value::String(text) => serializer.serialize_str(text),
            Value::Ref(entity) => tagged(serializer, "$ref", entity.as_str()),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(JsonValue)
        } else {
            deserializer.deserialize_bytes(CanonicalValue)
        }
    }
}

struct CanonicalValue;

impl Visitor<'_> for CanonicalValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the canonical bytes of a value")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Value::from_canonical(bytes).map_err(E::custom)
    }
}

struct JsonValue;

impl<'de> Visitor<'de> for JsonValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a string, number or boolean, or {\"$ref\": id}, {\"$date\": text}, {\"$int\": digits}",
        )
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Boolean(flag))
    }

    fn visit_i64<E: de::Error>(self, int: i64) -> Result<Value, E> {
        Ok(Value::int(int))
    }

    fn visit_u64<E: de::Error>(self, int: u64) -> Result<Value, E> {
        match i64::try_from(int) {
            Ok(int) => Ok(Value::int(int)),
            Err(_) => self.visit_f64(int as f64),
        }
    }

    fn visit_f64<E: de::Error>(self, double: f64) -> Result<Value, E> {
        Value::double(double).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::string(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let entry: Option<(String, String)> = map.next_entry()?;
        let (key, text) = entry.ok_or_else(|| de::Error::custom("{} is not a value"))?;
        let value = match key.as_str() {
            "$ref" => Value::reference(&text).map_err(de::Error::custom)?,
            "$date" => Value::Date(Date::parse(&text).map_err(de::Error::custom)?),
            "$int" => Value::int(text.parse().map_err(|_| {
                de::Error::custom(ValueError::IntText { text: text.chars().take(64).collect() })
            })?),
            _ => return Err(de::Error::unknown_field(&key, &["$ref", "$date", "$int"])),
        };
        if map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom("a tagged value has exactly one key"));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(double: f64) -> Value {
        Value::double(double).expect("finite")
    }

    #[test]
    fn one_domain_of_numbers() {
        assert_eq!(number(1.0), Value::int(1));
        assert_eq!(number(-0.0), Value::int(0));
        assert_eq!(number(-TWO_POW_63), Value::int(i64::MIN));
        assert!(number(TWO_POW_63) > Value::int(i64::MAX));
        assert!(Value::int(9_007_199_254_740_993) > number(9_007_199_254_740_992.0));
        assert!(Value::double(f64::NAN).is_err());
        assert!(Value::double(f64::INFINITY).is_err());
    }

    #[test]
    fn kinds_are_ordered() {
        let sorted = [
            Value::Boolean(false),
            Value::Boolean(true),
            number(-1e300),
            Value::int(3),
            Value::Date(Date::MIN),
            Value::string(""),
            Value::string("z"),
            Value::reference("a").expect("an id"),
        ];
        assert!(sorted.is_sorted());
        assert!(sorted.map(|value| value.to_canonical()).is_sorted());
    }

    #[test]
    fn dates_have_one_text_form() {
        let date = Date::parse("2024-01-15T12:30:00+02:00").expect("a date");
        assert_eq!(date.to_string(), "2024-01-15T10:30:00.000Z");
        assert_eq!(Date::parse("2024-01-15").expect("a day").ms() % 86_400_000, 0);
        assert_eq!(Date::MIN.to_string(), "0001-01-01T00:00:00.000Z");
        assert_eq!(Date::MAX.to_string(), "9999-12-30T22:00:00.000Z");
        assert!(Date::parse("yesterday").is_err());
        assert!(Date::from_ms(i64::MAX).is_err());
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let not_canonical_one = [TAG_NUMBER, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for bytes in [
            &[][..],
            &[0x99],
            &[TAG_BOOLEAN, 2],
            &[TAG_STRING, 0xff],
            &[TAG_REF],
            &[TAG_DATE, 1],
            &not_canonical_one,
        ] {
            assert!(Value::from_canonical(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn json_is_plain_where_it_can_be() {
        let json = |value: &Value| serde_json::to_string(value).expect("values are JSON");
        assert_eq!(json(&Value::int(5)), "5");
        assert_eq!(json(&Value::int(i64::MAX)), r#"{"$int":"9223372036854775807"}"#);
        assert_eq!(json(&Value::reference("x").expect("an id")), r#"{"$ref":"x"}"#);
        for bad in ["null", "[]", "{}", r#"{"$ref":""}"#, r#"{"$x":"1"}"#, "1e999"] {
            assert!(serde_json::from_str::<Value>(bad).is_err(), "{bad}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let near_limits = prop_oneof![
            any::<i64>(),
            (-3_i64..4).prop_map(|k| (1_i64 << 53) + k),
            (0_i64..2_000).prop_map(|k| i64::MAX - k),
        ];
        prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            near_limits.prop_map(Value::int),
            any::<f64>().prop_filter_map("finite", |double| Value::double(double).ok()),
            near_dates().prop_map(Value::Date),
            any::<String>().prop_map(Value::from),
            "[a-z]{1,3}".prop_map(|id| Value::reference(&id).expect("an id")),
        ]
    }

    fn near_dates() -> impl Strategy<Value = Date> {
        (Date::MIN.ms()..=Date::MAX.ms()).prop_map(|ms| Date::from_ms(ms).expect("in range"))
    }

    proptest! {
        #[test]
        fn canonical_bytes_sort_as_values_and_read_back(a in any_value(), b in any_value()) {
            prop_assert_eq!(a.cmp(&b), a.to_canonical().cmp(&b.to_canonical()));
            prop_assert_eq!(Value::from_canonical(&a.to_canonical()), Ok(a));
        }

        #[test]
        fn both_encodings_read_back(value in any_value()) {
            let json = serde_json::to_string(&value).expect("values are JSON");
            prop_assert_eq!(&serde_json::from_str::<Value>(&json).expect("reads back"), &value);
            let config = bincode::config::standard();
            let bytes = bincode::serde::encode_to_vec(&value, config).expect("encodes");
            let (again, _): (Value, usize) =
                bincode::serde::decode_from_slice(&bytes, config).expect("decodes");
            prop_assert_eq!(again, value);
        }

        #[test]
        fn any_bytes_decode_to_their_own_value_or_not_at_all(bytes: Vec<u8>) {
            if let Ok(value) = Value::from_canonical(&bytes) {
                prop_assert_eq!(value.to_canonical(), bytes);
            }
        }
    }
}
