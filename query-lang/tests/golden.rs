//! Queries in, programs or errors out: `tests/golden/parse/*.txt`.
//!
//! A file holds cases that start with `=== title`. A case has one input, `--- query` (EDN) or
//! `--- json`, may have `--- rules` and `--- inputs` (one EDN text a line, or a JSON array), and
//! ends with `--- expect`: the program printed (and its arguments), or the report. With
//! `--- check` the engine checks the program too, and its errors or columns come out. Set
//! `TERCET_BLESS=1` to write what comes out into the files, and review the difference.
//! Every program that comes out must also survive its own text and JSON.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use tercet_engine::program::functions::{FUNCTIONS, Gives};
use tercet_query_lang::{
    QuerySource, Report, from_json, inputs_from_json, inputs_from_text, parse, parse_any, print,
    to_json,
};

#[derive(Default)]
struct Case {
    title: String,
    sections: Vec<(String, String)>,
}

impl Case {
    fn section(&self, name: &str) -> Option<&str> {
        let found = self.sections.iter().find(|(known, _)| known == name);
        found.map(|(_, content)| content.as_str())
    }

    fn run(&self) -> Result<String, Report> {
        let rules = self.section("rules");
        let json: serde_json::Value;
        let source = match (self.section("query"), self.section("json")) {
            (Some(text), None) => QuerySource::Text(text),
            (None, Some(text)) => {
                json = serde_json::from_str(text).unwrap();
                QuerySource::Json(&json)
            }
            _ => panic!("`{}` needs one of query and json", self.title),
        };
        let parsed = parse_any(source, rules)?;
        if self.section("check").is_some() {
            let query = parsed.prepare()?;
            return Ok(format!("columns: {}", query.columns().join(", ")));
        }
        let program = parsed.raw;
        let text = print(&program);
        assert_eq!(parse(&text).map(|parsed| parsed.raw), Ok(program.clone()), "{text}");
        assert_eq!(from_json(&to_json(&program)), Ok(program.clone()), "{text}");
        let inputs = match self.section("inputs") {
            None => return Ok(text),
            Some(json) if json.starts_with("json ") => {
                inputs_from_json(&program, &serde_json::from_str(&json[5..]).unwrap())?
            }
            Some(lines) => inputs_from_text(&program, &lines.lines().collect::<Vec<_>>())?,
        };
        Ok(format!("{text}\n{inputs:?}"))
    }
}

fn read_cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("=== ") {
            cases.push(Case { title: title.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a file starts with a case");
        if let Some(name) = line.strip_prefix("--- ") {
            case.sections.push((name.to_owned(), String::new()));
        } else if let Some((_, content)) = case.sections.last_mut() {
            content.push_str(line);
            content.push('\n');
        }
    }
    for (_, content) in cases.iter_mut().flat_map(|case| &mut case.sections) {
        content.truncate(content.trim_end().len());
    }
    cases
}

fn write_cases(cases: &[Case]) -> String {
    let mut text = String::new();
    for case in cases {
        text.push_str(&format!("=== {}\n", case.title));
        for (name, content) in &case.sections {
            text.push_str(&format!("--- {name}\n{content}\n"));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[test]
fn golden_cases_come_out_as_recorded() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/parse");
    let mut paths: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let bless = std::env::var_os("TERCET_BLESS").is_some();
    let (mut n_cases, mut failures) = (0, Vec::new());
    for path in paths {
        let mut cases = read_cases(&fs::read_to_string(&path).unwrap());
        for case in &mut cases {
            let actual = match case.run() {
                Ok(text) => text,
                Err(report) => report.to_string(),
            };
            // Lines that only show an empty margin end in a space in neither form.
            let actual: Vec<&str> = actual.lines().map(str::trim_end).collect();
            let actual = actual.join("\n");
            if case.section("expect") != Some(actual.as_str()) {
                failures.push(format!("{}: {}\n{actual}", path.display(), case.title));
            }
            case.sections.retain(|(name, _)| name != "expect");
            case.sections.push(("expect".to_owned(), actual));
            n_cases += 1;
        }
        if bless {
            fs::write(&path, write_cases(&cases)).unwrap();
        }
    }
    assert!(n_cases >= 60, "only {n_cases} cases were found");
    assert!(bless || failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The tables of functions as the language page has them, one for each group.
fn function_tables() -> String {
    let (mut text, mut group) = (String::new(), "");
    for signature in FUNCTIONS {
        if signature.group != group {
            group = signature.group;
            text += &format!("\n### {group}\n\n| function | result |\n| --- | --- |\n");
        }
        let [name, others @ ..] = signature.names else { panic!("a function has a name") };
        let call = |other: &&str| format!(" `{}`", signature.usage.replacen(name, other, 1));
        let others: String = others.iter().map(call).collect();
        let truth = if signature.gives == Gives::Truth { "whether " } else { "" };
        let (usage, meaning) = (signature.usage, signature.meaning);
        text += &format!("| `{usage}`{others} | {truth}{meaning} |\n");
    }
    text
}

#[test]
fn the_language_page_has_the_table_of_functions() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/query-language.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- functions -->\n", "\n<!-- end of functions -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (table, after) = rest.split_once(end).unwrap();
    let expected = function_tables();
    if std::env::var_os("TERCET_BLESS").is_some() {
        fs::write(&path, [before, begin, &expected, end, after].concat()).unwrap();
    } else {
        assert_eq!(table, expected, "TERCET_BLESS=1 writes the table into the page");
    }
}
