//! What a build and its tests need beyond Rust: found, else installed, else asked for.
//!
//! A C compiler, because libSQL is compiled from its C source; and curl, because a test runs the
//! commands that the demo prints, as they are printed. DataScript, an npm package run by Node, is
//! wanted rather than needed: answers are compared with it where it is there, and where Node or
//! npm is missing that is said aloud and left out. Data sets are not needed for tests: `cargo
//! xtask data` obtains those.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{command, repository};

/// A program that has to be there.
struct Need {
    program: String,
    why: &'static str,
    /// Debian's packages that bring it.
    packages: &'static [&'static str],
}

/// The `setup` task: makes sure that everything is there, and says so.
///
/// # Errors
/// When something is missing and cannot be installed.
pub(crate) fn run() -> Result<()> {
    for need in [c_compiler(), curl()] {
        ensure(&need)?;
        println!("setup: `{}` is there: {}", need.program, need.why);
    }
    install_datascript();
    Ok(())
}

/// Makes sure that DataScript is there, in the version that `tests/datascript/package.json` names;
/// says so where it cannot be.
pub(crate) fn install_datascript() {
    match try_install_datascript() {
        Ok(()) => println!("setup: DataScript is there: answers are compared with it"),
        Err(error) => eprintln!(
            "setup: NO DATASCRIPT: {error:#}. Nothing will be compared with it; install Node with \
             npm (Debian: packages nodejs npm) and run `cargo xtask setup` again."
        ),
    }
}

fn try_install_datascript() -> Result<()> {
    for program in ["node", "npm"] {
        if !answers(program) {
            bail!("there is no `{program}`");
        }
    }
    let folder = repository().join("tests/datascript");
    let wanted = fs::read_to_string(folder.join("package.json"))?;
    let installed = fs::read_to_string(folder.join("node_modules/datascript/package.json"));
    if installed.is_ok_and(|installed| {
        npm_version(&installed, "version") == npm_version(&wanted, "datascript")
    }) {
        return Ok(());
    }
    // No lock file: it would name the place of download of this machine. The version is exact.
    let options = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"];
    let patience = ["--fetch-retries=1", "--fetch-timeout=30000"];
    command::run(
        Command::new("npm").arg("install").args(options).args(patience).current_dir(folder),
    )
}

/// The text after a key that occurs once in a manifest, e.g. the version after `"version"`.
fn npm_version<'a>(manifest: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = manifest.split_once(&format!("\"{key}\":"))?;
    rest.split('"').nth(1)
}

/// Makes sure that there is what a build needs.
///
/// # Errors
/// When it is missing and cannot be installed.
pub(crate) fn ensure_for_build() -> Result<()> {
    ensure(&c_compiler())
}

/// Makes sure that there is what the tests need, beyond what their build needs.
///
/// # Errors
/// When it is missing and cannot be installed.
pub(crate) fn ensure_for_tests() -> Result<()> {
    ensure(&c_compiler())?;
    ensure(&curl())?;
    install_datascript();
    Ok(())
}

fn c_compiler() -> Need {
    let program = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let why = "libSQL is compiled from C source";
    Need { program, why, packages: &["gcc", "libc6-dev"] }
}

fn curl() -> Need {
    let why = "a test runs the commands that the demo prints";
    Need { program: "curl".to_owned(), why, packages: &["curl"] }
}

fn ensure(need: &Need) -> Result<()> {
    let Need { program, why, packages } = need;
    if answers(program) {
        return Ok(());
    }
    let packages_text = packages.join(" ");
    if !can_install() {
        bail!("there is no `{program}` ({why}); install it (Debian: packages {packages_text})");
    }
    command::run(Command::new("apt-get").args(["update", "-qq"]))?;
    command::run(Command::new("apt-get").args(["install", "-y", "-qq"]).args(*packages))?;
    if !answers(program) {
        bail!("there is no `{program}` ({why}), also after installing {packages_text}");
    }
    Ok(())
}

/// Whether the program (with arguments, as CC may have) runs and knows its version.
fn answers(program: &str) -> bool {
    let mut words = program.split_whitespace();
    let Some(program) = words.next() else { return false };
    let output = Command::new(program).args(words).arg("--version").output();
    output.is_ok_and(|output| output.status.success())
}

/// Whether this is root on a system with apt-get.
fn can_install() -> bool {
    let id = Command::new("id").arg("-u").output();
    let is_root = id.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    is_root && Path::new("/usr/bin/apt-get").exists()
}

#[cfg(test)]
mod tests {
    use super::{answers, npm_version};

    #[test]
    fn finds_programs_and_their_absence() {
        assert!(answers("rustc"));
        assert!(!answers("no-such-compiler-of-ours"));
        assert!(!answers(" "));
    }

    #[test]
    fn reads_versions_of_npm_manifests() {
        let wanted = "{\"dependencies\": {\n  \"datascript\": \"1.8.1\"\n}}";
        assert_eq!(npm_version(wanted, "datascript"), Some("1.8.1"));
        assert_eq!(npm_version("{\"version\":\"2.0.0\"}", "version"), Some("2.0.0"));
        assert_eq!(npm_version("{}", "version"), None);
    }
}
