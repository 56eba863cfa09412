//! The protocol's page is right: its examples are messages, its bytes are what the codec writes,
//! its hashes are what the peers compute, and its files are there.
//!
//! In `docs/protocol.md`, every line of a `json` block is a message as on the wire; the rows of its
//! tables of vectors are what is computed here. `TERCET_BLESS=1` writes the vectors anew.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tercet_engine::fact::{Fact, Mark};
use tercet_engine::fingerprint::{fact_hash, fact_key_hash};
use tercet_engine::value::Value;
use tercet_sync::wire_row::{WireRow, row_hash};
use tercet_sync::{ClientMessage, Codec, ServerMessage};

const FRAME_BYTES_MAX: u64 = 1 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/protocol.md")).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn client(json: &str) -> Option<ClientMessage> {
    Codec::Json.decode_client(json.as_bytes(), FRAME_BYTES_MAX).ok()
}

fn server(json: &str) -> Option<ServerMessage> {
    Codec::Json.decode_server(json.as_bytes(), FRAME_BYTES_MAX).ok()
}

/// The lines of all `json` blocks.
fn examples(page: &str) -> Vec<String> {
    let blocks = page.split("```json\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("\n```").next().unwrap().lines());
    lines.map(str::to_owned).collect()
}

#[test]
fn every_example_is_a_message_and_every_message_has_one() {
    let page = page();
    let mut names: Vec<String> = Vec::new();
    for example in examples(&page) {
        let sent = client(&example).map(|message| {
            let bytes = Codec::Binary.encode_client(&message);
            assert_eq!(Codec::Binary.decode_client(&bytes, FRAME_BYTES_MAX), Ok(message));
        });
        let received = server(&example).map(|message| {
            let bytes = Codec::Binary.encode_server(&message);
            assert_eq!(Codec::Binary.decode_server(&bytes, FRAME_BYTES_MAX), Ok(message));
        });
        assert!(sent.is_some() || received.is_some(), "no message: {example}");
        let json: serde_json::Value = serde_json::from_str(&example).unwrap();
        names.extend(json.as_object().unwrap().keys().cloned());
    }
    let all = "hello subscribe unsubscribe push received ping pong welcome subscribed facts_part \
               rows_part marker ack reject refused stale resync error compare";
    for name in all.split_whitespace() {
        assert!(names.iter().any(|named| named == name), "no example of {name}");
    }
}

/// What a row of a table of vectors should say; none for rows of other tables.
fn vector(line: &str) -> Option<String> {
    let line = line.strip_prefix("| ")?.trim_end_matches(" |");
    let cells: Vec<&str> = line.split(" | ").collect();
    let code = |index: usize| Some(cells.get(index)?.trim_matches('`').replace("\\|", "|"));
    match *cells.first()? {
        "a message" => {
            let json = code(1)?;
            let bytes = match (client(&json), server(&json)) {
                (Some(message), _) => Codec::Binary.encode_client(&message),
                (_, Some(message)) => Codec::Binary.encode_server(&message),
                _ => panic!("no message: {json}"),
            };
            Some(format!("| a message | `{json}` | `{}` |", hex(&bytes)))
        }
        "a value" => {
            let json = code(1)?;
            let value: Value = serde_json::from_str(&json).unwrap();
            Some(format!("| a value | `{json}` | `{}` |", hex(&value.to_canonical())))
        }
        "a fact" => {
            let json = code(1)?;
            let (fact, mark): (Fact, Mark) = serde_json::from_str(&json).unwrap();
            let (key, hash) = (fact_key_hash(&fact), fact_hash(&fact, &mark));
            Some(format!("| a fact | `{json}` | `{key:032x}` | `{hash:032x}` |"))
        }
        "a row" => {
            let json = code(1)?;
            let row: WireRow = serde_json::from_str(&json).unwrap();
            let bytes = tercet_engine::codec::encode(&row);
            Some(format!("| a row | `{json}` | `{}` | `{:032x}` |", hex(&bytes), row_hash(&row)))
        }
        _ => None,
    }
}

#[test]
fn vectors_are_what_is_computed() {
    let page = page();
    let computed: Vec<String> =
        page.lines().map(|line| vector(line).unwrap_or_else(|| line.to_owned())).collect();
    let computed = computed.join("\n") + "\n";
    if computed != page && std::env::var_os("TERCET_BLESS").is_some() {
        std::fs::write(root().join("docs/protocol.md"), &computed).unwrap();
        return;
    }
    let wrong = page.lines().zip(computed.lines()).find(|(written, right)| written != right);
    assert_eq!(wrong, None, "review, then bless with TERCET_BLESS=1");
    let n_vectors = page.lines().filter(|line| vector(line).is_some()).count();
    assert!(n_vectors >= 12, "{n_vectors} vectors");
}

#[test]
fn the_files_it_names_are_there() {
    let page = page();
    let names = page.split("tests/golden/dialogues/").skip(1);
    let names: Vec<&str> = names.map(|rest| rest.split('`').next().unwrap()).collect();
    let named = names.iter().filter(|name| name.ends_with(".txt")).count();
    assert_eq!(named, 9, "{names:?}");
    for name in names.iter().filter(|name| name.ends_with(".txt")) {
        assert!(root().join("tests/golden/dialogues").join(name).exists(), "{name}");
    }
}
