//! Rows of an answer as a table of text.
//!
//! Cells are the JSON that a server sends. Numbers stand right, everything else left, so that the
//! number `5` and the string `5` differ on sight; a reference shows its bare id. Text from the
//! database is shown harmless: it cannot steer the terminal.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value as Json;

use crate::output::harmless;

/// A table of more rows helps nobody, and takes long to lay out; the rest is counted instead.
pub(crate) const N_ROWS_MAX: usize = 10_000;

/// Draws rows under the names of their columns, at most [`N_ROWS_MAX`]. With a width, long cells
/// are broken so that the table fits it.
pub(crate) fn draw(columns: &[String], rows: &[Vec<Json>], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    match width {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table.set_header(columns.iter().map(|column| harmless(column)));
    for row in rows.iter().take(N_ROWS_MAX) {
        table.add_row(row.iter().map(cell));
    }
    table.trim_fmt()
}

fn cell(value: &Json) -> Cell {
    let alignment = if is_number(value) { CellAlignment::Right } else { CellAlignment::Left };
    Cell::new(text(value)).set_alignment(alignment)
}

fn is_number(value: &Json) -> bool {
    value.is_number() || tagged(value, "$int").is_some()
}

/// One cell as text: plain where that is clear, else JSON.
pub(crate) fn text(value: &Json) -> String {
    let plain = value
        .as_str()
        .or_else(|| tagged(value, "$ref"))
        .or_else(|| tagged(value, "$date"))
        .or_else(|| tagged(value, "$int"));
    match (plain, value) {
        (Some(plain), _) => harmless(plain),
        (None, Json::Array(items)) => {
            let items: Vec<String> = items.iter().map(text).collect();
            format!("[{}]", items.join(", "))
        }
        (None, Json::Object(branches)) => {
            let branches: Vec<String> = branches
                .iter()
                .map(|(key, value)| format!("{} {}", harmless(key), text(value)))
                .collect();
            format!("{{{}}}", branches.join(", "))
        }
        (None, other) => harmless(&other.to_string()),
    }
}

/// The text of a value such as `{"$ref": "id"}`.
fn tagged<'json>(value: &'json Json, tag: &str) -> Option<&'json str> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get(tag)?.as_str()
}

/// A row as one line of JSON, for output that is not a table.
pub(crate) fn line(row: &[Json]) -> String {
    let cells: Vec<String> = row.iter().map(Json::to_string).collect();
    format!("[{}]", cells.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{draw, line, text};

    #[test]
    fn draws_names_and_numbers_apart() {
        let columns = ["?name".to_owned(), "(count ?p)".to_owned()];
        let rows = [vec![json!("Ann"), json!(5)], vec![json!("Bo\u{7}b"), json!(1234)]];
        let expected = "\
┌──────────┬────────────┐
│ ?name    ┆ (count ?p) │
╞══════════╪════════════╡
│ Ann      ┆          5 │
│ Bo\\u{7}b ┆       1234 │
└──────────┴────────────┘";
        assert_eq!(draw(&columns, &rows, None), expected);
    }

    #[test]
    fn fits_a_width() {
        let rows = [vec![json!("one two three four five six seven eight nine ten eleven")]];
        let drawn = draw(&["?text".to_owned()], &rows, Some(30));
        assert!(drawn.lines().all(|line| line.chars().count() <= 30), "{drawn}");
        assert!(drawn.contains("eleven"));
    }

    #[test]
    fn cells_are_plain_where_that_is_clear() {
        assert_eq!(text(&json!({"$ref": "u1"})), "u1");
        assert_eq!(text(&json!({"$date": "2024-01-15T10:30:00.000Z"})), "2024-01-15T10:30:00.000Z");
        assert_eq!(text(&json!({"$int": "9007199254740993"})), "9007199254740993");
        assert_eq!(text(&json!([1, "a", true])), "[1, a, true]");
        assert_eq!(text(&json!({"user/name": "Ann", "n": [1]})), "{n [1], user/name Ann}");
    }

    #[test]
    fn lines_are_json() {
        assert_eq!(line(&[json!("a\n"), json!({"$ref": "x"})]), r#"["a\n", {"$ref":"x"}]"#);
    }
}
