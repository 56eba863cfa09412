//! The driver of DataScript: facts in, rows out, refusals and endless queries told apart.
//!
//! Where Node or the package is missing nothing can be compared; that is said aloud. What
//! DataScript answers is compared with the engine by `cargo xtask fuzz-query`.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value as Json, json};
use tercet_tests::datascript::{DataScript, Failure};

const SECONDS: Duration = Duration::from_secs(60);

fn loaded() -> Option<DataScript> {
    let mut datascript = match DataScript::start() {
        Ok(datascript) => datascript,
        Err(Failure::Missing(why)) => {
            eprintln!("LEFT OUT: nothing is compared with DataScript: {why}");
            return None;
        }
        Err(failure) => panic!("{failure}"),
    };
    let schema = json!({"n/to": {":db/valueType": ":db.type/ref", ":db/cardinality": ":db.cardinality/many"}});
    let date = json!({"$date": 86_400_000});
    let facts = [json!([1, "n/to", 2]), json!([2, "n/to", 3]), json!([1, "n/at", date])];
    datascript.load(&schema, &facts).unwrap();
    Some(datascript)
}

fn sorted(rows: &Json) -> Vec<String> {
    let mut rows = rows.as_array().unwrap().iter().map(Json::to_string).collect::<Vec<_>>();
    rows.sort();
    rows
}

#[test]
fn queries_have_rows_times_and_errors() {
    let Some(mut datascript) = loaded() else { return };
    let rules = "[[(r ?a ?b) [?a \"n/to\" ?b]] [(r ?a ?b) [?a \"n/to\" ?c] (r ?c ?b)]]";
    let query = "[:find ?e ?v :in $ % [?e ...] :where (r ?e ?v)]";
    let inputs = [json!(rules), json!([1, 2, 9])];
    let rows = datascript.query(query, &inputs, SECONDS).unwrap();
    assert_eq!(sorted(&rows), ["[1,2]", "[1,3]", "[2,3]"]);
    let timing = datascript.time(query, &inputs, 3, SECONDS).unwrap();
    assert_eq!((timing.n_rows, timing.wall_us.len(), timing.cpu_us.len()), (3, 3, 3));
    let dates = datascript.query("[:find ?d :where [_ \"n/at\" ?d]]", &[], SECONDS).unwrap();
    assert_eq!(dates, json!([[{"$date": 86_400_000}]]));
    let refused = datascript.query("[:find ?x :where [(f ?x)]]", &[], SECONDS);
    assert!(matches!(refused, Err(Failure::Refused(_))), "{refused:?}");
    assert!(datascript.query("[:find ?e :where [?e]]", &[], SECONDS).is_ok(), "it lives on");
}

/// A left-linear recursion never ends there; the process must not outlive the patience of its user.
#[test]
fn a_query_that_does_not_end_is_given_up() {
    let Some(mut datascript) = loaded() else { return };
    let rules = "[[(r ?a ?b) [?a \"n/to\" ?b]] [(r ?a ?b) (r ?a ?c) [?c \"n/to\" ?b]]]";
    let query = "[:find ?e ?v :in $ % :where (r ?e ?v)]";
    let outcome = datascript.query(query, &[json!(rules)], Duration::from_millis(300));
    assert!(matches!(outcome, Err(Failure::TimedOut(_))), "{outcome:?}");
    assert!(matches!(datascript.query(query, &[], SECONDS), Err(Failure::Broken(_))));
}
