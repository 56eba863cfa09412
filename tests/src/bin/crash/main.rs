//! The crash test: `kill -9` of a real server during acknowledged writes, again and again.
//!
//! In every trial four writers send transactions to a server process over HTTP; at a random
//! moment the process is killed. A new process then opens the same data directory, and the trial
//! audits over HTTP that nothing acknowledged is missing, that nothing appeared that was never
//! sent, that every transaction is whole, and that sending the unanswered ones again applies
//! each exactly once. One data directory serves all trials, so that each also audits all earlier
//! ones and recovery reads a log that many processes wrote.
//!
//! A killed process loses nothing that it handed to the operating system, so this proves the
//! order "log before acknowledgement", not that the disk was told to keep it: the storage tests
//! judge that. Modules: `server` runs the process, `audit` holds what was promised.
#![allow(clippy::print_stdout, reason = "the table it prints is its purpose")]

mod audit;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::audit::{Ledger, Write};
use crate::server::{App, Server};

/// How many transactions are under way at a time: enough that commits are made in groups.
const N_WRITERS: u32 = 4;

/// Kill the server again and again during writes; check that nothing acknowledged is lost.
#[derive(Debug, Parser)]
struct Options {
    /// The server's program, `tercet`.
    #[arg(long)]
    server: PathBuf,
    /// How many times the server is killed.
    #[arg(long, default_value_t = 10)]
    trials: u32,
    /// How many writes there are in a trial; the kill comes at a random one.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    writes: u32,
    /// What the random moments come from.
    #[arg(long)]
    seed: Option<u64>,
}

/// What one trial saw, as a row of the table.
struct Trial {
    n_acknowledged: usize,
    n_unanswered: usize,
    n_unanswered_kept: usize,
    restart: Duration,
    faults: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all trials; whether all went well.
async fn run(options: &Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(seed_from_clock);
    let mut moments = Moments(seed);
    let data = tempfile::tempdir().context("cannot make a data directory")?;
    println!("{} trials of {} writes, seed {seed}", options.trials, options.writes);
    println!();
    println!("trial  acknowledged  unanswered  of them kept  restart ms  verdict");
    let mut server = Server::start(&options.server, data.path()).await?;
    let app = server.create_app().await?;
    let mut ledger = Ledger::default();
    let mut n_passed = 0;
    for index in 1..=options.trials {
        let kill_at = moments.below(options.writes);
        let pause = Duration::from_micros(u64::from(moments.below(3_000)));
        let trial;
        (server, trial) =
            run_trial(options, index, server, &app, &mut ledger, (kill_at, pause)).await?;
        n_passed += u32::from(trial.faults.is_empty());
        print_row(index, &trial);
    }
    server.kill()?;
    println!();
    println!("{n_passed} passed, {} failed", options.trials - n_passed);
    Ok(n_passed == options.trials)
}

/// Writes, kills, restarts, audits. Gives the server that runs afterwards.
async fn run_trial(
    options: &Options,
    index: u32,
    mut server: Server,
    app: &App,
    ledger: &mut Ledger,
    (kill_at, pause): (u32, Duration),
) -> Result<(Server, Trial)> {
    let progress = Arc::new(Progress::default());
    let mut writers = JoinSet::new();
    for writer in 0..N_WRITERS {
        let writes: Vec<Write> = (0..options.writes)
            .filter(|number| number % N_WRITERS == writer)
            .map(|number| Write { trial: index, writer, number: number / N_WRITERS + 1 })
            .collect();
        writers.spawn(write_all(server.to(app), writes, Arc::clone(&progress)));
    }
    progress.reached(kill_at).await;
    tokio::time::sleep(pause).await;
    server.kill()?;
    let mut unanswered = Vec::new();
    let mut n_acknowledged = 0;
    while let Some(outcome) = writers.join_next().await {
        let outcome = outcome.context("a writer panicked")??;
        n_acknowledged += outcome.acknowledged.len();
        ledger.acknowledge(outcome.acknowledged);
        unanswered.extend(outcome.unanswered);
    }
    let start = Instant::now();
    let server = Server::start(&options.server, server.data()).await?;
    let restart = start.elapsed();
    let caller = server.to(app);

    let mut faults = Vec::new();
    let held = caller.all_writes().await?;
    let n_unanswered_kept = unanswered.iter().filter(|write| held.contains(write)).count();
    faults.extend(ledger.check(&held, &unanswered));
    for write in &unanswered {
        let seq = caller.transact(write).await?.context("an unanswered write was refused")?;
        ledger.acknowledge([(*write, seq)]);
    }
    faults.extend(ledger.check(&caller.all_writes().await?, &[]));
    let n_unanswered = unanswered.len();
    Ok((server, Trial { n_acknowledged, n_unanswered, n_unanswered_kept, restart, faults }))
}

/// What one writer got to know before the server died.
#[derive(Default)]
struct WriterOutcome {
    acknowledged: Vec<(Write, u64)>,
    /// Sent, and never answered: at most one.
    unanswered: Option<Write>,
}

/// Sends the writes one after another until the server dies, or all are done.
async fn write_all(
    caller: server::Caller,
    writes: Vec<Write>,
    progress: Arc<Progress>,
) -> Result<WriterOutcome> {
    let mut outcome = WriterOutcome::default();
    for write in writes {
        match caller.transact(&write).await? {
            Some(seq) => {
                outcome.acknowledged.push((write, seq));
                progress.count_one();
            }
            None => {
                outcome.unanswered = Some(write);
                break;
            }
        }
    }
    progress.count_end();
    Ok(outcome)
}

/// How many writes of a trial are acknowledged, for the one who waits to kill.
#[derive(Default)]
struct Progress {
    n_acknowledged: AtomicU32,
    n_ended: AtomicU32,
    changed: Notify,
}

impl Progress {
    fn count_one(&self) {
        self.n_acknowledged.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
    }

    fn count_end(&self) {
        self.n_ended.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// Waits until so many writes are acknowledged, or all writers have ended.
    async fn reached(&self, n_writes: u32) {
        while self.n_acknowledged.load(Ordering::SeqCst) < n_writes
            && self.n_ended.load(Ordering::SeqCst) < N_WRITERS
        {
            self.changed.notified().await;
        }
    }
}

/// Random moments (splitmix64, Steele, Lea & Flood 2014), repeatable from a seed.
struct Moments(u64);

impl Moments {
    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(bound)).expect("below a u32")
    }
}

fn seed_from_clock() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    elapsed.as_micros() as u64
}

fn print_row(index: u32, trial: &Trial) {
    let verdict = if trial.faults.is_empty() { "ok" } else { "FAILED" };
    println!(
        "{index:>5}  {:>12}  {:>10}  {:>12}  {:>10}  {verdict}",
        trial.n_acknowledged,
        trial.n_unanswered,
        trial.n_unanswered_kept,
        trial.restart.as_millis(),
    );
    for fault in &trial.faults {
        println!("       {fault}");
    }
}
