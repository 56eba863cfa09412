//! Recognizing recursion over binary relations, by its structure and never by its name.
//!
//! A rule of two columns that recurses with nobody but itself, once in a body, is a path between
//! two relations: with `B` for its other definitions, each recursive one reads
//!
//! ```text
//! R(x, y) ← before(x, a), R(a, b), after(b, y)
//! ```
//!
//! where either side may be absent (then `a` is `x`, or `b` is `y`). Most such rules are transitive
//! closures, and searching a graph is far cheaper than joining rows; what is found here is how the
//! evaluator (`eval::closure`, `eval::around`) may read the rule instead. `R(x, m), R(m, y)` is a
//! closure too. Whatever does not fit (a filter over both ends, a third column, rules that recurse
//! by each other) is left to semi-naive rounds: *not recognized* is always right.
//!
//! A side is a union of [`Relation`]s: facts of one attribute in either direction, or the answers
//! of a rule. Bodies that are neither become anonymous rules of their own (a *step*), if they can
//! be evaluated with nothing bound. An `or` that is the whole body is read as definitions.
//!
//! Source of the terms: Bancilhon & Ramakrishnan, *An amateur's introduction to recursive query
//! processing strategies*, 1986 (linear rules, the same-generation problem).

use std::collections::BTreeSet;
use std::fmt;

use super::lower::{FlatDefinition, FlatRule, Goal, GoalKind};
use super::strata::Stratum;
use super::{AttributeTerm, RuleId, Scope, Term, Var};
use crate::ids::Attribute;

/// How deep rules that only name another relation are looked through.
const ALIAS_DEPTH: usize = 8;

/// A binary relation, in one of its directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Facts of an attribute: from entity to value, or reversed.
    Facts { attribute: Attribute, reversed: bool },
    /// Answers of a rule of two columns that does not recurse with the one that uses it: from its
    /// first column to its second, or reversed.
    Answers { rule: RuleId, reversed: bool },
}

impl Relation {
    /// The other direction.
    pub(crate) fn flip(&self) -> Relation {
        match self.clone() {
            Relation::Facts { attribute, reversed } => {
                Relation::Facts { attribute, reversed: !reversed }
            }
            Relation::Answers { rule, reversed } => Relation::Answers { rule, reversed: !reversed },
        }
    }
}

/// The union of relations, none of them twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Union(pub(crate) Vec<Relation>);

impl Union {
    fn extend(&mut self, other: Union) {
        for relation in other.0 {
            if !self.0.contains(&relation) {
                self.0.push(relation);
            }
        }
    }

    fn holds_all_of(&self, other: &Union) -> bool {
        other.0.iter().all(|relation| self.0.contains(relation))
    }

    pub(crate) fn flip(&self) -> Union {
        Union(self.0.iter().map(Relation::flip).collect())
    }
}

/// One recursive definition: what leads from the head's first variable into the recursion, and
/// from the recursion to the head's second; `None` where it is the same variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) before: Option<Union>,
    pub(crate) after: Option<Union>,
}

/// What a recursive rule is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recursion {
    /// The definitions without recursion.
    pub(crate) base: Union,
    pub(crate) form: Form,
}

/// How the base is carried on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// base ∪ base∘base ∪ …, however it was written.
    Closure,
    /// base ∘ step*: left-linear.
    Before(Union),
    /// step* ∘ base: right-linear.
    Behind(Union),
    /// Any other linear rule.
    Around(Vec<Step>),
}

/// The recursions among the rules; rules for steps that are bodies of their own are appended.
/// `n_named` rules come first, the others are anonymous.
pub(crate) fn recognize(
    rules: &mut Vec<FlatRule>,
    strata: &[Stratum],
    n_named: usize,
) -> Vec<Option<Recursion>> {
    let mut recursions: Vec<Option<Recursion>> = (0..rules.len()).map(|_| None).collect();
    for stratum in strata {
        for rule in stratum.rules.iter().filter(|rule| rule.index() < n_named) {
            let mut reader = Reader { rules, stratum: &stratum.rules, rule: *rule, n_named };
            let n_rules = reader.rules.len();
            let recursion = reader.recursion();
            if recursion.is_none() {
                // Steps of a rule that is not recognized in the end are of no use.
                rules.truncate(n_rules);
            }
            recursions[rule.index()] = recursion;
        }
    }
    recursions.resize_with(rules.len(), || None);
    recursions
}

/// What one definition contributes.
enum Part {
    Base(Union),
    Step(Step),
    /// `R(x, m), R(m, y)`.
    Doubled,
    /// `R(x, y)` itself: nothing.
    Idle,
}

struct Reader<'r> {
    rules: &'r mut Vec<FlatRule>,
    stratum: &'r [RuleId],
    rule: RuleId,
    n_named: usize,
}

impl Reader<'_> {
    fn recursion(&mut self) -> Option<Recursion> {
        if self.rules[self.rule.index()].arity != 2 {
            return None;
        }
        let definitions = self.definitions()?;
        let calls = |definition: &Definition| definition.calls(self.rule).count();
        if definitions.iter().all(|definition| calls(definition) == 0) {
            return None;
        }
        let (mut base, mut steps, mut is_doubled) = (Union::default(), Vec::new(), false);
        for definition in &definitions {
            match self.part(definition)? {
                Part::Base(union) => base.extend(union),
                Part::Step(step) => steps.push(step),
                Part::Doubled => is_doubled = true,
                Part::Idle => {}
            }
        }
        let form = form(&base, steps, is_doubled)?;
        Some(Recursion { base, form })
    }

    /// The definitions of the rule, those of an `or` that is a whole body in its place; none if
    /// the rule recurses by way of another.
    fn definitions(&self) -> Option<Vec<Definition>> {
        let mut pending: Vec<Definition> = self.definitions_of(self.rule, None);
        pending.reverse();
        let mut definitions = Vec::new();
        while let Some(definition) = pending.pop() {
            let others: Vec<RuleId> = definition
                .body
                .iter()
                .filter_map(|goal| match goal.kind {
                    GoalKind::Call { rule, .. } => Some(rule),
                    _ => None,
                })
                .filter(|rule| *rule != self.rule && self.stratum.contains(rule))
                .collect();
            match (&others[..], definition.body.len()) {
                ([], _) => definitions.push(definition),
                ([or], 1) if or.index() >= self.n_named => {
                    // Its branches keep the variables of the body it stands in.
                    let branches = self.definitions_of(*or, Some(definition.head));
                    pending.extend(branches.into_iter().rev());
                }
                _ => return None,
            }
        }
        Some(definitions)
    }

    /// The definitions of one rule, with their own heads or another.
    fn definitions_of(&self, rule: RuleId, head: Option<[Var; 2]>) -> Vec<Definition> {
        let of = |flat: &FlatDefinition| Definition {
            head: head.unwrap_or_else(|| [flat.head[0], flat.head[1]]),
            scope: flat.scope.clone(),
            body: flat.body.clone(),
        };
        self.rules[rule.index()].definitions.iter().map(of).collect()
    }

    fn part(&mut self, definition: &Definition) -> Option<Part> {
        let [x, y] = definition.head;
        let calls: Vec<[Var; 2]> = definition.calls(self.rule).collect::<Option<_>>()?;
        let rest: Vec<Goal> =
            definition.body.iter().filter(|goal| !goal.calls(self.rule)).cloned().collect();
        match calls[..] {
            [] => self.union(&rest, definition.head, &definition.scope).map(Part::Base),
            [[a, b]] if a == x && b == y && rest.is_empty() => Some(Part::Idle),
            [[a, b]] => {
                let (before, after) = sides(&rest, [x, y], [a, b])?;
                let before = match a == x {
                    true => None,
                    false => Some(self.union(&before, [x, a], &definition.scope)?),
                };
                let after = match b == y {
                    true => None,
                    false => Some(self.union(&after, [b, y], &definition.scope)?),
                };
                Some(Part::Step(Step { before, after }))
            }
            [[a, m], [n, b]] | [[n, b], [a, m]]
                if a == x && b == y && m == n && ![x, y].contains(&m) && rest.is_empty() =>
            {
                Some(Part::Doubled)
            }
            _ => None,
        }
    }

    /// The relation between two variables that goals describe.
    fn union(&mut self, goals: &[Goal], ends: [Var; 2], scope: &Scope) -> Option<Union> {
        if ends[0] == ends[1] {
            return None;
        }
        if let Some(union) = self.alias(goals, ends, ALIAS_DEPTH) {
            return Some(union);
        }
        let rule = self.step_rule(goals, ends, scope)?;
        Some(Union(vec![Relation::Answers { rule, reversed: false }]))
    }

    /// The relation of a goal that is one already, or that names one.
    fn alias(&self, goals: &[Goal], [from, to]: [Var; 2], depth: usize) -> Option<Union> {
        let [goal] = goals else { return None };
        let reversed = |a: &Term, b: &Term| match (a.var()?, b.var()?) {
            (a, b) if (a, b) == (from, to) => Some(false),
            (a, b) if (a, b) == (to, from) => Some(true),
            _ => None,
        };
        match &goal.kind {
            GoalKind::Pattern { entity, attribute: AttributeTerm::Const(attribute), value } => {
                let reversed = reversed(entity, value)?;
                Some(Union(vec![Relation::Facts { attribute: attribute.clone(), reversed }]))
            }
            GoalKind::Call { rule, args, negated: false } => {
                let [a, b] = &args[..] else { return None };
                let reversed = reversed(a, b)?;
                let flat = &self.rules[rule.index()];
                if !flat.needed.is_empty() {
                    return None;
                }
                let mut union = Union::default();
                for definition in self.definitions_of(*rule, None) {
                    let named = match depth {
                        0 => None,
                        _ => self.alias(&definition.body, definition.head, depth - 1),
                    };
                    let Some(named) = named else {
                        return Some(Union(vec![Relation::Answers { rule: *rule, reversed }]));
                    };
                    union.extend(named);
                }
                Some(if reversed { union.flip() } else { union })
            }
            _ => None,
        }
    }

    /// A rule of its own for a body; the same for the same body. None if it needs bindings.
    fn step_rule(&mut self, goals: &[Goal], ends: [Var; 2], scope: &Scope) -> Option<RuleId> {
        if !is_ready(goals, ends, self.rules) {
            return None;
        }
        let definition =
            FlatDefinition { head: ends.to_vec(), scope: scope.clone(), body: goals.to_vec() };
        let step = FlatRule {
            name: format!("a step of {}", self.rules[self.rule.index()].name),
            is_named: true,
            arity: 2,
            needed: BTreeSet::new(),
            definitions: vec![definition],
        };
        let same = |other: &FlatRule| {
            other.name == step.name && shape(&other.definitions[0]) == shape(&step.definitions[0])
        };
        let index = self.rules.iter().position(same).unwrap_or_else(|| {
            self.rules.push(step.clone());
            self.rules.len() - 1
        });
        Some(RuleId(index as u32))
    }
}

/// A definition of a rule of two columns.
struct Definition {
    head: [Var; 2],
    scope: Scope,
    body: Vec<Goal>,
}

impl Definition {
    /// The arguments of the calls of a rule; `None` for those that are not two variables.
    fn calls(&self, called: RuleId) -> impl Iterator<Item = Option<[Var; 2]>> {
        self.body.iter().filter_map(move |goal| match &goal.kind {
            GoalKind::Call { rule, args, .. } if *rule == called => Some(match &args[..] {
                [Term::Var(a), Term::Var(b)] => Some([*a, *b]),
                _ => None,
            }),
            _ => None,
        })
    }
}

impl Goal {
    fn calls(&self, called: RuleId) -> bool {
        matches!(self.kind, GoalKind::Call { rule, .. } if rule == called)
    }
}

/// Parts the goals around a recursive call of (a, b) into those that lead from x to a and those
/// that lead from b to y; none if a goal has to do with both sides.
fn sides(goals: &[Goal], [x, y]: [Var; 2], [a, b]: [Var; 2]) -> Option<(Vec<Goal>, Vec<Goal>)> {
    let is_path = (a == x || ![x, y].contains(&a)) && (b == y || ![x, y].contains(&b)) && a != b;
    if !is_path {
        return None;
    }
    if b == y || a == x {
        let far = if b == y { y } else { x };
        let only_side = goals.to_vec();
        let touches = only_side.iter().any(|goal| goal.kind.vars().contains(&far));
        return match (touches || (a == x && b == y), b == y) {
            (true, _) => None,
            (false, true) => Some((only_side, Vec::new())),
            (false, false) => Some((Vec::new(), only_side)),
        };
    }
    let near = connected(goals, [x, a]);
    if near.contains(&b) || near.contains(&y) {
        return None;
    }
    let far = connected(goals, [b, y]);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for goal in goals {
        let vars = goal.kind.vars();
        if vars.iter().any(|var| near.contains(var)) {
            before.push(goal.clone());
        } else if vars.iter().any(|var| far.contains(var)) {
            after.push(goal.clone());
        } else {
            return None;
        }
    }
    Some((before, after))
}

/// The variables that goals connect with some.
fn connected(goals: &[Goal], seeds: [Var; 2]) -> BTreeSet<Var> {
    let mut vars = BTreeSet::from(seeds);
    loop {
        let n_vars = vars.len();
        for goal in goals {
            let of_goal = goal.kind.vars();
            if of_goal.iter().any(|var| vars.contains(var)) {
                vars.extend(of_goal);
            }
        }
        if vars.len() == n_vars {
            return vars;
        }
    }
}

/// Whether goals can be evaluated with nothing bound before, and bind both ends.
fn is_ready(goals: &[Goal], ends: [Var; 2], rules: &[FlatRule]) -> bool {
    let mut bound: BTreeSet<Var> = BTreeSet::new();
    let mut pending: Vec<&Goal> = goals.iter().collect();
    loop {
        let n_pending = pending.len();
        pending.retain(|goal| {
            let is_ready = goal.kind.needs(rules).iter().all(|var| bound.contains(var));
            if is_ready {
                bound.extend(goal.kind.binds());
            }
            !is_ready
        });
        if pending.len() == n_pending {
            return pending.is_empty() && ends.iter().all(|end| bound.contains(end));
        }
    }
}

/// The body with variables numbered as they come: equal for bodies that differ in names alone.
fn shape(definition: &FlatDefinition) -> Vec<GoalKind> {
    let mut order: Vec<Var> = definition.head.clone();
    let bodies = definition.body.iter().map(|goal| goal.kind.clone());
    let mut shape: Vec<GoalKind> = bodies.collect();
    for kind in &mut shape {
        kind.rename(&mut |var| {
            let known = order.iter().position(|other| *other == var);
            Var(known.unwrap_or_else(|| {
                order.push(var);
                order.len() - 1
            }) as u32)
        });
    }
    shape
}

/// What base and steps come to together.
fn form(base: &Union, steps: Vec<Step>, is_doubled: bool) -> Option<Form> {
    let (mut before, mut after) = (Union::default(), Union::default());
    for step in &steps {
        match (&step.before, &step.after) {
            (Some(union), None) => before.extend(union.clone()),
            (None, Some(union)) => after.extend(union.clone()),
            _ if is_doubled => return None,
            _ => return Some(Form::Around(steps)),
        }
    }
    let is_within = base.holds_all_of(&before) && base.holds_all_of(&after);
    let is_whole = before.holds_all_of(base) || after.holds_all_of(base);
    match (before.0.is_empty(), after.0.is_empty()) {
        _ if is_doubled && is_within => Some(Form::Closure),
        _ if is_doubled => None,
        (true, true) => None,
        // before* ∘ base ∘ after*, where the one or the other is all of the base.
        _ if is_within && is_whole => Some(Form::Closure),
        (true, false) => Some(Form::Before(after)),
        (false, true) => Some(Form::Behind(before)),
        (false, false) => Some(Form::Around(steps)),
    }
}

/// Prints a relation with the names of rules.
pub(crate) struct RecursionText<'r> {
    pub(crate) recursion: &'r Recursion,
    pub(crate) rules: &'r [FlatRule],
}

impl RecursionText<'_> {
    fn union(&self, union: &Union) -> String {
        let text = |relation: &Relation| match relation {
            Relation::Facts { attribute, reversed: false } => format!(":{attribute}"),
            Relation::Facts { attribute, reversed: true } => format!(":{attribute} reversed"),
            Relation::Answers { rule, reversed } => {
                let back = if *reversed { " reversed" } else { "" };
                format!("({}){back}", self.rules[rule.index()].name)
            }
        };
        union.0.iter().map(text).collect::<Vec<_>>().join(" or ")
    }
}

impl fmt::Display for RecursionText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.union(&self.recursion.base);
        match &self.recursion.form {
            Form::Closure => write!(f, "transitive closure of {base}"),
            Form::Before(step) => write!(f, "{base}, then any steps of {}", self.union(step)),
            Form::Behind(step) => write!(f, "any steps of {}, then {base}", self.union(step)),
            Form::Around(steps) => {
                write!(f, "{base}")?;
                for step in steps {
                    let side = |side: &Option<Union>| match side {
                        Some(union) => self.union(union),
                        None => "nothing".to_owned(),
                    };
                    let (before, after) = (side(&step.before), side(&step.after));
                    write!(f, ", or itself between {before} and {after}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
