//! WordNet 3.x: the database files become words, senses, synsets and every pointer between them.
//!
//! Format: wndb(5WN), senseidx(5WN), lexnames(5WN), wninput(5WN). The vocabulary is explained,
//! with queries, in `docs/wordnet.md`. A directory must hold `data.*` and `index.*` of the four
//! parts of speech; `index.sense` (how often a sense was met), `*.exc` (irregular forms) and
//! `sents.vrb` with `sentidx.vrb` (example sentences) are read if they are there. Left out is what
//! follows from the rest: counts in the index files, `cntlist*`, and the search code's tables.
//!
//! Operations come in the order of the files, the same each time, so an import that was broken off
//! can go on. A few pointers come twice, because the files say them twice. Memory: the table of [`inventory`], about 50 MB for
//! WordNet 3.0, and one line.

mod inventory;
mod record;
mod vocabulary;

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::Value;

use self::inventory::{Inventory, Sense, Synset, data_path, flawed};
use self::record::{Fields, Flaw, Pointer, SynsetLine, is_preamble};
use self::vocabulary::{FRAMES, Part, Vocabulary, frame_id};
use crate::error::FormatError;
use crate::import::{Import, Progress};
use crate::lines::{Lines, open_file};

/// The longest line of a real file has 15,000 bytes.
const LINE_BYTES_MAX: usize = 1 << 20;
const WORD_PREFIX: &str = "word:";

/// An importer of a directory of WordNet database files.
pub struct Wordnet {
    inventory: Inventory,
    facts: Facts,
    /// What is still to be read; the first one is open in `lines` once it was begun.
    steps: VecDeque<Step>,
    lines: Option<Lines<BufReader<File>>>,
    /// How many words have been told; they are told step by step, to hold few operations.
    n_words: usize,
    n_bytes_done: u64,
    n_bytes_total: u64,
    n_records: u64,
}

/// A file to turn into facts, or the words, which are in no file of their own.
enum Step {
    Words,
    Synsets(Part, PathBuf),
    Irregular(Part, PathBuf),
    Sentences(PathBuf),
    SentenceUses(PathBuf),
}

impl Step {
    fn path(&self) -> Option<&Path> {
        match self {
            Step::Words => None,
            Step::Synsets(_, path)
            | Step::Irregular(_, path)
            | Step::Sentences(path)
            | Step::SentenceUses(path) => Some(path),
        }
    }
}

impl Wordnet {
    /// Opens a directory and reads through its files once.
    ///
    /// # Errors
    /// When a file is missing or malformed, or the files do not belong together.
    pub fn open(dir: &Path) -> Result<Wordnet, FormatError> {
        let inventory = Inventory::read(dir)?;
        let steps = steps(dir);
        let n_bytes = |step: &Step| step.path().and_then(|path| path.metadata().ok());
        let n_bytes_total = steps.iter().filter_map(n_bytes).map(|metadata| metadata.len()).sum();
        let mut facts = Facts { vocabulary: Vocabulary::new(), ops: VecDeque::new() };
        facts.tell_frames();
        Ok(Wordnet {
            inventory,
            facts,
            steps,
            lines: None,
            n_words: 0,
            n_bytes_done: 0,
            n_bytes_total,
            n_records: 0,
        })
    }

    /// Makes the facts of one more record; `false` when there is none left.
    fn advance(&mut self) -> Result<bool, FormatError> {
        let Some(step) = self.steps.front() else {
            return Ok(false);
        };
        let Some(path) = step.path() else {
            self.tell_next_word();
            return Ok(true);
        };
        let lines = match &mut self.lines {
            Some(lines) => lines,
            empty => empty.insert(open_file(path, LINE_BYTES_MAX)?.0),
        };
        let Some(line) = lines.next_line()? else {
            self.n_bytes_done += lines.n_bytes();
            self.lines = None;
            self.steps.pop_front();
            return Ok(true);
        };
        if line.trim_ascii().is_empty() {
            return Ok(true);
        }
        let told = match step {
            Step::Words => Ok(()),
            Step::Synsets(..) if is_preamble(line) => return Ok(true),
            Step::Synsets(part, _) => self.facts.tell_synset(&self.inventory, *part, line),
            Step::Irregular(part, _) => self.facts.tell_irregular(&mut self.inventory, *part, line),
            Step::Sentences(_) => self.facts.tell_sentence(line),
            Step::SentenceUses(_) => self.facts.tell_sentence_use(&self.inventory, line),
        };
        told.map_err(|flaw| flawed(lines.place(), flaw))?;
        self.n_records += 1;
        Ok(true)
    }

    fn tell_next_word(&mut self) {
        match self.inventory.words().get(self.n_words) {
            None => drop(self.steps.pop_front()),
            Some(word) => {
                self.facts.tell_word(word);
                self.n_words += 1;
                self.n_records += 1;
            }
        }
    }
}

fn steps(dir: &Path) -> VecDeque<Step> {
    let mut steps = VecDeque::from([Step::Words]);
    steps.extend(Part::ALL.map(|part| Step::Synsets(part, data_path(dir, part))));
    let exceptions = |part: Part| (part, dir.join(format!("{}.exc", part.file_name())));
    let present = |(_, path): &(Part, PathBuf)| path.is_file();
    let irregular = Part::ALL.map(exceptions).into_iter().filter(present);
    steps.extend(irregular.map(|(part, path)| Step::Irregular(part, path)));
    let (sentences, uses) = (dir.join("sents.vrb"), dir.join("sentidx.vrb"));
    if sentences.is_file() && uses.is_file() {
        steps.extend([Step::Sentences(sentences), Step::SentenceUses(uses)]);
    }
    steps
}

impl Iterator for Wordnet {
    type Item = Result<Op, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(op) = self.facts.ops.pop_front() {
                return Some(Ok(op));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.steps.clear();
                    self.facts.ops.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Import for Wordnet {
    fn progress(&self) -> Progress {
        let n_bytes = self.n_bytes_done + self.lines.as_ref().map_or(0, Lines::n_bytes);
        let n_bytes_total = Some(self.n_bytes_total);
        Progress { n_bytes, n_bytes_total, n_records: self.n_records }
    }
}

/// Facts made and not yet pulled: those of one record.
struct Facts {
    vocabulary: Vocabulary,
    ops: VecDeque<Op>,
}

impl Facts {
    fn set(&mut self, e: &EntityId, a: Attribute, v: impl Into<Value>) {
        self.ops.push_back(Op::Set { e: e.clone(), a, v: v.into() });
    }

    fn add(&mut self, e: &EntityId, a: Attribute, v: impl Into<Value>) {
        self.ops.push_back(Op::Add { e: e.clone(), a, v: v.into() });
    }

    fn tell_frames(&mut self) {
        for (number, text) in (1..).zip(FRAMES) {
            let frame = frame_id(number).expect("numbers of the table");
            self.set(&frame, self.vocabulary.frame_text.clone(), text);
        }
    }

    fn tell_word(&mut self, word: &inventory::Word) {
        self.set(&word.id, self.vocabulary.word_lemma.clone(), spaced(word.lemma()));
        for part in Part::ALL.into_iter().filter(|&part| word.parts[part as usize]) {
            self.add(&word.id, self.vocabulary.word_pos.clone(), part.name());
        }
    }

    fn tell_synset(&mut self, inventory: &Inventory, part: Part, line: &str) -> Result<(), Flaw> {
        let line = SynsetLine::parse(part, line)?;
        let known = inventory.synset(part, line.offset);
        let Some((synset, senses)) = known.filter(|(_, senses)| senses.len() == line.words.len())
        else {
            // Only when somebody writes to the files between the two passes.
            let message = "the file changed while it was read".to_owned();
            return Err(Flaw { column: 1, message });
        };
        let id = &synset.id;
        self.set(id, self.vocabulary.synset_pos.clone(), part.name());
        if line.is_satellite {
            self.set(id, self.vocabulary.synset_satellite.clone(), true);
        }
        self.set(id, self.vocabulary.synset_lexfile.clone(), line.lexfile);
        self.set(id, self.vocabulary.synset_gloss.clone(), line.gloss);
        for index in 0..senses.len() {
            self.tell_sense(inventory, synset, senses, &line, index);
        }
        for pointer in &line.pointers {
            self.tell_pointer(inventory, synset, senses, pointer)?;
        }
        for frame in &line.frames {
            let flaw = |message: String| Flaw { column: frame.column, message };
            let target = frame_id(frame.number)
                .ok_or_else(|| flaw(format!("there is no frame {}", frame.number)))?;
            match frame.word {
                None => self.add(id, self.vocabulary.synset_frame.clone(), target),
                Some(number) => {
                    let sense = word_of(senses, number).ok_or_else(|| flaw(no_word(number)))?;
                    self.add(&sense.id, self.vocabulary.sense_frame.clone(), target);
                }
            }
        }
        Ok(())
    }

    fn tell_sense(
        &mut self,
        inventory: &Inventory,
        synset: &Synset,
        senses: &[Sense],
        line: &SynsetLine<'_>,
        index: usize,
    ) {
        let (sense, field, earlier) = (&senses[index], &line.words[index], &senses[..index]);
        let word = inventory.word(sense.word);
        let is_shared = senses.iter().filter(|other| other.id == sense.id).count() > 1;
        if is_shared || field.written != word.lemma() {
            let written = spaced(field.written);
            self.add(&sense.id, self.vocabulary.sense_written.clone(), written);
        }
        // `Earth` and `earth` of one synset are one word, `A` and `a` even one sense.
        if earlier.iter().all(|other| other.word != sense.word) {
            self.add(&synset.id, self.vocabulary.synset_word.clone(), word.id.clone());
        }
        if earlier.iter().any(|other| other.id == sense.id) {
            return;
        }
        self.set(&sense.id, self.vocabulary.sense_key.clone(), sense.id.as_str());
        self.set(&sense.id, self.vocabulary.sense_word.clone(), word.id.clone());
        self.add(&word.id, self.vocabulary.word_sense.clone(), sense.id.clone());
        self.set(&sense.id, self.vocabulary.sense_synset.clone(), synset.id.clone());
        self.set(&sense.id, self.vocabulary.sense_number.clone(), i64::from(sense.number));
        self.set(&sense.id, self.vocabulary.sense_position.clone(), index as i64 + 1);
        self.set(&sense.id, self.vocabulary.sense_lex_id.clone(), i64::from(sense.lex_id));
        if let Some(marker) = field.marker {
            self.set(&sense.id, self.vocabulary.sense_marker.clone(), marker);
        }
        if sense.tag_count > 0 {
            let tag_count = i64::from(sense.tag_count);
            self.set(&sense.id, self.vocabulary.sense_tag_count.clone(), tag_count);
        }
    }

    fn tell_pointer(
        &mut self,
        inventory: &Inventory,
        synset: &Synset,
        senses: &[Sense],
        pointer: &Pointer,
    ) -> Result<(), Flaw> {
        let flaw = |message: String| Flaw { column: pointer.column, message };
        let (part, offset) = (pointer.target_part, pointer.target_offset);
        let (target, target_senses) = inventory
            .synset(part, offset)
            .ok_or_else(|| flaw(format!("there is no {} synset {offset:08}", part.name())))?;
        let attribute = self.vocabulary.pointer(pointer.kind, pointer.words.is_some()).clone();
        let Some((from, to)) = pointer.words else {
            self.add(&synset.id, attribute, target.id.clone());
            return Ok(());
        };
        let from = word_of(senses, from).ok_or_else(|| flaw(no_word(from)))?;
        let to = word_of(target_senses, to)
            .ok_or_else(|| flaw(format!("{} of synset {offset:08}", no_word(to))))?;
        self.add(&from.id, attribute, to.id.clone());
        Ok(())
    }

    /// `mice mouse`: a form, then the words it is a form of. Some of those are in no synset.
    fn tell_irregular(
        &mut self,
        inventory: &mut Inventory,
        part: Part,
        line: &str,
    ) -> Result<(), Flaw> {
        let mut fields = Fields::new(line);
        let form = fields.next("a form")?;
        while let Some(lemma) = fields.next_or_end() {
            let (index, is_new) =
                inventory.intern(lemma).map_err(|error| fields.flaw(error.to_string()))?;
            let word = inventory.word(index);
            if is_new {
                self.tell_word(word);
            }
            let attribute = self.vocabulary.word_irregular[part as usize].clone();
            self.add(&word.id, attribute, spaced(form));
        }
        Ok(())
    }

    /// `1 The children %s to the playground`
    fn tell_sentence(&mut self, line: &str) -> Result<(), Flaw> {
        let mut fields = Fields::new(line);
        let number = fields.number("a sentence number", 10, 99_999_999)?;
        let text = line.trim_ascii().split_once(' ').map_or("", |(_, text)| text.trim_ascii());
        self.set(&sentence_id(number), self.vocabulary.sentence_text.clone(), text);
        Ok(())
    }

    /// `abash%2:37:00:: 126,127`. Keys of senses that are no more are in the file, too.
    fn tell_sentence_use(&mut self, inventory: &Inventory, line: &str) -> Result<(), Flaw> {
        let mut fields = Fields::new(line);
        let key = fields.next("a sense key")?;
        let Some(sense) = inventory.verb_sense(key) else {
            return Ok(());
        };
        let Some(numbers) = fields.next_or_end() else {
            return Ok(());
        };
        for number in numbers.split(',') {
            let sentence = number
                .parse()
                .map_err(|_| fields.flaw(format!("`{number}` is not a sentence number")))?;
            let attribute = self.vocabulary.sense_sentence.clone();
            self.add(sense, attribute, sentence_id(sentence));
        }
        Ok(())
    }
}

/// Words are numbered from 1.
fn word_of(senses: &[Sense], number: u8) -> Option<&Sense> {
    senses.get(usize::from(number).checked_sub(1)?)
}

fn no_word(number: u8) -> String {
    format!("there is no word {number}")
}

fn sentence_id(number: u32) -> EntityId {
    EntityId::new(format!("sentence:{number}")).expect("made of a short word and a number")
}

/// The files join words by underscores.
fn spaced(text: &str) -> String {
    text.replace('_', " ")
}
