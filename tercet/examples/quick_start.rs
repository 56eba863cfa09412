//! Quick start: write facts, ask who knows whom, see how the question is answered.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use tercet::{Attribute, Database, EntityId, Op, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::memory(); // or Database::open("some/directory")?
    let write = |e: &str, a: &str, v: Value, is_set: bool| -> Result<Op, Box<dyn Error>> {
        let (e, a) = (EntityId::new(e)?, Attribute::new(a)?);
        Ok(if is_set { Op::Set { e, a, v } } else { Op::Add { e, a, v } })
    };
    // A transaction is written and shown whole. `set` replaces, `add` joins.
    db.transact(vec![
        write("ann", "user/name", "Ann".into(), true)?,
        write("bob", "user/name", "Bob".into(), true)?,
        write("cy", "user/name", "Cy".into(), true)?,
        write("ann", "user/knows", Value::reference("bob")?, false)?,
        write("bob", "user/knows", Value::reference("cy")?, false)?,
    ])?;

    let query = "[:find [?name ...] :in $ % ?who
                  :where [?a :user/name ?who] (reaches ?a ?b) [?b :user/name ?name]]";
    let rules = "[(reaches ?a ?b) [?a :user/knows ?b]]
                 [(reaches ?a ?c) [?a :user/knows ?b] (reaches ?b ?c)]";
    let names: Vec<String> = db.query_as((query, rules), ["Ann"])?;
    println!("Ann knows, directly or further on: {}", names.join(", "));
    assert_eq!(names, ["Bob", "Cy"]);

    println!("{}", db.explain((query, rules))?);
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("the example works");
}
