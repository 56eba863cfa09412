//! A program as EDN text.
//!
//! Law: for every program that a front end of this crate made, parsing the text gives the same
//! program again. A program from elsewhere may hold what no text can say (a clause shared by two
//! parents, a variable with a space in its name): it prints too, as text for people. Each
//! section and each clause of the body has its own line; names are symbols and attributes
//! keywords where they can be, strings otherwise.

use std::fmt::{self, Display, Write};

use tercet_engine::ids::Name;
use tercet_engine::program::raw::{
    ClauseId, FindForm, PullId, RawBinding, RawClause, RawFindElement, RawHavingTerm, RawInput,
    RawProgram, RawPullItem, RawPullNested, RawRule, RawTerm,
};
use tercet_engine::value::Value;

use crate::syntax::{attribute_argument, is_keyword_name, is_plain_symbol};
use crate::walk::Walk;

/// The program as EDN text, in the order `:find`, `:keys`, `:with`, `:in`, `:where`, `:rules`, ….
///
/// ```
/// let program = tercet_query_lang::parse("{:find [?n] :where [[?e \"user/name\" ?n]]}")?.raw;
/// let text = tercet_query_lang::print(&program);
/// assert_eq!(text, "[:find ?n\n :where [?e :user/name ?n]]");
/// # Ok::<(), tercet_query_lang::Report>(())
/// ```
pub fn print(program: &RawProgram) -> String {
    let mut printer = Printer { program, walk: Walk::new(program), text: String::from("[") };
    printer.query().expect("writing to a string never fails");
    printer.text.push(']');
    printer.text
}

/// Something of a damaged program that is not there.
const DAMAGED: &str = "(damaged)";

struct Printer<'p> {
    program: &'p RawProgram,
    walk: Walk<'p>,
    text: String,
}

impl Printer<'_> {
    fn query(&mut self) -> fmt::Result {
        let program = self.program;
        self.find()?;
        self.section("keys", program.keys.iter().map(output_name))?;
        self.section("with", program.with.iter().map(variable))?;
        self.section("in", program.inputs.iter().map(input))?;
        self.lines("where", "", &program.body, |printer, id| printer.clause(*id))?;
        if !program.rules.is_empty() {
            self.lines("rules", "[", &program.rules, Printer::rule)?;
            self.text.push(']');
        }
        self.having()?;
        self.order_by()?;
        if let Some(limit) = program.limit {
            write!(self.text, "\n :limit {limit}")?;
        }
        if program.offset != 0 {
            write!(self.text, "\n :offset {}", program.offset)?;
        }
        if !program.after.is_empty() {
            write!(self.text, "\n :after [{}]", spaced(program.after.iter()))?;
        }
        Ok(())
    }

    fn section(&mut self, key: &str, items: impl Iterator<Item = String>) -> fmt::Result {
        let items = spaced(items);
        if items.is_empty() { Ok(()) } else { write!(self.text, "\n :{key} {items}") }
    }

    /// A section with an item a line, the later ones below the first.
    fn lines<Item>(
        &mut self,
        key: &str,
        open: &str,
        items: &[Item],
        mut print: impl FnMut(&mut Self, &Item) -> fmt::Result,
    ) -> fmt::Result {
        for (index, item) in items.iter().enumerate() {
            match index {
                0 => write!(self.text, "\n :{key} {open}")?,
                _ => write!(self.text, "\n{:1$}", "", key.len() + open.len() + 3)?,
            }
            print(self, item)?;
        }
        Ok(())
    }

    fn find(&mut self) -> fmt::Result {
        let (open, close) = match self.program.find_form {
            FindForm::Relation => ("", ""),
            FindForm::Tuple => ("[", "]"),
            FindForm::Collection => ("[", " ...]"),
            FindForm::Scalar => ("", " ."),
        };
        write!(self.text, ":find {open}")?;
        for (index, element) in self.program.find.iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { " " });
            self.element(element)?;
        }
        self.text.write_str(close)
    }

    fn element(&mut self, element: &RawFindElement) -> fmt::Result {
        match element {
            RawFindElement::Pull { variable, pattern } => {
                write!(self.text, "(pull ?{variable} ")?;
                self.pull(*pattern)?;
                self.text.write_char(')')
            }
            plain => self.text.write_str(&plain_element(plain)),
        }
    }

    fn pull(&mut self, id: PullId) -> fmt::Result {
        let Some(pull) = self.walk.pull(id) else {
            return self.text.write_str(DAMAGED);
        };
        self.text.push('[');
        for (index, item) in pull.items.iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { " " });
            self.pull_item(item)?;
        }
        self.walk.leave();
        self.text.write_char(']')
    }

    fn pull_item(&mut self, item: &RawPullItem) -> fmt::Result {
        let RawPullItem::Attribute { attribute, reverse, rename, limit, default, nested } = item
        else {
            return self.text.write_char('*');
        };
        let name = pulled_name(attribute, *reverse);
        let mut spec = attribute_text(&name);
        if let Some(limit) = limit {
            write!(spec, " :limit {limit}")?;
        }
        if let Some(default) = default {
            write!(spec, " :default {default}")?;
        }
        if let Some(rename) = rename {
            write!(spec, " :as {}", attribute_text(rename.as_str()))?;
        }
        if limit.is_some() || default.is_some() || rename.is_some() {
            spec = format!("[{spec}]");
        }
        match nested {
            RawPullNested::No => self.text.write_str(&spec),
            RawPullNested::Recursion(None) => write!(self.text, "{{{spec} ...}}"),
            RawPullNested::Recursion(Some(depth)) => write!(self.text, "{{{spec} {depth}}}"),
            RawPullNested::Pattern(id) => {
                write!(self.text, "{{{spec} ")?;
                self.pull(*id)?;
                self.text.write_char('}')
            }
        }
    }

    fn clause(&mut self, id: ClauseId) -> fmt::Result {
        let Some(clause) = self.walk.clause(id) else {
            return self.text.write_str(DAMAGED);
        };
        match clause {
            RawClause::Pattern { entity, attribute, value } => {
                write!(self.text, "[{} {}", term(entity), attribute_term(attribute))?;
                match value {
                    RawTerm::Blank => {}
                    value => write!(self.text, " {}", term(value))?,
                }
                self.text.push(']');
            }
            RawClause::Predicate { function, args } => {
                write!(self.text, "[({function}{})]", call_args(function, args))?;
            }
            RawClause::Function { function, args, rows, binding } => {
                let args = match ground_rows(function, args, rows, binding) {
                    Some(rows) => format!(" {rows}"),
                    None => call_args(function, args),
                };
                write!(self.text, "[({function}{args}) {}]", print_binding(binding))?;
            }
            RawClause::Rule { rule, args } => {
                write!(self.text, "({rule}{})", preceded(args.iter().map(term)))?;
            }
            RawClause::Not { join: None, body } => self.list("not", body)?,
            RawClause::Not { join: Some(join), body } => {
                let head = format!("not-join [{}]", spaced(join.iter().map(variable)));
                self.list(&head, body)?;
            }
            RawClause::Or { join, required, branches } => {
                self.or(join.as_deref(), required, branches)?;
            }
        }
        self.walk.leave();
        Ok(())
    }

    fn or(
        &mut self,
        join: Option<&[Name]>,
        required: &[Name],
        branches: &[Vec<ClauseId>],
    ) -> fmt::Result {
        match join {
            None => self.text.push_str("(or"),
            Some(join) => {
                let free = join.iter().filter(|name| !required.contains(name)).map(variable);
                write!(self.text, "(or-join [{}]", spaced(required_first(required, free)))?;
            }
        }
        for branch in branches {
            self.text.push(' ');
            match branch.as_slice() {
                [clause] => self.clause(*clause)?,
                clauses => self.list("and", clauses)?,
            }
        }
        self.text.write_char(')')
    }

    /// `(head clauses…)`.
    fn list(&mut self, head: &str, body: &[ClauseId]) -> fmt::Result {
        write!(self.text, "({head}")?;
        self.spaced_clauses(body)?;
        self.text.write_char(')')
    }

    fn spaced_clauses(&mut self, body: &[ClauseId]) -> fmt::Result {
        for id in body {
            self.text.push(' ');
            self.clause(*id)?;
        }
        Ok(())
    }

    fn rule(&mut self, rule: &RawRule) -> fmt::Result {
        let n_required = (rule.n_required as usize).min(rule.head.len());
        let (required, free) = rule.head.split_at(n_required);
        let head = match required {
            [] => preceded(free.iter().map(term)),
            _ => format!(
                " [{}]{}",
                spaced(required.iter().map(term)),
                preceded(free.iter().map(term))
            ),
        };
        write!(self.text, "[({}{head})", rule.name)?;
        self.spaced_clauses(&rule.body)?;
        self.text.write_char(']')
    }

    fn having(&mut self) -> fmt::Result {
        let program = self.program;
        self.lines("having", "", &program.having, |printer, having| {
            let args = having.args.iter().map(|arg| match arg {
                RawHavingTerm::Constant(value) => value.to_string(),
                RawHavingTerm::Element(index) => element_at(program, *index),
            });
            write!(printer.text, "[({}{})]", having.function, preceded(args))
        })
    }

    fn order_by(&mut self) -> fmt::Result {
        let program = self.program;
        if program.order_by.is_empty() {
            return Ok(());
        }
        let keys = program.order_by.iter().map(|order| {
            let element = element_at(program, order.element);
            if order.descending { format!("[{element} :desc]") } else { element }
        });
        write!(self.text, "\n :order-by [{}]", spaced(keys))
    }
}

/// A find element referred to by position.
fn element_at(program: &RawProgram, index: u32) -> String {
    program.find.get(index as usize).map_or_else(|| DAMAGED.to_owned(), plain_element)
}

fn plain_element(element: &RawFindElement) -> String {
    match element {
        RawFindElement::Variable(name) => variable(name),
        RawFindElement::Aggregate { function, n: None, variable } => {
            format!("({function} ?{variable})")
        }
        RawFindElement::Aggregate { function, n: Some(n), variable } => {
            format!("({function} {n} ?{variable})")
        }
        RawFindElement::Pull { variable, .. } => format!("(pull ?{variable})"),
    }
}

/// The argument of a `ground` whose constants are in its rows.
fn ground_rows(
    function: &Name,
    args: &[RawTerm],
    rows: &[Vec<Value>],
    binding: &RawBinding,
) -> Option<String> {
    if function.as_str() != "ground" || !args.is_empty() {
        return None;
    }
    Some(match binding {
        RawBinding::Relation(_) => {
            format!("[{}]", spaced(rows.iter().map(|row| format!("[{}]", spaced(row.iter())))))
        }
        _ => format!("[{}]", spaced(rows.iter().flatten())),
    })
}

fn call_args(function: &Name, args: &[RawTerm]) -> String {
    let attribute = attribute_argument(function.as_str());
    preceded(
        args.iter().enumerate().map(|(index, arg)| {
            if Some(index) == attribute { attribute_term(arg) } else { term(arg) }
        }),
    )
}

fn print_binding(binding: &RawBinding) -> String {
    match binding {
        RawBinding::Scalar(slot) => term(slot),
        RawBinding::Tuple(slots) => format!("[{}]", spaced(slots.iter().map(term))),
        RawBinding::Collection(slot) => format!("[{} ...]", term(slot)),
        RawBinding::Relation(slots) => format!("[[{}]]", spaced(slots.iter().map(term))),
    }
}

fn input(input: &RawInput) -> String {
    let slot = |slot: &Option<Name>| slot.as_ref().map_or_else(|| "_".to_owned(), variable);
    match input {
        RawInput::Scalar(name) => variable(name),
        RawInput::Collection(name) => format!("[?{name} ...]"),
        RawInput::Tuple(slots) => format!("[{}]", spaced(slots.iter().map(slot))),
        RawInput::Relation(slots) => format!("[[{}]]", spaced(slots.iter().map(slot))),
        RawInput::Rules => "%".to_owned(),
    }
}

fn term(term: &RawTerm) -> String {
    match term {
        RawTerm::Variable(name) => variable(name),
        RawTerm::Blank => "_".to_owned(),
        RawTerm::Keyword(name) => format!(":{name}"),
        RawTerm::Constant(value) => value.to_string(),
    }
}

fn attribute_term(attribute: &RawTerm) -> String {
    match attribute {
        RawTerm::Keyword(name) => attribute_text(name.as_str()),
        other => term(other),
    }
}

/// `:user/name`, or a string where a keyword could not carry the name.
fn attribute_text(name: &str) -> String {
    if is_keyword_name(name) { format!(":{name}") } else { Value::from(name).to_string() }
}

/// A name of `:keys`: a symbol, or a string where a symbol could not carry it.
fn output_name(name: &Name) -> String {
    let text = name.as_str();
    if is_plain_symbol(text) { text.to_owned() } else { Value::from(text).to_string() }
}

/// The name of a pulled attribute, `post/_author` for a reverse one.
pub(crate) fn pulled_name(attribute: &Name, reverse: bool) -> String {
    match attribute.as_str().split_once('/') {
        Some((kind, field)) if reverse => format!("{kind}/_{field}"),
        _ => attribute.to_string(),
    }
}

fn variable(name: &Name) -> String {
    format!("?{name}")
}

fn required_first(
    required: &[Name],
    free: impl Iterator<Item = String>,
) -> impl Iterator<Item = String> {
    let required = match required {
        [] => None,
        names => Some(format!("[{}]", spaced(names.iter().map(variable)))),
    };
    required.into_iter().chain(free)
}

fn spaced<Item: Display>(items: impl Iterator<Item = Item>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

/// Each item after a space.
fn preceded<Item: Display>(items: impl Iterator<Item = Item>) -> String {
    items.map(|item| format!(" {item}")).collect()
}
