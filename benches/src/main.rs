//! `tercet-bench`: runs the benchmarks, prints a table and, when asked, writes the rows as JSON.
//!
//! It is what `cargo xtask bench` runs. Benchmarks run one after another, because they would
//! measure each other. It fails when a benchmark fails, or its answer is not that of the other side.
#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use tercet_benches::row::{Row, table};
use tercet_benches::{BENCHMARKS, Context, store};

/// Runs Tercet's benchmarks and prints them as a table.
#[derive(Debug, Parser)]
#[command(name = "tercet-bench")]
struct Options {
    /// Only benchmarks whose id contains this
    #[arg(long)]
    only: Option<String>,
    /// Also write the rows as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measure what facts on standard input occupy: what `store.bytes` starts for itself
    #[arg(long, hide = true)]
    occupy: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    if options.occupy {
        return store::occupy(io::stdin().lock(), io::stdout().lock());
    }
    let rows = measure(options.only.as_deref().unwrap_or_default())?;
    println!("{}", table(&rows));
    if cfg!(debug_assertions) {
        println!("\nnot optimized: run `cargo xtask bench` for numbers that mean something");
    }
    if let Some(path) = &options.json {
        write_json(path, &rows).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(row) = rows.iter().find(|row| !row.ok) {
        bail!(
            "{} is not ok: its answer is not that of the other side, its target is missed, or it \
             looks faster than what it contains (a busy machine does that: measure again)",
            row.id
        );
    }
    Ok(())
}

/// Runs the benchmarks that have a row whose id contains the text, and gives those rows.
fn measure(only: &str) -> Result<Vec<Row>> {
    let mut context = Context::default();
    let mut rows = Vec::new();
    let is_wanted = |id: &str| id.contains(only);
    for benchmark in BENCHMARKS {
        if !benchmark.ids.iter().any(|id| is_wanted(id)) {
            continue;
        }
        eprintln!("{} ...", benchmark.ids[0]);
        let measured = (benchmark.run)(&mut context)
            .with_context(|| format!("{} failed", benchmark.ids[0]))?;
        rows.extend(measured.into_iter().filter(|row| is_wanted(row.id)));
    }
    if rows.is_empty() {
        let known: Vec<&str> =
            BENCHMARKS.iter().flat_map(|benchmark| benchmark.ids).copied().collect();
        bail!("no benchmark's id contains `{only}`; there are {}", known.join(", "));
    }
    Ok(rows)
}

fn write_json(path: &PathBuf, rows: &[Row]) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    serde_json::to_writer_pretty(&mut file, rows)?;
    writeln!(file)?;
    Ok(file.flush()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        Options::command().debug_assert();
        assert!(Options::try_parse_from(["tercet-bench", store::OCCUPY_FLAG]).unwrap().occupy);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = measure("nosuch").unwrap_err().to_string();
        assert!(error.contains("`nosuch`") && error.contains("store.load"), "{error}");
    }
}
