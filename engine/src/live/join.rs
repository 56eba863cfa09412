//! The machine that runs delta plans: one binding at a time, depth first.
//!
//! A change touches few facts, so nothing is gained by batches: registers hold the binding, each
//! step looks up what fits and goes on with the next step for each. Steps were ordered so that
//! look-ups are bound. What it does is counted, and it stops when it has done more than it may.

use std::ops::ControlFlow;

use super::delta_plan::{AttributePlace, DerivedFind, Find, Op, OpKind, Place, Src};
use super::params::{Params, RowIndex};
use super::tables::Tables;
use crate::eval::functions;
use crate::eval::scratch::Scratch;
use crate::ids::Attribute;
use crate::intern::Cell;
use crate::program::functions::Function;
use crate::program::pattern::Patterns;
use crate::store::{AttributeId, Order, Snapshot};
use crate::value::Value;

/// One of the two states that a step leads between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Before = 0,
    After = 1,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::Before => Side::After,
            Side::After => Side::Before,
        }
    }

    /// The other side, where that is asked for.
    pub(super) fn flipped(self, flip: bool) -> Side {
        if flip { self.other() } else { self }
    }
}

/// Why a run ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Whoever took a row has enough.
    Enough,
    /// More was looked at than may be.
    OverBudget,
}

pub(super) type Flow = ControlFlow<Stop>;

const CONTINUE: Flow = ControlFlow::Continue(());

/// Both states of the facts of a step.
pub(super) struct States<'s> {
    pub(super) snapshots: [&'s Snapshot; 2],
    /// By the attributes' numbers, their ids in each state.
    pub(super) ids: [&'s [Option<AttributeId>]; 2],
}

/// What ranks of tuples a binding may hold, and what rank it gives to what it derives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranks {
    /// Only tuples below this one are met.
    pub(super) below: u64,
    /// One more than the greatest rank of a tuple met; 0 where none was.
    pub(super) next: u32,
}

impl Default for Ranks {
    fn default() -> Ranks {
        Ranks { below: u64::MAX, next: 0 }
    }
}

/// The most columns of a relation in memory that are looked up by.
pub(super) const KEY_MAX: usize = 8;

/// Registers, and what steps look at.
pub(super) struct Machine<'m, 's> {
    pub(super) states: &'m States<'s>,
    pub(super) tables: &'m Tables,
    pub(super) params: &'m Params,
    pub(super) scratch: &'m mut Scratch<'s>,
    pub(super) patterns: &'m mut Patterns,
    pub(super) regs: &'m mut Vec<Cell>,
    /// The row of the parameters that the binding is for.
    pub(super) row: RowIndex,
    /// Of the derived tuples in the binding.
    pub(super) ranks: Ranks,
    /// How many look-ups it may still do.
    pub(super) fuel: &'m mut u64,
}

impl<'s> Machine<'_, 's> {
    /// Runs steps from the registers as they are; `take` is called for each binding that is left.
    pub(super) fn run(
        &mut self,
        ops: &[Op],
        side: Side,
        take: &mut dyn FnMut(&mut Machine<'_, 's>) -> Flow,
    ) -> Flow {
        let Some((op, rest)) = ops.split_first() else { return take(self) };
        self.spend(1)?;
        let at = side.flipped(op.flip);
        match &op.kind {
            OpKind::Pattern { attribute, entity, value } => {
                self.pattern(*attribute, *entity, *value, at, &mut |machine| {
                    machine.run(rest, side, take)
                })
            }
            OpKind::Predicate { function, args } => match self.holds(*function, args) {
                true => self.run(rest, side, take),
                false => CONTINUE,
            },
            OpKind::Function { function, args, out } => {
                let values: Vec<Value> = args.iter().map(|arg| self.value(*arg)).collect();
                match functions::call(*function, &values, self.patterns) {
                    Some(value) => {
                        let cell = self.scratch.cell(&value);
                        self.bind(*out, cell, rest, side, take)
                    }
                    None => CONTINUE,
                }
            }
            OpKind::Ground { rows, out } => self.ground(rows, out, rest, side, take),
            OpKind::Missing { attribute, entity } => {
                let entity = self.cell(*entity);
                if !self.scratch.is_ref(entity) {
                    return CONTINUE;
                }
                let place = Place::Known(Src::Cell(entity));
                let found = self.pattern(*attribute, place, Place::Blank, at, &mut |_| {
                    ControlFlow::Break(Stop::Enough)
                });
                match found {
                    ControlFlow::Continue(()) => self.run(rest, side, take),
                    ControlFlow::Break(Stop::Enough) => CONTINUE,
                    over => over,
                }
            }
            OpKind::GetElse { attribute, entity, default, out } => {
                let (entity, default) = (self.cell(*entity), self.cell(*default));
                if !self.scratch.is_ref(entity) {
                    return CONTINUE;
                }
                for cell in self.field(*attribute, entity, at, default)? {
                    self.bind(*out, cell, rest, side, take)?;
                }
                CONTINUE
            }
            OpKind::AnyOf(branches) => {
                for branch in branches {
                    self.run(branch, side.flipped(op.flip), &mut |machine| {
                        machine.run(rest, side, take)
                    })?;
                }
                CONTINUE
            }
            OpKind::NoneOf(branches) => {
                for branch in branches {
                    if self.is_there(branch, at)? {
                        return CONTINUE;
                    }
                }
                self.run(rest, side, take)
            }
            OpKind::Derived { find, negated: false } => {
                self.derived(find, at, &mut |machine| machine.run(rest, side, take))
            }
            OpKind::Derived { find, negated: true } => {
                match self.derived(find, at, &mut |_| ControlFlow::Break(Stop::Enough)) {
                    ControlFlow::Continue(()) => self.run(rest, side, take),
                    ControlFlow::Break(Stop::Enough) => CONTINUE,
                    over => over,
                }
            }
            OpKind::Params { find, check, out } => self.params(find, check, out, rest, side, take),
        }
    }

    /// Whether steps leave any binding.
    pub(super) fn is_there(&mut self, ops: &[Op], side: Side) -> ControlFlow<Stop, bool> {
        match self.run(ops, side, &mut |_| ControlFlow::Break(Stop::Enough)) {
            ControlFlow::Continue(()) => ControlFlow::Continue(false),
            ControlFlow::Break(Stop::Enough) => ControlFlow::Continue(true),
            ControlFlow::Break(over) => ControlFlow::Break(over),
        }
    }

    #[inline]
    pub(super) fn spend(&mut self, n_lookups: u64) -> Flow {
        match self.fuel.checked_sub(n_lookups) {
            Some(left) => {
                *self.fuel = left;
                CONTINUE
            }
            None => ControlFlow::Break(Stop::OverBudget),
        }
    }

    #[inline]
    pub(super) fn cell(&self, src: Src) -> Cell {
        match src {
            Src::Reg(reg) => self.regs[reg as usize],
            Src::Cell(cell) => cell,
        }
    }

    pub(super) fn known(&self, place: Place) -> Option<Cell> {
        match place {
            Place::Known(src) => Some(self.cell(src)),
            Place::Free(_) | Place::Blank => None,
        }
    }

    fn value(&self, src: Src) -> Value {
        self.scratch.value(self.cell(src))
    }

    /// Whether a cell fits a place, which then holds it.
    #[inline]
    pub(super) fn fits(&mut self, place: Place, cell: Cell) -> bool {
        match place {
            Place::Known(src) => self.cell(src) == cell,
            Place::Free(reg) => {
                self.regs[reg as usize] = cell;
                true
            }
            Place::Blank => true,
        }
    }

    fn bind(
        &mut self,
        place: Place,
        cell: Cell,
        rest: &[Op],
        side: Side,
        take: &mut dyn FnMut(&mut Machine<'_, 's>) -> Flow,
    ) -> Flow {
        if self.fits(place, cell) { self.run(rest, side, take) } else { CONTINUE }
    }

    fn holds(&mut self, function: Function, args: &[Src]) -> bool {
        if let [a, b] = args {
            let (a, b) = (self.cell(*a), self.cell(*b));
            match function {
                Function::Equal => return a == b,
                Function::NotEqual => return a != b,
                _ => {}
            }
            if let (Some(type_a), Some(type_b)) = (a.value_type(), b.value_type()) {
                let order = || self.scratch.compare(a, b);
                let is_alike = type_a == type_b;
                match function {
                    Function::Less => return is_alike && order().is_lt(),
                    Function::LessEqual => return is_alike && order().is_le(),
                    Function::Greater => return is_alike && order().is_gt(),
                    Function::GreaterEqual => return is_alike && order().is_ge(),
                    _ => {}
                }
            }
        }
        let values: Vec<Value> = args.iter().map(|arg| self.value(*arg)).collect();
        functions::call(function, &values, self.patterns) == Some(Value::Boolean(true))
    }

    fn ground(
        &mut self,
        rows: &[Vec<Cell>],
        out: &[Place],
        rest: &[Op],
        side: Side,
        take: &mut dyn FnMut(&mut Machine<'_, 's>) -> Flow,
    ) -> Flow {
        for row in rows {
            self.spend(1)?;
            let mut pairs = out.iter().zip(row);
            // A variable that stands twice is filled by its first place.
            let mut filled: Vec<(u32, Cell)> = Vec::new();
            let fits = pairs.all(|(place, cell)| match place {
                Place::Free(reg) => match filled.iter().find(|(other, _)| other == reg) {
                    Some((_, first)) => first == cell,
                    None => {
                        filled.push((*reg, *cell));
                        self.fits(*place, *cell)
                    }
                },
                place => self.fits(*place, *cell),
            });
            if fits {
                self.run(rest, side, take)?;
            }
        }
        CONTINUE
    }

    fn params(
        &mut self,
        find: &Find,
        check: &[(u8, Src)],
        out: &[(u8, u32)],
        rest: &[Op],
        side: Side,
        take: &mut dyn FnMut(&mut Machine<'_, 's>) -> Flow,
    ) -> Flow {
        let (params, before) = (self.params, self.row);
        let mut key = [Cell::MIN; KEY_MAX];
        let mut than = None;
        match find {
            Find::Index { key: srcs, .. } => {
                key.iter_mut().zip(srcs).for_each(|(cell, src)| *cell = self.cell(*src));
            }
            Find::Beyond { than: src, .. } | Find::Holding { value: src, .. } => {
                than = Some(self.value(*src));
            }
            Find::All => {}
        }
        let mut found = |row: RowIndex| {
            self.spend(1)?;
            let cells = params.row(row);
            if !check.iter().all(|(column, src)| cells[*column as usize] == self.cell(*src)) {
                return CONTINUE;
            }
            for (column, reg) in out {
                self.regs[*reg as usize] = cells[*column as usize];
            }
            self.row = row;
            self.run(rest, side, take)
        };
        let flow = match (find, than) {
            (Find::Index { index, key: srcs }, _) => {
                params.find(*index, &key[..srcs.len()], &mut found)
            }
            (Find::Beyond { order, is_above, or_equal, .. }, Some(than)) => {
                params.find_beyond(*order, &than, *is_above, *or_equal, &mut found)
            }
            (Find::Holding { intervals, .. }, Some(value)) => {
                params.find_holding(*intervals, &value, &mut found)
            }
            _ => params.all(&mut found),
        };
        self.row = before;
        flow
    }

    /// Goes on with each tuple of a kept relation that fits.
    fn derived(
        &mut self,
        find: &DerivedFind,
        at: Side,
        go_on: &mut dyn FnMut(&mut Self) -> Flow,
    ) -> Flow {
        let relation = self.tables.relation(find.relation);
        let mut key = [Cell::MIN; KEY_MAX];
        for (cell, src) in key.iter_mut().zip(find.index.iter().flat_map(|(_, srcs)| srcs)) {
            *cell = self.cell(*src);
        }
        let found = |row: RowIndex| {
            self.spend(1)?;
            if !relation.is_there(row, at) {
                return CONTINUE;
            }
            let outside = self.ranks;
            if find.is_inner {
                let rank = relation.rank(row);
                if u64::from(rank) >= outside.below {
                    return CONTINUE;
                }
                self.ranks.next = outside.next.max(rank.saturating_add(1));
            }
            let cells = relation.row(row);
            let mut rest = find.rest.iter();
            let flow = match rest.all(|(column, place)| self.fits(*place, cells[*column as usize]))
            {
                true => go_on(self),
                false => CONTINUE,
            };
            self.ranks = outside;
            flow
        };
        match &find.index {
            Some((index, srcs)) => relation.find(*index, &key[..srcs.len()], found),
            None => relation.rows().try_for_each(found),
        }
    }

    /// The values of a field, or what stands for none.
    fn field(
        &mut self,
        attribute: AttributePlace,
        entity: Cell,
        at: Side,
        default: Cell,
    ) -> ControlFlow<Stop, Vec<Cell>> {
        let mut values = Vec::new();
        for id in self.ids(attribute, at) {
            self.spend(1)?;
            values.extend(self.states.snapshots[at as usize].values(id, entity));
        }
        self.spend(values.len() as u64)?;
        if values.is_empty() {
            values.push(default);
        }
        ControlFlow::Continue(values)
    }

    /// The attributes that a place can stand for.
    fn ids(&mut self, attribute: AttributePlace, at: Side) -> Vec<AttributeId> {
        match attribute {
            AttributePlace::Const(number) => {
                self.states.ids[at as usize][number.0 as usize].into_iter().collect()
            }
            AttributePlace::Place(Place::Known(src)) => {
                let Value::String(text) = self.value(src) else { return Vec::new() };
                let attribute = Attribute::new(text).ok();
                let snapshot = self.states.snapshots[at as usize];
                attribute.and_then(|it| snapshot.find_attribute(&it)).into_iter().collect()
            }
            AttributePlace::Place(_) => self.states.snapshots[at as usize].attributes().collect(),
        }
    }

    /// Goes on with each fact that fits.
    fn pattern(
        &mut self,
        attribute: AttributePlace,
        entity: Place,
        value: Place,
        at: Side,
        go_on: &mut dyn FnMut(&mut Self) -> Flow,
    ) -> Flow {
        if let AttributePlace::Const(number) = attribute {
            return match self.states.ids[at as usize][number.0 as usize] {
                Some(id) => self.facts(id, entity, value, at, go_on),
                None => CONTINUE,
            };
        }
        for id in self.ids(attribute, at) {
            self.spend(1)?;
            if let AttributePlace::Place(Place::Free(reg)) = attribute {
                let text = self.states.snapshots[at as usize].attribute(id).shared().clone();
                self.regs[reg as usize] = self.scratch.cell(&Value::String(text));
                if matches!(entity, Place::Free(other) if other == reg) {
                    // An entity is never an attribute's text.
                    return CONTINUE;
                }
                if matches!(value, Place::Free(other) if other == reg) {
                    let value = Place::Known(Src::Reg(reg));
                    self.facts(id, entity, value, at, go_on)?;
                    continue;
                }
            }
            self.facts(id, entity, value, at, go_on)?;
        }
        CONTINUE
    }

    /// Goes on with each fact of an attribute that fits.
    fn facts(
        &mut self,
        id: AttributeId,
        entity: Place,
        value: Place,
        at: Side,
        go_on: &mut dyn FnMut(&mut Self) -> Flow,
    ) -> Flow {
        let snapshot = self.states.snapshots[at as usize];
        match (self.known(entity), self.known(value)) {
            (Some(e), Some(v)) => match snapshot.contains(id, e, v) {
                true => go_on(self),
                false => CONTINUE,
            },
            (Some(e), None) => match value {
                Place::Free(reg) => snapshot.for_each_value(id, e, |v| {
                    self.spend(1)?;
                    self.regs[reg as usize] = v;
                    go_on(self)
                }),
                _ => match snapshot.value(id, e) {
                    Some(_) => go_on(self),
                    None => CONTINUE,
                },
            },
            (None, Some(v)) => match entity {
                Place::Free(reg) => snapshot.for_each_entity(id, v, |e| {
                    self.spend(1)?;
                    self.regs[reg as usize] = e;
                    go_on(self)
                }),
                _ => match snapshot.count_entities(id, v) {
                    0 => CONTINUE,
                    _ => go_on(self),
                },
            },
            (None, None) => {
                let is_same = matches!((entity, value), (Place::Free(e), Place::Free(v)) if e == v);
                snapshot.for_each_fact(id, Order::ByEntity, |e, v| {
                    self.spend(1)?;
                    if is_same && e != v {
                        return CONTINUE;
                    }
                    self.fits(entity, e);
                    self.fits(value, v);
                    go_on(self)
                })
            }
        }
    }
}
