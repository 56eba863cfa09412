//! Import a CSV file, ask it a question, and write the facts out as Turtle.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use tercet::Database;
use tercet::formats::{Delimiter, ExportOptions, Format, ImportOptions, Table, TableOptions};

const PEOPLE: &str = "\
id,name,age,boss:ref
ann,Ann,51,
bob,Bob,34,ann
cy,Cy,28,bob
";

fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::memory();
    let table = TableOptions { entity: Some("user".to_owned()), ..TableOptions::default() };
    let options = ImportOptions { table, ..ImportOptions::default() };
    // A file is opened by `Table::open`, or by `Format::detect(path)?.open(path, &options)`.
    let importer = Table::new(PEOPLE.as_bytes(), "people.csv", Delimiter::Comma, &options)?;
    let imported = db.import(importer)?;
    for note in &imported.notes {
        println!("note: {note}");
    }
    assert_eq!((imported.n_ops, imported.notes.len()), (8, 2));

    let pairs: Vec<(String, String)> = db.query_as(
        "[:find ?name ?boss-name
          :where [?p :user/boss ?b] [?p :user/name ?name] [?b :user/name ?boss-name]
                 [?p :user/age ?age] [(< ?age 30)]]",
        (),
    )?;
    assert_eq!(pairs, [("Cy".to_owned(), "Bob".to_owned())]);

    let mut turtle = Vec::new();
    db.snapshot().export(Format::Turtle, &ExportOptions::default(), &mut turtle)?;
    let turtle = String::from_utf8(turtle)?;
    println!("{turtle}");
    assert!(turtle.contains("e:bob a:user\\/boss e:ann ."));
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("the example works");
}
