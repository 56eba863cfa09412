//! How the names, types and identities of another format become ours, as plain data.
//!
//! Every option has a meaning for some formats and none for others; a caller that takes options
//! from people refuses those without meaning with [`ImportOptions::check`]. Texts are parsed here,
//! so that the command line, a URL and a Rust program say the same thing in the same words.

use std::collections::BTreeSet;
use std::str::FromStr;

use tercet_engine::ids::{Attribute, Checkpoint};

use crate::error::FormatError;
use crate::format::Format;
use crate::table::ColumnRule;

/// How an input is to be understood.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// What tells the nameless entities of this input (blank nodes, maps without an id) from those
    /// of others. The same scope gives the same ids, so that an import can be repeated; without
    /// one, an input with nameless entities is refused.
    pub scope: Option<String>,
    /// RDF: IRIs and the short names they become.
    pub prefixes: Vec<Prefix>,
    /// RDF: attributes that hold one value, written by `set`.
    pub single: BTreeSet<Attribute>,
    /// Tables: how columns become facts.
    pub table: TableOptions,
    /// EDN: what stands before a numeric entity id.
    pub id_prefix: String,
    /// Instant: the field that keeps when an entity was made.
    pub created_field: Option<String>,
}

/// How the columns of a table become facts.
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    /// The type of the rows' entities, the first half of the attributes.
    pub entity: Option<String>,
    /// The header of the column with the entity ids; `id` if there is none.
    pub id_column: Option<String>,
    /// What is said of single columns.
    pub columns: Vec<ColumnRule>,
    /// What stands between the values of one cell; `|` unless told otherwise.
    pub separator: Option<char>,
}

/// A prefix of IRIs and the short name that stands for it: `foaf=http://xmlns.com/foaf/0.1/`.
///
/// The attribute of `<http://xmlns.com/foaf/0.1/name>` is then `foaf/name`, and the id of an entity
/// of that IRI is `foaf:name`. With an empty name (`=http://example.org/people/`) the id is the
/// rest of the IRI alone; attributes take no such prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// The short name.
    pub name: String,
    /// How the IRIs begin.
    pub iri: String,
}

impl FromStr for Prefix {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Prefix, FormatError> {
        let wrong = || {
            FormatError::option(format!(
                "`{text}` is no prefix; write NAME=IRI, for example foaf=http://xmlns.com/foaf/0.1/"
            ))
        };
        let (name, iri) = text.split_once('=').ok_or_else(wrong)?;
        let is_name = !name.starts_with(['_', ':']) && !name.contains(['/', ':']);
        if iri.is_empty() || !is_name || name.chars().any(char::is_control) {
            return Err(wrong());
        }
        Ok(Prefix { name: name.to_owned(), iri: iri.to_owned() })
    }
}

impl ImportOptions {
    /// The names that [`ImportOptions::take`] knows.
    pub const NAMES: [&str; 8] = [
        "entity",
        "id-column",
        "column",
        "separator",
        "prefix",
        "single",
        "id-prefix",
        "created-field",
    ];

    /// Takes an option by its name, as a command line or a URL gives it. False if there is no
    /// such option. Those that may be given several times are added to.
    ///
    /// # Errors
    /// When the text is not what the option takes.
    pub fn take(&mut self, name: &str, text: &str) -> Result<bool, FormatError> {
        match name {
            "entity" => self.table.entity = Some(text.to_owned()),
            "id-column" => self.table.id_column = Some(text.to_owned()),
            "column" => self.table.columns.push(text.parse()?),
            "separator" => self.table.separator = Some(separator(text)?),
            "prefix" => self.prefixes.push(text.parse()?),
            "single" => {
                let attribute = Attribute::new(text);
                let wrong = |error| FormatError::option(format!("--single: {error}"));
                self.single.insert(attribute.map_err(wrong)?);
            }
            "id-prefix" => self.id_prefix = text.to_owned(),
            "created-field" => self.created_field = Some(text.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Refuses options that mean nothing to a format: whoever gave them expects something.
    ///
    /// # Errors
    /// When there is one; the error names it.
    pub fn check(&self, format: Format) -> Result<(), FormatError> {
        let is_table = matches!(format, Format::Csv | Format::Tsv);
        let is_rdf = matches!(format, Format::Ntriples | Format::Turtle);
        let table = &self.table;
        let given = [
            ("--entity", table.entity.is_some(), is_table),
            ("--id-column", table.id_column.is_some(), is_table),
            ("--column", !table.columns.is_empty(), is_table),
            ("--separator", table.separator.is_some(), is_table),
            ("--prefix", !self.prefixes.is_empty(), is_rdf),
            ("--single", !self.single.is_empty(), is_rdf),
            ("--id-prefix", !self.id_prefix.is_empty(), format == Format::Edn),
            ("--created-field", self.created_field.is_some(), format == Format::Instant),
        ];
        match given.iter().find(|(_, is_given, has_meaning)| *is_given && !has_meaning) {
            Some((name, ..)) => Err(FormatError::option(format!(
                "{name} means nothing to format {}; leave it out",
                format.name()
            ))),
            None => Ok(()),
        }
    }
}

/// What an export is to hold, and how.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// The state that is written; NDJSON says it in its first line.
    pub checkpoint: Option<Checkpoint>,
    /// Tables: the type whose entities are written, alone; all without it.
    pub entity: Option<String>,
    /// Tables: what stands between the values of one cell; `|` unless told otherwise.
    pub separator: Option<char>,
    /// RDF: IRIs for the short names, as for an import.
    pub prefixes: Vec<Prefix>,
    /// Instant: the field that holds when an entity was made.
    pub created_field: Option<String>,
}

fn separator(text: &str) -> Result<char, FormatError> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(separator), None) => Ok(separator),
        _ => Err(FormatError::option(format!("the separator is one character, not `{text}`"))),
    }
}

impl ExportOptions {
    /// The names that [`ExportOptions::take`] knows.
    pub const NAMES: [&str; 4] = ["entity", "separator", "prefix", "created-field"];

    /// Takes an option by its name. False if there is no such option.
    ///
    /// # Errors
    /// When the text is not what the option takes.
    pub fn take(&mut self, name: &str, text: &str) -> Result<bool, FormatError> {
        match name {
            "entity" => self.entity = Some(text.to_owned()),
            "separator" => self.separator = Some(separator(text)?),
            "prefix" => self.prefixes.push(text.parse()?),
            "created-field" => self.created_field = Some(text.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Refuses options that mean nothing to a format.
    ///
    /// # Errors
    /// When there is one; the error names it.
    pub fn check(&self, format: Format) -> Result<(), FormatError> {
        let as_import = ImportOptions {
            prefixes: self.prefixes.clone(),
            created_field: self.created_field.clone(),
            table: TableOptions {
                entity: self.entity.clone(),
                separator: self.separator,
                ..TableOptions::default()
            },
            ..ImportOptions::default()
        };
        as_import.check(format)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_prefix_is_a_name_and_an_iri() {
        let prefix: Prefix = "foaf=http://xmlns.com/foaf/0.1/".parse().unwrap();
        assert_eq!((&*prefix.name, &*prefix.iri), ("foaf", "http://xmlns.com/foaf/0.1/"));
        assert_eq!("=http://a/?x=y".parse::<Prefix>().unwrap().iri, "http://a/?x=y");
        for wrong in ["foaf", "foaf=", "_x=http://a/", "a/b=http://a/", ""] {
            assert_eq!(wrong.parse::<Prefix>().unwrap_err().code(), "format_option", "{wrong}");
        }
    }

    #[test]
    fn every_name_is_taken() {
        let texts = ["t", "id", "a=b", ";", "x=http://x/", "a/b", "p", "f"];
        let mut import = ImportOptions::default();
        for (name, text) in ImportOptions::NAMES.into_iter().zip(texts) {
            assert!(import.take(name, text).unwrap(), "{name}");
        }
        assert_eq!(import.table.separator, Some(';'));
        for name in ExportOptions::NAMES {
            let index = ImportOptions::NAMES.iter().position(|other| *other == name).unwrap();
            assert!(ExportOptions::default().take(name, texts[index]).unwrap());
        }
        assert!(!import.take("color", "red").unwrap());
        assert!(import.take("separator", "||").is_err());
    }

    #[test]
    fn options_without_meaning_are_refused() {
        let table = TableOptions { entity: Some("user".into()), ..TableOptions::default() };
        let options = ImportOptions { table, ..ImportOptions::default() };
        assert!(options.check(Format::Csv).is_ok());
        let error = options.check(Format::Turtle).unwrap_err().to_string();
        assert_eq!(error, "--entity means nothing to format turtle; leave it out");
        let export = ExportOptions { entity: Some("user".into()), ..ExportOptions::default() };
        assert!(export.check(Format::Ndjson).is_err());
    }
}
