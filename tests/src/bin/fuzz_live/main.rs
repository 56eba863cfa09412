//! Many trials of live queries, judged: `fuzz_live --cases N --seed S --jobs J`.
//!
//! Started by `cargo xtask fuzz-live`, in release mode. Before the last line, `N passed, M failed`,
//! it tells what was tried: for each feature of programs how many had it, how many of them changed
//! under their history, and in which tier they were kept. Each failure is told in full, made small,
//! with the command that replays it. A run stops early after some failures.
#![allow(clippy::print_stdout, reason = "it reports to the person who started it")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use tercet_tests::live::features::{of_case, of_history};
use tercet_tests::live::{Report, Step, Trial, try_trial};
use tercet_tests::minimize::catch;
use tercet_tests::random::Random;
use tercet_tests::seeds::{FAILURES_MAX, Options};

/// How often a feature was there.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    n: u64,
    /// Of those, with an answer that changed at least once.
    n_moved: u64,
    /// By tier.
    n_in_tier: [u64; 3],
}

/// What has been seen so far, by all threads.
#[derive(Default)]
struct Tally {
    n_passed: u64,
    /// Cases in which some answer changed.
    n_moved: u64,
    n_publishes: u64,
    n_updates: u64,
    /// Programs that were left out at some step.
    n_void: u64,
    /// Instances that were told to be stale.
    n_stale: u64,
    /// Deltas that were too much work.
    n_fallbacks: u64,
    questions: Count,
    features: BTreeMap<&'static str, Count>,
    history: BTreeMap<&'static str, u64>,
    failures: u64,
    slowest: (Duration, u64),
}

impl Tally {
    fn add(&mut self, trial: &Trial, report: &Report) {
        self.n_passed += 1;
        self.n_fallbacks += report.n_fallbacks;
        self.n_moved += u64::from(report.watches.iter().any(|watch| watch.n_updates > 0));
        let is_publish = |step: &&Step| matches!(step, Step::Publish { .. } | Step::Push(_));
        self.n_publishes += trial.steps.iter().filter(is_publish).count() as u64;
        for feature in of_history(trial) {
            *self.history.entry(feature).or_default() += 1;
        }
        for (case, watch) in trial.questions.iter().zip(&report.watches) {
            self.n_updates += watch.n_updates as u64;
            self.n_void += u64::from(watch.is_void);
            self.n_stale += watch.n_stale as u64;
            let Some(tier) = watch.tier else { continue };
            let count = |count: &mut Count| {
                count.n += 1;
                count.n_moved += u64::from(watch.n_updates > 0);
                count.n_in_tier[tier as usize] += 1;
            };
            count(&mut self.questions);
            for feature in of_case(case) {
                count(self.features.entry(feature).or_default());
            }
        }
    }
}

fn main() -> Result<ExitCode> {
    let tally = Mutex::new(Tally::default());
    let start = Instant::now();
    Options::from_args()?.in_threads(|seeds| run(seeds, &tally, start));
    let tally = tally.into_inner().expect("no thread panics with it");
    report(&tally, start.elapsed());
    Ok(if tally.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(seeds: &mut dyn Iterator<Item = u64>, tally: &Mutex<Tally>, start: Instant) {
    for seed in seeds {
        let begin = Instant::now();
        let outcome = catch(|| try_trial(&mut Random::of_case(seed)));
        let outcome = outcome.unwrap_or_else(|panic| Err(format!("panic: {panic}")));
        let time = begin.elapsed();
        let mut tally = tally.lock().expect("no thread panics with it");
        if tally.failures >= FAILURES_MAX as u64 {
            return;
        }
        tally.slowest = tally.slowest.max((time, seed));
        match outcome {
            Ok((trial, report)) => tally.add(&trial, &report),
            Err(text) => {
                println!("== seed {seed} failed\n{text}");
                println!("replay: cargo xtask fuzz-live --cases 1 --seed {seed}\n");
                tally.failures += 1;
            }
        }
        let n_done = tally.n_passed + tally.failures;
        if n_done.is_multiple_of(10_000) {
            println!("{n_done} cases, {} s", start.elapsed().as_secs());
        }
    }
}

fn report(tally: &Tally, time: Duration) {
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    println!("{:<36} {:>8} {:>8} {:>7} {:>7} {:>7}", "", "programs", "moved", "tier 1", "2", "3");
    for (feature, count) in tally.features.iter().chain([(&"all", &tally.questions)]) {
        let [delta, tables, rerun] = count.n_in_tier;
        let moved = percent(count.n_moved, count.n);
        println!("{feature:<36} {:>8} {moved:>6.1} % {delta:>7} {tables:>7} {rerun:>7}", count.n);
    }
    for (feature, n) in &tally.history {
        println!("{feature:<36} {n:>8} cases");
    }
    println!(
        "{:.1} % of the cases and {:.1} % of the programs moved; {} publishes, {} updates; \
         {} times an evaluation for a delta, {} times stale; {} programs left out as too much",
        percent(tally.n_moved, tally.n_passed),
        percent(tally.questions.n_moved, tally.questions.n),
        tally.n_publishes,
        tally.n_updates,
        tally.n_fallbacks,
        tally.n_stale,
        tally.n_void,
    );
    let (slowest, seed) = tally.slowest;
    println!(
        "{:.1} s, {:.0} cases a second; slowest case {:.2} s (seed {seed})",
        time.as_secs_f64(),
        tally.n_passed as f64 / time.as_secs_f64(),
        slowest.as_secs_f64()
    );
    println!("{} passed, {} failed", tally.n_passed, tally.failures);
}
