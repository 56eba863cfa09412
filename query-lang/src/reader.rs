//! EDN text into forms, without recursion.
//!
//! Open brackets live on an explicit stack that is at most [`crate::NESTING_MAX`] high, so no
//! text can use up the machine's stack. A bad token becomes poison and reading goes on; brackets
//! that do not pair make the structure a guess, so then no form is given back and only the
//! problems of reading are reported.

use logos::Logos;
use tercet_engine::value::{Date, Value};

use crate::form::{Form, Kind, Origin, Span};
use crate::problem::{Problem, Problems};
use crate::syntax::{Atom, read_atom};
use crate::token::{Token, decode_string};

/// Reads all forms of a text, or none when its brackets do not pair or it goes over a limit.
pub(crate) fn read(
    text: &str,
    origin: Origin,
    n_levels_max: usize,
    problems: &mut Problems,
) -> Option<Vec<Form>> {
    if text.len() > crate::TEXT_BYTES_MAX {
        let message =
            format!("the text has {} bytes, more than {}", text.len(), crate::TEXT_BYTES_MAX);
        let hint = "pass large constants as inputs with `:in`";
        let problem = Problem::new("query_too_long", message).hint(hint);
        problems.push(Span { origin, start: 0, end: 0 }, problem);
        return None;
    }
    let frames = vec![Frame::top()];
    Reader { text, origin, n_levels_max, problems, frames, paired: true, swallowed: false }.run()
}

/// What an open bracket has collected so far.
struct Frame {
    bracket: Bracket,
    open: Span,
    items: Vec<Form>,
    /// Tags and discards that wait for their form, outermost first.
    prefixes: Vec<(Prefix, Span)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
    /// The text itself.
    Top,
    List,
    Vector,
    Map,
    Set,
}

impl Bracket {
    fn close(self) -> &'static str {
        match self {
            Bracket::Top => "",
            Bracket::List => ")",
            Bracket::Vector => "]",
            Bracket::Map | Bracket::Set => "}",
        }
    }
}

enum Prefix {
    Discard,
    Tag(String),
}

impl Frame {
    fn top() -> Frame {
        let open = Span { origin: Origin::Query, start: 0, end: 0 };
        Frame { bracket: Bracket::Top, open, items: Vec::new(), prefixes: Vec::new() }
    }
}

struct Reader<'a> {
    text: &'a str,
    origin: Origin,
    n_levels_max: usize,
    problems: &'a mut Problems,
    /// Never empty: the first one is the text itself.
    frames: Vec<Frame>,
    paired: bool,
    /// An unclosed string has swallowed the rest, closing brackets included.
    swallowed: bool,
}

impl Reader<'_> {
    fn run(mut self) -> Option<Vec<Form>> {
        let mut lexer = Token::lexer(self.text);
        while let Some(token) = lexer.next() {
            let range = lexer.span();
            let span = self.span(range.start, range.end);
            let slice = &self.text[range];
            match token {
                Ok(Token::OpenList) => self.open(Bracket::List, span)?,
                Ok(Token::OpenVector) => self.open(Bracket::Vector, span)?,
                Ok(Token::OpenMap) => self.open(Bracket::Map, span)?,
                Ok(Token::OpenSet) => self.open(Bracket::Set, span)?,
                Ok(Token::CloseList | Token::CloseVector | Token::CloseBrace) => {
                    self.close(slice, span);
                }
                Ok(Token::Discard) => self.prefix(Prefix::Discard, span),
                Ok(Token::Tag) => self.prefix(Prefix::Tag(slice[1..].to_owned()), span),
                Ok(leaf) => {
                    let kind = self.leaf(leaf, slice, span);
                    self.add(Form::new(kind, span));
                }
                Err(()) => self.stray(slice, span),
            }
        }
        self.finish()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let offset = |at: usize| u32::try_from(at).expect("the text's length was checked");
        Span { origin: self.origin, start: offset(start), end: offset(end) }
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the outermost frame is never closed")
    }

    fn prefix(&mut self, prefix: Prefix, span: Span) {
        self.frame().prefixes.push((prefix, span));
    }

    fn open(&mut self, bracket: Bracket, open: Span) -> Option<()> {
        if self.frames.len() > self.n_levels_max {
            self.problems.push(open, Problem::too_deep(self.n_levels_max));
            return None;
        }
        self.frames.push(Frame { bracket, open, items: Vec::new(), prefixes: Vec::new() });
        Some(())
    }

    /// Closes the innermost bracket of this kind; what stands open inside it is closed as well.
    fn close(&mut self, closer: &str, span: Span) {
        let matching = self.frames.iter().rposition(|frame| frame.bracket.close() == closer);
        let Some(matching) = matching else {
            self.paired = false;
            let problem = Problem::new("query_syntax", format!("`{closer}` closes nothing"));
            return self.problems.push(span, problem);
        };
        while self.frames.len() - 1 > matching {
            let frame = self.frames.pop().expect("more frames than the matching one");
            self.paired = false;
            let found = format!("`{}` is never closed: found `{closer}`", self.slice(frame.open));
            let hint = format!("put `{}` before it", frame.bracket.close());
            self.problems.push(frame.open, Problem::new("query_syntax", found).hint(hint));
        }
        let frame = self.frames.pop().expect("the matching frame is there");
        let whole = Span { end: span.end, ..frame.open };
        let form = self.compound(frame, whole);
        self.add(form);
    }

    fn slice(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }

    fn compound(&mut self, frame: Frame, span: Span) -> Form {
        self.dangling(&frame);
        let kind = match frame.bracket {
            Bracket::List => Kind::List(frame.items),
            Bracket::Vector => Kind::Vector(frame.items),
            Bracket::Set => Kind::Set(frame.items),
            Bracket::Map => self.map(frame.items, span),
            Bracket::Top => unreachable!("no closer matches the outermost frame"),
        };
        Form::new(kind, span)
    }

    fn map(&mut self, items: Vec<Form>, span: Span) -> Kind {
        let is_known = items.iter().any(|item| matches!(item.kind, Kind::Poison));
        if !items.len().is_multiple_of(2) && is_known {
            return Kind::Poison;
        }
        if !items.len().is_multiple_of(2) {
            let message = format!("a map has pairs, this one has {} forms", items.len());
            self.problems.push(span, Problem::new("query_syntax", message));
            return Kind::Poison;
        }
        let mut entries = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            entries.push((key, value));
        }
        Kind::Map(entries)
    }

    /// Reports prefixes that no form follows.
    fn dangling(&mut self, frame: &Frame) {
        for (_, span) in &frame.prefixes {
            let message = format!("`{}` needs a form after it", self.slice(*span));
            self.problems.push(*span, Problem::new("query_syntax", message));
        }
    }

    /// Adds a whole form to the innermost bracket, after the prefixes that wait for it.
    fn add(&mut self, mut form: Form) {
        while let Some((prefix, span)) = self.frame().prefixes.pop() {
            match prefix {
                Prefix::Discard => return,
                Prefix::Tag(tag) => form = self.tagged(&tag, span, form),
            }
        }
        self.frame().items.push(form);
    }

    fn tagged(&mut self, tag: &str, tag_span: Span, form: Form) -> Form {
        let span = Span { end: form.span.end, ..tag_span };
        let value = match (tag, &form.kind) {
            (_, Kind::Poison) => return form,
            ("ref", Kind::Value(Value::String(id))) => Value::reference(id).map_err(Problem::from),
            ("inst", Kind::Value(Value::String(text))) => {
                Date::parse(text).map(Value::Date).map_err(Problem::from)
            }
            ("ref" | "inst", _) => {
                let message = format!("`#{tag}` needs a string, found {}", form.brief());
                Err(Problem::new("query_syntax", message))
            }
            _ => Err(Problem::new("query_unsupported", format!("unknown tag `#{tag}`"))
                .hint("known tags: #inst \"2024-01-15T10:30:00Z\" and #ref \"entity id\"")),
        };
        match value {
            Ok(value) => Form::new(Kind::Value(value), span),
            Err(problem) => {
                self.problems.push(span, problem);
                Form::new(Kind::Poison, span)
            }
        }
    }

    fn leaf(&mut self, token: Token, slice: &str, span: Span) -> Kind {
        let (span, problem) = match token {
            Token::Atom => match read_atom(slice) {
                Atom::Symbol(text) => return Kind::Symbol(text.into()),
                Atom::Keyword(text) => return Kind::Keyword(text.into()),
                Atom::Value(value) => return Kind::Value(value),
                Atom::Bad(problem) => (span, problem),
            },
            Token::Text => match decode_string(slice) {
                Ok(text) => return Kind::Value(Value::from(text)),
                Err((range, problem)) => {
                    let start = span.start as usize;
                    (self.span(start + range.start, start + range.end), problem)
                }
            },
            Token::Symbolic => (
                span,
                Problem::new("number_not_finite", format!("`{slice}` is not a value"))
                    .hint("numbers are finite"),
            ),
            Token::Character => (
                span,
                Problem::new("query_unsupported", format!("`{slice}`: there are no characters"))
                    .hint("write a string of one character: \"a\""),
            ),
            _ => {
                self.swallowed = true;
                let quote = Span { end: span.start + 1, ..span };
                (quote, Problem::new("query_syntax", "this string is never closed"))
            }
        };
        self.problems.push(span, problem);
        Kind::Poison
    }

    fn stray(&mut self, slice: &str, span: Span) {
        let problem = Problem::new("query_syntax", format!("unexpected `{slice}`"));
        let problem = match slice {
            "'" | "`" => problem.hint("queries need no quote here: leave it out"),
            "^" => problem.hint("there is no metadata"),
            "#" => problem.hint("a tag is a word, `#inst` or `#ref`; there are no regexes"),
            _ => problem,
        };
        self.problems.push(span, problem);
        self.add(Form::new(Kind::Poison, span));
    }

    fn finish(mut self) -> Option<Vec<Form>> {
        if self.swallowed {
            return None;
        }
        while self.frames.len() > 1 {
            let frame = self.frames.pop().expect("more than one frame");
            self.paired = false;
            let message = format!("`{}` is never closed", self.slice(frame.open));
            let hint = format!("put `{}` where it ends", frame.bracket.close());
            self.problems.push(frame.open, Problem::new("query_syntax", message).hint(hint));
        }
        let top = self.frames.pop().expect("the outermost frame is never closed");
        self.dangling(&top);
        self.paired.then_some(top.items)
    }
}
