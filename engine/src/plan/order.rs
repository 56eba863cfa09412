//! The order of a body: always the cheapest goal that is ready, by counts.
//!
//! Greedy ordering with exact counts of constants finds the same order however the body was
//! written (ties go to the clause that comes first). Goals that only filter run as soon as they
//! are ready. Statistics are never needed for correctness: any order of ready goals is right.

use super::{Action, Adornment, AttributeSlot, Call, Plan, Slot, Step, live};
use crate::ids::Attribute;
use crate::program::lower::{FlatRule, Goal, GoalKind};
use crate::program::{AttributeTerm, RuleId, Term, Var, VarSet};
use crate::value::Value;

/// What the planner asks of a snapshot.
pub(crate) trait Counts {
    /// Facts of all attributes.
    fn total(&self) -> u64;
    /// Facts of an attribute.
    fn of_attribute(&self, attribute: &Attribute) -> u64;
    /// Facts of an attribute that have this value; may be cut off at some thousands.
    fn of_value(&self, attribute: &Attribute, value: &Value) -> u64;
}

/// Which of the goals that are ready comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The cheapest by counts.
    Cheapest,
    /// Any, drawn from this seed: tests show with it that no order changes an answer.
    Drawn(u64),
}

impl Choice {
    /// The next number below `n` of the sequence that the seed begins.
    fn draw(seed: &mut u64, n: usize) -> usize {
        // SplitMix64: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014.
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % n as u64) as usize
    }
}

/// What a body is planned within.
#[derive(Clone, Copy)]
pub(crate) struct Context<'p> {
    pub(crate) rules: &'p [FlatRule],
    pub(crate) counts: &'p dyn Counts,
    pub(crate) sizes: &'p RuleSizes,
    /// The rules that recurse with the body's own rule; none for the query's body.
    pub(crate) stratum: &'p [RuleId],
    /// Nothing is asked of the body's rule, so its recursive calls ask nothing either: bindings
    /// met on the way would restrict the recursion to what is everything in the end.
    pub(crate) asks_nothing: bool,
    pub(crate) choice: Choice,
}

/// Rows that each rule may have altogether: for each definition its smallest pattern or call.
///
/// Estimated once for a program, in a few rounds over all rules, each from the round before: a
/// look into callees from every call would take time exponential in the depth.
#[derive(Debug)]
pub(crate) struct RuleSizes(Vec<f64>);

impl RuleSizes {
    /// What is assumed of a rule that nothing bounds.
    const UNKNOWN: f64 = 1e7;
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

    fn of(&self, rule: RuleId) -> f64 {
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

/// Plans a body, given the variables bound before it and those that its caller asks for.
pub(crate) fn body_plan(goals: &[Goal], start: &[Var], kept: &[Var], context: Context<'_>) -> Plan {
    let mut bound: VarSet = start.iter().copied().collect();
    let mut pending: Vec<&Goal> = goals.iter().collect();
    let mut plan = Plan { start: start.to_vec(), steps: Vec::new() };
    let mut choice = context.choice;
    while !pending.is_empty() {
        let next = match &mut choice {
            Choice::Cheapest => cheapest(&pending, &bound, context),
            Choice::Drawn(seed) => drawn(&pending, &bound, context, seed),
        };
        let goal = pending.remove(next);
        plan.steps.push(step(goal, &bound, context));
        bound.extend(goal.kind.binds());
    }
    live::mark(&mut plan, kept);
    plan
}

/// The positions of the goals that can be evaluated now; never none, because the body is safe.
fn ready<'g>(
    pending: &'g [&Goal],
    bound: &'g VarSet,
    context: Context<'g>,
) -> impl Iterator<Item = usize> + 'g {
    let is_ready =
        move |goal: &Goal| goal.kind.needs(context.rules).iter().all(|var| bound.contains(var));
    pending.iter().enumerate().filter(move |(_, goal)| is_ready(goal)).map(|(position, _)| position)
}

/// The position of the cheapest ready goal.
fn cheapest(pending: &[&Goal], bound: &VarSet, context: Context<'_>) -> usize {
    let costs = ready(pending, bound, context)
        .map(|position| (estimate(&pending[position].kind, bound, context), position));
    costs
        .min_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, position)| position)
        .expect("a safe body always has a goal that is ready")
}

/// The position of any ready goal.
fn drawn(pending: &[&Goal], bound: &VarSet, context: Context<'_>, seed: &mut u64) -> usize {
    let ready: Vec<usize> = ready(pending, bound, context).collect();
    ready[Choice::draw(seed, ready.len())]
}

fn is_known(term: &Term, bound: &VarSet) -> bool {
    match term {
        Term::Const(_) => true,
        Term::Var(var) => bound.contains(var),
        Term::Blank => false,
    }
}

/// Rows expected for each row that arrives; 0 for goals that only filter.
fn estimate(goal: &GoalKind, bound: &VarSet, context: Context<'_>) -> f64 {
    match goal {
        GoalKind::Pattern { entity, attribute, value } => {
            pattern_estimate(entity, attribute, value, bound, context.counts)
        }
        GoalKind::Predicate { .. } | GoalKind::Missing { .. } => 0.0,
        GoalKind::Function { .. } | GoalKind::GetElse { .. } => 0.1,
        GoalKind::Ground { rows, .. } => rows.len() as f64,
        GoalKind::Call { rule, args, negated: true } => {
            // An anti-join with one attribute costs little more than a comparison.
            if absent(*rule, args, bound, context).is_some() { 0.05 } else { 0.2 }
        }
        GoalKind::Call { rule, args, .. } => {
            let n_known = args.iter().filter(|arg| is_known(arg, bound)).count();
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

fn pattern_estimate(
    entity: &Term,
    attribute: &AttributeTerm,
    value: &Term,
    bound: &VarSet,
    counts: &dyn Counts,
) -> f64 {
    let (knows_entity, knows_value) = (is_known(entity, bound), is_known(value, bound));
    let (n_facts, n_attributes) = match attribute {
        AttributeTerm::Const(attribute) => (counts.of_attribute(attribute) as f64, 1.0),
        AttributeTerm::Var(var) if bound.contains(var) => (counts.total() as f64, 1.0),
        AttributeTerm::Var(_) | AttributeTerm::Blank => (counts.total() as f64, 10.0),
    };
    match (knows_entity, knows_value) {
        (true, true) => n_facts.min(0.5),
        (true, false) => n_facts.min(1.5 * n_attributes),
        (false, true) => match (attribute, value) {
            (AttributeTerm::Const(attribute), Term::Const(value)) => {
                counts.of_value(attribute, value) as f64
            }
            // The number of different values is not known: assume as many as facts each has.
            _ => n_facts.sqrt().max(n_facts.min(2.0)),
        },
        (false, false) => n_facts,
    }
}

fn slot(term: &Term, bound: &VarSet) -> Slot {
    match term {
        Term::Const(value) => Slot::Const(value.clone()),
        Term::Blank => Slot::Blank,
        Term::Var(var) if bound.contains(var) => Slot::Bound(*var),
        Term::Var(var) => Slot::Free(*var),
    }
}

fn attribute_slot(term: &AttributeTerm, bound: &VarSet) -> AttributeSlot {
    match term {
        AttributeTerm::Const(attribute) => AttributeSlot::Const(attribute.clone()),
        AttributeTerm::Blank => AttributeSlot::Blank,
        AttributeTerm::Var(var) if bound.contains(var) => AttributeSlot::Bound(*var),
        AttributeTerm::Var(var) => AttributeSlot::Free(*var),
    }
}

/// The step of a goal, given what is bound when it runs.
fn step(goal: &Goal, bound: &VarSet, context: Context<'_>) -> Step {
    let slots = |terms: &[Term]| terms.iter().map(|term| slot(term, bound)).collect::<Vec<_>>();
    let action = match &goal.kind {
        GoalKind::Pattern { entity, attribute, value } => Action::Pattern {
            entity: slot(entity, bound),
            attribute: attribute_slot(attribute, bound),
            value: slot(value, bound),
        },
        GoalKind::Predicate { function, args } => {
            Action::Predicate { function: *function, args: slots(args) }
        }
        GoalKind::Function { function, args, out } => {
            Action::Function { function: *function, args: slots(args), out: slot(out, bound) }
        }
        GoalKind::Ground { rows, out } => Action::Ground { rows: rows.clone(), out: slots(out) },
        GoalKind::Missing { entity, attribute } => Action::Missing {
            entity: slot(entity, bound),
            attribute: attribute_slot(attribute, bound),
        },
        GoalKind::GetElse { entity, attribute, default, out } => Action::GetElse {
            entity: slot(entity, bound),
            attribute: attribute_slot(attribute, bound),
            default: slot(default, bound),
            out: slot(out, bound),
        },
        GoalKind::Call { rule, args, negated } => {
            let absent = if *negated { absent(*rule, args, bound, context) } else { None };
            absent.unwrap_or_else(|| Action::Call(call(*rule, slots(args), *negated, context)))
        }
    };
    let estimate = estimate(&goal.kind, bound, context);
    Step { estimate, action, live: Vec::new(), merges: false }
}

/// The anti-join with the facts of a pattern, where that is all that a negated rule asks for.
fn absent(rule: RuleId, args: &[Term], bound: &VarSet, context: Context<'_>) -> Option<Action> {
    let [definition] = &*context.rules[rule.index()].definitions else { return None };
    let [Goal { kind: GoalKind::Pattern { entity, attribute, value }, .. }] = &*definition.body
    else {
        return None;
    };
    let locals = [entity.var(), attribute.var(), value.var()];
    let locals = locals.into_iter().flatten().filter(|var| !definition.head.contains(var));
    if locals.clone().count() != locals.collect::<VarSet>().len() {
        // A local variable that occurs twice asks for equality.
        return None;
    }
    let arg = |var: &Var| definition.head.iter().position(|other| other == var).map(|i| &args[i]);
    let position = |term: &Term| match term {
        Term::Var(var) => arg(var).map_or(Slot::Blank, |arg| slot(arg, bound)),
        Term::Const(_) | Term::Blank => slot(term, bound),
    };
    let attribute = match attribute {
        AttributeTerm::Var(var) => match arg(var) {
            Some(Term::Var(var)) => AttributeSlot::Bound(*var),
            Some(Term::Const(_) | Term::Blank) => return None,
            None => AttributeSlot::Blank,
        },
        AttributeTerm::Const(_) | AttributeTerm::Blank => attribute_slot(attribute, bound),
    };
    Some(Action::Absent { entity: position(entity), attribute, value: position(value) })
}

fn call(rule: RuleId, args: Vec<Slot>, negated: bool, context: Context<'_>) -> Call {
    let recurses = context.stratum.contains(&rule);
    let needed = &context.rules[rule.index()].needed;
    let is_asked = |column: usize, arg: &Slot| match arg {
        Slot::Const(_) | Slot::Bound(_) => {
            !(recurses && context.asks_nothing) || needed.contains(&column)
        }
        Slot::Free(_) | Slot::Blank => false,
    };
    let adornment =
        Adornment(args.iter().enumerate().map(|(column, arg)| is_asked(column, arg)).collect());
    Call { rule, args, adornment, negated, recurses }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;
    use crate::ids::Name;
    use crate::program::lower::FlatDefinition;
    use crate::program::raw::ClauseId;
    use crate::program::{Scope, Var};

    /// Facts of `a/few` are few, of all other attributes many.
    struct FewAndMany;

    impl Counts for FewAndMany {
        fn total(&self) -> u64 {
            1_000_000
        }

        fn of_attribute(&self, attribute: &Attribute) -> u64 {
            if attribute.as_str() == "a/few" { 3 } else { 10_000 }
        }

        fn of_value(&self, attribute: &Attribute, _: &Value) -> u64 {
            self.of_attribute(attribute) / 3
        }
    }

    fn goal(kind: GoalKind) -> Goal {
        Goal { id: ClauseId(0), kind }
    }

    fn pattern(entity: u32, attribute: &str, value: u32) -> Goal {
        goal(GoalKind::Pattern {
            entity: Term::Var(Var(entity)),
            attribute: AttributeTerm::Const(Attribute::new(attribute).unwrap()),
            value: Term::Var(Var(value)),
        })
    }

    fn call(rule: u32, negated: bool) -> Goal {
        let args = vec![Term::Var(Var(0)), Term::Var(Var(1))];
        goal(GoalKind::Call { rule: RuleId(rule), args, negated })
    }

    fn rule(bodies: Vec<Vec<Goal>>) -> FlatRule {
        let names = ["x", "y"].map(|name| Name::new(name).unwrap()).to_vec();
        let definition = |body| FlatDefinition {
            head: vec![Var(0), Var(1)],
            scope: Scope { names: names.clone() },
            body,
        };
        let definitions = bodies.into_iter().map(definition).collect();
        FlatRule { name: "r".to_owned(), arity: 2, needed: BTreeSet::new(), definitions }
    }

    fn attributes(goals: &[Goal], rules: &[FlatRule]) -> Vec<String> {
        let sizes = RuleSizes::of_rules(rules, &FewAndMany);
        let context = Context {
            rules,
            counts: &FewAndMany,
            sizes: &sizes,
            stratum: &[],
            asks_nothing: false,
            choice: Choice::Cheapest,
        };
        let plan = body_plan(goals, &[], &[], context);
        let name = |step: &Step| match &step.action {
            Action::Pattern { attribute: AttributeSlot::Const(attribute), .. } => {
                attribute.to_string()
            }
            Action::Call(call) => {
                format!("{}{}", if call.negated { "not " } else { "" }, call.rule.0)
            }
            Action::Absent { attribute: AttributeSlot::Const(attribute), .. } => {
                format!("not {attribute}")
            }
            other => panic!("{other:?}"),
        };
        plan.steps.iter().map(name).collect()
    }

    #[test]
    fn the_smallest_comes_first_and_what_only_filters_when_it_can() {
        let rules = [rule(vec![vec![pattern(0, "a/few", 1)]])];
        let expected = ["a/few", "not a/few", "a/many"];
        let goals = [call(0, true), pattern(1, "a/many", 2), pattern(0, "a/few", 1)];
        assert_eq!(attributes(&goals, &rules), expected);
        let [negated, many, few] = goals;
        assert_eq!(attributes(&[few, many, negated], &rules), expected);
    }

    #[test]
    fn a_call_is_as_large_as_the_smallest_goal_of_its_rules() {
        let small = rule(vec![vec![pattern(0, "a/many", 1), pattern(0, "a/few", 1)]]);
        let through = rule(vec![vec![call(0, false)]]);
        let rules = [small, through];
        let goals = [pattern(0, "a/many", 2), call(1, false)];
        assert_eq!(attributes(&goals, &rules), ["1", "a/many"]);
    }

    /// Guards against estimates that look into the callees of every call: this program took them
    /// 200⁵ steps.
    #[test]
    fn many_calls_of_a_rule_by_itself_cost_no_more_than_they_are() {
        let body = (0..200).map(|_| call(0, false)).collect();
        let sizes = RuleSizes::of_rules(&[rule(vec![body])], &FewAndMany);
        assert_eq!(sizes.of(RuleId(0)), RuleSizes::UNKNOWN);
    }
}
