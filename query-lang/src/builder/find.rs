//! What a query finds: aggregates, pull patterns, and the order and conditions over them.

use tercet_engine::ids::EntityId;
use tercet_engine::value::{Date, Value};

use super::term::{Constant, Parts, Var, from_constant, single_part};
use super::{form, forms, keyword_form, list, symbol, text, vector};
use crate::form::{Form, Kind};

/// An element of `:find`.
#[derive(Debug, Clone)]
pub struct FindElement(pub(super) Form);

/// A function over the rows of a group.
#[derive(Debug, Clone)]
pub struct Aggregate(pub(super) Form);

/// `(pull ?e pattern)`.
#[derive(Debug, Clone)]
pub struct Pull(pub(super) Form);

/// An item of a pull pattern; a string is an attribute, `"*"` all of them.
#[derive(Debug, Clone)]
pub struct PullItem {
    spec: Vec<Form>,
    nested: Option<Form>,
}

/// A key of `:order-by`.
#[derive(Debug, Clone)]
pub struct OrderKey(pub(super) Form);

/// A predicate over find elements.
#[derive(Debug, Clone)]
pub struct Having(pub(super) Form);

/// An argument of [`having`]: an element of `:find` or a constant.
#[derive(Debug, Clone)]
pub struct HavingTerm(pub(super) Form);

macro_rules! element {
    ($($source:ty => $($target:ident),*);*) => {
        $($(impl From<$source> for $target {
            fn from(element: $source) -> $target {
                $target(element.0)
            }
        })*)*
    };
}

element!(Var => FindElement, HavingTerm; Aggregate => FindElement, HavingTerm; Pull => FindElement);
from_constant!(HavingTerm: bool, i32, i64, f64, &str, String, Date, EntityId, Value, Constant);
single_part!(Var => FindElement; Aggregate => FindElement; Pull => FindElement);

/// `(function ?x)` by its name.
pub fn aggregate(function: &str, variable: impl Into<Var>) -> Aggregate {
    Aggregate(list(symbol(function), [variable.into().0]))
}

/// `(function n ?x)` by its name.
pub fn aggregate_n(function: &str, n: u32, variable: impl Into<Var>) -> Aggregate {
    let n = Constant::from(i64::from(n)).0;
    Aggregate(list(symbol(function), [n, variable.into().0]))
}

macro_rules! aggregates {
    ($($(#[$doc:meta])* $function:ident = $name:literal;)*) => {
        $($(#[$doc])*
        pub fn $function(variable: impl Into<Var>) -> Aggregate {
            aggregate($name, variable)
        })*
    };
}

aggregates! {
    /// How many rows.
    count = "count";
    /// How many different values.
    count_distinct = "count-distinct";
    /// The sum.
    sum = "sum";
    /// The mean.
    avg = "avg";
    /// The least value.
    min = "min";
    /// The greatest value.
    max = "max";
    /// The middle value.
    median = "median";
    /// The variance.
    variance = "variance";
    /// The standard deviation.
    stddev = "stddev";
    /// The different values, as a list.
    distinct = "distinct";
}

/// The least `n` values, as a list.
pub fn min_n(n: u32, variable: impl Into<Var>) -> Aggregate {
    aggregate_n("min", n, variable)
}

/// The greatest `n` values, as a list.
pub fn max_n(n: u32, variable: impl Into<Var>) -> Aggregate {
    aggregate_n("max", n, variable)
}

/// Any `n` different values, as a list.
pub fn sample(n: u32, variable: impl Into<Var>) -> Aggregate {
    aggregate_n("sample", n, variable)
}

/// One of the values, drawn by a hash of all.
pub fn rand(variable: impl Into<Var>) -> Aggregate {
    aggregate("rand", variable)
}

/// Any `n` of the values, the same one possibly several times, as a list.
pub fn rand_n(n: u32, variable: impl Into<Var>) -> Aggregate {
    aggregate_n("rand", n, variable)
}

/// What to show of an entity: attributes by name, or [`attribute`] with options.
pub fn pull(entity: impl Into<Var>, items: impl Parts<PullItem>) -> Pull {
    Pull(list(symbol("pull"), [entity.into().0, pull_pattern(items)]))
}

/// An attribute to pull: `user/name`, or `post/_author` for the entities that refer here.
pub fn attribute(name: &str) -> PullItem {
    PullItem { spec: vec![text(name)], nested: None }
}

impl From<&str> for PullItem {
    fn from(name: &str) -> PullItem {
        attribute(name)
    }
}

impl PullItem {
    /// At most so many values.
    pub fn limit(self, n_values: u32) -> PullItem {
        self.option("limit", Constant::from(i64::from(n_values)).0)
    }

    /// What to show when there is no value.
    pub fn default(self, value: impl Into<Constant>) -> PullItem {
        self.option("default", value.into().0)
    }

    /// Its key in the result.
    pub fn rename(self, name: &str) -> PullItem {
        self.option("as", text(name))
    }

    /// What to pull from the entities it refers to.
    pub fn nested(mut self, items: impl Parts<PullItem>) -> PullItem {
        self.nested = Some(pull_pattern(items));
        self
    }

    /// The same pattern again, as deep as the references go.
    pub fn recursive(mut self) -> PullItem {
        self.nested = Some(symbol("..."));
        self
    }

    /// The same pattern again, so many times.
    pub fn recursive_to(mut self, depth: u32) -> PullItem {
        self.nested = Some(Constant::from(i64::from(depth)).0);
        self
    }

    fn option(mut self, key: &str, value: Form) -> PullItem {
        self.spec.extend([keyword_form(key), value]);
        self
    }

    fn into_form(mut self) -> Form {
        let spec = if self.spec.len() == 1 { self.spec.remove(0) } else { vector(self.spec) };
        match self.nested {
            None => spec,
            Some(nested) => form(Kind::Map(vec![(spec, nested)])),
        }
    }
}

fn pull_pattern(items: impl Parts<PullItem>) -> Form {
    vector(forms(items, PullItem::into_form))
}

/// Smallest first.
pub fn asc(element: impl Into<FindElement>) -> OrderKey {
    OrderKey(vector(vec![element.into().0, keyword_form("asc")]))
}

/// Largest first.
pub fn desc(element: impl Into<FindElement>) -> OrderKey {
    OrderKey(vector(vec![element.into().0, keyword_form("desc")]))
}

/// The pull of an entity, as a key of the order.
pub fn pulled(entity: impl Into<Var>) -> FindElement {
    FindElement(list(symbol("pull"), [entity.into().0]))
}

/// `[(name args…)]` over find elements, e.g. `having(">", (count("post"), 3))`.
pub fn having(name: &str, args: impl Parts<HavingTerm>) -> Having {
    Having(vector(vec![list(symbol(name), forms(args, |term| term.0))]))
}
