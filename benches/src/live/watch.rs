//! A database with subscriptions beside one without, to which the same is published.
//!
//! They take turns, fifty writes at a time and each first as often: what else the machine does
//! then disturbs both, and their difference is what subscriptions cost. Every other fifty are
//! timed as a whole, which gives the mean and is not disturbed by reading clocks; the others write
//! by write, for medians and percentiles.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tercet_engine::db::{Db, InstanceId, LiveUpdate, Query, Tier};
use tercet_engine::fact::Op;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::Store;

use super::check::Checker;
use super::write::{Write, Writer};
use crate::measure::{Took, once};
use crate::row::Row;

/// Writes that are prepared and published together.
const N_TOGETHER: usize = 50;

/// How long measuring may take, in writes or in time, whichever comes first. A tenth of either
/// comes before, and is not counted.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Writes.
    pub n_writes: usize,
    /// How long they may take. The writes that are being published then are still counted.
    pub time_max: Duration,
}

impl Effort {
    fn tenth(self) -> Effort {
        Effort { n_writes: self.n_writes / 10, time_max: self.time_max / 10 }
    }
}

/// A subscription, as it can be evaluated again.
pub struct Subscription {
    /// What is asked.
    pub query: Query,
    /// With these inputs.
    pub inputs: Vec<Input>,
}

/// The two databases.
pub struct Watch {
    watched: Db,
    bare: Db,
    writer: Writer,
    subscriptions: BTreeMap<InstanceId, Subscription>,
}

/// What subscriptions cost a write; what the bare write takes is subtracted.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Writes that were counted.
    pub n_writes: usize,
    /// Updates of a write.
    pub updates: f64,
    /// The mean.
    pub mean: Micros,
    /// Half of the writes took less.
    pub median: Micros,
    /// One in a hundred took more.
    pub p99: Micros,
    /// The mean without subscriptions.
    pub bare: Micros,
    /// All updates that were checked are right.
    pub ok: bool,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Micros {
    /// On the wall.
    pub wall: f64,
    /// Of the processor.
    pub cpu: f64,
}

/// What both sides took so far.
#[derive(Default)]
struct Tally {
    watched: Side,
    bare: Side,
    n_writes: usize,
    n_updates: usize,
}

#[derive(Default)]
struct Side {
    /// Of fifty writes each.
    together: Vec<Took>,
    /// Of single writes.
    single: Vec<Took>,
}

impl Watch {
    /// Two databases with the facts of a store.
    pub fn new(store: Store) -> Watch {
        let [watched, bare] = [store.clone(), store.clone()].map(Db::with_store);
        Watch { watched, bare, writer: Writer::new(store), subscriptions: BTreeMap::new() }
    }

    /// Subscribes in one of them, and takes every first answer; gives what that took and how many
    /// rows came.
    ///
    /// # Errors
    /// When a query cannot be live or evaluated.
    pub fn subscribe(&mut self, all: Vec<(Query, Vec<Input>)>) -> Result<(Took, usize)> {
        let (budget, mut instances) = (Budget::unlimited(), Vec::with_capacity(all.len()));
        let (took, n_rows) = once(|| {
            let mut n_rows = 0;
            for (query, inputs) in &all {
                let instance = self.watched.subscribe(query, inputs, &budget)?;
                let answer = self.watched.answer(instance).context("it was just subscribed")??;
                n_rows += answer.rows.len();
                instances.push(instance);
            }
            anyhow::Ok(n_rows)
        });
        let subscription = |(query, inputs)| Subscription { query, inputs };
        self.subscriptions.extend(instances.into_iter().zip(all.into_iter().map(subscription)));
        Ok((took, n_rows?))
    }

    /// How the subscriptions are kept up, for people: each tier with how many it has.
    pub fn tiers(&self) -> String {
        let tier = |instance: &InstanceId| self.watched.tier(*instance);
        let tiers: Vec<Tier> = self.subscriptions.keys().filter_map(tier).collect();
        let text = |tier| match tiers.iter().filter(|other| **other == tier).count() {
            0 => None,
            n => Some(format!("{tier:?} {n}")),
        };
        let texts = [Tier::Delta, Tier::Tables, Tier::Rerun].into_iter().filter_map(text);
        texts.collect::<Vec<_>>().join(" ")
    }

    /// Publishes writes, and checks what they told.
    pub fn measure(&mut self, effort: Effort, mut next: impl FnMut() -> Vec<Op>) -> Cost {
        let mut checker = Checker::new(self.writer.snapshot());
        self.publish_all(effort.tenth(), &mut checker, &mut next);
        let tally = self.publish_all(effort, &mut checker, &mut next);
        tally.cost(checker.conclude(&self.writer.snapshot(), &self.subscriptions))
    }

    fn publish_all(
        &mut self,
        effort: Effort,
        checker: &mut Checker,
        next: &mut impl FnMut() -> Vec<Op>,
    ) -> Tally {
        let (mut tally, begin) = (Tally::default(), Instant::now());
        // Rounds of either mode, however slow they are.
        for round in 0.. {
            let is_over = tally.n_writes >= effort.n_writes || begin.elapsed() > effort.time_max;
            if round >= 2 && is_over {
                break;
            }
            let prepare = |_| self.writer.prepare(next());
            let writes: Vec<Write> = (0..N_TOGETHER).map(prepare).collect();
            let updates = self.publish(&writes, round, &mut tally);
            checker.see(&writes, &updates, &self.subscriptions);
        }
        tally
    }

    fn publish(&mut self, writes: &[Write], round: usize, tally: &mut Tally) -> Vec<Updates> {
        let (mode, bare_is_first) = (Mode::of_round(round), (round / 2).is_multiple_of(2));
        if bare_is_first {
            publish(&mut self.bare, writes, mode, &mut tally.bare);
        }
        let updates = publish(&mut self.watched, writes, mode, &mut tally.watched);
        if !bare_is_first {
            publish(&mut self.bare, writes, mode, &mut tally.bare);
        }
        tally.n_writes += writes.len();
        tally.n_updates += updates.iter().map(Vec::len).sum::<usize>();
        updates
    }
}

/// How a round is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Together,
    Single,
}

impl Mode {
    fn of_round(round: usize) -> Mode {
        match round.is_multiple_of(2) {
            true => Mode::Together,
            false => Mode::Single,
        }
    }
}

/// What one write told.
pub type Updates = Vec<LiveUpdate>;

fn publish(db: &mut Db, writes: &[Write], mode: Mode, side: &mut Side) -> Vec<Updates> {
    // A copy for the database, made before: handing over is part of neither side's work.
    let successors: Vec<Store> = writes.iter().map(|write| write.successor.clone()).collect();
    let mut all = Vec::with_capacity(writes.len());
    side.single.reserve(writes.len());
    let pairs = successors.into_iter().zip(writes);
    match mode {
        Mode::Together => {
            let publish_all = || {
                for (successor, write) in pairs {
                    all.push(db.publish(successor, &write.delta));
                }
            };
            side.together.push(once(publish_all).0);
        }
        Mode::Single => {
            for (successor, write) in pairs {
                let (took, updates) = once(|| db.publish(successor, &write.delta));
                side.single.push(took);
                all.push(updates);
            }
        }
    }
    all
}

impl Side {
    /// Of a write, on average.
    fn mean(&self) -> Micros {
        let n_writes = (self.together.len() * N_TOGETHER) as f64;
        self.micros(|of| self.together.iter().map(|took| micros(of(took))).sum::<f64>() / n_writes)
    }

    /// So many percent of the writes took less.
    fn percentile(&self, percent: usize) -> Micros {
        self.micros(|of| {
            let mut all: Vec<Duration> = self.single.iter().map(of).collect();
            all.sort_unstable();
            micros(all[all.len() * percent / 100])
        })
    }

    fn micros(&self, figure: impl Fn(fn(&Took) -> Duration) -> f64) -> Micros {
        Micros { wall: figure(|took| took.wall), cpu: figure(|took| took.cpu) }
    }
}

impl Tally {
    fn cost(&self, ok: bool) -> Cost {
        let usual = self.bare.percentile(50);
        Cost {
            n_writes: self.n_writes,
            updates: self.n_updates as f64 / self.n_writes as f64,
            mean: self.watched.mean().less(self.bare.mean()),
            median: self.watched.percentile(50).less(usual),
            p99: self.watched.percentile(99).less(usual),
            bare: self.bare.mean(),
            ok,
        }
    }
}

impl Micros {
    fn less(self, other: Micros) -> Micros {
        Micros { wall: self.wall - other.wall, cpu: self.cpu - other.cpu }
    }
}

impl Cost {
    /// The mean as a row.
    pub fn row(&self, id: &'static str, data: &str) -> Row {
        let data = format!(
            "{data}; {:.2} updates a write, bare {:.2} us, p99 {:.1} us",
            self.updates, self.bare.cpu, self.p99.cpu
        );
        let mut row = Row::new(id, "us", self.mean.wall, data);
        row.median = Some(self.median.wall);
        row.cpu = Some(self.mean.cpu);
        row.n_runs = self.n_writes;
        row.ok = self.ok;
        row
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::super::write::{entity, set};
    use super::*;

    #[test]
    fn updates_are_counted_and_checked() {
        let mut watch = Watch::new(Store::new());
        let text = "[:find ?e ?v :where [?e :item/price ?v] [(>= ?v 5)]]";
        let query = tercet_query_lang::compile(text, None).expect("it is a query");
        watch.subscribe(vec![(query, Vec::new())]).expect("it can be live");
        let mut price = 0;
        let effort = Effort { n_writes: 200, time_max: Duration::from_secs(60) };
        let cost = watch.measure(effort, || {
            price = (price + 1) % 10;
            vec![set(entity("item", 0), "item/price", price)]
        });
        assert_eq!((cost.n_writes, cost.ok), (200, true));
        assert!((cost.updates - 0.6).abs() < 0.01, "{} updates", cost.updates);
    }
}
