//! A hundred kinds of subscriptions to tasks: ten families over ten fields.
//!
//! No two differ in constants alone, so none can share a plan with another because of that; within
//! a kind, subscriptions differ in their parameters. Those of one family have their parameter as a
//! constant in their text, as applications write them that build texts.

use anyhow::Result;
use tercet_engine::db::Query;
use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;

use super::tasks::{FIELDS, interval};
use super::write::entity;

/// What a family's queries have in common. Its texts are in [`Family::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// One field of one task.
    Point,
    /// A join of two: the tasks of a project.
    Project,
    /// A join of three: the tasks of a team's projects.
    Team,
    /// Negation: tasks of an owner without the field.
    Lacking,
    /// A disjunction: tasks that somebody owns or reviews.
    Either,
    /// A range between two parameters.
    Between,
    /// Aggregates.
    Sum,
    /// Order and limit.
    Top,
    /// A join whose parameter is a constant of the text.
    Named,
    /// A join, and negation of another entity's fact.
    Unnoted,
}

/// All families.
pub const FAMILIES: [Family; 10] = [
    Family::Point,
    Family::Project,
    Family::Team,
    Family::Lacking,
    Family::Either,
    Family::Between,
    Family::Sum,
    Family::Top,
    Family::Named,
    Family::Unnoted,
];

impl Family {
    /// Whether nothing need be kept for one of its subscriptions: no group, no window. Those whose
    /// text has a constant are not counted either: whoever subscribes keeps the text.
    pub fn is_plain(self) -> bool {
        !matches!(self, Family::Sum | Family::Top | Family::Named)
    }

    fn text(self) -> &'static str {
        match self {
            Family::Point => "[:find ?v :in ?t :where [?t FIELD ?v]]",
            Family::Project => "[:find ?t ?v :in ?p :where [?t :task/project ?p] [?t FIELD ?v]]",
            Family::Team => {
                "[:find ?t ?v :in ?m
                  :where [?p :project/team ?m] [?t :task/project ?p] [?t FIELD ?v]]"
            }
            Family::Lacking => {
                "[:find ?t ?p :in ?u
                  :where [?t :task/owner ?u] [?t :task/project ?p] (not [?t FIELD _])]"
            }
            Family::Either => {
                "[:find ?t ?v :in ?u
                  :where (or [?t :task/owner ?u] [?t :task/reviewer ?u]) [?t FIELD ?v]]"
            }
            Family::Between => {
                "[:find ?t ?v :in ?from ?until
                  :where [?t FIELD ?v] [(>= ?v ?from)] [(< ?v ?until)]]"
            }
            Family::Sum => {
                "[:find (count ?t) (sum ?v) :in ?p
                  :where [?t :task/project ?p] [?t FIELD ?v]]"
            }
            Family::Top => {
                "[:find ?t ?v :in ?p :where [?t :task/project ?p] [?t FIELD ?v]
                  :order-by [[?v :desc] ?t] :limit 5]"
            }
            Family::Named => {
                "[:find ?t ?u ?v
                  :where [?t :task/project #ref \"PROJECT\"] [?t FIELD ?v] [?t :task/owner ?u]]"
            }
            Family::Unnoted => {
                "[:find ?t ?v :in ?p
                  :where [?t :task/project ?p] [?t FIELD ?v] (not [_ :note/task ?t])]"
            }
        }
    }

    fn inputs(self, index: usize) -> Vec<Input> {
        let one = |kind| vec![Input::Scalar(Value::Ref(entity(kind, index)))];
        match self {
            Family::Point => one("task"),
            Family::Project | Family::Sum | Family::Top | Family::Unnoted => one("project"),
            Family::Team => one("team"),
            Family::Lacking | Family::Either => one("user"),
            Family::Between => {
                let interval = interval(index);
                let number = |value: usize| Input::Scalar(Value::int(value as i64));
                vec![number(interval.start), number(interval.end)]
            }
            Family::Named => Vec::new(),
        }
    }
}

/// The first subscriptions of every kind of these families: the same number of each.
///
/// # Errors
/// When a text is not understood.
pub fn subscriptions(families: &[Family], n_each: usize) -> Result<Vec<(Query, Vec<Input>)>> {
    let mut subscriptions = Vec::with_capacity(families.len() * FIELDS.len() * n_each);
    for family in families {
        for field in FIELDS {
            let text = family.text().replace("FIELD", &format!(":{field}"));
            let shared = tercet_query_lang::compile(&*text.replace("PROJECT", "project:0"), None)?;
            for index in 0..n_each {
                let query = match family {
                    Family::Named => {
                        let project = format!("project:{index}");
                        tercet_query_lang::compile(&*text.replace("PROJECT", &project), None)?
                    }
                    _ => shared.clone(),
                };
                subscriptions.push((query, family.inputs(index)));
            }
        }
    }
    Ok(subscriptions)
}
