//! One form of EDN, with its place.

/// Where a form begins: line and column, both from 1, the column in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// A form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    pub(super) at: At,
    pub(super) kind: Kind,
}

/// What a form is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Nil,
    Bool(bool),
    Int(i64),
    Double(f64),
    /// A decimal with `M`: the text before it.
    Decimal(String),
    Str(String),
    Char(char),
    /// Without its colon.
    Keyword(String),
    Symbol(String),
    /// A vector, list or set.
    Sequence(Bracket, Vec<Form>),
    Map(Vec<(Form, Form)>),
    /// Without its `#`.
    Tagged(String, Box<Form>),
}

/// The brackets of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bracket {
    Vector,
    List,
    Set,
}

impl Kind {
    /// What it is called in messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Nil => "nil",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) | Kind::Double(_) | Kind::Decimal(_) => "a number",
            Kind::Str(_) => "a string",
            Kind::Char(_) => "a character",
            Kind::Keyword(_) => "a keyword",
            Kind::Symbol(_) => "a symbol",
            Kind::Sequence(Bracket::Vector, _) => "a vector",
            Kind::Sequence(Bracket::List, _) => "a list",
            Kind::Sequence(Bracket::Set, _) => "a set",
            Kind::Map(_) => "a map",
            Kind::Tagged(..) => "a tagged form",
        }
    }
}
