//! Tokens of EDN text, and the strings among them decoded.
//!
//! Whitespace, commas and comments are skipped here. Text that starts no token comes out as an
//! error of one character; an unclosed string is a token of its own, so that its message can
//! point at where it began.

use logos::Logos;

use crate::problem::Problem;

/// A token; its text is the slice of its span.
#[derive(Logos, Debug, Clone, Copy, PartialEq, Eq)]
#[logos(skip r"[\s,]+")]
#[logos(skip(r";[^\n]*", allow_greedy = true))]
pub(crate) enum Token {
    #[token("(")]
    OpenList,
    #[token(")")]
    CloseList,
    #[token("[")]
    OpenVector,
    #[token("]")]
    CloseVector,
    #[token("{")]
    OpenMap,
    #[token("#{")]
    OpenSet,
    #[token("}")]
    CloseBrace,
    /// Drops the next form.
    #[token("#_")]
    Discard,
    /// `#inst`, `#ref`: what the next form is.
    #[regex(r##"#[A-Za-z][^\s,()\[\]{}";@^~`\\]*"##)]
    Tag,
    /// `##NaN`, `##Inf`.
    #[regex(r##"##[A-Za-z-]*"##)]
    Symbolic,
    #[regex(r##""([^"\\]|\\[\s\S])*""##)]
    Text,
    /// A string that is never closed.
    #[regex(r##""([^"\\]|\\[\s\S])*\\?"##)]
    TextOpen,
    /// `\c`: a character, which EDN has and this language has not.
    #[regex(r##"\\[^\s,()\[\]{}";]*"##)]
    Character,
    /// A symbol, keyword, number or constant.
    #[regex(r##"[^\s,()\[\]{}";#@^~`'\\][^\s,()\[\]{}";@^~`\\]*"##)]
    Atom,
}

/// Decodes a string token with its quotes. A problem comes with the byte range, inside the
/// token, of the escape that is wrong.
pub(crate) fn decode_string(token: &str) -> Result<String, (std::ops::Range<usize>, Problem)> {
    let inner = &token[1..token.len() - 1];
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = &rest[at..];
        let start = token.len() - 1 - escape.len();
        let (character, n_bytes) = decode_escape(escape)
            .map_err(|(n_bytes, problem)| (start..start + n_bytes, problem))?;
        text.push(character);
        rest = &escape[n_bytes..];
    }
    text.push_str(rest);
    Ok(text)
}

/// The character that an escape stands for, and how many bytes the escape has.
fn decode_escape(escape: &str) -> Result<(char, usize), (usize, Problem)> {
    let letter = escape[1..].chars().next().expect("the lexer pairs every backslash");
    let character = match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        '\\' | '"' => letter,
        'u' => return decode_unicode(escape),
        _ => {
            let problem = Problem::new(
                "query_string",
                format!("unknown escape `\\{}`", letter.escape_debug()),
            )
            .hint("known escapes: \\n \\t \\r \\\\ \\\" and \\u with four hex digits");
            return Err((1 + letter.len_utf8(), problem));
        }
    };
    Ok((character, 2))
}

/// `\u00e9`, or two of them for a character beyond 16 bits, as JSON writes it.
fn decode_unicode(escape: &str) -> Result<(char, usize), (usize, Problem)> {
    let unit = |at: usize| -> Option<u32> {
        let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    let Some(first) = unit(0) else {
        let problem = Problem::new("query_string", "`\\u` needs four hex digits");
        return Err((2, problem));
    };
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 6));
    }
    let pair = unit(6).filter(|second| first < 0xdc00 && (0xdc00..0xe000).contains(second));
    let character = pair
        .and_then(|second| char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)));
    match character {
        Some(character) => Ok((character, 12)),
        None => Err((6, Problem::new("query_string", "half of a surrogate pair is no character"))),
    }
}
