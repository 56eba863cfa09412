//! Prepared point reads: check and plan a query once, then ask it for many entities.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Instant;

use tercet::{Attribute, Database, EntityId, Op};

const N_USERS: usize = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::memory();
    let email = Attribute::new("user/email")?;
    let mut ops = Vec::new();
    for number in 0..N_USERS {
        let e = EntityId::new(format!("u{number}"))?;
        let v = format!("u{number}@example.org").into();
        ops.push(Op::Set { e, a: email.clone(), v });
    }
    db.transact(ops)?;

    let by_email = tercet::prepare("[:find ?u . :in ?email :where [?u :user/email ?email]]")?;
    // One snapshot for questions that belong together: their answers are of one moment.
    let snapshot = db.snapshot();
    let start = Instant::now();
    for number in (0..N_USERS).step_by(7) {
        let found: Vec<EntityId> =
            snapshot.query_as(&by_email, [format!("u{number}@example.org")])?;
        assert_eq!(found, [EntityId::new(format!("u{number}"))?]);
    }
    println!("{} reads in {:?}", N_USERS.div_ceil(7), start.elapsed());
    let nobody: Vec<EntityId> = snapshot.query_as(&by_email, ["nobody@example.org"])?;
    assert!(nobody.is_empty());
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("the example works");
}
