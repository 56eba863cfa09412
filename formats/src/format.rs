//! The formats that exist, so that help texts and errors list exactly those.
//!
//! Left out: what a format means (its own module) and the demo's data, which is no file format.

use std::io::BufRead;
use std::path::Path;

use crate::error::FormatError;
use crate::import::Import;
use crate::ndjson::Ndjson;
use crate::wordnet::Wordnet;

/// A file format, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// One operation a line, as JSON.
    Ndjson,
    /// The database files of WordNet 3.x, in a directory.
    Wordnet,
}

impl Format {
    /// All formats, in the order of their names.
    pub const ALL: &'static [Format] = &[Format::Ndjson, Format::Wordnet];

    /// The name people type.
    pub fn name(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Wordnet => "wordnet",
        }
    }

    /// One line of help.
    pub fn summary(self) -> &'static str {
        match self {
            Format::Ndjson => "one operation a line, as JSON; what `export` writes",
            Format::Wordnet => "a directory with the database files of WordNet 3.x (data.noun, …)",
        }
    }

    /// Whether [`crate::ndjson`] or another module can also write it.
    pub fn can_export(self) -> bool {
        match self {
            Format::Ndjson => true,
            Format::Wordnet => false,
        }
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
        found.ok_or_else(|| FormatError::UnknownFormat { name: name.to_owned(), known: known() })
    }

    /// The format a path looks like: by its ending, or as a directory by what it holds.
    ///
    /// # Errors
    /// When nothing tells.
    pub fn detect(path: &Path) -> Result<Format, FormatError> {
        if path.is_dir() && path.join("data.noun").is_file() {
            return Ok(Format::Wordnet);
        }
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("ndjson" | "jsonl") if !path.is_dir() => Ok(Format::Ndjson),
            _ => Err(FormatError::UndetectedFormat {
                path: path.display().to_string(),
                known: known(),
            }),
        }
    }

    /// An importer of the file or directory.
    ///
    /// # Errors
    /// When it cannot be opened, or is not what this format reads; for formats whose records
    /// refer to each other, also what a first pass over the files finds.
    pub fn open(self, path: &Path) -> Result<Box<dyn Import + Send>, FormatError> {
        let wrong = |wanted| FormatError::WrongInput {
            format: self.name(),
            wanted,
            given: path.display().to_string(),
        };
        match self {
            Format::Ndjson if path.is_dir() => Err(wrong("a file")),
            Format::Ndjson => Ok(Box::new(Ndjson::open(path)?)),
            Format::Wordnet if path.is_file() => Err(wrong("a directory")),
            Format::Wordnet => Ok(Box::new(Wordnet::open(path)?)),
        }
    }

    /// An importer of a stream; `input` is what errors call it, for example `stdin`.
    ///
    /// # Errors
    /// When this format needs more than a stream.
    pub fn read(
        self,
        reader: Box<dyn BufRead + Send>,
        input: &str,
    ) -> Result<Box<dyn Import + Send>, FormatError> {
        match self {
            Format::Ndjson => Ok(Box::new(Ndjson::new(reader, input))),
            Format::Wordnet => Err(FormatError::WrongInput {
                format: self.name(),
                wanted: "a directory",
                given: input.to_owned(),
            }),
        }
    }
}

fn known() -> String {
    Format::names().collect::<Vec<_>>().join(", ")
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
        assert_eq!(error.to_string(), "there is no format `xml`; formats are ndjson, wordnet");
    }

    #[test]
    fn a_path_tells_its_format() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Format::detect(dir.path()).unwrap_err().code(), "format_unknown");
        std::fs::write(dir.path().join("data.noun"), "").unwrap();
        assert_eq!(Format::detect(dir.path()).unwrap(), Format::Wordnet);
        assert_eq!(Format::detect(Path::new("facts.jsonl")).unwrap(), Format::Ndjson);
        assert!(Format::detect(Path::new("facts.txt")).is_err());
        assert_eq!(Format::Ndjson.open(dir.path()).err().unwrap().code(), "format_input");
        let file = dir.path().join("data.noun");
        assert_eq!(Format::Wordnet.open(&file).err().unwrap().code(), "format_input");
        assert_eq!(Format::Ndjson.open(&dir.path().join("none")).err().unwrap().code(), "io");
        let stream = Format::Wordnet.read(Box::new(&b""[..]), "stdin");
        assert_eq!(stream.err().unwrap().code(), "format_input");
    }
}
