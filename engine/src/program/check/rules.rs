//! The rules of a program: one per name, with its definitions and their heads.

use std::collections::BTreeSet;

use super::Checker;
use super::names::{Names, declare};
use crate::ids::Name;
use crate::program::raw::{Place, RawProgram, RawTerm};
use crate::program::{Definition, Rule, Scope, Var};

/// Rule names in order of first definition.
pub(super) fn rule_names(raw: &RawProgram) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for rule in &raw.rules {
        if !names.contains(&rule.name) {
            names.push(rule.name.clone());
        }
    }
    names
}

impl Checker<'_> {
    pub(super) fn rules(&mut self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self
            .rule_names
            .iter()
            .map(|name| Rule {
                name: name.clone(),
                arity: self.arity(name),
                needed: BTreeSet::new(),
                entity_columns: BTreeSet::new(),
                definitions: Vec::new(),
            })
            .collect();
        for (index, raw_rule) in self.raw.rules.iter().enumerate() {
            let place = Place::Rule(index as u32);
            let position = self.rule_names.iter().position(|name| *name == raw_rule.name);
            let rule = &mut rules[position.expect("every rule's name was collected")];
            if raw_rule.head.len() != rule.arity {
                let message = format!(
                    "rule {} is defined with {} and with {} arguments",
                    raw_rule.name,
                    rule.arity,
                    raw_rule.head.len()
                );
                self.fail(place, "query_arity", message, None);
                continue;
            }
            rule.needed.extend(0..(raw_rule.n_required as usize).min(rule.arity));
            let (mut scope, mut names) = (Scope::default(), Names::new());
            let head = self.head(&raw_rule.head, place, &mut scope, &mut names);
            if raw_rule.body.is_empty() {
                let message = format!("rule {} has no body", raw_rule.name);
                self.fail(place, "query_empty_body", message, Some("add a clause after the head"));
            }
            let body = self.body(&raw_rule.body, &mut scope, &mut names);
            rule.definitions.push(Definition { head, scope, body });
        }
        rules
    }

    pub(super) fn arity(&self, name: &Name) -> usize {
        let first = self.raw.rules.iter().find(|rule| rule.name == *name);
        first.expect("the name comes from a definition").head.len()
    }

    fn head(
        &mut self,
        head: &[RawTerm],
        place: Place,
        scope: &mut Scope,
        names: &mut Names,
    ) -> Vec<Var> {
        let mut vars = Vec::new();
        for term in head {
            match term {
                RawTerm::Variable(name) if !names.contains_key(name) => {
                    vars.push(declare(name, scope, names));
                }
                RawTerm::Variable(name) => {
                    let message = format!("variable ?{name} occurs twice in the head of a rule");
                    self.fail(place, "query_rule_head", message, None);
                }
                _ => {
                    let message = "the head of a rule has variables only".to_owned();
                    let hint = "bind the constant in the body, with [(ground …) ?x]";
                    self.fail(place, "query_rule_head", message, Some(hint));
                }
            }
        }
        if head.is_empty() {
            self.fail(place, "query_rule_head", "a rule has no arguments".to_owned(), None);
        }
        vars
    }
}
