//! A query as it travels: the flat program in binary, EDN text or the JSON form in JSON.
//!
//! It is not checked here beyond its syntax: whoever runs it prepares it first. Text that is no
//! query does not make its message unreadable: the message is about a subscription, and that
//! subscription is what the error must name.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tercet_engine::program::raw::RawProgram;
use tercet_query_lang as query_lang;

/// A query with its rules, shared: a clone is a pointer.
#[derive(Debug, Clone, PartialEq)]
pub struct WireQuery(Source);

#[derive(Debug, Clone, PartialEq)]
enum Source {
    Program(Arc<RawProgram>),
    Unreadable(Arc<Unreadable>),
}

/// JSON that is no query, and what is wrong with it.
#[derive(Debug, PartialEq)]
struct Unreadable {
    json: serde_json::Value,
    error: QueryTextError,
}

/// Why a text or JSON is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryTextError {
    /// The stable code of the first error.
    pub code: String,
    /// All errors, with their positions.
    pub message: String,
}

impl WireQuery {
    /// Takes a program.
    pub fn new(program: RawProgram) -> WireQuery {
        WireQuery(Source::Program(Arc::new(program)))
    }

    /// The program, not yet prepared.
    ///
    /// # Errors
    /// When what came was no query.
    pub fn program(&self) -> Result<&Arc<RawProgram>, &QueryTextError> {
        match &self.0 {
            Source::Program(program) => Ok(program),
            Source::Unreadable(unreadable) => Err(&unreadable.error),
        }
    }

    fn read(json: serde_json::Value) -> WireQuery {
        match query_lang::parse_any(&json, None) {
            Ok(parsed) => WireQuery::new(parsed.raw),
            Err(report) => {
                let (code, message) = (report.code().to_owned(), report.to_string());
                let error = QueryTextError { code, message };
                WireQuery(Source::Unreadable(Arc::new(Unreadable { json, error })))
            }
        }
    }
}

impl Serialize for WireQuery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (&self.0, serializer.is_human_readable()) {
            (Source::Program(program), true) => query_lang::print(program).serialize(serializer),
            (Source::Program(program), false) => program.serialize(serializer),
            (Source::Unreadable(unreadable), true) => unreadable.json.serialize(serializer),
            // Finds nothing, which is an error of its own to whoever prepares it.
            (Source::Unreadable(_), false) => RawProgram::default().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for WireQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            serde_json::Value::deserialize(deserializer).map(WireQuery::read)
        } else {
            RawProgram::deserialize(deserializer).map(WireQuery::new)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_and_json_form_are_one_query_and_others_say_what_is_wrong() {
        let read = |json: &str| serde_json::from_str::<WireQuery>(json).unwrap();
        let text = read(r#""[:find ?n :where [?e :user/name ?n]]""#);
        assert_eq!(text, read(r#"{"find":["?n"],"where":[["?e","user/name","?n"]]}"#));
        assert_eq!(read(&serde_json::to_string(&text).unwrap()), text);
        let bytes = tercet_engine::codec::encode(&text);
        assert_eq!(tercet_engine::codec::decode(&bytes), Ok(text));

        let wrong = read(r#""[:find ?n :wher [?e :user/name ?n]]""#);
        assert_eq!(wrong.program().unwrap_err().code, "query_unknown_key");
        assert_eq!(
            serde_json::to_string(&wrong).unwrap(),
            r#""[:find ?n :wher [?e :user/name ?n]]""#
        );
        assert!(read("7").program().is_err());
    }
}
