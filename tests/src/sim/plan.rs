//! What a run is made of, drawn from its seed; smaller plans of one seed are how a failure is shrunk.
//!
//! Everything that is chance in a run comes from streams that are named (`Plan::stream`): fewer
//! clients or kinds of faults change as little as possible of what the others do.

use std::fmt;

use anyhow::{Context, Result, bail};
use tercet_sync::ResumeLimits;

use super::faults::{Faults, Kind};
use crate::random::Random;

/// What a run is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What all chance comes from.
    pub seed: u64,
    /// Apps, each with facts, questions and clients of its own.
    pub n_tenants: usize,
    /// Servers; more than one may believe to own a tenant.
    pub n_servers: usize,
    /// Clients of all tenants together.
    pub n_clients: usize,
    /// Questions of a tenant that clients may subscribe to, besides the fixed ones.
    pub n_questions: usize,
    /// Writes of all clients together, about.
    pub n_writes: usize,
    /// How long things fail.
    pub duration_ms: u64,
    /// What fails.
    pub faults: Faults,
    /// Queues and budgets are small.
    pub is_tight: bool,
}

/// The names of the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Plan,
    Network,
    Servers,
    Checks,
    Resume,
    Tenant(usize),
    Client(usize),
    Fault(Kind),
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Plan {
        let mut random = stream(seed, Stream::Plan);
        let n_tenants = 1 + usize::from(random.chance(25)) * random.below(4);
        let n_clients = 2 + random.skewed(11);
        Plan {
            seed,
            n_tenants: n_tenants.min(4),
            n_servers: 1 + random.below(2),
            n_clients,
            n_questions: 1 + random.below(5),
            n_writes: 10 + random.skewed(50),
            duration_ms: *random.pick(&[4_000, 10_000, 30_000, 90_000]),
            faults: Faults::draw(&mut random),
            is_tight: random.chance(25),
        }
    }

    /// The stream of a name.
    pub(super) fn stream(&self, name: Stream) -> Random {
        stream(self.seed, name)
    }

    /// How much servers keep for those who come back: as usual, little, or nothing but sums.
    pub(super) fn resume_limits(&self) -> ResumeLimits {
        let usual = ResumeLimits::default();
        match stream(self.seed, Stream::Resume).below(4) {
            0 | 1 => usual,
            2 => ResumeLimits { ring_bytes_max: 900, whole_bytes_max: 300, ..usual },
            _ => ResumeLimits { ring_bytes_max: 0, whole_bytes_max: 0, linger_ms: 500, ..usual },
        }
    }

    /// Plans that are a little less.
    pub fn smaller(&self) -> Vec<Plan> {
        let mut plans = Vec::new();
        let mut offer = |plan: Plan| {
            if plan != *self {
                plans.push(plan);
            }
        };
        offer(Plan { n_tenants: 1, ..*self });
        offer(Plan { n_clients: (self.n_clients / 2).max(1), ..*self });
        offer(Plan { n_clients: (self.n_clients - 1).max(1), ..*self });
        offer(Plan { n_writes: self.n_writes / 2, ..*self });
        offer(Plan { n_writes: self.n_writes - self.n_writes.min(1), ..*self });
        offer(Plan { n_questions: 0, ..*self });
        offer(Plan { n_questions: self.n_questions - self.n_questions.min(1), ..*self });
        for kind in self.faults.kinds() {
            offer(Plan { faults: self.faults.without(kind), ..*self });
        }
        offer(Plan { n_servers: 1, ..*self });
        offer(Plan { is_tight: false, ..*self });
        offer(Plan { duration_ms: (self.duration_ms / 2).max(250), ..*self });
        plans
    }

    /// Reads what [`fmt::Display`] writes.
    ///
    /// # Errors
    /// When a word is none of a plan.
    pub fn read(text: &str) -> Result<Plan> {
        let mut plan = Plan::draw(0);
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').with_context(|| format!("`{word}`?"))?;
            let number = || value.parse::<u64>().with_context(|| format!("`{word}`?"));
            match name {
                "seed" => plan.seed = number()?,
                "tenants" => plan.n_tenants = number()? as usize,
                "servers" => plan.n_servers = number()? as usize,
                "clients" => plan.n_clients = number()? as usize,
                "questions" => plan.n_questions = number()? as usize,
                "writes" => plan.n_writes = number()? as usize,
                "ms" => plan.duration_ms = number()?,
                "tight" => plan.is_tight = number()? > 0,
                "faults" => plan.faults = read_faults(value)?,
                _ => bail!("`{word}`?"),
            }
        }
        Ok(plan)
    }
}

fn read_faults(text: &str) -> Result<Faults> {
    let mut faults = Faults::default();
    for name in text.split(',').filter(|name| !name.is_empty()) {
        let kind = Kind::ALL.iter().find(|kind| kind.text() == name);
        faults = faults.with(*kind.with_context(|| format!("no fault is called `{name}`"))?);
    }
    Ok(faults)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, n_tenants, n_servers, n_clients, n_questions, n_writes, .. } = self;
        let faults: Vec<&str> = self.faults.kinds().map(Kind::text).collect();
        write!(
            f,
            "seed={seed} tenants={n_tenants} servers={n_servers} clients={n_clients} \
             questions={n_questions} writes={n_writes} ms={} tight={} faults={}",
            self.duration_ms,
            u8::from(self.is_tight),
            faults.join(",")
        )
    }
}

fn stream(seed: u64, name: Stream) -> Random {
    let salt = match name {
        Stream::Plan => 1,
        Stream::Network => 2,
        Stream::Servers => 3,
        Stream::Checks => 4,
        Stream::Resume => 5,
        Stream::Fault(kind) => 100 + kind as u64,
        Stream::Tenant(index) => 1_000 + index as u64,
        Stream::Client(index) => 10_000 + index as u64,
    };
    let mut of_seed = Random::of_case(seed);
    Random::of_case(of_seed.bits() ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn plans_read_back() {
        for seed in 0..200 {
            let plan = Plan::draw(seed);
            assert_eq!(Plan::read(&plan.to_string()).unwrap(), plan);
        }
        assert!(Plan::read("clients=x").is_err());
        assert!(Plan::read("faults=rain").is_err());
    }

    #[test]
    fn smaller_plans_come_to_an_end() {
        let mut plan = Plan::draw(7);
        let mut n_steps = 0;
        while let Some(smaller) = plan.smaller().into_iter().next() {
            plan = smaller;
            n_steps += 1;
            assert!(n_steps < 1_000);
        }
        assert_eq!((plan.n_clients, plan.n_writes, plan.faults), (1, 0, Faults::default()));
    }
}
