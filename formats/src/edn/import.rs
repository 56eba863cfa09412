//! An importer of EDN.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use tercet_engine::fact::{Kind as FactKind, Op};
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::Value;

use super::form::{At, Bracket, Form, Kind};
use super::map::{Name, Schema, Wrong};
use super::read::{Reader, Token, bracket_end};
use crate::error::{FormatError, Place};
use crate::import::{Import, Progress};
use crate::note::Note;
use crate::options::ImportOptions;

/// An importer of EDN datoms and entity maps. An error is the last item: what follows a damaged
/// form could mean anything.
///
/// # Example: read what DataScript printed
/// ```
/// use tercet_formats::{Edn, ImportOptions};
/// let text = "#datascript/DB {:schema {:user/friend {:db/valueType :db.type/ref
///                                                    :db/cardinality :db.cardinality/many}}
///                             :datoms [[1 :user/name \"Ann\" 536870913]
///                                      [1 :user/friend 2 536870913]]}";
/// let ops: Vec<_> =
///     Edn::new(text.as_bytes(), "stdin", &ImportOptions::default()).collect::<Result<_, _>>()?;
/// let lines: Vec<_> = ops.iter().map(|op| serde_json::to_string(op).unwrap()).collect();
/// assert_eq!(lines[0], r#"{"set":{"e":"1","a":"user/name","v":"Ann"}}"#);
/// assert_eq!(lines[1], r#"{"add":{"e":"1","a":"user/friend","v":{"$ref":"2"}}}"#);
/// # Ok::<(), tercet_formats::FormatError>(())
/// ```
pub struct Edn<Input> {
    reader: Reader<Input>,
    schema: Schema,
    /// Brackets that are open around the next element.
    open: Vec<Open>,
    ready: VecDeque<Op>,
    n_bytes_total: Option<u64>,
    n_records: u64,
    n_nameless: u64,
    /// A datom has been read: maps from here on are entities.
    has_datoms: bool,
    finished: bool,
}

/// What is read element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// A sequence of datoms and maps.
    Elements(Bracket),
    /// The map of a whole database; its keys come next.
    Database,
}

impl Edn<BufReader<File>> {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, options: &ImportOptions) -> Result<Self, FormatError> {
        let failed = |source| FormatError::Io { at: Place::path(path), source };
        let file = File::open(path).map_err(failed)?;
        let n_bytes_total = Some(file.metadata().map_err(failed)?.len());
        let reader = BufReader::with_capacity(1 << 16, file);
        Ok(Edn { n_bytes_total, ..Edn::new(reader, &path.display().to_string(), options) })
    }
}

impl<Input: BufRead> Edn<Input> {
    /// Reads a stream; `input` is what errors call it.
    pub fn new(reader: Input, input: &str, options: &ImportOptions) -> Self {
        Edn {
            reader: Reader::new(reader, input),
            schema: Schema::new(&options.id_prefix, options.scope.as_deref()),
            open: Vec::new(),
            ready: VecDeque::new(),
            n_bytes_total: None,
            n_records: 0,
            n_nameless: 0,
            has_datoms: false,
            finished: false,
        }
    }

    /// Reads until there is an operation. False at the end.
    fn advance(&mut self) -> Result<bool, FormatError> {
        while self.ready.is_empty() {
            self.reader.form_done();
            let next = self.reader.next()?;
            match (self.open.last().copied(), next) {
                (None, None) => return Ok(false),
                (Some(_), None) => return Err(self.reader.cut_short()),
                (Some(open), Some((at, Token::Close(byte)))) => {
                    let expected = match open {
                        Open::Elements(bracket) => bracket_end(bracket),
                        Open::Database => b'}',
                    };
                    if byte != expected {
                        return Err(self.reader.unexpected(at, byte));
                    }
                    self.open.pop();
                }
                (Some(Open::Database), Some((at, token))) => self.database_key(at, token)?,
                (_, Some((at, token))) => self.element(at, token)?,
            }
        }
        Ok(true)
    }

    /// An element: a datom, a map, or, not within another one, a sequence of them.
    fn element(&mut self, at: At, token: Token) -> Result<(), FormatError> {
        let may_hold = self.open.is_empty();
        match token {
            Token::Open(bracket) if may_hold && self.holds_elements()? => {
                self.open.push(Open::Elements(bracket));
                Ok(())
            }
            Token::Tag(tag) if may_hold && tag.ends_with("/DB") => match self.reader.next()? {
                Some((_, Token::OpenMap)) => {
                    self.open.push(Open::Database);
                    Ok(())
                }
                _ => Err(self.reader.malformed(at, format!("#{tag} is followed by a map"))),
            },
            token => {
                let form = self.reader.form_from(at, token)?;
                self.take(&form)
            }
        }
    }

    /// Whether what was opened holds elements rather than the parts of a datom.
    fn holds_elements(&mut self) -> Result<bool, FormatError> {
        Ok(match self.reader.peek()? {
            Some(Token::Atom(_)) => false,
            // `[#db/id [:db.part/user -1] :user/name "Ann"]` is a datom.
            Some(Token::Tag(tag)) => !matches!(tag.as_str(), "db/id" | "uuid" | "ref"),
            _ => true,
        })
    }

    fn database_key(&mut self, at: At, token: Token) -> Result<(), FormatError> {
        let key = self.reader.form_from(at, token)?;
        match key.kind {
            Kind::Keyword(key) if key == "datoms" => match self.reader.next()? {
                Some((_, Token::Open(bracket))) => {
                    self.open.push(Open::Elements(bracket));
                    Ok(())
                }
                _ => Err(self.reader.malformed(at, ":datoms is followed by a vector")),
            },
            Kind::Keyword(key) if key == "schema" => {
                if self.has_datoms {
                    return Err(self
                        .reader
                        .malformed(at, "the schema stands behind the datoms")
                        .with_hint("write it before them: it says what they mean"));
                }
                let form = self.reader.form()?;
                let Kind::Map(pairs) = &form.kind else {
                    return Ok(()); // `nil`: no schema.
                };
                self.schema.take_schema(pairs).map_err(|wrong| self.wrong(form.at, wrong))
            }
            _ => self.reader.form().map(drop),
        }
    }

    fn take(&mut self, form: &Form) -> Result<(), FormatError> {
        self.n_records += 1;
        let taken = match &form.kind {
            Kind::Map(pairs) if !self.has_datoms && is_schema(pairs) => {
                self.schema.take_schema(pairs)
            }
            Kind::Map(pairs) if !self.has_datoms && is_settings(pairs) => {
                let message = "a map of settings, whose keys are no attributes, was passed over";
                self.schema.notes.add("settings", message);
                Ok(())
            }
            Kind::Map(pairs) => self.map(pairs, None, 0).map(drop),
            Kind::Sequence(_, parts) => {
                self.has_datoms = true;
                self.datom(parts)
            }
            Kind::Tagged(tag, inner) => match &inner.kind {
                Kind::Sequence(_, parts) if tag == "datom" || tag.ends_with("/Datom") => {
                    self.has_datoms = true;
                    self.datom(parts)
                }
                _ => Err(Wrong::new(format!("#{tag} is neither a datom nor an entity"))),
            },
            other => {
                let what = other.name();
                Err(Wrong::new(format!("{what} is neither a datom nor an entity"))
                    .hint("write [e a v], [e a v tx added], [:db/add e a v] or {:db/id e, a v}"))
            }
        };
        taken.map_err(|wrong| self.wrong(form.at, wrong))
    }

    fn datom(&mut self, parts: &[Form]) -> Result<(), Wrong> {
        if let [Form { kind: Kind::Keyword(verb), .. }, arguments @ ..] = parts
            && (verb.starts_with("db/") || verb.starts_with("db.fn/"))
        {
            return self.verb(verb, arguments);
        }
        let (fact, is_added) = match parts {
            [e, a, v] => ([e, a, v], true),
            [e, a, v, Form { kind: Kind::Bool(added), .. }] => ([e, a, v], *added),
            [e, a, v, _tx] => ([e, a, v], true),
            [e, a, v, _tx, Form { kind: Kind::Bool(added), .. }] => ([e, a, v], *added),
            _ => {
                return Err(Wrong::new(format!("a datom has 3 to 5 parts, not {}", parts.len()))
                    .hint("write [e a v tx added]"));
            }
        };
        self.fact(fact, is_added)
    }

    fn verb(&mut self, verb: &str, arguments: &[Form]) -> Result<(), Wrong> {
        match (verb, arguments) {
            ("db/add", [e, a, v]) => self.fact([e, a, v], true),
            ("db/retract", [e, a, v]) => self.fact([e, a, v], false),
            ("db/retract", [e, a]) => {
                if let Name::Plain(a) = self.schema.name(a)? {
                    let e = self.schema.entity(e)?;
                    self.ready.push_back(Op::Unset { e, a });
                }
                Ok(())
            }
            ("db/retractEntity" | "db.fn/retractEntity", [e]) => {
                let e = self.schema.entity(e)?;
                self.ready.push_back(Op::Delete { e });
                Ok(())
            }
            ("db/add" | "db/retract" | "db/retractEntity" | "db.fn/retractEntity", _) => {
                Err(Wrong::new(format!(":{verb} has {} arguments", arguments.len())))
            }
            _ => Err(Wrong::new(format!("a transaction function, :{verb}, is not run here"))),
        }
    }

    fn fact(&mut self, [e, a, v]: [&Form; 3], is_added: bool) -> Result<(), Wrong> {
        let name = self.schema.name(a)?;
        let e = self.schema.entity(e)?;
        match name {
            Name::System(facet) => {
                self.system(&e, &facet, v);
                Ok(())
            }
            Name::Plain(a) => {
                let v = self.value(&e, &a, v, 0)?;
                self.write(e, a, v, is_added);
                Ok(())
            }
        }
    }

    fn write(&mut self, e: EntityId, a: Attribute, v: Value, is_added: bool) {
        self.ready.push_back(match self.schema.kind(&a) {
            _ if !is_added => Op::Remove { e, a, v, covers: None },
            FactKind::Set => Op::Set { e, a, v },
            FactKind::Add => Op::Add { e, a, v },
        });
    }

    /// What the database says of itself.
    fn system(&mut self, e: &EntityId, facet: &str, value: &Form) {
        if !self.schema.take_system(e, facet, value) {
            let message = format!(":{facet} belongs to the other database and was not kept");
            self.schema.notes.add("system_facts", message);
        }
    }

    /// An entity as a map. Gives its id.
    fn map(
        &mut self,
        pairs: &[(Form, Form)],
        nameless: Option<String>,
        depth: usize,
    ) -> Result<EntityId, Wrong> {
        let find = |name: &str| {
            let is_it = |key: &Form| matches!(&key.kind, Kind::Keyword(key) if key == name);
            pairs.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value)
        };
        let is_attribute = find("db/cardinality").or(find("db/valueType")).is_some();
        let e = match (find("db/id"), find("db/ident"), nameless) {
            (Some(id), ..) => self.schema.entity(id)?,
            // The schema of an attribute; its entity is never written.
            (None, Some(ident), _) if is_attribute => match self.schema.name(ident)? {
                Name::Plain(attribute) => EntityId::new(attribute.as_str())?,
                Name::System(ident) => EntityId::new(ident)?,
            },
            (None, _, Some(nameless)) => EntityId::new(nameless)?,
            (None, _, None) => {
                self.n_nameless += 1;
                self.schema.scoped(&self.n_nameless.to_string())?
            }
        };
        for (key, value) in pairs {
            match self.schema.name(key)? {
                Name::System(facet) if facet == "db/id" => {}
                Name::System(facet) => self.system(&e, &facet, value),
                Name::Plain(a) => self.field(&e, &a, value, depth)?,
            }
        }
        Ok(e)
    }

    /// A field of a map: a value, or a sequence of them.
    fn field(&mut self, e: &EntityId, a: &Attribute, v: &Form, depth: usize) -> Result<(), Wrong> {
        let Kind::Sequence(_, members) = &v.kind else {
            let v = self.value(e, a, v, depth)?;
            self.write(e.clone(), a.clone(), v, true);
            return Ok(());
        };
        for (index, member) in members.iter().enumerate() {
            let v = self.member(e, a, member, Some(index), depth)?;
            self.ready.push_back(Op::Add { e: e.clone(), a: a.clone(), v });
        }
        Ok(())
    }

    fn value(
        &mut self,
        e: &EntityId,
        a: &Attribute,
        v: &Form,
        depth: usize,
    ) -> Result<Value, Wrong> {
        self.member(e, a, v, None, depth)
    }

    /// A value; a map within a map is an entity of its own, with an id from where it stands.
    fn member(
        &mut self,
        e: &EntityId,
        a: &Attribute,
        v: &Form,
        index: Option<usize>,
        depth: usize,
    ) -> Result<Value, Wrong> {
        let Kind::Map(pairs) = &v.kind else { return self.schema.value(a, v) };
        let index = index.map_or_else(String::new, |index| format!("/{index}"));
        let nameless = format!("{e}/{a}{index}");
        Ok(Value::Ref(self.map(pairs, Some(nameless), depth + 1)?))
    }

    fn wrong(&self, at: At, wrong: Wrong) -> FormatError {
        let Wrong { code, message, hint } = wrong;
        let error = FormatError::malformed(self.reader.place(at), code, message);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// `{:user/name {:db/valueType …}, …}`: every value is a map of facets.
fn is_schema(pairs: &[(Form, Form)]) -> bool {
    let is_facet = |(key, _): &(Form, Form)| matches!(&key.kind, Kind::Keyword(key) if key.starts_with("db/") && key != "db/id");
    let is_described = |(key, value): &(Form, Form)| match (&key.kind, &value.kind) {
        (Kind::Keyword(_), Kind::Map(facets)) => facets.iter().all(is_facet),
        _ => false,
    };
    !pairs.is_empty() && pairs.iter().all(is_described)
}

/// A map none of whose keys could be an attribute.
fn is_settings(pairs: &[(Form, Form)]) -> bool {
    pairs.iter().all(|(key, _)| matches!(&key.kind, Kind::Keyword(key) if !key.contains('/')))
}

impl<Input: BufRead> Iterator for Edn<Input> {
    type Item = Result<Op, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        match self.advance() {
            Ok(true) => self.ready.pop_front().map(Ok),
            Ok(false) => {
                self.finished = true;
                None
            }
            Err(error) => {
                self.finished = true;
                Some(Err(error))
            }
        }
    }
}

impl<Input: BufRead> Import for Edn<Input> {
    fn progress(&self) -> Progress {
        Progress {
            n_bytes: self.reader.n_bytes(),
            n_bytes_total: self.n_bytes_total,
            n_records: self.n_records,
        }
    }

    fn notes(&self) -> Vec<Note> {
        self.schema.notes.list()
    }
}
