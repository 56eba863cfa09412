//! From bindings that came and went to rows of the answer that did.
//!
//! A binding is a row as it stands, or a member of a group whose row changes, or shows an entity's
//! tree; `:having` and `:after` keep some rows, the window shows some of these. Each stage takes
//! rows with signs and gives rows with signs. Trees and groups are looked up on both sides of the
//! step by the evaluator itself; what is asked for again and again is kept: members of groups
//! ([`accumulate`](super::accumulate)), first rows ([`window`](super::window)). Both can be dropped
//! at any time, because the state before a step tells them again.

use std::collections::{BTreeMap, BTreeSet};

use super::LiveLimits;
use super::accumulate::Group;
use super::join::{Side, States};
use super::maintain::{OwnedRows, ShapeDelta};
use super::shape::Shape;
use super::update::RowsDelta;
use super::window::{Changes, Extent, Window};
use crate::answer::{Output, Row};
use crate::error::QueryError;
use crate::eval::find::{compare_keys, is_aggregate, is_pull};
use crate::eval::functions;
use crate::eval::groups::gives_zero;
use crate::eval::parts::{Parts, group_vars, unpicked, windowed};
use crate::eval::scratch::Scratch;
use crate::intern::{Cell, Dictionary};
use crate::limits::Budget;
use crate::program::raw::{Input, PullId, RawHavingTerm};
use crate::program::{FindElement, Program, Var};
use crate::value::Value;

/// The most groups of an instance that are evaluated one by one in a step.
const GROUPS_MAX: usize = 8;

/// Values and rows kept for all instances of a shape before they are dropped.
const KEPT_MAX: usize = 4_000_000;

/// What a shape makes of bindings.
pub(super) struct Finish {
    /// By find element, where its variable is among those of a row.
    places: Vec<usize>,
    pulls: Vec<(usize, PullId)>,
    /// The variables of the groups, and where they are; none where nothing is aggregated.
    groups: Option<(Vec<Var>, Vec<usize>)>,
    /// Where only some rows are picked, the program without that.
    unpicked: Program,
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
            unpicked: unpicked(program),
            extent,
            first,
            hot_rows: limits.hot_rows,
        }
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
    n_kept: usize,
}

impl Hot {
    /// Forgets what is kept of an instance.
    pub(super) fn remove(&mut self, owner: u32) {
        self.groups.remove(&owner);
        self.windows.remove(&owner);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Hot::default();
    }
}

/// One step of one shape, as its output sees it.
pub(super) struct Step<'a, 's> {
    pub(super) states: &'a States<'s>,
    pub(super) scratch: &'a Scratch<'s>,
}

/// The change of one instance, none where its rows are the same.
pub(super) fn change(
    shape: &Shape,
    hot: &mut Hot,
    owner: u32,
    delta: &ShapeDelta,
    budget: &Budget,
    step: &Step<'_, '_>,
) -> Result<Option<RowsDelta>, QueryError> {
    let mut instance = InstanceStep { shape, owner, delta, budget, step };
    let changes =
        if shape.finish.groups.is_some() { instance.groups(hot)? } else { instance.rows()? };
    if shape.finish.is_plain {
        return Ok(netted(changes));
    }
    let changes = instance.picked(changes);
    let Some(extent) = &shape.finish.extent else { return Ok(netted(changes)) };
    let changes = net(changes);
    if changes.is_empty() {
        return Ok(None);
    }
    instance.window(hot, extent, changes).map(netted)
}

struct InstanceStep<'a, 's> {
    shape: &'a Shape,
    owner: u32,
    delta: &'a ShapeDelta,
    budget: &'a Budget,
    step: &'a Step<'a, 's>,
}

impl InstanceStep<'_, '_> {
    fn program(&self) -> &Program {
        self.shape.query.program()
    }

    /// The cells of this instance's rows.
    fn own<'r>(&self, rows: &'r OwnedRows) -> impl Iterator<Item = &'r [Cell]> {
        rows.of(self.owner)
    }

    fn parts<Found>(
        &self,
        side: Side,
        ask: impl FnOnce(&mut Parts<'_, '_>) -> Result<Found, QueryError>,
    ) -> Result<Found, QueryError> {
        let snapshot = self.step.states.snapshots[side as usize];
        self.shape.query.parts(snapshot, self.budget, ask)
    }

    fn inputs(&self) -> Vec<Input> {
        let instance = self.shape.instances[self.owner as usize].as_ref();
        let dictionary: &Dictionary = self.step.states.snapshots[1].dictionary();
        self.shape.inputs(instance.expect("owners are instances"), dictionary)
    }

    /// Rows that came and went, trees included.
    fn rows(&mut self) -> Result<Changes, QueryError> {
        let delta = self.delta;
        let mut changes = Changes::new();
        if self.shape.finish.pulls.is_empty() {
            changes.extend(self.own(&delta.gained).map(|cells| (self.plain(cells), 1)));
            changes.extend(self.own(&delta.lost).map(|cells| (self.plain(cells), -1)));
            return Ok(changes);
        }
        for (side, rows, sign) in [(Side::Before, &delta.lost, -1), (Side::After, &delta.gained, 1)]
        {
            let cells: Vec<&[Cell]> = self.own(rows).chain(self.own(&delta.touched)).collect();
            if cells.is_empty() {
                continue;
            }
            self.parts(side, |parts| {
                for cells in cells {
                    changes.push((self.pulled(parts, cells)?, sign));
                }
                Ok(())
            })?;
        }
        Ok(changes)
    }

    fn plain(&self, cells: &[Cell]) -> Row {
        let places = self.shape.finish.places.iter();
        places.map(|place| Output::Value(self.step.scratch.value(cells[*place]))).collect()
    }

    fn pulled(&self, parts: &mut Parts<'_, '_>, cells: &[Cell]) -> Result<Row, QueryError> {
        let mut row = self.plain(cells);
        for (element, pattern) in &self.shape.finish.pulls {
            let value = self.step.scratch.value(cells[self.shape.finish.places[*element]]);
            row[*element] = parts.pulled(self.program(), *pattern, value)?;
        }
        Ok(row)
    }

    /// The rows of groups that have changed members.
    fn groups(&mut self, hot: &mut Hot) -> Result<Changes, QueryError> {
        let (vars, places) = self.shape.finish.groups.as_ref().expect("it has groups");
        let delta = self.delta;
        let key = |cells: &[Cell]| -> Vec<Value> {
            places.iter().map(|place| self.step.scratch.value(cells[*place])).collect()
        };
        let mut changes = Changes::new();
        let mut cold: BTreeSet<Vec<Value>> = BTreeSet::new();
        let mut kept: BTreeMap<Vec<Value>, Option<Row>> = BTreeMap::new();
        let groups = hot.groups.entry(self.owner).or_default();
        for (rows, comes) in [(&delta.gained, true), (&delta.lost, false)] {
            for cells in self.own(rows) {
                let key = key(cells);
                match groups.get_mut(&key) {
                    None => drop(cold.insert(key)),
                    Some(group) => {
                        if !kept.contains_key(&key) {
                            kept.insert(key.clone(), self.group_row(group, &key));
                        }
                        group.change(self.values(cells).iter(), comes);
                    }
                }
            }
        }
        for (key, before) in kept {
            let group = &groups[&key];
            changes.extend(before.map(|row| (row, -1)));
            changes.extend(self.group_row(group, &key).map(|row| (row, 1)));
            if group.is_empty() {
                groups.remove(&key);
            }
        }
        self.cold_groups(vars, &cold, groups, &mut hot.n_kept, &mut changes)?;
        if groups.is_empty() {
            hot.groups.remove(&self.owner);
        }
        Ok(changes)
    }

    /// Evaluates groups on both sides of the step; keeps the members of those that are large.
    fn cold_groups(
        &self,
        vars: &[Var],
        keys: &BTreeSet<Vec<Value>>,
        groups: &mut BTreeMap<Vec<Value>, Group>,
        n_kept: &mut usize,
        changes: &mut Changes,
    ) -> Result<(), QueryError> {
        let unpicked = &self.shape.finish.unpicked;
        let all_vars: Vec<Var> = self.shape.param_vars.iter().chain(vars).copied().collect();
        let list: Vec<&Vec<Value>> = keys.iter().collect();
        let chunk = if list.len() <= GROUPS_MAX { 1 } else { list.len() };
        for keys in list.chunks(chunk) {
            let bindings = self.bindings(keys);
            let mut n_rows = 0;
            for (side, sign) in [(Side::Before, -1), (Side::After, 1)] {
                self.parts(side, |parts| {
                    let rows = parts.rows(unpicked, &all_vars, &bindings)?;
                    changes.extend(rows.iter().map(|row| (row.to_row(), sign)));
                    n_rows = parts.n_rows_made();
                    Ok(())
                })?;
            }
            if let [key] = keys
                && n_rows >= self.shape.finish.hot_rows
            {
                let group = self.members(&all_vars, &bindings)?;
                *n_kept += group.n_kept();
                groups.insert((*key).clone(), group);
            }
        }
        Ok(())
    }

    fn members(&self, vars: &[Var], bindings: &[Vec<Value>]) -> Result<Group, QueryError> {
        let unpicked = &self.shape.finish.unpicked;
        let mut group = Group::new(unpicked);
        let places = &self.shape.finish.places;
        self.parts(Side::After, |parts| {
            let asked = &self.shape.row_vars;
            parts.tuples(unpicked, vars, bindings, asked, |tuple| {
                group.change(places.iter().map(|place| &tuple[*place]), true);
            })
        })?;
        Ok(group)
    }

    /// Parameters and key, for each row of parameters and each key.
    fn bindings(&self, keys: &[&Vec<Value>]) -> Vec<Vec<Value>> {
        let instance = self.shape.instances[self.owner as usize].as_ref();
        let rows = instance.expect("owners are instances").rows();
        let mut bindings = Vec::with_capacity(rows.len() * keys.len());
        for row in rows {
            let params = self.shape.params.row(*row).iter();
            let params: Vec<Value> = params.map(|cell| self.step.scratch.value(*cell)).collect();
            bindings.extend(keys.iter().map(|key| [&params[..], &key[..]].concat()));
        }
        bindings
    }

    /// The values of a binding by find element.
    fn values(&self, cells: &[Cell]) -> Vec<Value> {
        let places = self.shape.finish.places.iter();
        places.map(|place| self.step.scratch.value(cells[*place])).collect()
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
        &self,
        hot: &mut Hot,
        extent: &Extent,
        changes: Changes,
    ) -> Result<Changes, QueryError> {
        let first = |side: Side| {
            let inputs = self.inputs();
            let rows = self.parts(side, |parts| parts.answer(&self.shape.finish.first, &inputs))?;
            Ok::<_, QueryError>(Window::new(rows.to_vec(), extent))
        };
        let mut window = match hot.windows.remove(&self.owner) {
            Some(window) => window,
            None => {
                let window = first(Side::Before)?;
                hot.n_kept += window.n_rows();
                window
            }
        };
        let program = self.program();
        let compare = |a: &Row, b: &Row| compare_keys(program, a, b).then_with(|| a.cmp(b));
        let mut shown = window.follow(changes, extent, compare);
        if !window.is_enough(extent) {
            shown.extend(window.shown(extent).iter().map(|row| (row.clone(), -1)));
            window = first(Side::After)?;
            shown.extend(window.shown(extent).iter().map(|row| (row.clone(), 1)));
        }
        hot.windows.insert(self.owner, window);
        if hot.n_kept > KEPT_MAX {
            hot.clear();
        }
        Ok(shown)
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

/// Each row once, with how often it came in the end.
fn net(mut changes: Changes) -> Changes {
    if let [_] = &changes[..] {
        return changes;
    }
    changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut netted: Changes = Vec::with_capacity(changes.len());
    for (row, n) in changes {
        match netted.last_mut() {
            Some((last, sum)) if *last == row => *sum += n,
            _ => netted.push((row, n)),
        }
    }
    netted.retain(|(_, n)| *n != 0);
    netted
}

fn netted(changes: Changes) -> Option<RowsDelta> {
    let mut delta = RowsDelta::default();
    for (row, n) in net(changes) {
        let side = if n > 0 { &mut delta.added } else { &mut delta.removed };
        let n_times = usize::try_from(n.unsigned_abs()).expect("no more than the rows");
        side.extend(std::iter::repeat_n(row, n_times));
    }
    (!delta.added.is_empty() || !delta.removed.is_empty()).then_some(delta)
}
