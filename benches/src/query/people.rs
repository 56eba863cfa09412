//! Questions to 20,000 people: those of the field's usual benchmark, and their relatives.

use anyhow::Result;
use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;

use super::question::{Question, Target, ask_all, of_compiled, of_sql};
use crate::row::Row;
use crate::{Context, Wanted};

/// Ids of the questions.
pub const IDS: &[&str] = &[
    "query.people.q1",
    "query.people.q2",
    "query.people.q3",
    "query.people.q4",
    "query.people.q5",
    "query.people.q6",
    "query.people.range",
    "query.people.rangep",
    "query.people.group",
    "query.people.top",
    "query.people.reach",
];

/// Asks them.
///
/// # Errors
/// When somebody cannot answer.
pub fn run(context: &mut Context, wanted: &Wanted<'_>) -> Result<Vec<Row>> {
    ask_all(&questions(), context.data.people(), context.peers.as_mut(), wanted)
}

fn questions() -> Vec<Question> {
    let mut questions = by_fields();
    questions.extend(by_joins());
    questions.extend(by_salary());
    questions.push(Question {
        id: "query.people.reach",
        text: "[:find ?other :in ?one :where (reach ?one ?other)
                :rules [[(reach ?x ?y) [?x :person/follows ?y]]
                        [(reach ?x ?y) [?x :person/follows ?z] (reach ?z ?y)]]]",
        inputs: vec![Input::Scalar(Value::reference("person:17").expect("short and printable"))],
        unit: "ms",
        target: of_compiled(0.5, Some(0.2)),
    });
    questions
}

/// One name, and more and more fields.
fn by_fields() -> Vec<Question> {
    let question = |id, text| Question {
        id,
        text,
        inputs: vec![Input::Scalar(Value::from("Ivan"))],
        unit: "ms",
        target: of_sql(0.5, Some(0.15)),
    };
    vec![
        question("query.people.q1", "[:find ?e :in ?name :where [?e :person/name ?name]]"),
        question(
            "query.people.q2",
            "[:find ?e ?a :in ?name :where [?e :person/name ?name] [?e :person/age ?a]]",
        ),
        question(
            "query.people.q3",
            "[:find ?e ?a :in ?name
              :where [?e :person/name ?name] [?e :person/age ?a] [?e :person/sex \"male\"]]",
        ),
        question(
            "query.people.q4",
            "[:find ?e ?l ?a :in ?name
              :where [?e :person/name ?name] [?e :person/last-name ?l]
                     [?e :person/age ?a] [?e :person/sex \"male\"]]",
        ),
    ]
}

/// Joins over values that many share. SQL is helped by hand.
fn by_joins() -> Vec<Question> {
    let by_hand = |whom, aim| Target::Of { whom, names: &["SQL by hand"], must: 0.5, aim };
    let age = |years| Input::Scalar(Value::int(years));
    vec![
        Question {
            id: "query.people.q5",
            text: "[:find ?e1 ?l ?a :in ?name
                    :where [?e :person/name ?name] [?e :person/age ?a]
                           [?e1 :person/age ?a] [?e1 :person/last-name ?l]]",
            inputs: vec![Input::Scalar(Value::from("Ivan"))],
            unit: "ms",
            target: by_hand("SQL with distinct ages first", Some(0.2)),
        },
        Question {
            id: "query.people.q6",
            text: "[:find ?e1 ?e2 :in ?a1 ?a2
                    :where [?e1 :person/age ?a1] [?e1 :person/last-name ?l]
                           [?e2 :person/last-name ?l] [?e2 :person/age ?a2]]",
            inputs: vec![age(35), age(36)],
            unit: "ms",
            target: by_hand("SQL with both sides materialized", Some(0.25)),
        },
    ]
}

fn by_salary() -> Vec<Question> {
    let question =
        |id, text, inputs, aim| Question { id, text, inputs, unit: "ms", target: of_sql(0.5, aim) };
    vec![
        question(
            "query.people.range",
            "[:find ?e ?s :where [?e :person/salary ?s] [(> ?s 50000)]]",
            Vec::new(),
            Some(0.1),
        ),
        question(
            "query.people.rangep",
            "[:find ?e ?s :in ?min :where [?e :person/salary ?s] [(> ?s ?min)]]",
            vec![Input::Scalar(Value::int(50_000))],
            Some(0.1),
        ),
        question(
            "query.people.group",
            "[:find ?l ?x (avg ?s) (count ?e)
              :where [?e :person/last-name ?l] [?e :person/sex ?x] [?e :person/salary ?s]]",
            Vec::new(),
            None,
        ),
        question(
            "query.people.top",
            "[:find ?e ?s :where [?e :person/salary ?s] :order-by [[?s :desc] ?e] :limit 20]",
            Vec::new(),
            None,
        ),
    ]
}
