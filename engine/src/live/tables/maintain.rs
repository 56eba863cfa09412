//! One step of the tables of a rule: see the module above for why it is right.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::ControlFlow;

use super::{InnerReader, RuleTables, Tables, TablesId, TablesWork};
use crate::intern::Cell;
use crate::limits::Interrupt;
use crate::live::delta_plan::{Op, Polarity, Src, Start};
use crate::live::goals::RelationId;
use crate::live::join::{Flow, Machine, Ranks, Side, Stop};
use crate::live::maintain::{Change, Workbench};
use crate::live::params::{Params, RowIndex};
use crate::program::pattern::Patterns;

/// The most derivations of a suspended tuple that are looked at for the one of lowest rank.
const DERIVATIONS_MAX: u32 = 16;

/// A tuple, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Tuple {
    relation: RelationId,
    row: RowIndex,
}

/// What a step of some tables starts from.
#[derive(Default)]
pub(in crate::live) struct Changes<'w> {
    pub(in crate::live) facts: &'w [TablesWork],
    /// Tuples of the demand that are asked for now, and were not before.
    pub(in crate::live) asked: Vec<RowIndex>,
    /// Tuples of the demand that nobody asks for any more.
    pub(in crate::live) unasked: Vec<RowIndex>,
    /// All that rules derive from facts alone is new.
    pub(in crate::live) is_first: bool,
}

/// How much a step may do.
pub(in crate::live) struct Bounds<'b> {
    /// Look-ups.
    pub(in crate::live) fuel: &'b mut u64,
    /// Tuples that may be added.
    pub(in crate::live) n_tuples_max: u64,
    pub(in crate::live) interrupt: Option<&'b Interrupt>,
}

/// Heads that a plan derived, with their ranks.
#[derive(Default)]
struct Heads {
    width: usize,
    cells: Vec<Cell>,
    ranks: Vec<u32>,
}

/// What a run of a rule begins with.
#[derive(Clone, Copy)]
enum Begin<'a> {
    /// A change at an occurrence.
    Change(u32, &'a Change),
    /// A tuple of its own stratum at an occurrence.
    Inner(u32, Tuple),
    Nothing,
}

struct Step<'a, 's, 'b> {
    tables: &'a mut Tables,
    set: &'a RuleTables,
    bench: &'a mut Workbench<'s>,
    bounds: &'a mut Bounds<'b>,
    params: Params,
    patterns: Patterns,
    /// Empty, between runs: what they fill is used again.
    heads: Heads,
    n_steps: u64,
}

impl Tables {
    /// Takes the tables of a rule from the state before to the state after; what changed is noted
    /// in its relations.
    pub(in crate::live) fn step(
        &mut self,
        id: TablesId,
        changes: &Changes<'_>,
        bench: &mut Workbench<'_>,
        bounds: &mut Bounds<'_>,
    ) -> Flow {
        self.with_step(id, bench, bounds, |step| {
            (0..step.set.strata.len()).try_for_each(|stratum| step.stratum(stratum, changes))
        })
    }

    fn with_step<'s, Done>(
        &mut self,
        id: TablesId,
        bench: &mut Workbench<'s>,
        bounds: &mut Bounds<'_>,
        work: impl FnOnce(&mut Step<'_, 's, '_>) -> Done,
    ) -> Done {
        let set = self.sets[id.0 as usize].take().expect("users name tables that are kept");
        let n_vars = set.rules.iter().map(|rule| rule.n_vars).max().unwrap_or(0);
        bench.regs.resize(bench.regs.len().max(n_vars), Cell::MIN);
        let (params, patterns) = (Params::default(), set.patterns.clone());
        let heads = Heads::default();
        let done = work(&mut Step {
            tables: self,
            set: &set,
            bench,
            bounds,
            params,
            patterns,
            heads,
            n_steps: 0,
        });
        self.sets[id.0 as usize] = Some(set);
        done
    }
}

impl Tables {
    /// Whether every tuple of some tables has a sound derivation or is asked for: the invariant
    /// between steps.
    pub(in crate::live) fn is_sound(&mut self, id: TablesId, bench: &mut Workbench<'_>) -> bool {
        let relations = self.relations_of(id).to_vec();
        let mut fuel = u64::MAX;
        let mut bounds = Bounds { fuel: &mut fuel, n_tuples_max: 0, interrupt: None };
        self.with_step(id, bench, &mut bounds, |step| {
            relations.into_iter().all(|relation| {
                let rows: Vec<RowIndex> = step.tables.relation(relation).rows().collect();
                rows.into_iter().all(|row| {
                    let kept = step.tables.relation(relation);
                    let (is_settled, rank) = (kept.is_settled(row), kept.rank(row));
                    let is_supported = step.is_supported(Tuple { relation, row }, rank);
                    is_settled && is_supported == ControlFlow::Continue(true)
                })
            })
        })
    }
}

impl<'a, 's> Step<'a, 's, '_> {
    fn stratum(&mut self, number: usize, changes: &Changes<'_>) -> Flow {
        let stratum = &self.set.strata[number];
        let from_below = self.changes_of(number, changes);
        let is_own = |row: &RowIndex| {
            let demand = self.set.demand.filter(|demand| stratum.relations.contains(demand));
            demand.map(|relation| Tuple { relation, row: *row })
        };
        let asked: Vec<Tuple> = changes.asked.iter().filter_map(is_own).collect();
        let unasked: Vec<Tuple> = changes.unasked.iter().filter_map(is_own).collect();
        let suspended = self.doubt(number, &from_below, unasked)?;
        let mut seeds: Vec<(u32, Tuple)> = asked.into_iter().map(|tuple| (0, tuple)).collect();
        for tuple in suspended {
            let rank = self.rank_by_others(tuple)?;
            seeds.extend(rank.map(|rank| (rank, tuple)));
        }
        for (rule, occurrence, change) in &from_below {
            let begin = Begin::Change(*occurrence, change);
            self.derive(*rule, begin, Side::After, &mut seeds)?;
        }
        if changes.is_first {
            for rule in &stratum.rules {
                self.derive(*rule, Begin::Nothing, Side::After, &mut seeds)?;
            }
        }
        self.insert(number, seeds)
    }

    /// What changed below a stratum, at the places of its rules that read it.
    fn changes_of(&self, number: usize, changes: &Changes<'_>) -> Vec<(u32, u32, Change)> {
        let stratum = &self.set.strata[number];
        let facts = changes
            .facts
            .iter()
            .filter(|(reader, _)| self.set.rules[reader.rule as usize].stratum == number as u32);
        let facts = facts.map(|(at, fact)| (at.rule, at.occurrence, Change::Fact(*fact)));
        let mut found: Vec<(u32, u32, Change)> = facts.collect();
        for number in &stratum.rules {
            let rule = &self.set.rules[*number as usize];
            for (place, occurrence) in (0..).zip(&rule.occurrences) {
                let Start::Derived { relation, .. } = occurrence.start else { continue };
                // The first time, rules are run as a whole, or begin with demand or their own
                // tuples, which all are new.
                let is_covered = changes.is_first
                    && (rule.plans.all.is_some() || self.set.demand != Some(relation));
                if is_covered || stratum.relations.contains(&relation) {
                    continue;
                }
                let tuples = self.tables.relation(relation).changes();
                let tuple = |(row, side)| (*number, place, Change::Tuple { relation, row, side });
                found.extend(tuples.map(tuple));
            }
        }
        found
    }

    /// Suspends what lost its support, and gives it in order of rank.
    fn doubt(
        &mut self,
        number: usize,
        changes: &[(u32, u32, Change)],
        unasked: Vec<Tuple>,
    ) -> ControlFlow<Stop, Vec<Tuple>> {
        let mut queue = BinaryHeap::new();
        for tuple in unasked {
            self.queue(tuple, &mut queue);
        }
        for (rule, occurrence, change) in changes {
            let begin = Begin::Change(*occurrence, change);
            self.lose(*rule, begin, None, &mut queue)?;
        }
        let mut suspended = Vec::new();
        while let Some(Reverse((rank, tuple))) = queue.pop() {
            self.check_interrupt()?;
            if self.is_supported(tuple, rank)? {
                continue;
            }
            self.tables.relation_mut(tuple.relation).suspend(tuple.row);
            suspended.push(tuple);
            for InnerReader { rule, occurrence, .. } in self.readers(number, tuple.relation) {
                self.lose(*rule, Begin::Inner(*occurrence, tuple), Some(rank), &mut queue)?;
            }
        }
        ControlFlow::Continue(suspended)
    }

    fn readers(
        &self,
        stratum: usize,
        relation: RelationId,
    ) -> impl Iterator<Item = &'a InnerReader> + use<'a> {
        let inner = self.set.strata[stratum].inner.iter();
        inner.filter(move |reader| reader.relation == relation)
    }

    fn queue(&mut self, tuple: Tuple, queue: &mut BinaryHeap<Reverse<(u32, Tuple)>>) {
        let relation = self.tables.relation_mut(tuple.relation);
        if relation.doubt(tuple.row) {
            queue.push(Reverse((relation.rank(tuple.row), tuple)));
        }
    }

    /// Queues the heads of derivations that are lost. What is of no higher rank than a tuple in a
    /// derivation does not rest on that derivation (but for ranks that have reached the end).
    fn lose(
        &mut self,
        rule: u32,
        begin: Begin<'_>,
        above: Option<u32>,
        queue: &mut BinaryHeap<Reverse<(u32, Tuple)>>,
    ) -> Flow {
        let heads = self.run(rule, begin, Side::Before)?;
        let relation = self.set.rules[rule as usize].of;
        for cells in heads.cells() {
            let Some(row) = self.tables.relation(relation).find_tuple(cells) else { continue };
            let rank = self.tables.relation(relation).rank(row);
            if above.is_none_or(|above| rank > above || above == u32::MAX) {
                self.queue(Tuple { relation, row }, queue);
            }
        }
        self.heads = heads;
        ControlFlow::Continue(())
    }

    /// Whether a tuple has a sound derivation after the step.
    fn is_supported(&mut self, tuple: Tuple, rank: u32) -> ControlFlow<Stop, bool> {
        if self.tables.relation(tuple.relation).is_given(tuple.row) {
            return ControlFlow::Continue(true);
        }
        for rule in 0..self.set.rules.len() {
            let below = u64::from(rank);
            let found =
                self.derivations(rule, tuple, below, &mut |_| ControlFlow::Break(Stop::Enough));
            match found {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(Stop::Enough) => return ControlFlow::Continue(true),
                ControlFlow::Break(over) => return ControlFlow::Break(over),
            }
        }
        ControlFlow::Continue(false)
    }

    /// The rank that a suspended tuple gets by what is not suspended; none if nothing derives it.
    fn rank_by_others(&mut self, tuple: Tuple) -> ControlFlow<Stop, Option<u32>> {
        let least = self.tables.relation(tuple.relation).rank(tuple.row).saturating_add(1);
        let (mut best, mut n_found) = (None, 0);
        for rule in 0..self.set.rules.len() {
            let flow = self.derivations(rule, tuple, u64::MAX, &mut |rank| {
                best = Some(best.map_or(rank, |best: u32| best.min(rank)));
                n_found += 1;
                match rank <= least || n_found >= DERIVATIONS_MAX {
                    true => ControlFlow::Break(Stop::Enough),
                    false => ControlFlow::Continue(()),
                }
            });
            match flow {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(Stop::Enough) => break,
                ControlFlow::Break(over) => return ControlFlow::Break(over),
            }
        }
        ControlFlow::Continue(best)
    }

    /// Tells the rank that each derivation of a tuple after the step gives it.
    fn derivations(
        &mut self,
        rule: usize,
        tuple: Tuple,
        below: u64,
        take: &mut dyn FnMut(u32) -> Flow,
    ) -> Flow {
        let rule = &self.set.rules[rule];
        if rule.of != tuple.relation {
            return ControlFlow::Continue(());
        }
        let (tables, mut machine) = self.machine();
        machine.ranks.below = below;
        if !machine.fits_head(&rule.plans.head, tables.relation(tuple.relation).row(tuple.row)) {
            return ControlFlow::Continue(());
        }
        machine.run(&rule.plans.exists, Side::After, &mut |machine| take(machine.ranks.next))
    }

    /// Adds what a run derives to those that are to come, by their rank.
    fn derive(
        &mut self,
        rule: u32,
        begin: Begin<'_>,
        side: Side,
        seeds: &mut Vec<(u32, Tuple)>,
    ) -> Flow {
        let heads = self.run(rule, begin, side)?;
        let relation = self.set.rules[rule as usize].of;
        for (cells, rank) in heads.cells().zip(&heads.ranks) {
            let row = self.tables.relation_mut(relation).place(cells);
            seeds.push((*rank, Tuple { relation, row }));
        }
        let n_heads = heads.ranks.len() as u64;
        self.heads = heads;
        self.check_tuples(n_heads)
    }

    /// Accepts tuples in order of rank, and so on to what they derive.
    fn insert(&mut self, number: usize, mut seeds: Vec<(u32, Tuple)>) -> Flow {
        seeds.sort_unstable();
        let mut seeds = seeds.into_iter().peekable();
        let mut queue: VecDeque<(u32, Tuple)> = VecDeque::new();
        loop {
            let is_seed = match (seeds.peek(), queue.front()) {
                (None, None) => return ControlFlow::Continue(()),
                (Some((seed, _)), Some((queued, _))) => seed <= queued,
                (seed, _) => seed.is_some(),
            };
            let tuple = if is_seed {
                let (rank, tuple) = seeds.next().expect("it was seen");
                if !self.tables.relation_mut(tuple.relation).accept(tuple.row, rank) {
                    continue;
                }
                tuple
            } else {
                queue.pop_front().expect("it was seen").1
            };
            self.check_interrupt()?;
            for InnerReader { rule, occurrence, .. } in self.readers(number, tuple.relation) {
                let heads = self.run(*rule, Begin::Inner(*occurrence, tuple), Side::After)?;
                let relation = self.set.rules[*rule as usize].of;
                let kept = self.tables.relation_mut(relation);
                let mut n_new = 0;
                for (cells, rank) in heads.cells().zip(&heads.ranks) {
                    let row = kept.place(cells);
                    if kept.accept(row, *rank) {
                        queue.push_back((*rank, Tuple { relation, row }));
                        n_new += 1;
                    }
                }
                self.heads = heads;
                self.check_tuples(n_new)?;
            }
        }
    }

    /// The heads that a rule derives from something.
    fn run(&mut self, rule: u32, begin: Begin<'_>, side: Side) -> ControlFlow<Stop, Heads> {
        let rule = &self.set.rules[rule as usize];
        let mut heads = std::mem::take(&mut self.heads);
        heads.restart(rule.head.len());
        let (tables, mut machine) = self.machine();
        let ops: &[Op] = match begin {
            Begin::Nothing => match &rule.plans.all {
                Some(all) => all,
                None => return ControlFlow::Continue(heads),
            },
            Begin::Inner(occurrence, Tuple { relation, row }) => {
                let plan = &rule.plans.deltas[occurrence as usize];
                let change = Change::Tuple { relation, row, side };
                if !machine.starts(plan, &change) {
                    return ControlFlow::Continue(heads);
                }
                machine.ranks.next = tables.relation(relation).rank(row).saturating_add(1);
                &plan.ops
            }
            Begin::Change(occurrence, change) => {
                let plan = &rule.plans.deltas[occurrence as usize];
                let at = &rule.occurrences[occurrence as usize];
                let own = change.side().flipped(at.flip);
                let is_asked = match at.polarity {
                    Polarity::Positive => side == own,
                    Polarity::Negative => side == own.other(),
                    Polarity::Both => true,
                };
                if !is_asked || !machine.starts(plan, change) {
                    return ControlFlow::Continue(heads);
                }
                &plan.ops
            }
        };
        machine.run(ops, side, &mut |machine| {
            heads.cells.extend(rule.plans.head.iter().map(|src| machine.cell(*src)));
            heads.ranks.push(machine.ranks.next);
            ControlFlow::Continue(())
        })?;
        ControlFlow::Continue(heads)
    }

    fn machine<'m>(&'m mut self) -> (&'m Tables, Machine<'m, 's>) {
        let tables = &*self.tables;
        let machine = Machine {
            states: &self.bench.states,
            tables,
            params: &self.params,
            scratch: &mut self.bench.scratch,
            patterns: &mut self.patterns,
            regs: &mut self.bench.regs,
            row: 0,
            ranks: Ranks::default(),
            fuel: self.bounds.fuel,
        };
        (tables, machine)
    }

    fn check_tuples(&mut self, n_new: u64) -> Flow {
        match self.bounds.n_tuples_max.checked_sub(n_new) {
            Some(left) => {
                self.bounds.n_tuples_max = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(Stop::OverBudget),
        }
    }

    fn check_interrupt(&mut self) -> Flow {
        const EACH: u64 = 256;
        self.n_steps += 1;
        match self.bounds.interrupt {
            Some(interrupt) if self.n_steps.is_multiple_of(EACH) && interrupt() => {
                ControlFlow::Break(Stop::OverBudget)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Heads {
    fn restart(&mut self, width: usize) {
        self.width = width;
        self.cells.clear();
        self.ranks.clear();
    }

    fn cells(&self) -> impl Iterator<Item = &[Cell]> {
        self.cells.chunks_exact(self.width)
    }
}

impl Machine<'_, '_> {
    /// Whether a tuple is what a rule with this head can derive; then it is the binding.
    fn fits_head(&mut self, head: &[Src], cells: &[Cell]) -> bool {
        for (src, cell) in head.iter().zip(cells) {
            if let Src::Reg(reg) = src {
                self.regs[*reg as usize] = *cell;
            }
        }
        // A variable that stands twice, and constants, have to agree.
        head.iter().zip(cells).all(|(src, cell)| self.cell(*src) == *cell)
    }
}
