//! Cyclic joins: triangles, squares, cliques, with chords, with edges of different attributes in
//! either direction, through values, through attribute variables, under `not`, inside rules.

use super::{Data, closure::graph, node, one_of, read, size};
use crate::generate::program::Case;
use crate::generate::vocabulary::{self, Kind};
use crate::random::Random;

pub(super) fn cyclic(random: &mut Random) -> (Data, Case) {
    let n_nodes = size(random, 150).min(if random.chance(90) { 25 } else { 150 });
    let mut data = Data::default();
    let attributes = &["n/edge", "n/link", "n/next"][..1 + random.below(3)];
    for attribute in attributes {
        let edges = match random.chance(60) {
            // Few nodes and many edges, so that cycles close.
            true => {
                let n_edges = n_nodes * n_nodes.min(6) / 2;
                (0..n_edges).map(|_| (random.skewed(n_nodes), random.skewed(n_nodes))).collect()
            }
            false => graph(random, n_nodes),
        };
        for (from, to) in edges {
            data.add_edge(from, attribute, to);
        }
    }
    for index in 0..n_nodes {
        if random.chance(60) {
            data.add(node(index), "n/age", vocabulary::value(random, Kind::Int));
        }
    }
    let text = query(random, attributes);
    (data, read(random, &text, Vec::new()))
}

/// The pairs of variables that a shape joins.
fn shape(random: &mut Random) -> &'static [(&'static str, &'static str)] {
    const SHAPES: [&[(&str, &str)]; 9] = [
        &[("?a", "?b"), ("?b", "?c"), ("?a", "?c")],
        &[("?a", "?b"), ("?b", "?c"), ("?c", "?a")],
        &[("?a", "?b"), ("?b", "?c"), ("?c", "?d"), ("?d", "?a")],
        &[("?a", "?b"), ("?a", "?c"), ("?b", "?d"), ("?c", "?d")],
        &[("?a", "?b"), ("?b", "?c"), ("?c", "?d"), ("?d", "?a"), ("?a", "?c")],
        &[("?a", "?b"), ("?a", "?c"), ("?a", "?d"), ("?b", "?c"), ("?b", "?d"), ("?c", "?d")],
        &[("?a", "?b"), ("?b", "?c"), ("?a", "?c"), ("?c", "?d"), ("?d", "?e"), ("?c", "?e")],
        &[("?a", "?b"), ("?b", "?c"), ("?c", "?d"), ("?d", "?e"), ("?e", "?a")],
        &[("?a", "?b"), ("?b", "?a")],
    ];
    SHAPES[random.skewed(SHAPES.len())]
}

fn query(random: &mut Random, attributes: &[&str]) -> String {
    let pairs = shape(random);
    let same_way = random.chance(60);
    let mut clauses = Vec::new();
    for (index, (from, to)) in pairs.iter().enumerate() {
        let attribute = one_of(random, attributes);
        let (from, to) = if same_way || random.chance(60) { (from, to) } else { (to, from) };
        clauses.push(match random.below(100) {
            0..86 => format!("[{from} :{attribute} {to}]"),
            86..89 => format!("[{from} ?attr {to}]"),
            89..92 => format!("[{from} :n/age ?v{index}] [{to} :n/age ?v{index}]"),
            92..95 => format!("(or [{from} :{attribute} {to}] [{to} :{attribute} {from}])"),
            95..98 => format!("(edge {from} {to})"),
            _ => format!("[{from} :{attribute} {to}] (not [{to} :{attribute} {from}])"),
        });
    }
    let mut variables = pairs.iter().flat_map(|(from, to)| [*from, *to]).collect::<Vec<_>>();
    variables.sort_unstable();
    variables.dedup();
    if random.chance(25) {
        let (one, other) = (random.pick(&variables), random.pick(&variables));
        let function = one_of(random, &["!=", "<", "<=", "="]);
        clauses.push(format!("[({function} {one} {other})]"));
    }
    if random.chance(20) {
        clauses.push(format!("[{} :n/age ?age]", random.pick(&variables)));
    }
    if random.chance(12) {
        clauses.push(format!(
            "[(ground [#ref \"n0\" #ref \"n1\"]) [{} ...]]",
            random.pick(&variables)
        ));
    }
    let body = clauses.join(" ");
    let all = variables.join(" ");
    let rules = "[(edge ?x ?y) [?x :n/edge ?y]] [(edge ?x ?y) [?y :n/link ?x]]";
    match random.below(100) {
        0..55 => format!("[:find {all} :where {body} :rules [{rules}]]"),
        55..70 => {
            random.shuffle(&mut variables);
            variables.truncate(1 + random.below(2));
            format!("[:find {} :where {body} :rules [{rules}]]", variables.join(" "))
        }
        70..78 => format!("[:find (count ?a) . :with ?b :where {body} :rules [{rules}]]"),
        78..86 => {
            let constant = one_of(random, &["#ref \"n0\"", "#ref \"n1\"", "#ref \"n2\""]);
            format!("[:find {all} :where [(= {constant} ?a)] {body} :rules [{rules}]]")
        }
        86..93 => format!(
            "[:find ?a ?b :where (cycle ?a ?b) :rules [[(cycle ?a ?b) {body}] \
             [(cycle ?a ?b) [?a :n/edge ?z] (cycle ?z ?b)] {rules}]]"
        ),
        _ => format!(
            "[:find ?a ?b :where [?a :n/edge ?b] (not-join [?a ?b] {body}) :rules [{rules}]]"
        ),
    }
}
