//! The tree of a query's evaluation: plans with the counts that they were made by, and what each
//! part did.
//!
//! Counts are those of the snapshot now, the order is that of the plan that would be used or was:
//! plans are kept while counts stay of one magnitude. An error of a budget gets its place here too,
//! because it is the same text.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::Evaluator;
use super::find::{is_aggregate, is_pull};
use super::fixpoint::Frame;
use super::measure::Part;
use super::meter::Doing;
use super::query::{asked_vars, input_vars};
use super::top::Scan;
use crate::error::QueryError;
use crate::ids::Attribute;
use crate::plan::{self, Action, Adornment, AttributeSlot, Counts, Plan, Planner, Slot};
use crate::profile::{Access, Body, Form, Profile, Ran, Rule, Step, count, expected};
use crate::program::lower::{FlatDefinition, Goal, Stratified};
use crate::program::raw::ClauseId;
use crate::program::recursion::{Form as RecursionForm, Recursion, RecursionText, Relation};
use crate::program::text::GoalText;
use crate::program::{Clause, FindElement, Program, RuleId, Scope, Var, visit_clauses};
use crate::store::Snapshot;

/// What makes the tree of one query.
pub(super) struct Explainer<'e> {
    pub(super) program: &'e Program,
    pub(super) stratified: &'e Stratified,
    pub(super) snapshot: &'e Snapshot,
    pub(super) planner: &'e Planner<'e>,
    /// The evaluation, where there was one.
    pub(super) ran: Option<&'e Evaluator<'e>>,
}

/// A rule as it is asked.
pub(super) struct Asked {
    rule: RuleId,
    adornment: Adornment,
    plans: Arc<Vec<Plan>>,
    /// Its table, where it was evaluated.
    table: Option<usize>,
}

impl Asked {
    /// The tables of an evaluation.
    pub(super) fn of_tables(evaluator: &Evaluator<'_>) -> Vec<Asked> {
        let tables = evaluator.tables.iter().enumerate();
        let asked = tables.map(|(index, table)| Asked {
            rule: table.rule,
            adornment: table.adornment.clone(),
            plans: Arc::clone(&table.plans),
            table: Some(index),
        });
        asked.collect()
    }

    /// The rules that a body may ask, directly or by way of others.
    pub(super) fn reachable(from: (&Explainer<'_>, &Plan)) -> Vec<Asked> {
        let (Explainer { stratified, planner, .. }, plan) = from;
        let mut open: VecDeque<(RuleId, Adornment)> = plan.calls().into();
        let mut seen = BTreeSet::new();
        let mut asked = Vec::new();
        while let Some((rule, adornment)) = open.pop_front() {
            if !seen.insert((rule, adornment.clone())) {
                continue;
            }
            let plans = match &stratified.recursions[rule.index()] {
                Some(recursion) => {
                    open.extend(relations_asked(recursion, &adornment));
                    Arc::default()
                }
                None => planner.rule(rule, &adornment),
            };
            open.extend(plans.iter().flat_map(Plan::calls));
            asked.push(Asked { rule, adornment, plans, table: None });
        }
        asked
    }
}

/// The rules that a search asks: node by node from where it begins, or as a whole.
fn relations_asked(recursion: &Recursion, adornment: &Adornment) -> Vec<(RuleId, Adornment)> {
    let mut unions = vec![&recursion.base];
    match &recursion.form {
        RecursionForm::Closure => {}
        RecursionForm::Before(step) | RecursionForm::Behind(step) => unions.push(step),
        RecursionForm::Around(steps) => {
            unions.extend(steps.iter().flat_map(|step| step.before.iter().chain(&step.after)));
        }
    }
    let relations = unions.into_iter().flat_map(|union| &union.0);
    let asked = relations.filter_map(|relation| match relation {
        Relation::Answers { rule, reversed } => {
            let from = usize::from(*reversed) ^ usize::from(!adornment.0[0]);
            let is_whole = adornment.is_free();
            let bound = (0..2).map(|column| !is_whole && column == from).collect();
            Some((*rule, Adornment(bound)))
        }
        Relation::Facts { .. } => None,
    });
    asked.collect()
}

/// A body that is explained: where its goals come from, and what it is measured as.
#[derive(Clone, Copy)]
struct Within<'w> {
    goals: &'w [Goal],
    text: GoalText<'w>,
    /// The rule it is a body of, by name; none for the query's own.
    owner: Option<&'w str>,
    /// Goals of other rules are shown as such.
    shows_owners: bool,
    part: Option<Part>,
}

impl<'e> Explainer<'e> {
    pub(super) fn profile(
        &self,
        asked: impl FnOnce((&Explainer<'e>, &Plan)) -> Vec<Asked>,
    ) -> Profile {
        let measure = self.ran.and_then(|evaluator| evaluator.measure.as_ref());
        let tried = measure.and_then(|measure| measure.tried);
        let mut start = input_vars(self.program);
        let mut top = None;
        let is_run = measure.is_some();
        if let Some((scan, text)) = Scan::explained(self.program, &start, self.snapshot, tried)
            && (!is_run || tried.is_some())
        {
            top = Some(text);
            if tried.is_none_or(|tried| tried.found()) {
                start.extend([scan.entity, scan.value]);
            }
        }
        let kept = asked_vars(self.program);
        let plan = self.planner.body(&start, &kept);
        let owners = self.owners();
        let within = Within {
            goals: &self.stratified.body,
            text: self.text(&self.stratified.scope),
            owner: None,
            shows_owners: true,
            part: Some(Part::Query),
        };
        let rules = asked((self, &plan));
        let ran = |part| measure.and_then(|measure| measure.ran(part, 0));
        Profile {
            top,
            query: self.body(&plan, &kept, within, &owners),
            rules: rules.iter().map(|asked| self.rule(asked, &owners)).collect(),
            result: self.result(),
            result_ran: ran(Part::Result),
            ran: ran(Part::Whole),
            warnings: Vec::new(),
        }
    }

    fn text(&self, scope: &'e Scope) -> GoalText<'e> {
        GoalText { scope, rules: &self.stratified.rules }
    }

    /// The rule that each clause stands in.
    fn owners(&self) -> BTreeMap<ClauseId, &'e str> {
        let mut owners = BTreeMap::new();
        for rule in &self.program.rules {
            for definition in &rule.definitions {
                let mut own = |clause: &Clause| {
                    owners.insert(clause.id, rule.name.as_str());
                };
                visit_clauses(&definition.body, &mut own);
            }
        }
        owners
    }

    fn rule(&self, asked: &Asked, owners: &BTreeMap<ClauseId, &'e str>) -> Rule {
        let index = asked.rule.index();
        let flat = &self.stratified.rules[index];
        let recursion = self.stratified.recursions[index].as_ref();
        let search = recursion.map(|recursion| {
            RecursionText { recursion, rules: &self.stratified.rules }.to_string()
        });
        let bodies = flat.definitions.iter().zip(asked.plans.iter()).enumerate();
        let body = |(number, (definition, plan)): (usize, (&'e FlatDefinition, &Plan))| {
            let frame = |table| Frame { table, definition: number };
            let within = Within {
                goals: &definition.body,
                text: GoalText { scope: &definition.scope, rules: &self.stratified.rules },
                owner: Some(&flat.name),
                shows_owners: index < self.program.rules.len(),
                part: asked.table.map(frame).map(Part::Definition),
            };
            self.body(plan, &definition.head, within, owners)
        };
        Rule {
            name: flat.name.clone(),
            adornment: asked.adornment.to_string(),
            search,
            bodies: bodies.map(body).collect(),
            ran: asked.table.and_then(|table| self.table_ran(table)),
        }
    }

    fn table_ran(&self, index: usize) -> Option<Ran> {
        let evaluator = self.ran?;
        let ran = evaluator.measure.as_ref()?.ran(Part::Table(index), 0)?;
        let table = &evaluator.tables[index];
        let n_answers = match &table.reached {
            Some(reached) => reached.n_pairs(),
            None => table.answers.all().len(),
        };
        Some(Ran { rows_out: n_answers as u64, ..ran })
    }

    fn body(
        &self,
        plan: &Plan,
        asked: &[Var],
        within: Within<'_>,
        owners: &BTreeMap<ClauseId, &str>,
    ) -> Body {
        let steps = self.steps(plan, within, owners);
        let mut shape = BTreeSet::new();
        forms(&steps, &mut shape);
        shape.remove(&Form::Lookup);
        let names = |vars: &[Var]| {
            let mut names: Vec<String> = Vec::new();
            for name in vars.iter().map(|var| within.text.var(*var)) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            names
        };
        let (given, asked) = (names(&plan.start), names(asked));
        Body { given, asked, shape: shape.into_iter().collect(), steps }
    }

    fn steps(
        &self,
        plan: &Plan,
        within: Within<'_>,
        owners: &BTreeMap<ClauseId, &str>,
    ) -> Vec<Step> {
        let measure = self.ran.and_then(|evaluator| evaluator.measure.as_ref());
        let step = |(index, step): (usize, &plan::Step)| {
            let (form, access) = kind(&step.action);
            let clauses: Vec<ClauseId> =
                step.goals.iter().map(|goal| within.goals[*goal as usize].id).collect();
            let owner = clauses.first().and_then(|clause| owners.get(clause)).copied();
            let inlined = owner.filter(|_| within.shows_owners && owner != within.owner);
            let apart = match &step.action {
                Action::Join { plan, .. } => {
                    let part = within.part.zip(measure).and_then(|(part, m)| m.apart(part, index));
                    self.steps(plan, Within { part, ..within }, owners)
                }
                _ => Vec::new(),
            };
            Step {
                goal: within.text.goals(within.goals, &step.goals),
                clauses,
                inlined: inlined.map(str::to_owned),
                form,
                access,
                why: self.why(step),
                rows_expected: step.n_rows,
                live: step.live.iter().map(|var| within.text.var(*var)).collect(),
                distinct: step.merges,
                apart,
                ran: within.part.zip(measure).and_then(|(part, m)| m.ran(part, index)),
            }
        };
        plan.steps.iter().enumerate().map(step).collect()
    }

    /// The counts that decided.
    fn why(&self, step: &plan::Step) -> String {
        let each = |n: f64, of: &str| format!("about {} for each {of}", expected(n));
        match &step.action {
            Action::Pattern { entity, attribute, value } => {
                self.why_pattern(entity, attribute, value, step.estimate)
            }
            Action::Absent { .. } => "only keeps rows without such a fact".to_owned(),
            Action::Range { attribute, .. } => {
                let n_facts = count(self.snapshot.of_attribute(attribute));
                format!("{n_facts} facts, of which a range is read")
            }
            Action::Generic { edges, .. } => {
                let attributes: BTreeSet<&Attribute> = edges.iter().map(|edge| &edge.0).collect();
                let n_facts: u64 =
                    attributes.into_iter().map(|a| self.snapshot.of_attribute(a)).sum();
                format!("the patterns form a cycle of {} facts", count(n_facts))
            }
            Action::Join { .. } => match step.weighed {
                Some(weighed) => {
                    let (apart, by_row) = (expected(weighed.apart), expected(weighed.row_by_row));
                    format!("about {apart} rows of work apart, {by_row} row by row")
                }
                None => "apart is less work than row by row".to_owned(),
            },
            Action::Predicate { .. } | Action::Missing { .. } => {
                "only keeps rows: as soon as its variables are bound".to_owned()
            }
            Action::Function { .. } => "one result for each row".to_owned(),
            Action::GetElse { .. } => "the field's values, or the default".to_owned(),
            Action::Ground { rows, .. } => format!("{} rows", count(rows.len() as u64)),
            Action::Call(call) if call.negated => {
                "only keeps rows without such an answer".to_owned()
            }
            Action::Call(call) => {
                let n_known = call
                    .args
                    .iter()
                    .filter(|arg| matches!(arg, Slot::Const(_) | Slot::Bound(_)))
                    .count();
                if n_known == 0 {
                    let n_rows = self.planner.size_of(call.rule);
                    return format!(
                        "asks for all answers, by their smallest goals {}",
                        count(n_rows.round() as u64)
                    );
                }
                format!("{n_known} of {} arguments are known; {}", call.args.len(), {
                    each(step.estimate, "row is assumed")
                })
            }
        }
    }

    fn why_pattern(
        &self,
        entity: &Slot,
        attribute: &AttributeSlot,
        value: &Slot,
        estimate: f64,
    ) -> String {
        let counts: &dyn Counts = self.snapshot;
        let AttributeSlot::Const(attribute) = attribute else {
            return format!("any attribute may be meant, of {} facts", count(counts.total()));
        };
        let n_facts = count(counts.of_attribute(attribute));
        match (known(entity), known(value), value) {
            (true, true, _) => "only keeps rows with such a fact".to_owned(),
            (true, false, _) => {
                let n_entities = count(counts.n_entities(attribute));
                format!("{n_facts} facts of about {n_entities} entities")
            }
            (false, true, Slot::Const(value)) => {
                format!("about {} facts have this value", count(counts.of_value(attribute, value)))
            }
            (false, true, _) => {
                let n_values = count(counts.n_values(attribute));
                format!(
                    "{n_facts} facts of about {n_values} values, {} for each",
                    expected(estimate)
                )
            }
            (false, false, _) => format!("{n_facts} facts"),
        }
    }

    /// What is made of the rows of the body.
    fn result(&self) -> String {
        let Program { raw, find, .. } = self.program;
        let mut parts: Vec<String> = Vec::new();
        if find.iter().any(is_aggregate) {
            parts.push("grouped".to_owned());
        }
        if !raw.having.is_empty() {
            parts.push("filtered by :having".to_owned());
        }
        let keys = raw.order_by.iter().map(|key| {
            let column = key.element as usize;
            let down = if key.descending { " descending" } else { "" };
            format!("column {}{down}", column + 1)
        });
        let keys: Vec<String> = keys.collect();
        let order = if keys.is_empty() { "whole rows".to_owned() } else { keys.join(", ") };
        parts.push(format!("distinct, ordered by {order}"));
        if let Some(limit) = raw.limit {
            parts.push(format!("at most {} rows", count(limit)));
        }
        if find.iter().any(is_pull) {
            parts.push("trees pulled".to_owned());
        }
        parts.join("; ")
    }
}

fn known(slot: &Slot) -> bool {
    matches!(slot, Slot::Const(_) | Slot::Bound(_))
}

fn forms(steps: &[Step], all: &mut BTreeSet<Form>) {
    for step in steps {
        all.insert(step.form);
        forms(&step.apart, all);
    }
}

fn kind(action: &Action) -> (Form, Access) {
    let access = |entity: &Slot, value: &Slot| match (known(entity), known(value)) {
        (true, true) => Access::Fact,
        (true, false) => Access::ByEntity,
        (false, true) => Access::ByValue,
        (false, false) => Access::Scan,
    };
    match action {
        Action::Pattern { entity, value, .. } => (Form::Lookup, access(entity, value)),
        Action::Absent { entity, value, .. } => (Form::AntiJoin, access(entity, value)),
        Action::Range { .. } => (Form::Range, Access::Range),
        Action::Generic { .. } => (Form::GenericJoin, Access::Scan),
        Action::Join { .. } => (Form::HashJoin, Access::Nothing),
        Action::Predicate { .. } => (Form::Filter, Access::Nothing),
        Action::Function { .. } => (Form::Compute, Access::Nothing),
        Action::Ground { .. } => (Form::Constants, Access::Nothing),
        Action::Missing { .. } => (Form::AntiJoin, Access::ByEntity),
        Action::GetElse { .. } => (Form::Compute, Access::ByEntity),
        Action::Call(call) if call.negated => (Form::AntiJoin, Access::Answers),
        Action::Call(call) if call.recurses => (Form::RecursiveCall, Access::Answers),
        Action::Call(_) => (Form::Call, Access::Answers),
    }
}

impl Evaluator<'_> {
    /// An error of a budget with its place: the rule and the clause.
    pub(super) fn located(&self, program: &Program, error: QueryError) -> QueryError {
        match self.meter.doing {
            _ if !matches!(error, QueryError::Budget { .. } | QueryError::Stopped { .. }) => error,
            Doing::Inputs => error.at("the inputs".to_owned(), None),
            Doing::Result => error.at("the result".to_owned(), None),
            Doing::Pull(pattern) => {
                let is_it = |element: &FindElement| match element {
                    FindElement::Pull { pattern: other, .. } => *other == pattern,
                    _ => false,
                };
                let column = program.find.iter().position(is_it).map_or(0, |column| column + 1);
                error.at(format!("the pull pattern of column {column}"), None)
            }
            Doing::Search(rule) => {
                let (definition, goal) = self.program.recursive_call(rule);
                self.located_in(Some((rule, definition)), goal, error)
            }
            Doing::Body { of, goal } => self.located_in(of, goal, error),
        }
    }

    /// An error in a goal of a rule's definition, or of the query's own body.
    fn located_in(
        &self,
        of: Option<(RuleId, u32)>,
        goal: Option<u32>,
        error: QueryError,
    ) -> QueryError {
        let rules = &self.program.rules;
        let (name, scope, body) = match of {
            None => ("the query".to_owned(), &self.program.scope, &self.program.body),
            Some((rule, definition)) => {
                let rule = &rules[rule.index()];
                let FlatDefinition { scope, body, .. } = &rule.definitions[definition as usize];
                (format!("rule {}", rule.name), scope, body)
            }
        };
        match goal {
            None => error.at(name, None),
            Some(goal) => {
                let text = GoalText { scope, rules }.goals(body, &[goal]);
                error.at(format!("{name}, clause {text}"), Some(body[goal as usize].id))
            }
        }
    }
}
