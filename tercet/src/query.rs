//! Queries that are checked once and run often.

use tercet_engine::db::Query;
use tercet_query_lang::IntoQuery;

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
    Ok(query.into_query()?)
}
