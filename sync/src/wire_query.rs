//! A query as it travels: the flat program in binary, text or the JSON form in JSON.
//!
//! It is not checked here beyond its syntax: whoever runs it prepares it first. The two functions
//! at the end are all that this crate knows of the query language's texts.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use tercet_engine::program::raw::RawProgram;

/// A query with its rules, shared: a clone is a pointer.
#[derive(Debug, Clone, PartialEq)]
pub struct WireQuery(pub Arc<RawProgram>);

impl WireQuery {
    /// Takes a program.
    pub fn new(program: RawProgram) -> WireQuery {
        WireQuery(Arc::new(program))
    }
}

impl Serialize for WireQuery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            to_json(&self.0).map_err(ser::Error::custom)?.serialize(serializer)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for WireQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let json = serde_json::Value::deserialize(deserializer)?;
            from_json(json).map(WireQuery::new).map_err(de::Error::custom)
        } else {
            RawProgram::deserialize(deserializer).map(WireQuery::new)
        }
    }
}

/// The JSON form of a program.
fn to_json(program: &RawProgram) -> Result<serde_json::Value, String> {
    serde_json::to_value(program).map_err(|error| error.to_string())
}

/// A program from EDN text (a JSON string) or from the JSON form (an object).
fn from_json(json: serde_json::Value) -> Result<RawProgram, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}
