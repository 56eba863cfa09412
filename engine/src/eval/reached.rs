//! Answers of a search: pairs in groups that share one end.
//!
//! A search gives all that is reached from one node at once and nothing twice, so its answers need
//! no set of rows: a group for each node asked for, one vector of the other ends. Invariants: no
//! two groups have one key; a group has no member twice.

use std::ops::ControlFlow;

use super::Evaluator;
use super::batch::{Matches, Rows};
use super::meter::BLOCK;
use super::steps::Emit;
use crate::error::QueryError;
use crate::intern::{Cell, CellHash, CellMap};
use crate::plan::Call;

/// Pairs grouped by one of their columns.
#[derive(Debug)]
pub(crate) struct Reached {
    /// The column that a group shares: 0 or 1.
    key_column: usize,
    keys: Vec<Cell>,
    /// Where the members of each group begin, and where the last ones end.
    starts: Vec<usize>,
    members: Vec<Cell>,
    /// Reached by key, of the first so many groups.
    by_key: CellMap<u32>,
}

impl Reached {
    pub(super) fn new(key_column: usize, hash: CellHash) -> Reached {
        Reached {
            key_column,
            keys: Vec::new(),
            starts: vec![0],
            members: Vec::new(),
            by_key: CellMap::with_hasher(hash),
        }
    }

    pub(super) fn n_bytes(&self) -> u64 {
        let per_key = size_of::<Cell>() + size_of::<usize>() + size_of::<(Cell, u32)>() + 1;
        (self.members.len() * size_of::<Cell>() + self.keys.len() * per_key) as u64
    }

    /// How many pairs there are.
    pub(super) fn n_pairs(&self) -> usize {
        self.members.len()
    }

    /// The members of all groups, to append those of a group that is then closed.
    pub(super) fn members_mut(&mut self) -> &mut Vec<Cell> {
        &mut self.members
    }

    /// Whether there is a group of this key; one without members counts if it was asked for.
    pub(super) fn has(&self, key: Cell) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Makes a group of the members appended since the last one. `is_asked` says that the group
    /// will be looked for by its key.
    pub(super) fn close(&mut self, key: Cell, is_asked: bool) {
        if is_asked {
            let group = u32::try_from(self.keys.len()).expect("fewer than 2^32 keys fit memory");
            let before = self.by_key.insert(key, group);
            debug_assert!(before.is_none(), "no two groups have one key");
        }
        self.keys.push(key);
        self.starts.push(self.members.len());
    }

    /// Makes a group of all that was reached from a node that was asked for.
    pub(super) fn add(&mut self, key: Cell, members: &[Cell]) {
        self.members.extend_from_slice(members);
        self.close(key, true);
    }

    fn group(&self, group: usize) -> (Cell, &[Cell]) {
        (self.keys[group], &self.members[self.starts[group]..self.starts[group + 1]])
    }

    /// The group of a key, and its members.
    pub(super) fn find(&self, key: Cell) -> &[Cell] {
        self.by_key.get(&key).map_or(&[], |group| self.group(*group as usize).1)
    }

    #[inline]
    fn pair(&self, key: Cell, member: Cell) -> [Cell; 2] {
        if self.key_column == 0 { [key, member] } else { [member, key] }
    }

    /// Hands over each pair whose `columns` are `key`, until told to stop. Either no column is
    /// given or the one that groups share.
    pub(super) fn try_for_each<Break>(
        &self,
        columns: &[usize],
        key: &[Cell],
        mut take: impl FnMut([Cell; 2]) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        if let [key] = *key {
            assert_eq!(columns, [self.key_column], "groups are found by what they share");
            return self.find(key).iter().try_for_each(|member| take(self.pair(key, *member)));
        }
        assert!(columns.is_empty(), "pairs that are asked for one by one are a set of rows");
        (0..self.keys.len()).try_for_each(|group| {
            let (key, members) = self.group(group);
            members.iter().try_for_each(|member| take(self.pair(key, *member)))
        })
    }
}

impl Reached {
    /// Continues a row with pairs of one group.
    fn emit(&self, emit: &Emit, out: &mut Matches, row: usize, key: Cell, members: &[Cell]) {
        let Some(positions) = emit.positions() else {
            // Both ends are one variable.
            for member in members {
                emit.push(out, row, &self.pair(key, *member));
            }
            return;
        };
        out.from.resize(out.from.len() + members.len(), row as u32);
        for (column, position) in out.cells.iter_mut().zip(positions) {
            if *position == self.key_column {
                column.resize(column.len() + members.len(), key);
            } else {
                column.extend_from_slice(members);
            }
        }
    }
}

impl Evaluator<'_> {
    /// Joins rows with the groups of a table; keeps those without a match where the call is
    /// negated.
    pub(super) fn join_reached(
        &mut self,
        call: &Call,
        table: usize,
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let args = self.operands(&call.args, rows);
        let emit = Emit::new(&args);
        let reached = self.tables[table].reached.as_ref().expect("the caller has looked");
        let known = args.iter().position(|arg| arg.is_known());
        assert!(known.is_none_or(|column| column == reached.key_column), "groups answer by key");
        let mut out = emit.matches();
        for row in 0..rows.len() {
            let groups = match known.and_then(|column| args[column].known(row)) {
                Some(key) => reached.by_key.get(&key).map_or(0..0, |group| {
                    let group = *group as usize;
                    group..group + 1
                }),
                None => 0..reached.keys.len(),
            };
            if call.negated {
                if groups.clone().all(|group| reached.group(group).1.is_empty()) {
                    out.from.push(row as u32);
                }
            } else {
                for group in groups {
                    let (key, members) = reached.group(group);
                    for members in members.chunks(BLOCK as usize) {
                        reached.emit(&emit, &mut out, row, key, members);
                        self.meter.room_for(out.n_bytes())?;
                        self.meter.made_rows(members.len() as u64)?;
                    }
                }
            }
            self.meter.made_row_in(out.n_bytes())?;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(groups: &Reached, columns: &[usize], key: &[Cell]) -> Vec<[u64; 2]> {
        let mut pairs = Vec::new();
        let flow: ControlFlow<()> = groups.try_for_each(columns, key, |[a, b]| {
            pairs.push([a.0, b.0]);
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        pairs
    }

    #[test]
    fn pairs_are_found_by_what_they_share() {
        let mut groups = Reached::new(1, CellHash::default());
        groups.members_mut().extend([Cell(5), Cell(6)]);
        groups.close(Cell(1), true);
        groups.close(Cell(2), true);
        groups.members_mut().push(Cell(5));
        groups.close(Cell(3), true);
        assert_eq!(pairs(&groups, &[], &[]), [[5, 1], [6, 1], [5, 3]]);
        assert_eq!(pairs(&groups, &[1], &[Cell(1)]), [[5, 1], [6, 1]]);
        assert!(groups.has(Cell(2)) && pairs(&groups, &[1], &[Cell(2)]).is_empty());
        assert!(!groups.has(Cell(9)) && pairs(&groups, &[1], &[Cell(9)]).is_empty());
    }
}
