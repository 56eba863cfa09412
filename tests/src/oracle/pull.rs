//! What a pull pattern shows of an entity.
//!
//! A field whose visible facts were all written by `set` is one value, any other a list in order
//! of values; what refers to the entity is always a list. An attribute without a value is left
//! out, unless it has a default. `*` shows every field and, of an entity that has any, its own id
//! under `db/id`; what is asked for by name replaces it. Recursion shows an entity that is
//! already on the path by its id alone, and stops silently at its depth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tercet_engine::answer::{Branch, Output, Tree};
use tercet_engine::fact::Kind;
use tercet_engine::ids::EntityId;
use tercet_engine::program::raw::{PullId, RawPull, RawPullItem, RawPullNested};
use tercet_engine::value::Value;

use super::merge::Facts;

/// What a pull shows of a value; one that is no entity shows itself.
pub fn pull(pulls: &[RawPull], pattern: PullId, value: &Value, facts: &Facts) -> Output {
    let puller = Puller { pulls, facts };
    match value {
        Value::Ref(entity) => Output::Tree(puller.tree(pattern, entity, &[], None)),
        plain => Output::Value(plain.clone()),
    }
}

struct Puller<'a> {
    pulls: &'a [RawPull],
    facts: &'a Facts,
}

/// A field's values, and whether they show as a list.
struct Field {
    values: Vec<Value>,
    many: bool,
}

impl Puller<'_> {
    /// `path` holds the entities above; `depth` what is left of a recursion with a depth.
    fn tree(
        &self,
        pattern: PullId,
        entity: &EntityId,
        path: &[EntityId],
        depth: Option<u64>,
    ) -> Tree {
        let items = &self.pulls[pattern.0 as usize].items;
        let path = [path, std::slice::from_ref(entity)].concat();
        let mut tree = BTreeMap::new();
        if items.iter().any(|item| matches!(item, RawPullItem::Wildcard)) {
            tree = self.wildcard(entity);
        }
        for item in items {
            if let RawPullItem::Attribute { attribute, reverse, rename, default, .. } = item {
                let shown = self.attribute(item, pattern, entity, &path, depth);
                let shown = shown.or(default.clone().map(Branch::Value));
                let text = key(attribute.as_str(), *reverse);
                let name = rename.as_ref().map_or(text, |name| name.shared().clone());
                tree.extend(shown.map(|branch| (name, branch)));
            }
        }
        Tree(tree)
    }

    fn wildcard(&self, entity: &EntityId) -> BTreeMap<Arc<str>, Branch> {
        let own = self.facts.keys().filter(|fact| fact.entity == *entity);
        let attributes = own.map(|fact| fact.attribute.clone()).collect::<BTreeSet<_>>();
        let mut tree = BTreeMap::new();
        if !attributes.is_empty() {
            tree.insert(Arc::from("db/id"), Branch::Value(Value::Ref(entity.clone())));
        }
        for attribute in attributes {
            let field = self.field(entity, attribute.as_str());
            let branches = field.values.into_iter().map(Branch::Value).collect();
            tree.insert(attribute.shared().clone(), shape(branches, field.many));
        }
        tree
    }

    fn attribute(
        &self,
        item: &RawPullItem,
        pattern: PullId,
        entity: &EntityId,
        path: &[EntityId],
        depth: Option<u64>,
    ) -> Option<Branch> {
        let RawPullItem::Attribute { attribute, reverse, limit, nested, .. } = item else {
            return None;
        };
        if attribute.as_str() == "db/id" && !reverse {
            return Some(Branch::Value(Value::Ref(entity.clone())));
        }
        let field = match reverse {
            true => self.referrers(entity, attribute.as_str()),
            false => self.field(entity, attribute.as_str()),
        };
        if field.values.is_empty() {
            return None;
        }
        let (inner, depth) = match nested {
            RawPullNested::No => (None, None),
            RawPullNested::Pattern(inner) => (Some(*inner), None),
            RawPullNested::Recursion(stated) => {
                let left = depth.or(*stated);
                if left == Some(0) {
                    return None;
                }
                (Some(pattern), left.map(|left| left - 1))
            }
        };
        let recursion = matches!(nested, RawPullNested::Recursion(_));
        let branch = |value: Value| match (inner, &value) {
            (Some(_), Value::Ref(target)) if recursion && path.contains(target) => {
                Branch::Tree(Tree([(Arc::from("db/id"), Branch::Value(value))].into()))
            }
            (Some(inner), Value::Ref(target)) => {
                Branch::Tree(self.tree(inner, target, path, depth))
            }
            _ => Branch::Value(value),
        };
        let n_max = limit.map_or(usize::MAX, |limit| limit as usize);
        let branches = field.values.into_iter().take(n_max).map(branch).collect();
        Some(shape(branches, field.many))
    }

    fn field(&self, entity: &EntityId, attribute: &str) -> Field {
        let own = self
            .facts
            .iter()
            .filter(|(fact, _)| (&fact.entity, fact.attribute.as_str()) == (entity, attribute));
        let (values, kinds): (BTreeSet<_>, Vec<_>) =
            own.map(|(fact, mark)| (fact.value.clone(), mark.kind)).unzip();
        Field { values: values.into_iter().collect(), many: kinds.contains(&Kind::Add) }
    }

    fn referrers(&self, entity: &EntityId, attribute: &str) -> Field {
        let target = Value::Ref(entity.clone());
        let refers = self
            .facts
            .keys()
            .filter(|fact| fact.attribute.as_str() == attribute && fact.value == target);
        let values = refers.map(|fact| Value::Ref(fact.entity.clone())).collect::<BTreeSet<_>>();
        Field { values: values.into_iter().collect(), many: true }
    }
}

fn shape(mut branches: Vec<Branch>, many: bool) -> Branch {
    match many {
        true => Branch::List(branches),
        false => branches.pop().expect("a field with one value"),
    }
}

/// `post/author`, or `post/_author` for those who refer.
fn key(attribute: &str, reverse: bool) -> Arc<str> {
    match attribute.split_once('/') {
        Some((kind, field)) if reverse => Arc::from(format!("{kind}/_{field}")),
        _ => Arc::from(attribute),
    }
}
