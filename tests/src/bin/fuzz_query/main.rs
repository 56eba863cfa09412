//! Many questions to the query engine, judged: `fuzz_query --cases N --seed S --jobs J`.
//!
//! Started by `cargo xtask fuzz-query`, in release mode. The last line is `N passed, M failed`; each
//! failure is told in full, made small, with the command that replays it. A run stops early after
//! some failures.
#![allow(clippy::print_stdout, reason = "it reports to the person who started it")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use tercet_tests::datascript::{DataScript, Failure};
use tercet_tests::fuzz::{Second, try_datascript, try_question};
use tercet_tests::generate::question::Question;
use tercet_tests::minimize::catch;
use tercet_tests::random::Random;
use tercet_tests::seeds::{FAILURES_MAX, Options};

/// Every so many questions one is shown to DataScript too, where the dialects agree.
const DATASCRIPT_EVERY: u64 = 10;

/// How the tally calls an answer of DataScript that is ours.
const SAME: &str = "answered alike";

/// What has been seen so far, by all threads.
#[derive(Default)]
struct Tally {
    n_passed: u64,
    /// Theme → questions, of those the ones with an empty answer, rows.
    themes: BTreeMap<&'static str, [u64; 3]>,
    failures: Vec<(u64, String)>,
    slowest: (Duration, u64),
    n_facts_max: usize,
    /// What DataScript said → how often.
    datascript: BTreeMap<String, u64>,
}

fn main() -> Result<ExitCode> {
    let tally = Mutex::new(Tally::default());
    let start = Instant::now();
    Options::from_args()?.in_threads(|seeds| run(seeds, &tally, start));
    let tally = tally.into_inner().expect("no thread panics with it");
    report(&tally, start.elapsed());
    Ok(if tally.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(seeds: &mut dyn Iterator<Item = u64>, tally: &Mutex<Tally>, start: Instant) {
    let mut second = SecondOpinion::start();
    for seed in seeds {
        let begin = Instant::now();
        let outcome = catch(|| try_question(&mut Random::of_case(seed)));
        let outcome = outcome.unwrap_or_else(|panic| Err(format!("panic: {panic}")));
        let (outcome, opinion) = match outcome {
            Ok(question) if seed.is_multiple_of(DATASCRIPT_EVERY) => match second.ask(&question) {
                Ok(opinion) => (Ok(question), Some(opinion)),
                Err(text) => (Err(text), None),
            },
            outcome => (outcome, None),
        };
        let time = begin.elapsed();
        let mut tally = tally.lock().expect("no thread panics with it");
        if tally.failures.len() >= FAILURES_MAX {
            return;
        }
        *tally.datascript.entry(opinion.unwrap_or_default()).or_default() += 1;
        tally.slowest = tally.slowest.max((time, seed));
        match outcome {
            Ok(question) => {
                tally.n_passed += 1;
                tally.n_facts_max = tally.n_facts_max.max(question.facts.len());
                let theme = tally.themes.entry(question.theme).or_default();
                theme[0] += 1;
                theme[1] += u64::from(question.rows.is_empty());
                theme[2] += question.rows.len() as u64;
            }
            Err(text) => {
                println!("== seed {seed} failed: {text}");
                println!("replay: cargo xtask fuzz-query --cases 1 --seed {seed}\n");
                tally.failures.push((seed, text));
            }
        }
        let n_done = tally.n_passed + tally.failures.len() as u64;
        if n_done.is_multiple_of(10_000) {
            println!("{n_done} cases, {} s", start.elapsed().as_secs());
        }
    }
}

/// DataScript, started again whenever it had to be ended.
struct SecondOpinion(Result<DataScript, Failure>);

impl SecondOpinion {
    fn start() -> SecondOpinion {
        SecondOpinion(DataScript::start())
    }

    /// What became of the question there, in a few words.
    fn ask(&mut self, question: &Question) -> Result<String, String> {
        let SecondOpinion(Ok(datascript)) = self else { return Ok(String::new()) };
        let opinion = try_datascript(datascript, question)?;
        if opinion == Second::NoEnd {
            *self = SecondOpinion::start();
        }
        Ok(match opinion {
            Second::Same => String::from(SAME),
            Second::LeftOut => String::from("left out: differs by design"),
            Second::NoEnd => String::from("given up: no answer in time"),
            Second::Refused(why) => format!("refused there: {why} …"),
        })
    }
}

fn report_datascript(tally: &Tally) {
    for (what, n) in tally.datascript.iter().filter(|(what, _)| !what.is_empty()) {
        println!("DataScript: {n:>8} {what}");
    }
    if !tally.datascript.contains_key(SAME) {
        let why = DataScript::start().err().map_or(String::new(), |why| format!(": {why}"));
        println!("NOTHING WAS COMPARED WITH DATASCRIPT{why}");
    }
}

fn report(tally: &Tally, time: Duration) {
    for (theme, [n, n_empty, n_rows]) in &tally.themes {
        println!("{theme:<8} {n:>8} questions, {n_empty:>7} without rows, {n_rows:>9} rows");
    }
    report_datascript(tally);
    let (slowest, seed) = tally.slowest;
    println!(
        "{:.1} s; largest database {} facts; slowest case {:.2} s (seed {seed})",
        time.as_secs_f64(),
        tally.n_facts_max,
        slowest.as_secs_f64()
    );
    println!("{} passed, {} failed", tally.n_passed, tally.failures.len());
}
