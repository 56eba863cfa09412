//! Plans: in which order the goals of a body are evaluated, and how each one is.
//!
//! A [`Plan`] is inert data. It is made for a body, the variables bound before
//! it, the variables asked of it, and the counts of a snapshot; the counts decide the order and
//! nothing else, so an estimate can make a query slow but never wrong. Modules in reading order:
//! `estimate` (rows by counts), `shape` (stars, cyclic cores, ranges), `order` (which goal comes
//! next), `step` (how it is evaluated), `live` (which variables are still needed after each step),
//! `planner` (plans of a program's bodies, remembered). What is left out: facts, and the evaluation
//! itself.

mod estimate;
mod live;
mod order;
mod planner;
mod shape;
mod step;

use std::fmt;

pub(crate) use order::{Choice, Counts};
pub(crate) use planner::{PlanCache, Planner};

use crate::ids::Attribute;
use crate::program::functions::Function;
use crate::program::{RuleId, Var};
use crate::value::Value;

/// The steps of one body, first to last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// The variables of the rows it begins with, in the order of their columns.
    pub(crate) start: Vec<Var>,
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// The rules it calls, with what it asks of them.
    pub(crate) fn calls(&self) -> Vec<(RuleId, Adornment)> {
        let call = |step: &Step| match &step.action {
            Action::Call(call) => vec![(call.rule, call.adornment.clone())],
            Action::Join { plan, .. } => plan.calls(),
            _ => Vec::new(),
        };
        self.steps.iter().flat_map(call).collect()
    }

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
    /// Rows expected after it, altogether.
    pub(crate) n_rows: f64,
    pub(crate) action: Action,
    /// The goals of the body that it evaluates, by position, ascending.
    pub(crate) goals: Vec<u32>,
    /// What a plan apart was chosen by.
    pub(crate) weighed: Option<Weighed>,
    /// The variables that a later step or the head asks for: the columns of the rows it makes.
    pub(crate) live: Vec<Var>,
    /// Rows may have become equal, because a variable was left out, and later steps would do the
    /// same work for each.
    pub(crate) merges: bool,
    /// Rows may have become equal at all.
    pub(crate) repeats: bool,
}

impl Step {
    /// A step before it is known what is live after it.
    fn new(estimate: f64, action: Action, goals: Vec<u32>) -> Step {
        Step {
            estimate,
            n_rows: 0.0,
            action,
            goals,
            weighed: None,
            live: Vec::new(),
            merges: false,
            repeats: false,
        }
    }
}

/// Rows of work expected of two ways to join a star.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weighed {
    pub(crate) apart: f64,
    pub(crate) row_by_row: f64,
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
    /// A pattern whose value stands in these comparisons, `value function slot`, to what is known.
    Range {
        entity: Slot,
        attribute: Attribute,
        value: Slot,
        bounds: Vec<(Function, Slot)>,
    },
    /// Patterns that form a cycle, joined as a whole: variables in the order in which they are
    /// bound, and for each pattern the positions of its entity and its value among them.
    Generic {
        vars: Vec<Slot>,
        edges: Vec<(Attribute, usize, usize)>,
    },
    /// A plan evaluated apart, joined with the rows on the variables `on`; `out` is what it adds.
    Join {
        plan: Box<Plan>,
        on: Vec<Var>,
        out: Vec<Slot>,
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
