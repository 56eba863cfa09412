//! The facts of a question, read from a file: ids become dense numbers, in the order of their text.
//!
//! It exists so that engines over integers get what they are made for, and still deliver ids: the
//! numbering is reversible, and sorting by number is sorting by id. A line of the file is a fact:
//! entity, attribute, kind (`r`, `i`, `s`) and value, apart by tabs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustc_hash::FxHashMap;

/// An entity.
pub(crate) type Id = u32;

/// The object of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A reference.
    Ref(Id),
    /// A number.
    Integer(i64),
    /// A string.
    Text(String),
}

/// Facts by attribute, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    names: Names,
    by_attribute: BTreeMap<String, Vec<(Id, Value)>>,
}

/// The text of every id, in one piece.
#[derive(Debug, Default)]
pub(crate) struct Names {
    text: String,
    ends: Vec<u32>,
}

impl Names {
    /// The text of an id.
    pub(crate) fn name(&self, id: Id) -> &str {
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        &self.text[start as usize..self.ends[id as usize] as usize]
    }

    /// How many ids there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of an id.
    pub(crate) fn find(&self, name: &str) -> Option<Id> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.name(middle as Id) < name {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let id = low as Id;
        (low < self.len() && self.name(id) == name).then_some(id)
    }
}

impl Facts {
    /// Reads a file of facts.
    ///
    /// # Errors
    /// When it cannot be read, or a line is no fact.
    pub(crate) fn read(path: &Path) -> Result<Facts> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path:?}"))?;
        let mut ids = Vec::new();
        for line in text.lines() {
            let (e, _, kind, v) = fields(line)?;
            ids.push(e);
            if kind == "r" {
                ids.push(v);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let mut names = Names::default();
        let mut numbers = FxHashMap::default();
        for (number, id) in ids.into_iter().enumerate() {
            names.text.push_str(id);
            names.ends.push(u32::try_from(names.text.len())?);
            numbers.insert(id, u32::try_from(number)?);
        }
        let mut by_attribute: BTreeMap<String, Vec<(Id, Value)>> = BTreeMap::new();
        for line in text.lines() {
            let (e, a, kind, v) = fields(line)?;
            let v = match kind {
                "r" => Value::Ref(numbers[v]),
                "i" => Value::Integer(v.parse()?),
                "s" => Value::Text(v.to_owned()),
                _ => bail!("no kind of value: {line}"),
            };
            match by_attribute.get_mut(a) {
                Some(facts) => facts.push((numbers[e], v)),
                None => {
                    by_attribute.insert(a.to_owned(), vec![(numbers[e], v)]);
                }
            }
        }
        Ok(Facts { names, by_attribute })
    }

    /// The text of ids.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The number of an entity.
    ///
    /// # Errors
    /// When no fact names it.
    pub(crate) fn id(&self, name: &str) -> Result<Id> {
        self.names.find(name).with_context(|| format!("no fact names {name}"))
    }

    /// Attributes with their facts, in order of their text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[(Id, Value)])> {
        self.by_attribute.iter().map(|(a, facts)| (a.as_str(), facts.as_slice()))
    }

    /// The facts of an attribute that refers: sorted by (entity, target), no duplicates.
    ///
    /// # Errors
    /// When nobody has written it, or it does not refer.
    pub(crate) fn edges(&self, attribute: &str) -> Result<Vec<(Id, Id)>> {
        let edge = |(e, v): &(Id, Value)| match v {
            Value::Ref(to) => Ok((*e, *to)),
            _ => bail!("{attribute} has a value that is no reference"),
        };
        let mut edges = self.of(attribute)?.iter().map(edge).collect::<Result<Vec<_>>>()?;
        edges.sort_unstable();
        edges.dedup();
        Ok(edges)
    }

    /// Entities whose field is a text: sorted.
    ///
    /// # Errors
    /// When nobody has written the attribute.
    pub(crate) fn having(&self, attribute: &str, text: &str) -> Result<Vec<Id>> {
        let is_it = |(_, v): &&(Id, Value)| matches!(v, Value::Text(other) if other == text);
        let mut ids: Vec<Id> = self.of(attribute)?.iter().filter(is_it).map(|(e, _)| *e).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    fn of(&self, attribute: &str) -> Result<&[(Id, Value)]> {
        let facts = self.by_attribute.get(attribute);
        Ok(facts.with_context(|| format!("no facts of {attribute}"))?)
    }
}

fn fields(line: &str) -> Result<(&str, &str, &str, &str)> {
    let mut fields = line.splitn(4, '\t');
    let mut field = || fields.next().with_context(|| format!("no fact: {line}"));
    Ok((field()?, field()?, field()?, field()?))
}
