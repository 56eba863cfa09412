//! `tercet-peers`: the engines that Tercet's query benchmarks compare with, behind a line protocol.
//!
//! A process of its own, because two builds of SQLite cannot be linked into one program, and a
//! crate outside the workspace, so that nobody else compiles these engines. Requests are lines of
//! words apart by tabs, answers are lines of JSON; an `error` in an answer is text for people.
//!
//! | request | answer |
//! | --- | --- |
//! | `load` file | `{"n_ids"}`: these are the facts from now on |
//! | `contestants` question | `{"names"}`: who can answer it |
//! | `run` question contestant n parameter… | `{"n_rows","sum","wall_ns","cpu_ns"}` of n runs |
//! | `follow` question parameter… | `{"n_rows","sum"}`: its answer is kept up to date from now on |
//! | `steps` file | `{"steps"}`: of each edge that came or went, what it changed and took |
//!
//! The first run of a question prepares it: SQL its statement, compiled Datalog its relations, each
//! sorted and indexed as far as the engine lets them stay. That is not timed. What is timed is one
//! thread evaluating and reading every value of the answer, an id as its text. Modules in reading
//! order: `measure` and `digest` (the benches' own files), `facts`, `contest` (what a contestant
//! is), then the engines; `follow` is differential-dataflow again, as it keeps an answer up to date.

#[path = "../../src/digest.rs"]
mod digest;
#[path = "../../src/measure.rs"]
mod measure;
mod facts;
mod contest;
mod sql;
mod shape;
mod frog;
mod ascents;
mod differential;
mod follow;

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value as Json, json};

use crate::contest::Contest;
use crate::digest::ChangeDigest;
use crate::facts::Facts;
use crate::measure::Took;

fn main() -> io::Result<()> {
    let mut contest = Contest::new(Facts::default());
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split('\t').collect();
        let answer = match answer(&mut contest, &words) {
            Ok(answer) => answer,
            Err(error) => json!({"error": format!("{error:#}")}),
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn answer(contest: &mut Contest, words: &[&str]) -> Result<Json> {
    match words {
        ["load", file] => {
            let facts = Facts::read(Path::new(file))?;
            let n_ids = facts.names().len();
            *contest = Contest::new(facts);
            Ok(json!({ "n_ids": n_ids }))
        }
        ["contestants", question] => Ok(json!({"names": contest::names(question)})),
        ["run", question, name, n_runs, parameters @ ..] => {
            let n_runs = n_runs.parse().context("no number of runs")?;
            let (took, digest) = contest.run(question, name, n_runs, parameters)?;
            Ok(json!({
                "n_rows": digest.n_rows,
                "sum": digest.sum,
                "wall_ns": u64::try_from(took.wall.as_nanos())?,
                "cpu_ns": u64::try_from(took.cpu.as_nanos())?,
            }))
        }
        ["follow", question, parameters @ ..] => {
            let digest = contest.follow(question, parameters)?;
            Ok(json!({ "n_rows": digest.n_rows, "sum": digest.sum }))
        }
        ["steps", file] => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
            let steps = contest.steps(&text)?;
            Ok(json!({ "steps": steps.iter().map(told).collect::<Result<Vec<_>>>()? }))
        }
        _ => bail!("no request: {words:?}"),
    }
}

/// A step, told: what it changed, and what it took.
fn told((took, change): &(Took, ChangeDigest)) -> Result<Json> {
    Ok(json!({
        "n_added": change.n_added,
        "n_removed": change.n_removed,
        "sum": change.sum,
        "wall_ns": u64::try_from(took.wall.as_nanos())?,
        "cpu_ns": u64::try_from(took.cpu.as_nanos())?,
    }))
}
