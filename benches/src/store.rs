//! Loading facts, what they occupy, and reading one.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tercet::{Database, Inputs, Op, Output, Value, prepare};
use tercet_engine::codec;

use crate::measure::{self, once};
use crate::row::{Better, Row};
use crate::sql::{Sql, sql_value};
use crate::{Benchmark, Context};

/// Operations in a transaction of a load.
const N_OPS: usize = 10_000;

/// Reads that are timed together, because one takes less than looking at the clock is worth.
const N_READS: usize = 1_000;

/// Asks this program to measure what the facts on its standard input occupy.
pub const OCCUPY_FLAG: &str = "--occupy";

/// Facts per second into memory: merged, indexed, published.
pub const LOAD: Benchmark = Benchmark { ids: &["store.load"], run: load };

/// Memory that a fact occupies, stamps and indexes included.
pub const BYTES: Benchmark = Benchmark { ids: &["store.bytes"], run: bytes };

/// One field of one entity, by a prepared query.
pub const POINT: Benchmark = Benchmark { ids: &["store.point"], run: point };

fn load(context: &mut Context) -> Result<Vec<Row>> {
    let data = context.data()?;
    let transactions: Vec<Vec<Op>> = data.ops.chunks(N_OPS).map(<[Op]>::to_vec).collect();
    let db = Database::memory();
    let (took, outcome) =
        once(|| transactions.into_iter().try_for_each(|ops| db.transact(ops).map(drop)));
    outcome?;
    let n_facts = db.snapshot().n_facts();

    let sql = Sql::in_memory()?;
    let took_sql = sql.load_facts(&data.ops, N_OPS)?;
    let rate = |took: measure::Took| n_facts as f64 / took.wall.as_secs_f64();
    let name = format!("{}, {N_OPS} a transaction, in memory", data.name);
    let row = Row::new("store.load", "facts/s", rate(took), name)
        .against("libSQL, one table", rate(took_sql), Better::More)
        .checked(&n_facts, &sql.n_facts()?);
    Ok(vec![row])
}

fn bytes(context: &mut Context) -> Result<Vec<Row>> {
    let data = context.data()?;
    // A process of its own, where nothing else has ever occupied memory.
    let mut child = Command::new(std::env::current_exe()?)
        .arg(OCCUPY_FLAG)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start another process to measure memory in")?;
    let mut input = child.stdin.take().context("stdin was piped just above")?;
    for ops in data.ops.chunks(N_OPS) {
        let bytes = codec::encode(&ops);
        input.write_all(&u32::try_from(bytes.len())?.to_le_bytes())?;
        input.write_all(&bytes)?;
    }
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the process that measured memory ended: {}", output.status);
    let occupied: Occupied = serde_json::from_slice(&output.stdout)?;

    let sql = Sql::in_memory()?;
    sql.load_facts(&data.ops, N_OPS)?;
    let per_fact = |n_bytes: u64| n_bytes as f64 / occupied.n_facts as f64;
    let row = Row::new("store.bytes", "bytes/fact", per_fact(occupied.n_bytes), &*data.name)
        .against("libSQL, pages of one table", per_fact(sql.n_bytes()?), Better::Less)
        .checked(&occupied.n_facts, &sql.n_facts()?);
    Ok(vec![row])
}

/// What facts occupy.
#[derive(serde::Serialize, serde::Deserialize)]
struct Occupied {
    n_facts: u64,
    n_bytes: u64,
}

/// Loads the transactions on the input into an empty database, and tells on the output what they
/// occupy: the other end of `store.bytes`.
///
/// # Errors
/// When the input is damaged, or the system does not tell what is occupied.
pub fn occupy(mut input: impl Read, output: impl Write) -> Result<()> {
    let Some(before) = measure::resident_bytes() else {
        bail!("this system does not tell how much memory a process has (no /proc/self/status)");
    };
    let db = Database::memory();
    let mut n_bytes = [0; 4];
    while input.read_exact(&mut n_bytes).is_ok() {
        let mut bytes = vec![0; u32::from_le_bytes(n_bytes) as usize];
        input.read_exact(&mut bytes)?;
        db.transact(codec::decode(&bytes)?)?;
    }
    let after = measure::resident_bytes().context("it was told a moment ago")?;
    let occupied =
        Occupied { n_facts: db.snapshot().n_facts(), n_bytes: after.saturating_sub(before) };
    Ok(serde_json::to_writer(output, &occupied)?)
}

fn point(context: &mut Context) -> Result<Vec<Row>> {
    let data = context.data()?;
    let db = Database::memory();
    for ops in data.ops.chunks(N_OPS) {
        db.transact(ops.to_vec())?;
    }
    let sql = Sql::in_memory()?;
    sql.load_facts(&data.ops, N_OPS)?;

    // Entities from all over the data, so that caches are as cold as they are in use.
    let fields: Vec<_> = data.fields().collect();
    ensure!(fields.len() >= N_READS, "the data has too few entities with {}", data.field);
    let step = fields.len() / N_READS;
    let chosen: Vec<_> = fields.into_iter().step_by(step).take(N_READS).collect();
    let query = prepare(&*format!("[:find ?v . :in ?e :where [?e :{} ?v]]", data.field))?;
    let inputs: Vec<Inputs> =
        chosen.iter().map(|(entity, _)| [Value::Ref((*entity).clone())].into()).collect();
    let read = |inputs: &Inputs| -> Result<libsql::Value> {
        match db.query(&query, inputs.clone())?.rows.first().and_then(|row| row.to_output(0)) {
            Some(Output::Value(value)) => Ok(sql_value(&value)),
            _ => bail!("an entity lost its {}", data.field),
        }
    };
    let time = Duration::from_secs(1);
    let all = || inputs.iter().map(&read).collect::<Result<Vec<_>>>();
    let (took, values, n_runs) = measure::median(5, time, all);

    let statement = sql.point()?;
    let all = || {
        let field = |entity: &str| sql.read_point(&statement, entity, data.field.as_str());
        chosen.iter().map(|(entity, _)| field(entity.as_str())).collect::<Result<Vec<_>>>()
    };
    let (took_sql, values_sql, _) = measure::median(5, time, all);
    let values: Vec<_> = values?.into_iter().map(Some).collect();
    let each = |took: measure::Took| measure::us(took.wall) / N_READS as f64;
    let name = format!("{}, {} of {N_READS} entities, {n_runs} times", data.name, data.field);
    let row = Row::new("store.point", "us", each(took), name)
        .against("libSQL, a prepared SELECT", each(took_sql), Better::Less)
        .checked(&values, &values_sql?);
    Ok(vec![row])
}
