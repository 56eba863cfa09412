//! `#[derive(Entity)]` and `#[derive(FromRow)]` for structs, `#[derive(Union)]` for enums of texts.
//!
//! The derives exist so that a program states its types once. They write only what needs the
//! shape of the item: names, order and fallbacks of fields. Every rule about values is ordinary
//! code in `tercet-schema`, where it can be read and tested. What can be known to be wrong here
//! (names that make no attribute, two fields of one attribute) is an error at its place, all of
//! them at once. The attributes are explained at the traits, in `tercet-schema`.

mod entity;
mod names;
mod row;
mod union;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct an entity; see the trait of the same name in `tercet-schema`.
#[proc_macro_derive(Entity, attributes(entity))]
pub fn derive_entity(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    entity::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes an enum without data a union of texts, the values of a field.
///
/// The text of a variant is its name in snake case: `ReadOnly` is `"read_only"`.
/// `#[union(rename_all = "camelCase")]` on the enum changes the case (also `"kebab-case"`),
/// `#[union(rename = "ro")]` on a variant gives its text, and `#[union(crate = "path")]` says
/// where `tercet_schema` is found. A stored text that is none of them reads as absent.
#[proc_macro_derive(Union, attributes(union))]
pub fn derive_union(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    union::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a struct a row of an answer; see the trait of the same name in `tercet-schema`.
#[proc_macro_derive(FromRow, attributes(row))]
pub fn derive_from_row(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    row::derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
