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
    /// The number.
    pub value: f64,
    /// What it is compared with.
    pub against: Option<String>,
    /// That one's number, in the same unit.
    pub against_value: Option<f64>,
    /// How many times better than that: above 1 is better, whichever way the unit goes.
    pub ratio: Option<f64>,
    /// The number to reach, where one is set.
    pub target: Option<f64>,
    /// The target is reached, if there is one; the answer is that of the other side; and the
    /// number is possible.
    pub ok: bool,
    /// What it was measured on, and how often.
    pub data: String,
}

impl Row {
    /// A number without anything to compare it with.
    pub fn new(id: &'static str, unit: &'static str, value: f64, data: impl Into<String>) -> Row {
        Row {
            id,
            unit,
            value,
            against: None,
            against_value: None,
            ratio: None,
            target: None,
            ok: true,
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
    table.set_header(["id", "value", "unit", "against", "ratio", "ok", "measured on"]);
    for row in rows {
        let against = match (&row.against, row.against_value) {
            (Some(what), Some(value)) => format!("{} {what}", number(value)),
            _ => String::new(),
        };
        table.add_row([
            row.id.to_owned(),
            number(row.value),
            row.unit.to_owned(),
            against,
            row.ratio.map(number).unwrap_or_default(),
            if row.ok { "yes" } else { "NO" }.to_owned(),
            row.data.clone(),
        ]);
    }
    for index in [1, 4] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Three digits, and thousands apart.
fn number(value: f64) -> String {
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
    fn numbers_have_three_digits_and_thousands_apart() {
        let texts = [1_234_567.8, 999.9, 12.34, 1.234, 0.0456].map(number);
        assert_eq!(texts, ["1,234,568", "1,000", "12.3", "1.23", "0.046"]);
    }
}
