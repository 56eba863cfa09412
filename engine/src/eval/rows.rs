//! Sets of rows that tables keep, and their indexes.
//!
//! A set is one flat vector with a stride. It keeps its rows in order of arrival, so that a range
//! of positions is an age (see `table`). The batches that steps pass on are in `batch`.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::intern::Cell;

/// The bytes of one cell.
pub(crate) const CELL_BYTES: u64 = 8;

/// A set of rows of one width, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct RowSet {
    rows_width: usize,
    n_rows: usize,
    cells: Vec<Cell>,
    positions: HashTable<u32>,
}

fn hash(row: &[Cell]) -> u64 {
    FxBuildHasher.hash_one(row)
}

impl RowSet {
    pub(crate) fn new(width: usize) -> RowSet {
        RowSet { rows_width: width, ..RowSet::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.n_rows
    }

    pub(crate) fn row(&self, position: usize) -> &[Cell] {
        &self.cells[position * self.rows_width..(position + 1) * self.rows_width]
    }

    /// Adds a row; whether it is new.
    pub(crate) fn insert(&mut self, row: &[Cell]) -> bool {
        debug_assert_eq!(row.len(), self.rows_width, "rows of one set have one width");
        let (cells, width) = (&self.cells, self.rows_width);
        let at = |position: u32| {
            let start = position as usize * width;
            &cells[start..start + width]
        };
        let entry = self.positions.entry(
            hash(row),
            |position| at(*position) == row,
            |position| hash(at(*position)),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                vacant.insert(u32::try_from(self.n_rows).expect("fewer than 2^32 rows fit memory"));
                self.cells.extend_from_slice(row);
                self.n_rows += 1;
                true
            }
        }
    }
}

/// Positions of a set's rows by some of their columns, brought up to date when it is used.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    columns: Vec<usize>,
    n_indexed: usize,
    /// For each key the position of its group; the key is that of the group's first row.
    groups: HashTable<u32>,
    members: Vec<Vec<u32>>,
}

impl KeyIndex {
    pub(crate) fn new(columns: Vec<usize>) -> KeyIndex {
        KeyIndex { columns, n_indexed: 0, groups: HashTable::new(), members: Vec::new() }
    }

    /// Takes in the rows that have arrived since.
    pub(crate) fn extend(&mut self, set: &RowSet) {
        let KeyIndex { columns, groups, members, .. } = self;
        let key = |row: &[Cell]| -> Vec<Cell> { columns.iter().map(|c| row[*c]).collect() };
        for position in self.n_indexed..set.len() {
            let wanted = key(set.row(position));
            let key_of = |group: &u32| key(set.row(members[*group as usize][0] as usize));
            let entry =
                groups.entry(hash(&wanted), |group| key_of(group) == wanted, |g| hash(&key_of(g)));
            let position = position as u32;
            match entry {
                hashbrown::hash_table::Entry::Occupied(group) => {
                    let group = *group.get() as usize;
                    members[group].push(position);
                }
                hashbrown::hash_table::Entry::Vacant(vacant) => {
                    vacant.insert(members.len() as u32);
                    members.push(vec![position]);
                }
            }
        }
        self.n_indexed = set.len();
    }

    /// The positions of the rows with this key, ascending.
    pub(crate) fn find(&self, key: &[Cell], set: &RowSet) -> &[u32] {
        let matches = |group: &u32| {
            let first = set.row(self.members[*group as usize][0] as usize);
            self.columns.iter().zip(key).all(|(column, cell)| first[*column] == *cell)
        };
        match self.groups.find(hash(key), matches) {
            Some(group) => &self.members[*group as usize],
            None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_keeps_each_row_once_in_order_of_arrival() {
        let mut set = RowSet::new(2);
        assert!(set.insert(&[Cell(2), Cell(1)]));
        assert!(set.insert(&[Cell(1), Cell(1)]));
        assert!(!set.insert(&[Cell(2), Cell(1)]));
        assert_eq!((set.len(), set.row(1)), (2, &[Cell(1), Cell(1)][..]));
    }

    #[test]
    fn a_set_of_empty_rows_has_at_most_one() {
        let mut set = RowSet::new(0);
        assert!(set.insert(&[]) && !set.insert(&[]));
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn an_index_finds_what_arrived_before_and_after_it_was_made() {
        let mut set = RowSet::new(2);
        let mut index = KeyIndex::new(vec![1]);
        for row in 0..100 {
            set.insert(&[Cell(row), Cell(row % 7)]);
            index.extend(&set);
        }
        let found: Vec<u32> = (0..100).filter(|row| row % 7 == 3).collect();
        assert_eq!(index.find(&[Cell(3)], &set), found);
        assert!(index.find(&[Cell(9)], &set).is_empty());
    }
}
