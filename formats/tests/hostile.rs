//! Input that is damaged or made to do damage: an error with a place and a code, and no panic.
//!
//! Every importer reads good samples cut at every byte, with bytes replaced, and a few inputs made
//! to fill memory. Which error comes is the golden files' matter; here it is that one comes, that
//! reading ends, and that no more is pulled than a record may have.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tercet_formats::{Format, FormatError, ImportOptions, TableOptions};

const N_ITEMS_MAX: usize = 100_000;

fn options(format: Format) -> ImportOptions {
    let mut options = ImportOptions { scope: Some("s".to_owned()), ..ImportOptions::default() };
    if matches!(format, Format::Csv | Format::Tsv) {
        options.table = TableOptions { entity: Some("t".to_owned()), ..TableOptions::default() };
    }
    options
}

/// Reads to the end: how many operations, and the errors.
fn read(format: Format, bytes: impl Read + Send + 'static) -> (usize, Vec<FormatError>) {
    let reader = Box::new(BufReader::with_capacity(1 << 16, bytes));
    let import = match format.read(reader, "in", &options(format)) {
        Ok(import) => import,
        Err(error) => return (0, vec![error]),
    };
    let (mut n_ops, mut errors) = (0, Vec::new());
    for item in import {
        match item {
            Ok(_) => n_ops += 1,
            Err(error) => errors.push(error),
        }
        assert!(n_ops + errors.len() < N_ITEMS_MAX, "{}: no end", format.name());
    }
    (n_ops, errors)
}

/// A format, a good input, and from where on each cut must be noticed.
const SAMPLES: [(Format, &str); 6] = [
    (
        Format::Ndjson,
        "{\"set\":{\"e\":\"u1\",\"a\":\"user/name\",\"v\":\"Änn\"}}\n\
                      {\"add\":{\"e\":\"u1\",\"a\":\"user/friend\",\"v\":{\"$ref\":\"u2\"}}}\n",
    ),
    (
        Format::Csv,
        "id,name,tags:string[],at:date\nu1,\"Änn \"\"A\"\"\nB\",x|y,2024-01-15\nu2,Bob,,\n",
    ),
    (Format::Tsv, "id\tname\tage:number\nu1\tÄnn\t34\nu2\t\"Bo\tb\"\t-1.5\n"),
    (
        Format::Ntriples,
        "<http://a/b> <http://a/c> \"Änn\\u00e9\"@en .\n\
                        _:x <http://a/c> \"1\"^^<http://www.w3.org/2001/XMLSchema#integer> .\n",
    ),
    (
        Format::Turtle,
        "@prefix a: <http://a/> .\na:b a:c \"\"\"Änn\n\"\"\" , 1.5 ; a:d [ a:e ( 1 2 ) ] .\n",
    ),
    (
        Format::Edn,
        "#datascript/DB {:schema {:user/friend {:db/valueType :db.type/ref}} :datoms [\
                   [1 :user/name \"Änn\\n\" 5] [1 :user/friend 2 5] #datom [2 :user/at #inst \"2024\"]]}",
    ),
];

#[test]
fn good_samples_are_good() {
    for (format, text) in SAMPLES {
        let (n_ops, errors) = read(format, Cursor::new(text));
        assert!(errors.is_empty() && n_ops >= 2, "{}: {errors:?}", format.name());
    }
}

#[test]
fn a_sample_cut_anywhere_gives_no_half_value() {
    for (format, text) in SAMPLES {
        let (n_ops_whole, _) = read(format, Cursor::new(text));
        for cut in 0..text.len() {
            let (n_ops, errors) = read(format, Cursor::new(&text.as_bytes()[..cut]));
            assert!(n_ops <= n_ops_whole, "{} at {cut}", format.name());
            // A place for every error that is about the bytes.
            for error in errors {
                let has_line = error.place().is_some_and(|at| at.line.is_some());
                assert!(has_line || error.code() == "format_option", "{}: {error}", format.name());
            }
        }
    }
}

#[test]
fn bytes_that_are_replaced_do_not_panic() {
    for (format, text) in SAMPLES {
        for index in 0..text.len() {
            for byte in [0, b'\n', b'"', b'[', b'{', b'\\', b'#', b'<', 0x80, 0xff] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[index] = byte;
                read(format, Cursor::new(bytes));
            }
        }
    }
}

#[test]
fn wrong_encodings_are_told() {
    let utf_16: Vec<u8> =
        "id,name\r\nu1,Ann\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf_16 = [&[0xff, 0xfe][..], &utf_16].concat();
    for (format, text) in SAMPLES {
        let (n_ops, errors) = read(format, Cursor::new(utf_16.clone()));
        assert!(n_ops == 0 && !errors.is_empty(), "{}", format.name());
        // Latin-1: one byte for the letter that has two here.
        let latin_1: Vec<u8> =
            text.replace('Ä', "\u{1}").bytes().map(|b| if b == 1 { 0xc4 } else { b }).collect();
        let (_, errors) = read(format, Cursor::new(latin_1));
        assert!(!errors.is_empty(), "{}", format.name());
        assert!(["not_utf8", "malformed"].contains(&errors[0].code()), "{errors:?}");
    }
}

/// A start and then the same bytes again and again, without an end; counts what is pulled.
struct Endless {
    start: Cursor<&'static [u8]>,
    again: &'static [u8],
    at: usize,
    n_bytes: Arc<AtomicU64>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_start = self.start.read(buffer)?;
        let n_read = if n_start > 0 { n_start } else { buffer.len() };
        if n_start == 0 {
            for byte in buffer {
                *byte = self.again[self.at];
                self.at = (self.at + 1) % self.again.len();
            }
        }
        self.n_bytes.fetch_add(n_read as u64, Ordering::Relaxed);
        Ok(n_read)
    }
}

/// Reads what never ends until the first error: its code, and how much was pulled.
fn endless(format: Format, start: &'static str, again: &'static str) -> (String, u64) {
    let n_bytes = Arc::new(AtomicU64::new(0));
    let start = Cursor::new(start.as_bytes());
    let input = Endless { start, again: again.as_bytes(), at: 0, n_bytes: n_bytes.clone() };
    // What is longer than a line may be is skipped to its end, which such a line has not.
    let input = input.take(64 << 20);
    let reader = Box::new(BufReader::with_capacity(1 << 16, input));
    let error = match format.read(reader, "in", &options(format)) {
        Err(error) => error,
        Ok(import) => {
            import.filter_map(Result::err).next().expect("without an end there is an error")
        }
    };
    (error.code().to_owned(), n_bytes.load(Ordering::Relaxed))
}

#[test]
fn a_record_without_an_end_is_bounded() {
    let cases = [
        (Format::Csv, "id,name:string\nu1,\"", "x", "line_too_long"),
        (Format::Csv, "id,name\nu1,", "x", "line_too_long"),
        (Format::Csv, "", "x,", "line_too_long"),
        (Format::Tsv, "id\tname:string\nu1\t", "\t", "line_too_long"),
        (Format::Turtle, "<http://a/b> <http://a/c> \"\"\"", "x\n", "line_too_long"),
        (Format::Turtle, "", "[", "too_deep"),
        (Format::Turtle, "<http://a/b> <http://a/c> ", "(", "too_deep"),
        (Format::Turtle, "<", "x", "line_too_long"),
        (Format::Edn, "", "[", "too_deep"),
        (Format::Edn, "[", "#_", "line_too_long"),
        (Format::Edn, "", "#_[", "too_deep"),
        (Format::Edn, "", "#a ", "too_deep"),
        (Format::Edn, "[[1 :a/b \"", "x", "line_too_long"),
        (Format::Edn, "[[1 :a/b ", "1 ", "line_too_long"),
        (Format::Edn, "{:a/b [", "[] ", "line_too_long"),
        (Format::Ntriples, "<http://a/b> <http://a/c> \"", "x", "line_too_long"),
        (Format::Ndjson, "{\"set\":", "[", "line_too_long"),
    ];
    for (format, start, again, code) in cases {
        let (found, n_bytes) = endless(format, start, again);
        let what = format!("{} {start:?} {again:?}", format.name());
        assert_eq!(found, code, "{what}");
        // Formats of lines skip the rest of a line, unheld; the others stop.
        let is_skipped = matches!(format, Format::Ntriples | Format::Ndjson);
        assert!(is_skipped || n_bytes <= 12 << 20, "{what}: {n_bytes}");
    }
}

mod backups {
    //! Zip files.
    use std::io::Write;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    const CONFIG: &str = r#"{"counts":{"users":2}}"#;
    const USERS: &str = "{\"entity\":{\"id\":\"u1\",\"name\":\"Ann\"},\"createdAt\":1}\n\
                         {\"entity\":{\"id\":\"u2\",\"name\":\"Bob\"},\"createdAt\":2}\n";

    fn packed(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, bytes) in files {
            writer.start_file(*name, options).expect("memory takes all bytes");
            writer.write_all(bytes).expect("memory takes all bytes");
        }
        writer.finish().expect("memory takes all bytes").into_inner()
    }

    fn read(bytes: &[u8]) -> (usize, Vec<String>) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("it can be written");
        match Format::Instant.open(file.path(), &ImportOptions::default()) {
            Err(error) => (0, vec![error.code().to_owned()]),
            Ok(import) => {
                let (ops, errors): (Vec<_>, Vec<_>) = import.partition(Result::is_ok);
                let codes = errors.into_iter().filter_map(Result::err);
                (ops.len(), codes.map(|error| error.code().to_owned()).collect())
            }
        }
    }

    fn good(method: CompressionMethod) -> Vec<u8> {
        packed(
            &[("config.json", CONFIG.as_bytes()), ("entities/users.jsonl", USERS.as_bytes())],
            method,
        )
    }

    #[test]
    fn both_ways_of_packing_are_read() {
        for method in [CompressionMethod::Deflated, CompressionMethod::Stored] {
            assert_eq!(read(&good(method)), (2, Vec::new()));
        }
    }

    #[test]
    fn a_damaged_archive_is_told() {
        let whole = good(CompressionMethod::Stored);
        for cut in 0..whole.len() {
            let (_, errors) = read(&whole[..cut]);
            assert!(!errors.is_empty(), "{cut}");
        }
        for index in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[index] ^= 0x5a;
            read(&bytes);
        }
        // A byte of what is packed: the checksum tells.
        let index = whole.windows(3).position(|bytes| bytes == b"Ann").expect("it is stored");
        let mut bytes = whole;
        bytes[index] = b'a';
        assert_eq!(read(&bytes).1, ["input_damaged"]);
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let zeros = vec![b' '; 64 << 20];
        let files =
            [("config.json", CONFIG.as_bytes()), ("entities/users.jsonl", zeros.as_slice())];
        assert_eq!(
            read(&packed(&files, CompressionMethod::Deflated)),
            (0, vec!["zip_bomb".into()])
        );
    }

    #[test]
    fn what_is_missing_is_told() {
        let only = |files: &[(&str, &[u8])]| read(&packed(files, CompressionMethod::Deflated)).1;
        assert_eq!(only(&[("entities/users.jsonl", USERS.as_bytes())]), ["format_input"]);
        assert_eq!(only(&[("config.json", CONFIG.as_bytes())]), ["truncated"]);
        let half = USERS.split_once('\n').expect("two lines").0.as_bytes();
        let files = [("config.json", CONFIG.as_bytes()), ("entities/users.jsonl", half)];
        assert_eq!(only(&files), ["truncated"]);
        assert_eq!(only(&[("config.json", b"{")]), ["malformed"]);
    }
}
