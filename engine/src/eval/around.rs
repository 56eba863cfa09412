//! Linear recursion with a relation on both sides, same-generation rules above all.
//!
//! ```text
//! R(x, y) ← base(x, y)
//! R(x, y) ← before(x, a), R(a, b), after(b, y)
//! ```
//!
//! with one or several recursive definitions, and either side absent in some. Pairs are found
//! semi-naive: each pair (a, b) is carried once to every x before a and every y behind b. Ends are
//! dense numbers, arcs are read once, and a pair is known by a bit where bits are not many more
//! than pairs. Where one column is bound, only what leads from the nodes asked for into the
//! recursion takes part (the magic set); every node of it is then answered in full, and kept.
//!
//! A wave of pairs is a round, as it is where rules are evaluated without knowing their structure.

use super::Evaluator;
use super::arcs::{Arcs, Ways};
use super::meter::{BLOCK, Meter, Unpaid};
use super::nodes::Nodes;
use super::reached::Reached;
use crate::error::QueryError;
use crate::intern::{Cell, CellHash, KeyedSet};
use crate::program::recursion::{Recursion, Step};

/// Below so many bytes a matrix of bits is always used.
const BITS_BYTES_MIN: usize = 1 << 24;
/// The most bytes of bits for each pair, beyond that.
const BITS_BYTES_PER_PAIR: usize = 64;
const UNSEEN: u32 = u32::MAX;

/// One recursive definition, as seen from the column that is asked for.
struct Turn {
    /// From an x to every a.
    near: Option<Ways>,
    /// From every a back to the x that lead there.
    back: Arcs,
    /// From a b to every y.
    far: Option<Ways>,
    far_arcs: Arcs,
    /// Which of the `far_arcs` are those of an end.
    far_of: Vec<u32>,
}

impl Turn {
    /// Where an end leads on the far side; its arcs must have been read.
    fn far_of(&self, end: &u32) -> &[u32] {
        self.far_of.get(*end as usize).map_or(&[], |index| self.far_arcs.of(*index as usize))
    }
}

/// A set of pairs of dense numbers, with its members in order of arrival.
struct Pairs {
    list: Vec<(u32, u32)>,
    /// The seconds of each first, as bits; empty once hashed.
    rows: Vec<Vec<u64>>,
    n_words: usize,
    hashed: Option<KeyedSet<(u32, u32)>>,
    hash: CellHash,
}

impl Pairs {
    fn new(hash: CellHash) -> Pairs {
        Pairs { list: Vec::new(), rows: Vec::new(), n_words: 0, hashed: None, hash }
    }

    /// Adds (x, y) for each y, of which there are less than `n_ends` now.
    fn insert_all(&mut self, x: u32, ys: &[u32], n_ends: usize) {
        if let Some(hashed) = &mut self.hashed {
            self.list.extend(ys.iter().map(|y| (x, *y)).filter(|pair| hashed.insert(*pair)));
            return;
        }
        if self.rows.len() <= x as usize {
            self.rows.resize_with(x as usize + 1, Vec::new);
        }
        let row = &mut self.rows[x as usize];
        let n_words = n_ends.div_ceil(64);
        if row.len() < n_words {
            self.n_words += n_words - row.len();
            row.resize(n_words, 0);
        }
        for y in ys {
            let word = &mut row[*y as usize / 64];
            let bit = 1_u64 << (y % 64);
            if *word & bit == 0 {
                *word |= bit;
                self.list.push((x, *y));
            }
        }
        self.consider_hashing();
    }

    fn consider_hashing(&mut self) {
        let n_bytes = self.n_words * size_of::<u64>();
        if n_bytes > BITS_BYTES_MIN && n_bytes > self.list.len() * BITS_BYTES_PER_PAIR {
            let mut hashed = KeyedSet::with_capacity_and_hasher(self.list.len(), self.hash);
            hashed.extend(self.list.iter().copied());
            self.hashed = Some(hashed);
            (self.rows, self.n_words) = (Vec::new(), 0);
        }
    }

    fn n_bytes(&self) -> u64 {
        let hashed = self.hashed.as_ref().map_or(0, |hashed| hashed.len() * 10);
        (self.list.len() * size_of::<(u32, u32)>() + self.n_words * size_of::<u64>() + hashed)
            as u64
    }
}

impl Evaluator<'_> {
    /// The pairs of `sources`, or all pairs, seen from the first column or from the second.
    pub(super) fn around(
        &mut self,
        recursion: &Recursion,
        steps: &[Step],
        forward: bool,
        sources: Option<&[Cell]>,
        groups: &mut Reached,
    ) -> Result<(), QueryError> {
        let base = self.open(&if forward { recursion.base.clone() } else { recursion.base.flip() });
        let mut turns: Vec<Turn> = steps.iter().map(|step| self.turn(step, forward)).collect();
        let (mut starts, mut ends) = (Nodes::new(self.cell_hash()), Nodes::new(self.cell_hash()));
        let base = match sources {
            None => self.read_whole(&base, &mut turns, &mut starts, &mut ends)?,
            Some(sources) => {
                for source in sources {
                    starts.number(*source);
                }
                self.read_near(&mut turns, &mut starts)?;
                let mut arcs = Arcs::new();
                self.follow(&base, starts.cells(), &mut arcs, &mut ends)?;
                arcs
            }
        };
        let pairs = self.carry(&base, &mut turns, starts.len(), &mut ends)?;
        let n_bytes = pairs.n_bytes();
        self.meter.hold(n_bytes)?;
        let arcs = Arcs::of_pairs(starts.len(), &pairs.list, &self.meter)?;
        drop(pairs);
        for (index, start) in starts.cells().iter().enumerate() {
            let is_asked = sources.is_some();
            if if is_asked { groups.has(*start) } else { arcs.of(index).is_empty() } {
                continue;
            }
            let members = arcs.of(index).iter().map(|end| ends.cell(*end));
            groups.members_mut().extend(members);
            groups.close(*start, is_asked);
            self.meter.room_for(groups.n_bytes())?;
        }
        self.meter.release(n_bytes);
        Ok(())
    }

    fn turn(&mut self, step: &Step, forward: bool) -> Turn {
        let (near, far) = match forward {
            true => (step.before.clone(), step.after.clone()),
            false => (
                step.after.as_ref().map(|union| union.flip()),
                step.before.as_ref().map(|union| union.flip()),
            ),
        };
        Turn {
            near: near.map(|union| self.open(&union)),
            back: Arcs::new(),
            far: far.map(|union| self.open(&union)),
            far_arcs: Arcs::new(),
            far_of: Vec::new(),
        }
    }

    /// Reads all relations as a whole; gives the base.
    fn read_whole(
        &mut self,
        base: &Ways,
        turns: &mut [Turn],
        starts: &mut Nodes,
        ends: &mut Nodes,
    ) -> Result<Arcs, QueryError> {
        let base = self.scan(base, starts, Some(ends))?;
        for turn in &mut *turns {
            if let Some(near) = &turn.near {
                let pairs = self.scan(near, starts, None)?;
                let turned = swap(pairs, &self.meter)?;
                turn.back = Arcs::of_pairs(starts.len(), &turned, &self.meter)?;
            }
            if let Some(far) = &turn.far {
                let pairs = self.scan(far, ends, None)?;
                turn.far_arcs = Arcs::of_pairs(ends.len(), &pairs, &self.meter)?;
                turn.far_of = (0..turn.far_arcs.n_followed() as u32).collect();
            }
        }
        // Later scans may have met more ends: those lead nowhere by the earlier relations.
        for turn in turns {
            turn.far_of.resize(ends.len(), turn.far_arcs.n_followed() as u32);
        }
        Arcs::of_pairs(starts.len(), &base, &self.meter)
    }

    /// Reads what leads from the nodes asked for into the recursion.
    fn read_near(&mut self, turns: &mut [Turn], starts: &mut Nodes) -> Result<(), QueryError> {
        let mut near: Vec<Arcs> = turns.iter().map(|_| Arcs::new()).collect();
        let (mut n_read, mut n_rounds) = (0, 0);
        while n_read < starts.len() {
            n_rounds += 1;
            self.meter.made_round(n_rounds)?;
            let level = starts.cells()[n_read..].to_vec();
            n_read = starts.len();
            for (turn, arcs) in turns.iter().zip(&mut near) {
                if let Some(ways) = &turn.near {
                    self.follow(ways, &level, arcs, starts)?;
                }
            }
        }
        for (turn, arcs) in turns.iter_mut().zip(&near) {
            turn.back = arcs.transpose(starts.len(), &self.meter)?;
        }
        Ok(())
    }

    /// Carries pairs on until there are no new ones.
    fn carry(
        &mut self,
        base: &Arcs,
        turns: &mut [Turn],
        n_starts: usize,
        ends: &mut Nodes,
    ) -> Result<Pairs, QueryError> {
        let mut pairs = Pairs::new(self.cell_hash());
        for start in 0..n_starts {
            for seconds in base.of(start).chunks(BLOCK as usize) {
                let n_before = pairs.list.len();
                pairs.insert_all(start as u32, seconds, ends.len());
                self.meter.made_rows((pairs.list.len() - n_before) as u64)?;
                self.meter.went_through_nodes(seconds.len() as u64)?;
            }
        }
        let (mut n_carried, mut n_rounds) = (0, 0);
        while n_carried < pairs.list.len() {
            n_rounds += 1;
            self.meter.made_round(n_rounds)?;
            let wave = n_carried..pairs.list.len();
            n_carried = wave.end;
            for turn in &mut *turns {
                self.read_far(turn, &pairs.list[wave.clone()], ends)?;
                let mut unpaid = Unpaid::since(pairs.list.len());
                for position in wave.clone() {
                    let (a, b) = pairs.list[position];
                    let (only_a, only_b) = ([a], [b]);
                    let ys = if turn.far.is_some() { turn.far_of(&b) } else { &only_b };
                    if ys.is_empty() {
                        continue;
                    }
                    let xs = if turn.near.is_some() { turn.back.of(a as usize) } else { &only_a };
                    for x in xs {
                        for ys in ys.chunks(BLOCK as usize) {
                            pairs.insert_all(*x, ys, ends.len());
                            if unpaid.met(ys.len()) {
                                unpaid.pay(pairs.list.len(), &mut self.meter)?;
                                self.meter.room_for(pairs.n_bytes())?;
                            }
                        }
                    }
                }
                unpaid.pay(pairs.list.len(), &mut self.meter)?;
                self.meter.room_for(pairs.n_bytes())?;
            }
        }
        Ok(pairs)
    }

    /// Reads the far arcs of the ends of pairs, where they are not read yet and will be used.
    fn read_far(
        &mut self,
        turn: &mut Turn,
        pairs: &[(u32, u32)],
        ends: &mut Nodes,
    ) -> Result<(), QueryError> {
        let Some(ways) = &turn.far else { return Ok(()) };
        turn.far_of.resize(ends.len(), UNSEEN);
        let mut cells = Vec::new();
        for (a, b) in pairs {
            let is_used = turn.near.is_none() || !turn.back.of(*a as usize).is_empty();
            let far = &mut turn.far_of[*b as usize];
            if is_used && *far == UNSEEN {
                *far = (turn.far_arcs.n_followed() + cells.len()) as u32;
                cells.push(ends.cell(*b));
            }
        }
        match cells.is_empty() {
            true => Ok(()),
            false => self.follow(ways, &cells, &mut turn.far_arcs, ends),
        }
    }
}

fn swap(mut pairs: Vec<(u32, u32)>, meter: &Meter) -> Result<Vec<(u32, u32)>, QueryError> {
    for (index, pair) in pairs.iter_mut().enumerate() {
        *pair = (pair.1, pair.0);
        meter.check_at(index)?;
    }
    Ok(pairs)
}
