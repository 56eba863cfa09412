//! A query's body as a tree of goals over one list of variables.
//!
//! Delta plans begin anywhere in a body: in an alternative of an `or`, in a negation inside a
//! rule. So that what is bound there can be joined with everything around it, calls of rules that
//! do not recurse are replaced by their definitions, under fresh variables; what remains are facts,
//! functions, alternatives, negations, and calls of rules that recurse.

use std::collections::{BTreeMap, BTreeSet};

use crate::program::lower::{Goal, GoalKind, Stratified};
use crate::program::{AttributeTerm, RuleId, Term, Var};

/// The most goals a body may come to: a chain of rules that each call the next one twice doubles
/// at every link.
const GOALS_MAX: usize = 1_024;

/// One conjunct.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// A pattern, function, `ground`, `missing?` or `get-else`; never a call.
    Leaf(GoalKind),
    /// One of the alternatives holds.
    AnyOf(Choice),
    /// None of the alternatives holds.
    NoneOf(Choice),
    /// A row of a rule that recurses.
    Derived { rule: RuleId, args: Vec<Term>, negated: bool },
}

/// Alternatives; what they share with the outside is `join`, every other variable of theirs occurs
/// nowhere else.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) join: BTreeSet<Var>,
    /// Those that must be bound before.
    pub(crate) required: BTreeSet<Var>,
    pub(crate) branches: Vec<Vec<Node>>,
}

/// A body with its variables numbered from 0 to `n_vars`; the query's own come first.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) n_vars: usize,
}

/// The tree of a body whose variables are below `n_vars`; none if it would be too large.
pub(crate) fn tree(program: &Stratified, body: &[Goal], n_vars: usize) -> Option<Tree> {
    let mut growing = Growing { program, n_vars, n_goals: 0 };
    let nodes = growing.nodes(body, &|term| term.clone())?;
    Some(Tree { nodes, n_vars: growing.n_vars })
}

struct Growing<'p> {
    program: &'p Stratified,
    n_vars: usize,
    n_goals: usize,
}

impl Growing<'_> {
    fn fresh(&mut self) -> Term {
        self.n_vars += 1;
        Term::Var(Var(self.n_vars as u32 - 1))
    }

    fn nodes(&mut self, body: &[Goal], term: &dyn Fn(&Term) -> Term) -> Option<Vec<Node>> {
        let mut nodes = Vec::with_capacity(body.len());
        for goal in body {
            self.n_goals += 1;
            if self.n_goals > GOALS_MAX {
                return None;
            }
            nodes.push(match &goal.kind {
                GoalKind::Call { rule, args, negated } => {
                    let args: Vec<Term> = args.iter().map(term).collect();
                    self.call(*rule, args, *negated)?
                }
                GoalKind::Missing { entity: Term::Blank, .. }
                | GoalKind::GetElse { entity: Term::Blank, .. } => return None,
                kind => Node::Leaf(substituted(kind, term)),
            });
        }
        Some(nodes)
    }

    fn call(&mut self, rule: RuleId, args: Vec<Term>, negated: bool) -> Option<Node> {
        if self.program.is_recursive(rule) {
            return Some(Node::Derived { rule, args, negated });
        }
        let program = self.program;
        let mut branches = Vec::new();
        for definition in &program.rules[rule.index()].definitions {
            let mut before = Vec::new();
            let attributes = attribute_vars(&definition.body);
            let mut terms = Vec::with_capacity(definition.scope.names.len());
            for var in (0..definition.scope.names.len() as u32).map(Var) {
                let column = definition.head.iter().position(|head| *head == var);
                terms.push(match column.map(|column| &args[column]) {
                    Some(Term::Const(value)) if attributes.contains(&var) => {
                        // A constant stands for an attribute only by way of a variable.
                        let (term, rows) = (self.fresh(), vec![vec![value.clone()]]);
                        let out = vec![term.clone()];
                        before.push(Node::Leaf(GoalKind::Ground { rows, out }));
                        term
                    }
                    Some(term @ (Term::Const(_) | Term::Var(_))) => term.clone(),
                    Some(Term::Blank) | None => self.fresh(),
                });
            }
            let put = |term: &Term| match term {
                Term::Var(var) => terms[var.column()].clone(),
                Term::Blank | Term::Const(_) => term.clone(),
            };
            before.extend(self.nodes(&definition.body, &put)?);
            branches.push(before);
        }
        let needed = &program.rules[rule.index()].needed;
        let columns = args.iter().enumerate();
        let required =
            columns.filter(|(column, _)| needed.contains(column)).filter_map(|(_, arg)| arg.var());
        let join = args.iter().filter_map(Term::var).collect();
        let choice = Choice { join, required: required.collect(), branches };
        Some(if negated { Node::NoneOf(choice) } else { Node::AnyOf(choice) })
    }
}

fn attribute_vars(body: &[Goal]) -> BTreeSet<Var> {
    let vars = body.iter().filter_map(|goal| match &goal.kind {
        GoalKind::Pattern { attribute, .. }
        | GoalKind::Missing { attribute, .. }
        | GoalKind::GetElse { attribute, .. } => attribute.var(),
        _ => None,
    });
    // An argument of a call may stand for an attribute further in.
    let called = body.iter().flat_map(|goal| match &goal.kind {
        GoalKind::Call { args, .. } => args.iter().filter_map(Term::var).collect(),
        _ => Vec::new(),
    });
    vars.chain(called).collect()
}

fn substituted(kind: &GoalKind, term: &dyn Fn(&Term) -> Term) -> GoalKind {
    let mut kind = kind.clone();
    if let GoalKind::Pattern { attribute, .. }
    | GoalKind::Missing { attribute, .. }
    | GoalKind::GetElse { attribute, .. } = &mut kind
        && let AttributeTerm::Var(var) = attribute
    {
        *attribute = match term(&Term::Var(*var)) {
            Term::Var(var) => AttributeTerm::Var(var),
            Term::Blank | Term::Const(_) => unreachable!("attributes get variables"),
        };
    }
    for place in kind.terms_mut() {
        *place = term(place);
    }
    kind
}

impl Node {
    /// Gives its inner variables, which occur nowhere else, other numbers.
    pub(crate) fn refreshed(&self, n_vars: &mut usize) -> Node {
        match self {
            Node::Leaf(_) | Node::Derived { .. } => self.clone(),
            Node::AnyOf(choice) => Node::AnyOf(choice.refreshed(n_vars)),
            Node::NoneOf(choice) => Node::NoneOf(choice.refreshed(n_vars)),
        }
    }

    fn rename(&mut self, number: &mut impl FnMut(Var) -> Var) {
        match self {
            Node::Leaf(kind) => kind.rename(number),
            Node::Derived { args, .. } => {
                for arg in args {
                    if let Term::Var(var) = arg {
                        *var = number(*var);
                    }
                }
            }
            Node::AnyOf(choice) | Node::NoneOf(choice) => {
                choice.join = choice.join.iter().map(|var| number(*var)).collect();
                choice.required = choice.required.iter().map(|var| number(*var)).collect();
                choice.branches.iter_mut().flatten().for_each(|node| node.rename(&mut *number));
            }
        }
    }
}

impl Choice {
    fn refreshed(&self, n_vars: &mut usize) -> Choice {
        let mut numbers = BTreeMap::new();
        let mut number = |var: Var| {
            if self.join.contains(&var) {
                return var;
            }
            *numbers.entry(var).or_insert_with(|| {
                *n_vars += 1;
                Var(*n_vars as u32 - 1)
            })
        };
        let mut choice = self.clone();
        choice.branches.iter_mut().flatten().for_each(|node| node.rename(&mut number));
        choice
    }
}
