//! The derives from outside: what a struct writes and reads. Catches drift between the code that
//! the macros make and the rules of the crate; the rules themselves have their tests beside them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use tercet_engine::fact::{Fact, Kind, Mark, Op};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::value::{Date, Value};
use tercet_schema::{Entity, Id, Presence, Ref, SchemaError, Union};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Union)]
#[union(rename_all = "camelCase")]
enum Role {
    Admin,
    ReadOnly,
    #[union(rename = "*")]
    Any,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(type = "user", rename_all = "camelCase")]
struct User {
    id: Id<User>,
    full_name: String,
    age: Option<u8>,
    #[entity(default = Role::ReadOnly)]
    role: Role,
    #[entity(default = "en")]
    language: String,
    #[entity(default)]
    is_active: bool,
    #[entity(attribute = "any/score")]
    score: f64,
    #[entity(rename = "friendIds")]
    friends: Vec<Ref<User>>,
    seen: BTreeSet<Date>,
    r#type: Option<Role>,
}

/// Programs that know the crate by another path say so.
mod facade {
    pub(crate) use tercet_schema as schema;
}

#[derive(Debug, PartialEq, Entity)]
#[entity(type = "tag", crate = "crate::facade::schema")]
struct Tag {
    #[entity(id)]
    slug: EntityId,
    id: u64,
}

fn ann() -> User {
    User {
        id: Id::new("u1").unwrap(),
        full_name: "Ann".into(),
        age: Some(41),
        role: Role::Any,
        language: "de".into(),
        is_active: true,
        score: 1.5,
        friends: vec![Ref::new("u3").unwrap(), Ref::new("u2").unwrap()],
        seen: BTreeSet::from([Date::from_ms(0).unwrap()]),
        r#type: None,
    }
}

/// The facts after these operations on an empty store; each later than the one before.
fn facts(ops: &[Op]) -> Vec<(Fact, Mark)> {
    let fact = |(index, op): (usize, &Op)| {
        let stamp = Stamp { hlc: Hlc::new(index as u64, 0, ReplicaId(1)), op: 0 };
        let (attribute, value) = (op.attribute()?.clone(), op.value()?.clone());
        let kind = if matches!(op, Op::Add { .. }) { Kind::Add } else { Kind::Set };
        let fact = Fact { entity: op.entity().clone(), attribute, value };
        Some((fact, Mark { stamp, kind }))
    };
    ops.iter().enumerate().filter_map(fact).collect()
}

fn set(attribute: &str, value: impl Into<Value>) -> Op {
    let (e, a) = (EntityId::new("u1").unwrap(), Attribute::new(attribute).unwrap());
    Op::Set { e, a, v: value.into() }
}

#[test]
fn a_struct_is_written_as_facts_and_read_back() {
    let ops = ann().to_ops().unwrap();
    let lines: Vec<_> = ops.iter().map(|op| serde_json::to_string(op).unwrap()).collect();
    assert_eq!(
        lines,
        [
            r#"{"set":{"e":"u1","a":"user/fullName","v":"Ann"}}"#,
            r#"{"set":{"e":"u1","a":"user/age","v":41}}"#,
            r#"{"set":{"e":"u1","a":"user/role","v":"*"}}"#,
            r#"{"set":{"e":"u1","a":"user/language","v":"de"}}"#,
            r#"{"set":{"e":"u1","a":"user/isActive","v":true}}"#,
            r#"{"set":{"e":"u1","a":"any/score","v":1.5}}"#,
            r#"{"add":{"e":"u1","a":"user/friendIds","v":{"$ref":"u2"}}}"#,
            r#"{"add":{"e":"u1","a":"user/friendIds","v":{"$ref":"u3"}}}"#,
            r#"{"add":{"e":"u1","a":"user/seen","v":{"$date":"1970-01-01T00:00:00.000Z"}}}"#,
        ]
    );
    let read = User::from_facts(ann().entity_id(), &facts(&ops)).unwrap().unwrap();
    let mut expected = ann();
    expected.friends.sort(); // a set has no order of its own
    assert_eq!(read, expected);
    assert_eq!(read.changes_from(&ann()), Ok(vec![]));
}

#[test]
fn fallbacks_stand_in_for_what_is_missing_or_does_not_fit() {
    let stored = facts(&[set("user/fullName", "Ann"), set("any/score", 3), set("user/age", 300)]);
    let read = User::from_facts(ann().entity_id(), &stored).unwrap().unwrap();
    assert_eq!((read.age, read.role, read.is_active), (None, Role::ReadOnly, false));
    assert_eq!((read.language.as_str(), read.score), ("en", 3.0));
    assert!(read.friends.is_empty() && read.seen.is_empty());
}

#[test]
fn a_value_that_does_not_fit_a_required_field_is_named() {
    let id = EntityId::new("u1").unwrap();
    let error = Tag::from_facts(&id, &facts(&[set("tag/id", -1)])).unwrap_err();
    assert_eq!(error.code(), "entity_incomplete");
    assert!(error.to_string().starts_with("`u1` has no readable `tag/id` (stored is -1); "));
    assert_eq!(Tag::from_facts(&id, &[]), Ok(None));
}

#[test]
fn problems_of_rust_values_and_of_stored_values_are_reported_together() {
    let mut bad = User { score: f64::NAN, ..ann() };
    bad.full_name = "x".repeat((1 << 20) + 1);
    let SchemaError::Invalid { problems } = bad.to_ops().unwrap_err() else {
        panic!("a struct with faults is invalid");
    };
    let codes: Vec<_> = problems.iter().map(|p| (p.attribute.as_str(), p.code())).collect();
    assert_eq!(codes, [("user/fullName", "value_too_large"), ("any/score", "number_not_finite")]);
    // A change is judged by the fields it writes.
    let older = User { age: Some(42), full_name: bad.full_name.clone(), ..ann() };
    let old = User { full_name: bad.full_name, ..ann() };
    assert_eq!(older.changes_from(&old), Ok(vec![set("user/age", 42)]));
    let tag = Tag { slug: EntityId::new("t").unwrap(), id: u64::MAX };
    assert_eq!(tag.to_ops().unwrap_err().code(), "number_out_of_range");
}

#[test]
fn the_definition_says_what_the_struct_says() {
    let definition = User::definition();
    let presence = |name: &str| definition.field(name).unwrap().presence.clone();
    assert_eq!(presence("full_name"), Presence::Required);
    assert_eq!(presence("age"), Presence::Optional);
    assert_eq!(presence("role"), Presence::Default(Value::from("readOnly")));
    assert_eq!(presence("friends"), Presence::Many);
    assert_eq!(definition.field("type").unwrap().attribute.as_str(), "user/type");
    assert_eq!(Tag::definition().fields().len(), 1);
}
