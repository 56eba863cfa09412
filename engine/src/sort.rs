//! Sorting by comparison, in blocks: long sorts can be stopped.
//!
//! It exists because the sorts of the standard library cannot be left half done, and a sort of a
//! million texts takes a second. Blocks are sorted by the standard library, then merged in pairs
//! (Knuth, TAOCP vol. 3, 5.2.4), with a question after each block of items whether to go on. It is
//! stable. What asks to stop is left out: an evaluation's meter, mostly.

use std::cmp::Ordering;

use crate::limits::BLOCK;

/// Sorts items by an order, stably.
///
/// # Errors
/// What `check` gives, which is asked for each block of items that a pass has moved; the items are
/// then dropped.
pub(crate) fn sort_by<Item: Copy, Error>(
    mut items: Vec<Item>,
    compare: impl Fn(&Item, &Item) -> Ordering,
    check: impl Fn() -> Result<(), Error>,
) -> Result<Vec<Item>, Error> {
    for block in items.chunks_mut(BLOCK) {
        block.sort_by(&compare);
        if block.len() == BLOCK {
            check()?;
        }
    }
    let mut merged = Vec::new();
    let mut run = BLOCK;
    while run < items.len() {
        merged.clear();
        merged.reserve(items.len());
        for pair in items.chunks(2 * run) {
            let (left, right) = pair.split_at(run.min(pair.len()));
            merge(left, right, &mut merged, &compare, &check)?;
        }
        std::mem::swap(&mut items, &mut merged);
        run *= 2;
    }
    Ok(items)
}

/// Appends the items of two sorted runs in their order; of equal ones those of the left come first.
fn merge<'run, Item: Copy, Error>(
    mut left: &'run [Item],
    mut right: &'run [Item],
    merged: &mut Vec<Item>,
    compare: &impl Fn(&Item, &Item) -> Ordering,
    check: &impl Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let in_order = |a: &Item, b: &Item| compare(a, b).is_le();
    // Runs that follow each other are not compared item by item: much comes sorted.
    let are_apart = left.last().zip(right.first()).is_none_or(|(a, b)| in_order(a, b));
    while !are_apart && !left.is_empty() && !right.is_empty() {
        for _ in 0..BLOCK {
            let (Some(a), Some(b)) = (left.first(), right.first()) else { break };
            let side = if in_order(a, b) { &mut left } else { &mut right };
            merged.push(side[0]);
            *side = &side[1..];
        }
        check()?;
    }
    for block in left.chunks(BLOCK).chain(right.chunks(BLOCK)) {
        merged.extend_from_slice(block);
        if block.len() == BLOCK {
            check()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Items of which many are equal but for where they stood.
    fn items(n: usize) -> Vec<(u32, usize)> {
        (0..n).map(|index| ((index as u32).wrapping_mul(2_654_435_761) >> 22, index)).collect()
    }

    #[test]
    fn items_are_in_order_and_equal_ones_as_they_were() {
        for n in [0, 1, BLOCK, BLOCK + 1, 5 * BLOCK - 3, 8 * BLOCK] {
            let by_key = |a: &(u32, usize), b: &(u32, usize)| a.0.cmp(&b.0);
            let mut expected = items(n);
            expected.sort_by(by_key);
            assert_eq!(sort_by(items(n), by_key, || Ok::<_, ()>(())), Ok(expected));
        }
    }

    /// In whatever order items come, each pass asks once for each block.
    #[test]
    fn every_pass_asks_for_each_block() {
        let n = 64 * BLOCK;
        let ascending: Vec<(u32, usize)> = (0..n).map(|index| (index as u32, index)).collect();
        for items in [items(n), ascending] {
            let n_asked = Cell::new(0);
            let check = || {
                n_asked.set(n_asked.get() + 1);
                Ok::<_, ()>(())
            };
            assert!(sort_by(items, Ord::cmp, check).is_ok());
            let n_passes = 1 + 6;
            assert!(n_asked.get() >= n_passes * 64, "{} times", n_asked.get());
        }
    }

    #[test]
    fn it_stops_where_it_is_told_to() {
        let n_left = Cell::new(100);
        let check = || {
            n_left.set(n_left.get() - 1);
            if n_left.get() == 0 { Err("enough") } else { Ok(()) }
        };
        assert_eq!(sort_by(items(64 * BLOCK), Ord::cmp, check), Err("enough"));
    }
}
