//! Queries and their arguments as a program gives them, whatever interface it asks through.

use serde_json::Value as Json;
use tercet_engine::db::Query;
use tercet_engine::program::raw::{Input, RawProgram};
use tercet_engine::value::Value;

use crate::{Parsed, Report, parse, parse_any, parse_with_rules, print};

/// What can be asked: EDN text, with a text of rules beside it if need be; the JSON form; a
/// program; or a query that was prepared before.
pub trait IntoQuery {
    /// Checks it.
    ///
    /// # Errors
    /// Everything wrong with it, each with its position.
    fn into_query(self) -> Result<Query, Report>;
}

impl IntoQuery for &str {
    fn into_query(self) -> Result<Query, Report> {
        parse(self)?.prepare()
    }
}

impl IntoQuery for &String {
    fn into_query(self) -> Result<Query, Report> {
        self.as_str().into_query()
    }
}

/// The text of a query whose `:in` has `%`, and the text of its rules.
impl IntoQuery for (&str, &str) {
    fn into_query(self) -> Result<Query, Report> {
        let (text, rules) = self;
        parse_with_rules(text, rules)?.prepare()
    }
}

impl IntoQuery for &Parsed {
    fn into_query(self) -> Result<Query, Report> {
        self.prepare()
    }
}

impl IntoQuery for &Json {
    fn into_query(self) -> Result<Query, Report> {
        parse_any(self, None)?.prepare()
    }
}

/// Errors have their positions in the program as it is printed.
impl IntoQuery for RawProgram {
    fn into_query(self) -> Result<Query, Report> {
        let text = print(&self);
        Query::prepare(self).or_else(|_| text.as_str().into_query())
    }
}

impl IntoQuery for Query {
    fn into_query(self) -> Result<Query, Report> {
        Ok(self)
    }
}

impl IntoQuery for &Query {
    fn into_query(self) -> Result<Query, Report> {
        Ok(self.clone())
    }
}

/// The arguments of a query: `()`, an array of values for scalar inputs, or a list of [`Input`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs(pub Vec<Input>);

impl From<()> for Inputs {
    fn from((): ()) -> Inputs {
        Inputs::default()
    }
}

impl From<Vec<Input>> for Inputs {
    fn from(inputs: Vec<Input>) -> Inputs {
        Inputs(inputs)
    }
}

impl<Scalar: Into<Value>, const N: usize> From<[Scalar; N]> for Inputs {
    fn from(values: [Scalar; N]) -> Inputs {
        Inputs(values.map(|value| Input::Scalar(value.into())).into())
    }
}
