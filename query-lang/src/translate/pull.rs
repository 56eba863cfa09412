//! Pull patterns: what to show of an entity.
//!
//! Datomic's grammar in both of its styles, `[:a/b :limit 5]` and `(limit :a/b 5)`. A nested
//! pattern enters the arena before the pattern that holds it.

use tercet_engine::ids::Name;
use tercet_engine::program::raw::{Place, PullId, RawPull, RawPullItem, RawPullNested};
use tercet_engine::value::Value;

use super::Translator;
use crate::form::{Form, Kind, Span};
use crate::problem::Problem;
use crate::suggest::did_you_mean;

/// An attribute with its options, before what is nested under it.
struct Spec {
    attribute: Name,
    reverse: bool,
    rename: Option<Name>,
    limit: Option<u64>,
    default: Option<Value>,
}

impl Spec {
    fn item(self, nested: RawPullNested) -> RawPullItem {
        let Spec { attribute, reverse, rename, limit, default } = self;
        RawPullItem::Attribute { attribute, reverse, rename, limit, default, nested }
    }
}

impl Translator {
    pub(super) fn pull_pattern(&mut self, form: &Form) -> Option<PullId> {
        let Kind::Vector(forms) = &form.kind else {
            let problem = self.unexpected(form, "query_pull", "a pull pattern");
            let hint = match &form.kind {
                Kind::Symbol(text) if text.starts_with('?') => {
                    "the pattern is written in the query; it cannot be an input"
                }
                _ => "a pattern is a vector: `[:user/name {:user/boss [:user/name]}]`",
            };
            return self.refuse(form, problem.hint(hint));
        };
        if forms.is_empty() {
            self.error(form.span, Problem::new("query_pull", "the pull pattern is empty"));
            return None;
        }
        let mut items = Vec::with_capacity(forms.len());
        for item in forms {
            self.pull_item(item, &mut items);
        }
        let (items, spans): (Vec<RawPullItem>, Vec<Span>) = items.into_iter().unzip();
        let id = PullId(self.program.pulls.len() as u32);
        self.place(Place::Pull(id), form.span);
        for (index, span) in spans.into_iter().enumerate() {
            self.place(Place::PullItem(id, index as u32), span);
        }
        self.program.pulls.push(RawPull { items });
        Some(id)
    }

    fn pull_item(&mut self, form: &Form, items: &mut Vec<(RawPullItem, Span)>) {
        if is_star(form) {
            return items.push((RawPullItem::Wildcard, form.span));
        }
        let Kind::Map(entries) = &form.kind else {
            if let Some(spec) = self.pull_spec(form) {
                items.push((spec.item(RawPullNested::No), form.span));
            }
            return;
        };
        if entries.is_empty() {
            let problem = Problem::new("query_pull", "an empty map pulls nothing");
            self.error(form.span, problem.hint("e.g. `{:post/author [:user/name]}`"));
        }
        for (key, value) in entries {
            let spec = self.pull_spec(key);
            let nested = self.pull_nested(value);
            if let (Some(spec), Some(nested)) = (spec, nested) {
                items.push((spec.item(nested), key.span));
            }
        }
    }

    fn pull_nested(&mut self, form: &Form) -> Option<RawPullNested> {
        match &form.kind {
            Kind::Symbol(text) if &**text == "..." => Some(RawPullNested::Recursion(None)),
            Kind::Value(_) => {
                let depth = self.positive(form, "a depth of recursion")?;
                Some(RawPullNested::Recursion(Some(depth)))
            }
            _ => self.pull_pattern(form).map(RawPullNested::Pattern),
        }
    }

    fn pull_spec(&mut self, form: &Form) -> Option<Spec> {
        match &form.kind {
            Kind::Keyword(_) | Kind::Value(Value::String(_)) => self.bare_spec(form),
            Kind::Vector(items) => self.spec_with_options(form, items),
            Kind::List(items) => match items.as_slice() {
                [head, attribute, value] if head.is_symbol("limit") => {
                    self.spec_with_option(attribute, "limit", value)
                }
                [head, attribute, value] if head.is_symbol("default") => {
                    self.spec_with_option(attribute, "default", value)
                }
                _ => self.spec_with_options(form, items),
            },
            _ => {
                let problem = self.unexpected(form, "query_pull", "an attribute or `*`");
                self.refuse(form, problem.hint("e.g. `:user/name`, `:post/_author`, `*`"))
            }
        }
    }

    /// An attribute, or a reverse one: `:post/_author`.
    fn bare_spec(&mut self, form: &Form) -> Option<Spec> {
        let name = self.attribute(form)?;
        let reverse = name.as_str().split_once('/').and_then(|(kind, field)| {
            field.strip_prefix('_').filter(|field| !field.is_empty()).map(|f| format!("{kind}/{f}"))
        });
        let (attribute, reverse) = match reverse {
            Some(forward) => (self.name(form, &forward)?, true),
            None => (name, false),
        };
        Some(Spec { attribute, reverse, rename: None, limit: None, default: None })
    }

    fn spec_with_option(&mut self, form: &Form, option: &str, value: &Form) -> Option<Spec> {
        let mut spec = self.bare_spec(form)?;
        self.pull_option(&mut spec, option, form, value)?;
        Some(spec)
    }

    fn spec_with_options(&mut self, form: &Form, items: &[Form]) -> Option<Spec> {
        let Some((attribute, options)) = items.split_first() else {
            self.error(form.span, Problem::new("query_pull", "an attribute is missing here"));
            return None;
        };
        if !options.len().is_multiple_of(2) {
            let problem = Problem::new("query_pull", "options of an attribute come in pairs");
            self.error(form.span, problem.hint("e.g. `[:user/tags :limit 5 :as :tags]`"));
            return None;
        }
        let mut spec = self.bare_spec(attribute)?;
        for pair in options.chunks_exact(2) {
            let (key, value) = (&pair[0], &pair[1]);
            let Kind::Keyword(option) = &key.kind else {
                let problem = self.unexpected(key, "query_pull", "an option");
                return self.refuse(key, problem.hint("options: `:limit`, `:default`, `:as`"));
            };
            self.pull_option(&mut spec, option, key, value)?;
        }
        Some(spec)
    }

    fn pull_option(
        &mut self,
        spec: &mut Spec,
        option: &str,
        key: &Form,
        value: &Form,
    ) -> Option<()> {
        let is_given = match option {
            "limit" => spec.limit.is_some(),
            "default" => spec.default.is_some(),
            "as" => spec.rename.is_some(),
            _ => {
                let problem = Problem::new("query_pull", format!("unknown option `:{option}`"));
                let hint = did_you_mean(option, ":", &["limit", "default", "as"]);
                self.error(key.span, problem.hint(hint));
                return None;
            }
        };
        if is_given {
            self.error(key.span, Problem::new("query_pull", format!("`:{option}` is given twice")));
            return None;
        }
        match option {
            "limit" => spec.limit = Some(self.positive(value, "a limit")?),
            "default" => spec.default = Some(self.constant(value, "query_pull")?),
            _ => spec.rename = Some(self.output_name(value)?),
        }
        Some(())
    }

    fn output_name(&mut self, form: &Form) -> Option<Name> {
        match &form.kind {
            Kind::Keyword(text) | Kind::Value(Value::String(text)) => self.name(form, text),
            _ => {
                let problem = self.unexpected(form, "query_pull", "a name");
                self.refuse(form, problem.hint("e.g. `:as :name` or `:as \"name\"`"))
            }
        }
    }

    fn positive(&mut self, form: &Form, what: &str) -> Option<u64> {
        let count = self.count(form, "query_pull")?;
        if count == 0 {
            self.error(form.span, Problem::new("query_pull", format!("{what} is at least 1")));
            return None;
        }
        Some(count)
    }
}

fn is_star(form: &Form) -> bool {
    match &form.kind {
        Kind::Symbol(text) | Kind::Value(Value::String(text)) => &**text == "*",
        _ => false,
    }
}
