//! The rules that keep a recursive rule's rows: what relations there are, and what derives them.
//!
//! A rule is kept *whole*, or only for the bindings of some of its columns that are wanted. Then a
//! *demand* relation holds these bindings, each definition is joined with it, and calls inside the
//! recursion hand demand on by rules of their own (magic sets):
//!
//! ```text
//! p(x, y) ← wanted_p(x), prefix, q(z, w), rest        wanted_q(z) ← wanted_p(x), prefix
//! ```
//!
//! Demand goes on through positive calls only, so it can never lead through a negation back to
//! where it came from: what is called below a negation or an alternative is kept whole, and whole
//! relations never ask for others by demand. Rules that `program::recursion` recognizes as paths
//! are written from the bound end on, so that demand does not spread at all, however they were
//! written: `reach(s, y) ← wanted(s), base(s, y)` and `reach(s, y) ← reach(s, x), step(x, y)`.
//!
//! Functions that make values are left out: rows could be without end, and their cells are not
//! those of the store.
//!
//! Source: Beeri & Ramakrishnan, "On the power of magic", 1987; for paths also Naughton,
//! Ramakrishnan, Sagiv & Ullman, "Efficient evaluation of right-, left- and multi-linear rules",
//! 1989.

use std::collections::{BTreeMap, BTreeSet};

use crate::live::goals::{self, Callee, Node, RelationId, Tree};
use crate::program::lower::{Goal, GoalKind, Stratified};
use crate::program::raw::ClauseId;
use crate::program::recursion::{Form, Relation, Union};
use crate::program::{AttributeTerm, RuleId, Term, Var};

/// The most relations that one rule may come to by the ways it is called.
const RELATIONS_MAX: usize = 64;

/// All that keeps the rows of one rule for one set of bound columns. Relations are numbered from
/// 0; equal texts (as `Debug` prints them) keep equal rows.
#[derive(Debug)]
pub(in crate::live) struct Ruleset {
    pub(in crate::live) relations: Vec<KeptRelation>,
    pub(in crate::live) answers: RelationId,
    /// Where bindings are asked for, and which columns they bind.
    pub(in crate::live) demand: Option<(RelationId, Vec<u8>)>,
}

/// A relation and its rules.
#[derive(Debug)]
pub(in crate::live) struct KeptRelation {
    pub(in crate::live) width: usize,
    pub(in crate::live) rules: Vec<KeptRule>,
}

/// `head ← body`; variables are numbered from 0 to `n_vars`.
#[derive(Debug, Clone)]
pub(in crate::live) struct KeptRule {
    pub(in crate::live) head: Vec<Term>,
    pub(in crate::live) body: Vec<Node>,
    pub(in crate::live) n_vars: usize,
}

/// What keeps a rule's rows where these columns are bound; none where only an evaluation does.
pub(in crate::live) fn ruleset(
    program: &Stratified,
    rule: RuleId,
    bound: &[u8],
) -> Option<Ruleset> {
    let mut builder =
        Builder { program, relations: Vec::new(), known: BTreeMap::new(), pending: Vec::new() };
    let wanted = builder.wanted(rule, bound.to_vec());
    while let Some(wanted) = builder.pending.pop() {
        builder.define(&wanted)?;
        if builder.relations.len() > RELATIONS_MAX {
            return None;
        }
    }
    let relations = builder.relations;
    let bodies = relations.iter().flat_map(|relation| &relation.rules).flat_map(|rule| &rule.body);
    let mut makes_values = false;
    for node in bodies {
        node.visit_leaves(&mut |leaf| {
            makes_values |=
                matches!(leaf, GoalKind::Function { function, .. } if function.makes_values());
        });
    }
    let demand = wanted.demand.map(|demand| (demand, wanted.bound));
    (!makes_values).then_some(Ruleset { relations, answers: wanted.answers, demand })
}

/// A rule as it is called, and its relations.
#[derive(Clone)]
struct Wanted {
    rule: RuleId,
    bound: Vec<u8>,
    answers: RelationId,
    /// None where the rule is kept whole.
    demand: Option<RelationId>,
}

struct Builder<'p> {
    program: &'p Stratified,
    relations: Vec<KeptRelation>,
    known: BTreeMap<(RuleId, Vec<u8>), Wanted>,
    /// Those without rules yet.
    pending: Vec<Wanted>,
}

const X: Var = Var(0);
const Y: Var = Var(1);
const Z: Var = Var(2);

fn vars(vars: &[Var]) -> Vec<Term> {
    vars.iter().map(|var| Term::Var(*var)).collect()
}

fn atom(relation: RelationId, args: Vec<Term>) -> Node {
    Node::Derived { callee: Callee::Relation(relation), args, negated: false }
}

impl Builder<'_> {
    fn relation(&mut self, width: usize) -> RelationId {
        self.relations.push(KeptRelation { width, rules: Vec::new() });
        RelationId(self.relations.len() as u32 - 1)
    }

    fn rule(&mut self, of: RelationId, head: Vec<Term>, body: Vec<Node>, n_vars: usize) {
        self.relations[of.index()].rules.push(KeptRule { head, body, n_vars });
    }

    /// The relations of a rule for a way of calling it.
    fn wanted(&mut self, rule: RuleId, bound: Vec<u8>) -> Wanted {
        let bound = self.useful(rule, bound);
        if let Some(wanted) = self.known.get(&(rule, bound.clone())) {
            return wanted.clone();
        }
        let answers = self.relation(self.program.rules[rule.index()].arity);
        let demand = (!bound.is_empty()).then(|| self.relation(bound.len()));
        let wanted = Wanted { rule, bound: bound.clone(), answers, demand };
        self.known.insert((rule, bound), wanted.clone());
        self.pending.push(wanted.clone());
        wanted
    }

    /// The bound columns that rows are kept by: paths are followed from one end.
    fn useful(&self, rule: RuleId, bound: Vec<u8>) -> Vec<u8> {
        match &self.program.recursions[rule.index()] {
            Some(recursion) if bound.len() == 2 => match recursion.form {
                Form::Closure | Form::Before(_) => vec![0],
                Form::Behind(_) => vec![1],
                Form::Around(_) => bound,
            },
            _ => bound,
        }
    }

    /// Gives the relations of a rule their rules.
    fn define(&mut self, wanted: &Wanted) -> Option<()> {
        let program = self.program;
        let rule = &program.rules[wanted.rule.index()];
        let is_bound = |column: &usize| wanted.bound.contains(&(*column as u8));
        if !(1..=usize::from(u8::MAX)).contains(&rule.arity) || !rule.needed.iter().all(is_bound) {
            return None;
        }
        if let Some(recursion) = &program.recursions[wanted.rule.index()] {
            let base = &recursion.base;
            match (&recursion.form, wanted.demand) {
                (Form::Closure, None) => return self.closure(wanted, base),
                (Form::Closure, Some(demand)) => return self.path(wanted, demand, base, base),
                (Form::Before(step), Some(demand)) if wanted.bound == [0] => {
                    return self.path(wanted, demand, base, step);
                }
                (Form::Behind(step), Some(demand)) if wanted.bound == [1] => {
                    return self.path(wanted, demand, base, step);
                }
                (Form::Before(step) | Form::Behind(step), Some(demand)) => {
                    return self.steps_first(wanted, demand, base, step);
                }
                _ => {}
            }
        }
        for definition in &rule.definitions {
            for body in goals::bodies(program, definition)? {
                match wanted.demand {
                    None => self.whole(wanted, &definition.head, body)?,
                    Some(demand) => self.asked(wanted, demand, &definition.head, body)?,
                }
            }
        }
        Some(())
    }

    /// `p(x, y) ← base(x, y)` and `p(x, y) ← p(x, z), base(z, y)`.
    fn closure(&mut self, wanted: &Wanted, base: &Union) -> Option<()> {
        for (body, n_vars) in self.between(base, X, Y)? {
            self.rule(wanted.answers, vars(&[X, Y]), body, n_vars);
        }
        for (body, n_vars) in self.between(base, Z, Y)? {
            let body = [vec![atom(wanted.answers, vars(&[X, Z]))], body].concat();
            self.rule(wanted.answers, vars(&[X, Y]), body, n_vars);
        }
        Some(())
    }

    /// From the bound end `x` on: `p(x, y) ← wanted(x), base(x, y)` and
    /// `p(x, y) ← p(x, z), step(z, y)`; both directions, as the second column may be the bound one.
    fn path(
        &mut self,
        wanted: &Wanted,
        demand: RelationId,
        base: &Union,
        step: &Union,
    ) -> Option<()> {
        let is_forward = wanted.bound == [0];
        let turned = |a: Var, b: Var| if is_forward { [a, b] } else { [b, a] };
        let [from, to] = turned(X, Y);
        for (body, n_vars) in self.between(base, from, to)? {
            let body = [vec![atom(demand, vars(&[X]))], body].concat();
            self.rule(wanted.answers, vars(&[from, to]), body, n_vars);
        }
        let [from, to] = turned(Z, Y);
        for (body, n_vars) in self.between(step, from, to)? {
            let body = [vec![atom(wanted.answers, vars(&turned(X, Z)))], body].concat();
            self.rule(wanted.answers, vars(&turned(X, Y)), body, n_vars);
        }
        Some(())
    }

    /// The base is at the other end: `w(x, x) ← wanted(x)`, `w(x, y) ← w(x, z), step(z, y)` and
    /// `p(x, y) ← w(x, z), base(z, y)`; both directions.
    fn steps_first(
        &mut self,
        wanted: &Wanted,
        demand: RelationId,
        base: &Union,
        step: &Union,
    ) -> Option<()> {
        let is_forward = wanted.bound == [0];
        let turned = |a: Var, b: Var| if is_forward { [a, b] } else { [b, a] };
        let walked = self.relation(2);
        self.rule(walked, vars(&[X, X]), vec![atom(demand, vars(&[X]))], 1);
        let [from, to] = turned(Z, Y);
        for (of, union) in [(walked, step), (wanted.answers, base)] {
            for (body, n_vars) in self.between(union, from, to)? {
                let body = [vec![atom(walked, vars(&[X, Z]))], body].concat();
                let head = if of == walked { [X, Y] } else { turned(X, Y) };
                self.rule(of, vars(&head), body, n_vars);
            }
        }
        Some(())
    }

    /// A body for each relation of a union that leads from one variable to another.
    fn between(&mut self, union: &Union, from: Var, to: Var) -> Option<Vec<(Vec<Node>, usize)>> {
        let mut bodies = Vec::new();
        for relation in &union.0 {
            let (reversed, kind): (bool, &dyn Fn(Term, Term) -> GoalKind) = match relation {
                Relation::Facts { attribute, reversed } => (*reversed, &|entity, value| {
                    let attribute = AttributeTerm::Const(attribute.clone());
                    GoalKind::Pattern { entity, attribute, value }
                }),
                Relation::Answers { rule, reversed } => (*reversed, &|a, b| GoalKind::Call {
                    rule: *rule,
                    args: vec![a, b],
                    negated: false,
                }),
            };
            let (from, to) = (Term::Var(from), Term::Var(to));
            let kind = if reversed { kind(to, from) } else { kind(from, to) };
            let goal = Goal { id: ClauseId(0), kind };
            let Tree { nodes, n_vars } = goals::tree(self.program, &[goal], 3)?;
            bodies.push((self.kept_whole(nodes)?, n_vars));
        }
        Some(bodies)
    }

    /// A body whose calls are of relations that are kept whole.
    fn kept_whole(&mut self, mut body: Vec<Node>) -> Option<Vec<Node>> {
        let mut is_possible = true;
        for node in &mut body {
            node.visit_calls(&mut |callee, _, _| {
                let Callee::Rule(rule) = *callee else { return };
                is_possible &= self.program.rules[rule.index()].needed.is_empty();
                *callee = Callee::Relation(self.wanted(rule, Vec::new()).answers);
            });
        }
        is_possible.then_some(body)
    }

    fn whole(&mut self, wanted: &Wanted, head: &[Var], body: Tree) -> Option<()> {
        let nodes = self.kept_whole(body.nodes)?;
        self.rule(wanted.answers, vars(head), nodes, body.n_vars);
        Some(())
    }

    /// A definition joined with the demand for it; its calls get theirs.
    fn asked(
        &mut self,
        wanted: &Wanted,
        demand: RelationId,
        head: &[Var],
        body: Tree,
    ) -> Option<()> {
        let Tree { nodes: mut waiting, n_vars } = body;
        let given: Vec<Var> =
            wanted.bound.iter().map(|column| head[usize::from(*column)]).collect();
        let mut bound: BTreeSet<Var> = given.iter().copied().collect();
        let mut done = vec![atom(demand, vars(&given))];
        let mut negations = Vec::new();
        while !waiting.is_empty() {
            let rules = &self.program.rules;
            let ready = (0..waiting.len()).filter(|node| waiting[*node].is_ready(&bound, rules));
            let next = ready.min_by_key(|node| (urgency(&waiting[*node], &bound), *node))?;
            let node = waiting.remove(next);
            let binds = node.binds();
            match node {
                Node::Derived { callee: Callee::Rule(rule), args, negated: false } => {
                    let columns = (0..args.len()).filter(|column| args[*column].is_known(&bound));
                    let columns: Vec<u8> = columns.map(|column| column as u8).collect();
                    let called = self.wanted(rule, columns);
                    if let Some(of) = called.demand {
                        let asked = called.bound.iter().map(|it| args[usize::from(*it)].clone());
                        let asked: Vec<Term> = asked.collect();
                        // To want what is wanted already is no rule.
                        if of != demand || asked != vars(&given) {
                            self.rule(of, asked, done.clone(), n_vars);
                        }
                    }
                    done.push(atom(called.answers, args));
                }
                node @ (Node::NoneOf(_) | Node::Derived { .. }) => {
                    negations.extend(self.kept_whole(vec![node])?);
                }
                node => done.extend(self.kept_whole(vec![node])?),
            }
            bound.extend(binds);
        }
        done.extend(negations);
        self.rule(wanted.answers, vars(head), done, n_vars);
        Some(())
    }
}

/// In which order goals come that could: what is joined with something known narrows the demand of
/// calls, and what is joined with nothing comes last.
fn urgency(node: &Node, bound: &BTreeSet<Var>) -> usize {
    match node {
        Node::Leaf(GoalKind::Pattern { entity, attribute, value }) => {
            let is_attribute_known = attribute.var().is_some_and(|var| bound.contains(&var));
            match entity.is_known(bound) || value.is_known(bound) || is_attribute_known {
                true => 0,
                false => 1_000,
            }
        }
        Node::Leaf(_) | Node::NoneOf(_) | Node::Derived { negated: true, .. } => 0,
        Node::Derived { args, .. } => match args.iter().filter(|arg| arg.is_known(bound)).count() {
            0 => 2_000,
            n_known => 100 - n_known.min(99),
        },
        Node::AnyOf(choice) => match choice.join.iter().any(|var| bound.contains(var)) {
            true => 200,
            false => 1_001,
        },
    }
}

/// The relations that a rule's body reads.
impl KeptRule {
    pub(in crate::live) fn reads(&self) -> BTreeSet<RelationId> {
        let mut read = BTreeSet::new();
        for node in &self.body {
            node.clone().visit_calls(&mut |callee, _, _| {
                if let Callee::Relation(relation) = callee {
                    read.insert(*relation);
                }
            });
        }
        read
    }

    /// Gives relations other numbers.
    pub(in crate::live) fn renumber(&mut self, number: impl Fn(RelationId) -> RelationId) {
        for node in &mut self.body {
            node.visit_calls(&mut |callee, _, _| {
                if let Callee::Relation(relation) = callee {
                    *relation = number(*relation);
                }
            });
        }
    }
}

impl Ruleset {
    /// The number of the stratum of each relation: what recurse together share one, callees have
    /// lower ones.
    pub(in crate::live) fn strata(&self) -> Vec<usize> {
        let reads = |relation: &KeptRelation| {
            let read = relation.rules.iter().flat_map(KeptRule::reads);
            read.map(RelationId::index).collect::<Vec<usize>>()
        };
        crate::program::strata::components(self.relations.iter().map(reads).collect())
    }
}
