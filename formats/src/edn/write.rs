//! Facts as transaction forms of EDN.

use std::io::{self, Write};

use tercet_engine::fact::{Fact, Kind};
use tercet_engine::ids::Attribute;
use tercet_engine::store::Snapshot;
use tercet_engine::value::{Value, ValueType};

use crate::error::FormatError;
use crate::export::{facts_in_order, shapes, write_error};

/// Writes all facts, one form a line, each attribute's schema before its facts.
pub(crate) fn write(snapshot: &Snapshot, out: &mut dyn Write) -> Result<(), FormatError> {
    write_forms(snapshot, out).map_err(write_error)
}

fn write_forms(snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
    let shapes = shapes(snapshot, '\0');
    let is_ref = |attribute: &Attribute| {
        [Kind::Set, Kind::Add].iter().all(|kind| {
            let shape = shapes.get(&(attribute.clone(), *kind));
            shape.is_none_or(|shape| shape.value_type() == Some(ValueType::Ref))
        })
    };
    out.write_all(b"[\n")?;
    let (mut said, mut all_refs): (Option<(Attribute, Kind)>, bool) = (None, false);
    for (fact, kind) in facts_in_order(snapshot) {
        let Fact { entity, attribute, value } = fact;
        let is_known = said.as_ref().is_some_and(|(a, k)| *a == attribute && *k == kind);
        if !is_known {
            if said.as_ref().is_none_or(|(a, _)| *a != attribute) {
                all_refs = is_ref(&attribute);
            }
            let number = if kind == Kind::Set { "one" } else { "many" };
            let value_type = if all_refs { " :db/valueType :db.type/ref" } else { "" };
            write!(out, " {{:db/ident ")?;
            write_attribute(out, &attribute)?;
            writeln!(out, "{value_type} :db/cardinality :db.cardinality/{number}}}")?;
            said = Some((attribute.clone(), kind));
        }
        out.write_all(b" [:db/add ")?;
        write_text(out, entity.as_str())?;
        out.write_all(b" ")?;
        write_attribute(out, &attribute)?;
        out.write_all(b" ")?;
        write_value(out, &value, all_refs)?;
        out.write_all(b"]\n")?;
    }
    out.write_all(b"]\n")?;
    out.flush()
}

/// A keyword if every reader takes it for one, else a string.
fn write_attribute(out: &mut dyn Write, attribute: &Attribute) -> io::Result<()> {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-.?!*+".contains(c))
    };
    let is_own = |kind: &str| kind == "fressian" || kind == "db" || kind.starts_with("db.");
    match attribute.as_str().split_once('/') {
        Some((kind, field)) if is_name(kind) && is_name(field) && !is_own(kind) => {
            write!(out, ":{attribute}")
        }
        _ => write_text(out, attribute.as_str()),
    }
}

fn write_value(out: &mut dyn Write, value: &Value, is_known_ref: bool) -> io::Result<()> {
    match value {
        Value::String(text) => write_text(out, text),
        Value::Ref(id) => {
            if !is_known_ref {
                out.write_all(b"#ref ")?;
            }
            write_text(out, id.as_str())
        }
        Value::Boolean(_) | Value::Number(_) | Value::Date(_) => write!(out, "{value}"),
    }
}

/// A string with the escapes of the specification alone.
fn write_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(b"\"")?;
    let mut rest = text;
    while let Some(index) = rest.find(['"', '\\', '\n', '\r', '\t']) {
        let (plain, special) = rest.split_at(index);
        out.write_all(plain.as_bytes())?;
        out.write_all(match special.as_bytes()[0] {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            _ => b"\\t",
        })?;
        rest = &special[1..];
    }
    out.write_all(rest.as_bytes())?;
    out.write_all(b"\"")
}
