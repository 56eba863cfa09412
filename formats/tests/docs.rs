//! The examples of `docs/formats.md` do what the page says.
//!
//! A block whose info string has a second word is a file of that name. A command `tercet import` is
//! run by the importers on the files before it, and the next block of NDJSON is what it gives. A
//! command `tercet export` writes what the import before it gave, and the next block is how that
//! begins, whole but for the longest ones.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::ReplicaId;
use tercet_engine::store::Store;
use tercet_formats::{ExportOptions, Format, ImportOptions};

/// Blocks: the words behind the fence, and the text.
fn blocks(page: &str) -> Vec<(Vec<&str>, String)> {
    let (mut blocks, mut open): (Vec<(Vec<&str>, String)>, bool) = (Vec::new(), false);
    for line in page.lines() {
        match (open, line.strip_prefix("```")) {
            (false, Some(info)) => {
                blocks.push((info.split_whitespace().collect(), String::new()));
                open = true;
            }
            (true, Some(_)) => open = false,
            (true, None) => {
                let (_, text) = blocks.last_mut().expect("a block is open");
                text.push_str(line);
                text.push('\n');
            }
            (false, None) => {}
        }
    }
    blocks
}

/// The words of a command; quotes keep blanks.
fn words(command: &str) -> Vec<String> {
    let parts = command.trim().split('\'').enumerate();
    let mut words = Vec::new();
    for (index, part) in parts {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// `--name text` pairs behind the first words.
fn options(words: &[String]) -> Vec<(&str, &str)> {
    let pairs = words.chunks(2).map(|pair| match pair {
        [name, text] => (name.strip_prefix("--").expect("an option"), text.as_str()),
        _ => panic!("an option without a text: {words:?}"),
    });
    pairs.collect()
}

fn import(words: &[String], files: &BTreeMap<String, String>) -> Vec<Op> {
    let (file, rest) = words.split_first().expect("an import names a file");
    let mut import = ImportOptions { scope: Some("an id".to_owned()), ..ImportOptions::default() };
    for (name, text) in options(rest) {
        match name {
            "id" => import.scope = Some(text.to_owned()),
            _ => assert!(import.take(name, text).expect("a good option"), "{name} is known"),
        }
    }
    let format = Format::detect(Path::new(file)).expect("the ending says the format");
    let reader = Box::new(Cursor::new(files[file].clone()));
    let import = format.read(reader, file, &import).expect("a good beginning");
    import.collect::<Result<_, _>>().expect("a good example")
}

fn export(words: &[String], ops: &[Op]) -> String {
    let mut store = Store::new();
    store.apply(&Transaction { hlc: Hlc::new(1, 0, ReplicaId(1)), ops: ops.to_vec() });
    let (mut format, mut export) = (Format::Ndjson, ExportOptions::default());
    for (name, text) in options(words) {
        match name {
            "format" => format = Format::from_name(text).expect("a known format"),
            _ => assert!(export.take(name, text).expect("a good option"), "{name} is known"),
        }
    }
    let mut bytes = Vec::new();
    format.export(&store.snapshot(), &export, &mut bytes).expect("memory takes all bytes");
    String::from_utf8(bytes).expect("it is text")
}

#[test]
fn the_examples_of_the_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let mut files = BTreeMap::new();
    let mut ops: Vec<Op> = Vec::new();
    let blocks = blocks(&page);
    let mut n_run = 0;
    for (index, (info, text)) in blocks.iter().enumerate() {
        if let [_, name] = info[..] {
            files.insert(name.to_owned(), text.clone());
        }
        let words = words(text);
        let verb: Vec<&str> = words.iter().take(2).map(String::as_str).collect();
        let expected = blocks.get(index + 1).map_or("", |(_, text)| text);
        match verb[..] {
            ["tercet", "import"] if files.contains_key(&words[2]) => {
                ops = import(&words[2..], &files);
                let lines = ops.iter().map(|op| serde_json::to_string(op).expect("plain data"));
                assert_eq!(lines.map(|line| line + "\n").collect::<String>(), expected, "{text}");
                n_run += 1;
            }
            ["tercet", "export"] => {
                let found = export(&words[2..], &ops);
                assert!(found.starts_with(expected), "{text}{found}");
                n_run += 1;
            }
            _ => {}
        }
    }
    assert_eq!(n_run, 7, "an example is not run");
}
