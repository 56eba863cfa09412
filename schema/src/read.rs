//! From what is stored to a record: highest stamp, lossless coercion, fallback, and never a crash.
//!
//! A field of one value takes the value with the highest stamp, whatever was stored beside it. A
//! value the field cannot hold reads as absent. A member of a set is not coerced: to remove it, a
//! program must name the value that is stored. Facts of unknown fields are ignored.

use std::sync::Arc;

use tercet_engine::answer::{Branch, Tree};
use tercet_engine::fact::{Fact, Mark};
use tercet_engine::ids::EntityId;
use tercet_engine::value::Value;

use crate::definition::{EntityType, Field, Presence};
use crate::error::{SchemaError, shown};
use crate::record::Record;

/// The keys under which a pull shows the id of an entity.
const ID_KEYS: [&str; 2] = ["db/id", ":db/id"];

impl EntityType {
    /// Reads an entity from its visible facts; facts of other entities are ignored. `None` when
    /// no field of this type is stored.
    ///
    /// # Errors
    /// [`SchemaError::Incomplete`] when a required field has no readable value.
    pub fn read(
        &self,
        entity: &EntityId,
        facts: &[(Fact, Mark)],
    ) -> Result<Option<Record>, SchemaError> {
        let stored = |field: &Field| {
            let of_field = facts
                .iter()
                .filter(|(fact, _)| fact.entity == *entity && fact.attribute == field.attribute);
            let mut values: Vec<_> = of_field.map(|(fact, mark)| (*mark, &fact.value)).collect();
            values.sort();
            values.into_iter().map(|(_, value)| value.clone()).collect()
        };
        self.read_by(entity, stored)
    }

    /// Reads an entity from the result of a pull. Stamps are lost there, so of several values of
    /// a field of one the greatest is taken.
    ///
    /// # Errors
    /// [`SchemaError::Incomplete`] when a required field has no readable value.
    pub fn read_tree(&self, entity: &EntityId, tree: &Tree) -> Result<Option<Record>, SchemaError> {
        let stored = |field: &Field| {
            let mut values = Vec::new();
            if let Some(branch) = tree.0.get(field.attribute.as_str()) {
                collect(branch, &mut values);
            }
            values.sort();
            values
        };
        self.read_by(entity, stored)
    }

    /// `stored` gives the values of a field, the one to prefer last.
    fn read_by(
        &self,
        entity: &EntityId,
        stored: impl Fn(&Field) -> Vec<Value>,
    ) -> Result<Option<Record>, SchemaError> {
        let stored: Vec<Vec<Value>> = self.fields().iter().map(stored).collect();
        if stored.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let mut record = Record::new(self, entity.clone());
        for (index, (field, stored)) in self.fields().iter().zip(&stored).enumerate() {
            record.put(index, field.read(entity, stored)?);
        }
        Ok(Some(record))
    }
}

impl Field {
    fn read(&self, entity: &EntityId, stored: &[Value]) -> Result<Vec<Value>, SchemaError> {
        if self.is_many() {
            let as_stored = |value: &&Value| self.field_type.read(value).as_ref() == Some(*value);
            return Ok(stored.iter().filter(as_stored).cloned().collect());
        }
        let latest = stored.last();
        if let Some(value) = latest.and_then(|value| self.field_type.read(value)) {
            return Ok(vec![value]);
        }
        match &self.presence {
            Presence::Default(value) => Ok(vec![value.clone()]),
            Presence::Optional | Presence::Many => Ok(Vec::new()),
            Presence::Required => Err(self.incomplete(entity, latest)),
        }
    }

    pub(crate) fn incomplete(&self, entity: &EntityId, stored: Option<&Value>) -> SchemaError {
        SchemaError::Incomplete {
            entity: entity.clone(),
            attribute: self.attribute.clone(),
            stored: stored.map(shown),
        }
    }
}

/// The values of a branch; a nested pull counts as a reference to the entity it shows.
fn collect(branch: &Branch, values: &mut Vec<Value>) {
    match branch {
        Branch::Value(value) => values.push(value.clone()),
        Branch::List(branches) => branches.iter().for_each(|branch| collect(branch, values)),
        Branch::Tree(tree) => {
            let id = ID_KEYS.iter().find_map(|key| tree.0.get(*key));
            match id {
                Some(Branch::Value(Value::Ref(entity))) => values.push(Value::Ref(entity.clone())),
                Some(Branch::Value(Value::String(id))) => {
                    values.extend(EntityId::new(Arc::clone(id)).map(Value::Ref));
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use tercet_engine::fact::Kind;
    use tercet_engine::hlc::{Hlc, Stamp};
    use tercet_engine::ids::{Attribute, ReplicaId};

    use super::*;
    use crate::definition::t;

    fn user() -> EntityType {
        EntityType::builder("user")
            .field("name", t::string())
            .field("age", t::number().optional())
            .field("role", t::union(["admin", "member"]).default("member"))
            .field("tags", t::string().many())
            .field("boss", t::reference("user").optional())
            .build()
            .unwrap()
    }

    fn id(text: &str) -> EntityId {
        EntityId::new(text).unwrap()
    }

    /// Facts of `u1`, each later than the one before.
    fn facts(list: &[(&str, Value)]) -> Vec<(Fact, Mark)> {
        let fact = |(ms, (attribute, value)): (usize, &(&str, Value))| {
            let attribute = Attribute::new(*attribute).unwrap();
            let stamp = Stamp { hlc: Hlc::new(ms as u64, 0, ReplicaId(1)), op: 0 };
            let fact = Fact { entity: id("u1"), attribute, value: value.clone() };
            (fact, Mark { stamp, kind: Kind::Set })
        };
        list.iter().enumerate().map(fact).collect()
    }

    fn read(list: &[(&str, Value)]) -> Result<Option<Record>, SchemaError> {
        user().read(&id("u1"), &facts(list))
    }

    #[test]
    fn what_is_missing_or_of_a_wrong_type_reads_as_its_fallback() {
        let record = read(&[
            ("user/name", Value::from("Ann")),
            ("user/age", Value::Boolean(true)),
            ("user/role", Value::from("owner")),
            ("user/tags", Value::int(1)),
            ("user/tags", Value::from("a")),
            ("user/nickname", Value::from("unknown to this version")),
        ]);
        let record = record.unwrap().unwrap();
        assert_eq!(record.value("name"), Some(&Value::from("Ann")));
        assert_eq!(record.value("age"), None);
        assert_eq!(record.value("role"), Some(&Value::from("member")));
        assert_eq!(record.values("tags"), [Value::from("a")]);
    }

    #[test]
    fn a_fallback_is_never_written_back_over_what_is_stored() {
        let stored = [("user/name", Value::from("Ann")), ("user/role", Value::from("owner"))];
        let old = read(&stored).unwrap().unwrap();
        let new = old.clone().with("name", [Value::from("Anne")]).unwrap();
        let ops = new.changes_from(&old).unwrap();
        assert_eq!(ops.len(), 1);
        assert_eq!(ops[0].attribute().unwrap().as_str(), "user/name");
    }

    #[test]
    fn of_several_values_the_highest_stamp_is_read() {
        let newest = Value::from("Ann");
        let record = read(&[("user/name", Value::from("Zoe")), ("user/name", newest.clone())]);
        assert_eq!(record.unwrap().unwrap().values("name"), [newest]);
    }

    #[test]
    fn a_required_field_without_a_readable_value_is_named() {
        let error = read(&[("user/name", Value::from("Ann")), ("user/name", Value::int(5))]);
        assert_eq!(error.unwrap().unwrap().value("name"), Some(&Value::from("5")));
        let error = read(&[("user/age", Value::int(5))]).unwrap_err();
        assert_eq!(error.code(), "entity_incomplete");
        assert!(error.to_string().starts_with("`u1` has no readable `user/name`; "), "{error}");
    }

    #[test]
    fn an_entity_without_any_field_of_the_type_is_none() {
        assert_eq!(read(&[("post/title", Value::from("x"))]), Ok(None));
        let others = facts(&[("user/name", Value::from("Ann"))]);
        assert_eq!(user().read(&id("u2"), &others), Ok(None));
    }

    #[test]
    fn a_pull_reads_as_the_facts_do() {
        let value = |text: &str| Branch::Value(Value::from(text));
        let boss = Branch::Value(Value::Ref(id("u2")));
        let boss = Branch::Tree(Tree(BTreeMap::from([("db/id".into(), boss)])));
        let tree = Tree(BTreeMap::from([
            ("user/name".into(), value("Ann")),
            ("user/tags".into(), Branch::List(vec![value("b"), value("a")])),
            ("user/boss".into(), boss),
        ]));
        let record = user().read_tree(&id("u1"), &tree).unwrap().unwrap();
        assert_eq!(record.values("tags"), ["a", "b"].map(Value::from));
        assert_eq!(record.value("boss"), Some(&Value::Ref(id("u2"))));
    }
}
