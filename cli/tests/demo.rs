//! The demo end to end, as a newcomer meets it: `--once` succeeds, and every command that the
//! demo prints works as printed.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A step that takes longer than this has hung.
const LIMIT: Duration = Duration::from_secs(60);

/// A process that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines that a process prints, as they come.
fn lines_of(process: &mut Running) -> mpsc::Receiver<String> {
    let stdout = BufReader::new(process.0.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn spawn(command: &mut Command) -> Running {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    Running(command.spawn().unwrap())
}

/// The command as it is printed, given to a shell.
fn shell(command: &str, directory: &Path) -> Command {
    let mut shell = Command::new("sh");
    // `exec`, so that ending the shell ends the command.
    shell.args(["-c", &format!("exec {command}")]).current_dir(directory);
    shell
}

fn run(command: &str, directory: &Path, input: &str) -> Output {
    let mut shell = shell(command, directory);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The output of a command that has to succeed.
fn stdout(command: &str, directory: &Path, input: &str) -> String {
    let output = run(command, directory, input);
    assert!(output.status.success(), "{command}\n{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that the demo prints: from `$ ` on, up to an empty line.
fn printed_commands(lines: &mpsc::Receiver<String>, n_commands: usize) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut is_open = false;
    loop {
        let line = lines.recv_timeout(LIMIT).unwrap();
        if let Some(start) = line.strip_prefix("$ ") {
            commands.push(start.to_owned());
            is_open = true;
        } else if line.is_empty() {
            is_open = false;
            if commands.len() == n_commands {
                return commands;
            }
        } else if is_open {
            let command = commands.last_mut().unwrap();
            command.push('\n');
            command.push_str(&line);
        }
    }
}

#[test]
fn once_shows_the_change_and_succeeds() {
    let output = Command::new(env!("CARGO_BIN_EXE_tercet")).args(["demo", "--once"]).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "(reachable ?start ?there)",
        "result   131 countries, from Afghanistan to Zimbabwe",
        "delta    + [\"Ireland\"]",
        "delta    + [\"United Kingdom\"]",
        "ms from the second client's write to the first client's new result",
        "all of it was as it should be",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
}

#[test]
fn every_command_it_prints_works_as_printed() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tercet"));
    // It is killed at the end, and cannot remove its data then.
    command.arg("demo").current_dir(directory).env("TMPDIR", directory);
    let mut demo = spawn(&mut command);
    let commands = printed_commands(&lines_of(&mut demo), 5);
    let [query, watch, write, count, prompt] = commands.as_slice() else { unreachable!() };

    let languages = stdout(query, directory, "");
    assert!(languages.contains("English") && languages.contains("French"), "{languages}");

    let mut watching = spawn(&mut shell(watch, directory));
    let changes = lines_of(&mut watching);
    assert_eq!(changes.recv_timeout(LIMIT).unwrap(), "+ [\"United Kingdom\"]");
    let answer = stdout(write, directory, "");
    assert!(answer.contains("\"applied\""), "{answer}");
    assert_eq!(changes.recv_timeout(LIMIT).unwrap(), "+ [\"Iceland\"]");

    let answer = stdout(count, directory, "");
    assert!(answer.contains("[[197]]"), "{answer}");

    let answer =
        stdout(prompt, directory, "\\a\n[:find (count ?c) .\n :where [?c :city/name _]]\n");
    assert!(answer.contains("country/borders") && answer.ends_with("\n197\n"), "{answer}");
}
