//! Running many random cases, and telling how to replay the one that failed.
//!
//! `TERCET_CASES=n` sets how many cases each property tries (nightly runs try many);
//! `TERCET_SEED=s` runs the one case with that seed. Cases are numbered from a fixed start, so
//! two runs with equal settings try equal cases.

use crate::random::Random;

/// Runs a property on `n_default` cases, or as many as the environment asks for.
///
/// # Panics
/// When the property does; before that, the command that replays the case is printed.
pub fn check_cases(test: &str, n_default: u64, property: impl Fn(&mut Random)) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
    };
    let seeds = match (number("TERCET_SEED"), number("TERCET_CASES")) {
        (Some(seed), _) => seed..seed + 1,
        (None, n_cases) => 0..n_cases.unwrap_or(n_default),
    };
    for seed in seeds {
        let _told = ReplayHint { test, seed };
        property(&mut Random::of_case(seed));
    }
}

/// Prints the replay command when it is dropped by a panic.
struct ReplayHint<'a> {
    test: &'a str,
    seed: u64,
}

impl Drop for ReplayHint<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay: TERCET_SEED={} cargo test -p tercet-tests {}", self.seed, self.test);
        }
    }
}
