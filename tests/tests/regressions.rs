//! Cases that once failed, each with what it guards against; found by the property tests and made
//! small by `minimize`.
#![allow(clippy::unwrap_used)]

use tercet_query_lang::{inputs_from_json, parse};
use tercet_tests::generate::program::Case;
use tercet_tests::subject;
use tercet_tests::text::parse_ops;
use tercet_tests::tree::lift;
use tercet_tests::workload;

fn check(facts: &str, query: &str, inputs: &str) {
    let transactions = workload::transactions(&parse_ops(facts), 1);
    let raw = parse(query).unwrap_or_else(|report| panic!("{report}")).raw;
    let inputs = inputs_from_json(&raw, &serde_json::from_str(inputs).unwrap()).unwrap();
    subject::check_case(&transactions, &Case { program: lift(&raw), inputs }, query);
}

/// A recursion in a pull went one level beyond its depth, and showed that level by ids.
#[test]
fn a_pull_stops_at_its_depth() {
    let chain = "add a n/to #ref \"b\"\nadd b n/to #ref \"c\"\nadd c n/to #ref \"d\"\nset a n/x 1";
    for depth in 1..5 {
        let query = format!("[:find (pull ?a [{{:n/to {depth}}}]) :where [?a :n/x 1]]");
        check(chain, &query, "[]");
    }
    check("add a n/to #ref \"a\"", "[:find (pull ?a [{:n/to 1}]) :where [?a :n/to _]]", "[]");
}

/// A wildcard showed the id of an entity that nobody has written about.
#[test]
fn a_wildcard_shows_nothing_of_nothing() {
    check("set a n/to #ref \"b\"", "[:find (pull ?b [*]) :where [_ :n/to ?b]]", "[]");
    check("set a n/to #ref \"b\"", "[:find (pull ?a [{:n/to [*]}]) :where [?a :n/to _]]", "[]");
}

/// Entities that show the same came in the order of their ids, others in the order of trees.
#[test]
fn pulled_rows_come_in_the_order_of_what_they_show() {
    let facts = "set a n/x 2\nset b n/x 1\nset c n/x 2";
    check(facts, "[:find (pull ?e [:n/x]) :where [?e :n/x _]]", "[]");
    check(facts, "[:find ?x (pull ?e [:n/y]) :where [?e :n/x ?x]]", "[]");
}

/// `missing?` and `get-else` took a value that is no entity for an entity without fields.
#[test]
fn only_entities_miss_fields() {
    let facts = "set a n/name \"x\"\nset a n/to #ref \"b\"\nset b n/age 3";
    check(facts, "[:find ?v :where [_ _ ?v] [(missing? ?v :n/name)]]", "[]");
    check(facts, "[:find ?v ?n :where [_ _ ?v] [(get-else ?v :n/name \"none\") ?n]]", "[]");
}

/// A variable that an alternative uses inside `not` only was said to be absent from it.
#[test]
fn not_uses_its_variables_in_an_alternative() {
    let facts = "set a n/x 1\nset b n/x 2\nset b n/y 1\nset c n/x 3\nset c n/y 2";
    check(facts, "[:find ?e :where [?e :n/x _] (or [?e :n/y 2] (not [?e :n/y _]))]", "[]");
}

/// A result that is an integer must not lose its last digits by way of a double.
#[test]
fn a_mean_of_one_large_integer_is_that_integer() {
    let facts = "set a n/x 9007199254740993";
    check(facts, "[:find (avg ?x) (median ?x) (sum ?x) :where [_ :n/x ?x]]", "[]");
}
