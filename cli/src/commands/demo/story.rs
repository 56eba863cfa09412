//! What the demo asks and writes, and what the answers must be.
//!
//! The expected answers come from a search through the data set itself, without the engine: a
//! country is reachable from another if a chain of borders leads to it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::Value;

/// Where the journey starts.
pub(super) const START: &str = "Portugal";

/// The live query. `(reachable ?a ?b)` holds when `?b` borders `?a`, or borders a country that is
/// reachable from `?a`.
pub(super) const QUERY: &str = r#"[:find ?name
 :in ?from
 :where [?start :country/name ?from]
        (reachable ?start ?there)
        [?there :country/name ?name]
 :rules [[(reachable ?a ?b) [?a :country/borders ?b]]
         [(reachable ?a ?b) (reachable ?a ?c) [?c :country/borders ?b]]]]"#;

/// What the second client does, for people.
pub(super) const WRITE: &str =
    "a second client lets France and the United Kingdom border on each other, by the tunnel";

/// The ends of the tunnel.
const TUNNEL: [&str; 2] = ["country:fr", "country:gb"];

/// The attribute that joins countries; the data tells every border from both sides.
const BORDERS: &str = "country/borders";

/// The data set, as operations and as what the search needs.
pub(super) struct World {
    ops: Vec<Op>,
    names: BTreeMap<EntityId, String>,
    borders: BTreeSet<(EntityId, EntityId)>,
}

impl World {
    /// The data set that is built in.
    pub(super) fn load() -> World {
        let ops = tercet_formats::world::ops();
        let names = ops.iter().filter_map(name_in).collect();
        let borders = ops.iter().filter_map(border_in).collect();
        World { ops, names, borders }
    }

    /// All operations, in order.
    pub(super) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// How many countries there are.
    pub(super) fn n_countries(&self) -> usize {
        self.names.len()
    }

    /// The names of all countries that can be reached by land, once these operations are applied
    /// too. The start is among them if it can be returned to.
    pub(super) fn reachable(&self, more: &[Op]) -> BTreeSet<String> {
        let mut borders = self.borders.clone();
        borders.extend(more.iter().filter_map(border_in));
        let start = self.names.iter().find(|(_, name)| *name == START).map(|(id, _)| id);
        let mut waiting: Vec<&EntityId> = start.into_iter().collect();
        let mut reached = BTreeSet::new();
        while let Some(country) = waiting.pop() {
            for (_, neighbour) in borders.iter().filter(|(from, _)| from == country) {
                if reached.insert(neighbour) {
                    waiting.push(neighbour);
                }
            }
        }
        reached.into_iter().filter_map(|country| self.names.get(country)).cloned().collect()
    }

    /// The border that the second client writes, from both sides.
    pub(super) fn tunnel(&self) -> Result<Vec<Op>> {
        let [one, other] = TUNNEL.map(EntityId::new);
        let (one, other) = (one?, other?);
        for end in [&one, &other] {
            self.names.get(end).with_context(|| format!("the data set has no {end}"))?;
        }
        let a = Attribute::new(BORDERS)?;
        Ok(vec![
            Op::Add { e: one.clone(), a: a.clone(), v: Value::Ref(other.clone()) },
            Op::Add { e: other, a, v: Value::Ref(one) },
        ])
    }
}

/// The country and its name, if the operation tells that.
fn name_in(op: &Op) -> Option<(EntityId, String)> {
    match (op.attribute()?.as_str(), op.value()?) {
        ("country/name", Value::String(name)) => Some((op.entity().clone(), name.to_string())),
        _ => None,
    }
}

/// The border, if the operation tells one.
fn border_in(op: &Op) -> Option<(EntityId, EntityId)> {
    match (op.attribute()?.as_str(), op.value()?) {
        (BORDERS, Value::Ref(neighbour)) => Some((op.entity().clone(), neighbour.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{START, World};

    #[test]
    fn the_tunnel_brings_two_countries_of_which_one_is_not_written_about() {
        let world = World::load();
        let before = world.reachable(&[]);
        assert!(before.contains(START) && before.contains("China") && !before.contains("Japan"));
        let after = world.reachable(&world.tunnel().unwrap());
        let new: Vec<_> = after.difference(&before).map(String::as_str).collect();
        assert_eq!(new, ["Ireland", "United Kingdom"]);
        assert!(before.is_subset(&after));
    }
}
