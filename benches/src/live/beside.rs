//! One edge that comes or goes under recursion and triangles, beside differential-dataflow.
//!
//! Both sides get the same edges, one a step, in turns of ten steps, and are compared step by
//! step: how many rows came, how many went, and a sum over their values. Timed is, here, publishing
//! a successor that was prepared outside, and there, telling the edge and working until everything
//! has moved; and on both sides, reading every value of every changed row. What our write takes
//! before it is published stands beside it, as does evaluating the query again. Numbers are medians
//! over the steps, because no two steps are the same work.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tercet_engine::db::{Db, InstanceId, Query, Tier};
use tercet_engine::fact::Op;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::Snapshot;
use tercet_engine::value::Value;
use tercet_tests::workload;

use super::edges::{Edge, Edges, Growth, Step};
use super::write::{Writer, attribute, entity};
use crate::data::store_of;
use crate::digest::{ChangeDigest, Digest};
use crate::measure::{Took, once};
use crate::peers::{Peers, parameter};
use crate::row::{Limit, Peer, Row, standings};
use crate::{Context, Scale, Wanted, answer};

/// Ids of the rows.
pub const IDS: &[&str] = &["live.reach", "live.closure", "live.triangle", "live.samegen"];

/// Steps of one side before the other has its turn.
const N_TOGETHER: usize = 10;
/// How many steps are made if both sides make them in this time each, and how many anyway.
const N_STEPS: usize = 1_000;
const N_STEPS_MIN: usize = 40;
const TIME_MAX: Duration = Duration::from_secs(15);
/// Nodes of the tree: as many as the questions to it are about.
const N_TREE: usize = 4_000;
/// How often the query is evaluated again.
const N_AGAIN: usize = 5;

/// Measures those that are wanted.
///
/// # Errors
/// When a side fails.
pub fn run(context: &mut Context, wanted: &Wanted<'_>) -> Result<Vec<Row>> {
    let relations: [fn(&mut Context) -> Result<Relation>; 4] =
        [reach, closure, triangle, same_generation];
    let mut rows = Vec::new();
    for (id, relation) in IDS.iter().copied().zip(relations).filter(|(id, _)| wanted.is(id)) {
        let n_steps = if context.scale == Scale::Full { N_STEPS } else { N_STEPS_MIN };
        let relation = relation(context)?;
        let row = race(id, relation, n_steps, context.peers.as_mut());
        let row = row.with_context(|| format!("{id} failed"))?;
        eprint!("{}", standings(&row));
        rows.push(row);
    }
    Ok(rows)
}

/// A relation that is kept, over edges that come and go.
struct Relation {
    text: &'static str,
    inputs: Vec<Value>,
    data: &'static str,
    edges: Edges,
}

fn reach(context: &mut Context) -> Result<Relation> {
    let name = "person/follows";
    let edges = edges_of(&workload::people(context.scale.of(workload::N_PEOPLE)), name);
    Ok(Relation {
        text: "[:find ?other :in ?one :where (reach ?one ?other)
                :rules [[(reach ?x ?y) [?x :person/follows ?y]]
                        [(reach ?x ?y) [?x :person/follows ?z] (reach ?z ?y)]]]",
        inputs: vec![Value::Ref(entity("person", 17))],
        data: "people who follow five",
        edges: Edges::new(name, Growth::Any, edges),
    })
}

fn closure(context: &mut Context) -> Result<Relation> {
    let name = "synset/hypernym";
    let (data, edges) = wordnet(context, name, || workload::tree(20_000))?;
    Ok(Relation {
        text: "[:find ?x ?y :where (above ?x ?y)
                :rules [[(above ?x ?y) [?x :synset/hypernym ?y]]
                        [(above ?x ?y) [?x :synset/hypernym ?z] (above ?z ?y)]]]",
        inputs: Vec::new(),
        data,
        edges: Edges::new(name, Growth::Any, edges),
    })
}

fn triangle(context: &mut Context) -> Result<Relation> {
    let name = "synset/pointer";
    let (data, edges) = wordnet(context, name, || workload::graph(13, 40_000))?;
    Ok(Relation {
        text: "[:find ?a ?b ?c :where [?a :synset/pointer ?b] [?b :synset/pointer ?c]
                                      [?a :synset/pointer ?c]]",
        inputs: Vec::new(),
        data,
        edges: Edges::new(name, Growth::Closing, edges),
    })
}

fn same_generation(context: &mut Context) -> Result<Relation> {
    Ok(Relation {
        text: "[:find ?x ?y :where (same ?x ?y)
                :rules [[(same ?x ?y) [?x :node/parent ?p] [?y :node/parent ?p]]
                        [(same ?x ?y) [?x :node/parent ?a] (same ?a ?b) [?y :node/parent ?b]]]]",
        inputs: Vec::new(),
        data: "tree",
        edges: Edges::new("node/parent", Growth::Before, workload::tree(context.scale.of(N_TREE))),
    })
}

/// Edges of WordNet; where it has not been obtained, or should be small, made ones.
fn wordnet(
    context: &mut Context,
    name: &str,
    made: impl FnOnce() -> Vec<Edge>,
) -> Result<(&'static str, Vec<Edge>)> {
    if context.scale == Scale::Small {
        return Ok(("made edges", made().into_iter().take(800).collect()));
    }
    match context.data.wordnet_asked()? {
        Some(data) => Ok(("WordNet", edges_of(&data.ops, name))),
        None => {
            eprintln!("WORDNET IS MISSING: {name} is made up, and smaller");
            Ok(("made edges IN PLACE OF WORDNET", made()))
        }
    }
}

fn edges_of(ops: &[Op], name: &str) -> Vec<Edge> {
    let name = attribute(name);
    let edge = |op: &Op| match op.value() {
        Some(Value::Ref(to)) if op.attribute() == Some(&name) => {
            Some((op.entity().clone(), to.clone()))
        }
        _ => None,
    };
    ops.iter().filter_map(edge).collect()
}

/// Our side.
struct Ours {
    db: Db,
    writer: Writer,
    instance: InstanceId,
    tier: Tier,
    query: Query,
    inputs: Vec<Input>,
    steps: Vec<(Took, ChangeDigest)>,
    /// What a write took before it was published.
    writes: Vec<Duration>,
    /// What evaluating again took.
    agains: Vec<Took>,
    /// What was answered first, and what that has become.
    told: Digest,
}

impl Ours {
    fn start(relation: &Relation) -> Result<Ours> {
        let query = tercet_query_lang::compile(relation.text, None)?;
        let inputs: Vec<Input> = relation.inputs.iter().cloned().map(Input::Scalar).collect();
        let store = store_of(&relation.edges.ops());
        let (mut db, writer) = (Db::with_store(store.clone()), Writer::new(store));
        let instance = db.subscribe(&query, &inputs, &Budget::unlimited())?;
        let tier = db.tier(instance).context("it was just subscribed")?;
        let (steps, writes, agains) = Default::default();
        let told = Digest::default();
        let mut ours =
            Ours { db, writer, instance, tier, query, inputs, steps, writes, agains, told };
        ours.told = ours.evaluate()?;
        Ok(ours)
    }

    fn evaluate(&self) -> Result<Digest> {
        let snapshot: Snapshot = self.writer.snapshot();
        let answer = self.query.run(&snapshot, &self.inputs, &Budget::unlimited())?;
        Ok(answer::digest(&answer))
    }

    fn step(&mut self, edges: &Edges, step: &Step) -> Result<()> {
        let op = edges.op(step);
        let start = Instant::now();
        let write = self.writer.prepare(vec![op]);
        self.writes.push(start.elapsed());
        ensure!(write.delta.facts.len() == 1, "a step is one edge: {step:?}");
        let successor = write.successor.clone();
        let (took, (updates, change)) = once(|| {
            let updates = self.db.publish(successor, &write.delta);
            let mut change = ChangeDigest::default();
            for delta in updates.iter().filter_map(|update| update.change.as_ref().ok()) {
                answer::read_change(delta, &mut change);
            }
            (updates, change)
        });
        for update in updates {
            ensure!(update.instance == self.instance, "an update of nobody's");
            update.change?;
        }
        self.told = answer::changed(self.told, change);
        self.steps.push((took, change));
        Ok(())
    }

    /// Evaluates again; says whether the answer is what was told.
    fn again(&mut self) -> Result<bool> {
        let (took, digest) = once(|| self.evaluate());
        self.agains.push(took);
        Ok(digest? == self.told)
    }
}

/// Lets both sides take the same steps, in turns.
fn race(
    id: &'static str,
    mut relation: Relation,
    n_steps: usize,
    mut peers: Option<&mut Peers>,
) -> Result<Row> {
    let mut ours = Ours::start(&relation)?;
    let first = ours.told;
    let (mut theirs, mut ok) = (Vec::new(), true);
    if let Some(peers) = peers.as_deref_mut() {
        peers.load(id, &relation.edges.ops())?;
        let inputs = relation.inputs.iter().map(parameter).collect::<Result<Vec<_>>>()?;
        ok &= peers.follow(id, &inputs)? == first;
    }
    while ours.steps.len() < n_steps {
        let is_slow = [&ours.steps, &theirs].into_iter().any(|steps| spent(steps) > TIME_MAX);
        if is_slow && ours.steps.len() >= N_STEPS_MIN {
            break;
        }
        let steps: Vec<Step> = (0..N_TOGETHER).map(|_| relation.edges.step()).collect();
        for step in &steps {
            ours.step(&relation.edges, step)?;
        }
        if let Some(peers) = peers.as_deref_mut() {
            theirs.extend(peers.steps(&told(&steps))?);
        }
        if ours.agains.len() < N_AGAIN {
            ok &= ours.again()?;
        }
    }
    ok &= ours.again()?;
    let n_wrong = ours.steps.iter().zip(&theirs).filter(|(ours, theirs)| ours.1 != theirs.1);
    let n_wrong = n_wrong.count();
    if !ok || n_wrong > 0 {
        eprintln!("WRONG: {n_wrong} steps of {id} differ, or what was told is not the answer");
    }
    let mut row = row(id, &ours, &theirs, relation.data, first);
    row.ok = ok && n_wrong == 0;
    Ok(row)
}

fn told(steps: &[Step]) -> Vec<(char, &str, &str)> {
    let sign = |comes| if comes { '+' } else { '-' };
    steps
        .iter()
        .map(|step| (sign(step.comes), step.edge.0.as_str(), step.edge.1.as_str()))
        .collect()
}

fn spent(steps: &[(Took, ChangeDigest)]) -> Duration {
    steps.iter().map(|(took, _)| took.wall).sum()
}

fn row(
    id: &'static str,
    ours: &Ours,
    theirs: &[(Took, ChangeDigest)],
    data: &str,
    first: Digest,
) -> Row {
    let n_changed: u64 =
        ours.steps.iter().map(|(_, change)| change.n_added + change.n_removed).sum();
    let steps = ours.steps.iter().map(|(took, _)| *took).collect();
    let (wall, cpu) = medians(steps);
    let again = medians(ours.agains.clone());
    let data = format!(
        "{data}, {} rows, {:?}; {:.2} change a step; write before {:.1} us, evaluated again {:.0} x",
        first.n_rows,
        ours.tier,
        n_changed as f64 / ours.steps.len() as f64,
        medians(ours.writes.iter().map(|wall| Took { wall: *wall, cpu: *wall }).collect()).0,
        again.1 / cpu
    );
    let mut row = Row::new(id, "us", wall, data);
    (row.median, row.cpu, row.n_runs) = (Some(wall), Some(cpu), ours.steps.len());
    let peer = |name: &str, (wall, cpu), n_runs| Peer {
        name: name.to_owned(),
        value: wall,
        median: wall,
        cpu: Some(cpu),
        n_runs,
        n_rows: ours.told.n_rows,
        sum: format!("{:016x}", ours.told.sum),
    };
    row.peers.push(peer("Tercet, evaluated again", again, ours.agains.len()));
    let limit = |part: f64, whole: Option<f64>| {
        let value = whole.map(|whole| part * whole);
        let reached = value.map(|value| cpu <= value);
        Limit { text: format!("≤ {part} × differential"), value, reached }
    };
    let whole = (!theirs.is_empty()).then(|| {
        let whole = medians(theirs.iter().map(|(took, _)| *took).collect());
        row.peers.push(peer("differential", whole, theirs.len()));
        whole
    });
    let (must, aim) = (limit(1.0, whole.map(|it| it.1)), limit(0.3, whole.map(|it| it.1)));
    row.reached = must.reached;
    (row.must, row.aim) = (Some(must), Some(aim));
    match whole {
        Some((wall, cpu)) => row.against_time("differential", wall, cpu),
        None => row,
    }
}

/// The median on the wall and that of the processor, in microseconds.
fn medians(mut tooks: Vec<Took>) -> (f64, f64) {
    let middle = tooks.len() / 2;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    tooks.sort_unstable_by_key(|took| took.wall);
    let wall = micros(tooks[middle].wall);
    tooks.sort_unstable_by_key(|took| took.cpu);
    (wall, micros(tooks[middle].cpu))
}
