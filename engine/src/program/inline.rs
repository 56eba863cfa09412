//! Rules that do not recurse and have one definition are written out where they are called.
//!
//! A call of such a rule is its body with the arguments put in for the head's variables and new
//! variables for the others, so the planner orders its goals among those of the caller instead of
//! asking a table. Bodies of callees are written out before those of callers, and none grows beyond
//! [`GOALS_MAX`]: a chain of rules that each call the next one twice would double at every link.
//! Goals keep the ids of their clauses. What is left are calls of rules that recurse or have
//! several definitions, and negated calls.

use std::collections::BTreeSet;

use super::lower::{FlatDefinition, FlatRule, Goal, GoalKind, Stratified};
use super::{AttributeTerm, RuleId, Scope, Term, Var};

/// The most goals of a body that something was written out into.
const GOALS_MAX: usize = 128;

impl Stratified {
    /// Writes out the calls that can be.
    pub(crate) fn inlined(mut self) -> Stratified {
        let order: Vec<RuleId> =
            self.strata.iter().flat_map(|stratum| stratum.rules.iter().copied()).collect();
        let n_definitions =
            |rules: &[FlatRule], rule: RuleId| rules[rule.index()].definitions.len();
        for rule in order {
            for index in 0..n_definitions(&self.rules, rule) {
                let definition = &self.rules[rule.index()].definitions[index];
                let (mut scope, body) = (definition.scope.clone(), definition.body.clone());
                let body = self.written_out(body, &mut scope);
                let definition = &mut self.rules[rule.index()].definitions[index];
                (definition.scope, definition.body) = (scope, body);
            }
        }
        let (mut scope, body) = (self.scope.clone(), std::mem::take(&mut self.body));
        self.body = self.written_out(body, &mut scope);
        self.scope = scope;
        self
    }

    fn written_out(&self, body: Vec<Goal>, scope: &mut Scope) -> Vec<Goal> {
        let mut n_goals = body.len();
        let mut out = Vec::with_capacity(n_goals);
        for goal in body {
            let callee = match &goal.kind {
                GoalKind::Call { rule, args, negated: false } => {
                    self.only_definition(*rule).map(|definition| (definition, args))
                }
                _ => None,
            };
            match callee {
                Some((definition, args)) if n_goals + definition.body.len() <= GOALS_MAX => {
                    n_goals += definition.body.len();
                    write_out(definition, args, &goal, scope, &mut out);
                }
                _ => out.push(goal),
            }
        }
        out
    }

    /// The definition of a rule that has one and does not recurse.
    fn only_definition(&self, rule: RuleId) -> Option<&FlatDefinition> {
        let stratum = &self.strata[self.stratum_of[rule.index()]];
        let [definition] = &*self.rules[rule.index()].definitions else { return None };
        let calls_itself = definition
            .body
            .iter()
            .any(|goal| matches!(goal.kind, GoalKind::Call { rule: callee, .. } if callee == rule));
        (stratum.rules.len() == 1 && !calls_itself).then_some(definition)
    }
}

/// Appends the body of a definition, called with these arguments.
fn write_out(
    definition: &FlatDefinition,
    args: &[Term],
    call: &Goal,
    scope: &mut Scope,
    out: &mut Vec<Goal>,
) {
    let attributes: BTreeSet<Var> = definition
        .body
        .iter()
        .filter_map(|goal| match &goal.kind {
            GoalKind::Pattern { attribute, .. }
            | GoalKind::Missing { attribute, .. }
            | GoalKind::GetElse { attribute, .. } => attribute.var(),
            _ => None,
        })
        .collect();
    let terms = definition.scope.names.iter().zip(0..).map(|(name, var)| {
        let fresh = |scope: &mut Scope| {
            scope.names.push(name.clone());
            Term::Var(Var(scope.names.len() as u32 - 1))
        };
        let column = definition.head.iter().position(|head| *head == Var(var));
        match column.map(|column| &args[column]) {
            Some(Term::Const(value)) if attributes.contains(&Var(var)) => {
                // A constant stands for an attribute only by way of a variable.
                let term = fresh(scope);
                let kind =
                    GoalKind::Ground { rows: vec![vec![value.clone()]], out: vec![term.clone()] };
                out.push(Goal { id: call.id, kind });
                term
            }
            Some(term @ (Term::Const(_) | Term::Var(_))) => term.clone(),
            Some(Term::Blank) | None => fresh(scope),
        }
    });
    let terms: Vec<Term> = terms.collect();
    let goals = definition.body.iter();
    out.extend(goals.map(|goal| Goal { id: goal.id, kind: substituted(&goal.kind, &terms) }));
}

/// A goal with these terms for its variables.
fn substituted(goal: &GoalKind, terms: &[Term]) -> GoalKind {
    let term = |term: &Term| match term {
        Term::Var(var) => terms[var.column()].clone(),
        Term::Blank | Term::Const(_) => term.clone(),
    };
    let all = |list: &[Term]| list.iter().map(term).collect::<Vec<_>>();
    let attribute_term = |attribute: &AttributeTerm| match attribute {
        AttributeTerm::Var(var) => match &terms[var.column()] {
            Term::Var(var) => AttributeTerm::Var(*var),
            Term::Blank | Term::Const(_) => unreachable!("attributes get variables"),
        },
        AttributeTerm::Blank | AttributeTerm::Const(_) => attribute.clone(),
    };
    match goal {
        GoalKind::Pattern { entity, attribute, value } => GoalKind::Pattern {
            entity: term(entity),
            attribute: attribute_term(attribute),
            value: term(value),
        },
        GoalKind::Predicate { function, args } => {
            GoalKind::Predicate { function: *function, args: all(args) }
        }
        GoalKind::Function { function, args, out } => {
            GoalKind::Function { function: *function, args: all(args), out: term(out) }
        }
        GoalKind::Ground { rows, out } => GoalKind::Ground { rows: rows.clone(), out: all(out) },
        GoalKind::Missing { entity, attribute } => {
            GoalKind::Missing { entity: term(entity), attribute: attribute_term(attribute) }
        }
        GoalKind::GetElse { entity, attribute, default, out } => GoalKind::GetElse {
            entity: term(entity),
            attribute: attribute_term(attribute),
            default: term(default),
            out: term(out),
        },
        GoalKind::Call { rule, args, negated } => {
            GoalKind::Call { rule: *rule, args: all(args), negated: *negated }
        }
    }
}
