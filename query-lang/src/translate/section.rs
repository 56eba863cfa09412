//! The sections of a query: `[:find … :where …]` or `{:find […] :where […]}`, taken apart.
//!
//! Both forms give the same slices of forms. Unknown and repeated keys end here; what a section
//! holds is translated elsewhere.

use super::Translator;
use crate::form::{Form, Kind, Span};
use crate::problem::{Problem, Problems};
use crate::suggest::did_you_mean;

/// What follows one key.
pub(super) struct Section<'f> {
    pub(super) key: Span,
    pub(super) items: &'f [Form],
}

/// The sections that are there.
#[derive(Default)]
pub(super) struct Sections<'f> {
    pub(super) find: Option<Section<'f>>,
    pub(super) keys: Option<Section<'f>>,
    pub(super) with: Option<Section<'f>>,
    pub(super) in_: Option<Section<'f>>,
    pub(super) where_: Option<Section<'f>>,
    pub(super) rules: Option<Section<'f>>,
    pub(super) having: Option<Section<'f>>,
    pub(super) order_by: Option<Section<'f>>,
    pub(super) limit: Option<Section<'f>>,
    pub(super) offset: Option<Section<'f>>,
    pub(super) after: Option<Section<'f>>,
    /// A section was reported and left out, so a missing one is not worth an error.
    pub(super) is_damaged: bool,
}

const KEYS: [&str; 13] = [
    "find", "keys", "strs", "syms", "with", "in", "where", "rules", "having", "order-by", "limit",
    "offset", "after",
];

impl<'f> Sections<'f> {
    /// Takes a query apart; `None` if it is neither a vector nor a map.
    pub(super) fn of(query: &'f Form, problems: &mut Problems) -> Option<Sections<'f>> {
        let mut sections = Sections::default();
        match &query.kind {
            Kind::Vector(items) => sections.add_vector(items, problems),
            Kind::Map(entries) => {
                for (key, value) in entries {
                    sections.add_entry(key, value, problems);
                }
            }
            Kind::Poison => return None,
            _ => {
                let problem = Problem::new(
                    "query_form",
                    format!("expected a query, found {}", query.brief()),
                );
                problems
                    .push(query.span, problem.hint("a query is a vector, `[:find … :where …]`"));
                return None;
            }
        }
        Some(sections)
    }

    fn add_vector(&mut self, items: &'f [Form], problems: &mut Problems) {
        let is_key = |form: &Form| matches!(form.kind, Kind::Keyword(_));
        let first = items.iter().position(is_key).unwrap_or(items.len());
        for stray in items[..first].iter().filter(|form| !matches!(form.kind, Kind::Poison)) {
            let message = format!("{} stands before any key", stray.brief());
            let problem = Problem::new("query_form", message);
            problems.push(stray.span, problem.hint("a query starts with `:find`"));
        }
        let mut rest = &items[first..];
        while let Some((key, after)) = rest.split_first() {
            let n_items = after.iter().position(is_key).unwrap_or(after.len());
            let (content, next) = after.split_at(n_items);
            self.add(key, content, problems);
            rest = next;
        }
    }

    fn add_entry(&mut self, key: &'f Form, value: &'f Form, problems: &mut Problems) {
        let Kind::Keyword(name) = &key.kind else {
            let problem =
                Problem::new("query_form", format!("expected a key, found {}", key.brief()));
            return problems
                .push(key.span, problem.hint("keys are keywords: `:find`, `:where`, …"));
        };
        let is_single = matches!(&**name, "rules" | "order-by" | "limit" | "offset" | "after");
        match &value.kind {
            _ if is_single => self.add(key, std::slice::from_ref(value), problems),
            Kind::Vector(items) => self.add(key, items, problems),
            Kind::Poison => self.is_damaged = true,
            // An unknown key is reported as one, whatever its value.
            _ if !KEYS.contains(&&**name) => self.add(key, &[], problems),
            _ => {
                let message = format!("expected a vector after `:{name}`, found {}", value.brief());
                let problem = Problem::new("query_form", message);
                let hint = "in the map form of a query every list is a vector: `{:find [?x]}`";
                problems.push(value.span, problem.hint(hint));
                self.is_damaged = true;
            }
        }
    }

    fn add(&mut self, key: &'f Form, items: &'f [Form], problems: &mut Problems) {
        let Kind::Keyword(name) = &key.kind else {
            return;
        };
        let Some(slot) = self.slot(name) else {
            let problem = Problem::new("query_unknown_key", format!("unknown key `:{name}`"));
            let hint = match &**name {
                "timeout" | "args" => "it is not part of the query".to_owned(),
                _ => did_you_mean(name, ":", &KEYS),
            };
            return problems.push(key.span, problem.hint(hint));
        };
        match slot {
            Some(_) => {
                let message = format!("`:{name}` is given twice");
                let hint = match &**name {
                    "keys" | "strs" | "syms" => {
                        "one of `:keys`, `:strs` and `:syms` names the columns"
                    }
                    _ => "put everything under one key",
                };
                problems.push(key.span, Problem::new("query_duplicate_key", message).hint(hint));
            }
            None => *slot = Some(Section { key: key.span, items }),
        }
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<Section<'f>>> {
        Some(match name {
            "find" => &mut self.find,
            "keys" | "strs" | "syms" => &mut self.keys,
            "with" => &mut self.with,
            "in" => &mut self.in_,
            "where" => &mut self.where_,
            "rules" => &mut self.rules,
            "having" => &mut self.having,
            "order-by" => &mut self.order_by,
            "limit" => &mut self.limit,
            "offset" => &mut self.offset,
            "after" => &mut self.after,
            _ => return None,
        })
    }
}

impl Translator {
    /// The one form of a section that takes exactly one.
    pub(super) fn single<'f>(
        &mut self,
        section: Option<&Section<'f>>,
        expected: &str,
    ) -> Option<&'f Form> {
        let section = section?;
        if let [form] = section.items {
            return Some(form);
        }
        let message = format!("expected {expected} here, found {} forms", section.items.len());
        self.error(section.key, Problem::new("query_form", message));
        None
    }
}
