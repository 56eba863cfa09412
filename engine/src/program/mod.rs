//! Programs: from the flat form that travels to the checked form that is planned.
//!
//! [`raw`] is what front ends make and peers send. [`Program::check`] turns it into a tree whose
//! names are resolved: every variable is a number in its scope, every rule call names its rule,
//! every function is known. A `Program` is *safe* (each variable is bound by a positive atom) and
//! *stratified* (no rule depends on its own negation), so planning and evaluation cannot fail for
//! reasons of form. Data, text and positions are left out.
//!
//! Source of the terms: Abiteboul, Hull & Vianu, *Foundations of Databases*, ch. 12–15.

pub(crate) mod check;
mod error;
pub mod functions;
mod inline;
pub(crate) mod lift;
mod lint;
pub(crate) mod lower;
pub(crate) mod pattern;
pub mod raw;
pub(crate) mod recursion;
mod safety;
pub(crate) mod strata;
mod substitute;
pub(crate) mod support;
pub(crate) mod text;

use std::collections::BTreeSet;

pub use check::{CLAUSES_MAX, NESTING_MAX};
pub use error::ProgramError;

use crate::ids::{Attribute, Name};
use crate::value::Value;
use functions::Function;
use pattern::Patterns;
use raw::{ClauseId, FindForm, PullId, RawHaving, RawOrder, RawProgram};

/// A variable: a column of the rows of its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Var(pub(crate) u32);

impl Var {
    pub(crate) fn column(self) -> usize {
        self.0 as usize
    }
}

pub(crate) type VarSet = BTreeSet<Var>;

/// A rule, by position in [`Program::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RuleId(pub(crate) u32);

impl RuleId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A checked program: resolved, safe and stratified.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) raw: RawProgram,
    /// Variables of the query's own body.
    pub(crate) scope: Scope,
    pub(crate) inputs: Vec<InputShape>,
    pub(crate) body: Body,
    /// One for each name, in order of first definition.
    pub(crate) rules: Vec<Rule>,
    pub(crate) find: Vec<FindElement>,
    pub(crate) with: Vec<Var>,
    pub(crate) having: Vec<RawHaving>,
    pub(crate) having_functions: Vec<Function>,
    /// The regular expressions that stand in it as constants.
    pub(crate) patterns: Patterns,
}

impl Program {
    pub(crate) fn form(&self) -> FindForm {
        self.raw.find_form
    }

    /// What is valid and yet may not be what was meant, whatever the facts are.
    pub(crate) fn warnings(&self) -> Vec<String> {
        lint::warnings(self)
    }

    pub(crate) fn order_by(&self) -> &[RawOrder] {
        &self.raw.order_by
    }

    /// Every body of the program: the query's own, then those of the rules.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &Body> {
        let rules = self.rules.iter().flat_map(|rule| &rule.definitions);
        std::iter::once(&self.body).chain(rules.map(|definition| &definition.body))
    }
}

/// The variables of one query or rule definition, nested bodies included.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// Names by variable; a name may occur twice when one of them is local to an inner body.
    pub(crate) names: Vec<Name>,
}

/// The variables that one input binds.
#[derive(Debug, Clone)]
pub(crate) enum InputShape {
    Scalar(InputColumn),
    Tuple(Vec<Option<InputColumn>>),
    Collection(InputColumn),
    Relation(Vec<Option<InputColumn>>),
}

impl InputShape {
    pub(crate) fn columns(&self) -> Vec<InputColumn> {
        match self {
            InputShape::Scalar(column) | InputShape::Collection(column) => vec![*column],
            InputShape::Tuple(columns) | InputShape::Relation(columns) => {
                columns.iter().copied().flatten().collect()
            }
        }
    }
}

/// A variable bound by an input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputColumn {
    pub(crate) var: Var,
    /// The variable stands in entity position somewhere, so a string given for it is an id.
    pub(crate) is_entity: bool,
}

/// A conjunction. Its order as written means nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Body {
    pub(crate) clauses: Vec<Clause>,
}

/// A term of a clause.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Term {
    Var(Var),
    Blank,
    Const(Value),
}

impl Term {
    pub(crate) fn var(&self) -> Option<Var> {
        match self {
            Term::Var(var) => Some(*var),
            Term::Blank | Term::Const(_) => None,
        }
    }

    /// Whether it is a constant, or a variable that is bound.
    pub(crate) fn is_known(&self, bound: &VarSet) -> bool {
        match self {
            Term::Const(_) => true,
            Term::Var(var) => bound.contains(var),
            Term::Blank => false,
        }
    }
}

/// The attribute position of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AttributeTerm {
    Var(Var),
    Blank,
    Const(Attribute),
}

impl AttributeTerm {
    pub(crate) fn var(&self) -> Option<Var> {
        match self {
            AttributeTerm::Var(var) => Some(*var),
            AttributeTerm::Blank | AttributeTerm::Const(_) => None,
        }
    }
}

/// A checked clause with the id it has in the flat form.
#[derive(Debug, Clone)]
pub(crate) struct Clause {
    pub(crate) id: ClauseId,
    pub(crate) atom: Atom,
}

#[derive(Debug, Clone)]
pub(crate) enum Atom {
    /// `[e a v]`.
    Pattern { entity: Term, attribute: AttributeTerm, value: Term },
    /// `[(f args…)]`.
    Predicate { function: Function, args: Vec<Term> },
    /// `[(f args…) binding]`; the bindings of a function that gives one value.
    Function { function: Function, args: Vec<Term>, out: Term },
    /// `[(ground …) binding]`: rows of constants.
    Ground { rows: Vec<Vec<Value>>, out: Vec<Term> },
    /// `[(missing? $ e a)]`.
    Missing { entity: Term, attribute: AttributeTerm },
    /// `[(get-else $ e a default) out]`.
    GetElse { entity: Term, attribute: AttributeTerm, default: Term, out: Term },
    /// `(rule args…)`.
    Rule { rule: RuleId, args: Vec<Term> },
    /// Holds where the body has no row for the `join` variables. Where the text does not state
    /// them, they are the ones that the body shares with what the outside can bind.
    Not { stated: bool, join: Vec<Var>, body: Body },
    /// The union of the branches over the `join` variables, of which `required` must be bound
    /// before. Where the text does not state them, they are the ones that all branches use.
    Or { stated: bool, join: Vec<Var>, required: VarSet, branches: Vec<Body> },
}

/// A rule: the union of its definitions.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: Name,
    pub(crate) arity: usize,
    /// Columns that a caller must have bound: stated in the head, or needed by the bodies.
    pub(crate) needed: BTreeSet<usize>,
    /// Columns that stand in entity position somewhere, so that a string constant is an id.
    pub(crate) entity_columns: BTreeSet<usize>,
    pub(crate) definitions: Vec<Definition>,
}

/// One alternative of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) head: Vec<Var>,
    pub(crate) scope: Scope,
    pub(crate) body: Body,
}

/// A checked element of `:find`.
#[derive(Debug, Clone)]
pub(crate) enum FindElement {
    Variable(Var),
    Aggregate { function: Aggregate, n: Option<usize>, var: Var },
    Pull { var: Var, pattern: PullId },
}

impl FindElement {
    pub(crate) fn var(&self) -> Var {
        match self {
            FindElement::Variable(var)
            | FindElement::Aggregate { var, .. }
            | FindElement::Pull { var, .. } => *var,
        }
    }
}

/// The aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Count,
    CountDistinct,
    Sum,
    Avg,
    Min,
    Max,
    Median,
    Variance,
    Stddev,
    Distinct,
    Sample,
    Rand,
}

impl Aggregate {
    pub(crate) const ALL: [(&'static str, Aggregate); 12] = [
        ("count", Aggregate::Count),
        ("count-distinct", Aggregate::CountDistinct),
        ("sum", Aggregate::Sum),
        ("avg", Aggregate::Avg),
        ("min", Aggregate::Min),
        ("max", Aggregate::Max),
        ("median", Aggregate::Median),
        ("variance", Aggregate::Variance),
        ("stddev", Aggregate::Stddev),
        ("distinct", Aggregate::Distinct),
        ("sample", Aggregate::Sample),
        ("rand", Aggregate::Rand),
    ];

    pub(crate) fn find(name: &str) -> Option<Aggregate> {
        Aggregate::ALL.iter().find(|(known, _)| *known == name).map(|(_, aggregate)| *aggregate)
    }

    pub(crate) fn name(self) -> &'static str {
        let found = Aggregate::ALL.iter().find(|(_, known)| *known == self);
        found.expect("every aggregate is in the list").0
    }

    /// Whether `(name n ?x)` is allowed.
    pub(crate) fn takes_n(self) -> bool {
        matches!(self, Aggregate::Min | Aggregate::Max | Aggregate::Sample | Aggregate::Rand)
    }

    /// The most values that a group of so many members results in.
    pub(crate) fn n_values_max(self, n: Option<usize>, n_members: u64) -> u64 {
        let n = n.map_or(1, |n| n as u64);
        match self {
            Aggregate::Distinct => n_members,
            Aggregate::Rand => n,
            _ => n.min(n_members),
        }
    }

    /// Whether the answer depends on a draw, which a live query refuses.
    pub(crate) fn is_random(self) -> bool {
        matches!(self, Aggregate::Sample | Aggregate::Rand)
    }
}

/// Calls `visit` for every clause of a body, nested ones included, outer before inner.
pub(crate) fn visit_clauses<'b>(body: &'b Body, visit: &mut dyn FnMut(&'b Clause)) {
    for clause in &body.clauses {
        visit(clause);
        match &clause.atom {
            Atom::Not { body, .. } => visit_clauses(body, visit),
            Atom::Or { branches, .. } => {
                for branch in branches {
                    visit_clauses(branch, visit);
                }
            }
            _ => {}
        }
    }
}
