//! What is exported and imported again is the same: every fact, and whether it was set or added.
//!
//! Random databases with awkward names and values, every format that can be written. What this
//! cannot catch: an export that only our own importer understands; the golden files are for that.

use std::collections::BTreeSet;
use std::io::Cursor;

use proptest::prelude::*;
use tercet_engine::fact::{Fact, Kind, Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::store::{Snapshot, Store};
use tercet_engine::value::{Date, Value};
use tercet_formats::{ExportOptions, Format, ImportOptions, Prefix};

fn store_of(ops: Vec<Op>) -> Store {
    let mut store = Store::new();
    for (index, ops) in ops.chunks(1_000).enumerate() {
        let hlc = Hlc::new(1_700_000_000_000 + index as u64, 0, ReplicaId(1));
        store.apply(&Transaction { hlc, ops: ops.to_vec() });
    }
    store
}

fn facts(snapshot: &Snapshot) -> BTreeSet<(Fact, Kind)> {
    snapshot.iter().map(|(fact, mark)| (fact, mark.kind)).collect()
}

/// Exports and imports again.
fn through(format: Format, snapshot: &Snapshot, export: &ExportOptions) -> Store {
    let mut bytes = Vec::new();
    format.export(snapshot, export, &mut bytes).expect("memory takes all bytes");
    let import = ImportOptions { prefixes: export.prefixes.clone(), ..ImportOptions::default() };
    let ops: Result<Vec<Op>, _> = if format.can_stream() {
        format
            .read(Box::new(Cursor::new(bytes.clone())), "export", &import)
            .and_then(Iterator::collect)
    } else {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), &bytes).expect("it can be written");
        format.open(file.path(), &import).and_then(Iterator::collect)
    };
    let text = || String::from_utf8_lossy(&bytes).into_owned();
    store_of(ops.unwrap_or_else(|error| panic!("{}: {error}\n{}", format.name(), text())))
}

fn check(ops: Vec<Op>, export: &ExportOptions) {
    let before = store_of(ops).snapshot();
    for format in Format::ALL.iter().copied().filter(|format| format.can_export()) {
        let mut options = export.clone();
        if !matches!(format, Format::Ntriples | Format::Turtle) {
            options.prefixes.clear();
        }
        let after = through(format, &before, &options).snapshot();
        assert_eq!(facts(&after), facts(&before), "{}", format.name());
    }
}

fn id() -> impl Strategy<Value = EntityId> {
    let text = prop_oneof![
        4 => (0..6_u8).prop_map(|number| format!("u{number}")),
        1 => prop::sample::select(vec![
            "http://example.org/a", "urn:tercet:entity:u1", "foaf:x", "a b", "%41", "like:u7:p42",
            "<>", "größe", "😀", "a|b", "a,b\"c", "_:x", "-1", " u1 ", "a\u{fffe}b", "mailto:a@b.c",
            "http://xmlns.com/foaf/0.1/x", "ex:", "#", "'", "\\", "db/id",
        ]).prop_map(str::to_owned),
        1 => "[^\\p{Cc}]{1,12}",
    ];
    text.prop_map(|text| EntityId::new(text).expect("short, and without control characters"))
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let text = prop_oneof![
        6 => (0..3_u8, 0..4_u8).prop_map(|(kind, field)| format!("t{kind}/f{field}")),
        1 => prop::sample::select(vec![
            "user/first name", "x/y@en", "x/y@EN", "x/y:string", "x/y[]", "x/y:json[]", "a/b/c",
            "http://xmlns.com/foaf/0.1/name", "foaf/name", "db/ident", "db/cardinality", "db.x/y",
            "user/id", "user/$field:id", "t0/createdAt", "urn:tercet:cardinality/x", "1/2", "$u/%41",
        ]).prop_map(str::to_owned),
        1 => "[^\\p{Cc}/_:][^\\p{Cc}/]{0,4}/[^\\p{Cc}_][^\\p{Cc}]{0,6}",
    ];
    text.prop_map(|text| Attribute::new(text).expect("it has a type and a field"))
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::int),
        (-9..9_i64).prop_map(Value::int),
        any::<f64>().prop_filter_map("finite", |double| Value::double(double).ok()),
        (Date::MIN.ms()..=Date::MAX.ms())
            .prop_map(|ms| Value::Date(Date::from_ms(ms).expect("it is in range"))),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            " ",
            "a|b",
            "|",
            "a\r\nb",
            "\r",
            "\"",
            "\\",
            "\0",
            "2024-01-15",
            "true",
            "007",
            "1",
            ":user/name",
            "{\"$ref\":\"u1\"}",
            "\u{feff}",
            "\u{fffe}",
            "\u{7f}",
            "\\N",
            "'''",
            "#",
        ])
        .prop_map(Value::from),
        id().prop_map(Value::Ref),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    (id(), attribute(), value(), any::<bool>()).prop_map(|(e, a, v, is_set)| {
        if is_set { Op::Set { e, a, v } } else { Op::Add { e, a, v } }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("TERCET_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(64),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_exported_comes_back(ops in prop::collection::vec(op(), 0..40)) {
        check(ops, &ExportOptions::default());
    }

    #[test]
    fn what_is_exported_under_prefixes_comes_back(ops in prop::collection::vec(op(), 0..40)) {
        let prefixes: Vec<Prefix> =
            ["foaf=http://xmlns.com/foaf/0.1/", "=http://example.org/", "t0=urn:tercet:", "e=urn:e:"]
                .into_iter()
                .map(|text| text.parse().expect("it is a prefix"))
                .collect();
        check(ops, &ExportOptions { prefixes, ..ExportOptions::default() });
    }

    #[test]
    fn facts_of_one_shape_come_back(
        values in prop::collection::vec((0..4_u8, value()), 0..12), is_set in any::<bool>()
    ) {
        let ops = values.into_iter().map(|(number, v)| {
            let e = EntityId::new(format!("u{number}")).expect("short");
            let a = Attribute::new("user/x").expect("short");
            if is_set { Op::Set { e, a, v } } else { Op::Add { e, a, v } }
        });
        check(ops.collect(), &ExportOptions::default());
    }
}

#[test]
fn a_table_of_one_type_says_what_it_leaves_out() {
    let set = |e: &str, a: &str, v: Value| Op::Set {
        e: EntityId::new(e).expect("short"),
        a: Attribute::new(a).expect("short"),
        v,
    };
    let ops = vec![
        set("u1", "user/name", "Ann".into()),
        set("u1", "admin/level", 3.into()),
        set("p1", "post/title", "Hi".into()),
    ];
    let snapshot = store_of(ops).snapshot();
    let options = ExportOptions { entity: Some("user".into()), ..ExportOptions::default() };
    let mut bytes = Vec::new();
    Format::Csv.export(&snapshot, &options, &mut bytes).expect("memory takes all bytes");
    assert_eq!(String::from_utf8(bytes).expect("it is text"), "id,user/name:string\nu1,Ann\n");
    let notes = Format::Csv.export_notes(&snapshot, &options);
    assert_eq!(notes[0].to_string(), "facts of types other than user were not written (2 times)");
}

#[test]
fn a_directory_holds_what_the_zip_file_does() {
    let set = |v: Value| Op::Set {
        e: EntityId::new("u1").expect("short"),
        a: Attribute::new("user/at").expect("short"),
        v,
    };
    let date = Date::parse("2024-01-15").expect("it is a date");
    let snapshot = store_of(vec![set(Value::Date(date))]).snapshot();
    for created_field in [None, Some("at".to_owned())] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let export = ExportOptions { created_field, ..ExportOptions::default() };
        tercet_formats::instant::write_directory(&snapshot, &export, directory.path())
            .expect("it can be written");
        assert_eq!(Format::detect(directory.path()).ok(), Some(Format::Instant));
        let import = ImportOptions {
            created_field: export.created_field.clone(),
            ..ImportOptions::default()
        };
        let import = Format::Instant.open(directory.path(), &import).expect("it is a backup");
        let ops: Vec<Op> = import.collect::<Result<_, _>>().expect("it is whole");
        assert_eq!(facts(&store_of(ops).snapshot()), facts(&snapshot));
    }
}
