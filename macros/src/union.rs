//! `#[derive(Union)]`: an enum without data as one of several texts.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, Ident, LitStr, Path, Variant, parse_quote};

use crate::names::{Case, Errors, parse_crate};

/// The options on the enum.
struct Options {
    case: Case,
    krate: Path,
}

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(syn::Error::new_spanned(&input.ident, "a union is an enum of texts"));
    };
    let options = options(input)?;
    let mut errors = Errors::default();
    let mut variants: Vec<(&Ident, String)> = Vec::new();
    for variant in &data.variants {
        let Some(text) = errors.take(text(variant, options.case)) else { continue };
        if let Some((other, _)) = variants.iter().find(|(_, other)| *other == text) {
            let why = format!("`{text}` is the text of `{other}` already");
            errors.push(syn::Error::new_spanned(&variant.ident, why));
        }
        variants.push((&variant.ident, text));
    }
    if data.variants.is_empty() {
        let why = "a union has at least one text, so the enum needs a variant";
        errors.push(syn::Error::new_spanned(&input.ident, why));
    }
    errors.finish()?;
    Ok(expand(input, &options.krate, &variants))
}

fn options(input: &DeriveInput) -> syn::Result<Options> {
    let mut options = Options { case: Case::Snake, krate: parse_quote!(::tercet_schema) };
    for attr in input.attrs.iter().filter(|attr| attr.path().is_ident("union")) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename_all") {
                options.case = Case::parse(&meta)?;
            } else if meta.path.is_ident("crate") {
                options.krate = parse_crate(&meta)?;
            } else {
                return Err(meta.error("an enum takes `rename_all` and `crate`"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

/// The text of a variant.
fn text(variant: &Variant, case: Case) -> syn::Result<String> {
    if !matches!(variant.fields, Fields::Unit) {
        let why = "a variant of a union is a text alone and holds no data";
        return Err(syn::Error::new_spanned(&variant.fields, why));
    }
    let mut text = case.apply(&variant.ident.to_string());
    for attr in variant.attrs.iter().filter(|attr| attr.path().is_ident("union")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("a variant takes `rename`"));
            }
            text = meta.value()?.parse::<LitStr>()?.value();
            Ok(())
        })?;
    }
    Ok(text)
}

fn expand(input: &DeriveInput, krate: &Path, variants: &[(&Ident, String)]) -> TokenStream {
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let idents = variants.iter().map(|(ident, _)| ident);
    let read = idents.clone();
    let texts: Vec<&String> = variants.iter().map(|(_, text)| text).collect();
    quote! {
        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #impl_generics #krate::Scalar for #name #type_generics #where_clause {
            fn field_type() -> #krate::FieldType {
                #krate::FieldType::Union { options: [#(#texts.into()),*].into() }
            }

            fn to_value(&self) -> ::core::result::Result<#krate::derive_support::Value, #krate::Fault> {
                ::core::result::Result::Ok(::core::convert::Into::into(match self {
                    #(Self::#idents => #texts,)*
                }))
            }

            fn from_value(value: &#krate::derive_support::Value) -> ::core::option::Option<Self> {
                Self::from_value_ref(::core::convert::Into::into(value))
            }

            fn from_value_ref(
                value: #krate::derive_support::ValueRef<'_>,
            ) -> ::core::option::Option<Self> {
                match value.as_str()? {
                    #(#texts => ::core::option::Option::Some(Self::#read),)*
                    _ => ::core::option::Option::None,
                }
            }
        }
    }
}
