//! What the derives say about a wrong item: golden compiler messages, one file an item.
//! `TRYBUILD=overwrite` refreshes them; review the difference.

#[test]
fn compile_errors_name_the_place_and_the_remedy() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
