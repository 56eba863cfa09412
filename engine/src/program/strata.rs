//! Which rules may recurse together, and that none depends on its own negation.
//!
//! Strata are the strongly connected components of the graph "rule calls rule", callees first
//! (Tarjan, *Depth-first search and linear graph algorithms*, 1972). A call under `not` between
//! two rules of one component would make the program's meaning depend on an order of evaluation;
//! it is refused and the cycle printed. Aggregates stand only in `:find`, above all rules.

use super::check::error;
use super::error::ProgramError;
use super::lower::{FlatRule, GoalKind};
use super::raw::{ClauseId, Place};
use super::{Atom, Body, Program, Rule, RuleId};

/// Rules that may recurse together.
#[derive(Debug, Clone)]
pub(crate) struct Stratum {
    pub(crate) rules: Vec<RuleId>,
}

/// A call of one rule by another.
struct Call {
    to: RuleId,
    negated: bool,
    clause: ClauseId,
}

/// Refuses a program in which a rule depends on its own negation.
pub(super) fn check(program: &Program) -> Result<(), ProgramError> {
    let calls = calls_of(program);
    let components = Components::of(&calls);
    for (from, calls_of) in calls.iter().enumerate() {
        for call in calls_of {
            if call.negated && components.of_rule[from] == components.of_rule[call.to.index()] {
                return Err(unstratifiable(program, &calls, RuleId(from as u32), call));
            }
        }
    }
    Ok(())
}

fn calls_of(program: &Program) -> Vec<Vec<Call>> {
    let calls = |rule: &Rule| {
        let mut calls = Vec::new();
        for definition in &rule.definitions {
            collect_calls(&definition.body, false, &mut calls);
        }
        calls
    };
    program.rules.iter().map(calls).collect()
}

/// For each rule that may call itself, directly or through others, the number of its component.
pub(super) fn recursive_components(program: &Program) -> Vec<Option<usize>> {
    let calls = calls_of(program);
    let components = Components::of(&calls);
    let recurs = |rule: usize| {
        let component = components.of_rule[rule];
        let is_together = |call: &Call| components.of_rule[call.to.index()] == component;
        calls[rule].iter().any(is_together).then_some(component)
    };
    (0..calls.len()).map(recurs).collect()
}

/// The strongly connected component of each node of a graph.
pub(crate) fn components(next: Vec<Vec<usize>>) -> Vec<usize> {
    let call = |to: usize| Call { to: RuleId(to as u32), negated: false, clause: ClauseId(0) };
    let calls: Vec<Vec<Call>> =
        next.into_iter().map(|next| next.into_iter().map(call).collect()).collect();
    Components::of(&calls).of_rule
}

/// The strata of flat rules, callees before callers.
pub(super) fn of_flat(rules: &[FlatRule]) -> Vec<Stratum> {
    let calls: Vec<Vec<Call>> = rules
        .iter()
        .map(|rule| {
            let goals = rule.definitions.iter().flat_map(|definition| &definition.body);
            goals
                .filter_map(|goal| match &goal.kind {
                    GoalKind::Call { rule, negated, .. } => {
                        Some(Call { to: *rule, negated: *negated, clause: goal.id })
                    }
                    _ => None,
                })
                .collect()
        })
        .collect();
    let components = Components::of(&calls);
    components.list.into_iter().map(|rules| Stratum { rules }).collect()
}

fn collect_calls(body: &Body, negated: bool, calls: &mut Vec<Call>) {
    for clause in &body.clauses {
        match &clause.atom {
            Atom::Rule { rule, .. } => calls.push(Call { to: *rule, negated, clause: clause.id }),
            Atom::Not { body, .. } => collect_calls(body, true, calls),
            Atom::Or { branches, .. } => {
                for branch in branches {
                    collect_calls(branch, negated, calls);
                }
            }
            _ => {}
        }
    }
}

/// Names a shortest cycle that goes through the negated call.
fn unstratifiable(
    program: &Program,
    calls: &[Vec<Call>],
    from: RuleId,
    negated: &Call,
) -> ProgramError {
    let name = |rule: RuleId| &program.rules[rule.index()].name;
    let mut cycle = format!("{} → not {}", name(from), name(negated.to));
    for rule in path(calls, negated.to, from).into_iter().skip(1) {
        cycle.push_str(&format!(" → {}", name(rule)));
    }
    let message = format!("rule {} depends on its own negation: {cycle}", name(from));
    let hint = "take the negated part out of the recursion";
    error(Place::Clause(negated.clause), "query_unstratifiable", message, Some(hint))
}

/// A shortest path of calls, both ends included; only the start when they are the same.
fn path(calls: &[Vec<Call>], start: RuleId, end: RuleId) -> Vec<RuleId> {
    let mut came_from: Vec<(RuleId, usize)> = vec![(start, 0)];
    let mut next = 0;
    while came_from[next].0 != end {
        for call in &calls[came_from[next].0.index()] {
            if came_from.iter().all(|(seen, _)| *seen != call.to) {
                came_from.push((call.to, next));
            }
        }
        next += 1;
        assert!(next < came_from.len(), "both ends are in one component");
    }
    let mut path = vec![end];
    while next != 0 {
        next = came_from[next].1;
        path.insert(0, came_from[next].0);
    }
    path
}

struct Components {
    /// Callees first.
    list: Vec<Vec<RuleId>>,
    /// The component of each rule.
    of_rule: Vec<usize>,
}

impl Components {
    /// Tarjan's algorithm with an explicit stack: a program has up to a thousand rules.
    fn of(calls: &[Vec<Call>]) -> Components {
        const UNSEEN: usize = usize::MAX;
        let n = calls.len();
        let (mut index, mut low) = (vec![UNSEEN; n], vec![0; n]);
        let mut of_rule = vec![UNSEEN; n];
        let (mut list, mut open, mut next) = (Vec::new(), Vec::new(), 0);
        for root in 0..n {
            if index[root] != UNSEEN {
                continue;
            }
            let mut work = vec![(root, 0)];
            while let Some((rule, position)) = work.pop() {
                if position == 0 {
                    (index[rule], low[rule]) = (next, next);
                    next += 1;
                    open.push(rule);
                }
                if let Some(call) = calls[rule].get(position) {
                    let to = call.to.index();
                    work.push((rule, position + 1));
                    if index[to] == UNSEEN {
                        work.push((to, 0));
                    } else if of_rule[to] == UNSEEN {
                        low[rule] = low[rule].min(index[to]);
                    }
                    continue;
                }
                if low[rule] == index[rule] {
                    let start = open.iter().position(|open| *open == rule).expect("it is open");
                    let members: Vec<usize> = open.split_off(start);
                    for member in &members {
                        of_rule[*member] = list.len();
                    }
                    list.push(members.into_iter().map(|rule| RuleId(rule as u32)).collect());
                }
                if let Some((caller, _)) = work.last() {
                    low[*caller] = low[*caller].min(low[rule]);
                }
            }
        }
        Components { list, of_rule }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules that call those listed; a negative number is a negated call.
    fn calls(of: &[&[i64]]) -> Vec<Vec<Call>> {
        let call = |to: &i64| Call {
            to: RuleId(to.unsigned_abs() as u32),
            negated: *to < 0,
            clause: ClauseId(0),
        };
        of.iter().map(|calls| calls.iter().map(call).collect()).collect()
    }

    fn components(of: &[&[i64]]) -> Vec<Vec<u32>> {
        let members = |rules: Vec<RuleId>| {
            let mut rules: Vec<u32> = rules.into_iter().map(|rule| rule.0).collect();
            rules.sort_unstable();
            rules
        };
        Components::of(&calls(of)).list.into_iter().map(members).collect()
    }

    #[test]
    fn callees_come_before_callers_and_those_that_recurse_together() {
        assert_eq!(components(&[&[1], &[2], &[]]), [[2], [1], [0]]);
        assert_eq!(components(&[&[0]]), [[0]]);
        // 1 and 2 call each other; 0 calls into them, they call 3; 4 stands alone.
        let expected = [vec![3], vec![1, 2], vec![0], vec![4]];
        assert_eq!(components(&[&[1], &[2], &[1, 3], &[], &[]]), expected);
        // Two cycles that share a rule are one component.
        assert_eq!(components(&[&[1], &[0, 2], &[1]]), [[0, 1, 2]]);
    }

    #[test]
    fn a_long_chain_does_not_use_the_stack() {
        let n = 100_000;
        let chain: Vec<Vec<i64>> =
            (1..=n).map(|to| if to < n { vec![to] } else { vec![] }).collect();
        let chain: Vec<&[i64]> = chain.iter().map(Vec::as_slice).collect();
        assert_eq!(Components::of(&calls(&chain)).list.len(), n as usize);
    }

    #[test]
    fn a_cycle_is_shown_by_a_shortest_way() {
        let calls = calls(&[&[1, 3], &[2], &[0], &[2]]);
        let names = |start, end| -> Vec<u32> {
            path(&calls, RuleId(start), RuleId(end)).into_iter().map(|rule| rule.0).collect()
        };
        assert_eq!(names(0, 2), [0, 1, 2]);
        assert_eq!(names(3, 1), [3, 2, 0, 1]);
        assert_eq!(names(2, 2), [2]);
    }
}
