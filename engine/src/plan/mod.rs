//! Plans: in which order the goals of a body are evaluated, and how each one is.
//!
//! A [`Plan`] is inert data that prints itself. It is made for a body, the variables bound before
//! it, the variables asked of it, and the counts of a snapshot; the counts decide the order and
//! nothing else, so an estimate can make a query slow but never wrong. Modules in reading order:
//! `order` (which goal comes next), `live` (which variables are still needed after each step),
//! `planner` (plans of a program's bodies). What is left out: facts, and the evaluation itself.

mod live;
mod order;
mod planner;

use std::fmt;

pub(crate) use order::{Choice, Counts};
pub(crate) use planner::Planner;

use crate::ids::Attribute;
use crate::program::functions::Function;
use crate::program::lower::FlatRule;
use crate::program::{RuleId, Scope, Var};
use crate::value::Value;

/// The steps of one body, first to last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// The variables of the rows it begins with, in the order of their columns.
    pub(crate) start: Vec<Var>,
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// The variables of the rows that arrive at a step, in the order of their columns.
    pub(crate) fn live_before(&self, step: usize) -> &[Var] {
        match step.checked_sub(1) {
            Some(before) => &self.steps[before].live,
            None => &self.start,
        }
    }
}

/// One step: it turns the rows made so far into new ones.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Rows expected for each row that arrives.
    pub(crate) estimate: f64,
    pub(crate) action: Action,
    /// The variables that a later step or the head asks for: the columns of the rows it makes.
    pub(crate) live: Vec<Var>,
    /// Rows may have become equal, because a variable was left out, and later steps would do the
    /// same work for each.
    pub(crate) merges: bool,
}

/// A term, with what is known of it when its step runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Slot {
    Const(Value),
    Bound(Var),
    /// Bound by this step; a variable that occurs twice in a step is free both times.
    Free(Var),
    Blank,
}

/// The attribute position of a pattern, with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AttributeSlot {
    Const(Attribute),
    Bound(Var),
    Free(Var),
    Blank,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Pattern {
        entity: Slot,
        attribute: AttributeSlot,
        value: Slot,
    },
    /// The rows that no fact fits: `not` around one pattern.
    Absent {
        entity: Slot,
        attribute: AttributeSlot,
        value: Slot,
    },
    Predicate {
        function: Function,
        args: Vec<Slot>,
    },
    Function {
        function: Function,
        args: Vec<Slot>,
        out: Slot,
    },
    Ground {
        rows: Vec<Vec<Value>>,
        out: Vec<Slot>,
    },
    Missing {
        entity: Slot,
        attribute: AttributeSlot,
    },
    GetElse {
        entity: Slot,
        attribute: AttributeSlot,
        default: Slot,
        out: Slot,
    },
    Call(Call),
}

/// Which columns of a rule a caller has bound: its answers are asked for these bindings only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Adornment(pub(crate) Vec<bool>);

impl Adornment {
    /// The bound columns, ascending.
    pub(crate) fn columns(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|column| self.0[*column]).collect()
    }

    pub(crate) fn is_free(&self) -> bool {
        !self.0.contains(&true)
    }
}

/// `bf`: first column bound, second free.
impl fmt::Display for Adornment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|bound| f.write_str(if *bound { "b" } else { "f" }))
    }
}

/// A call of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) rule: RuleId,
    pub(crate) args: Vec<Slot>,
    /// The bindings that are asked for.
    pub(crate) adornment: Adornment,
    pub(crate) negated: bool,
    /// The rule recurses with the one that calls it: its answers are not complete yet, and the
    /// rows that call it wait for more. Otherwise it lies in a lower stratum and is evaluated to
    /// its end first.
    pub(crate) recurses: bool,
}

/// Prints a plan with the names of a scope and of the rules.
pub(crate) struct PlanText<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) scope: &'p Scope,
    pub(crate) rules: &'p [FlatRule],
    pub(crate) indent: usize,
}

impl fmt::Display for PlanText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.plan.steps.iter().enumerate() {
            let text = self.action(&step.action);
            let (indent, number, estimate) = (self.indent, index + 1, step.estimate);
            write!(f, "{:indent$}{number}. {text}  (about {estimate:.1})", "")?;
            if step.merges {
                let live = step.live.iter().map(|var| self.slot(&Slot::Bound(*var)));
                write!(f, "  distinct [{}]", live.collect::<Vec<_>>().join(" "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl PlanText<'_> {
    fn slot(&self, slot: &Slot) -> String {
        match slot {
            Slot::Const(value) => value.to_string(),
            Slot::Bound(var) => format!("?{}", self.scope.names[var.column()]),
            Slot::Free(var) => format!("→?{}", self.scope.names[var.column()]),
            Slot::Blank => "_".to_owned(),
        }
    }

    fn attribute(&self, slot: &AttributeSlot) -> String {
        match slot {
            AttributeSlot::Const(attribute) => format!(":{attribute}"),
            AttributeSlot::Bound(var) => self.slot(&Slot::Bound(*var)),
            AttributeSlot::Free(var) => self.slot(&Slot::Free(*var)),
            AttributeSlot::Blank => "_".to_owned(),
        }
    }

    fn slots(&self, slots: &[Slot]) -> String {
        slots.iter().map(|slot| self.slot(slot)).collect::<Vec<_>>().join(" ")
    }

    fn action(&self, action: &Action) -> String {
        match action {
            Action::Pattern { entity, attribute, value } => {
                let way = match (entity, value) {
                    (Slot::Const(_) | Slot::Bound(_), Slot::Const(_) | Slot::Bound(_)) => "check",
                    (Slot::Const(_) | Slot::Bound(_), _) => "by entity",
                    (_, Slot::Const(_) | Slot::Bound(_)) => "by value",
                    _ => "scan",
                };
                let (entity, value) = (self.slot(entity), self.slot(value));
                format!("{way} [{entity} {} {value}]", self.attribute(attribute))
            }
            Action::Absent { entity, attribute, value } => {
                let (entity, value) = (self.slot(entity), self.slot(value));
                format!("without [{entity} {} {value}]", self.attribute(attribute))
            }
            Action::Predicate { function, args } => {
                format!("filter ({} {})", function.name(), self.slots(args))
            }
            Action::Function { function, args, out } => {
                format!("compute ({} {}) {}", function.name(), self.slots(args), self.slot(out))
            }
            Action::Ground { rows, out } => {
                format!("ground {} rows [{}]", rows.len(), self.slots(out))
            }
            Action::Missing { entity, attribute } => {
                format!("filter missing {} {}", self.slot(entity), self.attribute(attribute))
            }
            Action::GetElse { entity, attribute, default, out } => format!(
                "get-else {} {} {} {}",
                self.slot(entity),
                self.attribute(attribute),
                self.slot(default),
                self.slot(out)
            ),
            Action::Call(call) => {
                let name = &self.rules[call.rule.index()].name;
                let not = if call.negated { "without " } else { "" };
                let (adornment, args) = (&call.adornment, self.slots(&call.args));
                format!("{not}call {name}/{adornment} ({args})")
            }
        }
    }
}
