//! What can be bound where: safety of bodies, and what calls and alternatives need from outside.
//!
//! A conjunction is *safe* when its clauses can be put into an order in which every clause finds
//! bound what it needs. Only the existence of an order is checked here, so the order as written
//! decides no error. Four things are completed on the way: the variables that a plain `not` or
//! `or` shares with the outside; the variables an `or` needs bound before; the columns a rule
//! needs bound by its callers; and which inputs and rule columns are entities.
//!
//! All of them are least fixpoints: sets only grow, so the loops end.

use super::check::error;
use super::error::ProgramError;
use super::raw::{ClauseId, Place};
use super::{
    Atom, Body, Clause, Definition, FindElement, InputShape, Program, Rule, Scope, Term, Var,
    VarSet, visit_clauses,
};
use crate::ids::EntityId;
use crate::value::Value;

/// Completes a resolved program and reports what is not safe.
pub(super) fn complete(program: &mut Program, errors: &mut Vec<ProgramError>) {
    let inputs: VarSet = input_vars(program);
    share(&mut program.body, &inputs, &program.scope, errors);
    for definition in program.rules.iter_mut().flat_map(|rule| &mut rule.definitions) {
        let head: VarSet = definition.head.iter().copied().collect();
        share(&mut definition.body, &head, &definition.scope, errors);
    }
    infer_needs(program);
    report(program, &inputs, errors);
    mark_entities(program, errors);
}

fn input_vars(program: &Program) -> VarSet {
    program.inputs.iter().flat_map(InputShape::columns).map(|column| column.var).collect()
}

// ---- what clauses mention, bind and need ----

fn term_vars<'t>(terms: impl IntoIterator<Item = &'t Term>) -> VarSet {
    terms.into_iter().filter_map(Term::var).collect()
}

impl Atom {
    /// Every variable it shares with its conjunction; for a plain `not` or `or` those inside it.
    pub(crate) fn mentions(&self) -> VarSet {
        match self {
            Atom::Not { stated: false, body, .. } => body_mentions(body),
            Atom::Or { stated: false, branches, .. } => {
                branches.iter().flat_map(body_mentions).collect()
            }
            Atom::Not { join, .. } | Atom::Or { join, .. } => join.iter().copied().collect(),
            Atom::Predicate { args, .. } => term_vars(args),
            Atom::Missing { entity, attribute } => {
                term_vars([entity]).into_iter().chain(attribute.var()).collect()
            }
            _ => self.binds().into_iter().chain(self.needs(&[])).collect(),
        }
    }

    /// The variables it binds once what it needs is bound.
    pub(crate) fn binds(&self) -> VarSet {
        match self {
            Atom::Pattern { entity, attribute, value } => {
                term_vars([entity, value]).into_iter().chain(attribute.var()).collect()
            }
            Atom::Function { out, .. } | Atom::GetElse { out, .. } => term_vars([out]),
            Atom::Ground { out, .. } => term_vars(out),
            Atom::Rule { args, .. } => term_vars(args),
            Atom::Or { stated: true, join, .. } => join.iter().copied().collect(),
            Atom::Or { stated: false, branches, .. } => {
                branches.iter().flat_map(mentions_outside_not).collect()
            }
            Atom::Predicate { .. } | Atom::Missing { .. } | Atom::Not { .. } => VarSet::new(),
        }
    }

    /// The variables that must be bound before it can be evaluated.
    pub(crate) fn needs(&self, rules: &[Rule]) -> VarSet {
        match self {
            Atom::Pattern { .. } | Atom::Ground { .. } => VarSet::new(),
            Atom::Predicate { args, .. } | Atom::Function { args, .. } => term_vars(args),
            Atom::Missing { entity, attribute } => {
                term_vars([entity]).into_iter().chain(attribute.var()).collect()
            }
            Atom::GetElse { entity, attribute, default, .. } => {
                term_vars([entity, default]).into_iter().chain(attribute.var()).collect()
            }
            Atom::Rule { rule, args } => match rules.get(rule.index()) {
                Some(rule) => term_vars(rule.needed.iter().map(|column| &args[*column])),
                None => VarSet::new(),
            },
            Atom::Not { join, .. } => join.iter().copied().collect(),
            Atom::Or { required, .. } => required.clone(),
        }
    }
}

fn body_mentions(body: &Body) -> VarSet {
    body.clauses.iter().flat_map(|clause| clause.atom.mentions()).collect()
}

fn mentions_outside_not(body: &Body) -> VarSet {
    let clauses = body.clauses.iter();
    clauses
        .filter(|clause| !matches!(clause.atom, Atom::Not { .. }))
        .flat_map(|clause| match &clause.atom {
            Atom::Or { stated: false, branches, .. } => {
                branches.iter().flat_map(mentions_outside_not).collect()
            }
            atom => atom.mentions(),
        })
        .collect()
}

// ---- sharing ----

/// Finds the join variables of plain `not` and `or`, given what the outside may bind.
fn share(body: &mut Body, outside: &VarSet, scope: &Scope, errors: &mut Vec<ProgramError>) {
    let bindable: VarSet =
        body.clauses.iter().flat_map(|clause| clause.atom.binds()).chain(outside.clone()).collect();
    for clause in &mut body.clauses {
        match &mut clause.atom {
            Atom::Not { stated, join, body } => {
                if !*stated {
                    *join = body_mentions(body).intersection(&bindable).copied().collect();
                }
                share(body, &join.iter().copied().collect(), scope, errors);
            }
            Atom::Or { stated, join, branches, .. } => {
                if !*stated {
                    *join = or_join(clause.id, branches, &bindable, scope, errors);
                }
                let inside: VarSet = join.iter().copied().collect();
                for branch in branches {
                    share(branch, &inside, scope, errors);
                }
            }
            _ => {}
        }
    }
}

fn or_join(
    id: ClauseId,
    branches: &[Body],
    bindable: &VarSet,
    scope: &Scope,
    errors: &mut Vec<ProgramError>,
) -> Vec<Var> {
    let common: VarSet = branches.iter().flat_map(mentions_outside_not).collect();
    let used: Vec<VarSet> = branches.iter().map(body_mentions).collect();
    let uneven = common.iter().find(|var| used.iter().any(|branch| !branch.contains(var)));
    if let Some(var) = uneven {
        let name = &scope.names[var.column()];
        let message = format!("variable ?{name} is not in every alternative of or");
        let hint = "use or-join to say which variables the alternatives share";
        errors.push(error(Place::Clause(id), "query_or_variables", message, Some(hint)));
    }
    let negated: VarSet = branches.iter().flat_map(body_mentions).collect();
    let negated = negated.intersection(bindable);
    common.iter().chain(negated).copied().collect::<VarSet>().into_iter().collect()
}

// ---- needs ----

/// A clause that found no place in any order, with the variables it waits for.
struct Stuck {
    id: ClauseId,
    missing: VarSet,
}

/// Puts the clauses into some order, starting from `bound`, which grows; gives what is left over.
fn schedule(body: &Body, bound: &mut VarSet, rules: &[Rule]) -> Vec<Stuck> {
    let mut pending: Vec<&Clause> = body.clauses.iter().collect();
    loop {
        let n_before = pending.len();
        pending.retain(|clause| {
            let ready = clause.atom.needs(rules).is_subset(bound);
            if ready {
                bound.extend(clause.atom.binds());
            }
            !ready
        });
        if pending.is_empty() || pending.len() == n_before {
            break;
        }
    }
    let missing = |clause: &Clause| &clause.atom.needs(rules) - &*bound;
    pending.iter().map(|clause| Stuck { id: clause.id, missing: missing(clause) }).collect()
}

/// The variables among `wanted` that a body cannot bind itself: they must be bound before it.
/// `given` grows by them.
fn complete_given(body: &Body, given: &mut VarSet, wanted: &VarSet, rules: &[Rule]) -> bool {
    let mut grew = false;
    loop {
        let mut bound = given.clone();
        let stuck = schedule(body, &mut bound, rules);
        let missing: VarSet = if stuck.is_empty() {
            wanted - &bound
        } else {
            let missing: VarSet = stuck.into_iter().flat_map(|stuck| stuck.missing).collect();
            &missing & wanted
        };
        if missing.is_empty() {
            return grew;
        }
        given.extend(missing);
        grew = true;
    }
}

/// Grows `required` of every `or` and `needed` of every rule until nothing changes.
fn infer_needs(program: &mut Program) {
    loop {
        let rules = program.rules.clone();
        let mut grew = infer_or(&mut program.body, &rules);
        for rule in &mut program.rules {
            for definition in &mut rule.definitions {
                grew |= infer_or(&mut definition.body, &rules);
                grew |= infer_rule(definition, &mut rule.needed, &rules);
            }
        }
        if !grew {
            return;
        }
    }
}

fn infer_rule(
    definition: &Definition,
    needed: &mut std::collections::BTreeSet<usize>,
    rules: &[Rule],
) -> bool {
    let mut given: VarSet = needed.iter().map(|column| definition.head[*column]).collect();
    let head: VarSet = definition.head.iter().copied().collect();
    let grew = complete_given(&definition.body, &mut given, &head, rules);
    if grew {
        let columns = definition.head.iter().enumerate();
        needed.extend(columns.filter(|(_, var)| given.contains(var)).map(|(column, _)| column));
    }
    grew
}

fn infer_or(body: &mut Body, rules: &[Rule]) -> bool {
    let mut grew = false;
    for clause in &mut body.clauses {
        match &mut clause.atom {
            Atom::Not { body, .. } => grew |= infer_or(body, rules),
            Atom::Or { join, required, branches, .. } => {
                let wanted: VarSet = join.iter().copied().collect();
                for branch in branches {
                    grew |= infer_or(branch, rules);
                    grew |= complete_given(branch, required, &wanted, rules);
                }
            }
            _ => {}
        }
    }
    grew
}

// ---- reports ----

fn report(program: &Program, inputs: &VarSet, errors: &mut Vec<ProgramError>) {
    let mut reporter = Reporter { rules: &program.rules, errors };
    let bound = reporter.body(&program.body, inputs, &program.scope, None);
    for rule in &program.rules {
        for definition in &rule.definitions {
            let given = rule.needed.iter().map(|column| definition.head[*column]).collect();
            reporter.body(&definition.body, &given, &definition.scope, Some(rule));
        }
    }
    let find = program.find.iter().enumerate();
    let find = find.map(|(index, element)| (Place::Find(index as u32), element.var()));
    let with = program.with.iter().enumerate();
    let with = with.map(|(index, var)| (Place::With(index as u32), *var));
    for (place, var) in find.chain(with) {
        if !bound.contains(&var) {
            errors.push(unbound(place, var, &program.scope, None));
        }
    }
}

fn unbound(place: Place, var: Var, scope: &Scope, rule: Option<&Rule>) -> ProgramError {
    let within = rule.map(|rule| format!(" in rule {}", rule.name)).unwrap_or_default();
    let name = &scope.names[var.column()];
    let message = format!("variable ?{name} is not bound by a positive atom{within}");
    error(place, "query_unbound", message, Some("add an atom that binds it"))
}

struct Reporter<'p> {
    rules: &'p [Rule],
    errors: &'p mut Vec<ProgramError>,
}

impl Reporter<'_> {
    /// Reports what is not safe in a body and gives what it binds.
    fn body(&mut self, body: &Body, given: &VarSet, scope: &Scope, rule: Option<&Rule>) -> VarSet {
        let mut bound = given.clone();
        let stuck = schedule(body, &mut bound, self.rules);
        // Blame the variables that nothing could bind; the others only wait for them.
        let bindable: VarSet = body.clauses.iter().flat_map(|clause| clause.atom.binds()).collect();
        let blames_nothing =
            stuck.iter().all(|stuck| stuck.missing.iter().all(|var| bindable.contains(var)));
        for Stuck { id, missing } in &stuck {
            for var in missing.iter().filter(|var| blames_nothing || !bindable.contains(var)) {
                self.errors.push(unbound(Place::Clause(*id), *var, scope, rule));
            }
        }
        for clause in &body.clauses {
            self.nested(clause, scope, rule);
        }
        // Report each unbound variable once: pretend that stuck clauses have bound theirs.
        &bound | &bindable
    }

    fn nested(&mut self, clause: &Clause, scope: &Scope, rule: Option<&Rule>) {
        match &clause.atom {
            Atom::Not { join, body, .. } => {
                self.body(body, &join.iter().copied().collect(), scope, rule);
            }
            Atom::Or { required, branches, .. } => {
                for branch in branches {
                    self.body(branch, required, scope, rule);
                }
            }
            Atom::Rule { rule: called, args } => {
                let called = &self.rules[called.index()];
                for column in called.needed.iter().filter(|column| args[**column] == Term::Blank) {
                    let message =
                        format!("rule {} needs its argument {} bound", called.name, column + 1);
                    let place = Place::Argument(clause.id, *column as u32);
                    self.errors.push(error(place, "query_unbound", message, None));
                }
            }
            _ => {}
        }
    }
}

// ---- entities ----

/// Marks which inputs and rule columns are entities, and turns string constants there into ids.
fn mark_entities(program: &mut Program, errors: &mut Vec<ProgramError>) {
    loop {
        let rules = program.rules.clone();
        let mut grew = false;
        for rule in &mut program.rules {
            for definition in &rule.definitions {
                let entities = entity_vars(&definition.body, &rules);
                for (column, var) in definition.head.iter().enumerate() {
                    grew |= entities.contains(var) && rule.entity_columns.insert(column);
                }
            }
        }
        if !grew {
            break;
        }
    }
    let rules = program.rules.clone();
    let mut entities = entity_vars(&program.body, &rules);
    entities.extend(program.find.iter().filter_map(|element| match element {
        FindElement::Pull { var, .. } => Some(*var),
        FindElement::Variable(_) | FindElement::Aggregate { .. } => None,
    }));
    for shape in &mut program.inputs {
        let columns = match shape {
            InputShape::Scalar(column) | InputShape::Collection(column) => vec![column],
            InputShape::Tuple(columns) | InputShape::Relation(columns) => {
                columns.iter_mut().flatten().collect()
            }
        };
        for column in columns {
            column.is_entity = entities.contains(&column.var);
        }
    }
    id_constants(&mut program.body, &rules, errors);
    for definition in program.rules.iter_mut().flat_map(|rule| &mut rule.definitions) {
        id_constants(&mut definition.body, &rules, errors);
    }
}

pub(super) fn entity_vars(body: &Body, rules: &[Rule]) -> VarSet {
    let mut vars = VarSet::new();
    visit_clauses(body, &mut |clause| match &clause.atom {
        Atom::Pattern { entity, .. }
        | Atom::Missing { entity, .. }
        | Atom::GetElse { entity, .. } => vars.extend(entity.var()),
        Atom::Rule { rule, args } => {
            let columns = &rules[rule.index()].entity_columns;
            vars.extend(columns.iter().filter_map(|column| args[*column].var()));
        }
        _ => {}
    });
    vars
}

fn id_constants(body: &mut Body, rules: &[Rule], errors: &mut Vec<ProgramError>) {
    for clause in &mut body.clauses {
        match &mut clause.atom {
            Atom::Rule { rule, args } => {
                for column in &rules[rule.index()].entity_columns {
                    let Term::Const(Value::String(text)) = &args[*column] else { continue };
                    match EntityId::new(text.clone()) {
                        Ok(entity) => args[*column] = Term::Const(Value::Ref(entity)),
                        Err(wrong) => {
                            let place = Place::Argument(clause.id, *column as u32);
                            errors.push(error(place, wrong.code(), wrong.to_string(), None));
                        }
                    }
                }
            }
            Atom::Not { body, .. } => id_constants(body, rules, errors),
            Atom::Or { branches, .. } => {
                for branch in branches {
                    id_constants(branch, rules, errors);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::Name;
    use crate::program::raw::{
        RawBinding, RawClause, RawFindElement, RawInput, RawProgram, RawRule, RawTerm,
    };

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn var(text: &str) -> RawTerm {
        RawTerm::Variable(name(text))
    }

    fn vars(names: &str) -> Vec<RawTerm> {
        names.split(' ').map(var).collect()
    }

    fn pattern(entity: &str, value: &str) -> RawClause {
        let attribute = RawTerm::Keyword(name("a/b"));
        RawClause::Pattern { entity: var(entity), attribute, value: var(value) }
    }

    /// `[(str from) to]`: needs one variable and binds the other.
    fn function(from: &str, to: &str) -> RawClause {
        RawClause::Function {
            function: name("str"),
            args: vec![var(from)],
            rows: Vec::new(),
            binding: RawBinding::Scalar(var(to)),
        }
    }

    fn call(rule: &str, args: &str) -> RawClause {
        RawClause::Rule { rule: name(rule), args: vars(args) }
    }

    fn rule(rule: &str, head: &str, body: u32) -> RawRule {
        let body = vec![ClauseId(body)];
        RawRule { name: name(rule), n_required: 0, head: vars(head), body }
    }

    /// `[:find ?x :in ?x :where …]` of these clauses; the last `body` are the query's own.
    fn check(clauses: Vec<RawClause>, body: usize, rules: Vec<RawRule>) -> Result<Program, String> {
        let first = clauses.len() - body;
        let raw = RawProgram {
            find: vec![RawFindElement::Variable(name("x"))],
            inputs: vec![RawInput::Scalar(name("x"))],
            body: (first..clauses.len()).map(|id| ClauseId(id as u32)).collect(),
            clauses,
            rules,
            ..RawProgram::default()
        };
        Program::check(raw).map_err(|errors| {
            let errors = errors.iter().map(|error| format!("{:?} {}", error.place, error.message));
            errors.collect::<Vec<_>>().join("; ")
        })
    }

    fn needed(program: &Program, rule: usize) -> Vec<usize> {
        program.rules[rule].needed.iter().copied().collect()
    }

    #[test]
    fn what_a_rule_needs_goes_up_to_its_callers_whatever_their_order() {
        let clauses = || vec![function("a", "b"), call("low", "c d"), call("high", "x y")];
        let (low, high) = (rule("low", "a b", 0), rule("high", "c d", 1));
        let program = check(clauses(), 1, vec![low.clone(), high.clone()]).unwrap();
        assert_eq!((needed(&program, 0), needed(&program, 1)), (vec![0], vec![0]));
        let program = check(clauses(), 1, vec![high, low]).unwrap();
        assert_eq!((needed(&program, 0), needed(&program, 1)), (vec![0], vec![0]));
    }

    #[test]
    fn a_definition_that_binds_a_column_does_not_help_one_that_needs_it() {
        let clauses = vec![function("a", "b"), pattern("a", "b"), call("r", "x y")];
        let program = check(clauses, 1, vec![rule("r", "a b", 0), rule("r", "a b", 1)]).unwrap();
        assert_eq!(needed(&program, 0), [0]);
    }

    #[test]
    fn any_order_of_clauses_is_safe_or_none_is() {
        let chain = [function("x", "y"), function("y", "z"), function("z", "w")];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let clauses = order.map(|index: usize| chain[index].clone()).to_vec();
            check(clauses, 3, Vec::new()).unwrap();
        }
        for clauses in
            [[function("y", "z"), function("z", "y")], [function("z", "y"), function("y", "z")]]
        {
            let error = check(clauses.to_vec(), 2, Vec::new()).unwrap_err();
            assert!(error.contains("?y is not bound") && error.contains("?z is not bound"));
        }
    }

    #[test]
    fn a_plain_not_shares_what_the_outside_can_bind() {
        let not = RawClause::Not { join: None, body: vec![ClauseId(0)] };
        let program = check(vec![pattern("x", "inner"), not], 1, Vec::new()).unwrap();
        let Atom::Not { join, .. } = &program.body.clauses[0].atom else { panic!("a not") };
        let names = join.iter().map(|var| program.scope.names[var.column()].as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["x"]);
    }
}
