//! The store itself: loading, what facts occupy, reading by hand, one write; and preparing a query.
//!
//! Limits are absolute here. Loads and sizes are those of WordNet, reads and writes those of
//! people; reads that find nothing in the caches jump about in WordNet.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tercet_engine::codec;
use tercet_engine::fact::{Fact, Kind, Mark, Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::intern::{Cell, Dictionary};
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::{AttributeId, Snapshot, Store};
use tercet_engine::value::Value;
use tercet_tests::random::Random;
use tercet_tests::workload;

use crate::data::{DataSet, N_OPS, store_of};
use crate::measure::{Took, once};
use crate::row::{Better, Row};
use crate::{Benchmark, Context, Wanted, answer};

/// Facts per second into memory, until both orders can be asked.
pub const LOAD: Benchmark = Benchmark { ids: &["store.load"], run: load };

/// Memory that a fact occupies, stamps and both orders included.
pub const BYTES: Benchmark = Benchmark { ids: &["store.bytes", "store.bytes.strings"], run: bytes };

/// One field, and ten fields of one entity.
pub const POINT: Benchmark = Benchmark {
    ids: &["store.point", "store.entity10", "store.point.cold", "store.entity10.cold"],
    run: point,
};

/// One write that replaces a value, until its visible delta is there.
pub const WRITE: Benchmark = Benchmark { ids: &["store.write1"], run: write };

/// From the text of a query to its plan.
pub const PREPARE: Benchmark = Benchmark { ids: &["query.prepare"], run: prepare };

/// Operations that are timed together.
const N_TOGETHER: usize = 1_000;
/// Times that is done, where it is not more than these operations altogether.
const N_ROUNDS: usize = 100;
const N_OPERATIONS: usize = 500_000;

/// The attributes whose values WordNet's questions look up: their order by value is built, as is
/// that of every attribute that refers.
const QUERIED: [&str; 2] = ["synset/pos", "synset/lexfile"];

/// Times rounds of what does `n` things, in microseconds for one of them.
fn time(
    id: &'static str,
    data: &str,
    n: usize,
    mut round: impl FnMut(usize) -> Result<()>,
) -> Result<Row> {
    let n_rounds = (N_OPERATIONS / n).clamp(1, N_ROUNDS);
    let mut tooks: Vec<Took> = Vec::with_capacity(n_rounds);
    round(0)?;
    for index in 1..=n_rounds {
        let (took, outcome) = once(|| round(index));
        outcome?;
        tooks.push(took);
    }
    let of_one = |time: std::time::Duration| time.as_secs_f64() * 1e6 / n as f64;
    tooks.sort_unstable_by_key(|took| took.wall);
    let cpu = tooks.iter().map(|took| took.cpu).min().context("there were rounds")?;
    let mut row = Row::new(id, "us", of_one(tooks[0].wall), data);
    row.median = Some(of_one(tooks[n_rounds / 2].wall));
    row.cpu = Some(of_one(cpu));
    row.n_runs = n_rounds * n;
    Ok(row)
}

fn load(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let Some(data) = context.data.wordnet()? else { return Ok(Vec::new()) };
    let facts = parsed_facts(&workload::transactions(&data.ops, N_OPS));
    let mut rows = Vec::new();
    for _ in 0..3 {
        let facts = facts.clone();
        let (took, n_facts) = once(|| {
            let store = Store::load(facts);
            let snapshot = store.snapshot();
            snapshot.attributes().for_each(|a| build_both_orders(&snapshot, a));
            // Dropping the store is not part of loading it.
            std::mem::forget(store);
            snapshot.n_facts()
        });
        let rate = |time: std::time::Duration| n_facts as f64 / time.as_secs_f64();
        let mut row = Row::new(LOAD.ids[0], "facts/s", rate(took.wall), data.name);
        row.cpu = Some(rate(took.cpu));
        rows.push(row);
    }
    let key = |row: &Row| row.cpu.unwrap_or(row.value);
    let best = rows.into_iter().max_by(|a, b| key(a).total_cmp(&key(b)));
    Ok(vec![best.context("it was loaded")?.within(2.5e6, Some(4.0e6), Better::More)])
}

/// The facts that operations write, as an importer hands them over.
fn parsed_facts(transactions: &[Transaction]) -> Vec<(Fact, Mark)> {
    let ops = transactions.iter().flat_map(|transaction| {
        transaction.ops.iter().enumerate().map(|(index, op)| (op, transaction.stamp(index)))
    });
    let fact = |(op, stamp): (&Op, _)| {
        let (e, a, v, kind) = match op {
            Op::Set { e, a, v } => (e, a, v, Kind::Set),
            Op::Add { e, a, v } => (e, a, v, Kind::Add),
            _ => return None,
        };
        let fact = Fact { entity: e.clone(), attribute: a.clone(), value: v.clone() };
        Some((fact, Mark { stamp, kind }))
    };
    ops.filter_map(fact).collect()
}

/// Asks the attribute by value, which builds that order if it is not there.
fn build_both_orders(snapshot: &Snapshot, a: AttributeId) {
    std::hint::black_box(snapshot.entities(a, Cell::MIN).next());
}

/// What another process is asked to occupy memory with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Occupant {
    /// A store of the facts, both orders of what is queried included.
    Facts,
    /// Their strings and ids alone.
    Strings,
}

fn bytes(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let Some(data) = context.data.wordnet()? else { return Ok(Vec::new()) };
    let facts = occupied(data, "facts")?;
    let strings = occupied(data, "strings")?;
    ensure!(facts.n_facts == data.snapshot.n_facts(), "facts were lost on their way");
    let per_fact = |n_bytes: u64| n_bytes as f64 / facts.n_facts as f64;
    let name = format!("{}, a stamp for every fact", data.name);
    let without = facts.n_bytes.saturating_sub(strings.n_bytes);
    let row = |id, n_bytes, must| {
        Row::new(id, "bytes/fact", per_fact(n_bytes), &*name).within(must, None, Better::Less)
    };
    Ok(vec![row(BYTES.ids[0], without, 50.0), row(BYTES.ids[1], facts.n_bytes, 75.0)])
}

/// Measures in a process of its own, where nothing else has ever occupied memory.
fn occupied(data: &DataSet, occupant: &str) -> Result<Occupied> {
    let mut child = measuring_memory()?
        .args(["--occupy", occupant])
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
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// This program again, for measuring what something occupies.
///
/// # Errors
/// When the system does not tell where it is.
pub(crate) fn measuring_memory() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    // Else glibc learns from large blocks that were freed, and keeps the next ones: memory that a
    // load needed for a moment would look as if what was loaded occupied it.
    command.env("MALLOC_MMAP_THRESHOLD_", "131072").env("MALLOC_TRIM_THRESHOLD_", "131072");
    Ok(command)
}

/// What facts occupy.
#[derive(serde::Serialize, serde::Deserialize)]
struct Occupied {
    n_facts: u64,
    n_bytes: u64,
}

/// Reads operations from the input, keeps what is asked for, and tells on the output what it
/// occupies: the other end of `store.bytes`.
///
/// # Errors
/// When the input is damaged, or the system does not tell what is occupied.
pub fn occupy(occupant: Occupant, mut input: impl Read, output: impl Write) -> Result<()> {
    let before = resident_bytes()?;
    let (mut store, dictionary) = (Store::new(), Dictionary::default());
    let mut now_ms = 0;
    let mut n_bytes = [0; 4];
    while input.read_exact(&mut n_bytes).is_ok() {
        let mut bytes = vec![0; u32::from_le_bytes(n_bytes) as usize];
        input.read_exact(&mut bytes)?;
        for op in codec::decode::<Vec<Op>>(&bytes)? {
            now_ms += 1;
            match occupant {
                Occupant::Facts => {
                    let hlc = Hlc::new(now_ms, 0, ReplicaId(1));
                    store.apply(&Transaction { hlc, ops: vec![op] });
                }
                Occupant::Strings => {
                    dictionary.intern_entity(op.entity());
                    op.value().map(|value| dictionary.intern(value));
                }
            }
        }
    }
    let snapshot = store.snapshot();
    for attribute in QUERIED {
        let a = snapshot.find_attribute(&Attribute::new(attribute)?);
        a.into_iter().for_each(|a| build_both_orders(&snapshot, a));
    }
    let n_bytes = resident_bytes()?.saturating_sub(before);
    Ok(serde_json::to_writer(output, &Occupied { n_facts: snapshot.n_facts(), n_bytes })?)
}

/// Bytes of memory that this process occupies, its program and files left out.
///
/// # Errors
/// When the system does not tell.
pub(crate) fn resident_bytes() -> Result<u64> {
    let file = "/proc/self/status";
    let text = std::fs::read_to_string(file)
        .context("this system does not tell how much memory a process has")?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")).context(file)?;
    Ok(kibibytes.trim().parse::<u64>()? * 1024)
}

fn point(context: &mut Context, wanted: &Wanted<'_>) -> Result<Vec<Row>> {
    let ops = people_of_ten_fields(10_000)?;
    let warm = store_of(&ops).snapshot();
    let mut rows = reads(&warm, &ops, "person/salary", [POINT.ids[0], POINT.ids[1]], N_TOGETHER)?;
    limit(&mut rows, [(0.3, None), (1.0, None)]);
    if POINT.ids[2..].iter().any(|id| wanted.is(id))
        && let Some(data) = context.data.wordnet()?
    {
        let ids = [POINT.ids[2], POINT.ids[3]];
        // So many that no cache holds all of them.
        let mut cold = reads(&data.snapshot, &data.ops, "synset/lexfile", ids, 50 * N_TOGETHER)?;
        limit(&mut cold, [(1.0, None), (2.0, None)]);
        rows.extend(cold);
    }
    Ok(rows)
}

/// People with one value in each of ten fields.
fn people_of_ten_fields(n_people: usize) -> Result<Vec<Op>> {
    const FIELDS: [&str; 10] = [
        "name",
        "last-name",
        "sex",
        "age",
        "salary",
        "street",
        "city",
        "phone",
        "mail",
        "employer",
    ];
    let mut random = Random::new(8);
    let mut ops = Vec::with_capacity(n_people * FIELDS.len());
    for person in 0..n_people {
        for (index, field) in FIELDS.iter().enumerate() {
            let number = random.below(100_000);
            let is_text = index % 2 == 0 && *field != "salary";
            let v = match is_text {
                true => Value::from(format!("{field} {number}")),
                false => Value::int(number as i64),
            };
            let a = Attribute::new(format!("person/{field}"))?;
            ops.push(Op::Set { e: EntityId::new(format!("person:{person}"))?, a, v });
        }
    }
    Ok(ops)
}

fn limit(rows: &mut [Row], limits: [(f64, Option<f64>); 2]) {
    for (row, (must, aim)) in rows.iter_mut().zip(limits) {
        *row = row.clone().within(must, aim, Better::Less);
    }
}

/// Reads a field of entities that have it, and the ten fields that most entities of their type
/// have, in an order by chance.
fn reads(
    snapshot: &Snapshot,
    ops: &[Op],
    field: &str,
    ids: [&'static str; 2],
    n_reads: usize,
) -> Result<Vec<Row>> {
    let field = Attribute::new(field)?;
    let name = format!("{} facts, {n_reads} reads by chance", snapshot.n_facts());
    let mut random = Random::new(5);
    let with_field = ops.iter().filter(|op| op.attribute() == Some(&field));
    let mut entities: Vec<EntityId> = with_field.map(|op| op.entity().clone()).collect();
    ensure!(!entities.is_empty(), "no entity has {field}");
    random.shuffle(&mut entities);
    let with_field: Vec<EntityId> = entities.into_iter().cycle().take(n_reads).collect();

    // Resolved once, as whoever reads a field often would.
    let a = snapshot.find_attribute(&field).context("it was written just above")?;
    let ten = fields_of_type(snapshot, &field, 10);
    ensure!(ten.len() == 10, "the type of {field} has {} fields", ten.len());
    let point = time(ids[0], &name, n_reads, |_| {
        for entity in &with_field {
            let value = read_field(snapshot, a, entity).context("an entity lost its field")?;
            std::hint::black_box(&value);
        }
        Ok(())
    })?;
    let mut n_found = 0;
    let mut entity10 = time(ids[1], &name, n_reads, |_| {
        n_found = 0;
        for entity in &with_field {
            let values = read_fields(snapshot, &ten, entity).context("an entity is gone")?;
            n_found += values.iter().flatten().count();
            std::hint::black_box(&values);
        }
        Ok(())
    })?;
    entity10.data = format!("{name}, {:.1} values each", n_found as f64 / n_reads as f64);
    Ok(vec![point, entity10])
}

/// The `n` fields of an attribute's type that have the most facts.
fn fields_of_type(snapshot: &Snapshot, attribute: &Attribute, n: usize) -> Vec<AttributeId> {
    let type_of = |attribute: &Attribute| attribute.as_str().split('/').next().map(str::to_owned);
    let wanted = type_of(attribute);
    let mut fields: Vec<AttributeId> =
        snapshot.attributes().filter(|a| type_of(snapshot.attribute(*a)) == wanted).collect();
    fields.sort_by_key(|a| std::cmp::Reverse(snapshot.count(*a)));
    fields.truncate(n);
    fields
}

fn read_fields(
    snapshot: &Snapshot,
    fields: &[AttributeId],
    entity: &EntityId,
) -> Option<Vec<Option<Value>>> {
    let (dictionary, reader) = (snapshot.dictionary(), snapshot.dictionary().read());
    let cells = snapshot.values_of(dictionary.find_entity(entity)?, fields);
    Some(cells.map(|cell| Some(reader.value(cell?))).collect())
}

fn read_field(snapshot: &Snapshot, a: AttributeId, entity: &EntityId) -> Option<Value> {
    let dictionary = snapshot.dictionary();
    let value = snapshot.values(a, dictionary.find_entity(entity)?).next()?;
    Some(dictionary.value(value))
}

fn write(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let data = context.data.people();
    let mut store = store_of(&data.ops);
    let field = Attribute::new("person/salary")?;
    let a = store.snapshot().find_attribute(&field).context("people have it")?;
    build_both_orders(&store.snapshot(), a);
    let mut random = Random::new(6);
    let transaction = |index: usize| -> Result<Transaction> {
        let e = EntityId::new(format!("person:{}", random.below(workload::N_PEOPLE)))?;
        let v = Value::int(100_000 + index as i64);
        let hlc = Hlc::new(1_000_000 + index as u64, 0, ReplicaId(2));
        Ok(Transaction { hlc, ops: vec![Op::Set { e, a: field.clone(), v }] })
    };
    let n_all = (N_ROUNDS + 1) * N_TOGETHER;
    let transactions = (0..n_all).map(transaction).collect::<Result<Vec<_>>>()?;
    let row = time(WRITE.ids[0], data.name, N_TOGETHER, |round| {
        for transaction in &transactions[round * N_TOGETHER..][..N_TOGETHER] {
            // As the database does it: a successor is prepared, and then published.
            let mut successor = store.clone();
            let accepted = successor.accept(transaction);
            ensure!(accepted.delta.facts.len() == 2, "one fact goes and one comes");
            store = successor;
        }
        Ok(())
    })?;
    Ok(vec![row.within(2.0, Some(1.0), Better::Less)])
}

fn prepare(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let data = context.data.people();
    let text = "[:find ?e ?l ?a ?s :in ?name
                 :where [?e :person/name ?name] [?e :person/last-name ?l] [?e :person/age ?a]
                        [?e :person/sex \"male\"] [?e :person/salary ?s] [(> ?s 50000)]]";
    let (inputs, budget) = ([Input::Scalar(Value::from("Nobody"))], Budget::unlimited());
    let name = format!("{}; six clauses: read, checked, planned, run to no rows", data.name);
    let row = time(PREPARE.ids[0], &name, 10, |_| {
        for _ in 0..10 {
            let query = tercet_query_lang::compile(text, None)?;
            let nothing = answer::digest(&query.run(&data.snapshot, &inputs, &budget)?);
            ensure!(nothing.n_rows == 0, "nobody has that name");
        }
        Ok(())
    })?;
    Ok(vec![row.within(50.0, None, Better::Less)])
}
