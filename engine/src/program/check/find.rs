//! Everything of a program but its clauses: inputs, find elements, windows, keys, `:having`.

use super::Checker;
use super::names::{Names, declare, nearest};
use crate::ids::Name;
use crate::program::functions::Function;
use crate::program::raw::{
    FindForm, Place, PullId, RawFindElement, RawHavingTerm, RawInput, RawOrder, RawPullItem,
    RawPullNested,
};
use crate::program::{Aggregate, FindElement, InputColumn, InputShape, Scope, Var};
use crate::value::Value;

/// The most values that `rand` draws for one group: only they may be more than the group has.
const DRAWS_MAX: usize = 1_000;

impl Checker<'_> {
    pub(super) fn inputs(&mut self, scope: &mut Scope, names: &mut Names) -> Vec<InputShape> {
        let mut shapes = Vec::new();
        for (index, input) in self.raw.inputs.iter().enumerate() {
            let place = Place::Input(index as u32);
            let mut column = |name: &Name, checker: &mut Self| {
                if names.contains_key(name) {
                    let message = format!("variable ?{name} is an input twice");
                    checker.fail(place, "query_input_twice", message, None);
                }
                InputColumn { var: declare(name, scope, names), is_entity: false }
            };
            match input {
                RawInput::Scalar(name) => shapes.push(InputShape::Scalar(column(name, self))),
                RawInput::Collection(name) => {
                    shapes.push(InputShape::Collection(column(name, self)));
                }
                RawInput::Tuple(columns) | RawInput::Relation(columns) => {
                    let columns: Vec<Option<InputColumn>> = columns
                        .iter()
                        .map(|name| name.as_ref().map(|name| column(name, self)))
                        .collect();
                    let is_tuple = matches!(input, RawInput::Tuple(_));
                    shapes.push(if is_tuple {
                        InputShape::Tuple(columns)
                    } else {
                        InputShape::Relation(columns)
                    });
                }
                RawInput::Rules => {}
            }
        }
        shapes
    }

    fn known(&mut self, name: &Name, place: Place, names: &Names) -> Option<Var> {
        let var = names.get(name).copied();
        if var.is_none() {
            let message = format!("variable ?{name} does not occur in :where or :in");
            self.fail(place, "query_unbound", message, Some("add an atom that binds it"));
        }
        var
    }

    pub(super) fn find(&mut self, names: &Names) -> Vec<FindElement> {
        if self.raw.find.is_empty() {
            self.fail(Place::Query, "query_no_find", ":find has no elements".to_owned(), None);
        }
        if matches!(self.raw.find_form, FindForm::Scalar | FindForm::Collection)
            && self.raw.find.len() > 1
        {
            let message = "this form of :find has exactly one element".to_owned();
            self.fail(Place::Query, "query_find_form", message, None);
        }
        let raw = self.raw;
        let elements = raw.find.iter().enumerate();
        elements
            .filter_map(|(index, element)| self.find_element(element, index as u32, names))
            .collect()
    }

    fn find_element(
        &mut self,
        element: &RawFindElement,
        index: u32,
        names: &Names,
    ) -> Option<FindElement> {
        let place = Place::Find(index);
        match element {
            RawFindElement::Variable(name) => {
                self.known(name, place, names).map(FindElement::Variable)
            }
            RawFindElement::Pull { variable, pattern } => {
                self.pull(*pattern, place);
                let var = self.known(variable, place, names)?;
                Some(FindElement::Pull { var, pattern: *pattern })
            }
            RawFindElement::Aggregate { function, n, variable } => {
                let var = self.known(variable, place, names);
                let Some(aggregate) = Aggregate::find(function.as_str()) else {
                    let names = Aggregate::ALL.map(|(name, _)| name);
                    let message = format!("unknown aggregate {function}");
                    let hint = match nearest(function.as_str(), names.into_iter()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("known ones: {}", names.join(", ")),
                    };
                    self.fail(place, "query_unknown_function", message, Some(&hint));
                    return None;
                };
                let n = self.aggregate_n(aggregate, function, n.as_ref(), place)?;
                Some(FindElement::Aggregate { function: aggregate, n, var: var? })
            }
        }
    }

    fn aggregate_n(
        &mut self,
        aggregate: Aggregate,
        name: &Name,
        n: Option<&Value>,
        place: Place,
    ) -> Option<Option<usize>> {
        let Some(n) = n else {
            if aggregate == Aggregate::Sample {
                let message = "sample takes how many values to draw".to_owned();
                self.fail(place, "query_arity", message, Some("write (sample 3 ?x)"));
                return None;
            }
            return Some(None);
        };
        let count = match n {
            Value::Number(number) => number.as_i64().and_then(|n| usize::try_from(n).ok()),
            _ => None,
        };
        if aggregate == Aggregate::Rand && count.is_some_and(|n| n > DRAWS_MAX) {
            let message = format!("{name} draws at most {DRAWS_MAX} values, not {n}");
            self.fail(place, "query_too_large", message, None);
            return None;
        }
        if !aggregate.takes_n() || count.is_none() {
            let message = format!("aggregate {name} does not take {n} before its variable");
            self.fail(place, "query_arity", message, None);
            return None;
        }
        Some(count)
    }

    fn pull(&mut self, id: PullId, place: Place) {
        let Some(pattern) = self.raw.pulls.get(id.0 as usize) else {
            let message = "a pull names a pattern that is not there".to_owned();
            return self.fail(place, "query_malformed", message, None);
        };
        if !self.checked_pulls.insert(id) {
            return;
        }
        for (index, item) in pattern.items.iter().enumerate() {
            let place = Place::PullItem(id, index as u32);
            let RawPullItem::Attribute { attribute, nested, .. } = item else { continue };
            self.attribute(attribute, place);
            if let RawPullNested::Pattern(nested) = nested {
                self.pull(*nested, place);
            }
        }
    }

    pub(super) fn with(&mut self, names: &Names) -> Vec<Var> {
        let raw = self.raw;
        let with = raw.with.iter().enumerate();
        with.filter_map(|(index, name)| self.known(name, Place::With(index as u32), names))
            .collect()
    }

    pub(super) fn order_and_keys(&mut self) {
        let raw = self.raw;
        for (index, order) in raw.order_by.iter().enumerate() {
            if order.element as usize >= raw.find.len() {
                let message = ":order-by names an element that :find does not have".to_owned();
                self.fail(Place::Order(index as u32), "query_order", message, None);
            }
        }
        if !raw.keys.is_empty() && raw.keys.len() != raw.find.len() {
            let message =
                format!(":keys has {} names for {} elements", raw.keys.len(), raw.find.len());
            self.fail(Place::Query, "query_keys", message, None);
        }
        if !raw.after.is_empty() && raw.after.len() != raw.order_by.len() {
            let message = format!(
                ":after has {} values for {} keys of :order-by",
                raw.after.len(),
                raw.order_by.len()
            );
            self.fail(Place::After, "query_after", message, None);
        }
        let is_pull = |key: &RawOrder| {
            matches!(raw.find.get(key.element as usize), Some(RawFindElement::Pull { .. }))
        };
        if !raw.after.is_empty() && raw.order_by.iter().any(is_pull) {
            let message = ":after cannot follow an order by a pulled tree".to_owned();
            self.fail(Place::After, "query_after", message, Some("order by a variable"));
        }
    }

    pub(super) fn having(&mut self) -> Vec<Function> {
        let raw = self.raw;
        let mut functions = Vec::new();
        for (index, having) in raw.having.iter().enumerate() {
            let place = Place::Having(index as u32);
            let function = self.function(&having.function, having.args.len(), true, place);
            if let Some(function) = function {
                let constant = |index: usize| match having.args.get(index) {
                    Some(RawHavingTerm::Constant(value)) => Some(value),
                    _ => None,
                };
                self.directive(function, constant, |_| place);
            }
            functions.extend(function);
            for arg in &having.args {
                if let RawHavingTerm::Element(element) = arg
                    && *element as usize >= raw.find.len()
                {
                    let message = ":having names an element that :find does not have".to_owned();
                    self.fail(place, "query_having", message, None);
                }
            }
        }
        functions
    }
}
