//! What clients subscribe to: two fixed queries that the checks know, a few with known hard spots,
//! and random ones over the same vocabulary.

use tercet_engine::db::Query;
use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;

use crate::generate::live::{Stream, stream};
use crate::generate::program::Case;
use crate::random::Random;
use crate::subject;
use crate::tree::lift;

/// The attribute under which every transaction leaves its token.
const TOKEN: &str = "sim/token";
/// The attribute of two entities that are always written together.
const PAIR: &str = "sim/pair";

/// Every token.
pub(super) const TOKENS: usize = 0;
/// Both halves of the pair.
pub(super) const PAIRS: usize = 1;

const FIXED: [&str; 2] = [
    "[:find ?e ?v :where [?e :sim/token ?v]]",
    r#"[:find ?x ?y :where ["p1" :sim/pair ?x] ["p2" :sim/pair ?y]]"#,
];

/// Recursion with negation, a window over what is rejected, groups, absences, trees.
const HARD: [&str; 10] = [
    "[:find ?e ?f :in $ % :where (far ?e ?f) (not [?f :n/link _])]",
    "[:find ?e ?n :where [?e :n/age ?n] (not [?e :n/on false]) :order-by [[?n :desc]] :limit 2]",
    "[:find ?t (count ?e) :where [?e :n/tag ?t] :order-by [[(count ?e) :desc]] :limit 2]",
    "[:find ?n (sum ?s) :with ?e :where [?e :n/age ?n] [?e :n/size ?s] \
     :having [(> (sum ?s) 1)]]",
    "[:find ?e :where [?e :n/edge _] [(missing? $ ?e :n/name)]]",
    "[:find ?e ?n :where [?e :n/edge ?f] [(get-else $ ?f :n/age 3) ?n]]",
    "[:find (pull ?e [:n/name {:n/edge [:n/age :n/tag]} :n/_link]) :where [?e :n/on true]]",
    "[:find (pull ?e [*]) :where [?e :n/age ?n] [(> ?n 1)]]",
    "[:find ?e ?a ?v :where [?e ?a ?v] [?e :n/tag \"a\"]]",
    "[:find ?e ?f :where (or-join [?e ?f] [?e :n/edge ?f] (and [?f :n/link ?g] [?g :n/next ?e]))]",
];

const RULES: &str = "[[(far ?a ?b) [?a :n/edge ?b]] [(far ?a ?b) (far ?a ?c) [?c :n/edge ?b]]]";

/// Something to subscribe to.
pub(super) struct Question {
    pub(super) query: Query,
    pub(super) case: Case,
}

impl Question {
    fn of(case: Case) -> Option<Question> {
        let query = subject::prepare(&case.program).ok()?;
        query.check_live().ok()?;
        Some(Question { query, case })
    }

    /// Of a text that is known to be a query.
    fn read(text: &str) -> Question {
        let parsed = match text.contains(":in $ %") {
            true => tercet_query_lang::parse_with_rules(text, RULES),
            false => tercet_query_lang::parse(text),
        };
        let parsed = parsed.unwrap_or_else(|report| panic!("{report}"));
        let case = Case { program: lift(&parsed.raw), inputs: Vec::new() };
        Question::of(case).expect("it can be live")
    }

    /// Its arguments.
    pub(super) fn inputs(&self) -> &[Input] {
        &self.case.inputs
    }
}

/// Everything that is asked in a tenant, and the operations that change it.
pub(super) struct Topic {
    pub(super) questions: Vec<Question>,
    pub(super) stream: Stream,
}

impl Topic {
    /// The fixed questions and so many others.
    pub(super) fn draw(random: &mut Random, n_questions: usize) -> Topic {
        let n_hard = random.below(n_questions + 1);
        let stream = stream(random, n_questions - n_hard);
        let fixed = FIXED.iter().map(|text| Question::read(text));
        let random_ones = stream.questions.iter().cloned().filter_map(Question::of);
        let mut questions: Vec<Question> = fixed.chain(random_ones).collect();
        for _ in 0..n_hard {
            questions.push(Question::read(random.pick::<&str>(&HARD)));
        }
        Topic { questions, stream }
    }
}

fn entity(id: &str) -> EntityId {
    EntityId::new(id).expect("short")
}

fn attribute(text: &str) -> Attribute {
    Attribute::new(text).expect("type/field")
}

/// The operation that leaves a token.
pub(super) fn token_op(token: &str) -> Op {
    let shelf = token.len() % 3;
    let e = entity(&format!("tokens{shelf}"));
    Op::Add { e, a: attribute(TOKEN), v: Value::from(token) }
}

/// The token that an operation leaves.
pub(super) fn token_of(op: &Op) -> Option<String> {
    match op {
        Op::Add { a, v: Value::String(text), .. } if a.as_str() == TOKEN => Some(text.to_string()),
        _ => None,
    }
}

/// Both halves of the pair, written together.
pub(super) fn pair_ops(number: u64) -> [Op; 2] {
    let half =
        |id| Op::Set { e: entity(id), a: attribute(PAIR), v: Value::int(number.cast_signed()) };
    [half("p1"), half("p2")]
}

/// An operation that every server rejects: it covers what is to come.
pub(super) fn bad_op() -> Op {
    let covers = "ffffffffffffffffffffffffffffffffffff".parse().ok();
    Op::Remove { e: entity("p1"), a: attribute(PAIR), v: Value::int(0), covers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_questions_can_be_live() {
        for text in FIXED.iter().chain(&HARD) {
            Question::read(text);
        }
    }
}
