//! What the store costs: memory for each fact, loads, point reads, scans and writes.
//!
//! `cargo run --release -p tercet-engine --example store` prints one line for each number. It
//! exists beside the benchmarks proper because it needs nothing but the engine: seconds from a
//! change in the store to what the change costs. Two made sets of facts with fixed seeds: one of
//! the shape of WordNet (texts, references and small numbers, every fact with a stamp of its own),
//! one of entities with ten fields each. Times are the processor's, the least of several runs: what
//! else the machine does can only add to them.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it prints; its facts are well formed"
)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::time::Instant;

use tercet_engine::fact::{Fact, Kind, Mark, Op, Transaction};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::intern::Cell;
use tercet_engine::store::{AttributeId, Order, Snapshot, Store};
use tercet_engine::value::Value;

/// Numbers without a pattern (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

const N_SYNSETS: u64 = 117_659;
const N_WORDS: u64 = 147_306;
const N_SENSES: u64 = 206_941;

/// Facts as they come from a parser: texts of their own, attributes shared, entity by entity.
struct Facts<'f> {
    ms: u64,
    put: &'f mut dyn FnMut(Fact, Mark),
}

impl Facts<'_> {
    fn fact(&mut self, kind: Kind, entity: &EntityId, attribute: &Attribute, value: Value) {
        self.ms += 1;
        let stamp = Stamp { hlc: Hlc::new(1_700_000_000_000 + self.ms, 0, ReplicaId(7)), op: 0 };
        let fact = Fact { entity: entity.clone(), attribute: attribute.clone(), value };
        (self.put)(fact, Mark { stamp, kind });
    }
}

fn id(kind: &str, index: u64) -> EntityId {
    EntityId::new(format!("wn:{kind}:{index:08}")).unwrap()
}

fn attribute(name: &str) -> Attribute {
    Attribute::new(name).unwrap()
}

/// Facts of the shape of WordNet: some 2.3 million.
fn wordnet(put: &mut dyn FnMut(Fact, Mark)) {
    let mut random = Random(1);
    let mut facts = Facts { ms: 0, put };
    let names = ["pos", "lexfile", "gloss", "offset", "hypernym", "pointer", "word"];
    let [pos, lexfile, gloss, offset, hypernym, pointer, word] =
        names.map(|name| attribute(&format!("synset/{name}")));
    for index in 0..N_SYNSETS {
        let e = id("s", index);
        facts.fact(Kind::Set, &e, &pos, ["n", "v", "a", "r"][random.below(4) as usize].into());
        facts.fact(Kind::Set, &e, &lexfile, format!("file.{}", random.below(45)).into());
        let text =
            format!("the gloss of {index}, as long as such {} texts are", random.below(1 << 40));
        facts.fact(Kind::Set, &e, &gloss, text.into());
        facts.fact(Kind::Set, &e, &offset, Value::int((index * 137) as i64));
        if index > 0 && random.below(4) > 0 {
            facts.fact(Kind::Add, &e, &hypernym, Value::Ref(id("s", random.below(index))));
        }
        for _ in 0..random.below(6) {
            facts.fact(Kind::Add, &e, &pointer, Value::Ref(id("s", random.below(N_SYNSETS))));
        }
        for _ in 0..1 + random.below(2) {
            facts.fact(Kind::Add, &e, &word, Value::Ref(id("w", random.below(N_WORDS))));
        }
    }
    let lemma = attribute("word/lemma");
    for index in 0..N_WORDS {
        facts.fact(Kind::Set, &id("w", index), &lemma, format!("lemma{index}").into());
    }
    let names = ["key", "word", "synset", "number", "count", "lexid"];
    let [key, word, synset, number, count, lexid] =
        names.map(|name| attribute(&format!("sense/{name}")));
    for index in 0..N_SENSES {
        let e = id("k", index);
        facts.fact(Kind::Set, &e, &key, format!("lemma{index}%1:{:02}:00::", index % 45).into());
        facts.fact(Kind::Set, &e, &word, Value::Ref(id("w", random.below(N_WORDS))));
        facts.fact(Kind::Set, &e, &synset, Value::Ref(id("s", random.below(N_SYNSETS))));
        facts.fact(Kind::Set, &e, &number, Value::int(random.below(12) as i64));
        facts.fact(Kind::Set, &e, &count, Value::int(random.below(300) as i64));
        facts.fact(Kind::Set, &e, &lexid, Value::int(random.below(16) as i64));
    }
}

/// Entities with ten fields each: five texts of few values, five numbers.
fn records(n_entities: u64, put: &mut dyn FnMut(Fact, Mark)) {
    let mut random = Random(2);
    let mut facts = Facts { ms: 0, put };
    let fields: Vec<Attribute> =
        (0..10).map(|field| attribute(&format!("record/f{field}"))).collect();
    for index in 0..n_entities {
        let e = id("r", index);
        for (field, attribute) in fields.iter().enumerate() {
            let number = random.below(1_000);
            let value = if field % 2 == 0 {
                format!("v{number}").into()
            } else {
                Value::int(number as i64)
            };
            facts.fact(Kind::Set, &e, attribute, value);
        }
    }
}

fn transaction(fact: Fact, mark: Mark) -> Transaction {
    let Fact { entity: e, attribute: a, value: v } = fact;
    let op = match mark.kind {
        Kind::Set => Op::Set { e, a, v },
        Kind::Add => Op::Add { e, a, v },
    };
    Transaction { hlc: mark.stamp.hlc, ops: vec![op] }
}

/// Asks for the order by value of every attribute.
fn build_orders(snapshot: &Snapshot) {
    let one = snapshot.dictionary().intern(&Value::int(1));
    for a in snapshot.attributes() {
        black_box(snapshot.count_entities(a, one));
    }
}

fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let n_pages: f64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(f64::NAN);
    n_pages * 4096.0
}

/// Seconds that this thread has been running; where the system does not tell, seconds on the wall.
fn seconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split(' ').next().and_then(|n| n.parse::<u64>().ok());
    nanos.map_or_else(|| START.elapsed().as_secs_f64(), |nanos| nanos as f64 / 1e9)
}

/// Nanoseconds for each of `n` steps: the least of several runs.
fn least_ns(n: u64, mut run: impl FnMut()) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..7 {
        let start = seconds();
        run();
        least = least.min((seconds() - start) * 1e9 / n as f64);
    }
    least
}

fn line(name: &str, number: f64, unit: &str) {
    println!("{name:<44} {number:>12.1} {unit}");
}

/// What a store occupies that is made while nothing else is freed, beside what its texts do.
fn occupied(name: &str, n_bytes: f64, of_strings: f64, store: &Store) {
    let n_facts = store.snapshot().n_facts() as f64;
    line(&format!("{name}: occupied with strings"), n_bytes / n_facts, "bytes/fact");
    line(&format!("{name}: without"), (n_bytes - of_strings) / n_facts, "bytes/fact");
}

fn memory_and_applying() -> Store {
    let before = resident_bytes();
    let strings = Store::new();
    wordnet(&mut |fact, _| {
        strings.snapshot().dictionary().intern_entity(&fact.entity);
        strings.snapshot().dictionary().intern(&fact.value);
    });
    let of_strings = resident_bytes() - before;
    // What is freed here would be used again below, and so be missing there: nothing is freed.
    let before = resident_bytes();
    let (mut store, start) = (Store::new(), seconds());
    wordnet(&mut |fact, mark| drop(store.apply(&transaction(fact, mark))));
    build_orders(&store.snapshot());
    let elapsed = seconds() - start;
    let (n_bytes, n_facts) = (resident_bytes() - before, store.snapshot().n_facts() as f64);
    line("facts", n_facts, "");
    line("apply one by one, both orders", n_facts / elapsed / 1e3, "thousand facts/s");
    occupied("applied", n_bytes, of_strings, &store);

    let mut rows = Vec::new();
    wordnet(&mut |fact, mark| rows.push((fact, mark)));
    let start = seconds();
    let loaded = Store::load(rows);
    let by_entity = seconds() - start;
    build_orders(&loaded.snapshot());
    let both = seconds() - start;
    assert!(loaded.snapshot().n_facts() as f64 == n_facts);
    line("load, by entity", n_facts / by_entity / 1e3, "thousand facts/s");
    line("load, both orders", n_facts / both / 1e3, "thousand facts/s");
    drop((strings, store));
    loaded
}

fn scans(snapshot: &Snapshot) {
    let n_facts = snapshot.n_facts();
    let all = least_ns(n_facts, || {
        let facts = snapshot.attributes().flat_map(|a| snapshot.facts(a));
        black_box(facts.map(|(e, v)| u64::from(e < v)).sum::<u64>());
    });
    line("facts by iterator", all, "ns/fact");
    for order in [Order::ByEntity, Order::ByValue] {
        let all = least_ns(n_facts, || {
            let mut sum = 0;
            for a in snapshot.attributes() {
                let _ = snapshot.for_each_fact(a, order, |first, second| {
                    sum += u64::from(first < second);
                    ControlFlow::<()>::Continue(())
                });
            }
            black_box(sum);
        });
        line(&format!("facts by for_each, {order:?}"), all, "ns/fact");
        let all = least_ns(n_facts, || {
            for a in snapshot.attributes() {
                let mut cursor = snapshot.cursor(a, order);
                while let Some((first, _)) = black_box(cursor.current()) {
                    cursor.seek(first, Cell::MIN);
                    cursor.advance();
                }
            }
        });
        line(&format!("facts by cursor, each with a seek, {order:?}"), all, "ns/fact");
    }
}

struct Fields {
    store: Store,
    entities: Vec<EntityId>,
    attributes: Vec<AttributeId>,
}

fn fields(n_entities: u64) -> Fields {
    let mut store = Store::new();
    records(n_entities, &mut |fact, mark| drop(store.apply(&transaction(fact, mark))));
    let mut random = Random(3);
    let entities = (0..100_000).map(|_| id("r", random.below(n_entities))).collect();
    let attributes = store.snapshot().attributes().collect();
    Fields { store, entities, attributes }
}

fn points(name: &str, fields: &Fields) {
    let (snapshot, n) = (fields.store.snapshot(), fields.entities.len() as u64);
    let dictionary = snapshot.dictionary().read();
    let read = |e: Cell, a: AttributeId| snapshot.value(a, e).map(|value| dictionary.value(value));
    let find = |e: &EntityId| snapshot.dictionary().find_entity(e).unwrap();
    let one = least_ns(n, || {
        for (entity, a) in fields.entities.iter().zip(fields.attributes.iter().cycle()) {
            black_box(read(find(entity), *a));
        }
    });
    line(&format!("one field, {name}"), one, "ns");
    let ten = least_ns(n, || {
        for entity in &fields.entities {
            let entity = find(entity);
            for a in &fields.attributes {
                black_box(read(entity, *a));
            }
        }
    });
    line(&format!("ten fields, {name}"), ten, "ns");
    let together = least_ns(n, || {
        for entity in &fields.entities {
            let cells = snapshot.values_of(find(entity), &fields.attributes);
            for cell in cells {
                black_box(cell.map(|cell| dictionary.value(cell)));
            }
        }
    });
    line(&format!("ten fields together, {name}"), together, "ns");
    let all = least_ns(n / 10, || {
        for entity in fields.entities.iter().step_by(10) {
            black_box(snapshot.entity_facts(entity));
        }
    });
    line(&format!("all facts of an entity, {name}"), all, "ns");
}

fn writes(name: &str, fields: Fields) {
    let snapshot = fields.store.snapshot();
    let names: Vec<Attribute> =
        fields.attributes.iter().map(|a| snapshot.attribute(*a).clone()).collect();
    drop(snapshot);
    let mut random = Random(4);
    let mut ms = 1_800_000_000_000;
    let mut next = |e: &EntityId| {
        ms += 1;
        let field = random.below(5) as usize * 2 + 1;
        let set = Op::Set {
            e: e.clone(),
            a: names[field].clone(),
            v: Value::int(random.below(1_000) as i64),
        };
        Transaction { hlc: Hlc::new(ms, 0, ReplicaId(8)), ops: vec![set] }
    };
    let mut transactions =
        |n: usize| -> Vec<Transaction> { fields.entities.iter().take(n).map(&mut next).collect() };
    let n = 20_000;
    let mut store = fields.store;
    for ordered in ["by entity", "both orders"] {
        if ordered == "both orders" {
            build_orders(&store.snapshot());
        }
        let batches: Vec<_> = (0..7).map(|_| transactions(n)).collect();
        let mut batches = batches.iter();
        let in_place = least_ns(n as u64, || {
            for transaction in batches.next().unwrap() {
                black_box(store.apply(transaction));
            }
        });
        line(&format!("set in place, {ordered}, {name}"), in_place, "ns");
        let batches: Vec<_> = (0..7).map(|_| transactions(n)).collect();
        let mut batches = batches.iter();
        let published = least_ns(n as u64, || {
            for transaction in batches.next().unwrap() {
                let mut successor = store.clone();
                black_box(successor.apply(transaction));
                store = successor;
            }
        });
        line(&format!("set in a successor, {ordered}, {name}"), published, "ns");
    }
}

fn main() {
    let store = memory_and_applying();
    scans(&store.snapshot());
    drop(store);
    for (name, n_entities) in [("of 100,000 facts", 10_000), ("of 2.3 million", 230_000)] {
        let fields = fields(n_entities);
        points(name, &fields);
        writes(name, fields);
    }
}
