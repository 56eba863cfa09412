//! Where in a JSON form something stands: `where[2].pred`.
//!
//! Nodes are numbered as they are read, each with its parent, and a path is put together only
//! for an error.

use std::fmt::Write;

use crate::form::{Origin, Span};

/// The nodes of a JSON form, in the order of reading; node 0 is the form itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paths(Vec<Node>);

#[derive(Debug, Clone)]
struct Node {
    parent: u32,
    step: Step,
}

/// How a node is reached from its parent.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Root,
    Key(String),
    Index(usize),
}

impl Paths {
    /// Numbers a node and gives its span.
    pub(crate) fn add(&mut self, parent: Span, step: Step) -> Span {
        let number = u32::try_from(self.0.len()).expect("a JSON form has fewer than 2^32 nodes");
        self.0.push(Node { parent: parent.start, step });
        Span { origin: Origin::Json, start: number, end: number }
    }

    /// The number of the form itself.
    pub(crate) fn root(&mut self) -> Span {
        self.add(Span { origin: Origin::Json, start: 0, end: 0 }, Step::Root)
    }

    /// The path as text; empty for the form itself.
    pub(crate) fn render(&self, node: u32) -> String {
        let mut steps = Vec::new();
        let mut current = node;
        while let Some(Node { parent, step }) = self.0.get(current as usize)
            && !matches!(step, Step::Root)
        {
            steps.push(step);
            current = *parent;
        }
        let mut text = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Key(key) if text.is_empty() => text.push_str(key),
                Step::Key(key) => write!(text, ".{key}").expect("writing to a string"),
                Step::Index(index) => write!(text, "[{index}]").expect("writing to a string"),
                Step::Root => {}
            }
        }
        text
    }
}
