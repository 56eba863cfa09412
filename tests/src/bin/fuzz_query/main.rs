//! Many questions to the query engine, judged: `fuzz_query --cases N --seed S --jobs J`.
//!
//! Started by `cargo xtask fuzz-query`, in release mode. Threads take seeds from one counter; what
//! a seed means does not depend on the thread that takes it, nor on the others. The last line is
//! `N passed, M failed`; each failure is told in full, made small, with the command that replays
//! it. A run stops early after some failures: one bug fails many seeds.
#![allow(clippy::print_stdout, reason = "it reports to the person who started it")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tercet_tests::fuzz::try_question;
use tercet_tests::minimize::catch;
use tercet_tests::random::Random;

/// Failures after which a run stops.
const FAILURES_MAX: usize = 10;

struct Options {
    n_cases: u64,
    seed: u64,
    n_jobs: u64,
}

fn options() -> Result<Options> {
    let mut options = Options { n_cases: 1_000, seed: 0, n_jobs: 1 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = words.next().with_context(|| format!("{word} takes a number"))?;
        let number = number.parse().with_context(|| format!("{word} {number}"))?;
        match word.as_str() {
            "--cases" => options.n_cases = number,
            "--seed" => options.seed = number,
            "--jobs" => options.n_jobs = number.max(1),
            _ => bail!("what is {word}?"),
        }
    }
    Ok(options)
}

/// What has been seen so far, by all threads.
#[derive(Default)]
struct Tally {
    n_passed: u64,
    /// Theme → questions, of those the ones with an empty answer, rows.
    themes: BTreeMap<&'static str, [u64; 3]>,
    failures: Vec<(u64, String)>,
    slowest: (Duration, u64),
    n_facts_max: usize,
}

fn main() -> Result<ExitCode> {
    let options = options()?;
    let (tally, next) = (Mutex::new(Tally::default()), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..options.n_jobs {
            let work = || run(&options, &next, &tally, start);
            // Deep programs are evaluated by deep recursion, in the oracle too.
            let thread = std::thread::Builder::new().stack_size(64 << 20);
            thread.spawn_scoped(scope, work).expect("a thread can be started");
        }
    });
    let tally = tally.into_inner().expect("no thread panics with it");
    report(&tally, start.elapsed());
    Ok(if tally.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(options: &Options, next: &AtomicU64, tally: &Mutex<Tally>, start: Instant) {
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= options.n_cases {
            return;
        }
        let seed = options.seed.wrapping_add(index);
        let begin = Instant::now();
        let outcome = catch(|| try_question(&mut Random::of_case(seed)))
            .unwrap_or_else(|panic| Err(format!("panic: {panic}")));
        let time = begin.elapsed();
        let mut tally = tally.lock().expect("no thread panics with it");
        if tally.failures.len() >= FAILURES_MAX {
            return;
        }
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

fn report(tally: &Tally, time: Duration) {
    for (theme, [n, n_empty, n_rows]) in &tally.themes {
        println!("{theme:<8} {n:>8} questions, {n_empty:>7} without rows, {n_rows:>9} rows");
    }
    let (slowest, seed) = tally.slowest;
    println!(
        "{:.1} s; largest database {} facts; slowest case {:.2} s (seed {seed})",
        time.as_secs_f64(),
        tally.n_facts_max,
        slowest.as_secs_f64()
    );
    println!("{} passed, {} failed", tally.n_passed, tally.failures.len());
}
