//! DataScript as a contestant, for the questions to people that its dialect can ask.
//!
//! Every attribute is indexed by value, as it allows. Timed is its query function, up to an array
//! of rows in its own process, which nobody reads there; the processor's time is that of the whole
//! process, whose other threads collect garbage. The rows of one more run are read and compared.
//! Left out: order and limit, which it does not have, and recursion, which does not end in it
//! within two minutes.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value as Json, json};
use tercet_engine::fact::Op;
use tercet_engine::ids::EntityId;
use tercet_engine::value::Value;
use tercet_tests::datascript::{DataScript, Failure};

use crate::digest::{Digest, RowDigest};
use crate::measure::Took;

/// How reports call it.
pub const NAME: &str = "DataScript";

/// How long it may take for one turn.
const TIME_MAX: Duration = Duration::from_secs(20);

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Numbers of entities.
    Entity,
    /// Values.
    Value,
}

use Column::{Entity as E, Value as V};

/// The questions that it is asked, with the columns of their answers.
const QUESTIONS: &[(&str, &[Column])] = &[
    ("query.people.q1", &[E]),
    ("query.people.q2", &[E, V]),
    ("query.people.q3", &[E, V]),
    ("query.people.q4", &[E, V, V]),
    ("query.people.q5", &[E, V, V]),
    ("query.people.q6", &[E, E]),
    ("query.people.range", &[E, V]),
    ("query.people.rangep", &[E, V]),
    ("query.people.group", &[V, V, V, V]),
];

/// The columns of a question's answer, if it is one that DataScript is asked.
pub fn columns(question: &str) -> Option<&'static [Column]> {
    QUESTIONS.iter().find(|(id, _)| *id == question).map(|(_, columns)| *columns)
}

/// The process, with facts.
pub struct Script {
    process: DataScript,
    /// By number of the entity, less one.
    names: Vec<EntityId>,
}

impl Script {
    /// Starts the process with facts; none, said aloud, where it is not installed.
    ///
    /// # Errors
    /// When it does not take the facts.
    pub fn start(ops: &[Op]) -> Result<Option<Script>> {
        let process = match DataScript::start() {
            Ok(process) => process,
            Err(failure @ Failure::Missing(_)) => {
                eprintln!("LEFT OUT: {failure}");
                return Ok(None);
            }
            Err(failure) => return Err(failure.into()),
        };
        let mut script = Script { process, names: Vec::new() };
        let mut numbers = HashMap::new();
        let (mut schema, mut facts) = (serde_json::Map::new(), Vec::new());
        for op in ops {
            let (Op::Set { e, a, v } | Op::Add { e, a, v }) = op else {
                bail!("{op:?} is not a fact");
            };
            schema.entry(a.as_str().to_owned()).or_insert_with(|| match op {
                Op::Add { .. } => json!({
                    ":db/valueType": ":db.type/ref", ":db/cardinality": ":db.cardinality/many",
                }),
                _ => json!({":db/index": true}),
            });
            let e = script.number(&mut numbers, e);
            let v = match v {
                Value::Ref(to) => json!(script.number(&mut numbers, to)),
                other => plain(other)?,
            };
            facts.push(json!([e, a.as_str(), v]));
        }
        script.process.load(&Json::Object(schema), &facts)?;
        Ok(Some(script))
    }

    fn number(&mut self, numbers: &mut HashMap<EntityId, usize>, entity: &EntityId) -> usize {
        *numbers.entry(entity.clone()).or_insert_with(|| {
            self.names.push(entity.clone());
            self.names.len()
        })
    }

    /// The answer to a question of ours, read.
    ///
    /// # Errors
    /// When it refuses the question, or its rows are not of these columns.
    pub fn digest(&mut self, text: &str, inputs: &[Json], columns: &[Column]) -> Result<Digest> {
        let rows = self.process.query(&in_its_dialect(text), inputs, TIME_MAX)?;
        let mut digest = Digest::default();
        for row in rows.as_array().context("a relation is an array")? {
            let mut row_digest = RowDigest::default();
            for (index, column) in columns.iter().enumerate() {
                match (column, &row[index]) {
                    (E, Json::Number(number)) => {
                        let number = number.as_u64().context("entities are numbered from 1")?;
                        let name = self.names.get(usize::try_from(number)? - 1);
                        row_digest.text(name.context("an entity that we numbered")?.as_str());
                    }
                    (V, Json::Number(number)) => match number.as_i64() {
                        Some(integer) => row_digest.integer(integer),
                        None => row_digest.double(number.as_f64().context("a finite number")?),
                    },
                    (V, Json::String(text)) => row_digest.text(text),
                    (_, other) => bail!("column {index} holds {other}"),
                }
            }
            digest += row_digest;
        }
        Ok(digest)
    }

    /// The time of some runs.
    ///
    /// # Errors
    /// When it refuses the question or does not answer in time.
    pub fn time(&mut self, text: &str, inputs: &[Json], n_runs: usize) -> Result<Took> {
        let n_runs = u32::try_from(n_runs)?;
        let timing = self.process.time(&in_its_dialect(text), inputs, n_runs, TIME_MAX)?;
        let sum = |micros: &[f64]| Duration::from_secs_f64(micros.iter().sum::<f64>() / 1e6);
        Ok(Took { wall: sum(&timing.wall_us), cpu: sum(&timing.cpu_us) })
    }
}

/// A value as it takes it.
///
/// # Errors
/// When that is not the same value.
pub fn plain(value: &Value) -> Result<Json> {
    Ok(match value {
        Value::Number(number) => json!(number.as_i64().context("only integers are exact")?),
        Value::String(text) => json!(&**text),
        other => bail!("DataScript is given no {other:?}"),
    })
}

/// Our text with its source, and with attributes as strings.
fn in_its_dialect(text: &str) -> String {
    let mut translated = String::new();
    for piece in text.split_inclusive(|c: char| c.is_whitespace() || "[]()".contains(c)) {
        let end = piece.trim_end_matches(|c: char| c.is_whitespace() || "[]()".contains(c)).len();
        let (word, rest) = piece.split_at(end);
        match word.strip_prefix(':') {
            Some(attribute) if attribute.contains('/') => translated += &format!("\"{attribute}\""),
            Some("in") => translated += ":in $",
            _ => translated += word,
        }
        translated += rest;
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect_differs_in_attributes_and_the_source() {
        let text = "[:find ?e :in ?s\n :where [?e :person/name ?n] [(> ?s 5)] [?e :a/b]]";
        let expected =
            "[:find ?e :in $ ?s\n :where [?e \"person/name\" ?n] [(> ?s 5)] [?e \"a/b\"]]";
        assert_eq!(in_its_dialect(text), expected);
    }
}
