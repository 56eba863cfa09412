//! What is known of attributes while datoms are read, and how forms become ids and values.
//!
//! Knowledge grows in the order of the input: it holds from where it was said. Numeric ids of
//! attributes, as Datomic's raw datoms have them, are resolved by the `:db/ident` datoms before
//! them; the few that every database is born with are known.

use std::collections::BTreeMap;

use tercet_engine::fact::Kind as FactKind;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::{Date, Number, Value, ValueError};

use super::form::{Form, Kind};
use crate::note::Notes;
use crate::number::keeps_digits;

/// What is wrong with a form: a stable code, a sentence, and perhaps a hint.
pub(super) struct Wrong {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>) -> Wrong {
        Wrong { code: "malformed", message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: &'static str) -> Wrong {
        Wrong { hint: Some(hint), ..self }
    }
}

impl From<tercet_engine::ids::IdError> for Wrong {
    fn from(error: tercet_engine::ids::IdError) -> Wrong {
        Wrong { code: error.code(), message: error.to_string(), hint: None }
    }
}

impl From<ValueError> for Wrong {
    fn from(error: ValueError) -> Wrong {
        Wrong { code: error.code(), message: error.to_string(), hint: None }
    }
}

/// Attributes that every Datomic database is born with, by entity id.
const BOOTSTRAP: [(i64, &str); 5] = [
    (10, "db/ident"),
    (40, "db/valueType"),
    (41, "db/cardinality"),
    (42, "db/unique"),
    (50, "db/txInstant"),
];

/// What is said of an attribute.
#[derive(Debug, Clone, Default)]
struct Said {
    is_ref: bool,
    has_many: Option<bool>,
}

/// An attribute position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// An attribute of facts.
    Plain(Attribute),
    /// A keyword of the database's own, such as `db/cardinality`: no fact.
    System(String),
}

/// Everything said so far.
pub(super) struct Schema {
    said: BTreeMap<Attribute, Said>,
    /// What was said of an entity before its ident was known, by entity id.
    entities: BTreeMap<String, (Option<Attribute>, Said)>,
    /// Numeric ids of attributes.
    idents: BTreeMap<i64, String>,
    /// A schema was given as a whole: attributes that it leaves out hold one value.
    is_closed: bool,
    pub(super) id_prefix: String,
    pub(super) scope: Option<String>,
    pub(super) notes: Notes,
}

impl Schema {
    pub(super) fn new(id_prefix: &str, scope: Option<&str>) -> Schema {
        Schema {
            said: BTreeMap::new(),
            entities: BTreeMap::new(),
            idents: BOOTSTRAP.map(|(id, ident)| (id, ident.to_owned())).into(),
            is_closed: false,
            id_prefix: id_prefix.to_owned(),
            scope: scope.map(str::to_owned),
            notes: Notes::default(),
        }
    }

    /// Takes a whole schema: a map from attributes to what is said of each.
    pub(super) fn take_schema(&mut self, pairs: &[(Form, Form)]) -> Result<(), Wrong> {
        self.is_closed = true;
        for (key, what) in pairs {
            let (Name::Plain(attribute), Kind::Map(facets)) = (self.name(key)?, &what.kind) else {
                continue;
            };
            let mut said = Said { has_many: Some(false), ..Said::default() };
            for (facet, value) in facets {
                if let Kind::Keyword(facet) = &facet.kind {
                    self.take_facet(&mut said, facet, value);
                }
            }
            self.said.insert(attribute, said);
        }
        Ok(())
    }

    /// Takes what a datom or map says of an attribute's entity. Gives whether it was that.
    pub(super) fn take_system(&mut self, entity: &EntityId, facet: &str, value: &Form) -> bool {
        let key = entity.as_str().to_owned();
        if facet == "db/ident" {
            let (Kind::Keyword(ident) | Kind::Str(ident)) = &value.kind else { return false };
            let number = entity.as_str().strip_prefix(self.id_prefix.as_str());
            if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
                self.idents.insert(number, ident.clone());
            }
            let message = "names of entities (:db/ident) were understood and not kept as facts";
            self.notes.add("idents", message);
            if let Ok(attribute) = Attribute::new(ident.as_str()) {
                self.entities.entry(key.clone()).or_default().0 = Some(attribute);
            }
        } else {
            let mut said = self.entities.get(&key).cloned().unwrap_or_default().1;
            if !self.take_facet(&mut said, facet, value) {
                return false;
            }
            self.entities.entry(key.clone()).or_default().1 = said;
        }
        // An attribute is one from the moment that something else than its name is known of it.
        if let Some((Some(attribute), said)) = self.entities.get(&key)
            && (said.is_ref || said.has_many.is_some())
        {
            self.said.insert(attribute.clone(), said.clone());
        }
        true
    }

    fn take_facet(&self, said: &mut Said, facet: &str, value: &Form) -> bool {
        match (facet, &value.kind) {
            ("db/cardinality", Kind::Keyword(what)) => {
                said.has_many = Some(what == "db.cardinality/many");
            }
            // Datomic's own entities for the two cardinalities and the type of references.
            ("db/cardinality", Kind::Int(id)) => said.has_many = Some(*id == 36),
            ("db/valueType", Kind::Keyword(what)) => {
                said.is_ref = what == "db.type/ref";
                said.has_many = said.has_many.or(Some(false));
            }
            ("db/valueType", Kind::Int(id)) => {
                said.is_ref = *id == 20;
                said.has_many = said.has_many.or(Some(false));
            }
            _ => return false,
        }
        true
    }

    /// How a fact of the attribute is written.
    pub(super) fn kind(&mut self, attribute: &Attribute) -> FactKind {
        match self.said.get(attribute).and_then(|said| said.has_many) {
            Some(true) => FactKind::Add,
            Some(false) => FactKind::Set,
            None if self.is_closed => FactKind::Set,
            None => {
                let message =
                    format!("no schema says how many values {attribute} holds: they were added");
                self.notes.add("cardinality_unknown", message);
                FactKind::Add
            }
        }
    }

    pub(super) fn is_ref(&self, attribute: &Attribute) -> bool {
        self.said.get(attribute).is_some_and(|said| said.is_ref)
    }

    /// The attribute that a form in its position names.
    pub(super) fn name(&self, form: &Form) -> Result<Name, Wrong> {
        let ident = match &form.kind {
            Kind::Keyword(ident) => ident,
            // Only keywords can be the database's own.
            Kind::Str(text) => return Ok(Name::Plain(Attribute::new(text.as_str())?)),
            Kind::Int(id) => self.idents.get(id).ok_or_else(|| {
                Wrong::new(format!("attribute {id} has no name here"))
                    .hint("write the :db/ident datoms first, or attributes as keywords")
            })?,
            other => return Err(Wrong::new(format!("{} is no attribute", other.name()))),
        };
        let namespace = ident.split_once('/').map_or("", |(namespace, _)| namespace);
        if namespace == "fressian" || namespace == "db" || namespace.starts_with("db.") {
            return Ok(Name::System(ident.clone()));
        }
        Ok(Name::Plain(Attribute::new(ident.as_str())?))
    }

    /// The entity that a form names.
    pub(super) fn entity(&mut self, form: &Form) -> Result<EntityId, Wrong> {
        let text = match &form.kind {
            Kind::Int(id) if *id < 0 => return self.scoped(&id.to_string()),
            Kind::Int(id) => format!("{}{id}", self.id_prefix),
            Kind::Str(text) => text.clone(),
            Kind::Keyword(ident) => {
                self.notes.add("ident_as_id", "entities named by keywords got those as ids");
                ident.clone()
            }
            Kind::Tagged(tag, inner) => match (&**tag, &inner.kind) {
                ("uuid" | "ref", Kind::Str(text)) => text.clone(),
                ("db/id", Kind::Sequence(_, parts)) => match parts.as_slice() {
                    [_, Form { kind: Kind::Int(id), .. }] => {
                        return self.scoped(&id.to_string());
                    }
                    _ => return Err(Wrong::new("a #db/id without a number has no stable id")),
                },
                _ => return Err(Wrong::new(format!("#{tag} is no entity"))),
            },
            Kind::Sequence(..) => {
                return Err(Wrong::new("a lookup ref needs the database that it was written for")
                    .hint("write the entity's id"));
            }
            other => return Err(Wrong::new(format!("{} is no entity", other.name()))),
        };
        Ok(EntityId::new(text)?)
    }

    /// An id that means something within this input only.
    pub(super) fn scoped(&self, name: &str) -> Result<EntityId, Wrong> {
        match &self.scope {
            Some(scope) => Ok(EntityId::new(format!("{scope}:{name}"))?),
            None => Err(Wrong {
                code: "scope_missing",
                message: "entities without an id of their own need a scope to get one".to_owned(),
                hint: Some("name the import: the same name gives the same ids"),
            }),
        }
    }

    /// The value that a form stands for in a field of this attribute.
    pub(super) fn value(&mut self, attribute: &Attribute, form: &Form) -> Result<Value, Wrong> {
        if self.is_ref(attribute) {
            return Ok(Value::Ref(self.entity(form)?));
        }
        Ok(match &form.kind {
            Kind::Bool(flag) => Value::Boolean(*flag),
            Kind::Int(int) => Value::int(*int),
            Kind::Double(double) => Value::double(*double)?,
            Kind::Str(text) => Value::string(text.as_str()),
            Kind::Char(character) => Value::string(character.to_string()),
            Kind::Decimal(text) => {
                let double = text
                    .parse::<f64>()
                    .map_err(|_| Wrong::new(format!("`{text}M` is no number")))?;
                let number = Number::from_f64(double)?;
                if !keeps_digits(text, number) {
                    self.notes.add("decimal_rounded", "a decimal was read as the nearest double");
                }
                Value::Number(number)
            }
            Kind::Keyword(name) => {
                self.notes.add("keyword_as_text", "keywords were read as strings with their colon");
                Value::string(format!(":{name}"))
            }
            Kind::Tagged(tag, inner) => match (&**tag, &inner.kind) {
                ("inst", Kind::Str(text)) => Value::Date(instant(text)?),
                ("ref", _) => Value::Ref(self.entity(inner)?),
                ("uuid", Kind::Str(text)) => {
                    self.notes.add("uuid_as_text", "UUIDs were read as strings");
                    Value::string(text.as_str())
                }
                _ => return Err(Wrong::new(format!("a value tagged #{tag} has no type here"))),
            },
            Kind::Nil => {
                return Err(Wrong::new("there is no null").hint("leave the fact out"));
            }
            Kind::Symbol(_) | Kind::Sequence(..) | Kind::Map(_) => {
                return Err(Wrong::new(format!("{} is no value", form.kind.name())));
            }
        })
    }
}

/// `#inst` leaves out what is zero, the offset too: `2024`, `2024-01`, `2024-01-15T10:30`.
fn instant(text: &str) -> Result<Date, Wrong> {
    let whole = match (text.len(), text.contains('T')) {
        (4, _) => format!("{text}-01-01"),
        (7, _) => format!("{text}-01"),
        (_, false) => text.to_owned(),
        (_, true) => {
            let time = text.split_once('T').map_or("", |(_, time)| time);
            // RFC 3339's "unknown local offset" is UTC in all that matters here.
            match time.strip_suffix("-00:00") {
                Some(_) => format!("{}Z", &text[..text.len() - "-00:00".len()]),
                None if time.contains(['Z', '+', '-']) => text.to_owned(),
                None => format!("{text}Z"),
            }
        }
    };
    Ok(Date::parse(&whole)?)
}
