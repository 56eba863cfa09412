//! A question, what must be reached, and the row that tells whether it is.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tercet_engine::db::Query;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::Snapshot;
use tercet_engine::value::Value;

use crate::data::DataSet;
use crate::digest::Digest;
use crate::measure::{Took, once};
use crate::peers::{Peers, parameter};
use crate::race::{Contestant, Standing, race};
use crate::row::{Better, Limit, Peer, Row, standings};
use crate::{Wanted, answer};

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
    let mut rows = Vec::new();
    for question in questions.iter().filter(|question| wanted.is(question.id)) {
        let row = ask(question, facts, peers.as_deref_mut())
            .with_context(|| format!("{} failed", question.id))?;
        eprint!("{}", standings(&row));
        rows.push(row);
    }
    Ok(rows)
}

/// Asks a question of everybody who can answer it.
fn ask(question: &Question, facts: &DataSet, peers: Option<&mut Peers>) -> Result<Row> {
    let query = tercet_query_lang::compile(question.text, None)?;
    let ours = Contestant {
        name: "Tercet".to_owned(),
        run: Box::new(|n_runs| run(&query, &facts.snapshot, &question.inputs, n_runs)),
    };
    let Some(peers) = peers else {
        return row(question, facts.name, race(vec![ours])?);
    };
    let parameters = parameters(&question.inputs)?;
    let names = peers.contestants(question.id)?;
    // Turns are taken one after another, so one process serves all.
    let peers = RefCell::new(peers);
    let mut contestants = vec![ours];
    for name in &names {
        let (peers, parameters) = (&peers, &parameters);
        contestants.push(Contestant {
            name: name.clone(),
            run: Box::new(move |n_runs| {
                peers.borrow_mut().run(question.id, name, n_runs, parameters)
            }),
        });
    }
    row(question, facts.name, race(contestants)?)
}

/// Tercet answers, and every value is read.
fn run(
    query: &Query,
    snapshot: &Snapshot,
    inputs: &[Input],
    n_runs: usize,
) -> Result<(Took, Digest)> {
    let budget = Budget::unlimited();
    let (took, outcome) = once(|| {
        let mut digest = Digest::default();
        for _ in 0..n_runs {
            digest = answer::digest(&query.run(snapshot, inputs, &budget)?);
        }
        anyhow::Ok(digest)
    });
    Ok((took, outcome?))
}

/// Inputs as the peers take them, one after another.
fn parameters(inputs: &[Input]) -> Result<Vec<String>> {
    let mut values: Vec<&Value> = Vec::new();
    for input in inputs {
        match input {
            Input::Scalar(value) => values.push(value),
            Input::Tuple(items) | Input::Collection(items) => values.extend(items),
            Input::Relation(rows) => values.extend(rows.iter().flatten()),
        }
    }
    values.into_iter().map(parameter).collect()
}

fn row(question: &Question, facts: &str, standings: Vec<Standing>) -> Result<Row> {
    let (ours, theirs) = standings.split_first().context("Tercet always runs")?;
    let in_unit = |time: Duration| match question.unit {
        "us" => time.as_secs_f64() * 1e6,
        _ => time.as_secs_f64() * 1e3,
    };
    ensure!(ours.digest.n_rows > 0, "{} has no answer, which is no measure", question.id);
    let data = format!("{facts}, {} rows", ours.digest.n_rows);
    let mut row = Row::new(question.id, question.unit, in_unit(ours.wall), data);
    row.median = Some(in_unit(ours.wall_median));
    row.cpu = Some(in_unit(ours.cpu));
    row.n_runs = ours.n_runs;
    row.ok = theirs.iter().all(|standing| standing.digest == ours.digest);
    for standing in theirs {
        let equal = if standing.digest == ours.digest { "" } else { " (ANOTHER ANSWER)" };
        row.peers.push(Peer {
            name: format!("{}{equal}", standing.name),
            value: in_unit(standing.wall),
            median: in_unit(standing.wall_median),
            cpu: Some(in_unit(standing.cpu)),
            n_runs: standing.n_runs,
        });
    }
    let quickest = |names: &[&str]| {
        let counts = |standing: &&Standing| names.is_empty() || names.contains(&&*standing.name);
        theirs.iter().filter(counts).min_by_key(|standing| standing.cpu)
    };
    let ours_cpu = in_unit(ours.cpu);
    match question.target {
        Target::Time { must, aim } => {
            row = row.within(must, Some(aim), Better::Less);
            if let Some(best) = quickest(&[]) {
                row = against(row, &best.name, in_unit(best.wall), in_unit(best.cpu));
            }
        }
        Target::Of { whom, names, must, aim } => {
            let best = quickest(names);
            let limit = |part: f64| {
                let value = best.map(|best| in_unit(best.cpu) * part);
                let reached = value.map(|value| ours_cpu <= value);
                Limit { text: format!("≤ {part} × {whom}"), value, reached }
            };
            row.must = Some(limit(must));
            row.aim = aim.map(limit);
            row.reached = row.must.as_ref().and_then(|must| must.reached);
            if let Some(best) = best {
                row = against(row, &best.name, in_unit(best.wall), in_unit(best.cpu));
            }
        }
    }
    Ok(row)
}

/// Beside the peer that counts, by time of the processor.
fn against(row: Row, name: &str, wall: f64, cpu: f64) -> Row {
    let ours = row.cpu.unwrap_or(row.value);
    let mut row = row.against(name, wall, Better::Less);
    row.against_cpu = Some(cpu);
    row.ratio = Some(cpu / ours).filter(|ratio| ratio.is_finite());
    row
}
