//! From bindings that came and went to rows of the answer that did.
//!
//! A binding is a row as it stands, or a member of a group whose row changes, or shows an entity's
//! tree; `:having` and `:after` keep some rows, the window shows some of these. Each stage takes
//! rows with signs and gives rows with signs. Trees are read on both sides of the step; a group is
//! read after it, and what came and went is taken back for what it was before. What is large is kept:
//! members of groups ([`accumulate`](super::accumulate)), first rows ([`window`](super::window)).
//! Both can be dropped at any time, because the facts tell them again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::LiveLimits;
use super::accumulate::Group;
use super::delta_plan::Op;
use super::join::{Machine, Side, Stop};
use super::maintain::{OwnedRows, ShapeDelta};
use super::params::RowIndex;
use super::patch::{self, RowPatch};
use super::shape::{Instance, Shape};
use super::update::{Changes, RowsDelta, net};
use super::window::{Extent, Window};
use crate::answer::{Output, Row};
use crate::error::QueryError;
use crate::eval::find::{compare_keys, is_aggregate, is_pull};
use crate::eval::functions;
use crate::eval::groups::gives_zero;
use crate::eval::meter::Meter;
use crate::eval::parts::{Parts, group_vars, windowed};
use crate::eval::pull::Puller;
use crate::intern::Cell;
use crate::limits::Budget;
use crate::program::raw::{PullId, RawHavingTerm};
use crate::program::{FindElement, Program, Var};
use crate::value::Value;

/// The most look-ups for the members of one group, or the rows of one instance, before they are
/// evaluated in batches instead.
const LOOKUPS_MAX: u64 = 4_096;

/// Values and rows kept for a shape's instances before all are dropped.
const KEPT_MAX: usize = 4_000_000;

/// What a shape makes of bindings.
pub(super) struct Finish {
    /// By find element, where its variable is among those of a row.
    places: Vec<usize>,
    pulls: Vec<(usize, PullId)>,
    /// The variables of the groups, and where they are; none where nothing is aggregated.
    groups: Option<(Vec<Var>, Vec<usize>)>,
    extent: Option<Extent>,
    /// The program that gives the rows a window keeps.
    first: Program,
    hot_rows: u64,
    is_plain: bool,
}

impl Finish {
    pub(super) fn new(program: &Program, row_vars: &[Var], limits: &LiveLimits) -> Finish {
        let place = |var: Var| {
            let place = row_vars.iter().position(|other| *other == var);
            place.expect("rows have the variables of find")
        };
        let pulls = program.find.iter().enumerate().filter_map(|(element, it)| match it {
            FindElement::Pull { pattern, .. } => Some((element, *pattern)),
            _ => None,
        });
        let pulls: Vec<(usize, PullId)> = pulls.collect();
        let aggregates = program.find.iter().any(is_aggregate);
        let groups = aggregates.then(|| {
            let vars = group_vars(program);
            let places = vars.iter().map(|var| place(*var)).collect();
            (vars, places)
        });
        let raw = &program.raw;
        let extent = (raw.limit.is_some() || raw.offset > 0)
            .then(|| Extent::new(raw.offset, raw.limit, limits.margin));
        let mut first = program.clone();
        windowed(&mut first, extent.as_ref().map(|extent| extent.n_kept as u64));
        Finish {
            places: program.find.iter().map(|element| place(element.var())).collect(),
            is_plain: groups.is_none()
                && pulls.is_empty()
                && extent.is_none()
                && raw.having.is_empty()
                && raw.after.is_empty(),
            pulls,
            groups,
            extent,
            first,
            hot_rows: limits.hot_rows,
        }
    }

    /// The variables of groups.
    pub(super) fn group_vars(&self) -> &[Var] {
        self.groups.as_ref().map_or(&[], |(vars, _)| vars)
    }

    /// What is made of rows, and what is kept for it.
    pub(super) fn text(&self) -> &'static str {
        match (self.groups.is_some(), self.extent.is_some(), self.pulls.is_empty()) {
            (true, true, _) => "groups that changed, then a window; its rows are kept",
            (true, false, _) => "groups that changed; members of large ones are kept",
            (false, true, true) => "a window; its rows are kept",
            (false, true, false) => "a window of rows with trees; its rows are kept",
            (false, false, true) => "rows; nothing is kept",
            (false, false, false) => "rows with trees; nothing is kept",
        }
    }

    /// Whether rows can be told from what is kept nowhere but in the facts.
    pub(super) fn is_supported(program: &Program) -> bool {
        let pulls = program.find.iter().any(is_pull);
        let aggregates = program.find.iter().any(is_aggregate);
        !(pulls && (aggregates || !program.raw.after.is_empty()))
    }
}

/// What is kept of instances that change often, by owner.
#[derive(Default)]
pub(super) struct Hot {
    groups: BTreeMap<u32, BTreeMap<Vec<Value>, Group>>,
    windows: BTreeMap<u32, Window>,
    /// Values of groups and rows of windows.
    n_kept: usize,
}

impl Hot {
    /// Forgets what is kept of an instance.
    pub(super) fn remove(&mut self, owner: u32) {
        let groups = self.groups.remove(&owner).into_iter().flat_map(BTreeMap::into_values);
        self.n_kept -= groups.map(|group| group.n_kept()).sum::<usize>();
        self.take_window(owner);
    }

    fn take_group(&mut self, owner: u32, key: &[Value]) -> Option<Group> {
        let group = self.groups.get_mut(&owner)?.remove(key)?;
        self.n_kept -= group.n_kept();
        Some(group)
    }

    fn keep_group(&mut self, owner: u32, key: Vec<Value>, group: Group) {
        self.n_kept += group.n_kept();
        self.groups.entry(owner).or_default().insert(key, group);
    }

    fn take_window(&mut self, owner: u32) -> Option<Window> {
        let window = self.windows.remove(&owner)?;
        self.n_kept -= window.n_rows();
        Some(window)
    }

    fn keep_window(&mut self, owner: u32, window: Window) {
        self.n_kept += window.n_rows();
        self.windows.insert(owner, window);
    }

    /// Forgets everything when it has become too much.
    fn trim(&mut self) {
        if self.n_kept > KEPT_MAX {
            self.clear();
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Hot::default();
    }
}

/// Why a step of an instance ends early.
pub(super) enum Halt {
    /// It is more work than a delta may be.
    OverBudget,
    /// A tree or an evaluation is over the budget of the instance.
    Failed(QueryError),
}

impl From<QueryError> for Halt {
    fn from(error: QueryError) -> Halt {
        Halt::Failed(error)
    }
}

/// The change of one instance, none where its rows are the same.
pub(super) fn change(
    shape: &Shape,
    hot: &mut Hot,
    owner: u32,
    delta: &ShapeDelta,
    budget: &Budget,
    machine: &mut Machine<'_, '_>,
) -> Result<Option<RowsDelta>, Halt> {
    let shown = Vec::new();
    let mut instance = InstanceStep { shape, owner, delta, budget, machine, shown };
    let mut changes = match &shape.finish.groups {
        Some((_, places)) => instance.groups(hot, places)?,
        None => instance.rows()?,
    };
    if !shape.finish.is_plain {
        changes = instance.picked(changes);
    }
    if let Some(extent) = &shape.finish.extent {
        changes = net(changes);
        if !changes.is_empty() {
            changes = instance.window(hot, extent, changes)?;
        }
    }
    let mut rows = RowsDelta::of(changes);
    if shape.query.is_support() {
        rows.replace(instance.own(&delta.touched).map(|cells| instance.plain(cells)).collect());
    }
    let patches = instance.patches(&rows);
    Ok((!rows.is_empty()).then_some(RowsDelta { patches, ..rows }))
}

struct InstanceStep<'a, 'm, 's> {
    shape: &'a Shape,
    owner: u32,
    delta: &'a ShapeDelta,
    budget: &'a Budget,
    machine: &'a mut Machine<'m, 's>,
    /// Rows that show the same entities on both sides: before, after.
    shown: Vec<(Row, Row)>,
}

impl<'a> InstanceStep<'a, '_, '_> {
    fn program(&self) -> &'a Program {
        self.shape.query.program()
    }

    /// The cells of this instance's rows.
    fn own<'r>(&self, rows: &'r OwnedRows) -> impl Iterator<Item = &'r [Cell]> + use<'r> {
        rows.of(self.owner)
    }

    fn instance(&self) -> &'a Instance {
        self.shape.instance(self.owner)
    }

    fn parts<Found>(
        &self,
        side: Side,
        ask: impl FnOnce(&mut Parts<'_, '_>) -> Result<Found, QueryError>,
    ) -> Result<Found, QueryError> {
        let snapshot = self.machine.states.snapshots[side as usize];
        self.shape.query.parts(snapshot, self.budget, ask)
    }

    /// Rows that came and went, trees included.
    fn rows(&mut self) -> Result<Changes, Halt> {
        let delta = self.delta;
        let mut changes = Changes::new();
        let (lost, gained) = (self.own(&delta.lost), self.own(&delta.gained));
        if self.shape.finish.pulls.is_empty() {
            changes.extend(gained.map(|cells| (self.plain(cells), 1)));
            changes.extend(lost.map(|cells| (self.plain(cells), -1)));
            return Ok(changes);
        }
        let mut meter = Meter::new(self.budget);
        for cells in lost {
            changes.push((self.pulled(&mut meter, Side::Before, cells)?, -1));
        }
        for cells in gained {
            changes.push((self.pulled(&mut meter, Side::After, cells)?, 1));
        }
        for cells in self.own(&delta.touched) {
            let before = self.pulled(&mut meter, Side::Before, cells)?;
            let after = self.pulled(&mut meter, Side::After, cells)?;
            if before != after {
                changes.extend([(before.clone(), -1), (after.clone(), 1)]);
                self.shown.push((before, after));
            }
        }
        Ok(changes)
    }

    /// What changed inside rows that show the same entities, of those that are told.
    fn patches(&self, rows: &RowsDelta) -> Vec<RowPatch> {
        let mut patches = Vec::new();
        for (before, after) in &self.shown {
            if let (Ok(removed), Ok(added)) =
                (rows.removed.binary_search(before), rows.added.binary_search(after))
            {
                let changes = patch::changes(before, after);
                patches.push(RowPatch { removed, added, changes });
            }
        }
        patches
    }

    fn plain(&self, cells: &[Cell]) -> Row {
        let places = self.shape.finish.places.iter();
        places.map(|place| Output::Value(self.machine.scratch.value(cells[*place]))).collect()
    }

    fn pulled(&self, meter: &mut Meter, side: Side, cells: &[Cell]) -> Result<Row, QueryError> {
        let mut row = self.plain(cells);
        let snapshot = self.machine.states.snapshots[side as usize];
        for (element, pattern) in &self.shape.finish.pulls {
            let cell = cells[self.shape.finish.places[*element]];
            if self.machine.scratch.is_ref(cell) {
                let (scratch, reads) = (&*self.machine.scratch, None);
                let mut puller = Puller { snapshot, scratch, meter: &mut *meter, reads };
                let tree = puller.pull(&self.program().raw, *pattern, cell)?;
                row[*element] = Output::Tree(tree);
            }
        }
        Ok(row)
    }

    /// The rows of groups that have changed members.
    fn groups(&mut self, hot: &mut Hot, places: &[usize]) -> Result<Changes, Halt> {
        let delta = self.delta;
        let mut touched: BTreeMap<Vec<Value>, Vec<(&[Cell], bool)>> = BTreeMap::new();
        for (rows, comes) in [(&delta.gained, true), (&delta.lost, false)] {
            for cells in self.own(rows) {
                let key = places.iter().map(|place| self.machine.scratch.value(cells[*place]));
                touched.entry(key.collect()).or_default().push((cells, comes));
            }
        }
        let mut changes = Changes::new();
        for (key, members) in touched {
            let mut group = match hot.take_group(self.owner, &key) {
                Some(group) => group,
                None => {
                    // As it is after the step, without what came and with what went.
                    let cells: Vec<Cell> = places.iter().map(|at| members[0].0[*at]).collect();
                    let mut group = self.members(&key, &cells)?;
                    for (cells, comes) in &members {
                        group.change(self.values(cells).iter(), !comes);
                    }
                    group
                }
            };
            changes.extend(self.group_row(&group, &key).map(|row| (row, -1)));
            for (cells, comes) in &members {
                group.change(self.values(cells).iter(), *comes);
            }
            changes.extend(self.group_row(&group, &key).map(|row| (row, 1)));
            if !group.is_empty() && group.n_members() >= self.shape.finish.hot_rows {
                hot.keep_group(self.owner, key, group);
            }
        }
        hot.trim();
        Ok(changes)
    }

    /// A group as it is after the step: looked up member by member, or evaluated if it is large.
    fn members(&mut self, key: &[Value], cells: &[Cell]) -> Result<Group, Halt> {
        let (vars, _) = self.shape.finish.groups.as_ref().expect("it has groups");
        let plans = self.shape.plans.as_ref().expect("planned before a step");
        let mut group = Group::new(self.program());
        let given = vars.iter().copied().zip(cells.iter().copied()).collect::<Vec<_>>();
        if let Some(members) = self.look_up(&plans.members, &given, Side::After)? {
            for cells in members.iter().map(|(_, cells)| cells) {
                group.change(self.values(cells).iter(), true);
            }
            return Ok(group);
        }
        let program = self.program();
        let vars: Vec<Var> = self.shape.param_vars.iter().chain(vars).copied().collect();
        let places = &self.shape.finish.places;
        self.parts(Side::After, |parts| {
            let asked = &self.shape.row_vars;
            parts.tuples(program, &vars, &self.bindings(key), asked, |tuple| {
                group.change(places.iter().map(|place| &tuple[*place]), true);
            })
        })?;
        Ok(group)
    }

    /// The distinct rows that steps find for this instance's parameters and what else is given;
    /// none when there are many.
    fn look_up(
        &mut self,
        ops: &[Op],
        given: &[(Var, Cell)],
        side: Side,
    ) -> Result<Option<OwnedRows>, Halt> {
        let shape = self.shape;
        let mut rows = OwnedRows::new(shape.row_vars.len());
        let left = self.machine.fuel.saturating_sub(LOOKUPS_MAX);
        let all = std::mem::replace(self.machine.fuel, (*self.machine.fuel).min(LOOKUPS_MAX));
        let mut flow = ControlFlow::Continue(());
        for row in self.instance().rows() {
            let params = shape.param_vars.iter().copied().zip(shape.params.row(*row).to_vec());
            for (var, cell) in params.clone().chain(given.iter().copied()) {
                self.machine.regs[var.column()] = cell;
            }
            // What is given may be a parameter too.
            let agrees = |(var, cell): (Var, Cell)| {
                given.iter().all(|(other, given)| *other != var || *given == cell)
            };
            if params.clone().all(agrees) {
                flow = self.machine.run(ops, side, &mut |machine| {
                    rows.push(0, shape.row_vars.iter().map(|var| machine.regs[var.column()]));
                    ControlFlow::Continue(())
                });
            }
            if flow.is_break() {
                break;
            }
        }
        *self.machine.fuel += left;
        match flow {
            ControlFlow::Continue(()) => {
                rows.dedup();
                Ok(Some(rows))
            }
            ControlFlow::Break(Stop::OverBudget) if all > LOOKUPS_MAX => Ok(None),
            ControlFlow::Break(_) => Err(Halt::OverBudget),
        }
    }

    /// Parameters and key, for each row of parameters.
    fn bindings(&self, key: &[Value]) -> Vec<Vec<Value>> {
        let binding = |row: &RowIndex| {
            let params = self.shape.params.row(*row).iter();
            let params: Vec<Value> = params.map(|cell| self.machine.scratch.value(*cell)).collect();
            [&params[..], key].concat()
        };
        self.instance().rows().iter().map(binding).collect()
    }

    /// The values of a binding by find element.
    fn values(&self, cells: &[Cell]) -> Vec<Value> {
        let places = self.shape.finish.places.iter();
        places.map(|place| self.machine.scratch.value(cells[*place])).collect()
    }

    fn group_row(&self, group: &Group, key: &[Value]) -> Option<Row> {
        let program = self.program();
        if group.is_empty() {
            return gives_zero(program).then(|| vec![Output::Value(Value::int(0))]);
        }
        let (vars, _) = self.shape.finish.groups.as_ref().expect("it has groups");
        group.row(program, |element| {
            let var = program.find[element].var();
            let place = vars.iter().position(|other| *other == var);
            Output::Value(key[place.expect("groups have these variables")].clone())
        })
    }

    /// The rows that `:having` and `:after` leave.
    fn picked(&self, changes: Changes) -> Changes {
        let program = self.program();
        if program.having.is_empty() && program.raw.after.is_empty() {
            return changes;
        }
        let mut patterns = program.patterns.clone();
        let mut passes = |row: &Row| {
            let having = program.having.iter().zip(&program.having_functions);
            let mut having = having.map(|(having, function)| {
                let arg = |arg: &RawHavingTerm| match arg {
                    RawHavingTerm::Constant(value) => Some(value.clone()),
                    RawHavingTerm::Element(element) => match &row[*element as usize] {
                        Output::Value(value) => Some(value.clone()),
                        Output::List(_) | Output::Tree(_) => None,
                    },
                };
                let args: Option<Vec<Value>> = having.args.iter().map(arg).collect();
                let result = args.and_then(|args| functions::call(*function, &args, &mut patterns));
                result == Some(Value::Boolean(true))
            });
            having.all(|holds| holds) && is_after(program, row)
        };
        changes.into_iter().filter(|(row, _)| passes(row)).collect()
    }

    /// What becomes of the rows shown.
    fn window(
        &mut self,
        hot: &mut Hot,
        extent: &Extent,
        changes: Changes,
    ) -> Result<Changes, Halt> {
        let mut window = match hot.take_window(self.owner) {
            Some(window) => window,
            None => self.first(extent, Side::Before)?,
        };
        let program = self.program();
        let compare = |a: &Row, b: &Row| compare_keys(program, a, b).then_with(|| a.cmp(b));
        let mut shown = window.follow(changes, extent, compare);
        if !window.is_enough(extent) {
            shown.extend(window.shown(extent).iter().map(|row| (row.clone(), -1)));
            window = self.first(extent, Side::After)?;
            shown.extend(window.shown(extent).iter().map(|row| (row.clone(), 1)));
        }
        hot.keep_window(self.owner, window);
        hot.trim();
        Ok(shown)
    }

    /// The first rows: all are looked up where they are few, or the query is evaluated.
    fn first(&mut self, extent: &Extent, side: Side) -> Result<Window, Halt> {
        let plans = self.shape.plans.as_ref().expect("planned before a step");
        let finish = &self.shape.finish;
        if finish.groups.is_none()
            && finish.pulls.is_empty()
            && let Some(rows) = self.look_up(&plans.rows, &[], side)?
        {
            let rows = rows.iter().map(|(_, cells)| (self.plain(cells), 1)).collect();
            let mut rows: Vec<Row> = self.picked(rows).into_iter().map(|(row, _)| row).collect();
            let program = self.program();
            rows.sort_unstable_by(|a, b| compare_keys(program, a, b).then_with(|| a.cmp(b)));
            return Ok(Window::all(rows));
        }
        let dictionary = self.machine.states.snapshots[1].dictionary();
        let inputs = self.shape.inputs(self.instance(), dictionary);
        let rows = self.parts(side, |parts| parts.answer(&finish.first, &inputs))?;
        Ok(Window::new(rows.to_vec(), extent))
    }
}

/// Whether a row comes after the key of `:after`, if there is one.
fn is_after(program: &Program, row: &Row) -> bool {
    let raw = &program.raw;
    let orders = raw.order_by.iter().zip(&raw.after).map(|(key, after)| {
        let order = row[key.element as usize].cmp(&Output::Value(after.clone()));
        if key.descending { order.reverse() } else { order }
    });
    let mut orders = orders;
    raw.after.is_empty() || orders.find(|order| order.is_ne()).is_some_and(|order| order.is_gt())
}
