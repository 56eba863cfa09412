//! Steps that read facts: patterns, `missing?` and `get-else`.
//!
//! They say which facts fit a row and what was read; how the facts of one attribute are reached is
//! in `access`.

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
        let Some(id) = self.attribute_id(attribute) else {
            return Ok(Emit::new(&[entity, value]).matches());
        };
        if self.reads.is_some() {
            for row in 0..rows.len() {
                self.record(id, read_key(entity.known(row), value.known(row)));
                self.meter.check_at(row)?;
            }
        }
        self.facts(id, entity, value, rows.len())
    }

    /// The rows that no fact fits.
    pub(super) fn absent(
        &mut self,
        entity: &Slot,
        attribute: &AttributeSlot,
        value: &Slot,
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let present = self.pattern(entity, attribute, value, rows)?;
        let mut is_present = vec![false; rows.len()];
        let meter = &self.meter;
        meter.in_blocks(present.from.len(), |block| {
            present.from[block].iter().for_each(|row| is_present[*row as usize] = true);
        })?;
        let mut out = Matches::new(Vec::new());
        meter.in_blocks(rows.len(), |block| {
            out.from.extend(block.filter(|row| !is_present[*row]).map(|row| row as u32));
        })?;
        Ok(out)
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
                self.meter.went_through_nodes(1)?;
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

    /// The rows whose entity has an empty field.
    pub(super) fn missing(
        &mut self,
        entity: &Slot,
        attribute: &AttributeSlot,
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let mut out = self.absent(entity, attribute, &Slot::Blank, rows)?;
        // What is no entity has no fields that could be empty.
        let entity = self.operand(entity, rows);
        out.from
            .retain(|row| entity.known(*row as usize).is_none_or(|cell| self.scratch.is_ref(cell)));
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
            self.meter.check_at(row)?;
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
            self.meter.went_through_nodes(1)?;
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
