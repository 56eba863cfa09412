//! From a goal to the step that evaluates it, given what is bound when it runs.

use super::estimate::estimate;
use super::order::Context;
use super::{Action, Adornment, AttributeSlot, Call, Slot, Step};
use crate::program::lower::{Goal, GoalKind};
use crate::program::{AttributeTerm, RuleId, Term, Var, VarSet};

pub(super) fn slot(term: &Term, bound: &VarSet) -> Slot {
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

/// The step of a goal, given what is bound when it runs; `goals` is its position in the body.
pub(super) fn step(goal: &Goal, goals: Vec<u32>, bound: &VarSet, context: Context<'_>) -> Step {
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
    Step::new(estimate, action, goals)
}

/// The anti-join with the facts of a pattern, where that is all that a negated rule asks for.
pub(super) fn absent(
    rule: RuleId,
    args: &[Term],
    bound: &VarSet,
    context: Context<'_>,
) -> Option<Action> {
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
