//! The commands that the demo prints at its end. Each is whole in itself: pasted into another
//! shell that stands in the same directory, it works.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Commands that a newcomer tries next.
struct Step {
    why: &'static str,
    command: String,
}

/// The commands with the server, app and key filled in. A line with a command starts with `$ `.
pub(super) fn text(url: &str, app: &str, key: &str) -> Result<String> {
    let program = program_as_typed()?;
    let mut text = String::new();
    for Step { why, command } in steps(&program, url, app, key) {
        text.push_str(&format!("\n# {why}\n$ {command}\n"));
    }
    Ok(text)
}

fn steps(program: &str, url: &str, app: &str, key: &str) -> Vec<Step> {
    let flags = format!("--url {url} --app {app} \\\n    --key {key}");
    let route = format!("{url}/v1/apps/{app}");
    let header = format!("-H 'authorization: Bearer {key}'");
    let languages = "[:find ?language (count ?country)
    :where [?country :country/language ?l] [?l :language/name ?language]
    :order-by [[(count ?country) :desc]] :limit 5]";
    let neighbours = "[:find ?name
    :where [?c :country/name \"Ireland\"] [?c :country/borders ?b] [?b :country/name ?name]]";
    let transact = r#"{"ops": [
    {"add": {"e": "country:ie", "a": "country/borders", "v": {"$ref": "country:is"}}}]}"#;
    let count = r#"{"query": "[:find (count ?c) . :where [?c :country/name _]]"}"#;
    vec![
        Step {
            why: "ask: the languages that are spoken in most countries",
            command: format!("{program} query {flags} \\\n    '{languages}'"),
        },
        Step {
            why: "watch: the neighbours of Ireland, live; leave it open (Ctrl-C ends it) ...",
            command: format!("{program} watch {flags} \\\n    '{neighbours}'"),
        },
        Step {
            why: "... and write from one more terminal: a tunnel from Ireland to Iceland",
            command: format!("curl -sS {route}/transact \\\n    {header} \\\n    -d '{transact}'"),
        },
        Step {
            why: "ask over HTTP: how many countries there are",
            command: format!("curl -sS {route}/query \\\n    {header} \\\n    -d '{count}'"),
        },
        Step {
            why: "ask more at a prompt; \\a there lists the attributes, \\help the rest",
            command: format!("{program} query {flags}"),
        },
    ]
}

/// This program as it can be typed in the current directory: by its name if the search path leads
/// to it, else by its path, which is relative if it lies below.
fn program_as_typed() -> Result<String> {
    let program = env::current_exe().context("cannot find this program's own path")?;
    let directory = env::current_dir().context("cannot find the current directory")?;
    let found = search(&env::var_os("PATH").unwrap_or_default());
    if found.is_some_and(|found| same_file(&found, &program)) {
        return Ok("tercet".to_owned());
    }
    Ok(quoted(&relative(&program, &directory)))
}

/// Where a shell finds `tercet`, if it does.
fn search(path: &std::ffi::OsStr) -> Option<PathBuf> {
    env::split_paths(path).map(|directory| directory.join("tercet")).find(|file| file.is_file())
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The path from a directory, if the program lies below it; never a bare name, which a shell
/// would look for elsewhere.
fn relative(program: &Path, directory: &Path) -> PathBuf {
    match program.strip_prefix(directory) {
        Ok(below) if below.components().count() == 1 => Path::new(".").join(below),
        Ok(below) => below.to_owned(),
        Err(_) => program.to_owned(),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{quoted, relative, steps};

    #[test]
    fn the_program_is_named_from_the_directory() {
        let check = |program, directory, expected| {
            assert_eq!(relative(Path::new(program), Path::new(directory)), Path::new(expected));
        };
        check("/src/tercet/target/release/tercet", "/src/tercet", "target/release/tercet");
        check("/src/tercet", "/src", "./tercet");
        check("/usr/bin/tercet", "/src", "/usr/bin/tercet");
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("target/release/tercet")), "target/release/tercet");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn commands_hold_everything_they_need() {
        for step in steps("target/release/tercet", "http://127.0.0.1:1", "someapp", "trc_key") {
            let command = &step.command;
            assert!(command.contains("http://127.0.0.1:1"), "{command}");
            assert!(command.contains("someapp") && command.contains("trc_key"), "{command}");
        }
    }
}
