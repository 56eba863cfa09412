//! Steps that join the rows with those of a plan evaluated apart.
//!
//! Asking an index row by row costs what it finds, again for each row. Where a star by itself is
//! smaller than that, it is evaluated once, its rows are put into a hash table by the variables
//! that both sides have, and each row looks there.

use hashbrown::HashTable;

use super::Evaluator;
use super::access::Pace;
use super::batch::{Matches, Rows};
use super::meter::Meter;
use crate::error::QueryError;
use crate::intern::{Cell, CellHash};
use crate::plan::{Plan, Slot};
use crate::program::Var;

/// No further row.
const NONE: u32 = u32::MAX;

/// Rows by some of their columns: a chain of rows for each key.
struct ByKey<'r> {
    columns: Vec<&'r [Cell]>,
    hash: CellHash,
    /// The last row of each chain.
    heads: HashTable<u32>,
    /// The row before in the chain of each row.
    before: Vec<u32>,
}

fn hash_of(hash: CellHash, columns: &[&[Cell]], row: usize) -> u64 {
    hash.of(columns.iter().map(|column| column[row]))
}

impl<'r> ByKey<'r> {
    fn new(
        columns: Vec<&'r [Cell]>,
        n_rows: usize,
        hash: CellHash,
        meter: &Meter,
    ) -> Result<ByKey<'r>, QueryError> {
        let mut heads: HashTable<u32> = HashTable::new();
        let mut before = vec![NONE; n_rows];
        for row in 0..n_rows {
            meter.check_at(row)?;
            let equal = |other: &u32| columns.iter().all(|c| c[*other as usize] == c[row]);
            let hash_of = |other: &u32| hash_of(hash, &columns, *other as usize);
            match heads.entry(hash_of(&(row as u32)), equal, hash_of) {
                hashbrown::hash_table::Entry::Occupied(mut head) => {
                    before[row] = std::mem::replace(head.get_mut(), row as u32);
                }
                hashbrown::hash_table::Entry::Vacant(vacant) => {
                    vacant.insert(row as u32);
                }
            }
        }
        Ok(ByKey { columns, hash, heads, before })
    }

    /// The rows whose key is that of a row of other columns.
    fn find<'b>(&'b self, columns: &[&[Cell]], row: usize) -> impl Iterator<Item = usize> + 'b {
        let equal = |other: &u32| {
            self.columns.iter().zip(columns).all(|(ours, c)| ours[*other as usize] == c[row])
        };
        let head = self.heads.find(hash_of(self.hash, columns, row), equal).copied();
        let next = |other: &u32| Some(self.before[*other as usize]).filter(|row| *row != NONE);
        std::iter::successors(head, next).map(|row| row as usize)
    }

    fn n_bytes(&self) -> u64 {
        // A word for each row, and five bytes for each key at most twice.
        self.before.len() as u64 * 14
    }
}

impl Evaluator<'_> {
    /// Continues each row by the rows of the plan that agree on the variables of both.
    pub(super) fn hash_join(
        &mut self,
        plan: &Plan,
        on: &[Var],
        out_slots: &[Slot],
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let side = self.run(plan, 0, Rows::unit(), None)?;
        let added: Vec<Var> = out_slots
            .iter()
            .filter_map(|slot| match slot {
                Slot::Free(var) => Some(*var),
                _ => None,
            })
            .collect();
        let columns =
            |of| -> Vec<&[Cell]> { on.iter().map(|var| Rows::column(of, *var)).collect() };
        let by_key = ByKey::new(columns(&side), side.len(), self.cell_hash(), &self.meter)?;
        let found: Vec<&[Cell]> = added.iter().map(|var| side.column(*var)).collect();
        let probes = columns(rows);
        let held = side.n_bytes() + by_key.n_bytes();
        self.meter.hold(held)?;
        let mut out = Matches::new(added.clone());
        let mut pace = Pace::default();
        for row in 0..rows.len() {
            self.meter.check_at(row)?;
            for other in by_key.find(&probes, row) {
                out.from.push(row as u32);
                for (column, found) in out.cells.iter_mut().zip(&found) {
                    column.push(found[other]);
                }
                pace.read(0, &out, &mut self.meter)?;
            }
        }
        pace.tell(&out, &mut self.meter)?;
        self.meter.release(held);
        Ok(out)
    }
}
