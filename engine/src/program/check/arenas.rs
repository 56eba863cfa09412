//! The form of a flat program: its arenas are trees of bounded depth and size.
//!
//! A peer may have sent the program, so nothing that follows ids may run before this: after it,
//! every id is in range, children stand before their parents, each clause is used once, and
//! recursion over clauses or pull patterns is at most [`NESTING_MAX`] deep. What the clauses say
//! is left to the other files.

use super::error;
use crate::program::error::ProgramError;
use crate::program::raw::{
    ClauseId, Place, PullId, RawClause, RawProgram, RawPullItem, RawPullNested,
};

/// The most clauses of a program, rules included.
pub const CLAUSES_MAX: usize = 1_024;
/// The deepest nesting of clauses or pull patterns.
pub const NESTING_MAX: usize = 32;

/// Checks that the arenas form trees of bounded depth: children before parents, each used once.
pub(super) fn check_arenas(raw: &RawProgram, errors: &mut Vec<ProgramError>) {
    let malformed = |place, what: &str| error(place, "query_malformed", what, None);
    // A rule has at least one clause.
    let n_clauses = raw.clauses.len().max(raw.rules.len());
    if n_clauses > CLAUSES_MAX {
        let message = format!("{n_clauses} clauses, at most {CLAUSES_MAX} are allowed");
        errors.push(error(Place::Query, "query_too_large", message, None));
        return;
    }
    let mut used = vec![false; raw.clauses.len()];
    let mut depth = vec![1_usize; raw.clauses.len()];
    let mut take = |id: ClauseId, parent: Option<usize>, errors: &mut Vec<ProgramError>| {
        let index = id.0 as usize;
        let in_order = parent.is_none_or(|parent| index < parent);
        match used.get_mut(index) {
            Some(used) if in_order && !*used => *used = true,
            _ => errors.push(malformed(Place::Clause(id), "a clause is not the child of one")),
        }
    };
    for (index, clause) in raw.clauses.iter().enumerate() {
        let children: Vec<ClauseId> = match clause {
            RawClause::Not { body, .. } => body.clone(),
            RawClause::Or { branches, .. } => branches.concat(),
            _ => Vec::new(),
        };
        for child in children {
            take(child, Some(index), errors);
            let below = depth.get(child.0 as usize).copied().unwrap_or(0);
            depth[index] = depth[index].max(below + 1);
        }
        if depth[index] > NESTING_MAX {
            let place = Place::Clause(ClauseId(index as u32));
            let message = format!("clauses are nested deeper than {NESTING_MAX}");
            errors.push(error(place, "query_too_deep", message, None));
            return;
        }
    }
    let rule_bodies = raw.rules.iter().flat_map(|rule| &rule.body);
    for id in raw.body.iter().chain(rule_bodies) {
        take(*id, None, errors);
    }
    check_pull_arena(raw, errors);
}

fn check_pull_arena(raw: &RawProgram, errors: &mut Vec<ProgramError>) {
    let mut depth = vec![1_usize; raw.pulls.len()];
    for (index, pull) in raw.pulls.iter().enumerate() {
        let place = Place::Pull(PullId(index as u32));
        for item in &pull.items {
            let RawPullItem::Attribute { nested: RawPullNested::Pattern(child), .. } = item else {
                continue;
            };
            let child = child.0 as usize;
            if child >= index {
                let message = "a pull pattern must come after the patterns it holds";
                errors.push(error(place, "query_malformed", message, None));
                return;
            }
            depth[index] = depth[index].max(depth[child] + 1);
        }
        if depth[index] > NESTING_MAX {
            let message = format!("pull patterns are nested deeper than {NESTING_MAX}");
            errors.push(error(place, "query_too_deep", message, None));
        }
    }
}
