//! `#[derive(FromRow)]`: a struct as a row of an answer.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Field, Fields, LitStr, Path, parse_quote};

use crate::names::{Errors, parse_crate};

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let why = "a row is a struct with named fields: its columns are found by their names";
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new_spanned(&input.ident, why));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new_spanned(&input.ident, why));
    };
    let mut errors = Errors::default();
    let krate = errors.take(krate_of(input));
    let columns: Vec<Option<String>> =
        fields.named.iter().map(|field| errors.take(column_of(field))).collect();
    if fields.named.is_empty() {
        errors.push(syn::Error::new_spanned(&input.ident, "a row has at least one field"));
    }
    errors.finish()?;
    let krate = krate.expect("without it there was an error");
    let columns = columns.into_iter().flatten();
    let (name, owner) = (&input.ident, input.ident.to_string());
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let binds = columns.map(|column| quote!(#krate::row::by_name(columns, #column, #owner)?));
    let reads = fields.named.iter().enumerate().map(|(position, field)| {
        let (ident, ty) = (field.ident.as_ref().expect("the fields are named"), &field.ty);
        let text = ident.to_string();
        let text = text.trim_start_matches("r#");
        // Spanned at the type, so that one that is no column is an error there.
        quote_spanned! {ty.span()=>
            #ident: cells.read::<#ty>(
                #position,
                ::core::option::Option::Some((#text, #owner)),
            )?
        }
    });
    Ok(quote! {
        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #impl_generics #krate::FromRow for #name #type_generics #where_clause {
            fn bind(
                columns: &[::std::sync::Arc<str>],
            ) -> ::core::result::Result<::std::vec::Vec<usize>, #krate::RowError> {
                ::core::result::Result::Ok(::std::vec![#(#binds),*])
            }

            fn from_row(
                cells: #krate::row::Cells<'_>,
            ) -> ::core::result::Result<Self, #krate::RowError> {
                ::core::result::Result::Ok(Self { #(#reads,)* })
            }
        }
    })
}

fn krate_of(input: &DeriveInput) -> syn::Result<Path> {
    let mut krate = parse_quote!(::tercet_schema);
    for attr in input.attrs.iter().filter(|attr| attr.path().is_ident("row")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("a struct takes `crate`"));
            }
            krate = parse_crate(&meta)?;
            Ok(())
        })?;
    }
    Ok(krate)
}

/// The column of a field: what its option says, else its own name.
fn column_of(field: &Field) -> syn::Result<String> {
    let ident = field.ident.as_ref().expect("the fields are named").to_string();
    let mut column = ident.trim_start_matches("r#").to_owned();
    for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("row")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("column") {
                return Err(meta.error("a field takes `column`"));
            }
            let text: LitStr = meta.value()?.parse()?;
            if text.value().is_empty() {
                return Err(syn::Error::new(text.span(), "a column has a name"));
            }
            column = text.value();
            Ok(())
        })?;
    }
    Ok(column)
}
