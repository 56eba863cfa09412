//! How time, latencies, processor time and memory are taken.
//!
//! Times are medians: a machine that does something else now and then moves a mean. What the
//! system tells about processor time and memory is read from Linux's `/proc`; elsewhere those
//! numbers are missing.

use std::time::{Duration, Instant};

/// What one run took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// Time on the wall.
    pub wall: Duration,
    /// Time this thread was running, where the system tells. It tells in steps of some
    /// milliseconds.
    pub cpu: Option<Duration>,
}

/// Runs once.
pub fn once<Outcome>(run: impl FnOnce() -> Outcome) -> (Took, Outcome) {
    let (cpu, start) = (thread_cpu(), Instant::now());
    let outcome = run();
    let wall = start.elapsed();
    let cpu = thread_cpu().zip(cpu).map(|(end, start)| end.saturating_sub(start));
    (Took { wall, cpu }, outcome)
}

/// Runs until `time` has passed, but at least `n_min` times, and gives the median of the times on
/// the wall, the mean of the processor's, the last outcome, and how often it ran. The first run,
/// which warms up, does not count.
pub fn median<Outcome>(
    n_min: usize,
    time: Duration,
    mut run: impl FnMut() -> Outcome,
) -> (Took, Outcome, usize) {
    let mut outcome = run();
    let start = Instant::now();
    let mut walls = Vec::new();
    let (all, ()) = once(|| {
        while walls.len() < n_min || start.elapsed() < time {
            let start = Instant::now();
            outcome = run();
            walls.push(start.elapsed());
        }
    });
    let n_runs = walls.len();
    let cpu = all.cpu.map(|cpu| cpu.div_f64(n_runs as f64));
    (Took { wall: percentile(&mut walls, 0.5), cpu }, outcome, n_runs)
}

/// The smallest time that at least this part of all times does not exceed. Sorts them.
///
/// # Panics
/// Without any time.
pub fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let rank = (times.len() as f64 * part).ceil() as usize;
    times[rank.clamp(1, times.len()) - 1]
}

/// A time in milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A time in microseconds.
pub fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// How long this thread has been running.
fn thread_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// Bytes of memory that this process occupies, its program and files left out.
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
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

    #[test]
    fn a_median_leaves_the_warming_up_out() {
        let mut n_runs = 0;
        let (took, outcome, n_counted) = median(3, Duration::ZERO, || {
            n_runs += 1;
            n_runs
        });
        assert_eq!((outcome, n_counted), (4, 3));
        assert!(took.wall < Duration::from_secs(1));
    }
}
