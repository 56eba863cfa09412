//! What a column means: its attribute, type and whether a cell holds several values.

use std::fmt;
use std::str::FromStr;

use tercet_engine::ids::Attribute;
use tercet_engine::value::ValueType;

use crate::error::FormatError;

/// How the cells of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CellType {
    /// A value of one type, in plain text.
    Plain(ValueType),
    /// A value of any type, as JSON writes it: `"text"`, `1`, `{"$ref":"u2"}`; of several values,
    /// an array.
    Json,
}

impl CellType {
    pub(super) const ALL: [CellType; 6] = [
        CellType::Plain(ValueType::String),
        CellType::Plain(ValueType::Number),
        CellType::Plain(ValueType::Boolean),
        CellType::Plain(ValueType::Date),
        CellType::Plain(ValueType::Ref),
        CellType::Json,
    ];

    /// The name people type.
    pub fn name(self) -> &'static str {
        match self {
            CellType::Plain(value_type) => value_type.name(),
            CellType::Json => "json",
        }
    }

    fn from_name(name: &str) -> Option<CellType> {
        CellType::ALL.into_iter().find(|cell_type| cell_type.name() == name)
    }
}

impl fmt::Display for CellType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `FIELD`, `FIELD:TYPE`, `FIELD[]` or `FIELD:TYPE[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) field: String,
    /// None: from the cells.
    pub(super) cell_type: Option<CellType>,
    pub(super) has_many: bool,
}

impl Described {
    /// Reads a header. What is no type belongs to the name.
    pub(super) fn of(text: &str) -> Described {
        if let Some((field, type_name)) = text.rsplit_once(':') {
            let (name, has_many) = match type_name.strip_suffix("[]") {
                Some(name) => (name, true),
                None => (type_name, false),
            };
            if let Some(cell_type) = CellType::from_name(name) {
                return Described { field: field.to_owned(), cell_type: Some(cell_type), has_many };
            }
        }
        let (field, has_many) = match text.strip_suffix("[]") {
            Some(field) => (field, true),
            None => (text, false),
        };
        Described { field: field.to_owned(), cell_type: None, has_many }
    }
}

/// What is said of one column from outside: `HEADER=FIELD:TYPE`, or `HEADER=-` to leave it out.
///
/// ```
/// use tercet_formats::ColumnRule;
/// let rule: ColumnRule = "Full name=name:string".parse()?;
/// let tags: ColumnRule = "tags=tag:string[]".parse()?;
/// let left_out: ColumnRule = "internal notes=-".parse()?;
/// assert!("name:string".parse::<ColumnRule>().is_err());
/// # Ok::<(), tercet_formats::FormatError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnRule {
    pub(super) header: String,
    /// None: the column is left out.
    pub(super) described: Option<Described>,
}

impl FromStr for ColumnRule {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<ColumnRule, FormatError> {
        let wrong = || {
            FormatError::option(format!(
                "`{text}` describes no column; write HEADER=FIELD, HEADER=FIELD:TYPE, \
                 HEADER=FIELD:TYPE[] or HEADER=-, with a type of {}",
                CellType::ALL.map(CellType::name).join(", ")
            ))
        };
        let (header, rest) = text.rsplit_once('=').ok_or_else(wrong)?;
        let described = (rest != "-").then(|| Described::of(rest));
        if header.is_empty() || described.as_ref().is_some_and(|it| it.field.is_empty()) {
            return Err(wrong());
        }
        Ok(ColumnRule { header: header.to_owned(), described })
    }
}

/// A column that gives facts.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// Its place in a row.
    pub(super) index: usize,
    pub(super) header: String,
    pub(super) attribute: Attribute,
    pub(super) cell_type: Option<CellType>,
    pub(super) has_many: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn headers_say_name_type_and_number() {
        let of = |text| {
            let Described { field, cell_type, has_many } = Described::of(text);
            (field, cell_type.map_or("?", CellType::name), has_many)
        };
        assert_eq!(of("name"), ("name".into(), "?", false));
        assert_eq!(of("name[]"), ("name".into(), "?", true));
        assert_eq!(of("name:string"), ("name".into(), "string", false));
        assert_eq!(of("user/x:date:json[]"), ("user/x:date".into(), "json", true));
        assert_eq!(of("time: h"), ("time: h".into(), "?", false));
    }

    #[test]
    fn a_rule_names_a_header() {
        let rule: ColumnRule = "a=b=name:ref".parse().unwrap();
        assert_eq!(rule.header, "a=b");
        assert_eq!(rule.described.unwrap().cell_type, Some(CellType::Plain(ValueType::Ref)));
        for wrong in ["", "name", "=name", "x=", "x=:string"] {
            assert!(wrong.parse::<ColumnRule>().is_err(), "{wrong}");
        }
    }
}
