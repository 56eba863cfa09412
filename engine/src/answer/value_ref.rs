//! Values and outputs by reference: what a reader of an answer sees without owning it.
//!
//! They exist so that reading a million rows makes no texts and counts no references. Invariant:
//! they are equal, ordered and shown as the values they stand for.

use std::fmt;

use super::{Output, Tree};
use crate::ids::EntityId;
use crate::value::{Date, Number, Value};

/// A value, its text borrowed. Variants stand in the order of values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueRef<'a> {
    /// `false` or `true`.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A moment in UTC.
    Date(Date),
    /// Text.
    String(&'a str),
    /// The id of the entity that is referred to.
    Ref(&'a str),
}

impl<'a> ValueRef<'a> {
    /// The value, with a copy of its text.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Boolean(flag) => Value::Boolean(flag),
            ValueRef::Number(number) => Value::Number(number),
            ValueRef::Date(date) => Value::Date(date),
            ValueRef::String(text) => Value::from(text),
            ValueRef::Ref(id) => {
                Value::Ref(EntityId::new(id).expect("the text of a reference is an entity id"))
            }
        }
    }

    /// The integer, if this is one of 64 bits.
    pub fn as_i64(self) -> Option<i64> {
        match self {
            ValueRef::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// The text of a string; none for other types, references included.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            ValueRef::String(text) => Some(text),
            _ => None,
        }
    }

    /// The id that a reference refers to.
    pub fn as_id(self) -> Option<&'a str> {
        match self {
            ValueRef::Ref(id) => Some(id),
            _ => None,
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> ValueRef<'a> {
        match value {
            Value::Boolean(flag) => ValueRef::Boolean(*flag),
            Value::Number(number) => ValueRef::Number(*number),
            Value::Date(date) => ValueRef::Date(*date),
            Value::String(text) => ValueRef::String(text),
            Value::Ref(entity) => ValueRef::Ref(entity.as_str()),
        }
    }
}

impl PartialEq<Value> for ValueRef<'_> {
    fn eq(&self, other: &Value) -> bool {
        *self == ValueRef::from(other)
    }
}

/// Shows the value as query text does.
impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_value(), f)
    }
}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One cell of a row, borrowed. Variants stand in the order of [`Output`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutputRef<'a> {
    /// A value.
    Value(ValueRef<'a>),
    /// The result of an aggregate that gives several.
    List(&'a [Value]),
    /// The result of a pull.
    Tree(&'a Tree),
}

impl<'a> OutputRef<'a> {
    /// The value; none for lists and trees.
    pub fn as_value(self) -> Option<ValueRef<'a>> {
        match self {
            OutputRef::Value(value) => Some(value),
            OutputRef::List(_) | OutputRef::Tree(_) => None,
        }
    }
}

impl<'a> From<&'a Output> for OutputRef<'a> {
    fn from(output: &'a Output) -> OutputRef<'a> {
        match output {
            Output::Value(value) => OutputRef::Value(ValueRef::from(value)),
            Output::List(values) => OutputRef::List(values),
            Output::Tree(tree) => OutputRef::Tree(tree),
        }
    }
}

impl PartialEq<Output> for OutputRef<'_> {
    fn eq(&self, other: &Output) -> bool {
        *self == OutputRef::from(other)
    }
}
