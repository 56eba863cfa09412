//! From the checked program to what is planned: `or` and `not` become anonymous rules.
//!
//! One mechanism then evaluates everything that nests: a rule is called with the bindings at hand
//! and answers for them. `(or-join [?x] A B)` is a call of a rule with two definitions;
//! `(not-join [?x] A)` is a negated call. What remains in a body is a flat list of [`Goal`]s.
//! Strata are found again, because an `or` around a recursive call is part of the recursion.

use std::collections::BTreeSet;

use super::functions::Function;
use super::raw::ClauseId;
use super::recursion::{self, Recursion};
use super::strata::{self, Stratum};
use super::{Atom, AttributeTerm, Body, Program, RuleId, Scope, Term, Var};
use crate::value::Value;

/// A program whose bodies are flat, with its rules in strata: what plans are made of.
#[derive(Debug)]
pub(crate) struct Stratified {
    pub(crate) scope: Scope,
    pub(crate) body: Vec<Goal>,
    pub(crate) rules: Vec<FlatRule>,
    /// Callees before callers.
    pub(crate) strata: Vec<Stratum>,
    /// The stratum of each rule.
    pub(crate) stratum_of: Vec<usize>,
    /// For each rule what kind of recursion it is, where that was recognized.
    pub(crate) recursions: Vec<Option<Recursion>>,
}

/// A rule with flat bodies.
#[derive(Debug, Clone)]
pub(crate) struct FlatRule {
    /// Its name, or what stands in for one: `not`, `or`.
    pub(crate) name: String,
    /// Somebody wrote it as a rule.
    pub(crate) is_named: bool,
    pub(crate) arity: usize,
    /// Columns that every caller has bound.
    pub(crate) needed: BTreeSet<usize>,
    pub(crate) definitions: Vec<FlatDefinition>,
}

#[derive(Debug, Clone)]
pub(crate) struct FlatDefinition {
    pub(crate) head: Vec<Var>,
    pub(crate) scope: Scope,
    pub(crate) body: Vec<Goal>,
}

/// One conjunct.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    /// The clause it comes from.
    pub(crate) id: ClauseId,
    pub(crate) kind: GoalKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum GoalKind {
    Pattern { entity: Term, attribute: AttributeTerm, value: Term },
    Predicate { function: Function, args: Vec<Term> },
    Function { function: Function, args: Vec<Term>, out: Term },
    Ground { rows: Vec<Vec<Value>>, out: Vec<Term> },
    Missing { entity: Term, attribute: AttributeTerm },
    GetElse { entity: Term, attribute: AttributeTerm, default: Term, out: Term },
    Call { rule: RuleId, args: Vec<Term>, negated: bool },
}

impl Stratified {
    pub(crate) fn lower(program: &Program) -> Stratified {
        let mut lowering = Lowering { rules: program.rules.iter().map(|_| None).collect() };
        for (index, rule) in program.rules.iter().enumerate() {
            let definitions = rule
                .definitions
                .iter()
                .map(|definition| FlatDefinition {
                    head: definition.head.clone(),
                    scope: definition.scope.clone(),
                    body: lowering.body(&definition.body, &definition.scope),
                })
                .collect();
            lowering.rules[index] = Some(FlatRule {
                name: rule.name.to_string(),
                is_named: true,
                arity: rule.arity,
                needed: rule.needed.clone(),
                definitions,
            });
        }
        let body = lowering.body(&program.body, &program.scope);
        let mut rules: Vec<FlatRule> =
            lowering.rules.into_iter().map(|rule| rule.expect("every place is filled")).collect();
        let (mut strata, n_rules) = (strata::of_flat(&rules), rules.len());
        let recursions = recursion::recognize(&mut rules, &strata, program.rules.len());
        if rules.len() > n_rules {
            strata = strata::of_flat(&rules);
        }
        let mut stratum_of = vec![0; rules.len()];
        for (index, stratum) in strata.iter().enumerate() {
            for rule in &stratum.rules {
                stratum_of[rule.index()] = index;
            }
        }
        Stratified { scope: program.scope.clone(), body, rules, strata, stratum_of, recursions }
    }
}

impl Stratified {
    /// Whether a rule depends on itself.
    pub(crate) fn is_recursive(&self, rule: RuleId) -> bool {
        let stratum = &self.strata[self.stratum_of[rule.index()]].rules;
        let definitions = stratum.iter().flat_map(|rule| &self.rules[rule.index()].definitions);
        stratum.len() > 1
            || definitions.flat_map(|definition| &definition.body).any(
                |goal| matches!(goal.kind, GoalKind::Call { rule: callee, .. } if callee == rule),
            )
    }

    /// The longest chain of rules that call each other without recursing.
    pub(crate) fn call_depth(&self) -> usize {
        self.depths().into_iter().max().unwrap_or(0)
    }

    /// The definition of a rule, and the goal of it, that calls the rule's recursion first.
    pub(crate) fn recursive_call(&self, rule: RuleId) -> (u32, Option<u32>) {
        let stratum = &self.strata[self.stratum_of[rule.index()]].rules;
        let recurses = |goal: &Goal| match goal.kind {
            GoalKind::Call { rule, .. } => stratum.contains(&rule),
            _ => false,
        };
        let definitions = self.rules[rule.index()].definitions.iter().zip(0..);
        let mut calls = definitions.filter_map(|(definition, number)| {
            let goal = definition.body.iter().position(recurses)?;
            Some((number, Some(goal as u32)))
        });
        calls.next().unwrap_or((0, None))
    }

    /// The name of a rule that such a chain begins with.
    pub(crate) fn deepest_rule(&self) -> &str {
        let depths = self.depths();
        let named = (0..self.rules.len()).filter(|rule| self.rules[*rule].is_named);
        let deepest = named.max_by_key(|rule| depths[self.stratum_of[*rule]]);
        deepest.map_or("", |rule| &self.rules[rule].name)
    }

    /// For each stratum the longest chain that begins in it.
    fn depths(&self) -> Vec<usize> {
        let mut depth = vec![1; self.strata.len()];
        for (index, stratum) in self.strata.iter().enumerate() {
            // What a recognized recursion calls, it may call by way of a step.
            let is_recognized = |rule: &RuleId| self.recursions[rule.index()].is_some();
            let by_step = if stratum.rules.iter().any(is_recognized) { 2 } else { 1 };
            let bodies = stratum.rules.iter().flat_map(|rule| {
                self.rules[rule.index()].definitions.iter().flat_map(|definition| &definition.body)
            });
            for goal in bodies {
                if let GoalKind::Call { rule, .. } = goal.kind {
                    let callee = self.stratum_of[rule.index()];
                    if callee != index {
                        depth[index] = depth[index].max(depth[callee] + by_step);
                    }
                }
            }
        }
        depth
    }
}

struct Lowering {
    /// The named rules at their places, then the anonymous ones.
    rules: Vec<Option<FlatRule>>,
}

impl Lowering {
    fn body(&mut self, body: &Body, scope: &Scope) -> Vec<Goal> {
        let clauses = body.clauses.iter();
        clauses.map(|clause| Goal { id: clause.id, kind: self.goal(&clause.atom, scope) }).collect()
    }

    fn goal(&mut self, atom: &Atom, scope: &Scope) -> GoalKind {
        match atom.clone() {
            Atom::Pattern { entity, attribute, value } => {
                GoalKind::Pattern { entity, attribute, value }
            }
            Atom::Predicate { function, args } => GoalKind::Predicate { function, args },
            Atom::Function { function, args, out } => GoalKind::Function { function, args, out },
            Atom::Ground { rows, out } => GoalKind::Ground { rows, out },
            Atom::Missing { entity, attribute } => GoalKind::Missing { entity, attribute },
            Atom::GetElse { entity, attribute, default, out } => {
                GoalKind::GetElse { entity, attribute, default, out }
            }
            Atom::Rule { rule, args } => GoalKind::Call { rule, args, negated: false },
            Atom::Not { join, body, .. } => {
                let needed = (0..join.len()).collect();
                self.anonymous("not", join, needed, &[body], scope, true)
            }
            Atom::Or { join, required, branches, .. } => {
                let columns = join.iter().enumerate();
                let needed =
                    columns.filter(|(_, var)| required.contains(var)).map(|(i, _)| i).collect();
                self.anonymous("or", join, needed, &branches, scope, false)
            }
        }
    }

    /// Makes a rule of nested bodies and gives the call of it. The rule keeps the scope of the
    /// body it comes from, so its variables keep their numbers.
    fn anonymous(
        &mut self,
        name: &str,
        head: Vec<Var>,
        needed: BTreeSet<usize>,
        bodies: &[Body],
        scope: &Scope,
        negated: bool,
    ) -> GoalKind {
        let definitions = bodies
            .iter()
            .map(|body| FlatDefinition {
                head: head.clone(),
                scope: scope.clone(),
                body: self.body(body, scope),
            })
            .collect();
        let rule = RuleId(self.rules.len() as u32);
        let args = head.iter().map(|var| Term::Var(*var)).collect();
        let arity = head.len();
        let name = name.to_owned();
        self.rules.push(Some(FlatRule { name, is_named: false, arity, needed, definitions }));
        GoalKind::Call { rule, args, negated }
    }
}

impl GoalKind {
    /// The variables that must be bound before it can be evaluated.
    pub(crate) fn needs(&self, rules: &[FlatRule]) -> Vec<Var> {
        let of = |terms: &[&Term]| terms.iter().filter_map(|term| term.var()).collect::<Vec<_>>();
        match self {
            GoalKind::Pattern { .. } | GoalKind::Ground { .. } => Vec::new(),
            GoalKind::Predicate { args, .. } | GoalKind::Function { args, .. } => {
                args.iter().filter_map(Term::var).collect()
            }
            GoalKind::Missing { entity, attribute } => {
                of(&[entity]).into_iter().chain(attribute.var()).collect()
            }
            GoalKind::GetElse { entity, attribute, default, .. } => {
                of(&[entity, default]).into_iter().chain(attribute.var()).collect()
            }
            GoalKind::Call { rule, args, negated } => {
                let needed = &rules[rule.index()].needed;
                let columns = args.iter().enumerate();
                columns
                    .filter(|(column, _)| *negated || needed.contains(column))
                    .filter_map(|(_, term)| term.var())
                    .collect()
            }
        }
    }

    /// Its terms, but for the attribute.
    pub(crate) fn terms_mut(&mut self) -> Vec<&mut Term> {
        match self {
            GoalKind::Pattern { entity, value, .. } => vec![entity, value],
            GoalKind::Predicate { args, .. } | GoalKind::Call { args, .. } => {
                args.iter_mut().collect()
            }
            GoalKind::Function { args, out, .. } => args.iter_mut().chain([out]).collect(),
            GoalKind::Ground { out, .. } => out.iter_mut().collect(),
            GoalKind::Missing { entity, .. } => vec![entity],
            GoalKind::GetElse { entity, default, out, .. } => vec![entity, default, out],
        }
    }

    /// Gives each variable another number, in order of place.
    pub(crate) fn rename(&mut self, number: &mut impl FnMut(Var) -> Var) {
        if let GoalKind::Pattern { attribute: AttributeTerm::Var(var), .. }
        | GoalKind::Missing { attribute: AttributeTerm::Var(var), .. }
        | GoalKind::GetElse { attribute: AttributeTerm::Var(var), .. } = self
        {
            *var = number(*var);
        }
        for term in self.terms_mut() {
            if let Term::Var(var) = term {
                *var = number(*var);
            }
        }
    }

    /// Every variable that occurs in it.
    pub(crate) fn vars(&self) -> BTreeSet<Var> {
        let mut vars = BTreeSet::new();
        self.clone().rename(&mut |var| {
            vars.insert(var);
            var
        });
        vars
    }

    /// The variables it binds.
    pub(crate) fn binds(&self) -> Vec<Var> {
        match self {
            GoalKind::Pattern { entity, attribute, value } => {
                [entity.var(), attribute.var(), value.var()].into_iter().flatten().collect()
            }
            GoalKind::Function { out, .. } | GoalKind::GetElse { out, .. } => {
                out.var().into_iter().collect()
            }
            GoalKind::Ground { out, .. } => out.iter().filter_map(Term::var).collect(),
            GoalKind::Call { args, negated: false, .. } => {
                args.iter().filter_map(Term::var).collect()
            }
            GoalKind::Call { negated: true, .. }
            | GoalKind::Predicate { .. }
            | GoalKind::Missing { .. } => Vec::new(),
        }
    }
}
