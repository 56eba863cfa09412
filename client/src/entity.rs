//! Typed access: structs with `#[derive(Entity)]` written and read through a client.
//!
//! What a struct writes and how facts become one are rules of the schema; here they meet the
//! facts that a replica holds.

use tercet_engine::answer::{Output, RowRef};
use tercet_engine::fact::{Fact, Kind, Mark, Op};
use tercet_engine::hlc::Stamp;
use tercet_engine::ids::{Attribute, EntityId, Name};
use tercet_engine::program::raw::{
    ClauseId, Input, RawClause, RawFindElement, RawInput, RawProgram, RawTerm,
};
use tercet_engine::value::Value;
use tercet_schema::{Entity, Key, Ref, SchemaError};

use crate::client::Client;
use crate::error::ClientError;
use crate::write::Write;

/// A new random id: 21 characters, 126 bits.
pub fn new_entity_id() -> EntityId {
    EntityId::new(nanoid::nanoid!()).expect("a nano id is short and printable")
}

/// A new random id of an entity of type `T`.
pub fn new_id<T>() -> Ref<T> {
    Ref::from(new_entity_id())
}

impl Client {
    /// Writes an entity: whole if none of this id is held here, else the fields that differ from
    /// what is held. So a field that reads as its fallback, because a newer version of the program
    /// stored something else in it, is left alone.
    ///
    /// # Errors
    /// When the entity does not fit its type, and as for [`Client::transact`].
    pub async fn save<T: Entity>(&self, entity: &T) -> Result<Write, ClientError> {
        let held = self.get::<T>(&entity.entity_id().clone());
        let ops = match held {
            Ok(Some(held)) => entity.changes_from(&held)?,
            // Not there, or only in part: then nothing can be said about differences.
            Ok(None) | Err(ClientError::Schema(SchemaError::Incomplete { .. })) => {
                entity.to_ops()?
            }
            Err(error) => return Err(error),
        };
        self.transact_if_any(ops).await
    }

    /// Writes the fields of an entity in which `new` differs from `old`.
    ///
    /// # Errors
    /// When a field that differs does not fit its type, the two are different entities, and as for
    /// [`Client::transact`].
    pub async fn update<T: Entity>(&self, old: &T, new: &T) -> Result<Write, ClientError> {
        self.transact_if_any(new.changes_from(old)?).await
    }

    /// Deletes an entity: delete wins over every write to it, also concurrent ones.
    ///
    /// # Errors
    /// As for [`Client::transact`].
    pub async fn delete(&self, id: &impl Key) -> Result<Write, ClientError> {
        self.transact_checked(vec![Op::Delete { e: id.as_entity_id().clone() }]).await
    }

    /// Reads an entity from what is held here: facts of subscriptions answered by facts, and own
    /// pending writes. `None` when no field of the type is held.
    ///
    /// # Errors
    /// When a required field has no readable value and no fallback.
    pub fn get<T: Entity>(&self, id: &impl Key) -> Result<Option<T>, ClientError> {
        let facts = self.view().entity_facts(id.as_entity_id());
        Ok(T::from_facts(id.as_entity_id(), &facts)?)
    }

    /// Reads an entity with all its fields from the server; without a connection as
    /// [`Client::get`] does.
    ///
    /// # Errors
    /// As for [`Client::get`] and [`Client::query`].
    pub async fn fetch<T: Entity>(&self, id: &impl Key) -> Result<Option<T>, ClientError> {
        let id = id.as_entity_id();
        let inputs = vec![Input::Scalar(Value::Ref(id.clone()))];
        let found = self.query(fields_of_an_entity(), inputs).await?;
        let facts: Vec<(Fact, Mark)> =
            found.answer.rows.iter().filter_map(|row| field(id, row)).collect();
        Ok(T::from_facts(id, &facts)?)
    }

    async fn transact_if_any(&self, ops: Vec<Op>) -> Result<Write, ClientError> {
        if ops.is_empty() {
            return Ok(Write::nothing());
        }
        self.transact_checked(ops).await
    }
}

/// `[:find ?a ?v :in ?e :where [?e ?a ?v]]`
fn fields_of_an_entity() -> RawProgram {
    let [e, a, v] = ["e", "a", "v"].map(|name| Name::new(name).expect("a letter is a name"));
    let term = |name: &Name| RawTerm::Variable(name.clone());
    RawProgram {
        find: [&a, &v].map(|name| RawFindElement::Variable(name.clone())).into(),
        inputs: vec![RawInput::Scalar(e.clone())],
        clauses: vec![RawClause::Pattern {
            entity: term(&e),
            attribute: term(&a),
            value: term(&v),
        }],
        body: vec![ClauseId(0)],
        ..RawProgram::default()
    }
}

/// A row `(attribute, value)` as a fact. Rows carry no marks, so all are alike: of several values
/// of a field of one, the greatest is read.
fn field(entity: &EntityId, row: RowRef<'_>) -> Option<(Fact, Mark)> {
    let attribute = Attribute::new(row.value(0)?.as_str()?).ok()?;
    let Some(Output::Value(value)) = row.to_output(1) else { return None };
    let fact = Fact { entity: entity.clone(), attribute, value };
    Some((fact, Mark { stamp: Stamp::ZERO, kind: Kind::Set }))
}
