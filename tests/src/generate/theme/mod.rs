//! Families of questions that an engine evaluates in a way of their own, as query text.
//!
//! A theme writes text because its programs are a few sentences with alternatives in them; so
//! reading the language is tried as well. Facts are mostly additions, so that a database may be
//! large; a few other operations come after them where it is small.

use tercet_engine::fact::{Op, Transaction};
use tercet_engine::ids::EntityId;
use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;

use super::database;
use super::program::{Case, shuffle_all};
use super::vocabulary::attribute;
use crate::random::Random;
use crate::tree::lift;
use crate::workload;

mod closure;
mod cyclic;
pub(super) mod kept;
mod range;
mod reuse;
mod star;
mod window;

type Theme = fn(&mut Random) -> (Data, Case);

/// A database and a question of a random theme, with the theme's name.
pub(super) fn draw(random: &mut Random) -> (&'static str, Vec<Transaction>, Case) {
    let (name, theme): (_, Theme) = match random.below(100) {
        0..35 => ("closure", closure::closure),
        35..55 => ("cyclic", cyclic::cyclic),
        55..68 => ("star", star::star),
        68..80 => ("range", range::range),
        80..90 => ("reuse", reuse::reuse),
        _ => ("window", window::window),
    };
    let (data, case) = theme(random);
    (name, data.transactions(random), case)
}

/// Facts being collected.
#[derive(Debug, Default)]
struct Data(Vec<Op>);

impl Data {
    fn add(&mut self, entity: EntityId, attribute_text: &str, v: Value) {
        self.0.push(Op::Add { e: entity, a: attribute(attribute_text), v });
    }

    fn add_edge(&mut self, from: usize, attribute_text: &str, to: usize) {
        self.add(node(from), attribute_text, Value::Ref(node(to)));
    }

    /// The facts in any order, in transactions of any size; a few deletions behind a few facts.
    fn transactions(mut self, random: &mut Random) -> Vec<Transaction> {
        random.shuffle(&mut self.0);
        let n_ops_max = 1 + random.below(self.0.len().max(1));
        let mut transactions = workload::transactions(&self.0, n_ops_max);
        if self.0.len() < 60 && random.chance(20) {
            transactions.push(database::transaction(random, 1_000));
        }
        transactions
    }
}

/// The entity of a number: of the first eight also what `vocabulary` draws.
fn node(index: usize) -> EntityId {
    EntityId::new(format!("n{index}")).expect("short")
}

/// How many things there are: mostly a few, now and then dozens, `n_max` once in 300 draws.
fn size(random: &mut Random, n_max: usize) -> usize {
    match random.below(300) {
        0..200 => 2 + random.below(6),
        200..275 => 6 + random.below(20),
        275..299 => (20 + random.below(60)).min(n_max),
        _ => n_max / 2 + random.below(n_max / 2 + 1),
    }
}

/// The case that a text means, its clauses in any order.
///
/// # Panics
/// When the text is no query: then its theme is wrong.
fn read(random: &mut Random, text: &str, inputs: Vec<Input>) -> Case {
    let parsed = tercet_query_lang::parse(text).unwrap_or_else(|report| panic!("{report}"));
    let mut program = lift(&parsed.raw);
    if random.chance(70) {
        shuffle_all(random, &mut program.body);
        random.shuffle(&mut program.rules);
        for rule in &mut program.rules {
            shuffle_all(random, &mut rule.body);
        }
    }
    Case { program, inputs }
}

/// A random one of several texts.
fn one_of<'t>(random: &mut Random, texts: &[&'t str]) -> &'t str {
    texts[random.below(texts.len())]
}
