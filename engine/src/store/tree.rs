//! A sorted map whose clone is a pointer: a copy-on-write B+-tree.
//!
//! It exists because a successor of a store is prepared while the published one is read: a write
//! copies the nodes on its path that others still hold, and nothing else. Entries live in leaves,
//! keys apart from items, so that a search touches keys only. Every branch knows how many entries
//! each child has, so ranks and range counts are exact and O(log n).
//!
//! Invariants: keys ascend strictly through all leaves; all leaves have one depth; a node has at
//! most [`CAPACITY`] entries and, but for an empty root, at least one; the keys of child `i` lie
//! in `splits[i - 1]..splits[i]`; `counts[i]` is the number of entries under child `i`. Nodes that
//! a removal leaves less than a quarter full are filled from a neighbor; a node split by an append
//! leaves its left half full, so ascending loads make dense trees.
//!
//! Left out: concurrent writers, and iteration backwards.

use std::sync::Arc;

/// The most entries of a leaf, and children of a branch.
const CAPACITY: usize = 64;
/// Below this a removal fills the node from a neighbor.
const FILL_MIN: usize = CAPACITY / 4;
/// Room for more entries that a node gets when it grows or is copied to be written.
const SLACK: usize = 8;

/// A sorted map; clones share what neither has changed.
#[derive(Clone)]
pub(crate) struct Tree<Key, Item> {
    root: Arc<Node<Key, Item>>,
}

#[derive(Clone)]
enum Node<Key, Item> {
    Leaf(Leaf<Key, Item>),
    Branch(Branch<Key, Item>),
}

struct Leaf<Key, Item> {
    keys: Vec<Key>,
    items: Vec<Item>,
}

struct Branch<Key, Item> {
    splits: Vec<Key>,
    children: Vec<Arc<Node<Key, Item>>>,
    counts: Vec<usize>,
}

/// A vector's clone with room for some more entries: it is copied because it is written.
fn clone_with_slack<T: Clone>(entries: &[T]) -> Vec<T> {
    let mut clone = Vec::with_capacity((entries.len() + SLACK).min(CAPACITY + 1));
    clone.extend_from_slice(entries);
    clone
}

/// Inserts without the doubling of `Vec`, which would leave half of a leaf unused.
fn insert_tight<T>(entries: &mut Vec<T>, index: usize, entry: T) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact(SLACK);
    }
    entries.insert(index, entry);
}

impl<Key: Clone, Item: Clone> Clone for Leaf<Key, Item> {
    fn clone(&self) -> Self {
        Leaf { keys: clone_with_slack(&self.keys), items: clone_with_slack(&self.items) }
    }
}

impl<Key: Clone, Item: Clone> Clone for Branch<Key, Item> {
    fn clone(&self) -> Self {
        Branch {
            splits: clone_with_slack(&self.splits),
            children: clone_with_slack(&self.children),
            counts: clone_with_slack(&self.counts),
        }
    }
}

/// A right half split off, and the key that parts it from the left one.
type Split<Key, Item> = (Key, Arc<Node<Key, Item>>);

impl<Key: Ord + Clone, Item: Clone> Branch<Key, Item> {
    /// The child whose range holds `key`.
    fn child_of(&self, key: &Key) -> usize {
        self.splits.partition_point(|split| split <= key)
    }

    fn insert_child(&mut self, index: usize, (key, child): Split<Key, Item>) {
        insert_tight(&mut self.counts, index, child.count());
        insert_tight(&mut self.children, index, child);
        insert_tight(&mut self.splits, index - 1, key);
    }

    /// Fills the child from its neighbor: joins the two, and parts them again if they are too
    /// many for one node. An empty child goes; an only child stays as it is.
    fn refill(&mut self, index: usize) {
        let right = index.max(1);
        if self.children[index].width() == 0 {
            self.children.remove(index);
            self.counts.remove(index);
            if !self.splits.is_empty() {
                self.splits.remove(right - 1);
            }
            return;
        }
        if self.children.len() == 1 {
            return;
        }
        let split = self.splits.remove(right - 1);
        let node = Arc::unwrap_or_clone(self.children.remove(right));
        self.counts.remove(right);
        let left = Arc::make_mut(&mut self.children[right - 1]);
        left.append(split, node);
        let overflow = (left.width() > CAPACITY).then(|| left.split_off(left.width() / 2));
        self.counts[right - 1] = left.count();
        if let Some(split) = overflow {
            self.insert_child(right, split);
        }
    }
}

impl<Key: Ord + Clone, Item: Clone> Node<Key, Item> {
    /// Entries of a leaf, children of a branch.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.keys.len(),
            Node::Branch(branch) => branch.children.len(),
        }
    }

    /// Entries in all leaves below.
    fn count(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.keys.len(),
            Node::Branch(branch) => branch.counts.iter().sum(),
        }
    }

    /// Parts the node before its entry or child `at`.
    fn split_off(&mut self, at: usize) -> Split<Key, Item> {
        match self {
            Node::Leaf(leaf) => {
                let right = Leaf { keys: leaf.keys.split_off(at), items: leaf.items.split_off(at) };
                (right.keys[0].clone(), Arc::new(Node::Leaf(right)))
            }
            Node::Branch(branch) => {
                let right = Branch {
                    splits: branch.splits.split_off(at),
                    children: branch.children.split_off(at),
                    counts: branch.counts.split_off(at),
                };
                let split = branch.splits.pop().expect("a child before `at` has a split after it");
                (split, Arc::new(Node::Branch(right)))
            }
        }
    }

    /// Takes over the entries of the right neighbor, a node of the same depth.
    fn append(&mut self, split: Key, right: Node<Key, Item>) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                left.keys.extend(right.keys);
                left.items.extend(right.items);
            }
            (Node::Branch(left), Node::Branch(right)) => {
                left.splits.push(split);
                left.splits.extend(right.splits);
                left.children.extend(right.children);
                left.counts.extend(right.counts);
            }
            _ => unreachable!("all leaves have one depth"),
        }
    }

    /// Inserts below; returns the item replaced, and the right half if the node had to split.
    fn insert(
        self: &mut Arc<Self>,
        key: Key,
        item: Item,
    ) -> (Option<Item>, Option<Split<Key, Item>>) {
        let node = Arc::make_mut(self);
        let (index, inserted) = match node {
            Node::Leaf(leaf) => match leaf.keys.binary_search(&key) {
                Ok(index) => {
                    return (Some(std::mem::replace(&mut leaf.items[index], item)), None);
                }
                Err(index) => {
                    insert_tight(&mut leaf.keys, index, key);
                    insert_tight(&mut leaf.items, index, item);
                    (index, true)
                }
            },
            Node::Branch(branch) => {
                let index = branch.child_of(&key);
                let (replaced, split) = branch.children[index].insert(key, item);
                if replaced.is_some() {
                    return (replaced, None);
                }
                match split {
                    None => {
                        branch.counts[index] += 1;
                        (index, false)
                    }
                    Some(split) => {
                        branch.counts[index] = branch.children[index].count();
                        branch.insert_child(index + 1, split);
                        (index + 1, true)
                    }
                }
            }
        };
        let width = node.width();
        if !inserted || width <= CAPACITY {
            return (None, None);
        }
        // An append keeps the left half full: ascending loads would leave all nodes half empty.
        let at = if index == width - 1 { width - 1 } else { width / 2 };
        (None, Some(node.split_off(at)))
    }

    /// Removes below; the key is there.
    fn remove(self: &mut Arc<Self>, key: &Key) -> Item {
        match Arc::make_mut(self) {
            Node::Leaf(leaf) => {
                let index = leaf.keys.binary_search(key).expect("the caller has seen the key");
                leaf.keys.remove(index);
                leaf.items.remove(index)
            }
            Node::Branch(branch) => {
                let index = branch.child_of(key);
                let item = branch.children[index].remove(key);
                branch.counts[index] -= 1;
                if branch.children[index].width() < FILL_MIN {
                    branch.refill(index);
                }
                item
            }
        }
    }
}

impl<Key, Item> Default for Tree<Key, Item> {
    fn default() -> Self {
        Tree { root: Arc::new(Node::Leaf(Leaf { keys: Vec::new(), items: Vec::new() })) }
    }
}

impl<Key: Ord + Clone, Item: Clone> Tree<Key, Item> {
    /// How many entries. O(1).
    pub(crate) fn len(&self) -> usize {
        self.root.count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.root.width() == 0
    }

    /// The item of a key. O(log n).
    pub(crate) fn get(&self, key: &Key) -> Option<&Item> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch(branch) => node = &branch.children[branch.child_of(key)],
                Node::Leaf(leaf) => {
                    let index = leaf.keys.partition_point(|other| other < key);
                    let is_found = leaf.keys.get(index) == Some(key);
                    return is_found.then(|| &leaf.items[index]);
                }
            }
        }
    }

    /// Puts an item; returns the one it replaces. O(log n).
    pub(crate) fn insert(&mut self, key: Key, item: Item) -> Option<Item> {
        let (replaced, split) = self.root.insert(key, item);
        if let Some((key, right)) = split {
            let left = Arc::clone(&self.root);
            let counts = vec![left.count(), right.count()];
            let children = vec![left, right];
            self.root = Arc::new(Node::Branch(Branch { splits: vec![key], children, counts }));
        }
        replaced
    }

    /// Takes an item out. O(log n); copies nothing when the key is absent.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Item> {
        self.get(key)?;
        let item = self.root.remove(key);
        while let Node::Branch(branch) = &*self.root {
            match branch.children.as_slice() {
                [] => *self = Tree::default(),
                [only] => self.root = Arc::clone(only),
                _ => break,
            }
        }
        Some(item)
    }

    /// How many keys are below `key`. O(log n).
    pub(crate) fn rank(&self, key: &Key) -> usize {
        let (mut node, mut rank) = (&*self.root, 0);
        loop {
            match node {
                Node::Branch(branch) => {
                    let index = branch.child_of(key);
                    rank += branch.counts[..index].iter().sum::<usize>();
                    node = &branch.children[index];
                }
                Node::Leaf(leaf) => return rank + leaf.keys.partition_point(|other| other < key),
            }
        }
    }

    /// How many keys are in `from..until`. O(log n).
    pub(crate) fn count(&self, from: &Key, until: &Key) -> usize {
        self.rank(until).saturating_sub(self.rank(from))
    }

    /// All entries, ascending.
    pub(crate) fn iter(&self) -> Range<'_, Key, Item> {
        let mut position = Position::new(&self.root);
        position.enter(None);
        Range { position, until: None }
    }

    /// The entries in `from..until`, ascending. O(log n) to begin, no allocation.
    pub(crate) fn range(&self, from: &Key, until: Key) -> Range<'_, Key, Item> {
        let mut position = Position::new(&self.root);
        position.enter(Some(from));
        Range { position, until: Some(until) }
    }

    /// The place before the first entry.
    pub(crate) fn begin(&self) -> Position<'_, Key, Item> {
        let mut position = Position::new(&self.root);
        position.enter(None);
        position.settle();
        position
    }

    /// The place with `rank` entries before it, or the end. O(log n).
    pub(crate) fn at(&self, rank: usize) -> Position<'_, Key, Item> {
        let mut position = Position::new(&self.root);
        let (mut node, mut rank) = (position.root, rank);
        loop {
            match node {
                Node::Branch(branch) => {
                    let mut index = 0;
                    while rank >= branch.counts[index] && index + 1 < branch.counts.len() {
                        rank -= branch.counts[index];
                        index += 1;
                    }
                    position.fence = branch.splits.get(index).or(position.fence);
                    node = &branch.children[index];
                }
                Node::Leaf(leaf) => {
                    (position.keys, position.items) = (&leaf.keys, &leaf.items);
                    position.next = rank.min(leaf.keys.len());
                    return position;
                }
            }
        }
    }
}

/// Builds a dense tree in O(n).
///
/// # Panics
/// When the keys do not ascend strictly.
impl<Key: Ord + Clone, Item: Clone> FromIterator<(Key, Item)> for Tree<Key, Item> {
    fn from_iter<Entries: IntoIterator<Item = (Key, Item)>>(entries: Entries) -> Self {
        let mut level: Vec<Split<Key, Item>> = Vec::new();
        let mut entries = entries.into_iter().peekable();
        let mut last: Option<Key> = None;
        while let Some((first, _)) = entries.peek() {
            assert!(last.as_ref().is_none_or(|last| last < first), "keys ascend strictly");
            let first = first.clone();
            let (keys, items): (Vec<Key>, Vec<Item>) = entries.by_ref().take(CAPACITY).unzip();
            assert!(keys.is_sorted_by(|a, b| a < b), "keys ascend strictly");
            last = keys.last().cloned();
            level.push((first, Arc::new(Node::Leaf(Leaf { keys, items }))));
        }
        while level.len() > 1 {
            level = parents(level);
        }
        level.pop().map_or_else(Tree::default, |(_, root)| Tree { root })
    }
}

/// The branches over one level of nodes, each with its least key.
fn parents<Key: Ord + Clone, Item: Clone>(level: Vec<Split<Key, Item>>) -> Vec<Split<Key, Item>> {
    let mut above = Vec::with_capacity(level.len().div_ceil(CAPACITY));
    let mut level = level.into_iter().peekable();
    while level.peek().is_some() {
        let (mut firsts, children): (Vec<Key>, Vec<_>) = level.by_ref().take(CAPACITY).unzip();
        let counts = children.iter().map(|child| child.count()).collect();
        let splits = firsts.split_off(1);
        let first = firsts.pop().expect("one key stays before the split");
        above.push((first, Arc::new(Node::Branch(Branch { splits, children, counts }))));
    }
    above
}

/// A place between the entries of a tree that moves forward; borrows the tree, holds no stack.
///
/// It remembers one leaf and the *fence* after it, the least key that a later leaf can hold. What
/// lies in the leaf is reached by galloping (Bentley & Yao, "An almost optimal algorithm for
/// unbounded searching", 1976); what lies behind the fence by a descent from the root. So moves
/// that ascend cost like a merge where they are dense, and a search each where they are not.
pub(crate) struct Position<'tree, Key, Item> {
    root: &'tree Node<Key, Item>,
    keys: &'tree [Key],
    items: &'tree [Item],
    next: usize,
    fence: Option<&'tree Key>,
}

impl<'tree, Key: Ord + Clone, Item: Clone> Position<'tree, Key, Item> {
    fn new(root: &'tree Node<Key, Item>) -> Self {
        Position { root, keys: &[], items: &[], next: 0, fence: None }
    }

    /// Goes to the first key that is not below `from`, from the root. It may lie behind the fence.
    fn enter(&mut self, from: Option<&Key>) {
        let mut node = self.root;
        self.fence = None;
        loop {
            match node {
                Node::Branch(branch) => {
                    let index = from.map_or(0, |from| branch.child_of(from));
                    self.fence = branch.splits.get(index).or(self.fence);
                    node = &branch.children[index];
                }
                Node::Leaf(leaf) => {
                    (self.keys, self.items) = (&leaf.keys, &leaf.items);
                    self.next = from.map_or(0, |from| leaf.keys.partition_point(|key| key < from));
                    return;
                }
            }
        }
    }

    /// Goes on to the next leaf when this one is used up and there is one.
    #[inline]
    fn settle(&mut self) {
        while self.next == self.keys.len() {
            let Some(fence) = self.fence else { return };
            self.enter(Some(fence));
        }
    }

    /// The entry after this place; none at the end.
    #[inline]
    pub(crate) fn entry(&self) -> Option<(&'tree Key, &'tree Item)> {
        self.keys.get(self.next).map(|key| (key, &self.items[self.next]))
    }

    /// Goes behind the entry; stays at the end.
    #[inline]
    pub(crate) fn advance(&mut self) {
        if self.next < self.keys.len() {
            self.next += 1;
            self.settle();
        }
    }

    /// Goes forward to the first key that is not below `key`; stays if it has passed it.
    pub(crate) fn seek(&mut self, key: &Key) {
        if self.fence.is_some_and(|fence| fence <= key) {
            self.enter(Some(key));
        } else {
            self.next += gallop(&self.keys[self.next..], key);
        }
        self.settle();
    }
}

/// How many of the keys are below `key`: looks 1, 2, 4, … keys ahead, then searches in between.
fn gallop<Key: Ord>(keys: &[Key], key: &Key) -> usize {
    let mut end = 1;
    while keys.get(end - 1).is_some_and(|other| other < key) {
        end *= 2;
    }
    let (begin, end) = (end / 2, end.min(keys.len()));
    begin + keys[begin..end].partition_point(|other| other < key)
}

/// The entries of a range, ascending.
pub(crate) struct Range<'tree, Key, Item> {
    position: Position<'tree, Key, Item>,
    until: Option<Key>,
}

impl<Key: Ord, Item> Range<'_, Key, Item> {
    /// Whether `key` lies behind the end of the range.
    fn is_behind(&self, key: &Key) -> bool {
        self.until.as_ref().is_some_and(|until| key >= until)
    }
}

impl<'tree, Key: Ord + Clone, Item: Clone> Iterator for Range<'tree, Key, Item> {
    type Item = (&'tree Key, &'tree Item);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // A leaf that ends with the range is not left: the descent would be for nothing.
        while self.position.next == self.position.keys.len() {
            let fence = self.position.fence.filter(|fence| !self.is_behind(fence))?;
            self.position.enter(Some(fence));
        }
        let entry = self.position.entry().filter(|(key, _)| !self.is_behind(key))?;
        self.position.next += 1;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Checks the invariants at the top of this file; returns (depth, entries).
    fn check(node: &Node<u32, u32>, from: Option<u32>, until: Option<u32>) -> (usize, usize) {
        let is_inside =
            |key: &u32| from.is_none_or(|from| from <= *key) && until.is_none_or(|u| *key < u);
        assert!((1..=CAPACITY).contains(&node.width()));
        match node {
            Node::Leaf(leaf) => {
                assert_eq!(leaf.keys.len(), leaf.items.len());
                assert!(leaf.keys.is_sorted_by(|a, b| a < b));
                assert!(leaf.keys.iter().all(is_inside));
                (0, leaf.keys.len())
            }
            Node::Branch(branch) => {
                assert_eq!(branch.splits.len() + 1, branch.children.len());
                assert!(branch.splits.iter().all(is_inside));
                let mut depths = Vec::new();
                for (index, child) in branch.children.iter().enumerate() {
                    let from = index.checked_sub(1).map_or(from, |i| Some(branch.splits[i]));
                    let until = branch.splits.get(index).copied().or(until);
                    let (depth, count) = check(child, from, until);
                    assert_eq!(count, branch.counts[index]);
                    depths.push(depth);
                }
                depths.dedup();
                assert_eq!(depths.len(), 1);
                (depths[0] + 1, node.count())
            }
        }
    }

    fn assert_same(tree: &Tree<u32, u32>, model: &BTreeMap<u32, u32>) {
        if !tree.is_empty() {
            check(&tree.root, None, None);
        }
        assert_eq!(tree.len(), model.len());
        assert!(tree.iter().eq(model.iter()));
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
            let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
            let mut clones = Vec::new();
            for (item, step) in (0_u32..).zip(&steps) {
                match *step {
                    Step::Insert { from, n, stride } => for i in 0..n {
                        let key = (from + i * stride) % KEYS;
                        prop_assert_eq!(tree.insert(key, item), model.insert(key, item));
                    },
                    Step::Remove { from, n, stride } => for i in 0..n {
                        let key = (from + i * stride) % KEYS;
                        prop_assert_eq!(tree.remove(&key), model.remove(&key));
                    },
                    Step::Clone => clones.push((tree.clone(), model.clone())),
                }
                assert_same(&tree, &model);
            }
            for (tree, model) in &clones {
                assert_same(tree, model);
            }
            for (from, until) in probes {
                prop_assert_eq!(tree.get(&from), model.get(&from));
                prop_assert_eq!(tree.rank(&from), model.range(..from).count());
                let expected: Vec<_> = model.range(from.min(until)..until).collect();
                prop_assert_eq!(tree.count(&from, &until), expected.len());
                prop_assert_eq!(tree.range(&from, until).collect::<Vec<_>>(), expected);
                let rank = from as usize;
                prop_assert_eq!(tree.at(rank).entry(), model.iter().nth(rank));
                let mut position = tree.at(rank);
                position.seek(&until);
                let reached = model.iter().nth(rank).map(|(key, _)| *key.max(&until));
                let expected = reached.and_then(|key| model.range(key..).next());
                prop_assert_eq!(position.entry(), expected);
                position.advance();
                let next = expected.and_then(|(key, _)| model.range(key + 1..).next());
                prop_assert_eq!(position.entry(), next);
            }
        }

        #[test]
        fn building_from_sorted_entries_is_inserting_them(n in 0_u32..20_000) {
            let model: BTreeMap<u32, u32> = (0..n).map(|key| (key * 2, key)).collect();
            let mut tree: Tree<u32, u32> = model.clone().into_iter().collect();
            assert_same(&tree, &model);
            prop_assert_eq!(tree.insert(n, 7), model.get(&n).copied());
            prop_assert_eq!(tree.get(&n), Some(&7));
        }
    }

    #[test]
    fn ascending_loads_make_full_leaves() {
        let mut tree = Tree::default();
        for key in 0..64_000_u32 {
            tree.insert(key, key);
        }
        let mut n_leaves = 0;
        let mut level = vec![&*tree.root];
        while let Some(node) = level.pop() {
            match node {
                Node::Leaf(_) => n_leaves += 1,
                Node::Branch(branch) => level.extend(branch.children.iter().map(|c| &**c)),
            }
        }
        assert_eq!(n_leaves, 64_000 / CAPACITY);
    }
}
