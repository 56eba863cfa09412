//! The plans of a program's bodies, and the memory of them.
//!
//! A prepared query runs many times, each time over other facts but mostly over as many. Its plans
//! are therefore kept, with the magnitudes of the counts that they were made for, and made again
//! only when one of these has changed: a magnitude is a factor of [`FACTOR_BITS`] bits. Constants
//! are part of the program, inputs are variables like others, so a kept plan serves all inputs.
//! Any plan is right over any facts; what is kept decides speed only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::estimate::{Remembered, RuleSizes};
use super::order::{Choice, Context, Counts, body_plan};
use super::{Adornment, Plan};
use crate::ids::Attribute;
use crate::program::lower::{FlatDefinition, Goal, GoalKind, Stratified};
use crate::program::{AttributeTerm, RuleId, Term, Var};
use crate::value::Value;

/// How many sets of plans are kept: facts that grow pass through few magnitudes, and those of
/// several apps are few at a time.
const KEPT_MAX: usize = 4;

/// Counts are of one magnitude when they differ by less than this many bits.
const FACTOR_BITS: u32 = 2;

/// A count that plans depend on; of all facts where nothing is said.
type Question = (Option<Attribute>, Option<Value>);

/// The plans of a prepared program.
#[derive(Debug)]
pub(crate) struct PlanCache {
    questions: Vec<Question>,
    /// The set used last comes last.
    kept: Mutex<Vec<Arc<Plans>>>,
}

/// The plans of a rule's definitions.
type RulePlans = Arc<Vec<Plan>>;

/// The plans for counts of certain magnitudes.
#[derive(Debug)]
struct Plans {
    /// The magnitude of each question's count.
    signature: Vec<u8>,
    sizes: RuleSizes,
    /// By the variables bound before it.
    bodies: Mutex<BTreeMap<Vec<Var>, Arc<Plan>>>,
    rules: Mutex<BTreeMap<(RuleId, Adornment), RulePlans>>,
}

impl Plans {
    fn new(signature: Vec<u8>, program: &Stratified, counts: &dyn Counts) -> Plans {
        let sizes = RuleSizes::of_rules(&program.rules, &Remembered::new(counts));
        Plans { signature, sizes, bodies: Mutex::default(), rules: Mutex::default() }
    }
}

impl PlanCache {
    pub(crate) fn new(program: &Stratified) -> PlanCache {
        let rules = program.rules.iter().flat_map(|rule| &rule.definitions);
        let bodies = rules.map(|definition| &definition.body).chain([&program.body]);
        let questions: BTreeSet<Question> = bodies.flatten().filter_map(question).collect();
        PlanCache { questions: questions.into_iter().collect(), kept: Mutex::default() }
    }

    /// The plans for these counts, new or kept.
    fn plans(&self, program: &Stratified, counts: &dyn Counts) -> Arc<Plans> {
        let magnitude = |question: &Question| {
            let count = match question {
                (Some(attribute), Some(value)) => counts.of_value(attribute, value),
                (Some(attribute), None) => counts.of_attribute(attribute),
                (None, _) => counts.total(),
            };
            ((u64::BITS - count.leading_zeros()) / FACTOR_BITS) as u8
        };
        let signature: Vec<u8> = self.questions.iter().map(magnitude).collect();
        let mut kept = self.kept.lock();
        let plans = match kept.iter().position(|plans| plans.signature == signature) {
            Some(position) => kept.remove(position),
            None => Arc::new(Plans::new(signature, program, counts)),
        };
        kept.push(Arc::clone(&plans));
        if kept.len() > KEPT_MAX {
            kept.remove(0);
        }
        plans
    }
}

/// The count that a pattern is judged by before anything is bound.
fn question(goal: &Goal) -> Option<Question> {
    let GoalKind::Pattern { attribute, value, .. } = &goal.kind else { return None };
    Some(match (attribute, value) {
        (AttributeTerm::Const(attribute), Term::Const(value)) => {
            (Some(attribute.clone()), Some(value.clone()))
        }
        (AttributeTerm::Const(attribute), _) => (Some(attribute.clone()), None),
        (AttributeTerm::Var(_) | AttributeTerm::Blank, _) => (None, None),
    })
}

/// Gives the plans of one program over the counts of one snapshot.
pub(crate) struct Planner<'p> {
    program: &'p Stratified,
    counts: &'p dyn Counts,
    plans: Arc<Plans>,
    choice: Choice,
}

impl<'p> Planner<'p> {
    pub(crate) fn new(
        program: &'p Stratified,
        counts: &'p dyn Counts,
        cache: &PlanCache,
        choice: Choice,
    ) -> Planner<'p> {
        let plans = match choice {
            Choice::Cheapest => cache.plans(program, counts),
            Choice::Drawn(_) => Arc::new(Plans::new(Vec::new(), program, counts)),
        };
        Planner { program, counts, plans, choice }
    }

    /// The plan of the query's own body, for rows that bind the variables of `start`; `kept` is
    /// always the same for one program.
    pub(crate) fn body(&self, start: &[Var], kept: &[Var]) -> Arc<Plan> {
        if let Some(plan) = self.plans.bodies.lock().get(start) {
            return Arc::clone(plan);
        }
        let counts = Remembered::new(self.counts);
        let context = self.context(&counts, &[], false);
        let plan = Arc::new(body_plan(&self.program.body, start, kept, context));
        self.plans.bodies.lock().insert(start.to_vec(), Arc::clone(&plan));
        plan
    }

    /// The plan of each definition of a rule, for demands that bind the adorned columns.
    pub(crate) fn rule(&self, rule: RuleId, adornment: &Adornment) -> Arc<Vec<Plan>> {
        let key = (rule, adornment.clone());
        if let Some(plans) = self.plans.rules.lock().get(&key) {
            return Arc::clone(plans);
        }
        let stratum = &self.program.strata[self.program.stratum_of[rule.index()]];
        let counts = Remembered::new(self.counts);
        let context = self.context(&counts, &stratum.rules, adornment.is_free());
        let plan = |definition: &FlatDefinition| {
            let asked = adornment.columns().into_iter().map(|column| definition.head[column]);
            let asked: Vec<Var> = asked.collect();
            body_plan(&definition.body, &asked, &definition.head, context)
        };
        let plans = self.program.rules[rule.index()].definitions.iter().map(plan).collect();
        let plans = Arc::new(plans);
        self.plans.rules.lock().insert(key, Arc::clone(&plans));
        plans
    }

    /// How many rows a rule is assumed to have, by its smallest goals.
    pub(crate) fn size_of(&self, rule: RuleId) -> f64 {
        self.plans.sizes.of(rule)
    }

    fn context<'c>(
        &'c self,
        counts: &'c dyn Counts,
        stratum: &'c [RuleId],
        asks_nothing: bool,
    ) -> Context<'c> {
        Context {
            rules: &self.program.rules,
            counts,
            sizes: &self.plans.sizes,
            stratum,
            asks_nothing,
            choice: self.choice,
        }
    }
}
