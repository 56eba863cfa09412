//! Ordered windows: many rows of which a few are wanted, with ties at the edges, after a key that
//! is a row's own, over values of all types and over groups.

use tercet_engine::value::Value;

use super::{Data, node, one_of, read, size};
use crate::generate::program::Case;
use crate::generate::vocabulary::{self, Kind};
use crate::random::Random;

pub(super) fn window(random: &mut Random) -> (Data, Case) {
    // Hundreds now and then: an engine begins at the end of an index only where that pays.
    let n_nodes = if random.chance(40) { 250 + random.below(450) } else { size(random, 1_200) };
    let mut data = Data::default();
    let kind = *random.pick(&[Kind::Int, Kind::Number, Kind::Text, Kind::Any, Kind::Date]);
    let are_many = random.chance(65);
    let mut values = Vec::new();
    for index in 0..n_nodes {
        let v = match are_many && random.chance(90) {
            true => Value::int(random.below(5_000) as i64),
            false => vocabulary::value(random, kind),
        };
        values.push(v.clone());
        data.add(node(index), "n/any", v);
        data.add(node(index), "n/age", Value::int(random.below(7) as i64));
        if random.chance(40) {
            data.add_edge(index, "n/edge", random.below(n_nodes));
        }
    }
    let text = query(random, &values);
    (data, read(random, &text, Vec::new()))
}

fn query(random: &mut Random, values: &[Value]) -> String {
    let (find, body) = match random.below(10) {
        0 | 1 => ("?e ?v", "[?e :n/any ?v]"),
        2 => ("?v", one_of(random, &["[_ :n/any ?v]", "[?e :n/any ?v]"])),
        8 | 9 => ("?v", "[?e :n/any ?v] [?e :n/age ?g] [(> ?g 2)]"),
        3 => ("?g (count ?e) (max ?v)", "[?e :n/age ?g] [?e :n/any ?v]"),
        4 => ("?e ?g ?v", "[?e :n/any ?v] [?e :n/age ?g] [(< 2 ?g)]"),
        5 => ("?v ?f", "[?e :n/any ?v] [?e :n/edge ?f]"),
        6 => ("(pull ?e [:n/any :n/age]) ?v", "[?e :n/any ?v] [?e :n/edge _]"),
        _ => ("?e ?v", "[?e :n/any ?v] (not [?e :n/edge _])"),
    };
    let keys: &[&str] = match find {
        "?e ?v" => &["?v", "?e"],
        "?v" => &["?v"],
        "?g (count ?e) (max ?v)" => &["(count ?e)", "(max ?v)", "?g"],
        "?e ?g ?v" => &["?g", "?v", "?e"],
        "?v ?f" => &["?f", "?v"],
        _ => &["?v"],
    };
    let n_keys = 1 + random.below(keys.len());
    let mut keys = keys.to_vec();
    if random.chance(40) {
        random.shuffle(&mut keys);
    }
    keys.truncate(n_keys);
    let directed = keys.iter().map(|key| match random.below(3) {
        0 => (*key).to_owned(),
        1 => format!("[{key} :asc]"),
        _ => format!("[{key} :desc]"),
    });
    let order = directed.collect::<Vec<_>>().join(" ");
    let mut text = format!("[:find {find} :where {body} :order-by [{order}]");
    if random.chance(85) {
        text += &format!(" :limit {}", one_of(random, &["1", "2", "3", "10", "100", "5000"]));
    }
    if random.chance(30) {
        text += &format!(" :offset {}", one_of(random, &["0", "1", "4", "50", "9999"]));
    }
    if random.chance(40) {
        let after = keys.iter().map(|key| match *key {
            "?v" | "(max ?v)" => random.pick(values).to_string(),
            "?e" | "?f" => Value::Ref(node(random.below(values.len()))).to_string(),
            _ => random.below(7).to_string(),
        });
        text += &format!(" :after [{}]", after.collect::<Vec<_>>().join(" "));
    }
    text + "]"
}
