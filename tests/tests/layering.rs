//! The map of the house, enforced: who may depend on whom, and which calls stay out of where.
//!
//! Manifests and sources are read as text; nothing is compiled. What a rule protects is said
//! beside it. Test modules at the bottom of a file, and comments, are left out of every check
//! but the ones that are about the text itself.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A crate's folder → the crates it may name in its manifest. What those may use, it may use too.
const CRATE_ARROWS: [(&str, &[&str]); 14] = [
    ("engine", &[]),
    ("query-lang", &["engine"]),
    ("macros", &[]),
    ("schema", &["engine", "macros"]),
    ("storage", &["engine"]),
    ("sync", &["query-lang"]),
    ("formats", &["query-lang"]),
    // Files are imported and exported where the data is; a feature, so that nobody has to.
    ("tercet", &["query-lang", "schema", "storage", "formats"]),
    ("client", &["sync", "storage", "schema"]),
    // Bodies of other formats are read and written on the server, so that any HTTP client can.
    ("server", &["sync", "storage", "formats"]),
    ("cli", &["server", "client", "tercet", "formats"]),
    ("tests", &["cli", "server", "client", "tercet", "formats"]),
    ("benches", &["tests"]),
    ("xtask", &[]),
];

/// The modules of the engine, lowest first; those of one row may use each other.
const ENGINE_LAYERS: [&[&str]; 12] = [
    &["ids", "value", "codec", "limits", "sort", "planted"],
    &["intern"],
    &["hlc"],
    &["fact", "commit"],
    &["delta", "fingerprint"],
    &["merge"],
    &["store"],
    &["program", "error", "answer", "profile"],
    &["plan"],
    &["eval"],
    &["live"],
    &["db"],
];

/// Deliberate absences inside the engine that the order of layers does not give: `program` and
/// `plan` are the tower beside the store; the evaluator sees visible facts and no stamps.
const ENGINE_ABSENCES: [(&str, &[&str]); 5] = [
    ("program", &["store", "merge", "hlc", "fact", "delta", "fingerprint", "commit"]),
    ("answer", &["store", "merge", "hlc"]),
    ("plan", &["merge", "hlc", "delta", "commit"]),
    ("eval", &["merge", "hlc", "delta", "commit"]),
    ("live", &["merge", "hlc", "commit"]),
];

/// Crates that are functions of their arguments.
const DETERMINISTIC: [&str; 4] = ["engine", "query-lang", "sync", "schema"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// All files of the repository below a folder, sorted; build products and hidden folders left out.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let is_hidden = name.starts_with('.') && name != ".cargo" && name != ".github";
        if is_hidden || ["target", "node_modules"].contains(&name.as_str()) {
            continue;
        }
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

fn rust_files(folder: &str) -> Vec<(String, String)> {
    let paths = files(&root().join(folder)).into_iter();
    let paths = paths.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    paths.map(|path| (shown(&path), fs::read_to_string(path).unwrap())).collect()
}

/// A path as people write it: from the root of the repository.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

/// The source without its comments and without the test module at its bottom.
fn code(source: &str) -> String {
    let body = source.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = body.lines().map(|line| match line.trim_start().starts_with("//") {
        true => "",
        // A link in a string keeps its slashes: only a comment after code is cut.
        false => line.split(" // ").next().unwrap_or_default(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Identifiers and paths: maximal runs of letters, digits, `_` and `::`.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).filter(|w| !w.is_empty())
}

fn identifiers(code: &str) -> BTreeSet<&str> {
    words(code).flat_map(|word| word.split(':')).filter(|part| !part.is_empty()).collect()
}

fn report(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Names of our crates in a manifest's dependency tables (`tercet-engine` is the folder `engine`).
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut in_table = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_table = line.contains("dependencies");
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        match name.strip_prefix("tercet-") {
            Some(folder) if in_table => found.insert(folder.to_owned()),
            None if in_table && name == "tercet" => found.insert("tercet".to_owned()),
            _ => false,
        };
    }
    found
}

#[test]
fn manifests_follow_the_arrows() {
    let arrows = BTreeMap::from(CRATE_ARROWS);
    let mut findings = Vec::new();
    let members = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for (folder, direct) in &arrows {
        assert!(members.contains(&format!("\"{folder}\"")), "{folder} is a member");
        let mut allowed = direct.iter().copied().collect::<BTreeSet<_>>();
        while let Some(more) =
            allowed.iter().flat_map(|of| arrows[of]).find(|f| !allowed.contains(*f))
        {
            allowed.insert(more);
        }
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for dependency in dependencies(&manifest) {
            if !allowed.contains(dependency.as_str()) {
                findings.push(format!("{folder}/Cargo.toml: {folder} must not use {dependency}"));
            }
        }
    }
    report(findings);
}

fn engine_layer(module: &str) -> Option<usize> {
    ENGINE_LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Modules of the engine that code names: by `crate::`, or by `super::` from the top.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let flat = code.split_whitespace().collect::<String>();
    for (index, prefix) in flat.match_indices("crate::") {
        let rest = &flat[index + prefix.len()..];
        match rest.strip_prefix('{') {
            // `use crate::{a::…, b}`: only the names at the first level of braces are modules.
            Some(list) => used.extend(first_level(list)),
            None => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                used.insert(rest[..end.unwrap_or(rest.len())].to_owned());
            }
        }
    }
    used
}

fn first_level(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut name) = (0, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            _ => name.push(c),
        }
    }
    names.push(name);
    names.into_iter().filter_map(|path| path.split("::").next().map(str::to_owned)).collect()
}

#[test]
fn engine_modules_use_only_lower_ones() {
    let absences = BTreeMap::from(ENGINE_ABSENCES);
    let mut findings = Vec::new();
    for (path, source) in rust_files("engine/src") {
        let inside = path.strip_prefix("engine/src/").unwrap();
        let module = inside.split('/').next().unwrap().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(layer) = engine_layer(module) else {
            findings.push(format!("{path}: `{module}` has no place in ENGINE_LAYERS"));
            continue;
        };
        for used in used_modules(&code(&source)) {
            let Some(used_layer) = engine_layer(&used) else { continue };
            let is_absent = absences.get(module).is_some_and(|list| list.contains(&used.as_str()));
            if used_layer > layer || (is_absent && used != module) {
                findings.push(format!("{path}: `{module}` must not use `{used}`"));
            }
        }
    }
    report(findings);
}

#[test]
fn deterministic_crates_ask_nobody_for_time_or_chance() {
    let banned_paths = [
        "std::time",
        "std::thread",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::io",
        "rand",
        "tokio",
        "Timestamp::now",
        "Zoned::now",
    ];
    let banned_names = [
        "SystemTime",
        "Instant",
        "getrandom",
        "nanoid",
        "RandomState",
        "async",
        "await",
        "println",
        "eprintln",
        "unsafe",
    ];
    let mut findings = Vec::new();
    for folder in DETERMINISTIC {
        for (path, source) in rust_files(&format!("{folder}/src")) {
            let code = code(&source);
            let identifiers = identifiers(&code);
            for name in banned_names.iter().filter(|name| identifiers.contains(**name)) {
                findings.push(format!("{path}: `{name}` has no place in {folder}"));
            }
            for line in code.lines().filter(|line| has_random_order(line)) {
                findings.push(format!("{path}: a map with a random seed: {}", line.trim()));
            }
            for banned in banned_paths {
                let inside = format!("{banned}::");
                if words(&code).any(|word| word.starts_with(&inside)) {
                    findings.push(format!("{path}: `{banned}` has no place in {folder}"));
                }
            }
        }
    }
    report(findings);
}

/// A standard map or set is in order only when its line names a hasher without a random seed, as
/// the definition of an alias does; names such as `FxHashMap` are other words.
fn has_random_order(line: &str) -> bool {
    let words = identifiers(line);
    let is_map = words.contains("HashMap") || words.contains("HashSet");
    let is_fixed = words.contains("BuildHasherDefault") || words.contains("CellHash");
    is_map && !line.trim_start().starts_with("use ") && !is_fixed
}

#[test]
fn only_the_libsql_files_of_storage_hold_sql() {
    // Tests and benches hold SQL of their own, to compare with and to look into files.
    let sql = ["SELECT ", "INSERT ", "CREATE TABLE", "DELETE FROM", "PRAGMA ", "BEGIN IMMEDIATE"];
    let folders = CRATE_ARROWS.iter().map(|(folder, _)| *folder);
    let mut findings = Vec::new();
    for folder in folders.filter(|folder| !["tests", "benches"].contains(folder)) {
        for (path, source) in rust_files(folder) {
            let is_test = path.contains("/tests/");
            let is_libsql = path.starts_with("storage/src/local/");
            let code = code(&source);
            if let Some(verb) = sql.iter().find(|verb| code.contains(**verb))
                && !is_libsql
                && !is_test
            {
                findings.push(format!("{path}: `{verb}` belongs in storage/src/local"));
            }
        }
    }
    report(findings);
}

#[test]
fn every_file_says_what_it_holds() {
    let sources = CRATE_ARROWS.iter().flat_map(|(folder, _)| rust_files(folder));
    // What a macro must refuse is compared line by line with what the compiler says of it.
    let sources = sources.filter(|(path, _)| !path.contains("/tests/ui/"));
    let silent = sources.filter(|(_, source)| !source.starts_with("//! "));
    report(silent.map(|(path, _)| format!("{path} does not open with `//! `")).collect());
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    // Written apart so that this file does not name one itself.
    let places = ["home", "root", "Users", "work", "mnt"].map(|place| format!("/{place}/"));
    let endings = ["rs", "toml", "md", "txt", "json", "yml", "yaml", "sh", "edn", "lock"];
    let mut findings = Vec::new();
    for path in files(&root()) {
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if !endings.contains(&ending.as_str()) {
            continue;
        }
        // Hostile input among the golden files is no text on purpose.
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for (line, text) in text.lines().enumerate() {
            let starts_a_path = |(index, _): (usize, &str)| {
                let before = text[..index].chars().next_back();
                before.is_none_or(|c| !(c.is_alphanumeric() || "./-_}".contains(c)))
            };
            if places.iter().any(|place| text.match_indices(place.as_str()).any(starts_a_path)) {
                findings.push(format!("{}:{}: {}", shown(&path), line + 1, text.trim()));
            }
        }
    }
    report(findings);
}

/// The checks above read text with little tools; these must not be blind.
#[test]
fn the_little_tools_see() {
    let source = "//! Doc of crate::db.\nuse crate::store::{Store, x::Y};\nuse crate::{fact, hlc::{Hlc}};\n\
                  fn f() { crate::live::g() } // crate::plan\n#[cfg(test)]\nmod tests { use crate::db; }\n";
    let used = used_modules(&code(source));
    assert_eq!(used.iter().collect::<Vec<_>>(), ["fact", "hlc", "live", "store"]);
    let manifest = "name = \"tercet-x\"\n[dependencies]\ntercet-engine.workspace = true\n\
                    [dev-dependencies]\ntercet = { path = \"..\" }\nserde = \"1\"\n";
    assert_eq!(dependencies(manifest).into_iter().collect::<Vec<_>>(), ["engine", "tercet"]);
    assert!(identifiers("let x: FxHashMap<A, std::time::Instant>;").contains("Instant"));
    assert!(has_random_order("let map = HashMap::new();"));
    assert!(!has_random_order("let map = FxHashMap::default();"));
    assert!(!has_random_order("type M<K, V> = HashMap<K, V, BuildHasherDefault<FxHasher>>;"));
    assert!(words("use std::time::Duration;").any(|word| word.starts_with("std::time::")));
}
