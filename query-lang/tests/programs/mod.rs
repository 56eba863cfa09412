//! Random programs that every front end must be able to write and read back.
//!
//! Programs are made as trees and lowered into the arena in the order that translation uses
//! (body, then rules; children first), because only such programs are their own image. They are
//! well formed but make no sense: what they mean is not this crate's business. Names and strings
//! are drawn to be as unhandy as the language allows.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tercet_engine::ids::Name;
use tercet_engine::program::functions::FUNCTIONS;
use tercet_engine::program::raw::{
    ClauseId, FindForm, PullId, RawBinding, RawClause, RawFindElement, RawHaving, RawHavingTerm,
    RawInput, RawOrder, RawProgram, RawPull, RawPullItem, RawPullNested, RawRule, RawTerm,
};
use tercet_engine::value::{Date, Value};

/// Any program that text can say.
pub(crate) fn any_program() -> impl Strategy<Value = RawProgram> {
    let head = (any_find(), vec(variable_name(), 0..3), vec(input(), 0..3), any::<bool>());
    let body = (vec(clause(), 0..5), vec(rule(), 0..3));
    let window = (option::of(0..=i64::MAX as u64), prop_oneof![Just(0_u64), 0..100_u64]);
    let after = vec(value(), 0..3);
    let picks = (vec((function_name(), vec(having_arg(), 0..3)), 0..2), vec(order(), 0..3));
    (head, body, window, after, picks).prop_map(|(head, body, window, after, picks)| {
        let (find, with, mut inputs, asks_for_rules) = head;
        let mut program = RawProgram {
            find_form: find.form,
            keys: find.keys,
            with,
            limit: window.0,
            offset: window.1,
            after,
            ..RawProgram::default()
        };
        for element in find.elements {
            let element = lower_element(&mut program, element);
            program.find.push(element);
        }
        inputs.extend(asks_for_rules.then_some(RawInput::Rules));
        program.inputs = inputs;
        program.body = lower_all(&mut program, body.0);
        for (name, required, free, clauses) in body.1 {
            let n_required = required.len() as u32;
            let head = required.into_iter().chain(free).map(RawTerm::Variable).collect();
            let body = lower_all(&mut program, clauses);
            program.rules.push(RawRule { name, n_required, head, body });
        }
        refer_to_elements(&mut program, picks.0, picks.1);
        program
    })
}

/// Order and conditions may name any element but a pull; equal elements are one.
fn refer_to_elements(
    program: &mut RawProgram,
    having: Vec<(Name, Vec<Result<usize, Value>>)>,
    order: Vec<(usize, bool)>,
) {
    let is_pull = |element: &RawFindElement| matches!(element, RawFindElement::Pull { .. });
    let first = |element: &RawFindElement| program.find.iter().position(|found| found == element);
    let usable: Vec<u32> = program
        .find
        .iter()
        .filter(|element| !is_pull(element))
        .filter_map(|element| first(element).map(|index| index as u32))
        .collect();
    // An order names a pull by its entity, if there is one of it.
    let pulls = program.find.iter().enumerate().filter_map(|(index, element)| match element {
        RawFindElement::Pull { variable, .. } => Some((index as u32, variable)),
        _ => None,
    });
    let pulls: Vec<(u32, &Name)> = pulls.collect();
    let is_alone =
        |variable: &Name| pulls.iter().filter(|(_, other)| *other == variable).count() == 1;
    let alone = pulls.iter().filter(|(_, variable)| is_alone(variable)).map(|(index, _)| *index);
    let orderable: Vec<u32> = usable.iter().copied().chain(alone).collect();
    if !orderable.is_empty() {
        program.order_by = order
            .into_iter()
            .map(|(element, descending)| RawOrder {
                element: orderable[element % orderable.len()],
                descending,
            })
            .collect();
    }
    if usable.is_empty() {
        return;
    }
    let pick = |pick: usize| usable[pick % usable.len()];
    let arg = |arg: Result<usize, Value>| match arg {
        Ok(element) => RawHavingTerm::Element(pick(element)),
        Err(value) => RawHavingTerm::Constant(value),
    };
    program.having = having
        .into_iter()
        .map(|(function, args)| RawHaving { function, args: args.into_iter().map(arg).collect() })
        .collect();
}

fn having_arg() -> impl Strategy<Value = Result<usize, Value>> {
    prop_oneof![any::<usize>().prop_map(Ok), value().prop_map(Err)]
}

fn order() -> impl Strategy<Value = (usize, bool)> {
    any::<(usize, bool)>()
}

/// A word of atom characters after a first one that makes it a plain symbol.
fn symbol_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,4}", "[a-zA-Zé<>=!*&|.+-][a-z0-9é?!*#':/<>=.$%&|_-]{0,6}",].prop_filter(
        "a plain symbol that has no meaning of its own",
        |text| {
            let digit = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
            let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
            let is_number = digit(unsigned.strip_prefix('.').unwrap_or(unsigned));
            let taken = [
                "true", "false", "nil", "null", ".", "...", "and", "or", "not", "not-join",
                "or-join", "pull", "ground", "missing?", "get-else", "=", "==", "!=", "not=", "<",
                "<=", ">", ">=", "+", "-", "*", "/",
            ];
            !is_number && !taken.contains(&text.as_str())
        },
    )
}

fn name(text: &str) -> Name {
    Name::new(text).expect("generated names are names")
}

fn variable_name() -> impl Strategy<Value = Name> {
    prop_oneof!["[a-z]{1,3}", "[a-z0-9é?!*#':/<>=.$%&|_-]{1,6}"].prop_map(|text| name(&text))
}

fn rule_name() -> impl Strategy<Value = Name> {
    symbol_text().prop_map(|text| name(&text))
}

fn function_name() -> impl Strategy<Value = Name> {
    let known = FUNCTIONS.iter().flat_map(|signature| signature.names).copied();
    // `not` is a function of one term only: see `leaf`.
    let known = known.filter(|name| *name != "not").collect::<Vec<_>>();
    prop_oneof![prop::sample::select(known).prop_map(name), rule_name()]
}

/// Any text a name may have.
fn free_name() -> impl Strategy<Value = Name> {
    prop_oneof!["[a-z]{1,4}", "\\PC{1,8}"].prop_map(|text| name(&text))
}

fn attribute() -> impl Strategy<Value = Name> {
    let any = free_name().prop_filter("no leading colon", |name| !name.as_str().starts_with(':'));
    prop_oneof![3 => "[a-z]{1,3}/[a-z]{1,3}".prop_map(|text| name(&text)), 1 => any]
}

/// A pulled attribute: forward ones whose field would read as a reverse one do not exist.
fn pulled() -> impl Strategy<Value = (Name, bool)> {
    let forward = attribute().prop_filter("not reverse", |name| {
        name.as_str().split_once('/').is_none_or(|(_, field)| !field.starts_with('_'))
    });
    let reverse = "[a-z]{1,3}/[a-z _]{1,3}".prop_map(|text| (name(&text), true));
    prop_oneof![forward.prop_map(|name| (name, false)), reverse]
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let date = (Date::MIN.ms()..=Date::MAX.ms())
        .prop_map(|ms| Value::Date(Date::from_ms(ms).expect("in range")));
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        (-5_i64..5).prop_map(Value::int),
        any::<i64>().prop_map(Value::int),
        any::<f64>().prop_filter_map("finite", |double| Value::double(double).ok()),
        date,
        prop_oneof!["[?:_$]?[a-z]{0,3}", any::<String>()].prop_map(Value::from),
        "\\PC{1,5}".prop_map(|id| Value::reference(&id).expect("printable text is an id")),
    ]
}

fn term() -> impl Strategy<Value = RawTerm> {
    let keyword = "[a-z]{1,3}/[a-z#':]{1,3}";
    prop_oneof![
        4 => variable_name().prop_map(RawTerm::Variable),
        1 => Just(RawTerm::Blank),
        1 => keyword.prop_map(|text| RawTerm::Keyword(name(&text))),
        3 => value().prop_map(RawTerm::Constant),
    ]
}

/// What the function `not` takes.
fn negatable() -> impl Strategy<Value = RawTerm> {
    prop_oneof![variable_name().prop_map(RawTerm::Variable), value().prop_map(RawTerm::Constant),]
}

fn attribute_term() -> impl Strategy<Value = RawTerm> {
    prop_oneof![
        4 => attribute().prop_map(RawTerm::Keyword),
        1 => variable_name().prop_map(RawTerm::Variable),
        1 => Just(RawTerm::Blank),
    ]
}

fn slot() -> impl Strategy<Value = RawTerm> {
    prop_oneof![4 => variable_name().prop_map(RawTerm::Variable), 1 => Just(RawTerm::Blank)]
}

fn binding() -> impl Strategy<Value = RawBinding> {
    prop_oneof![
        slot().prop_map(RawBinding::Scalar),
        slot().prop_map(RawBinding::Collection),
        vec(slot(), 1..4).prop_map(RawBinding::Tuple),
        vec(slot(), 1..4).prop_map(RawBinding::Relation),
    ]
}

fn input() -> impl Strategy<Value = RawInput> {
    let slots = || vec(option::of(variable_name()), 1..4);
    prop_oneof![
        variable_name().prop_map(RawInput::Scalar),
        variable_name().prop_map(RawInput::Collection),
        slots().prop_map(RawInput::Tuple),
        slots().prop_map(RawInput::Relation),
    ]
}

#[derive(Debug, Clone)]
enum Clause {
    Leaf(RawClause),
    Not(Option<Vec<Name>>, Vec<Clause>),
    Or(Option<Vec<Name>>, Vec<Name>, Vec<Vec<Clause>>),
}

fn clause() -> impl Strategy<Value = Clause> {
    leaf().prop_map(Clause::Leaf).prop_recursive(4, 24, 3, |inner| {
        let body = vec(inner, 1..4);
        let branches = vec(body.clone(), 1..3);
        let names = || vec(variable_name(), 0..3);
        prop_oneof![
            (option::of(names()), body).prop_map(|(join, body)| Clause::Not(join, body)),
            branches.clone().prop_map(|branches| Clause::Or(None, Vec::new(), branches)),
            (names(), names(), branches).prop_map(|(required, free, branches)| {
                let free = free.into_iter().filter(|name| !required.contains(name));
                let join = required.iter().cloned().chain(free).collect();
                Clause::Or(Some(join), required, branches)
            }),
        ]
    })
}

fn leaf() -> impl Strategy<Value = RawClause> {
    let args = || vec(term(), 0..4);
    prop_oneof![
        3 => (term(), attribute_term(), term()).prop_map(|(entity, attribute, value)| {
            RawClause::Pattern { entity, attribute, value }
        }),
        1 => (function_name(), args())
            .prop_map(|(function, args)| RawClause::Predicate { function, args }),
        1 => negatable().prop_map(|arg| {
            RawClause::Predicate { function: name("not"), args: vec![arg] }
        }),
        1 => (function_name(), args(), binding()).prop_map(|(function, args, binding)| {
            RawClause::Function { function, args, rows: Vec::new(), binding }
        }),
        1 => (term(), attribute_term()).prop_map(|(entity, attribute)| {
            RawClause::Predicate { function: name("missing?"), args: vec![entity, attribute] }
        }),
        1 => (term(), attribute_term(), term(), binding()).prop_map(|(e, a, default, binding)| {
            let function = name("get-else");
            RawClause::Function { function, args: vec![e, a, default], rows: Vec::new(), binding }
        }),
        1 => ground(),
        1 => (rule_name(), args()).prop_map(|(rule, args)| RawClause::Rule { rule, args }),
    ]
}

/// `ground` of one value, or of rows that fit its binding.
fn ground() -> impl Strategy<Value = RawClause> {
    binding().prop_flat_map(|binding| {
        let (n_rows, n_values) = match &binding {
            RawBinding::Scalar(_) => (0..1, 1),
            RawBinding::Collection(_) => (0..4, 1),
            RawBinding::Tuple(slots) => (1..2, slots.len()),
            RawBinding::Relation(slots) => (0..4, slots.len()),
        };
        let rows = vec(vec(value(), n_values), n_rows);
        (rows, term()).prop_map(move |(rows, arg)| {
            let args = match &binding {
                RawBinding::Scalar(_) => vec![arg],
                _ => Vec::new(),
            };
            RawClause::Function { function: name("ground"), args, rows, binding: binding.clone() }
        })
    })
}

type Rule = (Name, Vec<Name>, Vec<Name>, Vec<Clause>);

fn rule() -> impl Strategy<Value = Rule> {
    (rule_name(), vec(variable_name(), 0..3), vec(variable_name(), 0..3), vec(clause(), 1..3))
}

fn lower_all(program: &mut RawProgram, clauses: Vec<Clause>) -> Vec<ClauseId> {
    clauses.into_iter().map(|clause| lower(program, clause)).collect()
}

fn lower(program: &mut RawProgram, clause: Clause) -> ClauseId {
    let raw = match clause {
        Clause::Leaf(raw) => raw,
        Clause::Not(join, body) => RawClause::Not { join, body: lower_all(program, body) },
        Clause::Or(join, required, branches) => {
            let branches = branches.into_iter().map(|body| lower_all(program, body)).collect();
            RawClause::Or { join, required, branches }
        }
    };
    program.clauses.push(raw);
    ClauseId(program.clauses.len() as u32 - 1)
}

#[derive(Debug, Clone)]
struct Find {
    form: FindForm,
    elements: Vec<Element>,
    keys: Vec<Name>,
}

#[derive(Debug, Clone)]
enum Element {
    Plain(RawFindElement),
    Pull(Name, Pull),
}

#[derive(Debug, Clone)]
struct Pull(Vec<(RawPullItem, Option<Pull>)>);

fn any_find() -> impl Strategy<Value = Find> {
    let form = prop::sample::select(vec![
        FindForm::Relation,
        FindForm::Tuple,
        FindForm::Collection,
        FindForm::Scalar,
    ]);
    (form, vec(element(), 1..4), option::of(vec(free_name(), 3))).prop_map(
        |(form, mut elements, keys)| {
            if matches!(form, FindForm::Collection | FindForm::Scalar) {
                elements.truncate(1);
            }
            let keys = keys.map_or_else(Vec::new, |keys| keys[..elements.len()].to_vec());
            Find { form, elements, keys }
        },
    )
}

fn element() -> impl Strategy<Value = Element> {
    let function = symbol_text().prop_map(|text| name(&text));
    prop_oneof![
        3 => variable_name().prop_map(|name| Element::Plain(RawFindElement::Variable(name))),
        2 => (function, option::of(value()), variable_name()).prop_map(|(function, n, variable)| {
            Element::Plain(RawFindElement::Aggregate { function, n, variable })
        }),
        2 => (variable_name(), pull()).prop_map(|(name, pull)| Element::Pull(name, pull)),
    ]
}

fn pull() -> impl Strategy<Value = Pull> {
    let leaf = vec(pull_item().prop_map(|item| (item, None)), 1..3).prop_map(Pull);
    leaf.prop_recursive(3, 12, 3, |inner| {
        vec((pull_item(), option::of(inner)), 1..3).prop_map(Pull)
    })
}

fn pull_item() -> impl Strategy<Value = RawPullItem> {
    let nested = prop_oneof![
        Just(RawPullNested::No),
        Just(RawPullNested::Recursion(None)),
        (1_u64..9).prop_map(|depth| RawPullNested::Recursion(Some(depth))),
    ];
    let options = (option::of(free_name()), option::of(1_u64..9), option::of(value()));
    let attribute =
        (pulled(), options, nested).prop_map(|((attribute, reverse), options, nested)| {
            let (rename, limit, default) = options;
            RawPullItem::Attribute { attribute, reverse, rename, limit, default, nested }
        });
    let rename_is_writable = |item: &RawPullItem| match item {
        RawPullItem::Attribute { rename: Some(rename), .. } => !rename.as_str().starts_with(':'),
        _ => true,
    };
    prop_oneof![
        1 => Just(RawPullItem::Wildcard),
        5 => attribute.prop_filter("no leading colon", rename_is_writable),
    ]
}

fn lower_element(program: &mut RawProgram, element: Element) -> RawFindElement {
    match element {
        Element::Plain(element) => element,
        Element::Pull(variable, pull) => {
            RawFindElement::Pull { variable, pattern: lower_pull(program, pull) }
        }
    }
}

fn lower_pull(program: &mut RawProgram, pull: Pull) -> PullId {
    let mut items = Vec::new();
    for (mut item, inner) in pull.0 {
        if let (RawPullItem::Attribute { nested, .. }, Some(inner)) = (&mut item, inner) {
            *nested = RawPullNested::Pattern(lower_pull(program, inner));
        }
        items.push(item);
    }
    program.pulls.push(RawPull { items });
    PullId(program.pulls.len() as u32 - 1)
}
