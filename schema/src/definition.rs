//! Entity types: which fields there are, what each holds, and what stands in for a missing value.
//!
//! A definition is made once, checked once and then shared; a clone is a pointer. The derive
//! makes one for a struct; [`t`] makes one by hand, for programs that learn their types at run
//! time. What the definition means for a write or a read is in [`record`](crate::record).

use std::sync::Arc;

use tercet_engine::ids::Attribute;
use tercet_engine::value::Value;

use crate::error::SchemaError;
use crate::field_type::FieldType;

/// How many values a field has, and what it reads as when it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// One value; an entity without it cannot be read.
    Required,
    /// One value or none.
    Optional,
    /// One value; this one when none is stored.
    Default(Value),
    /// A set of values, written by `add` and `remove`.
    Many,
}

/// A field of an entity type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in the program.
    pub name: Arc<str>,
    /// Its name in the database.
    pub attribute: Attribute,
    /// What kind of values it takes.
    pub field_type: FieldType,
    /// How many of them.
    pub presence: Presence,
}

impl Field {
    /// Whether it holds a set of values.
    pub fn is_many(&self) -> bool {
        self.presence == Presence::Many
    }
}

/// The fields of one kind of entity, in order of definition. A clone is a pointer.
///
/// # Define a type at run time
/// ```
/// use tercet_schema::{EntityType, t};
///
/// let user = EntityType::builder("user")
///     .field("name", t::string())
///     .field("age", t::number().optional())
///     .field("role", t::union(["admin", "member"]).default("member"))
///     .field("friends", t::ref_many("user").rename("friendIds"))
///     .build()?;
/// assert_eq!(user.field("friends").unwrap().attribute.as_str(), "user/friendIds");
/// # Ok::<(), tercet_schema::SchemaError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityType(Arc<Definition>);

/// Invariant: field names and attributes are unique; defaults fit their fields.
#[derive(Debug, PartialEq, Eq)]
struct Definition {
    name: Arc<str>,
    fields: Vec<Field>,
}

impl EntityType {
    /// Begins a definition. The name is the first half of the attributes: `user` in `user/name`.
    pub fn builder(name: impl Into<Arc<str>>) -> EntityTypeBuilder {
        EntityTypeBuilder { name: name.into(), fields: Vec::new() }
    }

    /// The type's name.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The fields, in order of definition.
    pub fn fields(&self) -> &[Field] {
        &self.0.fields
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.index(name).map(|index| &self.0.fields[index])
    }

    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.0.fields.iter().position(|field| &*field.name == name)
    }
}

/// An entity type in the making.
#[derive(Debug, Clone)]
pub struct EntityTypeBuilder {
    name: Arc<str>,
    fields: Vec<(Arc<str>, FieldSpec)>,
}

impl EntityTypeBuilder {
    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<Arc<str>>, spec: FieldSpec) -> Self {
        self.fields.push((name.into(), spec));
        self
    }

    /// Checks the definition.
    ///
    /// # Errors
    /// When a name makes no attribute, two fields have one name or one attribute, a default
    /// does not fit its field, or a union has no texts or one of them twice.
    pub fn build(self) -> Result<EntityType, SchemaError> {
        let invalid =
            |why: String| SchemaError::Definition { type_name: self.name.to_string(), why };
        if self.name.contains('/') {
            return Err(invalid("a type's name must not contain `/`".to_owned()));
        }
        let mut fields: Vec<Field> = Vec::with_capacity(self.fields.len());
        for (name, spec) in &self.fields {
            let field = spec.clone().into_field(&self.name, name).map_err(invalid)?;
            if let Some(other) = fields.iter().find(|other| field.clashes(other)) {
                return Err(invalid(format!(
                    "the fields `{}` and `{name}` have one name or one attribute, `{}`",
                    other.name, other.attribute
                )));
            }
            fields.push(field);
        }
        Ok(EntityType(Arc::new(Definition { name: self.name, fields })))
    }
}

impl Field {
    fn clashes(&self, other: &Field) -> bool {
        self.name == other.name || self.attribute == other.attribute
    }
}

/// A field without its name: made by the functions of [`t`].
#[derive(Debug, Clone)]
pub struct FieldSpec {
    field_type: FieldType,
    presence: Presence,
    stored_name: Option<Arc<str>>,
    attribute: Option<Arc<str>>,
}

impl FieldSpec {
    /// A required field of one value.
    pub fn new(field_type: FieldType) -> FieldSpec {
        FieldSpec { field_type, presence: Presence::Required, stored_name: None, attribute: None }
    }

    /// One value or none.
    #[must_use]
    pub fn optional(self) -> FieldSpec {
        FieldSpec { presence: Presence::Optional, ..self }
    }

    /// Reads as this value when none is stored.
    #[must_use]
    pub fn default(self, value: impl Into<Value>) -> FieldSpec {
        FieldSpec { presence: Presence::Default(value.into()), ..self }
    }

    /// A set of values.
    #[must_use]
    pub fn many(self) -> FieldSpec {
        FieldSpec { presence: Presence::Many, ..self }
    }

    /// Stored under another field name: `type/stored_name`.
    #[must_use]
    pub fn rename(self, stored_name: impl Into<Arc<str>>) -> FieldSpec {
        FieldSpec { stored_name: Some(stored_name.into()), ..self }
    }

    /// Stored under a whole attribute, for example one that several types share.
    #[must_use]
    pub fn attribute(self, attribute: impl Into<Arc<str>>) -> FieldSpec {
        FieldSpec { attribute: Some(attribute.into()), ..self }
    }

    fn into_field(self, type_name: &str, name: &Arc<str>) -> Result<Field, String> {
        let stored_name = self.stored_name.as_ref().unwrap_or(name);
        let attribute =
            self.attribute.unwrap_or_else(|| format!("{type_name}/{stored_name}").into());
        let attribute = Attribute::new(attribute).map_err(|error| error.to_string())?;
        if let FieldType::Union { options } = &self.field_type {
            check_options(name, options)?;
        }
        if let Presence::Default(value) = &self.presence {
            self.field_type
                .check(value)
                .map_err(|fault| format!("the default of `{name}` {fault}"))?;
        }
        let name = Arc::clone(name);
        Ok(Field { name, attribute, field_type: self.field_type, presence: self.presence })
    }
}

fn check_options(name: &str, options: &[Arc<str>]) -> Result<(), String> {
    if options.is_empty() {
        return Err(format!("the union of `{name}` has no texts"));
    }
    let twice = options.iter().enumerate().find(|(i, option)| options[..*i].contains(option));
    match twice {
        Some((_, option)) => Err(format!("the union of `{name}` has `{option}` twice")),
        None => Ok(()),
    }
}

/// Kinds of fields, to be written as `t::string()`.
pub mod t {
    use super::{Arc, FieldSpec, FieldType};

    /// Text.
    pub fn string() -> FieldSpec {
        FieldSpec::new(FieldType::String)
    }

    /// An integer or a finite double.
    pub fn number() -> FieldSpec {
        FieldSpec::new(FieldType::Number)
    }

    /// `false` or `true`.
    pub fn boolean() -> FieldSpec {
        FieldSpec::new(FieldType::Boolean)
    }

    /// A moment in UTC.
    pub fn date() -> FieldSpec {
        FieldSpec::new(FieldType::Date)
    }

    /// A reference to an entity of the type named.
    pub fn reference(target: impl Into<Arc<str>>) -> FieldSpec {
        FieldSpec::new(FieldType::Ref { target: Some(target.into()) })
    }

    /// A set of references to entities of the type named.
    pub fn ref_many(target: impl Into<Arc<str>>) -> FieldSpec {
        reference(target).many()
    }

    /// One of the texts given.
    pub fn union<Text: Into<Arc<str>>>(options: impl IntoIterator<Item = Text>) -> FieldSpec {
        let options = options.into_iter().map(Into::into).collect();
        FieldSpec::new(FieldType::Union { options })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_definition_that_contradicts_itself_is_refused() {
        let why = |type_name: &str, fields: Vec<(&str, FieldSpec)>| {
            let builder =
                fields.into_iter().fold(EntityType::builder(type_name), |b, (n, s)| b.field(n, s));
            let error = builder.build().unwrap_err();
            assert_eq!(error.code(), "schema_invalid");
            error.to_string()
        };
        assert!(why("a/b", vec![]).contains("must not contain `/`"));
        assert!(why("user", vec![("_x", t::string())]).contains("internal"));
        assert!(why("user", vec![("", t::string())]).contains("type/field"));
        let twice = vec![("a", t::string()), ("b", t::number().rename("a"))];
        assert!(why("user", twice).contains("`a` and `b`"));
        let misfit = vec![("age", t::number().default("old"))];
        assert!(why("user", misfit).contains("the default of `age` is \"old\""));
        let none: [&str; 0] = [];
        assert!(why("user", vec![("role", t::union(none))]).contains("no texts"));
        assert!(why("user", vec![("role", t::union(["a", "a"]))]).contains("`a` twice"));
    }

    #[test]
    fn an_attribute_may_be_shared_by_types() {
        let user = EntityType::builder("user")
            .field("made", t::date().attribute("any/createdAt"))
            .build()
            .unwrap();
        assert_eq!(user.fields()[0].attribute.as_str(), "any/createdAt");
    }
}
