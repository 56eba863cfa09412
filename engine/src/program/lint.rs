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

use super::functions::Function;
use super::safety::entity_vars;
use super::strata::{components, recursive_components};
use super::{
    Aggregate, Atom, Body, Clause, Definition, FindElement, InputShape, Program, RuleId, Term, Var,
    VarSet,
};
use crate::ids::Name;

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
    let holders = Holders::new(program, &entities);
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
    /// The clauses that bind each variable.
    binders: BTreeMap<Var, Vec<&'p Clause>>,
    entities: &'p VarSet,
}

impl<'p> Holders<'p> {
    fn new(program: &'p Program, entities: &'p VarSet) -> Holders<'p> {
        let mut binders: BTreeMap<Var, Vec<&Clause>> = BTreeMap::new();
        for clause in positive(&program.body) {
            for var in clause.atom.binds() {
                binders.entry(var).or_default().push(clause);
            }
        }
        Holders { program, binders, entities }
    }

    /// The entities that a variable's value is a field of, or is computed from; none for `_`.
    fn collect(&self, var: Var, seen: &mut VarSet, found: &mut BTreeSet<Option<Var>>) {
        if !seen.insert(var) {
            return;
        }
        if self.entities.contains(&var) {
            found.insert(Some(var));
            return;
        }
        for clause in self.binders.get(&var).into_iter().flatten() {
            match &clause.atom {
                Atom::Pattern { entity: Term::Const(_), .. }
                | Atom::GetElse { entity: Term::Const(_), .. } => {}
                Atom::Pattern { entity, value, .. } if value.var() == Some(var) => {
                    found.insert(entity.var());
                }
                Atom::GetElse { entity, .. } => {
                    found.insert(entity.var());
                }
                Atom::Function { args, .. } => {
                    for arg in args.iter().filter_map(Term::var) {
                        self.collect(arg, seen, found);
                    }
                }
                Atom::Rule { rule, args } => {
                    let columns = &self.program.rules[rule.index()].entity_columns;
                    found.extend(columns.iter().map(|column| args[*column].var()));
                }
                _ => {}
            }
        }
    }
}

// ---- endless recursion ----

/// An argument of a rule, by number: those of the first rule, then those of the next.
type Position = usize;

/// A variable of a rule that a function binds.
type Made = (RuleId, Name);

/// Where the variables of a definition stand as arguments.
type Places = BTreeMap<Var, Vec<Position>>;

/// How values go from one argument to another.
#[derive(Default)]
struct Flow {
    /// From, to, and what a function makes on the way.
    edges: BTreeSet<(Position, Position, Option<Made>)>,
}

impl Flow {
    /// The most edges that are looked at: a program with more is not warned about.
    const EDGES_MAX: usize = 10_000;

    fn is_full(&self) -> bool {
        self.edges.len() >= Flow::EDGES_MAX
    }

    /// What is made on a cycle: from one position to another that leads back.
    fn made_again_and_again(&self, n_positions: usize) -> BTreeSet<Made> {
        let mut next = vec![Vec::new(); n_positions];
        for (from, to, _) in &self.edges {
            next[*from].push(*to);
        }
        let component_of = components(next);
        let is_on_cycle = |from: &Position, to: &Position| component_of[*from] == component_of[*to];
        let made = self.edges.iter().filter(|(from, to, _)| is_on_cycle(from, to));
        made.filter_map(|(.., made)| made.clone()).collect()
    }
}

fn endless_recursion(program: &Program) -> Vec<String> {
    let component_of = recursive_components(program);
    let mut n_positions = 0;
    let mut first: Vec<Position> = Vec::with_capacity(program.rules.len());
    for rule in &program.rules {
        first.push(n_positions);
        n_positions += rule.arity;
    }
    // Rows go from a call to the head; what is asked for goes from the head to a call.
    let (mut up, mut down) = (Flow::default(), Flow::default());
    for (index, rule) in program.rules.iter().enumerate() {
        let Some(component) = component_of[index] else { continue };
        let is_together = |rule: RuleId| component_of[rule.index()] == Some(component);
        for definition in &rule.definitions {
            let origins = Origins::of(definition, RuleId(index as u32), &is_together);
            let mut outside = Places::new();
            for (column, var) in definition.head.iter().enumerate() {
                outside.entry(*var).or_default().push(first[index] + column);
            }
            let mut inside = Places::new();
            for (rule, args) in &origins.calls {
                for (column, var) in args.iter().enumerate() {
                    let Some(var) = var.var() else { continue };
                    inside.entry(var).or_default().push(first[rule.index()] + column);
                }
            }
            origins.flow(&inside, &outside, &mut up);
            origins.flow(&outside, &inside, &mut down);
        }
    }
    if up.is_full() || down.is_full() {
        return Vec::new();
    }
    let mut made = up.made_again_and_again(n_positions);
    made.extend(down.made_again_and_again(n_positions));
    let warning = |(rule, var): &Made| {
        let rule = &program.rules[rule.index()].name;
        format!(
            "rule {rule} makes new values of ?{var} in its recursion: it ends only where a \
             condition on ?{var} ends it, or a pattern that binds it"
        )
    };
    made.iter().map(warning).collect()
}

/// What the variables of a definition are computed from.
struct Origins<'d> {
    definition: &'d Definition,
    rule: RuleId,
    /// The calls that are part of the recursion.
    calls: Vec<(RuleId, &'d [Term])>,
    /// The functions that bind a variable, with their arguments.
    functions: BTreeMap<Var, Vec<(Function, &'d [Term])>>,
    /// Variables whose values come from facts, constants or complete rules: finitely many.
    finite: VarSet,
}

impl<'d> Origins<'d> {
    fn of(
        definition: &'d Definition,
        rule: RuleId,
        is_together: &impl Fn(RuleId) -> bool,
    ) -> Origins<'d> {
        let (calls, functions, finite) = (Vec::new(), BTreeMap::new(), VarSet::new());
        let mut origins = Origins { definition, rule, calls, functions, finite };
        for clause in positive(&definition.body) {
            match &clause.atom {
                Atom::Rule { rule, args } if is_together(*rule) => {
                    origins.calls.push((*rule, args));
                }
                Atom::Function { function, args, out } => {
                    let Some(out) = out.var() else { continue };
                    origins.functions.entry(out).or_default().push((*function, args));
                }
                Atom::GetElse { default: Term::Var(_), .. } => {}
                Atom::Predicate { .. } | Atom::Missing { .. } => {}
                atom => origins.finite.extend(atom.binds()),
            }
        }
        origins
    }

    /// Adds the ways by which values at some places come to others: as they are, or through
    /// functions.
    fn flow(&self, from: &Places, to: &Places, flow: &mut Flow) {
        for (var, targets) in to {
            let mut sources = BTreeSet::new();
            self.collect(*var, None, &mut sources);
            for (source, made) in sources {
                let made =
                    made.map(|var| (self.rule, self.definition.scope.names[var.column()].clone()));
                for start in from.get(&source).into_iter().flatten() {
                    for target in targets {
                        if flow.is_full() {
                            return;
                        }
                        flow.edges.insert((*start, *target, made.clone()));
                    }
                }
            }
        }
    }

    /// The variables that a variable is computed from, itself included, each with the one that a
    /// function makes on the way.
    fn collect(&self, var: Var, made: Option<Var>, sources: &mut BTreeSet<(Var, Option<Var>)>) {
        // One maker is enough: a variable is visited once as it is and once as made of something.
        let known = sources.range((var, None)..).take_while(|(source, _)| *source == var);
        let mut known = known.map(|(_, known)| known.is_some());
        if self.finite.contains(&var) || known.any(|known| known == made.is_some()) {
            return;
        }
        sources.insert((var, made));
        for (function, args) in self.functions.get(&var).into_iter().flatten() {
            let made = made.or_else(|| function.makes_values().then_some(var));
            for arg in args.iter().filter_map(Term::var) {
                self.collect(arg, made, sources);
            }
        }
    }
}
