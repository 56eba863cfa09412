//! Rows as they travel: flat, so that no recursive type is decoded from a peer.
//!
//! A pulled tree travels as JSON text of bounded depth. A value in it is written as everywhere; a
//! key of the tree that starts with `$` gets one `$` more, so that `{"$ref": …}` is a reference
//! and nothing else. Left out: the order of rows, which their receiver derives from the query.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tercet_engine::answer::{Branch, Output, Row, Tree};
use tercet_engine::value::Value;

/// How deep a pulled tree may nest; JSON readers commonly stop at 128.
pub const TREE_DEPTH_MAX: usize = 100;

/// A row of a result, one output for each find element.
pub type WireRow = Vec<WireOutput>;

/// One cell of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireOutput {
    /// A value.
    Value(Value),
    /// The result of an aggregate that gives several.
    List(Vec<Value>),
    /// The result of a pull, as JSON text.
    Tree(String),
}

/// A row that cannot travel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireRowError {
    /// A tree deeper than [`TREE_DEPTH_MAX`].
    #[error("a pulled tree nests deeper than {TREE_DEPTH_MAX}; limit the pull's recursion")]
    TooDeep,
    /// A row that does not fit into a frame.
    #[error("a row has {n_bytes} bytes, more than {n_bytes_max}; ask for less in one row")]
    TooLarge {
        /// How many it has.
        n_bytes: usize,
        /// How many it may have.
        n_bytes_max: usize,
    },
    /// Text that is no tree.
    #[error("a pulled tree is malformed: {why}")]
    Malformed {
        /// What is wrong with it.
        why: String,
    },
}

impl WireRowError {
    /// The stable code of this error on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            WireRowError::TooDeep => "tree_too_deep",
            WireRowError::TooLarge { .. } => "row_too_large",
            WireRowError::Malformed { .. } => "malformed",
        }
    }
}

/// A row, ready to travel.
///
/// # Errors
/// When a tree in it nests too deep.
pub fn to_wire(row: Row) -> Result<WireRow, WireRowError> {
    row.into_iter().map(output_to_wire).collect()
}

/// The inverse of [`to_wire`].
///
/// # Errors
/// When the text of a tree is none.
pub fn from_wire(row: &WireRow) -> Result<Row, WireRowError> {
    row.iter().map(output_from_wire).collect()
}

fn output_to_wire(output: Output) -> Result<WireOutput, WireRowError> {
    Ok(match output {
        Output::Value(value) => WireOutput::Value(value),
        Output::List(values) => WireOutput::List(values),
        Output::Tree(tree) => WireOutput::Tree(tree_to_json(&tree, TREE_DEPTH_MAX)?.to_string()),
    })
}

fn output_from_wire(output: &WireOutput) -> Result<Output, WireRowError> {
    Ok(match output {
        WireOutput::Value(value) => Output::Value(value.clone()),
        WireOutput::List(values) => Output::List(values.clone()),
        WireOutput::Tree(text) => match serde_json::from_str(text) {
            Ok(serde_json::Value::Object(object)) => Output::Tree(tree_from_json(object)?),
            Ok(_) => return Err(malformed("it is no object")),
            Err(error) => return Err(malformed(error)),
        },
    })
}

fn malformed(why: impl ToString) -> WireRowError {
    WireRowError::Malformed { why: why.to_string() }
}

fn tree_to_json(tree: &Tree, depth_left: usize) -> Result<serde_json::Value, WireRowError> {
    let depth_left = depth_left.checked_sub(1).ok_or(WireRowError::TooDeep)?;
    let entry = |(key, branch): (&Arc<str>, &Branch)| {
        let key = if key.starts_with('$') { format!("${key}") } else { key.to_string() };
        Ok((key, branch_to_json(branch, depth_left)?))
    };
    let object: Result<serde_json::Map<_, _>, _> = tree.0.iter().map(entry).collect();
    object.map(serde_json::Value::Object)
}

fn branch_to_json(branch: &Branch, depth_left: usize) -> Result<serde_json::Value, WireRowError> {
    match branch {
        Branch::Value(value) => serde_json::to_value(value).map_err(malformed),
        Branch::List(branches) => {
            let depth_left = depth_left.checked_sub(1).ok_or(WireRowError::TooDeep)?;
            let items: Result<_, _> =
                branches.iter().map(|branch| branch_to_json(branch, depth_left)).collect();
            items.map(serde_json::Value::Array)
        }
        Branch::Tree(tree) => tree_to_json(tree, depth_left),
    }
}

/// Recursion is bounded by the JSON reader's own limit on depth.
fn tree_from_json(
    object: serde_json::Map<String, serde_json::Value>,
) -> Result<Tree, WireRowError> {
    let entry = |(key, json): (String, serde_json::Value)| {
        let key = match key.strip_prefix('$') {
            Some(rest) if rest.starts_with('$') => Arc::from(rest),
            Some(_) => return Err(malformed("a key with one `$` in the place of a tree's")),
            None => Arc::from(key),
        };
        Ok((key, branch_from_json(json)?))
    };
    let branches: Result<BTreeMap<Arc<str>, Branch>, _> = object.into_iter().map(entry).collect();
    branches.map(Tree)
}

fn branch_from_json(json: serde_json::Value) -> Result<Branch, WireRowError> {
    match json {
        serde_json::Value::Array(items) => {
            let branches: Result<_, _> = items.into_iter().map(branch_from_json).collect();
            branches.map(Branch::List)
        }
        serde_json::Value::Object(object) if !is_tagged_value(&object) => {
            tree_from_json(object).map(Branch::Tree)
        }
        plain => serde_json::from_value(plain).map(Branch::Value).map_err(malformed),
    }
}

/// `{"$ref": …}`, `{"$date": …}`, `{"$int": …}`: keys of trees never start with a single `$`.
fn is_tagged_value(object: &serde_json::Map<String, serde_json::Value>) -> bool {
    object.keys().any(|key| key.starts_with('$') && !key.starts_with("$$"))
}

/// The hash by which fingerprints count a row: 128 bits of BLAKE3 over its binary form.
pub fn row_hash(row: &WireRow) -> u128 {
    let hash = blake3::hash(&tercet_engine::codec::encode(row));
    let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    u128::from_le_bytes(*first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tree(entries: &[(&str, Branch)]) -> Tree {
        Tree(entries.iter().map(|(key, branch)| (Arc::from(*key), branch.clone())).collect())
    }

    fn nested(depth: usize) -> Tree {
        (1..depth).fold(tree(&[]), |inner, _| tree(&[("a", Branch::Tree(inner))]))
    }

    #[test]
    fn trees_read_back_whatever_their_keys() {
        let reference = Branch::Value(Value::reference("x").unwrap());
        let text = Branch::Value(Value::from("x"));
        let trees = [
            tree(&[("user/name", text.clone()), ("user/boss", reference.clone())]),
            tree(&[("$ref", text.clone())]),
            tree(&[("$", text.clone()), ("$$ref", Branch::List(vec![reference, text]))]),
            tree(&[("a", Branch::Tree(tree(&[]))), ("b", Branch::List(vec![]))]),
            nested(TREE_DEPTH_MAX),
        ];
        for tree in trees {
            let row = vec![Output::Tree(tree), Output::List(vec![Value::int(1)])];
            assert_eq!(from_wire(&to_wire(row.clone()).unwrap()), Ok(row));
        }
    }

    #[test]
    fn deep_trees_are_refused_both_ways() {
        let row = vec![Output::Tree(nested(TREE_DEPTH_MAX + 1))];
        assert_eq!(to_wire(row), Err(WireRowError::TooDeep));
        let text = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
        assert_eq!(from_wire(&vec![WireOutput::Tree(text)]).unwrap_err().code(), "malformed");
    }

    #[test]
    fn text_that_is_no_tree_is_refused() {
        for text in ["", "1", "[]", "{", r#"{"a":null}"#, r#"{"a":{"$x":"1"}}"#, r#"{"$ref":"x"}"#]
        {
            let read = from_wire(&vec![WireOutput::Tree(text.to_owned())]);
            assert!(read.is_err(), "{text}");
        }
    }
}
