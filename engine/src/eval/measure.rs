//! What each part of an evaluation does, where somebody wants to know.
//!
//! A step is measured from outside, once for each batch: nothing is counted by row, and an
//! evaluation that is not measured only finds that out at each step. Parts are known by where they
//! stand (a body of a table, a plan within a step of another), and what they do is added up.
//! Time is read from the clock of who asks; the engine has none.

use core::time::Duration;
use std::collections::BTreeMap; // a span of time; `std::time` has the clocks, which have no place here

use super::Evaluator;
use super::fixpoint::Frame;
use super::top::Tried;
use crate::profile::Ran;

/// A clock that never goes back.
pub type Clock<'c> = &'c dyn Fn() -> Duration;

/// A part of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Whole,
    /// The query's own body.
    Query,
    /// A definition of a table's rule.
    Definition(Frame),
    /// The plan within a step of another part.
    Apart {
        part: usize,
        step: usize,
    },
    /// A table's rounds or searches.
    Table(usize),
    Result,
}

/// What parts have done so far.
pub(super) struct Measure<'c> {
    clock: Option<Clock<'c>>,
    numbers: BTreeMap<Part, usize>,
    /// By number: the steps of a part, one for a part without any.
    parts: Vec<Vec<Ran>>,
    /// The steps that are running, outer before inner.
    open: Vec<(usize, usize)>,
    /// Whether the first rows were looked for at the end of an index.
    pub(super) tried: Option<Tried>,
}

/// A step that is running.
pub(super) struct Mark {
    part: usize,
    step: usize,
    n_facts_before: u64,
    n_bytes_before: u64,
    start: Option<Duration>,
}

impl<'c> Measure<'c> {
    pub(super) fn new(clock: Option<Clock<'c>>) -> Measure<'c> {
        Measure {
            clock,
            numbers: BTreeMap::new(),
            parts: Vec::new(),
            open: Vec::new(),
            tried: None,
        }
    }

    /// What a step of a part has done.
    pub(super) fn ran(&self, part: Part, step: usize) -> Option<Ran> {
        let number = self.numbers.get(&part)?;
        self.parts[*number].get(step).copied()
    }

    /// The part that the plan within a step is; none where it never ran.
    pub(super) fn apart(&self, part: Part, step: usize) -> Option<Part> {
        Some(Part::Apart { part: *self.numbers.get(&part)?, step })
    }

    /// Forgets what the query's body has done, because another plan of it follows.
    pub(super) fn begin_again(&mut self) {
        self.numbers.remove(&Part::Query);
    }

    fn number(&mut self, part: Part, n_steps: usize) -> usize {
        let parts = &mut self.parts;
        *self.numbers.entry(part).or_insert_with(|| {
            parts.push(vec![Ran::default(); n_steps]);
            parts.len() - 1
        })
    }
}

impl Evaluator<'_> {
    /// The number of the part that a plan is evaluated as, where it is measured.
    pub(super) fn measured_body(&mut self, frame: Option<Frame>, n_steps: usize) -> Option<usize> {
        let measure = self.measure.as_mut()?;
        let part = match (frame, measure.open.last()) {
            (Some(frame), _) => Part::Definition(frame),
            (None, Some((part, step))) if *part != 0 => Part::Apart { part: *part, step: *step },
            (None, _) => Part::Query,
        };
        Some(measure.number(part, n_steps))
    }

    /// Begins to measure a part that is no plan.
    pub(super) fn begin_part(&mut self, part: Part, n_rows_in: usize) -> Option<Mark> {
        let number = self.measure.as_mut()?.number(part, 1);
        self.begin_step(Some(number), 0, n_rows_in)
    }

    /// Begins to measure a step, if its part is measured.
    pub(super) fn begin_step(
        &mut self,
        part: Option<usize>,
        step: usize,
        n_rows_in: usize,
    ) -> Option<Mark> {
        let (part, measure) = (part?, self.measure.as_mut()?);
        let ran = &mut measure.parts[part][step];
        ran.calls += 1;
        ran.rows_in += n_rows_in as u64;
        measure.open.push((part, step));
        Some(Mark {
            part,
            step,
            n_facts_before: self.meter.work.n_facts_read,
            n_bytes_before: self.meter.watch_bytes(),
            start: measure.clock.map(|clock| clock()),
        })
    }

    /// Ends what was begun, given the rows it made and their bytes, as far as they are not held
    /// yet.
    pub(super) fn end_step(&mut self, mark: Option<Mark>, n_rows_out: usize, n_bytes: u64) {
        let (Some(mark), Some(measure)) = (mark, &mut self.measure) else { return };
        measure.open.pop();
        let ran = &mut measure.parts[mark.part][mark.step];
        ran.rows_out += n_rows_out as u64;
        ran.facts_read += self.meter.work.n_facts_read - mark.n_facts_before;
        let n_bytes_most = self.meter.n_bytes_most_with(n_bytes);
        ran.bytes_held = ran.bytes_held.max(n_bytes_most);
        self.meter.watch_bytes_on(mark.n_bytes_before.max(n_bytes_most));
        if let Some((clock, start)) = measure.clock.zip(mark.start) {
            let time = u64::try_from(clock().saturating_sub(start).as_nanos()).unwrap_or(u64::MAX);
            ran.time_ns = Some(ran.time_ns.unwrap_or(0).saturating_add(time));
        }
    }

    /// Begins to measure a round or a search of a table; its demand has just become recent.
    pub(super) fn begin_table(&mut self, table: usize) -> Option<Mark> {
        let n_asked = self.tables[table].demand.recent().len();
        self.begin_part(Part::Table(table), n_asked)
    }

    /// Ends it. What a table answers is counted in the end.
    pub(super) fn end_table(&mut self, mark: Option<Mark>) {
        self.end_step(mark, 0, 0);
    }
}
