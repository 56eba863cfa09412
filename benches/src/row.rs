//! What a benchmark reports, as a line of a table and as an object of a JSON list.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// Whether more or less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Rates.
    More,
    /// Times and sizes.
    Less,
}

/// One measured number.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Which: `store.load`.
    pub id: &'static str,
    /// Of what: `facts/s`, `us`, `ms`, `bytes/fact`.
    pub unit: &'static str,
    /// The number; of a time, the least on the wall, which is the one a shared machine disturbed
    /// the least. Where every run is other work (`live`), what the id says: a mean, a median.
    pub value: f64,
    /// The middle one of all times on the wall.
    pub median: Option<f64>,
    /// The least time of the processor; where every run is other work, as the value.
    pub cpu: Option<f64>,
    /// How many runs were measured.
    pub n_runs: usize,
    /// What it is compared with.
    pub against: Option<String>,
    /// That one's number, in the same unit.
    pub against_value: Option<f64>,
    /// That one's least time of the processor.
    pub against_cpu: Option<f64>,
    /// How many times better than that: above 1 is better, whichever way the unit goes. Of times
    /// of the processor where both have one.
    pub ratio: Option<f64>,
    /// What must be reached.
    pub must: Option<Limit>,
    /// What is aimed at.
    pub aim: Option<Limit>,
    /// Whether what must be reached is; none when nothing must, or it was not compared.
    pub reached: Option<bool>,
    /// The answer is that of the other sides, and the number is possible.
    pub ok: bool,
    /// All that it was compared with.
    pub peers: Vec<Peer>,
    /// What it was measured on.
    pub data: String,
}

/// A number to stay within.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limit {
    /// As people say it: `≤ 0.5 × SQL`.
    pub text: String,
    /// In the unit of the row; none where what it is a multiple of was not measured.
    pub value: Option<f64>,
    /// Whether the number stays within it.
    pub reached: Option<bool>,
}

/// Another contestant's numbers, in the unit of the row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peer {
    /// Who.
    pub name: String,
    /// The least time on the wall.
    pub value: f64,
    /// The middle one.
    pub median: f64,
    /// The least time of the processor.
    pub cpu: Option<f64>,
    /// How often it ran.
    pub n_runs: usize,
    /// How many rows it answered.
    pub n_rows: u64,
    /// The sum over their values, in hexadecimal.
    pub sum: String,
}

impl Row {
    /// A number without anything to compare it with.
    pub fn new(id: &'static str, unit: &'static str, value: f64, data: impl Into<String>) -> Row {
        Row {
            id,
            unit,
            value,
            median: None,
            cpu: None,
            n_runs: 1,
            against: None,
            against_value: None,
            against_cpu: None,
            ratio: None,
            must: None,
            aim: None,
            reached: None,
            ok: true,
            peers: Vec::new(),
            data: data.into(),
        }
    }

    /// Beside another number.
    #[must_use]
    pub fn against(mut self, what: impl Into<String>, value: f64, better: Better) -> Row {
        let ratio = match better {
            Better::More => self.value / value,
            Better::Less => value / self.value,
        };
        self.against = Some(what.into());
        self.against_value = Some(value);
        self.ratio = Some(ratio).filter(|ratio| ratio.is_finite());
        self
    }

    /// Beside another time, by time of the processor.
    #[must_use]
    pub fn against_time(self, what: impl Into<String>, wall: f64, cpu: f64) -> Row {
        let ours = self.cpu.unwrap_or(self.value);
        let mut row = self.against(what, wall, Better::Less);
        row.against_cpu = Some(cpu);
        row.ratio = Some(cpu / ours).filter(|ratio| ratio.is_finite());
        row
    }

    /// Beside absolute numbers that must be reached and are aimed at.
    #[must_use]
    pub fn within(mut self, must: f64, aim: Option<f64>, better: Better) -> Row {
        let number_reached = self.cpu.unwrap_or(self.value);
        let limit = |value: f64| {
            let (sign, reached) = match better {
                Better::More => ("≥", number_reached >= value),
                Better::Less => ("≤", number_reached <= value),
            };
            let text = format!("{sign} {} {}", number(value), self.unit);
            Limit { text, value: Some(value), reached: Some(reached) }
        };
        let (must, aim) = (limit(must), aim.map(limit));
        self.reached = must.reached;
        (self.must, self.aim) = (Some(must), aim);
        self
    }

    /// Marks it as wrong unless both sides gave the same result.
    #[must_use]
    pub fn checked<Outcome: PartialEq>(mut self, ours: &Outcome, theirs: &Outcome) -> Row {
        self.ok &= ours == theirs;
        self
    }
}

/// The rows as a table for people.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "id",
        "wall",
        "median",
        "cpu",
        "unit",
        "against",
        "ratio",
        "must",
        "reached",
        "aim",
        "ok",
        "measured on",
    ]);
    let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
    for row in rows {
        let against = match (&row.against, row.against_cpu.or(row.against_value)) {
            (Some(what), Some(value)) => format!("{} {what}", number(value)),
            _ => String::new(),
        };
        table.add_row([
            row.id.to_owned(),
            number(row.value),
            optional(row.median),
            optional(row.cpu),
            row.unit.to_owned(),
            against,
            optional(row.ratio),
            row.must.as_ref().map(|must| must.text.clone()).unwrap_or_default(),
            verdict(row.reached, "yes", "NO").to_owned(),
            aim(row).to_owned(),
            if row.ok { "yes" } else { "NO" }.to_owned(),
            row.data.clone(),
        ]);
    }
    for index in [1, 2, 3, 6] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn verdict(reached: Option<bool>, yes: &'static str, no: &'static str) -> &'static str {
    match reached {
        Some(true) => yes,
        Some(false) => no,
        None => "",
    }
}

fn aim(row: &Row) -> &'static str {
    verdict(row.aim.as_ref().and_then(|aim| aim.reached), "yes", "not yet")
}

/// What all contestants of a row took, one line each, ours first and then the quickest.
pub fn standings(row: &Row) -> String {
    let unit = row.unit;
    let line = |name: &str, wall: f64, median: Option<f64>, cpu: Option<f64>| {
        let part =
            |what, value: Option<f64>| value.map(|value| format!(", {what} {}", number(value)));
        let rest = [part("median", median), part("cpu", cpu)].map(Option::unwrap_or_default);
        format!("    {name}: {} {unit}{}\n", number(wall), rest.concat())
    };
    let mut text = format!("{}, {}\n", row.id, row.data);
    text += &line("Tercet", row.value, row.median, row.cpu);
    let mut peers: Vec<&Peer> = row.peers.iter().collect();
    peers.sort_by(|a, b| a.cpu.unwrap_or(a.value).total_cmp(&b.cpu.unwrap_or(b.value)));
    for peer in &peers {
        text += &line(&peer.name, peer.value, Some(peer.median), peer.cpu);
    }
    if !row.ok {
        let of_peer = |peer: &&Peer| format!("{} {} rows {}", peer.name, peer.n_rows, peer.sum);
        let answers: Vec<String> = peers.iter().map(of_peer).collect();
        text += &format!("    ANSWERS DIFFER: {}\n", answers.join(", "));
    }
    text
}

/// Three digits, and thousands apart.
pub fn number(value: f64) -> String {
    let n_decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let text = format!("{value:.n_decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.char_indices() {
        let n_after = whole.len() - index;
        if index > 0 && n_after.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_whichever_way_the_unit_goes() {
        let rate = Row::new("a", "facts/s", 200.0, "").against("x", 100.0, Better::More);
        let time = Row::new("a", "ms", 50.0, "").against("x", 100.0, Better::Less);
        assert_eq!((rate.ratio, time.ratio), (Some(2.0), Some(2.0)));
    }

    #[test]
    fn a_different_answer_is_not_ok() {
        let row = Row::new("a", "ms", 1.0, "");
        assert!(row.clone().checked(&1, &1).ok);
        assert!(!row.checked(&1, &2).checked(&1, &1).ok);
    }

    #[test]
    fn a_limit_is_reached_on_the_right_side_of_it() {
        let time =
            |value: f64| Row::new("a", "us", value, "").within(15.0, Some(5.0), Better::Less);
        let reached = |row: Row| (row.reached, row.aim.and_then(|aim| aim.reached));
        assert_eq!(reached(time(16.0)), (Some(false), Some(false)));
        assert_eq!(reached(time(15.0)), (Some(true), Some(false)));
        assert_eq!(reached(time(4.0)), (Some(true), Some(true)));
        let rate = Row::new("a", "facts/s", 3.0, "").within(2.5, Some(4.0), Better::More);
        assert_eq!(rate.must.as_ref().map(|must| &*must.text), Some("≥ 2.50 facts/s"));
        assert_eq!(reached(rate), (Some(true), Some(false)));
    }

    #[test]
    fn numbers_have_three_digits_and_thousands_apart() {
        let texts = [1_234_567.8, 999.9, 12.34, 1.234, 0.0456].map(number);
        assert_eq!(texts, ["1,234,568", "1,000", "12.3", "1.23", "0.046"]);
    }
}
