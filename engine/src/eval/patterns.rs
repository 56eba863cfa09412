//! Steps that read facts: patterns, `missing?` and `get-else`.

use rustc_hash::FxHashSet;

use super::Evaluator;
use super::batch::{Matches, Rows};
use super::reads::Key;
use super::steps::{Emit, Operand};
use crate::error::QueryError;
use crate::intern::Cell;
use crate::plan::{AttributeSlot, Slot};
use crate::store::AttributeId;

impl Evaluator<'_> {
    /// Every row, once for each fact that fits it; once at all where nothing of the fact is bound.
    pub(super) fn pattern(
        &mut self,
        entity: &Slot,
        attribute: &AttributeSlot,
        value: &Slot,
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let (entity, value) = (self.operand(entity, rows), self.operand(value, rows));
        let AttributeSlot::Const(attribute) = attribute else {
            return self.any_attribute(entity, attribute, value, rows);
        };
        let emit = Emit::new(&[entity, value]);
        let mut out = emit.matches();
        let Some(id) = self.attribute_id(attribute) else { return Ok(out) };
        if self.reads.is_some() {
            for row in 0..rows.len() {
                self.record(id, read_key(entity.known(row), value.known(row)));
            }
        }
        for row in 0..rows.len() {
            self.facts(id, entity, value, &emit, row, &mut out)?;
        }
        Ok(out)
    }

    /// Continues a row by each fact of the attribute that fits what is known; once where a position
    /// is blank and the others do not tell the facts apart.
    fn facts(
        &mut self,
        id: AttributeId,
        entity: Operand<'_>,
        value: Operand<'_>,
        emit: &Emit,
        row: usize,
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        let snapshot = self.snapshot;
        match (entity.known(row), value.known(row)) {
            (Some(entity), Some(value)) => {
                self.meter.read_facts(1)?;
                if snapshot.contains(id, entity, value) {
                    self.found(out, emit, row, [entity, value])?;
                }
            }
            (Some(entity), None) => {
                let n_max = if matches!(value, Operand::Blank) { 1 } else { usize::MAX };
                for value in snapshot.values(id, entity).take(n_max) {
                    self.meter.read_facts(1)?;
                    self.found(out, emit, row, [entity, value])?;
                }
            }
            (None, Some(value)) => {
                let n_max = if matches!(entity, Operand::Blank) { 1 } else { usize::MAX };
                for entity in snapshot.entities(id, value).take(n_max) {
                    self.meter.read_facts(1)?;
                    self.found(out, emit, row, [entity, value])?;
                }
            }
            (None, None) => self.scan(id, entity, value, emit, row, out)?,
        }
        Ok(())
    }

    /// Continues a row by all facts of an attribute, or by their different entities or values.
    fn scan(
        &mut self,
        id: AttributeId,
        entity: Operand<'_>,
        value: Operand<'_>,
        emit: &Emit,
        row: usize,
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        let mut facts = self.snapshot.facts(id);
        match (entity, value) {
            (Operand::Blank, Operand::Blank) => {
                if let Some((entity, value)) = facts.next() {
                    self.found(out, emit, row, [entity, value])?;
                }
            }
            (_, Operand::Blank) => {
                let mut last = None;
                for (entity, value) in facts {
                    self.meter.read_facts(1)?;
                    if last.replace(entity) != Some(entity) {
                        self.found(out, emit, row, [entity, value])?;
                    }
                }
            }
            (Operand::Blank, _) => {
                let mut seen = FxHashSet::default();
                for (entity, value) in facts {
                    self.meter.read_facts(1)?;
                    if seen.insert(value) {
                        self.found(out, emit, row, [entity, value])?;
                    }
                }
            }
            _ => {
                for (entity, value) in facts {
                    self.meter.read_facts(1)?;
                    self.found(out, emit, row, [entity, value])?;
                }
            }
        }
        Ok(())
    }

    fn found<const N: usize>(
        &mut self,
        out: &mut Matches,
        emit: &Emit,
        row: usize,
        cells: [Cell; N],
    ) -> Result<(), QueryError> {
        emit.push(out, row, &cells);
        self.meter.made_row_in(out.n_bytes())
    }

    /// A pattern whose attribute is a variable or blank.
    fn any_attribute(
        &mut self,
        entity: Operand<'_>,
        attribute: &AttributeSlot,
        value: Operand<'_>,
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let attribute_free = match attribute {
            AttributeSlot::Free(var) => Operand::Free(*var),
            _ => Operand::Blank,
        };
        let emit = Emit::new(&[entity, attribute_free, value]);
        let mut out = emit.matches();
        for row in 0..rows.len() {
            let (known_entity, known_value) = (entity.known(row), value.known(row));
            if let AttributeSlot::Bound(var) = attribute {
                if let Some(id) = self.attribute_of_cell(rows.column(*var)[row]) {
                    self.record(id, read_key(known_entity, known_value));
                    self.facts_of_any(id, known_entity, known_value, &emit, row, &mut out)?;
                }
                continue;
            }
            self.record_any(read_key(known_entity, known_value));
            for id in self.snapshot.attributes() {
                self.facts_of_any(id, known_entity, known_value, &emit, row, &mut out)?;
            }
        }
        Ok(out)
    }

    /// Continues a row by each fact of an attribute that fits what is known.
    fn facts_of_any(
        &mut self,
        id: AttributeId,
        entity: Option<Cell>,
        value: Option<Cell>,
        emit: &Emit,
        row: usize,
        out: &mut Matches,
    ) -> Result<(), QueryError> {
        let snapshot = self.snapshot;
        let attribute = self.cell_of_attribute(id);
        let mut found = |evaluator: &mut Self, entity, value| {
            evaluator.meter.read_facts(1)?;
            evaluator.found(out, emit, row, [entity, attribute, value])
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
    pub(super) fn missing(
        &mut self,
        entity: &Slot,
        attribute: &AttributeSlot,
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let entity = self.operand(entity, rows);
        let mut out = Matches::new(Vec::new());
        for row in 0..rows.len() {
            let field = self.field(entity.known(row), attribute, rows, row)?;
            if field.is_some_and(|values| values.is_empty()) {
                out.from.push(row as u32);
                self.meter.made_row_in(out.n_bytes())?;
            }
        }
        Ok(out)
    }

    /// Binds the values of each row's field, or the default where it has none.
    pub(super) fn get_else(
        &mut self,
        entity: &Slot,
        attribute: &AttributeSlot,
        default: &Slot,
        out_slot: &Slot,
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let (entity, default) = (self.operand(entity, rows), self.operand(default, rows));
        let result = self.operand(out_slot, rows);
        let emit = Emit::new(&[result]);
        let mut out = emit.matches();
        for row in 0..rows.len() {
            let Some(mut values) = self.field(entity.known(row), attribute, rows, row)? else {
                continue;
            };
            if values.is_empty() {
                values.extend(default.known(row));
            }
            for value in values {
                if result.known(row).is_none_or(|known| known == value) {
                    self.found(&mut out, &emit, row, [value])?;
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
        rows: &Rows,
        row: usize,
    ) -> Result<Option<Vec<Cell>>, QueryError> {
        if entity.is_some_and(|cell| !self.scratch.is_ref(cell)) {
            return Ok(None);
        }
        let snapshot = self.snapshot;
        let ids: Vec<AttributeId> = match attribute {
            AttributeSlot::Const(attribute) => self.attribute_id(attribute).into_iter().collect(),
            AttributeSlot::Bound(var) => {
                self.attribute_of_cell(rows.column(*var)[row]).into_iter().collect()
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
}

/// What a lookup with these positions known reads of an attribute.
fn read_key(entity: Option<Cell>, value: Option<Cell>) -> Key {
    match (entity, value) {
        (Some(entity), _) => Key::Entity(entity),
        (None, Some(value)) => Key::Value(value),
        (None, None) => Key::All,
    }
}
