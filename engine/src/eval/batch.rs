//! Batches: the rows that the steps of a plan pass on, by column.
//!
//! A batch has a column for each variable that is still needed (*live*), and no other: a variable
//! that neither a later step nor the head asks for is left out by the step that used it last. Rows
//! are bindings of the live variables, and everything above is a set of such bindings, so rows that
//! have become equal may be merged at any time; [`Rows::merge_equal`] does it where that pays. A
//! step says which row each result continues and which cells it adds ([`Matches`]); columns are
//! then gathered one by one, which is a plain loop over words.
//!
//! Invariants: all columns have one length; a variable has one column. Ages, indexes and the sets
//! that tables keep are left out: see `rows` and `table`.

use hashbrown::HashTable;

use super::meter::Meter;
use super::rows::CELL_BYTES;
use crate::error::QueryError;
use crate::intern::{Cell, CellHash};
use crate::limits::BLOCK;
use crate::program::Var;

/// Batches up to this size are merged without a look at a sample.
const SAMPLE: usize = 1_024;

/// Rows over some variables, duplicates allowed.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    vars: Vec<Var>,
    n_rows: usize,
    /// One for each variable.
    columns: Vec<Vec<Cell>>,
    /// No two rows are equal; where it is false, some may be.
    is_set: bool,
}

impl Rows {
    /// No rows.
    pub(crate) fn new(vars: &[Var]) -> Rows {
        Rows { vars: vars.to_vec(), n_rows: 0, columns: vec![Vec::new(); vars.len()], is_set: true }
    }

    /// One row in which nothing is bound: what a body without inputs begins with.
    pub(crate) fn unit() -> Rows {
        Rows { vars: Vec::new(), n_rows: 1, columns: Vec::new(), is_set: true }
    }

    /// The variables, in the order of their columns.
    pub(crate) fn vars(&self) -> &[Var] {
        &self.vars
    }

    pub(crate) fn len(&self) -> usize {
        self.n_rows
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Whether no two rows are equal for certain. Who asks for all variables need not look for
    /// equal rows then.
    pub(crate) fn is_set(&self) -> bool {
        self.is_set
    }

    /// The same rows, of which some may be equal.
    pub(crate) fn maybe_repeated(self) -> Rows {
        Rows { is_set: false, ..self }
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        (self.n_rows * self.vars.len()) as u64 * CELL_BYTES
    }

    /// The cells of a variable, one for each row.
    ///
    /// # Panics
    /// When the variable is not live: the plan says which ones are.
    pub(crate) fn column(&self, var: Var) -> &[Cell] {
        let column = self.vars.iter().position(|other| *other == var);
        &self.columns[column.expect("a variable is live until its last use")]
    }

    /// The cells of some variables, each named once, one for each row.
    ///
    /// # Panics
    /// When a variable is not live.
    pub(crate) fn into_columns(mut self, vars: &[Var]) -> Vec<Vec<Cell>> {
        let column = |var: &Var| {
            let column = self.vars.iter().position(|other| other == var);
            std::mem::take(&mut self.columns[column.expect("find asks for live variables")])
        };
        vars.iter().map(column).collect()
    }

    /// Puts the cells of a row, in the order of the variables, into `row`.
    pub(crate) fn read_row(&self, index: usize, row: &mut Vec<Cell>) {
        row.clear();
        row.extend(self.columns.iter().map(|column| column[index]));
    }

    /// Appends a row, its cells in the order of the variables; it equals no other where the rows
    /// are a set.
    pub(crate) fn push(&mut self, row: &[Cell]) {
        debug_assert_eq!(row.len(), self.vars.len(), "a row has a cell for each variable");
        for (column, cell) in self.columns.iter_mut().zip(row) {
            column.push(*cell);
        }
        self.n_rows += 1;
    }

    /// The rows that `matches` continue, with the cells they add, as far as they are live.
    pub(crate) fn continued(
        mut self,
        mut matches: Matches,
        live: &[Var],
        meter: &Meter,
    ) -> Result<Rows, QueryError> {
        let from = &matches.from;
        let is_identity = from.len() == self.n_rows && counts_up(from, meter)?;
        let columns = live.iter().map(|var| {
            if let Some(added) = matches.vars.iter().position(|other| other == var) {
                return Ok(std::mem::take(&mut matches.cells[added]));
            }
            let column = self.vars.iter().position(|other| other == var);
            let column = column.expect("a live variable was bound before or is bound now");
            if is_identity {
                return Ok(std::mem::take(&mut self.columns[column]));
            }
            let cells = &self.columns[column];
            meter.map(from, |row| cells[*row as usize])
        });
        let columns: Vec<Vec<Cell>> = columns.collect::<Result<_, _>>()?;
        Ok(Rows { vars: live.to_vec(), n_rows: from.len(), columns, is_set: self.is_set })
    }

    /// Merges equal rows, where there seem to be enough of them to pay for looking. The first of
    /// equal rows stays where it is.
    pub(crate) fn merge_equal(self, hash: CellHash, meter: &Meter) -> Result<Rows, QueryError> {
        if self.columns.is_empty() {
            let n_rows = self.n_rows.min(1);
            return Ok(Rows { n_rows, is_set: true, ..self });
        }
        if self.is_set {
            return Ok(self);
        }
        if self.n_rows > SAMPLE && !self.seems_repetitive(hash, meter)? {
            return Ok(self);
        }
        let first = self.first_of_equal(0..self.n_rows, hash, meter)?;
        let set = Rows { is_set: true, ..self };
        if first.len() == set.n_rows {
            return Ok(set);
        }
        let live = set.vars.clone();
        set.continued(Matches { from: first, vars: Vec::new(), cells: Vec::new() }, &live, meter)
    }

    /// Whether fewer than half of the rows seem to be different, by a sample of them: `d` repeated
    /// ones among `k` drawn from `n` different rows are expected where `k² = 2nd`.
    fn seems_repetitive(&self, hash: CellHash, meter: &Meter) -> Result<bool, QueryError> {
        let step = self.n_rows / SAMPLE;
        let sample = (0..SAMPLE).map(|index| index * step);
        let n_repeated = SAMPLE - self.first_of_equal(sample, hash, meter)?.len();
        Ok(SAMPLE * SAMPLE < n_repeated * self.n_rows)
    }

    /// Of the rows named, those that equal no earlier one.
    fn first_of_equal(
        &self,
        rows: impl ExactSizeIterator<Item = usize>,
        hash: CellHash,
        meter: &Meter,
    ) -> Result<Vec<u32>, QueryError> {
        let hash = |row: usize| hash.of(self.columns.iter().map(|column| column[row]));
        let equal = |a: usize, b: usize| self.columns.iter().all(|column| column[a] == column[b]);
        let mut seen: HashTable<u32> = HashTable::new();
        let mut first = Vec::new();
        for (index, row) in rows.enumerate() {
            meter.check_at(index)?;
            let entry = seen.entry(
                hash(row),
                |other| equal(*other as usize, row),
                |other| hash(*other as usize),
            );
            if let hashbrown::hash_table::Entry::Vacant(vacant) = entry {
                let index = u32::try_from(row).expect("fewer than 2^32 rows fit memory");
                vacant.insert(index);
                first.push(index);
            }
        }
        Ok(first)
    }
}

/// Whether numbers count up from 0.
fn counts_up(numbers: &[u32], meter: &Meter) -> Result<bool, QueryError> {
    for (block, first) in numbers.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
        if block.iter().zip(first..).any(|(number, index)| *number != index) {
            return Ok(false);
        }
        meter.check_at(first as usize + block.len() - 1)?;
    }
    Ok(true)
}

/// What a step finds for the rows of a batch: for each result the row it continues, and the cells
/// it adds.
#[derive(Debug)]
pub(crate) struct Matches {
    /// Positions in the batch.
    pub(crate) from: Vec<u32>,
    vars: Vec<Var>,
    /// One for each of `vars`, as long as `from`.
    pub(crate) cells: Vec<Vec<Cell>>,
}

impl Matches {
    /// Nothing yet, for a step that binds these variables.
    pub(crate) fn new(vars: Vec<Var>) -> Matches {
        let cells = vec![Vec::new(); vars.len()];
        Matches { from: Vec::new(), vars, cells }
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        // Positions are half as long as cells, and shorter lived.
        self.from.len() as u64 * (self.vars.len() as u64 + 1) * CELL_BYTES
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::eval::meter::tests::n_looks;
    use crate::limits::Budget;

    fn meter() -> Meter {
        Meter::new(&Budget::unlimited())
    }

    fn batch(rows: &[[u64; 2]]) -> Rows {
        let mut batch = Rows::new(&[Var(0), Var(1)]);
        for row in rows {
            batch.push(&row.map(Cell));
        }
        batch.maybe_repeated()
    }

    fn cells(rows: &Rows, var: u32) -> Vec<u64> {
        rows.column(Var(var)).iter().map(|cell| cell.0).collect()
    }

    #[test]
    fn rows_go_on_with_the_columns_that_are_live() {
        let mut matches = Matches::new(vec![Var(7)]);
        matches.from = vec![0, 2, 2];
        matches.cells = vec![vec![Cell(5), Cell(6), Cell(7)]];
        let rows = batch(&[[1, 10], [2, 20], [3, 30]]);
        let rows = rows.continued(matches, &[Var(7), Var(1)], &meter()).unwrap();
        assert_eq!(rows.vars(), [Var(7), Var(1)]);
        assert_eq!((cells(&rows, 7), cells(&rows, 1)), (vec![5, 6, 7], vec![10, 30, 30]));
    }

    #[test]
    fn limits_are_looked_at_while_rows_go_on() {
        let rows: Vec<[u64; 2]> = (0..20 * BLOCK as u64).map(|row| [row, row]).collect();
        let matches = |turned: bool| {
            let mut matches = Matches::new(Vec::new());
            let last = rows.len() as u32 - 1;
            matches.from = (0..=last).map(|row| if turned { last - row } else { row }).collect();
            matches
        };
        let looks = |turned| {
            n_looks(|meter| batch(&rows).continued(matches(turned), &[Var(0), Var(1)], meter))
        };
        assert!(looks(true) >= 2 * 20, "both columns are gathered");
        assert!(looks(false) >= 20, "the rows are seen to be the same");
    }

    #[test]
    fn equal_rows_are_merged_and_the_first_stays() {
        let rows = batch(&[[1, 2], [3, 4], [1, 2], [1, 3], [3, 4]])
            .merge_equal(CellHash::default(), &meter())
            .unwrap();
        assert_eq!((cells(&rows, 0), cells(&rows, 1)), (vec![1, 3, 1], vec![2, 4, 3]));
        let mut nothing = Rows::unit();
        nothing.push(&[]);
        assert_eq!(
            nothing.maybe_repeated().merge_equal(CellHash::default(), &meter()).unwrap().len(),
            1
        );
    }

    #[test]
    fn large_batches_are_merged_where_a_sample_repeats() {
        let repeating: Vec<[u64; 2]> = (0..10_000).map(|row| [row % 100, 0]).collect();
        assert_eq!(
            batch(&repeating).merge_equal(CellHash::default(), &meter()).unwrap().len(),
            100
        );
        let different: Vec<[u64; 2]> = (0..10_000).map(|row| [row, row]).collect();
        assert_eq!(
            batch(&different).merge_equal(CellHash::default(), &meter()).unwrap().len(),
            10_000
        );
    }
}
