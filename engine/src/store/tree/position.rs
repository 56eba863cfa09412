//! Places between the entries of a tree: seeking, ranges, and reading by whole leaves.

use std::ops::{self, ControlFlow};

use super::{Entries, Key, Keys, Leaf, Node, Tree};

/// A place between the entries of a tree that moves forward; borrows the tree, holds no stack.
///
/// It remembers one leaf and the *fence* after it, the least key that a later leaf can hold. What
/// lies in the leaf is reached by galloping (Bentley & Yao, "An almost optimal algorithm for
/// unbounded searching", 1976); what lies behind the fence by a descent from the root. So moves
/// that ascend cost like a merge where they are dense, and a search each where they are not.
///
/// Invariant, but inside [`Range`]: an entry follows, or the place is the end.
pub(in super::super) struct Position<'tree, K: Keys, I: Entries> {
    root: &'tree Node<K, I>,
    leaf: &'tree Leaf<K, I>,
    /// How many entries the leaf has.
    n: usize,
    next: usize,
    fence: Option<Key<K>>,
}

impl<'tree, K: Keys, I: Entries> Position<'tree, K, I> {
    /// The first key that is not below `from`, as far as its leaf: see [`Position::settle`].
    fn new(root: &'tree Node<K, I>, from: Option<Key<K>>) -> Self {
        let (mut node, mut fence) = (root, None);
        loop {
            match node {
                Node::Branch(branch) => {
                    let index = from.map_or(0, |from| branch.child_of(from));
                    fence = branch.fence_of(index).or(fence);
                    node = &branch.children[index].node;
                }
                Node::Leaf(leaf) => {
                    let n = leaf.keys.len();
                    let next = from.map_or(0, |from| leaf.keys.lower_bound(0, n, from));
                    return Position { root, leaf, n, next, fence };
                }
            }
        }
    }

    /// The place with `rank` entries before it, or the end.
    fn nth(root: &'tree Node<K, I>, mut rank: usize) -> Self {
        let (mut node, mut fence) = (root, None);
        loop {
            match node {
                Node::Branch(branch) => {
                    let mut index = 0;
                    while rank >= branch.children[index].count && index + 1 < branch.children.len()
                    {
                        rank -= branch.children[index].count;
                        index += 1;
                    }
                    fence = branch.fence_of(index).or(fence);
                    node = &branch.children[index].node;
                }
                Node::Leaf(leaf) => {
                    let n = leaf.keys.len();
                    return Position { root, leaf, n, next: rank.min(n), fence };
                }
            }
        }
    }

    /// Goes on to the next leaf when this one is used up and there is one.
    #[inline]
    fn settle(&mut self) {
        while self.next == self.n {
            let Some(fence) = self.fence else { return };
            *self = Position::new(self.root, Some(fence));
        }
    }

    /// The key after this place; none at the end.
    #[inline]
    pub(in super::super) fn key(&self) -> Option<Key<K>> {
        (self.next < self.n).then(|| self.leaf.keys.entry(self.next))
    }

    /// Goes behind the entry; stays at the end.
    #[inline]
    pub(in super::super) fn advance(&mut self) {
        if self.next < self.n {
            self.next += 1;
            self.settle();
        }
    }

    /// Goes forward to the first key that is not below `key`; stays if it has passed it.
    pub(in super::super) fn seek(&mut self, key: Key<K>) {
        if self.fence.is_some_and(|fence| fence <= key) {
            *self = Position::new(self.root, Some(key));
        } else if self.key().is_some_and(|next| next < key) {
            self.next = self.gallop(key);
        }
        self.settle();
    }

    /// The first place in the leaf whose key is not below `key`; that of the next one is. Looks
    /// 1, 2, 4, … keys ahead, then searches from the last place that was below.
    fn gallop(&self, key: Key<K>) -> usize {
        let (mut below, mut step) = (self.next, 1);
        while below + step < self.n && self.leaf.keys.entry(below + step) < key {
            below += step;
            step *= 2;
        }
        let end = (below + step).min(self.n);
        self.leaf.keys.lower_bound(below + 1, end, key)
    }
}

/// A search on its way down.
struct Descent<'tree, K: Keys, I: Entries> {
    root: &'tree Node<K, I>,
    node: &'tree Node<K, I>,
    fence: Option<Key<K>>,
    /// The width of the node.
    n: usize,
}

impl<K: Keys, I: Entries> Descent<'_, K, I> {
    /// Goes to the child that holds `key`; whether there was one.
    #[inline]
    fn step(&mut self, key: Key<K>) -> bool {
        let Node::Branch(branch) = self.node else { return false };
        let index = branch.child_of(key);
        self.fence = branch.fence_of(index).or(self.fence);
        self.node = &branch.children[index].node;
        true
    }
}

/// The keys of a range, ascending.
pub(in super::super) struct KeyRange<'tree, K: Keys, I: Entries>(Range<'tree, K, I>);

impl<K: Keys, I: Entries> Iterator for KeyRange<'_, K, I> {
    type Item = Key<K>;

    #[inline]
    fn next(&mut self) -> Option<Key<K>> {
        self.0.next_key()
    }
}

/// The entries of a range, ascending.
pub(in super::super) struct Range<'tree, K: Keys, I: Entries> {
    position: Position<'tree, K, I>,
    until: Option<Key<K>>,
}

impl<'tree, K: Keys, I: Entries> Range<'tree, K, I> {
    /// The keys alone: items are not unpacked for it.
    pub(in super::super) fn keys(self) -> KeyRange<'tree, K, I> {
        KeyRange(self)
    }

    /// The next key: its item is not unpacked.
    #[inline]
    pub(in super::super) fn next_key(&mut self) -> Option<Key<K>> {
        if !self.settle() {
            return None;
        }
        let key = self.position.key().filter(|key| !self.is_behind(*key))?;
        self.position.next += 1;
        Some(key)
    }

    /// Whether `key` lies behind the end of the range.
    #[inline]
    fn is_behind(&self, key: Key<K>) -> bool {
        self.until.is_some_and(|until| key >= until)
    }

    /// Goes to the next leaf, when this one is used up and the range does not end with it: a
    /// descent would be for nothing. Whether there is an entry in the leaf.
    #[inline]
    fn settle(&mut self) -> bool {
        let position = &mut self.position;
        while position.next == position.n {
            match position.fence {
                Some(fence) if self.until.is_none_or(|until| fence < until) => {
                    *position = Position::new(position.root, Some(fence));
                }
                _ => return false,
            }
        }
        true
    }

    /// Hands over what the range has of one leaf after the other, until told to stop: the leaf's
    /// keys, and which of them.
    pub(in super::super) fn for_each_leaf<Break>(
        mut self,
        mut take: impl FnMut(&K, ops::Range<usize>) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        while self.settle() {
            let Position { leaf, n, next, fence, .. } = self.position;
            let is_whole = self.until.is_none_or(|until| fence.is_some_and(|fence| fence <= until));
            let end = match self.until {
                Some(until) if !is_whole => leaf.keys.lower_bound(next, n, until),
                _ => n,
            };
            if next < end {
                take(&leaf.keys, next..end)?;
            }
            if end < n {
                break;
            }
            self.position.next = n;
        }
        ControlFlow::Continue(())
    }
}

impl<K: Keys, I: Entries> Iterator for Range<'_, K, I> {
    type Item = (Key<K>, I::Entry);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let key = self.next_key()?;
        Some((key, self.position.leaf.items.entry(self.position.next - 1)))
    }
}

impl<K: Keys, I: Entries> Tree<K, I> {
    /// All entries, ascending.
    pub(in super::super) fn iter(&self) -> Range<'_, K, I> {
        Range { position: Position::new(&self.root, None), until: None }
    }

    /// The entries in `from..until`, ascending. O(log n) to begin, no allocation.
    pub(in super::super) fn range(&self, from: Key<K>, until: Key<K>) -> Range<'_, K, I> {
        Range { position: Position::new(&self.root, Some(from)), until: Some(until) }
    }

    /// What [`Tree::range`] gives of each of these trees. The way down is gone together, one step
    /// of all trees after the other: the processor then waits for the nodes of a level at once,
    /// where one tree after the other it would wait for each alone.
    pub(in super::super) fn ranges<'tree>(
        trees: impl Iterator<Item = &'tree Self>,
        from: Key<K>,
        until: Key<K>,
    ) -> Vec<Range<'tree, K, I>>
    where
        K: 'tree,
        I: 'tree,
    {
        let mut descents: Vec<Descent<'tree, K, I>> = trees
            .map(|tree| Descent { root: &tree.root, node: &tree.root, fence: None, n: 0 })
            .collect();
        loop {
            // A node and what it leads to lie apart: this asks for all nodes, the next loop for
            // what they lead to.
            for descent in &mut descents {
                descent.n = descent.node.width();
            }
            let mut are_leaves = true;
            for descent in &mut descents {
                are_leaves &= !descent.step(from);
            }
            if are_leaves {
                break;
            }
        }
        let at_leaf = |descent: Descent<'tree, K, I>| {
            let Descent { root, node, fence, n } = descent;
            let Node::Leaf(leaf) = node else { unreachable!("the descents end at leaves") };
            let next = leaf.keys.lower_bound(0, n, from);
            Range { position: Position { root, leaf, n, next, fence }, until: Some(until) }
        };
        descents.into_iter().map(at_leaf).collect()
    }

    /// The least key that is not below `key`. O(log n).
    pub(in super::super) fn ceiling(&self, key: Key<K>) -> Option<Key<K>> {
        let mut position = Position::new(&self.root, Some(key));
        position.settle();
        position.key()
    }

    /// The place before the first entry.
    pub(in super::super) fn begin(&self) -> Position<'_, K, I> {
        let mut position = Position::new(&self.root, None);
        position.settle();
        position
    }

    /// The place with `rank` entries before it, or the end. O(log n).
    pub(in super::super) fn at(&self, rank: usize) -> Position<'_, K, I> {
        Position::nth(&self.root, rank)
    }
}
