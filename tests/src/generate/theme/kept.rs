//! What live queries are kept by, put together at random: a body that binds `?e`, `?f` and `?v`,
//! filters on them with constants and arguments, and a way of finding that keeps something of its
//! own (projections that lose rows, groups, windows, windows over groups, pulls).
//!
//! Small on purpose: the data of one node is touched by most histories.

use tercet_engine::fact::Transaction;
use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;

use super::{Data, closure::graph, node, one_of, read};
use crate::generate::program::Case;
use crate::generate::vocabulary::{self, Kind};
use crate::random::Random;

/// A small database and a question on it.
pub(in crate::generate) fn kept(random: &mut Random) -> (Vec<Transaction>, Case) {
    let n_nodes = 2 + random.below(6);
    let mut data = Data::default();
    for attribute in ["n/edge", "n/link"] {
        if attribute == "n/edge" || random.chance(60) {
            let mut edges = graph(random, n_nodes);
            edges.truncate(12);
            edges.into_iter().for_each(|(from, to)| data.add_edge(from, attribute, to));
        }
    }
    for index in 0..n_nodes {
        let fields =
            [("n/age", Kind::Int, 80), ("n/tag", Kind::Text, 50), ("n/on", Kind::Flag, 50)];
        for (attribute, kind, percent) in fields {
            if random.chance(percent) {
                data.add(node(index), attribute, vocabulary::value(random, kind));
            }
        }
        if random.chance(20) {
            data.add(node(index), "n/next", Value::Ref(vocabulary::entity(random)));
        }
    }
    let question = question(random);
    (data.transactions(random), question)
}

/// A question that is put together.
pub(in crate::generate) fn question(random: &mut Random) -> Case {
    let mut parts = Parts { has_v: true, ..Parts::default() };
    parts.body(random);
    for _ in 0..random.skewed(4) {
        parts.filter(random);
    }
    let text = parts.find(random);
    read(random, &text, parts.inputs)
}

#[derive(Default)]
struct Parts {
    clauses: Vec<String>,
    shapes: Vec<String>,
    inputs: Vec<Input>,
    /// `?v` is bound, to something that has an order.
    has_v: bool,
}

const R: [&str; 9] = [
    "[(r ?a ?b) [?a :n/edge ?b]] [(r ?a ?b) [?a :n/edge ?c] (r ?c ?b)]",
    "[(r ?a ?b) [?a :n/edge ?b]] [(r ?a ?b) (r ?a ?c) [?c :n/edge ?b]]",
    "[(r ?a ?b) [?a :n/edge ?b]] [(r ?a ?b) (r ?a ?c) (r ?c ?b)]",
    // Two rules by each other.
    "[(r ?a ?b) [?a :n/edge ?b]] [(r ?a ?b) (s ?a ?c) [?c :n/edge ?b]] \
     [(s ?a ?b) [?a :n/link ?b]] [(s ?a ?b) [?a :n/link ?c] (r ?c ?b)]",
    // Same generation.
    "[(r ?a ?b) [?a :n/edge ?c] [?b :n/edge ?c]] \
     [(r ?a ?b) [?a :n/edge ?c] (r ?c ?d) [?b :n/edge ?d]]",
    // Negation under recursion: of facts, of a field, of another recursion.
    "[(r ?a ?b) [?a :n/edge ?b]] [(r ?a ?b) (r ?a ?c) [?c :n/edge ?b] (not [?c :n/on false])]",
    "[(r ?a ?b) [?a :n/edge ?b] [(missing? $ ?b :n/next)]] \
     [(r ?a ?b) [?a :n/edge ?c] (r ?c ?b) [?c :n/age ?n] [(< ?n 4)]]",
    "[(r ?a ?b) [?a :n/edge ?b] (not (s ?b ?a))] [(r ?a ?b) (r ?a ?c) [?c :n/edge ?b] \
     (not (s ?b ?a))] [(s ?a ?b) [?a :n/link ?b]] [(s ?a ?b) [?a :n/link ?c] (s ?c ?b)]",
    // Alternatives and what they bind.
    "[(r ?a ?b) (or [?a :n/edge ?b] [?b :n/link ?a])] \
     [(r ?a ?b) (r ?a ?c) (or-join [?c ?b] [?c :n/edge ?b] (and [?c :n/link ?d] [?d :n/edge ?b]))]",
];

const Q: [&str; 4] = [
    "[(q ?a ?b) [?a :n/edge ?b]] [(q ?a ?b) [?b :n/link ?a]]",
    "[(q ?a ?b) [?a :n/edge ?c] [?c :n/edge ?b]]",
    // Negation over recursion, and recursion over that.
    "[(q ?a ?b) (r ?a ?b) (not (r ?b ?a))]",
    "[(p ?a ?b) [?a :n/edge _] [?b :n/edge _] (not (r ?a ?b))] \
     [(q ?a ?b) (p ?a ?b)] [(q ?a ?b) (q ?a ?c) (p ?c ?b)]",
];

impl Parts {
    fn push(&mut self, clause: impl Into<String>) {
        self.clauses.push(clause.into());
    }

    fn body(&mut self, random: &mut Random) {
        let int = vocabulary::value(random, Kind::Int);
        let edge = one_of(random, &["n/edge", "n/edge", "n/link", "n/next"]);
        let body = match random.below(15) {
            0 => format!("[?e :{edge} ?f] [?e :n/age ?v]"),
            1 => format!("[?e :{edge} ?f] [?f :n/age ?v]"),
            2 => String::from("[?e :n/age ?v] [?f :n/age ?v]"),
            3 => String::from("[?e :n/age ?v] [?f :n/age ?w] [(< ?v ?w)]"),
            4 => format!("[?e :{edge} ?f] [(get-else $ ?f :n/age {int}) ?v]"),
            5 => String::from("[?e :n/edge ?f] [?f :n/edge ?e] [?e :n/age ?v]"),
            6 => String::from("[?e ?attr ?f] [?f :n/age ?v]"),
            7 => format!("[?e :{edge} ?f] [?f :n/age ?n] [(+ ?n {int}) ?v]"),
            8 => String::from("(or [?e :n/edge ?f] [?f :n/link ?e]) [?f :n/age ?v]"),
            9 => String::from(
                "(or-join [?e ?f] [?e :n/edge ?f] (and [?e :n/link ?g] [?g :n/edge ?f])) \
                 [?e :n/age ?v]",
            ),
            10 => String::from("(q ?e ?f) [?f :n/age ?v]"),
            11 | 12 => String::from("(r ?e ?f) [?f :n/age ?v]"),
            13 => {
                self.has_v = false;
                String::from("(r ?e ?f)")
            }
            _ => {
                self.has_v = false;
                format!("[?e :{edge} ?f]")
            }
        };
        self.push(body);
    }

    fn filter(&mut self, random: &mut Random) {
        let int = vocabulary::value(random, Kind::Int);
        let text = vocabulary::value(random, Kind::Text);
        let entity = Value::Ref(vocabulary::entity(random));
        let ends = one_of(random, &["?e", "?f"]);
        let compare = one_of(random, &["<", "<=", ">", ">=", "=", "!="]);
        // Half of them have a constant or an argument, so that one shape has several instances.
        let filter = match if random.chance(50) { random.below(7) } else { 7 + random.below(12) } {
            0 if self.has_v => format!("[({compare} ?v {int})]"),
            1 if self.has_v => {
                let low = self.input("?low", Input::Scalar(int));
                format!("[({compare} ?v {low})]")
            }
            2 if self.has_v => {
                let ints = (0..random.below(3)).map(|_| vocabulary::value(random, Kind::Int));
                let low = self.input("?each", Input::Collection(ints.collect()));
                format!("[({compare} {low} ?v)]")
            }
            3 => {
                let row = |random: &mut Random| {
                    vec![
                        Value::Ref(vocabulary::entity(random)),
                        vocabulary::value(random, Kind::Int),
                    ]
                };
                let rows = (0..random.below(4)).map(|_| row(random)).collect();
                let pair = self.input("?who ?least", Input::Relation(rows));
                if pair.is_empty() {
                    return;
                }
                format!("[(= {ends} ?who)] [?who :n/age ?years] [(>= ?years ?least)]")
            }
            4 | 5 => {
                let entities = (0..1 + random.below(2)).map(|_| vocabulary::entity(random));
                let entities = entities.map(Value::Ref).collect();
                let one = self.input("?one", Input::Collection(entities));
                format!("[(= {ends} {one})]")
            }
            6 => {
                let one = self.input("?given", Input::Scalar(entity));
                format!("[{one} :n/edge {ends}]")
            }
            7 => String::from("(not [?e :n/link ?f])"),
            8 => format!("(not-join [{ends}] [{ends} :n/edge ?g] [?g :n/tag {text}])"),
            9 => format!("[(missing? $ {ends} :n/next)]"),
            10 => String::from("(not (r ?f ?e))"),
            11 => format!("(r {entity} {ends})"),
            12 => format!("[{ends} :n/tag {text}]"),
            13 => format!("[{ends} :n/on true]"),
            14 => String::from("[(!= ?e ?f)]"),
            15 => format!("(or-join [[?e ?f]] [?e :n/on true] [?f :n/tag {text}])"),
            16 if self.has_v => {
                String::from("(not-join [?e ?v] [?e :n/edge ?g] [?g :n/age ?w] [(> ?w ?v)])")
            }
            17 => String::from("(not (q ?e ?f))"),
            _ => format!("[{ends} :n/edge {entity}]"),
        };
        self.push(filter);
    }

    /// Adds an input once; what its variable is called.
    fn input<'t>(&mut self, variables: &'t str, input: Input) -> &'t str {
        let shape = match &input {
            Input::Scalar(_) => variables.to_owned(),
            Input::Tuple(_) => format!("[{variables}]"),
            Input::Collection(_) => format!("[{variables} ...]"),
            Input::Relation(_) => format!("[[{variables}]]"),
        };
        if !self.shapes.contains(&shape) {
            self.shapes.push(shape);
            self.inputs.push(input);
        }
        variables
    }

    /// The text of the whole query.
    fn find(&self, random: &mut Random) -> String {
        let (find, window) = match random.below(100) {
            0..25 => (rows(random, self.has_v), String::new()),
            25..45 => window(random, self.has_v),
            45..80 => groups(random, self.has_v),
            _ => pulls(random, self.has_v),
        };
        let given = match self.shapes.is_empty() {
            true => String::new(),
            false => format!(":in {}", self.shapes.join(" ")),
        };
        let body = self.clauses.join(" ");
        let rules = format!("{} {}", one_of(random, &R), one_of(random, &Q));
        let used = if body.contains("(r ") || body.contains("(q ") { &*rules } else { "" };
        format!("[:find {find} {given} :where {body} {window} :rules [{used}]]")
    }
}

/// All rows, or what is left of them when variables go.
fn rows(random: &mut Random, has_v: bool) -> String {
    let finds: &[&str] = match has_v {
        true => &["?e ?f ?v", "?e ?v", "?f ?v", "?v", "?e", "?f", "[?v ...]", "[?f ?v]", "?v ."],
        false => &["?e ?f", "?e ?f", "?f", "?e", "[?e ...]"],
    };
    one_of(random, finds).to_owned()
}

fn window(random: &mut Random, has_v: bool) -> (String, String) {
    let (finds, keys): (&[&str], &[&str]) = match has_v {
        true => (&["?v ?e ?f", "?v ?e", "?v"], &["?v", "[?v :desc]", "[?v :desc]"]),
        false => (&["?f ?e", "?f"], &["?f", "[?f :desc]"]),
    };
    let find = one_of(random, finds);
    let mut keys = vec![one_of(random, keys)];
    if find.contains("?e") && random.chance(50) {
        keys.push(one_of(random, &["?e", "[?e :desc]"]));
    }
    (find.to_owned(), format!(":order-by [{}] {}", keys.join(" "), page(random)))
}

fn page(random: &mut Random) -> String {
    let mut text = String::new();
    if random.chance(90) {
        text += &format!(":limit {}", 1 + random.below(4));
    }
    if random.chance(30) {
        text += &format!(" :offset {}", 1 + random.below(2));
    }
    text
}

fn groups(random: &mut Random, has_v: bool) -> (String, String) {
    let aggregates: &[&str] = match has_v {
        true => &[
            "(count ?f)",
            "(min ?v)",
            "(max ?v)",
            "(min ?v)",
            "(max ?v)",
            "(sum ?v)",
            "(avg ?v)",
            "(median ?v)",
            "(count-distinct ?v)",
            "(distinct ?v)",
            "(min 2 ?v)",
            "(max 2 ?v)",
            "(variance ?v)",
        ],
        false => &["(count ?f)", "(min ?f)", "(max ?f)", "(distinct ?f)", "(count-distinct ?f)"],
    };
    let aggregate = one_of(random, aggregates);
    let with = if random.chance(30) { ":with ?e ?f" } else { "" };
    if random.chance(20) {
        let form = if random.chance(40) { " ." } else { "" };
        return (format!("{aggregate}{form} {with}"), String::new());
    }
    let find = match random.chance(25) {
        true => format!("?e {aggregate} (count ?f) {with}"),
        false => format!("?e {aggregate} {with}"),
    };
    let is_list = ["(min 2", "(max 2", "(distinct"].iter().any(|list| aggregate.starts_with(list));
    let window = match random.below(100) {
        0..35 => String::new(),
        35..60 if !is_list => {
            let predicate = one_of(random, &[">", "<", ">=", "!=", "<="]);
            format!(":having [({predicate} {aggregate} {})]", random.below(4))
        }
        60..90 if !is_list || aggregate.starts_with("(distinct") => {
            let key = match random.chance(60) {
                true => format!("[{aggregate} :desc]"),
                false => aggregate.to_owned(),
            };
            format!(":order-by [{key} ?e] {}", page(random))
        }
        _ => format!(":order-by [[?e :desc]] {}", page(random)),
    };
    (find, window)
}

fn pulls(random: &mut Random, has_v: bool) -> (String, String) {
    const PATTERNS: [&str; 12] = [
        "[*]",
        "[:n/age :n/tag]",
        "[:n/age {:n/edge [:n/age]}]",
        "[{:n/_edge [:n/age]}]",
        "[:n/_edge :n/_link]",
        "[:n/tag {:n/edge [:n/on {:n/edge [:n/age]}]}]",
        "[:n/age {:n/edge ...}]",
        "[:n/age {:n/edge 2}]",
        "[{:n/_edge 2} :n/on]",
        "[[:n/edge :limit 1] [:n/tag :default \"none\"]]",
        "[* {[:n/edge :limit 2 :as :to] [:n/age [:n/on :default false]]}]",
        "[[:n/age :as :years :default 0] {:n/next [*]}]",
    ];
    let find = match (random.below(5), has_v) {
        (0, true) => format!("(pull ?e {}) ?v", one_of(random, &PATTERNS)),
        (1, _) => format!("(pull ?f {}) ?e", one_of(random, &PATTERNS)),
        (2, _) => format!("?e (pull ?f {})", one_of(random, &PATTERNS)),
        (3, _) => format!("(pull ?e {}) (count ?f)", one_of(random, &PATTERNS)),
        _ => format!("(pull ?e {})", one_of(random, &PATTERNS)),
    };
    let window = match find.ends_with("?v") && random.chance(60) {
        true => format!(":order-by [{}] {}", one_of(random, &["?v", "[?v :desc]"]), page(random)),
        false => String::new(),
    };
    (find, window)
}
