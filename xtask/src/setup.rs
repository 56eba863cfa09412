//! What a build and its tests need beyond Rust: found, else installed, else asked for.
//!
//! A C compiler, because libSQL is compiled from its C source; and curl, because a test runs the
//! commands that the demo prints, as they are printed. Data sets are not needed for tests:
//! `cargo xtask data` obtains those.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command;

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
    Ok(())
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
    ensure(&curl())
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
    use super::answers;

    #[test]
    fn finds_programs_and_their_absence() {
        assert!(answers("rustc"));
        assert!(!answers("no-such-compiler-of-ours"));
        assert!(!answers(" "));
    }
}
