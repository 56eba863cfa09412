//! How many different entities and values an attribute has, roughly: for planners only.
//!
//! Up to [`SAMPLE`] facts are looked at, in short runs spread evenly over the attribute, and fewer
//! are counted exactly. In sorted order the share of facts that begin a new first cell tells the
//! number of first cells. Values that do not refer are sampled in the order by entity, so that
//! asking never builds the other order and the estimate does not depend on whether it is there;
//! the sample is scaled by the estimator of Haas, Naughton, Seshadri and Stokes ("Sampling-based
//! estimation of the number of distinct values of an attribute", VLDB 1995):
//! `d / (1 − (1 − q) · f₁ / r)` with `d` different values and `f₁` single ones in a sample of `r`,
//! a share `q` of all. Nothing but the order of a plan may depend on what is said here.

use crate::intern::Cell;

use super::pairs::{Pair, Pairs};
use super::tree::{Entries, Tree};

/// How many facts are looked at, at most.
const SAMPLE: usize = 1_024;
/// Facts that are looked at together.
const RUN: usize = 16;

/// Keys of a tree: all, or runs of [`RUN`] of them, each key with the one before it in its run.
fn sample<I: Entries>(tree: &Tree<Pairs, I>) -> Vec<(Option<Pair>, Pair)> {
    let n_runs = SAMPLE / RUN;
    let starts: Vec<usize> = match tree.len() <= SAMPLE {
        true => vec![0],
        // A run's first key only tells what the second is compared with.
        false => (0..n_runs).map(|run| run * (tree.len() - RUN - 1) / (n_runs - 1)).collect(),
    };
    let n_each = if starts.len() == 1 { SAMPLE } else { RUN + 1 };
    let mut keys = Vec::with_capacity(SAMPLE);
    for start in starts {
        let (mut position, mut before) = (tree.at(start), None);
        for _ in 0..n_each {
            let Some(pair) = position.key() else { break };
            if before.is_some() || start == 0 {
                keys.push((before, pair));
            }
            before = Some(pair);
            position.advance();
        }
    }
    keys
}

/// `part / whole` of `n`, rounded; at least 1 when anything was found.
fn scaled(n: usize, part: usize, whole: usize) -> u64 {
    let estimate = (n as f64 * part as f64 / whole.max(1) as f64).round() as u64;
    estimate.clamp(u64::from(part > 0), n as u64)
}

/// How many different first cells the keys of a tree have.
pub(super) fn distinct_firsts<I: Entries>(tree: &Tree<Pairs, I>) -> u64 {
    let keys = sample(tree);
    let is_new = |(before, pair): &&(Option<Pair>, Pair)| {
        before.is_none_or(|before| before.first() != pair.first())
    };
    scaled(tree.len(), keys.iter().filter(is_new).count(), keys.len())
}

/// How many different second cells that do not refer the keys of a tree have; `n` of all do not.
pub(super) fn distinct_others<I: Entries>(tree: &Tree<Pairs, I>, n: usize) -> u64 {
    let seconds = sample(tree).into_iter().map(|(_, pair)| pair.second());
    let mut values: Vec<Cell> = seconds.filter(|value| !value.is_ref()).collect();
    values.sort_unstable();
    let n_sampled = values.len();
    let (mut n_distinct, mut n_single) = (0, 0);
    for equal in values.chunk_by(|a, b| a == b) {
        n_distinct += 1;
        n_single += usize::from(equal.len() == 1);
    }
    if n_sampled == 0 || n_sampled >= n {
        return n_distinct as u64;
    }
    let share = n_sampled as f64 / n as f64;
    let unseen = (1.0 - share) * n_single as f64 / n_sampled as f64;
    let estimate = (n_distinct as f64 / (1.0 - unseen)).round() as u64;
    estimate.clamp(n_distinct as u64, n as u64)
}

/// How many keys of a tree have this second cell, of which they have `n_different`: as many as a
/// sample tells, if it has enough of them, else as many as second cells have on average.
pub(super) fn holders<I: Entries>(tree: &Tree<Pairs, I>, second: Cell, n_different: u64) -> u64 {
    /// Fewer may be in a sample by chance.
    const ENOUGH: usize = 4;
    let keys = sample(tree);
    let n_found = keys.iter().filter(|(_, pair)| pair.second() == second).count();
    if tree.len() <= SAMPLE {
        return n_found as u64;
    }
    let average = tree.len() as u64 / n_different.max(1);
    match n_found < ENOUGH {
        true => average.min(scaled(tree.len(), ENOUGH, keys.len())).max(1),
        false => scaled(tree.len(), n_found, keys.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::pairs::PairSet;

    fn tree(n: u64, second: impl Fn(u64) -> u64, per_first: u64) -> PairSet {
        let pair = |i| Pair::new(Cell(i / per_first), Cell(second(i) + i % per_first));
        let pairs: Vec<Pair> = (0..n).map(pair).collect();
        PairSet::from_sorted(&pairs, &vec![(); pairs.len()])
    }

    #[test]
    fn small_trees_are_counted() {
        for n in [0, 1, 2, 1_000, SAMPLE as u64] {
            let tree = tree(n, |i| i / 3 % 7 * 10, 3);
            assert_eq!(distinct_firsts(&tree), n.div_ceil(3));
            let values: std::collections::BTreeSet<_> =
                tree.iter().map(|(pair, ())| pair.second()).collect();
            assert_eq!(distinct_others(&tree, n as usize), values.len() as u64);
        }
    }

    #[test]
    fn frequent_values_are_told_from_rare_ones() {
        let small = tree(1_000, |i| i % 7 * 10, 1);
        for value in 0..70 {
            let expected = (0..1_000).filter(|i| i % 7 * 10 == value).count();
            assert_eq!(holders(&small, Cell(value), 7), expected as u64);
        }
        // Half of the facts have one value, the others one each.
        let large = tree(100_000, |i| if i % 2 == 0 { 0 } else { i }, 1);
        assert!(holders(&large, Cell(0), 50_000).abs_diff(50_000) < 10_000);
        assert!(holders(&large, Cell(501), 50_000) <= 2);
        let even = tree(100_000, |i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 8, 1);
        assert!(holders(&even, Cell(5), 8).abs_diff(12_500) < 4_000);
    }

    #[test]
    fn large_trees_are_estimated_within_a_third() {
        let is_near = |estimate: u64, truth: u64| {
            assert!(estimate.abs_diff(truth) <= truth / 3, "{estimate} for {truth}");
        };
        let n = 100_000;
        for per_first in [1, 2, 10] {
            is_near(distinct_firsts(&tree(n, |_| 0, per_first)), n / per_first);
        }
        // Multiplying by an odd number scatters; it is what no order of the facts explains.
        let scattered =
            |n_values: u64| move |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % n_values;
        for n_values in [1, 8, 100] {
            is_near(distinct_others(&tree(n, scattered(n_values), 1), n as usize), n_values);
        }
        is_near(distinct_others(&tree(n, |i| i, 1), n as usize), n);
    }
}
