//! The steps of a plan: each turns a batch of rows into the next one.

use std::collections::BTreeSet;
use std::ops::Range;

use super::fixpoint::Frame;
use super::reads::Key;
use super::rows::Rows;
use super::{Evaluator, functions};
use crate::error::QueryError;
use crate::intern::Cell;
use crate::plan::{Action, AttributeSlot, Call, Plan, Slot};
use crate::program::functions::Function;
use crate::store::AttributeId;
use crate::value::Value;

/// A slot with its constant as a cell.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand {
    Cell(Cell),
    Column(usize),
    Free(usize),
    Blank,
}

impl Operand {
    /// What is known of it in a row.
    pub(super) fn known(self, row: &[Cell]) -> Option<Cell> {
        match self {
            Operand::Cell(cell) => Some(cell),
            Operand::Column(column) => Some(row[column]),
            Operand::Free(_) | Operand::Blank => None,
        }
    }

    /// The column of a variable that was bound before.
    pub(super) fn column(self) -> Option<usize> {
        match self {
            Operand::Column(column) => Some(column),
            Operand::Cell(_) | Operand::Free(_) | Operand::Blank => None,
        }
    }

    pub(super) fn is_known(self) -> bool {
        matches!(self, Operand::Cell(_) | Operand::Column(_))
    }
}

/// Where the free positions of a step go: which column takes which position, and which positions
/// are the same variable and must be equal.
pub(super) struct Emit {
    columns: Vec<(usize, usize)>,
    equal: Vec<(usize, usize)>,
}

impl Emit {
    pub(super) fn new(operands: &[Operand]) -> Emit {
        let mut emit = Emit { columns: Vec::new(), equal: Vec::new() };
        for (position, operand) in operands.iter().enumerate() {
            let Operand::Free(column) = operand else { continue };
            match emit.columns.iter().find(|(taken, _)| taken == column) {
                Some((_, first)) => emit.equal.push((*first, position)),
                None => emit.columns.push((*column, position)),
            }
        }
        emit
    }

    /// Appends the row with the free positions filled in, unless equal positions differ.
    pub(super) fn push(&self, out: &mut Rows, row: &[Cell], cells: &[Cell]) -> bool {
        if self.equal.iter().any(|(a, b)| cells[*a] != cells[*b]) {
            return false;
        }
        let row = out.push(row);
        for (column, position) in &self.columns {
            row[*column] = cells[*position];
        }
        true
    }
}

impl Evaluator<'_> {
    /// Passes rows through the steps of a plan, from one on. `frame` says where rows wait; a plan
    /// without recursive calls needs none.
    pub(super) fn run(
        &mut self,
        plan: &Plan,
        first_step: usize,
        rows: Rows,
        frame: Option<Frame>,
    ) -> Result<Rows, QueryError> {
        let mut rows = rows;
        self.meter.hold(rows.n_bytes())?;
        for (index, step) in plan.steps.iter().enumerate().skip(first_step) {
            if rows.is_empty() {
                break;
            }
            let next = match (&step.action, frame) {
                (Action::Call(call), Some(frame)) if call.recurses => {
                    let fresh = self.wait(frame, index, &rows)?;
                    self.recursive_call(call, &fresh)?
                }
                (action, _) => self.step(action, &rows)?,
            };
            self.meter.hold(next.n_bytes())?;
            self.meter.release(rows.n_bytes());
            rows = next;
        }
        self.meter.release(rows.n_bytes());
        self.check()?;
        Ok(rows)
    }

    fn step(&mut self, action: &Action, rows: &Rows) -> Result<Rows, QueryError> {
        match action {
            Action::Pattern { entity, attribute, value } => {
                self.pattern(entity, attribute, value, rows)
            }
            Action::Predicate { function, args } => self.predicate(*function, args, rows),
            Action::Function { function, args, out } => self.function(*function, args, out, rows),
            Action::Ground { rows: constants, out } => self.ground(constants, out, rows),
            Action::Missing { entity, attribute } => self.missing(entity, attribute, rows),
            Action::GetElse { entity, attribute, default, out } => {
                self.get_else(entity, attribute, default, out, rows)
            }
            Action::Call(call) => self.call(call, rows),
        }
    }

    fn operand(&mut self, slot: &Slot) -> Operand {
        match slot {
            Slot::Const(value) => Operand::Cell(self.scratch.cell(value)),
            Slot::Bound(var) => Operand::Column(var.column()),
            Slot::Free(var) => Operand::Free(var.column()),
            Slot::Blank => Operand::Blank,
        }
    }

    pub(super) fn operands(&mut self, slots: &[Slot]) -> Vec<Operand> {
        slots.iter().map(|slot| self.operand(slot)).collect()
    }

    // ---- patterns ----

    fn pattern(
        &mut self,
        entity: &Slot,
        attribute: &AttributeSlot,
        value: &Slot,
        rows: &Rows,
    ) -> Result<Rows, QueryError> {
        let (entity, value) = (self.operand(entity), self.operand(value));
        let attribute_free = match attribute {
            AttributeSlot::Free(var) => Operand::Free(var.column()),
            _ => Operand::Blank,
        };
        let emit = Emit::new(&[entity, attribute_free, value]);
        let mut out = Rows::new(rows.width());
        let every: Vec<AttributeId> = match attribute {
            AttributeSlot::Const(attribute) => self.attribute_id(attribute).into_iter().collect(),
            AttributeSlot::Bound(_) => Vec::new(),
            AttributeSlot::Free(_) | AttributeSlot::Blank => self.snapshot.attributes().collect(),
        };
        let is_any = matches!(attribute, AttributeSlot::Free(_) | AttributeSlot::Blank);
        for row in rows.iter() {
            self.meter.room_for(out.n_bytes())?;
            let (entity, value) = (entity.known(row), value.known(row));
            if is_any {
                self.record_any(read_key(entity, value));
            }
            if let AttributeSlot::Bound(var) = attribute {
                if let Some(id) = self.attribute_of_cell(row[var.column()]) {
                    self.record(id, read_key(entity, value));
                    self.matches(id, entity, value, &emit, row, &mut out)?;
                }
                continue;
            }
            for id in &every {
                if !is_any {
                    self.record(*id, read_key(entity, value));
                }
                self.matches(*id, entity, value, &emit, row, &mut out)?;
            }
        }
        Ok(out)
    }

    /// Appends the row once for each fact of the attribute that fits what is known.
    fn matches(
        &mut self,
        id: AttributeId,
        entity: Option<Cell>,
        value: Option<Cell>,
        emit: &Emit,
        row: &[Cell],
        out: &mut Rows,
    ) -> Result<(), QueryError> {
        let needs_attribute =
            emit.columns.iter().any(|(_, position)| *position == 1) || !emit.equal.is_empty();
        let attribute =
            if needs_attribute { self.cell_of_attribute(id) } else { super::rows::UNBOUND };
        let snapshot = self.snapshot;
        let mut found = |evaluator: &mut Self, entity, value| {
            evaluator.meter.read_facts(1)?;
            if emit.push(out, row, &[entity, attribute, value]) {
                evaluator.meter.made_row_in(out.n_bytes())?;
            }
            Ok(())
        };
        match (entity, value) {
            (Some(entity), Some(value)) => {
                if snapshot.contains(id, entity, value) {
                    found(self, entity, value)?;
                }
            }
            (Some(entity), None) => {
                for value in snapshot.values(id, entity) {
                    found(self, entity, value)?;
                }
            }
            (None, Some(value)) => {
                for entity in snapshot.entities(id, value) {
                    found(self, entity, value)?;
                }
            }
            (None, None) => {
                for (entity, value) in snapshot.facts(id) {
                    found(self, entity, value)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the field of each row's entity is empty.
    fn missing(
        &mut self,
        entity: &Slot,
        attribute: &AttributeSlot,
        rows: &Rows,
    ) -> Result<Rows, QueryError> {
        let entity = self.operand(entity);
        let mut out = Rows::new(rows.width());
        for row in rows.iter() {
            let field = self.field(entity.known(row), attribute, row)?;
            if field.is_some_and(|values| values.is_empty()) {
                out.push(row);
                self.meter.made_row_in(out.n_bytes())?;
            }
        }
        Ok(out)
    }

    /// Binds the values of each row's field, or the default where it has none.
    fn get_else(
        &mut self,
        entity: &Slot,
        attribute: &AttributeSlot,
        default: &Slot,
        out_slot: &Slot,
        rows: &Rows,
    ) -> Result<Rows, QueryError> {
        let (entity, default) = (self.operand(entity), self.operand(default));
        let result = self.operand(out_slot);
        let emit = Emit::new(&[result]);
        let mut out = Rows::new(rows.width());
        for row in rows.iter() {
            let Some(mut values) = self.field(entity.known(row), attribute, row)? else {
                continue;
            };
            if values.is_empty() {
                values.extend(default.known(row));
            }
            for value in values {
                if result.known(row).is_none_or(|known| known == value) {
                    emit.push(&mut out, row, &[value]);
                    self.meter.made_row_in(out.n_bytes())?;
                }
            }
        }
        Ok(out)
    }

    /// The values of a field, of any field of the entity where the attribute is blank; none where
    /// what stands for the entity is no entity.
    fn field(
        &mut self,
        entity: Option<Cell>,
        attribute: &AttributeSlot,
        row: &[Cell],
    ) -> Result<Option<Vec<Cell>>, QueryError> {
        if entity.is_some_and(|cell| !self.scratch.is_ref(cell)) {
            return Ok(None);
        }
        let snapshot = self.snapshot;
        let ids: Vec<AttributeId> = match attribute {
            AttributeSlot::Const(attribute) => self.attribute_id(attribute).into_iter().collect(),
            AttributeSlot::Bound(var) => {
                self.attribute_of_cell(row[var.column()]).into_iter().collect()
            }
            AttributeSlot::Free(_) | AttributeSlot::Blank => snapshot.attributes().collect(),
        };
        let key = read_key(entity, None);
        if matches!(attribute, AttributeSlot::Free(_) | AttributeSlot::Blank) {
            self.record_any(key);
        }
        let mut values = Vec::new();
        for id in ids {
            self.record(id, key);
            match entity {
                Some(entity) => values.extend(snapshot.values(id, entity)),
                None => values.extend(snapshot.facts(id).map(|(_, value)| value)),
            }
        }
        self.meter.read_facts(values.len() as u64)?;
        Ok(Some(values))
    }

    // ---- functions ----

    /// The arguments of a call in a row. There must be room for the longest text that a function
    /// makes of them, because it is made in one go.
    fn values(&mut self, args: &[Operand], row: &[Cell]) -> Result<Vec<Value>, QueryError> {
        let cells = args.iter().map(|arg| arg.known(row).expect("arguments are bound"));
        let values: Vec<Value> = cells.map(|cell| self.scratch.value(cell)).collect();
        let n_bytes: u64 = values.iter().map(|value| value.n_bytes() as u64).sum();
        self.meter.room_for(n_bytes)?;
        self.meter.went_through(n_bytes)?;
        Ok(values)
    }

    fn predicate(
        &mut self,
        function: Function,
        args: &[Slot],
        rows: &Rows,
    ) -> Result<Rows, QueryError> {
        let args = self.operands(args);
        let mut out = Rows::new(rows.width());
        for row in rows.iter() {
            let holds = match self.compare_cells(function, &args, row) {
                Some(holds) => holds,
                None => {
                    let result = functions::call(function, &self.values(&args, row)?);
                    result == Some(Value::Boolean(true))
                }
            };
            if holds {
                out.push(row);
            }
            self.meter.made_row_in(out.n_bytes())?;
        }
        Ok(out)
    }

    /// Comparisons of two cells, without building their values where that decides.
    fn compare_cells(&self, function: Function, args: &[Operand], row: &[Cell]) -> Option<bool> {
        let [a, b] = args else { return None };
        let (a, b) = (a.known(row)?, b.known(row)?);
        match function {
            Function::Equal => return Some(a == b),
            Function::NotEqual => return Some(a != b),
            _ => {}
        }
        if a.value_type()? != b.value_type()? {
            return None;
        }
        let order = self.scratch.compare(a, b);
        match function {
            Function::Less => Some(order.is_lt()),
            Function::LessEqual => Some(order.is_le()),
            Function::Greater => Some(order.is_gt()),
            Function::GreaterEqual => Some(order.is_ge()),
            _ => None,
        }
    }

    fn function(
        &mut self,
        function: Function,
        args: &[Slot],
        out_slot: &Slot,
        rows: &Rows,
    ) -> Result<Rows, QueryError> {
        let args = self.operands(args);
        let result = self.operand(out_slot);
        let emit = Emit::new(&[result]);
        let mut out = Rows::new(rows.width());
        for row in rows.iter() {
            self.meter.made_row_in(out.n_bytes())?;
            let Some(value) = functions::call(function, &self.values(&args, row)?) else {
                self.meter.n_without_result += 1;
                continue;
            };
            let cell = self.counted_cell(&value)?;
            if result.known(row).is_none_or(|known| known == cell) {
                emit.push(&mut out, row, &[cell]);
            }
        }
        Ok(out)
    }

    fn ground(
        &mut self,
        constants: &[Vec<Value>],
        out_slots: &[Slot],
        rows: &Rows,
    ) -> Result<Rows, QueryError> {
        let results = self.operands(out_slots);
        let emit = Emit::new(&results);
        let distinct: BTreeSet<&Vec<Value>> = constants.iter().collect();
        let constants: Vec<Vec<Cell>> = distinct
            .into_iter()
            .map(|row| row.iter().map(|value| self.scratch.cell(value)).collect())
            .collect();
        let mut out = Rows::new(rows.width());
        for row in rows.iter() {
            for cells in &constants {
                let mut pairs = results.iter().zip(cells);
                if pairs.all(|(result, cell)| result.known(row).is_none_or(|known| known == *cell))
                {
                    emit.push(&mut out, row, cells);
                }
                self.meter.made_row_in(out.n_bytes())?;
            }
        }
        Ok(out)
    }

    // ---- rules ----

    fn call(&mut self, call: &Call, rows: &Rows) -> Result<Rows, QueryError> {
        let table = self.table(call.rule, &call.adornment);
        if self.ask(call, table, rows)? {
            self.complete(call.rule)?;
        }
        let range = self.tables[table].answers.all();
        self.join(call, table, range, rows)
    }

    /// A call within its own recursion: asks, and goes on with the answers known so far.
    fn recursive_call(&mut self, call: &Call, rows: &Rows) -> Result<Rows, QueryError> {
        let table = self.table(call.rule, &call.adornment);
        self.ask(call, table, rows)?;
        let range = self.tables[table].answers.up_to_recent();
        self.join(call, table, range, rows)
    }

    /// Puts the bindings of every row into the table's demand; whether any is new.
    fn ask(&mut self, call: &Call, table: usize, rows: &Rows) -> Result<bool, QueryError> {
        let args = self.operands(&call.args);
        let columns = call.adornment.columns();
        let mut is_new = false;
        for row in rows.iter() {
            let cells = columns.iter().map(|column| args[*column].known(row));
            let key: Vec<Cell> =
                cells.map(|cell| cell.expect("adorned columns are bound")).collect();
            is_new |= self.demand(table, &key)?;
        }
        Ok(is_new)
    }

    /// Joins rows with a range of a table's answers; keeps those without a match where the call
    /// is negated.
    fn join(
        &mut self,
        call: &Call,
        table: usize,
        range: Range<usize>,
        rows: &Rows,
    ) -> Result<Rows, QueryError> {
        if self.tables[table].groups.is_some() {
            return self.join_groups(call, table, rows);
        }
        let args = self.operands(&call.args);
        let known: Vec<usize> = (0..args.len()).filter(|arg| args[*arg].is_known()).collect();
        let emit = Emit::new(&args);
        let mut out = Rows::new(rows.width());
        if !known.is_empty() {
            self.tables[table].answers.prepare_index(&known);
        }
        let answers = &self.tables[table].answers;
        let mut key = Vec::with_capacity(known.len());
        for row in rows.iter() {
            self.meter.room_for(out.n_bytes())?;
            key.clear();
            key.extend(known.iter().filter_map(|arg| args[*arg].known(row)));
            if call.negated {
                let has_match = if known.is_empty() {
                    !range.is_empty()
                } else {
                    !answers.find(&known, &key, &range).is_empty()
                };
                if !has_match {
                    out.push(row);
                }
                self.meter.made_row_in(out.n_bytes())?;
            } else if known.is_empty() {
                for position in range.clone() {
                    emit.push(&mut out, row, answers.row(position));
                    self.meter.made_row_in(out.n_bytes())?;
                }
            } else {
                for position in answers.find(&known, &key, &range) {
                    emit.push(&mut out, row, answers.row(*position as usize));
                    self.meter.made_row_in(out.n_bytes())?;
                }
            }
        }
        Ok(out)
    }
}

/// What a lookup with these positions known reads of an attribute.
fn read_key(entity: Option<Cell>, value: Option<Cell>) -> Key {
    match (entity, value) {
        (Some(entity), _) => Key::Entity(entity),
        (None, Some(value)) => Key::Value(value),
        (None, None) => Key::All,
    }
}
