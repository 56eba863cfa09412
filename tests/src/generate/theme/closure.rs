//! Transitive closures in every form: left-linear, right-linear, doubled and mutual; of one
//! attribute, of several, of paths and of rules; bound on either side, on both, on none; reversed,
//! filtered, reflexive, with values that are no entities; over graphs with and without cycles.

use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;

use super::{Data, node, one_of, read, size};
use crate::generate::program::Case;
use crate::generate::vocabulary::{self, Kind};
use crate::random::Random;

pub(super) fn closure(random: &mut Random) -> (Data, Case) {
    let n_nodes = size(random, 400);
    let mut data = Data::default();
    let n_graphs = if n_nodes > 60 { 1 } else { 1 + random.below(2) };
    for attribute in ["n/edge", "n/link"].into_iter().take(n_graphs) {
        for (from, to) in graph(random, n_nodes) {
            data.add_edge(from, attribute, to);
        }
    }
    add_values(random, &mut data, n_nodes);
    let rules = rules(random);
    let (text, inputs) = query(random, n_nodes, &rules);
    (data, read(random, &text, inputs))
}

/// Edges of a graph of some shape. What can be reached grows with the square of large ones, so
/// those have few edges.
pub(super) fn graph(random: &mut Random, n_nodes: usize) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    let shape = if n_nodes > 60 { 2 + random.below(2) } else { random.below(7) };
    match shape {
        0 => edges.extend((1..n_nodes).map(|to| (to - 1, to))),
        1 => edges.extend((0..n_nodes).map(|from| (from, (from + 1) % n_nodes))),
        2 => edges.extend((1..n_nodes).map(|to| (random.below(to), to))),
        3 => {
            let n_edges = if n_nodes > 60 { n_nodes } else { n_nodes + random.below(n_nodes) };
            edges.extend((0..n_edges).map(|_| (random.below(n_nodes), random.below(n_nodes))));
        }
        4 => {
            let n_edges = n_nodes * n_nodes.min(8) / 2;
            edges.extend((0..n_edges).map(|_| (random.skewed(n_nodes), random.skewed(n_nodes))));
        }
        5 => edges.extend((1..n_nodes).map(|to| (0, to))),
        // Layers: many paths between two nodes, no cycle.
        _ => edges.extend((0..n_nodes * 2).map(|_| {
            let from = random.below(n_nodes);
            (from, (from + 1 + random.below(2)).min(n_nodes))
        })),
    }
    for _ in 0..random.skewed(3) {
        let anywhere = random.below(n_nodes);
        edges.push((anywhere, if random.chance(50) { anywhere } else { random.below(n_nodes) }));
    }
    edges
}

fn add_values(random: &mut Random, data: &mut Data, n_nodes: usize) {
    for index in 0..n_nodes.min(40) {
        if random.chance(50) {
            data.add(node(index), "n/on", vocabulary::value(random, Kind::Flag));
        }
        if random.chance(40) {
            data.add(node(index), "n/any", vocabulary::value(random, Kind::Any));
        }
        if random.chance(30) {
            data.add(node(index), "n/tag", vocabulary::value(random, Kind::Text));
        }
    }
}

/// The text of the rules that define `r`, and how `r` is called.
struct Rules {
    text: String,
    /// Before the two ends of a call.
    before: &'static str,
    /// A caller has to bind the first end.
    required: bool,
}

/// The relation that is closed over, from `a` to `b`; `fresh` is a variable of its own.
fn step(random: &mut Random, a: &str, b: &str, fresh: &str, kind: usize) -> String {
    match kind {
        0..45 => format!("[{a} :n/edge {b}]"),
        45..58 => format!("[{b} :n/edge {a}]"),
        58..66 => format!("(or [{a} :n/edge {b}] [{a} :n/link {b}])"),
        66..76 => format!("(step {a} {b})"),
        76..82 => format!("[{a} :n/edge {fresh}] [{fresh} :n/link {b}]"),
        82..88 => {
            let end = one_of(random, &[a, b]);
            format!("[{a} :n/edge {b}] [{end} :n/on true]")
        }
        88..94 => format!("[{a} ?k {b}]"),
        _ => format!("[{a} :n/any {b}]"),
    }
}

fn rules(random: &mut Random) -> Rules {
    let kind = random.below(100);
    let base_kind = if random.chance(15) { random.below(88) } else { kind };
    let before = if (88..94).contains(&kind) { "?k " } else { "" };
    let required = before.is_empty() && random.chance(8);
    let head = if required { "[?a] ?b" } else { "?a ?b" };
    let mut text = String::new();
    let mut define = |body: &str| text += &format!("[(r {before}{head}) {body}] ");

    let mut base = step(random, "?a", "?b", "?m", base_kind);
    if before == "?k " && base_kind != kind {
        // The attribute is a parameter of the recursion alone: the base still has to bind it.
        base += " [_ ?k _]";
    }
    base += filter(random);
    define(&base);
    if random.chance(10) && before.is_empty() {
        define("[?a :n/edge _] [(identity ?a) ?b]");
    }
    let (first, last) =
        (step(random, "?a", "?c", "?m", kind), step(random, "?c", "?b", "?m", kind));
    let filtered = filter(random);
    let right = format!("{first} (r {before}?c ?b){filtered}");
    let left = format!("(r {before}?a ?c) {last}{filtered}");
    match random.below(100) {
        0..32 => define(&right),
        32..60 => define(&left),
        60..76 => define(&format!("(r {before}?a ?c) (r {before}?c ?b){filtered}")),
        76..84 => [&right, &left].into_iter().for_each(|body| define(body)),
        84..92 => {
            let up = step(random, "?d", "?b", "?n", kind);
            define(&format!("{first} (r {before}?c ?d) {up}"));
        }
        _ => {
            define(&format!("{first} (q {before}?c ?b)"));
            text += &format!("[(q {before}{head}) {first} (r {before}?c ?b)] ");
        }
    }
    if (66..76).contains(&kind) || (66..76).contains(&base_kind) {
        text += one_of(
            random,
            &[
                "[(step ?x ?y) [?x :n/edge ?y]] [(step ?x ?y) [?y :n/link ?x]]",
                "[(step ?x ?y) [?x :n/edge ?y] [(!= ?x ?y)]]",
                "[(step ?x ?y) [?x :n/edge ?a] [?b :n/edge ?a] [?b :n/link ?y]]",
            ],
        );
    }
    Rules { text, before, required }
}

fn filter(random: &mut Random) -> &'static str {
    match random.below(100) {
        0..80 => "",
        80..86 => " [(!= ?a ?b)]",
        86..90 => " [?a :n/on ?on]",
        90..94 => " (not [?b :n/on false])",
        _ => " (not-join [?b] [?b :n/link ?l])",
    }
}

fn query(random: &mut Random, n_nodes: usize, rules: &Rules) -> (String, Vec<Input>) {
    let constant = format!("#ref \"n{}\"", random.below(n_nodes.min(12) + 1));
    let call = |a: &str, b: &str| {
        let before = if rules.before.is_empty() { "" } else { "\"n/edge\" " };
        format!("(r {before}{a} {b})")
    };
    let mut inputs = Vec::new();
    let mut given = "";
    let all =
        one_of(random, &["?x ?y", "?x ?y", "?y ?x", "?x", "?y", "(count ?y)", "?x (count ?y)"]);
    let of_y = one_of(random, &["?y", "?y", "(count ?y)", "(count ?y) ."]);
    let form = if rules.required { 3 + random.below(4) } else { random.below(17) };
    let (find, body) = match form {
        0 => (all, call("?x", "?y")),
        1 => ("?x", call("?x", &constant)),
        2 => ("?x", call("?x", "?x")),
        3 => (of_y, call(&constant, "?y")),
        4 => ("?x ?y", format!("[?x :n/on true] {}", call("?x", "?y"))),
        5 => {
            given = ":in [?x ...]";
            let nodes = (0..random.below(4)).map(|_| Value::Ref(node(random.below(n_nodes))));
            inputs.push(Input::Collection(nodes.collect()));
            ("?x ?y", call("?x", "?y"))
        }
        6 => {
            let n_pairs = random.below(5);
            let row = |random: &mut Random| vec![random.below(n_nodes), random.below(n_nodes)];
            let rows = (0..n_pairs).map(|_| row(random));
            let values = |row: Vec<usize>| row.into_iter().map(|n| Value::Ref(node(n))).collect();
            inputs.push(Input::Relation(rows.map(values).collect()));
            given = ":in [[?x ?y]]";
            ("?x ?y", call("?x", "?y"))
        }
        7 => ("?x ?y", format!("{} [?y :n/on true]", call("?x", "?y"))),
        8 => ("?x", call("?x", "_")),
        9 => ("?y", call("_", "?y")),
        10 => {
            let not = call("?x", "?y");
            ("?x ?y", format!("[?x :n/on _] [?y :n/on _] (not {not})"))
        }
        11 => ("?x ?z", format!("{} {}", call("?x", "?y"), call("?y", "?z"))),
        12 => ("?x", format!("{} {}", call("?x", &constant), call(&constant, "?x"))),
        13 => ("?x ?y", format!("(or {} {})", call("?x", "?y"), call("?y", "?x"))),
        14 => {
            let body = call("?x", "?y");
            ("?x", format!("[?x _ _] (not-join [?x] {body} [?y :n/on true])"))
        }
        15 => ("?x ?v", format!("{} [?y :n/any ?v] [?x :n/any ?v]", call("?x", "?y"))),
        _ => ("?x ?y", format!("{} [?x ?attr ?y]", call("?x", "?y"))),
    };
    let window = match find {
        "?x ?y" if random.chance(15) => ":order-by [[?y :desc] ?x] :limit 5 :offset 1",
        _ => "",
    };
    let rules = &rules.text;
    (format!("[:find {find} {given} :where {body} {window} :rules [{rules}]]"), inputs)
}
