//! Progress of long work: a bar on a terminal, now and then a plain line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::tell;

/// How often a plain line is written: a log of an hour has 360 of them.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far some work has come, on standard error.
pub(crate) struct Progress {
    what: &'static str,
    shown: Shown,
    start: Instant,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// Starts showing work on so many units; `unit` is their plural.
    pub(crate) fn start(what: &'static str, total: Option<u64>, unit: &str) -> Progress {
        let now = Instant::now();
        if !std::io::stderr().is_terminal() {
            return Progress { what, shown: Shown::Lines { last: now }, start: now };
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        bar.set_style(style(total.is_some(), unit));
        bar.set_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress { what, shown: Shown::Bar(bar), start: now }
    }

    /// Says that the work has come so far; `detail` is made only when it is shown.
    pub(crate) fn at(&mut self, n_done: u64, detail: impl FnOnce() -> String) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(n_done);
                bar.set_message(detail());
            }
            Shown::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                tell(&format!("{}: {}", self.what, detail()));
            }
            Shown::Lines { .. } => {}
        }
    }

    /// Takes the bar away and gives the time that the work took.
    pub(crate) fn finish(self) -> Duration {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
        self.start.elapsed()
    }
}

/// A bar never outlives the work, also when that ended with an error.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn style(has_total: bool, unit: &str) -> ProgressStyle {
    let amount = match (has_total, unit) {
        (true, "bytes") => "{wide_bar} {bytes}/{total_bytes} {msg} {eta}".to_owned(),
        (false, "bytes") => "{spinner} {bytes} {msg} {elapsed}".to_owned(),
        (true, unit) => format!("{{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{msg}} {{eta}}"),
        (false, unit) => format!("{{spinner}} {{human_pos}} {unit} {{msg}} {{elapsed}}"),
    };
    ProgressStyle::with_template(&format!("{{prefix}} {amount}"))
        .expect("the templates are constants, and the test reads each")
}

/// A count with its thousands apart, for people.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with what is counted, `1 row` or `1,234 rows`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(count))
}

/// How many per second, for people.
pub(crate) fn rate(count: u64, time: Duration) -> String {
    let per_second = count as f64 / time.as_secs_f64().max(1e-6);
    format!("{}/s", grouped(per_second as u64))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{counted, grouped, rate, style};

    #[test]
    fn every_template_is_valid() {
        for unit in ["bytes", "facts"] {
            style(true, unit);
            style(false, unit);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(1_500, "row"), "1,500 rows");
        assert_eq!(rate(10_000, Duration::from_millis(500)), "20,000/s");
    }
}
