//! Tercet embedded: a Datalog database in a Rust program.
