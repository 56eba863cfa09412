//! The entity types of a program together, and the check of operations that were not made by one.
//!
//! A program that writes plain operations gets the same checks as one that writes entities, as
//! far as single operations can be judged: whether a field exists, takes this value, and is
//! written by the right kind of operation. Whether a required field is missing cannot be seen
//! from operations, and is left out.

use std::collections::BTreeMap;

use tercet_engine::fact::Op;
use tercet_engine::ids::Attribute;

use crate::definition::{EntityType, Field};
use crate::error::{Fault, Problem, SchemaError};
use crate::record::refuse;

/// The entity types of a program, in order of their names.
///
/// # Check operations
/// ```
/// use tercet_schema::{EntityType, Schema, t};
///
/// let user = EntityType::builder("user").field("name", t::string()).build()?;
/// let schema = Schema::new([user])?;
/// let ops = serde_json::from_str(r#"[{"set": {"e": "u1", "a": "user/nam", "v": "Ann"}}]"#)?;
/// let ops: Vec<tercet_engine::fact::Op> = ops;
/// assert_eq!(
///     schema.check(&ops).unwrap_err().to_string(),
///     "`user/nam` of `u1` is no field of the schema; did you mean `user/name`?"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    types: BTreeMap<String, EntityType>,
    /// Every field of every type, by its attribute. Types that share an attribute agree on it.
    fields: BTreeMap<Attribute, Field>,
}

impl Schema {
    /// A schema of these types.
    ///
    /// # Errors
    /// When two types have one name, or share an attribute and differ in what it takes.
    pub fn new(types: impl IntoIterator<Item = EntityType>) -> Result<Schema, SchemaError> {
        let mut schema = Schema::default();
        for entity_type in types {
            schema.insert(entity_type)?;
        }
        Ok(schema)
    }

    fn insert(&mut self, entity_type: EntityType) -> Result<(), SchemaError> {
        let invalid = |why: String| SchemaError::Definition {
            type_name: entity_type.name().to_string(),
            why,
        };
        for field in entity_type.fields() {
            let earlier = self.fields.insert(field.attribute.clone(), field.clone());
            let agrees = |earlier: &Field| {
                earlier.field_type == field.field_type && earlier.is_many() == field.is_many()
            };
            if earlier.is_some_and(|earlier| !agrees(&earlier)) {
                let attribute = &field.attribute;
                return Err(invalid(format!("another type defines `{attribute}` differently")));
            }
        }
        let name = entity_type.name().to_string();
        match self.types.get(&name) {
            Some(_) => Err(invalid("the schema has a type of this name already".to_owned())),
            None => {
                self.types.insert(name, entity_type);
                Ok(())
            }
        }
    }

    /// The type of this name.
    pub fn entity_type(&self, name: &str) -> Option<&EntityType> {
        self.types.get(name)
    }

    /// The types, in order of their names.
    pub fn types(&self) -> impl Iterator<Item = &EntityType> {
        self.types.values()
    }

    /// Checks operations one by one.
    ///
    /// # Errors
    /// Every problem found, in order of the operations.
    pub fn check(&self, ops: &[Op]) -> Result<(), SchemaError> {
        let problem = |op: &Op| {
            let attribute = op.attribute()?.clone();
            let fault = self.fault(&attribute, op)?;
            Some(Problem { entity: op.entity().clone(), attribute, fault })
        };
        refuse(ops.iter().filter_map(problem).collect())
    }

    fn fault(&self, attribute: &Attribute, op: &Op) -> Option<Fault> {
        let Some(field) = self.fields.get(attribute) else {
            return Some(Fault::Unknown { nearest: self.nearest(attribute) });
        };
        let many = field.is_many();
        match op {
            Op::Set { .. } if many => Some(Fault::Operation { operation: "set", many }),
            Op::Add { .. } if !many => Some(Fault::Operation { operation: "add", many }),
            Op::Set { v, .. } | Op::Add { v, .. } => field.field_type.check(v).err(),
            // What may be taken away is whatever is stored, also by an older definition.
            Op::Remove { .. } | Op::Unset { .. } | Op::Delete { .. } | Op::Restore { .. } => None,
        }
    }

    /// The attribute with the fewest edits to this one, if they are few for its length.
    fn nearest(&self, attribute: &Attribute) -> Option<Attribute> {
        let n_edits_max = 1 + attribute.as_str().chars().count() / 5;
        let edits = |known: &&Attribute| n_edits(attribute.as_str(), known.as_str());
        let nearest = self.fields.keys().min_by_key(edits)?;
        (edits(&nearest) <= n_edits_max).then(|| nearest.clone())
    }
}

/// The edit distance of Levenshtein: insertions, deletions and replacements of characters.
fn n_edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tercet_engine::ids::EntityId;
    use tercet_engine::value::Value;

    use super::*;
    use crate::definition::t;

    fn schema() -> Schema {
        let user = EntityType::builder("user")
            .field("name", t::string())
            .field("tags", t::string().many())
            .build()
            .unwrap();
        Schema::new([user]).unwrap()
    }

    #[test]
    fn operations_are_checked_against_their_fields() {
        let e = EntityId::new("u1").unwrap();
        let a = |text: &str| Attribute::new(text).unwrap();
        let v = Value::from("x");
        let cases = [
            (Op::Set { e: e.clone(), a: a("user/name"), v: v.clone() }, None),
            (Op::Set { e: e.clone(), a: a("user/name"), v: Value::int(1) }, Some("field_type")),
            (Op::Set { e: e.clone(), a: a("user/tags"), v: v.clone() }, Some("field_operation")),
            (Op::Add { e: e.clone(), a: a("user/tags"), v: v.clone() }, None),
            (Op::Add { e: e.clone(), a: a("user/name"), v: v.clone() }, Some("field_operation")),
            (Op::Add { e: e.clone(), a: a("post/title"), v }, Some("field_unknown")),
            (Op::Unset { e: e.clone(), a: a("user/tags") }, None),
            (Op::Delete { e }, None),
        ];
        for (op, code) in cases {
            let found = schema().check(std::slice::from_ref(&op)).err();
            assert_eq!(found.as_ref().map(SchemaError::code), code, "{op:?}");
        }
    }

    #[test]
    fn types_that_share_an_attribute_must_agree() {
        let with = |name: &str, spec| EntityType::builder(name).field("made", spec).build();
        let user = with("user", t::date().attribute("any/made")).unwrap();
        let post = with("post", t::date().optional().attribute("any/made")).unwrap();
        let page = with("page", t::string().attribute("any/made")).unwrap();
        assert!(Schema::new([user.clone(), post]).is_ok());
        assert_eq!(Schema::new([user.clone(), page]).unwrap_err().code(), "schema_invalid");
        assert_eq!(Schema::new([user.clone(), user]).unwrap_err().code(), "schema_invalid");
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, n) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("ä", "a", 1)] {
            assert_eq!((n_edits(a, b), n_edits(b, a)), (n, n));
        }
    }
}
