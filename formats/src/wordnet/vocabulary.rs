//! Names: the attributes that WordNet becomes, and the tables that its manual pages fix.
//!
//! `docs/wordnet.md` explains the attributes to their readers. Sources: pointer symbols and verb
//! frames are those of wninput(5WN), lexicographer files those of lexnames(5WN), both for 3.x;
//! packages leave the files with these tables out, so they are here.

use tercet_engine::ids::{Attribute, EntityId};

/// A syntactic category; each has its own data, index and exception file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Noun,
    Verb,
    Adjective,
    Adverb,
}

impl Part {
    pub(super) const ALL: [Part; 4] = [Part::Noun, Part::Verb, Part::Adjective, Part::Adverb];

    /// As facts say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Part::Noun => "noun",
            Part::Verb => "verb",
            Part::Adjective => "adjective",
            Part::Adverb => "adverb",
        }
    }

    /// As file names say it.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Part::Noun => "noun",
            Part::Verb => "verb",
            Part::Adjective => "adj",
            Part::Adverb => "adv",
        }
    }

    /// As pointers and ids say it. Satellites live among the adjectives and are found by `a` too.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Part::Noun => "n",
            Part::Verb => "v",
            Part::Adjective => "a",
            Part::Adverb => "r",
        }
    }

    pub(super) fn from_letter(letter: &str) -> Option<Part> {
        if letter == "s" {
            return Some(Part::Adjective);
        }
        Part::ALL.into_iter().find(|part| part.letter() == letter)
    }

    /// The part behind the first digit after the `%` of a sense key.
    pub(super) fn from_key_digit(digit: u8) -> Option<Part> {
        match digit {
            b'1' => Some(Part::Noun),
            b'2' => Some(Part::Verb),
            b'3' | b'5' => Some(Part::Adjective),
            b'4' => Some(Part::Adverb),
            _ => None,
        }
    }

    /// The first digit after the `%` of a sense key.
    pub(super) fn key_digit(self, is_satellite: bool) -> u8 {
        match self {
            Part::Noun => 1,
            Part::Verb => 2,
            Part::Adjective if is_satellite => 5,
            Part::Adjective => 3,
            Part::Adverb => 4,
        }
    }
}

/// Pointer symbols and the field each becomes, of synsets or of senses.
const POINTERS: [(&str, &str); 26] = [
    ("!", "antonym"),
    ("@", "hypernym"),
    ("@i", "instance-hypernym"),
    ("~", "hyponym"),
    ("~i", "instance-hyponym"),
    ("#m", "member-holonym"),
    ("#s", "substance-holonym"),
    ("#p", "part-holonym"),
    ("%m", "member-meronym"),
    ("%s", "substance-meronym"),
    ("%p", "part-meronym"),
    ("=", "attribute"),
    ("+", "derivation"),
    ("&", "similar"),
    ("*", "entailment"),
    (">", "cause"),
    ("^", "also-see"),
    ("$", "verb-group"),
    ("<", "participle-of"),
    ("\\", "pertainym"),
    (";c", "topic"),
    ("-c", "topic-member"),
    (";r", "region"),
    ("-r", "region-member"),
    (";u", "usage"),
    ("-u", "usage-member"),
];

/// The lexicographer files; the index is the number.
#[rustfmt::skip]
const LEXICOGRAPHER_FILES: [&str; 45] = [
    "adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.act", "noun.animal", "noun.artifact",
    "noun.attribute", "noun.body", "noun.cognition", "noun.communication", "noun.event",
    "noun.feeling", "noun.food", "noun.group", "noun.location", "noun.motive", "noun.object",
    "noun.person", "noun.phenomenon", "noun.plant", "noun.possession", "noun.process",
    "noun.quantity", "noun.relation", "noun.shape", "noun.state", "noun.substance", "noun.time",
    "verb.body", "verb.change", "verb.cognition", "verb.communication", "verb.competition",
    "verb.consumption", "verb.contact", "verb.creation", "verb.emotion", "verb.motion",
    "verb.perception", "verb.possession", "verb.social", "verb.stative", "verb.weather", "adj.ppl",
];

/// The generic sentence frames of verbs; the first is number 1.
pub(super) const FRAMES: [&str; 35] = [
    "Something ----s",
    "Somebody ----s",
    "It is ----ing",
    "Something is ----ing PP",
    "Something ----s something Adjective/Noun",
    "Something ----s Adjective/Noun",
    "Somebody ----s Adjective",
    "Somebody ----s something",
    "Somebody ----s somebody",
    "Something ----s somebody",
    "Something ----s something",
    "Something ----s to somebody",
    "Somebody ----s on something",
    "Somebody ----s somebody something",
    "Somebody ----s something to somebody",
    "Somebody ----s something from somebody",
    "Somebody ----s somebody with something",
    "Somebody ----s somebody of something",
    "Somebody ----s something on somebody",
    "Somebody ----s somebody PP",
    "Somebody ----s something PP",
    "Somebody ----s PP",
    "Somebody's (body part) ----s",
    "Somebody ----s somebody to INFINITIVE",
    "Somebody ----s somebody INFINITIVE",
    "Somebody ----s that CLAUSE",
    "Somebody ----s to somebody",
    "Somebody ----s to INFINITIVE",
    "Somebody ----s whether INFINITIVE",
    "Somebody ----s somebody into V-ing something",
    "Somebody ----s something with something",
    "Somebody ----s INFINITIVE",
    "Somebody ----s VERB-ing",
    "It ----s that CLAUSE",
    "Something ----s INFINITIVE",
];

/// The position of a pointer symbol among the attributes of [`Vocabulary::pointer`].
pub(super) fn pointer_index(symbol: &str) -> Option<usize> {
    POINTERS.iter().position(|&(known, _)| known == symbol)
}

/// The name of a lexicographer file.
pub(super) fn lexicographer_file(number: u8) -> Option<&'static str> {
    LEXICOGRAPHER_FILES.get(usize::from(number)).copied()
}

/// The entity of a verb frame, from 1 to 35.
pub(super) fn frame_id(number: u8) -> Option<EntityId> {
    let known = (1..=FRAMES.len()).contains(&usize::from(number));
    known.then(|| id(format!("frame:{number}")))
}

fn id(text: String) -> EntityId {
    EntityId::new(text).expect("made of a short word and a number")
}

fn attribute(text: &str) -> Attribute {
    Attribute::new(text).expect("the vocabulary is written as type/field")
}

/// Every attribute, made once and shared.
pub(super) struct Vocabulary {
    pub(super) word_lemma: Attribute,
    pub(super) word_pos: Attribute,
    pub(super) word_sense: Attribute,
    /// In the order of [`Part::ALL`].
    pub(super) word_irregular: [Attribute; 4],
    pub(super) sense_key: Attribute,
    pub(super) sense_word: Attribute,
    pub(super) sense_synset: Attribute,
    pub(super) sense_number: Attribute,
    pub(super) sense_position: Attribute,
    pub(super) sense_lex_id: Attribute,
    pub(super) sense_written: Attribute,
    pub(super) sense_marker: Attribute,
    pub(super) sense_tag_count: Attribute,
    pub(super) sense_frame: Attribute,
    pub(super) sense_sentence: Attribute,
    pub(super) synset_pos: Attribute,
    pub(super) synset_satellite: Attribute,
    pub(super) synset_lexfile: Attribute,
    pub(super) synset_gloss: Attribute,
    pub(super) synset_word: Attribute,
    pub(super) synset_frame: Attribute,
    pub(super) frame_text: Attribute,
    pub(super) sentence_text: Attribute,
    /// For each symbol: of synsets, of senses.
    pointers: Vec<(Attribute, Attribute)>,
}

impl Vocabulary {
    pub(super) fn new() -> Vocabulary {
        let pointer = |&(_, field): &(&str, &str)| {
            (attribute(&format!("synset/{field}")), attribute(&format!("sense/{field}")))
        };
        Vocabulary {
            word_lemma: attribute("word/lemma"),
            word_pos: attribute("word/pos"),
            word_sense: attribute("word/sense"),
            word_irregular: Part::ALL
                .map(|part| attribute(&format!("word/irregular-{}", part.name()))),
            sense_key: attribute("sense/key"),
            sense_word: attribute("sense/word"),
            sense_synset: attribute("sense/synset"),
            sense_number: attribute("sense/number"),
            sense_position: attribute("sense/position"),
            sense_lex_id: attribute("sense/lex-id"),
            sense_written: attribute("sense/written"),
            sense_marker: attribute("sense/marker"),
            sense_tag_count: attribute("sense/tag-count"),
            sense_frame: attribute("sense/frame"),
            sense_sentence: attribute("sense/sentence"),
            synset_pos: attribute("synset/pos"),
            synset_satellite: attribute("synset/satellite"),
            synset_lexfile: attribute("synset/lexfile"),
            synset_gloss: attribute("synset/gloss"),
            synset_word: attribute("synset/word"),
            synset_frame: attribute("synset/frame"),
            frame_text: attribute("frame/text"),
            sentence_text: attribute("sentence/text"),
            pointers: POINTERS.iter().map(pointer).collect(),
        }
    }

    /// The attribute of a pointer between synsets, or between senses.
    pub(super) fn pointer(&self, index: usize, is_lexical: bool) -> &Attribute {
        let (of_synsets, of_senses) = &self.pointers[index];
        if is_lexical { of_senses } else { of_synsets }
    }
}
