//! A question, what must be reached, and the row that tells whether it is.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tercet_engine::db::Query;
use tercet_engine::error::QueryError;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::Snapshot;
use tercet_engine::value::Value;

use crate::data::DataSet;
use crate::digest::Digest;
use crate::measure::{Took, once};
use crate::peers::{Peers, parameter};
use crate::race::{Contestant, Run, Standing, race};
use crate::row::{Better, Limit, Peer, Row, standings};
use crate::script::{self, Script};
use crate::{Wanted, answer};

/// What Tercet may take: more is hopeless, and would make everybody else wait.
const TIME_MAX: Duration = Duration::from_secs(15);
const BYTES_MAX: u64 = 4 << 30;

/// A question to a set of facts.
pub struct Question {
    /// The id of its row.
    pub id: &'static str,
    /// As Tercet is asked.
    pub text: &'static str,
    /// What its `:in` gets, and in the same order the peers.
    pub inputs: Vec<Input>,
    /// Of the row: `us` or `ms`.
    pub unit: &'static str,
    /// What must be reached.
    pub target: Target,
}

/// What must be reached, and what is aimed at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// A part of what the quickest of some peers takes.
    Of {
        /// How reports call them.
        whom: &'static str,
        /// Which peers count, by name.
        names: &'static [&'static str],
        /// The part that must be reached.
        must: f64,
        /// The part that is aimed at.
        aim: Option<f64>,
    },
    /// A time, in the unit of the row.
    Time {
        /// That must be reached.
        must: f64,
        /// That is aimed at.
        aim: f64,
    },
}

/// A part of what SQL takes.
pub const fn of_sql(must: f64, aim: Option<f64>) -> Target {
    Target::Of { whom: "SQL", names: &["SQL"], must, aim }
}

/// A part of what the quickest peer takes, whoever it is.
pub const fn of_best(must: f64, aim: Option<f64>) -> Target {
    let names = &["SQL", "SQL by hand", "datafrog", "ascent", "differential", "DataScript"];
    Target::Of { whom: "best", names, must, aim }
}

/// A part of what datafrog takes.
pub const fn of_datafrog(must: f64, aim: Option<f64>) -> Target {
    Target::Of { whom: "datafrog", names: &["datafrog"], must, aim }
}

/// A part of what the best compiled Datalog takes.
pub const fn of_compiled(must: f64, aim: Option<f64>) -> Target {
    let names = &["datafrog", "datafrog leapfrog", "ascent", "differential"];
    Target::Of { whom: "best compiled", names, must, aim }
}

/// Asks the wanted ones of some questions, and shows at once how everybody did.
///
/// # Errors
/// When somebody fails to answer.
pub fn ask_all(
    questions: &[Question],
    facts: &DataSet,
    mut peers: Option<&mut Peers>,
    wanted: &Wanted<'_>,
) -> Result<Vec<Row>> {
    if let Some(peers) = peers.as_deref_mut() {
        peers.load(facts.name, &facts.ops)?;
    }
    let is_asked = |question: &Question| script::columns(question.id).is_some();
    let mut script =
        match questions.iter().any(|question| wanted.is(question.id) && is_asked(question)) {
            true => Script::start(&facts.ops)?,
            false => None,
        };
    let mut rows = Vec::new();
    for question in questions.iter().filter(|question| wanted.is(question.id)) {
        let row = ask(question, facts, peers.as_deref_mut(), script.as_mut())
            .with_context(|| format!("{} failed", question.id))?;
        eprint!("{}", standings(&row));
        rows.push(row);
    }
    Ok(rows)
}

/// Asks a question of everybody who can answer it.
fn ask(
    question: &Question,
    facts: &DataSet,
    mut peers: Option<&mut Peers>,
    script: Option<&mut Script>,
) -> Result<Row> {
    let query = tercet_query_lang::compile(question.text, None)?;
    let ours = Contestant {
        name: "Tercet".to_owned(),
        run: Box::new(|n_runs| run(&query, &facts.snapshot, &question.inputs, n_runs)),
    };
    let parameters = parameters(&question.inputs)?;
    let names = match &mut peers {
        Some(peers) => peers.contestants(question.id)?,
        None => Vec::new(),
    };
    // Turns are taken one after another, so one process serves all.
    let peers = peers.map(RefCell::new);
    let mut contestants = vec![ours];
    if let Some(script) = script.filter(|script| script.is_there())
        && let Some(columns) = script::columns(question.id)
    {
        contestants.extend(by_script(question, script, columns)?);
    }
    for name in &names {
        let (Some(peers), parameters) = (&peers, &parameters) else { continue };
        let run: Run<'_> = Box::new(move |n_runs| {
            peers.borrow_mut().run(question.id, name, n_runs, parameters).map(Some)
        });
        contestants.push(Contestant { name: name.clone(), run });
    }
    row(question, facts.name, race(contestants)?)
}

/// DataScript, whose answer is read once and then only timed.
fn by_script<'a>(
    question: &'a Question,
    script: &'a mut Script,
    columns: &[script::Column],
) -> Result<Option<Contestant<'a>>> {
    let inputs = values(&question.inputs).into_iter().map(script::plain);
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let Some(digest) = script.digest(question.text, &inputs, columns)? else { return Ok(None) };
    let run: Run<'a> = Box::new(move |n_runs| {
        let took = script.time(question.text, &inputs, n_runs)?;
        Ok(took.map(|took| (took, digest)))
    });
    Ok(Some(Contestant { name: script::NAME.to_owned(), run }))
}

/// Tercet answers, and every value is read; none when that is hopeless.
fn run(
    query: &Query,
    snapshot: &Snapshot,
    inputs: &[Input],
    n_runs: usize,
) -> Result<Option<(Took, Digest)>> {
    let start = Instant::now();
    let budget = Budget {
        bytes: Some(BYTES_MAX),
        interrupt: Some(Arc::new(move || start.elapsed() > TIME_MAX)),
        ..Budget::default()
    };
    let (took, outcome) = once(|| {
        let mut digest = Digest::default();
        for _ in 0..n_runs {
            digest = answer::digest(&query.run(snapshot, inputs, &budget)?);
        }
        Ok(digest)
    });
    match outcome {
        Ok(digest) => Ok(Some((took, digest))),
        Err(QueryError::Stopped { .. } | QueryError::Budget { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Inputs as the peers take them, one after another.
fn parameters(inputs: &[Input]) -> Result<Vec<String>> {
    values(inputs).into_iter().map(parameter).collect()
}

fn values(inputs: &[Input]) -> Vec<&Value> {
    let mut values: Vec<&Value> = Vec::new();
    for input in inputs {
        match input {
            Input::Scalar(value) => values.push(value),
            Input::Tuple(items) | Input::Collection(items) => values.extend(items),
            Input::Relation(rows) => values.extend(rows.iter().flatten()),
        }
    }
    values
}

fn row(question: &Question, facts: &str, standings: Vec<Standing>) -> Result<Row> {
    let (ours, theirs) = standings.split_first().context("Tercet always runs")?;
    let unit = Unit(question.unit);
    let mut row = match ours.result {
        Some(result) => {
            let Digest { n_rows, .. } = result.digest;
            ensure!(n_rows > 0, "{} has no answer, which is no measure", question.id);
            let data = format!("{facts}, {n_rows} rows");
            let mut row = Row::new(question.id, question.unit, unit.of(result.wall), data);
            row.median = Some(unit.of(result.wall_median));
            row.cpu = Some(unit.of(result.cpu));
            row.n_runs = result.n_runs;
            row
        }
        None => {
            let data = format!("{facts}, GAVE UP after {TIME_MAX:?} or {} GiB", BYTES_MAX >> 30);
            Row::new(question.id, question.unit, unit.of(TIME_MAX), data)
        }
    };
    let answers: Vec<Digest> =
        standings.iter().filter_map(|standing| Some(standing.result?.digest)).collect();
    row.ok = answers.windows(2).all(|pair| pair[0] == pair[1]);
    for standing in theirs {
        let Some(result) = standing.result else { continue };
        row.peers.push(Peer {
            name: standing.name.clone(),
            value: unit.of(result.wall),
            median: unit.of(result.wall_median),
            cpu: Some(unit.of(result.cpu)),
            n_runs: result.n_runs,
            n_rows: result.digest.n_rows,
            sum: format!("{:016x}", result.digest.sum),
        });
    }
    Ok(judged(row, question.target))
}

/// The unit of a row's times.
struct Unit(&'static str);

impl Unit {
    fn of(&self, time: Duration) -> f64 {
        match self.0 {
            "us" => time.as_secs_f64() * 1e6,
            _ => time.as_secs_f64() * 1e3,
        }
    }
}

/// The row beside what it must reach, by time of the processor.
fn judged(mut row: Row, target: Target) -> Row {
    let gave_up = row.cpu.is_none();
    let ours = row.cpu.unwrap_or(row.value);
    let names = match target {
        Target::Time { must, aim } => {
            row = row.within(must, Some(aim), Better::Less);
            None
        }
        Target::Of { names, .. } => Some(names),
    };
    let counts = |peer: &&Peer| names.is_none_or(|names| names.contains(&&*peer.name));
    let cpu = |peer: &Peer| peer.cpu.unwrap_or(peer.value);
    let best = row.peers.iter().filter(counts).min_by(|a, b| cpu(a).total_cmp(&cpu(b))).cloned();
    if let Target::Of { whom, must, aim, .. } = target {
        let limit = |part: f64| {
            let value = best.as_ref().map(|best| cpu(best) * part);
            let reached = value.map(|value| !gave_up && ours <= value);
            Limit { text: format!("≤ {part} × {whom}"), value, reached }
        };
        row.must = Some(limit(must));
        row.aim = aim.map(limit);
        row.reached = row.must.as_ref().and_then(|must| must.reached);
    }
    match best {
        Some(best) => row.against_time(&*best.name, best.value, cpu(&best)),
        None => row,
    }
}
