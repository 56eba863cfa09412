//! Evaluation: a plan over a snapshot.
//!
//! [`Evaluator::run`] passes a batch of rows through the steps of a plan; a step that calls a rule
//! asks a [`table::Table`] and, where the rule is complete in itself, brings it to its fixpoint
//! first. Rules are therefore evaluated top-down for what is asked of them (sideways passing) and
//! bottom-up within a recursion (semi-naive). It sees visible facts only: stamps and tombstones
//! end in `merge`. Where a row came from, and who listens, is left out.
//!
//! Source: Abiteboul, Hull & Vianu, ch. 13 (semi-naive evaluation, query-subquery).

mod access;
mod aggregate;
mod arcs;
mod around;
mod batch;
mod calls;
mod closure;
mod components;
mod counts;
pub(crate) mod exact;
mod explain;
mod filters;
pub(crate) mod find;
mod fixpoint;
pub(crate) mod functions;
mod generic;
pub(crate) mod groups;
mod hash_join;
pub(crate) mod measure;
mod meet;
pub(crate) mod meter;
mod nodes;
mod order;
pub(crate) mod parts;
mod patterns;
pub(crate) mod pull;
pub(crate) mod query;
mod range;
mod reached;
pub(crate) mod reads;
mod rows;
pub(crate) mod scratch;
mod search;
mod steps;
mod table;
mod top;
mod warnings;

use std::collections::BTreeMap;

use crate::error::QueryError;
use crate::ids::Attribute;
use crate::intern::{Cell, CellHash, CellMap};
use crate::plan::{Adornment, Counts, Planner};
use crate::program::RuleId;
use crate::program::lower::Stratified;
use crate::program::pattern::Patterns;
use crate::store::{AttributeId, Snapshot};
use crate::value::Value;
use measure::Measure;
use meter::Meter;
use reads::{Key, Recorder};
use scratch::Scratch;
use table::Table;

/// One evaluation of one program over one snapshot.
pub(crate) struct Evaluator<'s> {
    program: &'s Stratified,
    snapshot: &'s Snapshot,
    planner: &'s Planner<'s>,
    scratch: Scratch<'s>,
    tables: Vec<Table>,
    table_of: BTreeMap<(RuleId, Adornment), usize>,
    meter: Meter,
    /// What was read, where somebody wants to know.
    reads: Option<Recorder>,
    /// What is done, where somebody wants to know.
    measure: Option<Measure<'s>>,
    /// Attributes by the cell of their text.
    attributes: CellMap<Option<AttributeId>>,
    /// Regular expressions, the constant ones compiled before.
    patterns: Patterns,
}

impl<'s> Evaluator<'s> {
    fn new(
        program: &'s Stratified,
        snapshot: &'s Snapshot,
        planner: &'s Planner<'s>,
        meter: Meter,
        records_reads: bool,
    ) -> Evaluator<'s> {
        Evaluator {
            program,
            snapshot,
            planner,
            scratch: Scratch::new(snapshot.dictionary()),
            tables: Vec::new(),
            table_of: BTreeMap::new(),
            meter,
            reads: records_reads.then(Recorder::default),
            measure: None,
            attributes: CellMap::with_hasher(snapshot.dictionary().cell_hash()),
            patterns: Patterns::default(),
        }
    }

    fn record(&mut self, attribute: AttributeId, key: Key) {
        if let Some(reads) = &mut self.reads {
            reads.record(attribute, key, &self.scratch);
        }
    }

    fn record_any(&mut self, key: Key) {
        if let Some(reads) = &mut self.reads {
            reads.record_any(key, &self.scratch);
        }
    }

    /// The id of an attribute; an attribute that nobody has written is remembered as read.
    fn attribute_id(&mut self, attribute: &Attribute) -> Option<AttributeId> {
        let id = self.snapshot.find_attribute(attribute);
        if id.is_none()
            && let Some(reads) = &mut self.reads
        {
            reads.record_unknown(attribute);
        }
        id
    }

    /// The attribute whose text a cell holds, if there is one.
    fn attribute_of_cell(&mut self, cell: Cell) -> Option<AttributeId> {
        if let Some(id) = self.attributes.get(&cell) {
            return *id;
        }
        let attribute = match self.scratch.value(cell) {
            Value::String(text) => Attribute::new(text).ok(),
            _ => None,
        };
        let id = attribute.and_then(|attribute| self.attribute_id(&attribute));
        self.attributes.insert(cell, id);
        id
    }

    /// The cell of a value that this evaluation made or was given; what it takes is counted.
    fn counted_cell(&mut self, value: &Value) -> Result<Cell, QueryError> {
        let n_bytes_before = self.scratch.n_bytes();
        let cell = self.scratch.cell(value);
        self.meter.hold(self.scratch.n_bytes() - n_bytes_before)?;
        Ok(cell)
    }

    /// The cell of an attribute's text.
    fn cell_of_attribute(&mut self, id: AttributeId) -> Cell {
        let text = self.snapshot.attribute(id).shared().clone();
        self.scratch.cell(&Value::String(text))
    }

    /// How cells are hashed.
    fn cell_hash(&self) -> CellHash {
        self.scratch.cell_hash()
    }

    fn check(&self) -> Result<(), QueryError> {
        self.meter.check()
    }
}

impl Counts for Snapshot {
    fn total(&self) -> u64 {
        self.n_facts()
    }

    fn of_attribute(&self, attribute: &Attribute) -> u64 {
        self.find_attribute(attribute).map_or(0, |id| self.count(id))
    }

    fn of_value(&self, attribute: &Attribute, value: &Value) -> u64 {
        let found = self.find_attribute(attribute).zip(self.dictionary().find(value));
        found.map_or(0, |(id, cell)| self.n_holders(id, cell))
    }

    fn n_entities(&self, attribute: &Attribute) -> u64 {
        self.find_attribute(attribute).map_or(0, |id| Snapshot::n_entities(self, id))
    }

    fn n_values(&self, attribute: &Attribute) -> u64 {
        self.find_attribute(attribute).map_or(0, |id| Snapshot::n_values(self, id))
    }
}
