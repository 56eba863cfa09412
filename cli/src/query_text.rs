//! Queries and inputs as they come from a command line: text, a file, or standard input.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value as Json;
use tercet_engine::db::Query;
use tercet_engine::program::raw::{Input, RawInput};
use tercet_query_lang::{Report, parse_any};

use crate::failure::Failure;

/// The text that an argument stands for: `@FILE` is that file, `-` is standard input, anything
/// else is the text itself.
///
/// # Errors
/// When the file or standard input cannot be read.
pub(crate) fn text_of(argument: &str) -> Result<String> {
    if argument == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    match argument.strip_prefix('@') {
        Some(path) => read_file(Path::new(path)),
        None => Ok(argument.to_owned()),
    }
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_file(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A query as it is sent: the JSON form when the text is a JSON object, else EDN text. The EDN
/// map form is never valid JSON: its keys are keywords.
pub(crate) fn as_sent(text: &str) -> Json {
    match serde_json::from_str::<Json>(text) {
        Ok(form @ Json::Object(_)) => form,
        _ => Json::String(text.to_owned()),
    }
}

/// A query that is known to be right.
pub(crate) struct Checked {
    /// The program.
    pub(crate) query: Query,
    /// Whether it asks for the rules given apart.
    pub(crate) takes_rules: bool,
}

impl Checked {
    /// The inputs as the program takes them.
    ///
    /// # Errors
    /// When they do not fit its `:in`.
    pub(crate) fn inputs(&self, inputs: &[Json]) -> Result<Vec<Input>, Failure> {
        let json = Json::Array(inputs.to_vec());
        let shaped = tercet_query_lang::inputs_from_json(self.query.raw(), &json);
        shaped.map_err(|report| {
            failure("the inputs do not fit the query", &report)
                .with_hint("give one --input VALUE for each name of :in, in its order")
        })
    }
}

/// Checks a query before it is sent. Rules are for a query that asks for them with `%`.
///
/// # Errors
/// Everything wrong with it, each with its line and a caret below the place.
pub(crate) fn check(query: &Json, rules: Option<&str>) -> Result<Checked, Failure> {
    let not_valid = |report: Report| failure("the query is not valid", &report);
    let mut parsed = parse_any(query, None).map_err(not_valid)?;
    let takes_rules = parsed.raw.inputs.contains(&RawInput::Rules);
    if let Some(rules) = rules.filter(|_| takes_rules) {
        parsed = parse_any(query, Some(rules)).map_err(not_valid)?;
    }
    Ok(Checked { query: parsed.prepare().map_err(not_valid)?, takes_rules })
}

/// A report, which has several lines, below a line of its own.
fn failure(what: &str, report: &Report) -> Failure {
    Failure::new(format!("{what}\n{report}"))
}

/// An input: JSON where it is JSON (`5`, `true`, `["a","b"]`, `{"$ref":"id"}`), else a string.
pub(crate) fn input(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::{as_sent, input, text_of};

    #[test]
    fn a_json_object_is_the_json_form() {
        assert_eq!(as_sent(r#"{"find": ["?x"]}"#), json!({"find": ["?x"]}));
        for text in ["[:find ?x]", "{:find [?x]}", "[]", "5"] {
            assert_eq!(as_sent(text), json!(text));
        }
    }

    #[test]
    fn inputs_are_json_or_plain_text() {
        assert_eq!(input("5"), json!(5));
        assert_eq!(input("dog"), json!("dog"));
        assert_eq!(input("\"5\""), json!("5"));
        assert_eq!(input(r#"{"$ref":"u1"}"#), json!({"$ref": "u1"}));
        assert_eq!(input("[1,"), json!("[1,"));
    }

    #[test]
    fn an_at_sign_names_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[:find ?x]").unwrap();
        assert_eq!(text_of(&format!("@{}", file.path().display())).unwrap(), "[:find ?x]");
        assert_eq!(text_of("[:find ?y]").unwrap(), "[:find ?y]");
        assert!(text_of("@no such file").unwrap_err().to_string().contains("no such file"));
    }
}
