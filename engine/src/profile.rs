//! How a query is evaluated, as a tree of plain data: what `explain` and `profile` give.
//!
//! A [`Profile`] has the query's own body and every rule as it is asked; a body is its steps in
//! the order of evaluation, each with what it evaluates, how, why there, and how many rows are
//! expected. After a run each part also says what it did ([`Ran`]). It prints itself as text for
//! people and serializes for programs. How it is made is left out: that is `eval`'s affair.
//!
//! Figures of a part include those of the parts within: a step that calls a rule has the facts and
//! the time that the rule took for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::program::raw::ClauseId;

/// How a query is evaluated; after a run, also what each part did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The end of an index where the answer is looked for first, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub top: Option<String>,
    /// The query's own body.
    pub query: Body,
    /// The rules that are asked on the way, under every adornment they are asked with.
    pub rules: Vec<Rule>,
    /// What is made of the body's rows: groups, order, window, trees.
    pub result: String,
    /// What that did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result_ran: Option<Ran>,
    /// What the whole evaluation did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ran: Option<Ran>,
    /// What is valid and yet may not be what was meant.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
}

/// A conjunction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// The variables that are bound before.
    pub given: Vec<String>,
    /// The variables that are asked of it.
    pub asked: Vec<String>,
    /// The kinds of steps that it has besides lookups, each once.
    pub shape: Vec<Form>,
    /// First to last.
    pub steps: Vec<Step>,
}

/// A rule as it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name, or `not`, `or`.
    pub name: String,
    /// A letter for each column: bound by who asks, or free.
    pub adornment: String,
    /// The relation that is searched as a graph, where the rule is a recursion of that kind;
    /// otherwise it is evaluated in rounds, by its bodies.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub search: Option<String>,
    /// One for each definition.
    pub bodies: Vec<Body>,
    /// What it did: calls are rounds, rows that went in are the bindings asked for, rows that came
    /// out its answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ran: Option<Ran>,
}

/// One step of a body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The goals that it evaluates, with the names of variables.
    pub goal: String,
    /// The clauses they come from.
    pub clauses: Vec<ClauseId>,
    /// The rule they were written out of, where they are not from this body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub inlined: Option<String>,
    /// What kind of step it is.
    pub form: Form,
    /// What it reads by.
    pub access: Access,
    /// The counts that it stands there for.
    pub why: String,
    /// Rows expected after it, altogether; in a rule for each binding that is asked for.
    pub rows_expected: f64,
    /// The variables that are needed afterwards: rows have these columns.
    pub live: Vec<String>,
    /// Equal rows are merged after it.
    pub distinct: bool,
    /// The steps of a star that is evaluated apart and joined by hash.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub apart: Vec<Step>,
    /// What it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ran: Option<Ran>,
}

/// A kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Facts are looked up for each row.
    Lookup,
    /// A pattern with the comparisons of its value.
    Range,
    /// A cycle of patterns, joined as a whole.
    GenericJoin,
    /// A star, evaluated apart.
    HashJoin,
    /// Rows that no fact or answer fits.
    AntiJoin,
    /// Rows that a function holds for.
    Filter,
    /// A function's result, or a field's.
    Compute,
    /// Rows of constants.
    Constants,
    /// A rule is asked, and its answers joined.
    Call,
    /// A rule is asked by itself: rows wait here for more answers.
    RecursiveCall,
}

/// What a step reads by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// The order by entity.
    ByEntity,
    /// The order by value.
    ByValue,
    /// Whether one fact is there.
    Fact,
    /// A range of the order by value.
    Range,
    /// All facts of the attributes.
    Scan,
    /// The answers of a rule.
    Answers,
    /// No facts.
    Nothing,
}

/// What a part did when it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ran {
    /// How often it ran.
    pub calls: u64,
    /// Rows that went in, altogether.
    pub rows_in: u64,
    /// Rows that came out, altogether.
    pub rows_out: u64,
    /// Facts read from indexes.
    pub facts_read: u64,
    /// The most bytes that the evaluation held while it ran.
    pub bytes_held: u64,
    /// How long it took, by the clock of who asked; without a clock absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_ns: Option<u64>,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Lookup => "lookup",
            Form::Range => "range",
            Form::GenericJoin => "generic join",
            Form::HashJoin => "hash join",
            Form::AntiJoin => "anti-join",
            Form::Filter => "filter",
            Form::Compute => "compute",
            Form::Constants => "constants",
            Form::Call => "call",
            Form::RecursiveCall => "recursive call",
        })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::ByEntity => "by entity",
            Access::ByValue => "by value",
            Access::Fact => "one fact",
            Access::Range => "by a range of values",
            Access::Scan => "all facts",
            Access::Answers => "answers",
            Access::Nothing => "no facts",
        })
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ran { calls, rows_in, rows_out, facts_read, bytes_held, time_ns } = *self;
        write!(f, "ran {}×: {} → {} rows", count(calls), count(rows_in), count(rows_out))?;
        write!(f, ", {} facts read, {} bytes held", count(facts_read), count(bytes_held))?;
        match time_ns {
            Some(time) => write!(f, ", {:.3} ms", time as f64 / 1e6),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(top) = &self.top {
            writeln!(f, "first rows: {top}")?;
        }
        writeln!(f, "query{}", head(&self.query))?;
        steps(f, &self.query.steps, 2)?;
        for rule in &self.rules {
            write!(f, "rule {}/{}", rule.name, rule.adornment)?;
            match &rule.search {
                Some(text) => writeln!(f, ": closure search: {text}")?,
                None => writeln!(f)?,
            }
            ran(f, rule.ran.as_ref(), 2)?;
            for body in &rule.bodies {
                writeln!(f, "  definition{}", head(body))?;
                steps(f, &body.steps, 4)?;
            }
        }
        writeln!(f, "result: {}", self.result)?;
        ran(f, self.result_ran.as_ref(), 2)?;
        if let Some(whole) = &self.ran {
            writeln!(f, "whole: {whole}")?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

fn head(body: &Body) -> String {
    let shape: Vec<String> = body.shape.iter().map(Form::to_string).collect();
    let shape = if shape.is_empty() { String::new() } else { format!(": {}", shape.join(", ")) };
    format!(" [{}] → [{}]{shape}", body.given.join(" "), body.asked.join(" "))
}

fn steps(f: &mut fmt::Formatter<'_>, list: &[Step], indent: usize) -> fmt::Result {
    for (number, step) in (1..).zip(list) {
        writeln!(f, "{:indent$}{number}. {}", "", step.goal)?;
        let inner = indent + 3;
        write!(f, "{:inner$}", "")?;
        match (step.form, step.access) {
            (Form::Lookup, access) => write!(f, "{access}")?,
            (form, Access::Nothing | Access::Range | Access::Answers) => write!(f, "{form}")?,
            (form, access) => write!(f, "{form}, {access}")?,
        }
        if let Some(rule) = &step.inlined {
            write!(f, ", written out of {rule}")?;
        }
        writeln!(f, "; {}", step.why)?;
        let distinct = if step.distinct { " distinct" } else { "" };
        let (rows, live) = (expected(step.rows_expected), step.live.join(" "));
        writeln!(f, "{:inner$}about {rows}{distinct} rows [{live}]", "")?;
        ran(f, step.ran.as_ref(), inner)?;
        steps(f, &step.apart, inner)?;
    }
    Ok(())
}

fn ran(f: &mut fmt::Formatter<'_>, ran: Option<&Ran>, indent: usize) -> fmt::Result {
    match ran {
        Some(ran) => writeln!(f, "{:indent$}{ran}", ""),
        None => Ok(()),
    }
}

/// `12,345`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of rows that is expected: with a digit behind the point where it is small.
pub(crate) fn expected(n: f64) -> String {
    if n < 10.0 { format!("{n:.1}") } else { count(n.round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        let texts = [0, 12, 999, 1_000, 22_481, 1_000_000].map(count);
        assert_eq!(texts, ["0", "12", "999", "1,000", "22,481", "1,000,000"]);
        assert_eq!([0.25, 9.99, 1234.5].map(expected), ["0.2", "10.0", "1,235"]);
    }
}
