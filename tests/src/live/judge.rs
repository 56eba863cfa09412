//! Playing a trial, and what can be wrong with it.

use std::fmt;

use tercet_engine::db::Tier;

use super::world::World;
use super::{Kept, Trial};
use crate::minimize::catch;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A valid program is refused.
    Refused,
    /// The engine panics.
    Panic,
    /// There is no answer, or another one than the oracle's.
    Answer,
    /// The update is not the difference of the answers.
    Update,
    /// An update of an instance that has ended or is stale, two of one, or out of order.
    Stray,
    /// Instances are shared, ended or kept otherwise than they should be.
    Instance,
}

/// Where a trial goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrong {
    /// The index of the step.
    pub step: usize,
    /// What is wrong.
    pub what: What,
    /// The instance that is wrong, if one is.
    pub kept: Option<Kept>,
    /// The whole story.
    pub text: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.map_or(String::new(), |kept| format!(", kept {kept:?}"));
        writeln!(f, "; wrong after step {}: {:?}{kept}", self.step + 1, self.what)?;
        self.text.lines().try_for_each(|line| writeln!(f, ";   {line}"))
    }
}

/// What became of a question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watch {
    /// The tier of the shared instance, once it was subscribed.
    pub tier: Option<Tier>,
    /// How many publishes it saw.
    pub n_publishes: usize,
    /// How many of them changed its answer.
    pub n_updates: usize,
    /// How often an instance of it became stale.
    pub n_stale: usize,
    /// The oracle had enough of it, or it cannot be live: nothing is said of it any more.
    pub is_void: bool,
}

/// What a trial that went well has shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// One for each question.
    pub watches: Vec<Watch>,
    /// How often a delta was too much work, and an evaluation took its place.
    pub n_fallbacks: u64,
}

/// How engine and oracle compare on a trial.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The law held.
    Agree(Report),
    /// It did not.
    Wrong(Wrong),
}

/// What is wrong, with which instance, and the story.
pub(super) type Complaint = (What, Option<Kept>, String);

impl Trial {
    /// Plays the trial.
    pub fn judge(&self) -> Verdict {
        let mut world = match catch(|| World::new(self)) {
            Ok(world) => world,
            Err(text) => {
                return Verdict::Wrong(Wrong { step: 0, what: What::Panic, kept: None, text });
            }
        };
        for (step, happens) in self.steps.iter().enumerate() {
            let (what, kept, text) = match catch(|| world.step(happens)) {
                Ok(Ok(())) => continue,
                Ok(Err(complaint)) => complaint,
                Err(message) => (What::Panic, None, message),
            };
            return Verdict::Wrong(Wrong { step, what, kept, text });
        }
        Verdict::Agree(world.report())
    }
}
