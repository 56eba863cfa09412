//! Writes to tasks of which about as many touch a subscription, however many there are.
//!
//! A write *aims* at the tasks of a watched project, owner, team, interval, at a watched task, or
//! at nobody's; each is as likely with a thousand subscriptions as with a hundred thousand. What
//! the one aims at, others do not watch. Most writes set or unset a number; some add or take a
//! note, hand a task over, or move it to another project.

use tercet_engine::fact::Op;
use tercet_tests::random::Random;

use super::tasks::{FIELDS, Tasks, interval, interval_of};
use super::write::{entity, set, unset};

/// How often something else is drawn when it is not what is aimed at.
const N_TRIES: usize = 50;

/// What a write touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Project,
    Owner,
    Team,
    Interval,
    Task,
    Nobody,
}

/// Writes, one after another.
pub struct Traffic {
    tasks: Tasks,
    /// The first ones of every kind of group are watched.
    n_watched: usize,
    random: Random,
    of_project: Vec<Vec<usize>>,
    of_owner: Vec<Vec<usize>>,
    of_team: Vec<Vec<usize>>,
    /// Tasks and fields that were in a watched interval when they were noted here.
    in_interval: Vec<(usize, usize)>,
}

impl Traffic {
    /// Writes to tasks of which the first so many groups are watched.
    pub fn new(tasks: Tasks, n_watched: usize) -> Traffic {
        let groups = || vec![Vec::new(); tasks.n_groups()];
        let (mut of_project, mut of_owner, mut of_team) = (groups(), groups(), groups());
        tasks.teams.iter().enumerate().for_each(|(project, team)| of_team[*team].push(project));
        let mut in_interval = Vec::new();
        for (index, task) in tasks.tasks.iter().enumerate() {
            of_project[task.project].push(index);
            of_owner[task.owner].push(index);
            let fields = task.fields.iter().enumerate();
            let watched = fields.filter(|(_, value)| is_watched(**value, n_watched));
            in_interval.extend(watched.map(|(field, _)| (index, field)));
        }
        let random = Random::new(12);
        Traffic { tasks, n_watched, random, of_project, of_owner, of_team, in_interval }
    }

    /// A write that may touch somebody.
    pub fn any(&mut self) -> Vec<Op> {
        match self.random.below(1_000) {
            0..5 => self.relocate(),
            5..35 => self.hand_over(),
            35..95 => self.note(),
            _ => self.number(),
        }
    }

    /// A write to a field that is read, and to nobody's task or interval.
    pub fn nobodys(&mut self) -> Vec<Op> {
        let (task, field) = self.nobodys_number();
        self.write(task, field, false)
    }

    fn aim(&mut self) -> Aim {
        match self.random.below(10) {
            0 => Aim::Project,
            1 => Aim::Owner,
            2 => Aim::Team,
            3 => Aim::Interval,
            4 => Aim::Task,
            _ => Aim::Nobody,
        }
    }

    /// A task that is watched as it is aimed and, if there is one, not in any other way.
    fn task(&mut self, aim: Aim) -> usize {
        let mut found = 0;
        for _ in 0..N_TRIES {
            let Some(task) = self.candidate(aim) else { continue };
            found = task;
            if self.is_aimed_at(task, aim) {
                break;
            }
        }
        found
    }

    fn candidate(&mut self, aim: Aim) -> Option<usize> {
        let group = self.random.below(self.n_watched);
        let mut one_of = |group: &[usize]| match group {
            [] => None,
            tasks => Some(*self.random.pick(tasks)),
        };
        match aim {
            Aim::Project => one_of(&self.of_project[group]),
            Aim::Owner => one_of(&self.of_owner[group]),
            Aim::Team => {
                let project = one_of(&self.of_team[group])?;
                one_of(&self.of_project[project])
            }
            Aim::Task => Some(group),
            Aim::Interval | Aim::Nobody => Some(self.random.below(self.tasks.tasks.len())),
        }
    }

    fn is_aimed_at(&self, index: usize, aim: Aim) -> bool {
        let task = &self.tasks.tasks[index];
        let is_watched = |group: usize| group < self.n_watched;
        let is_owned = is_watched(task.owner) || is_watched(task.reviewer);
        is_watched(task.project) == (aim == Aim::Project)
            && is_owned == (aim == Aim::Owner)
            && is_watched(self.tasks.teams[task.project]) == (aim == Aim::Team)
            && is_watched(index) == (aim == Aim::Task)
    }

    fn nobodys_number(&mut self) -> (usize, usize) {
        let task = self.task(Aim::Nobody);
        (task, self.unwatched_field(task))
    }

    /// A field of a task whose number is in no watched interval, if there is one.
    fn unwatched_field(&mut self, task: usize) -> usize {
        let mut field = self.random.below(FIELDS.len());
        for _ in 0..N_TRIES {
            if !is_watched(self.tasks.tasks[task].fields[field], self.n_watched) {
                break;
            }
            field = self.random.below(FIELDS.len());
        }
        field
    }

    fn number(&mut self) -> Vec<Op> {
        let aim = self.aim();
        if aim == Aim::Interval
            && self.random.chance(50)
            && let Some((task, field)) = self.leaver()
        {
            return self.write(task, field, false);
        }
        let task = self.task(aim);
        let field = self.unwatched_field(task);
        self.write(task, field, aim == Aim::Interval)
    }

    /// A number that is in a watched interval, of a task that nobody watches.
    fn leaver(&mut self) -> Option<(usize, usize)> {
        while !self.in_interval.is_empty() {
            let at = self.random.below(self.in_interval.len());
            let (task, field) = self.in_interval.swap_remove(at);
            let value = self.tasks.tasks[task].fields[field];
            if is_watched(value, self.n_watched) && self.is_aimed_at(task, Aim::Nobody) {
                return Some((task, field));
            }
        }
        None
    }

    /// Sets a field, into a watched interval or out of all; or unsets it.
    fn write(&mut self, task: usize, field: usize, into_interval: bool) -> Vec<Op> {
        let (e, a) = (entity("task", task), FIELDS[field]);
        let is_there = self.tasks.tasks[task].fields[field].is_some();
        if is_there && !into_interval && self.random.chance(20) {
            self.tasks.tasks[task].fields[field] = None;
            return vec![unset(e, a)];
        }
        let value = if into_interval {
            self.in_interval.push((task, field));
            let interval = interval(self.random.below(self.n_watched));
            interval.start + self.random.below(interval.len())
        } else {
            self.unwatched_value()
        };
        self.tasks.tasks[task].fields[field] = Some(value);
        vec![set(e, a, value as i64)]
    }

    fn unwatched_value(&mut self) -> usize {
        loop {
            let value = self.random.below(self.tasks.n_values());
            if !is_watched(Some(value), self.n_watched) {
                return value;
            }
        }
    }

    fn note(&mut self) -> Vec<Op> {
        let aim = self.aim();
        let index = self.task(aim);
        let task = &mut self.tasks.tasks[index];
        task.is_noted = !task.is_noted;
        let note = entity("note", index);
        vec![match task.is_noted {
            true => set(note, "note/task", entity("task", index)),
            false => unset(note, "note/task"),
        }]
    }

    /// Another owner, watched as often as one is aimed at.
    fn hand_over(&mut self) -> Vec<Op> {
        let (index, owner) = (self.task(Aim::Nobody), self.group());
        let before = std::mem::replace(&mut self.tasks.tasks[index].owner, owner);
        self.of_owner[before].retain(|task| *task != index);
        self.of_owner[owner].push(index);
        vec![set(entity("task", index), "task/owner", entity("user", owner))]
    }

    fn relocate(&mut self) -> Vec<Op> {
        let (index, project) = (self.task(Aim::Nobody), self.group());
        let before = std::mem::replace(&mut self.tasks.tasks[index].project, project);
        self.of_project[before].retain(|task| *task != index);
        self.of_project[project].push(index);
        vec![set(entity("task", index), "task/project", entity("project", project))]
    }

    fn group(&mut self) -> usize {
        let n_others = self.tasks.n_groups() - self.n_watched;
        match self.random.chance(10) || n_others == 0 {
            true => self.random.below(self.n_watched),
            false => self.n_watched + self.random.below(n_others),
        }
    }
}

fn is_watched(value: Option<usize>, n_watched: usize) -> bool {
    value.and_then(interval_of).is_some_and(|interval| interval < n_watched)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn writes_differ_and_what_goes_comes_again() {
        let mut traffic = Traffic::new(Tasks::new(2_000), 20);
        let writes: Vec<Op> = (0..2_000).flat_map(|_| traffic.any()).collect();
        let entities: BTreeSet<_> = writes.iter().map(Op::entity).collect();
        assert!(entities.len() > 500, "{} entities", entities.len());
        let n_unset = writes.iter().filter(|op| matches!(op, Op::Unset { .. })).count();
        assert!((100..1_000).contains(&n_unset), "{n_unset} of 2,000 take something away");
    }

    #[test]
    fn what_is_nobodys_is_not_watched() {
        let tasks = Tasks::new(2_000);
        let mut traffic = Traffic::new(tasks.clone(), 20);
        for _ in 0..1_000 {
            for op in traffic.nobodys() {
                let index = op.entity().as_str().strip_prefix("task:").map(str::parse::<usize>);
                let task = &tasks.tasks[index.expect("a task").expect("a number")];
                assert!(task.project >= 20 && task.owner >= 20 && tasks.teams[task.project] >= 20);
            }
        }
    }
}
