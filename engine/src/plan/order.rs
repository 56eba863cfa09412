//! The order of a body: always the cheapest goal that is ready, by counts.
//!
//! Greedy ordering by the counts of constants finds the same order however the body was
//! written (ties go to the clause that comes first). Goals that only filter run as soon as they
//! are ready. Where the goal that comes next would be asked row by row for more than it takes to
//! evaluate its whole star apart, the star is evaluated once and joined by hash; a cyclic core that
//! would be scanned is joined as a whole; comparisons of a value that a pattern binds become the
//! range that is read. Statistics are never needed for correctness: any order of ready goals, and
//! any of these kinds of steps where it can be, is right.

use super::estimate::{RANGE_SHARE, estimate, share_kept};
use super::shape::{self, Edge};
use super::step::{absent, slot, step};
use super::{Action, Plan, Slot, Step, Weighed, live};
use crate::program::functions::Function;
use crate::program::lower::{FlatRule, Goal, GoalKind};
use crate::program::{AttributeTerm, RuleId, Term, Var, VarSet};

pub(crate) use super::estimate::Counts;
use super::estimate::RuleSizes;

/// Cyclic cores are looked for while no more goals than these are left.
const CORE_GOALS_MAX: usize = 128;

/// Below this many rows no other kind of step is looked for than asking row by row.
const FEW_ROWS: f64 = 256.0;

/// Which of the goals that are ready comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The cheapest by counts.
    Cheapest,
    /// Any, drawn from this seed: tests show with it that no order changes an answer.
    Drawn(u64),
}

impl Choice {
    /// The next number below `n` of the sequence that the seed begins.
    fn draw(seed: &mut u64, n: usize) -> usize {
        // SplitMix64: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014.
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % n as u64) as usize
    }
}

/// What a body is planned within.
#[derive(Clone, Copy)]
pub(crate) struct Context<'p> {
    pub(crate) rules: &'p [FlatRule],
    pub(crate) counts: &'p dyn Counts,
    pub(crate) sizes: &'p RuleSizes,
    /// The rules that recurse with the body's own rule; none for the query's body.
    pub(crate) stratum: &'p [RuleId],
    /// Nothing is asked of the body's rule, so its recursive calls ask nothing either: bindings
    /// met on the way would restrict the recursion to what is everything in the end.
    pub(crate) asks_nothing: bool,
    pub(crate) choice: Choice,
}

/// Plans a body, given the variables bound before it and those that its caller asks for.
pub(crate) fn body_plan(goals: &[Goal], start: &[Var], kept: &[Var], context: Context<'_>) -> Plan {
    ordered(goals, goals.iter().collect(), start, kept, context).plan
}

/// A plan, and what is expected of it.
struct Ordered {
    plan: Plan,
    /// Rows made by all steps together.
    cost: f64,
    n_rows: f64,
}

/// Orders some goals of a body.
fn ordered(
    body: &[Goal],
    goals: Vec<&Goal>,
    start: &[Var],
    kept: &[Var],
    context: Context<'_>,
) -> Ordered {
    let recurses = goals.iter().any(|goal| match &goal.kind {
        GoalKind::Call { rule, .. } => context.stratum.contains(rule),
        _ => false,
    });
    let mut ordering = Ordering {
        body,
        pending: goals,
        bound: start.iter().copied().collect(),
        n_rows: 1.0,
        cost: 0.0,
        steps: Vec::new(),
        choice: context.choice,
        recurses,
        context,
    };
    while !ordering.pending.is_empty() {
        ordering.next();
    }
    let Ordering { steps, cost, n_rows, .. } = ordering;
    let mut plan = Plan { start: start.to_vec(), steps };
    live::mark(&mut plan, kept);
    Ordered { plan, cost, n_rows }
}

/// A body that is being ordered.
struct Ordering<'g> {
    body: &'g [Goal],
    /// The goals that have no step yet, in the order of clauses.
    pending: Vec<&'g Goal>,
    bound: VarSet,
    /// Rows that are expected to arrive at the next step.
    n_rows: f64,
    cost: f64,
    steps: Vec<Step>,
    choice: Choice,
    /// The body calls its own recursion: it is evaluated in every round, and what does not depend
    /// on the rows that arrive would be evaluated again each time.
    recurses: bool,
    context: Context<'g>,
}

impl<'g> Ordering<'g> {
    /// Makes the step that comes next.
    fn next(&mut self) {
        let position = match self.choice {
            Choice::Cheapest => self.cheapest(),
            Choice::Drawn(_) => {
                let ready: Vec<usize> = self.ready().collect();
                ready[self.draw(ready.len())]
            }
        };
        let made = self.core(position) || self.side(position) || self.range(position);
        if !made {
            let goal = self.pending.remove(position);
            let step = step(goal, self.numbers(&[goal]), &self.bound, self.context);
            let factor = match goal.kind {
                GoalKind::Function { .. } | GoalKind::GetElse { .. } => 1.0,
                _ => share_kept(&goal.kind).unwrap_or(step.estimate),
            };
            self.push(step, factor, goal.kind.binds());
        }
    }

    fn push(&mut self, mut step: Step, factor: f64, binds: Vec<Var>) {
        self.cost += self.n_rows * factor.max(0.1);
        self.n_rows *= factor;
        step.n_rows = self.n_rows;
        self.steps.push(step);
        self.bound.extend(binds);
    }

    /// The positions of goals in the body.
    fn numbers(&self, goals: &[&Goal]) -> Vec<u32> {
        let body = self.body.iter().zip(0..);
        let taken = |goal: &Goal| goals.iter().any(|other| std::ptr::eq(*other, goal));
        body.filter(|(goal, _)| taken(goal)).map(|(_, number)| number).collect()
    }

    /// Draws a number below `n`, where the order is drawn.
    fn draw(&mut self, n: usize) -> usize {
        match &mut self.choice {
            Choice::Cheapest => 0,
            Choice::Drawn(seed) => Choice::draw(seed, n),
        }
    }

    /// Whether a kind of step is taken that counts call for; drawn orders take any half the time.
    fn takes(&mut self, by_counts: bool) -> bool {
        match self.choice {
            Choice::Cheapest => by_counts,
            Choice::Drawn(_) => self.draw(2) == 0,
        }
    }

    /// The positions of the goals that can be evaluated now; never none, because the body is safe.
    fn ready(&self) -> impl Iterator<Item = usize> {
        let is_ready = |goal: &Goal| {
            goal.kind.needs(self.context.rules).iter().all(|var| self.bound.contains(var))
        };
        let pending = self.pending.iter().enumerate();
        pending.filter(move |(_, goal)| is_ready(goal)).map(|(position, _)| position)
    }

    /// The position of the cheapest ready goal.
    fn cheapest(&self) -> usize {
        let costs = self.ready().map(|position| (self.estimate(position), position));
        costs
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, position)| position)
            .expect("a safe body always has a goal that is ready")
    }

    fn estimate(&self, position: usize) -> f64 {
        let goal = &self.pending[position].kind;
        if let GoalKind::Call { rule, args, negated: true } = goal
            && absent(*rule, args, &self.bound, self.context).is_some()
        {
            // An anti-join with one attribute costs little more than a comparison.
            return 0.05;
        }
        let n_rows = estimate(goal, &self.bound, self.context);
        let bounds = self.bounds(position);
        bounds.iter().fold(n_rows, |n_rows, (_, function, _)| {
            n_rows * if *function == Function::Equal { 0.01 } else { RANGE_SHARE }
        })
    }

    // ---- ranges ----

    /// The comparisons of the value that a pattern binds: their positions and what they ask.
    fn bounds(&self, position: usize) -> Vec<(usize, Function, &'g Term)> {
        let Some(value) = shape::ranged_value(&self.pending[position].kind, &self.bound) else {
            return Vec::new();
        };
        let pending = self.pending.iter().enumerate();
        let bounds = pending.filter_map(|(other, goal)| {
            let (function, term) = shape::bound_of(&goal.kind, value, &self.bound)?;
            Some((other, function, term))
        });
        bounds.collect()
    }

    /// Makes one step of a pattern and the comparisons of its value, if it has any.
    fn range(&mut self, position: usize) -> bool {
        let bounds = self.bounds(position);
        if bounds.is_empty() || !self.takes(true) {
            return false;
        }
        let goal = self.pending[position];
        let GoalKind::Pattern { entity, attribute: AttributeTerm::Const(attribute), value } =
            &goal.kind
        else {
            unreachable!("only patterns of one attribute have ranges");
        };
        let estimate = self.estimate(position);
        let terms = bounds.iter().map(|(_, function, term)| (*function, slot(term, &self.bound)));
        let action = Action::Range {
            entity: slot(entity, &self.bound),
            attribute: attribute.clone(),
            value: slot(value, &self.bound),
            bounds: terms.collect(),
        };
        let mut taken: Vec<usize> = bounds.iter().map(|(other, ..)| *other).collect();
        taken.push(position);
        let taken = self.take(taken);
        let step = Step::new(estimate, action, self.numbers(&taken));
        self.push(step, estimate, goal.kind.binds());
        true
    }

    /// Takes goals out of those that are pending.
    fn take(&mut self, mut positions: Vec<usize>) -> Vec<&'g Goal> {
        positions.sort_unstable();
        let taken = positions.iter().map(|position| self.pending[*position]).collect();
        for position in positions.into_iter().rev() {
            self.pending.remove(position);
        }
        taken
    }

    // ---- cyclic cores ----

    /// Makes one step of the cyclic core that a pattern lies in, where its attribute would be gone
    /// through anyway.
    fn core(&mut self, position: usize) -> bool {
        let Some(edge) = Edge::of(&self.pending[position].kind, &self.bound) else { return false };
        // A body of so many patterns would be searched again for each of them.
        if self.recurses || self.pending.len() > CORE_GOALS_MAX {
            return false;
        }
        let pending = self.pending.iter().enumerate();
        let edges: Vec<(usize, Edge)> = pending
            .filter_map(|(other, goal)| Some((other, Edge::of(&goal.kind, &self.bound)?)))
            .collect();
        let all: Vec<Edge> = edges.iter().map(|(_, edge)| edge.clone()).collect();
        let core = shape::core_of(edge.entity, &all);
        let lies_in = |edge: &Edge| core.contains(&edge.entity) && core.contains(&edge.value);
        if !lies_in(&edge) {
            return false;
        }
        let n_facts = self.context.counts.of_attribute(&edge.attribute) as f64;
        if !self.takes(n_facts >= FEW_ROWS) {
            return false;
        }
        let edges: Vec<(usize, Edge)> =
            edges.into_iter().filter(|(_, edge)| lies_in(edge)).collect();
        let all: Vec<Edge> = edges.iter().map(|(_, edge)| edge.clone()).collect();
        let order = shape::core_order(&core, &all);
        let place = |var: Var| order.iter().position(|other| *other == var).expect("in the core");
        let action = Action::Generic {
            vars: order.iter().map(|var| Slot::Free(*var)).collect(),
            edges: all
                .into_iter()
                .map(|edge| (edge.attribute, place(edge.entity), place(edge.value)))
                .collect(),
        };
        let taken = self.take(edges.into_iter().map(|(position, _)| position).collect());
        self.push(Step::new(n_facts, action, self.numbers(&taken)), n_facts, order);
        true
    }

    // ---- sides ----

    /// Makes one step of the star that a pattern begins, evaluated apart and joined by hash, where
    /// that is less work than asking for it row by row.
    fn side(&mut self, position: usize) -> bool {
        let GoalKind::Pattern { entity: Term::Var(entity), attribute, .. } =
            &self.pending[position].kind
        else {
            return false;
        };
        let is_new = !self.bound.contains(entity) && matches!(attribute, AttributeTerm::Const(_));
        let by_row = self.n_rows * self.estimate(position);
        let is_drawn = matches!(self.choice, Choice::Drawn(_));
        if !is_new || self.recurses || self.steps.is_empty() || (by_row < FEW_ROWS && !is_drawn) {
            return false;
        }
        let star = self.star_with_filters(*entity);
        let goals: Vec<&Goal> = star.iter().map(|position| self.pending[*position]).collect();
        let vars: VarSet = goals.iter().flat_map(|goal| goal.kind.binds()).collect();
        let on: Vec<Var> = vars.intersection(&self.bound).copied().collect();
        let added: Vec<Var> = vars.difference(&self.bound).copied().collect();
        let kept: Vec<Var> = vars.iter().copied().collect();
        let context = Context { choice: self.choice, ..self.context };
        let matched = self.rows_for_each(&goals, &on);
        let apart = ordered(self.body, goals, &[], &kept, context);
        let n_matched = (apart.n_rows / matched).max(0.1);
        let work = apart.cost + apart.n_rows + self.n_rows * (1.0 + n_matched);
        if !self.takes(work < by_row) {
            return false;
        }
        self.draw(2);
        let out = added.iter().map(|var| Slot::Free(*var)).collect();
        let action = Action::Join { plan: Box::new(apart.plan), on, out };
        self.cost += apart.cost + apart.n_rows;
        let taken = self.take(star);
        let step = Step::new(n_matched, action, self.numbers(&taken));
        let weighed = Some(Weighed { apart: work, row_by_row: by_row });
        self.push(Step { weighed, ..step }, n_matched, added);
        true
    }

    /// The star of an entity variable, and the predicates that it alone can decide.
    fn star_with_filters(&self, entity: Var) -> Vec<usize> {
        let mut star = shape::star_of(entity, &self.pending);
        let bound: VarSet =
            star.iter().flat_map(|position| self.pending[*position].kind.binds()).collect();
        let filters = (0..self.pending.len()).filter(|position| {
            let kind = &self.pending[*position].kind;
            let needs = kind.needs(self.context.rules);
            matches!(kind, GoalKind::Predicate { .. })
                && !needs.is_empty()
                && needs.iter().all(|var| bound.contains(var))
        });
        let filters: Vec<usize> = filters.collect();
        star.extend(filters);
        star
    }

    /// Into how many groups the join variables part the rows of a star, by the fullest of them.
    fn rows_for_each(&self, goals: &[&Goal], on: &[Var]) -> f64 {
        let n_values = goals.iter().filter_map(|goal| match &goal.kind {
            GoalKind::Pattern {
                attribute: AttributeTerm::Const(attribute),
                value: Term::Var(value),
                ..
            } if on.contains(value) => Some(self.context.counts.n_values(attribute) as f64),
            _ => None,
        });
        n_values.fold(1.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::ids::{Attribute, Name};
    use crate::plan::AttributeSlot;
    use crate::program::lower::FlatDefinition;
    use crate::program::raw::ClauseId;
    use crate::program::{CLAUSES_MAX, Scope};
    use crate::value::Value;

    /// Facts of `a/few` are few, of all other attributes many.
    struct FewAndMany;

    impl Counts for FewAndMany {
        fn total(&self) -> u64 {
            1_000_000
        }

        fn of_attribute(&self, attribute: &Attribute) -> u64 {
            if attribute.as_str() == "a/few" { 3 } else { 10_000 }
        }

        fn of_value(&self, attribute: &Attribute, _: &Value) -> u64 {
            self.of_attribute(attribute) / 3
        }

        fn n_entities(&self, attribute: &Attribute) -> u64 {
            self.of_attribute(attribute)
        }

        fn n_values(&self, attribute: &Attribute) -> u64 {
            self.of_attribute(attribute) / 2
        }
    }

    fn goal(kind: GoalKind) -> Goal {
        Goal { id: ClauseId(0), kind }
    }

    fn pattern(entity: u32, attribute: &str, value: u32) -> Goal {
        goal(GoalKind::Pattern {
            entity: Term::Var(Var(entity)),
            attribute: AttributeTerm::Const(Attribute::new(attribute).unwrap()),
            value: Term::Var(Var(value)),
        })
    }

    fn call(rule: u32, negated: bool) -> Goal {
        let args = vec![Term::Var(Var(0)), Term::Var(Var(1))];
        goal(GoalKind::Call { rule: RuleId(rule), args, negated })
    }

    fn rule(bodies: Vec<Vec<Goal>>) -> FlatRule {
        let names = ["x", "y"].map(|name| Name::new(name).unwrap()).to_vec();
        let definition = |body| FlatDefinition {
            head: vec![Var(0), Var(1)],
            scope: Scope { names: names.clone() },
            body,
        };
        let definitions = bodies.into_iter().map(definition).collect();
        FlatRule {
            name: "r".to_owned(),
            is_named: true,
            arity: 2,
            needed: BTreeSet::new(),
            definitions,
        }
    }

    fn attributes(goals: &[Goal], rules: &[FlatRule]) -> Vec<String> {
        let sizes = RuleSizes::of_rules(rules, &FewAndMany);
        let context = Context {
            rules,
            counts: &FewAndMany,
            sizes: &sizes,
            stratum: &[],
            asks_nothing: false,
            choice: Choice::Cheapest,
        };
        let plan = body_plan(goals, &[], &[], context);
        let name = |step: &Step| match &step.action {
            Action::Pattern { attribute: AttributeSlot::Const(attribute), .. } => {
                attribute.to_string()
            }
            Action::Call(call) => {
                format!("{}{}", if call.negated { "not " } else { "" }, call.rule.0)
            }
            Action::Absent { attribute: AttributeSlot::Const(attribute), .. } => {
                format!("not {attribute}")
            }
            other => panic!("{other:?}"),
        };
        plan.steps.iter().map(name).collect()
    }

    #[test]
    fn the_smallest_comes_first_and_what_only_filters_when_it_can() {
        let rules = [rule(vec![vec![pattern(0, "a/few", 1)]])];
        let expected = ["a/few", "not a/few", "a/many"];
        let goals = [call(0, true), pattern(1, "a/many", 2), pattern(0, "a/few", 1)];
        assert_eq!(attributes(&goals, &rules), expected);
        let [negated, many, few] = goals;
        assert_eq!(attributes(&[few, many, negated], &rules), expected);
    }

    #[test]
    fn a_call_is_as_large_as_the_smallest_goal_of_its_rules() {
        let small = rule(vec![vec![pattern(0, "a/many", 1), pattern(0, "a/few", 1)]]);
        let through = rule(vec![vec![call(0, false)]]);
        let rules = [small, through];
        let goals = [pattern(0, "a/many", 2), call(1, false)];
        assert_eq!(attributes(&goals, &rules), ["1", "a/many"]);
    }

    /// Facts that are many, and how often somebody has asked for a count.
    #[derive(Default)]
    struct Asked(Cell<usize>);

    impl Asked {
        fn count(&self) -> u64 {
            self.0.set(self.0.get() + 1);
            10_000
        }
    }

    impl Counts for Asked {
        fn total(&self) -> u64 {
            self.count()
        }

        fn of_attribute(&self, _: &Attribute) -> u64 {
            self.count()
        }

        fn of_value(&self, _: &Attribute, _: &Value) -> u64 {
            self.count()
        }

        fn n_entities(&self, _: &Attribute) -> u64 {
            self.count()
        }

        fn n_values(&self, _: &Attribute) -> u64 {
            self.count()
        }
    }

    /// Planning is not interrupted, so the largest body that there may be must not take long: each
    /// step looks at what is left a fixed number of times. A part of it shows that as well.
    #[test]
    fn large_bodies_are_planned_in_quadratic_time() {
        let n = CLAUSES_MAX as u32 / 4;
        let less = |var: u32| {
            let args = vec![Term::Var(Var(var)), Term::Const(Value::int(i64::from(var)))];
            goal(GoalKind::Predicate { function: Function::Less, args })
        };
        let bodies: [Vec<Goal>; 5] = [
            (0..n).map(|i| pattern(0, "a/many", i + 1)).collect(),
            (0..n).map(|i| pattern(i, "a/many", i + 1)).collect(),
            (0..n).map(|i| pattern(i, "a/many", (i + 1) % n)).collect(),
            (0..n)
                .map(|i| pattern(i / 3, "a/many", if i % 3 == 0 { i / 3 + 1 } else { n + i }))
                .collect(),
            (0..n / 2)
                .flat_map(|i| [pattern(2 * i, "a/many", 2 * i + 1), less(2 * i + 1)])
                .collect(),
        ];
        for (number, body) in bodies.iter().enumerate() {
            let counts = Asked::default();
            let sizes = RuleSizes::of_rules(&[], &counts);
            let context = Context {
                rules: &[],
                counts: &counts,
                sizes: &sizes,
                stratum: &[],
                asks_nothing: false,
                choice: Choice::Cheapest,
            };
            body_plan(body, &[], &[], context);
            let n_asked = counts.0.get();
            assert!(n_asked <= 2 * body.len() * body.len(), "body {number}: {n_asked} questions");
        }
    }

    /// Guards against estimates that look into the callees of every call: this program took them
    /// 200⁵ steps.
    #[test]
    fn many_calls_of_a_rule_by_itself_cost_no_more_than_they_are() {
        let body = (0..200).map(|_| call(0, false)).collect();
        let sizes = RuleSizes::of_rules(&[rule(vec![body])], &FewAndMany);
        assert_eq!(sizes.of(RuleId(0)), RuleSizes::UNKNOWN);
    }
}
