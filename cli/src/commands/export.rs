//! `tercet export`: all facts of an app, as lines that `tercet import` reads.
//!
//! A file appears under its name only when it is whole: what is under way is called `NAME.part`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use reqwest::Response;
use serde::Deserialize;

use crate::connection::AppFlags;
use crate::output::tell;
use crate::progress::{Progress, counted, grouped, rate};

/// Options of `tercet export`.
#[derive(Debug, Args)]
#[command(about = "Write all facts of an app to a file")]
#[command(long_about = "\
Write all facts of an app to a file or to standard output.

The output is NDJSON: a first line that says at which commit it was taken and how many facts \
follow, then one operation a line. It is one consistent state, however long it takes and whatever \
is written meanwhile. `tercet import` reads it. A file is complete when it has its name; until \
then it is called FILE.part.")]
#[command(after_long_help = "\
Examples:
  tercet export -o facts.ndjson
  tercet export | gzip > facts.ndjson.gz
  tercet export | grep '\"user/name\"'")]
pub(crate) struct Options {
    /// The file to write; standard output without it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: AppFlags,
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
    let response = app.export().await?;
    match &options.output {
        None => copy(response, &mut BufWriter::new(io::stdout().lock()), "standard output").await,
        Some(path) => write_file(response, path).await,
    }
}

async fn write_file(response: Response, path: &Path) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = File::create(&part).with_context(|| format!("cannot make {}", part.display()))?;
    let mut writer = BufWriter::new(file);
    copy(response, &mut writer, &part.display().to_string()).await?;
    let file = writer.into_inner().context("cannot write the end of the file")?;
    file.sync_all().with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot rename to {}", path.display()))
}

/// Copies the stream and counts it against what its first line announces.
async fn copy(mut response: Response, writer: &mut impl Write, target: &str) -> Result<()> {
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
