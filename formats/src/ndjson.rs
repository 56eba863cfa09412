//! NDJSON: one operation a line, in the JSON form of [`Op`]; what a server's export sends.
//!
//! ```text
//! {"checkpoint":{"epoch":"00000000000000ff","seq":7},"facts":2}
//! {"set":{"e":"u1","a":"user/name","v":"Ann"}}
//! {"add":{"e":"u1","a":"user/friend","v":{"$ref":"u2"}}}
//! ```
//!
//! The first line may be an export's header; then the facts are counted, and a file that was cut
//! short is an error instead of a smaller database. Blank lines, a byte order mark and `\r\n` are
//! accepted. Lines are independent: after a bad one, reading goes on. A line that is no operation
//! is looked at a second time to say what is wrong with it, so a good line pays nothing for that.
//! Left out: entity objects and other JSON shapes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, Checkpoint, EntityId};
use tercet_engine::store::Snapshot;
use tercet_engine::value::Value;

use crate::error::{FormatError, Place};
use crate::export::{facts_in_order, op_of, write_error};
use crate::import::{Import, Progress};
use crate::lines::{Lines, open_file};
use crate::options::ExportOptions;

/// The longest line unless told otherwise: 8 MiB, the default limit of a transaction. A string of
/// 1 MiB, the default limit of a value, fits even if JSON escapes each of its bytes.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// Enough of an error message to recognize the line.
const MESSAGE_CHARS_MAX: usize = 400;

/// The first line of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportHeader {
    /// The state that was exported.
    pub checkpoint: Checkpoint,
    /// How many operations follow.
    #[serde(rename = "facts")]
    pub n_facts: u64,
}

/// An importer of NDJSON.
///
/// # Example: read operations and go on after a bad line
/// ```
/// use tercet_formats::Ndjson;
/// let text = "{\"delete\":{\"e\":\"u1\"}}\nnonsense\n{\"delete\":{\"e\":\"u2\"}}\n";
/// let items: Vec<_> = Ndjson::new(text.as_bytes(), "stdin").collect();
/// assert!(items[0].is_ok() && items[2].is_ok());
/// assert_eq!(items[1].as_ref().unwrap_err().code(), "malformed");
/// ```
pub struct Ndjson<Reader> {
    lines: Lines<Reader>,
    header: Option<ExportHeader>,
    n_bytes_total: Option<u64>,
    /// Lines that were not blank, the header included.
    n_records: u64,
    n_ops: u64,
    finished: bool,
}

impl Ndjson<BufReader<File>> {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let (lines, n_bytes_total) = open_file(path, LINE_BYTES_MAX)?;
        Ok(Ndjson { n_bytes_total: Some(n_bytes_total), ..Ndjson::over(lines) })
    }
}

impl<Reader: BufRead> Ndjson<Reader> {
    /// Reads a stream; `input` is what errors call it.
    pub fn new(reader: Reader, input: &str) -> Self {
        Ndjson::with_line_limit(reader, input, LINE_BYTES_MAX)
    }

    /// Reads a stream whose lines have at most `n_bytes_max` bytes.
    pub fn with_line_limit(reader: Reader, input: &str, n_bytes_max: usize) -> Self {
        Ndjson::over(Lines::new(reader, input, n_bytes_max))
    }

    fn over(lines: Lines<Reader>) -> Self {
        let (header, n_bytes_total) = (None, None);
        Ndjson { lines, header, n_bytes_total, n_records: 0, n_ops: 0, finished: false }
    }

    /// The header of the export, once the first operation has been pulled.
    pub fn header(&self) -> Option<ExportHeader> {
        self.header
    }

    fn next_op(&mut self) -> Result<Option<Op>, FormatError> {
        loop {
            let Some(line) = self.lines.next_line()? else {
                self.finished = true;
                return self.check_count().map(|()| None);
            };
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            self.n_records += 1;
            let error = match serde_json::from_str::<Op>(text) {
                Ok(op) => {
                    self.n_ops += 1;
                    return Ok(Some(op));
                }
                Err(error) => error,
            };
            if self.n_records == 1
                && let Ok(header) = serde_json::from_str::<ExportHeader>(text)
            {
                self.header = Some(header);
                continue;
            }
            let indent = line.len() - line.trim_ascii_start().len();
            let column = Some((error.column().max(1) + indent) as u64);
            let Complaint { code, message, hint } = complaint(text, &error);
            let at = Place { column, ..self.lines.place() };
            return Err(FormatError::Malformed { at, code, message, hint });
        }
    }

    fn check_count(&self) -> Result<(), FormatError> {
        match self.header {
            Some(header) if header.n_facts != self.n_ops => Err(FormatError::Truncated {
                at: self.lines.place(),
                what: "facts",
                n_expected: header.n_facts,
                n_found: self.n_ops,
            }),
            _ => Ok(()),
        }
    }
}

impl<Reader: BufRead> Iterator for Ndjson<Reader> {
    type Item = Result<Op, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let item = self.next_op().transpose();
        if let Some(Err(FormatError::Io { .. })) = item {
            self.finished = true;
        }
        item
    }
}

impl<Reader: BufRead> Import for Ndjson<Reader> {
    fn progress(&self) -> Progress {
        Progress {
            n_bytes: self.lines.n_bytes(),
            n_bytes_total: self.n_bytes_total,
            n_records: self.n_records,
        }
    }
}

/// A writer of NDJSON.
///
/// # Example: write an operation as a line
/// ```
/// use tercet_engine::fact::Op;
/// use tercet_engine::ids::EntityId;
/// use tercet_formats::NdjsonWriter;
/// let mut writer = NdjsonWriter::new(Vec::new());
/// writer.write_op(&Op::Delete { e: EntityId::new("u1")? })?;
/// assert_eq!(writer.finish()?, b"{\"delete\":{\"e\":\"u1\"}}\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NdjsonWriter<Writer> {
    writer: Writer,
}

impl<Writer: Write> NdjsonWriter<Writer> {
    /// Writes to `writer`, which should be buffered.
    pub fn new(writer: Writer) -> Self {
        NdjsonWriter { writer }
    }

    /// Writes the header; before everything else, or not at all.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write_header(&mut self, header: &ExportHeader) -> io::Result<()> {
        self.write_line(header)
    }

    /// Writes one operation.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write_op(&mut self, op: &Op) -> io::Result<()> {
        self.write_line(op)
    }

    /// Flushes, and gives the writer back.
    ///
    /// # Errors
    /// When flushing fails.
    pub fn finish(mut self) -> io::Result<Writer> {
        self.writer.flush()?;
        Ok(self.writer)
    }

    fn write_line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.writer, line)?;
        self.writer.write_all(b"\n")
    }
}

/// Writes all facts; first the header, if the options say which state it is.
pub(crate) fn write(
    snapshot: &Snapshot,
    options: &ExportOptions,
    out: &mut dyn Write,
) -> Result<(), FormatError> {
    let mut writer = NdjsonWriter::new(out);
    if let Some(checkpoint) = options.checkpoint {
        let header = ExportHeader { checkpoint, n_facts: snapshot.n_facts() };
        writer.write_header(&header).map_err(write_error)?;
    }
    for (fact, kind) in facts_in_order(snapshot) {
        writer.write_op(&op_of(fact, kind)).map_err(write_error)?;
    }
    writer.finish().map(drop).map_err(write_error)
}

struct Complaint {
    code: &'static str,
    message: String,
    hint: Option<String>,
}

/// What is wrong with a line that is no operation.
fn complaint(text: &str, error: &serde_json::Error) -> Complaint {
    let Ok(json) = serde_json::from_str::<Json>(text) else {
        // JSON has no NaN and no infinity; a number beyond the doubles is the one way to say it.
        let out_of_range = error.to_string().starts_with("number out of range");
        let code = if out_of_range { "number_not_finite" } else { "malformed" };
        return Complaint { code, message: message_of(error), hint: None };
    };
    let body = match json.as_object() {
        Some(object) if object.len() == 1 => object.values().next().and_then(Json::as_object),
        _ => None,
    };
    let Some(body) = body else {
        let message = "the line is no operation".to_owned();
        return Complaint { code: "malformed", message, hint: Some(example()) };
    };
    let hint = match body.get("v") {
        Some(Json::Null) => Some("there is no null: leave the fact out, or write an unset"),
        Some(Json::Array(_)) => Some("write one add for each member"),
        _ => None,
    };
    let code = id_code(body.get("e"), |text| EntityId::new(text).map(drop))
        .or_else(|| id_code(body.get("a"), |text| Attribute::new(text).map(drop)))
        .or_else(|| value_code(body.get("v")));
    Complaint {
        code: code.unwrap_or("malformed"),
        message: message_of(error),
        hint: hint.map(str::to_owned),
    }
}

fn example() -> String {
    "write {\"set\": {\"e\": \"u1\", \"a\": \"user/name\", \"v\": \"Ann\"}}, \
     or add, unset, remove, delete, restore"
        .to_owned()
}

/// The message without the position, which an error says in its own way.
pub(crate) fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&position).unwrap_or(&text);
    // It may quote a name or value of any length.
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn id_code(
    field: Option<&Json>,
    check: impl Fn(&str) -> Result<(), tercet_engine::ids::IdError>,
) -> Option<&'static str> {
    check(field?.as_str()?).err().map(|error| error.code())
}

/// The code of a tagged value that has the right shape and a wrong text.
fn value_code(field: Option<&Json>) -> Option<&'static str> {
    let tagged = field?.as_object()?;
    let text = |key: &str| tagged.get(key)?.as_str();
    if let Some(id) = text("$ref") {
        return Value::reference(id).err().map(|error| error.code());
    }
    if let Some(date) = text("$date") {
        return tercet_engine::value::Date::parse(date).err().map(|error| error.code());
    }
    let digits = text("$int")?;
    digits.parse::<i64>().err().map(|_| "integer_malformed")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HEADER: &str = r#"{"checkpoint":{"epoch":"00000000000000ff","seq":7},"facts":2}"#;
    const SET: &str = r#"{"set":{"e":"u1","a":"user/name","v":"Ann"}}"#;
    const ADD: &str = r#"{"add":{"e":"u1","a":"user/friend","v":{"$ref":"u2"}}}"#;

    #[test]
    fn what_is_written_is_read() {
        let ops: Vec<Op> = [
            SET,
            ADD,
            r#"{"unset":{"e":"u1","a":"user/name"}}"#,
            r#"{"remove":{"e":"u1","a":"user/tag","v":1.5}}"#,
            r#"{"delete":{"e":"u1"}}"#,
            r#"{"restore":{"e":"u1"}}"#,
            r#"{"set":{"e":"u\n1"#,
        ]
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
        assert_eq!(ops.len(), 6);
        let checkpoint = Checkpoint { epoch: "ff".parse().unwrap(), seq: Default::default() };
        let header = ExportHeader { checkpoint, n_facts: 6 };
        let mut writer = NdjsonWriter::new(Vec::new());
        writer.write_header(&header).unwrap();
        ops.iter().for_each(|op| writer.write_op(op).unwrap());
        let bytes = writer.finish().unwrap();
        let mut reader = Ndjson::new(&bytes[..], "in");
        let again: Vec<Op> = reader.by_ref().map(Result::unwrap).collect();
        assert_eq!(again, ops);
        assert_eq!(reader.header(), Some(header));
        let progress = reader.progress();
        assert_eq!((progress.n_bytes, progress.n_records), (bytes.len() as u64, 7));
        assert_eq!(reader.next().map(|item| item.is_ok()), None);
    }

    #[test]
    fn a_file_cut_short_is_an_error() {
        let text = format!("{HEADER}\n{SET}\n");
        let items: Vec<_> = Ndjson::new(text.as_bytes(), "in").collect();
        assert_eq!(items.len(), 2);
        let error = items[1].as_ref().unwrap_err();
        assert_eq!(error.code(), "truncated");
        assert_eq!(
            error.to_string(),
            "in:2: the input announces 2 facts but holds 1; it was cut short"
        );
        let whole = format!("\u{feff}{HEADER}\r\n\r\n{SET}\r\n  {ADD}  ");
        assert!(Ndjson::new(whole.as_bytes(), "in").all(|item| item.is_ok()));
    }

    #[test]
    fn a_header_is_the_first_line_only() {
        let text = format!("{SET}\n{HEADER}\n");
        let items: Vec<_> = Ndjson::new(text.as_bytes(), "in").collect();
        assert_eq!(items[1].as_ref().unwrap_err().code(), "malformed");
    }

    #[test]
    fn a_line_has_a_limit() {
        let text = format!("{SET}\n{ADD}\n");
        let reader = Ndjson::with_line_limit(text.as_bytes(), "in", SET.len());
        let items: Vec<_> = reader.collect();
        assert!(items[0].is_ok());
        assert_eq!(items[1].as_ref().unwrap_err().code(), "line_too_long");
        assert_eq!(items.len(), 2);
    }

    #[test]
    fn a_message_quotes_no_more_than_fits_a_screen() {
        let text = format!("{{\"{}\":{{\"e\":\"u1\"}}}}", "é".repeat(100_000));
        let error = Ndjson::new(text.as_bytes(), "in").next().unwrap().unwrap_err();
        assert!(error.to_string().len() < 1_000);
    }

    #[test]
    fn a_failing_reader_ends_the_stream() {
        struct Failing;
        impl io::Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let codes: Vec<_> = Ndjson::new(BufReader::new(Failing), "in")
            .map(|item| item.unwrap_err().code())
            .collect();
        assert_eq!(codes, ["io"]);
    }
}
