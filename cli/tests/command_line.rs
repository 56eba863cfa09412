//! The built `tercet` as a shell sees it: exit codes, and what goes to which stream.
//!
//! Nothing here needs a server: those tests are end to end.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};

/// Runs the command without any variable of its own set, in an empty directory.
fn tercet(arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tercet"));
    for variable in ["TERCET_URL", "TERCET_APP", "TERCET_KEY", "TERCET_ADMIN_TOKEN", "TERCET_LOG"] {
        command.env_remove(variable);
    }
    command.args(arguments).current_dir(&directory).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An address where nothing listens: port 1 needs root to listen on and belongs to a dead service.
const NOWHERE: &str = "http://127.0.0.1:1";

#[test]
fn help_names_every_subcommand() {
    let output = tercet(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for name in ["demo", "serve", "apps", "import", "export", "query", "watch"] {
        assert!(help.contains(&format!("\n  {name} ")), "{name} is not in:\n{help}");
        assert!(tercet(&[name, "--help"]).status.success(), "{name} --help");
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    assert_eq!(tercet(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(tercet(&["watch"]).status.code(), Some(2));
}

#[test]
fn what_is_missing_is_named_with_a_hint() {
    let query = "[:find ?e :where [?e :a/b _]]";
    let output = tercet(&["query", query]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let expected = "error: no app is named\n hint: give --app ID or set TERCET_APP; \
                    `tercet apps create NAME` makes an app\n";
    assert_eq!(stderr(&output), expected);
    assert!(stderr(&tercet(&["query", query, "--app", "x"])).starts_with("error: no key is given"));
    let output = tercet(&["apps", "list", "--url", NOWHERE]);
    assert!(stderr(&output).starts_with("error: no admin token is given"), "{output:?}");
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    let output = tercet(&["apps", "list", "--url", NOWHERE, "--admin-token", "x"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "error: no server answers at http://127.0.0.1:1\n hint: start one with \
                    `tercet serve`, or give its --url\n";
    assert_eq!(stderr(&output), expected);
}

#[test]
fn a_query_that_is_wrong_is_not_sent() {
    let query = "[:find ?name\n :where [?e :user/name ?nam]]";
    let output = tercet(&["query", query, "--url", NOWHERE, "--app", "x", "--key", "y"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.starts_with("error: the query is not valid\n"), "{text}");
    assert!(text.contains("?name") && text.contains('^'), "{text}");
}

#[test]
fn an_input_that_is_not_there_is_named() {
    let arguments = ["import", "none.ndjson", "--app", "x", "--key", "y", "--url", NOWHERE];
    let output = tercet(&arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("none.ndjson"), "{output:?}");
}
