//! A definition put in where its rule is called: arguments for the variables of its head, new
//! variables for all others.

use std::collections::BTreeSet;

use super::lower::{FlatDefinition, GoalKind};
use super::{AttributeTerm, Term, Var};
use crate::ids::Name;

impl FlatDefinition {
    /// What stands for each of its variables in a call with these arguments, and the goals that
    /// have to stand beside its body: a constant stands for an attribute only by way of a variable.
    pub(crate) fn called_with(
        &self,
        args: &[Term],
        mut fresh: impl FnMut(&Name) -> Term,
    ) -> (Vec<Term>, Vec<GoalKind>) {
        let attributes: BTreeSet<Var> =
            self.body.iter().filter_map(|goal| goal.kind.attribute_var()).collect();
        let mut constants = Vec::new();
        let terms = self.scope.names.iter().zip(0..).map(|(name, var)| {
            let column = self.head.iter().position(|head| *head == Var(var));
            match column.map(|column| &args[column]) {
                Some(Term::Const(value)) if attributes.contains(&Var(var)) => {
                    let term = fresh(name);
                    let (rows, out) = (vec![vec![value.clone()]], vec![term.clone()]);
                    constants.push(GoalKind::Ground { rows, out });
                    term
                }
                Some(term @ (Term::Const(_) | Term::Var(_))) => term.clone(),
                Some(Term::Blank) | None => fresh(name),
            }
        });
        (terms.collect(), constants)
    }
}

impl GoalKind {
    /// The goal with these terms for its variables, by their numbers.
    pub(crate) fn substituted(&self, terms: &[Term]) -> GoalKind {
        let mut goal = self.clone();
        if let GoalKind::Pattern { attribute, .. }
        | GoalKind::Missing { attribute, .. }
        | GoalKind::GetElse { attribute, .. } = &mut goal
            && let AttributeTerm::Var(var) = attribute
        {
            match &terms[var.column()] {
                Term::Var(other) => *var = *other,
                Term::Blank | Term::Const(_) => unreachable!("attributes get variables"),
            }
        }
        for term in goal.terms_mut() {
            *term = term.substituted(terms);
        }
        goal
    }

    /// The variable that stands for its attribute.
    fn attribute_var(&self) -> Option<Var> {
        match self {
            GoalKind::Pattern { attribute, .. }
            | GoalKind::Missing { attribute, .. }
            | GoalKind::GetElse { attribute, .. } => attribute.var(),
            _ => None,
        }
    }
}

impl Term {
    /// What stands for it, given the terms for variables by their numbers.
    pub(crate) fn substituted(&self, terms: &[Term]) -> Term {
        match self {
            Term::Var(var) => terms[var.column()].clone(),
            Term::Blank | Term::Const(_) => self.clone(),
        }
    }
}
