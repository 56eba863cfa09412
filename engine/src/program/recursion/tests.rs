//! What is read as a path between relations, and what must not be.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::ids::Name;
use crate::program::functions::Function;
use crate::program::raw::ClauseId;
use crate::program::strata;

const X: Term = Term::Var(Var(0));
const Y: Term = Term::Var(Var(1));
const M: Term = Term::Var(Var(2));
const N: Term = Term::Var(Var(3));
/// The rule in question, and one beside it.
const UP: u32 = 0;
const OTHER: u32 = 1;

fn goal(kind: GoalKind) -> Goal {
    Goal { id: ClauseId(0), kind }
}

fn name_of(text: &str) -> Attribute {
    Attribute::new(format!("n/{text}")).unwrap()
}

fn fact(entity: Term, attribute: &str, value: Term) -> Goal {
    goal(GoalKind::Pattern { entity, attribute: AttributeTerm::Const(name_of(attribute)), value })
}

fn call(rule: u32, a: Term, b: Term) -> Goal {
    goal(GoalKind::Call { rule: RuleId(rule), args: vec![a, b], negated: false })
}

fn differ(a: Term, b: Term) -> Goal {
    goal(GoalKind::Predicate { function: Function::NotEqual, args: vec![a, b] })
}

fn rule(name: &str, bodies: Vec<Vec<Goal>>) -> FlatRule {
    let names = ["x", "y", "m", "n"].map(|name| Name::new(name).unwrap()).to_vec();
    let definition = |body| FlatDefinition {
        head: vec![Var(0), Var(1)],
        scope: Scope { names: names.clone() },
        body,
    };
    let definitions = bodies.into_iter().map(definition).collect();
    FlatRule {
        name: name.to_owned(),
        is_named: true,
        arity: 2,
        needed: BTreeSet::new(),
        definitions,
    }
}

/// What the first rule is read as, with the names of rules; `-` if it is not recognized.
fn read_rules(mut rules: Vec<FlatRule>, n_named: usize) -> String {
    let n_rules = rules.len();
    let strata = strata::of_flat(&rules);
    let recursions = recognize(&mut rules, &strata, n_named);
    assert_eq!(recursions.len(), rules.len());
    match &recursions[UP as usize] {
        Some(recursion) => RecursionText { recursion, rules: &rules }.to_string(),
        None => {
            assert_eq!(rules.len(), n_rules, "no step is left behind");
            "-".to_owned()
        }
    }
}

fn read(bodies: Vec<Vec<Goal>>) -> String {
    read_rules(vec![rule("up", bodies)], 1)
}

fn base() -> Vec<Goal> {
    vec![fact(X, "e", Y)]
}

#[test]
fn a_closure_is_one_however_it_is_written() {
    let right = vec![fact(X, "e", M), call(UP, M, Y)];
    let left = vec![fact(M, "e", Y), call(UP, X, M)];
    let doubled = vec![call(UP, M, Y), call(UP, X, M)];
    let itself = vec![call(UP, X, Y)];
    for step in [&right, &left, &doubled] {
        let text = read(vec![base(), step.clone()]);
        assert_eq!(text, "transitive closure of :n/e");
        assert_eq!(read(vec![step.clone(), itself.clone(), base()]), text);
    }
    assert_eq!(read(vec![right, base(), left, doubled]), "transitive closure of :n/e");
    let back = vec![vec![fact(Y, "e", X)], vec![call(UP, X, M), fact(Y, "e", M)]];
    assert_eq!(read(back), "transitive closure of :n/e reversed");
}

#[test]
fn base_and_steps_may_differ() {
    let left = vec![vec![fact(X, "b", Y)], vec![call(UP, X, M), fact(M, "e", Y)]];
    assert_eq!(read(left), ":n/b, then any steps of :n/e");
    let right = vec![vec![fact(X, "b", Y)], vec![fact(X, "e", M), call(UP, M, Y)]];
    assert_eq!(read(right.clone()), "any steps of :n/e, then :n/b");
    let mut both = right.clone();
    both.push(vec![call(UP, X, M), fact(M, "f", Y)]);
    let text = ":n/b, or itself between :n/e and nothing, or itself between nothing and :n/f";
    assert_eq!(read(both), text);
    // Both sides together step over all of the base, or only one after the other over parts.
    let (e, f) = (vec![fact(X, "e", Y)], vec![fact(X, "f", Y)]);
    let by_e = vec![fact(X, "e", M), call(UP, M, Y)];
    let by_f = vec![call(UP, X, M), fact(M, "f", Y)];
    let parts = read(vec![e.clone(), f.clone(), by_e.clone(), by_f.clone()]);
    assert!(parts.starts_with(":n/e or :n/f, or itself between"), "{parts}");
    let also_by_f = vec![fact(X, "f", M), call(UP, M, Y)];
    let whole = read(vec![e, f, by_e, also_by_f, by_f]);
    assert_eq!(whole, "transitive closure of :n/e or :n/f");
    // A doubled recursion closes over the base; steps of anything else do not fit.
    let mut doubled = right;
    doubled.push(vec![call(UP, X, M), call(UP, M, Y)]);
    assert_eq!(read(doubled), "-");
}

#[test]
fn relations_may_have_names_and_bodies() {
    let bodies = vec![vec![call(OTHER, X, Y)], vec![call(OTHER, X, M), call(UP, M, Y)]];
    let other = rule("other", vec![vec![fact(Y, "e", X)], vec![fact(X, "f", Y)]]);
    let text = read_rules(vec![rule("up", bodies.clone()), other], 2);
    assert_eq!(text, "transitive closure of :n/e reversed or :n/f");
    let other = rule("other", vec![vec![fact(X, "e", M), fact(M, "e", Y)]]);
    assert_eq!(read_rules(vec![rule("up", bodies), other], 2), "transitive closure of (other)");
    // The same body under other names of variables is the same step.
    let filtered =
        |from: Term, to: Term| vec![fact(from.clone(), "e", to.clone()), differ(from, to)];
    let step = [filtered(X, N), vec![call(UP, N, Y)]].concat();
    assert_eq!(read(vec![filtered(X, Y), step]), "transitive closure of (a step of up)");
    // An `or` that is a whole body is read as definitions.
    let or = rule("or", vec![base(), vec![fact(X, "e", M), call(UP, M, Y)]]);
    let text = read_rules(vec![rule("up", vec![vec![call(OTHER, X, Y)]]), or], 1);
    assert_eq!(text, "transitive closure of :n/e");
}

#[test]
fn what_leads_around_both_ends_is_linear() {
    let siblings = vec![fact(X, "e", M), fact(Y, "e", M)];
    let cousins = vec![fact(X, "e", M), call(UP, M, N), fact(Y, "e", N)];
    let text = "(a step of up), or itself between :n/e and :n/e reversed";
    assert_eq!(read(vec![siblings, cousins]), text);
}

#[test]
fn what_is_no_path_is_left_alone() {
    let step = || vec![fact(X, "e", M), call(UP, M, Y)];
    let with = |goal: Goal| read(vec![base(), [step(), vec![goal]].concat()]);
    assert_eq!(with(differ(X, Y)), "-", "a filter over both ends");
    assert_eq!(with(fact(Y, "f", X)), "-", "a fact over both ends");
    assert_eq!(with(differ(M, Y)), "-", "a filter within the recursion");
    assert_eq!(with(call(UP, Y, X)), "-", "two calls that are no chain");
    let constant = || Term::Const(crate::value::Value::int(1));
    for body in [
        vec![fact(X, "e", M), call(UP, Y, M)],
        vec![call(UP, Y, X)],
        vec![fact(X, "e", M), call(UP, M, constant()), fact(M, "f", Y)],
        vec![fact(X, "e", M), call(UP, M, Term::Blank), fact(M, "f", Y)],
        vec![fact(X, "e", M), call(UP, M, M), fact(M, "f", Y)],
        vec![call(UP, X, M), call(UP, M, N), call(UP, N, Y)],
        vec![call(UP, X, M), call(UP, M, Y), fact(M, "f", N)],
        // The two sides know of each other, or something of neither.
        vec![fact(X, "e", M), call(UP, M, N), fact(Y, "e", N), differ(X, Y)],
        vec![fact(X, "e", M), call(UP, M, N), fact(Y, "e", N), fact(constant(), "e", constant())],
    ] {
        assert_eq!(read(vec![base(), body.clone()]), "-", "{body:?}");
    }
    assert_eq!(read(vec![base()]), "-", "no recursion");
    assert_eq!(read(vec![base(), vec![call(UP, X, Y)]]), "-", "nothing is carried on");
}

#[test]
fn rules_that_recurse_by_each_other_are_left_alone() {
    let up = rule("up", vec![base(), vec![fact(X, "e", M), call(OTHER, M, Y)]]);
    let other = rule("other", vec![vec![call(UP, X, Y)]]);
    assert_eq!(read_rules(vec![up, other], 2), "-");
}

/// `(up ?x ?y) (up ?m ?y) [(+ ?m 1) ?x]` goes from the end backwards only.
#[test]
fn a_step_that_needs_bindings_is_left_alone() {
    let one = Term::Const(crate::value::Value::int(1));
    let next = goal(GoalKind::Function { function: Function::Add, args: vec![M, one], out: X });
    assert_eq!(read(vec![base(), vec![call(UP, M, Y), next]]), "-");
}
