//! differential-dataflow: collections that are kept up to date, asked for their first answer.
//!
//! The facts are arranged beforehand, and every run imports the arrangement into a new dataflow,
//! which is how it is asked interactively. Timed are building that dataflow, running it until
//! nothing moves, and reading what came out; it is then dropped. One worker, this thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Result, bail};
use differential_dataflow::input::Input;
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::operators::iterate::Iterate;
use differential_dataflow::trace::implementations::ValSpine;
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::operators::probe::Handle;
use timely::worker::Worker;

use crate::contest::{Engine, Ground, Run};
use crate::facts::Id;
use crate::shape::{Edges, Shape, shape};

/// The recursive questions, and sharing, which is a join.
pub(crate) const DIFFERENTIAL: Engine = Engine {
    name: "differential",
    questions: &[
        "query.people.reach",
        "query.wordnet.ancestors",
        "query.wordnet.descendants",
        "query.wordnet.closure",
        "query.graph.closure100",
    ],
    prepare,
};

type Trace = TraceAgent<ValSpine<Id, Id, u32, isize>>;

/// A worker, and edges by where they begin.
struct Arranged {
    worker: Worker,
    edges: Trace,
}

impl Arranged {
    fn new(edges: Edges) -> Arranged {
        let allocator = Allocator::Thread(Thread::default());
        let mut worker = Worker::new(WorkerConfig::default(), allocator, Some(Instant::now()));
        let probe = Handle::new();
        let (mut input, edges_trace) = worker.dataflow(|scope| {
            let (input, edges) = scope.new_collection::<(Id, Id), isize>();
            let edges = edges.arrange_by_key();
            edges.clone().as_collection(|from, to| (*from, *to)).probe_with(&probe);
            (input, edges.trace)
        });
        for edge in edges {
            input.insert(edge);
        }
        input.close();
        worker.step_while(|| !probe.done());
        Arranged { worker, edges: edges_trace }
    }

    /// The pairs (source, node) where the node can be reached from the source.
    fn paths(&mut self, sources: &Sources) -> Vec<(Id, Id)> {
        let found = Rc::new(RefCell::new(Vec::new()));
        let probe = Handle::new();
        let index = self.worker.next_dataflow_index();
        let trace = &mut self.edges;
        let out = Rc::clone(&found);
        let start = self.worker.dataflow(|scope| {
            let edges = trace.import(scope);
            let (start, sources) = match sources {
                Sources::All => (None, edges.clone().as_collection(|from, to| (*to, *from))),
                Sources::Some(_) => {
                    let (start, sources) = scope.new_collection::<Id, isize>();
                    let sources = sources.map(|source| (source, ()));
                    let first = sources
                        .arrange_by_key()
                        .join_core(edges.clone(), |from, (), to| Some((*to, *from)));
                    (Some(start), first)
                }
            };
            sources
                .clone()
                .iterate(|inner_scope, paths| {
                    let (edges, sources) = (edges.enter(inner_scope), sources.enter(inner_scope));
                    paths
                        .arrange_by_key()
                        .join_core(edges, |_, from, to| Some((*to, *from)))
                        .concat(sources)
                        .distinct()
                })
                .inspect(move |((to, from), _, _)| out.borrow_mut().push((*from, *to)))
                .probe_with(&probe);
            start
        });
        if let (Some(mut start), Sources::Some(sources)) = (start, sources) {
            for source in sources {
                start.insert(*source);
            }
            start.close();
        }
        self.worker.step_while(|| !probe.done());
        self.worker.drop_dataflow(index);
        found.take()
    }
}

/// Where paths begin.
enum Sources {
    All,
    Some(Vec<Id>),
}

fn prepare(ground: &Rc<Ground>, question: &str, parameters: &[&str]) -> Result<Run> {
    let (edges, sources, names_source) = match shape(&ground.facts, question, parameters)? {
        Shape::Reach { edges, from } => (edges, Sources::Some(vec![from]), false),
        Shape::Closure { edges } => (edges, Sources::All, true),
        Shape::ClosureFrom { edges, sources } => (edges, Sources::Some(sources), true),
        _ => bail!("differential-dataflow is not asked {question}"),
    };
    let mut arranged = Arranged::new(edges);
    Ok(Box::new(move |reader| {
        for (from, to) in arranged.paths(&sources) {
            match names_source {
                true => reader.ids(&[from, to]),
                false => reader.ids(&[to]),
            }
        }
        Ok(())
    }))
}
