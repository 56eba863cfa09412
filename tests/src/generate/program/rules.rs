//! Growing rules: plain ones, recursion in all its forms, and negation over recursion.

use tercet_engine::program::raw::{RawBinding, RawFindElement, RawProgram, RawTerm};
use tercet_engine::value::Value;

use super::clauses::Allowed;
use super::{Grower, Head, Kind, Typed, name, variable};
use crate::oracle::eval::answer;
use crate::tree::{Clause, Program, Rule};

impl Grower<'_> {
    /// Adds the rules of one form, if their result is worth having.
    pub(super) fn add_rules(&mut self) {
        let before = (self.rules.len(), self.heads.len());
        match self.random.below(100) {
            0..30 => self.plain_rule(),
            30..55 => self.recursive_rule(),
            55..70 => self.mutual_rules(),
            70..80 => self.negated_rule(),
            80..90 => self.required_rule(),
            _ => self.counting_rule(),
        }
        let keep_empty = self.random.chance(30);
        if !keep_empty && self.heads[before.1..].iter().any(|head| self.is_empty(head)) {
            self.rules.truncate(before.0);
            self.heads.truncate(before.1);
        }
    }

    /// Whether a rule gives nothing (or too much). One with required bindings is not asked.
    fn is_empty(&self, head: &Head) -> bool {
        if head.n_required > 0 {
            return false;
        }
        let names = (0..head.kinds.len()).map(|index| name(&format!("h{index}")));
        let names = names.collect::<Vec<_>>();
        let args = names.iter().cloned().map(RawTerm::Variable).collect();
        let find = names.into_iter().map(RawFindElement::Variable).collect();
        let program = Program {
            frame: RawProgram { find, ..RawProgram::default() },
            body: vec![Clause::Rule { rule: head.name.clone(), args }],
            rules: self.rules.clone(),
        };
        answer(&program, self.facts, &[]).map_or(true, |rows| rows.is_empty())
    }

    fn declare(&mut self, kinds: Vec<Kind>, n_required: usize) -> Head {
        let head = Head { name: name(&format!("r{}", self.heads.len())), kinds, n_required };
        self.heads.push(head.clone());
        head
    }

    /// One definition of a rule; its clauses in any order.
    fn define(&mut self, head: &Head, variables: &[Typed], mut body: Vec<Clause>) {
        self.random.shuffle(&mut body);
        self.rules.push(Rule {
            name: head.name.clone(),
            n_required: head.n_required,
            head: variables.iter().map(|(name, _)| name.clone()).collect(),
            body,
        });
    }

    fn fresh_all(&mut self, kinds: &[Kind]) -> Vec<Typed> {
        kinds.iter().map(|kind| self.fresh(*kind)).collect()
    }

    /// A definition by facts, with some more clauses about them.
    fn define_by_facts(&mut self, head: &Head, allowed: Allowed) {
        let variables = self.fresh_all(&head.kinds);
        let mut body = self.bind_all(&variables);
        let n_more = self.random.skewed(3);
        body.extend(self.conjunction_below(head, &variables, n_more, allowed));
        self.define(head, &variables, body);
    }

    /// Clauses that call only rules declared before `head` and its companions.
    fn conjunction_below(
        &mut self,
        head: &Head,
        scope: &[Typed],
        n_clauses: usize,
        allowed: Allowed,
    ) -> Vec<Clause> {
        let n_below = self.heads.iter().position(|other| other.name == head.name);
        let above = self.heads.split_off(n_below.expect("declared"));
        let body = self.conjunction(&mut scope.to_vec(), n_clauses, allowed);
        self.heads.extend(above);
        body
    }

    /// `(r ?x ?k)` by facts, in one or two definitions.
    fn plain_rule(&mut self) {
        let n_kinds = 1 + self.random.skewed(3);
        let kinds = (0..n_kinds).map(|_| self.head_kind()).collect();
        let head = self.declare(kinds, 0);
        for _ in 0..1 + self.random.below(2) {
            self.define_by_facts(&head, Allowed::ALL);
        }
    }

    /// The value side of a recursive rule: mostly entities.
    fn recursive_kinds(&mut self) -> Vec<Kind> {
        let second = if self.random.chance(75) { Kind::Ref } else { self.head_kind() };
        vec![Kind::Ref, second]
    }

    /// `(r ?x ?y)` by facts, and by itself: right-linear, left-linear or doubled.
    fn recursive_rule(&mut self) {
        let kinds = self.recursive_kinds();
        let head = self.declare(kinds, 0);
        self.define_by_facts(&head, Allowed::FINITE);
        self.define_by_step(&head, &head);
    }

    /// `(p ?x ?y)` and `(q ?x ?y)` by each other; the base is in one of them or both.
    fn mutual_rules(&mut self) {
        let kinds = self.recursive_kinds();
        let (p, q) = (self.declare(kinds.clone(), 0), self.declare(kinds, 0));
        self.define_by_facts(&p, Allowed::FINITE);
        if self.random.chance(40) {
            let variables = self.fresh_all(&q.kinds);
            let body = self.bind_all(&variables);
            self.define(&q, &variables, body);
        }
        self.define_by_step(&p, &q);
        self.define_by_step(&q, &p);
        if self.random.chance(30) {
            self.define_by_step(&p, &p);
        }
    }

    /// `head` from `called`, one step further; more clauses now and then.
    fn define_by_step(&mut self, head: &Head, called: &Head) {
        let (from, middle) = (self.fresh(Kind::Ref), self.fresh(Kind::Ref));
        let to = self.fresh(head.kinds[1]);
        let call = |a: &Typed, b: &Typed| Clause::Rule {
            rule: called.name.clone(),
            args: vec![variable(a), variable(b)],
        };
        let both_refs = head.kinds[1] == Kind::Ref;
        let mut body = match self.random.below(3) {
            0 if both_refs => vec![call(&from, &middle), call(&middle, &to)],
            1 if both_refs => {
                let step = self.bind_all(&[middle.clone(), to.clone()]);
                [vec![call(&from, &middle)], step].concat()
            }
            _ => {
                let step = self.bind_all(&[from.clone(), middle.clone()]);
                [vec![call(&middle, &to)], step].concat()
            }
        };
        if self.random.chance(30) {
            let lowest = self
                .heads
                .iter()
                .find(|other| other.name == head.name || other.name == called.name);
            let lowest = lowest.expect("declared").clone();
            let scope = [from.clone(), middle, to.clone()];
            body.extend(self.conjunction_below(&lowest, &scope, 1, Allowed::FINITE));
        }
        self.define(head, &[from, to], body);
    }

    /// `(r ?x ?y)` where both exist and another rule does not relate them.
    fn negated_rule(&mut self) {
        let called = self.heads.iter().filter(|head| head.n_required == 0).cloned();
        let called = called.collect::<Vec<_>>();
        if called.is_empty() {
            return self.plain_rule();
        }
        let called = self.random.pick(&called).clone();
        let head = self.declare(called.kinds.clone(), 0);
        let variables = self.fresh_all(&head.kinds);
        let mut body = Vec::new();
        for typed in &variables {
            body.extend(self.bind_all(std::slice::from_ref(typed)));
        }
        let args = variables.iter().map(variable).collect();
        let call = Clause::Rule { rule: called.name, args };
        body.push(Clause::Not { join: None, body: vec![call] });
        self.define(&head, &variables, body);
    }

    /// `(r [?x] ?y)`: the caller binds `?x`; a function of it, or reachability from it.
    fn required_rule(&mut self) {
        if self.random.chance(50) {
            let head = self.declare(vec![Kind::Int, Kind::Number], 1);
            let variables = self.fresh_all(&head.kinds);
            let step = RawTerm::Constant(self.constant(Kind::Number));
            let function = *self.random.pick(&["+", "-", "*", "/"]);
            let body = vec![Clause::Function {
                function: name(function),
                args: vec![variable(&variables[0]), step],
                rows: Vec::new(),
                binding: RawBinding::Scalar(variable(&variables[1])),
            }];
            return self.define(&head, &variables, body);
        }
        let kinds = self.recursive_kinds();
        let head = self.declare(kinds, 1);
        self.define_by_facts(&head, Allowed::FINITE);
        let (from, middle) = (self.fresh(Kind::Ref), self.fresh(Kind::Ref));
        let to = self.fresh(head.kinds[1]);
        let mut body = self.bind_all(&[from.clone(), middle.clone()]);
        let args = vec![variable(&middle), variable(&to)];
        body.push(Clause::Rule { rule: head.name.clone(), args });
        self.define(&head, &[from, to], body);
    }

    /// `(r ?x ?n)`: n is the length of a walk that ends in ?x, up to a bound.
    fn counting_rule(&mut self) {
        let head = self.declare(vec![Kind::Ref, Kind::Int], 0);
        let variables = self.fresh_all(&head.kinds);
        let mut body = self.bind_all(&variables[..1]);
        body.push(Clause::Function {
            function: name("ground"),
            args: vec![RawTerm::Constant(Value::int(0))],
            rows: Vec::new(),
            binding: RawBinding::Scalar(variable(&variables[1])),
        });
        self.define(&head, &variables, body);

        let (before, to) = (self.fresh_all(&head.kinds), self.fresh_all(&head.kinds));
        let n_max = RawTerm::Constant(Value::int(1 + self.random.below(3) as i64));
        let mut body = self.bind_all(&[before[0].clone(), to[0].clone()]);
        body.push(Clause::Rule {
            rule: head.name.clone(),
            args: before.iter().map(variable).collect(),
        });
        let args = vec![variable(&before[1]), n_max];
        body.push(Clause::Predicate { function: name("<"), args });
        body.push(Clause::Function {
            function: name("+"),
            args: vec![variable(&before[1]), RawTerm::Constant(Value::int(1))],
            rows: Vec::new(),
            binding: RawBinding::Scalar(variable(&to[1])),
        });
        self.define(&head, &to, body);
    }
}
