//! Names of Rust items as the database stores them, and the errors about them.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::{LitStr, Path};

/// The longest attribute, in bytes; as in the engine, which checks it again.
const ATTRIBUTE_BYTES_MAX: usize = 256;

/// How the words of a Rust name are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Case {
    /// `is_active`.
    #[default]
    Snake,
    /// `isActive`.
    Camel,
    /// `is-active`.
    Kebab,
}

impl Case {
    /// Reads `rename_all = "…"`.
    pub(crate) fn parse(meta: &ParseNestedMeta<'_>) -> syn::Result<Case> {
        let text: LitStr = meta.value()?.parse()?;
        match text.value().as_str() {
            "snake_case" => Ok(Case::Snake),
            "camelCase" => Ok(Case::Camel),
            "kebab-case" => Ok(Case::Kebab),
            other => Err(syn::Error::new(
                text.span(),
                format!("`{other}` is no case; one of `snake_case`, `camelCase`, `kebab-case`"),
            )),
        }
    }

    /// The name of a Rust identifier, which is in snake case (fields) or Pascal case (variants).
    pub(crate) fn apply(self, ident: &str) -> String {
        let words = words(ident.trim_start_matches("r#"));
        match self {
            Case::Snake => words.join("_"),
            Case::Kebab => words.join("-"),
            Case::Camel => {
                let (first, rest) = words.split_first().expect("an identifier has a word");
                rest.iter().fold(first.clone(), |name, word| name + &capitalize(word))
            }
        }
    }
}

/// The words of an identifier, in lower case. A leading underscore stays with its word: whether
/// such a name may be stored is for the check of attributes to say.
fn words(ident: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in ident.chars() {
        let word = words.last_mut().expect("there is always a word");
        let begins = character == '_' && !word.trim_matches('_').is_empty();
        if begins {
            words.push(String::new());
        } else if character.is_uppercase() && was_lower {
            words.push(character.to_lowercase().collect());
        } else {
            word.extend(character.to_lowercase());
        }
        was_lower = character.is_lowercase() || character.is_numeric();
    }
    if words.len() > 1 && words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    words
}

fn capitalize(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

/// Reads `crate = "path"`.
pub(crate) fn parse_crate(meta: &ParseNestedMeta<'_>) -> syn::Result<Path> {
    meta.value()?.parse::<LitStr>()?.parse()
}

/// Why a text is no attribute, by the rules of the engine.
pub(crate) fn check_attribute(attribute: &str, span: Span) -> syn::Result<()> {
    let error = |why: String| Err(syn::Error::new(span, why));
    let Some((kind, field)) = attribute.split_once('/') else {
        return error(format!("`{attribute}` is no attribute; write it as type/field"));
    };
    if kind.is_empty() || field.is_empty() {
        return error(format!("`{attribute}` is no attribute: a half of type/field is empty"));
    }
    if kind.starts_with('_') || field.starts_with('_') {
        return error(format!(
            "`{attribute}` is internal to the database: names must not start with `_`; \
             store it under another name with `rename`"
        ));
    }
    if attribute.chars().any(char::is_control) {
        return error("an attribute must not contain control characters".to_owned());
    }
    if attribute.len() > ATTRIBUTE_BYTES_MAX {
        return error(format!(
            "an attribute has at most {ATTRIBUTE_BYTES_MAX} bytes, this one has {}",
            attribute.len()
        ));
    }
    Ok(())
}

/// Collects errors, so that one compilation reports all of them.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// Keeps the error of a result.
    pub(crate) fn take<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.push(error);
                None
            }
        }
    }

    /// Keeps an error.
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    /// All errors kept, if there are any.
    pub(crate) fn finish(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_the_case_asked_for() {
        let cases = [
            ("is_active", ["is_active", "isActive", "is-active"]),
            ("name", ["name", "name", "name"]),
            ("r#type", ["type", "type", "type"]),
            ("ReadOnly", ["read_only", "readOnly", "read-only"]),
            ("Sha256Sum", ["sha256_sum", "sha256Sum", "sha256-sum"]),
            ("in_", ["in", "in", "in"]),
            ("_hidden", ["_hidden", "_hidden", "_hidden"]),
            ("a__b", ["a__b", "a_b", "a-_b"]),
        ];
        for (ident, expected) in cases {
            let names = [Case::Snake, Case::Camel, Case::Kebab].map(|case| case.apply(ident));
            assert_eq!(names, expected, "{ident}");
        }
    }

    #[test]
    fn an_attribute_is_checked_as_the_engine_does() {
        let check = |text: &str| check_attribute(text, Span::call_site()).is_ok();
        assert!(check("user/name") && check("a/b/c") && check("größe/wert"));
        for bad in ["user", "/x", "x/", "_a/b", "a/_b", "a/\n"] {
            assert!(!check(bad), "{bad}");
        }
        assert!(!check(&format!("a/{}", "b".repeat(255))));
    }
}
