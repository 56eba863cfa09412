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

/// What `or-join` requires to be bound is not bound by it: the branch that does not mention `?f`
/// must wait for what binds it.
#[test]
fn alternatives_wait_for_what_they_require() {
    follow(
        r#"
        start
        at 20
        add n1 n/on true
        add n1 n/edge #ref "n2"
        at 30
        add n1 n/age 0
        question 0
        [:find ?v
         :where (or-join [[?e ?f]] [?e :n/on true] [?f :n/tag "ab"])
                [?e :n/age ?v]
                (or-join [?e ?f] [?g :n/edge ?f])]
        subscribe 0
        publish
        at 70
        add n3 n/edge #ref "n7"
        "#,
    );
}

/// A refused transaction takes back the only fact of an attribute, which the state after the step
/// has never heard of.
#[test]
fn an_attribute_that_was_only_pending_is_taken_back() {
    follow(
        r#"
        start
        question 0
        [:find (count-distinct ?v) :where [_ ?a ?v]]
        subscribe 0
        push
        at 30
        add n1 n/any 2
        publish
        reject 30
        "#,
    );
}

/// A result that had no room in tables when it came, and would have by now, is still one instance
/// for all who ask for it.
#[test]
fn an_equal_query_joins_what_is_evaluated_again() {
    follow(
        r#"
        rows 38
        start
        at 10
        add n1 n/edge #ref "n2"
        add n3 n/edge #ref "n4"
        add n0 n/edge #ref "n1"
        add n5 n/edge #ref "n0"
        add n5 n/edge #ref "n6"
        add n2 n/edge #ref "n3"
        at 20
        add n4 n/edge #ref "n5"
        question 0
        [:find ?v
         :where (r ?x ?y)
                [?y :n/any ?v]
         :rules [[(r ?a ?b) [?a :n/edge ?b]]
                 [(r ?a ?b) [?c :n/edge ?b] (r ?a ?c)]]]
        subscribe 0
        publish
        at 30
        delete n0
        subscribe 0
        "#,
    );
}
