//! Queries written in Rust.
//!
//! Each function makes one part of the language and is named after it; [`Query::build`] gives
//! the same program that the text would. Parts keep what was passed to them, right or wrong, and
//! `build` reports everything at once: a chain of calls needs one `?`. The builder checks no
//! more than the text is checked; unbound variables and unknown functions are found by
//! `tercet_engine::db::Query::prepare`.
//!
//! # Find the names of those who posted most
//!
//! ```
//! use tercet_query_lang::builder::{Query, count, desc, pattern, var};
//!
//! let program = Query::find((var("name"), count("post")))
//!     .where_([
//!         pattern(var("post"), "post/author", var("author")),
//!         pattern(var("author"), "user/name", var("name")),
//!     ])
//!     .order_by([desc(count("post"))])
//!     .limit(20)
//!     .build()?;
//! assert_eq!(
//!     tercet_query_lang::print(&program),
//!     "[:find ?name (count ?post)\n \
//!       :where [?post :post/author ?author]\n        \
//!              [?author :user/name ?name]\n \
//!       :order-by [[(count ?post) :desc]]\n \
//!       :limit 20]"
//! );
//! # Ok::<(), tercet_query_lang::Report>(())
//! ```
//!
//! # Follow references of any length
//!
//! ```
//! use tercet_query_lang::builder::{Query, call, define, input, pattern, var};
//!
//! let program = Query::find(var("boss"))
//!     .in_(input(var("start")))
//!     .where_([call("above", (var("start"), var("boss")))])
//!     .rules([
//!         define("above", ["a", "b"], [pattern(var("a"), "user/boss", var("b"))]),
//!         define("above", ["a", "b"], [
//!             pattern(var("a"), "user/boss", var("c")),
//!             call("above", (var("c"), var("b"))),
//!         ]),
//!     ])
//!     .build()?;
//! assert_eq!(program.rules.len(), 2);
//! # Ok::<(), tercet_query_lang::Report>(())
//! ```

mod clause;
mod find;
mod term;

use tercet_engine::program::raw::RawProgram;

pub use clause::{
    Branch, Clause, Rule, and, call, define, define_requiring, function, get_else, ground,
    ground_each, ground_rows, has, missing, not, not_join, or, or_join, or_join_requiring, pattern,
    predicate,
};
pub use find::{
    Aggregate, FindElement, Having, HavingTerm, OrderKey, Pull, PullItem, aggregate, aggregate_n,
    asc, attribute, avg, count, count_distinct, desc, distinct, having, max, max_n, median, min,
    min_n, pull, pulled, rand, rand_n, sample, stddev, sum, variance,
};
pub use term::{AttributeTerm, Binding, Blank, Constant, In, Parts, Slot, Term, Var};
pub use term::{blank, each, input, keyword, relation, rules, tuple, var};

use crate::form::{Form, Kind, Span};
use crate::parsed::Sources;
use crate::problem::{Problem, Problems};
use crate::report::Report;
use crate::translate::translate;

/// A query being written; see the module's examples.
#[derive(Debug, Clone)]
#[must_use = "a query does nothing until it is built"]
pub struct Query {
    find: Vec<Form>,
    sections: Vec<(&'static str, Vec<Form>)>,
}

impl Query {
    fn new(find: Vec<Form>) -> Query {
        Query { find, sections: Vec::new() }
    }

    /// A set of rows: `:find ?x (count ?y)`.
    pub fn find(elements: impl Parts<FindElement>) -> Query {
        Query::new(forms(elements, |element| element.0))
    }

    /// One row or none: `:find [?x ?y]`.
    pub fn find_tuple(elements: impl Parts<FindElement>) -> Query {
        Query::new(vec![vector(forms(elements, |element| element.0))])
    }

    /// The values of one column: `:find [?x ...]`.
    pub fn find_each(element: impl Into<FindElement>) -> Query {
        Query::new(vec![vector(vec![element.into().0, symbol("...")])])
    }

    /// One value or none: `:find ?x .`.
    pub fn find_one(element: impl Into<FindElement>) -> Query {
        Query::new(vec![element.into().0, symbol(".")])
    }

    /// Names of the columns, one for each element.
    pub fn keys<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Query {
        self.section("keys", names.into_iter().map(text).collect())
    }

    /// Variables that keep rows apart although they are not shown.
    pub fn with(self, variables: impl Parts<Var>) -> Query {
        self.section("with", forms(variables, |variable| variable.0))
    }

    /// What is passed in: [`input`], [`tuple()`], [`each`], [`relation`], [`rules`].
    pub fn in_(self, inputs: impl Parts<In>) -> Query {
        self.section("in", forms(inputs, |input| input.0))
    }

    /// Clauses that must all hold.
    pub fn where_(self, clauses: impl IntoIterator<Item = Clause>) -> Query {
        self.section("where", clauses.into_iter().map(|clause| clause.0).collect())
    }

    /// Definitions of rules; several of one name are alternatives.
    pub fn rules(self, rules: impl IntoIterator<Item = Rule>) -> Query {
        self.single("rules", vector(rules.into_iter().map(|rule| rule.0).collect()))
    }

    /// Conditions on the finished rows.
    pub fn having(self, predicates: impl IntoIterator<Item = Having>) -> Query {
        self.section("having", predicates.into_iter().map(|predicate| predicate.0).collect())
    }

    /// The order of the rows: [`asc`], [`desc`].
    pub fn order_by(self, keys: impl IntoIterator<Item = OrderKey>) -> Query {
        self.single("order-by", vector(keys.into_iter().map(|key| key.0).collect()))
    }

    /// At most so many rows.
    pub fn limit(self, n_rows: u32) -> Query {
        self.single("limit", Constant::from(i64::from(n_rows)).0)
    }

    /// Rows skipped first.
    pub fn offset(self, n_rows: u32) -> Query {
        self.single("offset", Constant::from(i64::from(n_rows)).0)
    }

    /// Only rows after this key, one value for each key of the order.
    pub fn after(self, key: impl Parts<Constant>) -> Query {
        self.single("after", vector(forms(key, |value| value.0)))
    }

    /// The program.
    ///
    /// # Errors
    /// Everything that the same text would be refused for.
    pub fn build(self) -> Result<RawProgram, Report> {
        let mut items = vec![keyword_form("find")];
        items.extend(self.find);
        for (key, content) in self.sections {
            items.push(keyword_form(key));
            items.extend(content);
        }
        let query = vector(items);
        let mut problems = Problems::default();
        if query.n_levels() > crate::NESTING_MAX {
            problems.push(Span::BUILDER, Problem::too_deep(crate::NESTING_MAX));
            return Err(Report::new(problems, &Sources::default()));
        }
        let translation = translate(&query, None, problems);
        if translation.problems.is_empty() {
            return Ok(translation.program);
        }
        Err(Report::new(translation.problems, &Sources::default()))
    }

    /// Adds to a section; called again, it goes on where it was.
    fn section(mut self, key: &'static str, content: Vec<Form>) -> Query {
        match self.sections.iter_mut().find(|(known, _)| *known == key) {
            Some((_, earlier)) => earlier.extend(content),
            None => self.sections.push((key, content)),
        }
        self
    }

    /// Sets a section of one form; called again, it replaces the earlier one.
    fn single(mut self, key: &'static str, content: Form) -> Query {
        self.sections.retain(|(known, _)| *known != key);
        self.sections.push((key, vec![content]));
        self
    }
}

fn form(kind: Kind) -> Form {
    Form::new(kind, Span::BUILDER)
}

fn symbol(name: &str) -> Form {
    form(Kind::Symbol(name.into()))
}

fn keyword_form(name: &str) -> Form {
    form(Kind::Keyword(name.into()))
}

fn text(text: &str) -> Form {
    form(Kind::Value(text.into()))
}

fn vector(items: Vec<Form>) -> Form {
    form(Kind::Vector(items))
}

/// `(head items…)`.
fn list(head: Form, items: impl IntoIterator<Item = Form>) -> Form {
    form(Kind::List(std::iter::once(head).chain(items).collect()))
}

fn forms<Item>(parts: impl Parts<Item>, form: impl Fn(Item) -> Form) -> Vec<Form> {
    parts.into_parts().into_iter().map(form).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The program equals the one of the text.
    fn check(query: Query, expected: &str) {
        let expected = crate::parse(expected).unwrap().raw;
        assert_eq!(query.build().unwrap(), expected);
    }

    #[test]
    fn every_part_of_the_language_can_be_built() {
        check(
            Query::find((var("e"), min_n(3, "n"), pull("e", ["*", "post/_author"])))
                .keys(["e", "least", "all of it"])
                .with(var("x"))
                .in_((input(var("a")), tuple((var("b"), blank())), each(var("c"))))
                .in_((relation(["d", "f"]), rules()))
                .where_([has(blank(), "a/b"), has(var("e"), var("attribute"))])
                .having([having(">", (min_n(3, "n"), 5))])
                .order_by([asc(var("e")), desc(min_n(3, "n"))])
                .limit(5)
                .limit(10)
                .offset(20)
                .after(("x", 1.5)),
            "[:find ?e (min 3 ?n) (pull ?e [* :post/_author]) :keys e least \"all of it\"
              :with ?x :in ?a [?b _] [?c ...] [[?d ?f]] % :where [_ :a/b] [?e ?attribute]
              :having [(> (min 3 ?n) 5)] :order-by [?e [(min 3 ?n) :desc]]
              :limit 10 :offset 20 :after [\"x\" 1.5]]",
        );
    }

    #[test]
    fn every_clause_can_be_built() {
        let name = || pattern(var("e"), "user/name", var("n"));
        check(
            Query::find_each(var("e"))
                .where_([name(), predicate("<", (var("n"), "m")), missing(var("e"), "user/age")])
                .where_([
                    function("+", (var("a"), 1), var("b")),
                    get_else(var("e"), "user/age", 0, var("age")),
                    ground(5, var("five")),
                    ground_each([1, 2], var("i")),
                    ground_rows([["a", "b"], ["c", "d"]], [var("p"), var("q")]),
                    function("f", var("a"), Binding::tuple((var("x"), blank()))),
                ])
                .where_([
                    not([name()]),
                    not_join(["e"], [name(), name()]),
                    or((name(), and([name(), name()]))),
                    or_join(["e"], [name()]),
                    or_join_requiring(["e"], ["n"], [name()]),
                    call("r", (var("e"), keyword("a/b"), true)),
                ])
                .rules([define_requiring("r", ["a"], ["b", "c"], [name()])]),
            "[:find [?e ...]
              :where [?e :user/name ?n] [(< ?n \"m\")] [(missing? $ ?e :user/age)]
                     [(+ ?a 1) ?b] [(get-else $ ?e :user/age 0) ?age] [(ground 5) ?five]
                     [(ground [1 2]) [?i ...]] [(ground [[\"a\" \"b\"] [\"c\" \"d\"]]) [[?p ?q]]]
                     [(f ?a) [?x _]]
                     (not [?e :user/name ?n])
                     (not-join [?e] [?e :user/name ?n] [?e :user/name ?n])
                     (or [?e :user/name ?n] (and [?e :user/name ?n] [?e :user/name ?n]))
                     (or-join [?e] [?e :user/name ?n])
                     (or-join [[?e] ?n] [?e :user/name ?n])
                     (r ?e :a/b true)
              :rules [[(r [?a] ?b ?c) [?e :user/name ?n]]]]",
        );
    }

    #[test]
    fn pull_items_can_be_built() {
        let tags = attribute("post/tags").limit(5).default("none").rename("tags");
        let boss = attribute("user/boss").nested(["user/name"]);
        let tree = attribute("user/_boss").recursive();
        let three = attribute("user/boss").recursive_to(3);
        check(
            Query::find_one(pull("e", [tags, boss, tree, three]))
                .where_([has(var("e"), "user/name")]),
            "[:find (pull ?e [[:post/tags :limit 5 :default \"none\" :as \"tags\"]
                              {:user/boss [:user/name]} {:user/_boss ...} {:user/boss 3}]) .
              :where [?e :user/name]]",
        );
    }

    #[test]
    fn everything_wrong_is_reported_by_build() {
        let report = Query::find(var("a b"))
            .where_([call("not", var("x")), predicate("<", (var("x"), f64::NAN))])
            .where_([pattern("e", "", var("x"))])
            .build()
            .unwrap_err();
        let codes: Vec<&str> = report.errors.iter().map(|error| error.code).collect();
        assert_eq!(codes, ["query_variable", "query_clause", "number_not_finite", "id_empty"]);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = (0..40).fold(has(var("e"), "a/b"), |clause, _| not([clause]));
        let report = Query::find(var("e")).where_([deep]).build().unwrap_err();
        assert_eq!(report.code(), "query_too_deep");
    }
}
