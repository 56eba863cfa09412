//! The structure of the patterns that are left: stars, cyclic cores, ranges.
//!
//! A *star* is the patterns of one entity variable. A *cyclic core* is what remains of the graph
//! whose nodes are variables and whose edges are patterns when nodes with one neighbor are taken
//! away for as long as there are any: where something remains, every order of two-way joins can
//! make more rows on the way than the answer has (Ngo, Porat, Ré & Rudra, *Worst-case optimal join
//! algorithms*, PODS 2012). A *range* is a pattern that binds a value, with the comparisons of that
//! value with what is known before.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::Attribute;
use crate::program::functions::Function;
use crate::program::lower::{Goal, GoalKind};
use crate::program::{AttributeTerm, Term, Var, VarSet};

/// A pattern between two different variables that are not bound yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edge {
    pub(super) attribute: Attribute,
    pub(super) entity: Var,
    pub(super) value: Var,
}

impl Edge {
    pub(super) fn of(goal: &GoalKind, bound: &VarSet) -> Option<Edge> {
        let GoalKind::Pattern {
            entity: Term::Var(entity),
            attribute: AttributeTerm::Const(attribute),
            value: Term::Var(value),
        } = goal
        else {
            return None;
        };
        let is_free = entity != value && !bound.contains(entity) && !bound.contains(value);
        is_free.then(|| Edge { attribute: attribute.clone(), entity: *entity, value: *value })
    }
}

/// The variables of the cyclic core that a variable lies in; none where it lies in no cycle.
pub(super) fn core_of(var: Var, edges: &[Edge]) -> VarSet {
    let mut neighbors: BTreeMap<Var, VarSet> = BTreeMap::new();
    for edge in edges {
        neighbors.entry(edge.entity).or_default().insert(edge.value);
        neighbors.entry(edge.value).or_default().insert(edge.entity);
    }
    // Leaves lie in no cycle, nor does what becomes a leaf without them.
    let is_leaf = |(_, of): &(&Var, &VarSet)| of.len() < 2;
    let mut leaves: Vec<Var> = neighbors.iter().filter(is_leaf).map(|(leaf, _)| *leaf).collect();
    while let Some(leaf) = leaves.pop() {
        for other in neighbors.remove(&leaf).unwrap_or_default() {
            if let Some(of) = neighbors.get_mut(&other)
                && of.remove(&leaf)
                && of.len() == 1
            {
                leaves.push(other);
            }
        }
    }
    let (mut core, mut open) = (VarSet::new(), vec![var]);
    while let Some(var) = open.pop() {
        if let Some(of) = neighbors.get(&var)
            && core.insert(var)
        {
            open.extend(of);
        }
    }
    core
}

/// The order in which the variables of a core are bound: each but the first is the neighbor of an
/// earlier one, and rather led to from the entity's side, which needs no second order.
pub(super) fn core_order(core: &VarSet, edges: &[Edge]) -> Vec<Var> {
    let mut order: Vec<Var> = Vec::new();
    let mut left: BTreeSet<Var> = core.clone();
    while !left.is_empty() {
        let touches = |var: &Var| {
            edges.iter().any(|edge| {
                (edge.entity == *var && order.contains(&edge.value))
                    || (edge.value == *var && order.contains(&edge.entity))
            })
        };
        let n_turned = |var: &Var| {
            edges.iter().filter(|edge| edge.value == *var && left.contains(&edge.entity)).count()
        };
        let next = left
            .iter()
            .copied()
            .min_by_key(|var| (!order.is_empty() && !touches(var), n_turned(var), *var));
        let next = next.expect("something is left");
        left.remove(&next);
        order.push(next);
    }
    order
}

/// The positions of the pending patterns of one entity variable.
pub(super) fn star_of(entity: Var, pending: &[&Goal]) -> Vec<usize> {
    let is_in = |goal: &Goal| match &goal.kind {
        GoalKind::Pattern { entity: term, attribute: AttributeTerm::Const(_), .. } => {
            term.var() == Some(entity)
        }
        _ => false,
    };
    (0..pending.len()).filter(|position| is_in(pending[*position])).collect()
}

/// The comparison of a variable with what is known, `?var function term`, that a goal is.
pub(super) fn bound_of<'g>(
    goal: &'g GoalKind,
    var: Var,
    bound: &VarSet,
) -> Option<(Function, &'g Term)> {
    use Function::*;
    let GoalKind::Predicate { function, args } = goal else { return None };
    let [a, b] = &**args else { return None };
    let turned = |function| match function {
        Less => Greater,
        LessEqual => GreaterEqual,
        Greater => Less,
        GreaterEqual => LessEqual,
        other => other,
    };
    if !matches!(function, Less | LessEqual | Greater | GreaterEqual | Equal) {
        return None;
    }
    if a.var() == Some(var) && b.is_known(bound) {
        Some((*function, b))
    } else if b.var() == Some(var) && a.is_known(bound) {
        Some((turned(*function), a))
    } else {
        None
    }
}

/// The value variable of a pattern that a range can be taken of: its entity and value are free.
pub(super) fn ranged_value(goal: &GoalKind, bound: &VarSet) -> Option<Var> {
    let GoalKind::Pattern { entity, attribute: AttributeTerm::Const(_), value: Term::Var(value) } =
        goal
    else {
        return None;
    };
    let entity_is_free = match entity {
        Term::Const(_) => false,
        Term::Var(entity) => !bound.contains(entity) && entity != value,
        Term::Blank => true,
    };
    (entity_is_free && !bound.contains(value)).then_some(*value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn edges(pairs: &[(u32, u32)]) -> Vec<Edge> {
        let attribute = Attribute::new("a/b").unwrap();
        let edge = |(entity, value): &(u32, u32)| Edge {
            attribute: attribute.clone(),
            entity: Var(*entity),
            value: Var(*value),
        };
        pairs.iter().map(edge).collect()
    }

    #[test]
    fn a_core_is_what_lies_in_cycles() {
        let core = |var, pairs: &[(u32, u32)]| -> Vec<u32> {
            core_of(Var(var), &edges(pairs)).into_iter().map(|var| var.0).collect()
        };
        let triangle_with_tail = [(0, 1), (1, 2), (0, 2), (2, 3), (3, 4)];
        assert_eq!(core(0, &triangle_with_tail), [0, 1, 2]);
        assert!(core(4, &triangle_with_tail).is_empty());
        assert!(core(0, &[(0, 1), (1, 2), (2, 3)]).is_empty());
        // Two patterns between the same variables are no cycle.
        assert!(core(0, &[(0, 1), (0, 1), (1, 0)]).is_empty());
    }

    #[test]
    fn a_triangle_needs_no_turned_order() {
        let edges = edges(&[(0, 2), (0, 1), (1, 2)]);
        assert_eq!(core_order(&core_of(Var(0), &edges), &edges), [Var(0), Var(1), Var(2)]);
    }
}
