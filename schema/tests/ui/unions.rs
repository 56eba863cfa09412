use tercet_schema::Union;

#[derive(Union)]
enum Role {
    Admin,
    #[union(rename = "admin")]
    Root,
    Named(String),
}

#[derive(Union)]
enum Nothing {}

#[derive(Union)]
#[union(rename_all = "Title Case")]
enum Cased {
    A,
}

fn main() {}
