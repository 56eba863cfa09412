//! Rules that do not recurse, used several times: with variables of the same names inside and
//! outside, with constants, blanks and one variable twice, under `not` and `or`, and rules of rules.

use super::{Data, closure::graph, node, one_of, read, size};
use crate::generate::program::Case;
use crate::generate::vocabulary::{self, Kind};
use crate::random::Random;

pub(super) fn reuse(random: &mut Random) -> (Data, Case) {
    let n_nodes = size(random, 60).min(60);
    let mut data = Data::default();
    for attribute in ["n/edge", "n/link"] {
        for (from, to) in graph(random, n_nodes) {
            data.add_edge(from, attribute, to);
        }
    }
    for index in 0..n_nodes {
        data.add(node(index), "n/age", vocabulary::value(random, Kind::Int));
        if random.chance(50) {
            data.add(node(index), "n/size", vocabulary::value(random, Kind::Number));
        }
    }
    let text = query(random);
    (data, read(random, &text, Vec::new()))
}

const P: [&str; 6] = [
    "[(p ?x ?y) [?x :n/edge ?y]]",
    "[(p ?x ?y) [?x :n/edge ?y]] [(p ?x ?y) [?y :n/link ?x]]",
    "[(p ?y ?x) [?y :n/edge ?z] [?z :n/edge ?x]]",
    "[(p ?x ?z) [?x :n/edge ?y] [?y :n/link ?z] (not [?x :n/link ?z])]",
    "[(p ?x ?y) [?x :n/age ?z] [?y :n/age ?z] [(!= ?x ?y)]]",
    "[(p ?x ?y) (or-join [?x ?y] [?x :n/edge ?y] (and [?x :n/link ?z] [?z :n/link ?y]))]",
];

const Q: [&str; 6] = [
    "[(q ?x ?y) (p ?x ?z) (p ?z ?y)]",
    "[(q ?y ?x) (p ?x ?y) (not (p ?y ?x))]",
    "[(q ?x ?y) (p ?x ?y)] [(q ?x ?y) (p ?y ?x) [?x :n/age ?z]]",
    "[(q ?x ?y) [?x :n/age ?z] [(+ ?z 1) ?w] [?y :n/age ?w]]",
    "[(q ?x ?y) (p ?x _) (p _ ?y) [?x :n/link ?y]]",
    "[(q ?x ?y) (p ?x ?y) (or-join [[?x ?y]] (p ?y ?y) (p ?x ?x) [?x :n/size _])]",
];

fn query(random: &mut Random) -> String {
    let rules = format!("{} {}", one_of(random, &P), one_of(random, &Q));
    let mut clauses = vec![format!("({} ?x ?y)", one_of(random, &["p", "q"]))];
    for _ in 0..1 + random.below(3) {
        let rule = one_of(random, &["p", "q"]);
        clauses.push(match random.below(10) {
            0 => format!("({rule} ?y ?x)"),
            1 | 2 => format!("({rule} ?y ?z)"),
            3 => format!("({rule} ?x ?x)"),
            4 => format!("({rule} ?x _)"),
            5 => format!("({rule} ?y #ref \"n{}\")", random.below(5)),
            6 => format!("({rule} \"n1\" ?y)"),
            7 => format!("(not ({rule} ?y ?x))"),
            8 => format!("(or ({rule} ?y ?z) (and [?z :n/edge ?y] ({rule} ?z ?z)))"),
            _ => format!("(not-join [?x] ({rule} ?x ?z) ({rule} ?z ?x))"),
        });
    }
    let find = one_of(random, &["?x ?y", "?x ?y", "?y", "?x (count ?y)", "(count ?x) ."]);
    format!("[:find {find} :where {} :rules [{rules}]]", clauses.join(" "))
}
