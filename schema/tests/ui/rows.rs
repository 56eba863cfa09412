//! Structs that are no row of an answer.

use std::collections::HashMap;

use tercet_schema::FromRow;

#[derive(FromRow)]
struct Unread {
    settings: HashMap<String, String>,
}

#[derive(FromRow)]
struct Options {
    #[row(colum = "?name")]
    name: String,
    #[row(column = "")]
    age: i64,
}

#[derive(FromRow)]
struct Pair(String, i64);

#[derive(FromRow)]
struct Empty {}

#[derive(FromRow)]
enum Either {
    Left,
}

fn main() {}
