//! `tercet import`: files become operations, and operations travel as lines to the server.
//!
//! A thread reads and converts, the connection sends: a bounded channel between them keeps memory
//! small and lets a slow server slow the reading down. An import that is repeated under its id
//! goes on where it stopped, because chunk n of an id is one transaction with one identity. When
//! an input turns out bad, the body is broken off rather than ended: an ended body would commit
//! the lines before the error as the last, short chunk, and a corrected file could not go on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;
use futures_util::stream;
use reqwest::Body;
use tercet_engine::fact::Op;
use tercet_formats::{Format, FormatError, Import, ImportOptions, Note};
use tokio::sync::mpsc;

use crate::admin_token::ALPHABET;
use crate::connection::AppFlags;
use crate::failure::Failure;
use crate::output::tell;
use crate::progress::{Progress, counted, grouped, rate};

/// Lines are sent in pieces of about this size.
const PIECE_BYTES: usize = 64 << 10;

/// So many pieces may wait for the connection.
const N_PIECES_WAITING: usize = 16;

/// Options of `tercet import`.
#[derive(Debug, Args)]
#[command(about = "Load a file of facts into an app")]
#[command(long_about = "\
Load a file of facts into an app.

The facts are sent in transactions of 10,000 operations. An import has an id: one that was \
interrupted goes on where it stopped when the same command is repeated, and repeating a finished \
one changes nothing. For a file the id follows from its path, size and time of change, for \
standard input it is new each time; --id sets it.

Formats:
  ndjson    one operation a line, as JSON; what `export` writes:
            {\"set\": {\"e\": \"u1\", \"a\": \"user/name\", \"v\": \"Ann\"}}
            {\"add\": {\"e\": \"u1\", \"a\": \"user/friend\", \"v\": {\"$ref\": \"u2\"}}}
  csv, tsv  a table: one entity a row, headers as FIELD, FIELD:TYPE or FIELD:TYPE[] for several
            values in a cell; types are string, number, boolean, date, ref and json
  ntriples  RDF, one triple a line
  turtle    RDF, with prefixes and nesting
  edn       datoms and entity maps of Datomic, DataScript and Datalevin
  instant   a backup of InstantDB: the zip file, or its directory
  wordnet   a directory with the database files of WordNet 3.x (data.noun, ...)

What was guessed, and what the input holds that facts cannot, is listed at the end. docs/formats.md \
says how each format becomes facts.")]
#[command(after_long_help = "\
Examples:
  tercet import facts.ndjson
  gunzip -c facts.ndjson.gz | tercet import - --format ndjson --id nightly-2026-11-20
  tercet import people.csv --entity user --id-column email --column 'Full name=name:string'
  tercet import people.ttl --prefix foaf=http://xmlns.com/foaf/0.1/
  tercet import instant-backup.zip --created-field createdAt
  tercet import data/wordnet --format wordnet")]
pub(crate) struct Options {
    /// A file, a directory if the format has several files, or - for standard input
    file: PathBuf,
    /// What the file holds; without it, what its name says
    #[arg(long, value_parser = PossibleValuesParser::new(Format::names()))]
    format: Option<String>,
    /// The identity of this import; the same one goes on with it
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    mapping: Mapping,
    #[command(flatten)]
    connection: AppFlags,
}

/// How the input becomes facts; each option is for some formats.
#[derive(Debug, Args)]
#[command(next_help_heading = "Mapping")]
struct Mapping {
    /// Tables: the type of the rows, the first half of their attributes
    #[arg(long, value_name = "TYPE")]
    entity: Option<String>,
    /// Tables: the column with the ids (default: id); - numbers the rows
    #[arg(long, value_name = "HEADER", allow_hyphen_values = true)]
    id_column: Option<String>,
    /// Tables: HEADER=FIELD, HEADER=FIELD:TYPE, HEADER=FIELD:TYPE[], or HEADER=- to leave it out
    #[arg(long, value_name = "RULE")]
    column: Vec<String>,
    /// Tables: what stands between the values of one cell (default: |)
    #[arg(long, value_name = "CHARACTER")]
    separator: Option<String>,
    /// RDF: a short name for IRIs that begin so
    #[arg(long, value_name = "NAME=IRI")]
    prefix: Vec<String>,
    /// RDF: an attribute that holds one value
    #[arg(long, value_name = "ATTRIBUTE")]
    single: Vec<String>,
    /// EDN: what stands before a numeric entity id
    #[arg(long, value_name = "TEXT")]
    id_prefix: Option<String>,
    /// Instant: the field that keeps when an entity was made
    #[arg(long, value_name = "FIELD")]
    created_field: Option<String>,
}

impl Mapping {
    /// As the importers take it. Nameless entities get ids from the id of the import.
    fn options(&self, id: &str) -> Result<ImportOptions, FormatError> {
        let mut options = ImportOptions { scope: Some(id.to_owned()), ..ImportOptions::default() };
        let once = [
            ("entity", &self.entity),
            ("id-column", &self.id_column),
            ("separator", &self.separator),
            ("id-prefix", &self.id_prefix),
            ("created-field", &self.created_field),
        ];
        let once = once.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let often = [("column", &self.column), ("prefix", &self.prefix), ("single", &self.single)];
        let often =
            often.into_iter().flat_map(|(name, texts)| texts.iter().map(move |text| (name, text)));
        for (name, text) in once.chain(often) {
            let is_known = options.take(name, text)?;
            assert!(is_known, "--{name} is an option of importers");
        }
        Ok(options)
    }
}

/// Runs `tercet import`.
///
/// # Errors
/// When the input is not what its format says, or the server refuses or cannot be reached.
pub(crate) async fn run(options: Options) -> Result<()> {
    let app = options.connection.app()?;
    let is_stdin = options.file == Path::new("-");
    let id = match &options.id {
        Some(id) => id.clone(),
        None if is_stdin => nanoid::nanoid!(21, &ALPHABET),
        None => file_id(&options.file)?,
    };
    let format = format_of(&options, is_stdin)?;
    tell(&format!("import {id}: {} as {}", options.file.display(), format.name()));

    let mapping = options.mapping.options(&id).map_err(explained)?;
    let importer = open(format, &options.file, is_stdin, mapping).await?;
    let (sender, receiver) = mpsc::channel(N_PIECES_WAITING);
    let reader = tokio::task::spawn_blocking(move || {
        let outcome = read(importer, &sender);
        if outcome.is_err() {
            // The receiver may be gone: then the server's answer is what counts.
            let _ = sender.blocking_send(Err(io::Error::other("the input is bad")));
        }
        outcome
    });
    let start = std::time::Instant::now();
    let outcome = app.import(&id, Body::wrap_stream(stream_of(receiver))).await;
    let outcome_of_reading = reader.await.context("the thread that reads the input panicked")?;
    let (report, notes) = match outcome_of_reading {
        Ok(notes) => (outcome.with_context(|| format!("import {id} did not finish"))?, notes),
        Err(error) => {
            let hint = format!(
                "the whole chunks before it are in the app; correct the input, and go on with --id {id}"
            );
            return Err(Failure::new(error.to_string())
                .with_code(error.code())
                .with_hint(hint)
                .into());
        }
    };
    for note in notes {
        tell(&format!("note: {note} ({})", note.code));
    }
    let before = match report.applied_before {
        0 => String::new(),
        n => format!(" ({} there already)", grouped(n)),
    };
    if report.transactions == 0 {
        tell("imported nothing: the input holds no operations");
        return Ok(());
    }
    tell(&format!(
        "imported {} in {}{before}, {}; the app is at commit {}",
        counted(report.lines, "operation"),
        counted(report.transactions, "transaction"),
        rate(report.lines, start.elapsed()),
        grouped(report.seq),
    ));
    Ok(())
}

fn format_of(options: &Options, is_stdin: bool) -> Result<Format, FormatError> {
    match &options.format {
        Some(name) => Format::from_name(name),
        None if is_stdin => Ok(Format::Ndjson),
        None => Format::detect(&options.file),
    }
}

/// What the thread hands to the connection.
type Piece = Result<Vec<u8>, io::Error>;

fn stream_of(receiver: mpsc::Receiver<Piece>) -> impl stream::Stream<Item = Piece> {
    stream::unfold(receiver, async |mut receiver| {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    })
}

/// Opens the input on a thread that may block: some formats read it through once before the
/// first operation, longer than a server waits for a body to begin.
async fn open(
    format: Format,
    file: &Path,
    is_stdin: bool,
    options: ImportOptions,
) -> Result<Box<dyn Import + Send>> {
    let file = file.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        if is_stdin {
            format.read(Box::new(io::BufReader::new(io::stdin())), "standard input", &options)
        } else {
            format.open(&file, &options)
        }
    });
    let opened = opened.await.context("the thread that reads the input panicked")?;
    Ok(opened.map_err(explained)?)
}

/// An error of an input as people see it, with its code.
fn explained(error: FormatError) -> Failure {
    Failure::new(error.to_string()).with_code(error.code())
}

/// Reads all operations and sends them as lines; gives what is to be known about the input. Ends
/// early, without an error, when nobody receives any more.
fn read(
    mut importer: Box<dyn Import + Send>,
    sender: &mpsc::Sender<Piece>,
) -> Result<Vec<Note>, FormatError> {
    let total = importer.progress().n_bytes_total;
    let mut progress = Progress::start("import", total, "bytes");
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let mut n_operations = 0;
    while let Some(op) = importer.next().transpose()? {
        write_line(&mut piece, &op);
        n_operations += 1;
        if piece.len() >= PIECE_BYTES {
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE_BYTES));
            if sender.blocking_send(Ok(full)).is_err() {
                return Ok(Vec::new());
            }
            progress.at(importer.progress().n_bytes, || format!("{} ops", grouped(n_operations)));
        }
    }
    // A receiver that is gone has its reason in the server's answer.
    let _ = sender.blocking_send(Ok(piece));
    Ok(importer.notes())
}

/// Operations as the lines that an import consists of.
pub(crate) fn lines_of(ops: &[Op]) -> Vec<u8> {
    let mut lines = Vec::new();
    for op in ops {
        write_line(&mut lines, op);
    }
    lines
}

fn write_line(lines: &mut Vec<u8>, op: &Op) {
    serde_json::to_writer(&mut *lines, op).expect("an operation is plain data with text keys");
    lines.push(b'\n');
}

/// An id that is the same for the same file, unchanged: from its path, size and time of change;
/// for a directory, from those of all its files.
fn file_id(path: &Path) -> Result<String> {
    let cannot_read = || format!("cannot read {}", path.display());
    let path = path.canonicalize().with_context(cannot_read)?;
    let mut files = vec![path.clone()];
    if path.is_dir() {
        for entry in fs::read_dir(&path).with_context(cannot_read)? {
            files.push(entry.with_context(cannot_read)?.path());
        }
        files.sort();
    }
    let mut hasher = blake3::Hasher::new();
    for file in &files {
        let metadata = file.metadata().with_context(cannot_read)?;
        let changed = metadata.modified().with_context(cannot_read)?;
        let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let size = if metadata.is_dir() { 0 } else { metadata.len() };
        hasher.update(format!("{file:?} {size} {changed}\n").as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::file_id;

    #[test]
    fn an_id_follows_the_file_and_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&first, "one").unwrap();
        fs::write(&second, "one").unwrap();
        let id = file_id(&first).unwrap();
        assert_eq!(file_id(&first).unwrap(), id);
        assert_ne!(file_id(&second).unwrap(), id);
        let of_directory = file_id(dir.path()).unwrap();
        fs::write(&first, "one and more").unwrap();
        assert_ne!(file_id(&first).unwrap(), id);
        assert_ne!(file_id(dir.path()).unwrap(), of_directory);
        assert!(file_id(&dir.path().join("c")).is_err());
    }
}
