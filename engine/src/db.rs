//! The façade: a store, and the live queries that watch it.
#![allow(unused, missing_docs, clippy::unimplemented)]
use std::sync::Arc;

use crate::answer::{Answer, Row};
use crate::error::{ProgramError, QueryError};
use crate::fact::{Fact, Install, Mark, Transaction};
use crate::ids::Revision;
use crate::limits::Budget;
use crate::program::raw::{Input, RawProgram};
use crate::store::{Snapshot, Store, StoreDelta};

/// A checked program, ready to run against any snapshot. A clone is a pointer.
#[derive(Clone)]
pub struct Query {}

impl Query {
    /// Checks a program.
    ///
    /// # Errors
    /// Every error found, in order of place.
    pub fn prepare(raw: RawProgram) -> Result<Query, Vec<ProgramError>> {
        unimplemented!()
    }
    pub fn raw(&self) -> &RawProgram {
        unimplemented!()
    }
    /// Names of the find elements.
    pub fn columns(&self) -> &Arc<[Arc<str>]> {
        unimplemented!()
    }
    /// Evaluates.
    pub fn run(&self, snapshot: &Snapshot, inputs: &[Input], budget: &Budget) -> Result<Answer, QueryError> {
        unimplemented!()
    }
    /// Why this query cannot be live, if it cannot (`rand`, `sample`, limit without order).
    pub fn check_live(&self) -> Result<(), QueryError> {
        unimplemented!()
    }
    /// Attributes that nobody has written in this snapshot, each as a readable warning that names the nearest known one.
    pub fn warnings(&self, snapshot: &Snapshot) -> Vec<String> {
        unimplemented!()
    }
    /// The facts a replica must hold to give this query's answer itself.
    pub fn support(&self, inputs: &[Input]) -> Result<Support, QueryError> {
        unimplemented!()
    }
}

/// Which facts a query can read: a pure function of (program, inputs). For now the *whole
/// support*: every fact matching one of its atoms' constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support {}

impl Support {
    pub fn covers(&self, fact: &Fact) -> bool {
        unimplemented!()
    }
    /// The facts of the support in a snapshot, sorted, no duplicates; `None` when there are more than `n_max`.
    pub fn facts(&self, snapshot: &Snapshot, n_max: usize) -> Option<Vec<(Fact, Mark)>> {
        unimplemented!()
    }
}

/// One live (query, inputs); equal ones share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u64);

/// What a step did to one live result.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveUpdate {
    pub instance: InstanceId,
    /// An error (over budget) leaves the instance stale: its answer is no longer kept up until `refresh` succeeds.
    pub change: Result<RowsDelta, QueryError>,
}

/// Rows that came and went; never both empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowsDelta {
    pub added: Vec<Row>,
    pub removed: Vec<Row>,
}

/// A store with its live queries.
#[derive(Default)]
pub struct Db {}

impl Db {
    pub fn new() -> Db {
        unimplemented!()
    }
    pub fn with_store(store: Store) -> Db {
        unimplemented!()
    }
    /// The published store. Clone it to prepare a successor.
    pub fn store(&self) -> &Store {
        unimplemented!()
    }
    pub fn snapshot(&self) -> Snapshot {
        unimplemented!()
    }
    pub fn revision(&self) -> Revision {
        unimplemented!()
    }
    /// Makes a successor the published state and brings the live queries up to it. `delta` leads from the published store to the successor. Updates come in order of instance.
    pub fn publish(&mut self, successor: Store, delta: &StoreDelta) -> Vec<LiveUpdate> {
        unimplemented!()
    }
    /// Registers a live query, or another user of an equal one, and evaluates it if it is new.
    pub fn subscribe(&mut self, query: &Query, inputs: &[Input], budget: &Budget) -> Result<InstanceId, QueryError> {
        unimplemented!()
    }
    /// One user fewer; the last one ends it.
    pub fn unsubscribe(&mut self, instance: InstanceId) {
        unimplemented!()
    }
    /// The current result; none when the instance is unknown or stale.
    pub fn answer(&self, instance: InstanceId) -> Option<&Arc<Answer>> {
        unimplemented!()
    }
    /// Evaluates a stale instance again.
    pub fn refresh(&mut self, instance: InstanceId) -> Result<(), QueryError> {
        unimplemented!()
    }
}
