//! Many seeds of the simulation: `sim --seeds N --start S --jobs J`, or one plan, `sim --plan TEXT`.
//!
//! Started by `cargo xtask sim`, in release mode. Before the last line, `N passed, M failed`, it
//! tells how often each rare path was taken; a run of 1,000 seeds or more in which one never was
//! has failed. Each failure is told with the command that replays it, and with a smaller plan.
#![allow(clippy::print_stdout, reason = "it reports to the person who started it")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tercet_tests::seeds::{FAILURES_MAX, Options as Seeds};
use tercet_tests::sim::{Broken, Path, Paths, Plan, run, run_twice, shrink};

/// A run of so many seeds must have taken every path.
const SEEDS_FOR_ALL_PATHS: u64 = 1_000;

/// One seed in so many is played twice.
const TWICE_EVERY: u64 = 16;

struct Options {
    seeds: Seeds,
    plan: Option<Plan>,
}

impl Options {
    fn from_args() -> Result<Options> {
        let seeds = Seeds { n_cases: 1_000, seed: 0, n_jobs: 1 };
        let mut options = Options { seeds, plan: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} takes a value"))?;
            let number = || value.parse::<u64>().with_context(|| format!("{word} {value}"));
            match word.as_str() {
                "--seeds" => options.seeds.n_cases = number()?,
                "--start" => options.seeds.seed = number()?,
                "--jobs" => options.seeds.n_jobs = number()?.max(1),
                "--plan" => options.plan = Some(Plan::read(&value)?),
                _ => bail!("what is {word}?"),
            }
        }
        Ok(options)
    }
}

/// What has been seen so far, by all threads.
#[derive(Default)]
struct Tally {
    n_passed: u64,
    n_failed: u64,
    paths: Paths,
    elapsed_ms: u64,
    slowest: (Duration, u64),
}

fn main() -> Result<ExitCode> {
    let options = Options::from_args()?;
    if let Some(plan) = options.plan {
        return Ok(play_one(plan));
    }
    let tally = Mutex::new(Tally::default());
    let begin = Instant::now();
    let is_single = options.seeds.n_cases == 1;
    options.seeds.in_threads(|seeds| run_seeds(seeds, &tally, is_single));
    let tally = tally.into_inner().expect("no thread panics with it");
    Ok(report(&tally, begin.elapsed()))
}

fn run_seeds(seeds: &mut dyn Iterator<Item = u64>, tally: &Mutex<Tally>, is_single: bool) {
    for seed in seeds {
        let begin = Instant::now();
        let plan = Plan::draw(seed);
        let is_twice = is_single || seed.is_multiple_of(TWICE_EVERY);
        let outcome = if is_twice { run_twice(plan) } else { run(plan, false) };
        let time = begin.elapsed();
        if let Some(broken) = &outcome.broken {
            tell(plan, broken);
        }
        let mut tally = tally.lock().expect("no thread panics with it");
        tally.slowest = tally.slowest.max((time, seed));
        tally.paths.add(&outcome.paths);
        tally.elapsed_ms += outcome.elapsed_ms;
        match outcome.broken {
            None => tally.n_passed += 1,
            Some(_) => tally.n_failed += 1,
        }
        if tally.n_failed >= FAILURES_MAX as u64 {
            return;
        }
        let n_done = tally.n_passed + tally.n_failed;
        if n_done.is_multiple_of(10_000) {
            println!("{n_done} seeds");
        }
    }
}

fn tell(plan: Plan, broken: &Broken) {
    let small = shrink(plan, broken);
    let story = run(small, false).broken.unwrap_or_else(|| broken.clone());
    println!(
        "== seed {} failed: {broken}\nreplay: cargo xtask sim --seeds 1 --start {}\n\
         smaller: cargo xtask sim --plan \"{small}\"\n  {story}\n",
        plan.seed, plan.seed
    );
}

/// Plays one plan, with its story.
fn play_one(plan: Plan) -> ExitCode {
    let outcome = run(plan, true);
    match &outcome.broken {
        Some(broken) => println!("{broken}\n0 passed, 1 failed"),
        None => println!("1 passed, 0 failed"),
    }
    if outcome.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(tally: &Tally, time: Duration) -> ExitCode {
    for path in Path::ALL {
        println!("{:<64} {:>10}", path.text(), tally.paths.count(*path));
    }
    let n_done = tally.n_passed + tally.n_failed;
    let (slowest, seed) = tally.slowest;
    println!(
        "{:.1} s for {:.0} s of simulated time, {:.0} seeds a second; slowest {:.2} s (seed {seed})",
        time.as_secs_f64(),
        tally.elapsed_ms as f64 / 1_000.0,
        n_done as f64 / time.as_secs_f64(),
        slowest.as_secs_f64()
    );
    let missing = tally.paths.missing();
    let mut n_failed = tally.n_failed;
    if n_done >= SEEDS_FOR_ALL_PATHS && !missing.is_empty() {
        println!("never taken: {missing:?}");
        n_failed += 1;
    }
    println!("{} passed, {n_failed} failed", tally.n_passed);
    if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
