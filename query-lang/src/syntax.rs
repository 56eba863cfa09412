//! Which characters and words may stand where: the one definition of symbols, numbers and
//! reserved names.
//!
//! The lexer, the JSON reader, the builder and the printer must agree on it, or a program could
//! be made by one front end and be unprintable by another. What the words mean is left out.

use tercet_engine::value::Value;

use crate::problem::Problem;

/// Words that open a clause in a list and so cannot name a rule.
const CLAUSE_WORDS: [&str; 5] = ["and", "not", "not-join", "or", "or-join"];

/// Functions that people call without the brackets of a predicate; they cannot name a rule.
const FUNCTION_WORDS: [&str; 14] =
    ["=", "==", "!=", "not=", "<", "<=", ">", ">=", "+", "-", "*", "/", "ground", "missing?"];

/// A run of characters that is not punctuation, as it is read.
pub(crate) enum Atom<'text> {
    /// `name`, `?x`, `_`, `...`.
    Symbol(&'text str),
    /// `:user/name`, without the colon.
    Keyword(&'text str),
    /// `true`, `false` or a number.
    Value(Value),
    /// Something that looks like one of them and is none.
    Bad(Problem),
}

/// Reads a run of atom characters.
pub(crate) fn read_atom(text: &str) -> Atom<'_> {
    match text {
        "true" => return Atom::Value(Value::Boolean(true)),
        "false" => return Atom::Value(Value::Boolean(false)),
        "nil" | "null" => return Atom::Bad(Problem::null(text)),
        _ => {}
    }
    if let Some(name) = text.strip_prefix(':') {
        return match name {
            "" => Atom::Bad(Problem::new("query_syntax", "a keyword needs a name after `:`")),
            _ if name.starts_with(':') => Atom::Bad(
                Problem::new("query_syntax", format!("`{text}` is not a keyword"))
                    .hint("write one colon, and the whole attribute: `:user/name`"),
            ),
            _ => Atom::Keyword(name),
        };
    }
    if looks_like_number(text) {
        return read_number(text).map_or_else(Atom::Bad, Atom::Value);
    }
    Atom::Symbol(text)
}

fn looks_like_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|first: char| first.is_ascii_digit())
}

fn read_number(text: &str) -> Result<Value, Problem> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, rest) = split_digits(unsigned);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
        return Err(not_a_number(text));
    }
    if rest.is_empty() {
        return text.parse().map(Value::int).map_err(|_| {
            Problem::new("integer_malformed", format!("`{text}` is not an integer of 64 bits"))
                .hint(format!("write `{text}.0` for the nearest double"))
        });
    }
    if !is_fraction_and_exponent(rest) {
        return Err(not_a_number(text));
    }
    let double: f64 = text.parse().map_err(|_| not_a_number(text))?;
    Value::double(double).map_err(|error| {
        Problem::new(error.code(), format!("`{text}` is beyond the range of doubles"))
    })
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// `.5`, `e10`, `.5e-3`.
fn is_fraction_and_exponent(text: &str) -> bool {
    let exponent = match text.strip_prefix('.') {
        Some(fraction) => match split_digits(fraction) {
            ("", _) => return false,
            (_, rest) => rest,
        },
        None => text,
    };
    let Some(power) = exponent.strip_prefix(['e', 'E']) else {
        return exponent.is_empty();
    };
    let (digits, rest) = split_digits(power.strip_prefix(['+', '-']).unwrap_or(power));
    !digits.is_empty() && rest.is_empty()
}

fn not_a_number(text: &str) -> Problem {
    let problem = Problem::new("query_number", format!("`{text}` is not a number"));
    match text.strip_suffix(['N', 'M']) {
        Some(plain) => problem.hint(format!("numbers have no suffix here: write `{plain}`")),
        None if text.starts_with(['0', '+', '-']) => {
            problem.hint("write it as 12, -7, 0.5 or 6.02e23, without leading zeros")
        }
        None => problem.hint("write it as 12, -7, 0.5 or 6.02e23; text goes in double quotes"),
    }
}

/// Whether a character may stand inside an atom.
fn is_atom_character(character: char) -> bool {
    !character.is_whitespace() && !",()[]{}\";@^~`\\".contains(character)
}

/// Whether `?name` reads back as this variable.
pub(crate) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_atom_character)
}

/// Whether `:name` reads back as this keyword.
pub(crate) fn is_keyword_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(':') && name.chars().all(is_atom_character)
}

/// Whether the text reads back as a symbol that is neither a variable nor punctuation: the name
/// of a function, rule or output.
pub(crate) fn is_plain_symbol(text: &str) -> bool {
    !matches!(text, "" | "_" | "." | "...")
        && !text.starts_with(['?', '$', '%', '#', '\''])
        && text.chars().all(is_atom_character)
        && matches!(read_atom(text), Atom::Symbol(_))
}

/// Whether a list that starts with this word is a clause of the language, not a rule call.
pub(crate) fn is_clause_word(text: &str) -> bool {
    CLAUSE_WORDS.contains(&text)
}

/// Whether this names a function so plainly that a rule of that name would only confuse.
pub(crate) fn is_function_word(text: &str) -> bool {
    FUNCTION_WORDS.contains(&text) || text == "get-else"
}

/// Which argument of a function is an attribute, so that a string there names one.
pub(crate) fn attribute_argument(function: &str) -> Option<usize> {
    matches!(function, "missing?" | "get-else").then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_strictly() {
        let number = |text: &str| read_number(text).map_err(|problem| problem.code);
        assert_eq!(number("+7"), Ok(Value::int(7)));
        assert_eq!(number("-0"), Ok(Value::int(0)));
        assert_eq!(number("1.0"), Ok(Value::int(1)));
        assert_eq!(number("-9223372036854775808"), Ok(Value::int(i64::MIN)));
        assert_eq!(number("9223372036854775808"), Err("integer_malformed"));
        assert_eq!(number("1e999"), Err("number_not_finite"));
        for bad in ["007", "1.", ".5", "1e", "1e+", "12N", "1/2", "0x10", "1.5.2"] {
            assert_eq!(number(bad), Err("query_number"), "{bad}");
        }
    }

    #[test]
    fn names_that_text_cannot_carry_are_refused() {
        for good in ["name", "<", "starts-with?", "+", "größe", "a#b", "a'b", "-"] {
            assert!(is_plain_symbol(good), "{good}");
        }
        for bad in ["", "a b", "?x", "_", "...", "5x", "-1", "true", "nil", ":k", "#x", "a(b", "$"]
        {
            assert!(!is_plain_symbol(bad), "{bad}");
        }
    }
}
