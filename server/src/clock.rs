//! The one place where the server reads the time and draws randomness.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tercet_engine::limits::Interrupt;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes nobody can guess, from the system.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    nanoid::rngs::default(N).try_into().expect("as many bytes as were asked for")
}

/// A point in time that evaluations are stopped at, moved by whoever starts one.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    origin: Instant,
    /// Microseconds after `origin`.
    at_us: Arc<AtomicU64>,
}

impl Deadline {
    /// One that lies `time` ahead.
    pub(crate) fn after(time: Duration) -> Deadline {
        let deadline = Deadline { origin: Instant::now(), at_us: Arc::default() };
        deadline.restart(time);
        deadline
    }

    /// Moves it to `time` from now.
    pub(crate) fn restart(&self, time: Duration) {
        self.at_us.store(micros(self.origin.elapsed() + time), Ordering::Relaxed);
    }

    /// Moves it to now: whoever asked has gone.
    pub(crate) fn cancel(&self) {
        self.at_us.store(0, Ordering::Relaxed);
    }

    /// The time since it was made, for what measures an evaluation.
    pub(crate) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// What an evaluation asks.
    pub(crate) fn interrupt(&self) -> Interrupt {
        let deadline = self.clone();
        Arc::new(move || {
            micros(deadline.origin.elapsed()) >= deadline.at_us.load(Ordering::Relaxed)
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_when_it_is_cancelled_and_not_before_its_time() {
        let deadline = Deadline::after(Duration::from_secs(3_600));
        let is_over = deadline.interrupt();
        assert!(!is_over());
        deadline.cancel();
        assert!(is_over());
        deadline.restart(Duration::from_secs(3_600));
        assert!(!is_over());
        deadline.restart(Duration::ZERO);
        assert!(is_over());
    }
}
