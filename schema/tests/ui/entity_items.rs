use tercet_schema::{Entity, EntityType, Id};

#[derive(Entity)]
struct NoType {
    id: Id<NoType>,
}

#[derive(Entity)]
#[entity(type = "user")]
enum Kind {
    A,
}

#[derive(Entity)]
#[entity(type = "user")]
struct Pair(Id<Pair>, String);

#[derive(Entity)]
#[entity(type = "a/b")]
struct Slash {
    id: Id<Slash>,
}

#[derive(Entity)]
#[entity(typ = "user")]
struct Misspelt {
    id: Id<Misspelt>,
}

fn main() {
    let _: Option<EntityType> = None;
}
