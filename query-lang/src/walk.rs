//! A guarded walk over a program that nobody has checked.
//!
//! A program from the wire may name clauses that are not there, share one between many parents
//! or nest them beyond any stack. Each clause and pull pattern is handed out once, in range and
//! to a bounded depth, so showing any program ends and costs no more than its size.

use tercet_engine::program::raw::{ClauseId, PullId, RawClause, RawProgram, RawPull};

pub(crate) struct Walk<'p> {
    program: &'p RawProgram,
    clause_shown: Vec<bool>,
    pull_shown: Vec<bool>,
    n_levels: usize,
}

impl<'p> Walk<'p> {
    pub(crate) fn new(program: &'p RawProgram) -> Walk<'p> {
        Walk {
            program,
            clause_shown: vec![false; program.clauses.len()],
            pull_shown: vec![false; program.pulls.len()],
            n_levels: 0,
        }
    }

    /// Enters a clause; none if it is damaged. Each entry needs its [`Walk::leave`].
    pub(crate) fn clause(&mut self, id: ClauseId) -> Option<&'p RawClause> {
        let index = id.0 as usize;
        if !first_time(&mut self.clause_shown, index) || !self.enter() {
            return None;
        }
        self.program.clauses.get(index)
    }

    /// Enters a pull pattern; none if it is damaged. Each entry needs its [`Walk::leave`].
    pub(crate) fn pull(&mut self, id: PullId) -> Option<&'p RawPull> {
        let index = id.0 as usize;
        if !first_time(&mut self.pull_shown, index) || !self.enter() {
            return None;
        }
        self.program.pulls.get(index)
    }

    pub(crate) fn leave(&mut self) {
        self.n_levels -= 1;
    }

    fn enter(&mut self) -> bool {
        let is_shallow = self.n_levels < crate::NESTING_MAX;
        self.n_levels += usize::from(is_shallow);
        is_shallow
    }
}

fn first_time(shown: &mut [bool], index: usize) -> bool {
    shown.get_mut(index).is_some_and(|shown| !std::mem::replace(shown, true))
}
