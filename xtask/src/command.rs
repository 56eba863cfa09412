//! Spawning programs: the cargo that started us, with its output passed on as it comes.
//!
//! Every task shows the command it runs, so that a person can run the same by hand. What a task
//! makes of the output is left to the task.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// The cargo that runs this task, so that a toolchain chosen by `cargo +name` stays chosen.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command to its end, with our own standard streams.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    show(command);
    command.status().with_context(|| format!("cannot start {}", name(command)))
}

/// Runs a command that has to succeed.
///
/// # Errors
/// When it cannot be started, or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} ended with {status}", name(command));
    }
    Ok(())
}

/// Runs a command, passes on each line that it prints, and shows it to `observe`.
///
/// # Errors
/// When it cannot be started, or what it prints cannot be read.
pub(crate) fn stream(command: &mut Command, mut observe: impl FnMut(&str)) -> Result<ExitStatus> {
    show(command);
    command.stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", name(command)))?;
    let stdout = child.stdout.take().expect("stdout was piped just above");
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("cannot read the output")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        observe(&line);
    }
    child.wait().with_context(|| format!("cannot wait for {}", name(command)))
}

/// Prints the command as a shell would take it.
fn show(command: &Command) {
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    println!("$ {} {}", name(command), arguments.join(" "));
}

/// The program's file name.
fn name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}
