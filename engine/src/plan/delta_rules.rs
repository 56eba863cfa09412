//! Delta rules: one plan for each way in which a new row can reach a rule's body.
//!
//! A definition `p(x, y) :- a, q, b, r` with recursive calls `q`, `r` is evaluated, in every round,
//! for the rows in which at least one input is from the last round (semi-naive evaluation;
//! Abiteboul, Hull & Vianu, ch. 13):
//!
//! ```text
//! Δdemand,        a, q up to recent, b, r up to recent     base order
//! demand stable,  a, Δq,             b, r up to recent
//! demand stable,  a, q stable,       b, Δr
//! ```
//!
//! so each combination is met exactly once. A delta rule starts from its Δ, runs what stands
//! before the Δ in the base order (in any order, asking for nothing new: all of it is stable and
//! has asked before), then what stands after it in the base order. Demand is therefore asked for
//! by every prefix of the base order, which is what keeps answers complete.

use super::order::{cheapest, demand_slots, step};
use super::{Action, Adornment, Call, Context, Plan, Reads, Step, body_plan};
use crate::program::lower::{FlatDefinition, Goal, GoalKind};
use crate::program::raw::ClauseId;
use crate::program::{Term, VarSet};

/// The plans of one definition under one adornment.
#[derive(Debug)]
pub(crate) struct DefinitionPlan {
    /// For new demand: the rows that arrive bind the demanded head variables.
    pub(crate) base: Plan,
    /// For new answers of each recursive call.
    pub(crate) deltas: Vec<DeltaRule>,
}

/// The plan for new answers of one recursive call.
#[derive(Debug)]
pub(crate) struct DeltaRule {
    /// The call that the new answers are answers of.
    pub(crate) call: Call,
    /// What follows once they have bound the call's variables.
    pub(crate) rest: Plan,
}

/// Plans a definition.
pub(crate) fn definition_plan(
    definition: &FlatDefinition,
    adornment: &Adornment,
    context: Context<'_>,
) -> DefinitionPlan {
    let demanded: VarSet =
        adornment.columns().into_iter().map(|column| definition.head[column]).collect();
    let base = body_plan(&definition.body, &demanded, context);
    let in_order: Vec<&Goal> = base.steps.iter().map(|step| goal(definition, step.id)).collect();
    let recursive = base.steps.iter().enumerate().filter_map(|(position, step)| {
        let Action::Call(call) = &step.action else { return None };
        (call.reads != Reads::Complete).then_some((position, call))
    });
    let deltas = recursive
        .map(|(position, call)| {
            let rest = rest_plan(definition, adornment, &base, &in_order, position, context);
            DeltaRule { call: as_delta(call), rest }
        })
        .collect();
    DefinitionPlan { base, deltas }
}

fn goal(definition: &FlatDefinition, id: ClauseId) -> &Goal {
    let found = definition.body.iter().find(|goal| goal.id == id);
    found.expect("every step of a plan comes from a goal of its body")
}

/// The call as the start of a delta rule: nothing is bound before it.
fn as_delta(call: &Call) -> Call {
    let args = call.args.iter().map(|arg| match arg {
        super::Slot::Bound(var) => super::Slot::Free(*var),
        other => other.clone(),
    });
    Call { args: args.collect(), ..call.clone() }
}

fn rest_plan(
    definition: &FlatDefinition,
    adornment: &Adornment,
    base: &Plan,
    in_order: &[&Goal],
    delta: usize,
    context: Context<'_>,
) -> Plan {
    let mut bound: VarSet = in_order[delta].kind.binds().into_iter().collect();
    let mut plan = Plan::default();
    let mut before: Vec<&Goal> = in_order[..delta].to_vec();
    let mut demand_pending = true;
    loop {
        // The demand goes first as soon as it only filters, and at once where goals wait for it.
        let demanded = demand_slots(&definition.head, adornment, &bound);
        let is_check = demanded.iter().all(|slot| matches!(slot, super::Slot::Bound(_)));
        let can_go_on = before.iter().any(|goal| connects(goal, &bound, context));
        if demand_pending && (is_check || !can_go_on) {
            plan.steps.push(demand_step(in_order[delta].id, demanded));
            bound.extend(adornment.columns().into_iter().map(|column| definition.head[column]));
            demand_pending = false;
            continue;
        }
        if before.is_empty() {
            break;
        }
        let goal = before.remove(cheapest(&before, &bound, context));
        plan.steps.push(recursive_step(goal, base, &bound, context, false));
        bound.extend(goal.kind.binds());
    }
    for goal in &in_order[delta + 1..] {
        plan.steps.push(recursive_step(goal, base, &bound, context, true));
        bound.extend(goal.kind.binds());
    }
    plan
}

/// Whether a goal is ready and shares a bound variable or constant, so that it can run without
/// the demand and without a cross product.
fn connects(goal: &Goal, bound: &VarSet, context: Context<'_>) -> bool {
    let is_ready = goal.kind.needs(context.rules).iter().all(|var| bound.contains(var));
    let is_joined = match &goal.kind {
        GoalKind::Pattern { entity, value, .. } => [entity, value].iter().any(|term| match term {
            Term::Var(var) => bound.contains(var),
            Term::Const(_) => true,
            Term::Blank => false,
        }),
        GoalKind::Call { args, .. } => {
            args.iter().filter_map(Term::var).any(|var| bound.contains(&var))
        }
        _ => true,
    };
    is_ready && is_joined
}

fn demand_step(id: ClauseId, columns: Vec<super::Slot>) -> Step {
    Step { id, estimate: 0.5, action: Action::Demand { columns } }
}

/// A step of a delta rule: recursive calls keep the adornment they have in the base order.
fn recursive_step(
    goal: &Goal,
    base: &Plan,
    bound: &VarSet,
    context: Context<'_>,
    after_delta: bool,
) -> Step {
    let mut step = step(goal, bound, context);
    if let Action::Call(call) = &mut step.action
        && call.reads != Reads::Complete
    {
        let in_base = base.steps.iter().find(|step| step.id == goal.id).map(|step| &step.action);
        let Some(Action::Call(in_base)) = in_base else {
            unreachable!("the same goal is a call in the base order")
        };
        call.adornment = in_base.adornment.clone();
        call.reads = if after_delta {
            Reads::UpToRecent { demands: true }
        } else {
            Reads::Stable { demands: false }
        };
    }
    step
}
