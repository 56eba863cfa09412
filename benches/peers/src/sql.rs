//! SQL over a table of triples, in libSQL: in memory, with an index for each way a question goes.
//!
//! Entities and attributes are numbers, as inside any triple store that cares for speed; strings
//! are text. The primary key (e, a, v) gives the fields of an entity, the index (a, v, e) the
//! entities of a value, in order; both cover, so the table is never looked up beside them.
//! `ANALYZE` has seen all facts. [`PLAIN`] asks as one would write it; [`BY_HAND`] is helped where
//! SQLite does not find the good plan itself. Prepared statements; the cache that finds them by
//! their text costs some 50 ns a run.

use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, Row, params, params_from_iter};

use crate::contest::{Engine, Ground, Reader, Run};
use crate::digest::RowDigest;
use crate::facts::{Facts, Value};

/// The question as one would ask it.
pub(crate) const PLAIN: Engine = Engine {
    name: "SQL",
    questions: &[
        "query.people.q1",
        "query.people.q2",
        "query.people.q3",
        "query.people.q4",
        "query.people.q5",
        "query.people.q6",
        "query.people.range",
        "query.people.rangep",
        "query.people.group",
        "query.people.top",
        "query.people.reach",
    ],
    prepare: |ground, question, parameters| prepare(ground, plain(question)?, parameters),
};

/// Helped by hand: what is needed several times is computed once, in a form that is small.
pub(crate) const BY_HAND: Engine = Engine {
    name: "SQL by hand",
    questions: &["query.people.q5", "query.people.q6"],
    prepare: |ground, question, parameters| prepare(ground, by_hand(question)?, parameters),
};

/// A statement, and of each column whether it is an entity. Attributes stand in brackets.
type Question = (&'static str, &'static [Column]);

/// What a column holds: the numbers of entities are told apart from other numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Entity,
    Value,
}

use Column::{Entity as E, Value as V};

fn plain(question: &str) -> Result<Question> {
    Ok(match question {
        "query.people.q1" => ("SELECT e FROM fact WHERE a = [person/name] AND v = ?1", &[E]),
        "query.people.q2" => (
            "SELECT name.e, age.v FROM fact name
             JOIN fact age ON age.e = name.e AND age.a = [person/age]
             WHERE name.a = [person/name] AND name.v = ?1",
            &[E, V],
        ),
        "query.people.q3" => (
            "SELECT name.e, age.v FROM fact name
             JOIN fact age ON age.e = name.e AND age.a = [person/age]
             JOIN fact sex ON sex.e = name.e AND sex.a = [person/sex] AND sex.v = 'male'
             WHERE name.a = [person/name] AND name.v = ?1",
            &[E, V],
        ),
        "query.people.q4" => (
            "SELECT name.e, last.v, age.v FROM fact name
             JOIN fact last ON last.e = name.e AND last.a = [person/last-name]
             JOIN fact age ON age.e = name.e AND age.a = [person/age]
             JOIN fact sex ON sex.e = name.e AND sex.a = [person/sex] AND sex.v = 'male'
             WHERE name.a = [person/name] AND name.v = ?1",
            &[E, V, V],
        ),
        "query.people.q5" => (
            "SELECT DISTINCT other.e, last.v, age.v FROM fact name
             JOIN fact age ON age.e = name.e AND age.a = [person/age]
             JOIN fact other ON other.a = [person/age] AND other.v = age.v
             JOIN fact last ON last.e = other.e AND last.a = [person/last-name]
             WHERE name.a = [person/name] AND name.v = ?1",
            &[E, V, V],
        ),
        "query.people.q6" => (
            "SELECT one.e, two.e FROM fact one
             JOIN fact last ON last.e = one.e AND last.a = [person/last-name]
             JOIN fact same ON same.a = [person/last-name] AND same.v = last.v
             JOIN fact two ON two.e = same.e AND two.a = [person/age] AND two.v = ?2
             WHERE one.a = [person/age] AND one.v = ?1",
            &[E, E],
        ),
        "query.people.range" => {
            ("SELECT e, v FROM fact WHERE a = [person/salary] AND v > 50000", &[E, V])
        }
        "query.people.rangep" => {
            ("SELECT e, v FROM fact WHERE a = [person/salary] AND v > ?1", &[E, V])
        }
        "query.people.group" => (
            "SELECT last.v, sex.v, avg(salary.v), count(*) FROM fact last
             JOIN fact sex ON sex.e = last.e AND sex.a = [person/sex]
             JOIN fact salary ON salary.e = last.e AND salary.a = [person/salary]
             WHERE last.a = [person/last-name] GROUP BY last.v, sex.v",
            &[V, V, V, V],
        ),
        "query.people.top" => {
            ("SELECT e, v FROM fact WHERE a = [person/salary] ORDER BY v DESC, e LIMIT 20", &[E, V])
        }
        "query.people.reach" => (
            "WITH RECURSIVE reach (e) AS (
                 SELECT v FROM fact WHERE a = [person/follows] AND e = ?1
                 UNION
                 SELECT fact.v FROM reach
                 JOIN fact ON fact.a = [person/follows] AND fact.e = reach.e)
             SELECT e FROM reach",
            &[E],
        ),
        _ => bail!("there is no SQL for {question}"),
    })
}

fn by_hand(question: &str) -> Result<Question> {
    Ok(match question {
        "query.people.q5" => (
            "WITH ages (age) AS MATERIALIZED (
                 SELECT DISTINCT age.v FROM fact name
                 JOIN fact age ON age.e = name.e AND age.a = [person/age]
                 WHERE name.a = [person/name] AND name.v = ?1)
             SELECT other.e, last.v, other.v FROM ages
             JOIN fact other ON other.a = [person/age] AND other.v = ages.age
             JOIN fact last ON last.e = other.e AND last.a = [person/last-name]",
            &[E, V, V],
        ),
        "query.people.q6" => (
            "WITH one (e, last) AS MATERIALIZED (
                 SELECT age.e, last.v FROM fact age
                 JOIN fact last ON last.e = age.e AND last.a = [person/last-name]
                 WHERE age.a = [person/age] AND age.v = ?1),
             two (e, last) AS MATERIALIZED (
                 SELECT age.e, last.v FROM fact age
                 JOIN fact last ON last.e = age.e AND last.a = [person/last-name]
                 WHERE age.a = [person/age] AND age.v = ?2)
             SELECT one.e, two.e FROM one JOIN two ON two.last = one.last",
            &[E, E],
        ),
        _ => bail!("nobody helped SQL with {question}"),
    })
}

/// Facts as a table.
pub(crate) struct Sql {
    connection: Rc<Connection>,
    attributes: Vec<String>,
}

impl Sql {
    fn load(facts: &Facts) -> Result<Sql> {
        let connection = Connection::open_in_memory()?;
        connection.set_prepared_statement_cache_capacity(256);
        connection.execute_batch(
            "PRAGMA cache_size = -4000000;
             CREATE TABLE fact (e INTEGER, a INTEGER, v, PRIMARY KEY (e, a, v)) WITHOUT ROWID;
             BEGIN",
        )?;
        let mut attributes = Vec::new();
        {
            let mut insert = connection.prepare("INSERT OR IGNORE INTO fact VALUES (?, ?, ?)")?;
            for (attribute, facts) in facts.iter() {
                let a = attributes.len();
                attributes.push(attribute.to_owned());
                for (e, v) in facts {
                    match v {
                        Value::Ref(to) => insert.execute(params![e, a, to])?,
                        Value::Integer(integer) => insert.execute(params![e, a, integer])?,
                        Value::Text(text) => insert.execute(params![e, a, text])?,
                    };
                }
            }
        }
        connection.execute_batch("CREATE INDEX ave ON fact (a, v, e); COMMIT; ANALYZE")?;
        Ok(Sql { connection: Rc::new(connection), attributes })
    }

    /// Puts the numbers of attributes in the place of their names.
    fn with_numbers(&self, text: &str) -> Result<String> {
        let mut parts = text.split('[');
        let mut statement = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once(']').context("a bracket that does not end")?;
            let position = self.attributes.iter().position(|attribute| attribute == name);
            let number = position.with_context(|| format!("no facts of {name}"))?;
            statement.push_str(&number.to_string());
            statement.push_str(rest);
        }
        Ok(statement)
    }
}

fn prepare(ground: &Rc<Ground>, (text, columns): Question, parameters: &[&str]) -> Result<Run> {
    let facts = &ground.facts;
    if ground.sql.get().is_none() {
        // Whoever set it meanwhile would be this thread itself.
        let _ = ground.sql.set(Sql::load(facts)?);
    }
    let sql = ground.sql.get().expect("it has just been loaded");
    let statement = sql.with_numbers(text)?;
    let connection = Rc::clone(&sql.connection);
    let parameters = parameters.iter().map(|text| parameter(facts, text));
    let parameters = parameters.collect::<Result<Vec<SqlValue>>>()?;
    Ok(Box::new(move |reader| {
        let mut statement = connection.prepare_cached(&statement)?;
        let mut rows = statement.query(params_from_iter(&parameters))?;
        while let Some(row) = rows.next()? {
            read(row, columns, reader)?;
        }
        Ok(())
    }))
}

/// A parameter as the benches write it: its kind, a colon, and the value.
fn parameter(facts: &Facts, text: &str) -> Result<SqlValue> {
    Ok(match text.split_once(':') {
        Some(("r", id)) => SqlValue::Integer(facts.id(id)?.into()),
        Some(("i", integer)) => SqlValue::Integer(integer.parse()?),
        Some(("s", text)) => SqlValue::Text(text.to_owned()),
        _ => bail!("no parameter: {text}"),
    })
}

fn read(row: &Row<'_>, columns: &[Column], reader: &mut Reader) -> Result<()> {
    let mut digest = RowDigest::default();
    for (index, column) in columns.iter().enumerate() {
        match (column, row.get_ref(index)?) {
            (E, ValueRef::Integer(id)) => digest.text(reader.names().name(u32::try_from(id)?)),
            (V, ValueRef::Integer(integer)) => digest.integer(integer),
            (V, ValueRef::Real(double)) => digest.double(double),
            (V, ValueRef::Text(text)) => digest.text(std::str::from_utf8(text)?),
            (_, other) => bail!("column {index} holds {other:?}"),
        }
    }
    reader.row(digest);
    Ok(())
}
