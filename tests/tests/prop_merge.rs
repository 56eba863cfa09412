//! The store against merge as a scan: whatever the order and repetition of changes.
//!
//! What this can catch: a fact visible that should not be or the reverse, a wrong mark, a delta
//! that does not lead from one state to the next, an operation told the wrong effect, a clamp that
//! changes what is seen, a replica that installs deltas and ends elsewhere. Speed and the shape of
//! the indexes are not looked at; that all readings of a snapshot agree is.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use tercet_engine::fact::{Effect, Fact, Install, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::store::{Store, StoreDelta};
use tercet_engine::value::Value;
use tercet_tests::case::check_cases;
use tercet_tests::generate::history;
use tercet_tests::minimize::{catch, minimize, shorter};
use tercet_tests::oracle::merge::{Facts, History};

/// Why a history does not behave, in words and states; nothing when it does.
type Verdict = Result<(), String>;

fn same<T: PartialEq + Debug>(what: &str, engine: T, oracle: T) -> Verdict {
    if engine == oracle {
        return Ok(());
    }
    Err(format!("{what}\n engine: {engine:#?}\n oracle: {oracle:#?}"))
}

/// Checks a law on a history; a failing one is made small first.
fn check(transactions: Vec<Transaction>, law: impl Fn(&[Transaction]) -> Verdict) {
    let fails = |case: &Vec<Transaction>| law(case).is_err();
    if catch(|| fails(&transactions)).unwrap_or(true) {
        let small = minimize(transactions, |case| smaller(case), fails);
        let verdict = law(&small);
        panic!("{}\n history: {small:#?}", verdict.unwrap_err());
    }
}

fn smaller(transactions: &[Transaction]) -> Vec<Vec<Transaction>> {
    let mut cases = shorter(transactions);
    for (index, transaction) in transactions.iter().enumerate() {
        for ops in shorter(&transaction.ops) {
            let mut case = transactions.to_vec();
            case[index].ops = ops;
            cases.push(case);
        }
    }
    cases
}

fn visible(store: &Store) -> Facts {
    store.snapshot().iter().collect()
}

#[test]
fn any_order_and_repetition_shows_the_same_facts() {
    check_cases("any_order_and_repetition_shows_the_same_facts", 1_500, |random| {
        let mut transactions = history::history(random);
        for _ in 0..random.below(3) {
            transactions.push(random.pick(&transactions).clone());
        }
        random.shuffle(&mut transactions);
        check(transactions, |transactions| {
            let (mut store, mut changes) = (Store::new(), History::default());
            for transaction in transactions {
                let before = changes.clone();
                let delta = store.apply(transaction);
                changes.push(transaction);
                same("visible facts", visible(&store), changes.visible())?;
                same("delta", delta, delta_between(&before, &changes))?;
                same("effects", store.effects(transaction), changes.effects(transaction))?;
                check_readings(&store)?;
            }
            let clock = transactions.iter().map(|transaction| transaction.hlc).max();
            same("clock", store.clock(), clock.unwrap_or(Hlc::ZERO))
        });
    });
}

/// The delta that leads from one history to a longer one.
fn delta_between(before: &History, after: &History) -> StoreDelta {
    let (facts_before, facts_after) = (before.visible(), after.visible());
    let facts = facts_before.keys().chain(facts_after.keys()).collect::<BTreeSet<_>>();
    let changes = facts.into_iter().map(|fact| tercet_engine::fact::FactChange {
        fact: fact.clone(),
        before: facts_before.get(fact).copied(),
        after: facts_after.get(fact).copied(),
    });
    let rose = |before: BTreeMap<_, _>, after: BTreeMap<_, _>| {
        after.into_iter().filter(|(e, at)| before.get(e) != Some(at)).collect::<Vec<_>>()
    };
    StoreDelta {
        facts: changes.filter(|change| change.before != change.after).collect(),
        deleted: rose(before.all_deleted(), after.all_deleted()),
        restored: rose(before.all_restored(), after.all_restored()),
    }
}

/// Every way to read a snapshot tells of the same facts.
fn check_readings(store: &Store) -> Verdict {
    let snapshot = store.snapshot();
    let facts = snapshot.iter().collect::<Facts>();
    same("n_facts", snapshot.n_facts(), facts.len() as u64)?;
    let dictionary = snapshot.dictionary();
    let mut by_attribute = BTreeSet::new();
    for id in snapshot.attributes() {
        let rows = snapshot.facts(id).collect::<Vec<_>>();
        same("count", snapshot.count(id), rows.len() as u64)?;
        same("find_attribute", snapshot.find_attribute(snapshot.attribute(id)), Some(id))?;
        for (e, v) in &rows {
            let Value::Ref(entity) = dictionary.value(*e) else {
                return Err(format!("an entity cell holds {}", dictionary.value(*e)));
            };
            let fact = Fact {
                entity,
                attribute: snapshot.attribute(id).clone(),
                value: dictionary.value(*v),
            };
            same("mark", snapshot.mark(id, *e, *v), facts.get(&fact).copied())?;
            same("contains", snapshot.contains(id, *e, *v), true)?;
            let values = rows.iter().filter(|row| row.0 == *e).map(|row| row.1);
            same("values", snapshot.values(id, *e).collect(), values.collect::<Vec<_>>())?;
            let entities = snapshot.entities(id, *v).collect::<BTreeSet<_>>();
            let holders = rows.iter().filter(|row| row.1 == *v).map(|row| row.0);
            same("entities", entities, holders.collect())?;
            by_attribute.insert(fact);
        }
    }
    same("facts by attribute", by_attribute, facts.keys().cloned().collect())?;
    for entity in facts.keys().map(|fact| &fact.entity) {
        let own = facts.iter().filter(|(fact, _)| fact.entity == *entity);
        let own = own.map(|(fact, mark)| (fact.clone(), *mark)).collect::<Vec<_>>();
        same("entity_facts", snapshot.entity_facts(entity), own)?;
    }
    Ok(())
}

#[test]
fn a_server_clamps_covers_and_its_replicas_follow() {
    check_cases("a_server_clamps_covers_and_its_replicas_follow", 1_000, |random| {
        check(history::admissible_history(random), |transactions| {
            let (mut server, mut changes) = (Store::new(), History::default());
            let mut replica = Store::new();
            let mut log = Vec::new();
            for transaction in transactions {
                let accepted = server.accept(transaction);
                let clamped = changes.clamp(transaction);
                check_clamp(&accepted.transaction, &clamped)?;
                changes.push(&clamped);
                same("visible facts", visible(&server), changes.visible())?;
                same("effects", accepted.effects, changes.effects(&clamped))?;
                replica.install(&installs(&accepted.delta));
                let facts = |store| visible(store);
                same("installed facts", facts(&replica), facts(&server))?;
                log.push(accepted.transaction);
            }
            let mut replay = Store::new();
            log.iter().for_each(|transaction| drop(replay.apply(transaction)));
            same("facts after a replay", visible(&replay), visible(&server))
        });
    });
}

/// A store may have dropped an `added` entry that can never be visible again, so its covers may be
/// lower than the oracle's, never higher, and nothing else may differ.
fn check_clamp(engine: &Transaction, oracle: &Transaction) -> Verdict {
    let mut lowered = oracle.clone();
    for (mine, theirs) in lowered.ops.iter_mut().zip(&engine.ops) {
        use tercet_engine::fact::Op::{Remove, Restore};
        if let (Remove { covers, .. } | Restore { covers, .. }, Some(stated)) =
            (mine, theirs.covers())
        {
            *covers = (*covers).min(Some(stated));
        }
    }
    same("clamped transaction", engine.clone(), lowered)
}

/// What a server tells a replica that holds everything.
fn installs(delta: &StoreDelta) -> Vec<Install> {
    let deleted = delta.deleted.iter().map(|(e, at)| Install::Deleted(e.clone(), *at));
    let restored = delta.restored.iter().map(|(e, at)| Install::Restored(e.clone(), *at));
    let facts = delta.facts.iter().map(|change| match change.after {
        Some(mark) => Install::Fact(change.fact.clone(), mark),
        None => Install::Retracted(change.fact.clone()),
    });
    deleted.chain(restored).chain(facts).collect()
}

#[test]
fn deltas_compose_and_lead_back() {
    check_cases("deltas_compose_and_lead_back", 500, |random| {
        check(history::history(random), |transactions| {
            let mut store = Store::new();
            let mut whole = StoreDelta::default();
            for transaction in transactions {
                whole = whole.then(store.apply(transaction));
            }
            let expected = delta_between(&History::default(), &History::of(transactions));
            same("facts of all deltas together", &whole.facts, &expected.facts)?;
            let nothing = whole.clone().then(whole.inverse());
            same("facts of a delta and its inverse", nothing.facts, Vec::new())
        });
    });
}

#[test]
fn a_successor_does_not_disturb_what_came_before() {
    check_cases("a_successor_does_not_disturb_what_came_before", 300, |random| {
        check(history::history(random), |transactions| {
            let mut store = Store::new();
            let mut kept = Vec::new();
            for transaction in transactions {
                kept.push((store.clone(), store.snapshot(), visible(&store)));
                store.apply(transaction);
            }
            for (store, snapshot, facts) in kept {
                same("an older snapshot", snapshot.iter().collect(), facts.clone())?;
                same("an older store", visible(&store), facts)?;
            }
            Ok(())
        });
    });
}

/// A write that comes back to its writer says what holds, not what once did.
#[test]
fn effects_name_the_tombstone() {
    let transaction = |ms, json: &str| Transaction {
        hlc: Hlc::new(ms, 0, tercet_engine::ids::ReplicaId(1)),
        ops: serde_json::from_str(json).unwrap(),
    };
    let mut store = Store::new();
    let delete = transaction(2, r#"[{"delete": {"e": "e"}}]"#);
    let early = transaction(1, r#"[{"set": {"e": "e", "a": "t/a", "v": 1}}]"#);
    let late = transaction(3, r#"[{"set": {"e": "f", "a": "t/a", "v": {"$ref": "e"}}}]"#);
    store.apply(&delete);
    let deleted = Effect::Deleted { at: delete.stamp(0) };
    assert_eq!(store.accept(&early).effects, [deleted]);
    assert_eq!(store.accept(&late).effects, [deleted]);
    assert_eq!(store.effects(&delete), [Effect::Applied]);
}
