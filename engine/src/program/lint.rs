//! Warnings about valid programs: what they say may not be what was meant.
//!
//! Two things can be seen without data. *Merged values*: an answer is a set, so `(sum ?likes)`
//! over posts adds equal likes once unless the posts are kept apart by `:with`. *Endless
//! recursion*: a rule that computes new values from those it found before may find new ones for
//! ever. What depends on the facts (unknown attributes, strings where there are references only)
//! is warned about where the snapshot is at hand. A warning changes no answer.
//!
//! The second is the graph of argument positions of rules that recurse together, with an edge
//! where a value goes from one to another, marked where a function makes a new one of it: only a
//! cycle through a marked edge can make infinitely many (Bancilhon & Ramakrishnan, *An amateur's
//! introduction to recursive query processing strategies*, 1986, §2; and as weak acyclicity:
//! Fagin et al., *Data exchange*, 2005).

use std::collections::{BTreeMap, BTreeSet};

use super::safety::entity_vars;
use super::strata::recursive_components;
use super::{
    Aggregate, Atom, Body, Clause, Definition, FindElement, InputShape, Program, RuleId, Term, Var,
    VarSet,
};

/// Everything worth a warning, in the order of the program.
pub(super) fn warnings(program: &Program) -> Vec<String> {
    merged_values(program).into_iter().chain(endless_recursion(program)).collect()
}

/// The clauses that hold where a body holds, those of alternatives included.
fn positive(body: &Body) -> Vec<&Clause> {
    let mut clauses = Vec::new();
    for clause in &body.clauses {
        match &clause.atom {
            Atom::Or { branches, .. } => clauses.extend(branches.iter().flat_map(positive)),
            Atom::Not { .. } => {}
            _ => clauses.push(clause),
        }
    }
    clauses
}

// ---- merged values ----

/// Whether equal values matter to an aggregate.
fn counts_equals(function: Aggregate, n: Option<usize>) -> bool {
    match function {
        Aggregate::Count
        | Aggregate::Sum
        | Aggregate::Avg
        | Aggregate::Median
        | Aggregate::Variance
        | Aggregate::Stddev => true,
        Aggregate::Min | Aggregate::Max => n.is_some(),
        Aggregate::CountDistinct | Aggregate::Distinct | Aggregate::Sample | Aggregate::Rand => {
            false
        }
    }
}

fn merged_values(program: &Program) -> Vec<String> {
    let kept: VarSet =
        program.find.iter().map(FindElement::var).chain(program.with.iter().copied()).collect();
    let scalars = program.inputs.iter().filter(|input| {
        matches!(input, InputShape::Scalar(_) | InputShape::Tuple(_)) // one value each
    });
    let fixed: VarSet =
        scalars.flat_map(InputShape::columns).map(|column| column.var).chain(kept).collect();
    let entities = entity_vars(&program.body, &program.rules);
    let holders = Holders { program, clauses: positive(&program.body), entities: &entities };
    let mut warnings = Vec::new();
    for element in &program.find {
        let FindElement::Aggregate { function, n, var } = element else { continue };
        if !counts_equals(*function, *n) || entities.contains(var) {
            continue;
        }
        let mut held_by = BTreeSet::new();
        holders.collect(*var, &mut VarSet::new(), &mut held_by);
        let is_fixed = |holder: &Option<Var>| holder.is_some_and(|var| fixed.contains(&var));
        if held_by.is_empty() || held_by.iter().any(is_fixed) {
            continue;
        }
        let name = |var: &Var| format!("?{}", program.scope.names[var.column()]);
        let (function, var) = (function.name(), name(var));
        let n = n.map(|n| format!("{n} ")).unwrap_or_default();
        let (holder, remedy) = match held_by.iter().flatten().next().map(name) {
            Some(holder) => (holder.clone(), format!("add :with {holder} to take each")),
            None => ("entity".to_owned(), "name it instead of _ and add it to :with".to_owned()),
        };
        let instead = match function {
            "count" => ", or write count-distinct if that is meant",
            _ => "",
        };
        warnings.push(format!(
            "({function} {n}{var}) takes equal values of {var} once, whichever {holder} has them; \
             {remedy}{instead}"
        ));
    }
    warnings
}

/// Finds the entities that have a value.
struct Holders<'p> {
    program: &'p Program,
    clauses: Vec<&'p Clause>,
    entities: &'p VarSet,
}

impl Holders<'_> {
    /// The entities that a variable's value is a field of, or is computed from; none for `_`.
    fn collect(&self, var: Var, seen: &mut VarSet, found: &mut BTreeSet<Option<Var>>) {
        if !seen.insert(var) {
            return;
        }
        if self.entities.contains(&var) {
            found.insert(Some(var));
            return;
        }
        let is = |term: &Term| term.var() == Some(var);
        for clause in &self.clauses {
            match &clause.atom {
                Atom::Pattern { entity: Term::Const(_), .. }
                | Atom::GetElse { entity: Term::Const(_), .. } => {}
                Atom::Pattern { entity, value, .. } if is(value) => {
                    found.insert(entity.var());
                }
                Atom::GetElse { entity, out, .. } if is(out) => found.extend([entity.var()]),
                Atom::Function { args, out, .. } if is(out) => {
                    for arg in args.iter().filter_map(Term::var) {
                        self.collect(arg, seen, found);
                    }
                }
                Atom::Rule { rule, args } if args.iter().any(is) => {
                    let columns = &self.program.rules[rule.index()].entity_columns;
                    found.extend(columns.iter().map(|column| args[*column].var()));
                }
                _ => {}
            }
        }
    }
}

// ---- endless recursion ----

/// An argument of a rule.
type Position = (RuleId, usize);

/// Values go from one position to another; those that a function makes on the way carry the
/// variable that they are bound to.
#[derive(Default)]
struct Flow(BTreeMap<Position, BTreeSet<(Position, Option<Made>)>>);

/// A variable of a definition that a function binds.
type Made = (RuleId, String);

impl Flow {
    fn add(&mut self, from: Position, to: Position, made: Option<Made>) {
        self.0.entry(from).or_default().insert((to, made));
    }

    fn reaches(&self, from: Position, to: Position) -> bool {
        let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
        while let Some(position) = open.pop() {
            if position == to {
                return true;
            }
            let next = self.0.get(&position).into_iter().flatten().map(|(next, _)| *next);
            open.extend(next.filter(|next| seen.insert(*next)));
        }
        false
    }

    /// What is made on a cycle.
    fn made_again_and_again(&self) -> BTreeSet<Made> {
        let edges = self.0.iter().flat_map(|(from, to)| to.iter().map(move |edge| (*from, edge)));
        edges
            .filter_map(|(from, (to, made))| made.clone().filter(|_| self.reaches(*to, from)))
            .collect()
    }
}

fn endless_recursion(program: &Program) -> Vec<String> {
    let component_of = recursive_components(program);
    // Rows go from a call to the head; what is asked for goes from the head to a call.
    let (mut up, mut down) = (Flow::default(), Flow::default());
    for (index, rule) in program.rules.iter().enumerate() {
        let caller = RuleId(index as u32);
        let Some(component) = component_of[index] else { continue };
        let is_together = |rule: RuleId| component_of[rule.index()] == Some(component);
        for definition in &rule.definitions {
            let origins = Origins::of(definition, &is_together);
            let calls = origins.clauses.iter().filter_map(|clause| match &clause.atom {
                Atom::Rule { rule, args } if is_together(*rule) => Some((*rule, args)),
                _ => None,
            });
            for (callee, args) in calls {
                for (column, arg) in args.iter().enumerate() {
                    let Some(arg) = arg.var() else { continue };
                    for (place, head) in definition.head.iter().enumerate() {
                        let (inside, outside) = ((callee, column), (caller, place));
                        for made in origins.ways(*head, arg) {
                            up.add(inside, outside, made.map(|name| (caller, name)));
                        }
                        for made in origins.ways(arg, *head) {
                            down.add(outside, inside, made.map(|name| (caller, name)));
                        }
                    }
                }
            }
        }
    }
    let made: BTreeSet<Made> =
        up.made_again_and_again().into_iter().chain(down.made_again_and_again()).collect();
    made.into_iter()
        .map(|(rule, name)| {
            format!(
                "rule {} makes new values of ?{name} in its recursion: it ends only where a \
                 condition on ?{name} ends it, or a pattern that binds it",
                program.rules[rule.index()].name
            )
        })
        .collect()
}

/// What the variables of a definition are computed from.
struct Origins<'d> {
    definition: &'d Definition,
    clauses: Vec<&'d Clause>,
    /// Variables whose values come from facts, constants or complete rules: finitely many.
    finite: VarSet,
}

impl<'d> Origins<'d> {
    fn of(definition: &'d Definition, is_together: &impl Fn(RuleId) -> bool) -> Origins<'d> {
        let clauses = positive(&definition.body);
        let mut finite = VarSet::new();
        for clause in &clauses {
            match &clause.atom {
                Atom::Pattern { .. } | Atom::Ground { .. } => finite.extend(clause.atom.binds()),
                Atom::GetElse { out, default: Term::Const(_), .. } => finite.extend(out.var()),
                Atom::Rule { rule, args } if !is_together(*rule) => {
                    finite.extend(args.iter().filter_map(Term::var));
                }
                _ => {}
            }
        }
        Origins { definition, clauses, finite }
    }

    /// How the values of one variable come from another: as they are, or through a function that
    /// binds the variable named.
    fn ways(&self, var: Var, from: Var) -> Vec<Option<String>> {
        let mut ways = Vec::new();
        self.collect(var, from, None, &mut VarSet::new(), &mut ways);
        ways
    }

    fn collect(
        &self,
        var: Var,
        from: Var,
        made: Option<Var>,
        seen: &mut VarSet,
        ways: &mut Vec<Option<String>>,
    ) {
        if self.finite.contains(&var) || !seen.insert(var) {
            return;
        }
        if var == from {
            let name = |var: Var| self.definition.scope.names[var.column()].to_string();
            ways.push(made.map(name));
        }
        for clause in &self.clauses {
            let Atom::Function { function, args, out } = &clause.atom else { continue };
            if out.var() == Some(var) {
                let made = made.or_else(|| function.makes_values().then_some(var));
                for arg in args.iter().filter_map(Term::var) {
                    self.collect(arg, from, made, seen, ways);
                }
            }
        }
    }
}
