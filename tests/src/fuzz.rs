//! The query fuzzer: one seed, one question, judged in several ways.
//!
//! A seed decides the question (`generate::question`), two drawn orders of evaluation, and whether
//! a variant of the program is judged as well. Seeds know nothing of each other, so any of them can
//! be run alone and on any thread. `cargo xtask fuzz-query` runs many (`src/bin/fuzz_query`).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tercet_engine::answer::Row;

use crate::datascript::dialect::translate;
use crate::datascript::{DataScript, Failure};
use crate::generate::program::Case;
use crate::generate::question::{Question, question};
use crate::generate::variants::variants;
use crate::oracle::eval::answer;
use crate::random::Random;
use crate::subject::{Trial, Verdict, print_program};
use crate::text::print_rows;

/// How many percent of the questions are asked again in another form.
const VARIANT_PERCENT: usize = 30;

/// A random question, judged.
///
/// # Errors
/// When the engine answers it wrongly: a small question that shows it, as text.
pub fn try_question(random: &mut Random) -> Result<Question, String> {
    let question = question(random);
    let orders = vec![random.bits(), random.bits()];
    judge(
        &question,
        Trial {
            transactions: question.transactions.clone(),
            case: question.case.clone(),
            orders: orders.clone(),
        },
    )
    .map_err(|text| format!("a question of theme {}\n{text}", question.theme))?;
    if random.chance(VARIANT_PERCENT) {
        let mut variants = variants(random, &question.case);
        let (what, case) = variants.swap_remove(random.below(variants.len()));
        let trial = Trial { transactions: question.transactions.clone(), case, orders };
        judge(&question, trial).map_err(|text| format!("{what}\n{text}"))?;
    }
    Ok(question)
}

/// Judges a trial by the answer of the question that it is a form of.
fn judge(question: &Question, trial: Trial) -> Result<(), String> {
    match trial.compare(&question.rows) {
        Verdict::Agree => Ok(()),
        verdict => Err(match trial.judge() {
            // The oracle does not agree with itself about the two forms, or has enough of this one.
            Verdict::Agree | Verdict::Void => {
                format!("forms of one question differ: {verdict:?}\n{trial:#?}")
            }
            _ => trial.explain(),
        }),
    }
}

/// What became of a question that was shown to DataScript.
#[derive(Debug, Clone, PartialEq)]
pub enum Second {
    /// It answers the same.
    Same,
    /// The dialects differ on such questions by design (see `datascript::dialect`).
    LeftOut,
    /// It did not answer in time.
    NoEnd,
    /// It does not take the question: its reason, without what is particular to the question.
    Refused(String),
}

/// How long DataScript may take for one question: some of its evaluations do not end.
const DATASCRIPT_MAX: Duration = Duration::from_millis(700);

/// Facts beyond which a question is not shown to DataScript, which tries every path of a graph.
const DATASCRIPT_FACTS_MAX: usize = 60;

/// Asks DataScript the question too. It must run, and does not any more after `NoEnd`.
///
/// # Errors
/// When it answers otherwise, or its process fails: what was asked and answered, as text.
pub fn try_datascript(datascript: &mut DataScript, question: &Question) -> Result<Second, String> {
    if question.facts.len() > DATASCRIPT_FACTS_MAX {
        return Ok(Second::LeftOut);
    }
    let Some(translated) = translate(&question.case, &question.facts) else {
        return Ok(Second::LeftOut);
    };
    let Case { program, inputs } = &translated.case;
    let own = answer(program, &translated.facts, inputs).ok();
    let Some(own) = own.and_then(|rows| translated.own_rows(&rows)) else {
        return Ok(Second::LeftOut);
    };
    let asked = datascript.load(&translated.schema, &translated.datoms);
    let asked = asked
        .and_then(|()| datascript.query(&translated.query, &translated.inputs, DATASCRIPT_MAX));
    let tell = |what: &str| {
        let datoms = Vec::from_iter(translated.datoms.iter().map(ToString::to_string)).join(" ");
        let (query, inputs) = (&translated.query, json!(translated.inputs));
        let text = print_program(program);
        format!(
            "-- facts\n{datoms}\n-- query\n{query}\n-- inputs\n{inputs}\n-- ours\n{text}\n{what}"
        )
    };
    let rows = match asked {
        Ok(rows) => rows,
        Err(Failure::TimedOut(_)) => return Ok(Second::NoEnd),
        Err(Failure::Refused(why)) => {
            let words = why.split_whitespace().take(3);
            return Ok(Second::Refused(words.collect::<Vec<_>>().join(" ")));
        }
        Err(failure) => return Err(tell(&failure.to_string())),
    };
    match translated.rows(&rows) {
        Ok(theirs) if theirs == own => Ok(Second::Same),
        Ok(theirs) => {
            let rows = |rows: BTreeSet<Row>| print_rows(&Vec::from_iter(rows));
            Err(tell(&format!("-- oracle\n{}-- DataScript\n{}", rows(own), rows(theirs))))
        }
        Err(why) => Err(tell(&why)),
    }
}
