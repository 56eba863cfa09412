//! A sorted map whose clone is a pointer: a copy-on-write B+-tree.
//!
//! It exists because a successor of a store is prepared while the published one is read: a write
//! copies the nodes on its path that others still hold, and nothing else. Entries live in leaves,
//! keys apart from items, so that a search touches keys only; how a leaf keeps its lists is for
//! [`Entries`] to say: plainly, or packed. Every branch knows how many entries each child has, so
//! ranks and range counts are exact and O(log n).
//!
//! Invariants: keys ascend strictly through all leaves; all leaves have one depth; a leaf has at
//! most [`LEAF_MAX`] entries and a branch at most [`BRANCH_MAX`] children, and, but for an empty
//! root, at least one; the keys of a child are not below its `from` and below that of the next one,
//! but nothing holds for the first `from` of a branch; `count` is the number of entries under the
//! child. Nodes that a removal leaves less than a quarter full are
//! filled from a neighbor; a node split by an append leaves its left half full, so ascending loads
//! make dense trees.
//!
//! Left out: concurrent writers, and iteration backwards.

mod entries;
mod position;

use std::sync::Arc;

pub(super) use entries::{Entries, Keys, Units};
pub(super) use position::{Position, Range};

/// The most entries of a leaf. Larger ones take less memory for what is not entries, and longer to
/// be copied when they are written.
pub(super) const LEAF_MAX: usize = 128;
/// The most children of a branch. A copy of a branch counts a reference to each of them.
const BRANCH_MAX: usize = 16;
/// Room for more children that a branch gets when it grows or is copied to be written.
const SLACK: usize = 4;

/// A sorted map with plain leaves.
pub(super) type Map<Key, Item> = Tree<Vec<Key>, Vec<Item>>;

/// The keys of a tree.
type Key<K> = <K as Entries>::Entry;

/// A sorted map; clones share what neither has changed.
#[derive(Clone)]
pub(super) struct Tree<K: Keys, I: Entries> {
    root: Arc<Node<K, I>>,
}

#[derive(Clone)]
enum Node<K: Keys, I: Entries> {
    Leaf(Leaf<K, I>),
    Branch(Branch<K, I>),
}

#[derive(Clone)]
struct Leaf<K, I> {
    keys: K,
    items: I,
}

struct Branch<K: Keys, I: Entries> {
    children: Vec<Child<K, I>>,
}

/// A child and what its parent knows of it, side by side: a search that has found the one key has
/// the node at hand.
struct Child<K: Keys, I: Entries> {
    from: Key<K>,
    count: usize,
    node: Arc<Node<K, I>>,
}

impl<K: Keys, I: Entries> Clone for Child<K, I> {
    fn clone(&self) -> Self {
        Child { from: self.from, count: self.count, node: Arc::clone(&self.node) }
    }
}

impl<K: Keys, I: Entries> Child<K, I> {
    fn new(from: Key<K>, node: Arc<Node<K, I>>) -> Self {
        Child { from, count: node.count(), node }
    }
}

/// A vector's clone with room for some more entries: it is copied because it is written.
fn clone_with_slack<T: Clone>(entries: &[T]) -> Vec<T> {
    let mut clone = Vec::with_capacity((entries.len() + SLACK).min(BRANCH_MAX + 1));
    clone.extend_from_slice(entries);
    clone
}

/// Inserts without the doubling of `Vec`, which would leave half of a node unused.
fn insert_tight<T>(entries: &mut Vec<T>, index: usize, entry: T) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact(SLACK);
    }
    entries.insert(index, entry);
}

impl<K: Keys, I: Entries> Clone for Branch<K, I> {
    fn clone(&self) -> Self {
        Branch { children: clone_with_slack(&self.children) }
    }
}

impl<K: Keys, I: Entries> Branch<K, I> {
    /// The child whose range holds `key`.
    #[inline]
    fn child_of(&self, key: Key<K>) -> usize {
        self.children[1..].partition_point(|child| child.from <= key)
    }

    /// The least key that children behind this one can hold.
    #[inline]
    fn fence_of(&self, index: usize) -> Option<Key<K>> {
        self.children.get(index + 1).map(|child| child.from)
    }

    /// Fills the child from its neighbor: joins the two, and parts them again if they are too
    /// many for one node. An empty child goes; an only child stays as it is.
    fn refill(&mut self, index: usize) {
        if self.children[index].node.width() == 0 {
            self.children.remove(index);
            return;
        }
        if self.children.len() == 1 {
            return;
        }
        let right = index.max(1);
        let Child { from, node, .. } = self.children.remove(right);
        let left = &mut self.children[right - 1];
        let joined = Arc::make_mut(&mut left.node);
        joined.append(from, Arc::unwrap_or_clone(node));
        let overflow = joined.is_overfull().then(|| joined.split_off(joined.width() / 2));
        left.count = left.node.count();
        if let Some(split) = overflow {
            insert_tight(&mut self.children, right, split);
        }
    }
}

impl<K: Keys, I: Entries> Node<K, I> {
    /// Entries of a leaf, children of a branch.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.keys.len(),
            Node::Branch(branch) => branch.children.len(),
        }
    }

    /// The greatest width.
    fn width_max(&self) -> usize {
        match self {
            Node::Leaf(_) => LEAF_MAX,
            Node::Branch(_) => BRANCH_MAX,
        }
    }

    fn is_overfull(&self) -> bool {
        self.width() > self.width_max()
    }

    /// Whether a removal left so few that the node is to be filled from a neighbor.
    fn is_sparse(&self) -> bool {
        self.width() < self.width_max() / 4
    }

    /// Entries in all leaves below.
    fn count(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.keys.len(),
            Node::Branch(branch) => branch.children.iter().map(|child| child.count).sum(),
        }
    }

    /// Parts the node before its entry or child `at`.
    fn split_off(&mut self, at: usize) -> Child<K, I> {
        match self {
            Node::Leaf(leaf) => {
                let right = Leaf { keys: leaf.keys.split_off(at), items: leaf.items.split_off(at) };
                Child::new(right.keys.entry(0), Arc::new(Node::Leaf(right)))
            }
            Node::Branch(branch) => {
                let right = Branch { children: branch.children.split_off(at) };
                Child::new(right.children[0].from, Arc::new(Node::Branch(right)))
            }
        }
    }

    /// Takes over the entries of the right neighbor, a node of the same depth whose parent knows
    /// it by `from`.
    fn append(&mut self, from: Key<K>, right: Node<K, I>) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                left.keys.append(right.keys);
                left.items.append(right.items);
            }
            (Node::Branch(left), Node::Branch(right)) => {
                let begin = left.children.len();
                left.children.extend(right.children);
                left.children[begin].from = from;
            }
            _ => unreachable!("all leaves have one depth"),
        }
    }

    /// Inserts below; returns the item replaced, and the right half if the node had to split.
    fn insert(
        self: &mut Arc<Self>,
        key: Key<K>,
        item: I::Entry,
    ) -> (Option<I::Entry>, Option<Child<K, I>>) {
        let node = Arc::make_mut(self);
        let (index, inserted) = match node {
            Node::Leaf(leaf) => match leaf.find(key) {
                Ok(index) => {
                    let replaced = leaf.items.entry(index);
                    leaf.items.set(index, item);
                    return (Some(replaced), None);
                }
                Err(index) => {
                    leaf.keys.insert(index, key);
                    leaf.items.insert(index, item);
                    (index, true)
                }
            },
            Node::Branch(branch) => {
                let index = branch.child_of(key);
                let child = &mut branch.children[index];
                let (replaced, split) = child.node.insert(key, item);
                if replaced.is_some() {
                    return (replaced, None);
                }
                match split {
                    None => {
                        child.count += 1;
                        (index, false)
                    }
                    Some(split) => {
                        child.count = child.node.count();
                        insert_tight(&mut branch.children, index + 1, split);
                        (index + 1, true)
                    }
                }
            }
        };
        if !inserted || !node.is_overfull() {
            return (None, None);
        }
        // An append keeps the left half full: ascending loads would leave all nodes half empty.
        let width = node.width();
        let at = if index == width - 1 { width - 1 } else { width / 2 };
        (None, Some(node.split_off(at)))
    }

    /// Exchanges an entry below for another one in the same place of the same leaf.
    fn exchange(self: &mut Arc<Self>, old: Key<K>, new: Key<K>, item: I::Entry) -> I::Entry {
        match Arc::make_mut(self) {
            Node::Leaf(leaf) => {
                let index = leaf.find(old).expect("the caller has seen the key");
                let before = leaf.items.entry(index);
                leaf.keys.set(index, new);
                leaf.items.set(index, item);
                before
            }
            Node::Branch(branch) => {
                let index = branch.child_of(old);
                branch.children[index].node.exchange(old, new, item)
            }
        }
    }

    /// Removes below; the key is there.
    fn remove(self: &mut Arc<Self>, key: Key<K>) -> I::Entry {
        match Arc::make_mut(self) {
            Node::Leaf(leaf) => {
                let index = leaf.find(key).expect("the caller has seen the key");
                let item = leaf.items.entry(index);
                leaf.keys.remove(index);
                leaf.items.remove(index);
                item
            }
            Node::Branch(branch) => {
                let index = branch.child_of(key);
                let child = &mut branch.children[index];
                let item = child.node.remove(key);
                child.count -= 1;
                if child.node.is_sparse() {
                    branch.refill(index);
                }
                item
            }
        }
    }
}

impl<K: Keys, I: Entries> Leaf<K, I> {
    /// The place of a key; where it belongs, if it is not there.
    #[inline]
    fn find(&self, key: Key<K>) -> Result<usize, usize> {
        let n = self.keys.len();
        let index = self.keys.lower_bound(0, n, key);
        match index < n && self.keys.entry(index) == key {
            true => Ok(index),
            false => Err(index),
        }
    }
}

impl<K: Keys, I: Entries> Default for Tree<K, I> {
    fn default() -> Self {
        Tree { root: Arc::new(Node::Leaf(Leaf { keys: K::pack(&[]), items: I::pack(&[]) })) }
    }
}

impl<K: Keys, I: Entries> Tree<K, I> {
    /// How many entries. O(1).
    pub(super) fn len(&self) -> usize {
        self.root.count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root.width() == 0
    }

    /// The item of a key. O(log n).
    pub(super) fn get(&self, key: Key<K>) -> Option<I::Entry> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch(branch) => node = &branch.children[branch.child_of(key)].node,
                Node::Leaf(leaf) => {
                    return leaf.find(key).ok().map(|index| leaf.items.entry(index));
                }
            }
        }
    }

    /// Puts an item; returns the one it replaces. O(log n).
    pub(super) fn insert(&mut self, key: Key<K>, item: I::Entry) -> Option<I::Entry> {
        let (replaced, split) = self.root.insert(key, item);
        if let Some(right) = split {
            // Nothing is asked of the first key of a branch.
            let left = Child::new(right.from, Arc::clone(&self.root));
            self.root = Arc::new(Node::Branch(Branch { children: vec![left, right] }));
        }
        replaced
    }

    /// Exchanges an entry for one whose key stands in the same place among the others, in one
    /// leaf: what neither counts nor branches notice. Returns the item replaced; none, and nothing
    /// has changed, when `old` is absent or `new` belongs elsewhere. O(log n).
    pub(super) fn exchange(
        &mut self,
        old: Key<K>,
        new: Key<K>,
        item: I::Entry,
    ) -> Option<I::Entry> {
        self.are_interchangeable(old, new).then(|| self.root.exchange(old, new, item))
    }

    /// Whether `old` is there and `new` can take its place.
    fn are_interchangeable(&self, old: Key<K>, new: Key<K>) -> bool {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch(branch) => {
                    let index = branch.child_of(old);
                    if branch.child_of(new) != index {
                        return false;
                    }
                    node = &branch.children[index].node;
                }
                Node::Leaf(leaf) => {
                    let Ok(index) = leaf.find(old) else { return false };
                    let n = leaf.keys.len();
                    return (index == 0 || leaf.keys.entry(index - 1) < new)
                        && (index + 1 == n || new < leaf.keys.entry(index + 1));
                }
            }
        }
    }

    /// Takes an item out. O(log n); copies nothing when the key is absent.
    pub(super) fn remove(&mut self, key: Key<K>) -> Option<I::Entry> {
        self.get(key)?;
        Some(self.take(key))
    }

    /// Takes an item out that is there. O(log n).
    ///
    /// # Panics
    /// When the key is absent.
    pub(super) fn take(&mut self, key: Key<K>) -> I::Entry {
        let item = self.root.remove(key);
        while let Node::Branch(branch) = &*self.root {
            match branch.children.as_slice() {
                [] => *self = Tree::default(),
                [only] => self.root = Arc::clone(&only.node),
                _ => break,
            }
        }
        item
    }

    /// How many keys are below `key`. O(log n).
    pub(super) fn rank(&self, key: Key<K>) -> usize {
        let (mut node, mut rank) = (&*self.root, 0);
        loop {
            match node {
                Node::Branch(branch) => {
                    let index = branch.child_of(key);
                    let (before, from) = branch.children.split_at(index);
                    rank += before.iter().map(|child| child.count).sum::<usize>();
                    node = &from[0].node;
                }
                Node::Leaf(leaf) => {
                    return rank + leaf.keys.lower_bound(0, leaf.keys.len(), key);
                }
            }
        }
    }

    /// How many keys are in `from..until`. O(log n).
    pub(super) fn count(&self, from: Key<K>, until: Key<K>) -> usize {
        self.rank(until).saturating_sub(self.rank(from))
    }

    /// A dense tree of these entries, in O(n).
    ///
    /// # Panics
    /// When the keys do not ascend strictly, or are not as many as the items.
    pub(super) fn from_sorted(keys: &[Key<K>], items: &[I::Entry]) -> Self {
        assert!(keys.is_sorted_by(|a, b| a < b), "keys ascend strictly");
        assert_eq!(keys.len(), items.len(), "every key has one item");
        let leaves = keys.chunks(LEAF_MAX).zip(items.chunks(LEAF_MAX)).map(|(keys, items)| {
            let leaf = Leaf { keys: K::pack(keys), items: I::pack(items) };
            Child::new(keys[0], Arc::new(Node::Leaf(leaf)))
        });
        let mut level: Vec<Child<K, I>> = leaves.collect();
        while level.len() > 1 {
            level = level.chunks(BRANCH_MAX).map(parent).collect();
        }
        level.pop().map_or_else(Tree::default, |child| Tree { root: child.node })
    }
}

/// The branch over some neighbors.
fn parent<K: Keys, I: Entries>(children: &[Child<K, I>]) -> Child<K, I> {
    let branch = Branch { children: children.to_vec() };
    Child::new(children[0].from, Arc::new(Node::Branch(branch)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Checks the invariants at the top of this file; returns (depth, entries).
    fn check(
        node: &Node<Vec<u32>, Vec<u32>>,
        from: Option<u32>,
        until: Option<u32>,
    ) -> (usize, usize) {
        let is_inside =
            |key: &u32| from.is_none_or(|from| from <= *key) && until.is_none_or(|u| *key < u);
        assert!((1..=node.width_max()).contains(&node.width()));
        match node {
            Node::Leaf(leaf) => {
                assert_eq!(leaf.keys.len(), leaf.items.len());
                assert!(leaf.keys.is_sorted_by(|a, b| a < b));
                assert!(leaf.keys.iter().all(is_inside));
                (0, leaf.keys.len())
            }
            Node::Branch(branch) => {
                assert!(branch.children[1..].iter().map(|child| &child.from).all(is_inside));
                let mut depths = Vec::new();
                for (index, child) in branch.children.iter().enumerate() {
                    let from = if index == 0 { from } else { Some(child.from) };
                    let until = branch.fence_of(index).or(until);
                    let (depth, count) = check(&child.node, from, until);
                    assert_eq!(count, child.count);
                    depths.push(depth);
                }
                depths.dedup();
                assert_eq!(depths.len(), 1);
                (depths[0] + 1, node.count())
            }
        }
    }

    fn assert_same(tree: &Map<u32, u32>, model: &BTreeMap<u32, u32>) {
        if !tree.is_empty() {
            check(&tree.root, None, None);
        }
        assert_eq!(tree.len(), model.len());
        assert!(tree.iter().eq(model.iter().map(|(key, item)| (*key, *item))));
    }

    /// Steps over a key space: ascending, descending or scattered runs of inserts and removals.
    #[derive(Debug, Clone)]
    enum Step {
        Insert { from: u32, n: u32, stride: u32 },
        Remove { from: u32, n: u32, stride: u32 },
        Clone,
    }

    const KEYS: u32 = 6_007;

    fn step() -> impl Strategy<Value = Step> {
        let run = || (0..KEYS, 0_u32..4_000, prop::sample::select(vec![1, KEYS - 1, 7, 1_009]));
        prop_oneof![
            4 => run().prop_map(|(from, n, stride)| Step::Insert { from, n, stride }),
            3 => run().prop_map(|(from, n, stride)| Step::Remove { from, n, stride }),
            1 => Just(Step::Clone),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn behaves_as_a_sorted_map_and_clones_stay(
            steps in prop::collection::vec(step(), 1..10),
            probes in prop::collection::vec((0..KEYS + 1, 0..KEYS + 1), 8),
        ) {
            let (mut tree, mut model) = (Map::default(), BTreeMap::new());
            let mut clones = Vec::new();
            for (item, step) in (0_u32..).zip(&steps) {
                match *step {
                    Step::Insert { from, n, stride } => for i in 0..n {
                        let key = (from + i * stride) % KEYS;
                        prop_assert_eq!(tree.insert(key, item), model.insert(key, item));
                    },
                    Step::Remove { from, n, stride } => for i in 0..n {
                        let key = (from + i * stride) % KEYS;
                        prop_assert_eq!(tree.remove(key), model.remove(&key));
                    },
                    Step::Clone => clones.push((tree.clone(), model.clone())),
                }
                assert_same(&tree, &model);
            }
            for (tree, model) in &clones {
                assert_same(tree, model);
            }
            for (from, until) in probes {
                prop_assert_eq!(tree.get(from), model.get(&from).copied());
                prop_assert_eq!(tree.rank(from), model.range(..from).count());
                let owned = |(key, item): (&u32, &u32)| (*key, *item);
                let expected: Vec<_> = model.range(from.min(until)..until).map(owned).collect();
                prop_assert_eq!(tree.count(from, until), expected.len());
                prop_assert_eq!(tree.range(from, until).collect::<Vec<_>>(), expected);
                let rank = from as usize;
                prop_assert_eq!(tree.at(rank).key(), model.keys().nth(rank).copied());
                let mut position = tree.at(rank);
                position.seek(until);
                let reached = model.keys().nth(rank).map(|key| *key.max(&until));
                let expected = reached.and_then(|key| model.range(key..).next()).map(owned);
                prop_assert_eq!(position.key(), expected.map(|(key, _)| key));
                prop_assert_eq!(tree.ceiling(until), model.range(until..).next().map(|(key, _)| *key));
                position.advance();
                let next = expected.and_then(|(key, _)| model.range(key + 1..).next());
                prop_assert_eq!(position.key(), next.map(|(key, _)| *key));
            }
        }

        #[test]
        fn building_from_sorted_entries_is_inserting_them(n in 0_u32..20_000) {
            let model: BTreeMap<u32, u32> = (0..n).map(|key| (key * 2, key)).collect();
            let (keys, items): (Vec<u32>, Vec<u32>) = model.clone().into_iter().unzip();
            let mut tree: Map<u32, u32> = Tree::from_sorted(&keys, &items);
            assert_same(&tree, &model);
            prop_assert_eq!(tree.insert(n, 7), model.get(&n).copied());
            prop_assert_eq!(tree.get(n), Some(7));
        }
    }

    #[test]
    fn ascending_loads_make_full_leaves() {
        let mut tree = Map::default();
        for key in 0..64_000_u32 {
            tree.insert(key, key);
        }
        let mut n_leaves = 0;
        let mut level = vec![&*tree.root];
        while let Some(node) = level.pop() {
            match node {
                Node::Leaf(_) => n_leaves += 1,
                Node::Branch(branch) => level.extend(branch.children.iter().map(|c| &*c.node)),
            }
        }
        assert_eq!(n_leaves, 64_000 / LEAF_MAX);
    }
}
