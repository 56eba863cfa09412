//! How a live query is kept up, as plain data: its tier, and for each kind of change the plan that
//! follows it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Tier;
use super::attributes::Attributes;
use super::delta_plan::{AttributePlace, Find, Op, OpKind, Place, Polarity, Src, Start};
use super::goals::RelationId;
use super::shape::{PlanStart, Shape};
use crate::intern::{Cell, Dictionary};

/// How a live query is kept up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveProfile {
    /// Its tier.
    pub tier: Tier,
    /// The variables of its parameters: inputs, then constants.
    pub parameters: Vec<String>,
    /// How many instances share the plans.
    pub n_instances: u64,
    /// One for each place that reads facts, or rows of a rule that recurses.
    pub deltas: Vec<DeltaProfile>,
    /// How a row is looked up on the other side.
    pub verified_by: Vec<String>,
    /// What is made of rows, and what is kept for it.
    pub result: String,
}

/// What follows a change of a fact, or of a row of a rule that recurses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaProfile {
    /// The fact.
    pub fact: String,
    /// What its coming does to rows.
    pub effect: String,
    /// Look-ups, in their order.
    pub steps: Vec<String>,
}

impl fmt::Display for LiveProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tier {}; instances: {}", self.tier.name(), self.n_instances)?;
        if !self.parameters.is_empty() {
            writeln!(f, "parameters {}", self.parameters.join(" "))?;
        }
        for delta in &self.deltas {
            writeln!(f, "when {} comes: {}", delta.fact, delta.effect)?;
            write_steps(f, &delta.steps)?;
        }
        if !self.verified_by.is_empty() {
            writeln!(f, "a row is looked up on the other side by")?;
            write_steps(f, &self.verified_by)?;
        }
        writeln!(f, "result: {}", self.result)
    }
}

fn write_steps(f: &mut fmt::Formatter<'_>, steps: &[String]) -> fmt::Result {
    for (step, number) in steps.iter().zip(1..) {
        writeln!(f, "  {number}. {step}")?;
    }
    Ok(())
}

/// What is kept up by evaluating again.
pub(super) fn of_rerun() -> LiveProfile {
    LiveProfile {
        tier: Tier::Rerun,
        parameters: Vec::new(),
        n_instances: 1,
        deltas: Vec::new(),
        verified_by: Vec::new(),
        result: "evaluated again when something it read has changed".to_owned(),
    }
}

/// What a shape with plans does.
pub(super) fn of_shape(
    shape: &Shape,
    attributes: &Attributes,
    dictionary: &Dictionary,
) -> LiveProfile {
    let text = Text { shape, attributes, dictionary };
    let plans = shape.plans.as_ref().expect("planned before it is told of");
    let deltas = shape.occurrences.iter().zip(&plans.deltas).map(|(occurrence, plan)| {
        let fact = match (&plan.start, &occurrence.start) {
            (PlanStart::Fact { attribute, places }, _) => {
                let [entity, value] = places.map(|place| text.place(place));
                format!("[{entity} {} {value}]", text.attribute(*attribute))
            }
            (PlanStart::Derived(places), Start::Derived { relation, .. }) => {
                format!("({} {})", text.rule(*relation), text.places(places))
            }
            _ => unreachable!("plans begin as their occurrences do"),
        };
        let effect = match (occurrence.polarity, occurrence.flip) {
            (Polarity::Both, _) => "rows may come and go",
            (Polarity::Positive, false) | (Polarity::Negative, true) => "rows may come",
            (Polarity::Positive, true) | (Polarity::Negative, false) => "rows may go",
        };
        DeltaProfile { fact, effect: effect.to_owned(), steps: text.steps(&plan.ops) }
    });
    LiveProfile {
        tier: shape.tier(),
        parameters: shape.param_vars.iter().map(|var| text.var(var.0)).collect(),
        n_instances: shape.instances.iter().flatten().count() as u64,
        deltas: deltas.collect(),
        verified_by: text.steps(&plans.exists),
        result: shape.finish.text().to_owned(),
    }
}

struct Text<'t> {
    shape: &'t Shape,
    attributes: &'t Attributes,
    dictionary: &'t Dictionary,
}

impl Text<'_> {
    fn var(&self, reg: u32) -> String {
        match self.shape.query.stratified().scope.names.get(reg as usize) {
            Some(name) => format!("?{name}"),
            None => format!("?_{reg}"),
        }
    }

    fn cell(&self, cell: Cell) -> String {
        self.dictionary.value(cell).to_string()
    }

    fn src(&self, src: Src) -> String {
        match src {
            Src::Reg(reg) => self.var(reg),
            Src::Cell(cell) => self.cell(cell),
        }
    }

    fn place(&self, place: Place) -> String {
        match place {
            Place::Known(src) => self.src(src),
            Place::Free(reg) => self.var(reg),
            Place::Blank => "_".to_owned(),
        }
    }

    fn attribute(&self, attribute: AttributePlace) -> String {
        match attribute {
            AttributePlace::Const(number) => format!(":{}", self.attributes.get(number)),
            AttributePlace::Place(place) => self.place(place),
        }
    }

    /// The name of the rule that a relation keeps.
    fn rule(&self, relation: RelationId) -> &str {
        let seed = self.shape.seeds.iter().find(|seed| seed.answers == relation);
        let rule = seed.expect("every relation that a query reads is one it asked for").rule;
        &self.shape.query.stratified().rules[rule.index()].name
    }

    fn srcs(&self, srcs: &[Src]) -> String {
        srcs.iter().map(|src| self.src(*src)).collect::<Vec<_>>().join(" ")
    }

    fn places(&self, places: &[Place]) -> String {
        places.iter().map(|place| self.place(*place)).collect::<Vec<_>>().join(" ")
    }

    fn steps(&self, ops: &[Op]) -> Vec<String> {
        ops.iter().map(|op| self.step(op)).collect()
    }

    fn step(&self, op: &Op) -> String {
        let text = match &op.kind {
            OpKind::Pattern { attribute, entity, value } => {
                let by = match (entity, value) {
                    (Place::Known(_), Place::Known(_)) => "that fact",
                    (Place::Known(_), _) => "by entity",
                    (_, Place::Known(_)) => "by value",
                    _ => "all facts",
                };
                let [entity, value] = [*entity, *value].map(|place| self.place(place));
                format!("[{entity} {} {value}] {by}", self.attribute(*attribute))
            }
            OpKind::Predicate { function, args } => {
                format!("[({} {})]", function.name(), self.srcs(args))
            }
            OpKind::Function { function, args, out } => {
                format!("[({} {}) {}]", function.name(), self.srcs(args), self.place(*out))
            }
            OpKind::Ground { rows, out } => {
                format!("{} rows of constants for {}", rows.len(), self.places(out))
            }
            OpKind::Missing { attribute, entity } => {
                format!("[(missing? $ {} {})]", self.src(*entity), self.attribute(*attribute))
            }
            OpKind::GetElse { attribute, entity, default, out } => format!(
                "[(get-else $ {} {} {}) {}]",
                self.src(*entity),
                self.attribute(*attribute),
                self.src(*default),
                self.place(*out)
            ),
            OpKind::AnyOf(branches) => format!("any of {}", self.branches(branches)),
            OpKind::NoneOf(branches) => format!("none of {}", self.branches(branches)),
            OpKind::Derived { find, negated } => {
                let not = if *negated { "no " } else { "" };
                format!("{not}row ({} {})", self.rule(find.relation), self.places(&find.args))
            }
            OpKind::Params { find, .. } => match find {
                Find::Index { key, .. } => format!("parameters by {}", self.srcs(key)),
                Find::Beyond { than, is_above, .. } => {
                    let side = if *is_above { "above" } else { "below" };
                    format!("parameters {side} {}", self.src(*than))
                }
                Find::Holding { value, .. } => {
                    format!("parameters whose interval holds {}", self.src(*value))
                }
                Find::All => "all parameters".to_owned(),
            },
        };
        if op.flip { format!("{text}, on the other side") } else { text }
    }

    fn branches(&self, branches: &[Vec<Op>]) -> String {
        let branches = branches.iter().map(|ops| format!("({})", self.steps(ops).join(", ")));
        branches.collect::<Vec<_>>().join(" ")
    }
}
