//! The typed side: structs as entities, and Rust types as the values of their fields.
//!
//! `#[derive(Entity)]` writes the methods without a body here; everything with rules in it
//! is ordinary code in [`record`](crate::record) and `read`. A Rust type joins by [`Scalar`];
//! `Option`, `Vec` and `BTreeSet` of a scalar follow from it.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use tercet_engine::answer::{Tree, ValueRef};
use tercet_engine::fact::{Fact, Mark, Op};
use tercet_engine::ids::{EntityId, IdError};
use tercet_engine::value::{Date, Number, Value};

use crate::definition::{EntityType, FieldSpec};
use crate::error::{Fault, Problem, SchemaError};
use crate::field_type::FieldType;
use crate::record::{Record, refuse};

/// A struct whose fields are an entity's. Made by `#[derive(Entity)]`:
///
/// | on the struct | |
/// | --- | --- |
/// | `type = "user"` | the first half of the attributes; required |
/// | `rename_all = "camelCase"` | how names of fields are stored: also `"kebab-case"`; `"snake_case"` is the default |
/// | `crate = "path"` | where this crate is found, if not as `tercet_schema` |
///
/// | on a field | |
/// | --- | --- |
/// | `id` | this one is the entity's id; without it, the field named `id` |
/// | `rename = "fullName"` | stored as `user/fullName` |
/// | `attribute = "any/createdAt"` | stored as this whole attribute |
/// | `default`, `default = expr` | read when nothing readable is stored |
///
/// A field of a [`Scalar`] type is required, an `Option` may be absent, a `Vec` or `BTreeSet` is a
/// set written by `add` and `remove` (read in order of the values, without duplicates).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an entity",
    note = "derive it: `#[derive(Entity)] #[entity(type = \"…\")]`"
)]
pub trait Entity: Sized {
    /// The type's name: `user` in `user/name`.
    const TYPE: &'static str;

    /// The type's definition, made once.
    fn definition() -> &'static EntityType;

    /// Which entity this is.
    fn entity_id(&self) -> &EntityId;

    /// The values of its fields, not checked yet.
    fn to_draft(&self) -> Draft;

    /// The struct of a record of this type.
    ///
    /// # Errors
    /// [`SchemaError::Incomplete`] when a value does not fit the Rust type of a field that has
    /// no fallback, for example 300 in a `u8`.
    fn from_record(record: &Record) -> Result<Self, SchemaError>;

    /// The values of its fields, checked.
    ///
    /// # Errors
    /// Every problem found.
    fn to_record(&self) -> Result<Record, SchemaError> {
        self.to_draft().finish()
    }

    /// The operations that write it as a new entity.
    ///
    /// # Errors
    /// Every problem found.
    fn to_ops(&self) -> Result<Vec<Op>, SchemaError> {
        self.to_record()?.to_ops()
    }

    /// The operations that lead from `old` to this state of the entity: only the fields that
    /// differ, so that nothing a newer version of the program stored is erased.
    ///
    /// # Errors
    /// Every problem found in a field that differs; or the two are different entities.
    fn changes_from(&self, old: &Self) -> Result<Vec<Op>, SchemaError> {
        self.to_draft().changes_from(&old.to_draft())
    }

    /// Reads an entity from its visible facts; `None` when no field of this type is stored.
    ///
    /// # Errors
    /// [`SchemaError::Incomplete`] names a required field without a readable value.
    fn from_facts(entity: &EntityId, facts: &[(Fact, Mark)]) -> Result<Option<Self>, SchemaError> {
        let record = Self::definition().read(entity, facts)?;
        record.as_ref().map(Self::from_record).transpose()
    }

    /// Reads an entity from the result of a pull; `None` when no field of this type is in it.
    ///
    /// # Errors
    /// As [`Entity::from_facts`].
    fn from_tree(entity: &EntityId, tree: &Tree) -> Result<Option<Self>, SchemaError> {
        let record = Self::definition().read_tree(entity, tree)?;
        record.as_ref().map(Self::from_record).transpose()
    }
}

/// A Rust type that is one value. `#[derive(Union)]` makes it for an enum of texts.
///
/// Contract: `from_value(to_value(x)) == x` wherever `to_value` succeeds.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not one value of a field",
    note = "values are `String`, `bool`, integers, `f64`, `Number`, `Date`, `EntityId`, `Ref<T>`, and enums with `#[derive(Union)]`"
)]
pub trait Scalar: Sized {
    /// The kind of its values.
    fn field_type() -> FieldType;

    /// The value.
    ///
    /// # Errors
    /// When there is none for it: NaN, or an integer beyond 64 bits.
    fn to_value(&self) -> Result<Value, Fault>;

    /// Reads a value of that kind; `None` where it does not fit.
    fn from_value(value: &Value) -> Option<Self>;

    /// The same of a value whose text is borrowed: types that need no [`Value`] for it make none.
    fn from_value_ref(value: ValueRef<'_>) -> Option<Self> {
        Self::from_value(&value.to_value())
    }
}

/// A Rust type that is the values of one field: a [`Scalar`], or an `Option`, `Vec` or `BTreeSet`
/// of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type of a field",
    note = "a field is a value (`String`, `bool`, an integer, `f64`, `Number`, `Date`, `EntityId`, `Ref<T>`, an enum with `#[derive(Union)]`), or an `Option`, `Vec` or `BTreeSet` of one"
)]
pub trait FieldValue: Sized {
    /// What such a field holds.
    fn spec() -> FieldSpec;

    /// Its values.
    ///
    /// # Errors
    /// What is wrong with the first one that is none.
    fn to_values(&self) -> Result<Vec<Value>, Fault>;

    /// Reads the values of a field; `None` when one is needed and none fits.
    fn from_values(values: &[Value]) -> Option<Self>;
}

impl<T: Scalar> FieldValue for T {
    fn spec() -> FieldSpec {
        FieldSpec::new(T::field_type())
    }

    fn to_values(&self) -> Result<Vec<Value>, Fault> {
        Ok(vec![self.to_value()?])
    }

    fn from_values(values: &[Value]) -> Option<T> {
        values.first().and_then(T::from_value)
    }
}

impl<T: Scalar> FieldValue for Option<T> {
    fn spec() -> FieldSpec {
        FieldSpec::new(T::field_type()).optional()
    }

    fn to_values(&self) -> Result<Vec<Value>, Fault> {
        self.iter().map(T::to_value).collect()
    }

    fn from_values(values: &[Value]) -> Option<Option<T>> {
        Some(values.first().and_then(T::from_value))
    }
}

impl<T: Scalar> FieldValue for Vec<T> {
    fn spec() -> FieldSpec {
        FieldSpec::new(T::field_type()).many()
    }

    fn to_values(&self) -> Result<Vec<Value>, Fault> {
        self.iter().map(T::to_value).collect()
    }

    fn from_values(values: &[Value]) -> Option<Vec<T>> {
        Some(values.iter().filter_map(T::from_value).collect())
    }
}

impl<T: Scalar + Ord> FieldValue for BTreeSet<T> {
    fn spec() -> FieldSpec {
        FieldSpec::new(T::field_type()).many()
    }

    fn to_values(&self) -> Result<Vec<Value>, Fault> {
        self.iter().map(T::to_value).collect()
    }

    fn from_values(values: &[Value]) -> Option<BTreeSet<T>> {
        Some(values.iter().filter_map(T::from_value).collect())
    }
}

macro_rules! scalar {
    ($type:ty, $field_type:expr, |$this:ident| $to:expr, $pattern:pat => $from:expr) => {
        impl Scalar for $type {
            fn field_type() -> FieldType {
                $field_type
            }

            fn to_value(&self) -> Result<Value, Fault> {
                let $this = self;
                $to
            }

            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $pattern => $from,
                    _ => None,
                }
            }
        }
    };
}

impl Scalar for String {
    fn field_type() -> FieldType {
        FieldType::String
    }

    fn to_value(&self) -> Result<Value, Fault> {
        Ok(Value::from(self.as_str()))
    }

    fn from_value(value: &Value) -> Option<String> {
        String::from_value_ref(value.into())
    }

    fn from_value_ref(value: ValueRef<'_>) -> Option<String> {
        value.as_str().map(str::to_owned)
    }
}

scalar!(bool, FieldType::Boolean, |flag| Ok(Value::Boolean(*flag)),
    Value::Boolean(flag) => Some(*flag));
scalar!(Number, FieldType::Number, |number| Ok(Value::Number(*number)),
    Value::Number(number) => Some(*number));
scalar!(Date, FieldType::Date, |date| Ok(Value::Date(*date)),
    Value::Date(date) => Some(*date));
scalar!(EntityId, FieldType::Ref { target: None }, |id| Ok(Value::Ref(id.clone())),
    Value::Ref(id) => Some(id.clone()));
// Reads the nearest double: an integer beyond 2^53 that another program stored loses digits in
// the struct, and keeps them in the database unless the field is changed.
scalar!(f64, FieldType::Number,
    |double| Value::double(*double).map_err(|_| Fault::NotFinite { value: double.to_string() }),
    Value::Number(number) => Some(number.to_f64()));

macro_rules! integer_scalars {
    ($($type:ty)*) => {$(
        scalar!($type, FieldType::Number,
            |int| i64::try_from(*int)
                .map(Value::int)
                .map_err(|_| Fault::OutOfRange { value: int.to_string() }),
            Value::Number(number) => number.as_i64().and_then(|int| int.try_into().ok()));
    )*};
}

integer_scalars!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

/// A reference to an entity of type `T`; in the database, a plain reference.
pub struct Ref<T> {
    entity: EntityId,
    // A reference owns no `T`, so it can be sent wherever its id can.
    target: PhantomData<fn() -> T>,
}

/// The id of an entity of type `T`: what refers to it is a [`Ref`] to it.
pub type Id<T> = Ref<T>;

impl<T> Ref<T> {
    /// A reference to the entity of this id.
    ///
    /// # Errors
    /// When the text is no entity id.
    pub fn new(id: &str) -> Result<Ref<T>, IdError> {
        EntityId::new(id).map(Ref::from)
    }

    /// The entity referred to.
    pub fn entity(&self) -> &EntityId {
        &self.entity
    }
}

impl<T> From<EntityId> for Ref<T> {
    fn from(entity: EntityId) -> Ref<T> {
        Ref { entity, target: PhantomData }
    }
}

impl<T> From<Ref<T>> for EntityId {
    fn from(reference: Ref<T>) -> EntityId {
        reference.entity
    }
}

impl<T: Entity> Scalar for Ref<T> {
    fn field_type() -> FieldType {
        FieldType::Ref { target: Some(T::TYPE.into()) }
    }

    fn to_value(&self) -> Result<Value, Fault> {
        Ok(Value::Ref(self.entity.clone()))
    }

    fn from_value(value: &Value) -> Option<Ref<T>> {
        EntityId::from_value(value).map(Ref::from)
    }
}

// By hand, because derives would ask the same of `T`.
impl<T> Clone for Ref<T> {
    fn clone(&self) -> Ref<T> {
        Ref::from(self.entity.clone())
    }
}

impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Ref<T>) -> bool {
        self.entity == other.entity
    }
}

impl<T> Eq for Ref<T> {}

impl<T> PartialOrd for Ref<T> {
    fn partial_cmp(&self, other: &Ref<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ref<T> {
    fn cmp(&self, other: &Ref<T>) -> Ordering {
        self.entity.cmp(&other.entity)
    }
}

impl<T> Hash for Ref<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.entity.hash(state);
    }
}

impl<T> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ref({:?})", self.entity)
    }
}

impl<T> fmt::Display for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entity.fmt(f)
    }
}

/// What the id field of an entity may be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an entity's id",
    note = "the id field is an `EntityId` or an `Id<Self>`"
)]
pub trait Key: Sized {
    /// The id.
    fn as_entity_id(&self) -> &EntityId;

    /// The key of the entity of this id.
    fn from_entity_id(id: EntityId) -> Self;
}

impl Key for EntityId {
    fn as_entity_id(&self) -> &EntityId {
        self
    }

    fn from_entity_id(id: EntityId) -> EntityId {
        id
    }
}

impl<T> Key for Ref<T> {
    fn as_entity_id(&self) -> &EntityId {
        &self.entity
    }

    fn from_entity_id(id: EntityId) -> Ref<T> {
        Ref::from(id)
    }
}

/// A record in the making; collects the problems of all fields. Used by the derive.
#[derive(Debug)]
pub struct Draft {
    record: Record,
    /// For each field: what kept its Rust value from being a value.
    faults: Vec<Option<Fault>>,
}

impl Draft {
    /// A record of an entity, without values yet.
    pub fn new(entity_type: &EntityType, entity: &EntityId) -> Draft {
        let faults = vec![None; entity_type.fields().len()];
        Draft { record: Record::new(entity_type, entity.clone()), faults }
    }

    /// Gives the field at `index` its values.
    pub fn put(&mut self, index: usize, value: &impl FieldValue) {
        match value.to_values() {
            Ok(values) => self.record.put(index, values),
            Err(fault) => self.faults[index] = Some(fault),
        }
    }

    /// The operations for the fields that differ from those of `old`.
    ///
    /// # Errors
    /// As [`Record::changes_from`], and for every field that could not be given its values.
    pub fn changes_from(&self, old: &Draft) -> Result<Vec<Op>, SchemaError> {
        self.record.changes(&old.record, |index| self.faults[index].clone())
    }

    /// The record, if nothing is wrong with it.
    ///
    /// # Errors
    /// Every problem found, in order of the fields.
    pub fn finish(self) -> Result<Record, SchemaError> {
        let mut problems: Vec<Problem> = Vec::new();
        for (index, field) in self.record.entity_type().fields().iter().enumerate() {
            match &self.faults[index] {
                Some(fault) => problems.push(self.record.problem(field, fault.clone())),
                None => problems.extend(self.record.problems_at(index)),
            }
        }
        refuse(problems)?;
        Ok(self.record)
    }
}

/// Reads the field at `index`. Used by the derive.
///
/// # Errors
/// When no value fits and the field has no fallback.
pub fn field<T: FieldValue>(record: &Record, index: usize) -> Result<T, SchemaError> {
    let values = record.at(index);
    let incomplete =
        || record.entity_type().fields()[index].incomplete(record.entity(), values.first());
    T::from_values(values).ok_or_else(incomplete)
}

/// A field's definition with its fallback. Used by the derive.
///
/// # Panics
/// When the fallback is no value, for example NaN: a fault of the program, met at first use.
pub fn default_of<T: Scalar>(default: &T) -> FieldSpec {
    let value = default.to_value().expect("the default of a field is a value");
    T::spec().default(value)
}
