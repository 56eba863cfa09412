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
//! - *from one node*: what the search meets is the answer. It reads the store node by node, and
//!   goes over to reading the attribute as a whole once that is cheaper.
//! - *from many nodes*: they share one graph, read once; its strongly connected components are
//!   searched for each of them.
//! - *all pairs*: the same, with the whole of the relations as the graph and every node asked.
//! - *single pairs*: searched from the end that has fewer different nodes.
//!
//! A node reaches itself only by a way that leads back, because no way is empty unless the base is.
//! Answers are kept in groups by the node asked for (`reached`).
//!
//! What it counts: a search is one round; where steps are answers of rules, one round for each
//! level of the search instead, so that a limit on rounds stops steps that make new values without
//! end. Facts that exist are finite, and a search of them always ends.

use super::Evaluator;
use super::arcs::{Arcs, Ways};
use super::components::Components;
use super::meter::{BLOCK, Meter};
use super::nodes::Nodes;
use super::reached::Reached;
use super::rows::CELL_BYTES;
use crate::error::QueryError;
use crate::intern::Cell;
use crate::program::RuleId;
use crate::program::recursion::{Form, Recursion, Union};

/// How many facts are read in the time that one node's facts are looked up.
const FACTS_PER_LOOKUP: u64 = 24;
/// Fewer nodes than this are always looked up one by one.
const LOOKUPS_MIN: u64 = 64;
/// How many searches for single pairs share a graph, so that their answers are not held at once.
const SOURCES_PER_GRAPH: usize = 64;

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

/// A graph ready to be searched from some nodes.
struct Search {
    /// Where each node asked for leads by the first hop.
    seeds: Arcs,
    nodes: Nodes,
    graph: Graph,
    /// The last hops, and the nodes they lead to.
    last: Option<(Arcs, Nodes)>,
    /// When each vertex of the graph was last met.
    met: Marks,
    /// When each node was last answered, if a last hop leads there.
    answered: Marks,
    stack: Vec<u32>,
}

/// What a search walks on.
enum Graph {
    /// Nothing: there is one node to search from, and all others have been met from there.
    Met,
    Nodes(Arcs),
    Components(Components),
}

/// A set of dense numbers that is emptied in no time.
#[derive(Default)]
struct Marks {
    stamps: Vec<u32>,
    stamp: u32,
}

impl Marks {
    fn clear(&mut self, len: usize) {
        if self.stamps.len() < len || self.stamp == u32::MAX {
            self.stamps = vec![0; len];
            self.stamp = 0;
        }
        self.stamp += 1;
    }

    #[inline]
    fn insert(&mut self, number: u32) -> bool {
        let stamp = &mut self.stamps[number as usize];
        std::mem::replace(stamp, self.stamp) != self.stamp
    }
}

impl Search {
    fn new(seeds: Arcs, nodes: Nodes, graph: Graph, last: Option<(Arcs, Nodes)>) -> Search {
        let (met, answered) = (Marks::default(), Marks::default());
        Search { seeds, nodes, graph, last, met, answered, stack: Vec::new() }
    }

    fn n_bytes(&self) -> u64 {
        let graph = match &self.graph {
            Graph::Met => 0,
            Graph::Nodes(arcs) => arcs.n_bytes(),
            Graph::Components(components) => components.n_bytes(),
        };
        let last = self.last.as_ref().map_or(0, |(arcs, nodes)| arcs.n_bytes() + nodes.n_bytes());
        self.seeds.n_bytes() + self.nodes.n_bytes() + graph + last
    }

    /// Appends what is reached from the `index`th node asked for, none twice.
    fn reach(
        &mut self,
        index: usize,
        out: &mut Vec<Cell>,
        meter: &mut Meter,
    ) -> Result<(), QueryError> {
        let Search { seeds, nodes, graph, last, met, answered, stack } = self;
        if let Graph::Met = graph {
            let reached = last.as_ref().map_or(&*nodes, |(_, reached)| reached);
            return reached.cells().chunks(BLOCK as usize).try_for_each(|cells| {
                out.extend_from_slice(cells);
                meter.made_rows(cells.len() as u64)
            });
        }
        met.clear(match graph {
            Graph::Components(components) => components.len(),
            _ => nodes.len(),
        });
        answered.clear(last.as_ref().map_or(0, |(_, reached)| reached.len()));
        let mut answer = |node: u32, out: &mut Vec<Cell>| match last {
            None => out.push(nodes.cell(node)),
            Some((arcs, reached)) => {
                let ends = arcs.of(node as usize).iter();
                out.extend(ends.filter(|end| answered.insert(**end)).map(|end| reached.cell(*end)));
            }
        };
        let seeds = seeds.of(index).iter();
        let mut unpaid = Unpaid { n_out_before: out.len(), n_met: 0 };
        match graph {
            Graph::Components(components) => {
                let seeds = seeds.map(|seed| components.of_node[*seed as usize]);
                stack.extend(seeds.filter(|seed| met.insert(*seed)));
                while let Some(component) = stack.pop() {
                    let members = components.members(component);
                    for node in members {
                        answer(*node, out);
                    }
                    let next = components.arcs.of(component as usize).iter().copied();
                    stack.extend(next.filter(|to| met.insert(*to)));
                    unpaid.pass(members.len(), out, meter)?;
                }
            }
            Graph::Nodes(arcs) => {
                stack.extend(seeds.copied().filter(|seed| met.insert(*seed)));
                while let Some(node) = stack.pop() {
                    answer(node, out);
                    let next = arcs.of(node as usize).iter().copied();
                    stack.extend(next.filter(|to| met.insert(*to)));
                    unpaid.pass(1, out, meter)?;
                }
            }
            Graph::Met => unreachable!("answered above"),
        }
        unpaid.pay(out, meter)
    }
}

/// What a search has done since the meter was last looked at.
struct Unpaid {
    n_out_before: usize,
    n_met: usize,
}

impl Unpaid {
    #[inline]
    fn pass(&mut self, n_met: usize, out: &[Cell], meter: &mut Meter) -> Result<(), QueryError> {
        self.n_met += n_met;
        if self.n_met < BLOCK as usize { Ok(()) } else { self.pay(out, meter) }
    }

    #[inline(never)]
    fn pay(&mut self, out: &[Cell], meter: &mut Meter) -> Result<(), QueryError> {
        meter.went_through_nodes(self.n_met as u64)?;
        meter.made_rows((out.len() - self.n_out_before) as u64)?;
        *self = Unpaid { n_out_before: out.len(), n_met: 0 };
        Ok(())
    }
}

impl Evaluator<'_> {
    /// Answers all that was asked of a rule that is a recursion over relations.
    pub(super) fn search(&mut self, rule: RuleId, recursion: &Recursion) -> Result<(), QueryError> {
        let place = format!("rule {}", self.program.rules[rule.index()].name);
        let outer = std::mem::replace(&mut self.meter.place, place);
        for table in 0..self.tables.len() {
            if self.tables[table].rule == rule && self.tables[table].advance() {
                self.meter.made_round(1)?;
                self.search_table(table, recursion)?;
            }
        }
        self.meter.place = outer;
        Ok(())
    }

    fn search_table(&mut self, table: usize, recursion: &Recursion) -> Result<(), QueryError> {
        let columns = self.tables[table].adornment.columns();
        let demand = &self.tables[table].demand;
        let asked: Vec<Vec<Cell>> =
            demand.recent().map(|position| demand.row(position).to_vec()).collect();
        match columns[..] {
            [] => {
                let mut groups = Reached::new(usize::from(!leads_forward(recursion)));
                self.reach_all(recursion, &mut groups)?;
                self.keep_groups(table, groups, 0)
            }
            [column] => {
                let groups = self.tables[table].reached.take();
                let mut groups = groups.unwrap_or_else(|| Reached::new(column));
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
        let (mut nodes, mut origins) = (Nodes::default(), Nodes::default());
        let step_ways = self.open(&step);
        let pairs = self.scan(&step_ways, &mut nodes, None)?;
        if first == step {
            let arcs = Arcs::of_pairs(nodes.len(), &pairs);
            drop(pairs);
            let components = Components::of(&arcs, nodes.len(), &mut self.meter)?;
            let search = Search::new(arcs, nodes, Graph::Components(components), None);
            let sources = search.nodes.cells().to_vec();
            return self.reach_each(search, &sources, false, groups);
        }
        let first_ways = self.open(&first);
        let seeds = self.scan(&first_ways, &mut origins, Some(&mut nodes))?;
        let arcs = Arcs::of_pairs(nodes.len(), &pairs);
        let components = Components::of(&arcs, nodes.len(), &mut self.meter)?;
        let seeds = Arcs::of_pairs(origins.len(), &seeds);
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
        let search = self.search_from(&Hops::of(recursion, forward), sources)?;
        self.reach_each(search, sources, true, groups)
    }

    /// Makes a group for each of the nodes a search can start from.
    fn reach_each(
        &mut self,
        mut search: Search,
        sources: &[Cell],
        is_asked: bool,
        groups: &mut Reached,
    ) -> Result<(), QueryError> {
        let n_bytes = search.n_bytes();
        self.meter.hold(n_bytes)?;
        for (index, source) in sources.iter().enumerate() {
            if !is_asked && search.seeds.of(index).is_empty() {
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
        let (mut nodes, mut arcs) = (Nodes::default(), Arcs::new());
        let mut seeds = self.seeds(first.as_ref(), sources, &mut nodes)?;
        let is_met = self.explore(&step, &mut arcs, &mut nodes, n_lookups_max)?;
        if !is_met {
            nodes = Nodes::default();
            let pairs = self.scan(&step, &mut nodes, None)?;
            seeds = self.seeds(first.as_ref(), sources, &mut nodes)?;
            arcs = Arcs::of_pairs(nodes.len(), &pairs);
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
        let mut reached = Nodes::default();
        if !is_met && !ways.ask_rules() {
            let pairs = self.scan(ways, nodes, Some(&mut reached))?;
            return Ok((Arcs::of_pairs(nodes.len(), &pairs), reached));
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
        for sources in sources.chunks(SOURCES_PER_GRAPH) {
            let mut groups = Reached::new(near);
            self.reach_from(recursion, forward, sources, &mut groups)?;
            for source in sources {
                let start = wanted.partition_point(|(from, _)| from < source);
                let end = wanted.partition_point(|(from, _)| from <= source);
                let of_source = &wanted[start..end];
                for member in groups.find(*source) {
                    if of_source.binary_search(&(*source, *member)).is_err() {
                        continue;
                    }
                    let mut pair = [*member; 2];
                    pair[near] = *source;
                    if self.tables[table].answers.insert(&pair) {
                        self.meter.hold(3 * CELL_BYTES)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether all pairs are found from their first column.
fn leads_forward(recursion: &Recursion) -> bool {
    !matches!(recursion.form, Form::Behind(_))
}
