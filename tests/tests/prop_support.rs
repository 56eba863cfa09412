//! Partial replicas: the first cases of what `cargo xtask fuzz-support` does many times.
//!
//! What this can catch: a support that lacks a fact which the answer, its absence included, hangs
//! on; one that depends on the path that led there; one that is kept up wrongly in some tier.

use tercet_tests::case::check_cases;
use tercet_tests::live::replica::try_replicas;

#[test]
fn a_replica_with_the_support_answers_as_the_server() {
    check_cases("a_replica_with_the_support_answers_as_the_server", 300, |random| {
        if let Err(text) = try_replicas(random) {
            panic!("{text}");
        }
    });
}
