//! RDF: N-Triples and Turtle, both ways.
//!
//! ```text
//! <urn:tercet:attribute:user/name> <urn:tercet:cardinality> "one" .
//! <urn:tercet:entity:u1> <urn:tercet:attribute:user/name> "Ann" .
//! ```
//!
//! The syntax is `oxttl`'s; this module maps terms to facts ([`names`]: IRIs to ids and attributes,
//! `values`: literals by datatype) and bounds what a hostile file can make the parser hold. An RDF
//! graph is a set, so a triple is an `add`; a statement `urn:tercet:cardinality` makes what follows
//! of its attribute `set` or `add`. An export writes it where needed, and it is no fact. Blank
//! nodes get ids from their scope and label, nameless ones are numbered as they come. Left out:
//! named graphs, RDF 1.2's triple terms, and every inference.
//!
//! What is kept in memory: one line, or statement, up to its bound; prefixes; the attributes of
//! `cardinality`; and a number for each nameless blank node of a Turtle file.

mod names;
mod nesting;
mod ntriples;
mod turtle;
mod values;
mod write;

pub use ntriples::Ntriples;
pub use turtle::Turtle;
pub(crate) use write::{write_ntriples, write_turtle};

use std::collections::{BTreeMap, HashMap};

use oxrdf::{BlankNodeRef, NamedOrBlankNodeRef, TermRef, TripleRef};
use rustc_hash::FxBuildHasher;
use tercet_engine::fact::{Kind, Op};
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::Value;

use crate::error::{FormatError, Place};
use crate::note::Notes;
use crate::options::ImportOptions;
use names::Names;

/// The predicate that says whether an attribute holds `"one"` value or `"many"`.
pub const CARDINALITY: &str = "urn:tercet:cardinality";

/// Turns triples into operations; shared by the two syntaxes.
struct Mapper {
    names: Names,
    scope: Option<String>,
    kinds: BTreeMap<Attribute, Kind>,
    /// The numbers of nameless blank nodes. The parser draws their identities at random; numbers
    /// in order of appearance are the same each time.
    nameless: HashMap<u128, u64, FxBuildHasher>,
    notes: Notes,
}

impl Mapper {
    fn new(options: &ImportOptions) -> Mapper {
        let one = |attribute: &Attribute| (attribute.clone(), Kind::Set);
        Mapper {
            names: Names::new(&options.prefixes),
            scope: options.scope.clone(),
            kinds: options.single.iter().map(one).collect(),
            nameless: HashMap::default(),
            notes: Notes::default(),
        }
    }

    /// The operation of a triple; none if it says something about an attribute.
    fn op(&mut self, triple: TripleRef<'_>, at: &Place) -> Result<Option<Op>, FormatError> {
        if triple.predicate.as_str() == CARDINALITY {
            return self.learn(triple, at).map(|()| None);
        }
        let e = match triple.subject {
            NamedOrBlankNodeRef::NamedNode(node) => self.entity(node.as_str(), at)?,
            NamedOrBlankNodeRef::BlankNode(node) => self.blank(node, at)?,
        };
        let mut a = self.attribute(triple.predicate.as_str(), at)?;
        let v = match triple.object {
            TermRef::NamedNode(node) => Value::Ref(self.entity(node.as_str(), at)?),
            TermRef::BlankNode(node) => Value::Ref(self.blank(node, at)?),
            TermRef::Literal(literal) => {
                if let Some(language) = literal.language() {
                    a = names::tagged(&a, language).map_err(|error| bad_id(at, &error))?;
                }
                values::value(literal, at, &mut self.notes)?
            }
        };
        Ok(Some(match self.kinds.get(&a) {
            Some(Kind::Set) => Op::Set { e, a, v },
            Some(Kind::Add) | None => Op::Add { e, a, v },
        }))
    }

    fn learn(&mut self, triple: TripleRef<'_>, at: &Place) -> Result<(), FormatError> {
        let wrong = || {
            FormatError::malformed(at.clone(), "malformed", "a cardinality is not understood")
                .with_hint(format!("write <attribute> <{CARDINALITY}> \"one\", or \"many\""))
        };
        let (NamedOrBlankNodeRef::NamedNode(subject), TermRef::Literal(object)) =
            (triple.subject, triple.object)
        else {
            return Err(wrong());
        };
        let kind = match object.value() {
            "one" => Kind::Set,
            "many" => Kind::Add,
            _ => return Err(wrong()),
        };
        let attribute = self.attribute(subject.as_str(), at)?;
        self.kinds.insert(attribute, kind);
        Ok(())
    }

    fn entity(&self, iri: &str, at: &Place) -> Result<EntityId, FormatError> {
        self.names.entity(iri).map_err(|error| bad_id(at, &error))
    }

    fn attribute(&self, iri: &str, at: &Place) -> Result<Attribute, FormatError> {
        self.names.attribute(iri).map_err(|error| {
            bad_id(at, &error).with_hint(format!("give `{iri}` a short name with a prefix"))
        })
    }

    fn blank(&mut self, node: BlankNodeRef<'_>, at: &Place) -> Result<EntityId, FormatError> {
        let Some(scope) = &self.scope else {
            let message = "the input has blank nodes, which need a scope to get ids";
            let error = FormatError::malformed(at.clone(), "scope_missing", message);
            return Err(error.with_hint("name the import: the same name gives the same ids"));
        };
        let text = match node.unique_id() {
            None => format!("_:{scope}:{}", node.as_str()),
            Some(unique) => {
                let next = self.nameless.len() as u64 + 1;
                let number = *self.nameless.entry(unique).or_insert(next);
                // A label has no colon, so that these are never those of a labelled node.
                format!("_:{scope}::{number}")
            }
        };
        EntityId::new(text).map_err(|error| bad_id(at, &error))
    }
}

fn bad_id(at: &Place, error: &tercet_engine::ids::IdError) -> FormatError {
    FormatError::malformed(at.clone(), error.code(), error.to_string())
}

/// A syntax error at its place: `line` is what the parser's own count begins behind.
fn syntax_error(at: &Place, line: u64, error: &oxttl::TurtleSyntaxError) -> FormatError {
    let start = error.location().start;
    let line = Some(line + start.line + 1);
    let at = Place { input: at.input.clone(), line, column: Some(start.column + 1) };
    let message = error.message().chars().take(400).collect::<String>();
    FormatError::malformed(at, "malformed", message)
}
