//! Operations as JSON, and what is wrong with one that is none.
//!
//! The fast way parses straight into operations. Only when that fails is the text looked at
//! again, to name the operation and to give the error its own code.

use serde::Deserialize;
use serde_json::Value;
use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};

/// Why a text is no operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpError {
    /// The stable code.
    pub(super) code: &'static str,
    /// What is wrong.
    pub(super) message: String,
}

/// One operation.
pub(super) fn parse_op(text: &[u8]) -> Result<Op, OpError> {
    serde_json::from_slice(text).map_err(|error| {
        let code = serde_json::from_slice(text).ok().as_ref().and_then(id_code);
        OpError { code: code.unwrap_or("malformed"), message: error.to_string() }
    })
}

/// The first of these that is no operation, with its index.
pub(super) fn first_error(ops: &[Value]) -> Option<(usize, OpError)> {
    ops.iter().enumerate().find_map(|(index, op)| {
        let error = Op::deserialize(op).err()?;
        let code = id_code(op).unwrap_or("malformed");
        Some((index, OpError { code, message: error.to_string() }))
    })
}

/// The code of the first id in an operation that is none.
fn id_code(op: &Value) -> Option<&'static str> {
    let parts = op.as_object()?.values().next()?;
    let text = |key: &str| parts.get(key).and_then(Value::as_str);
    let entity = text("e").and_then(|text| EntityId::new(text).err());
    let attribute = || text("a").and_then(|text| Attribute::new(text).err());
    let target = || {
        let text = parts.get("v")?.get("$ref")?.as_str()?;
        EntityId::new(text).err()
    };
    entity.or_else(attribute).or_else(target).map(|error| error.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_is_none_has_the_code_of_its_part() {
        for (text, code) in [
            (r#"{"set": {"e": "", "a": "u/n", "v": 1}}"#, "id_empty"),
            (r#"{"set": {"e": "x", "a": "_deleted", "v": 1}}"#, "attribute_internal"),
            (r#"{"set": {"e": "x", "a": "name", "v": 1}}"#, "attribute_malformed"),
            (r#"{"add": {"e": "x", "a": "u/n", "v": {"$ref": ""}}}"#, "id_empty"),
            (r#"{"add": {"e": "x", "a": "u/n", "v": null}}"#, "malformed"),
            (r#"{"put": {"e": "x", "a": "u/n", "v": 1}}"#, "malformed"),
            (r#"{"set": {"e": "x", "a": "u/n", "v": 1, "w": 1}}"#, "malformed"),
            ("[]", "malformed"),
            ("{", "malformed"),
            ("", "malformed"),
        ] {
            assert_eq!(parse_op(text.as_bytes()).map_err(|error| error.code), Err(code), "{text}");
        }
        assert!(parse_op(br#"{"delete": {"e": "x"}}"#).is_ok());
    }
}
