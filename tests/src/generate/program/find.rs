//! Choosing what a query finds, and in which order and window.

use tercet_engine::program::raw::{
    FindForm, PullId, RawFindElement, RawHaving, RawHavingTerm, RawOrder, RawProgram, RawPull,
    RawPullItem, RawPullNested,
};
use tercet_engine::value::Value;

use super::{ATTRIBUTES, Grower, Kind, Typed, name};

impl Grower<'_> {
    /// Fills in everything of a query but its clauses.
    pub(super) fn find(&mut self, frame: &mut RawProgram, scope: &[Typed]) {
        let n_elements = 1 + self.random.skewed(4);
        let mut kinds = Vec::new();
        for _ in 0..n_elements {
            let (variable, kind) = self.random.pick(scope).clone();
            if !frame.find.contains(&RawFindElement::Variable(variable.clone())) {
                frame.find.push(RawFindElement::Variable(variable));
                kinds.push(kind);
            }
        }
        if self.random.chance(35) {
            self.aggregate(frame, scope, &mut kinds);
        } else if self.random.chance(15) {
            self.pull(frame, &kinds);
        }
        self.form(frame);
        self.order(frame, &kinds);
    }

    fn aggregate(&mut self, frame: &mut RawProgram, scope: &[Typed], kinds: &mut Vec<Kind>) {
        for _ in 0..1 + self.random.skewed(2) {
            let (variable, kind) = self.random.pick(scope).clone();
            let function = match kind {
                Kind::Int | Kind::Number => *self
                    .random
                    .pick(&["sum", "avg", "median", "variance", "stddev", "min", "max", "count"]),
                _ => {
                    *self.random.pick(&["count", "count-distinct", "distinct", "min", "max", "sum"])
                }
            };
            let takes_n = ["min", "max"].contains(&function) && self.random.chance(30);
            let n = takes_n.then(|| Value::int(1 + self.random.below(3) as i64));
            let is_list = takes_n || function == "distinct";
            let element = RawFindElement::Aggregate { function: name(function), n, variable };
            if frame.find.contains(&element) {
                continue;
            }
            if !is_list && self.random.chance(20) {
                let predicate = *self.random.pick(&[">", "<=", "!="]);
                frame.having.push(RawHaving {
                    function: name(predicate),
                    args: vec![
                        RawHavingTerm::Element(frame.find.len() as u32),
                        RawHavingTerm::Constant(Value::int(self.random.below(4) as i64)),
                    ],
                });
            }
            frame.find.push(element);
            // A list has no kind that `:after` could name a value of.
            kinds.push(if is_list { Kind::Any } else { Kind::Int });
        }
        if self.random.chance(40) {
            let (variable, _) = self.random.pick(scope).clone();
            frame.with.push(variable);
        }
    }

    /// Turns the first found entity into a pull.
    fn pull(&mut self, frame: &mut RawProgram, kinds: &[Kind]) {
        let Some(index) = kinds.iter().position(|kind| *kind == Kind::Ref) else {
            return;
        };
        let RawFindElement::Variable(variable) = frame.find[index].clone() else {
            return;
        };
        let inner = RawPull { items: vec![self.pull_item(RawPullNested::No)] };
        frame.pulls.push(inner);
        let mut items = Vec::new();
        if self.random.chance(40) {
            items.push(RawPullItem::Wildcard);
        }
        let nested = match self.random.below(4) {
            0 => RawPullNested::Pattern(PullId(0)),
            1 => RawPullNested::Recursion(None),
            2 => RawPullNested::Recursion(Some(1 + self.random.below(3) as u64)),
            _ => RawPullNested::No,
        };
        items.push(self.pull_item(nested));
        items.push(self.pull_item(RawPullNested::No));
        frame.pulls.push(RawPull { items });
        frame.find[index] = RawFindElement::Pull { variable, pattern: PullId(1) };
    }

    fn pull_item(&mut self, nested: RawPullNested) -> RawPullItem {
        let is_ref = |(_, kind, _): &&(&str, Kind, bool)| *kind == Kind::Ref;
        let refs = ATTRIBUTES.iter().filter(is_ref).collect::<Vec<_>>();
        let wants_ref = nested != RawPullNested::No || self.random.chance(30);
        let (text, kind, _) = match wants_ref {
            true => **self.random.pick(&refs),
            false => *self.random.pick(&ATTRIBUTES),
        };
        let default = match nested {
            RawPullNested::No if self.random.chance(30) => Some(self.constant(kind)),
            _ => None,
        };
        RawPullItem::Attribute {
            attribute: name(text),
            reverse: kind == Kind::Ref && self.random.chance(40),
            rename: None,
            limit: self.random.chance(15).then(|| 1 + self.random.below(2) as u64),
            default,
            nested,
        }
    }

    fn form(&mut self, frame: &mut RawProgram) {
        frame.find_form = match (self.random.below(100), frame.find.len()) {
            (0..6, _) => FindForm::Tuple,
            (6..15, 1) => FindForm::Collection,
            (15..30, 1) => FindForm::Scalar,
            _ => FindForm::Relation,
        };
    }

    fn order(&mut self, frame: &mut RawProgram, kinds: &[Kind]) {
        let orderable = (0..frame.find.len()).filter(|index| {
            !matches!(
                frame.find[*index],
                RawFindElement::Pull { .. } | RawFindElement::Aggregate { n: Some(_), .. }
            )
        });
        let mut orderable = orderable.collect::<Vec<_>>();
        if orderable.is_empty() || !self.random.chance(35) {
            return;
        }
        self.random.shuffle(&mut orderable);
        orderable.truncate(1 + self.random.below(2));
        for index in &orderable {
            let descending = self.random.chance(50);
            frame.order_by.push(RawOrder { element: *index as u32, descending });
        }
        if self.random.chance(60) {
            frame.limit = Some(1 + self.random.below(5) as u64);
        }
        if self.random.chance(30) {
            frame.offset = self.random.below(3) as u64;
        }
        if self.random.chance(30) {
            frame.after = orderable.iter().map(|index| self.constant(kinds[*index])).collect();
        }
    }
}
