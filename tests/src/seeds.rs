//! What the fuzzers have in common: the words of their command line, and seeds given out to threads.
//!
//! Threads take seeds from one counter; what a seed means does not depend on the thread that takes
//! it, nor on the others, so that a failure is replayed by its seed alone.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

/// Failures after which a fuzzer stops: one bug fails many seeds.
pub const FAILURES_MAX: usize = 10;

/// Deep programs are evaluated by deep recursion, in the oracle too; bytes.
const STACK: usize = 64 << 20;

/// Which seeds a fuzzer tries: `--cases N --seed S --jobs J`.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many.
    pub n_cases: u64,
    /// The first; the others follow it.
    pub seed: u64,
    /// How many threads.
    pub n_jobs: u64,
}

impl Options {
    /// # Errors
    /// When the process was started with other words, or something that is not a number.
    pub fn from_args() -> Result<Options> {
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

    /// Runs `work` in every thread with the seeds that the thread takes, and waits for all.
    ///
    /// # Panics
    /// When a thread cannot be started, or panics.
    pub fn in_threads(&self, work: impl Fn(&mut dyn Iterator<Item = u64>) + Sync) {
        let next = AtomicU64::new(0);
        let take = || {
            let index = next.fetch_add(1, Ordering::Relaxed);
            (index < self.n_cases).then(|| self.seed.wrapping_add(index))
        };
        std::thread::scope(|scope| {
            for _ in 0..self.n_jobs {
                let work = || work(&mut std::iter::from_fn(take));
                let thread = std::thread::Builder::new().stack_size(STACK);
                thread.spawn_scoped(scope, work).expect("a thread can be started");
            }
        });
    }
}
