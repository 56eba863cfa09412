//! The meter: counts work, and stops an evaluation that goes over its budget.
//!
//! Counters are checked at least every [`CHECK_EVERY`] rows. What is over budget is reported with
//! the rule and clause that was being evaluated and with what had been done. What that is, steps
//! note by number; a text is made of it only for an error.

use std::ops::Range;

use crate::answer::Work;
use crate::error::QueryError;
use crate::limits::{self, Budget};
use crate::program::RuleId;
use crate::program::raw::PullId;

/// The most rows and facts that a step makes before it tells the meter.
pub(crate) const BLOCK: u64 = limits::BLOCK as u64;

/// Rows between two looks at the interrupt.
const CHECK_EVERY: u64 = BLOCK;

/// Bytes that take a function about as long as a row takes a step.
const BYTES_AS_ROW: u64 = 64;

/// What is being evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// The inputs are read.
    Inputs,
    /// The query's own body, or a definition of a rule; one of its goals.
    Body { of: Option<(RuleId, u32)>, goal: Option<u32> },
    /// A recursion as a whole: its search, or its next round.
    Search(RuleId),
    /// Rows become the answer.
    Result,
    /// A tree is pulled.
    Pull(PullId),
}

/// Counts the work of one evaluation.
pub(crate) struct Meter {
    budget: Budget,
    pub(crate) work: Work,
    /// Bytes of tables and of the batches being made.
    n_bytes: u64,
    /// The most that they were before any was given back.
    n_bytes_most: u64,
    n_bytes_gone_through: u64,
    next_check: u64,
    /// Calls of functions that had no result.
    pub(crate) n_without_result: u64,
    pub(crate) doing: Doing,
}

impl Meter {
    pub(crate) fn new(budget: &Budget) -> Meter {
        Meter {
            budget: budget.clone(),
            work: Work::default(),
            n_bytes: 0,
            n_bytes_most: 0,
            n_bytes_gone_through: 0,
            next_check: CHECK_EVERY,
            n_without_result: 0,
            doing: Doing::Inputs,
        }
    }

    /// Takes note of one more row, looking at the limits now and then.
    pub(crate) fn made_row(&mut self) -> Result<(), QueryError> {
        self.made_rows(1)
    }

    /// Takes note of more rows.
    pub(crate) fn made_rows(&mut self, n_rows: u64) -> Result<(), QueryError> {
        self.work.n_rows_made += n_rows;
        self.look()
    }

    /// Takes note of one more row of a batch that is being made, and of the bytes it has now.
    pub(crate) fn made_row_in(&mut self, batch_bytes: u64) -> Result<(), QueryError> {
        self.room_for(batch_bytes)?;
        self.made_row()
    }

    /// Takes note of bytes that functions and aggregates go through: where values are long, or
    /// groups large, it is not rows that take the time.
    pub(crate) fn went_through(&mut self, n_bytes: u64) -> Result<(), QueryError> {
        self.n_bytes_gone_through = self.n_bytes_gone_through.saturating_add(n_bytes);
        self.look()
    }

    /// Takes note of facts read.
    pub(crate) fn read_facts(&mut self, n_facts: u64) -> Result<(), QueryError> {
        self.work.n_facts_read += n_facts;
        self.look()
    }

    /// Takes note of nodes that a search went through.
    pub(crate) fn went_through_nodes(&mut self, n_nodes: u64) -> Result<(), QueryError> {
        self.went_through(n_nodes * BYTES_AS_ROW)
    }

    fn look(&mut self) -> Result<(), QueryError> {
        let n_bytes_as_rows = self.n_bytes_gone_through / BYTES_AS_ROW;
        let n_done = self.work.n_rows_made + self.work.n_facts_read + n_bytes_as_rows;
        if n_done < self.next_check {
            return Ok(());
        }
        self.next_check = n_done + CHECK_EVERY;
        self.check()
    }

    /// Looks at the limits.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if self.budget.rows.is_some_and(|limit| self.work.n_rows_made > limit) {
            let hint = "select less, or bind more of the rule's arguments";
            return Err(self.over(format!("{} rows", self.budget.rows.unwrap_or(0)), hint));
        }
        if self.budget.interrupt.as_ref().is_some_and(|interrupt| interrupt()) {
            return Err(QueryError::stopped(self.work));
        }
        self.check_bytes()
    }

    /// Looks at whether a batch of so many bytes still fits.
    pub(crate) fn room_for(&self, n_bytes: u64) -> Result<(), QueryError> {
        match self.budget.bytes {
            Some(limit) if self.n_bytes.saturating_add(n_bytes) > limit => self.over_bytes(limit),
            _ => Ok(()),
        }
    }

    fn check_bytes(&self) -> Result<(), QueryError> {
        match self.budget.bytes {
            Some(limit) if self.n_bytes > limit => self.over_bytes(limit),
            _ => Ok(()),
        }
    }

    fn over_bytes(&self, limit: u64) -> Result<(), QueryError> {
        Err(self.over(format!("{limit} bytes"), "select less, or aggregate earlier"))
    }

    /// Takes note of memory taken.
    pub(crate) fn hold(&mut self, n_bytes: u64) -> Result<(), QueryError> {
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        self.check_bytes()
    }

    /// Takes note of memory given back.
    pub(crate) fn release(&mut self, n_bytes: u64) {
        self.n_bytes_most = self.n_bytes_most.max(self.n_bytes);
        self.n_bytes = self.n_bytes.saturating_sub(n_bytes);
    }

    /// The most memory held since [`Meter::watch_bytes`], given what is held besides now.
    pub(crate) fn n_bytes_most_with(&self, n_bytes: u64) -> u64 {
        self.n_bytes_most.max(self.n_bytes.saturating_add(n_bytes))
    }

    /// Begins to watch how much memory is held at most; what it was until now.
    pub(crate) fn watch_bytes(&mut self) -> u64 {
        std::mem::replace(&mut self.n_bytes_most, 0)
    }

    /// Goes on to watch where `before` came from.
    pub(crate) fn watch_bytes_on(&mut self, before: u64) {
        self.n_bytes_most = self.n_bytes_most.max(before);
    }

    /// Looks at the limits once in a block, for a loop that is at `index`.
    #[inline]
    pub(crate) fn check_at(&self, index: usize) -> Result<(), QueryError> {
        if (index as u64 + 1).is_multiple_of(BLOCK) { self.check() } else { Ok(()) }
    }

    /// Hands over the positions below `n` in blocks, and looks at the limits after each full one.
    #[inline]
    pub(crate) fn in_blocks(
        &self,
        n: usize,
        visit: impl FnMut(Range<usize>),
    ) -> Result<(), QueryError> {
        self.in_blocks_of(0..n, visit)
    }

    /// The same for a range of positions.
    #[inline]
    pub(crate) fn in_blocks_of(
        &self,
        positions: Range<usize>,
        mut visit: impl FnMut(Range<usize>),
    ) -> Result<(), QueryError> {
        let Range { mut start, end: last } = positions;
        while start < last {
            let end = last.min(start + limits::BLOCK);
            visit(start..end);
            if end - start == limits::BLOCK {
                self.check()?;
            }
            start = end;
        }
        Ok(())
    }

    /// A vector of what is made of each of some items, with a look at the limits for each block.
    #[inline]
    pub(crate) fn map<Item, Made>(
        &self,
        items: &[Item],
        mut make: impl FnMut(&Item) -> Made,
    ) -> Result<Vec<Made>, QueryError> {
        let mut made = Vec::with_capacity(items.len());
        self.in_blocks(items.len(), |block| made.extend(items[block].iter().map(&mut make)))?;
        Ok(made)
    }

    /// Takes note of one round of a fixpoint, the `n_rounds`th of its run.
    pub(crate) fn made_round(&mut self, n_rounds: u64) -> Result<(), QueryError> {
        self.work.n_rounds += 1;
        match self.budget.rounds {
            Some(limit) if n_rounds > limit => {
                let hint = "does the recursion make new values without end?";
                Err(self.over(format!("{limit} rounds"), hint))
            }
            _ => self.check(),
        }
    }

    fn over(&self, limit: String, hint: &str) -> QueryError {
        QueryError::over(limit, self.work, hint)
    }
}

/// What a search has done since the meter heard of it last: nodes it met, rows it made.
pub(crate) struct Unpaid {
    n_rows_before: usize,
    n_met: usize,
}

impl Unpaid {
    /// Nothing yet; so many rows were there before.
    pub(crate) fn since(n_rows_before: usize) -> Unpaid {
        Unpaid { n_rows_before, n_met: 0 }
    }

    /// Takes note of nodes met; whether it is time to pay.
    #[inline]
    pub(crate) fn met(&mut self, n_met: usize) -> bool {
        self.n_met += n_met;
        self.n_met >= BLOCK as usize
    }

    /// Takes note of nodes met, and pays when it is time; `n_rows` are there now.
    #[inline]
    pub(crate) fn pass(
        &mut self,
        n_met: usize,
        n_rows: usize,
        meter: &mut Meter,
    ) -> Result<(), QueryError> {
        if self.met(n_met) { self.pay(n_rows, meter) } else { Ok(()) }
    }

    /// Tells the meter what it has not heard yet; `n_rows` are there now.
    #[inline(never)]
    pub(crate) fn pay(&mut self, n_rows: usize, meter: &mut Meter) -> Result<(), QueryError> {
        meter.went_through_nodes(self.n_met as u64)?;
        meter.made_rows((n_rows - self.n_rows_before) as u64)?;
        *self = Unpaid::since(n_rows);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How often the limits are looked at while something is done.
    pub(in crate::eval) fn n_looks<T>(
        act: impl FnOnce(&mut Meter) -> Result<T, QueryError>,
    ) -> usize {
        let n_looks = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&n_looks);
        let interrupt = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        };
        let budget = Budget { interrupt: Some(Arc::new(interrupt)), ..Budget::unlimited() };
        act(&mut Meter::new(&budget)).unwrap();
        n_looks.load(Ordering::Relaxed)
    }

    #[test]
    fn blocks_cover_all_and_each_is_followed_by_a_look() {
        for n in [0, 1, 1_023, 1_024, 1_025, 5_000] {
            let mut seen = Vec::new();
            let looks = n_looks(|meter| meter.in_blocks(n, |block| seen.extend(block)));
            assert!(seen.into_iter().eq(0..n));
            assert_eq!(looks, n / 1_024);
        }
    }
}
