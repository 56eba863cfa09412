//! Live query: an answer that follows the facts, on a thread of its own.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::thread;

use tercet::{Attribute, Database, EntityId, Op, Value, read_rows};

fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::memory();
    let mut open =
        db.subscribe("[:find ?title :where [?t :task/open true] [?t :task/title ?title]]", ())?;

    // The iterator waits for the next change, and ends with the database.
    let watcher = thread::spawn(move || -> Result<Vec<String>, tercet::Error> {
        let mut last = Vec::new();
        for change in open.by_ref() {
            let change = change?;
            last = read_rows::<String>(&change.answer)?;
            println!("commit {}: open are {}", change.seq, last.join(", "));
        }
        Ok(last)
    });

    let set = |e: &str, a: &str, v: Value| -> Result<Op, Box<dyn Error>> {
        Ok(Op::Set { e: EntityId::new(e)?, a: Attribute::new(a)?, v })
    };
    for (id, title) in [("dig", "Dig the bed"), ("sow", "Sow carrots")] {
        let title = set(id, "task/title", title.into())?;
        db.transact(vec![title, set(id, "task/open", true.into())?])?;
    }
    db.transact(vec![set("dig", "task/open", false.into())?])?;
    drop(db);

    let last = watcher.join().map_err(|_| "the watcher panicked")??;
    assert_eq!(last, ["Sow carrots"]);
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("the example works");
}
