//! What clients hold of a database: what their queries need, as long as they do.
#![allow(clippy::unwrap_used)]

mod pair;

use pair::{Pair, query, set};
use tercet_engine::fact::Op;
use tercet_engine::ids::EntityId;
use tercet_engine::program::raw::Input;
use tercet_engine::value::{Date, Value};
use tercet_sync::message::Mode;

fn name(number: usize) -> Value {
    Value::from(format!("name {number}"))
}

fn entity(id: &str) -> EntityId {
    EntityId::new(id).unwrap()
}

/// Tasks of ten people; those of one are wanted, with their names, unless they are hidden.
const MINE: &str = r#"[:find ?n :where [?t :task/of "me"] [?t :task/name ?n]
                      (not [?t :task/hidden true])]"#;

#[test]
fn a_client_holds_what_its_query_needs_and_lets_go_of_what_it_does_not() {
    let mut pair = Pair::new(1);
    for number in 0..1_000 {
        let (id, owner) = (format!("t{number}"), number % 10);
        let owner = if owner == 0 { "me".to_owned() } else { format!("p{owner}") };
        let owner = set(&id, "task/of", Value::from(owner));
        let mut ops = vec![owner, set(&id, "task/name", name(number))];
        if number % 50 == 0 {
            ops.push(set(&id, "task/hidden", Value::Boolean(true)));
        }
        pair.transact(ops);
    }
    let id = pair.subscribe(0, MINE, Mode::Facts);
    pair.check(0, id, MINE);
    // 100 tasks with name and owner, of which 20 are hidden: that is needed to know it.
    assert_eq!(pair.clients[0].peer.n_facts_held(), 100 * 2 + 20);
    // One goes to somebody else: its facts are true and not needed here any more.
    pair.transact(vec![set("t10", "task/of", Value::from("p1"))]);
    pair.check(0, id, MINE);
    assert_eq!(pair.clients[0].peer.n_facts_held(), 99 * 2 + 20);
    // One comes, another one is shown again, one is renamed, one is deleted.
    let gone = Op::Delete { e: entity("t20") };
    let shown = set("t50", "task/hidden", Value::Boolean(false));
    let renamed = set("t30", "task/name", Value::from("renamed"));
    pair.transact(vec![set("t1", "task/of", Value::from("me")), shown, renamed, gone]);
    pair.check(0, id, MINE);
    assert_eq!(pair.clients[0].peer.n_facts_held(), 99 * 2 + 19);
    // The same value again: whoever holds the fact gets its new mark.
    pair.transact(vec![set("t40", "task/name", name(40))]);
    let (snapshot, _) = pair.tenant.snapshot();
    let held = pair.clients[0].peer.view();
    assert!(held.iter().all(|(fact, mark)| snapshot.mark_of(&fact) == Some(mark)));
}

const LATEST: &str = "[:find ?n ?at :where [?e :note/at ?at] [?e :note/name ?n]
                       (not [?e :note/hidden true])
                       :order-by [[?at :desc]] :limit 10]";

fn note(number: usize) -> Vec<Op> {
    let at = Value::Date(Date::from_ms(1_000 * number as i64).unwrap());
    let id = format!("n{number}");
    vec![set(&id, "note/at", at), set(&id, "note/name", name(number))]
}

#[test]
fn a_window_needs_its_rows_and_a_margin() {
    let mut pair = Pair::new(1);
    pair.transact((0..1_000).flat_map(note).collect());
    let id = pair.subscribe(0, LATEST, Mode::Facts);
    pair.check(0, id, LATEST);
    let held = |pair: &Pair| pair.clients[0].peer.n_facts_held();
    let n_rows = held(&pair) / 2;
    assert!((11..=20).contains(&n_rows), "{n_rows} rows for a window of 10");
    for number in 1_000..1_100 {
        pair.transact(note(number));
        pair.check(0, id, LATEST);
        assert_eq!(held(&pair) / 2, n_rows);
    }
    // One that a negation rejects is held beside the others.
    pair.transact(vec![set("n1095", "note/hidden", Value::Boolean(true))]);
    pair.check(0, id, LATEST);
    assert_eq!(held(&pair), (n_rows + 1) * 2 + 1);
    for number in 1_080..1_100 {
        pair.transact(vec![Op::Delete { e: entity(&format!("n{number}")) }]);
        pair.check(0, id, LATEST);
    }
    assert_eq!(held(&pair) / 2, n_rows);
}

/// While the server's answers do not come, own deletions eat the margin, and then the window.
#[test]
fn a_window_eaten_by_own_writes_is_partial() {
    let mut pair = Pair::new(1);
    pair.transact((0..1_000).flat_map(note).collect());
    let id = pair.subscribe(0, LATEST, Mode::Facts);
    let n_margin = pair.clients[0].peer.n_facts_held() / 2 - 10;
    pair.clients[0].reads = false;
    for n_deleted in 1..=n_margin + 3 {
        let e = entity(&format!("n{}", 1_000 - n_deleted));
        pair.clients[0].peer.transact(vec![Op::Delete { e }], pair.now_ms).unwrap();
        pair.run();
        let (rows, complete) = pair.shown(0, id);
        assert_eq!(complete, n_deleted <= n_margin, "{n_deleted} of {n_margin}");
        assert_eq!(rows.len() == 10, complete);
    }
    pair.clients[0].reads = true;
    pair.run();
    pair.check(0, id, LATEST);
}

/// Guards against one of two subscriptions taking the updates of the other: different queries may
/// have one support, and one lifted form.
#[test]
fn queries_that_share_what_the_engine_keeps_are_all_told() {
    let texts = [
        "[:find ?e ?n :where [?e :item/name ?n]]",
        "[:find ?n :where [?e :item/name ?n]]",
        "[:find (count ?n) . :where [?e :item/name ?n]]",
    ];
    let mut pair = Pair::new(1);
    pair.transact(vec![set("i1", "item/name", Value::from("x"))]);
    let ids = texts.map(|text| pair.subscribe(0, text, Mode::Facts));
    let literal = pair.subscribe(0, r#"[:find ?e :where [?e :item/name "x"]]"#, Mode::Rows);
    let lifted = query("[:find ?e :in ?constant-0 :where [?e :item/name ?constant-0]]");
    let inputs = [Input::Scalar(Value::from("x"))];
    let lifted = pair.clients[0].peer.subscribe(&lifted, &inputs, Mode::Rows).unwrap();
    pair.run();
    pair.transact(vec![set("i2", "item/name", Value::from("x"))]);
    for (id, text) in ids.iter().zip(texts) {
        pair.check(0, *id, text);
    }
    let rows = [literal, lifted].map(|id| pair.shown(0, id));
    assert_eq!(rows[0].0.len(), 2);
    assert_eq!(rows[0], rows[1]);
    pair.clients[0].peer.unsubscribe(ids[0]);
    pair.transact(vec![set("i3", "item/name", Value::from("y"))]);
    pair.check(0, ids[1], texts[1]);
}
