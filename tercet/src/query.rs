//! Queries and their arguments as an embedding program gives them.

use tercet_engine::db::Query;
use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;

use crate::error::Error;

/// Checks the text of a query once, to run it often.
///
/// ```
/// # fn main() -> Result<(), tercet::Error> {
/// let by_name = tercet::prepare("[:find ?u . :in ?name :where [?u :user/name ?name]]")?;
/// let db = tercet::Database::memory();
/// assert!(db.query(&by_name, ["Ann"])?.rows.is_empty());
/// assert!(db.query(&by_name, ["Bob"])?.rows.is_empty());
/// # Ok(()) }
/// ```
///
/// # Errors
/// Everything wrong with it, each with its position.
pub fn prepare(query: impl IntoQuery) -> Result<Query, Error> {
    query.into_query()
}

/// What can be asked: EDN text, with a text of rules beside it if need be, or a query that was
/// prepared before.
pub trait IntoQuery {
    /// Checks it.
    ///
    /// # Errors
    /// Everything wrong with it, each with its position.
    fn into_query(self) -> Result<Query, Error>;
}

impl IntoQuery for &str {
    fn into_query(self) -> Result<Query, Error> {
        Ok(tercet_query_lang::parse(self)?.prepare()?)
    }
}

/// The text of a query whose `:in` has `%`, and the text of its rules.
impl IntoQuery for (&str, &str) {
    fn into_query(self) -> Result<Query, Error> {
        let (text, rules) = self;
        Ok(tercet_query_lang::parse_with_rules(text, rules)?.prepare()?)
    }
}

impl IntoQuery for Query {
    fn into_query(self) -> Result<Query, Error> {
        Ok(self)
    }
}

impl IntoQuery for &Query {
    fn into_query(self) -> Result<Query, Error> {
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
