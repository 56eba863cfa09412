//! How deep the brackets of a Turtle text nest, told before a parser holds a state for each.
//!
//! `oxttl` keeps its state on the heap: a file of opening brackets would fill the memory rather
//! than the stack. This follows strings, IRIs and comments just well enough to tell which brackets
//! count; a text that it misreads is no Turtle, and the parser says so.

/// Brackets within brackets.
pub(super) const NESTING_MAX: u32 = 64;

/// Where in a Turtle text one is.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    depth: u32,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Plain,
    /// After a backslash, in what follows it.
    Escape(After),
    Comment,
    Iri,
    /// After one or two quotes that may begin a long string.
    Opening(u8, u8),
    Short(u8),
    /// In a long string, after so many closing quotes.
    Long(u8, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Plain,
    Short(u8),
    Long(u8),
}

impl Nesting {
    /// Follows the next bytes. The index of the bracket that nests too deep, if one does.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<(), usize> {
        for (index, &byte) in bytes.iter().enumerate() {
            self.state = self.step(byte);
            if self.depth > NESTING_MAX {
                return Err(index);
            }
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Plain, _) => self.plain(byte),
            (State::Escape(After::Plain), _) => State::Plain,
            (State::Escape(After::Short(quote)), _) => State::Short(quote),
            (State::Escape(After::Long(quote)), _) => State::Long(quote, 0),
            (State::Comment, b'\n' | b'\r') => State::Plain,
            (State::Iri, b'>' | b'\n') => State::Plain,
            (State::Opening(quote, 1), _) if byte == quote => State::Opening(quote, 2),
            (State::Opening(quote, _), _) if byte == quote => State::Long(quote, 0),
            (State::Opening(_, 2), _) => self.plain(byte),
            (State::Opening(quote, _), _) => Self::short(quote, byte),
            (State::Short(quote), _) => Self::short(quote, byte),
            (State::Long(quote, _), b'\\') => State::Escape(After::Long(quote)),
            (State::Long(quote, 2), _) if byte == quote => State::Plain,
            (State::Long(quote, n_closing), _) if byte == quote => {
                State::Long(quote, n_closing + 1)
            }
            (State::Long(quote, _), _) => State::Long(quote, 0),
            (State::Comment | State::Iri, _) => self.state,
        }
    }

    fn plain(&mut self, byte: u8) -> State {
        match byte {
            b'[' | b'(' => self.depth += 1,
            b']' | b')' => self.depth = self.depth.saturating_sub(1),
            b'<' => return State::Iri,
            b'#' => return State::Comment,
            b'"' | b'\'' => return State::Opening(byte, 1),
            b'\\' => return State::Escape(After::Plain),
            _ => {}
        }
        State::Plain
    }

    fn short(quote: u8, byte: u8) -> State {
        match byte {
            b'\\' => State::Escape(After::Short(quote)),
            b'\n' => State::Plain,
            _ if byte == quote => State::Plain,
            _ => State::Short(quote),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brackets_of_the_syntax_count() {
        let noise = r##"<a[[> "[[\"[[" '[' """[["[[""[[\"""" '''((''((''' "" '' x\[ # [[[[
        "##;
        for cut in 0..noise.len() {
            let mut nesting = Nesting::default();
            let (start, end) = noise.as_bytes().split_at(cut);
            assert_eq!((nesting.follow(start), nesting.follow(end)), (Ok(()), Ok(())));
            assert_eq!((nesting.depth, nesting.state), (0, State::Plain), "{cut}");
        }
        let mut nesting = Nesting::default();
        assert_eq!(nesting.follow("[(".repeat(32).as_bytes()), Ok(()));
        assert_eq!(nesting.follow(b"])[[["), Err(4));
    }
}
