//! Live queries that once went wrong, each with what it guards against: scripts as `fuzz-live`
//! prints them, made small (`live::script` says how to read one).

use tercet_tests::live::{check, script};

fn follow(text: &str) {
    if let Err(text) = check(&script::parse(text)) {
        panic!("{text}");
    }
}

/// A cycle must not hold itself up: nothing reaches it any more once the edge into it is gone.
#[test]
fn a_cycle_goes_with_the_edge_that_held_it_up() {
    follow(
        r#"
        start
        at 10
        add a n/edge #ref "b"
        add b n/edge #ref "c"
        add c n/edge #ref "b"
        question 0
        [:find ?y :in ?x :where (r ?x ?y)
         :rules [[(r ?a ?b) [?a :n/edge ?b]] [(r ?a ?b) (r ?a ?c) [?c :n/edge ?b]]]]
        input #ref "a"
        subscribe 0
        publish
        at 20
        remove a n/edge #ref "b"
        publish
        at 30
        add a n/edge #ref "c"
        "#,
    );
}

/// The least of a group is deleted, then the greatest; then the group is empty.
#[test]
fn a_minimum_survives_the_deletion_of_its_row() {
    follow(
        r#"
        start
        at 10
        add a n/size 1
        add a n/size 2
        add a n/size 3
        question 0
        [:find ?e (min ?v) (max ?v) :where [?e :n/size ?v]]
        subscribe 0
        publish
        at 20
        remove a n/size 1
        publish
        at 30
        remove a n/size 3
        publish
        at 40
        remove a n/size 2
        "#,
    );
}

/// A view that is folded anew may number its values otherwise than the view before.
#[test]
fn a_fold_after_a_rejection_is_one_step() {
    follow(
        r#"
        start
        at 10
        add a n/edge #ref "b"
        question 0
        [:find ?x ?y :where (r ?x ?y)
         :rules [[(r ?a ?b) [?a :n/edge ?b]] [(r ?a ?b) (r ?a ?c) (r ?c ?b)]]]
        subscribe 0
        push
        at 20
        add b n/edge #ref "own"
        push
        at 30
        add own n/edge #ref "a"
        publish
        reject 20
        at 25
        add b n/edge #ref "foreign"
        publish
        confirm 30
        "#,
    );
}

/// An alternative that binds only some of what the alternatives share was joined as if it bound all.
#[test]
fn an_alternative_is_given_what_it_needs() {
    follow(
        r#"
        start
        at 20
        add n0 n/age 2
        at 30
        add n0 n/tag "n/age"
        add n1 n/age 1
        question 0
        [:find ?f
         :where [?e :n/age ?v] [?f :n/age ?w]
                (or-join [[?e ?f]] [?e :n/on false] [?f :n/tag "n/age"])]
        subscribe 0
        publish
        at 60
        remove n1 n/age 1
        "#,
    );
}

/// A rejected write was the only one of its attribute: the state without it does not know it.
#[test]
fn an_attribute_leaves_with_the_only_write_of_it() {
    follow(
        r#"
        start
        question 0
        [:find (pull ?e [:n/tag]) :where [?e :n/name]]
        question 1
        [:find ?v :where [_ ?a ?v]]
        subscribe 0
        subscribe 1
        push
        at 50
        set a n/name "x"
        push
        at 60
        set a n/tag "y"
        publish
        reject 60
        publish
        reject 50
        "#,
    );
}
