//! differential-dataflow as it is made to be used: a dataflow that stays, while edges come and go.
//!
//! One edge is one step: it is inserted or removed, time advances, and the worker steps until the
//! probe has passed. What came out is consolidated (inside recursion a row may come and go within
//! one step) and every row of it read, an id as its text. That is what is timed. The first answer
//! is not: whoever watches waits for it once. One worker, this thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use differential_dataflow::VecCollection;
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::operators::iterate::Iterate;
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::operators::probe::Handle;
use timely::worker::Worker;

use crate::contest::Ground;
use crate::digest::{ChangeDigest, Digest, RowDigest};
use crate::facts::{Id, Names};
use crate::measure::{Took, once};
use crate::shape::{Edges, Shape, shape};

/// An answer that is kept up to date.
pub(crate) trait Follow {
    /// Takes an edge that came (1) or went (-1); gives what that took and changed.
    fn step(&mut self, names: &Names, edge: (Id, Id), diff: isize) -> (Took, ChangeDigest);
}

/// Follows a question from the facts as they are; gives the first answer too.
///
/// # Errors
/// When it is none of those that can be followed.
pub(crate) fn follow(
    ground: &Rc<Ground>,
    question: &str,
    parameters: &[&str],
) -> Result<(Box<dyn Follow>, Digest)> {
    let names = ground.facts.names();
    match shape(&ground.facts, question, parameters)? {
        Shape::Reach { edges, from } => Following::start(names, edges, Some(from), reach),
        Shape::Closure { edges } => Following::start(names, edges, None, closure),
        Shape::Triangles { edges } => Following::start(names, edges, None, triangles),
        // Its facts are (child, parent), and so are the edges of its steps.
        Shape::SameGeneration { children } => {
            let parents = children.into_iter().map(|(parent, child)| (child, parent)).collect();
            Following::start(names, parents, None, same_generation)
        }
        _ => bail!("{question} is not followed"),
    }
}

type Pairs<'s> = VecCollection<'s, u32, (Id, Id), isize>;
type Nodes<'s> = VecCollection<'s, u32, Id, isize>;
type Rows<'s, const N: usize> = VecCollection<'s, u32, [Id; N], isize>;

/// A dataflow from edges, and from nodes that stay, to rows.
type Program<const N: usize> = for<'s> fn(Pairs<'s>, Nodes<'s>) -> Rows<'s, N>;

/// Rows with how often they came, less how often they went.
type Out<const N: usize> = Rc<RefCell<Vec<([Id; N], isize)>>>;

/// A dataflow that runs.
struct Following<const N: usize> {
    worker: Worker,
    edges: InputSession<u32, (Id, Id), isize>,
    probe: Handle<u32>,
    out: Out<N>,
}

impl<const N: usize> Following<N> {
    fn start(
        names: &Names,
        edges: Edges,
        from: Option<Id>,
        program: Program<N>,
    ) -> Result<(Box<dyn Follow>, Digest)> {
        let allocator = Allocator::Thread(Thread::default());
        let mut worker = Worker::new(WorkerConfig::default(), allocator, Some(Instant::now()));
        let (probe, out) = (Handle::new(), Out::<N>::default());
        let seen = Rc::clone(&out);
        let (input, mut nodes) = worker.dataflow(|scope| {
            let (input, edges) = scope.new_collection();
            let (nodes, from) = scope.new_collection();
            program(edges, from)
                .inspect(move |(row, _, diff)| seen.borrow_mut().push((*row, *diff)))
                .probe_with(&probe);
            (input, nodes)
        });
        from.into_iter().for_each(|node| nodes.insert(node));
        nodes.close();
        let mut following = Following { worker, edges: input, probe, out };
        edges.into_iter().for_each(|edge| following.edges.insert(edge));
        following.settle();
        let mut digest = Digest::default();
        for (row, count) in following.out.borrow_mut().drain(..) {
            ensure!(count == 1, "a row of a first answer stands {count} times");
            digest += read(names, &row);
        }
        Ok((Box::new(following), digest))
    }

    /// Lets time advance, and works until everything before is done.
    fn settle(&mut self) {
        let next = self.edges.time() + 1;
        self.edges.advance_to(next);
        self.edges.flush();
        self.worker.step_while(|| self.probe.less_than(self.edges.time()));
        consolidate(&mut self.out.borrow_mut());
    }
}

impl<const N: usize> Follow for Following<N> {
    fn step(&mut self, names: &Names, edge: (Id, Id), diff: isize) -> (Took, ChangeDigest) {
        once(|| {
            self.edges.update(edge, diff);
            self.settle();
            let mut change = ChangeDigest::default();
            for (row, count) in self.out.borrow_mut().drain(..) {
                match count {
                    1.. => change.add(read(names, &row)),
                    _ => change.remove(read(names, &row)),
                }
            }
            change
        })
    }
}

fn read(names: &Names, ids: &[Id]) -> RowDigest {
    let mut row = RowDigest::default();
    ids.iter().for_each(|id| row.text(names.name(*id)));
    row
}

/// `reach(y) :- from(x), edge(x, y)` and `reach(z) :- reach(y), edge(y, z)`.
fn reach<'s>(edges: Pairs<'s>, from: Nodes<'s>) -> Rows<'s, 1> {
    let edges = edges.arrange_by_key();
    let first = from.arrange_by_self().join_core(edges.clone(), |_, (), to| Some(*to));
    let reached = first.clone().iterate(|scope, reached| {
        let (edges, first) = (edges.enter(scope), first.enter(scope));
        let next = reached.arrange_by_self().join_core(edges, |_, (), to| Some(*to));
        next.concat(first).distinct()
    });
    reached.map(|node| [node])
}

/// `path(x, y) :- edge(x, y)` and `path(x, z) :- path(x, y), edge(y, z)`, paths by their end.
fn closure<'s>(edges: Pairs<'s>, _: Nodes<'s>) -> Rows<'s, 2> {
    let first = edges.clone().map(|(from, to)| (to, from));
    let edges = edges.arrange_by_key();
    let paths = first.clone().iterate(|scope, paths| {
        let (edges, first) = (edges.enter(scope), first.enter(scope));
        let next = paths.arrange_by_key().join_core(edges, |_, from, to| Some((*to, *from)));
        next.concat(first).distinct()
    });
    paths.map(|(to, from)| [from, to])
}

/// `edge(a, b), edge(b, c), edge(a, c)`: two edges by their middle, then the one that closes.
fn triangles<'s>(edges: Pairs<'s>, _: Nodes<'s>) -> Rows<'s, 3> {
    let by_end = edges.clone().map(|(from, to)| (to, from)).arrange_by_key();
    let by_start = edges.clone().arrange_by_key();
    let wedges = by_end.join_core(by_start, |b, a, c| Some(((*a, *c), *b)));
    let closing = edges.arrange_by_self();
    wedges.arrange_by_key().join_core(closing, |(a, c), b, ()| Some([*a, *b, *c]))
}

/// `same(x, y) :- parent(x, p), parent(y, p)` and
/// `same(x, y) :- parent(x, a), same(a, b), parent(y, b)`.
fn same_generation<'s>(parents: Pairs<'s>, _: Nodes<'s>) -> Rows<'s, 2> {
    let children = parents.map(|(child, parent)| (parent, child)).arrange_by_key();
    let first = children.clone().join_core(children.clone(), |_, x, y| Some((*x, *y)));
    let same = first.clone().iterate(|scope, same| {
        let (children, first) = (children.enter(scope), first.enter(scope));
        same.arrange_by_key()
            .join_core(children.clone(), |_, b, x| Some((*b, *x)))
            .arrange_by_key()
            .join_core(children, |_, x, y| Some((*x, *y)))
            .concat(first)
            .distinct()
    });
    same.map(|(x, y)| [x, y])
}
