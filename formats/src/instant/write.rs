//! Facts as a backup that Instant's layout describes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use tercet_engine::fact::{Fact, Kind, Mark};
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::store::Snapshot;
use tercet_engine::value::{Value, ValueType};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::config::{Attr, Config, End, Extension, Link, Schema, Table};
use super::{ENTITIES, TABLE_ENDING};
use crate::error::FormatError;
use crate::export::{Shape, field_of, shapes, type_of, write_error};
use crate::options::ExportOptions;

/// Writes a backup as a zip file, in one pass: the stream need not be able to go back.
pub(crate) fn write_zip(
    snapshot: &Snapshot,
    options: &ExportOptions,
    out: &mut dyn Write,
) -> Result<(), FormatError> {
    let mut sink = Zip(ZipWriter::new_stream(out));
    write(snapshot, options, &mut sink).map_err(write_error)?;
    let mut out = sink.0.finish().map_err(|error| write_error(error.into()))?;
    out.flush().map_err(write_error)
}

/// Writes a backup as a directory, made if it does not exist.
///
/// # Errors
/// When writing fails.
pub fn write_directory(
    snapshot: &Snapshot,
    options: &ExportOptions,
    path: &Path,
) -> Result<(), FormatError> {
    let mut sink = Directory { path: path.to_owned(), file: None };
    write(snapshot, options, &mut sink).map_err(write_error)?;
    sink.end().map_err(write_error)
}

/// Where the files of a backup go, one after another.
trait Sink: Write {
    /// What is written from here on belongs to this file.
    fn start(&mut self, name: &str) -> io::Result<()>;
}

struct Zip<Out: Write>(ZipWriter<zip::write::StreamWriter<Out>>);

impl<Out: Write> Sink for Zip<Out> {
    fn start(&mut self, name: &str) -> io::Result<()> {
        let options = SimpleFileOptions::default();
        let options = options.compression_method(CompressionMethod::Deflated).large_file(true);
        Ok(self.0.start_file(name, options)?)
    }
}

impl<Out: Write> Write for Zip<Out> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct Directory {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Directory {
    fn end(&mut self) -> io::Result<()> {
        match self.file.take() {
            Some(file) => file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Sink for Directory {
    fn start(&mut self, name: &str) -> io::Result<()> {
        self.end()?;
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&self.path))?;
        self.file = Some(BufWriter::new(File::create(path)?));
        Ok(())
    }
}

impl Write for Directory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::Error::other("no file was started")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// How the values of a field are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain(ValueType),
    LinkOne,
    LinkMany,
    /// Under the extension.
    Tagged,
}

/// Table, field, form.
type Forms = BTreeMap<String, BTreeMap<String, Form>>;

fn write(snapshot: &Snapshot, options: &ExportOptions, sink: &mut impl Sink) -> io::Result<()> {
    let forms = forms_of(snapshot);
    let contents = Contents::of(snapshot);
    let created_field = options.created_field.as_deref();
    let config = config_of(snapshot, &forms, &contents, created_field);
    sink.start("config.json")?;
    serde_json::to_writer(&mut *sink, &config)?;
    for (table, fields) in &forms {
        sink.start(&format!("{ENTITIES}{table}{TABLE_ENDING}"))?;
        for entity in contents.tables.get(table).into_iter().flatten() {
            let mut facts = snapshot.entity_facts(entity);
            facts.retain(|(fact, _)| type_of(&fact.attribute) == table);
            let line = line_of(entity, &facts, fields, created_field);
            serde_json::to_writer(&mut *sink, &line)?;
            sink.write_all(b"\n")?;
        }
    }
    Ok(())
}

fn forms_of(snapshot: &Snapshot) -> Forms {
    let mut forms = Forms::new();
    for ((attribute, kind), shape) in shapes(snapshot, '\0') {
        let (table, field) = (type_of(&attribute), field_of(&attribute));
        let fields = forms.entry(table.to_owned()).or_default();
        let form = form_of(field, kind, &shape);
        // A field of both kinds comes twice.
        let form = if fields.contains_key(field) { Form::Tagged } else { form };
        fields.insert(field.to_owned(), form);
    }
    forms
}

fn form_of(field: &str, kind: Kind, shape: &Shape) -> Form {
    match (kind, shape.value_type()) {
        _ if key_of(field) != field => Form::Tagged,
        (Kind::Set, Some(ValueType::Ref)) => Form::LinkOne,
        (Kind::Add, Some(ValueType::Ref)) => Form::LinkMany,
        (Kind::Set, Some(value_type)) => Form::Plain(value_type),
        _ => Form::Tagged,
    }
}

/// The key of a field: its name, but for the key of the entity's own id, and what is a key made
/// so already.
fn key_of(field: &str) -> String {
    let is_taken = field == "id" || field.starts_with("$field:");
    if is_taken { format!("$field:{field}") } else { field.to_owned() }
}

fn config_of(
    snapshot: &Snapshot,
    forms: &Forms,
    contents: &Contents,
    created_field: Option<&str>,
) -> Config {
    let (mut schema, mut extension) = (Schema::default(), Extension::default());
    let mut counts = BTreeMap::new();
    for (table, fields) in forms {
        let n_entities = contents.tables.get(table).map_or(0, Vec::len);
        counts.insert(table.clone(), n_entities as u64);
        let mut attrs = Table::default();
        for (field, form) in fields {
            let value_type = match form {
                Form::Plain(_) if Some(field.as_str()) == created_field => continue,
                Form::Plain(value_type) => value_type.name(),
                Form::Tagged => {
                    let fields = extension.fields.entry(table.clone()).or_default();
                    fields.insert(key_of(field), field.clone());
                    "json"
                }
                Form::LinkOne | Form::LinkMany => {
                    let has = if *form == Form::LinkOne { "one" } else { "many" };
                    let forward = End { on: table.clone(), label: field.clone(), has: has.into() };
                    let on = contents.target_of(snapshot, table, field);
                    let label = format!("{table}${field}");
                    let reverse = End { on, label, has: "many".into() };
                    schema.links.insert(format!("{table}${field}"), Link { forward, reverse });
                    continue;
                }
            };
            let value_type = value_type.to_owned();
            let config = json!({"unique": false, "indexed": false});
            attrs.attrs.insert(key_of(field), Attr { value_type, config });
        }
        schema.entities.insert(table.clone(), attrs);
    }
    let tercet = (!extension.fields.is_empty()).then_some(extension);
    let (rules, email_templates, webhooks) = (Json::Null, json!([]), json!([]));
    Config { counts, schema: Some(schema), rules, email_templates, webhooks, tercet }
}

/// What the tables hold, from one pass over the facts.
#[derive(Default)]
struct Contents {
    /// The entities of each table, by id.
    tables: BTreeMap<String, Vec<EntityId>>,
    /// Where the first reference of each attribute leads.
    targets: BTreeMap<Attribute, EntityId>,
}

impl Contents {
    fn of(snapshot: &Snapshot) -> Contents {
        let mut contents = Contents::default();
        for (fact, _) in snapshot.iter() {
            let table = type_of(&fact.attribute);
            if !contents.tables.contains_key(table) {
                contents.tables.insert(table.to_owned(), Vec::new());
            }
            if let Some(entities) = contents.tables.get_mut(table)
                && entities.last() != Some(&fact.entity)
            {
                entities.push(fact.entity);
            }
            if let Value::Ref(target) = fact.value
                && !contents.targets.contains_key(&fact.attribute)
            {
                contents.targets.insert(fact.attribute, target);
            }
        }
        for entities in contents.tables.values_mut() {
            entities.sort_unstable();
            entities.dedup();
        }
        contents
    }

    /// The table that a link leads to, by the first entity that it leads to.
    fn target_of(&self, snapshot: &Snapshot, table: &str, field: &str) -> String {
        let attribute = Attribute::new(format!("{table}/{field}")).ok();
        let target = attribute.and_then(|attribute| self.targets.get(&attribute));
        let facts = target.map(|target| snapshot.entity_facts(target)).unwrap_or_default();
        facts.first().map_or(table, |(fact, _)| type_of(&fact.attribute)).to_owned()
    }
}

fn line_of(
    entity: &EntityId,
    facts: &[(Fact, Mark)],
    fields: &BTreeMap<String, Form>,
    created_field: Option<&str>,
) -> Json {
    let mut keys = Map::new();
    keys.insert("id".to_owned(), json!(entity));
    let mut created_at = match created_field {
        // What nobody wrote down is not made up: it would come back as a fact.
        Some(_) => Json::Null,
        None => json!(facts.iter().map(|(_, mark)| mark.stamp.hlc.physical_ms()).min()),
    };
    for (fact, mark) in facts {
        let field = field_of(&fact.attribute);
        let key = key_of(field);
        let plain = |value: &Value| match value {
            Value::Date(date) => json!(date.to_string()),
            Value::Ref(id) => json!(id),
            other => json!(other),
        };
        match fields[field] {
            Form::Plain(ValueType::Date) if created_field == Some(field) => {
                if let Value::Date(date) = &fact.value {
                    created_at = json!(date.ms());
                }
            }
            Form::Plain(ValueType::Number) => {
                // Plain JSON, also beyond 2^53: `$int` is a form of ours.
                keys.insert(key, number(&fact.value));
            }
            Form::Plain(_) | Form::LinkOne => {
                keys.insert(key, plain(&fact.value));
            }
            Form::LinkMany => {
                let members = keys.entry(key).or_insert_with(|| json!([]));
                members.as_array_mut().expect("it was made above").push(plain(&fact.value));
            }
            Form::Tagged => {
                let kinds = keys.entry(key).or_insert_with(|| json!({}));
                let name = if mark.kind == Kind::Set { "set" } else { "add" };
                let kinds = kinds.as_object_mut().expect("it was made above");
                let members = kinds.entry(name).or_insert_with(|| json!([]));
                members.as_array_mut().expect("it was made above").push(json!(fact.value));
            }
        }
    }
    json!({"entity": keys, "createdAt": created_at})
}

fn number(value: &Value) -> Json {
    match value {
        Value::Number(number) => {
            number.as_i64().map_or_else(|| json!(number.to_f64()), |int| json!(int))
        }
        other => json!(other),
    }
}
