//! Dialogues: what a client and a server say to each other, from both real peers at once.
//!
//! A dialogue is a text file in `tests/golden/dialogues`, referred to by `docs/protocol.md`. Lines
//! that start with `>` are what happens; the lines under each are what was said and shown because
//! of it: `client0 >` to the server, `client0 <` from it, `client0 shows` to its program. They are
//! what is compared; `TERCET_BLESS=1` writes them anew, to be reviewed as a diff.
//!
//! Steps: `> new` starts a client, `> jump N MS` sets its clock ahead; `> subscribe N MODE QUERY`, `> write N OPS`; `> server OPS`, a transaction over HTTP; `> items K`, that many facts
//! at once; `> cut N`, `> connect N`, `> restart`, `> restore K`, the first K records of the log as
//! another history; `> stall N`, `> read N`. The first line may set limits of resuming and queues.
#![allow(clippy::unwrap_used)]

mod pair;

use std::fmt::Write as _;
use std::path::Path;

use pair::{Pair, query, set};
use tercet_engine::fact::Op;
use tercet_engine::ids::Epoch;
use tercet_engine::value::Value;
use tercet_sync::message::Mode;
use tercet_sync::{Limits, ResumeLimits};

/// The pair of a first line, which may end with `Limits: NAME VALUE …`.
fn pair_of(header: &str) -> Pair {
    let mut limits = Limits::default();
    let mut resume = ResumeLimits::default();
    let settings = header.split_once("Limits: ").map_or("", |(_, settings)| settings);
    let words: Vec<&str> = settings.split_whitespace().collect();
    for setting in words.chunks(2) {
        let value: u64 = setting[1].parse().unwrap();
        match setting[0] {
            "queue_max" => limits.queue_max = value as u32,
            "whole_bytes_max" => resume.whole_bytes_max = value,
            "ring_bytes_max" => resume.ring_bytes_max = value,
            other => panic!("no setting `{other}`"),
        }
    }
    let mut pair = Pair::with_limits(0, limits);
    pair.set_resume_limits(resume);
    pair
}

fn step(pair: &mut Pair, verb: &str, rest: &str) {
    let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
    let index = || first.parse::<usize>().unwrap();
    match verb {
        "new" => pair.add_client(),
        "jump" => pair.clients[index()].skew_ms = after.parse().unwrap(),
        "subscribe" => {
            let (mode, text) = after.split_once(' ').unwrap();
            let mode: Mode = serde_json::from_str(&format!("\"{mode}\"")).unwrap();
            let client = &mut pair.clients[index()];
            client.peer.subscribe(&query(text), &[], mode).unwrap();
        }
        "write" => {
            let ops: Vec<Op> = serde_json::from_str(after).unwrap();
            pair.write(index(), ops);
        }
        "server" => pair.transact(serde_json::from_str(rest).unwrap()),
        "items" => {
            let item = |number| set(&format!("i{number}"), "item/n", Value::int(number));
            pair.transact((1..=rest.parse().unwrap()).map(item).collect());
        }
        "cut" => pair.cut(index()),
        "connect" => pair.reconnect(index()),
        "restart" => pair.restart(None),
        "restore" => pair.restore_backup(index(), Epoch(0xbacc)),
        "stall" => pair.clients[index()].reads = false,
        "read" => pair.clients[index()].reads = true,
        other => panic!("no step `{other}`"),
    }
    pair.run();
}

fn run(dialogue: &str) -> String {
    let mut pair = pair_of(dialogue.lines().next().unwrap());
    let mut written = String::new();
    for line in dialogue.lines() {
        if line.starts_with('#') {
            writeln!(written, "{line}").unwrap();
        } else if let Some(what) = line.strip_prefix("> ") {
            writeln!(written, "\n{line}").unwrap();
            let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
            step(&mut pair, verb, rest);
            for said in std::mem::take(&mut pair.trace) {
                writeln!(written, "{said}").unwrap();
            }
        }
    }
    written
}

#[test]
fn dialogues_are_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/dialogues");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 9, "the documentation names nine");
    let mut n_different = 0;
    for path in paths {
        let expected = std::fs::read_to_string(&path).unwrap();
        let found = run(&expected);
        if found == expected {
            continue;
        }
        if std::env::var_os("TERCET_BLESS").is_some() {
            std::fs::write(&path, &found).unwrap();
            continue;
        }
        n_different += 1;
        let lines = expected.lines().zip(found.lines());
        let first = lines.enumerate().find(|(_, (expected, found))| expected != found);
        eprintln!("{}: {first:#?}", path.display());
    }
    assert_eq!(n_different, 0, "review, then bless with TERCET_BLESS=1");
}
