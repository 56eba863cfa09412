//! What the store promises, on small histories in every order.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::fact::{Fact, FactChange, Kind, Mark};
use crate::ids::ReplicaId;

fn e(text: &str) -> EntityId {
    EntityId::new(text).unwrap()
}

fn a(text: &str) -> Attribute {
    Attribute::new(text).unwrap()
}

fn to(text: &str) -> Value {
    Value::reference(text).unwrap()
}

fn hlc(ms: u64) -> Hlc {
    Hlc::new(ms, 0, ReplicaId(1))
}

fn stamp(ms: u64) -> Stamp {
    Stamp { hlc: hlc(ms), op: 0 }
}

fn set(entity: &str, v: impl Into<Value>) -> Op {
    Op::Set { e: e(entity), a: a("t/f"), v: v.into() }
}

fn add(entity: &str, v: impl Into<Value>) -> Op {
    Op::Add { e: e(entity), a: a("t/f"), v: v.into() }
}

fn unset(entity: &str) -> Op {
    Op::Unset { e: e(entity), a: a("t/f") }
}

fn remove(entity: &str, v: impl Into<Value>, covers: Option<u64>) -> Op {
    Op::Remove { e: e(entity), a: a("t/f"), v: v.into(), covers: covers.map(stamp) }
}

fn delete(entity: &str) -> Op {
    Op::Delete { e: e(entity) }
}

fn restore(entity: &str, covers: Option<u64>) -> Op {
    Op::Restore { e: e(entity), covers: covers.map(stamp) }
}

fn tx(ms: u64, ops: impl Into<Vec<Op>>) -> Transaction {
    Transaction { hlc: hlc(ms), ops: ops.into() }
}

fn visible(store: &Store) -> Vec<(Fact, Mark)> {
    let mut facts: Vec<_> = store.snapshot().iter().collect();
    facts.sort();
    facts
}

fn values(store: &Store, entity: &str) -> Vec<Value> {
    store.snapshot().entity_facts(&e(entity)).into_iter().map(|(fact, _)| fact.value).collect()
}

#[test]
fn a_set_replaces_and_adds_join() {
    let mut store = Store::new();
    store.apply(&tx(1, [set("x", 1)]));
    store.apply(&tx(2, [add("x", 2)]));
    assert_eq!(values(&store, "x"), [Value::int(1), Value::int(2)]);
    store.apply(&tx(3, [set("x", 3)]));
    assert_eq!(values(&store, "x"), [Value::int(3)]);
    store.apply(&tx(2, [set("x", 9)]));
    assert_eq!(values(&store, "x"), [Value::int(3)]);
    store.apply(&tx(4, [unset("x"), add("x", 5), add("x", 6)]));
    assert_eq!(values(&store, "x"), [Value::int(5), Value::int(6)]);
}

#[test]
fn equal_stamps_are_decided_by_value_and_an_unset_is_above_all() {
    let ops = [set("x", 1), set("x", 2), unset("y"), set("y", "z"), add("z", 1), set("z", 2)];
    let mut store = Store::new();
    for op in ops {
        store.apply(&tx(1, [op]));
    }
    assert_eq!(values(&store, "x"), [Value::int(2)]);
    assert_eq!(values(&store, "y"), []);
    // An add of a lower value falls below the `set` of its stamp; one of a higher value stays.
    assert_eq!(values(&store, "z"), [Value::int(2)]);
    store.apply(&tx(1, [add("z", 3)]));
    assert_eq!(values(&store, "z"), [Value::int(2), Value::int(3)]);
}

#[test]
fn a_remove_takes_back_only_what_it_saw() {
    let mut store = Store::new();
    store.apply(&tx(1, [add("x", 1)]));
    store.apply(&tx(5, [add("x", 1)]));
    store.apply(&tx(9, [remove("x", 1, Some(1))]));
    assert_eq!(values(&store, "x"), [Value::int(1)]);
    store.apply(&tx(9, [remove("x", 1, Some(5))]));
    assert_eq!(values(&store, "x"), []);
    store.apply(&tx(3, [add("x", 1)]));
    assert_eq!(values(&store, "x"), []);
    store.apply(&tx(6, [add("x", 1)]));
    assert_eq!(values(&store, "x"), [Value::int(1)]);
}

#[test]
fn removing_what_set_the_field_leaves_its_floor() {
    let mut store = Store::new();
    store.apply(&tx(5, [set("x", 1)]));
    store.apply(&tx(6, [remove("x", 1, None)]));
    store.apply(&tx(4, [add("x", 2)]));
    assert_eq!(values(&store, "x"), []);
}

#[test]
fn a_reference_that_a_deletion_buried_leaves_the_floor_of_its_field() {
    let mut store = Store::new();
    store.apply(&tx(5, [set("x", to("y"))]));
    store.apply(&tx(7, [delete("y")]));
    store.apply(&tx(8, [restore("y", None)]));
    store.apply(&tx(4, [add("x", 2)]));
    assert_eq!(values(&store, "x"), []);
}

#[test]
fn deletion_wins_over_later_writes_until_it_is_restored() {
    let mut store = Store::new();
    store.apply(&tx(1, [set("x", 1), add("y", to("x"))]));
    store.apply(&tx(9, [add("x", 9), add("z", to("x"))]));
    store.apply(&tx(5, [delete("x")]));
    assert_eq!((values(&store, "x"), values(&store, "z")), (vec![], vec![]));
    assert_eq!(store.tombstone(&e("x")), Some(stamp(5)));
    assert_eq!(store.added(&e("x"), &a("t/f"), &Value::int(9)), Some(stamp(9)));
    assert_eq!(store.added(&e("x"), &a("t/f"), &Value::int(1)), None);
    store.apply(&tx(10, [restore("x", Some(5))]));
    assert_eq!(store.tombstone(&e("x")), None);
    assert_eq!(values(&store, "x"), [Value::int(9)]);
    assert_eq!((values(&store, "y"), values(&store, "z")), (vec![], vec![to("x")]));
    store.apply(&tx(6, [delete("x")]));
    assert_eq!(values(&store, "x"), []);
}

#[test]
fn accepting_clamps_covers_to_what_is_held_in_list_order() {
    let mut store = Store::new();
    store.accept(&tx(1, [add("x", 1)]));
    let accepted = store.accept(&tx(
        7,
        [
            remove("x", 1, None),
            add("x", 2),
            remove("x", 2, Some(7)),
            remove("x", 3, Some(6)),
            restore("x", None),
            delete("x"),
            restore("x", None),
        ],
    ));
    let covers: Vec<_> = accepted.transaction.ops.iter().map(Op::covers).collect();
    let own = |op| Some(Stamp { op, ..stamp(7) });
    let zero = Some(Stamp::ZERO);
    // `Some(7)` is op 0 of the transaction: earlier than the add it meets, which so survives
    // until the deletion.
    assert_eq!(covers, [Some(stamp(1)), None, Some(stamp(7)), zero, zero, None, own(5)]);
    let mut replayed = Store::new();
    replayed.apply(&tx(1, [add("x", 1)]));
    assert_eq!(replayed.apply(&accepted.transaction), accepted.delta);
    assert_eq!(visible(&replayed), visible(&store));
}

#[test]
fn a_clamped_cover_cannot_reach_the_future() {
    let mut store = Store::new();
    store.accept(&tx(1, [add("x", 1)]));
    store.accept(&tx(100, [remove("x", 1, None)]));
    store.accept(&tx(50, [add("x", 1)]));
    assert_eq!(values(&store, "x"), [Value::int(1)]);
}

#[test]
fn effects_tell_what_holds_after_the_whole_transaction() {
    use Effect::{Applied, Superseded};
    let dead = Effect::Deleted { at: stamp(5) };
    let mut store = Store::new();
    store.accept(&tx(5, [delete("dead"), set("late", 1)]));
    let cases = [
        (set("x", 1), Superseded),
        (set("x", 2), Applied),
        (set("dead", 1), dead),
        (add("x", to("dead")), dead),
        (set("late", 2), Superseded),
        (unset("late"), Superseded),
        (unset("none"), Applied),
        (remove("x", 1, None), Applied),
        (remove("late", 1, None), Superseded),
        (delete("dead"), Applied),
        (restore("dead", None), dead),
        (restore("x", None), Applied),
    ];
    let (ops, effects): (Vec<Op>, Vec<Effect>) = cases.into_iter().unzip();
    assert_eq!(store.accept(&tx(3, ops)).effects, effects);

    let mut store = Store::new();
    store.accept(&tx(5, [add("x", 1), delete("x"), restore("x", None)]));
    let buried = Effect::Deleted { at: Stamp { op: 1, ..stamp(5) } };
    assert_eq!(store.effects(&tx(4, [add("x", 1), delete("x")])), [buried, Superseded]);
    assert_eq!(store.effects(&tx(6, [add("x", 1)])), [Superseded]);
}

#[test]
fn a_delta_has_what_differs_in_the_end_and_nothing_else() {
    let mut store = Store::new();
    store.apply(&tx(1, [set("x", 1), set("y", 1)]));
    let delta = store.apply(&tx(2, [set("x", 2), add("z", 1), remove("z", 1, None), set("y", 1)]));
    let fact = |entity: &str, value| Fact { entity: e(entity), attribute: a("t/f"), value };
    let mark = |ms, op| Some(Mark { stamp: Stamp { op, ..stamp(ms) }, kind: Kind::Set });
    let changes = [
        FactChange { fact: fact("x", Value::int(1)), before: mark(1, 0), after: None },
        FactChange { fact: fact("x", Value::int(2)), before: None, after: mark(2, 0) },
        FactChange { fact: fact("y", Value::int(1)), before: mark(1, 1), after: mark(2, 3) },
    ];
    assert_eq!(delta.facts, changes);
    assert!(store.apply(&tx(2, [set("x", 2)])).is_empty());
    let delta = store.apply(&tx(3, [delete("y"), restore("y", Some(1))]));
    assert_eq!(delta.deleted, [(e("y"), stamp(3))]);
    assert_eq!(delta.restored, [(e("y"), stamp(1))]);
}

#[test]
fn a_snapshot_stays_and_answers_in_both_directions() {
    let mut store = Store::new();
    store.apply(&tx(1, [add("x", to("y")), add("x", to("z")), add("y", to("z"))]));
    let snapshot = store.snapshot();
    store.apply(&tx(2, [delete("z")]));
    let id = snapshot.find_attribute(&a("t/f")).unwrap();
    let cell = |text: &str| snapshot.dictionary().find_entity(&e(text)).unwrap();
    assert_eq!(snapshot.values(id, cell("x")).collect::<Vec<_>>(), [cell("y"), cell("z")]);
    assert_eq!(snapshot.entities(id, cell("z")).collect::<Vec<_>>(), [cell("x"), cell("y")]);
    assert_eq!((snapshot.count_values(id, cell("x")), snapshot.count(id)), (2, 3));
    assert_eq!((snapshot.count_entities(id, cell("z")), snapshot.n_facts()), (2, 3));
    assert!(snapshot.contains(id, cell("y"), cell("z")));
    assert_eq!(store.snapshot().n_facts(), 1);
    assert!(!store.snapshot().contains(id, cell("y"), cell("z")));
    assert_ne!(snapshot.fingerprint(), store.snapshot().fingerprint());
    assert_eq!(store.clock(), hlc(2));
}

fn fact(entity: &str, value: impl Into<Value>) -> Fact {
    Fact { entity: e(entity), attribute: a("t/f"), value: value.into() }
}

fn installed(entity: &str, value: impl Into<Value>, ms: u64, kind: Kind) -> Install {
    Install::Fact(fact(entity, value), Mark { stamp: stamp(ms), kind })
}

#[test]
fn pending_writes_fold_over_installed_facts_by_the_same_merge() {
    let mut confirmed = Store::new();
    confirmed.install(&[installed("x", 5, 5, Kind::Set), installed("x", 6, 6, Kind::Add)]);
    assert_eq!(confirmed.clock(), hlc(6));
    let mut view = confirmed.clone();
    view.apply(&tx(4, [set("x", 1), add("x", 2)]));
    assert_eq!(values(&view, "x"), [Value::int(5), Value::int(6)]);
    let mut view = confirmed.clone();
    view.apply(&tx(7, [set("x", 7)]));
    assert_eq!(values(&view, "x"), [Value::int(7)]);
    assert_eq!(values(&confirmed, "x"), [Value::int(5), Value::int(6)]);
}

#[test]
fn a_floor_goes_with_the_set_fact_that_made_it() {
    let mut confirmed = Store::new();
    confirmed.install(&[installed("x", 5, 5, Kind::Set), installed("x", 6, 6, Kind::Add)]);
    confirmed.install(&[Install::Released(fact("x", 5))]);
    confirmed.apply(&tx(4, [add("x", 4)]));
    assert_eq!(values(&confirmed, "x"), [Value::int(4), Value::int(6)]);

    let mut confirmed = Store::new();
    confirmed.install(&[installed("x", 5, 5, Kind::Set)]);
    confirmed.install(&[installed("x", 3, 3, Kind::Set), Install::Retracted(fact("x", 5))]);
    let mut view = confirmed.clone();
    view.apply(&tx(4, [set("x", 4)]));
    assert_eq!(values(&view, "x"), [Value::int(4)]);
    confirmed.install(&[installed("x", 3, 6, Kind::Add)]);
    confirmed.apply(&tx(2, [set("x", 2)]));
    assert_eq!(values(&confirmed, "x"), [Value::int(2), Value::int(3)]);
}

#[test]
fn installed_deletions_hide_what_they_bury_and_newer_facts_clear_them() {
    let mut store = Store::new();
    store.install(&[
        installed("x", 1, 1, Kind::Set),
        installed("x", 9, 9, Kind::Add),
        installed("y", to("x"), 2, Kind::Add),
    ]);
    let delta = store.install(&[Install::Deleted(e("x"), stamp(5))]);
    assert_eq!(delta.deleted, [(e("x"), stamp(5))]);
    assert_eq!(store.tombstone(&e("x")), Some(stamp(5)));
    assert_eq!((values(&store, "x"), values(&store, "y")), (vec![Value::int(9)], vec![]));
    store.install(&[installed("x", 3, 10, Kind::Set)]);
    assert_eq!(store.tombstone(&e("x")), None);
    store.install(&[Install::Deleted(e("x"), stamp(11)), Install::Restored(e("x"), stamp(11))]);
    assert_eq!((store.tombstone(&e("x")), values(&store, "x")), (None, vec![]));
    store.apply(&tx(8, [add("x", 8)]));
    assert_eq!(values(&store, "x"), []);
}

#[test]
fn counting_for_a_planner_builds_no_order() {
    let mut store = Store::new();
    let names = ["few", "many"].map(Value::from);
    let ops: Vec<Op> =
        (0..3_000).map(|i| set(&format!("e{i}"), names[usize::from(i > 0)].clone())).collect();
    store.apply(&tx(1, ops));
    let snapshot = store.snapshot();
    let attribute = snapshot.find_attribute(&a("t/f")).unwrap();
    let is_built = || snapshot.index(attribute).is_built_by_value();
    let [few, many] = names.map(|name| snapshot.dictionary().find(&name).unwrap());
    let n_many = snapshot.n_holders(attribute, many);
    assert!(n_many.abs_diff(2_999) < 100, "{n_many}");
    assert!(snapshot.n_holders(attribute, few) < 1_500, "next to none in a sample");
    assert!(snapshot.n_values(attribute) <= 2 && snapshot.symbols_end(attribute).is_none());
    assert!(!is_built());
    assert_eq!(snapshot.count_entities(attribute, few), 1);
    assert!(is_built(), "an exact count needs it");
    assert_eq!(snapshot.n_holders(attribute, few), 1);
}
