//! Facts as N-Triples and Turtle.

use std::io::{self, Write};

use oxrdf::{LiteralRef, NamedNodeRef, TermRef, TripleRef};
use oxttl::{NTriplesSerializer, TurtleSerializer};
use tercet_engine::fact::{Fact, Kind};
use tercet_engine::ids::Attribute;
use tercet_engine::store::Snapshot;
use tercet_engine::value::Value;

use super::names::{Names, Predicate};
use super::{CARDINALITY, values};
use crate::error::FormatError;
use crate::export::{facts_in_order, write_error};
use crate::options::ExportOptions;

/// Writes all facts, one triple a line.
pub(crate) fn write_ntriples(
    snapshot: &Snapshot,
    options: &ExportOptions,
    out: &mut dyn Write,
) -> Result<(), FormatError> {
    let mut writer = NTriplesSerializer::new().for_writer(out);
    let names = Names::new(&options.prefixes);
    write(snapshot, &names, |triple| writer.serialize_triple(triple)).map_err(write_error)
}

/// Writes all facts, short names by prefixes.
pub(crate) fn write_turtle(
    snapshot: &Snapshot,
    options: &ExportOptions,
    out: &mut dyn Write,
) -> Result<(), FormatError> {
    let names = Names::new(&options.prefixes);
    let mut serializer = TurtleSerializer::new();
    for (name, iri) in names.declarations() {
        serializer = serializer.with_prefix(name, iri).map_err(|error| {
            FormatError::option(format!("a prefix that is written must be an IRI: {error}"))
        })?;
    }
    let mut writer = serializer.for_writer(out);
    write(snapshot, &names, |triple| writer.serialize_triple(triple)).map_err(write_error)?;
    writer.finish().map(drop).map_err(write_error)
}

fn write(
    snapshot: &Snapshot,
    names: &Names,
    mut write: impl FnMut(TripleRef<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut said: Option<(Attribute, Kind)> = None;
    for (fact, kind) in facts_in_order(snapshot) {
        let Fact { entity, attribute, value } = fact;
        // Members are what a reader assumes of an attribute that nothing was said about.
        let known = said.as_ref().filter(|(said, _)| *said == attribute);
        if known.map_or(Kind::Add, |(_, kind)| *kind) != kind {
            write_cardinality(names, &attribute, kind, &mut write)?;
            said = Some((attribute.clone(), kind));
        }
        let is_text = matches!(value, Value::String(_));
        let Predicate { iri, language } = names.attribute_iri(&attribute, is_text);
        let subject = names.entity_iri(&entity);
        match (&value, values::literal(&value, language.as_deref())) {
            (Value::Ref(target), _) => {
                let target = names.entity_iri(target);
                write(TripleRef::new(subject.as_ref(), iri.as_ref(), target.as_ref()))?;
            }
            (_, literal) => {
                let literal = literal.expect("all but references are literals");
                let object = TermRef::from(literal.as_ref());
                write(TripleRef::new(subject.as_ref(), iri.as_ref(), object))?;
            }
        }
    }
    Ok(())
}

fn write_cardinality(
    names: &Names,
    attribute: &Attribute,
    kind: Kind,
    write: &mut impl FnMut(TripleRef<'_>) -> io::Result<()>,
) -> io::Result<()> {
    // Without its language: with it the name of an attribute would depend on its values.
    let Predicate { iri, .. } = names.attribute_iri(attribute, false);
    let object = match kind {
        Kind::Set => "one",
        Kind::Add => "many",
    };
    let predicate = NamedNodeRef::new_unchecked(CARDINALITY);
    write(TripleRef::new(iri.as_ref(), predicate, LiteralRef::new_simple_literal(object)))
}
