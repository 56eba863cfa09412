//! An application: tasks of projects, with owners, reviewers, teams, ten numbers and notes.
//!
//! Every group (project, owner, team) has about ten tasks. The numbers are spread over a range
//! of which a tenth is in intervals that somebody may watch, each with about ten tasks.

use std::ops::Range;

use tercet_engine::fact::Op;
use tercet_tests::random::Random;

use super::write::{entity, set};

/// The numbers of a task. One in ten is absent.
pub const FIELDS: [&str; 10] = [
    "task/points",
    "task/estimate",
    "task/spent",
    "task/priority",
    "task/weight",
    "task/votes",
    "task/views",
    "task/due",
    "task/score",
    "task/budget",
];

/// Tasks of a group, about.
const N_TASKS_OF_GROUP: usize = 10;
/// What begins an interval that may be watched, and how long it is: a tenth of all.
const SPACING: usize = 1_000;
const WIDTH: usize = 100;

/// A task.
#[derive(Debug, Clone)]
pub struct Task {
    /// The index of its project.
    pub project: usize,
    /// That of its owner, and of whoever reviews it.
    pub owner: usize,
    /// That of its reviewer.
    pub reviewer: usize,
    /// Its numbers.
    pub fields: [Option<usize>; FIELDS.len()],
    /// Whether there is a note on it.
    pub is_noted: bool,
}

/// All tasks, and who belongs to what.
#[derive(Debug, Clone)]
pub struct Tasks {
    /// Tasks: `task:0` and so on.
    pub tasks: Vec<Task>,
    /// The team of each project.
    pub teams: Vec<usize>,
}

impl Tasks {
    /// So many tasks, always the same ones.
    pub fn new(n_tasks: usize) -> Tasks {
        let mut random = Random::new(11);
        let n_groups = (n_tasks / N_TASKS_OF_GROUP).max(1);
        let n_values = n_tasks * N_TASKS_OF_GROUP;
        let mut field = || (!random.chance(10)).then(|| random.below(n_values));
        let fields: Vec<_> = (0..n_tasks).map(|_| FIELDS.map(|_| field())).collect();
        let task = |fields| Task {
            project: random.below(n_groups),
            owner: random.below(n_groups),
            reviewer: random.below(n_groups),
            fields,
            is_noted: random.chance(50),
        };
        let tasks = fields.into_iter().map(task).collect();
        Tasks { tasks, teams: (0..n_groups).map(|_| random.below(n_groups)).collect() }
    }

    /// How many projects, owners or teams there are.
    pub fn n_groups(&self) -> usize {
        self.teams.len()
    }

    /// How large numbers are, at most.
    pub fn n_values(&self) -> usize {
        self.tasks.len() * N_TASKS_OF_GROUP
    }

    /// They as facts.
    pub fn ops(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        for (project, team) in self.teams.iter().enumerate() {
            ops.push(set(entity("project", project), "project/team", entity("team", *team)));
        }
        for (index, task) in self.tasks.iter().enumerate() {
            let e = entity("task", index);
            ops.push(set(e.clone(), "task/project", entity("project", task.project)));
            ops.push(set(e.clone(), "task/owner", entity("user", task.owner)));
            ops.push(set(e.clone(), "task/reviewer", entity("user", task.reviewer)));
            for (a, value) in FIELDS.iter().zip(task.fields) {
                ops.extend(value.map(|value| set(e.clone(), a, value as i64)));
            }
            if task.is_noted {
                ops.push(set(entity("note", index), "note/task", e));
            }
        }
        ops
    }
}

/// An interval that may be watched.
pub fn interval(index: usize) -> Range<usize> {
    index * SPACING..index * SPACING + WIDTH
}

/// The interval that a number is in, if any.
pub fn interval_of(value: usize) -> Option<usize> {
    let index = value / SPACING;
    interval(index).contains(&value).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_numbers_is_in_an_interval() {
        let tasks = Tasks::new(2_000);
        let all = tasks.tasks.iter().flat_map(|task| task.fields).flatten();
        let n_all = all.clone().count();
        let n_in = all.filter(|value| interval_of(*value).is_some()).count();
        assert!((n_all / 12..n_all / 8).contains(&n_in), "{n_in} of {n_all}");
        assert_eq!((interval_of(7_099), interval_of(7_100)), (Some(7), None));
    }
}
