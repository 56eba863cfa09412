//! Stars: many clauses about one entity, of one value and of several, some present, some missing,
//! joined to a second star now and then.

use super::{Data, node, one_of, read, size};
use crate::generate::program::Case;
use crate::generate::vocabulary::{self, ATTRIBUTES};
use crate::random::Random;

pub(super) fn star(random: &mut Random) -> (Data, Case) {
    let n_nodes = size(random, 600);
    let mut data = Data::default();
    for index in 0..n_nodes {
        for (attribute, kind, many) in ATTRIBUTES {
            let n_values = if many { random.skewed(3) } else { usize::from(random.chance(75)) };
            for _ in 0..n_values {
                data.add(node(index), attribute, vocabulary::value(random, kind));
            }
        }
    }
    let text = query(random);
    (data, read(random, &text, Vec::new()))
}

fn query(random: &mut Random) -> String {
    let mut clauses = Vec::new();
    let mut found = vec![String::from("?e")];
    let n_rays = 1 + random.skewed(6);
    for index in 0..n_rays {
        clauses.push(ray(random, "?e", &format!("?v{index}"), &mut found));
    }
    clauses.push(format!("[?e :{} ?root]", random.pick(&ATTRIBUTES).0));
    if random.chance(35) {
        let tie = one_of(random, &["n/edge", "n/link", "n/next"]);
        clauses.push(match random.chance(50) {
            true => format!("[?e :{tie} ?f]"),
            false => String::from("[?e :n/age ?tie] [?f :n/age ?tie]"),
        });
        for index in 0..1 + random.below(3) {
            clauses.push(ray(random, "?f", &format!("?w{index}"), &mut found));
        }
        found.push(String::from("?f"));
    }
    random.shuffle(&mut found);
    found.truncate(1 + random.below(3));
    let find = match random.chance(20) {
        true => format!("{} (count ?e)", found.join(" ")),
        false => found.join(" "),
    };
    format!("[:find {find} :where {}]", clauses.join(" "))
}

/// A clause about `entity`, and perhaps about `value`.
fn ray(random: &mut Random, entity: &str, value: &str, found: &mut Vec<String>) -> String {
    let (attribute, kind, _) = *random.pick(&ATTRIBUTES);
    let constant = vocabulary::value(random, kind);
    match random.below(100) {
        0..14 => format!("[{entity} :{attribute} {constant}]"),
        14..60 => {
            found.push(value.to_owned());
            format!("[{entity} :{attribute} {value}]")
        }
        60..68 => format!("[{entity} :{attribute} _]"),
        68..74 => format!("[(missing? $ {entity} :{attribute})]"),
        74..80 => {
            found.push(value.to_owned());
            format!("[(get-else $ {entity} :{attribute} {constant}) {value}]")
        }
        80..86 => format!("(not [{entity} :{attribute} {constant}])"),
        86..91 => format!("(or [{entity} :{attribute} {constant}] [{entity} :n/on true])"),
        91..95 => format!("[{entity} :{attribute} {value}] [(< {value} {constant})]"),
        _ => format!("[{entity} :n/age {value}] [{entity} :n/size {value}]"),
    }
}
