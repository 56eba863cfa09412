//! Recursion over a hierarchy: what is above one node, and every pair.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tercet::{Database, Inputs, Query, Value, prepare};

use crate::data::DataSet;
use crate::measure::{Took, median, ms, us};
use crate::row::{Better, Row};
use crate::sql::Hierarchy;
use crate::{Benchmark, Context};

/// All that is above one node: a recursion with its beginning bound.
pub const ANCESTORS: Benchmark =
    Benchmark { ids: &["query.wordnet.ancestors", "query.wordnet.ancestors.cpu"], run: ancestors };

/// How many pairs there are: the whole closure.
pub const CLOSURE: Benchmark =
    Benchmark { ids: &["query.wordnet.closure", "query.wordnet.closure.cpu"], run: closure };

/// How long each side is run for, and how often at least.
const TIME: Duration = Duration::from_secs(2);
const N_MIN: usize = 3;

/// The hierarchy alone, and the rule that climbs it.
fn load(data: &DataSet) -> Result<(Database, String)> {
    let db = Database::memory();
    let is_edge = |op: &&tercet::Op| op.attribute() == Some(&data.above);
    let ops: Vec<_> = data.ops.iter().filter(is_edge).cloned().collect();
    for ops in ops.chunks(10_000) {
        db.transact(ops.to_vec())?;
    }
    let above = &data.above;
    let rules = format!(
        "[[(ancestor ?x ?y) [?x :{above} ?y]]
          [(ancestor ?x ?y) [?x :{above} ?z] (ancestor ?z ?y)]]"
    );
    Ok((db, rules))
}

fn ancestors(context: &mut Context) -> Result<Vec<Row>> {
    let data = context.data()?;
    let (db, rules) = load(data)?;
    let query = prepare(("[:find (count ?y) . :in % ?x :where (ancestor ?x ?y)]", &*rules))?;
    let inputs = Inputs::from([Value::Ref(data.below.clone())]);
    let (took, count, n_runs) = median(N_MIN, TIME, || count(&db, &query, &inputs));
    let (took_sql, count_sql) =
        Hierarchy::load(&data.edges, &data.below)?.ancestors(N_MIN, TIME)?;
    let count = count?;
    let name = format!("{}, {count} above {}, {n_runs} times", data.name, data.below);
    Ok(rows(ANCESTORS.ids, "us", us, (took, count), (took_sql, count_sql), &name))
}

fn closure(context: &mut Context) -> Result<Vec<Row>> {
    let data = context.data()?;
    let (db, rules) = load(data)?;
    let query = prepare(("[:find (count ?x) . :with ?y :in % :where (ancestor ?x ?y)]", &*rules))?;
    let (took, count, n_runs) = median(N_MIN, TIME, || count(&db, &query, &Inputs::default()));
    let (took_sql, count_sql) = Hierarchy::load(&data.edges, &data.below)?.pairs(N_MIN, TIME)?;
    let count = count?;
    let name = format!("{}, {count} pairs, {n_runs} times", data.name);
    Ok(rows(CLOSURE.ids, "ms", ms, (took, count), (took_sql, count_sql), &name))
}

fn count(db: &Database, query: &Query, inputs: &Inputs) -> Result<u64> {
    let rows = db.query(query, inputs.clone())?.rows;
    match rows.first().and_then(|row| row.value(0)?.as_i64()) {
        Some(count) => u64::try_from(count).context("a count is positive"),
        None => Ok(0),
    }
}

/// A row of the time on the wall, and one of the processor's where the system tells it.
fn rows(
    ids: &[&'static str],
    unit: &'static str,
    in_unit: fn(Duration) -> f64,
    (took, count): (Took, u64),
    (took_sql, count_sql): (Took, u64),
    name: &str,
) -> Vec<Row> {
    let row = |id, ours, theirs| {
        Row::new(id, unit, in_unit(ours), name)
            .against("libSQL, a recursive CTE", in_unit(theirs), Better::Less)
            .checked(&count, &count_sql)
    };
    let mut rows = vec![row(ids[0], took.wall, took_sql.wall)];
    rows.extend(took.cpu.zip(took_sql.cpu).map(|(ours, theirs)| row(ids[1], ours, theirs)));
    rows
}
