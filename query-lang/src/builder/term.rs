//! Variables, constants and what they are bound to, each of its own type.

use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::{Date, Value};

use super::{form, forms, keyword_form, symbol, text, vector};
use crate::form::{Form, Kind};
use crate::problem::Problem;

/// A variable.
#[derive(Debug, Clone)]
pub struct Var(pub(super) Form);

/// `_`: anything, the same or not.
#[derive(Debug, Clone, Copy)]
pub struct Blank;

/// A constant: a boolean, number, string, date or reference.
#[derive(Debug, Clone)]
pub struct Constant(pub(super) Form);

/// An argument: a variable, a constant, [`blank`] or [`keyword`].
#[derive(Debug, Clone)]
pub struct Term(pub(super) Form);

/// What stands in attribute position: a string names an attribute.
#[derive(Debug, Clone)]
pub struct AttributeTerm(pub(super) Form);

/// A variable to bind, or [`blank`].
#[derive(Debug, Clone)]
pub struct Slot(pub(super) Form);

/// What the result of a function is bound to; a variable alone binds it as one value.
#[derive(Debug, Clone)]
pub struct Binding(pub(super) Form);

/// An input of the query.
#[derive(Debug, Clone)]
pub struct In(pub(super) Form);

/// A variable, named without or with its question mark.
pub fn var(name: &str) -> Var {
    Var(symbol(&format!("?{}", name.strip_prefix('?').unwrap_or(name))))
}

/// `_`.
pub fn blank() -> Blank {
    Blank
}

/// An attribute as an argument of a rule or function.
pub fn keyword(attribute: &str) -> Term {
    Term(keyword_form(attribute))
}

/// One value: `?x`.
pub fn input(variable: Var) -> In {
    In(variable.0)
}

/// One row: `[?x _ ?y]`.
pub fn tuple(slots: impl Parts<Slot>) -> In {
    In(vector(forms(slots, |slot| slot.0)))
}

/// Each of several values: `[?x ...]`.
pub fn each(variable: Var) -> In {
    In(vector(vec![variable.0, symbol("...")]))
}

/// Each of several rows: `[[?x ?y]]`.
pub fn relation(slots: impl Parts<Slot>) -> In {
    In(vector(vec![vector(forms(slots, |slot| slot.0))]))
}

/// Rules: `%`.
pub fn rules() -> In {
    In(symbol("%"))
}

impl Binding {
    /// One row: `[?x _ ?y]`.
    pub fn tuple(slots: impl Parts<Slot>) -> Binding {
        Binding(vector(forms(slots, |slot| slot.0)))
    }

    /// Each of several values: `[?x ...]`.
    pub fn each(slot: impl Into<Slot>) -> Binding {
        Binding(vector(vec![slot.into().0, symbol("...")]))
    }

    /// Each of several rows: `[[?x ?y]]`.
    pub fn relation(slots: impl Parts<Slot>) -> Binding {
        Binding(vector(vec![vector(forms(slots, |slot| slot.0))]))
    }
}

impl From<&str> for Var {
    fn from(name: &str) -> Var {
        var(name)
    }
}

impl From<Var> for Term {
    fn from(variable: Var) -> Term {
        Term(variable.0)
    }
}

impl From<Blank> for Term {
    fn from(_: Blank) -> Term {
        Term(symbol("_"))
    }
}

impl From<Var> for AttributeTerm {
    fn from(variable: Var) -> AttributeTerm {
        AttributeTerm(variable.0)
    }
}

impl From<Blank> for AttributeTerm {
    fn from(_: Blank) -> AttributeTerm {
        AttributeTerm(symbol("_"))
    }
}

impl From<&str> for AttributeTerm {
    fn from(name: &str) -> AttributeTerm {
        AttributeTerm(text(name))
    }
}

impl From<&Attribute> for AttributeTerm {
    fn from(attribute: &Attribute) -> AttributeTerm {
        AttributeTerm(text(attribute.as_str()))
    }
}

impl From<Var> for Slot {
    fn from(variable: Var) -> Slot {
        Slot(variable.0)
    }
}

impl From<&str> for Slot {
    fn from(name: &str) -> Slot {
        Slot(var(name).0)
    }
}

impl From<Blank> for Slot {
    fn from(_: Blank) -> Slot {
        Slot(symbol("_"))
    }
}

impl From<Var> for Binding {
    fn from(variable: Var) -> Binding {
        Binding(variable.0)
    }
}

impl From<Blank> for Binding {
    fn from(_: Blank) -> Binding {
        Binding(symbol("_"))
    }
}

impl From<f64> for Constant {
    fn from(double: f64) -> Constant {
        Constant(form(match Value::double(double) {
            Ok(value) => Kind::Value(value),
            Err(error) => Kind::Refused(Box::new(Problem::from(error))),
        }))
    }
}

impl From<i32> for Constant {
    fn from(int: i32) -> Constant {
        Constant::from(i64::from(int))
    }
}

macro_rules! constant {
    ($($source:ty),*) => {
        $(impl From<$source> for Constant {
            fn from(value: $source) -> Constant {
                Constant(form(Kind::Value(value.into())))
            }
        })*
    };
}

constant!(bool, i64, &str, String, Date, EntityId, Value);

/// Everything that is a constant is also one of these.
macro_rules! from_constant {
    ($target:ident: $($source:ty),*) => {
        $(impl From<$source> for $target {
            fn from(value: $source) -> $target {
                $target(Constant::from(value).0)
            }
        })*
    };
}
pub(super) use from_constant;

from_constant!(Term: bool, i32, i64, f64, &str, String, Date, EntityId, Value, Constant);

/// Several parts: a single one, a tuple of up to eight, an array or a vector.
pub trait Parts<Item> {
    /// The parts, in order.
    fn into_parts(self) -> Vec<Item>;
}

impl<Item, Part: Into<Item>, const N: usize> Parts<Item> for [Part; N] {
    fn into_parts(self) -> Vec<Item> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<Item, Part: Into<Item>> Parts<Item> for Vec<Part> {
    fn into_parts(self) -> Vec<Item> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuple_parts {
    ($($part:ident),*) => {
        impl<Item, $($part: Into<Item>),*> Parts<Item> for ($($part,)*) {
            fn into_parts(self) -> Vec<Item> {
                #[allow(non_snake_case, reason = "the parts are named as their types")]
                let ($($part,)*) = self;
                vec![$($part.into()),*]
            }
        }
    };
}

tuple_parts!(A);
tuple_parts!(A, B);
tuple_parts!(A, B, C);
tuple_parts!(A, B, C, D);
tuple_parts!(A, B, C, D, E);
tuple_parts!(A, B, C, D, E, F);
tuple_parts!(A, B, C, D, E, F, G);
tuple_parts!(A, B, C, D, E, F, G, H);

/// One part alone.
macro_rules! single_part {
    ($($part:ty => $($item:ty),*);*) => {
        $($(impl Parts<$item> for $part {
            fn into_parts(self) -> Vec<$item> {
                vec![self.into()]
            }
        })*)*
    };
}
pub(super) use single_part;

single_part!(Var => Var, Term, Slot; In => In);
