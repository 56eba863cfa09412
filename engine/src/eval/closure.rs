//! Transitive closures by searching a graph, instead of joining rows in rounds.
//!
//! ```text
//! R(x, y) ← base(x, y)                     R(x, y) ← base(x, y)
//! R(x, y) ← step(x, a), R(a, y)            R(x, y) ← R(x, b), step(b, y)
//! ```
//!
//! and the same with `step` = `base`, also written as `R(x, m), R(m, y)`: see `program::recursion`.
//! Whichever column is bound, an answer is a way of three parts ([`Hops`]): a first hop, any number
//! of steps, a last hop; the first or the last may be absent. What is asked decides how it is found:
//!
//! - *from one node*: what the search meets is the answer. It reads the store level by level
//!   (`meet`), and goes over to reading the attribute as a whole once that is cheaper.
//! - *from many nodes*: they share one graph, read once; its strongly connected components are
//!   searched for each of them, or put into a matrix where that is less work (`search`).
//! - *all pairs*: the same, with the whole of the relations as the graph and every node asked.
//! - *single pairs*: searched from the end that has fewer different nodes.
//!
//! A node reaches itself only by a way that leads back, because no way is empty unless the base is.
//! Answers are kept in groups by the node asked for (`reached`).
//!
//! What it counts: a search is one round, however deep it goes. It always ends, because relations
//! are finite: facts are, and a rule is a relation only if it can be evaluated with nothing bound.

use super::Evaluator;
use super::arcs::{Arcs, Ways};
use super::components::Components;
use super::meter::{BLOCK, Doing};
use super::nodes::Nodes;
use super::reached::Reached;
use super::rows::CELL_BYTES;
use super::search::{Graph, Search};
use crate::error::QueryError;
use crate::intern::Cell;
use crate::program::RuleId;
use crate::program::recursion::{Form, Recursion, Union};

/// How many facts are read in the time that one node's facts are looked up.
const FACTS_PER_LOOKUP: u64 = 24;
/// Fewer nodes than this are always looked up one by one.
const LOOKUPS_MIN: u64 = 64;

/// The parts of every way from a node that is asked for to one that answers.
struct Hops {
    first: Option<Union>,
    step: Union,
    last: Option<Union>,
}

impl Hops {
    /// From the first column to the second, or back.
    fn of(recursion: &Recursion, forward: bool) -> Hops {
        let turn = |union: &Union| if forward { union.clone() } else { union.flip() };
        let base = turn(&recursion.base);
        match &recursion.form {
            Form::Closure => Hops { step: base.clone(), first: Some(base), last: None },
            Form::Before(step) if forward => {
                Hops { first: Some(base), step: turn(step), last: None }
            }
            Form::Behind(step) if !forward => {
                Hops { first: Some(base), step: turn(step), last: None }
            }
            Form::Before(step) | Form::Behind(step) => {
                Hops { first: None, step: turn(step), last: Some(base) }
            }
            Form::Around(_) => unreachable!("what goes around both ends is no path"),
        }
    }
}

impl Evaluator<'_> {
    /// Answers all that was asked of a rule that is a recursion over relations.
    pub(super) fn search(&mut self, rule: RuleId, recursion: &Recursion) -> Result<(), QueryError> {
        let outer = std::mem::replace(&mut self.meter.doing, Doing::Search(rule));
        for table in 0..self.tables.len() {
            if self.tables[table].rule == rule && self.tables[table].advance() {
                self.meter.made_round(1)?;
                let mark = self.begin_table(table);
                self.search_table(table, recursion)?;
                self.end_table(mark);
            }
        }
        self.meter.doing = outer;
        Ok(())
    }

    fn search_table(&mut self, table: usize, recursion: &Recursion) -> Result<(), QueryError> {
        let columns = self.tables[table].adornment.columns();
        let demand = &self.tables[table].demand;
        let asked: Vec<Vec<Cell>> =
            demand.recent().map(|position| demand.row(position).to_vec()).collect();
        match columns[..] {
            [] => {
                let mut groups =
                    Reached::new(usize::from(!leads_forward(recursion)), self.cell_hash());
                self.reach_all(recursion, &mut groups)?;
                self.keep_groups(table, groups, 0)
            }
            [column] => {
                let groups = self.tables[table].reached.take();
                let mut groups = groups.unwrap_or_else(|| Reached::new(column, self.cell_hash()));
                let n_bytes_before = groups.n_bytes();
                let sources: Vec<Cell> =
                    asked.iter().map(|key| key[0]).filter(|source| !groups.has(*source)).collect();
                self.reach_from(recursion, column == 0, &sources, &mut groups)?;
                self.keep_groups(table, groups, n_bytes_before)
            }
            _ => self.check_pairs(table, recursion, &asked),
        }
    }

    fn keep_groups(
        &mut self,
        table: usize,
        groups: Reached,
        n_bytes_before: u64,
    ) -> Result<(), QueryError> {
        let n_bytes = groups.n_bytes().saturating_sub(n_bytes_before);
        self.tables[table].reached = Some(groups);
        self.meter.hold(n_bytes)
    }

    /// Every pair of the recursion.
    fn reach_all(&mut self, recursion: &Recursion, groups: &mut Reached) -> Result<(), QueryError> {
        if let Form::Around(steps) = &recursion.form {
            return self.around(recursion, steps, true, None, groups);
        }
        let Hops { first, step, .. } = Hops::of(recursion, leads_forward(recursion));
        let first = first.expect("the way round was chosen that has a first hop");
        let (mut nodes, mut origins) = (Nodes::new(self.cell_hash()), Nodes::new(self.cell_hash()));
        let step_ways = self.open(&step);
        let pairs = self.scan(&step_ways, &mut nodes, None)?;
        if first == step {
            let arcs = Arcs::of_pairs(nodes.len(), &pairs, &self.meter)?;
            drop(pairs);
            let components = Components::of(&arcs, nodes.len(), &mut self.meter)?;
            let search = Search::new(arcs, nodes, Graph::Components(components), None);
            let sources = search.nodes().to_vec();
            return self.reach_each(search, &sources, false, groups);
        }
        let first_ways = self.open(&first);
        let seeds = self.scan(&first_ways, &mut origins, Some(&mut nodes))?;
        let arcs = Arcs::of_pairs(nodes.len(), &pairs, &self.meter)?;
        let components = Components::of(&arcs, nodes.len(), &mut self.meter)?;
        let seeds = Arcs::of_pairs(origins.len(), &seeds, &self.meter)?;
        let search = Search::new(seeds, nodes, Graph::Components(components), None);
        self.reach_each(search, origins.cells(), false, groups)
    }

    /// What is reached from some nodes that were asked for.
    fn reach_from(
        &mut self,
        recursion: &Recursion,
        forward: bool,
        sources: &[Cell],
        groups: &mut Reached,
    ) -> Result<(), QueryError> {
        if let Form::Around(steps) = &recursion.form {
            return self.around(recursion, steps, forward, Some(sources), groups);
        }
        let hops = Hops::of(recursion, forward);
        if let ([source], Some(first), None) = (sources, &hops.first, &hops.last)
            && let Some(members) = self.meet_from(first, &hops.step, *source)?
        {
            groups.add(*source, &members);
            return self.meter.room_for(groups.n_bytes());
        }
        let search = self.search_from(&hops, sources)?;
        self.reach_each(search, sources, true, groups)
    }

    /// What is reached from one node, where the levels of nodes are wide enough for that to cost
    /// less than reading all of the facts.
    fn meet_from(
        &mut self,
        first: &Union,
        step: &Union,
        source: Cell,
    ) -> Result<Option<Vec<Cell>>, QueryError> {
        let (first, step) = (self.open(first), self.open(step));
        let (Some(_), Some(n_facts)) = (self.n_facts_of(&first), self.n_facts_of(&step)) else {
            return Ok(None);
        };
        let n_levels_max = (n_facts / FACTS_PER_LOOKUP).max(LOOKUPS_MIN);
        let Some(members) = self.meet(&first, &step, source, n_levels_max)? else {
            return Ok(None);
        };
        self.meter.went_through_nodes(members.len() as u64)?;
        self.meter.made_rows(members.len() as u64)?;
        Ok(Some(members))
    }

    /// Makes a group for each of the nodes a search can start from.
    fn reach_each(
        &mut self,
        mut search: Search,
        sources: &[Cell],
        is_asked: bool,
        groups: &mut Reached,
    ) -> Result<(), QueryError> {
        search.prepare_for(sources.len(), &mut self.meter)?;
        let n_bytes = search.n_bytes();
        self.meter.hold(n_bytes)?;
        for (index, source) in sources.iter().enumerate() {
            if !is_asked && search.leads_nowhere(index) {
                continue;
            }
            search.reach(index, groups.members_mut(), &mut self.meter)?;
            groups.close(*source, is_asked);
            self.meter.room_for(groups.n_bytes())?;
        }
        self.meter.release(n_bytes);
        Ok(())
    }

    /// Reads the graph that can be reached from some nodes.
    fn search_from(&mut self, hops: &Hops, sources: &[Cell]) -> Result<Search, QueryError> {
        let first = hops.first.as_ref().map(|union| self.open(union));
        let step = self.open(&hops.step);
        let last = hops.last.as_ref().map(|union| self.open(union));
        let n_lookups_max = self.n_facts_of(&step).map(|n_facts| {
            usize::try_from((n_facts / FACTS_PER_LOOKUP).max(LOOKUPS_MIN)).unwrap_or(usize::MAX)
        });
        let (mut nodes, mut arcs) = (Nodes::new(self.cell_hash()), Arcs::new());
        let mut seeds = self.seeds(first.as_ref(), sources, &mut nodes)?;
        let is_met = self.explore(&step, &mut arcs, &mut nodes, n_lookups_max)?;
        if !is_met {
            nodes = Nodes::new(self.cell_hash());
            let pairs = self.scan(&step, &mut nodes, None)?;
            seeds = self.seeds(first.as_ref(), sources, &mut nodes)?;
            arcs = Arcs::of_pairs(nodes.len(), &pairs, &self.meter)?;
        }
        let last = match last {
            Some(ways) => Some(self.last_hops(&ways, &mut nodes, is_met)?),
            None => None,
        };
        let graph = if sources.len() > 1 {
            Graph::Components(Components::of(&arcs, nodes.len(), &mut self.meter)?)
        } else if is_met {
            Graph::Met
        } else {
            Graph::Nodes(arcs)
        };
        Ok(Search::new(seeds, nodes, graph, last))
    }

    /// The first hop from each node, or the node itself.
    fn seeds(
        &mut self,
        first: Option<&Ways>,
        sources: &[Cell],
        nodes: &mut Nodes,
    ) -> Result<Arcs, QueryError> {
        let mut seeds = Arcs::new();
        match first {
            Some(ways) => self.follow(ways, sources, &mut seeds, nodes)?,
            None => {
                for source in sources {
                    seeds.push(nodes.number(*source));
                    seeds.close_span();
                }
            }
        }
        Ok(seeds)
    }

    /// The last hop from every node met; from all there are where the whole graph was read.
    fn last_hops(
        &mut self,
        ways: &Ways,
        nodes: &mut Nodes,
        is_met: bool,
    ) -> Result<(Arcs, Nodes), QueryError> {
        let mut reached = Nodes::new(self.cell_hash());
        if !is_met && !ways.ask_rules() {
            let pairs = self.scan(ways, nodes, Some(&mut reached))?;
            return Ok((Arcs::of_pairs(nodes.len(), &pairs, &self.meter)?, reached));
        }
        let mut arcs = Arcs::new();
        for cells in nodes.cells().to_vec().chunks(BLOCK as usize) {
            self.follow(ways, cells, &mut arcs, &mut reached)?;
        }
        Ok((arcs, reached))
    }

    /// Which of the pairs asked for there are.
    fn check_pairs(
        &mut self,
        table: usize,
        recursion: &Recursion,
        asked: &[Vec<Cell>],
    ) -> Result<(), QueryError> {
        let distinct = |column: usize| {
            let mut cells: Vec<Cell> = asked.iter().map(|pair| pair[column]).collect();
            cells.sort_unstable();
            cells.dedup();
            cells
        };
        let (firsts, seconds) = (distinct(0), distinct(1));
        let forward = firsts.len() <= seconds.len();
        let (sources, near, far) = if forward { (firsts, 0, 1) } else { (seconds, 1, 0) };
        let mut wanted: Vec<(Cell, Cell)> =
            asked.iter().map(|pair| (pair[near], pair[far])).collect();
        wanted.sort_unstable();
        if let Form::Around(steps) = &recursion.form {
            let mut reached = Reached::new(near, self.cell_hash());
            self.around(recursion, steps, forward, Some(&sources), &mut reached)?;
            self.meter.room_for(reached.n_bytes())?;
            for source in &sources {
                self.keep_wanted(table, near, *source, reached.find(*source), &wanted)?;
            }
            return Ok(());
        }
        let mut search = self.search_from(&Hops::of(recursion, forward), &sources)?;
        search.prepare_for(sources.len(), &mut self.meter)?;
        let n_bytes = search.n_bytes();
        self.meter.hold(n_bytes)?;
        let mut reached = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            reached.clear();
            search.reach(index, &mut reached, &mut self.meter)?;
            self.meter.room_for(reached.len() as u64 * CELL_BYTES)?;
            self.keep_wanted(table, near, *source, &reached, &wanted)?;
        }
        self.meter.release(n_bytes);
        Ok(())
    }

    /// Answers those of the `wanted` pairs, which are sorted, that are among the ones found.
    fn keep_wanted(
        &mut self,
        table: usize,
        near: usize,
        source: Cell,
        reached: &[Cell],
        wanted: &[(Cell, Cell)],
    ) -> Result<(), QueryError> {
        let start = wanted.partition_point(|(from, _)| *from < source);
        let end = wanted.partition_point(|(from, _)| *from <= source);
        let wanted = &wanted[start..end];
        for member in reached {
            if wanted.binary_search(&(source, *member)).is_err() {
                continue;
            }
            let mut pair = [*member; 2];
            pair[near] = source;
            if self.tables[table].answers.insert(&pair) {
                self.meter.hold(self.tables[table].answers.row_bytes())?;
            }
        }
        Ok(())
    }
}

/// Whether all pairs are found from their first column.
fn leads_forward(recursion: &Recursion) -> bool {
    !matches!(recursion.form, Form::Behind(_))
}
