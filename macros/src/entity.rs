//! `#[derive(Entity)]`: a struct as an entity.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Expr, ExprLit, Field, Fields, Ident, Lit, LitStr, Path, Token,
    parse_quote,
};

use crate::names::{Case, Errors, check_attribute, parse_crate};

/// The options on the struct.
struct Options {
    type_name: String,
    case: Case,
    krate: Path,
}

/// A field and what its options say of it.
struct Described<'a> {
    field: &'a Field,
    ident: &'a Ident,
    is_id: bool,
    rename: Option<LitStr>,
    attribute: Option<LitStr>,
    default: Option<Expr>,
}

/// A field that is stored.
struct Stored<'a> {
    field: &'a Field,
    ident: &'a Ident,
    attribute: String,
    default: Option<TokenStream>,
}

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = named_fields(input)?;
    let options = options(input)?;
    let mut errors = Errors::default();
    if let Some(parameter) = input.generics.params.first() {
        // One definition is kept for the type, and would be shared by all its instances.
        let why = "an entity has one definition, so its struct has no parameters";
        errors.push(syn::Error::new_spanned(parameter, why));
    }
    let mut described: Vec<Described<'_>> =
        fields.iter().filter_map(|field| errors.take(describe(field))).collect();
    let id = errors.take(take_id(&mut described, &input.ident));
    let mut stored: Vec<Stored<'_>> = Vec::new();
    for described in described {
        let Some(field) = errors.take(store(described, &options)) else { continue };
        if let Some(other) = stored.iter().find(|other| other.attribute == field.attribute) {
            let why = format!("`{}` is where `{}` is stored already", field.attribute, other.ident);
            errors.push(syn::Error::new_spanned(field.ident, why));
        }
        stored.push(field);
    }
    errors.finish()?;
    let id = id.expect("without an id there was an error");
    Ok(expand(input, &options, id, &stored))
}

fn named_fields(input: &DeriveInput) -> syn::Result<&Punctuated<Field, Token![,]>> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(&fields.named),
            Fields::Unnamed(_) | Fields::Unit => Err(syn::Error::new_spanned(
                &input.ident,
                "an entity is a struct with named fields: their names are stored",
            )),
        },
        Data::Enum(_) | Data::Union(_) => Err(syn::Error::new_spanned(
            &input.ident,
            "an entity is a struct; for an enum of texts derive `Union`",
        )),
    }
}

fn entity_attrs(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("entity"))
}

fn options(input: &DeriveInput) -> syn::Result<Options> {
    let (mut type_name, mut case) = (None::<LitStr>, Case::Snake);
    let mut krate = parse_quote!(::tercet_schema);
    for attr in entity_attrs(&input.attrs) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("type") {
                type_name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("rename_all") {
                case = Case::parse(&meta)?;
            } else if meta.path.is_ident("crate") {
                krate = parse_crate(&meta)?;
            } else {
                return Err(meta.error("a struct takes `type`, `rename_all` and `crate`"));
            }
            Ok(())
        })?;
    }
    let Some(type_name) = type_name else {
        let why = "an entity needs its type: add `#[entity(type = \"…\")]`, \
                   the first half of its attributes";
        return Err(syn::Error::new_spanned(&input.ident, why));
    };
    if type_name.value().contains('/') {
        return Err(syn::Error::new(type_name.span(), "a type's name must not contain `/`"));
    }
    check_attribute(&format!("{}/x", type_name.value()), type_name.span())?;
    Ok(Options { type_name: type_name.value(), case, krate })
}

fn describe(field: &Field) -> syn::Result<Described<'_>> {
    let ident = field.ident.as_ref().expect("the fields are named");
    let (rename, attribute, default) = (None, None, None);
    let mut described = Described { field, ident, is_id: false, rename, attribute, default };
    for attr in entity_attrs(&field.attrs) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("id") {
                described.is_id = true;
            } else if meta.path.is_ident("rename") {
                described.rename = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("attribute") {
                described.attribute = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("default") {
                let given = meta.input.peek(Token![=]);
                described.default = Some(if given {
                    meta.value()?.parse()?
                } else {
                    parse_quote!(::core::default::Default::default())
                });
            } else {
                let why = "a field takes `id`, `rename`, `attribute` and `default`";
                return Err(meta.error(why));
            }
            Ok(())
        })?;
    }
    Ok(described)
}

/// Takes the id field out: the one that says so, or else the one of that name.
fn take_id<'a>(fields: &mut Vec<Described<'a>>, name: &Ident) -> syn::Result<&'a Field> {
    let mut marked = fields.iter().enumerate().filter(|(_, field)| field.is_id);
    let chosen = marked.next().map(|(index, _)| index);
    if let Some((_, second)) = marked.next() {
        return Err(syn::Error::new_spanned(second.ident, "an entity has one id"));
    }
    let named = || fields.iter().position(|field| field.ident == "id");
    let Some(index) = chosen.or_else(named) else {
        let why = "an entity needs an id: add a field `id: Id<Self>` (or `EntityId`), \
                   or mark one with `#[entity(id)]`";
        return Err(syn::Error::new_spanned(name, why));
    };
    let id = fields.remove(index);
    if id.rename.is_some() || id.attribute.is_some() || id.default.is_some() {
        let why = "the id is no stored field: it takes no other option";
        return Err(syn::Error::new_spanned(id.ident, why));
    }
    Ok(id.field)
}

fn store<'a>(field: Described<'a>, options: &Options) -> syn::Result<Stored<'a>> {
    let Described { field, ident, rename, attribute, default, .. } = field;
    let (attribute, span): (String, Span) = match (attribute, rename) {
        (Some(whole), Some(_)) => {
            let why = "`attribute` is the whole name; leave `rename` out";
            return Err(syn::Error::new(whole.span(), why));
        }
        (Some(whole), None) => (whole.value(), whole.span()),
        (None, Some(half)) => (format!("{}/{}", options.type_name, half.value()), half.span()),
        (None, None) => {
            let name = options.case.apply(&ident.to_string());
            (format!("{}/{name}", options.type_name), ident.span())
        }
    };
    check_attribute(&attribute, span)?;
    Ok(Stored { field, ident, attribute, default: default.map(|expr| default_value(&expr)) })
}

/// The expression of a default. A string literal becomes whatever the field is, as one expects of
/// `default = "x"` on a `String`; other expressions are of the field's type already.
fn default_value(expr: &Expr) -> TokenStream {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => {
            quote_spanned!(expr.span()=> ::core::convert::Into::into(#expr))
        }
        _ => quote!(#expr),
    }
}

fn expand(
    input: &DeriveInput,
    options: &Options,
    id: &Field,
    stored: &[Stored<'_>],
) -> TokenStream {
    let Options { type_name, krate, .. } = options;
    let name = &input.ident;
    let (id_ident, id_type) = (&id.ident, &id.ty);
    let specs = stored.iter().map(|field| spec(field, krate));
    let puts = stored.iter().enumerate().map(|(index, Stored { ident, field, .. })| {
        quote_spanned!(field.ty.span()=> draft.put(#index, &self.#ident);)
    });
    let reads = stored.iter().enumerate().map(|(index, field)| read(index, field, krate));
    quote! {
        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #krate::Entity for #name {
            const TYPE: &'static str = #type_name;

            fn definition() -> &'static #krate::EntityType {
                static DEFINITION: ::std::sync::OnceLock<#krate::EntityType> =
                    ::std::sync::OnceLock::new();
                DEFINITION.get_or_init(|| {
                    #krate::EntityType::builder(#type_name)
                        #(.field #specs)*
                        .build()
                        .expect("the derive has checked the names")
                })
            }

            fn entity_id(&self) -> &#krate::derive_support::EntityId {
                <#id_type as #krate::Key>::as_entity_id(&self.#id_ident)
            }

            fn to_draft(&self) -> #krate::derive_support::Draft {
                let mut draft = #krate::derive_support::Draft::new(
                    <Self as #krate::Entity>::definition(),
                    <Self as #krate::Entity>::entity_id(self),
                );
                #(#puts)*
                draft
            }

            fn from_record(
                record: &#krate::Record,
            ) -> ::core::result::Result<Self, #krate::SchemaError> {
                ::core::result::Result::Ok(Self {
                    #id_ident: <#id_type as #krate::Key>::from_entity_id(
                        ::core::clone::Clone::clone(record.entity()),
                    ),
                    #(#reads,)*
                })
            }
        }
    }
}

/// The arguments of `EntityTypeBuilder::field`. Spanned at the field's type, so that a type that
/// is none of a field's is an error there.
fn spec(field: &Stored<'_>, krate: &Path) -> TokenStream {
    let (name, attribute, ty) = (field.ident.to_string(), &field.attribute, &field.field.ty);
    let name = name.trim_start_matches("r#");
    let spec = match &field.default {
        Some(default) => quote_spanned!(ty.span()=> {
            let default: #ty = #default;
            #krate::derive_support::default_of(&default)
        }),
        None => quote_spanned!(ty.span()=> <#ty as #krate::FieldValue>::spec()),
    };
    quote!((#name, #spec.attribute(#attribute)))
}

fn read(index: usize, field: &Stored<'_>, krate: &Path) -> TokenStream {
    let (ident, ty) = (field.ident, &field.field.ty);
    match &field.default {
        Some(default) => quote_spanned! {ty.span()=>
            #ident: match #krate::derive_support::field::<#ty>(record, #index) {
                ::core::result::Result::Ok(value) => value,
                ::core::result::Result::Err(_) => #default,
            }
        },
        None => quote_spanned! {ty.span()=>
            #ident: #krate::derive_support::field::<#ty>(record, #index)?
        },
    }
}
