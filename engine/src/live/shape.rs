//! A shape: one program with parameters, all its instances, and the plans that maintain them.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::Attributes;
use super::delta_plan::{AttributePlace, Compiler, Occurrence, Op, Place, Start};
use super::goals::{self, Tree};
use super::output::Finish;
use super::params::{Params, RowIndex};
use super::pulls::Pulls;
use super::{InstanceId, LiveLimits, Tier};
use crate::eval::query::{Query, asked_vars};
use crate::intern::Dictionary;
use crate::limits::Budget;
use crate::program::raw::Input;
use crate::program::{FindElement, InputShape, Var};
use crate::store::Snapshot;
use crate::value::Value;

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
    /// By the owners of rows of parameters.
    pub(super) instances: Vec<Option<Instance>>,
    free: Vec<u32>,
    pub(super) plans: Option<Plans>,
    pub(super) finish: Finish,
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
    /// The rows in which a pulled variable is a given entity.
    pub(super) rows_of: BTreeMap<Var, Vec<Op>>,
}

pub(super) struct DeltaPlan {
    pub(super) start: [Place; 2],
    pub(super) attribute: AttributePlace,
    pub(super) ops: Vec<Op>,
}

impl Shape {
    /// The shape of a lifted query; none where only an evaluation keeps it up.
    pub(super) fn new(query: Query, limits: &LiveLimits) -> Option<Shape> {
        let program = query.program();
        let flat = query.stratified();
        if !Finish::is_supported(program) {
            return None;
        }
        let mut tree = goals::tree(flat, &flat.body, flat.scope.names.len())?;
        let occurrences = super::delta_plan::occurrences(&tree.nodes, &mut tree.n_vars);
        if occurrences.iter().any(|it| matches!(it.start, Start::Derived { .. })) {
            return None;
        }
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
        let params = Params::new(param_vars.len());
        let finish = Finish::new(program, &row_vars, limits);
        Some(Shape {
            tree,
            occurrences,
            param_vars,
            row_vars,
            params,
            instances: Vec::new(),
            free: Vec::new(),
            plans: None,
            finish,
            pulls: Pulls::new(program),
            counts: Counts::default(),
            query,
        })
    }

    /// How its instances are kept up.
    pub(super) fn tier(&self) -> Tier {
        Tier::Delta
    }

    /// The instance with this one row of parameters.
    pub(super) fn find(&mut self, cells: &[crate::intern::Cell]) -> Option<u32> {
        let columns: Vec<u8> = (0..cells.len() as u8).collect();
        let index = self.params.index_by(&columns);
        let mut found = None;
        let (params, instances) = (&self.params, &self.instances);
        let _ = params.find(index, cells, |row| {
            let owner = params.owner(row);
            let is_single = instances[owner as usize].as_ref().is_some_and(|it| it.many.is_none());
            if is_single {
                found = Some(owner);
                return std::ops::ControlFlow::Break(());
            }
            std::ops::ControlFlow::Continue(())
        });
        found
    }

    /// The instance with these inputs, which are not one row.
    pub(super) fn find_many(&self, inputs: &[Input]) -> Option<u32> {
        let mut instances = (0..).zip(&self.instances);
        let has = |instance: &Option<Instance>| {
            let many = instance.as_ref().and_then(|instance| instance.many.as_ref());
            many.is_some_and(|many| many.inputs == inputs)
        };
        instances.find(|(_, instance)| has(instance)).map(|(owner, _)| owner)
    }

    /// The place of a new instance.
    pub(super) fn place(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.instances.push(None);
            self.instances.len() as u32 - 1
        })
    }

    pub(super) fn remove(&mut self, owner: u32, dictionary: &Dictionary) {
        let Some(instance) = self.instances[owner as usize].take() else { return };
        for row in instance.rows() {
            self.params.remove(*row, dictionary);
        }
        self.free.push(owner);
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
    pub(super) fn plan(&mut self, snapshot: &Snapshot, attributes: &mut Attributes) {
        let magnitude = usize::BITS - self.params.len().leading_zeros();
        if self.plans.as_ref().is_some_and(|plans| plans.magnitude.abs_diff(magnitude) < 2) {
            return;
        }
        let mut compiler = Compiler {
            program: self.query.stratified(),
            snapshot,
            params: &mut self.params,
            param_vars: &self.param_vars,
            attributes,
            fanouts: BTreeMap::new(),
        };
        let deltas = self.occurrences.iter().map(|occurrence| compiler.delta(occurrence)).collect();
        let given = self.param_vars.iter().chain(&self.row_vars).copied().collect();
        let exists = compiler.exists(&self.tree.nodes, given);
        let pulled = self.query.program().find.iter().filter_map(|element| match element {
            FindElement::Pull { var, .. } => Some(*var),
            _ => None,
        });
        let rows_of =
            pulled.map(|var| (var, compiler.rows(&self.tree.nodes, BTreeSet::from([var]))));
        let rows_of = rows_of.collect();
        self.plans = Some(Plans { magnitude, deltas, exists, rows_of });
    }
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
