//! Lines of the database files, parsed as wndb(5WN) and senseidx(5WN) describe them.
//!
//! Each function takes one line and borrows from it. Nothing here looks across lines: whether an
//! offset or a word number exists is the inventory's question. Every flaw has its column.

use super::vocabulary::{Part, lexicographer_file, pointer_index};

/// What is wrong with a line; the caller knows file and line number.
#[derive(Debug)]
pub(super) struct Flaw {
    /// In bytes from 1.
    pub(super) column: u64,
    pub(super) message: String,
}

/// A line of `data.noun`, `data.verb`, `data.adj` or `data.adv`.
#[derive(Debug)]
pub(super) struct SynsetLine<'line> {
    pub(super) offset: u32,
    pub(super) lexfile_number: u8,
    pub(super) lexfile: &'static str,
    pub(super) is_satellite: bool,
    pub(super) words: Vec<WordField<'line>>,
    pub(super) pointers: Vec<Pointer>,
    pub(super) frames: Vec<Frame>,
    pub(super) gloss: &'line str,
}

/// A word of a synset, as its lexicographer wrote it, without the marker.
#[derive(Debug)]
pub(super) struct WordField<'line> {
    pub(super) written: &'line str,
    /// Of adjectives: `a`, `p` or `ip`.
    pub(super) marker: Option<&'line str>,
    pub(super) lex_id: u8,
    pub(super) column: u64,
}

/// A pointer to another synset, or between two words.
#[derive(Debug)]
pub(super) struct Pointer {
    /// See [`super::vocabulary::Vocabulary::pointer`].
    pub(super) kind: usize,
    pub(super) target_part: Part,
    pub(super) target_offset: u32,
    /// Word numbers from 1 in this and in the target synset; none for a semantic pointer.
    pub(super) words: Option<(u8, u8)>,
    pub(super) column: u64,
}

/// A sentence frame of a verb.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) number: u8,
    /// The word number from 1; none for all words of the synset.
    pub(super) word: Option<u8>,
    pub(super) column: u64,
}

/// A line of `index.noun`, `index.verb`, `index.adj` or `index.adv`.
#[derive(Debug)]
pub(super) struct IndexLine<'line> {
    pub(super) lemma: &'line str,
    /// In sense order: the first is sense 1.
    pub(super) offsets: Vec<u32>,
}

/// A line of `index.sense`.
#[derive(Debug)]
pub(super) struct SenseLine<'line> {
    pub(super) key: &'line str,
    pub(super) part: Part,
    pub(super) offset: u32,
    pub(super) number: u16,
    pub(super) tag_count: u32,
}

/// Whether a line belongs to the licence at the top of a file.
pub(super) fn is_preamble(line: &str) -> bool {
    line.starts_with("  ")
}

impl<'line> SynsetLine<'line> {
    pub(super) fn parse(part: Part, line: &'line str) -> Result<Self, Flaw> {
        let (head, gloss) = match line.find('|') {
            Some(bar) => (&line[..bar], line[bar + 1..].trim_ascii()),
            None => (line, ""),
        };
        let mut fields = Fields::new(head);
        let offset = fields.number("a synset offset", 10, 99_999_999)?;
        let (lexfile_number, lexfile) = fields.lexfile()?;
        let is_satellite = fields.synset_type(part)?;
        let n_words = fields.number("a word count", 16, 0xff)?;
        let words = fields.repeat(n_words, |fields| fields.word(part))?;
        let n_pointers = fields.number("a pointer count", 10, 999)?;
        let pointers = fields.repeat(n_pointers, Fields::pointer)?;
        let n_frames = match part {
            Part::Verb => fields.number("a frame count", 10, 99)?,
            Part::Noun | Part::Adjective | Part::Adverb => 0,
        };
        let frames = fields.repeat(n_frames, Fields::frame)?;
        fields.end()?;
        let line = SynsetLine {
            offset,
            lexfile_number,
            lexfile,
            is_satellite,
            words,
            pointers,
            frames,
            gloss,
        };
        Ok(line)
    }
}

impl<'line> IndexLine<'line> {
    pub(super) fn parse(part: Part, line: &'line str) -> Result<Self, Flaw> {
        let mut fields = Fields::new(line);
        let lemma = fields.next("a lemma")?;
        fields.synset_type(part)?;
        let n_synsets = fields.number("a synset count", 10, 9_999)?;
        let n_pointers = fields.number("a pointer count", 10, 999)?;
        fields.repeat(n_pointers, |fields| fields.next("a pointer symbol"))?;
        fields.number("a sense count", 10, 9_999)?;
        fields.number("a count of tagged senses", 10, 9_999)?;
        let offsets =
            fields.repeat(n_synsets, |fields| fields.number("a synset offset", 10, 99_999_999))?;
        fields.end()?;
        Ok(IndexLine { lemma, offsets })
    }
}

impl<'line> SenseLine<'line> {
    pub(super) fn parse(line: &'line str) -> Result<Self, Flaw> {
        let mut fields = Fields::new(line);
        let key = fields.next("a sense key")?;
        let digit = key.rfind('%').and_then(|percent| key.as_bytes().get(percent + 1));
        let Some(part) = digit.and_then(|&digit| Part::from_key_digit(digit)) else {
            return Err(fields.flaw(format!("`{key}` is not a sense key")));
        };
        let offset = fields.number("a synset offset", 10, 99_999_999)?;
        let number = fields.number("a sense number", 10, 9_999)? as u16;
        let tag_count = fields.number("a tag count", 10, 99_999_999)?;
        fields.end()?;
        Ok(SenseLine { key, part, offset, number, tag_count })
    }
}

/// The fields of a line, separated by spaces.
pub(super) struct Fields<'line> {
    line: &'line str,
    /// Where the next field is looked for.
    position: usize,
    /// Where the last field began.
    start: usize,
}

impl<'line> Fields<'line> {
    pub(super) fn new(line: &'line str) -> Self {
        Fields { line, position: 0, start: 0 }
    }

    pub(super) fn next_or_end(&mut self) -> Option<&'line str> {
        let rest = &self.line.as_bytes()[self.position..];
        let Some(n_spaces) = rest.iter().position(|&byte| byte != b' ') else {
            self.start = self.line.len();
            return None;
        };
        self.start = self.position + n_spaces;
        let rest = &self.line[self.start..];
        let field = &rest[..rest.find(' ').unwrap_or(rest.len())];
        self.position = self.start + field.len();
        Some(field)
    }

    pub(super) fn next(&mut self, what: &str) -> Result<&'line str, Flaw> {
        self.next_or_end().ok_or_else(|| self.flaw(format!("the line ends before {what}")))
    }

    pub(super) fn number(&mut self, what: &str, radix: u32, max: u32) -> Result<u32, Flaw> {
        let field = self.next(what)?;
        match u32::from_str_radix(field, radix) {
            Ok(number) if number <= max => Ok(number),
            _ => Err(self.flaw(format!("`{field}` is not {what}"))),
        }
    }

    /// The column of the last field.
    pub(super) fn column(&self) -> u64 {
        self.start as u64 + 1
    }

    /// Something wrong with the last field.
    pub(super) fn flaw(&self, message: String) -> Flaw {
        Flaw { column: self.column(), message }
    }

    fn repeat<Item>(
        &mut self,
        n_items: u32,
        mut item: impl FnMut(&mut Self) -> Result<Item, Flaw>,
    ) -> Result<Vec<Item>, Flaw> {
        (0..n_items).map(|_| item(self)).collect()
    }

    fn end(&mut self) -> Result<(), Flaw> {
        match self.next_or_end() {
            Some(field) => Err(self.flaw(format!("`{field}` is more than the line announced"))),
            None => Ok(()),
        }
    }

    fn lexfile(&mut self) -> Result<(u8, &'static str), Flaw> {
        let number = self.number("a lexicographer file number", 10, 99)? as u8;
        let name = lexicographer_file(number)
            .ok_or_else(|| self.flaw(format!("there is no lexicographer file {number:02}")))?;
        Ok((number, name))
    }

    /// Whether it is a satellite; that it belongs into this file at all is checked.
    fn synset_type(&mut self, part: Part) -> Result<bool, Flaw> {
        let letter = self.next("a synset type")?;
        if Part::from_letter(letter) != Some(part) {
            let message = format!("`{letter}` does not belong into a file of {}s", part.name());
            return Err(self.flaw(message));
        }
        Ok(letter == "s")
    }

    fn word(&mut self, part: Part) -> Result<WordField<'line>, Flaw> {
        let field = self.next("a word")?;
        let column = self.column();
        let (written, marker) = match part {
            Part::Adjective => split_marker(field),
            Part::Noun | Part::Verb | Part::Adverb => (field, None),
        };
        if written.is_empty() {
            return Err(self.flaw(format!("`{field}` is not a word")));
        }
        let lex_id = self.number("a lex id", 16, 0xff)? as u8;
        Ok(WordField { written, marker, lex_id, column })
    }

    fn pointer(&mut self) -> Result<Pointer, Flaw> {
        let symbol = self.next("a pointer")?;
        let column = self.column();
        let kind = pointer_index(symbol)
            .ok_or_else(|| self.flaw(format!("`{symbol}` is not a pointer symbol")))?;
        let target_offset = self.number("a synset offset", 10, 99_999_999)?;
        let letter = self.next("a part of speech")?;
        let target_part = Part::from_letter(letter)
            .ok_or_else(|| self.flaw(format!("`{letter}` is not a part of speech")))?;
        let both = self.number("a pair of word numbers", 16, 0xffff)?;
        let words = match ((both >> 8) as u8, both as u8) {
            (0, 0) => None,
            (0, _) | (_, 0) => {
                let message = format!("`{both:04x}` names a word on one side only");
                return Err(self.flaw(message));
            }
            words => Some(words),
        };
        Ok(Pointer { kind, target_part, target_offset, words, column })
    }

    fn frame(&mut self) -> Result<Frame, Flaw> {
        let plus = self.next("a frame")?;
        if plus != "+" {
            return Err(self.flaw(format!("`{plus}` stands where a frame begins with `+`")));
        }
        let number = self.number("a frame number", 10, 99)? as u8;
        let column = self.column();
        let word = match self.number("a word number", 16, 0xff)? as u8 {
            0 => None,
            word => Some(word),
        };
        Ok(Frame { number, word, column })
    }
}

/// Splits `outback(a)`.
fn split_marker(field: &str) -> (&str, Option<&str>) {
    for marker in ["(a)", "(p)", "(ip)"] {
        if let Some(word) = field.strip_suffix(marker) {
            return (word, Some(&field[word.len() + 1..field.len() - 1]));
        }
    }
    (field, None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SYNSET: &str = "00000020 05 n 02 Old_cat 0 tom a 002 @ 00000010 n 0000 + 00000030 v \
                          0102 | an old cat; \"a | b\"  ";

    fn flaw(line: &str) -> (u64, String) {
        let flaw = SynsetLine::parse(Part::Noun, line).unwrap_err();
        (flaw.column, flaw.message)
    }

    #[test]
    fn a_synset_line_has_all_its_fields() {
        let line = SynsetLine::parse(Part::Noun, SYNSET).unwrap();
        assert_eq!((line.offset, line.lexfile, line.is_satellite), (20, "noun.animal", false));
        assert_eq!((line.words[0].written, line.words[1].lex_id), ("Old_cat", 10));
        assert_eq!((line.pointers[0].words, line.pointers[1].words), (None, Some((1, 2))));
        assert_eq!(line.pointers[1].target_part, Part::Verb);
        assert_eq!(line.gloss, "an old cat; \"a | b\"");
    }

    #[test]
    fn every_flaw_has_its_column() {
        assert_eq!(flaw("x"), (1, "`x` is not a synset offset".into()));
        assert_eq!(flaw("00000020 45 n"), (10, "there is no lexicographer file 45".into()));
        assert_eq!(flaw("00000020 05 v"), (13, "`v` does not belong into a file of nouns".into()));
        assert_eq!(flaw("00000020 05 n 01 a"), (19, "the line ends before a lex id".into()));
        assert_eq!(
            flaw("00000020 05 n 01 a 0 001 ? 00000010 n 0000"),
            (26, "`?` is not a pointer symbol".into())
        );
        assert_eq!(
            flaw("00000020 05 n 01 a 0 001 @ 00000010 n 0001"),
            (39, "`0001` names a word on one side only".into())
        );
        assert_eq!(
            flaw("00000020 05 n 01 a 0 000 01"),
            (26, "`01` is more than the line announced".into())
        );
    }

    #[test]
    fn markers_belong_to_adjectives() {
        assert_eq!(split_marker("outback(a)"), ("outback", Some("a")));
        assert_eq!(split_marker("glad(ip)"), ("glad", Some("ip")));
        assert_eq!(split_marker("f(x)"), ("f(x)", None));
        assert!(SynsetLine::parse(Part::Adjective, "00000020 00 a 01 (a) 0 000").is_err());
    }

    #[test]
    fn index_lines() {
        let line = IndexLine::parse(Part::Noun, "dog n 2 2 @ ~ 2 1 00000020 00000010  ").unwrap();
        assert_eq!((line.lemma, line.offsets), ("dog", vec![20, 10]));
        let line = SenseLine::parse("100%%5:00:00:whole:00 00000020 1 3").unwrap();
        assert_eq!((line.part, line.number, line.tag_count), (Part::Adjective, 1, 3));
        assert!(SenseLine::parse("dog 00000020 1 3").is_err());
        assert!(SenseLine::parse("dog%9:00:00:: 00000020 1 3").is_err());
    }
}
