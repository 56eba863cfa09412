//! The formats that exist, so that help texts and errors list exactly those.
//!
//! Left out: what a format means (its own module) and the demo's data, which is no file format.

use std::io::{BufRead, Write};
use std::path::Path;

use tercet_engine::store::Snapshot;

use crate::edn::{self, Edn};
use crate::error::FormatError;
use crate::import::Import;
use crate::instant::{self, Instant};
use crate::ndjson::{self, Ndjson};
use crate::note::Note;
use crate::options::{ExportOptions, ImportOptions};
use crate::rdf::{self, Ntriples, Turtle};
use crate::table::{self, Delimiter, Table};
use crate::wordnet::Wordnet;

/// A file format, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A table with commas.
    Csv,
    /// Datoms and entity maps of Datomic, DataScript and Datalevin.
    Edn,
    /// A backup of InstantDB: a zip file or its directory.
    Instant,
    /// One operation a line, as JSON.
    Ndjson,
    /// RDF, one triple a line.
    Ntriples,
    /// A table with tabs.
    Tsv,
    /// RDF, with prefixes and nesting.
    Turtle,
    /// The database files of WordNet 3.x, in a directory.
    Wordnet,
}

impl Format {
    /// All formats, in the order of their names.
    pub const ALL: &'static [Format] = &[
        Format::Csv,
        Format::Edn,
        Format::Instant,
        Format::Ndjson,
        Format::Ntriples,
        Format::Tsv,
        Format::Turtle,
        Format::Wordnet,
    ];

    /// The name people type.
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Edn => "edn",
            Format::Instant => "instant",
            Format::Ndjson => "ndjson",
            Format::Ntriples => "ntriples",
            Format::Tsv => "tsv",
            Format::Turtle => "turtle",
            Format::Wordnet => "wordnet",
        }
    }

    /// One line of help.
    pub fn summary(self) -> &'static str {
        match self {
            Format::Csv => "a table with commas: one entity a row, headers as type/field:type",
            Format::Edn => "datoms and entity maps of Datomic, DataScript and Datalevin",
            Format::Instant => "a backup of InstantDB: the zip file, or its directory",
            Format::Ndjson => "one operation a line, as JSON",
            Format::Ntriples => "RDF, one triple a line",
            Format::Tsv => "a table with tabs",
            Format::Turtle => "RDF, with prefixes",
            Format::Wordnet => "a directory with the database files of WordNet 3.x (data.noun, …)",
        }
    }

    /// The endings of file names that say it; the first one is for new files.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Format::Csv => &["csv"],
            Format::Edn => &["edn"],
            Format::Instant => &["zip"],
            Format::Ndjson => &["ndjson", "jsonl"],
            Format::Ntriples => &["nt"],
            Format::Tsv => &["tsv", "tab"],
            Format::Turtle => &["ttl"],
            Format::Wordnet => &[],
        }
    }

    /// What HTTP calls it; none for what is no single stream of bytes.
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Format::Csv => Some("text/csv"),
            Format::Edn => Some("application/edn"),
            Format::Instant => Some("application/zip"),
            Format::Ndjson => Some("application/x-ndjson"),
            Format::Ntriples => Some("application/n-triples"),
            Format::Tsv => Some("text/tab-separated-values"),
            Format::Turtle => Some("text/turtle"),
            Format::Wordnet => None,
        }
    }

    /// The format that HTTP calls so; parameters such as a charset left out.
    pub fn from_media_type(media_type: &str) -> Option<Format> {
        let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Format::ALL.iter().copied().find(|format| format.media_type() == Some(name.as_str()))
    }

    /// Whether it can be read from a stream, or only from files.
    pub fn can_stream(self) -> bool {
        !matches!(self, Format::Instant | Format::Wordnet)
    }

    /// Whether it can also be written.
    pub fn can_export(self) -> bool {
        self != Format::Wordnet
    }

    /// All names, in order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Format::ALL.iter().map(|format| format.name())
    }

    /// The format of this name.
    ///
    /// # Errors
    /// When there is none; the error lists those that exist.
    pub fn from_name(name: &str) -> Result<Format, FormatError> {
        let found = Format::ALL.iter().copied().find(|format| format.name() == name);
        found.ok_or_else(|| FormatError::UnknownFormat {
            name: name.to_owned(),
            known: known(|_| true),
        })
    }

    /// The format a path looks like: by its ending, or as a directory by what it holds.
    ///
    /// # Errors
    /// When nothing tells.
    pub fn detect(path: &Path) -> Result<Format, FormatError> {
        if path.is_dir() && path.join("data.noun").is_file() {
            return Ok(Format::Wordnet);
        }
        if path.is_dir() && path.join("config.json").is_file() && path.join("entities").is_dir() {
            return Ok(Format::Instant);
        }
        let ending = path.extension().and_then(|ending| ending.to_str());
        let ending = ending.map(str::to_ascii_lowercase).unwrap_or_default();
        let by_ending = |format: &&Format| format.endings().contains(&ending.as_str());
        match Format::ALL.iter().find(by_ending) {
            Some(format) if !path.is_dir() => Ok(*format),
            _ => Err(FormatError::UndetectedFormat {
                path: path.display().to_string(),
                known: known(|_| true),
            }),
        }
    }

    /// An importer of the file or directory.
    ///
    /// # Errors
    /// When it cannot be opened, or is not what this format reads; when an option means nothing
    /// to it; for formats whose records refer to each other, also what a first pass over the
    /// files finds.
    pub fn open(
        self,
        path: &Path,
        options: &ImportOptions,
    ) -> Result<Box<dyn Import + Send>, FormatError> {
        options.check(self)?;
        let wrong = |wanted| FormatError::WrongInput {
            format: self.name(),
            wanted,
            given: path.display().to_string(),
        };
        if self.can_stream() && path.is_dir() {
            return Err(wrong("a file"));
        }
        Ok(match self {
            Format::Csv => Box::new(Table::open(path, Delimiter::Comma, options)?),
            Format::Edn => Box::new(Edn::open(path, options)?),
            Format::Instant => Box::new(Instant::open(path, options)?),
            Format::Ndjson => Box::new(Ndjson::open(path)?),
            Format::Ntriples => Box::new(Ntriples::open(path, options)?),
            Format::Tsv => Box::new(Table::open(path, Delimiter::Tab, options)?),
            Format::Turtle => Box::new(Turtle::open(path, options)?),
            Format::Wordnet if path.is_file() => return Err(wrong("a directory")),
            Format::Wordnet => Box::new(Wordnet::open(path)?),
        })
    }

    /// An importer of a stream; `input` is what errors call it, for example `stdin`.
    ///
    /// # Errors
    /// When this format needs more than a stream; when an option means nothing to it, or a
    /// table's header does not fit them.
    pub fn read(
        self,
        reader: Box<dyn BufRead + Send>,
        input: &str,
        options: &ImportOptions,
    ) -> Result<Box<dyn Import + Send>, FormatError> {
        options.check(self)?;
        let wrong = |wanted| {
            let given = input.to_owned();
            Err(FormatError::WrongInput { format: self.name(), wanted, given })
        };
        Ok(match self {
            Format::Csv => Box::new(Table::new(reader, input, Delimiter::Comma, options)?),
            Format::Edn => Box::new(Edn::new(reader, input, options)),
            Format::Instant => return wrong("a zip file or a directory"),
            Format::Ndjson => Box::new(Ndjson::new(reader, input)),
            Format::Ntriples => Box::new(Ntriples::new(reader, input, options)),
            Format::Tsv => Box::new(Table::new(reader, input, Delimiter::Tab, options)?),
            Format::Turtle => Box::new(Turtle::new(reader, input, options)),
            Format::Wordnet => return wrong("a directory"),
        })
    }

    /// Whether an export with these options can be made: asked before a stream is begun.
    ///
    /// # Errors
    /// When this format cannot be written, or an option means nothing to it.
    pub fn check_export(self, options: &ExportOptions) -> Result<(), FormatError> {
        if !self.can_export() {
            let known = known(Format::can_export);
            return Err(FormatError::ReadOnly { format: self.name(), known });
        }
        options.check(self)
    }

    /// What an export will not hold, told before it is written.
    pub fn export_notes(self, snapshot: &Snapshot, options: &ExportOptions) -> Vec<Note> {
        match self {
            Format::Csv | Format::Tsv => table::notes(snapshot, options),
            _ => Vec::new(),
        }
    }

    /// Writes the facts to a stream, which should be buffered.
    ///
    /// # Errors
    /// When this format cannot be written, an option means nothing to it, or writing fails.
    pub fn export(
        self,
        snapshot: &Snapshot,
        options: &ExportOptions,
        out: &mut dyn Write,
    ) -> Result<(), FormatError> {
        self.check_export(options)?;
        match self {
            Format::Csv => table::write(snapshot, Delimiter::Comma, options, out),
            Format::Edn => edn::write(snapshot, out),
            Format::Instant => instant::write_zip(snapshot, options, out),
            Format::Ndjson => ndjson::write(snapshot, options, out),
            Format::Ntriples => rdf::write_ntriples(snapshot, options, out),
            Format::Tsv => table::write(snapshot, Delimiter::Tab, options, out),
            Format::Turtle => rdf::write_turtle(snapshot, options, out),
            Format::Wordnet => unreachable!("it was refused above"),
        }
    }
}

fn known(is_wanted: impl Fn(Format) -> bool) -> String {
    let wanted = Format::ALL.iter().copied().filter(|&format| is_wanted(format));
    wanted.map(Format::name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_name_leads_back_to_its_format() {
        assert!(
            Format::ALL.iter().all(|&format| Format::from_name(format.name()).unwrap() == format)
        );
        assert!(Format::ALL.is_sorted_by_key(|format| format.name()));
        let error = Format::from_name("xml").unwrap_err();
        assert_eq!(error.code(), "format_unknown");
        assert!(error.to_string().starts_with("there is no format `xml`; formats are csv, edn, "));
        let media_types =
            Format::ALL.iter().filter_map(|format| Some((format, format.media_type()?)));
        for (format, media_type) in media_types {
            assert_eq!(
                Format::from_media_type(&format!("{media_type}; charset=utf-8")),
                Some(*format)
            );
        }
    }

    #[test]
    fn a_path_tells_its_format() {
        let dir = tempfile::tempdir().unwrap();
        let options = ImportOptions::default();
        assert_eq!(Format::detect(dir.path()).unwrap_err().code(), "format_unknown");
        std::fs::write(dir.path().join("data.noun"), "").unwrap();
        assert_eq!(Format::detect(dir.path()).unwrap(), Format::Wordnet);
        assert_eq!(Format::detect(Path::new("facts.jsonl")).unwrap(), Format::Ndjson);
        assert!(Format::detect(Path::new("facts.txt")).is_err());
        assert_eq!(Format::Ndjson.open(dir.path(), &options).err().unwrap().code(), "format_input");
        let file = dir.path().join("data.noun");
        assert_eq!(Format::Wordnet.open(&file, &options).err().unwrap().code(), "format_input");
        assert_eq!(
            Format::Ndjson.open(&dir.path().join("none"), &options).err().unwrap().code(),
            "io"
        );
        let stream = Format::Wordnet.read(Box::new(&b""[..]), "stdin", &options);
        assert_eq!(stream.err().unwrap().code(), "format_input");
    }
}
