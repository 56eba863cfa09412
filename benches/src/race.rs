//! Contestants answer one question, again and again, in turns.
//!
//! Turns, because whatever else the machine does disturbs whoever runs just then: over many rounds
//! it disturbs all alike. A contestant's first run warms up and is not counted. One that takes
//! less than [`SAMPLE`] answers several times a turn, because a clock is not worth reading more
//! often. Answers are compared: a different one has no speed.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::digest::Digest;
use crate::measure::Took;

/// What a turn lasts at least, in runs of those who are quick.
const SAMPLE: Duration = Duration::from_millis(3);

/// How long a contestant runs altogether, and how many turns it gets at least.
const TIME: Duration = Duration::from_millis(1_500);
const N_TURNS_MIN: usize = 5;
/// A contestant slower than this is given two turns, and then only watches.
const SLOW: Duration = Duration::from_secs(5);
const N_TURNS_MAX: usize = 200;

/// Runs a number of times, and gives the time of all and one answer.
pub type Run<'a> = Box<dyn FnMut(usize) -> Result<(Took, Digest)> + 'a>;

/// Somebody who can answer.
pub struct Contestant<'a> {
    /// Who.
    pub name: String,
    /// Answers.
    pub run: Run<'a>,
}

/// How a contestant did.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Who.
    pub name: String,
    /// What it answered.
    pub digest: Digest,
    /// The least time of a run on the wall.
    pub wall: Duration,
    /// The middle one.
    pub wall_median: Duration,
    /// The least time of the processor.
    pub cpu: Duration,
    /// How many runs were counted.
    pub n_runs: usize,
}

/// A contestant with its turns so far.
struct Racer<'a> {
    contestant: Contestant<'a>,
    digest: Digest,
    /// Runs in a turn.
    n_runs: usize,
    spent: Duration,
    /// Of one run, by turn.
    turns: Vec<Took>,
}

impl<'a> Racer<'a> {
    fn warm_up(mut contestant: Contestant<'a>) -> Result<Racer<'a>> {
        let name = contestant.name.clone();
        let (_, digest) = (contestant.run)(1).with_context(|| format!("{name} failed"))?;
        // The first run also filled caches; this one tells how long one takes.
        let (took, _) = (contestant.run)(1)?;
        let n_runs = SAMPLE.as_nanos().div_ceil(took.wall.as_nanos().max(50));
        let n_runs = usize::try_from(n_runs)?;
        Ok(Racer { contestant, digest, n_runs, spent: Duration::ZERO, turns: Vec::new() })
    }

    fn is_done(&self) -> bool {
        let n_turns = self.turns.len();
        let is_slow = n_turns >= 2 && self.spent >= SLOW * 2;
        is_slow || n_turns >= N_TURNS_MAX || (n_turns >= N_TURNS_MIN && self.spent >= TIME)
    }

    fn turn(&mut self) -> Result<()> {
        let (took, _) = (self.contestant.run)(self.n_runs)?;
        self.spent += took.wall;
        let of_one = |time: Duration| time.div_f64(self.n_runs as f64);
        self.turns.push(Took { wall: of_one(took.wall), cpu: of_one(took.cpu) });
        Ok(())
    }

    fn standing(self) -> Standing {
        let mut walls: Vec<Duration> = self.turns.iter().map(|took| took.wall).collect();
        walls.sort_unstable();
        let cpu = self.turns.iter().map(|took| took.cpu).min();
        Standing {
            name: self.contestant.name,
            digest: self.digest,
            wall: walls[0],
            wall_median: walls[walls.len() / 2],
            cpu: cpu.expect("every racer had a turn"),
            n_runs: self.n_runs * walls.len(),
        }
    }
}

/// Lets contestants run, and gives their standings in the order they were given.
///
/// # Errors
/// Those of a contestant.
pub fn race(contestants: Vec<Contestant<'_>>) -> Result<Vec<Standing>> {
    let mut racers = contestants.into_iter().map(Racer::warm_up).collect::<Result<Vec<_>>>()?;
    while racers.iter().any(|racer| !racer.is_done()) {
        for racer in racers.iter_mut().filter(|racer| !racer.is_done()) {
            racer.turn()?;
        }
    }
    Ok(racers.into_iter().map(Racer::standing).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn everybody_has_turns_and_the_first_runs_do_not_count() {
        let contestant = |name: &str, millis: u64| {
            let mut n_calls = 0;
            let run: Run<'static> = Box::new(move |n_runs| {
                n_calls += 1;
                let wall = Duration::from_millis(if n_calls == 1 { 500 } else { millis });
                let took = Took { wall: wall * n_runs as u32, cpu: wall * n_runs as u32 };
                Ok((took, Digest { n_rows: millis, sum: 0 }))
            });
            Contestant { name: name.to_owned(), run }
        };
        let standings = race(vec![contestant("quick", 1), contestant("slow", 6_000)]).unwrap();
        assert_eq!(standings[0].wall, Duration::from_millis(1));
        assert!(standings[0].n_runs >= 3 * N_TURNS_MIN, "3 runs make a turn of 3 ms");
        assert_eq!((standings[1].wall, standings[1].n_runs), (Duration::from_secs(6), 2));
        assert_eq!(standings[1].digest.n_rows, 6_000);
    }
}
