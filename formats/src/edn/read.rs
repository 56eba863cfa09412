//! EDN text to tokens and forms, from a stream.
//!
//! Invariants: at most one form of at most [`FORM_BYTES_MAX`] bytes is held; brackets nest at most
//! [`NESTING_MAX`] deep; every byte string gives tokens and then an error or the end. Beyond the
//! specification the escapes `\f`, `\b`, `\uXXXX` and `\oNNN` are known, which Clojure prints and reads.

use std::io::BufRead;
use std::sync::Arc;

use super::form::{At, Bracket, Form, Kind};
use crate::error::{FormatError, Place};
use crate::ndjson::LINE_BYTES_MAX;

/// The longest form that is held as a whole: a datom, an entity map, a schema.
pub(super) const FORM_BYTES_MAX: usize = LINE_BYTES_MAX;

/// How deep brackets may nest.
pub(super) const NESTING_MAX: usize = 64;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Open(Bracket),
    OpenMap,
    /// `]`, `)` or `}`.
    Close(u8),
    Tag(String),
    /// Leave the next form out.
    Discard,
    Atom(Kind),
}

/// A reader of tokens.
pub(super) struct Reader<Input> {
    input: Input,
    name: Arc<str>,
    at: At,
    n_bytes: u64,
    /// Read and given back.
    peeked: Option<(At, Token)>,
    /// Bytes left for the present form.
    n_bytes_left: usize,
    /// Forms that are being read, one within the other.
    depth: usize,
}

/// What a form costs of its bound beside its text: about what it takes in memory.
const FORM_COST: usize = 32;

impl<Input: BufRead> Reader<Input> {
    pub(super) fn new(input: Input, name: &str) -> Reader<Input> {
        let at = At { line: 1, column: 1 };
        let n_bytes_left = FORM_BYTES_MAX;
        Reader { input, name: name.into(), at, n_bytes: 0, peeked: None, n_bytes_left, depth: 0 }
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    pub(super) fn place(&self, at: At) -> Place {
        Place::line(&self.name, at.line).at_column(at.column)
    }

    pub(super) fn malformed(&self, at: At, message: impl Into<String>) -> FormatError {
        FormatError::malformed(self.place(at), "malformed", message)
    }

    /// A form has been used up: the next one has the whole bound again.
    pub(super) fn form_done(&mut self) {
        self.n_bytes_left = FORM_BYTES_MAX;
    }

    /// Looks at the next token.
    pub(super) fn peek(&mut self) -> Result<Option<&Token>, FormatError> {
        if self.peeked.is_none() {
            self.peeked = self.next()?;
        }
        Ok(self.peeked.as_ref().map(|(_, token)| token))
    }

    /// Takes the next token, what is discarded left out.
    pub(super) fn next(&mut self) -> Result<Option<(At, Token)>, FormatError> {
        if let Some(peeked) = self.peeked.take() {
            return Ok(Some(peeked));
        }
        // `#_ #_ a b` leaves out two forms.
        let mut n_discarded = 0_u64;
        loop {
            match self.token()? {
                Some((_, Token::Discard)) => n_discarded += 1,
                Some((at, token)) if n_discarded > 0 => {
                    self.form_from(at, token)?;
                    n_discarded -= 1;
                }
                None if n_discarded > 0 => return Err(self.cut_short()),
                other => return Ok(other),
            }
        }
    }

    /// Takes the next form whole.
    pub(super) fn form(&mut self) -> Result<Form, FormatError> {
        match self.next()? {
            Some((at, token)) => self.form_from(at, token),
            None => Err(self.cut_short()),
        }
    }

    /// Completes the form that begins with a token.
    pub(super) fn form_from(&mut self, at: At, token: Token) -> Result<Form, FormatError> {
        self.spend(FORM_COST)?;
        self.depth += 1;
        if self.depth > NESTING_MAX {
            let message = format!("brackets nest deeper than {NESTING_MAX}");
            return Err(FormatError::malformed(self.place(at), "too_deep", message));
        }
        let kind = match token {
            Token::Atom(kind) => kind,
            Token::Open(bracket) => Kind::Sequence(bracket, self.forms(bracket_end(bracket))?),
            Token::OpenMap => {
                let forms = self.forms(b'}')?;
                if forms.len() % 2 == 1 {
                    return Err(self.malformed(at, "a map has a key without a value"));
                }
                let mut forms = forms.into_iter();
                let pairs = std::iter::from_fn(|| Some((forms.next()?, forms.next()?)));
                Kind::Map(pairs.collect())
            }
            Token::Tag(tag) => Kind::Tagged(tag, Box::new(self.form()?)),
            Token::Close(byte) => return Err(self.unexpected(at, byte)),
            Token::Discard => unreachable!("`next` leaves discarded forms out"),
        };
        self.depth -= 1;
        Ok(Form { at, kind })
    }

    fn forms(&mut self, end: u8) -> Result<Vec<Form>, FormatError> {
        let mut forms = Vec::new();
        loop {
            match self.next()? {
                None => return Err(self.cut_short()),
                Some((_, Token::Close(byte))) if byte == end => return Ok(forms),
                Some((at, token)) => forms.push(self.form_from(at, token)?),
            }
        }
    }

    pub(super) fn unexpected(&self, at: At, byte: u8) -> FormatError {
        self.malformed(at, format!("`{}` closes nothing here", char::from(byte)))
    }

    pub(super) fn cut_short(&self) -> FormatError {
        let message = "the input ends within a form: it was cut short";
        FormatError::malformed(self.place(self.at), "truncated", message)
    }

    fn token(&mut self) -> Result<Option<(At, Token)>, FormatError> {
        let byte = loop {
            match self.peek_byte()? {
                None => return Ok(None),
                Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | 0x0c) => self.bump(),
                Some(b';') => self.skip_comment()?,
                Some(byte) => break byte,
            }
        };
        let at = self.at;
        let token = match byte {
            b'[' => self.taken(Token::Open(Bracket::Vector))?,
            b'(' => self.taken(Token::Open(Bracket::List))?,
            b'{' => self.taken(Token::OpenMap)?,
            b']' | b')' | b'}' => self.taken(Token::Close(byte))?,
            b'"' => Token::Atom(Kind::Str(self.string()?)),
            b'\\' => Token::Atom(Kind::Char(self.character()?)),
            b'#' => self.dispatch(at)?,
            b'^' | b'@' | b'`' | b'~' | b'\'' => {
                let message = format!("`{}` is Clojure, not EDN", char::from(byte));
                return Err(self.malformed(at, message));
            }
            _ => Token::Atom(self.atom(at)?),
        };
        Ok(Some((at, token)))
    }

    fn dispatch(&mut self, at: At) -> Result<Token, FormatError> {
        self.take_byte()?;
        match self.peek_byte()? {
            Some(b'{') => self.taken(Token::Open(Bracket::Set)),
            Some(b'_') => self.taken(Token::Discard),
            Some(b'#') => {
                self.take_byte()?;
                let name = self.word()?;
                let message = format!("`##{name}` is not a value: numbers are finite");
                Err(FormatError::malformed(self.place(at), "number_not_finite", message))
            }
            Some(byte) if byte.is_ascii_alphabetic() => Ok(Token::Tag(self.word()?)),
            _ => Err(self.malformed(at, "`#` begins no form that EDN knows")),
        }
    }

    fn atom(&mut self, at: At) -> Result<Kind, FormatError> {
        let word = self.word()?;
        if word.is_empty() {
            // A byte that neither belongs to a word nor means anything.
            self.bump();
            return Err(self.malformed(at, "this is no EDN"));
        }
        let digits = word.strip_prefix(['+', '-']).unwrap_or(&word);
        if digits.starts_with(|c: char| c.is_ascii_digit()) {
            return self.number(at, &word);
        }
        Ok(match &*word {
            "nil" => Kind::Nil,
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            _ => match word.strip_prefix(':') {
                Some("") => {
                    return Err(self.malformed(at, "a keyword has no name"));
                }
                Some(name) => Kind::Keyword(name.to_owned()),
                None => Kind::Symbol(word),
            },
        })
    }

    fn number(&self, at: At, word: &str) -> Result<Kind, FormatError> {
        let text = word.strip_prefix('+').unwrap_or(word);
        if let Some(decimal) = text.strip_suffix('M') {
            return Ok(Kind::Decimal(decimal.to_owned()));
        }
        let whole = text.strip_suffix('N').unwrap_or(text);
        if let Ok(int) = whole.parse() {
            return Ok(Kind::Int(int));
        }
        let is_whole = whole.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let shown: String = word.chars().take(64).collect();
        if is_whole {
            let message = format!("`{shown}` is not an integer of 64 bits");
            return Err(FormatError::malformed(self.place(at), "integer_malformed", message));
        }
        let is_double = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        match text.parse::<f64>() {
            Ok(double) if is_double => Ok(Kind::Double(double)),
            _ => Err(self.malformed(at, format!("`{shown}` is no number"))),
        }
    }

    /// The letters of a name or number.
    fn word(&mut self) -> Result<String, FormatError> {
        let at = self.at;
        let mut bytes = Vec::new();
        self.take_run(&mut bytes, |byte| byte <= b' ' || b",;\"()[]{}^@`~\\".contains(&byte))?;
        self.text(at, bytes)
    }

    fn character(&mut self) -> Result<char, FormatError> {
        let at = self.at;
        self.take_byte()?;
        let mut bytes = Vec::new();
        if let Some(byte) = self.peek_byte()? {
            // Also one that would end a word: `\(` is a character.
            bytes.push(byte);
            self.take_byte()?;
        }
        bytes.extend(self.word()?.bytes());
        let text = self.text(at, bytes)?;
        let mut characters = text.chars();
        match (characters.next(), characters.as_str()) {
            (Some(character), "") => Ok(character),
            _ => match &*text {
                "newline" => Ok('\n'),
                "space" => Ok(' '),
                "tab" => Ok('\t'),
                "return" => Ok('\r'),
                "formfeed" => Ok('\u{c}'),
                "backspace" => Ok('\u{8}'),
                _ => {
                    let code = text.strip_prefix('u').filter(|digits| digits.len() == 4);
                    let code = code.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                    code.and_then(char::from_u32)
                        .ok_or_else(|| self.malformed(at, "this is no character"))
                }
            },
        }
    }

    fn string(&mut self) -> Result<String, FormatError> {
        let at = self.at;
        self.take_byte()?;
        let mut bytes = Vec::new();
        loop {
            let here = self.at;
            match self.peek_byte()? {
                None => return Err(self.cut_short()),
                Some(b'"') => {
                    self.take_byte()?;
                    return self.text(at, bytes);
                }
                Some(b'\\') => {
                    self.take_byte()?;
                    let character = self.escape(here)?;
                    bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
                }
                Some(_) => self.take_run(&mut bytes, |byte| matches!(byte, b'"' | b'\\'))?,
            }
        }
    }

    fn escape(&mut self, at: At) -> Result<char, FormatError> {
        let Some(byte) = self.peek_byte()? else { return Err(self.cut_short()) };
        self.take_byte()?;
        Ok(match byte {
            b't' => '\t',
            b'r' => '\r',
            b'n' => '\n',
            b'f' => '\u{c}',
            b'b' => '\u{8}',
            b'"' => '"',
            b'\\' => '\\',
            b'u' => {
                let unit = self.code_unit(at)?;
                // Java writes what lies beyond the first plane as two escapes.
                let is_high = (0xd800..0xdc00).contains(&unit);
                let code = match is_high {
                    false => u32::from(unit),
                    true => {
                        for expected in *b"\\u" {
                            if self.peek_byte()? != Some(expected) {
                                let message = "half of a surrogate pair is missing";
                                return Err(self.malformed(at, message));
                            }
                            self.take_byte()?;
                        }
                        let low = u32::from(self.code_unit(at)?);
                        let offset = low.wrapping_sub(0xdc00);
                        if offset >= 0x400 {
                            return Err(self.malformed(at, "half of a surrogate pair is missing"));
                        }
                        0x10000 + ((u32::from(unit) - 0xd800) << 10) + offset
                    }
                };
                let wrong = || self.malformed(at, "this escape is no character");
                char::from_u32(code).ok_or_else(wrong)?
            }
            b'0'..=b'7' => {
                let mut code = u32::from(byte - b'0');
                while let Some(next @ b'0'..=b'7') = self.peek_byte()?
                    && code * 8 + u32::from(next - b'0') < 256
                {
                    code = code * 8 + u32::from(next - b'0');
                    self.take_byte()?;
                }
                char::from_u32(code).expect("below 256 all are characters")
            }
            _ => {
                let message = "this escape is not known; EDN has \\t \\r \\n \\\\ \\\" \\uXXXX";
                return Err(self.malformed(at, message));
            }
        })
    }

    fn code_unit(&mut self, at: At) -> Result<u16, FormatError> {
        let mut unit = 0_u16;
        for _ in 0..4 {
            let digit = self.peek_byte()?.and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.malformed(at, "\\u has four hexadecimal digits"));
            };
            unit = unit << 4 | digit as u16;
            self.take_byte()?;
        }
        Ok(unit)
    }

    fn text(&self, at: At, bytes: Vec<u8>) -> Result<String, FormatError> {
        String::from_utf8(bytes).map_err(|_| FormatError::NotUtf8 { at: self.place(at) })
    }

    fn skip_comment(&mut self) -> Result<(), FormatError> {
        while let Some(byte) = self.peek_byte()?
            && byte != b'\n'
        {
            self.bump();
        }
        Ok(())
    }

    fn taken(&mut self, token: Token) -> Result<Token, FormatError> {
        self.take_byte()?;
        Ok(token)
    }

    fn peek_byte(&mut self) -> Result<Option<u8>, FormatError> {
        loop {
            match self.input.fill_buf() {
                Ok(buffer) => return Ok(buffer.first().copied()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(FormatError::Io { at: self.place(self.at), source });
                }
            }
        }
    }

    /// Takes bytes up to one at which to stop, a buffer at a time.
    fn take_run(
        &mut self,
        bytes: &mut Vec<u8>,
        stops: impl Fn(u8) -> bool,
    ) -> Result<(), FormatError> {
        while let Some(first) = self.peek_byte()?
            && !stops(first)
        {
            let Ok(buffer) = self.input.fill_buf() else { continue };
            let n_bytes = buffer.iter().position(|&byte| stops(byte)).unwrap_or(buffer.len());
            let run = &buffer[..n_bytes];
            let mut at = self.at;
            match run.iter().rposition(|&byte| byte == b'\n') {
                None => at.column += n_bytes as u64,
                Some(last) => {
                    let n_lines = run.iter().filter(|&&byte| byte == b'\n').count() as u64;
                    at = At { line: at.line + n_lines, column: (n_bytes - last) as u64 };
                }
            }
            bytes.extend_from_slice(run);
            self.spend(n_bytes)?;
            self.input.consume(n_bytes);
            self.n_bytes += n_bytes as u64;
            self.at = at;
        }
        Ok(())
    }

    /// Takes a byte that is held as a part of a form.
    fn take_byte(&mut self) -> Result<(), FormatError> {
        self.spend(1)?;
        self.bump();
        Ok(())
    }

    fn spend(&mut self, n_bytes: usize) -> Result<(), FormatError> {
        let Some(n_bytes_left) = self.n_bytes_left.checked_sub(n_bytes) else {
            let at = self.place(self.at);
            return Err(FormatError::LineTooLong { at, n_bytes_max: FORM_BYTES_MAX });
        };
        self.n_bytes_left = n_bytes_left;
        Ok(())
    }

    /// Takes the byte that was looked at.
    fn bump(&mut self) {
        let is_break = self.input.fill_buf().is_ok_and(|buffer| buffer.first() == Some(&b'\n'));
        self.input.consume(1);
        self.n_bytes += 1;
        if is_break {
            self.at = At { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
    }
}

pub(super) fn bracket_end(bracket: Bracket) -> u8 {
    match bracket {
        Bracket::Vector => b']',
        Bracket::List => b')',
        Bracket::Set => b'}',
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> Result<Kind, String> {
        let mut reader = Reader::new(text.as_bytes(), "in");
        let form = reader.form().map_err(|error| format!("{}: {error}", error.code()))?;
        assert_eq!(reader.next().unwrap(), None, "{text}");
        Ok(form.kind)
    }

    #[test]
    fn atoms() {
        let text = |text: &str| Ok(Kind::Str(text.to_owned()));
        let cases = [
            ("nil", Ok(Kind::Nil)),
            (" ,; x\n true", Ok(Kind::Bool(true))),
            ("+42", Ok(Kind::Int(42))),
            ("-42N", Ok(Kind::Int(-42))),
            ("1.5e3", Ok(Kind::Double(1500.0))),
            ("1e20", Ok(Kind::Double(1e20))),
            ("1.50M", Ok(Kind::Decimal("1.50".into()))),
            (r#""a\t\"\\\u00e9\uD83D\uDE00\101""#, text("a\t\"\\é😀A")),
            (r"\newline", Ok(Kind::Char('\n'))),
            (r"\(", Ok(Kind::Char('('))),
            (":user/name", Ok(Kind::Keyword("user/name".into()))),
            ("#_ [1 2] #_#_ a b -", Ok(Kind::Symbol("-".into()))),
        ];
        for (input, expected) in cases {
            assert_eq!(read(input), expected, "{input}");
        }
    }

    #[test]
    fn what_is_no_edn_is_placed() {
        let cases = [
            ("", "truncated: in:1:1: the input ends within a form: it was cut short"),
            ("[1\n \"a", "truncated: in:2:4: the input ends within a form: it was cut short"),
            ("[1\n )", "malformed: in:2:2: `)` closes nothing here"),
            ("{:a}", "malformed: in:1:1: a map has a key without a value"),
            (
                "9223372036854775808",
                "integer_malformed: in:1:1: `9223372036854775808` is not an \
                                     integer of 64 bits",
            ),
            ("1/2", "malformed: in:1:1: `1/2` is no number"),
            ("##Inf", "number_not_finite: in:1:1: `##Inf` is not a value: numbers are finite"),
            (
                "\"\\q\"",
                "malformed: in:1:2: this escape is not known; EDN has \\t \\r \\n \\\\ \
                         \\\" \\uXXXX",
            ),
            ("\"\\ud800x\"", "malformed: in:1:2: half of a surrogate pair is missing"),
            ("'a", "malformed: in:1:1: `'` is Clojure, not EDN"),
            ("\u{1}", "malformed: in:1:1: this is no EDN"),
        ];
        for (input, expected) in cases {
            assert_eq!(read(input), Err(expected.to_owned()), "{input}");
        }
        let deep = "[".repeat(100);
        assert!(read(&deep).unwrap_err().starts_with("too_deep: in:1:65: "));
        let long = format!("[{}]", "[]".repeat(FORM_BYTES_MAX));
        assert!(read(&long).unwrap_err().starts_with("line_too_long: "));
        let discarded = "#_".repeat(100_000);
        assert!(read(&discarded).is_err());
    }
}
