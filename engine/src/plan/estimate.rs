//! How many rows a goal makes of each row that arrives, by the counts of a snapshot.
//!
//! Counts of constants are exact, once their attribute has been asked by value; before that, and for
//! bound variables, they are what a sample tells. Nothing but the order and the kind of steps may
//! depend on what is said here.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::order::Context;
use crate::ids::Attribute;
use crate::program::functions::Function;
use crate::program::lower::{FlatRule, Goal, GoalKind};
use crate::program::{AttributeTerm, RuleId, Term, VarSet};
use crate::value::Value;

/// What the planner asks of a snapshot.
pub(crate) trait Counts {
    /// Facts of all attributes.
    fn total(&self) -> u64;
    /// Facts of an attribute.
    fn of_attribute(&self, attribute: &Attribute) -> u64;
    /// Facts of an attribute that have this value; roughly, where counting takes an index that
    /// nobody has asked for.
    fn of_value(&self, attribute: &Attribute, value: &Value) -> u64;
    /// Different entities of an attribute, roughly.
    fn n_entities(&self, attribute: &Attribute) -> u64;
    /// Different values of an attribute, roughly.
    fn n_values(&self, attribute: &Attribute) -> u64;
}

/// Counts that are asked for once: rough ones take a sample.
pub(super) struct Remembered<'c> {
    counts: &'c dyn Counts,
    n_entities: RefCell<BTreeMap<Attribute, u64>>,
    n_values: RefCell<BTreeMap<Attribute, u64>>,
}

impl<'c> Remembered<'c> {
    pub(super) fn new(counts: &'c dyn Counts) -> Remembered<'c> {
        Remembered { counts, n_entities: RefCell::default(), n_values: RefCell::default() }
    }
}

impl Counts for Remembered<'_> {
    fn total(&self) -> u64 {
        self.counts.total()
    }

    fn of_attribute(&self, attribute: &Attribute) -> u64 {
        self.counts.of_attribute(attribute)
    }

    fn of_value(&self, attribute: &Attribute, value: &Value) -> u64 {
        self.counts.of_value(attribute, value)
    }

    fn n_entities(&self, attribute: &Attribute) -> u64 {
        let mut known = self.n_entities.borrow_mut();
        *known.entry(attribute.clone()).or_insert_with(|| self.counts.n_entities(attribute))
    }

    fn n_values(&self, attribute: &Attribute) -> u64 {
        let mut known = self.n_values.borrow_mut();
        *known.entry(attribute.clone()).or_insert_with(|| self.counts.n_values(attribute))
    }
}

/// Rows that each rule may have altogether: for each definition its smallest pattern or call.
///
/// Estimated once for a program, in a few rounds over all rules, each from the round before: a
/// look into callees from every call would take time exponential in the depth.
#[derive(Debug)]
pub(crate) struct RuleSizes(Vec<f64>);

impl RuleSizes {
    /// What is assumed of a rule that nothing bounds.
    pub(super) const UNKNOWN: f64 = 1e7;
    /// How many calls deep estimates are carried.
    const ROUNDS: usize = 5;

    pub(crate) fn of_rules(rules: &[FlatRule], counts: &dyn Counts) -> RuleSizes {
        // What does not change from round to round: patterns and constants.
        let fixed: Vec<Vec<f64>> = rules
            .iter()
            .map(|rule| {
                let definitions = rule.definitions.iter();
                definitions.map(|definition| smallest_pattern(&definition.body, counts)).collect()
            })
            .collect();
        let mut sizes = RuleSizes(vec![RuleSizes::UNKNOWN; rules.len()]);
        for _ in 0..RuleSizes::ROUNDS {
            let next = rules.iter().zip(&fixed).map(|(rule, fixed)| {
                let definitions = rule.definitions.iter().zip(fixed);
                definitions
                    .map(|(definition, fixed)| sizes.smallest_call(&definition.body).min(*fixed))
                    .sum()
            });
            sizes = RuleSizes(next.collect());
        }
        sizes
    }

    pub(super) fn of(&self, rule: RuleId) -> f64 {
        self.0[rule.index()]
    }

    fn smallest_call(&self, body: &[Goal]) -> f64 {
        let called = body.iter().filter_map(|goal| match goal.kind {
            GoalKind::Call { rule, negated: false, .. } => Some(self.of(rule)),
            _ => None,
        });
        called.fold(RuleSizes::UNKNOWN, f64::min)
    }
}

fn smallest_pattern(body: &[Goal], counts: &dyn Counts) -> f64 {
    let nothing = VarSet::new();
    let sizes = body.iter().map(|goal| match &goal.kind {
        GoalKind::Pattern { entity, attribute, value } => {
            pattern_estimate(entity, attribute, value, &nothing, counts)
        }
        GoalKind::Ground { rows, .. } => rows.len() as f64,
        _ => RuleSizes::UNKNOWN,
    });
    sizes.fold(RuleSizes::UNKNOWN, f64::min)
}

/// Rows expected for each row that arrives; next to nothing for goals that only filter.
pub(super) fn estimate(goal: &GoalKind, bound: &VarSet, context: Context<'_>) -> f64 {
    match goal {
        GoalKind::Pattern { entity, attribute, value } => {
            pattern_estimate(entity, attribute, value, bound, context.counts)
        }
        GoalKind::Predicate { .. } | GoalKind::Missing { .. } => 0.0,
        GoalKind::Function { .. } | GoalKind::GetElse { .. } => 0.1,
        GoalKind::Ground { rows, .. } => rows.len() as f64,
        GoalKind::Call { negated: true, .. } => 0.2,
        GoalKind::Call { rule, args, .. } => {
            let n_known = args.iter().filter(|arg| arg.is_known(bound)).count();
            if n_known == args.len() {
                0.7
            } else if n_known > 0 {
                16.0
            } else {
                context.sizes.of(*rule)
            }
        }
    }
}

/// What share of the rows a goal that only filters keeps, for the size of what follows.
pub(super) fn share_kept(goal: &GoalKind) -> Option<f64> {
    match goal {
        GoalKind::Predicate { function: Function::Equal, .. } => Some(0.1),
        GoalKind::Predicate { .. } => Some(RANGE_SHARE),
        GoalKind::Missing { .. } | GoalKind::Call { negated: true, .. } => Some(0.5),
        _ => None,
    }
}

/// What share of the facts is assumed to be on one side of a bound.
pub(super) const RANGE_SHARE: f64 = 0.4;

fn pattern_estimate(
    entity: &Term,
    attribute: &AttributeTerm,
    value: &Term,
    bound: &VarSet,
    counts: &dyn Counts,
) -> f64 {
    let (knows_entity, knows_value) = (entity.is_known(bound), value.is_known(bound));
    let (n_facts, n_attributes) = match attribute {
        AttributeTerm::Const(attribute) => (counts.of_attribute(attribute) as f64, 1.0),
        AttributeTerm::Var(var) if bound.contains(var) => (counts.total() as f64, 1.0),
        AttributeTerm::Var(_) | AttributeTerm::Blank => (counts.total() as f64, 10.0),
    };
    // Facts for each of so many different entities or values.
    let each = |n_different: u64| (n_facts / n_different.max(1) as f64).max(n_facts.min(1.0));
    match (knows_entity, knows_value) {
        (true, true) => n_facts.min(0.5),
        (true, false) => match attribute {
            AttributeTerm::Const(attribute) if n_facts > 0.0 => each(counts.n_entities(attribute)),
            _ => n_facts.min(1.5 * n_attributes),
        },
        (false, true) => match (attribute, value) {
            (AttributeTerm::Const(attribute), Term::Const(value)) => {
                counts.of_value(attribute, value) as f64
            }
            (AttributeTerm::Const(attribute), _) if n_facts > 0.0 => {
                each(counts.n_values(attribute))
            }
            // Assume as many values as facts each has.
            _ => n_facts.sqrt().max(n_facts.min(2.0)),
        },
        (false, false) => n_facts,
    }
}
