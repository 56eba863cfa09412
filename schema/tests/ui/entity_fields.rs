use tercet_engine::ids::EntityId;
use tercet_schema::Entity;

// All of these are reported in one go.
#[derive(Entity)]
#[entity(type = "user")]
struct User<T> {
    #[entity(id)]
    first: EntityId,
    #[entity(id)]
    second: EntityId,
    generic: T,
    _hidden: String,
    name: String,
    #[entity(rename = "name")]
    other: String,
    #[entity(attribute = "name")]
    third: String,
    #[entity(optional)]
    age: Option<i64>,
}

#[derive(Entity)]
#[entity(type = "post")]
struct WithoutId {
    title: String,
}

fn main() {}
