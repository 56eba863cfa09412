//! What sync takes: from a write to its sight, from nothing to a replica, and back from offline.
//!
//! Everything is real but the distance: clients and server are programs' clients and the server as
//! they are, they talk over loopback sockets, and the server commits to a libSQL file with a flush.
//! Modules in reading order: `ground` (a server, its app, its clients), `bare` (a WebSocket relay
//! and a libSQL commit with nothing around them), `tasks` (the facts), then the measures.

mod bare;
mod ground;
mod tasks;

mod local;
mod offline;
mod propagate;
pub mod replica;
mod resume;
mod subscribe;

use std::time::Duration;

use crate::Benchmark;

/// All benchmarks of sync.
pub const ALL: [Benchmark; 7] = [
    local::LOCAL,
    propagate::PROPAGATE,
    propagate::LOAD,
    replica::REPLICA,
    offline::OFFLINE,
    resume::RESUME,
    subscribe::SUBSCRIBE,
];

/// The smallest time that at least this part of all times does not exceed. Sorts them.
///
/// # Panics
/// Without any time.
fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let rank = (times.len() as f64 * part).ceil() as usize;
    times[rank.clamp(1, times.len()) - 1]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut times, 0.5), Duration::from_millis(50));
        assert_eq!(percentile(&mut times, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&mut times[..1], 0.99), Duration::from_millis(1));
    }
}
