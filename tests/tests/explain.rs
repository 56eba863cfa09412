//! What `explain` and `profile` say of queries of every shape, and what an error of a budget says.
//!
//! Golden texts are in `golden/explain`; `TERCET_BLESS=1` writes them. The clock of these tests
//! ticks once at each look, so times are as golden as rows. One of the texts is the worked example
//! on the page of the query language.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tercet_engine::answer::Answer;
use tercet_engine::db::{Db, LiveProfile, Query};
use tercet_engine::error::QueryError;
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::limits::Budget;
use tercet_engine::profile::{Form, Profile};
use tercet_engine::program::raw::{Input, Place};
use tercet_engine::store::{Snapshot, Store};
use tercet_engine::value::Value;

const ANCESTOR: &str = "[[(up ?x ?y) [?x :p/parent ?y]] [(up ?x ?y) [?x :p/parent ?m] (up ?m ?y)]]";

/// `(question, text, rules, inputs)`: one for each shape of plan.
const QUESTIONS: [(&str, &str, &str, &[&str]); 13] = [
    ("star", r#"[:find ?last :where [?e :p/last ?last] [?e :p/name "name3"]]"#, "", &[]),
    (
        "hash_join",
        "[:find ?a ?b :where [?a :p/last ?l] [?b :p/last ?l] [?a :p/age 35] [?b :p/age 36]]",
        "",
        &[],
    ),
    (
        "hash_join_large",
        "[:find (count ?b) . :where [?a :p/age ?x] [?b :p/age ?x] [?b :p/name ?n] [?a :p/name ?n]]",
        "",
        &[],
    ),
    (
        "triangle",
        "[:find ?a ?b ?c :where [?a :p/knows ?b] [?b :p/knows ?c] [?a :p/knows ?c]]",
        "",
        &[],
    ),
    (
        "range",
        "[:find ?e :where [?e :p/salary ?s] [(> ?s 40000)] [?e :p/age ?a] [(< ?a 20)]]",
        "",
        &[],
    ),
    ("search", r#"[:find ?y :in % :where (up #ref "e99" ?y)]"#, ANCESTOR, &[]),
    (
        "rounds",
        "[:find ?y :in % :where (far 20 ?y)]",
        "[[(far ?n ?y) [?y :p/age ?n]] [(far ?n ?y) [(- ?n 1) ?m] [(> ?m 0)] (far ?m ?y)]]",
        &[],
    ),
    ("top", "[:find ?e ?s :where [?e :p/salary ?s] :order-by [[?s :desc]] :limit 3]", "", &[]),
    (
        "top_given_up",
        r#"[:find ?e ?s :where [?e :p/salary ?s] [?e :p/name ?n] [(< ?n "a")] :order-by [?s] :limit 3]"#,
        "",
        &[],
    ),
    (
        "top_known",
        r#"[:find ?e ?s :where [?e :p/salary ?s] [?e :p/name "nobody"] :order-by [?s] :limit 3]"#,
        "",
        &[],
    ),
    ("anti_join", "[:find ?e :where [?e :p/age 35] (not [?e :p/parent _])]", "", &[]),
    (
        "inlined",
        "[:find ?n :in % ?l :where (named ?e ?n) [?e :p/last ?l]]",
        "[[(named ?e ?n) [?e :p/name ?n] [(!= ?n \"name0\")]]]",
        &["last2"],
    ),
    (
        "or_pull",
        "[:find (pull ?e [:p/name]) :where (or [?e :p/age 1] (and [?e :p/age 2] [?e :p/last \"last0\"]))]",
        "",
        &[],
    ),
];

fn people_store() -> Store {
    let mut ops = Vec::new();
    let mut seed = 7_u64;
    let mut below = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    for person in 0..2_000_u64 {
        let e = EntityId::new(format!("e{person}")).unwrap();
        let mut add = |attribute: &str, v: Value| {
            ops.push(Op::Add { e: e.clone(), a: Attribute::new(attribute).unwrap(), v });
        };
        add("p/name", Value::from(format!("name{}", below(8))));
        add("p/last", Value::from(format!("last{}", below(6))));
        add("p/age", Value::int(below(100) as i64));
        add("p/salary", Value::int(below(100_000) as i64));
        add("p/knows", Value::reference(&format!("e{}", below(2_000))).unwrap());
        add("p/knows", Value::reference(&format!("e{}", below(2_000))).unwrap());
        if person > 0 {
            add("p/parent", Value::reference(&format!("e{}", person / 2)).unwrap());
        }
    }
    let mut store = Store::new();
    store.apply(&Transaction { hlc: Hlc::ZERO, ops });
    store
}

fn people() -> Snapshot {
    people_store().snapshot()
}

fn parsed(text: &str, rules: &str) -> tercet_query_lang::Parsed {
    let parsed = match rules {
        "" => tercet_query_lang::parse(text),
        rules => tercet_query_lang::parse_with_rules(text, rules),
    };
    parsed.unwrap_or_else(|report| panic!("{report}"))
}

fn query(text: &str, rules: &str) -> Query {
    parsed(text, rules).prepare().unwrap_or_else(|report| panic!("{report}"))
}

fn scalars(inputs: &[&str]) -> Vec<Input> {
    inputs.iter().map(|input| Input::Scalar(Value::from((*input).to_owned()))).collect()
}

fn profile(query: &Query, snapshot: &Snapshot, inputs: &[Input]) -> (Answer, Profile) {
    let ticks = Cell::new(0);
    let clock = || {
        ticks.set(ticks.get() + 1);
        Duration::from_micros(ticks.get())
    };
    query.profile(snapshot, inputs, &Budget::unlimited(), Some(&clock)).unwrap()
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/explain").join(format!("{name}.txt"))
}

#[test]
fn every_shape_is_explained_and_profiled() {
    let snapshot = people();
    for (name, text, rules, inputs) in QUESTIONS {
        let (query, inputs) = (query(text, rules), scalars(inputs));
        let explained = query.explain(&snapshot);
        let (answer, profile) = profile(&query, &snapshot, &inputs);
        let found = query.run(&snapshot, &inputs, &Budget::unlimited()).unwrap();
        assert_eq!(answer.rows, found.rows, "{name}: a profile is of the same answer");
        assert_eq!(answer.work, found.work, "{name}: and of the same work");
        let shown = format!("{text}\n{rules}\n\n{explained}\n{profile}");
        if std::env::var_os("TERCET_BLESS").is_some() {
            fs::write(path(name), &shown).unwrap();
        }
        assert_eq!(shown, fs::read_to_string(path(name)).unwrap(), "{name}");
    }
}

/// `(name, text, inputs)`: one for each way to follow a change.
const LIVE: [(&str, &str, &[&str]); 8] = [
    (
        "live_join",
        "[:find ?n :in ?l :where [?e :p/last ?l] [?e :p/name ?n] [?e :p/age 30]]",
        &["last1"],
    ),
    (
        "live_not",
        "[:find ?e :in ?l :where [?e :p/last ?l] (not [?e :p/name \"name1\"] [?e :p/age 3])]",
        &["last1"],
    ),
    (
        "live_or",
        "[:find ?e :where [?e :p/age 30] (or [?e :p/name \"a\"] [(missing? $ ?e :p/last)])]",
        &[],
    ),
    ("live_range", "[:find ?e ?s :where [?e :p/salary ?s] [(>= ?s 10)] [(< ?s 20)]]", &[]),
    ("live_group", "[:find ?n (sum ?s) :where [?e :p/name ?n] [?e :p/salary ?s]]", &[]),
    ("live_window", "[:find ?e ?s :where [?e :p/salary ?s] :order-by [[?s :desc]] :limit 10]", &[]),
    ("live_pull", "[:find (pull ?e [:p/name {:p/knows [:p/name]}]) :where [?e :p/age 30]]", &[]),
    (
        "live_attribute",
        "[:find ?a :in ?e :where [?e ?a _] [(get-else $ ?e :p/age 0) ?age] [(> ?age 3)]]",
        &["e1"],
    ),
];

#[test]
fn every_way_to_follow_a_change_is_explained() {
    let store = people_store();
    for (name, text, inputs) in LIVE {
        let mut db = Db::with_store(store.clone());
        let query = query(text, "");
        let instance = db.subscribe(&query, &scalars(inputs), &Budget::unlimited()).unwrap();
        let explained = db.explain_live(instance).unwrap();
        let json = serde_json::to_value(&explained).unwrap();
        assert_eq!(serde_json::from_value::<LiveProfile>(json).unwrap(), explained, "{name}");
        let shown = format!("{text}\n\n{explained}");
        if std::env::var_os("TERCET_BLESS").is_some() {
            fs::write(path(name), &shown).unwrap();
        }
        assert_eq!(shown, fs::read_to_string(path(name)).unwrap(), "{name}");
    }
}

#[test]
fn a_profile_travels_as_json() {
    let snapshot = people();
    for (name, text, rules, inputs) in QUESTIONS {
        let (_, profile) = profile(&query(text, rules), &snapshot, &scalars(inputs));
        let json = serde_json::to_value(&profile).unwrap();
        let back: Profile = serde_json::from_value(json).unwrap();
        assert_eq!(back, profile, "{name}");
    }
    let (_, profile) = profile(&query(QUESTIONS[0].1, ""), &snapshot, &[]);
    let json = serde_json::to_value(&profile).unwrap();
    let step = &json["query"]["steps"][0];
    assert_eq!(step["goal"], "[?e :p/name \"name3\"]");
    assert_eq!((&step["form"], &step["access"]), (&"lookup".into(), &"by-value".into()));
    assert_eq!(step["clauses"], serde_json::json!([1]));
    assert_eq!(step["ran"]["rows_out"], step["rows_expected"].as_f64().unwrap() as u64);
}

#[test]
fn times_are_absent_without_a_clock() {
    let snapshot = people();
    let query = query(QUESTIONS[0].1, "");
    let (_, profile) = query.profile(&snapshot, &[], &Budget::unlimited(), None).unwrap();
    assert!(!profile.to_string().contains(" ms"));
    assert!(profile.query.steps.iter().all(|step| step.ran.unwrap().time_ns.is_none()));
}

/// Guards against plans that are kept for rows with other variables than those they are used for.
#[test]
fn a_query_runs_after_it_was_explained_and_the_other_way_round() {
    let snapshot = people();
    for (name, text, rules, inputs) in QUESTIONS {
        let inputs = scalars(inputs);
        let expected = query(text, rules).run(&snapshot, &inputs, &Budget::unlimited()).unwrap();
        let query = query(text, rules);
        for _ in 0..2 {
            query.explain(&snapshot);
            let found = query.run(&snapshot, &inputs, &Budget::unlimited()).unwrap();
            assert_eq!(found.rows, expected.rows, "{name}");
        }
    }
}

#[test]
fn the_shapes_are_those_the_questions_are_for() {
    let snapshot = people();
    let shape = |name: &str| {
        let (_, text, rules, _) = QUESTIONS.iter().find(|question| question.0 == name).unwrap();
        query(text, rules).explain(&snapshot).query.shape
    };
    assert_eq!(shape("star"), []);
    assert!(shape("hash_join").contains(&Form::HashJoin));
    assert_eq!(shape("triangle"), [Form::GenericJoin]);
    assert!(shape("range").contains(&Form::Range));
    assert_eq!(shape("anti_join"), [Form::AntiJoin]);
}

/// The worked example of the page is the profile of one of these questions.
#[test]
fn the_page_shows_what_a_profile_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/query-language.md");
    let page = fs::read_to_string(page).unwrap();
    let (before, rest) = page.split_once("```profile\n").unwrap();
    let (shown, after) = rest.split_once("```\n").unwrap();
    let (_, text, rules, _) = QUESTIONS[1];
    assert!(before.contains(text), "the page shows the question");
    let (_, profile) = profile(&query(text, rules), &people(), &[]);
    let profile = profile.to_string();
    if std::env::var_os("TERCET_BLESS").is_some() && shown != profile {
        let page = format!("{before}```profile\n{profile}```\n{after}");
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/query-language.md"), page)
            .unwrap();
        return;
    }
    assert_eq!(shown, profile);
}

// ---- budgets ----

/// The error of a budget, and the text that its clause stands at.
fn over(text: &str, rules: &str, budget: &Budget) -> (QueryError, String) {
    let parsed = parsed(text, rules);
    let error = parsed.prepare().unwrap().run(&people(), &[], budget).unwrap_err();
    let shown = error.clause().map_or(String::new(), |clause| {
        let span = parsed.spans.get(Place::Clause(clause)).unwrap();
        format!("{span:?}")
    });
    (error, shown)
}

#[test]
fn a_budget_names_the_rule_and_the_clause_and_what_was_done() {
    let rows = |rows| Budget { rows: Some(rows), ..Budget::unlimited() };
    let message = |text: &str, rules: &str, budget: &Budget| {
        let (error, place) = over(text, rules, budget);
        format!("{error}\n{place}\n")
    };
    let cross = "[:find ?a ?b :where [?a :p/age ?x] [?b :p/salary ?y]]";
    let mut shown = message(cross, "", &rows(10_000));
    let rounds = "[[(far ?n ?y) [?y :p/age ?n]] [(far ?n ?y) [(+ ?n 1) ?m] (far ?m ?y)]]";
    shown += &message("[:find ?y :in % :where (far 0 ?y)]", rounds, &rows(50_000));
    let few = Budget { rounds: Some(30), ..Budget::unlimited() };
    shown += &message("[:find ?y :in % :where (far 0 ?y)]", rounds, &few);
    shown += &message("[:find ?x ?y :in % :where (up ?x ?y)]", ANCESTOR, &rows(5_000));
    let bytes = Budget { bytes: Some(10_000), ..Budget::unlimited() };
    shown += &message("[:find ?e ?l :where [?e :p/last ?l]]", "", &bytes);
    let stopped = Budget { interrupt: Some(Arc::new(|| true)), ..Budget::unlimited() };
    shown += &message(cross, "", &stopped);
    shown += &message(
        "[:find (pull ?e [:p/name {:p/_parent ...}]) :where [?e :p/age 5]]",
        "",
        &Budget { bytes: Some(20_000), ..Budget::unlimited() },
    );
    if std::env::var_os("TERCET_BLESS").is_some() {
        fs::write(path("budgets"), &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(path("budgets")).unwrap());
}

/// Work counted between two looks at the interrupt: the most rows and facts, over a whole run.
fn looks(query: &Query, snapshot: &Snapshot) -> (u64, u64) {
    let n_looks = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&n_looks);
    let interrupt = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    };
    let budget = Budget { interrupt: Some(Arc::new(interrupt)), ..Budget::unlimited() };
    let answer = query.run(snapshot, &[], &budget).unwrap();
    (n_looks.load(Ordering::Relaxed), answer.work.n_rows_made + answer.work.n_facts_read)
}

#[test]
fn the_interrupt_is_asked_for_every_thousand_rows() {
    let snapshot = people();
    let samegen = "[[(same ?x ?y) [?x :p/parent ?p] [?y :p/parent ?p]]
                    [(same ?x ?y) [?x :p/parent ?p] (same ?p ?q) [?y :p/parent ?q]]]";
    let heavy = [
        ("[:find ?x ?y :in % :where (up ?x ?y)]", ANCESTOR),
        ("[:find (count ?y) . :in % :where (same ?x ?y)]", samegen),
        (QUESTIONS[3].1, ""),
        ("[:find (count ?b) . :where [?a :p/age 7] [?b :p/salary ?y]]", ""),
        ("[:find ?a ?b ?y ?z :where [?a :p/age ?y] [?b :p/age ?y] [?b :p/salary ?z]]", ""),
        (
            "[:find ?n (sum ?s) (median ?s) :with ?e ?x :where [?e :p/salary ?s] [?e :p/name ?n]
          [?e :p/age ?y] [?x :p/age ?y]]",
            "",
        ),
        ("[:find (pull ?e [* {:p/_parent ...}]) :where [?e :p/name ?n]]", ""),
        ("[:find ?e :where [?e :p/name ?n] [(re-find? \"m.*[0-4]$\" ?n)]]", ""),
    ];
    for (text, rules) in heavy {
        let (n_looks, n_done) = looks(&query(text, rules), &snapshot);
        assert!(n_looks >= n_done / 1_100, "{text}: {n_looks} looks for {n_done} rows and facts");
    }
}

/// What comes after the body looks at the limits as well: each part adds looks of its own.
#[test]
fn the_interrupt_is_asked_for_while_rows_become_the_answer() {
    let snapshot = people();
    let body = ":where [?a :p/age ?x] [?b :p/age ?x]";
    let n_looks = |text: &str| looks(&query(text, ""), &snapshot).0;
    let plain = format!("[:find ?a ?b {body}]");
    let n_rows = query(&plain, "").run(&snapshot, &[], &Budget::unlimited()).unwrap().rows.len();
    assert!(n_rows > 30_000, "{n_rows}");
    let n_least = (n_rows / 1_024) as u64;
    let parts = [
        (":order-by [?a ?b]", ":order-by [?a ?b] :after [#ref \"e\" #ref \"e\"]"),
        ("", ":having [(!= ?a ?b)]"),
    ];
    for (without, with) in parts {
        let n_looks = |clauses: &str| n_looks(&format!("[:find ?a ?b {body} {clauses}]"));
        let (n_without, n_with) = (n_looks(without), n_looks(with));
        assert!(n_with >= n_without + n_least, "{with}: {n_with} looks, {n_without} without");
    }
}
