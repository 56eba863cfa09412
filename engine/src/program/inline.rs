//! Rules that do not recurse and have one definition are written out where they are called.
//!
//! A call of such a rule is its body with the arguments put in for the head's variables and new
//! variables for the others, so the planner orders its goals among those of the caller instead of
//! asking a table. Bodies of callees are written out before those of callers, and none grows beyond
//! [`GOALS_MAX`]: a chain of rules that each call the next one twice would double at every link.
//! Goals keep the ids of their clauses. What is left are calls of rules that recurse or have
//! several definitions, and negated calls.

use super::lower::{FlatDefinition, FlatRule, Goal, GoalKind, Stratified};
use super::{RuleId, Scope, Term, Var};

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
    let (terms, constants) = definition.called_with(args, |name| {
        scope.names.push(name.clone());
        Term::Var(Var(scope.names.len() as u32 - 1))
    });
    out.extend(constants.into_iter().map(|kind| Goal { id: call.id, kind }));
    let goals = definition.body.iter();
    out.extend(goals.map(|goal| Goal { id: goal.id, kind: goal.kind.substituted(&terms) }));
}
