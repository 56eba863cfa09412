//! Trials as text: what a failure prints is what a regression test is written in.
//!
//! ```text
//! start
//! at 10
//! add a n/edge #ref "b"
//! question 0
//! [:find ?y :in ?x :where [?x :n/edge ?y]]
//! input #ref "a"
//! subscribe 0
//! publish
//! at 20
//! remove a n/edge #ref "b"
//! push
//! at 30
//! add a n/edge #ref "c"
//! publish
//! confirm 30
//! unsubscribe 0
//! ```
//!
//! A line is an operation as in golden cases, or begins with one of the words above; any other
//! line goes on with the query. `at` begins a transaction and says its stamp: the millisecond, and
//! where they are not 0 and 1 also the counter and the replica, `at 20.1.2`. What an operation
//! covers stands behind its verb, `remove@20.0.1.0`: stamp and operation. Arguments are EDN, one
//! line for each. `lookups 20`, `reruns 1`,
//! `hot 0`, `margin 3` and `rows 50`, before `start`, are limits. Blank lines and those that begin with `;` say nothing.

use std::fmt::Write;

use tercet_engine::db::LiveLimits;
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::ReplicaId;
use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;
use tercet_query_lang::{inputs_from_text, parse as parse_query};

use super::{Fate, Limits, Step, Trial};
use crate::generate::program::Case;
use crate::subject::print_program;
use crate::text::{parse_ops, print_op};
use crate::tree::lift;

/// Writes a trial.
pub fn print(trial: &Trial) -> String {
    let mut text = String::new();
    print_limits(&mut text, trial.limits);
    text += "start\n";
    print_transactions(&mut text, &trial.start);
    for (index, Case { program, inputs }) in trial.questions.iter().enumerate() {
        let _ = writeln!(text, "question {index}\n{}", print_program(program));
        inputs.iter().for_each(|input| text += &format!("input {}\n", print_input(input)));
    }
    for step in &trial.steps {
        match step {
            Step::Subscribe(question) => text += &format!("subscribe {question}\n"),
            Step::Unsubscribe(question) => text += &format!("unsubscribe {question}\n"),
            Step::Refresh(question) => text += &format!("refresh {question}\n"),
            Step::Push(transaction) => {
                text += "push\n";
                print_transactions(&mut text, std::slice::from_ref(transaction));
            }
            Step::Publish { arrived, left } => {
                text += "publish\n";
                for (ms, fate) in left {
                    let word = match fate {
                        Fate::Confirmed => "confirm",
                        Fate::Rejected => "reject",
                    };
                    text += &format!("{word} {ms}\n");
                }
                print_transactions(&mut text, arrived);
            }
        }
    }
    text
}

/// Those that are not as usual.
fn print_limits(text: &mut String, limits: Limits) {
    let (live, usual) = (limits.live, LiveLimits::default());
    let numbers = [
        ("lookups", live.lookups, usual.lookups),
        ("reruns", live.reruns as u64, usual.reruns as u64),
        ("hot", live.hot_rows, usual.hot_rows),
        ("margin", live.margin as u64, usual.margin as u64),
    ];
    for (what, number, _) in numbers.iter().filter(|(_, number, usual)| number != usual) {
        *text += &format!("{what} {number}\n");
    }
    *text += &limits.rows.map_or(String::new(), |rows| format!("rows {rows}\n"));
}

fn print_transactions(text: &mut String, transactions: &[Transaction]) {
    for transaction in transactions {
        *text += &format!("at {}\n", print_hlc(transaction.hlc));
        for op in &transaction.ops {
            let line = print_op(op);
            *text += &match (op.covers(), line.split_once(' ')) {
                (Some(Stamp { hlc, op }), Some((verb, rest))) => {
                    let (ms, counter) = (hlc.physical_ms(), hlc.counter());
                    format!("{verb}@{ms}.{counter}.{}.{op} {rest}\n", hlc.replica().0)
                }
                _ => line + "\n",
            };
        }
    }
}

fn print_hlc(hlc: Hlc) -> String {
    match (hlc.physical_ms(), hlc.counter(), hlc.replica().0) {
        (ms, 0, 1) => ms.to_string(),
        (ms, counter, replica) => format!("{ms}.{counter}.{replica}"),
    }
}

fn print_input(input: &Input) -> String {
    let row = |values: &[Value]| {
        let values = values.iter().map(ToString::to_string).collect::<Vec<_>>();
        format!("[{}]", values.join(" "))
    };
    match input {
        Input::Scalar(value) => value.to_string(),
        Input::Tuple(values) | Input::Collection(values) => row(values),
        Input::Relation(rows) => {
            format!("[{}]", rows.iter().map(|values| row(values)).collect::<Vec<_>>().join(" "))
        }
    }
}

/// Reads a trial.
///
/// # Panics
/// When the text is none.
pub fn parse(text: &str) -> Trial {
    let mut reader = Reader::default();
    let lines = text.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with(';')) {
        reader.line(line);
    }
    reader.end_question();
    let Reader { limits, start, questions, steps, .. } = reader;
    Trial { limits, start, questions, steps }
}

#[derive(Default)]
struct Reader {
    limits: Limits,
    start: Vec<Transaction>,
    questions: Vec<Case>,
    steps: Vec<Step>,
    /// The text of the question being read, and of its arguments.
    question: Option<(String, Vec<String>)>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word != "input" && is_keyword(word) {
            self.end_question();
        }
        match word {
            "start" => {}
            "question" => {
                assert_eq!(number(rest), self.questions.len() as u64, "questions in order");
                self.question = Some((String::new(), Vec::new()));
            }
            "input" => {
                let (_, inputs) = self.question.as_mut().expect("`input` belongs to a question");
                inputs.push(rest.to_owned());
            }
            "subscribe" => self.steps.push(Step::Subscribe(number(rest) as usize)),
            "unsubscribe" => self.steps.push(Step::Unsubscribe(number(rest) as usize)),
            "refresh" => self.steps.push(Step::Refresh(number(rest) as usize)),
            "lookups" => self.limits.live.lookups = number(rest),
            "reruns" => self.limits.live.reruns = number(rest) as usize,
            "hot" => self.limits.live.hot_rows = number(rest),
            "margin" => self.limits.live.margin = number(rest) as usize,
            "rows" => self.limits.rows = Some(number(rest)),
            "publish" => {
                self.steps.push(Step::Publish { arrived: Vec::new(), left: Vec::new() });
            }
            "push" => {
                let hlc = Hlc::new(0, 0, ReplicaId(1));
                self.steps.push(Step::Push(Transaction { hlc, ops: Vec::new() }));
            }
            "confirm" | "reject" => {
                let fate = if word == "confirm" { Fate::Confirmed } else { Fate::Rejected };
                match self.steps.last_mut() {
                    Some(Step::Publish { left, .. }) => left.push((number(rest), fate)),
                    _ => panic!("`{line}` belongs to a publish"),
                }
            }
            "at" => self.begin(parse_hlc(rest)),
            _ if is_op(word) => {
                let transaction = self.transaction().unwrap_or_else(|| panic!("when is `{line}`?"));
                transaction.ops.push(parse_op(line));
            }
            _ => {
                let (query, _) = self.question.as_mut().unwrap_or_else(|| panic!("`{line}`?"));
                *query += line;
                *query += "\n";
            }
        }
    }

    fn end_question(&mut self) {
        let Some((query, inputs)) = self.question.take() else { return };
        let raw = parse_query(&query).unwrap_or_else(|report| panic!("{report}")).raw;
        let inputs = inputs.iter().map(String::as_str).collect::<Vec<_>>();
        let inputs = inputs_from_text(&raw, &inputs).unwrap_or_else(|report| panic!("{report}"));
        self.questions.push(Case { program: lift(&raw), inputs });
    }

    fn begin(&mut self, hlc: Hlc) {
        match self.steps.last_mut() {
            None => self.start.push(Transaction { hlc, ops: Vec::new() }),
            Some(Step::Publish { arrived, .. }) => {
                arrived.push(Transaction { hlc, ops: Vec::new() });
            }
            Some(Step::Push(transaction)) => transaction.hlc = hlc,
            Some(other) => panic!("{other:?} has no transactions"),
        }
    }

    /// The transaction that operations belong to.
    fn transaction(&mut self) -> Option<&mut Transaction> {
        match self.steps.last_mut() {
            None => self.start.last_mut(),
            Some(Step::Publish { arrived, .. }) => arrived.last_mut(),
            Some(Step::Push(transaction)) => Some(transaction),
            Some(_) => None,
        }
    }
}

fn is_keyword(word: &str) -> bool {
    const KEYWORDS: [&str; 15] = [
        "lookups",
        "reruns",
        "hot",
        "margin",
        "rows",
        "start",
        "question",
        "subscribe",
        "unsubscribe",
        "refresh",
        "publish",
        "push",
        "at",
        "confirm",
        "reject",
    ];
    KEYWORDS.contains(&word) || is_op(word)
}

fn is_op(word: &str) -> bool {
    let (verb, _) = word.split_once('@').unwrap_or((word, ""));
    ["set", "unset", "add", "remove", "delete", "restore"].contains(&verb)
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn parse_hlc(text: &str) -> Hlc {
    let numbers = text.split('.').map(number).collect::<Vec<_>>();
    let at = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    Hlc::new(at(0, 0), at(1, 0) as u16, ReplicaId(at(2, 1)))
}

fn parse_op(line: &str) -> Op {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (verb, stamp) = word.split_once('@').map_or((word, None), |(verb, at)| (verb, Some(at)));
    let mut op = parse_ops(&format!("{verb} {rest}")).remove(0);
    if let (Some(stamp), Op::Remove { covers, .. } | Op::Restore { covers, .. }) = (stamp, &mut op)
    {
        let op = stamp.rsplit('.').next().map_or(0, number);
        *covers = Some(Stamp { hlc: parse_hlc(stamp), op: op as u16 });
    }
    op
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::live::live;
    use crate::random::Random;

    #[test]
    fn trials_read_back_from_their_text() {
        for seed in 0..60 {
            let trial = live(&mut Random::of_case(seed));
            let again = parse(&print(&trial));
            // A string in attribute position is written as the attribute from then on.
            assert_eq!(print(&parse(&print(&again))), print(&again), "seed {seed}");
            assert_eq!((again.start, again.steps), (trial.start, trial.steps), "seed {seed}");
        }
    }
}
