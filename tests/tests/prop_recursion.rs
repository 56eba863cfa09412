//! Recursion over binary relations: every spelling of it, against naive evaluation and against a
//! plain search.
//!
//! The engine reads such rules by their structure and answers them by searching graphs in several
//! ways, chosen by size and by what is asked. What this can catch: a rule taken for a closure that
//! is none, a way of searching that forgets cycles, self-loops or values that are no entities,
//! demand that arrives late, and a change of method (one by one, whole attribute, condensed) that
//! changes an answer.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tercet_engine::answer::{Output, Row};
use tercet_engine::error::QueryError;
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{EntityId, ReplicaId};
use tercet_engine::limits::{Budget, Interrupt};
use tercet_engine::store::Snapshot;
use tercet_engine::value::Value;
use tercet_query_lang::parse;
use tercet_tests::case::check_cases;
use tercet_tests::generate::program::Case;
use tercet_tests::generate::vocabulary::{Kind, attribute, entity, value};
use tercet_tests::random::Random;
use tercet_tests::subject::{self, check_case};
use tercet_tests::tree::lift;

/// Rules for `up`. Most are read as searches; those at the end must not be.
const RULES: &[&str] = &[
    // One attribute, in every spelling.
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) [?a :n/edge ?m] (up ?m ?b)]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?x ?y) (up ?x ?m) [?m :n/edge ?y]]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) (up ?m ?b) (up ?a ?m)]",
    "[(up ?a ?b) [?b :n/edge ?a]] [(up ?a ?b) [?m :n/edge ?a] (up ?m ?b)]",
    "[(up ?a ?b) (or-join [?b ?a] [?a :n/edge ?b] (and [?a :n/edge ?m] (up ?m ?b)))]",
    "[(up ?a ?b) (or-join [?a ?b] [?a :n/edge ?b] (and (up ?a ?b2) (up ?b2 ?b)))]",
    // Several relations as one, and one by another name.
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) [?b :n/link ?a]]
     [(up ?a ?b) (up ?a ?m) (up ?m ?b)]",
    "[(up ?a ?b) (or [?a :n/edge ?b] [?a :n/link ?b])] [(up ?a ?b) (hop ?a ?m) (up ?m ?b)]
     [(hop ?a ?b) [?a :n/link ?b]] [(hop ?x ?y) (pho ?y ?x)] [(pho ?y ?x) [?x :n/edge ?y]]",
    // Steps that are bodies of their own.
    "[(up ?a ?b) [?a :n/edge ?b] [(!= ?a ?b)]]
     [(up ?a ?b) [?a :n/edge ?m] [(!= ?a ?m)] (up ?m ?b)]",
    "[(up ?a ?b) [?a :n/edge ?x] [?x :n/link ?b]]
     [(up ?a ?b) (up ?a ?m) [?m :n/edge ?x] [?x :n/link ?b]]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) [?a :n/edge ?m] (not [?m :n/link _]) (up ?m ?b)]",
    "[(up ?a ?b) (hop ?a ?b)] [(up ?a ?b) (up ?a ?m) (hop ?m ?b)]
     [(hop ?a ?b) [?a :n/edge ?b]] [(hop ?a ?b) [?a :n/link ?m] (hop ?m ?b)]",
    // The base is another relation than the steps.
    "[(up ?a ?b) [?a :n/link ?b]] [(up ?a ?b) [?a :n/edge ?m] (up ?m ?b)]",
    "[(up ?a ?b) [?a :n/link ?b]] [(up ?a ?b) (up ?a ?m) [?m :n/edge ?b]]",
    "[(up ?a ?a2) [?a :n/link _] [(identity ?a) ?a2]] [(up ?a ?b) [?a :n/edge ?m] (up ?m ?b)]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) [?a :n/link ?b]]
     [(up ?a ?b) [?a :n/edge ?m] (up ?m ?b)] [(up ?a ?b) (up ?a ?m) [?m :n/link ?b]]",
    // A relation on both sides.
    "[(up ?x ?y) [?x :n/edge ?p] [?y :n/edge ?p]]
     [(up ?x ?y) [?x :n/edge ?a] (up ?a ?b) [?y :n/edge ?b]]",
    "[(up ?x ?y) [?x :n/link ?y]] [(up ?x ?y) [?x :n/edge ?a] (up ?a ?b) [?b :n/edge ?y]]",
    "[(up ?x ?y) [?x :n/link ?y]] [(up ?x ?y) [?x :n/edge ?a] (up ?a ?b) [?b :n/link ?y]]
     [(up ?x ?y) [?a :n/link ?x] (up ?a ?y)]",
    // Bindings that the caller must have.
    "[(up [?a] ?b) [?a :n/edge ?b]] [(up [?a] ?b) [?a :n/edge ?m] (up ?m ?b)]",
    // What is no path: a filter over both ends, ends that cross, a constant, a condition apart.
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) [?a :n/edge ?m] (up ?m ?b) [(!= ?a ?b)]]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) [?a :n/edge ?m] (up ?m ?b) [?b :n/link ?a]]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) [?a :n/edge ?m] (up ?b ?m)]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) (up ?b ?a)]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) [?b :n/link _] (up ?a #ref \"n1\")]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) (up ?a ?m) (up ?m ?b) [?m :n/link _]]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) (up ?a ?m) (up ?m ?n) (up ?n ?b)]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) (up ?a ?m) (up ?m ?b)] [(up ?a ?b) [?a :n/link ?m]
     (up ?m ?b)]",
    "[(up ?x ?y) [?x :n/link ?y]] [(up ?x ?y) [?x :n/edge ?a] (up ?a ?b) [?b :n/edge ?y]
     [?q :n/link ?q]]",
    "[(up ?a ?b) [?a :n/edge ?b]] [(up ?a ?b) (via ?a ?m) [?m :n/edge ?b]]
     [(via ?a ?b) (up ?a ?b)] [(via ?a ?b) [?b :n/link ?a]]",
];

/// What is asked of `up`.
const QUESTIONS: &[&str] = &[
    ":find ?a ?b :where (up ?a ?b)",
    ":find ?b :where (up #ref \"n0\" ?b)",
    ":find ?a :where (up ?a #ref \"n1\")",
    ":find ?a :where (up ?a \"ab\")",
    ":find ?b :where (up \"ab\" ?b)",
    ":find ?a :where (up ?a 7777)",
    ":find ?a ?b :where [?a :n/link ?x] (up ?a ?b)",
    ":find ?a ?b :where [?x :n/link ?b] (up ?a ?b)",
    ":find ?a ?b :where [?a :n/link ?b] (up ?a ?b)",
    ":find ?a ?b :where [?a :n/link ?b] (not (up ?a ?b))",
    ":find ?a :where [?a :n/link _] (not (up ?a _))",
    ":find ?a :where [?a :n/edge _] (up ?a ?a)",
    ":find ?a :where (up ?a _)",
    ":find ?b :where (up _ ?b)",
    ":find ?a ?b ?c :where (up ?a ?b) (up ?b ?c)",
    ":find ?a ?b :where [?a :n/link _] (far ?a ?b)",
];

/// A recursion above `up`, which asks it for more in every round.
const ABOVE: &str = "[(far ?a ?b) [?a :n/link ?m] (up ?m ?b)]
                     [(far ?a ?b) (far ?a ?m) [?m :n/link ?n] (up ?n ?b)]";

/// Edges between few nodes: cycles, self-loops, and values that are no entities.
fn small_database(random: &mut Random) -> Vec<Transaction> {
    let n_ops = random.below(24);
    let ops = (0..n_ops).map(|_| {
        let a = if random.chance(67) { "n/edge" } else { "n/link" };
        let kind = if random.chance(85) { Kind::Ref } else { Kind::Any };
        Op::Add { e: entity(random), a: attribute(a), v: value(random, kind) }
    });
    vec![Transaction { hlc: Hlc::new(1, 0, ReplicaId(1)), ops: ops.collect() }]
}

#[test]
fn every_spelling_answers_as_the_oracle_says() {
    check_cases("every_spelling_answers_as_the_oracle_says", 400, |random| {
        let database = small_database(random);
        let rules = *random.pick(RULES);
        let question = *random.pick(QUESTIONS);
        if rules.contains("(up [?a] ?b)") && !question.contains("[?a :n/") {
            return;
        }
        let text = format!("[{question} :rules [{rules} {ABOVE}]]");
        let case = Case { program: lift(&parse(&text).unwrap().raw), inputs: Vec::new() };
        subject::prepare(&case.program).unwrap_or_else(|refused| panic!("{text}\n{refused:?}"));
        check_case(&database, &case, &text);
    });
}

/// Edges by number of node.
type Edges = BTreeMap<usize, BTreeSet<usize>>;

fn id(node: usize) -> EntityId {
    EntityId::new(format!("n{node}")).unwrap()
}

/// A node as a value; every seventh that is reached is a number instead, which leads nowhere.
fn node_value(node: usize) -> Value {
    if node % 7 == 6 { Value::int(node as i64) } else { Value::Ref(id(node)) }
}

fn large_graph(random: &mut Random) -> (usize, Edges) {
    let scale = 2 + random.below(10);
    let n_nodes = 2 + random.below(1 << scale);
    let n_edges = random.below(2 * n_nodes) + n_nodes / 2;
    let mut edges = Edges::new();
    // Long chains, or anything to anything; now and then with few ways back.
    let is_chain = random.chance(40);
    for _ in 0..n_edges {
        let from = random.below(n_nodes);
        let to = match is_chain && random.chance(99) {
            true => (from + 1 + random.below(3)) % n_nodes,
            false => random.below(n_nodes),
        };
        if from % 7 != 6 && (!is_chain || from < to || random.chance(10)) {
            edges.entry(from).or_default().insert(to);
        }
    }
    (n_nodes, edges)
}

fn reached(edges: &Edges, from: usize) -> BTreeSet<usize> {
    let mut met = BTreeSet::new();
    let mut pending = vec![from];
    while let Some(node) = pending.pop() {
        let next = edges.get(&node).into_iter().flatten();
        pending.extend(next.filter(|to| met.insert(**to)));
    }
    met
}

fn reversed(edges: &Edges) -> Edges {
    let mut reversed = Edges::new();
    for (from, to) in edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        reversed.entry(*to).or_default().insert(*from);
    }
    reversed
}

fn values(rows: &[Row]) -> BTreeSet<Vec<Value>> {
    let value = |output: &Output| match output {
        Output::Value(value) => value.clone(),
        other => panic!("{other:?}"),
    };
    let values: BTreeSet<Vec<Value>> =
        rows.iter().map(|row| row.iter().map(value).collect()).collect();
    assert_eq!(values.len(), rows.len(), "no row comes twice");
    values
}

/// Graphs large enough for every way of searching: one by one, whole, condensed.
#[test]
fn closures_of_large_graphs_are_what_a_search_finds() {
    check_cases("closures_of_large_graphs_are_what_a_search_finds", 60, |random| {
        let (n_nodes, edges) = large_graph(random);
        let back = reversed(&edges);
        let pairs = edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (*from, *to)));
        let mut ops: Vec<Op> = pairs
            .map(|(from, to)| Op::Add { e: id(from), a: attribute("n/edge"), v: node_value(to) })
            .collect();
        let sources: BTreeSet<usize> =
            (0..random.below(6)).map(|_| random.below(n_nodes)).collect();
        for source in &sources {
            ops.push(Op::Add { e: id(*source), a: attribute("n/on"), v: Value::Boolean(true) });
        }
        random.shuffle(&mut ops);
        let transaction = Transaction { hlc: Hlc::new(1, 0, ReplicaId(1)), ops };
        let snapshot = subject::store(&[transaction]).snapshot();
        let rules = RULES[random.below(3)];
        let ask = |question: &str| {
            let text = format!("[{question} :rules [{rules}]]");
            let query = subject::prepare(&lift(&parse(&text).unwrap().raw)).unwrap();
            values(&subject::run(&query, &snapshot, &[]).unwrap())
        };
        let of = |nodes: BTreeSet<usize>| -> BTreeSet<Vec<Value>> {
            nodes.into_iter().map(|node| vec![node_value(node)]).collect()
        };
        for node in [random.below(n_nodes), random.below(n_nodes)] {
            let node = if node % 7 == 6 { 0 } else { node };
            let (above, below) = (reached(&edges, node), reached(&back, node));
            assert_eq!(ask(&format!(":find ?b :where (up #ref \"n{node}\" ?b)")), of(above));
            assert_eq!(ask(&format!(":find ?a :where (up ?a #ref \"n{node}\")")), of(below));
        }
        let from_source = |source: &usize| {
            let reached = reached(&edges, *source).into_iter();
            reached.map(|to| vec![Value::Ref(id(*source)), node_value(to)]).collect::<Vec<_>>()
        };
        let expected: BTreeSet<Vec<Value>> = sources.iter().flat_map(from_source).collect();
        assert_eq!(ask(":find ?a ?b :where [?a :n/on true] (up ?a ?b)"), expected);
        if n_nodes <= 200 {
            let expected: BTreeSet<Vec<Value>> = edges.keys().flat_map(from_source).collect();
            assert_eq!(ask(":find ?a ?b :where (up ?a ?b)"), expected);
        }
    });
}

/// A chain of nodes: its closure has millions of pairs.
fn chain(n_nodes: usize) -> Snapshot {
    let ops = (1..n_nodes).map(|node| Op::Add {
        e: id(node - 1),
        a: attribute("n/edge"),
        v: Value::Ref(id(node)),
    });
    let transaction = Transaction { hlc: Hlc::new(1, 0, ReplicaId(1)), ops: ops.collect() };
    subject::store(&[transaction]).snapshot()
}

/// Limits hold within a search, and its rule is named.
#[test]
fn a_search_over_its_budget_names_the_rule() {
    let snapshot = chain(4_000);
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let stop: Interrupt = Arc::new(move || counter.fetch_add(1, Ordering::Relaxed) >= 100);
    let budgets = [
        Budget { rows: Some(20_000), ..Budget::unlimited() },
        Budget { bytes: Some(1 << 20), ..Budget::unlimited() },
        Budget { interrupt: Some(stop), ..Budget::unlimited() },
    ];
    let same = "[(up ?x ?y) [?x :n/edge ?y]]
                [(up ?x ?y) [?x :n/edge ?a] (up ?a ?b) [?y :n/edge ?b]]
                [(up ?x ?y) (up ?x ?m) [?m :n/edge ?y]]";
    for rules in [RULES[0], RULES[2], same] {
        let text = format!("[:find ?a ?b :where (up ?a ?b) :rules [{rules}]]");
        let query = subject::prepare(&lift(&parse(&text).unwrap().raw)).unwrap();
        for budget in &budgets {
            calls.store(0, Ordering::Relaxed);
            let error = query.run(&snapshot, &[], budget).unwrap_err();
            assert!(error.to_string().contains("rule up"), "{error}");
            let n_rows_made = match error {
                QueryError::Budget { n_rows_made, .. }
                | QueryError::Stopped { n_rows_made, .. } => n_rows_made,
                other => panic!("{other}"),
            };
            assert!(n_rows_made < 200_000, "{n_rows_made} rows before it stopped");
        }
    }
}

/// The work of a bound question does not grow with facts that have nothing to do with it.
#[test]
fn a_bound_search_reads_what_it_reaches() {
    let work = |n_nodes: usize, question: &str| {
        let text = format!("[{question} :rules [{}]]", RULES[0]);
        let query = subject::prepare(&lift(&parse(&text).unwrap().raw)).unwrap();
        let answer = query.run(&chain(n_nodes), &[], &Budget::unlimited()).unwrap();
        assert_eq!(answer.rows.len(), 20, "{question}");
        assert_eq!(answer.work.n_rounds, 1);
        answer.work.n_facts_read
    };
    for (small, large) in [
        (":find ?b :where (up #ref \"n979\" ?b)", ":find ?b :where (up #ref \"n29979\" ?b)"),
        (":find ?a :where (up ?a #ref \"n20\")", ":find ?a :where (up ?a #ref \"n20\")"),
    ] {
        let n_small = work(1_000, small);
        assert_eq!(work(30_000, large), n_small);
        assert!(n_small < 100, "{n_small} facts read for 20 rows");
    }
}
