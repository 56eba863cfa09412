//! How time on the wall and of the processor are taken.
//!
//! Processor time is that of the thread, because machines are shared: a neighbor lengthens the
//! wall's time of a run and leaves the processor's nearly alone. This file is compiled into the
//! benches and into the peers, so that both measure alike.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What something took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// Time on the wall.
    pub wall: Duration,
    /// Time this thread was running.
    pub cpu: Duration,
}

/// Runs once.
pub fn once<Outcome>(run: impl FnOnce() -> Outcome) -> (Took, Outcome) {
    let (cpu, start) = (thread_cpu(), Instant::now());
    let outcome = run();
    let took = Took { wall: start.elapsed(), cpu: thread_cpu().saturating_sub(cpu) };
    (took, outcome)
}

/// How long this thread has been running.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("a thread does not run for negative time");
    let nanos = u32::try_from(time.tv_nsec).expect("less than a second");
    Duration::new(seconds, nanos)
}
