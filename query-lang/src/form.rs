//! Forms: what every front end is read into before it means anything.
//!
//! EDN text, JSON and the builder all become a tree of forms, and one translator gives forms
//! their meaning: so the three cannot drift apart. A form knows where it came from, for errors.
//! Invariant: a tree is at most [`crate::NESTING_MAX`] levels deep when it is translated, so
//! recursing over it is safe.

use std::fmt::{self, Write};
use std::sync::Arc;

use tercet_engine::value::Value;

use crate::problem::Problem;

/// Which source a span lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The query's text.
    Query,
    /// The text of rules given apart.
    Rules,
    /// The text of an argument, counted from 0.
    Input(u32),
    /// A JSON form; the span's start is the number of its node.
    Json,
    /// The builder, which has no text.
    Builder,
}

/// Where something stands: bytes `start..end` of its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which text.
    pub origin: Origin,
    /// The first byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

impl Span {
    /// The place of everything the builder makes.
    pub(crate) const BUILDER: Span = Span { origin: Origin::Builder, start: 0, end: 0 };
}

/// A form and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Form {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// The kinds of form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Symbol(Arc<str>),
    /// Without the colon.
    Keyword(Arc<str>),
    Value(Value),
    List(Vec<Form>),
    Vector(Vec<Form>),
    Map(Vec<(Form, Form)>),
    Set(Vec<Form>),
    /// Something whose problem has been reported; whoever meets it stays silent.
    Poison,
    /// Something wrong that is reported by whoever meets it.
    Refused(Box<Problem>),
}

impl Form {
    pub(crate) fn new(kind: Kind, span: Span) -> Form {
        Form { kind, span }
    }

    /// The text, if this is a symbol.
    pub(crate) fn as_symbol(&self) -> Option<&str> {
        match &self.kind {
            Kind::Symbol(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_symbol(&self, text: &str) -> bool {
        self.as_symbol() == Some(text)
    }

    /// How many levels of brackets it has: 0 for an atom.
    pub(crate) fn n_levels(&self) -> usize {
        let deepest = |forms: &mut dyn Iterator<Item = &Form>| {
            1 + forms.map(Form::n_levels).max().unwrap_or_default()
        };
        match &self.kind {
            Kind::List(items) | Kind::Vector(items) | Kind::Set(items) => {
                deepest(&mut items.iter())
            }
            Kind::Map(entries) => deepest(&mut entries.iter().flat_map(|(k, v)| [k, v])),
            _ => 0,
        }
    }

    /// Its text in backquotes, cut after some characters: for messages.
    pub(crate) fn brief(&self) -> String {
        let mut text = Brief { text: String::new(), n_left: 40 };
        match write!(text, "{self}") {
            Ok(()) => format!("`{}`", text.text),
            Err(fmt::Error) => format!("`{}…`", text.text),
        }
    }
}

/// Takes some characters and then fails, so that a large form is not printed for nothing.
struct Brief {
    text: String,
    n_left: usize,
}

impl Write for Brief {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.n_left = self.n_left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(character);
        }
        Ok(())
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Symbol(text) => f.write_str(text),
            Kind::Keyword(text) => write!(f, ":{text}"),
            Kind::Value(value) => write!(f, "{value}"),
            Kind::List(items) => write_items(f, "(", items, ")"),
            Kind::Vector(items) => write_items(f, "[", items, "]"),
            Kind::Set(items) => write_items(f, "#{", items, "}"),
            Kind::Map(entries) => {
                f.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key} {value}", if index == 0 { "" } else { " " })?;
                }
                f.write_str("}")
            }
            Kind::Poison | Kind::Refused(_) => f.write_str("?!"),
        }
    }
}

fn write_items(f: &mut fmt::Formatter<'_>, open: &str, items: &[Form], close: &str) -> fmt::Result {
    f.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if index == 0 { "" } else { " " })?;
    }
    f.write_str(close)
}
