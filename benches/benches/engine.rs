//! Paths of the engine that take microseconds, where only statistics over many runs tell anything.
//!
//! `cargo bench -p tercet-benches` runs them and compares with the run before. What is measured
//! against something else, in whole systems, is in the crate itself.
#![allow(missing_docs, reason = "criterion makes a public function without any")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tercet_engine::codec;
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::ReplicaId;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::Store;
use tercet_engine::value::Value;
use tercet_query_lang::compile;
use tercet_tests::workload;

fn people() -> (Store, Vec<Op>) {
    let ops = workload::people(workload::N_PEOPLE);
    let mut store = Store::new();
    for transaction in workload::transactions(&ops, 10_000) {
        store.apply(&transaction);
    }
    (store, ops)
}

/// One write into a published store: the successor's copies of what it changes are the cost.
fn write(criterion: &mut Criterion) {
    let (store, ops) = people();
    let mut now_ms = 1_000_000;
    criterion.bench_function("write.one", |bencher| {
        let next = || {
            now_ms += 1;
            let op = ops[now_ms as usize * 7_919 % ops.len()].clone();
            Transaction { hlc: Hlc::new(now_ms, 0, ReplicaId(2)), ops: vec![op] }
        };
        let write = |transaction| store.clone().accept(black_box(&transaction));
        bencher.iter_batched(next, write, BatchSize::SmallInput);
    });
}

/// The log's form of a transaction of ten operations, there and back.
fn encode(criterion: &mut Criterion) {
    let ops = workload::people(1);
    let transaction = Transaction { hlc: Hlc::new(1, 0, ReplicaId(1)), ops };
    let bytes = codec::encode(&transaction);
    criterion.bench_function("codec.encode", |bencher| {
        bencher.iter(|| codec::encode(black_box(&transaction)));
    });
    criterion.bench_function("codec.decode", |bencher| {
        bencher.iter(|| codec::decode::<Transaction>(black_box(&bytes)));
    });
}

/// The queries of the field's usual benchmark, q1 to q4, over 20,000 people, and one field.
fn query(criterion: &mut Criterion) {
    let snapshot = people().0.snapshot();
    let cases = [
        ("query.field", "[:find ?v . :where [#ref \"person:77\" :person/salary ?v]]"),
        ("query.q1", "[:find ?e :where [?e :person/name \"Ivan\"]]"),
        ("query.q2", "[:find ?e ?a :where [?e :person/name \"Ivan\"] [?e :person/age ?a]]"),
        (
            "query.q3",
            "[:find ?e ?a :where [?e :person/name \"Ivan\"] [?e :person/age ?a]
                                 [?e :person/sex \"male\"]]",
        ),
        (
            "query.q4",
            "[:find ?e ?l ?a :where [?e :person/name \"Ivan\"] [?e :person/last-name ?l]
                                    [?e :person/age ?a] [?e :person/sex \"male\"]]",
        ),
    ];
    for (name, text) in cases {
        let query = compile(text, None).expect("the text is right");
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| query.run(black_box(&snapshot), &[], &Budget::unlimited()));
        });
    }
    let query = compile("[:find ?e :in ?age :where [?e :person/age ?age]]", None);
    let query = query.expect("the text is right");
    criterion.bench_function("query.by_value", |bencher| {
        let inputs = [Input::Scalar(Value::int(41))];
        bencher.iter(|| query.run(black_box(&snapshot), &inputs, &Budget::unlimited()));
    });
}

criterion_group!(engine, write, encode, query);
criterion_main!(engine);
