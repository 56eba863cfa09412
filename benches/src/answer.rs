//! Reading answers and changes of them: the one place that looks at the rows of an [`Answer`].

use tercet_engine::answer::{Answer, Branch, Output, OutputRef, Tree, ValueRef};
use tercet_engine::db::RowsDelta;

use crate::digest::{ChangeDigest, Digest, RowDigest};

/// Reads every value of every row.
pub fn digest(answer: &Answer) -> Digest {
    let mut digest = Digest::default();
    for row in &answer.rows {
        let mut row_digest = RowDigest::default();
        for output in row.iter() {
            read_output(output, &mut row_digest);
        }
        digest += row_digest;
    }
    digest
}

/// Reads every value of every row that came or went, on top of what was read before.
pub fn read_change(delta: &RowsDelta, change: &mut ChangeDigest) {
    delta.added.iter().for_each(|row| change.add(read_row(row)));
    delta.removed.iter().for_each(|row| change.remove(read_row(row)));
}

fn read_row(row: &[Output]) -> RowDigest {
    let mut row_digest = RowDigest::default();
    row.iter().for_each(|output| read_output(output.into(), &mut row_digest));
    row_digest
}

/// What an answer comes to after a change of it.
pub fn changed(before: Digest, change: ChangeDigest) -> Digest {
    Digest {
        // A change that does not fit gives a number that no answer has.
        n_rows: before.n_rows.wrapping_add(change.n_added).wrapping_sub(change.n_removed),
        sum: before.sum.wrapping_add(change.sum),
    }
}

fn read_output(output: OutputRef<'_>, row: &mut RowDigest) {
    match output {
        OutputRef::Value(value) => read_value(value, row),
        OutputRef::List(values) => values.iter().for_each(|value| read_value(value.into(), row)),
        OutputRef::Tree(tree) => read_tree(tree, row),
    }
}

fn read_tree(tree: &Tree, row: &mut RowDigest) {
    for (key, branch) in &tree.0 {
        row.text(key);
        read_branch(branch, row);
    }
}

fn read_branch(branch: &Branch, row: &mut RowDigest) {
    match branch {
        Branch::Value(value) => read_value(value.into(), row),
        Branch::List(branches) => branches.iter().for_each(|branch| read_branch(branch, row)),
        Branch::Tree(tree) => read_tree(tree, row),
    }
}

fn read_value(value: ValueRef<'_>, row: &mut RowDigest) {
    match value {
        ValueRef::Boolean(flag) => row.integer(i64::from(flag)),
        ValueRef::Number(number) => match number.as_i64() {
            Some(integer) => row.integer(integer),
            None => row.double(number.to_f64()),
        },
        ValueRef::Date(date) => row.integer(date.ms()),
        ValueRef::String(text) | ValueRef::Ref(text) => row.text(text),
    }
}
