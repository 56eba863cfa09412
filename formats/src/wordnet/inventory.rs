//! What exists: all synsets, senses and words, so that every reference becomes an entity id.
//!
//! A lexical pointer names its target as a word number in a synset, a satellite's sense keys name
//! the first word of another synset, and sense numbers stand in the index files. So one pass over
//! all files comes first and keeps this table, whose size goes with the number of words and
//! senses; glosses and pointers are read again when facts are made, and never held.
//!
//! Invariant after [`Inventory::read`]: every sense has a number ≥ 1, and every index line named
//! words and synsets that exist. So files of different versions, or cut ones, are refused here.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tercet_engine::ids::{EntityId, IdError};

use super::record::{Flaw, IndexLine, SenseLine, SynsetLine, is_preamble};
use super::vocabulary::Part;
use super::{LINE_BYTES_MAX, WORD_PREFIX};
use crate::error::{FormatError, Place};
use crate::lines::open_file;

const HINT: &str = "see wndb(5WN) for the format; `cargo xtask data wordnet` obtains whole files";
const MIXED: &str = "the files are cut short, or of different versions of WordNet";

/// One word of one synset.
pub(super) struct Sense {
    /// The sense key. Spellings of one word in one synset, as `A` and `a`, share their key.
    pub(super) id: EntityId,
    pub(super) word: WordIndex,
    pub(super) lex_id: u8,
    pub(super) number: u16,
    pub(super) tag_count: u32,
}

/// The position of a word in [`Inventory::words`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WordIndex(u32);

/// A word and the parts of speech it is used as.
pub(super) struct Word {
    pub(super) id: EntityId,
    /// In the order of [`Part::ALL`].
    pub(super) parts: [bool; 4],
}

impl Word {
    /// The lemma with underscores, as the files have it.
    pub(super) fn lemma(&self) -> &str {
        &self.id.as_str()[WORD_PREFIX.len()..]
    }
}

pub(super) struct Synset {
    pub(super) id: EntityId,
    offset: u32,
    lexfile_number: u8,
    /// Of a satellite: the offset of its head, if it names one.
    head: Option<Option<u32>>,
    first_sense: u32,
}

/// The table.
#[derive(Default)]
pub(super) struct Inventory {
    /// For each part, sorted by offset.
    synsets: [Vec<Synset>; 4],
    /// In the order of the files; those of a synset lie together.
    senses: Vec<Sense>,
    words: Vec<Word>,
    /// Sorted: the sense keys of verbs, which example sentences name without their synset.
    verb_keys: Vec<EntityId>,
    /// Only ever asked for one lemma; its order is never seen.
    word_indexes: HashMap<Box<str>, WordIndex>,
}

impl Inventory {
    /// Reads the data, index and (if there is one) sense index files of a directory.
    pub(super) fn read(dir: &Path) -> Result<Inventory, FormatError> {
        let mut inventory = Inventory::default();
        for part in Part::ALL {
            let path = data_path(dir, part);
            each_line(&path, |line| inventory.add_synset(part, line))?;
            inventory.name_senses(part, &path)?;
        }
        for part in Part::ALL {
            each_line(&index_path(dir, part), |line| inventory.number_senses(part, line))?;
            inventory.check_numbers(part, &index_path(dir, part))?;
        }
        let sense_index = dir.join("index.sense");
        if sense_index.is_file() {
            each_line(&sense_index, |line| inventory.count_tags(line))?;
        }
        let verbs = &inventory.senses[inventory.senses_of(Part::Verb)];
        inventory.verb_keys = verbs.iter().map(|sense| sense.id.clone()).collect();
        inventory.verb_keys.sort_unstable();
        Ok(inventory)
    }

    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    pub(super) fn word(&self, index: WordIndex) -> &Word {
        &self.words[index.0 as usize]
    }

    /// The synset at an offset and its senses, in the order of its words.
    pub(super) fn synset(&self, part: Part, offset: u32) -> Option<(&Synset, &[Sense])> {
        let (index, senses) = self.locate(part, offset)?;
        Some((&self.synsets[part as usize][index], &self.senses[senses]))
    }

    /// The sense of a verb, by its key.
    pub(super) fn verb_sense(&self, key: &str) -> Option<&EntityId> {
        let index = self.verb_keys.binary_search_by(|id| id.as_str().cmp(key)).ok()?;
        Some(&self.verb_keys[index])
    }

    /// The word of a lemma; `true` if it was not there before.
    pub(super) fn intern(&mut self, lemma: &str) -> Result<(WordIndex, bool), IdError> {
        if let Some(&index) = self.word_indexes.get(lemma) {
            return Ok((index, false));
        }
        let id = EntityId::new(format!("{WORD_PREFIX}{lemma}"))?;
        let index = WordIndex(u32::try_from(self.words.len()).expect("offsets have eight digits"));
        self.words.push(Word { id, parts: [false; 4] });
        self.word_indexes.insert(lemma.into(), index);
        Ok((index, true))
    }

    /// The positions of a synset in its part, and of its senses among all.
    fn locate(&self, part: Part, offset: u32) -> Option<(usize, Range<usize>)> {
        let synsets = &self.synsets[part as usize];
        let index = synsets.binary_search_by_key(&offset, |synset| synset.offset).ok()?;
        // The senses of a part lie together, so the next synset's first sense ends this one's.
        let end = match synsets.get(index + 1) {
            Some(next) => next.first_sense as usize,
            None => self.senses_of(part).end,
        };
        Some((index, synsets[index].first_sense as usize..end))
    }

    /// The positions of all senses of a part.
    fn senses_of(&self, part: Part) -> Range<usize> {
        let start_of = |synsets: &Vec<Synset>| Some(synsets.first()?.first_sense as usize);
        let later = &self.synsets[part as usize + 1..];
        let end = later.iter().find_map(start_of).unwrap_or(self.senses.len());
        start_of(&self.synsets[part as usize]).unwrap_or(end)..end
    }

    fn add_synset(&mut self, part: Part, line: &str) -> Result<(), Flaw> {
        let line = SynsetLine::parse(part, line)?;
        let flaw = |message: String| Flaw { column: 1, message };
        let synsets = &mut self.synsets[part as usize];
        if synsets.last().is_some_and(|last| last.offset >= line.offset) {
            return Err(flaw(format!("offset {:08} does not ascend", line.offset)));
        }
        let id = EntityId::new(format!("wn:{}:{:08}", part.letter(), line.offset));
        let head = line.is_satellite.then(|| head_offset(&line));
        synsets.push(Synset {
            id: id.expect("made of a letter and digits"),
            offset: line.offset,
            lexfile_number: line.lexfile_number,
            head,
            first_sense: u32::try_from(self.senses.len()).expect("offsets have eight digits"),
        });
        for word in &line.words {
            let lemma = word.written.to_ascii_lowercase();
            let (index, _) = self
                .intern(&lemma)
                .map_err(|error| Flaw { column: word.column, message: error.to_string() })?;
            // The key is known when the whole file is: satellites may come before their heads.
            let id = self.word(index).id.clone();
            let lex_id = word.lex_id;
            self.senses.push(Sense { id, word: index, lex_id, number: 0, tag_count: 0 });
        }
        Ok(())
    }

    /// Gives the senses of a part their keys:
    /// `lemma%ss_type:lex_filenum:lex_id:head_word:head_id`, senseidx(5WN).
    fn name_senses(&mut self, part: Part, path: &Path) -> Result<(), FormatError> {
        for index in 0..self.synsets[part as usize].len() {
            let synset = &self.synsets[part as usize][index];
            let flaw = |message: String| {
                let message = format!("synset {:08}: {message}", synset.offset);
                malformed(Place::path(path), message)
            };
            let head = match synset.head {
                None => ":".to_owned(),
                Some(head) => self
                    .head_text(part, head)
                    .ok_or_else(|| flaw("a satellite has no pointer `&` to a head".to_owned()))?,
            };
            let digit = part.key_digit(synset.head.is_some());
            let (offset, lexfile) = (synset.offset, synset.lexfile_number);
            let (_, senses) = self.locate(part, offset).expect("it was taken from the table");
            let keys: Vec<EntityId> = self.senses[senses.clone()]
                .iter()
                .map(|sense| {
                    let lemma = self.word(sense.word).lemma();
                    EntityId::new(format!(
                        "{lemma}%{digit}:{lexfile:02}:{:02}:{head}",
                        sense.lex_id
                    ))
                })
                .collect::<Result<_, _>>()
                .map_err(|error| flaw(error.to_string()))?;
            for (sense, key) in self.senses[senses].iter_mut().zip(keys) {
                sense.id = key;
            }
        }
        Ok(())
    }

    /// `head_word:head_id`: the lemma and lex id of the first word of the head synset.
    fn head_text(&self, part: Part, head: Option<u32>) -> Option<String> {
        let (_, senses) = self.synset(part, head?)?;
        let first = senses.first()?;
        Some(format!("{}:{:02}", self.word(first.word).lemma(), first.lex_id))
    }

    fn number_senses(&mut self, part: Part, line: &str) -> Result<(), Flaw> {
        let line = IndexLine::parse(part, line)?;
        let flaw = |message: String| Flaw { column: 1, message: format!("{message}; {MIXED}") };
        let Some(&word) = self.word_indexes.get(line.lemma) else {
            return Err(flaw(format!("`{}` is in no synset", line.lemma)));
        };
        self.words[word.0 as usize].parts[part as usize] = true;
        for (&offset, number) in line.offsets.iter().zip(1..) {
            let (_, senses) = self
                .locate(part, offset)
                .ok_or_else(|| flaw(format!("there is no synset {offset:08}")))?;
            let mut found = false;
            for sense in self.senses[senses].iter_mut().filter(|sense| sense.word == word) {
                sense.number = number;
                found = true;
            }
            if !found {
                return Err(flaw(format!("synset {offset:08} lacks the word `{}`", line.lemma)));
            }
        }
        Ok(())
    }

    fn check_numbers(&self, part: Part, path: &Path) -> Result<(), FormatError> {
        let senses = &self.senses[self.senses_of(part)];
        let missing = senses.iter().find(|sense| sense.number == 0);
        match missing {
            Some(sense) => {
                let message = format!("the sense `{}` is not in this index; {MIXED}", sense.id);
                Err(malformed(Place::path(path), message))
            }
            None => Ok(()),
        }
    }

    fn count_tags(&mut self, line: &str) -> Result<(), Flaw> {
        let line = SenseLine::parse(line)?;
        let senses = self.locate(line.part, line.offset).map_or(0..0, |(_, senses)| senses);
        let senses = self.senses[senses].iter_mut();
        let sense = senses.into_iter().find(|sense| sense.id.as_str() == line.key);
        match sense {
            Some(sense) if sense.number == line.number => {
                sense.tag_count = line.tag_count;
                Ok(())
            }
            _ => {
                let message = format!("there is no such sense in the data files; {MIXED}");
                Err(Flaw { column: 1, message })
            }
        }
    }
}

/// The synset a satellite is similar to: its first `&`.
fn head_offset(line: &SynsetLine<'_>) -> Option<u32> {
    let similar = super::vocabulary::pointer_index("&");
    let head = line.pointers.iter().find(|pointer| Some(pointer.kind) == similar)?;
    Some(head.target_offset)
}

pub(super) fn data_path(dir: &Path, part: Part) -> PathBuf {
    dir.join(format!("data.{}", part.file_name()))
}

fn index_path(dir: &Path, part: Part) -> PathBuf {
    dir.join(format!("index.{}", part.file_name()))
}

fn each_line(
    path: &Path,
    mut record: impl FnMut(&str) -> Result<(), Flaw>,
) -> Result<(), FormatError> {
    let (mut lines, _) = open_file(path, LINE_BYTES_MAX)?;
    while let Some(line) = lines.next_line()? {
        if line.is_empty() || is_preamble(line) {
            continue;
        }
        if let Err(flaw) = record(line) {
            return Err(flawed(lines.place(), flaw));
        }
    }
    Ok(())
}

pub(super) fn flawed(at: Place, flaw: Flaw) -> FormatError {
    malformed(Place { column: Some(flaw.column), ..at }, flaw.message)
}

fn malformed(at: Place, message: String) -> FormatError {
    FormatError::Malformed { at, code: "malformed", message, hint: Some(HINT.to_owned()) }
}
