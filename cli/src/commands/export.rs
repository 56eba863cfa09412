//! `tercet export`: all facts of an app, in a format that `tercet import` reads.
//!
//! A file appears under its name only when it is whole: what is under way is called `NAME.part`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use reqwest::Response;
use serde::Deserialize;
use tercet_formats::{Format, FormatError};

use crate::connection::AppFlags;
use crate::output::tell;
use crate::progress::{Progress, counted, grouped, rate};

/// Options of `tercet export`.
#[derive(Debug, Args)]
#[command(about = "Write all facts of an app to a file")]
#[command(long_about = "\
Write all facts of an app to a file or to standard output.

The output is one consistent state, however long it takes and whatever is written meanwhile, and \
`tercet import` reads it. Without --format the ending of the file says the format; without a file \
it is NDJSON: a first line that says at which commit it was taken and how many facts follow, then \
one operation a line. A file is complete when it has its name; until then it is called FILE.part.

What a format does not hold is listed. docs/formats.md says how facts look in each.")]
#[command(after_long_help = "\
Examples:
  tercet export -o facts.ndjson
  tercet export -o people.csv --entity user
  tercet export -o facts.ttl --prefix foaf=http://xmlns.com/foaf/0.1/
  tercet export --format instant -o backup.zip
  tercet export | gzip > facts.ndjson.gz
  tercet export | grep '\"user/name\"'")]
pub(crate) struct Options {
    /// The file to write; standard output without it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format; without it, what the name of the file says, else ndjson
    #[arg(long, value_parser = PossibleValuesParser::new(writable()))]
    format: Option<String>,
    /// Tables: the one type whose entities are written
    #[arg(long, value_name = "TYPE")]
    entity: Option<String>,
    /// Tables: what stands between the values of one cell (default: |)
    #[arg(long, value_name = "CHARACTER")]
    separator: Option<String>,
    /// RDF: a short name for IRIs that begin so
    #[arg(long, value_name = "NAME=IRI")]
    prefix: Vec<String>,
    /// Instant: the field that holds when an entity was made
    #[arg(long, value_name = "FIELD")]
    created_field: Option<String>,
    #[command(flatten)]
    connection: AppFlags,
}

fn writable() -> impl Iterator<Item = &'static str> {
    Format::ALL.iter().filter(|format| format.can_export()).map(|format| format.name())
}

impl Options {
    fn format(&self) -> Result<Format, FormatError> {
        match (&self.format, &self.output) {
            (Some(name), _) => Format::from_name(name),
            // A name that says nothing (`dump`, `facts.txt`) is as good as any for NDJSON.
            (None, Some(path)) => Ok(Format::detect(path).unwrap_or(Format::Ndjson)),
            (None, None) => Ok(Format::Ndjson),
        }
    }

    /// As the server takes them.
    fn parameters(&self, format: Format) -> Vec<(&str, &str)> {
        let mut parameters = vec![("format", format.name())];
        let once = [
            ("entity", &self.entity),
            ("separator", &self.separator),
            ("created-field", &self.created_field),
        ];
        parameters
            .extend(once.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))));
        parameters.extend(self.prefix.iter().map(|text| ("prefix", text.as_str())));
        parameters
    }
}

/// The first line of an export.
#[derive(Debug, Deserialize)]
struct Header {
    facts: u64,
}

/// Runs `tercet export`.
///
/// # Errors
/// When the server refuses, the stream is cut short, or the file cannot be written.
pub(crate) async fn run(options: Options) -> Result<()> {
    let app = options.connection.app()?;
    let format = options.format()?;
    let response = app.export(&options.parameters(format)).await?;
    for note in response.headers().get_all("tercet-note") {
        tell(&format!("note: {}", String::from_utf8_lossy(note.as_bytes())));
    }
    match &options.output {
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            copy(response, format, &mut out, "standard output").await
        }
        Some(path) => write_file(response, format, path).await,
    }
}

async fn write_file(response: Response, format: Format, path: &Path) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = File::create(&part).with_context(|| format!("cannot make {}", part.display()))?;
    let mut writer = BufWriter::new(file);
    copy(response, format, &mut writer, &part.display().to_string()).await?;
    let file = writer.into_inner().context("cannot write the end of the file")?;
    file.sync_all().with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot rename to {}", path.display()))
}

async fn copy(
    response: Response,
    format: Format,
    writer: &mut impl Write,
    target: &str,
) -> Result<()> {
    match format {
        Format::Ndjson => copy_lines(response, writer, target).await,
        _ => copy_bytes(response, writer, target).await,
    }
}

/// Copies a stream whose end only the connection tells: one that is cut short is an error there.
async fn copy_bytes(mut response: Response, writer: &mut impl Write, target: &str) -> Result<()> {
    let cannot_write = || format!("cannot write to {target}");
    let n_facts = response.headers().get("tercet-facts").and_then(|text| text.to_str().ok());
    let n_facts: u64 = n_facts.and_then(|text| text.parse().ok()).unwrap_or_default();
    let mut progress = Progress::start("export", None, "bytes");
    let mut n_bytes = 0;
    while let Some(bytes) = response.chunk().await.context("the export was cut short")? {
        writer.write_all(&bytes).with_context(cannot_write)?;
        n_bytes += bytes.len() as u64;
        progress.at(n_bytes, || format!("of {}", counted(n_facts, "fact")));
    }
    writer.flush().with_context(cannot_write)?;
    progress.finish();
    tell(&format!("exported {} of {}", counted(n_bytes, "byte"), counted(n_facts, "fact")));
    Ok(())
}

/// Copies the stream and counts it against what its first line announces.
async fn copy_lines(mut response: Response, writer: &mut impl Write, target: &str) -> Result<()> {
    let cannot_write = || format!("cannot write to {target}");
    let mut header = Vec::new();
    let mut n_lines = 0;
    let mut progress: Option<(Progress, u64)> = None;
    while let Some(bytes) = response.chunk().await.context("the export was cut short")? {
        writer.write_all(&bytes).with_context(cannot_write)?;
        n_lines += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        if progress.is_none() {
            header.extend_from_slice(&bytes);
            if n_lines > 0 {
                let n_facts = read_header(&header)?.facts;
                progress = Some((Progress::start("export", Some(n_facts), "facts"), n_facts));
            }
        }
        if let Some((progress, n_facts)) = &mut progress {
            let n_done = n_lines.saturating_sub(1);
            progress.at(n_done, || format!("{} of {}", grouped(n_done), grouped(*n_facts)));
        }
    }
    writer.flush().with_context(cannot_write)?;
    let Some((progress, n_facts)) = progress else { bail!("the export has no first line") };
    let time = progress.finish();
    if n_lines != n_facts + 1 {
        bail!("the export was cut short: it has {} of {n_facts} facts", n_lines.saturating_sub(1));
    }
    tell(&format!("exported {} ({})", counted(n_facts, "fact"), rate(n_facts, time)));
    Ok(())
}

/// Reads the first line of what has come so far.
fn read_header(start: &[u8]) -> Result<Header> {
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(line).context("the first line of the export has an unknown form")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::read_header;

    #[test]
    fn the_header_is_the_first_line_only() {
        let start = b"{\"checkpoint\":{\"epoch\":1,\"seq\":2},\"facts\":7}\n{\"set\":";
        assert_eq!(read_header(start).unwrap().facts, 7);
        assert!(read_header(b"{\"set\":{}}\n").is_err());
    }
}
