//! When to try again: 1, 2, 4, 8, then every 30 seconds, each a little off, for ever.
//!
//! The jitter keeps a crowd of clients from coming back in the same instant. There is no last
//! attempt: a client that stops trying has lost its writes.

use crate::seeded::Seeded;

const DELAYS_MS: [u64; 5] = [1_000, 2_000, 4_000, 8_000, 30_000];

/// How often in a row something has failed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoff {
    n_failures: usize,
}

impl Backoff {
    /// It failed again: how long to wait, within 20 % of the delay of this attempt.
    pub(crate) fn next_delay_ms(&mut self, random: &mut Seeded) -> u64 {
        let delay_ms = DELAYS_MS[self.n_failures.min(DELAYS_MS.len() - 1)];
        self.n_failures = self.n_failures.saturating_add(1);
        delay_ms * 4 / 5 + random.below(delay_ms * 2 / 5 + 1)
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.n_failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_thirty_seconds_and_stay() {
        let mut random = Seeded::new([7; 32]);
        let mut backoff = Backoff::default();
        for expected_ms in [1_000, 2_000, 4_000, 8_000, 30_000, 30_000, 30_000] {
            let delay_ms = backoff.next_delay_ms(&mut random);
            assert!(delay_ms.abs_diff(expected_ms) <= expected_ms / 5, "{delay_ms}");
        }
        backoff.reset();
        assert!(backoff.next_delay_ms(&mut random) <= 1_200);
    }
}
