use std::collections::HashMap;

use tercet_schema::{Entity, Id, Ref};

struct Plain;

#[derive(Entity)]
#[entity(type = "user")]
struct User {
    id: Id<User>,
    settings: HashMap<String, String>,
    plain: Ref<Plain>,
}

#[derive(Entity)]
#[entity(type = "page")]
struct Page {
    id: String,
}

fn main() {}
