//! IRIs ↔ entity ids and attributes.
//!
//! Rules, the first that fits: under `urn:tercet:entity:` or `urn:tercet:attribute:` the rest,
//! percent-decoded, is the name; under a prefix that was given, the short name and the rest; else
//! the IRI is its own name. A language is a suffix of the attribute, `rdfs/label@en`, because one
//! field of ours holds plain values. Invariant: `entity(entity_iri(id)) == id`, and so for
//! attributes; [`Names`] tries the readable form and checks it, and escapes where it is ambiguous.

use std::borrow::Cow;
use std::fmt::Write as _;

use oxrdf::NamedNode;
use tercet_engine::ids::{Attribute, EntityId, IdError};

use crate::options::Prefix;

pub(super) const ENTITY: &str = "urn:tercet:entity:";
pub(super) const ATTRIBUTE: &str = "urn:tercet:attribute:";

/// Ids that begin so are taken for IRIs when they are written.
const OPEN_SCHEMES: [&str; 4] = ["http://", "https://", "urn:", "mailto:"];

/// The prefixes of one import or export.
pub(super) struct Names {
    /// The longest IRI first.
    prefixes: Vec<Prefix>,
}

impl Names {
    pub(super) fn new(prefixes: &[Prefix]) -> Names {
        let mut prefixes = prefixes.to_vec();
        prefixes.sort_by(|a, b| b.iri.len().cmp(&a.iri.len()).then_with(|| a.name.cmp(&b.name)));
        Names { prefixes }
    }

    /// The entity of an IRI.
    pub(super) fn entity(&self, iri: &str) -> Result<EntityId, IdError> {
        if let Some(rest) = iri.strip_prefix(ENTITY) {
            return EntityId::new(&*decoded(rest));
        }
        match self.prefixes.iter().find_map(|prefix| Some((prefix, rest_of(iri, prefix)?))) {
            Some((prefix, rest)) if prefix.name.is_empty() => EntityId::new(rest),
            Some((prefix, rest)) => EntityId::new(format!("{}:{rest}", prefix.name)),
            None => EntityId::new(iri),
        }
    }

    /// The attribute of an IRI.
    pub(super) fn attribute(&self, iri: &str) -> Result<Attribute, IdError> {
        if let Some(rest) = iri.strip_prefix(ATTRIBUTE) {
            return Attribute::new(&*decoded(rest));
        }
        let named = self.prefixes.iter().filter(|prefix| !prefix.name.is_empty());
        match named.into_iter().find_map(|prefix| Some((prefix, rest_of(iri, prefix)?))) {
            Some((prefix, rest)) => Attribute::new(format!("{}/{rest}", prefix.name)),
            None => Attribute::new(iri),
        }
    }

    /// The IRI of an entity.
    pub(super) fn entity_iri(&self, id: &EntityId) -> NamedNode {
        let text = id.as_str();
        let (bare, named): (Vec<&Prefix>, Vec<&Prefix>) =
            self.prefixes.iter().partition(|prefix| prefix.name.is_empty());
        let short = text.split_once(':');
        let named = named.into_iter().filter_map(|prefix| {
            let (_, rest) = short.filter(|(name, _)| *name == prefix.name)?;
            Some(format!("{}{rest}", prefix.iri))
        });
        let bare = bare.into_iter().map(|prefix| format!("{}{text}", prefix.iri));
        let candidates = named.chain(own_name(text)).chain(bare).collect();
        let reads_back = |iri: &str| self.entity(iri).is_ok_and(|read| read == *id);
        valid(candidates, reads_back).unwrap_or_else(|| escaped(ENTITY, text))
    }

    /// The IRI of an attribute, and the language that its string values are tagged with.
    pub(super) fn attribute_iri(&self, attribute: &Attribute, is_text: bool) -> Predicate {
        if is_text
            && let Some((base, language)) = language_of(attribute)
            && tagged(&base, language).is_ok_and(|read| read == *attribute)
        {
            let iri = self.plain_attribute_iri(&base);
            return Predicate { iri, language: Some(language.to_owned()) };
        }
        Predicate { iri: self.plain_attribute_iri(attribute), language: None }
    }

    fn plain_attribute_iri(&self, attribute: &Attribute) -> NamedNode {
        let text = attribute.as_str();
        let mut candidates = Vec::new();
        for prefix in self.prefixes.iter().filter(|prefix| !prefix.name.is_empty()) {
            if let Some((kind, field)) = text.split_once('/')
                && kind == prefix.name
            {
                candidates.push(format!("{}{field}", prefix.iri));
            }
        }
        candidates.extend(own_name(text));
        let reads_back = |iri: &str| self.attribute(iri).is_ok_and(|read| read == *attribute);
        valid(candidates, reads_back).unwrap_or_else(|| escaped(ATTRIBUTE, text))
    }

    /// The prefixes as declarations of Turtle: names and IRIs, ours first.
    pub(super) fn declarations(&self) -> Vec<(String, String)> {
        let mut declared = vec![("e".to_owned(), ENTITY), ("a".to_owned(), ATTRIBUTE)]
            .into_iter()
            .map(|(name, iri)| (name, iri.to_owned()))
            .collect::<Vec<_>>();
        for prefix in &self.prefixes {
            if !declared.iter().any(|(name, _)| *name == prefix.name) {
                declared.push((prefix.name.clone(), prefix.iri.clone()));
            }
        }
        declared
    }
}

/// How a predicate is written.
pub(super) struct Predicate {
    pub(super) iri: NamedNode,
    /// Set only if it stands for the suffix of the attribute.
    pub(super) language: Option<String>,
}

/// The attribute of texts in a language.
pub(super) fn tagged(attribute: &Attribute, language: &str) -> Result<Attribute, IdError> {
    Attribute::new(format!("{attribute}@{}", language.to_ascii_lowercase()))
}

/// Splits the language off.
fn language_of(attribute: &Attribute) -> Option<(Attribute, &str)> {
    let (base, language) = attribute.as_str().rsplit_once('@')?;
    oxrdf::Literal::new_language_tagged_literal("", language).ok()?;
    Some((Attribute::new(base).ok()?, language))
}

fn rest_of<'a>(iri: &'a str, prefix: &Prefix) -> Option<&'a str> {
    iri.strip_prefix(prefix.iri.as_str()).filter(|rest| !rest.is_empty())
}

fn own_name(text: &str) -> Option<String> {
    OPEN_SCHEMES.iter().any(|scheme| text.starts_with(scheme)).then(|| text.to_owned())
}

/// The first candidate that is an IRI and is read back as what it was written for.
fn valid(candidates: Vec<String>, reads_back: impl Fn(&str) -> bool) -> Option<NamedNode> {
    let nodes = candidates.into_iter().filter_map(|iri| NamedNode::new(iri).ok());
    nodes.into_iter().find(|node| node.as_str() != super::CARDINALITY && reads_back(node.as_str()))
}

fn escaped(prefix: &str, text: &str) -> NamedNode {
    let mut iri = String::with_capacity(prefix.len() + text.len());
    iri.push_str(prefix);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            iri.push(char::from(byte));
        } else {
            write!(iri, "%{byte:02X}").expect("strings take all text");
        }
    }
    NamedNode::new(iri).expect("a URN with escapes is an IRI")
}

/// Takes escapes out; what is no escape, or no text then, stays as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let code = digits.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match code {
            Some(code) if byte == b'%' => {
                bytes.push(code);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names() -> Names {
        let prefixes = ["foaf=http://xmlns.com/foaf/0.1/", "=http://example.org/people/"];
        Names::new(&prefixes.map(|text| text.parse().unwrap()))
    }

    #[test]
    fn every_id_is_read_back_from_its_iri() {
        let ids = [
            ("u1", "http://example.org/people/u1"),
            ("foaf:name", "http://xmlns.com/foaf/0.1/name"),
            ("foaf:", "http://example.org/people/foaf:"),
            ("http://a.example/b", "http://a.example/b"),
            (
                "http://xmlns.com/foaf/0.1/x",
                "http://example.org/people/http://xmlns.com/foaf/0.1/x",
            ),
            ("a b", "urn:tercet:entity:a%20b"),
            ("100%41", "http://example.org/people/100%41"),
            ("größe", "http://example.org/people/größe"),
        ];
        for (id, iri) in ids {
            let id = EntityId::new(id).unwrap();
            assert_eq!(names().entity_iri(&id).as_str(), iri);
            assert_eq!(names().entity(iri).unwrap(), id);
        }
        let bare = Names::new(&[]);
        for id in ["u1", "urn:tercet:entity:u1", "urn:x:y", "%41", "a\u{e000}b", "like:u7:p42"] {
            let id = EntityId::new(id).unwrap();
            assert_eq!(bare.entity(bare.entity_iri(&id).as_str()).unwrap(), id);
        }
    }

    #[test]
    fn every_attribute_is_read_back_from_its_iri() {
        let texts = ["foaf/name", "user/name", "user/first name", "http://a/b", "x/y@en", "x/@en"];
        for text in texts.into_iter().chain(["x/y@EN", "x/y@", "a/b/c", "urn:tercet:cardinality/x"])
        {
            let attribute = Attribute::new(text).unwrap();
            for is_text in [false, true] {
                let Predicate { iri, language } = names().attribute_iri(&attribute, is_text);
                let read = names().attribute(iri.as_str()).unwrap();
                let read = match &language {
                    Some(language) => tagged(&read, language).unwrap(),
                    None => read,
                };
                assert_eq!(read, attribute);
                assert_eq!(language.is_some(), is_text && text == "x/y@en", "{text}");
            }
        }
    }
}
