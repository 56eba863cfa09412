//! Clauses and rules, one function for each.

use super::term::{AttributeTerm, Binding, Constant, Parts, Slot, Term, Var};
use super::{form, forms, list, symbol, vector};
use crate::form::{Form, Kind};
use crate::problem::Problem;
use crate::syntax::is_clause_word;

/// A clause of a body.
#[derive(Debug, Clone)]
pub struct Clause(pub(super) Form);

/// An alternative of [`or`]: a clause, or [`and`] of several.
#[derive(Debug, Clone)]
pub struct Branch(pub(super) Form);

/// A definition of a rule.
#[derive(Debug, Clone)]
pub struct Rule(pub(super) Form);

impl From<Clause> for Branch {
    fn from(clause: Clause) -> Branch {
        Branch(clause.0)
    }
}

/// `[e a v]`: a fact.
pub fn pattern(
    entity: impl Into<Term>,
    attribute: impl Into<AttributeTerm>,
    value: impl Into<Term>,
) -> Clause {
    Clause(vector(vec![entity.into().0, attribute.into().0, value.into().0]))
}

/// `[e a]`: a fact of any value.
pub fn has(entity: impl Into<Term>, attribute: impl Into<AttributeTerm>) -> Clause {
    Clause(vector(vec![entity.into().0, attribute.into().0]))
}

/// `[(missing? e a)]`: the entity has no such field.
pub fn missing(entity: impl Into<Term>, attribute: impl Into<AttributeTerm>) -> Clause {
    let args = [entity.into().0, attribute.into().0];
    Clause(vector(vec![list(symbol("missing?"), args)]))
}

/// `[(get-else e a default) binding]`: the values of a field, or the default if there is none.
pub fn get_else(
    entity: impl Into<Term>,
    attribute: impl Into<AttributeTerm>,
    default: impl Into<Term>,
    binding: impl Into<Binding>,
) -> Clause {
    let args = [entity.into().0, attribute.into().0, default.into().0];
    Clause(vector(vec![list(symbol("get-else"), args), binding.into().0]))
}

/// `[(name args…)]`, e.g. `predicate("<", (var("age"), 30))`.
pub fn predicate(name: &str, args: impl Parts<Term>) -> Clause {
    Clause(vector(vec![list(symbol(name), forms(args, |term| term.0))]))
}

/// `[(name args…) binding]`, e.g. `function("+", (var("a"), 1), var("b"))`.
pub fn function(name: &str, args: impl Parts<Term>, binding: impl Into<Binding>) -> Clause {
    let call = list(symbol(name), forms(args, |term| term.0));
    Clause(vector(vec![call, binding.into().0]))
}

/// `[(ground value) ?x]`.
pub fn ground(value: impl Into<Constant>, slot: impl Into<Slot>) -> Clause {
    Clause(vector(vec![list(symbol("ground"), [value.into().0]), slot.into().0]))
}

/// `[(ground [values…]) [?x ...]]`: the variable is each of the values.
pub fn ground_each(values: impl Parts<Constant>, slot: impl Into<Slot>) -> Clause {
    let values = vector(forms(values, |value| value.0));
    Clause(vector(vec![list(symbol("ground"), [values]), Binding::each(slot).0]))
}

/// `[(ground [[values…] …]) [[?x ?y]]]`: the variables are each of the rows.
pub fn ground_rows<Row: Parts<Constant>>(
    rows: impl IntoIterator<Item = Row>,
    slots: impl Parts<Slot>,
) -> Clause {
    let rows = rows.into_iter().map(|row| vector(forms(row, |value| value.0))).collect();
    let call = list(symbol("ground"), [vector(rows)]);
    Clause(vector(vec![call, Binding::relation(slots).0]))
}

/// `(rule args…)`.
pub fn call(rule: &str, args: impl Parts<Term>) -> Clause {
    if is_clause_word(rule) {
        let problem = Problem::new("query_clause", format!("`{rule}` is no rule"));
        let problem = problem.hint("the function of that name makes the clause");
        return Clause(form(Kind::Refused(Box::new(problem))));
    }
    Clause(list(symbol(rule), forms(args, |term| term.0)))
}

/// `(not clauses…)`: they do not all hold.
pub fn not(clauses: impl IntoIterator<Item = Clause>) -> Clause {
    Clause(list(symbol("not"), clause_forms(clauses)))
}

/// `(not-join [variables…] clauses…)`: only these variables are shared with the outside.
pub fn not_join(variables: impl Parts<Var>, clauses: impl IntoIterator<Item = Clause>) -> Clause {
    let join = vector(forms(variables, |variable| variable.0));
    Clause(list(symbol("not-join"), std::iter::once(join).chain(clause_forms(clauses))))
}

/// `(or branches…)`: one of them holds.
pub fn or(branches: impl Parts<Branch>) -> Clause {
    Clause(list(symbol("or"), forms(branches, |branch| branch.0)))
}

/// `(or-join [variables…] branches…)`: only these variables are shared with the outside.
pub fn or_join(variables: impl Parts<Var>, branches: impl Parts<Branch>) -> Clause {
    or_join_forms(forms(variables, |variable| variable.0), branches)
}

/// `(or-join [[required…] variables…] branches…)`: the required ones must be bound outside.
pub fn or_join_requiring(
    required: impl Parts<Var>,
    variables: impl Parts<Var>,
    branches: impl Parts<Branch>,
) -> Clause {
    let mut head = vec![vector(forms(required, |variable| variable.0))];
    head.extend(forms(variables, |variable| variable.0));
    or_join_forms(head, branches)
}

fn or_join_forms(head: Vec<Form>, branches: impl Parts<Branch>) -> Clause {
    let branches = forms(branches, |branch| branch.0);
    Clause(list(symbol("or-join"), std::iter::once(vector(head)).chain(branches)))
}

/// `(and clauses…)`: an alternative of several clauses.
pub fn and(clauses: impl IntoIterator<Item = Clause>) -> Branch {
    Branch(list(symbol("and"), clause_forms(clauses)))
}

/// `[(name variables…) clauses…]`: the rule holds where the clauses do.
pub fn define(
    name: &str,
    variables: impl Parts<Var>,
    clauses: impl IntoIterator<Item = Clause>,
) -> Rule {
    rule(name, forms(variables, |variable| variable.0), clauses)
}

/// `[(name [required…] variables…) clauses…]`: a caller must have bound the required ones.
pub fn define_requiring(
    name: &str,
    required: impl Parts<Var>,
    variables: impl Parts<Var>,
    clauses: impl IntoIterator<Item = Clause>,
) -> Rule {
    let mut head = vec![vector(forms(required, |variable| variable.0))];
    head.extend(forms(variables, |variable| variable.0));
    rule(name, head, clauses)
}

fn rule(name: &str, head: Vec<Form>, clauses: impl IntoIterator<Item = Clause>) -> Rule {
    let mut definition = vec![list(symbol(name), head)];
    definition.extend(clause_forms(clauses));
    Rule(vector(definition))
}

fn clause_forms(clauses: impl IntoIterator<Item = Clause>) -> impl Iterator<Item = Form> {
    clauses.into_iter().map(|clause| clause.0)
}
