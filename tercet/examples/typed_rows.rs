//! Typed rows: read the answer of a query as structs, tuples or values.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use tercet::{Attribute, Database, EntityId, FromRow, Op, Value};

/// One row: the fields are the query's columns by name.
#[derive(Debug, PartialEq, FromRow)]
#[row(crate = "tercet::schema")]
struct Team {
    name: String,
    #[row(column = "(count ?member)")]
    n_members: u32,
    #[row(column = "(max 2 ?age)")]
    oldest: Vec<i64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::memory();
    let people = [("ann", "red", 34), ("bob", "red", 51), ("cy", "blue", 23), ("di", "red", 29)];
    let mut ops = Vec::new();
    for (id, team, age) in people {
        let e = EntityId::new(id)?;
        let set = |a: &str, v: Value| -> Result<Op, Box<dyn Error>> {
            Ok(Op::Set { e: e.clone(), a: Attribute::new(a)?, v })
        };
        ops.push(set("user/team", team.into())?);
        ops.push(set("user/age", age.into())?);
    }
    db.transact(ops)?;

    let query = "[:find ?name (count ?member) (max 2 ?age)
                  :where [?member :user/team ?name] [?member :user/age ?age]]";
    let teams: Vec<Team> = db.query_as(query, ())?;
    println!("{teams:#?}");
    assert_eq!(teams[0], Team { name: "blue".into(), n_members: 1, oldest: vec![23] });
    assert_eq!(teams[1], Team { name: "red".into(), n_members: 3, oldest: vec![51, 34] });

    // A tuple by position, and a single column as a value.
    let ages: Vec<(EntityId, i64)> = db.query_as("[:find ?u ?a :where [?u :user/age ?a]]", ())?;
    assert_eq!(ages.len(), 4);
    let sum: Vec<i64> = db.query_as("[:find (sum ?a) . :with ?u :where [?u :user/age ?a]]", ())?;
    assert_eq!(sum, [137]);

    // What does not fit is an error that names the column, the value and the field.
    #[derive(Debug, FromRow)]
    #[row(crate = "tercet::schema")]
    struct Wrong {
        #[expect(dead_code, reason = "it is never read")]
        name: i64,
    }
    let error = db.query_as::<Wrong>(query, ()).expect_err("a name is no number");
    println!("{error}");
    assert_eq!(
        error.to_string(),
        "row 0, column ?name: the string \"blue\" is no i64 (field `name` of Wrong)"
    );
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("the example works");
}
