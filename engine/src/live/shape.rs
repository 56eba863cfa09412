//! A shape: one program with parameters, all its instances, and the plans that maintain them.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::attributes::Attributes;
use super::delta_plan::{AttributePlace, Compiler, Occurrence, Op, Place};
use super::goals::{self, Callee, Tree};
use super::output::{Finish, Hot};
use super::params::{Params, RowIndex};
use super::pulls::Pulls;
use super::tables::rules::{self, Ruleset};
use super::tables::{Seed, SeedColumn, Tables, TablesId};
use super::{InstanceId, LiveLimits, Tier};
use crate::error::QueryError;
use crate::eval::query::{Query, asked_vars, input_rows};
use crate::intern::{Cell, Dictionary};
use crate::limits::Budget;
use crate::program::raw::Input;
use crate::program::{FindElement, InputShape, RuleId, Term, Var};
use crate::store::Snapshot;
use crate::value::Value;

/// The most rows of parameters that an instance may have; with more it is evaluated again.
const PARAM_ROWS_MAX: usize = 1_024;

/// One program with parameters.
pub(super) struct Shape {
    pub(super) query: Query,
    pub(super) tree: Tree,
    pub(super) occurrences: Vec<Occurrence>,
    /// The variable of each column of the parameters.
    pub(super) param_vars: Vec<Var>,
    /// The variables of a row, before anything is made of it; none twice.
    pub(super) row_vars: Vec<Var>,
    pub(super) params: Params,
    /// The tables that calls of rules that recurse read, and what is asked for there.
    pub(super) seeds: Vec<Seed>,
    /// By the owners of rows of parameters.
    pub(super) instances: Vec<Option<Instance>>,
    free: Vec<u32>,
    pub(super) plans: Option<Plans>,
    pub(super) finish: Finish,
    /// What is kept of instances that change often.
    pub(super) hot: Hot,
    pub(super) pulls: Option<Pulls>,
    pub(super) counts: Counts,
}

/// What a shape has done so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) candidates: u64,
    pub(super) verified: u64,
    pub(super) emitted: u64,
    pub(super) fallbacks: u64,
    pub(super) lookups: u64,
    pub(super) time: Duration,
}

impl Counts {
    pub(super) fn add(&mut self, other: Counts) {
        self.candidates += other.candidates;
        self.verified += other.verified;
        self.emitted += other.emitted;
        self.fallbacks += other.fallbacks;
        self.lookups += other.lookups;
        self.time += other.time;
    }
}

/// The parameters bound.
pub(super) struct Instance {
    pub(super) id: InstanceId,
    pub(super) n_users: u32,
    pub(super) is_stale: bool,
    pub(super) row: RowIndex,
    pub(super) budget: u32,
    /// Where it has not just one row of parameters.
    pub(super) many: Option<Box<Many>>,
}

/// An instance whose inputs are more than one row.
pub(super) struct Many {
    pub(super) rows: Vec<RowIndex>,
    pub(super) inputs: Vec<Input>,
}

impl Instance {
    pub(super) fn rows(&self) -> &[RowIndex] {
        match &self.many {
            Some(many) => &many.rows,
            None => std::slice::from_ref(&self.row),
        }
    }
}

/// Plans for so many rows of parameters.
pub(super) struct Plans {
    /// How many bits the number of rows of the parameters had.
    magnitude: u32,
    /// By occurrence: what the change must look like, and what follows.
    pub(super) deltas: Vec<DeltaPlan>,
    /// Whether a row is there, its variables and the parameters given.
    pub(super) exists: Vec<Op>,
    /// All rows for some parameters.
    pub(super) rows: Vec<Op>,
    /// All members of a group.
    pub(super) members: Vec<Op>,
    /// The rows in which a pulled variable is a given entity.
    pub(super) rows_of: BTreeMap<Var, Vec<Op>>,
}

/// What follows a change.
pub(super) struct DeltaPlan {
    pub(super) start: PlanStart,
    pub(super) ops: Vec<Op>,
}

/// What a change must look like.
pub(super) enum PlanStart {
    /// Entity and value of a fact.
    Fact { attribute: AttributePlace, places: [Place; 2] },
    /// The columns of a tuple of a kept relation.
    Derived(Vec<Place>),
}

impl Shape {
    /// The shape of a lifted query; none where only an evaluation keeps it up. It uses the tables
    /// of its seeds from then on.
    pub(super) fn new(
        query: Query,
        limits: &LiveLimits,
        tables: &mut Tables,
        attributes: &mut Attributes,
    ) -> Option<Shape> {
        let program = query.program();
        let flat = query.stratified();
        if !Finish::is_supported(program) {
            return None;
        }
        let mut tree = goals::tree(flat, &flat.body, flat.scope.names.len())?;
        let columns = program.inputs.iter().flat_map(InputShape::columns);
        let param_vars: Vec<Var> = columns.map(|column| column.var).collect();
        if param_vars.iter().collect::<BTreeSet<_>>().len() < param_vars.len()
            || param_vars.len() > usize::from(u8::MAX)
        {
            return None;
        }
        let mut row_vars = Vec::new();
        for var in asked_vars(program) {
            if !row_vars.contains(&var) {
                row_vars.push(var);
            }
        }
        let params = Params::new(param_vars.len(), tables.cell_hash());
        let finish = Finish::new(program, &row_vars, limits);
        let seeds = keep_calls(&mut tree, &query, &param_vars, tables, attributes)?;
        let occurrences = super::delta_plan::occurrences(&tree.nodes, true, &mut tree.n_vars);
        Some(Shape {
            tree,
            occurrences,
            param_vars,
            row_vars,
            params,
            seeds,
            instances: Vec::new(),
            free: Vec::new(),
            plans: None,
            finish,
            hot: Hot::default(),
            pulls: Pulls::new(program),
            counts: Counts::default(),
            query,
        })
    }

    /// How its instances are kept up.
    pub(super) fn tier(&self) -> Tier {
        if self.seeds.is_empty() { Tier::Delta } else { Tier::Tables }
    }

    /// The tables it reads.
    pub(super) fn tables(&self) -> impl Iterator<Item = TablesId> {
        let tables: BTreeSet<TablesId> = self.seeds.iter().map(|seed| seed.tables).collect();
        tables.into_iter()
    }

    /// What an instance asks of tables.
    pub(super) fn asks(&self, owner: u32, dictionary: &Dictionary) -> Vec<(TablesId, Vec<Cell>)> {
        let of_row = |row: &RowIndex| {
            let params = self.params.row(*row);
            self.seeds.iter().map(|seed| (seed.tables, seed.cells(params, dictionary)))
        };
        self.instance(owner).rows().iter().flat_map(of_row).collect()
    }

    /// # Panics
    /// When there is none.
    pub(super) fn instance(&self, owner: u32) -> &Instance {
        self.instances[owner as usize].as_ref().expect("owners are instances")
    }

    /// # Panics
    /// When there is none.
    pub(super) fn instance_mut(&mut self, owner: u32) -> &mut Instance {
        self.instances[owner as usize].as_mut().expect("owners are instances")
    }

    /// The rows of parameters that some inputs give, lifted constants included; none where these
    /// are no rows, or too many.
    pub(super) fn param_rows(
        &self,
        inputs: &[Input],
    ) -> Result<Option<Vec<Vec<Value>>>, QueryError> {
        let rows = input_rows(self.query.program(), inputs, PARAM_ROWS_MAX)?;
        Ok(rows.filter(|rows| !rows.is_empty()))
    }

    /// The instance with these rows of parameters, which these inputs give.
    pub(super) fn find(&mut self, rows: &[Vec<Cell>], inputs: &[Input]) -> Option<u32> {
        let [row] = rows else { return self.find_many(inputs) };
        let columns: Vec<u8> = (0..row.len() as u8).collect();
        let index = self.params.index_by(&columns);
        let found = self.params.find(index, row, |row| {
            let owner = self.params.owner(row);
            match self.instance(owner).many {
                None => ControlFlow::Break(owner),
                Some(_) => ControlFlow::Continue(()),
            }
        });
        found.break_value()
    }

    fn find_many(&self, inputs: &[Input]) -> Option<u32> {
        let mut instances = (0..).zip(&self.instances);
        let has = |instance: &Option<Instance>| {
            let many = instance.as_ref().and_then(|instance| instance.many.as_ref());
            many.is_some_and(|many| many.inputs == inputs)
        };
        instances.find(|(_, instance)| has(instance)).map(|(owner, _)| owner)
    }

    /// Adds an instance with one user, of these rows of parameters, at least one, which these
    /// inputs give.
    pub(super) fn add(
        &mut self,
        id: InstanceId,
        budget: u32,
        rows: &[Vec<Cell>],
        inputs: Vec<Input>,
        dictionary: &Dictionary,
    ) -> u32 {
        let owner = self.free.pop().unwrap_or_else(|| {
            self.instances.push(None);
            self.instances.len() as u32 - 1
        });
        let rows = rows.iter().map(|row| self.params.insert(row, owner, dictionary));
        let rows: Vec<RowIndex> = rows.collect();
        let (row, is_single) = (rows[0], rows.len() == 1);
        let many = (!is_single).then(|| Box::new(Many { rows, inputs }));
        let instance = Instance { id, n_users: 1, is_stale: false, row, budget, many };
        self.instances[owner as usize] = Some(instance);
        owner
    }

    /// Forgets an instance.
    pub(super) fn remove(&mut self, owner: u32, dictionary: &Dictionary) {
        let Some(instance) = self.instances[owner as usize].take() else { return };
        for row in instance.rows() {
            self.params.remove(*row, dictionary);
        }
        self.hot.remove(owner);
        self.free.push(owner);
    }

    /// An instance is not kept up any more.
    pub(super) fn lose_track(&mut self, owner: u32) {
        self.hot.remove(owner);
        self.instance_mut(owner).is_stale = true;
    }

    /// The arguments of an instance.
    pub(super) fn inputs(&self, instance: &Instance, dictionary: &Dictionary) -> Vec<Input> {
        if let Some(many) = &instance.many {
            return many.inputs.clone();
        }
        let mut cells = self.params.row(instance.row).iter();
        let mut next = || dictionary.value(*cells.next().expect("a cell for each variable"));
        let shapes = self.query.program().inputs.iter();
        let input = |shape: &InputShape| match shape {
            InputShape::Scalar(_) => Input::Scalar(next()),
            InputShape::Tuple(columns) => {
                let value = |column: &Option<_>| match column {
                    Some(_) => next(),
                    None => Value::Boolean(false),
                };
                Input::Tuple(columns.iter().map(value).collect())
            }
            InputShape::Collection(_) => Input::Collection(vec![next()]),
            InputShape::Relation(columns) => {
                let value = |column: &Option<_>| match column {
                    Some(_) => next(),
                    None => Value::Boolean(false),
                };
                Input::Relation(vec![columns.iter().map(value).collect()])
            }
        };
        shapes.map(input).collect()
    }

    /// Makes the plans, if there are none for about so many rows of parameters.
    pub(super) fn plan(
        &mut self,
        snapshot: &Snapshot,
        tables: &mut Tables,
        attributes: &mut Attributes,
    ) {
        let magnitude = usize::BITS - self.params.len().leading_zeros();
        if self.plans.as_ref().is_some_and(|plans| plans.magnitude.abs_diff(magnitude) < 2) {
            return;
        }
        let mut compiler = Compiler {
            rules: &self.query.stratified().rules,
            snapshot,
            params: &mut self.params,
            tables,
            inner: &[],
            param_vars: &self.param_vars,
            attributes,
            fanouts: BTreeMap::new(),
        };
        let deltas = self.occurrences.iter().map(|occurrence| compiler.delta(occurrence)).collect();
        let given = self.param_vars.iter().chain(&self.row_vars).copied().collect();
        let exists = compiler.exists(&self.tree.nodes, given);
        let params: BTreeSet<Var> = self.param_vars.iter().copied().collect();
        let groups = params.iter().chain(self.finish.group_vars()).copied().collect();
        let members = compiler.exists(&self.tree.nodes, groups);
        let rows = compiler.exists(&self.tree.nodes, params);
        let pulled = self.query.program().find.iter().filter_map(|element| match element {
            FindElement::Pull { var, .. } => Some(*var),
            _ => None,
        });
        let rows_of =
            pulled.map(|var| (var, compiler.rows(&self.tree.nodes, BTreeSet::from([var]))));
        let rows_of = rows_of.collect();
        self.plans = Some(Plans { magnitude, deltas, exists, rows, members, rows_of });
    }
}

/// Gives every call of a rule that recurses the relation that keeps it, for the columns that
/// parameters and constants bind; what they ask for there. None where a rule cannot be kept.
fn keep_calls(
    tree: &mut Tree,
    query: &Query,
    param_vars: &[Var],
    tables: &mut Tables,
    attributes: &mut Attributes,
) -> Option<Vec<Seed>> {
    let column = |term: &Term| match term {
        Term::Const(value) => Some(SeedColumn::Const(value.clone())),
        Term::Var(var) => {
            let column = param_vars.iter().position(|param| param == var)?;
            Some(SeedColumn::Param(column as u8))
        }
        Term::Blank => None,
    };
    let mut calls = Vec::new();
    for node in &mut tree.nodes {
        node.visit_calls(&mut |callee, args, _| {
            let Callee::Rule(rule) = *callee else { return };
            let bound = (0..).zip(args).filter(|(_, arg)| column(arg).is_some());
            let bound: Vec<u8> = bound.map(|(column, _)| column).collect();
            let ruleset = rules::ruleset(query.stratified(), rule, &bound);
            let asked = |ruleset: &Ruleset| {
                let columns = ruleset.demand.iter().flat_map(|(_, columns)| columns);
                columns.map(|it| column(&args[usize::from(*it)]).expect("it is bound")).collect()
            };
            let columns = ruleset.as_ref().map(asked);
            calls.push(ruleset.zip(columns).map(|(ruleset, columns)| (rule, ruleset, columns)));
        });
    }
    // Nothing is acquired unless everything can be.
    let calls = calls.into_iter().collect::<Option<Vec<(RuleId, Ruleset, Vec<SeedColumn>)>>>()?;
    let patterns = &query.program().patterns;
    let seeds = calls.into_iter().map(|(rule, ruleset, columns)| {
        let id = tables.acquire(ruleset, patterns, attributes);
        Seed { rule, tables: id, answers: tables.answers(id), columns }
    });
    let seeds: Vec<Seed> = seeds.collect();
    let mut answers = seeds.iter().map(|seed| seed.answers);
    for node in &mut tree.nodes {
        node.visit_calls(&mut |callee, _, _| {
            *callee = Callee::Relation(answers.next().expect("one for each call"));
        });
    }
    Some(seeds)
}

/// The budgets that subscribers gave, each once.
#[derive(Default)]
pub(super) struct Budgets(Vec<Budget>);

impl Budgets {
    pub(super) fn number(&mut self, budget: &Budget) -> u32 {
        let found = self.0.iter().position(|other| other.is_same(budget));
        found.unwrap_or_else(|| {
            self.0.push(budget.clone());
            self.0.len() - 1
        }) as u32
    }

    pub(super) fn get(&self, number: u32) -> &Budget {
        &self.0[number as usize]
    }
}
