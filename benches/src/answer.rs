//! Reading answers: the one place that looks at the rows of an [`Answer`].

use tercet_engine::answer::{Answer, Branch, OutputRef, Tree, ValueRef};

use crate::digest::{Digest, RowDigest};

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
