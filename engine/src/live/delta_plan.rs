//! Delta plans: what to join when a fact has come or gone.
//!
//! For every place of a body that reads facts there is one plan. It begins with the changed fact,
//! joins everything else of the body on one side of the step, before or after, and so finds the
//! bindings that came to be or ceased to be because of that fact. Below a negation the sides are
//! exchanged: a row is gained because a match of the negated body *was* there, so that body's rest
//! is joined before and everything around it after. A step therefore says only whether it looks at
//! the row's own side or at the other one ([`Op`]'s `flip`).
//!
//! ```text
//! Δ(A, B)      = ΔA, B  ∪  A, ΔB        every goal but the changed one, on the row's side
//! Δ(A, not B)  = … ∪ A, not B, ΔB       ΔB on the other side; `not B` itself still on the row's
//! ```
//!
//! Steps are ordered greedily by what they are expected to multiply rows by; the parameters are one
//! more relation, probed as soon as one of its columns tells enough. Any order is right.
//!
//! Source: Gupta, Mumick & Subrahmanian, "Maintaining views incrementally", 1993 (delta rules);
//! the check on the other side that makes them exact for sets is in `maintain`.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{AttributeNumber, Attributes};
use super::goals::{Callee, Node, RelationId};
use super::join::KEY_MAX;
use super::params::Params;
use super::shape::{DeltaPlan, PlanStart};
use super::tables::Tables;
use crate::ids::Attribute;
use crate::intern::Cell;
use crate::program::functions::Function;
use crate::program::lower::{FlatRule, GoalKind};
use crate::program::{AttributeTerm, Term, Var};
use crate::store::Snapshot;
use crate::value::Value;

/// What is known when a step runs: a register, or a constant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Src {
    Reg(u32),
    Cell(Cell),
}

/// A position of a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Known(Src),
    /// The step fills this register.
    Free(u32),
    Blank,
}

/// The attribute of a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum AttributePlace {
    Const(AttributeNumber),
    Place(Place),
}

/// One step of a delta plan.
#[derive(Debug, Clone)]
pub(super) struct Op {
    /// It looks at the other side than that of the row.
    pub(super) flip: bool,
    pub(super) kind: OpKind,
}

#[derive(Debug, Clone)]
pub(super) enum OpKind {
    Pattern {
        attribute: AttributePlace,
        entity: Place,
        value: Place,
    },
    Predicate {
        function: Function,
        args: Vec<Src>,
    },
    Function {
        function: Function,
        args: Vec<Src>,
        out: Place,
    },
    Ground {
        rows: Vec<Vec<Cell>>,
        out: Vec<Place>,
    },
    Missing {
        attribute: AttributePlace,
        entity: Src,
    },
    GetElse {
        attribute: AttributePlace,
        entity: Src,
        default: Src,
        out: Place,
    },
    AnyOf(Vec<Vec<Op>>),
    NoneOf(Vec<Vec<Op>>),
    Derived {
        find: DerivedFind,
        negated: bool,
    },
    /// `check` are columns that are known and not looked up by.
    Params {
        find: Find,
        check: Vec<(u8, Src)>,
        out: Vec<(u8, u32)>,
    },
}

/// How rows of a kept relation are found.
#[derive(Debug, Clone)]
pub(super) struct DerivedFind {
    pub(super) relation: RelationId,
    /// The index, and what its columns are looked up by; none where nothing is known.
    pub(super) index: Option<(usize, Vec<Src>)>,
    /// All columns, as they are told of.
    pub(super) args: Vec<Place>,
    /// The other columns that matter.
    pub(super) rest: Vec<(u8, Place)>,
    /// It is derived together with what the plan derives, so that ranks count.
    pub(super) is_inner: bool,
}

/// How rows of the parameters are found.
#[derive(Debug, Clone)]
pub(super) enum Find {
    /// By the columns of an index.
    Index { index: usize, key: Vec<Src> },
    /// Those above or below a value, by the order of a column.
    Beyond { order: usize, than: Src, is_above: bool, or_equal: bool },
    /// Those whose interval between two columns holds a value.
    Holding { intervals: usize, value: Src },
    /// All of them.
    All,
}

/// How a change makes a goal true or false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Polarity {
    /// It holds because of what is there.
    Positive,
    /// It holds because of what is not there.
    Negative,
    /// Its result changes whatever way.
    Both,
}

/// Where in a body a change is looked for.
pub(super) struct Occurrence {
    pub(super) start: Start,
    pub(super) polarity: Polarity,
    /// The goal stands where the sides are exchanged.
    pub(super) flip: bool,
    /// Everything else.
    rest: Vec<Task>,
}

/// What a change must look like.
#[derive(Debug, Clone)]
pub(super) enum Start {
    Fact { attribute: AttributeTerm, entity: Term, value: Term },
    Derived { relation: RelationId, args: Vec<Term> },
}

impl Start {
    fn vars(&self) -> BTreeSet<Var> {
        match self {
            Start::Fact { attribute, entity, value } => {
                [attribute.var(), entity.var(), value.var()].into_iter().flatten().collect()
            }
            Start::Derived { args, .. } => args.iter().filter_map(Term::var).collect(),
        }
    }
}

/// A goal that is still to be ordered.
#[derive(Debug, Clone)]
struct Task {
    flip: bool,
    goal: Goal,
}

#[derive(Debug, Clone)]
enum Goal {
    Node(Node),
    Params,
}

/// Every place of a body where a change can make a difference; `n_vars` grows by the variables
/// that copies of negations need. What is around is joined too: the parameters, or nothing.
pub(super) fn occurrences(nodes: &[Node], has_params: bool, n_vars: &mut usize) -> Vec<Occurrence> {
    let mut found = Vec::new();
    let params = has_params.then_some(Task { flip: false, goal: Goal::Params });
    let around: Vec<Task> = params.into_iter().collect();
    collect(nodes, false, &around, n_vars, &mut found);
    found
}

fn collect(
    nodes: &[Node],
    flip: bool,
    around: &[Task],
    n_vars: &mut usize,
    found: &mut Vec<Occurrence>,
) {
    for (index, node) in nodes.iter().enumerate() {
        let task = |node: &Node| Task { flip, goal: Goal::Node(node.clone()) };
        let others = nodes.iter().enumerate().filter(|(other, _)| *other != index);
        let others = others.map(|(_, other)| task(other));
        let mut rest: Vec<Task> = around.iter().cloned().chain(others).collect();
        let fact = |attribute: &AttributeTerm, entity: &Term, value: &Term| Start::Fact {
            attribute: attribute.clone(),
            entity: entity.clone(),
            value: value.clone(),
        };
        let (start, polarity) = match node {
            Node::Leaf(GoalKind::Pattern { entity, attribute, value }) => {
                (fact(attribute, entity, value), Polarity::Positive)
            }
            Node::Leaf(GoalKind::Missing { entity, attribute }) => {
                (fact(attribute, entity, &Term::Blank), Polarity::Negative)
            }
            Node::Leaf(GoalKind::GetElse { entity, attribute, .. }) => {
                (fact(attribute, entity, &Term::Blank), Polarity::Both)
            }
            Node::Derived { callee, args, negated } => {
                let polarity = if *negated { Polarity::Negative } else { Polarity::Positive };
                (Start::Derived { relation: kept(*callee), args: args.clone() }, polarity)
            }
            Node::AnyOf(choice) => {
                for branch in &choice.branches {
                    collect(branch, flip, &rest, n_vars, found);
                }
                continue;
            }
            Node::NoneOf(choice) => {
                // The negation itself still has to hold; what is bound inside it below must not be
                // taken for what its copy binds.
                rest.push(task(&node.refreshed(n_vars)));
                for branch in &choice.branches {
                    collect(branch, !flip, &rest, n_vars, found);
                }
                continue;
            }
            Node::Leaf(_) => continue,
        };
        if polarity != Polarity::Positive {
            rest.push(task(node));
        }
        found.push(Occurrence { start, polarity, flip, rest });
    }
}

/// The relation of a call whose relation is known.
fn kept(callee: Callee) -> RelationId {
    match callee {
        Callee::Relation(relation) => relation,
        Callee::Rule(_) => unreachable!("calls are given relations before they are planned"),
    }
}

/// What orders goals and turns them into steps.
pub(super) struct Compiler<'c> {
    pub(super) rules: &'c [FlatRule],
    pub(super) snapshot: &'c Snapshot,
    pub(super) params: &'c mut Params,
    pub(super) tables: &'c mut Tables,
    /// The relations that are derived together with what is planned.
    pub(super) inner: &'c [RelationId],
    /// The variable of each column of the parameters.
    pub(super) param_vars: &'c [Var],
    pub(super) attributes: &'c mut Attributes,
    /// Counts that have been asked for: rough ones take a sample.
    pub(super) fanouts: BTreeMap<(Attribute, bool), f64>,
}

/// A parameter that is compared with something known.
struct Comparison<'t> {
    column: u8,
    than: &'t Term,
    /// It must be above that, or equal if that will do.
    is_above: bool,
    or_equal: bool,
}

/// No limit to what a goal may multiply rows by.
const UNBOUND: f64 = 1e12;

impl Compiler<'_> {
    /// What a change must look like, and the steps that follow it.
    pub(super) fn delta(&mut self, occurrence: &Occurrence) -> DeltaPlan {
        let ops = self.sequence(occurrence.rest.clone(), occurrence.start.vars()).0;
        let mut bound = BTreeSet::new();
        let start = match &occurrence.start {
            Start::Fact { attribute, entity, value } => {
                let attribute = self.attribute(attribute, &bound);
                if let AttributePlace::Place(Place::Free(var)) = attribute {
                    bound.insert(Var(var));
                }
                let entity_place = self.place(entity, &bound);
                bound.extend(entity.var());
                PlanStart::Fact { attribute, places: [entity_place, self.place(value, &bound)] }
            }
            Start::Derived { args, .. } => {
                let place = |arg: &Term| {
                    let place = self.place(arg, &bound);
                    bound.extend(arg.var());
                    place
                };
                PlanStart::Derived(args.iter().map(place).collect())
            }
        };
        DeltaPlan { start, ops }
    }

    /// What the cells of a head are.
    pub(super) fn head(&self, head: &[Term]) -> Vec<Src> {
        let src = |term: &Term| match self.place(term, &BTreeSet::new()) {
            Place::Known(src) => src,
            Place::Free(reg) => Src::Reg(reg),
            Place::Blank => unreachable!("heads are variables and constants"),
        };
        head.iter().map(src).collect()
    }

    /// The steps that find out whether a row is there: everything in `bound` is given.
    pub(super) fn exists(&mut self, nodes: &[Node], bound: BTreeSet<Var>) -> Vec<Op> {
        let tasks = nodes.iter().map(|node| Task { flip: false, goal: Goal::Node(node.clone()) });
        self.sequence(tasks.collect(), bound).0
    }

    /// The steps that find every row there is for something given.
    pub(super) fn rows(&mut self, nodes: &[Node], bound: BTreeSet<Var>) -> Vec<Op> {
        let nodes = nodes.iter().map(|node| Goal::Node(node.clone()));
        let goals = nodes.chain([Goal::Params]);
        let tasks = goals.map(|goal| Task { flip: false, goal });
        self.sequence(tasks.collect(), bound).0
    }

    fn sequence(
        &mut self,
        mut tasks: Vec<Task>,
        mut bound: BTreeSet<Var>,
    ) -> (Vec<Op>, BTreeSet<Var>) {
        let mut ops = Vec::with_capacity(tasks.len());
        while !tasks.is_empty() {
            let costs = tasks.iter().map(|task| self.cost(&task.goal, &bound));
            let costs: Vec<Option<f64>> = costs.collect();
            let ready = (0..tasks.len()).filter_map(|task| Some((task, costs[task]?)));
            let cheapest = ready.min_by(|(_, a), (_, b)| a.total_cmp(b));
            let (index, _) = cheapest.expect("a checked body can always go on");
            let task = tasks.remove(index);
            let kind = self.step(&task.goal, &mut bound, &tasks);
            ops.push(Op { flip: task.flip, kind });
        }
        (ops, bound)
    }

    /// What a goal is expected to multiply rows by; none while it cannot run.
    fn cost(&mut self, goal: &Goal, bound: &BTreeSet<Var>) -> Option<f64> {
        let node = match goal {
            Goal::Params => return Some(self.params_cost(bound)),
            Goal::Node(node) => node,
        };
        if !node.is_ready(bound, self.rules) {
            return None;
        }
        Some(match node {
            Node::Leaf(kind) => match kind {
                GoalKind::Predicate { .. } => 0.0,
                GoalKind::Missing { .. } => 0.01,
                GoalKind::Function { .. } | GoalKind::GetElse { .. } => 0.6,
                GoalKind::Ground { rows, out } => {
                    let is_known = out.iter().all(|term| term.is_known(bound));
                    if is_known { 0.1 } else { rows.len() as f64 }
                }
                GoalKind::Pattern { entity, attribute, value } => {
                    let (entity, value) = (entity.is_known(bound), value.is_known(bound));
                    self.pattern_cost(attribute, entity, value)
                }
                GoalKind::Call { .. } => unreachable!("a leaf is no call"),
            },
            Node::NoneOf(_) => 0.2,
            Node::AnyOf(choice) => {
                let n_bound = choice.join.iter().filter(|var| bound.contains(var)).count();
                match (n_bound, choice.join.len()) {
                    (n_bound, n_all) if n_bound == n_all => 0.5,
                    (0, _) => UNBOUND / 2.0,
                    _ => 4.0 * choice.branches.len() as f64,
                }
            }
            Node::Derived { callee, args, .. } => {
                let columns = (0..).zip(args).filter(|(_, arg)| arg.is_known(bound));
                let known: Vec<u8> = columns.map(|(column, _)| column).collect();
                self.tables.cost(kept(*callee), &known)
            }
        })
    }

    fn params_cost(&self, bound: &BTreeSet<Var>) -> f64 {
        let key = self.known_columns(bound);
        if key.is_empty() {
            return self.params.len() as f64 + 0.3;
        }
        0.3 * self.params.rows_each(&key)
    }

    fn known_columns(&self, bound: &BTreeSet<Var>) -> Vec<u8> {
        let columns = (0..).zip(self.param_vars);
        let known = columns.filter(|(_, var)| bound.contains(var)).map(|(column, _)| column);
        known.collect()
    }

    fn pattern_cost(&mut self, attribute: &AttributeTerm, entity: bool, value: bool) -> f64 {
        match (attribute, entity, value) {
            (_, true, true) => 0.1,
            (AttributeTerm::Const(attribute), false, false) => {
                let id = self.snapshot.find_attribute(attribute);
                UNBOUND / 8.0 + id.map_or(0.0, |id| self.snapshot.count(id) as f64)
            }
            (AttributeTerm::Const(attribute), entity, _) => {
                let key = (attribute.clone(), entity);
                let snapshot = self.snapshot;
                *self.fanouts.entry(key).or_insert_with(|| {
                    let Some(id) = snapshot.find_attribute(attribute) else { return 0.2 };
                    let n_different =
                        if entity { snapshot.n_entities(id) } else { snapshot.n_values(id) };
                    (snapshot.count(id) as f64 / n_different.max(1) as f64).max(0.9)
                })
            }
            (_, true, false) => 10.0,
            (_, false, true) => 1_000.0,
            (_, false, false) => UNBOUND,
        }
    }

    fn step(&mut self, goal: &Goal, bound: &mut BTreeSet<Var>, others: &[Task]) -> OpKind {
        match goal {
            Goal::Params => self.params_step(bound, others),
            Goal::Node(Node::Leaf(kind)) => self.leaf(kind, bound),
            Goal::Node(Node::AnyOf(choice)) => {
                let branches =
                    choice.branches.iter().map(|branch| self.exists(branch, bound.clone()));
                let branches = branches.collect();
                bound.extend(choice.join.iter().copied());
                OpKind::AnyOf(branches)
            }
            Goal::Node(Node::NoneOf(choice)) => {
                let known: BTreeSet<Var> = bound.intersection(&choice.join).copied().collect();
                let branches = choice.branches.iter();
                OpKind::NoneOf(branches.map(|branch| self.exists(branch, known.clone())).collect())
            }
            Goal::Node(Node::Derived { callee, args, negated }) => {
                let find = self.derived(kept(*callee), args, bound);
                if !negated {
                    bound.extend(args.iter().filter_map(Term::var));
                }
                OpKind::Derived { find, negated: *negated }
            }
        }
    }

    fn derived(
        &mut self,
        relation: RelationId,
        args: &[Term],
        bound: &BTreeSet<Var>,
    ) -> DerivedFind {
        let (mut columns, mut key, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let mut filled = bound.clone();
        for (column, arg) in (0..).zip(args) {
            match self.place(arg, bound) {
                Place::Known(src) if key.len() < KEY_MAX => {
                    columns.push(column);
                    key.push(src);
                }
                Place::Blank => {}
                // A variable that stands twice is filled by its first place.
                _ => rest.push((column, self.place(arg, &filled))),
            }
            filled.extend(arg.var());
        }
        let index = (!key.is_empty()).then(|| (self.tables.index_by(relation, &columns), key));
        let is_inner = self.inner.contains(&relation);
        let args = args.iter().map(|arg| self.place(arg, bound)).collect();
        DerivedFind { relation, index, args, rest, is_inner }
    }

    fn params_step(&mut self, bound: &mut BTreeSet<Var>, others: &[Task]) -> OpKind {
        let key = self.known_columns(bound);
        let src = |column: &u8| Src::Reg(self.param_vars[*column as usize].0);
        let check = key.iter().skip(KEY_MAX).map(|column| (*column, src(column))).collect();
        let find = if !key.is_empty() {
            let index = self.params.index_by(&key[..key.len().min(KEY_MAX)]);
            Find::Index { index, key: key.iter().take(KEY_MAX).map(src).collect() }
        } else {
            self.beyond(bound, others).unwrap_or(Find::All)
        };
        let columns = (0..).zip(self.param_vars);
        let free = columns.filter(|(column, _)| !key.contains(column));
        let out = free.map(|(column, var)| (column, var.0)).collect();
        bound.extend(self.param_vars.iter().copied());
        OpKind::Params { find, check, out }
    }

    /// By what comparisons with something known parameters can be found, if some are waiting.
    fn beyond(&mut self, bound: &BTreeSet<Var>, others: &[Task]) -> Option<Find> {
        let comparisons: Vec<Comparison<'_>> =
            others.iter().filter_map(|task| self.comparison(task, bound)).collect();
        let first = comparisons.first()?;
        let Place::Known(than) = self.place(first.than, bound) else { return None };
        let dictionary = self.snapshot.dictionary();
        let other_side = comparisons
            .iter()
            .find(|other| other.than == first.than && other.is_above != first.is_above);
        Some(match other_side {
            Some(other) => {
                let columns = match first.is_above {
                    true => [other.column, first.column],
                    false => [first.column, other.column],
                };
                let intervals = self.params.intervals_of(columns, dictionary);
                Find::Holding { intervals, value: than }
            }
            None => {
                let order = self.params.order_by(first.column, dictionary);
                let Comparison { is_above, or_equal, .. } = *first;
                Find::Beyond { order, than, is_above, or_equal }
            }
        })
    }

    /// A goal as the comparison of a parameter with something known, if it is one.
    fn comparison<'t>(&self, task: &'t Task, bound: &BTreeSet<Var>) -> Option<Comparison<'t>> {
        let Goal::Node(Node::Leaf(GoalKind::Predicate { function, args })) = &task.goal else {
            return None;
        };
        let [a, b] = &args[..] else { return None };
        let (is_less, or_equal) = match function {
            Function::Less => (true, false),
            Function::LessEqual => (true, true),
            Function::Greater => (false, false),
            Function::GreaterEqual => (false, true),
            _ => return None,
        };
        let column = |term: &Term| {
            let var = term.var()?;
            let column = self.param_vars.iter().position(|param| *param == var)?;
            Some(column as u8)
        };
        // known < parameter: those above what is known.
        match (column(a), column(b)) {
            (_, Some(column)) if a.is_known(bound) => {
                Some(Comparison { column, than: a, is_above: is_less, or_equal })
            }
            (Some(column), _) if b.is_known(bound) => {
                Some(Comparison { column, than: b, is_above: !is_less, or_equal })
            }
            _ => None,
        }
    }

    fn leaf(&mut self, kind: &GoalKind, bound: &mut BTreeSet<Var>) -> OpKind {
        let op = match kind {
            GoalKind::Pattern { entity, attribute, value } => OpKind::Pattern {
                attribute: self.attribute(attribute, bound),
                entity: self.place(entity, bound),
                value: self.place(value, bound),
            },
            GoalKind::Predicate { function, args } => {
                OpKind::Predicate { function: *function, args: self.srcs(args, bound) }
            }
            GoalKind::Function { function, args, out } => OpKind::Function {
                function: *function,
                args: self.srcs(args, bound),
                out: self.place(out, bound),
            },
            GoalKind::Ground { rows, out } => {
                let dictionary = self.snapshot.dictionary();
                let cells = |row: &Vec<Value>| -> Vec<Cell> {
                    row.iter().map(|value| dictionary.intern(value)).collect()
                };
                OpKind::Ground {
                    rows: rows.iter().map(cells).collect(),
                    out: out.iter().map(|term| self.place(term, bound)).collect(),
                }
            }
            GoalKind::Missing { entity, attribute } => OpKind::Missing {
                attribute: self.attribute(attribute, bound),
                entity: self.src(entity, bound),
            },
            GoalKind::GetElse { entity, attribute, default, out } => OpKind::GetElse {
                attribute: self.attribute(attribute, bound),
                entity: self.src(entity, bound),
                default: self.src(default, bound),
                out: self.place(out, bound),
            },
            GoalKind::Call { .. } => unreachable!("a leaf is no call"),
        };
        bound.extend(kind.binds());
        op
    }

    fn attribute(&mut self, term: &AttributeTerm, bound: &BTreeSet<Var>) -> AttributePlace {
        match term {
            AttributeTerm::Const(attribute) => {
                AttributePlace::Const(self.attributes.number(attribute))
            }
            AttributeTerm::Blank => AttributePlace::Place(Place::Blank),
            AttributeTerm::Var(var) => AttributePlace::Place(self.place(&Term::Var(*var), bound)),
        }
    }

    fn place(&self, term: &Term, bound: &BTreeSet<Var>) -> Place {
        match term {
            Term::Const(value) => Place::Known(Src::Cell(self.snapshot.dictionary().intern(value))),
            Term::Blank => Place::Blank,
            Term::Var(var) if bound.contains(var) => Place::Known(Src::Reg(var.0)),
            Term::Var(var) => Place::Free(var.0),
        }
    }

    fn src(&self, term: &Term, bound: &BTreeSet<Var>) -> Src {
        match self.place(term, bound) {
            Place::Known(src) => src,
            Place::Free(_) | Place::Blank => unreachable!("arguments are bound"),
        }
    }

    fn srcs(&self, terms: &[Term], bound: &BTreeSet<Var>) -> Vec<Src> {
        terms.iter().map(|term| self.src(term, bound)).collect()
    }
}
