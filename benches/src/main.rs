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
use tercet_benches::store::Occupant;
use tercet_benches::{Context, Scale, Wanted, benchmarks, live, store};

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
    /// Live queries and sync in small: shows that they work, and no number means anything
    #[arg(long)]
    small: bool,
    /// Measure what idle subscriptions occupy: what `live.memory` starts for itself
    #[arg(long, hide = true)]
    idle: bool,
    /// Become a replica of this server: what `sync.cold` starts for itself
    #[cfg(feature = "system")]
    #[arg(long, hide = true)]
    replica: Option<String>,
    /// Measure what facts on standard input occupy: what `store.bytes` starts for itself
    #[arg(long, hide = true)]
    occupy: Option<Occupant>,
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
    if let Some(occupant) = options.occupy {
        return store::occupy(occupant, io::stdin().lock(), io::stdout().lock());
    }
    let scale = if options.small { Scale::Small } else { Scale::Full };
    if options.idle {
        return live::memory::occupy(scale, io::stdout().lock());
    }
    #[cfg(feature = "system")]
    if let Some(place) = &options.replica {
        return tercet_benches::sync::replica::become_one(place, io::stdout().lock());
    }
    let rows = measure(options.only.as_deref().unwrap_or_default(), scale)?;
    println!("{}", table(&rows));
    if cfg!(debug_assertions) {
        println!("\nnot optimized: run `cargo xtask bench` for numbers that mean something");
    }
    if let Some(path) = &options.json {
        write_json(path, &rows).with_context(|| format!("cannot write {}", path.display()))?;
    }
    conclude(&rows)
}

/// Says what is not as it must be.
fn conclude(rows: &[Row]) -> Result<()> {
    if let Some(row) = rows.iter().find(|row| !row.ok) {
        bail!(
            "{} is not ok: its answer is not that of the other side, or it looks faster than what \
             it contains (a busy machine does that: measure again)",
            row.id
        );
    }
    let judged = rows.iter().filter(|row| row.reached.is_some()).count();
    let short = |row: &&Row| row.reached == Some(false);
    let short: Vec<&str> = rows.iter().filter(short).map(|row| row.id).collect();
    if judged > 0 {
        println!("\n{} of {judged} rows reach what they must", judged - short.len());
    }
    match short.is_empty() {
        true => Ok(()),
        false => bail!("short of what must be reached: {}", short.join(", ")),
    }
}

/// Runs the benchmarks that have a row whose id contains the text, and gives those rows.
fn measure(only: &str, scale: Scale) -> Result<Vec<Row>> {
    let mut context = Context::new(scale)?;
    if context.peers.is_none() {
        eprintln!("compared with nobody: `cargo xtask bench` builds the engines to compare with");
    }
    let mut rows = Vec::new();
    let wanted = Wanted(only);
    let ids = || benchmarks().flat_map(|benchmark| benchmark.ids).copied();
    if !ids().any(|id| wanted.is(id)) {
        let known: Vec<&str> = ids().collect();
        bail!("no benchmark's id contains `{only}`; there are {}", known.join(", "));
    }
    for benchmark in benchmarks() {
        if !benchmark.ids.iter().any(|id| wanted.is(id)) {
            continue;
        }
        let measured = (benchmark.run)(&mut context, &wanted)
            .with_context(|| format!("{} failed", benchmark.ids[0]))?;
        rows.extend(measured.into_iter().filter(|row| wanted.is(row.id)));
    }
    if context.data.misses_wordnet() {
        eprintln!("SKIPPED what is asked of WordNet: run `cargo xtask data wordnet`");
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
        let options = ["tercet-bench", "--occupy", "strings"];
        assert_eq!(Options::try_parse_from(options).unwrap().occupy, Some(Occupant::Strings));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = measure("nosuch", Scale::Small).unwrap_err().to_string();
        assert!(error.contains("`nosuch`") && error.contains("query.people.q1"), "{error}");
    }
}
