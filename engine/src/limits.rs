//! Budgets: how much work an evaluation may do, and how it is told to stop.
//!
//! The engine has no clock: time arrives as an [`Interrupt`] that is asked now and then. Rows,
//! bytes and rounds are counted, so a budget on them gives the same verdict on every machine.

use std::fmt;
use std::sync::Arc;

/// Rows, facts or other items that are gone through between two looks at the limits, at most.
pub(crate) const BLOCK: usize = 1_024;

/// Asked at least every 1,024 rows, whatever is done with them; `true` stops the evaluation.
///
/// Two things look at no rows of an evaluation and are always finished: the plan of a body, of which
/// the clauses are limited, and the order by value of an attribute that nobody has asked for by
/// value before, which is kept for all.
pub type Interrupt = Arc<dyn Fn() -> bool + Send + Sync>;

/// The most an evaluation may do; `None` is no limit.
#[derive(Clone, Default)]
pub struct Budget {
    /// Rows made by all steps together.
    pub rows: Option<u64>,
    /// Bytes held by tables, intermediate rows, and values that functions made.
    pub bytes: Option<u64>,
    /// Rounds of any one fixpoint; a transitive closure that is found by searching is one.
    pub rounds: Option<u64>,
    /// Cancellation and time.
    pub interrupt: Option<Interrupt>,
}

impl Budget {
    /// No limit at all: what an embedding program gets unless it asks.
    pub fn unlimited() -> Budget {
        Budget::default()
    }

    /// Whether another one allows the same and is asked the same way to stop.
    pub(crate) fn is_same(&self, other: &Budget) -> bool {
        let is_same_interrupt = match (&self.interrupt, &other.interrupt) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        (self.rows, self.bytes, self.rounds) == (other.rows, other.bytes, other.rounds)
            && is_same_interrupt
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("rows", &self.rows)
            .field("bytes", &self.bytes)
            .field("rounds", &self.rounds)
            .field("interrupt", &self.interrupt.is_some())
            .finish()
    }
}
