//! Support: the facts that a replica must hold to give a query's answer itself, as a query.
//!
//! Of a *demanded* goal they are, for each definition of it, every fact of every match of the
//! positive part of the body, whether or not the rest of the body then rejects it, and under those
//! bindings the support of every goal called or negated; `missing?` and `get-else` count as
//! negation: all facts of the field. That is a program: `demand` rules say which goals are asked
//! for with which arguments, and each place where a fact is read gives one definition of a rule
//! `support(inputs…, entity, attribute, value)`. So support is a pure function of snapshot and
//! inputs, and live queries keep it up like any other result.
//!
//! Why it suffices, whatever else that is true a replica holds: facts of the positive part make
//! every row derivable that the server derives. A row that only the replica derives would need a
//! negated goal that holds on the server and not here; goals are demanded in an order in which each
//! finds its bindings given by facts and by goals demanded before, so by induction over strata each
//! demanded goal has the same rows on both sides.
//!
//! A call of a rule that recurses, if it binds nothing that is used elsewhere, is left out of the
//! positive part: it would only filter, and a filter by a closure costs all of the closure. The
//! support is larger then, never smaller.
//!
//! Demand is that of magic sets: Beeri & Ramakrishnan, *On the power of magic*, 1987.

use std::collections::{BTreeMap, BTreeSet};

use super::functions::Function;
use super::lower::{Goal, GoalKind, Stratified};
use super::raw::{
    ClauseId, PullId, RawBinding, RawClause, RawFindElement, RawInput, RawProgram, RawPullItem,
    RawPullNested, RawRule, RawTerm,
};
use super::{AttributeTerm, FindElement, InputShape, Program, RuleId, Term, Var, VarSet};
use crate::ids::{Attribute, Name};
use crate::value::Value;

/// Deeper recursion of a pull than this is taken for unbounded.
const PULL_LEVELS_MAX: u64 = 8;

/// The rule that gives the facts.
const SUPPORT: &str = "support";

/// The columns of its answer.
const FACT: [&str; 3] = ["entity", "attribute", "value"];

/// Where the rows of a query with `:limit` end that a replica needs: at a value of the first key of
/// their order.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub(crate) var: Var,
    pub(crate) descending: bool,
    /// Whose values the key has.
    pub(crate) attribute: Attribute,
}

impl Edge {
    /// The edge of a program's window; none where it has no window, or its key is no value of a
    /// fact that every row has.
    pub(crate) fn of(program: &Program, flat: &Stratified) -> Option<Edge> {
        let first = program.order_by().first()?;
        if program.raw.limit.is_none() || !program.raw.after.is_empty() {
            return None;
        }
        let FindElement::Variable(var) = program.find[first.element as usize] else { return None };
        let attribute = flat.body.iter().find_map(|goal| match &goal.kind {
            GoalKind::Pattern {
                attribute: AttributeTerm::Const(attribute),
                value: Term::Var(value),
                ..
            } if *value == var => Some(attribute.clone()),
            _ => None,
        });
        let columns = program.inputs.iter().flat_map(InputShape::columns);
        let is_input = columns.map(|column| column.var).any(|input| input == var);
        let attribute = attribute.filter(|_| !is_input)?;
        Some(Edge { var, descending: first.descending, attribute })
    }
}

/// A program whose rows are the entities, attributes and values of the support; its inputs are the
/// variables that the inputs of the original bind, one by one, or as one relation where an input
/// may give several rows. With an edge there is one input more, the last key within; what is
/// beyond is in no row.
pub(crate) fn support(program: &Program, flat: &Stratified, edge: Option<&Edge>) -> RawProgram {
    let columns = program.inputs.iter().flat_map(InputShape::columns);
    let mut inputs: Vec<Var> = columns.map(|column| column.var).collect();
    let mut body = flat.body.clone();
    if let Some(Edge { var, descending, .. }) = edge {
        let last = Var(flat.scope.names.len() as u32);
        let function = if *descending { Function::GreaterEqual } else { Function::LessEqual };
        let args = vec![Term::Var(*var), Term::Var(last)];
        let id = ClauseId(0);
        body.push(Goal { id, kind: GoalKind::Predicate { function, args } });
        inputs.push(last);
    }
    let names: Vec<Name> = (0..inputs.len()).map(|number| name(&format!("in{number}"))).collect();
    let mut deriving = Deriving {
        flat,
        outside: inputs.iter().copied().zip(names.iter().cloned()).collect(),
        inputs: names,
        raw: RawProgram::default(),
        demanded: BTreeMap::new(),
        waiting: Vec::new(),
        called: BTreeSet::new(),
        copied: BTreeSet::new(),
    };
    let root = Context { body: &body, bound: inputs.into_iter().collect(), demand: None };
    deriving.body(&root);
    deriving.pulls(program, &root);
    // What follows are rules: no input reaches into their bodies but as an argument.
    deriving.outside.clear();
    while let Some((rule, columns)) = deriving.waiting.pop() {
        deriving.goal(rule, &columns);
    }
    deriving.finish(program)
}

/// Whether an input may give several rows, so that the inputs of the support are a relation.
pub(crate) fn takes_relation(program: &Program) -> bool {
    let is_single =
        |shape: &InputShape| matches!(shape, InputShape::Scalar(_) | InputShape::Tuple(_));
    !program.inputs.iter().all(is_single)
}

fn name(text: &str) -> Name {
    Name::new(text.to_owned()).expect("a short name without odd characters")
}

/// A body under a demand.
struct Context<'p> {
    body: &'p [Goal],
    /// What inputs and demand bind.
    bound: VarSet,
    /// The call that gives the bindings; none for the query's own body, whose inputs are given.
    demand: Option<(Name, Vec<Var>)>,
}

/// Goals in an order in which each finds bound what it needs, and may be found by what it shares.
struct Order<'p> {
    positive: Vec<Step<'p>>,
    /// `not` and `missing?`.
    negative: Vec<&'p Goal>,
}

/// A positive goal.
struct Step<'p> {
    goal: &'p Goal,
    /// What is bound before.
    bound: VarSet,
    /// It is asked for, and left out of what the others are joined with.
    is_filter: bool,
}

/// The names of a definition's variables where they are not their own.
type Renamed = BTreeMap<Var, Name>;

struct Deriving<'p> {
    flat: &'p Stratified,
    /// The inputs: the first columns of every rule made here.
    inputs: Vec<Name>,
    /// The variables of the body at hand that are inputs.
    outside: Renamed,
    raw: RawProgram,
    /// Goals, by rule and bound columns, with the rule that says which are asked for.
    demanded: BTreeMap<(RuleId, Vec<usize>), Name>,
    /// Those whose support has to be derived yet.
    waiting: Vec<(RuleId, Vec<usize>)>,
    /// Rules of the original that are called and not written out yet.
    called: BTreeSet<RuleId>,
    /// Those that are.
    copied: BTreeSet<RuleId>,
}

impl<'p> Deriving<'p> {
    /// The support of a demanded goal.
    fn goal(&mut self, rule: RuleId, columns: &[usize]) {
        let demand = self.demanded[&(rule, columns.to_vec())].clone();
        let flat = self.flat;
        for definition in &flat.rules[rule.index()].definitions {
            let asked: Vec<Var> = columns.iter().map(|column| definition.head[*column]).collect();
            let bound = asked.iter().copied().collect();
            let demand = Some((demand.clone(), asked));
            self.body(&Context { body: &definition.body, bound, demand });
        }
    }

    /// The support of a body: its own facts, and the goals that it asks for.
    fn body(&mut self, context: &Context<'p>) {
        let Order { positive, negative } = self.order(context);
        let joined = positive.iter().filter(|step| !step.is_filter);
        let whole: Vec<&Goal> = joined.map(|step| step.goal).collect();
        let mut n_before = 0;
        for Step { goal, bound, is_filter } in &positive {
            let before = &whole[..n_before];
            match &goal.kind {
                GoalKind::Pattern { entity, attribute, value } => {
                    self.fact(context, &whole, Some(n_before), [entity, value], attribute);
                }
                // What it gives is known only when all facts of the field are.
                GoalKind::GetElse { entity, attribute, .. } => {
                    self.fact(context, before, None, [entity, &Term::Blank], attribute);
                }
                GoalKind::Call { rule, args, .. } => {
                    let is_known = |column: &usize| args[*column].is_known(bound);
                    let columns = (0..args.len()).filter(is_known).collect();
                    self.demand(context, before, *rule, columns, args);
                }
                _ => {}
            }
            n_before += usize::from(!is_filter);
        }
        for goal in negative {
            match &goal.kind {
                GoalKind::Missing { entity, attribute } => {
                    self.fact(context, &whole, None, [entity, &Term::Blank], attribute);
                }
                GoalKind::Call { rule, args, .. } => {
                    let is_given = |column: &usize| args[*column] != Term::Blank;
                    let columns = (0..args.len()).filter(is_given).collect();
                    self.demand(context, &whole, *rule, columns, args);
                }
                _ => {}
            }
        }
    }

    /// Functions as soon as they can be had, then facts found by something known, then calls, so
    /// that each goal is asked with as much as possible bound.
    fn order(&self, context: &Context<'p>) -> Order<'p> {
        let is_negative = |goal: &&Goal| {
            matches!(goal.kind, GoalKind::Missing { .. } | GoalKind::Call { negated: true, .. })
        };
        let (negative, mut waiting): (Vec<&Goal>, Vec<&Goal>) =
            context.body.iter().partition(is_negative);
        let mut bound = context.bound.clone();
        let mut positive = Vec::new();
        while !waiting.is_empty() {
            let best = (0..waiting.len()).min_by_key(|index| self.rank(waiting[*index], &bound));
            let goal = waiting.remove(best.expect("some wait"));
            let before = bound.clone();
            bound.extend(goal.kind.binds());
            let others = waiting.iter().chain(&negative).copied();
            let others = others.chain(positive.iter().map(|step: &Step<'_>| step.goal));
            let is_filter = self.is_filter(goal, &before, others);
            positive.push(Step { goal, bound: before, is_filter });
        }
        Order { positive, negative }
    }

    fn rank(&self, goal: &Goal, bound: &VarSet) -> u32 {
        let is_known = |terms: &[&Term]| terms.iter().any(|term| term.is_known(bound));
        if !goal.kind.needs(&self.flat.rules).iter().all(|var| bound.contains(var)) {
            return 5;
        }
        match &goal.kind {
            GoalKind::Pattern { entity, value, .. } => match is_known(&[entity, value]) {
                true => 1,
                false => 3,
            },
            GoalKind::Call { args, .. } => match is_known(&args.iter().collect::<Vec<_>>()) {
                true => 2,
                false => 4,
            },
            _ => 0,
        }
    }

    /// Whether it is a call of a rule that recurses and binds nothing that another goal has.
    fn is_filter<'g>(
        &self,
        goal: &Goal,
        bound: &VarSet,
        mut others: impl Iterator<Item = &'g Goal>,
    ) -> bool {
        let GoalKind::Call { rule, .. } = goal.kind else { return false };
        let free: VarSet =
            goal.kind.vars().into_iter().filter(|var| !bound.contains(var)).collect();
        self.flat.is_recursive(rule) && others.all(|other| other.kind.vars().is_disjoint(&free))
    }

    /// A definition of `support`: the facts that a place reads under some goals, which the place
    /// is one of, or not.
    fn fact(
        &mut self,
        context: &Context<'p>,
        goals: &[&Goal],
        place: Option<usize>,
        [entity, value]: [&Term; 2],
        attribute: &AttributeTerm,
    ) {
        let attribute_term = match attribute {
            AttributeTerm::Var(var) => Term::Var(*var),
            AttributeTerm::Blank => Term::Blank,
            AttributeTerm::Const(name) => Term::Const(Value::String(name.shared().clone())),
        };
        let mut renamed = Renamed::new();
        let mut given = Vec::new();
        for (column, term) in FACT.into_iter().zip([entity, &attribute_term, value]) {
            match term {
                Term::Blank => {}
                Term::Var(var) if !self.outside.contains_key(var) && !renamed.contains_key(var) => {
                    renamed.insert(*var, name(column));
                }
                term => given.push((column, term)),
            }
        }
        let mut body = self.demand_call(context, &renamed);
        for (index, goal) in goals.iter().enumerate() {
            let clause =
                if Some(index) == place { None } else { self.clause(&goal.kind, &renamed) };
            body.extend(clause.map(|clause| self.push(clause)));
        }
        let attribute = match attribute {
            AttributeTerm::Const(name) => RawTerm::Keyword(keyword(name.as_str())),
            AttributeTerm::Var(_) | AttributeTerm::Blank => {
                self.column("attribute", &attribute_term, &renamed)
            }
        };
        let entity = self.column("entity", entity, &renamed);
        let value = self.column("value", value, &renamed);
        body.push(self.push(RawClause::Pattern { entity, attribute, value }));
        for (column, term) in given {
            body.push(self.bind(column, term, &renamed));
        }
        let head = FACT.iter().map(|column| RawTerm::Variable(name(column)));
        self.rule(name(SUPPORT), head.collect(), body);
    }

    /// What stands for a term of the fact that is read.
    fn column(&self, column: &str, term: &Term, renamed: &Renamed) -> RawTerm {
        match term {
            Term::Blank => RawTerm::Variable(name(column)),
            term => self.term(term, renamed),
        }
    }

    /// Binds a variable to a term.
    fn bind(&mut self, to: &str, term: &Term, renamed: &Renamed) -> ClauseId {
        let function = match term {
            Term::Const(_) => "ground",
            Term::Var(_) | Term::Blank => "identity",
        };
        let args = vec![self.term(term, renamed)];
        let binding = RawBinding::Scalar(RawTerm::Variable(name(to)));
        let function = name(function);
        self.push(RawClause::Function { function, args, rows: Vec::new(), binding })
    }

    /// Asks for a goal under some others.
    fn demand(
        &mut self,
        context: &Context<'p>,
        goals: &[&Goal],
        rule: RuleId,
        columns: Vec<usize>,
        args: &[Term],
    ) {
        let number = self.demanded.len();
        let key = (rule, columns.clone());
        let demand = self.demanded.entry(key.clone()).or_insert_with(|| {
            self.waiting.push(key);
            name(&format!("demand{number}"))
        });
        let demand = demand.clone();
        let renamed = Renamed::new();
        let mut body = self.demand_call(context, &renamed);
        body.extend(self.clauses(goals, &renamed));
        let given: Vec<Term> = columns.iter().map(|column| args[*column].clone()).collect();
        let head = or_unit(given).into_iter().zip(0..).map(|(term, number)| {
            let argument = format!("argument{number}");
            body.push(self.bind(&argument, &term, &renamed));
            RawTerm::Variable(name(&argument))
        });
        let head = head.collect();
        self.rule(demand, head, body);
    }

    /// The call that gives a body its bindings.
    fn demand_call(&mut self, context: &Context<'p>, renamed: &Renamed) -> Vec<ClauseId> {
        let Some((rule, vars)) = &context.demand else { return Vec::new() };
        let terms = or_unit(vars.iter().map(|var| Term::Var(*var)).collect());
        let terms = terms.iter().map(|term| self.term(term, renamed));
        let args = self.input_terms().chain(terms).collect();
        vec![self.push(RawClause::Rule { rule: rule.clone(), args })]
    }

    fn input_terms(&self) -> impl Iterator<Item = RawTerm> + use<> {
        self.inputs.clone().into_iter().map(RawTerm::Variable)
    }

    /// The facts that pulling the rows of the query reads, entity by entity.
    fn pulls(&mut self, program: &Program, root: &Context<'p>) {
        let mut levels = Levels { seen: BTreeSet::new(), waiting: Vec::new() };
        for element in &program.find {
            let FindElement::Pull { var, pattern } = element else { continue };
            let renamed = Renamed::new();
            let goals: Vec<&Goal> = root.body.iter().collect();
            let mut body: Vec<ClauseId> = self.clauses(&goals, &renamed);
            body.push(self.bind(FACT[0], &Term::Var(*var), &renamed));
            self.rule(levels.rule((*pattern, 0)), vec![RawTerm::Variable(name(FACT[0]))], body);
        }
        while let Some((pattern, level)) = levels.waiting.pop() {
            for item in &program.raw.pulls[pattern.0 as usize].items {
                self.pulled(&mut levels, (pattern, level), item);
            }
        }
    }

    /// The facts of one item of a pattern, and the entities that it leads to.
    fn pulled(&mut self, levels: &mut Levels, level: (PullId, u64), item: &RawPullItem) {
        let [entity, attribute, value] = FACT.map(|column| RawTerm::Variable(name(column)));
        let call = |this: &mut Self, of: &RawTerm| {
            let args = this.input_terms().chain([of.clone()]).collect();
            let rule = levels_name(level);
            this.push(RawClause::Rule { rule, args })
        };
        let (keyword, reverse, nested) = match item {
            RawPullItem::Wildcard => (None, false, RawPullNested::No),
            RawPullItem::Attribute { attribute, reverse, nested, .. } => {
                (Some(attribute), *reverse, *nested)
            }
        };
        let from = if reverse { &value } else { &entity };
        let position = match keyword {
            Some(keyword) => RawTerm::Keyword(keyword.clone()),
            None => attribute.clone(),
        };
        let pattern = RawClause::Pattern {
            entity: entity.clone(),
            attribute: position,
            value: value.clone(),
        };
        let mut body = vec![call(self, from), self.push(pattern.clone())];
        if let Some(keyword) = keyword {
            let text = Term::Const(Value::from(keyword.as_str()));
            body.push(self.bind(FACT[1], &text, &Renamed::new()));
        }
        self.rule(name(SUPPORT), vec![entity.clone(), attribute, value.clone()], body);
        let (pattern_id, depth) = level;
        let next = match nested {
            RawPullNested::No => return,
            RawPullNested::Pattern(pattern) => (pattern, 0),
            RawPullNested::Recursion(Some(n)) if n <= PULL_LEVELS_MAX => match depth >= n {
                true => return,
                false => (pattern_id, depth + 1),
            },
            RawPullNested::Recursion(_) => (pattern_id, depth),
        };
        let to = if reverse { &entity } else { &value };
        let body = vec![call(self, from), self.push(pattern)];
        self.rule(levels.rule(next), vec![to.clone()], body);
    }

    fn finish(mut self, program: &Program) -> RawProgram {
        while let Some(rule) = self.called.pop_first() {
            self.copied.insert(rule);
            self.copy(rule);
        }
        if !self.raw.rules.iter().any(|rule| rule.name.as_str() == SUPPORT) {
            self.nothing();
        }
        let facts = FACT.map(|column| RawTerm::Variable(name(column)));
        let args = self.input_terms().chain(facts).collect();
        self.raw.body = vec![self.push(RawClause::Rule { rule: name(SUPPORT), args })];
        self.raw.find = FACT.iter().map(|it| RawFindElement::Variable(name(it))).collect();
        let names = self.inputs.into_iter();
        self.raw.inputs = match takes_relation(program) {
            true => vec![RawInput::Relation(names.map(Some).collect())],
            false => names.map(RawInput::Scalar).collect(),
        };
        self.raw
    }

    /// Where no fact is read, none is needed.
    fn nothing(&mut self) {
        let empty = Term::Const(Value::from(""));
        let mut body: Vec<ClauseId> =
            FACT.iter().map(|column| self.bind(column, &empty, &Renamed::new())).collect();
        let args = [RawTerm::Variable(name(FACT[0])), RawTerm::Constant(Value::int(0))].into();
        body.push(self.push(RawClause::Predicate { function: name("="), args }));
        let head = FACT.iter().map(|column| RawTerm::Variable(name(column)));
        self.rule(name(SUPPORT), head.collect(), body);
    }

    /// Writes a rule of the original out.
    fn copy(&mut self, rule: RuleId) {
        let flat = self.flat;
        for definition in &flat.rules[rule.index()].definitions {
            let renamed = Renamed::new();
            let inner = |var: &Var| RawTerm::Variable(local(*var));
            let mut head: Vec<RawTerm> = definition.head.iter().map(inner).collect();
            let goals: Vec<&Goal> = definition.body.iter().collect();
            let mut body = self.clauses(&goals, &renamed);
            if head.is_empty() {
                head.push(RawTerm::Variable(name("unit")));
                body.push(self.bind("unit", &UNIT, &renamed));
            }
            self.raw.rules.push(RawRule { name: copied(rule), n_required: 0, head, body });
        }
    }

    /// Adds a definition of a rule that takes the inputs first.
    fn rule(&mut self, name: Name, head: Vec<RawTerm>, body: Vec<ClauseId>) {
        let head = self.input_terms().chain(head).collect();
        self.raw.rules.push(RawRule { name, n_required: 0, head, body });
    }

    fn push(&mut self, clause: RawClause) -> ClauseId {
        self.raw.clauses.push(clause);
        ClauseId(self.raw.clauses.len() as u32 - 1)
    }

    fn clauses(&mut self, goals: &[&Goal], renamed: &Renamed) -> Vec<ClauseId> {
        let mut clauses = Vec::with_capacity(goals.len());
        for goal in goals {
            let clause = self.clause(&goal.kind, renamed);
            clauses.extend(clause.map(|clause| self.push(clause)));
        }
        clauses
    }

    /// A goal as a clause; none where it says nothing.
    fn clause(&mut self, kind: &GoalKind, renamed: &Renamed) -> Option<RawClause> {
        let terms = |this: &Self, terms: &[Term]| -> Vec<RawTerm> {
            terms.iter().map(|term| this.term(term, renamed)).collect()
        };
        Some(match kind {
            GoalKind::Pattern { entity, attribute, value } => RawClause::Pattern {
                entity: self.term(entity, renamed),
                attribute: self.attribute(attribute, renamed),
                value: self.term(value, renamed),
            },
            GoalKind::Predicate { function, args } => {
                RawClause::Predicate { function: name(function.name()), args: terms(self, args) }
            }
            GoalKind::Function { function, args, out } => RawClause::Function {
                function: name(function.name()),
                args: terms(self, args),
                rows: Vec::new(),
                binding: RawBinding::Scalar(self.term(out, renamed)),
            },
            GoalKind::Ground { rows, out } => {
                let out = terms(self, out);
                let binding = match <[RawTerm; 1]>::try_from(out) {
                    Ok([term]) => RawBinding::Collection(term),
                    Err(out) => RawBinding::Relation(out),
                };
                let function = name("ground");
                RawClause::Function { function, args: Vec::new(), rows: rows.clone(), binding }
            }
            GoalKind::Missing { entity, attribute } => RawClause::Predicate {
                function: name("missing?"),
                args: vec![self.term(entity, renamed), self.attribute(attribute, renamed)],
            },
            GoalKind::GetElse { entity, attribute, default, out } => {
                let [entity, default] = [entity, default].map(|term| self.term(term, renamed));
                RawClause::Function {
                    function: name("get-else"),
                    args: vec![entity, self.attribute(attribute, renamed), default],
                    rows: Vec::new(),
                    binding: RawBinding::Scalar(self.term(out, renamed)),
                }
            }
            GoalKind::Call { rule, args, negated } => {
                if !self.copied.contains(rule) {
                    self.called.insert(*rule);
                }
                let args = terms(self, &or_unit(args.clone()));
                let call = RawClause::Rule { rule: copied(*rule), args };
                match negated {
                    true => RawClause::Not { join: None, body: vec![self.push(call)] },
                    false => call,
                }
            }
        })
    }

    fn attribute(&self, attribute: &AttributeTerm, renamed: &Renamed) -> RawTerm {
        match attribute {
            AttributeTerm::Const(name) => RawTerm::Keyword(keyword(name.as_str())),
            AttributeTerm::Var(var) => self.term(&Term::Var(*var), renamed),
            AttributeTerm::Blank => RawTerm::Blank,
        }
    }

    fn term(&self, term: &Term, renamed: &Renamed) -> RawTerm {
        match term {
            Term::Blank => RawTerm::Blank,
            Term::Const(value) => RawTerm::Constant(value.clone()),
            Term::Var(var) => {
                let named = renamed.get(var).or_else(|| self.outside.get(var)).cloned();
                RawTerm::Variable(named.unwrap_or_else(|| local(*var)))
            }
        }
    }
}

/// The patterns of a pull, each with how often it has recursed, that have been reached.
struct Levels {
    seen: BTreeSet<(PullId, u64)>,
    waiting: Vec<(PullId, u64)>,
}

impl Levels {
    /// The rule that says which entities a pattern is pulled from.
    fn rule(&mut self, level: (PullId, u64)) -> Name {
        if self.seen.insert(level) {
            self.waiting.push(level);
        }
        levels_name(level)
    }
}

/// What stands where there are no arguments: rules have at least one.
const UNIT: Term = Term::Const(Value::Boolean(true));

fn or_unit(terms: Vec<Term>) -> Vec<Term> {
    if terms.is_empty() { vec![UNIT] } else { terms }
}

fn levels_name((pattern, level): (PullId, u64)) -> Name {
    name(&format!("pulled{}.{level}", pattern.0))
}

fn local(var: Var) -> Name {
    name(&format!("v{}", var.0))
}

fn copied(rule: RuleId) -> Name {
    name(&format!("rule{}", rule.0))
}

fn keyword(text: &str) -> Name {
    Name::new(text.to_owned()).expect("an attribute's name is one")
}
