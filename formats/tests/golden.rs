//! Golden tests of the importers: a file or directory in, operations and errors out as text.
//!
//! Inputs and expected texts lie in `tests/golden/formats`. `TERCET_GOLDEN=write` rewrites the
//! expected texts; review the difference. What this cannot catch: a vocabulary that is consistent
//! and wrong; `docs/wordnet.md` is reviewed by people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tercet_engine::fact::Transaction;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::ReplicaId;
use tercet_engine::store::Store;
use tercet_formats::instant::write_directory;
use tercet_formats::{ExportOptions, Format, FormatError, Import, ImportOptions};

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/formats").join(path)
}

fn options() -> ImportOptions {
    ImportOptions { scope: Some("golden".to_owned()), ..ImportOptions::default() }
}

/// Every item as a line: an operation as JSON, an error with its code. Directories of this
/// machine are cut from the errors.
fn print(dir: &Path, import: Result<Box<dyn Import + Send>, FormatError>) -> String {
    let mut text = String::new();
    let print_error = |text: &mut String, error: FormatError| {
        let message = error.to_string().replace(&format!("{}/", dir.display()), "");
        writeln!(text, "error {}: {message}", error.code()).expect("strings take all text");
    };
    match import {
        Err(error) => print_error(&mut text, error),
        Ok(mut import) => {
            for item in import.by_ref() {
                match item {
                    Ok(op) => {
                        let json = serde_json::to_string(&op).expect("operations are JSON");
                        writeln!(text, "{json}").expect("strings take all text");
                    }
                    Err(error) => print_error(&mut text, error),
                }
            }
            for note in import.notes() {
                writeln!(text, "note {}: {note}", note.code).expect("strings take all text");
            }
        }
    }
    text
}

fn check(format: Format, input: &str, expected: &str) {
    check_with(format, input, &options(), expected);
}

fn check_with(format: Format, input: &str, options: &ImportOptions, expected: &str) {
    let path = golden(input);
    let dir = if path.is_dir() { path.as_path() } else { path.parent().expect("a file has one") };
    compare(&print(dir, format.open(&path, options)), expected);
}

fn with(pairs: &[(&str, &str)]) -> ImportOptions {
    let mut options = options();
    for (name, text) in pairs {
        assert!(options.take(name, text).expect("a good option"), "{name} is known");
    }
    options
}

fn compare(found: &str, expected: &str) {
    let expected = golden(expected);
    if std::env::var_os("TERCET_GOLDEN").is_some_and(|mode| mode == "write") {
        std::fs::write(&expected, found).expect("the golden directory is writable");
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    assert!(
        found == wanted,
        "{} differs; TERCET_GOLDEN=write rewrites it. Found:\n{found}",
        expected.display()
    );
}

#[test]
fn ndjson_bad_lines() {
    check(Format::Ndjson, "ndjson/bad-lines.ndjson", "ndjson/bad-lines.expected");
}

#[test]
fn csv_people() {
    let options = with(&[("entity", "user"), ("column", "Notes=-")]);
    check_with(Format::Csv, "csv/people.csv", &options, "csv/people.expected");
}

#[test]
fn csv_headers_that_do_not_fit() {
    let mut found = String::new();
    let cases: [(&str, &[(&str, &str)]); 8] = [
        ("id,name", &[]),
        ("name", &[("entity", "user")]),
        ("id,name", &[("entity", "user"), ("id-column", "key")]),
        ("id,name", &[("entity", "user"), ("column", "age=age:number")]),
        ("id,a,b", &[("entity", "user"), ("column", "b=a")]),
        ("id,_a", &[("entity", "user")]),
        ("", &[("entity", "user")]),
        ("id,name", &[("prefix", "a=http://a/")]),
    ];
    for (header, pairs) in cases {
        let read = Format::Csv.read(Box::new(header.as_bytes()), "table", &with(pairs));
        let error = read.err().expect("the header does not fit");
        writeln!(found, "{header:?} {pairs:?}\n  {}: {error}", error.code()).expect("text");
    }
    compare(&found, "csv/headers.expected");
}

#[test]
fn tsv_people() {
    check(Format::Tsv, "tsv/people.tsv", "tsv/people.expected");
}

#[test]
fn ntriples_people() {
    let options = with(&[("prefix", "foaf=http://xmlns.com/foaf/0.1/"), ("single", "foaf/age")]);
    check_with(Format::Ntriples, "ntriples/people.nt", &options, "ntriples/people.expected");
}

#[test]
fn turtle_people() {
    let options =
        with(&[("prefix", "foaf=http://xmlns.com/foaf/0.1/"), ("prefix", "=http://example.org/")]);
    check_with(Format::Turtle, "turtle/people.ttl", &options, "turtle/people.expected");
}

#[test]
fn edn_of_each_kind() {
    for name in ["datascript", "datomic", "datalevin", "maps", "null", "cut", "bytes"] {
        check(Format::Edn, &format!("edn/{name}.edn"), &format!("edn/{name}.expected"));
    }
}

#[test]
fn instant_small() {
    check(Format::Instant, "instant/small", "instant/small.expected");
    let options = with(&[("created-field", "createdAt")]);
    check_with(Format::Instant, "instant/small", &options, "instant/created.expected");
}

/// One database in every format: what others will read.
#[test]
fn exports() {
    let lines = std::fs::read_to_string(golden("export/facts.ndjson")).expect("a golden file");
    let ops = Format::Ndjson
        .open(&golden("export/facts.ndjson"), &options())
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .expect("good operations");
    assert_eq!(lines.lines().count(), ops.len());
    let mut store = Store::new();
    store.apply(&Transaction { hlc: Hlc::new(1_772_650_963_417, 0, ReplicaId(1)), ops });
    for format in Format::ALL.iter().copied().filter(|format| format.can_export()) {
        if format == Format::Instant {
            let directory = tempfile::tempdir().expect("a temporary directory");
            write_directory(&store.snapshot(), &ExportOptions::default(), directory.path())
                .expect("it can be written");
            let mut text = String::new();
            for name in ["config.json", "entities/post.jsonl", "entities/user.jsonl"] {
                let file =
                    std::fs::read_to_string(directory.path().join(name)).expect("it is there");
                writeln!(text, "{name}\n{file}").expect("strings take all text");
            }
            compare(&text, "export/instant.expected");
            continue;
        }
        let mut bytes = Vec::new();
        format.export(&store.snapshot(), &ExportOptions::default(), &mut bytes).expect("memory");
        let text = String::from_utf8(bytes).expect("all formats of text are UTF-8");
        compare(&text, &format!("export/{}.expected", format.name()));
    }
}

#[test]
fn wordnet_small() {
    check(Format::Wordnet, "wordnet/small", "wordnet/small.expected");
}

/// A copy of the small database in which one file has one text replaced by another.
fn damaged(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for entry in std::fs::read_dir(golden("wordnet/small")).expect("the golden directory") {
        let path = entry.expect("a readable directory").path();
        let name = path.file_name().expect("a file has a name");
        std::fs::copy(&path, copy.path().join(name)).expect("a file can be copied");
    }
    let path = copy.path().join(file);
    let text = std::fs::read_to_string(&path).expect("a copied file");
    assert!(text.contains(from), "{file} has no `{from}`");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("a copied file");
    copy
}

/// File, a text in it, and the text that takes its place.
const DAMAGES: &[(&str, &str, &str)] = &[
    ("data.noun", "00000400 08 n", "00000150 08 n"),
    ("data.noun", "old_moss 1 002", "old_moss 1 003"),
    ("data.noun", "old_moss 1 002", "old_moss 1 001"),
    ("data.noun", "@ 00000100", "@ 00000101"),
    ("data.noun", "v 0201", "v 0209"),
    ("data.noun", "v 0201", "v 0301"),
    ("data.noun", "v 0201", "v 0001"),
    ("data.noun", "v 0201", "x 0201"),
    ("data.noun", "00000400 08 n 02 grumble_sac a whatsit 0", "00000400 08 n 01 grumble_sac a"),
    ("data.verb", "+ 22 01", "+ 36 01"),
    ("data.verb", "+ 22 01", "+ 22 07"),
    ("data.verb", "+ 22 01", "- 22 01"),
    ("data.adj", "& 00000200", "^ 00000200"),
    ("data.adj", "& 00000200", "& 00000201"),
    ("data.adj", "00 s 01", "00 n 01"),
    ("index.noun", "grumbler n", "grumblers n"),
    ("index.noun", "00000400 00000100", "00000400 00000300"),
    ("index.noun", "00000400 00000100", "00000400"),
    ("index.verb", "grump v 1 2 + > 1 0 00000100  \n", ""),
    ("index.sense", "00000100 2 0", "00000100 3 0"),
    ("index.sense", "00000100 2 0", "00000101 2 0"),
    ("sentidx.vrb", "1,2", "1,two"),
    ("sents.vrb", "2 Walls", "two Walls"),
];

#[test]
fn wordnet_files_that_are_damaged() {
    let mut found = String::new();
    for &(file, from, to) in DAMAGES {
        let dir = damaged(file, from, to);
        let text = print(dir.path(), Format::Wordnet.open(dir.path(), &options()));
        assert_eq!(text.matches("error ").count(), 1, "{file}: {from} -> {to}: {text}");
        let error = text.lines().last().expect("an error is a line");
        assert!(error.starts_with("error "), "an operation comes after the error: {text}");
        writeln!(found, "{file}: {from:?} -> {to:?}\n  {error}").expect("strings take all text");
    }
    compare(&found, "wordnet/damaged.expected");
}

#[test]
fn wordnet_without_a_needed_file() {
    let dir = damaged("data.adv", "Made", "Made");
    std::fs::remove_file(dir.path().join("data.adv")).expect("a copied file");
    let error = Format::Wordnet.open(dir.path(), &options()).err().expect("a file is missing");
    assert_eq!(error.code(), "io");
    assert!(error.to_string().contains("data.adv"), "{error}");
}

#[test]
fn wordnet_without_the_files_it_can_miss() {
    let whole = Format::Wordnet
        .open(&golden("wordnet/small"), &options())
        .expect("a whole database")
        .count();
    let dir = damaged("data.adv", "Made", "Made");
    for file in ["index.sense", "noun.exc", "verb.exc", "sents.vrb", "sentidx.vrb"] {
        std::fs::remove_file(dir.path().join(file)).expect("a copied file");
    }
    let bare =
        Format::Wordnet.open(dir.path(), &options()).expect("a database without extras").count();
    // 4 tag counts, 4 irregular forms, the word `moss`, 2 sentences with 3 uses.
    assert_eq!(whole - bare, 4 + 4 + 1 + 2 + 3);
}

#[test]
fn wordnet_progress_reaches_its_total() {
    let mut import =
        Format::Wordnet.open(&golden("wordnet/small"), &options()).expect("a whole database");
    assert_eq!(import.progress().n_bytes, 0);
    assert!(import.by_ref().all(|item| item.is_ok()));
    let progress = import.progress();
    assert_eq!(Some(progress.n_bytes), progress.n_bytes_total);
    // 12 words in synsets, 10 synsets, 3 lines of forms, 2 sentences, 4 uses.
    assert_eq!(progress.n_records, 12 + 10 + 3 + 2 + 4);
}
