//! Cells ↔ values.

use tercet_engine::value::{Date, Number, Value, ValueType};

use super::column::CellType;

/// The value of a cell that is not empty, or why it has none: a stable code and a sentence.
pub(super) fn value(text: &str, cell_type: CellType) -> Result<Value, (&'static str, String)> {
    let wrong = |what: &str| Err(("cell_malformed", format!("`{}` is no {what}", shown(text))));
    match cell_type {
        CellType::Plain(ValueType::String) => Ok(Value::string(text)),
        CellType::Plain(ValueType::Ref) => {
            Value::reference(text).map_err(|error| (error.code(), error.to_string()))
        }
        CellType::Plain(ValueType::Boolean) => match text.trim() {
            "true" | "TRUE" | "True" => Ok(Value::Boolean(true)),
            "false" | "FALSE" | "False" => Ok(Value::Boolean(false)),
            _ => wrong("boolean: write true or false"),
        },
        CellType::Plain(ValueType::Date) => Date::parse(text.trim())
            .map(Value::Date)
            .map_err(|error| (error.code(), error.to_string())),
        CellType::Plain(ValueType::Number) => match number(text.trim()) {
            Some(number) => Ok(Value::Number(number)),
            None => wrong("number of 64 bits"),
        },
        CellType::Json => match serde_json::from_str(text) {
            Ok(value) => Ok(value),
            Err(_) => wrong("value as JSON writes it"),
        },
    }
}

/// The values of a cell of several.
pub(super) fn values(
    text: &str,
    cell_type: CellType,
    separator: char,
) -> Result<Vec<Value>, (&'static str, String)> {
    if cell_type == CellType::Json {
        return serde_json::from_str(text).map_err(|_| {
            ("cell_malformed", format!("`{}` is no JSON array of values", shown(text)))
        });
    }
    let parts = text.split(separator).filter(|part| !part.is_empty());
    parts.map(|part| value(part, cell_type)).collect()
}

/// A number, as exact as it is written: an integer beyond 64 bits is none.
fn number(text: &str) -> Option<Number> {
    if let Ok(int) = text.parse::<i64>() {
        return Some(Number::from(int));
    }
    let is_double = text.bytes().any(|byte| b".eE".contains(&byte))
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let double = is_double.then(|| text.parse::<f64>().ok()).flatten()?;
    Number::from_f64(double).ok()
}

/// The types that a cell fits, of those that are guessed: number, boolean, date, string.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fits {
    number: bool,
    boolean: bool,
    date: bool,
    n_cells: u64,
}

impl Fits {
    pub(super) const ALL: Fits = Fits { number: true, boolean: true, date: true, n_cells: 0 };

    /// Takes a cell into account. A code such as `007` or `+49` is text that happens to be digits.
    pub(super) fn take(&mut self, text: &str) {
        let text = text.trim();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_code = digits.starts_with('+')
            || (digits.starts_with('0')
                && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit));
        self.number &= !is_code && number(text).is_some();
        self.boolean &= matches!(text, "true" | "false");
        let looks_dated = text.len() >= 10 && text.as_bytes()[4] == b'-';
        self.date &= looks_dated && Date::parse(text).is_ok();
        self.n_cells += 1;
    }

    /// The narrowest type; string if no cell was there to tell.
    pub(super) fn narrowest(self) -> CellType {
        CellType::Plain(match self {
            Fits { n_cells: 0, .. } => ValueType::String,
            Fits { boolean: true, .. } => ValueType::Boolean,
            Fits { number: true, .. } => ValueType::Number,
            Fits { date: true, .. } => ValueType::Date,
            _ => ValueType::String,
        })
    }
}

/// A value as a plain cell.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Ref(id) => id.as_str().to_owned(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Date(date) => date.to_string(),
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(cells: &[&str]) -> &'static str {
        let mut fits = Fits::ALL;
        cells.iter().for_each(|cell| fits.take(cell));
        fits.narrowest().name()
    }

    #[test]
    fn the_narrowest_type_that_loses_nothing_is_guessed() {
        assert_eq!(guess(&[]), "string");
        assert_eq!(guess(&["1", "-2.5", "1e3"]), "number");
        assert_eq!(guess(&["1", "01"]), "string");
        assert_eq!(guess(&["0", "0.5", "-0.5"]), "number");
        assert_eq!(guess(&["+491234"]), "string");
        assert_eq!(guess(&["12345678901234567890"]), "string");
        assert_eq!(guess(&["nan", "inf"]), "string");
        assert_eq!(guess(&["true", "false"]), "boolean");
        assert_eq!(guess(&["true", "1"]), "string");
        assert_eq!(guess(&["2024-01-15", "2024-01-15T10:30:00Z"]), "date");
        assert_eq!(guess(&["2024-01-15", "2024"]), "string");
        assert_eq!(guess(&["größe ab"]), "string");
    }
}
