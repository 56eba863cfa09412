//! The query fuzzer: one seed, one question, judged in several ways.
//!
//! A seed decides the question (`generate::question`), two drawn orders of evaluation, and whether
//! a variant of the program is judged as well. Seeds know nothing of each other, so any of them can
//! be run alone and on any thread. `cargo xtask fuzz-query` runs many (`src/bin/fuzz_query`).

use crate::generate::question::{Question, question};
use crate::generate::variants::variants;
use crate::random::Random;
use crate::subject::{Trial, Verdict};

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
