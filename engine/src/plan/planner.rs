//! The plans of a program's bodies.

use std::sync::Arc;

use super::order::{Choice, Context, Counts, RuleSizes, body_plan};
use super::{Adornment, Plan};
use crate::program::lower::{FlatDefinition, Stratified};
use crate::program::{RuleId, Var};

/// Makes the plans of one program over the counts of one snapshot.
pub(crate) struct Planner<'p> {
    program: &'p Stratified,
    counts: &'p dyn Counts,
    sizes: RuleSizes,
    choice: Choice,
}

impl<'p> Planner<'p> {
    pub(crate) fn new(
        program: &'p Stratified,
        counts: &'p dyn Counts,
        choice: Choice,
    ) -> Planner<'p> {
        let sizes = RuleSizes::of_rules(&program.rules, counts);
        Planner { program, counts, sizes, choice }
    }

    /// The plan of the query's own body, for rows that bind the variables of `start`.
    pub(crate) fn body(&self, start: &[Var], kept: &[Var]) -> Arc<Plan> {
        let context = self.context(&[], false);
        Arc::new(body_plan(&self.program.body, start, kept, context))
    }

    /// The plan of each definition of a rule, for demands that bind the adorned columns.
    pub(crate) fn rule(&self, rule: RuleId, adornment: &Adornment) -> Arc<Vec<Plan>> {
        let stratum = &self.program.strata[self.program.stratum_of[rule.index()]];
        let context = self.context(&stratum.rules, adornment.is_free());
        let plan = |definition: &FlatDefinition| {
            let asked = adornment.columns().into_iter().map(|column| definition.head[column]);
            let asked: Vec<Var> = asked.collect();
            body_plan(&definition.body, &asked, &definition.head, context)
        };
        Arc::new(self.program.rules[rule.index()].definitions.iter().map(plan).collect())
    }

    fn context<'c>(&'c self, stratum: &'c [RuleId], asks_nothing: bool) -> Context<'c> {
        Context {
            rules: &self.program.rules,
            counts: self.counts,
            sizes: &self.sizes,
            stratum,
            asks_nothing,
            choice: self.choice,
        }
    }
}
