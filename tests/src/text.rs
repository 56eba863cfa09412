//! The text of golden cases: operations in, rows out.
//!
//! An operation is a line, `set ann user/name "Ann"`; values are written as in query text. A row
//! is a line of cells between bars; lists are `[…]`, trees `{:key …}`. Queries are written in the
//! query language itself and are not read here.

use tercet_engine::answer::{Branch, Output, Row, Tree};
use tercet_engine::fact::{Fact, Kind, Mark, Op};
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::{Date, Number, Value};

use crate::oracle::merge::Facts;

/// Reads operations, one a line; empty lines and those that start with `;` are skipped.
///
/// # Panics
/// At a line that is no operation.
pub fn parse_ops(text: &str) -> Vec<Op> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with(';')).map(parse_op).collect()
}

fn parse_op(line: &str) -> Op {
    let mut words = line.splitn(4, ' ').map(str::trim);
    let mut word = || words.next().unwrap_or_else(|| panic!("`{line}` is too short"));
    let verb = word();
    let e = EntityId::new(word()).unwrap_or_else(|error| panic!("{line}: {error}"));
    if verb == "delete" {
        return Op::Delete { e };
    }
    if verb == "restore" {
        return Op::Restore { e, covers: None };
    }
    let a = Attribute::new(word()).unwrap_or_else(|error| panic!("{line}: {error}"));
    match verb {
        "set" => Op::Set { e, a, v: parse_value(word()) },
        "unset" => Op::Unset { e, a },
        "add" => Op::Add { e, a, v: parse_value(word()) },
        "remove" => Op::Remove { e, a, v: parse_value(word()), covers: None },
        _ => panic!("`{line}` is no operation"),
    }
}

/// Reads a value as query text writes it: `"text"`, `1.5`, `true`, `#inst "…"`, `#ref "…"`.
///
/// # Panics
/// When it is none.
pub fn parse_value(text: &str) -> Value {
    let fail = |why: &dyn std::fmt::Display| -> ! { panic!("`{text}` is no value: {why}") };
    let quoted = |quoted: &str| {
        serde_json::from_str::<String>(quoted.trim()).unwrap_or_else(|error| fail(&error))
    };
    if let Some(rest) = text.strip_prefix("#ref") {
        return Value::reference(&quoted(rest)).unwrap_or_else(|error| fail(&error));
    }
    if let Some(rest) = text.strip_prefix("#inst") {
        return Date::parse(&quoted(rest)).map_or_else(|error| fail(&error), Value::Date);
    }
    if text.starts_with('"') {
        return Value::string(quoted(text));
    }
    if let Ok(int) = text.parse::<i64>() {
        return Value::int(int);
    }
    match text {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ => match text.parse::<f64>() {
            Ok(double) => Number::from_f64(double).map_or_else(|e| fail(&e), Value::Number),
            Err(error) => fail(&error),
        },
    }
}

/// Writes an operation as [`parse_ops`] reads it; what it covers is left out.
pub fn print_op(op: &Op) -> String {
    match op {
        Op::Set { e, a, v } => format!("set {e} {a} {v}"),
        Op::Unset { e, a } => format!("unset {e} {a}"),
        Op::Add { e, a, v } => format!("add {e} {a} {v}"),
        Op::Remove { e, a, v, .. } => format!("remove {e} {a} {v}"),
        Op::Delete { e } => format!("delete {e}"),
        Op::Restore { e, .. } => format!("restore {e}"),
    }
}

/// Writes facts as the operations that would make them.
pub fn print_facts(facts: &Facts) -> String {
    let line = |(fact, mark): (&Fact, &Mark)| {
        let verb = match mark.kind {
            Kind::Set => "set",
            Kind::Add => "add",
        };
        format!("{verb} {} {} {}\n", fact.entity, fact.attribute, fact.value)
    };
    facts.iter().map(line).collect()
}

/// Writes rows, one a line, in their order.
pub fn print_rows(rows: &[Row]) -> String {
    let cells = |row: &Row| row.iter().map(print_output).collect::<Vec<_>>().join(" | ");
    rows.iter().map(|row| cells(row) + "\n").collect()
}

fn print_output(output: &Output) -> String {
    match output {
        Output::Value(value) => value.to_string(),
        Output::List(values) => bracket(values.iter().map(ToString::to_string)),
        Output::Tree(tree) => print_tree(tree),
    }
}

fn print_tree(tree: &Tree) -> String {
    let entry =
        |(key, branch): (&std::sync::Arc<str>, &Branch)| format!(":{key} {}", print_branch(branch));
    format!("{{{}}}", tree.0.iter().map(entry).collect::<Vec<_>>().join(", "))
}

fn print_branch(branch: &Branch) -> String {
    match branch {
        Branch::Value(value) => value.to_string(),
        Branch::List(branches) => bracket(branches.iter().map(print_branch)),
        Branch::Tree(tree) => print_tree(tree),
    }
}

fn bracket(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_from_their_text() {
        let values = ["\"a \\\"b\\\"\"", "-3", "1.5", "1e300", "true", "#ref \"x y\""];
        let date = "#inst \"2024-01-15T10:30:00.000Z\"";
        for text in values.into_iter().chain([date]) {
            assert_eq!(parse_value(&parse_value(text).to_string()), parse_value(text), "{text}");
        }
        assert_eq!(parse_value(date).to_string(), date);
    }
}
