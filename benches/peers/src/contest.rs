//! What a contestant is: an engine that has prepared a question and can answer it again and again.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail, ensure};

use crate::digest::{ChangeDigest, Digest, RowDigest};
use crate::facts::{Facts, Id, Names};
use crate::follow::{Follow, follow};
use crate::measure::{Took, once};
use crate::sql::{self, Sql};
use crate::{ascents, differential, frog};

/// Evaluates once, and reads every value of the answer.
pub(crate) type Run = Box<dyn FnMut(&mut Reader) -> Result<()>>;

/// Makes a contestant ready for a question: engine and question have been found, these are the
/// facts and parameters.
pub(crate) type Prepare = fn(&Rc<Ground>, &str, &[&str]) -> Result<Run>;

/// What the contestants of one load share.
#[derive(Default)]
pub(crate) struct Ground {
    /// The facts.
    pub(crate) facts: Facts,
    /// They as tables, once somebody asked in SQL.
    pub(crate) sql: OnceCell<Sql>,
}

/// An engine, and the questions it can answer.
pub(crate) struct Engine {
    /// How reports call it.
    pub(crate) name: &'static str,
    /// The ids of its questions.
    pub(crate) questions: &'static [&'static str],
    /// Prepares one of them.
    pub(crate) prepare: Prepare,
}

const ENGINES: &[Engine] = &[
    sql::PLAIN,
    sql::BY_HAND,
    frog::JOINS,
    frog::LEAPFROG,
    ascents::PROGRAMS,
    ascents::TRIANGLE,
    differential::DIFFERENTIAL,
];

/// Who can answer a question.
pub(crate) fn names(question: &str) -> Vec<&'static str> {
    let can = |engine: &&Engine| engine.questions.contains(&question);
    ENGINES.iter().filter(can).map(|engine| engine.name).collect()
}

/// Reads answers.
pub(crate) struct Reader {
    ground: Rc<Ground>,
    digest: Digest,
}

impl Reader {
    /// Reads a row of ids.
    pub(crate) fn ids(&mut self, ids: &[Id]) {
        let mut row = RowDigest::default();
        for id in ids {
            row.text(self.names().name(*id));
        }
        self.digest += row;
    }

    /// Reads a row of several kinds of value.
    pub(crate) fn row(&mut self, row: RowDigest) {
        self.digest += row;
    }

    /// The text of ids, for [`Reader::row`].
    pub(crate) fn names(&self) -> &Names {
        self.ground.facts.names()
    }
}

/// Facts, and the questions that have been prepared over them.
pub(crate) struct Contest {
    ground: Rc<Ground>,
    runs: BTreeMap<String, Run>,
    /// The question whose answer is kept up to date; one at a time, so that none waits for others.
    followed: Option<Box<dyn Follow>>,
}

impl Contest {
    /// A contest over facts.
    pub(crate) fn new(facts: Facts) -> Contest {
        let ground = Ground { facts, ..Ground::default() };
        Contest { ground: Rc::new(ground), runs: BTreeMap::new(), followed: None }
    }

    /// Keeps the answer to a question up to date from now on, in place of the one before; gives
    /// the answer over the facts as they were loaded.
    ///
    /// # Errors
    /// When it cannot be followed.
    pub(crate) fn follow(&mut self, question: &str, parameters: &[&str]) -> Result<Digest> {
        self.followed = None;
        let (followed, digest) = follow(&self.ground, question, parameters)?;
        self.followed = Some(followed);
        Ok(digest)
    }

    /// Takes edges that come and go, a step each: lines of `+` or `-`, from and to, apart by tabs.
    /// Gives what each took and changed.
    ///
    /// # Errors
    /// When nothing is followed, or a line is no edge between entities of the facts.
    pub(crate) fn steps(&mut self, text: &str) -> Result<Vec<(Took, ChangeDigest)>> {
        let facts = &self.ground.facts;
        let followed = self.followed.as_mut().context("nothing is followed")?;
        let step = |line: &str| {
            let words: Vec<&str> = line.split('\t').collect();
            let (diff, from, to) = match words[..] {
                ["+", from, to] => (1, from, to),
                ["-", from, to] => (-1, from, to),
                _ => bail!("no edge: {line}"),
            };
            Ok(followed.step(facts.names(), (facts.id(from)?, facts.id(to)?), diff))
        };
        text.lines().map(step).collect()
    }

    /// Lets one engine answer a question several times, and gives the time of all and the answer.
    ///
    /// # Errors
    /// When the engine cannot, or its answers differ.
    pub(crate) fn run(
        &mut self,
        question: &str,
        name: &str,
        n_runs: usize,
        parameters: &[&str],
    ) -> Result<(Took, Digest)> {
        let key = format!("{question}\t{name}\t{}", parameters.join("\t"));
        if !self.runs.contains_key(&key) {
            let is_it =
                |engine: &&Engine| engine.name == name && engine.questions.contains(&question);
            let engine = ENGINES.iter().find(is_it);
            let engine = engine.with_context(|| format!("{name} does not answer {question}"))?;
            let run = (engine.prepare)(&self.ground, question, parameters)?;
            self.runs.insert(key.clone(), run);
        }
        let run = self.runs.get_mut(&key).expect("it has just been prepared");
        let mut reader = Reader { ground: Rc::clone(&self.ground), digest: Digest::default() };
        let mut digests = Vec::with_capacity(n_runs);
        let (took, outcome) = once(|| {
            for _ in 0..n_runs {
                run(&mut reader)?;
                digests.push(mem::take(&mut reader.digest));
            }
            anyhow::Ok(())
        });
        outcome?;
        let first = *digests.first().context("no run, no answer")?;
        let differs = digests.iter().any(|digest| *digest != first);
        ensure!(!differs, "{name} answers {question} differently each time");
        Ok((took, first))
    }
}
