//! Memory stays bounded whatever the size of the input: a stream of 100 MB is pulled as it is used.
//!
//! The input is made while it is read, and knows how many bytes were pulled when each operation
//! came out. An importer that collected its input would have pulled all of it at the first one.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::store::Store;
use tercet_engine::value::Value;
use tercet_formats::{ExportOptions, Format, ImportOptions};

const INPUT_BYTES: u64 = 100 << 20;

/// What may be pulled ahead of the operations: buffers, and the rows that types are guessed from.
const AHEAD_BYTES_MAX: u64 = 3 << 20;

/// A text as documents have them.
const TEXT_BYTES: usize = 8 << 10;

/// Records made one by one.
struct Records<Make> {
    make: Make,
    next: u64,
    rest: io::Cursor<Vec<u8>>,
    n_bytes: Arc<AtomicU64>,
}

impl<Make: FnMut(u64) -> Option<String>> Read for Records<Make> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_read = self.rest.read(buffer)?;
        if n_read > 0 || buffer.is_empty() {
            self.n_bytes.fetch_add(n_read as u64, Ordering::Relaxed);
            return Ok(n_read);
        }
        match (self.make)(self.next) {
            None => Ok(0),
            Some(record) => {
                self.next += 1;
                self.rest = io::Cursor::new(record.into_bytes());
                self.read(buffer)
            }
        }
    }
}

/// `head`, one record for each text, `tail`.
fn check(format: Format, head: &str, record: fn(u64, &str) -> String, tail: &str) {
    let text: String = "abcdefgh".chars().cycle().take(TEXT_BYTES).collect();
    let n_bytes_of = record(1, &text).len() as u64;
    let n_records = INPUT_BYTES / n_bytes_of;
    let (head, tail) = (head.to_owned(), tail.to_owned());
    let make = move |index: u64| match index {
        0 => Some(head.clone()),
        index if index <= n_records => Some(record(index, &text)),
        index if index == n_records + 1 => Some(tail.clone()),
        _ => None,
    };
    let n_bytes = Arc::new(AtomicU64::new(0));
    let records = Records { make, next: 0, rest: io::Cursor::default(), n_bytes: n_bytes.clone() };
    let reader = Box::new(BufReader::with_capacity(1 << 16, records));
    let import = format.read(reader, "in", &ImportOptions::default()).expect("a good beginning");
    let mut n_ops = 0;
    for op in import {
        op.expect("a good record");
        n_ops += 1;
        let used = n_ops * (n_bytes_of - 16);
        let ahead = n_bytes.load(Ordering::Relaxed).saturating_sub(used);
        let slack = n_ops * 32;
        assert!(ahead <= AHEAD_BYTES_MAX + slack, "{} {n_ops}: {ahead}", format.name());
    }
    assert_eq!(n_ops, n_records, "{}", format.name());
    assert!(n_bytes.load(Ordering::Relaxed) >= INPUT_BYTES - n_bytes_of);
}

#[test]
fn ndjson() {
    let record = |index: u64, text: &str| {
        format!("{{\"set\":{{\"e\":\"u{index}\",\"a\":\"t/text\",\"v\":\"{text}\"}}}}\n")
    };
    check(Format::Ndjson, "", record, "");
}

#[test]
fn tables() {
    check(Format::Csv, "id,t/text\n", |index, text| format!("u{index},\"{text}\"\n"), "");
    check(Format::Tsv, "id\tt/text\n", |index, text| format!("u{index}\t{text}\n"), "");
}

#[test]
fn rdf() {
    let record =
        |index: u64, text: &str| format!("<http://a/{index}> <http://a/text> \"{text}\" .\n");
    check(Format::Ntriples, "", record, "");
    let record = |index: u64, text: &str| format!("a:u{index} a:text\n  \"{text}\" .\n");
    check(Format::Turtle, "@prefix a: <http://a/> .\n", record, "");
}

#[test]
fn edn() {
    let head = "#datascript/DB {:schema {} :datoms [\n";
    check(Format::Edn, head, |index, text| format!("[{index} :t/text \"{text}\" 1]\n"), "]}");
}

/// A writer that keeps nothing but the size of the largest piece.
#[derive(Default)]
struct Pieces {
    n_bytes: u64,
    n_bytes_largest: usize,
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.n_bytes += bytes.len() as u64;
        self.n_bytes_largest = self.n_bytes_largest.max(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_export_goes_out_in_pieces() {
    let mut store = Store::new();
    let text: String = "abcdefgh".chars().cycle().take(TEXT_BYTES).collect();
    for number in 0..256_u64 {
        let e = EntityId::new(format!("u{number}")).expect("short");
        let a = Attribute::new("t/text").expect("short");
        let ops = vec![Op::Set { e, a, v: Value::from(format!("{number}{text}")) }];
        store.apply(&Transaction { hlc: Hlc::new(number + 1, 0, ReplicaId(1)), ops });
    }
    for format in Format::ALL.iter().copied().filter(|format| format.can_export()) {
        let mut pieces = Pieces::default();
        format
            .export(&store.snapshot(), &ExportOptions::default(), &mut pieces)
            .expect("it takes all");
        let is_packed = format == Format::Instant;
        assert!(is_packed || pieces.n_bytes > 256 * TEXT_BYTES as u64, "{}", format.name());
        assert!(pieces.n_bytes_largest < 128 << 10, "{}", format.name());
    }
}
