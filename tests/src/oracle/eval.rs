//! What a program answers: naive evaluation, by trying every fact at every clause.
//!
//! A conjunction is evaluated by taking, again and again, *any* clause whose needed variables are
//! bound: the order of clauses means nothing. Rules are evaluated until nothing new appears, all
//! rules that recurse together from the empty tables (the naive iteration of Abiteboul, Hull,
//! Vianu, "Foundations of Databases", ch. 13); rules below them are complete first, which makes
//! negation a set difference (stratified semantics, ch. 15). Rules with required bindings have one
//! table for each list of required values asked for.
//!
//! Left out: static checks (programs are assumed valid), warnings, work counts. The result of a
//! program whose evaluation makes too many rows is not worth waiting for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::answer::Row;
use tercet_engine::ids::Name;
use tercet_engine::program::raw::{Input, RawTerm};
use tercet_engine::value::Value;

use super::inputs::{EntityPositions, as_entity, entity_positions, input_variables, seeds};
use super::merge::Facts;
use super::{find, functions};
use crate::tree::{Clause, Names, Program, Rule, binding_terms, variables};

/// Values of variables.
pub type Binding = BTreeMap<Name, Value>;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The evaluation made more rows than a test wants to wait for.
    TooMuch,
    /// A string given for a variable in entity position is no id.
    NotAnId,
}

/// Rows after which the oracle gives up.
const ROWS_MAX: u64 = 200_000;

/// The rows of a program's answer, in order.
///
/// # Errors
/// When it would take too long, or when an argument cannot be what it stands for.
///
/// # Panics
/// When the program is not valid, or the inputs do not fit it.
pub fn answer(program: &Program, facts: &Facts, inputs: &[Input]) -> Result<Vec<Row>, NoAnswer> {
    let oracle = Oracle::new(program, facts);
    let seeds = seeds(program, inputs)?;
    let bound = input_variables(&program.frame.inputs);
    oracle.assert_binds(&program.body, &bound, &find::wanted(&program.frame));
    let rows = oracle.conjunction(&program.body, seeds, &bound, &bound)?;
    Ok(find::find(&program.frame, rows, facts))
}

/// The facts and rules of one evaluation, with the tables of rules.
struct Oracle<'a> {
    triples: Vec<[Value; 3]>,
    rules: &'a [Rule],
    entity_positions: EntityPositions,
    /// Rule names → the rules they recurse with, themselves included.
    components: BTreeMap<Name, Names>,
    complete: RefCell<BTreeMap<Goal, Table>>,
    /// Tables being made, those of the innermost component last.
    open: RefCell<Vec<(Names, BTreeMap<Goal, Table>)>>,
    n_rows: Cell<u64>,
}

/// A rule and the values of its required variables.
type Goal = (Name, Vec<Value>);
type Table = BTreeSet<Vec<Value>>;
/// The rows that a clause makes of one.
type Extension<'a> = Box<dyn Fn(&Binding) -> Result<Vec<Binding>, NoAnswer> + 'a>;

impl<'a> Oracle<'a> {
    fn new(program: &'a Program, facts: &Facts) -> Oracle<'a> {
        let triples = facts.keys().map(|fact| {
            let attribute = Value::string(fact.attribute.as_str());
            [Value::Ref(fact.entity.clone()), attribute, fact.value.clone()]
        });
        Oracle {
            triples: triples.collect(),
            rules: &program.rules,
            entity_positions: entity_positions(&program.rules),
            components: components(&program.rules),
            complete: RefCell::default(),
            open: RefCell::default(),
            n_rows: Cell::new(0),
        }
    }

    /// Extends rows, which bind the variables `bound`, by a conjunction. `context` holds all
    /// variables that are or will be bound outside.
    fn conjunction(
        &self,
        body: &[Clause],
        rows: BTreeSet<Binding>,
        bound: &Names,
        context: &Names,
    ) -> Result<BTreeSet<Binding>, NoAnswer> {
        let context: Names = context.union(&bindable(body)).cloned().collect();
        let (mut rows, mut bound) = (rows, bound.clone());
        let mut waiting = body.iter().collect::<Vec<_>>();
        while !waiting.is_empty() {
            let index = self.choose(&waiting, &bound, &context);
            let clause = waiting.remove(index);
            let mut next = BTreeSet::new();
            let extend = self.extension(clause, &bound, &context)?;
            for row in rows {
                next.extend(extend(&row)?);
                self.n_rows.set(self.n_rows.get() + 1);
                if self.n_rows.get() + next.len() as u64 > ROWS_MAX {
                    return Err(NoAnswer::TooMuch);
                }
            }
            drop(extend);
            rows = next;
            bound = self.bound_after(clause, &bound, &context).expect("it was ready");
        }
        Ok(rows)
    }

    /// Any ready clause would do; one that binds nothing new, or shares a variable, saves time.
    fn choose(&self, waiting: &[&Clause], bound: &Names, context: &Names) -> usize {
        let ready = (0..waiting.len()).filter_map(|index| {
            let after = self.bound_after(waiting[index], bound, context)?;
            let shares = waiting[index].variables().iter().any(|name| bound.contains(name));
            Some((after.len() != bound.len(), !shares, index))
        });
        let (.., index) = ready.min().unwrap_or_else(|| {
            panic!("no clause of {waiting:?} can be evaluated with {bound:?} bound")
        });
        index
    }

    /// The variables bound after a clause; none when it needs some that are not bound yet.
    fn bound_after(&self, clause: &Clause, bound: &Names, context: &Names) -> Option<Names> {
        let all_bound = |terms: &[RawTerm]| variables(terms).all(|name| bound.contains(name));
        let more = match clause {
            Clause::Pattern { .. } => clause.variables(),
            Clause::Predicate { args, .. } => return all_bound(args).then(|| bound.clone()),
            Clause::Function { args, binding, .. } if all_bound(args) => {
                variables(binding_terms(binding)).cloned().collect()
            }
            Clause::Function { .. } => return None,
            Clause::Rule { rule, args } if all_bound(&args[..self.n_required(rule)]) => {
                clause.variables()
            }
            Clause::Rule { .. } => return None,
            Clause::Not { .. } => {
                return exposed(clause, context).is_subset(bound).then(|| bound.clone());
            }
            Clause::Or { required, branches, .. } => {
                let exposed = exposed(clause, context);
                let start: Names = bound.intersection(&exposed).cloned().collect();
                let binds_all = |branch: &Vec<Clause>| {
                    self.schedule(branch, &start, &exposed).is_some_and(|b| b.is_superset(&exposed))
                };
                let required = required.iter().all(|name| bound.contains(name));
                if !required || !branches.iter().all(binds_all) {
                    return None;
                }
                exposed
            }
        };
        Some(bound.union(&more).cloned().collect())
    }

    /// The variables bound after a conjunction, if it can be evaluated at all.
    fn schedule(&self, body: &[Clause], bound: &Names, context: &Names) -> Option<Names> {
        let context: Names = context.union(&bindable(body)).cloned().collect();
        let mut bound = bound.clone();
        let mut waiting = body.iter().collect::<Vec<_>>();
        while !waiting.is_empty() {
            let ready = |clause: &&Clause| self.bound_after(clause, &bound, &context).is_some();
            let index = waiting.iter().position(ready)?;
            bound = self.bound_after(waiting.remove(index), &bound, &context)?;
        }
        Some(bound)
    }

    fn assert_binds(&self, body: &[Clause], given: &Names, wanted: &Names) {
        let bound = self.schedule(body, given, &given.union(wanted).cloned().collect());
        assert!(bound.is_some_and(|b| b.is_superset(wanted)), "{body:?} does not bind {wanted:?}");
    }

    /// How a clause extends a row that binds the variables `bound`. Facts and the rows of a rule
    /// are the same for every row, so they are laid out once, by the values of what is bound.
    fn extension<'s>(
        &'s self,
        clause: &'s Clause,
        bound: &'s Names,
        context: &'s Names,
    ) -> Result<Extension<'s>, NoAnswer> {
        let (terms, tuples) = match clause {
            Clause::Pattern { entity, attribute, value } => {
                let terms = vec![as_entity(entity), as_attribute(attribute), value.clone()];
                (terms, self.triples.iter().map(|triple| triple.to_vec()).collect())
            }
            Clause::Rule { rule, args } if self.n_required(rule) == 0 => {
                (self.rule_args(rule, args), self.call((rule.clone(), Vec::new()))?)
            }
            _ => return Ok(Box::new(move |row| self.clause(clause, row, bound, context))),
        };
        let known = (0..terms.len()).filter(|index| match &terms[*index] {
            RawTerm::Variable(name) => bound.contains(name),
            RawTerm::Constant(_) => true,
            RawTerm::Blank | RawTerm::Keyword(_) => false,
        });
        let known = known.collect::<Vec<_>>();
        let mut laid_out = BTreeMap::<Vec<Value>, Vec<Vec<Value>>>::new();
        for tuple in tuples {
            let key = known.iter().map(|index| tuple[*index].clone()).collect();
            laid_out.entry(key).or_default().push(tuple);
        }
        Ok(Box::new(move |row| {
            let key = known.iter().map(|index| value_of(&terms[*index], row)).collect::<Vec<_>>();
            let tuples = laid_out.get(&key).into_iter().flatten();
            Ok(tuples.filter_map(|tuple| unify(row, &terms, tuple)).collect())
        }))
    }

    fn clause(
        &self,
        clause: &Clause,
        row: &Binding,
        bound: &Names,
        context: &Names,
    ) -> Result<Vec<Binding>, NoAnswer> {
        let rows = match clause {
            Clause::Pattern { .. } => unreachable!("facts are laid out by `extension`"),
            Clause::Predicate { function, args } => {
                let holds = match function.as_str() {
                    "missing?" => self.field(row, args).is_some_and(|values| values.is_empty()),
                    _ => {
                        let args = args.iter().map(|arg| value_of(arg, row)).collect::<Vec<_>>();
                        functions::holds(function.as_str(), &args)
                    }
                };
                if holds { vec![row.clone()] } else { Vec::new() }
            }
            Clause::Function { function, args, rows, binding } => {
                let rows = self.results(function.as_str(), args, rows, row);
                rows.iter()
                    .filter_map(|values| unify(row, binding_terms(binding), values))
                    .collect()
            }
            Clause::Rule { rule, args } => {
                let args = self.rule_args(rule, args);
                let required = args[..self.n_required(rule)].iter().map(|arg| value_of(arg, row));
                let table = self.call((rule.clone(), required.collect()))?;
                table.iter().filter_map(|values| unify(row, &args, values)).collect()
            }
            Clause::Not { body, .. } => {
                let exposed = exposed(clause, context);
                let inside = BTreeSet::from([restrict(row, &exposed)]);
                let rejected = !self.conjunction(body, inside, &exposed, &exposed)?.is_empty();
                if rejected { Vec::new() } else { vec![row.clone()] }
            }
            Clause::Or { branches, .. } => {
                let exposed = exposed(clause, context);
                let start: Names = bound.intersection(&exposed).cloned().collect();
                let mut rows = Vec::new();
                for branch in branches {
                    let inside = BTreeSet::from([restrict(row, &start)]);
                    for found in self.conjunction(branch, inside, &start, &exposed)? {
                        let mut row = row.clone();
                        row.extend(restrict(&found, &exposed));
                        rows.push(row);
                    }
                }
                rows
            }
        };
        Ok(rows)
    }

    /// The arguments of a call, string constants in entity position as ids, attributes as the
    /// strings that attribute variables stand for.
    fn rule_args(&self, rule: &Name, args: &[RawTerm]) -> Vec<RawTerm> {
        let positions = self.entity_positions.get(rule);
        let is_entity = |index| positions.is_some_and(|positions| positions.contains(&index));
        let arg = |(index, arg): (usize, &RawTerm)| match arg {
            RawTerm::Keyword(name) => RawTerm::Constant(Value::from(name.as_str())),
            arg if is_entity(index) => as_entity(arg),
            arg => arg.clone(),
        };
        args.iter().enumerate().map(arg).collect()
    }

    /// The rows that a function gives; none when it has no result.
    fn results(
        &self,
        function: &str,
        args: &[RawTerm],
        rows: &[Vec<Value>],
        row: &Binding,
    ) -> Vec<Vec<Value>> {
        match function {
            "ground" if args.is_empty() => rows.to_vec(),
            "get-else" => match self.field(row, args) {
                None => Vec::new(),
                Some(values) if values.is_empty() => vec![vec![value_of(&args[2], row)]],
                Some(values) => values.into_iter().map(|value| vec![value]).collect(),
            },
            _ => {
                let args = args.iter().map(|arg| value_of(arg, row)).collect::<Vec<_>>();
                functions::call(function, &args).map(|value| vec![value]).into_iter().collect()
            }
        }
    }

    /// The values of the field that the first two arguments name; none when the first is no
    /// entity.
    fn field(&self, row: &Binding, args: &[RawTerm]) -> Option<BTreeSet<Value>> {
        let entity = value_of(&as_entity(&args[0]), row);
        let attribute = value_of(&as_attribute(&args[1]), row);
        if !matches!(entity, Value::Ref(_)) {
            return None;
        }
        let field = |[e, a, _]: &&[Value; 3]| (e, a) == (&entity, &attribute);
        Some(self.triples.iter().filter(field).map(|[.., v]| v.clone()).collect())
    }

    fn n_required(&self, rule: &Name) -> usize {
        let definition = self.rules.iter().find(|definition| definition.name == *rule);
        definition.unwrap_or_else(|| panic!("no rule {rule}")).n_required
    }

    /// The rows of a rule, as far as they are known: complete, unless the goal is being solved.
    fn call(&self, goal: Goal) -> Result<Table, NoAnswer> {
        if let Some(table) = self.complete.borrow().get(&goal) {
            return Ok(table.clone());
        }
        if let Some((component, tables)) = self.open.borrow_mut().last_mut()
            && component.contains(&goal.0)
        {
            return Ok(tables.entry(goal).or_default().clone());
        }
        self.solve(goal.clone())?;
        Ok(self.complete.borrow()[&goal].clone())
    }

    /// Makes the tables of a goal, and of every goal of its component that it asks for.
    fn solve(&self, goal: Goal) -> Result<(), NoAnswer> {
        let component = self.components[&goal.0].clone();
        self.open.borrow_mut().push((component, BTreeMap::from([(goal, Table::new())])));
        let tables = || self.open.borrow().last().expect("pushed above").1.clone();
        loop {
            let before = tables();
            for goal in before.keys() {
                let rows = self.derive(goal)?;
                let mut open = self.open.borrow_mut();
                let (_, tables) = open.last_mut().expect("pushed above");
                tables.get_mut(goal).expect("asked for").extend(rows);
            }
            if tables() == before {
                break;
            }
        }
        let (_, tables) = self.open.borrow_mut().pop().expect("pushed above");
        self.complete.borrow_mut().extend(tables);
        Ok(())
    }

    /// The rows that the definitions of a rule give with the tables as they are.
    fn derive(&self, (name, required): &Goal) -> Result<Table, NoAnswer> {
        let mut table = Table::new();
        for rule in self.rules.iter().filter(|rule| rule.name == *name) {
            let heads = rule.head.iter().take(rule.n_required).cloned().map(RawTerm::Variable);
            let Some(seed) = unify(&Binding::new(), &heads.collect::<Vec<_>>(), required) else {
                continue;
            };
            let bound: Names = seed.keys().cloned().collect();
            let context = rule.head.iter().cloned().collect();
            self.assert_binds(&rule.body, &bound, &context);
            let rows = self.conjunction(&rule.body, BTreeSet::from([seed]), &bound, &context)?;
            table.extend(rows.iter().map(|row| rule.head.iter().map(|v| row[v].clone()).collect()));
        }
        Ok(table)
    }
}

/// The variables that positive clauses of a conjunction can bind.
fn bindable(body: &[Clause]) -> Names {
    let mut names = Names::new();
    for clause in body {
        match clause {
            Clause::Pattern { .. } | Clause::Rule { .. } => names.extend(clause.variables()),
            Clause::Function { binding, .. } => {
                names.extend(variables(binding_terms(binding)).cloned());
            }
            Clause::Or { join: Some(join), .. } => names.extend(join.iter().cloned()),
            Clause::Or { join: None, branches, .. } => {
                names.extend(branches.iter().flat_map(|branch| bindable(branch)));
            }
            Clause::Predicate { .. } | Clause::Not { .. } => {}
        }
    }
    names
}

/// The variables that a `not` or `or` shares with the outside.
fn exposed(clause: &Clause, context: &Names) -> Names {
    match clause {
        Clause::Not { join: Some(join), .. } | Clause::Or { join: Some(join), .. } => {
            join.iter().cloned().collect()
        }
        Clause::Or { join: None, branches, .. } => {
            let inside = branches.iter().flat_map(|branch| bindable(branch)).collect::<Names>();
            clause.variables().intersection(context).cloned().chain(inside).collect()
        }
        _ => clause.variables().intersection(context).cloned().collect(),
    }
}

fn restrict(row: &Binding, names: &Names) -> Binding {
    let shared = row.iter().filter(|(name, _)| names.contains(*name));
    shared.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The row extended so that each term equals its value, if that is possible.
pub(super) fn unify(row: &Binding, terms: &[RawTerm], values: &[Value]) -> Option<Binding> {
    assert_eq!(terms.len(), values.len(), "{terms:?} against {values:?}");
    let mut row = row.clone();
    for (term, value) in terms.iter().zip(values) {
        let fits = match term {
            RawTerm::Blank => true,
            RawTerm::Keyword(_) => false,
            RawTerm::Constant(constant) => constant == value,
            RawTerm::Variable(name) => {
                row.entry(name.clone()).or_insert_with(|| value.clone()) == value
            }
        };
        if !fits {
            return None;
        }
    }
    Some(row)
}

fn value_of(term: &RawTerm, row: &Binding) -> Value {
    match term {
        RawTerm::Constant(value) => value.clone(),
        RawTerm::Variable(name) => row[name].clone(),
        RawTerm::Blank | RawTerm::Keyword(_) => panic!("{term:?} is no argument"),
    }
}

/// A keyword in attribute position is the attribute of that text.
fn as_attribute(term: &RawTerm) -> RawTerm {
    match term {
        RawTerm::Keyword(name) => RawTerm::Constant(Value::string(name.as_str())),
        _ => term.clone(),
    }
}

/// For each rule, the rules that it reaches and that reach it, itself included.
fn components(rules: &[Rule]) -> BTreeMap<Name, Names> {
    fn called(body: &[Clause], names: &mut Names) {
        for clause in body {
            if let Clause::Rule { rule, .. } = clause {
                names.insert(rule.clone());
            }
            clause.bodies().iter().for_each(|body| called(body, names));
        }
    }
    let mut reaches = BTreeMap::<Name, Names>::new();
    for rule in rules {
        called(&rule.body, reaches.entry(rule.name.clone()).or_default());
    }
    loop {
        let before = reaches.clone();
        for names in reaches.values_mut() {
            let further = names.iter().filter_map(|name| before.get(name)).flatten().cloned();
            let further = further.collect::<Vec<_>>();
            names.extend(further);
        }
        if reaches == before {
            break;
        }
    }
    let together = |name: &Name| {
        let back = |other: &&Name| reaches.get(*other).is_some_and(|names| names.contains(name));
        let others = reaches[name].iter().filter(back).cloned();
        others.chain([name.clone()]).collect()
    };
    reaches.keys().map(|name| (name.clone(), together(name))).collect()
}
