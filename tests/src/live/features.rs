//! What a program and a history are made of, by name: so that a run can show what it has tried.

use std::collections::BTreeSet;

use tercet_engine::db::LiveLimits;
use tercet_engine::fact::Op;
use tercet_engine::program::raw::{RawFindElement, RawInput, RawPullItem, RawPullNested, RawTerm};

use super::{Fate, Step, Trial};
use crate::generate::program::Case;
use crate::tree::{Clause, Names, Program, Rule, variables};
use tercet_engine::value::Value;

/// Names of what was tried.
pub type Features = BTreeSet<&'static str>;

/// What a program is made of.
pub fn of_case(case: &Case) -> Features {
    let mut found = Features::new();
    let program = &case.program;
    let reached = reached(&case.program.rules, &program.body);
    let rules = program.rules.iter().filter(|rule| reached.contains(&rule.name));
    let rules = rules.collect::<Vec<_>>();
    let given: Names = program.frame.inputs.iter().flat_map(input_names).collect();
    of_body(&program.body, &given, &mut found);
    for rule in &rules {
        of_body(&rule.body, &given, &mut found);
        of_rule(rule, &program.rules, &mut found);
    }
    let bodies = rules.iter().map(|rule| &rule.body).chain([&program.body]);
    let negated = bodies.flat_map(|body| called_in_not(body)).collect::<Names>();
    if negated.iter().any(|name| is_recursive(name, &program.rules)) {
        found.insert("negation over recursion");
    }
    of_frame(case, &mut found);
    found
}

fn of_frame(case: &Case, found: &mut Features) {
    let frame = &case.program.frame;
    let mut mark = |name, holds: bool| {
        if holds {
            found.insert(name);
        }
    };
    for input in &frame.inputs {
        match input {
            RawInput::Scalar(_) | RawInput::Tuple(_) => mark("input: scalar", true),
            RawInput::Collection(_) => mark("input: collection", true),
            RawInput::Relation(_) => mark("input: relation", true),
            RawInput::Rules => {}
        }
    }
    let is_aggregate =
        |element: &RawFindElement| matches!(element, RawFindElement::Aggregate { .. });
    for element in &frame.find {
        match element {
            RawFindElement::Aggregate { function, .. } => {
                let is_extreme = ["min", "max"].contains(&function.as_str());
                mark(if is_extreme { "aggregate: min, max" } else { "aggregate: others" }, true);
            }
            RawFindElement::Pull { .. } => mark("pull", true),
            RawFindElement::Variable(_) => {}
        }
    }
    let has_groups = frame.find.iter().any(is_aggregate);
    mark("having", !frame.having.is_empty());
    mark("order", !frame.order_by.is_empty());
    mark("limit", frame.limit.is_some());
    mark("offset", frame.offset > 0);
    mark("after", !frame.after.is_empty());
    let by_group = |element: u32| frame.find.get(element as usize).is_some_and(is_aggregate);
    let is_by_group = frame.order_by.iter().any(|key| by_group(key.element));
    mark("limit by an aggregate", is_by_group && frame.limit.is_some());
    let found_names = frame.find.iter().map(|element| match element {
        RawFindElement::Variable(variable)
        | RawFindElement::Aggregate { variable, .. }
        | RawFindElement::Pull { variable, .. } => variable,
    });
    let kept = found_names.chain(&frame.with).cloned().collect::<Names>();
    let bound = case.program.body.iter().flat_map(Clause::variables).collect::<Names>();
    mark("projection", !has_groups && !bound.is_subset(&kept));
    for item in frame.pulls.iter().flat_map(|pull| &pull.items) {
        let RawPullItem::Attribute { reverse, limit, default, nested, .. } = item else {
            mark("pull: *", true);
            continue;
        };
        mark("pull: reverse", *reverse);
        mark("pull: limit", limit.is_some());
        mark("pull: default", default.is_some());
        mark("pull: nested", matches!(nested, RawPullNested::Pattern(_)));
        mark("pull: recursion", matches!(nested, RawPullNested::Recursion(_)));
    }
}

fn input_names(input: &RawInput) -> Vec<tercet_engine::ids::Name> {
    match input {
        RawInput::Scalar(name) | RawInput::Collection(name) => vec![name.clone()],
        RawInput::Tuple(names) | RawInput::Relation(names) => {
            names.iter().flatten().cloned().collect()
        }
        RawInput::Rules => Vec::new(),
    }
}

fn of_body(body: &[Clause], given: &Names, found: &mut Features) {
    let mut attributes = Vec::new();
    for clause in body {
        let feature = match clause {
            Clause::Pattern { entity, attribute, value } => {
                if matches!(attribute, RawTerm::Variable(_) | RawTerm::Blank) {
                    found.insert("attribute variable");
                }
                if attributes.contains(&attribute) {
                    found.insert("self-join");
                }
                attributes.push(attribute);
                let is_constant = |term: &RawTerm| matches!(term, RawTerm::Constant(_));
                (is_constant(entity) || is_constant(value)).then_some("constant")
            }
            Clause::Predicate { function, args } => match function.as_str() {
                "missing?" => Some("missing?"),
                "<" | "<=" | ">" | ">=" if variables(args).any(|name| given.contains(name)) => {
                    Some("range by an input")
                }
                "<" | "<=" | ">" | ">=" => Some("range"),
                _ => Some("predicate"),
            },
            Clause::Function { function, .. } if function.as_str() == "get-else" => {
                Some("get-else")
            }
            Clause::Function { .. } => Some("function"),
            Clause::Rule { .. } => Some("rule"),
            Clause::Not { join: None, .. } => Some("not"),
            Clause::Not { join: Some(_), .. } => Some("not-join"),
            Clause::Or { join: None, .. } => Some("or"),
            Clause::Or { join: Some(_), .. } => Some("or-join"),
        };
        found.extend(feature);
        clause.bodies().iter().for_each(|inner| of_body(inner, given, found));
    }
}

/// How often a rule calls its own component decides its form.
fn of_rule(rule: &Rule, rules: &[Rule], found: &mut Features) {
    if !is_recursive(&rule.name, rules) {
        return;
    }
    let mut calls = Vec::new();
    calls_of(&rule.body, &mut calls);
    let together = |name: &tercet_engine::ids::Name| {
        reached_from(name, rules).contains(&rule.name)
            && reached_from(&rule.name, rules).contains(name)
    };
    let companions = calls.iter().filter(|name| together(name)).collect::<Vec<_>>();
    if companions.iter().any(|name| **name != rule.name) {
        found.insert("recursion: mutual");
    }
    match companions.len() {
        0 => {}
        1 => drop(found.insert("recursion: linear")),
        _ => drop(found.insert("recursion: non-linear")),
    }
    let has_not = rule.body.iter().any(|clause| match clause {
        Clause::Predicate { function, .. } => function.as_str() == "missing?",
        clause => matches!(clause, Clause::Not { .. }),
    });
    if has_not {
        found.insert("negation under recursion");
    }
}

fn calls_of(body: &[Clause], calls: &mut Vec<tercet_engine::ids::Name>) {
    for clause in body {
        if let Clause::Rule { rule, .. } = clause {
            calls.push(rule.clone());
        }
        clause.bodies().iter().for_each(|inner| calls_of(inner, calls));
    }
}

fn called_in_not(body: &[Clause]) -> Vec<tercet_engine::ids::Name> {
    let mut names = Vec::new();
    for clause in body {
        match clause {
            Clause::Not { body, .. } => calls_of(body, &mut names),
            clause => {
                names.extend(clause.bodies().iter().flat_map(|inner| called_in_not(inner)));
            }
        }
    }
    names
}

/// The rules that a conjunction calls, and those they call.
fn reached(rules: &[Rule], body: &[Clause]) -> Names {
    let mut calls = Vec::new();
    calls_of(body, &mut calls);
    let further = calls.iter().flat_map(|name| reached_from(name, rules)).collect::<Vec<_>>();
    calls.into_iter().chain(further).collect()
}

/// The rules that a rule calls, and those they call; itself only where it recurses.
fn reached_from(name: &tercet_engine::ids::Name, rules: &[Rule]) -> Names {
    let mut reached = Names::new();
    let mut waiting = vec![name.clone()];
    while let Some(name) = waiting.pop() {
        let mut calls = Vec::new();
        let definitions = rules.iter().filter(|rule| rule.name == name);
        definitions.for_each(|rule| calls_of(&rule.body, &mut calls));
        waiting.extend(calls.into_iter().filter(|call| reached.insert(call.clone())));
    }
    reached
}

fn is_recursive(name: &tercet_engine::ids::Name, rules: &[Rule]) -> bool {
    reached_from(name, rules).contains(name)
}

/// A program with all its constants alike, those that name attributes excepted.
fn shape(program: &Program) -> Program {
    fn wipe(body: &mut [Clause]) {
        for clause in body {
            let name = match clause {
                Clause::Pattern { attribute, .. } => Some(attribute.clone()),
                _ => None,
            };
            for term in clause.terms_mut() {
                if matches!(term, RawTerm::Constant(_)) {
                    *term = RawTerm::Constant(Value::Boolean(false));
                }
            }
            if let (Clause::Pattern { attribute, .. }, Some(name)) = (&mut *clause, name) {
                *attribute = name;
            }
            clause.bodies_mut().iter_mut().for_each(|inner| wipe(inner));
        }
    }
    let mut shape = program.clone();
    wipe(&mut shape.body);
    shape.rules.iter_mut().for_each(|rule| wipe(&mut rule.body));
    shape
}

/// What happens in a trial.
pub fn of_history(trial: &Trial) -> Features {
    let mut found = Features::new();
    let mut greatest = trial.start.iter().map(|it| it.hlc).max();
    let questions = &trial.questions;
    let shapes = questions.iter().map(|case| shape(&case.program)).collect::<Vec<_>>();
    let is_alike = |index: usize| {
        let mut before = shapes[..index].iter().zip(questions);
        before.any(|(shape, case)| *shape == shapes[index] && *case != questions[index])
    };
    if (0..questions.len()).any(is_alike) {
        found.insert("history: several of one shape");
    }
    if trial.limits.live.lookups != LiveLimits::default().lookups {
        found.insert("history: little work in one step");
    }
    if trial.limits.rows.is_some() {
        found.insert("history: little work in one evaluation");
    }
    let mut n_subscribed = vec![0; questions.len()];
    let mut has_published = false;
    for step in &trial.steps {
        let transactions = match step {
            Step::Subscribe(question) => {
                n_subscribed[*question] += 1;
                if n_subscribed[*question] == 2 {
                    found.insert("history: subscribed twice");
                }
                if has_published {
                    found.insert("history: subscribed in the middle");
                }
                continue;
            }
            Step::Unsubscribe(_) => {
                found.insert("history: unsubscribed");
                continue;
            }
            Step::Refresh(_) => {
                found.insert("history: refreshed");
                continue;
            }
            Step::Push(transaction) => {
                found.insert("history: pending");
                std::slice::from_ref(transaction)
            }
            Step::Publish { arrived, left } => {
                for (_, fate) in left {
                    found.insert(match fate {
                        Fate::Confirmed => "history: pending confirmed",
                        Fate::Rejected => "history: pending rejected",
                    });
                }
                if arrived.len() > 1 {
                    found.insert("history: several transactions at once");
                }
                arrived
            }
        };
        has_published = true;
        for transaction in transactions {
            if greatest.is_some_and(|greatest| transaction.hlc < greatest) {
                found.insert("history: late stamp");
            }
            greatest = greatest.max(Some(transaction.hlc));
            if transaction.ops.len() > 1 {
                found.insert("history: several operations");
            }
            for op in &transaction.ops {
                found.insert(match op {
                    Op::Set { .. } => "history: set",
                    Op::Unset { .. } => "history: unset",
                    Op::Add { .. } => "history: add",
                    Op::Remove { .. } => "history: remove",
                    Op::Delete { .. } => "history: delete",
                    Op::Restore { .. } => "history: restore",
                });
            }
        }
    }
    found
}
