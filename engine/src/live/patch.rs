//! What changed inside a pulled tree, so that who shows it need not compare.
//!
//! A row with trees is a row like others: one that changes is removed and added. For rows that show
//! the same entities before and after, a patch beside it says where in the trees the difference is:
//! the keys and list positions that lead there, and what stands there now.
//!
//! Invariant: a patch applied to the row as it was gives the row as it is.

use std::sync::Arc;

use crate::answer::{Branch, Output, Row, Tree};

/// What changed inside a row whose entities stayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPatch {
    /// The row as it was, by its place among those removed.
    pub removed: usize,
    /// The row as it is, by its place among those added.
    pub added: usize,
    /// In order of place; none lies within another.
    pub changes: Vec<TreeChange>,
}

/// A change at one place of one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeChange {
    /// The find element that the tree belongs to.
    pub element: usize,
    /// What leads there from the root of the tree.
    pub path: Vec<PathStep>,
    /// What is different there.
    pub edit: Edit,
}

/// One step into a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathStep {
    /// The branch of a tree.
    Key(Arc<str>),
    /// The item of a list.
    Index(usize),
}

/// What became of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// This stands there now, whatever stood there before.
    Put(Branch),
    /// Nothing stands there any more.
    Gone,
    /// Of the list there, some items in a row were replaced by others.
    Splice {
        /// The first of them.
        at: usize,
        /// How many went.
        n_removed: usize,
        /// What came.
        inserted: Vec<Branch>,
    },
}

/// The changes that lead from one row to another one of the same entities.
pub(super) fn changes(before: &Row, after: &Row) -> Vec<TreeChange> {
    let mut changes = Vec::new();
    for (element, (before, after)) in before.iter().zip(after).enumerate() {
        if let (Output::Tree(before), Output::Tree(after)) = (before, after) {
            let mut differ = Differ { element, path: Vec::new(), changes: &mut changes };
            differ.trees(before, after);
        }
    }
    changes
}

struct Differ<'c> {
    element: usize,
    path: Vec<PathStep>,
    changes: &'c mut Vec<TreeChange>,
}

impl Differ<'_> {
    fn push(&mut self, edit: Edit) {
        let change = TreeChange { element: self.element, path: self.path.clone(), edit };
        self.changes.push(change);
    }

    fn trees(&mut self, before: &Tree, after: &Tree) {
        let gone = before.0.keys().filter(|key| !after.0.contains_key(*key));
        for key in gone.chain(after.0.keys()) {
            self.path.push(PathStep::Key(key.clone()));
            match (before.0.get(key), after.0.get(key)) {
                (Some(before), Some(after)) => self.branches(before, after),
                (None, Some(after)) => self.push(Edit::Put(after.clone())),
                (_, None) => self.push(Edit::Gone),
            }
            self.path.pop();
        }
    }

    fn branches(&mut self, before: &Branch, after: &Branch) {
        match (before, after) {
            (before, after) if before == after => {}
            (Branch::Tree(before), Branch::Tree(after)) => self.trees(before, after),
            (Branch::List(before), Branch::List(after)) => self.lists(before, after),
            (_, after) => self.push(Edit::Put(after.clone())),
        }
    }

    fn lists(&mut self, before: &[Branch], after: &[Branch]) {
        let n_first = before.iter().zip(after).take_while(|(a, b)| a == b).count();
        let (old, new) = (&before[n_first..], &after[n_first..]);
        let n_last = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        let (old, new) = (&old[..old.len() - n_last], &new[..new.len() - n_last]);
        if let ([old @ Branch::Tree(_)], [new @ Branch::Tree(_)]) = (old, new) {
            self.path.push(PathStep::Index(n_first));
            self.branches(old, new);
            self.path.pop();
        } else {
            let inserted = new.to_vec();
            self.push(Edit::Splice { at: n_first, n_removed: old.len(), inserted });
        }
    }
}

impl RowPatch {
    /// The row as it is, made of the row as it was; none if that is another row.
    pub fn apply(&self, before: &Row) -> Option<Row> {
        let mut row = before.clone();
        for change in &self.changes {
            let Output::Tree(tree) = row.get_mut(change.element)? else { return None };
            change.apply(tree)?;
        }
        Some(row)
    }
}

impl TreeChange {
    fn apply(&self, tree: &mut Tree) -> Option<()> {
        let (PathStep::Key(first), rest) = self.path.split_first()? else { return None };
        let Some((last, _)) = rest.split_last() else { return self.edit(tree, first) };
        let mut branch = tree.0.get_mut(first)?;
        for step in &rest[..rest.len() - 1] {
            branch = step.into(branch)?;
        }
        match (last, branch) {
            (PathStep::Key(key), Branch::Tree(tree)) => self.edit(tree, key),
            (PathStep::Index(index), Branch::List(items)) => {
                match (&self.edit, items.get_mut(*index)?) {
                    (Edit::Put(branch), item) => {
                        *item = branch.clone();
                        Some(())
                    }
                    (Edit::Splice { .. }, item) => self.splice(item),
                    (Edit::Gone, _) => None,
                }
            }
            _ => None,
        }
    }

    fn edit(&self, tree: &mut Tree, key: &Arc<str>) -> Option<()> {
        match &self.edit {
            Edit::Put(branch) => drop(tree.0.insert(key.clone(), branch.clone())),
            Edit::Gone => drop(tree.0.remove(key)?),
            Edit::Splice { .. } => self.splice(tree.0.get_mut(key)?)?,
        }
        Some(())
    }

    fn splice(&self, branch: &mut Branch) -> Option<()> {
        let Edit::Splice { at, n_removed, inserted } = &self.edit else { return None };
        let Branch::List(items) = branch else { return None };
        let until = at.checked_add(*n_removed).filter(|until| *until <= items.len())?;
        items.splice(*at..until, inserted.iter().cloned());
        Some(())
    }
}

impl PathStep {
    fn into<'b>(&self, branch: &'b mut Branch) -> Option<&'b mut Branch> {
        match (self, branch) {
            (PathStep::Key(key), Branch::Tree(tree)) => tree.0.get_mut(key),
            (PathStep::Index(index), Branch::List(items)) => items.get_mut(*index),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::value::Value;

    fn tree(pairs: &[(&str, Branch)]) -> Tree {
        Tree(pairs.iter().map(|(key, branch)| (Arc::from(*key), branch.clone())).collect())
    }

    fn value(n: i64) -> Branch {
        Branch::Value(Value::int(n))
    }

    fn post(title: i64, comments: &[i64]) -> Row {
        let comment = |text: &i64| Branch::Tree(tree(&[("text", value(*text))]));
        let comments = Branch::List(comments.iter().map(comment).collect());
        vec![Output::Tree(tree(&[("title", value(title)), ("comments", comments)]))]
    }

    fn check(before: &Row, after: &Row) -> Vec<TreeChange> {
        let changes = changes(before, after);
        let patch = RowPatch { removed: 0, added: 0, changes: changes.clone() };
        assert_eq!(patch.apply(before).as_ref(), Some(after));
        changes
    }

    #[test]
    fn only_what_changed_is_told() {
        let changes = check(&post(1, &[1, 2, 3]), &post(1, &[1, 5, 3]));
        let path: Vec<PathStep> = vec![
            PathStep::Key(Arc::from("comments")),
            PathStep::Index(1),
            PathStep::Key(Arc::from("text")),
        ];
        assert_eq!(changes, [TreeChange { element: 0, path, edit: Edit::Put(value(5)) }]);
        let changes = check(&post(1, &[1, 2, 3]), &post(1, &[1, 3]));
        let path = vec![PathStep::Key(Arc::from("comments"))];
        let edit = Edit::Splice { at: 1, n_removed: 1, inserted: Vec::new() };
        assert_eq!(changes, [TreeChange { element: 0, path, edit }]);
    }

    #[test]
    fn keys_and_lists_come_and_go() {
        check(&post(1, &[]), &post(2, &[1, 2]));
        check(&post(1, &[4, 1, 2]), &post(1, &[1, 2, 3, 9]));
        let (with, without) = (tree(&[("a", value(1)), ("b", value(2))]), tree(&[("a", value(1))]));
        check(&vec![Output::Tree(with.clone())], &vec![Output::Tree(without.clone())]);
        check(&vec![Output::Tree(without)], &vec![Output::Tree(with)]);
    }
}
