//! A query's body as a tree of goals over one list of variables.
//!
//! Delta plans begin anywhere in a body: in an alternative of an `or`, in a negation inside a
//! rule. So that what is bound there can be joined with everything around it, calls of rules that
//! do not recurse are replaced by their definitions, under fresh variables; what remains are facts,
//! functions, alternatives, negations, and calls of rules that recurse.

use std::collections::{BTreeMap, BTreeSet};

use crate::program::lower::{FlatDefinition, FlatRule, Goal, GoalKind, Stratified};
use crate::program::{RuleId, Term, Var};

/// The most goals a body may come to: a chain of rules that each call the next one twice doubles
/// at every link.
const GOALS_MAX: usize = 1_024;

/// The most bodies that a definition may come to.
const BODIES_MAX: usize = 64;

/// A relation that is kept, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RelationId(pub(crate) u32);

impl RelationId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a call of a rule that recurses asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callee {
    /// The rule, before it is known how it is kept.
    Rule(RuleId),
    /// The relation it is kept in.
    Relation(RelationId),
}

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
    Derived { callee: Callee, args: Vec<Term>, negated: bool },
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
    let own: Vec<Term> = (0..n_vars as u32).map(|var| Term::Var(Var(var))).collect();
    let nodes = growing.nodes(body, &own)?;
    Some(Tree { nodes, n_vars: growing.n_vars })
}

/// The bodies of a definition of a rule that recurses. An `or` around a recursive call is a rule
/// that recurses too; it is written out, so that what remains are calls of rules with names.
pub(crate) fn bodies(program: &Stratified, definition: &FlatDefinition) -> Option<Vec<Tree>> {
    let mut pending = vec![tree(program, &definition.body, definition.scope.names.len())?];
    let mut bodies = Vec::new();
    while let Some(mut tree) = pending.pop() {
        let anonymous = |node: &Node| match node {
            Node::Derived { callee: Callee::Rule(rule), negated: false, .. } => {
                !program.rules[rule.index()].is_named
            }
            _ => false,
        };
        let Some(index) = tree.nodes.iter().position(anonymous) else {
            bodies.push(tree);
            continue;
        };
        let Node::Derived { callee: Callee::Rule(rule), args, .. } = tree.nodes.remove(index)
        else {
            unreachable!("it was found as such")
        };
        let mut growing = Growing { program, n_vars: tree.n_vars, n_goals: 0 };
        let branches = growing.branches(rule, &args)?;
        let whole = |branch: Vec<Node>| tree.nodes.iter().cloned().chain(branch).collect();
        let n_vars = growing.n_vars;
        pending.extend(branches.into_iter().rev().map(|it| Tree { nodes: whole(it), n_vars }));
        if bodies.len() + pending.len() > BODIES_MAX {
            return None;
        }
    }
    Some(bodies)
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

    /// The goals of a body with these terms for its variables.
    fn nodes(&mut self, body: &[Goal], terms: &[Term]) -> Option<Vec<Node>> {
        let mut nodes = Vec::with_capacity(body.len());
        for goal in body {
            self.n_goals += 1;
            if self.n_goals > GOALS_MAX {
                return None;
            }
            nodes.push(match &goal.kind {
                GoalKind::Call { rule, args, negated } => {
                    let args: Vec<Term> = args.iter().map(|arg| arg.substituted(terms)).collect();
                    self.call(*rule, args, *negated)?
                }
                GoalKind::Missing { entity: Term::Blank, .. }
                | GoalKind::GetElse { entity: Term::Blank, .. } => return None,
                kind => Node::Leaf(kind.substituted(terms)),
            });
        }
        Some(nodes)
    }

    fn call(&mut self, rule: RuleId, args: Vec<Term>, negated: bool) -> Option<Node> {
        if self.program.is_recursive(rule) {
            return Some(Node::Derived { callee: Callee::Rule(rule), args, negated });
        }
        let branches = self.branches(rule, &args)?;
        let needed = &self.program.rules[rule.index()].needed;
        let columns = args.iter().enumerate();
        let required =
            columns.filter(|(column, _)| needed.contains(column)).filter_map(|(_, arg)| arg.var());
        let required = required.collect();
        let join = args.iter().filter_map(Term::var).collect();
        let choice = Choice { join, required, branches };
        Some(if negated { Node::NoneOf(choice) } else { Node::AnyOf(choice) })
    }

    /// The bodies of a rule's definitions with these arguments.
    fn branches(&mut self, rule: RuleId, args: &[Term]) -> Option<Vec<Vec<Node>>> {
        let program = self.program;
        let mut branches = Vec::new();
        for definition in &program.rules[rule.index()].definitions {
            let (terms, constants) = definition.called_with(args, |_| self.fresh());
            let mut branch: Vec<Node> = constants.into_iter().map(Node::Leaf).collect();
            branch.extend(self.nodes(&definition.body, &terms)?);
            branches.push(branch);
        }
        Some(branches)
    }
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

    /// Whether it can be evaluated with these variables given.
    pub(crate) fn is_ready(&self, bound: &BTreeSet<Var>, rules: &[FlatRule]) -> bool {
        match self {
            Node::Leaf(kind) => kind.needs(rules).iter().all(|var| bound.contains(var)),
            Node::NoneOf(choice) => choice.join.iter().all(|var| bound.contains(var)),
            Node::AnyOf(choice) => {
                choice.required.is_subset(bound)
                    && choice.branches.iter().all(|branch| can_run(branch, bound, rules))
            }
            Node::Derived { callee, args, negated } => {
                let needed = |column: &usize| match callee {
                    Callee::Rule(rule) => rules[rule.index()].needed.contains(column),
                    Callee::Relation(_) => false,
                };
                let asked = (0..args.len()).filter(|column| *negated || needed(column));
                asked.filter_map(|column| args[column].var()).all(|var| bound.contains(&var))
            }
        }
    }

    /// The variables it binds.
    pub(crate) fn binds(&self) -> Vec<Var> {
        match self {
            Node::Leaf(kind) => kind.binds(),
            Node::AnyOf(choice) => choice.join.iter().copied().collect(),
            Node::NoneOf(_) | Node::Derived { negated: true, .. } => Vec::new(),
            Node::Derived { args, .. } => args.iter().filter_map(Term::var).collect(),
        }
    }

    /// Visits every call of a rule that recurses.
    pub(crate) fn visit_calls(&mut self, visit: &mut impl FnMut(&mut Callee, &[Term], bool)) {
        match self {
            Node::Leaf(_) => {}
            Node::Derived { callee, args, negated } => visit(callee, args, *negated),
            Node::AnyOf(choice) | Node::NoneOf(choice) => {
                choice.branches.iter_mut().flatten().for_each(|node| node.visit_calls(visit));
            }
        }
    }

    /// Visits every goal that is no call.
    pub(crate) fn visit_leaves(&self, visit: &mut impl FnMut(&GoalKind)) {
        match self {
            Node::Leaf(kind) => visit(kind),
            Node::Derived { .. } => {}
            Node::AnyOf(choice) | Node::NoneOf(choice) => {
                choice.branches.iter().flatten().for_each(|node| node.visit_leaves(visit));
            }
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

/// Whether the goals of a body can be ordered with these variables given.
fn can_run(body: &[Node], bound: &BTreeSet<Var>, rules: &[FlatRule]) -> bool {
    let mut bound = bound.clone();
    let mut waiting: Vec<&Node> = body.iter().collect();
    loop {
        let n_before = waiting.len();
        waiting.retain(|node| {
            let is_ready = node.is_ready(&bound, rules);
            if is_ready {
                bound.extend(node.binds());
            }
            !is_ready
        });
        if waiting.is_empty() || waiting.len() == n_before {
            return waiting.is_empty();
        }
    }
}
