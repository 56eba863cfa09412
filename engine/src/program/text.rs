//! Goals as text, for people: what a plan and an error of a budget show of a query.
//!
//! Close to how they were written, but for what has been put in their place: `not` and `or` are
//! shown with their bodies, rules that were written out as what stands there now. Long constants
//! and long lists are cut, so a text is never much longer than a line; it need not parse.

use std::fmt::{self, Write};

use super::lower::{FlatRule, Goal, GoalKind};
use super::{AttributeTerm, Scope, Term, Var};
use crate::value::Value;

/// Characters shown of a constant.
const CONSTANT_MAX: usize = 48;

/// Goals shown of a nested body, and how deep bodies are shown in each other.
const GOALS_MAX: usize = 4;
const DEPTH_MAX: usize = 3;

/// Prints goals with the names of a scope and of the rules.
#[derive(Clone, Copy)]
pub(crate) struct GoalText<'p> {
    pub(crate) scope: &'p Scope,
    pub(crate) rules: &'p [FlatRule],
}

impl GoalText<'_> {
    /// Some goals of a body, one after the other.
    pub(crate) fn goals(self, body: &[Goal], positions: &[u32]) -> String {
        let goals = positions.iter().map(|position| &body[*position as usize]);
        let mut text = String::new();
        self.list(&mut text, goals, 0).expect("writing to a string succeeds");
        text
    }

    /// `?name`.
    pub(crate) fn var(self, var: Var) -> String {
        format!("?{}", self.scope.names[var.column()])
    }

    fn list<'g>(
        self,
        text: &mut String,
        goals: impl ExactSizeIterator<Item = &'g Goal>,
        depth: usize,
    ) -> fmt::Result {
        let n_goals = goals.len();
        for (index, goal) in goals.take(GOALS_MAX).enumerate() {
            if index > 0 {
                text.push(' ');
            }
            self.goal(text, &goal.kind, depth)?;
        }
        if n_goals > GOALS_MAX { write!(text, " and {} more", n_goals - GOALS_MAX) } else { Ok(()) }
    }

    fn goal(self, text: &mut String, goal: &GoalKind, depth: usize) -> fmt::Result {
        match goal {
            GoalKind::Pattern { entity, attribute, value } => {
                write!(text, "[{} {}", self.term(entity), self.attribute(attribute))?;
                if *value != Term::Blank {
                    write!(text, " {}", self.term(value))?;
                }
                text.write_char(']')
            }
            GoalKind::Predicate { function, args } => {
                write!(text, "[({}{})]", function.name(), self.terms(args))
            }
            GoalKind::Function { function, args, out } => {
                write!(text, "[({}{}) {}]", function.name(), self.terms(args), self.term(out))
            }
            GoalKind::Ground { rows, out } => {
                let constant = match &**rows {
                    [row] => row.iter().map(constant).collect::<Vec<_>>().join(" "),
                    rows => format!("{} rows", rows.len()),
                };
                write!(text, "[(ground {constant}) [{}]]", self.terms(out).trim_start())
            }
            GoalKind::Missing { entity, attribute } => {
                let (entity, attribute) = (self.term(entity), self.attribute(attribute));
                write!(text, "[(missing? $ {entity} {attribute})]")
            }
            GoalKind::GetElse { entity, attribute, default, out } => {
                let (entity, attribute) = (self.term(entity), self.attribute(attribute));
                let (default, out) = (self.term(default), self.term(out));
                write!(text, "[(get-else $ {entity} {attribute} {default}) {out}]")
            }
            GoalKind::Call { rule, args, .. } => {
                let rule = &self.rules[rule.index()];
                if rule.is_named {
                    write!(text, "({}{})", rule.name, self.terms(args))
                } else {
                    self.nested(text, rule, depth + 1)
                }
            }
        }
    }

    /// `not` and `or` keep the variables of the body around them.
    fn nested(self, text: &mut String, rule: &FlatRule, depth: usize) -> fmt::Result {
        write!(text, "({}", rule.name)?;
        if depth > DEPTH_MAX {
            return text.write_str(" …)");
        }
        for definition in rule.definitions.iter().take(GOALS_MAX) {
            let inner = GoalText { scope: &definition.scope, ..self };
            let is_and = rule.definitions.len() > 1 && definition.body.len() > 1;
            text.write_str(if is_and { " (and " } else { " " })?;
            inner.list(text, definition.body.iter(), depth)?;
            text.write_str(if is_and { ")" } else { "" })?;
        }
        let is_cut = rule.definitions.len() > GOALS_MAX;
        text.write_str(if is_cut { " …)" } else { ")" })
    }

    fn term(self, term: &Term) -> String {
        match term {
            Term::Var(var) => self.var(*var),
            Term::Blank => "_".to_owned(),
            Term::Const(value) => constant(value),
        }
    }

    fn attribute(self, attribute: &AttributeTerm) -> String {
        match attribute {
            AttributeTerm::Var(var) => self.var(*var),
            AttributeTerm::Blank => "_".to_owned(),
            AttributeTerm::Const(attribute) => format!(":{attribute}"),
        }
    }

    /// Each with a space before it.
    fn terms(self, terms: &[Term]) -> String {
        terms.iter().map(|term| format!(" {}", self.term(term))).collect()
    }
}

/// A constant, cut where it is long.
fn constant(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(CONSTANT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
