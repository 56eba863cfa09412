//! Snapshots across threads: readers count on facts that stand still while a writer goes on.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::thread;

use tercet::{Attribute, Database, EntityId, Op};

const N_ACCOUNTS: i64 = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let db = Database::memory();
    let amount = Attribute::new("account/amount")?;
    let set = |number: i64, value: i64| -> Result<Op, Box<dyn Error>> {
        let e = EntityId::new(format!("a{number}"))?;
        Ok(Op::Set { e, a: amount.clone(), v: value.into() })
    };
    let start = (0..N_ACCOUNTS).map(|number| set(number, 100)).collect::<Result<Vec<_>, _>>()?;
    db.transact(start)?;
    let before = db.snapshot();

    // Whatever moves between accounts, no snapshot ever sees half a transfer.
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let db = db.clone();
            thread::spawn(move || -> Result<u64, tercet::Error> {
                let query =
                    tercet::prepare("[:find (sum ?v) . :with ?e :where [?e :account/amount ?v]]")?;
                let mut last = 0;
                for _ in 0..50 {
                    let snapshot = db.snapshot();
                    let total: Vec<i64> = snapshot.query_as(&query, ())?;
                    assert_eq!(total, [N_ACCOUNTS * 100], "at commit {}", snapshot.seq());
                    assert!(snapshot.seq().0 >= last, "a later snapshot is no older");
                    last = snapshot.seq().0;
                }
                Ok(last)
            })
        })
        .collect();
    for round in 1..N_ACCOUNTS {
        db.transact(vec![set(round, 100 + round)?, set(0, 100 - round)?])?;
        db.transact(vec![set(0, 100)?, set(round, 100)?])?;
    }
    for reader in readers {
        let last = reader.join().map_err(|_| "a reader found half a transfer")??;
        println!("a reader's last snapshot was of commit {last}");
    }

    // The first snapshot is what it was.
    assert_eq!(before.seq().0, 1);
    assert_eq!(before.n_facts(), N_ACCOUNTS as u64);
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("the example works");
}
