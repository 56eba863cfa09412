//! Reading relations as graphs: from nodes to the numbered nodes they lead to.
//!
//! A union of relations is opened in one direction ([`Ways`]) and then followed from the nodes that
//! a search has met ([`Evaluator::follow`]), or read as a whole ([`Evaluator::scan`]). Facts are
//! read from the store's indexes, answers of rules are asked for through their tables, a batch of
//! nodes at a time. What is read is recorded and metered here, and nowhere else in a search.
//!
//! Arcs lie in one vector, a span for each node, as in any sparse matrix.

use std::ops::ControlFlow;

use super::Evaluator;
use super::meter::{BLOCK, Meter};
use super::nodes::Nodes;
use super::reads::Key;
use crate::error::QueryError;
use crate::intern::Cell;
use crate::plan::Adornment;
use crate::program::RuleId;
use crate::program::recursion::{Relation, Union};
use crate::store::{AttributeId, Order};

/// One relation, opened in one direction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    /// From entities to values.
    Values(AttributeId),
    /// From values to entities.
    Entities(AttributeId),
    /// From one column of a rule to the other.
    Answers { rule: RuleId, from: usize },
}

/// A union of relations, opened in one direction.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways(Vec<Way>);

impl Ways {
    /// The relations.
    pub(super) fn all(&self) -> &[Way] {
        &self.0
    }

    /// Whether rules have to be asked, so that reading the whole may be far more than is needed.
    pub(super) fn ask_rules(&self) -> bool {
        self.0.iter().any(|way| matches!(way, Way::Answers { .. }))
    }
}

/// For each node that was followed, in order, the nodes it leads to; one may come twice.
#[derive(Debug)]
pub(super) struct Arcs {
    /// Where the arcs of each node begin, and where the last ones end.
    starts: Vec<u32>,
    targets: Vec<u32>,
}

impl Arcs {
    pub(super) fn new() -> Arcs {
        Arcs { starts: vec![0], targets: Vec::new() }
    }

    /// How many nodes were followed.
    pub(super) fn n_followed(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn n_arcs(&self) -> usize {
        self.targets.len()
    }

    /// Where the `index`th followed node leads; nowhere if none so many were followed.
    #[inline]
    pub(super) fn of(&self, index: usize) -> &[u32] {
        match self.starts.get(index..index + 2) {
            Some(span) => &self.targets[span[0] as usize..span[1] as usize],
            None => &[],
        }
    }

    pub(super) fn n_bytes(&self) -> u64 {
        ((self.starts.len() + self.targets.len()) * size_of::<u32>()) as u64
    }

    /// Appends an arc of the node whose span is open.
    pub(super) fn push(&mut self, to: u32) {
        self.targets.push(to);
    }

    /// Ends the span of a node.
    pub(super) fn close_span(&mut self) {
        let end = u32::try_from(self.targets.len()).expect("fewer than 2^32 arcs fit memory");
        self.starts.push(end);
    }

    /// The arcs of `n_nodes` nodes from pairs in any order, by counting.
    pub(super) fn of_pairs(
        n_nodes: usize,
        pairs: &[(u32, u32)],
        meter: &Meter,
    ) -> Result<Arcs, QueryError> {
        assert!(pairs.len() < u32::MAX as usize, "fewer than 2^32 arcs fit memory");
        meter.room_for(((2 * n_nodes + pairs.len()) * size_of::<u32>()) as u64)?;
        let mut starts = vec![0_u32; n_nodes + 1];
        meter.in_blocks(pairs.len(), |block| {
            for (from, _) in &pairs[block] {
                starts[*from as usize + 1] += 1;
            }
        })?;
        meter.in_blocks(n_nodes, |block| {
            for node in block {
                starts[node + 1] += starts[node];
            }
        })?;
        let mut next = starts.clone();
        let mut targets = vec![0; pairs.len()];
        meter.in_blocks(pairs.len(), |block| {
            for (from, to) in &pairs[block] {
                let place = &mut next[*from as usize];
                targets[*place as usize] = *to;
                *place += 1;
            }
        })?;
        Ok(Arcs { starts, targets })
    }

    /// The same arcs the other way round, to `n_nodes` nodes.
    pub(super) fn transpose(&self, n_nodes: usize, meter: &Meter) -> Result<Arcs, QueryError> {
        let mut pairs = Vec::with_capacity(self.targets.len());
        for from in 0..self.n_followed() {
            for targets in self.of(from).chunks(BLOCK as usize) {
                pairs.extend(targets.iter().map(|to| (*to, from as u32)));
                if targets.len() == BLOCK as usize {
                    meter.check()?;
                }
            }
            meter.check_at(from)?;
        }
        Arcs::of_pairs(n_nodes, &pairs, meter)
    }
}

/// Counts what is read, and looks at the limits now and then.
pub(super) struct Toll<'m> {
    pub(super) meter: &'m mut Meter,
    pub(super) n_unpaid: u64,
}

impl Toll<'_> {
    /// Takes note of one more fact; `n_bytes` says what is taken by now, when it is time to ask.
    #[inline]
    pub(super) fn pass(&mut self, n_bytes: impl FnOnce() -> u64) -> ControlFlow<QueryError> {
        self.n_unpaid += 1;
        if self.n_unpaid < BLOCK { ControlFlow::Continue(()) } else { self.pay(n_bytes()) }
    }

    #[inline(never)]
    fn pay(&mut self, n_bytes: u64) -> ControlFlow<QueryError> {
        let n_facts = std::mem::take(&mut self.n_unpaid);
        let paid = self.meter.read_facts(n_facts).and_then(|()| self.meter.room_for(n_bytes));
        paid.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }
}

pub(super) fn result(flow: ControlFlow<QueryError>) -> Result<(), QueryError> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

impl Evaluator<'_> {
    /// Opens a union of relations. Attributes that nobody has written lead nowhere; that they were
    /// looked for is recorded.
    pub(super) fn open(&mut self, union: &Union) -> Ways {
        let mut ways = Ways::default();
        for relation in &union.0 {
            match relation {
                Relation::Facts { attribute, reversed } => {
                    let way = if *reversed { Way::Entities } else { Way::Values };
                    ways.0.extend(self.attribute_id(attribute).map(way));
                }
                Relation::Answers { rule, reversed } => {
                    ways.0.push(Way::Answers { rule: *rule, from: usize::from(*reversed) });
                }
            }
        }
        ways
    }

    /// How many facts the whole of a union has; `None` where rules must be asked.
    pub(super) fn n_facts_of(&self, ways: &Ways) -> Option<u64> {
        let count = |way: &Way| match way {
            Way::Values(id) | Way::Entities(id) => Some(self.snapshot.count(*id)),
            Way::Answers { .. } => None,
        };
        ways.0.iter().map(count).sum()
    }

    /// Appends the arcs of each of `from` to `arcs`, numbering the nodes they lead to.
    pub(super) fn follow(
        &mut self,
        ways: &Ways,
        from: &[Cell],
        arcs: &mut Arcs,
        nodes: &mut Nodes,
    ) -> Result<(), QueryError> {
        let tables = self.ask_ways(ways, from)?;
        for cell in from {
            for (way, table) in ways.0.iter().zip(&tables) {
                self.follow_one(*way, *table, *cell, arcs, nodes)?;
            }
            arcs.close_span();
            self.meter.read_facts(1)?;
        }
        self.meter.room_for(arcs.n_bytes() + nodes.n_bytes())
    }

    /// Asks the rules among the ways for all of `from`; the table of each.
    fn ask_ways(&mut self, ways: &Ways, from: &[Cell]) -> Result<Vec<Option<usize>>, QueryError> {
        let mut tables = Vec::with_capacity(ways.0.len());
        for way in &ways.0 {
            let Way::Answers { rule, from: column } = *way else {
                tables.push(None);
                continue;
            };
            let table = self.table(rule, &Adornment(vec![column == 0, column == 1]));
            let mut is_new = false;
            for cell in from {
                is_new |= self.demand(table, &[*cell])?;
            }
            if is_new {
                self.complete(rule)?;
            }
            let n_bytes = self.tables[table].prepare(&[column], &self.meter)?;
            self.meter.hold(n_bytes)?;
            tables.push(Some(table));
        }
        Ok(tables)
    }

    fn follow_one(
        &mut self,
        way: Way,
        table: Option<usize>,
        cell: Cell,
        arcs: &mut Arcs,
        nodes: &mut Nodes,
    ) -> Result<(), QueryError> {
        let snapshot = self.snapshot;
        match way {
            Way::Values(id) => self.record(id, Key::Entity(cell)),
            Way::Entities(id) => self.record(id, Key::Value(cell)),
            Way::Answers { .. } => {}
        }
        let mut toll = Toll { meter: &mut self.meter, n_unpaid: 0 };
        let mut take = |to: Cell| {
            arcs.targets.push(nodes.number(to));
            toll.pass(|| arcs.n_bytes() + nodes.n_bytes())
        };
        let flow = match way {
            Way::Values(id) => snapshot.for_each_value(id, cell, take),
            Way::Entities(id) => snapshot.for_each_entity(id, cell, take),
            Way::Answers { from, .. } => {
                let table = &self.tables[table.expect("answers have a table")];
                table.try_for_each(&[from], &[cell], |answer| take(answer[1 - from]))
            }
        };
        result(flow)?;
        let n_unpaid = toll.n_unpaid;
        self.meter.read_facts(n_unpaid)
    }

    /// All arcs as pairs of nodes numbered now: those they come from in `sources`, those they lead
    /// to in `targets`, which is the same graph's if it is `None`.
    pub(super) fn scan(
        &mut self,
        ways: &Ways,
        sources: &mut Nodes,
        mut targets: Option<&mut Nodes>,
    ) -> Result<Vec<(u32, u32)>, QueryError> {
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        let snapshot = self.snapshot;
        let n_bytes = |n_pairs: usize| (n_pairs * size_of::<(u32, u32)>()) as u64;
        for way in &ways.0 {
            let mut table = None;
            match *way {
                Way::Values(id) | Way::Entities(id) => {
                    self.record(id, Key::All);
                    let n_facts = snapshot.count(id) as usize;
                    self.meter.room_for(n_bytes(pairs.len() + n_facts))?;
                    pairs.reserve(n_facts);
                }
                Way::Answers { rule, .. } => {
                    let asked = self.table(rule, &Adornment(vec![false, false]));
                    if self.demand(asked, &[])? {
                        self.complete(rule)?;
                    }
                    table = Some(asked);
                }
            }
            let mut toll = Toll { meter: &mut self.meter, n_unpaid: 0 };
            // Facts come sorted by where they come from: the last one is mostly the same.
            let mut last: Option<(Cell, u32)> = None;
            let mut take = |from: Cell, to: Cell| {
                let source = match last {
                    Some((cell, number)) if cell == from => number,
                    _ => sources.number(from),
                };
                last = Some((from, source));
                let target = match &mut targets {
                    Some(targets) => targets.number(to),
                    None => sources.number(to),
                };
                pairs.push((source, target));
                toll.pass(|| {
                    let targets = targets.as_ref().map_or(0, |targets| targets.n_bytes());
                    n_bytes(pairs.len()) + sources.n_bytes() + targets
                })
            };
            let flow = match *way {
                Way::Values(id) => snapshot.for_each_fact(id, Order::ByEntity, take),
                // Not by value, an order that may have to be built for it.
                Way::Entities(id) => {
                    snapshot.for_each_fact(id, Order::ByEntity, |entity, value| take(value, entity))
                }
                Way::Answers { from, .. } => {
                    let table = &self.tables[table.expect("answers have a table")];
                    table.try_for_each(&[], &[], |answer| take(answer[from], answer[1 - from]))
                }
            };
            result(flow)?;
            let n_unpaid = toll.n_unpaid;
            self.meter.read_facts(n_unpaid)?;
            self.meter.room_for(n_bytes(pairs.capacity()))?;
        }
        Ok(pairs)
    }

    /// Follows whatever is reached, a level at a time, from node `first` on; `arcs` has the arcs of
    /// all nodes before it. Stops early, without having reached all, when `n_nodes_max` are met.
    pub(super) fn explore(
        &mut self,
        ways: &Ways,
        arcs: &mut Arcs,
        nodes: &mut Nodes,
        n_nodes_max: Option<usize>,
    ) -> Result<bool, QueryError> {
        let mut level: Vec<Cell> = Vec::new();
        while arcs.n_followed() < nodes.len() {
            if n_nodes_max.is_some_and(|limit| nodes.len() > limit) {
                return Ok(false);
            }
            level.clear();
            level.extend_from_slice(&nodes.cells()[arcs.n_followed()..]);
            self.follow(ways, &level, arcs, nodes)?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::eval::meter::tests::n_looks;
    use crate::limits::Budget;

    #[test]
    fn arcs_lead_where_the_pairs_say_and_back() {
        let meter = Meter::new(&Budget::unlimited());
        let arcs = Arcs::of_pairs(4, &[(2, 0), (0, 3), (2, 1), (2, 0)], &meter).unwrap();
        let of = |arcs: &Arcs| (0..4).map(|node| arcs.of(node).to_vec()).collect::<Vec<_>>();
        assert_eq!(of(&arcs), [vec![3], vec![], vec![0, 1, 0], vec![]]);
        assert_eq!(of(&arcs.transpose(4, &meter).unwrap()), [vec![2, 2], vec![2], vec![], vec![0]]);
    }

    #[test]
    fn limits_are_looked_at_for_each_block_of_arcs() {
        let n_pairs = 50 * BLOCK as u32;
        // One node has all arcs, or each has one.
        for from in [|_| 0, |index| index] {
            let pairs: Vec<(u32, u32)> = (0..n_pairs).map(|index| (from(index), index)).collect();
            let made = |meter: &Meter| Arcs::of_pairs(n_pairs as usize, &pairs, meter);
            assert!(n_looks(|meter| made(meter)) >= 150, "pairs twice, and all nodes");
            let arcs = made(&Meter::new(&Budget::unlimited())).unwrap();
            assert!(n_looks(|meter| arcs.transpose(n_pairs as usize, meter)) >= 200);
        }
    }
}
