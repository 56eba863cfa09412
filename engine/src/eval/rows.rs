//! Sets of rows that tables keep, and their indexes.
//!
//! A set is one flat vector with a stride. It keeps its rows in order of arrival, so that a range
//! of positions is an age (see `table`). The batches that steps pass on are in `batch`.
//!
//! Whether a row is known is asked far more often than anything else, so it is answered by keys of
//! one or two words as long as that can be: cells of a column have one type as a rule, hence one
//! upper half, and the lower halves of up to four of them are a key that equals exactly when the
//! rows do. The first cell that does not fit widens the set to comparing whole rows.
//!
//! An index chains the positions of rows that share a key: no vector for each key, and what
//! arrives later is appended. Positions of a chain ascend, so the rows of an age end it early.

use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::meter::Meter;
use crate::error::QueryError;
use crate::intern::{Cell, CellHash};

/// The bytes of one cell.
pub(crate) const CELL_BYTES: u64 = 8;

/// The end of a chain.
const END: u32 = u32::MAX;

/// A set of rows of one width, in order of arrival.
#[derive(Debug)]
pub(crate) struct RowSet {
    width: usize,
    n_rows: usize,
    cells: Vec<Cell>,
    known: Known,
    hash: CellHash,
}

/// What tells whether a row is known.
#[derive(Debug)]
enum Known {
    /// Keys of up to two lower halves; the upper ones are those of the first row.
    One(HashTable<u64>),
    /// Keys of up to four lower halves.
    Two(HashTable<u128>),
    /// Positions of rows, which are compared.
    Rows(HashTable<u32>),
}

impl Known {
    fn for_width(width: usize) -> Known {
        match width {
            0..=2 => Known::One(HashTable::new()),
            3..=4 => Known::Two(HashTable::new()),
            _ => Known::Rows(HashTable::new()),
        }
    }
}

/// Adds a key; whether it is new.
fn insert_key<Key: Copy + Eq + Hash>(keys: &mut HashTable<Key>, key: Key, hash: CellHash) -> bool {
    match keys.entry(hash.hash_one(key), |other| *other == key, |other| hash.hash_one(other)) {
        Entry::Occupied(_) => false,
        Entry::Vacant(vacant) => {
            vacant.insert(key);
            true
        }
    }
}

/// Adds the position of a row to come; whether there is no such row yet.
fn insert_row(
    positions: &mut HashTable<u32>,
    cells: &[Cell],
    row: &[Cell],
    n_rows: usize,
    hash: CellHash,
) -> bool {
    let hash = |row: &[Cell]| hash.of(row.iter().copied());
    let at = |position: &u32| {
        let start = *position as usize * row.len();
        &cells[start..start + row.len()]
    };
    match positions.entry(hash(row), |other| at(other) == row, |other| hash(at(other))) {
        Entry::Occupied(_) => false,
        Entry::Vacant(vacant) => {
            vacant.insert(n_rows as u32);
            true
        }
    }
}

impl RowSet {
    pub(crate) fn new(width: usize, hash: CellHash) -> RowSet {
        RowSet { width, n_rows: 0, cells: Vec::new(), known: Known::for_width(width), hash }
    }

    /// How its rows are hashed.
    pub(crate) fn hash(&self) -> CellHash {
        self.hash
    }

    pub(crate) fn len(&self) -> usize {
        self.n_rows
    }

    pub(crate) fn row(&self, position: usize) -> &[Cell] {
        &self.cells[position * self.width..(position + 1) * self.width]
    }

    /// The bytes that one more row takes, room for growth included.
    pub(crate) fn row_bytes(&self) -> u64 {
        let key_bytes = match self.known {
            Known::One(_) => 8,
            Known::Two(_) => 16,
            Known::Rows(_) => 4,
        };
        self.width as u64 * CELL_BYTES + (key_bytes + 1) * 3 / 2
    }

    /// Adds a row; whether it is new.
    pub(crate) fn insert(&mut self, row: &[Cell]) -> bool {
        debug_assert_eq!(row.len(), self.width, "rows of one set have one width");
        assert!(self.n_rows < END as usize, "fewer than 2^32 rows fit memory");
        if !matches!(self.known, Known::Rows(_)) && !self.fits(row) {
            self.widen();
        }
        let lower = |cell: &Cell| cell.halves().1;
        let is_new = match &mut self.known {
            Known::One(keys) => {
                let key = row.iter().fold(0, |key: u64, cell| key << 32 | u64::from(lower(cell)));
                insert_key(keys, key, self.hash)
            }
            Known::Two(keys) => {
                let key = row.iter().fold(0, |key: u128, cell| key << 32 | u128::from(lower(cell)));
                insert_key(keys, key, self.hash)
            }
            Known::Rows(positions) => {
                insert_row(positions, &self.cells, row, self.n_rows, self.hash)
            }
        };
        if is_new {
            self.cells.extend_from_slice(row);
            self.n_rows += 1;
        }
        is_new
    }

    /// Whether the upper halves of a row are those of the first one.
    fn fits(&self, row: &[Cell]) -> bool {
        let first = self.cells.get(..self.width).unwrap_or(row);
        row.iter().zip(first).all(|(cell, first)| cell.halves().0 == first.halves().0)
    }

    /// Goes over to comparing whole rows.
    fn widen(&mut self) {
        let mut positions = HashTable::with_capacity(self.n_rows + 1);
        for position in 0..self.n_rows as u32 {
            let row_hash =
                |position: &u32| self.hash.of(self.row(*position as usize).iter().copied());
            positions.insert_unique(row_hash(&position), position, row_hash);
        }
        self.known = Known::Rows(positions);
    }
}

/// Positions of a set's rows by some of their columns, brought up to date when it is used.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    columns: Vec<usize>,
    chains: HashTable<Chain>,
    /// For each row the next one of its chain.
    next: Vec<u32>,
    hash: CellHash,
}

#[derive(Debug)]
struct Chain {
    /// The cell, where one column is the key; else the key's hash.
    key: u64,
    first: u32,
    last: u32,
}

impl KeyIndex {
    pub(crate) fn new(columns: &[usize], hash: CellHash) -> KeyIndex {
        KeyIndex { columns: columns.to_vec(), chains: HashTable::new(), next: Vec::new(), hash }
    }

    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        let per_chain = size_of::<Chain>() + 1;
        (self.next.len() * size_of::<u32>() + self.chains.capacity() * per_chain) as u64
    }

    /// The key of cells, and its hash.
    fn key_of(cells: impl ExactSizeIterator<Item = Cell> + Clone, hash: CellHash) -> (u64, u64) {
        let hashed = hash.of(cells.clone());
        if cells.len() == 1 {
            return (cells.fold(0, |_, cell| cell.0), hashed);
        }
        (hashed, hashed)
    }

    /// How a chain's key is hashed.
    fn rehash(&self) -> impl Fn(&Chain) -> u64 + use<> {
        let (is_cell, hash) = (self.columns.len() == 1, self.hash);
        move |chain| if is_cell { hash.of([Cell(chain.key)]) } else { chain.key }
    }

    /// Takes in the rows that have arrived since.
    pub(crate) fn extend(&mut self, set: &RowSet, meter: &Meter) -> Result<(), QueryError> {
        let rehash = self.rehash();
        let KeyIndex { columns, chains, next, hash } = self;
        for position in next.len()..set.len() {
            let row = set.row(position);
            let (key, hashed) = KeyIndex::key_of(columns.iter().map(|column| row[*column]), *hash);
            let is_same = |chain: &Chain| {
                let first = set.row(chain.first as usize);
                chain.key == key
                    && (columns.len() == 1 || columns.iter().all(|c| first[*c] == row[*c]))
            };
            let position = position as u32;
            match chains.entry(hashed, is_same, &rehash) {
                Entry::Occupied(mut chain) => {
                    let chain = chain.get_mut();
                    next[chain.last as usize] = position;
                    chain.last = position;
                }
                Entry::Vacant(vacant) => {
                    vacant.insert(Chain { key, first: position, last: position });
                }
            }
            next.push(END);
            meter.check_at(position as usize)?;
        }
        Ok(())
    }

    /// The positions below `end` of the rows with this key, ascending.
    pub(crate) fn find(
        &self,
        key: &[Cell],
        set: &RowSet,
        end: usize,
    ) -> impl Iterator<Item = usize> + use<'_> {
        let (wanted, hashed) = KeyIndex::key_of(key.iter().copied(), self.hash);
        let is_same = |chain: &Chain| {
            let first = set.row(chain.first as usize);
            let mut columns = self.columns.iter().zip(key);
            chain.key == wanted
                && (key.len() == 1 || columns.all(|(column, cell)| first[*column] == *cell))
        };
        let mut at = self.chains.find(hashed, is_same).map_or(END, |chain| chain.first);
        std::iter::from_fn(move || {
            let position = at as usize;
            (at != END && position < end).then(|| {
                at = self.next[position];
                position
            })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::eval::meter::tests::n_looks;
    use crate::limits::{BLOCK, Budget};

    #[test]
    fn a_set_keeps_each_row_once_in_order_of_arrival() {
        let mut set = RowSet::new(2, CellHash::default());
        assert!(set.insert(&[Cell(2), Cell(1)]));
        assert!(set.insert(&[Cell(1), Cell(1)]));
        assert!(!set.insert(&[Cell(2), Cell(1)]));
        assert_eq!((set.len(), set.row(1)), (2, &[Cell(1), Cell(1)][..]));
    }

    #[test]
    fn a_set_of_empty_rows_has_at_most_one() {
        let mut set = RowSet::new(0, CellHash::default());
        assert!(set.insert(&[]) && !set.insert(&[]));
        assert_eq!(set.len(), 1);
    }

    /// Cells with equal lower halves are different rows, before and after the set is widened.
    #[test]
    fn a_set_of_any_width_tells_halves_apart() {
        for width in 1..6 {
            let mut set = RowSet::new(width, CellHash::default());
            let row = |number: u64, upper: u64| {
                let mut row = vec![Cell(7); width];
                row[0] = Cell(number / 10);
                row[width - 1] = Cell(upper << 32 | number);
                row
            };
            for upper in [0, 0, 1, 0, 2, 1] {
                let is_new =
                    set.len() == 0 || !(0..set.len()).any(|at| set.row(at) == row(5, upper));
                for number in 0..100 {
                    assert_eq!(set.insert(&row(number, upper)), is_new, "{width} {upper}");
                }
            }
            assert_eq!(set.len(), 300);
        }
    }

    #[test]
    fn limits_are_looked_at_while_rows_are_indexed() {
        let mut set = RowSet::new(2, CellHash::default());
        for row in 0..20 * BLOCK as u64 {
            set.insert(&[Cell(row), Cell(row % 7)]);
        }
        assert!(
            n_looks(|meter| KeyIndex::new(&[1], CellHash::default()).extend(&set, meter)) >= 20
        );
    }

    #[test]
    fn an_index_finds_what_arrived_before_and_after_it_was_made() {
        let meter = Meter::new(&Budget::unlimited());
        for columns in [vec![1], vec![1, 2], vec![2, 1]] {
            let mut set = RowSet::new(3, CellHash::default());
            let mut index = KeyIndex::new(&columns, CellHash::default());
            for row in 0..100 {
                set.insert(&[Cell(row), Cell(row % 7), Cell(row % 7)]);
                index.extend(&set, &meter).unwrap();
            }
            let find = |cell: u64, end| -> Vec<usize> {
                index.find(&vec![Cell(cell); columns.len()], &set, end).collect()
            };
            let expected: Vec<usize> = (0..100).filter(|row| row % 7 == 3).collect();
            assert_eq!(find(3, 100), expected);
            assert_eq!(find(3, 17), [3, 10]);
            assert!(find(9, 100).is_empty());
        }
    }
}
