//! Questions to WordNet: recursion up and down, joins, negation, groups.
//!
//! `synset/pointer` is not WordNet's own: it is every pointer between synsets, whatever its kind,
//! as one attribute, because that is the relation in which triangles are looked for.

use anyhow::Result;
use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;

use super::question::{Question, Target, ask_all, of_best, of_datafrog, of_sql};
use crate::row::Row;
use crate::{Context, Wanted};

/// Ids of the questions.
pub const IDS: &[&str] = &[
    "query.wordnet.ancestors",
    "query.wordnet.descendants",
    "query.wordnet.closure",
    "query.wordnet.share",
    "query.wordnet.triangle",
    "query.wordnet.negation",
    "query.wordnet.group",
];

/// The most frequent senses of *dog* and *animal* as nouns, in WordNet 3.0.
const DOG: &str = "wn:n:02084071";
const ANIMAL: &str = "wn:n:00015388";

/// Asks them, if WordNet is there.
///
/// # Errors
/// When somebody cannot answer.
pub fn run(context: &mut Context, wanted: &Wanted<'_>) -> Result<Vec<Row>> {
    let Some(facts) = context.data.wordnet_asked()? else { return Ok(Vec::new()) };
    ask_all(&questions(), facts, context.peers.as_mut(), wanted)
}

fn questions() -> Vec<Question> {
    let mut questions = recursive();
    questions.extend(flat());
    questions
}

fn recursive() -> Vec<Question> {
    let node = |id| vec![Input::Scalar(Value::reference(id).expect("short and printable"))];
    vec![
        Question {
            id: "query.wordnet.ancestors",
            text: "[:find ?y :in ?x :where (above ?x ?y)
                    :rules [[(above ?x ?y) [?x :synset/hypernym ?y]]
                            [(above ?x ?y) [?x :synset/hypernym ?z] (above ?z ?y)]]]",
            inputs: node(DOG),
            unit: "us",
            target: Target::Time { must: 15.0, aim: 5.0 },
        },
        Question {
            id: "query.wordnet.descendants",
            text: "[:find ?x :in ?y :where (above ?x ?y)
                    :rules [[(above ?x ?y) [?x :synset/hypernym ?y]]
                            [(above ?x ?y) [?x :synset/hypernym ?z] (above ?z ?y)]]]",
            inputs: node(ANIMAL),
            unit: "ms",
            target: of_best(0.5, Some(0.15)),
        },
        Question {
            id: "query.wordnet.closure",
            text: "[:find ?x ?y :where (above ?x ?y)
                    :rules [[(above ?x ?y) [?x :synset/hypernym ?y]]
                            [(above ?x ?y) [?x :synset/hypernym ?z] (above ?z ?y)]]]",
            inputs: Vec::new(),
            unit: "ms",
            target: of_datafrog(1.0, Some(0.4)),
        },
    ]
}

fn flat() -> Vec<Question> {
    let question = |id, text, target| Question { id, text, inputs: Vec::new(), unit: "ms", target };
    vec![
        question(
            "query.wordnet.share",
            "[:find ?a ?b :where [?s :synset/pos \"noun\"]
                                 [?s :synset/word ?a] [?s :synset/word ?b] [(!= ?a ?b)]]",
            of_datafrog(1.0, Some(0.6)),
        ),
        question(
            "query.wordnet.triangle",
            "[:find ?a ?b ?c :where [?a :synset/pointer ?b] [?b :synset/pointer ?c]
                                    [?a :synset/pointer ?c]]",
            Target::Of {
                whom: "datafrog's leapfrog",
                names: &["datafrog leapfrog"],
                must: 1.0,
                aim: Some(0.4),
            },
        ),
        question(
            "query.wordnet.negation",
            "[:find ?s :where [?s :synset/pos \"noun\"] (not [?s :synset/hypernym _])]",
            of_sql(0.1, None),
        ),
        question(
            "query.wordnet.group",
            "[:find ?file (count ?s) :where [?s :synset/lexfile ?file]]",
            of_sql(0.3, Some(0.05)),
        ),
    ]
}
