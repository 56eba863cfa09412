//! An importer of backups.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::{Date, Value};

use super::config::{Config, Reading};
use super::source::Source;
use crate::error::{FormatError, Place};
use crate::import::{Import, Progress};
use crate::lines::Lines;
use crate::ndjson::{LINE_BYTES_MAX, message_of};
use crate::note::{Note, Notes};
use crate::options::ImportOptions;

/// An importer of a backup of InstantDB. After a bad line it goes on with the next one; of a bad
/// line no fact is given.
pub struct Instant {
    source: Source,
    config: Config,
    created_field: Option<String>,
    table: Option<OpenTable>,
    next_table: usize,
    ready: VecDeque<Op>,
    notes: Notes,
    n_bytes_before: u64,
    n_records: u64,
    finished: bool,
}

/// The table that is read.
struct OpenTable {
    lines: Lines<Box<dyn BufRead + Send>>,
    /// Among the tables of the source.
    index: usize,
    n_entities: u64,
}

#[derive(Deserialize)]
struct Line {
    entity: Map<String, Json>,
    #[serde(default, rename = "createdAt")]
    created_at: Option<Json>,
}

/// The values of a key that the extension describes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tagged {
    #[serde(default)]
    set: Vec<Value>,
    #[serde(default)]
    add: Vec<Value>,
}

/// What is wrong with a key: a stable code and a sentence.
type Wrong = (&'static str, String);

impl Instant {
    /// Reads a zip file or a directory.
    ///
    /// # Errors
    /// When it cannot be opened or is no backup.
    pub fn open(path: &Path, options: &ImportOptions) -> Result<Instant, FormatError> {
        let source = Source::open(path)?;
        let at = Place::path(&path.join("config.json"));
        let config: Config = serde_json::from_slice(&source.config()?).map_err(|error| {
            let at = Place { line: Some(error.line() as u64), ..at.clone() };
            let at = at.at_column(error.column().max(1) as u64);
            FormatError::malformed(
                at,
                "malformed",
                format!("no config of a backup: {}", message_of(&error)),
            )
        })?;
        for (table, &n_expected) in &config.counts {
            let is_there = source.tables.iter().any(|entry| entry.table() == Some(table));
            if n_expected > 0 && !is_there {
                let what = "tables' entities";
                return Err(FormatError::Truncated { at, what, n_expected, n_found: 0 });
            }
        }
        let mut notes = Notes::default();
        for _ in 0..source.n_files {
            notes.add("files", "files of the backup are no facts and were not imported");
        }
        for (name, json) in [
            ("rules", &config.rules),
            ("email templates", &config.email_templates),
            ("webhooks", &config.webhooks),
        ] {
            let is_empty = match json {
                Json::Null => true,
                Json::Array(list) => list.is_empty(),
                Json::Object(map) => map.is_empty(),
                _ => false,
            };
            if !is_empty {
                notes.add("not_facts", format!("the backup's {name} were not imported"));
            }
        }
        Ok(Instant {
            source,
            config,
            created_field: options.created_field.clone(),
            table: None,
            next_table: 0,
            ready: VecDeque::new(),
            notes,
            n_bytes_before: 0,
            n_records: 0,
            finished: false,
        })
    }

    /// Reads until there is an operation. False at the end.
    fn advance(&mut self) -> Result<bool, FormatError> {
        while self.ready.is_empty() {
            let Some(OpenTable { lines, index, n_entities }) = &mut self.table else {
                let Some(entry) = self.source.tables.get(self.next_table) else {
                    return Ok(false);
                };
                let place = self.source.place(entry);
                let lines = Lines::new(self.source.read(entry)?, place.input, LINE_BYTES_MAX);
                self.table = Some(OpenTable { lines, index: self.next_table, n_entities: 0 });
                self.next_table += 1;
                continue;
            };
            let entry = &self.source.tables[*index];
            let table = entry.table().expect("only tables were kept");
            let Some(text) = lines.next_line()? else {
                let (at, n_found) = (self.source.place(entry), *n_entities);
                self.n_bytes_before += entry.n_bytes;
                let n_expected = self.config.counts.get(table).copied();
                self.table = None;
                match n_expected {
                    Some(n_expected) if n_expected != n_found => {
                        let what = "entities";
                        return Err(FormatError::Truncated { at, what, n_expected, n_found });
                    }
                    _ => continue,
                }
            };
            if text.trim_ascii().is_empty() {
                continue;
            }
            *n_entities += 1;
            self.n_records += 1;
            let parsed = serde_json::from_str::<Line>(text);
            let at = lines.place();
            let line = parsed.map_err(|error| {
                let at = at.clone().at_column(error.column().max(1) as u64);
                let message = format!("the line is no entity: {}", message_of(&error));
                FormatError::malformed(at, "malformed", message)
                    .with_hint("a line is {\"entity\": {\"id\": …}, \"createdAt\": …}")
            })?;
            let table = table.to_owned();
            let mut ops = Vec::new();
            self.ops_of(&table, line, &mut ops)
                .map_err(|(code, message)| FormatError::malformed(at, code, message))?;
            self.ready.extend(ops);
        }
        Ok(true)
    }

    fn ops_of(&mut self, table: &str, line: Line, ops: &mut Vec<Op>) -> Result<(), Wrong> {
        let Some(Json::String(id)) = line.entity.get("id") else {
            return Err(("id_empty", "the entity has no `id`".to_owned()));
        };
        let e = EntityId::new(id.as_str()).map_err(|error| (error.code(), error.to_string()))?;
        for (key, json) in &line.entity {
            if key != "id" {
                self.take_key(table, key, json, &e, ops)
                    .map_err(|(code, message)| (code, format!("key `{key}`: {message}")))?;
            }
        }
        match (&self.created_field, line.created_at) {
            (_, None | Some(Json::Null)) => {}
            (Some(field), Some(at)) => {
                let a = attribute(table, field)?;
                ops.push(Op::Set { e, a, v: Value::Date(date(&at)?) });
            }
            (None, Some(_)) => {
                let message = "when entities were made was not kept; --created-field keeps it";
                self.notes.add("created_at", message);
            }
        }
        Ok(())
    }

    fn take_key(
        &mut self,
        table: &str,
        key: &str,
        json: &Json,
        e: &EntityId,
        ops: &mut Vec<Op>,
    ) -> Result<(), Wrong> {
        if json.is_null() {
            self.notes.add("null", "keys that are null give no fact");
            return Ok(());
        }
        let (e, mut a) = (|| e.clone(), attribute(table, key));
        match (self.config.reading(table, key), json) {
            (Reading::Tagged(field), json) => {
                a = attribute(table, field);
                let a = a?;
                let Tagged { set, add } = Tagged::deserialize(json)
                    .map_err(|error| ("malformed", format!("no tagged values: {error}")))?;
                let set = set.into_iter().map(|v| Op::Set { e: e(), a: a.clone(), v });
                ops.extend(set);
                ops.extend(add.into_iter().map(|v| Op::Add { e: e(), a: a.clone(), v }));
            }
            (Reading::Link, Json::String(id)) => {
                ops.push(Op::Set { e: e(), a: a?, v: reference(id)? });
            }
            (Reading::Link, Json::Array(ids)) => {
                let a = a?;
                for id in ids {
                    let Json::String(id) = id else {
                        return Err(("malformed", "a link is an id or an array of ids".to_owned()));
                    };
                    ops.push(Op::Add { e: e(), a: a.clone(), v: reference(id)? });
                }
            }
            (Reading::Link, _) => {
                return Err(("malformed", "a link is an id or an array of ids".to_owned()));
            }
            (Reading::Date, json) => {
                ops.push(Op::Set { e: e(), a: a?, v: Value::Date(date(json)?) });
            }
            (Reading::Plain, json) => {
                let v = match json {
                    Json::String(text) => Value::string(text.as_str()),
                    Json::Bool(flag) => Value::Boolean(*flag),
                    Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                        (Some(int), _) => Value::int(int),
                        (None, Some(double)) => Value::double(double)
                            .map_err(|error| (error.code(), error.to_string()))?,
                        (None, None) => {
                            return Err(("number_not_finite", format!("{number} is no number")));
                        }
                    },
                    Json::Array(_) | Json::Object(_) | Json::Null => {
                        self.notes.add("json_as_text", "JSON values were kept as their text");
                        Value::string(json.to_string())
                    }
                };
                ops.push(Op::Set { e: e(), a: a?, v });
            }
        }
        Ok(())
    }
}

fn attribute(table: &str, key: &str) -> Result<Attribute, Wrong> {
    Attribute::new(format!("{table}/{key}")).map_err(|error| (error.code(), error.to_string()))
}

fn reference(id: &str) -> Result<Value, Wrong> {
    Value::reference(id).map_err(|error| (error.code(), error.to_string()))
}

/// A date as milliseconds or text.
fn date(json: &Json) -> Result<Date, Wrong> {
    let date = match json {
        Json::String(text) => Date::parse(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(ms), _) => Date::from_ms(ms),
            (None, Some(ms)) if ms.abs() < 1e15 => Date::from_ms(ms as i64),
            _ => return Err(("date_malformed", format!("{number} is no date"))),
        },
        _ => return Err(("date_malformed", "a date is a number or a text".to_owned())),
    };
    date.map_err(|error| (error.code(), error.to_string()))
}

impl Iterator for Instant {
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
                self.finished = matches!(error, FormatError::Io { .. });
                Some(Err(error))
            }
        }
    }
}

impl Import for Instant {
    fn progress(&self) -> Progress {
        let n_bytes_now = self.table.as_ref().map_or(0, |table| table.lines.n_bytes());
        Progress {
            n_bytes: self.n_bytes_before + n_bytes_now,
            n_bytes_total: Some(self.source.tables.iter().map(|entry| entry.n_bytes).sum()),
            n_records: self.n_records,
        }
    }

    fn notes(&self) -> Vec<Note> {
        self.notes.list()
    }
}
