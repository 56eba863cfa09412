//! One entity's state as its type sees it, and the operations that write it.
//!
//! A record exists so that the typed side and programs without types share one set of rules:
//! everything is checked before anything is written, and a change names **only the fields that
//! differ**, so that what a newer version of the program stored in the others stays. Invariant:
//! for records that pass [`Record::problems`], applying `new.changes_from(old)` where `old` was
//! read gives a state that reads as `new`.

use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::Value;

use crate::definition::{EntityType, Field, Presence};
use crate::error::{Fault, Problem, SchemaError};

/// The values of an entity's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    entity_type: EntityType,
    entity: EntityId,
    /// One entry for each field of the type; sorted, no duplicates.
    values: Vec<Vec<Value>>,
}

impl Record {
    /// A record of this entity without any value.
    pub fn new(entity_type: &EntityType, entity: EntityId) -> Record {
        let values = vec![Vec::new(); entity_type.fields().len()];
        Record { entity_type: entity_type.clone(), entity, values }
    }

    /// The entity.
    pub fn entity(&self) -> &EntityId {
        &self.entity
    }

    /// The entity's type.
    pub fn entity_type(&self) -> &EntityType {
        &self.entity_type
    }

    /// The values of a field: sorted, no duplicates, none for a name that is no field.
    pub fn values(&self, field: &str) -> &[Value] {
        self.entity_type.index(field).map_or(&[], |index| &self.values[index])
    }

    /// The first value of a field.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.values(field).first()
    }

    /// This record with other values of one field; they are checked when it is written.
    ///
    /// # Errors
    /// When the type has no such field.
    pub fn with(
        mut self,
        field: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Record, SchemaError> {
        let Some(index) = self.entity_type.index(field) else {
            let attribute = Attribute::new(format!("{}/{field}", self.entity_type.name()))?;
            let fault = Fault::Unknown { nearest: None };
            let problem = Problem { entity: self.entity, attribute, fault };
            return Err(SchemaError::Invalid { problems: vec![problem] });
        };
        self.put(index, values.into_iter().collect());
        Ok(self)
    }

    pub(crate) fn put(&mut self, index: usize, mut values: Vec<Value>) {
        values.sort();
        values.dedup();
        self.values[index] = values;
    }

    pub(crate) fn at(&self, index: usize) -> &[Value] {
        &self.values[index]
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&Field, &[Value])> {
        self.entity_type.fields().iter().zip(self.values.iter().map(Vec::as_slice))
    }

    /// What is wrong with the values, in order of the fields.
    pub fn problems(&self) -> Vec<Problem> {
        (0..self.values.len()).flat_map(|index| self.problems_at(index)).collect()
    }

    pub(crate) fn problems_at(&self, index: usize) -> Vec<Problem> {
        let field = &self.entity_type.fields()[index];
        let faults = faults(field, &self.values[index]).into_iter();
        faults.map(|fault| self.problem(field, fault)).collect()
    }

    pub(crate) fn problem(&self, field: &Field, fault: Fault) -> Problem {
        Problem { entity: self.entity.clone(), attribute: field.attribute.clone(), fault }
    }

    /// The operations that write it as a new entity: a `set` for each field of one value that has
    /// one, an `add` for each member of the others.
    ///
    /// # Errors
    /// Every problem found, when there is one.
    pub fn to_ops(&self) -> Result<Vec<Op>, SchemaError> {
        refuse(self.problems())?;
        let mut ops = Vec::new();
        for (field, values) in self.fields() {
            ops.extend(values.iter().map(|value| self.write(field, value)));
        }
        Ok(ops)
    }

    /// The operations that lead from `old` to this record, for the fields that differ: `set` or
    /// `unset` for a field of one value, `add` and `remove` for the members of the others.
    ///
    /// # Errors
    /// Every problem found in a field that differs; or the records are of different entities or
    /// types.
    pub fn changes_from(&self, old: &Record) -> Result<Vec<Op>, SchemaError> {
        self.changes(old, |_| None)
    }

    /// [`Record::changes_from`], where `fault` knows the fields that could not be given their
    /// values at all.
    pub(crate) fn changes(
        &self,
        old: &Record,
        fault: impl Fn(usize) -> Option<Fault>,
    ) -> Result<Vec<Op>, SchemaError> {
        if self.entity != old.entity || self.entity_type != old.entity_type {
            let (old, new) = (old.entity.clone(), self.entity.clone());
            return Err(SchemaError::OtherEntity { old, new });
        }
        let (mut ops, mut problems) = (Vec::new(), Vec::new());
        for (index, field) in self.entity_type.fields().iter().enumerate() {
            let (old, new) = (&old.values[index], &self.values[index]);
            if let Some(fault) = fault(index) {
                problems.push(self.problem(field, fault));
            } else if new != old {
                problems.extend(self.problems_at(index));
                self.change(field, old, new, &mut ops);
            }
        }
        refuse(problems)?;
        Ok(ops)
    }

    fn change(&self, field: &Field, old: &[Value], new: &[Value], ops: &mut Vec<Op>) {
        let (e, a) = (&self.entity, &field.attribute);
        if !field.is_many() {
            match new.first() {
                Some(value) => ops.push(self.write(field, value)),
                None => ops.push(Op::Unset { e: e.clone(), a: a.clone() }),
            }
            return;
        }
        // The cover is the stamp of the add that the replica sees; whoever commits knows it.
        let gone = old.iter().filter(|value| new.binary_search(value).is_err());
        ops.extend(gone.map(|value| Op::Remove {
            e: e.clone(),
            a: a.clone(),
            v: value.clone(),
            covers: None,
        }));
        let come = new.iter().filter(|value| old.binary_search(value).is_err());
        ops.extend(come.map(|value| self.write(field, value)));
    }

    fn write(&self, field: &Field, value: &Value) -> Op {
        let (e, a, v) = (self.entity.clone(), field.attribute.clone(), value.clone());
        if field.is_many() { Op::Add { e, a, v } } else { Op::Set { e, a, v } }
    }
}

/// What is wrong with the values of one field.
fn faults(field: &Field, values: &[Value]) -> Vec<Fault> {
    let mut faults: Vec<Fault> =
        values.iter().filter_map(|value| field.field_type.check(value).err()).collect();
    let optional = matches!(field.presence, Presence::Optional | Presence::Many);
    if values.is_empty() && !optional {
        faults.push(Fault::Required);
    }
    if values.len() > 1 && !field.is_many() {
        faults.push(Fault::SeveralValues { n_values: values.len() });
    }
    faults
}

pub(crate) fn refuse(problems: Vec<Problem>) -> Result<(), SchemaError> {
    if problems.is_empty() { Ok(()) } else { Err(SchemaError::Invalid { problems }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::definition::t;

    fn user() -> EntityType {
        EntityType::builder("user")
            .field("name", t::string())
            .field("age", t::number().optional())
            .field("role", t::union(["admin", "member"]).default("member"))
            .field("tags", t::string().many())
            .build()
            .unwrap()
    }

    fn empty(id: &str) -> Record {
        Record::new(&user(), EntityId::new(id).unwrap())
    }

    /// `record` with strings as the values of a field.
    fn texts<const N: usize>(record: Record, field: &str, values: [&str; N]) -> Record {
        record.with(field, values.map(Value::from)).unwrap()
    }

    fn record() -> Record {
        texts(texts(empty("u1"), "name", ["Ann"]), "role", ["member"])
    }

    fn text(ops: &[Op]) -> String {
        serde_json::to_string(ops).unwrap()
    }

    #[test]
    fn all_problems_are_reported_at_once_in_order_of_the_fields() {
        let bad = texts(empty("u1"), "role", ["root"])
            .with("age", [Value::from("old"), Value::int(3)])
            .and_then(|record| record.with("tags", [Value::int(1)]))
            .unwrap();
        let SchemaError::Invalid { problems } = bad.to_ops().unwrap_err() else {
            panic!("a record with faults is invalid");
        };
        let found: Vec<_> = problems.iter().map(|p| (p.attribute.as_str(), p.code())).collect();
        assert_eq!(
            found,
            [
                ("user/name", "field_required"),
                ("user/age", "field_type"),
                ("user/age", "field_several_values"),
                ("user/role", "field_not_in_union"),
                ("user/tags", "field_type"),
            ]
        );
        assert_eq!(
            problems[3].to_string(),
            "`user/role` of `u1` is \"root\", which is none of `admin`, `member`"
        );
    }

    #[test]
    fn a_change_writes_only_what_differs() {
        let old = texts(record(), "tags", ["a", "b"]);
        let new = texts(record(), "tags", ["c", "b", "c"]);
        let new = new.with("age", [Value::int(3)]).unwrap();
        assert_eq!(
            text(&new.changes_from(&old).unwrap()),
            r#"[{"set":{"e":"u1","a":"user/age","v":3}},{"remove":{"e":"u1","a":"user/tags","v":"a","covers":null}},{"add":{"e":"u1","a":"user/tags","v":"c"}}]"#
        );
        let back = texts(record(), "tags", ["c", "b"]);
        assert_eq!(
            text(&back.changes_from(&new).unwrap()),
            r#"[{"unset":{"e":"u1","a":"user/age"}}]"#
        );
    }

    #[test]
    fn a_fault_in_a_field_that_is_not_written_does_not_stop_a_change() {
        let unreadable = texts(record(), "name", []);
        let new = unreadable.clone().with("age", [Value::int(1)]).unwrap();
        assert_eq!(new.changes_from(&unreadable).unwrap().len(), 1);
        assert_eq!(new.to_ops().unwrap_err().code(), "field_required");
    }

    #[test]
    fn a_change_stays_with_its_entity() {
        assert_eq!(record().changes_from(&empty("u2")).unwrap_err().code(), "entity_mismatch");
    }

    #[test]
    fn a_record_takes_fields_of_its_type_only() {
        assert_eq!(record().with("nmae", []).unwrap_err().code(), "field_unknown");
    }
}
