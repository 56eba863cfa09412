//! Tables of recursive rules: what they hold, who shares them, and what a change costs.
//!
//! That results are right is what `prop_live` and `fuzz-live` show; here it is that they are kept,
//! by whom, for how long, and that work follows the change and not the graph: it is counted, so
//! nothing here depends on the machine.
#![allow(clippy::unwrap_used)]

use tercet_engine::answer::{Output, Row};
use tercet_engine::db::{Db, InstanceId, LiveLimits, LiveUpdate, Tier};
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::Store;
use tercet_engine::value::Value;
use tercet_query_lang::parse;
use tercet_tests::case::check_cases;
use tercet_tests::random::Random;
use tercet_tests::workload::transactions;

const RIGHT: &str = "[[(r ?a ?b) [?a :n/to ?b]] [(r ?a ?b) [?a :n/to ?c] (r ?c ?b)]]";
const LEFT: &str = "[[(r ?a ?b) [?a :n/to ?b]] [(r ?a ?b) (r ?a ?c) [?c :n/to ?b]]]";
const DOUBLED: &str = "[[(r ?a ?b) [?a :n/to ?b]] [(r ?a ?b) (r ?a ?c) (r ?c ?b)]]";
/// Not a path: the step depends on where it began.
const GUARDED: &str = "[[(r ?a ?b) [?a :n/to ?b]]
                        [(r ?a ?b) [?a :n/to ?c] (r ?c ?b) [(!= ?a ?b)]]]";
const MUTUAL: &str = "[[(r ?a ?b) [?a :n/to ?b]] [(r ?a ?b) [?a :n/to ?c] (s ?c ?b)]
                       [(s ?a ?b) [?a :n/to ?b]] [(s ?a ?b) [?a :n/to ?c] (r ?c ?b)]]";
const EVERY: [&str; 5] = [RIGHT, LEFT, DOUBLED, GUARDED, MUTUAL];

fn id(text: &str) -> EntityId {
    EntityId::new(text).unwrap()
}

fn edge(from: &str, to: &str) -> Op {
    let a = Attribute::new("n/to").unwrap();
    Op::Add { e: id(from), a, v: Value::Ref(id(to)) }
}

fn cut(from: &str, to: &str) -> Op {
    let a = Attribute::new("n/to").unwrap();
    Op::Remove { e: id(from), a, v: Value::Ref(id(to)), covers: None }
}

/// A database and the time of its next write.
struct World {
    db: Db,
    ms: u64,
}

impl World {
    fn new(ops: &[Op]) -> World {
        let mut store = Store::new();
        for transaction in transactions(ops, 1_000) {
            store.apply(&transaction);
        }
        World { db: Db::with_store(store), ms: 1_000_000 }
    }

    fn subscribe(&mut self, query: &str, inputs: &[&str]) -> InstanceId {
        let raw = parse(query).unwrap_or_else(|report| panic!("{report}")).raw;
        let query = tercet_engine::db::Query::prepare(raw).unwrap();
        let inputs: Vec<Input> =
            inputs.iter().map(|it| Input::Scalar(Value::Ref(id(it)))).collect();
        self.db.subscribe(&query, &inputs, &Budget::unlimited()).unwrap()
    }

    /// Who is reached from one by rules.
    fn reach(&mut self, rules: &str, from: &str) -> InstanceId {
        let query = format!("[:find ?y :in ?x :where (r ?x ?y) :rules {rules}]");
        self.subscribe(&query, &[from])
    }

    fn write(&mut self, op: Op) -> Vec<LiveUpdate> {
        self.ms += 1;
        let hlc = Hlc::new(self.ms, 0, ReplicaId(1));
        let transaction = Transaction { hlc, ops: vec![op] };
        let mut successor = self.db.store().clone();
        let delta = successor.apply(&transaction);
        self.db.publish(successor, &delta)
    }

    /// What an instance was told of a write: the ids that came, and those that went.
    fn change(&mut self, instance: InstanceId, op: Op) -> (Vec<String>, Vec<String>) {
        let updates = self.write(op);
        let ours = updates.into_iter().find(|update| update.instance == instance);
        let change = ours.map(|update| update.change.unwrap()).unwrap_or_default();
        (texts(&change.added), texts(&change.removed))
    }

    fn n_kept(&self) -> u64 {
        self.db.live_stats().iter().map(|shape| shape.n_kept).sum()
    }

    /// Look-ups of a write.
    fn work(&mut self, op: Op) -> u64 {
        let n_lookups = |db: &Db| db.live_stats().iter().map(|it| it.n_lookups).sum::<u64>();
        let before = n_lookups(&self.db);
        self.write(op);
        n_lookups(&self.db) - before
    }
}

fn texts(rows: &[Row]) -> Vec<String> {
    let text = |row: &Row| match &row[0] {
        Output::Value(Value::Ref(entity)) => entity.to_string(),
        other => format!("{other:?}"),
    };
    rows.iter().map(text).collect()
}

fn chain(prefix: &str, n: usize) -> Vec<Op> {
    let node = |index| format!("{prefix}{index}");
    (0..n).map(|index| edge(&node(index), &node(index + 1))).collect()
}

#[test]
fn the_edge_that_held_up_a_cycle_takes_it_along() {
    for rules in EVERY {
        let mut world = World::new(&[edge("a", "b"), edge("b", "c"), edge("c", "b")]);
        let reached = world.reach(rules, "a");
        assert_eq!(world.db.tier(reached), Some(Tier::Tables), "{rules}");
        let (added, removed) = world.change(reached, cut("a", "b"));
        assert_eq!((added, removed), (vec![], vec!["b".to_owned(), "c".to_owned()]), "{rules}");
        let (added, removed) = world.change(reached, edge("a", "c"));
        assert_eq!((added, removed), (vec!["b".to_owned(), "c".to_owned()], vec![]), "{rules}");
    }
}

#[test]
fn what_another_way_leads_to_stays() {
    for rules in EVERY {
        let mut world = World::new(&[
            edge("a", "b"),
            edge("b", "d"),
            edge("a", "c"),
            edge("c", "d"),
            edge("d", "e"),
        ]);
        let reached = world.reach(rules, "a");
        assert!(world.change(reached, cut("b", "d")).1.is_empty(), "{rules}");
        assert_eq!(world.change(reached, cut("c", "d")).1, ["d", "e"], "{rules}");
    }
}

#[test]
fn instances_with_other_parameters_share_tables() {
    for rules in EVERY {
        let mut world = World::new(&[chain("a", 5), chain("b", 5)].concat());
        let a = world.reach(rules, "a0");
        let alone = world.n_kept();
        let b = world.reach(rules, "b0");
        assert_eq!(world.n_kept(), 2 * alone, "{rules}");
        let stats = world.db.live_stats();
        assert_eq!((stats.len(), stats[0].n_instances), (1, 2), "one shape, one table");
        // One edge for both.
        world.write(edge("a5", "x"));
        let updates = world.write(edge("b5", "a0"));
        let told: Vec<InstanceId> = updates.iter().map(|update| update.instance).collect();
        assert_eq!(told, [b], "{rules}");
        let updates = world.write(edge("x", "y"));
        assert_eq!(updates.len(), 2, "{rules}");
        assert!(updates.iter().any(|update| update.instance == a));
    }
}

#[test]
fn shapes_share_the_tables_of_equal_rules() {
    let mut world = World::new(&chain("a", 5));
    world.reach(LEFT, "a0");
    let alone = world.n_kept();
    let sorted = format!("[:find ?y :in ?x :where (r ?x ?y) :order-by [?y] :rules {LEFT}]");
    world.subscribe(&sorted, &["a0"]);
    let kept: Vec<u64> = world.db.live_stats().iter().map(|shape| shape.n_kept).collect();
    assert_eq!(kept, [alone, alone], "both read one table, which holds nothing twice");
}

/// The other end bound, both, or none are other relations of the same rule.
#[test]
fn every_way_of_calling_has_its_relations() {
    for rules in EVERY {
        let mut world = World::new(&chain("a", 5));
        let forward = world.reach(rules, "a2");
        let into = format!("[:find ?x :in ?y :where (r ?x ?y) :rules {rules}]");
        let backward = world.subscribe(&into, &["a3"]);
        let between = format!("[:find ?x ?y :in ?x ?y :where (r ?x ?y) :rules {rules}]");
        let both = world.subscribe(&between, &["a1", "z"]);
        let all = world.subscribe(&format!("[:find ?x ?y :where (r ?x ?y) :rules {rules}]"), &[]);
        let updates = world.write(edge("a5", "z"));
        let n_added = |instance| {
            let update = updates.iter().find(|update| update.instance == instance);
            update.map(|update| update.change.as_ref().unwrap().added.len())
        };
        let told = [forward, backward, both, all].map(n_added);
        assert_eq!(told, [Some(1), None, Some(1), Some(6)], "{rules}");
    }
}

#[test]
fn the_last_one_to_leave_empties_the_table() {
    for rules in EVERY {
        let mut world =
            World::new(&[chain("a", 5), chain("b", 3), vec![edge("b3", "b0")]].concat());
        let a = world.reach(rules, "a0");
        let alone = world.n_kept();
        let b = world.reach(rules, "b0");
        let again = world.reach(rules, "b0");
        assert_eq!(b, again);
        world.db.unsubscribe(b);
        assert!(world.n_kept() > alone, "{rules}: one user is left");
        world.db.unsubscribe(b);
        assert_eq!(world.n_kept(), alone, "{rules}");
        world.db.unsubscribe(a);
        assert!(world.db.live_stats().is_empty(), "{rules}");
        let a = world.reach(rules, "a0");
        assert_eq!(world.n_kept(), alone, "{rules}: filled again");
        assert_eq!(world.change(a, cut("a3", "a4")).1, ["a4", "a5"], "{rules}");
    }
}

/// What only a negation of a recursion reads is kept whole, below what negates it.
#[test]
fn negation_over_a_recursion_follows_it() {
    let mut world = World::new(&[edge("a", "b"), edge("b", "c"), edge("d", "d")]);
    let query = "[:find ?y :in ?x :where [?y :n/to _] (not (r ?x ?y)) :rules ";
    let apart = world.subscribe(&format!("{query}{RIGHT}]"), &["a"]);
    assert_eq!(world.db.tier(apart), Some(Tier::Tables));
    assert_eq!(world.change(apart, edge("c", "d")).1, ["d"]);
    assert_eq!(world.change(apart, cut("b", "c")).0, ["c", "d"]);
}

#[test]
fn a_subscriber_over_budget_leaves_tables_as_they_were() {
    let mut world = World::new(&[chain("a", 5), chain("b", 500)].concat());
    let query = format!("[:find ?y :in ?x :where (r ?x ?y) :rules {LEFT}]");
    let a = world.subscribe(&query, &["a0"]);
    let alone = world.n_kept();
    let raw = parse(&query).unwrap_or_else(|report| panic!("{report}")).raw;
    let query = tercet_engine::db::Query::prepare(raw).unwrap();
    let budget = Budget { rows: Some(100), ..Budget::unlimited() };
    let inputs = [Input::Scalar(Value::Ref(id("b0")))];
    assert!(world.db.subscribe(&query, &inputs, &budget).is_err());
    assert_eq!(world.n_kept(), alone);
    assert_eq!(world.change(a, edge("a5", "b499")).0, ["b499", "b500"]);
}

/// A step that is too much for tables fills them again, if that is less.
#[test]
fn tables_that_cannot_follow_are_filled_again() {
    let mut world = World::new(&chain("a", 1_000));
    world.db.set_live_limits(LiveLimits { lookups: 60, ..LiveLimits::default() });
    let a = world.reach(LEFT, "a0");
    assert_eq!(world.change(a, cut("a0", "a1")).1.len(), 1_000);
    assert_eq!(world.db.live_stats()[0].n_fallbacks, 1);
    assert_eq!(world.change(a, edge("a0", "a999")).0, ["a1000", "a999"]);
    assert_eq!(world.db.live_stats()[0].n_fallbacks, 1);
}

/// Where that is too much as well, they are let go until somebody asks again.
#[test]
fn tables_that_cannot_be_filled_again_are_let_go() {
    let mut world = World::new(&[chain("a", 1), chain("b", 1_000)].concat());
    world.db.set_live_limits(LiveLimits { lookups: 60, ..LiveLimits::default() });
    let a = world.reach(LEFT, "a0");
    let updates = world.write(edge("a1", "b0"));
    assert!(updates[0].instance == a && updates[0].change.is_err());
    assert!(world.db.answer(a).is_none(), "it is stale");
    assert!(world.n_kept() <= 1, "what it asked for is all that is left");
    assert!(world.write(edge("a1", "z")).is_empty());
    world.db.refresh(a).unwrap();
    assert_eq!(world.change(a, edge("z", "y")).0, ["y"]);
    assert_eq!(world.db.answer(a).unwrap().unwrap().rows.len(), 1_004);
}

/// An edge far away from what is kept, and one in it: work does not grow with the graph.
#[test]
fn work_does_not_grow_with_the_graph() {
    for rules in EVERY {
        let work = |n_unrelated: usize| {
            let mut ops = chain("a", 20);
            for index in 0..n_unrelated {
                ops.extend(chain(&format!("u{index}-"), 20));
                if index < 5 {
                    ops.push(edge(&format!("u{index}-20"), "a10"));
                }
            }
            let mut world = World::new(&ops);
            world.reach(rules, "a0");
            let far = [edge("u0-3", "u0-9"), cut("u0-3", "u0-9"), cut("u0-4", "u0-5")];
            let near = [edge("a19", "x"), cut("a19", "a20"), cut("a15", "a16")];
            (far.map(|op| world.work(op)), near.map(|op| world.work(op)))
        };
        let (small, large) = (work(5), work(500));
        assert_eq!(small, large, "{rules}");
        assert!(small.0.iter().all(|far| *far < 40), "{rules}: {:?} look-ups", small.0);
    }
}

/// Where other ways are as short, a deletion is a look at what the edge led to.
#[test]
fn a_deletion_beside_another_way_ends_at_the_first_look() {
    let work = |n_behind: usize| {
        let mut ops = chain("behind", n_behind);
        ops.extend([edge("a", "b"), edge("a", "c"), edge("b", "behind0"), edge("c", "behind0")]);
        let mut world = World::new(&ops);
        world.reach(LEFT, "a");
        world.work(cut("b", "behind0"))
    };
    assert_eq!(work(10), work(1_000));
}

/// Edges of a small graph come and go, and seeds with them: between writes every tuple stands on
/// tuples below it, and what is told adds up to what an evaluation says.
#[test]
fn every_tuple_stands_on_tuples_below_it() {
    check_cases("every_tuple_stands_on_tuples_below_it", 20, |random| {
        let rules = *random.pick(&EVERY);
        let mut world = World::new(&[]);
        let node = |random: &mut Random| format!("n{}", random.below(7));
        let all = world.subscribe(&format!("[:find ?x ?y :where (r ?x ?y) :rules {rules}]"), &[]);
        let mut seeds = vec![world.reach(rules, "n0")];
        let mut n_rows = 0;
        for _ in 0..60 {
            let (from, to) = (node(random), node(random));
            match random.below(10) {
                0 => seeds.push(world.reach(rules, &from)),
                1 => seeds.pop().into_iter().for_each(|seed| world.db.unsubscribe(seed)),
                2..6 => n_rows += n_more(&world.write(edge(&from, &to)), all),
                _ => n_rows += n_more(&world.write(cut(&from, &to)), all),
            }
            assert!(world.db.are_tables_sound(), "{rules}");
            let answer = world.db.answer(all).unwrap().unwrap();
            assert_eq!(n_rows, answer.rows.len() as i64, "{rules}");
        }
    });
}

fn n_more(updates: &[LiveUpdate], instance: InstanceId) -> i64 {
    let update = updates.iter().find(|update| update.instance == instance);
    let change = update.map(|update| update.change.as_ref().unwrap());
    change.map_or(0, |change| change.added.len() as i64 - change.removed.len() as i64)
}
