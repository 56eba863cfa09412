//! The protocol under a hostile network, disk and clock, by seeds.
//!
//! At every moment: answers marked complete are the server's at their position, transactions are
//! shown whole, own writes never flicker, nothing is acknowledged that is not in the log. In the
//! end: everyone shows the same, every transaction is there once, rejected ones are not.
//! A failing seed is replayed by `TERCET_SIM_SEED=n cargo test -p tercet-sync --test sim`.
#![allow(clippy::unwrap_used)]

mod network;

use network::Network;
use tercet_sync::Limits;

fn seeds(n: u64) -> Vec<u64> {
    match std::env::var("TERCET_SIM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=n).collect(),
    }
}

/// Says which seed failed.
struct Replay(&'static str, u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Replay(test, seed) = self;
            eprintln!("replay: TERCET_SIM_SEED={seed} cargo test -p tercet-sync --test sim {test}");
        }
    }
}

#[test]
fn whatever_fails_everyone_ends_with_the_same() {
    for seed in seeds(40) {
        let _replay = Replay("whatever_fails", seed);
        let mut network = Network::new(seed, 3, Limits::default());
        for _ in 0..1_500 {
            network.step();
        }
        network.heal();
        network.check_converged();
        network.check_exactly_once();
        assert!(network.clients.iter().all(|client| client.n_renumbered == 0));
        assert!(network.clients.iter().map(|client| client.accepted.len()).sum::<usize>() > 20);
    }
}

#[test]
fn slow_sessions_are_resynchronised() {
    for seed in seeds(20) {
        let _replay = Replay("slow_sessions", seed);
        let limits = Limits { queue_max: 6, ..Limits::default() };
        let mut network = Network::new(seed, 3, limits);
        for _ in 0..1_500 {
            network.step();
        }
        network.heal();
        network.check_converged();
        network.check_exactly_once();
    }
}

#[test]
fn supports_over_budget_become_rows_or_stale() {
    for seed in seeds(20) {
        let _replay = Replay("supports_over_budget", seed);
        let limits = Limits { unanswered_max: 3, ..Limits::default() };
        let mut network = Network::new(seed, 3, limits);
        for _ in 0..1_000 {
            network.step();
        }
        network.heal();
        network.check_converged();
        network.check_exactly_once();
    }
}

#[test]
fn a_restored_backup_loses_no_pending_write() {
    for seed in seeds(20) {
        let _replay = Replay("a_restored_backup", seed);
        let mut network = Network::new(seed, 3, Limits::default());
        for _ in 0..600 {
            network.step();
        }
        let n_records = network.log.len() / 2;
        network.restore_backup(n_records);
        for _ in 0..600 {
            network.step();
        }
        network.heal();
        network.check_converged();
    }
}
