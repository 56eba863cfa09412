//! datafrog: semi-naive evaluation over sorted vectors.
//!
//! Relations are resident: sorted vectors, which is all the index that datafrog has. Timed are the
//! evaluation, from copying the facts that a rule starts from, and reading the result.

use std::rc::Rc;

use anyhow::Result;
use datafrog::{Iteration, Relation, RelationLeaper};

use crate::contest::{Engine, Ground, Run};
use crate::facts::Id;
use crate::shape::{QUESTIONS, Shape, TRIANGLES, shape};

/// Binary joins.
pub(crate) const JOINS: Engine = Engine { name: "datafrog", questions: QUESTIONS, prepare };

/// Its worst-case-optimal join.
pub(crate) const LEAPFROG: Engine =
    Engine { name: "datafrog leapfrog", questions: TRIANGLES, prepare };

fn prepare(ground: &Rc<Ground>, question: &str, parameters: &[&str]) -> Result<Run> {
    Ok(match shape(&ground.facts, question, parameters)? {
        Shape::Reach { edges, from } => reach(Relation::from_vec(edges), from),
        Shape::Closure { edges } => {
            let turned = Relation::from_iter(edges.iter().map(|(from, to)| (*to, *from)));
            closure(Relation::from_vec(edges), turned)
        }
        Shape::ClosureFrom { edges, sources } => closure_from(Relation::from_vec(edges), sources),
        Shape::Triangles { edges } => triangles(Relation::from_vec(edges)),
        Shape::Share { members, chosen } => {
            let chosen = Relation::from_iter(chosen.into_iter().map(|group| (group, ())));
            share(Relation::from_vec(members), chosen)
        }
        Shape::SameGeneration { children } => same_generation(Relation::from_vec(children)),
    })
}

fn reach(edges: Relation<(Id, Id)>, from: Id) -> Run {
    Box::new(move |reader| {
        let mut iteration = Iteration::new();
        let reach = iteration.variable::<(Id, ())>("reach");
        let start = Relation::from_vec(vec![(from, ())]);
        reach.insert(Relation::from_join(&start, &edges, |_, (), to| (*to, ())));
        while iteration.changed() {
            reach.from_join(&reach, &edges, |_, (), to| (*to, ()));
        }
        for (to, ()) in reach.complete().iter() {
            reader.ids(&[*to]);
        }
        Ok(())
    })
}

fn closure(edges: Relation<(Id, Id)>, turned: Relation<(Id, Id)>) -> Run {
    Box::new(move |reader| {
        let mut iteration = Iteration::new();
        // (end, begin), so that it joins at its end.
        let path = iteration.variable::<(Id, Id)>("path");
        path.insert(turned.clone());
        while iteration.changed() {
            path.from_join(&path, &edges, |_, begin, end| (*end, *begin));
        }
        for (end, begin) in path.complete().iter() {
            reader.ids(&[*begin, *end]);
        }
        Ok(())
    })
}

fn closure_from(edges: Relation<(Id, Id)>, sources: Vec<Id>) -> Run {
    let start = Relation::from_iter(sources.into_iter().map(|source| (source, ())));
    Box::new(move |reader| {
        let mut iteration = Iteration::new();
        let path = iteration.variable::<(Id, Id)>("path");
        path.insert(Relation::from_join(&start, &edges, |begin, (), end| (*end, *begin)));
        while iteration.changed() {
            path.from_join(&path, &edges, |_, begin, end| (*end, *begin));
        }
        for (end, begin) in path.complete().iter() {
            reader.ids(&[*begin, *end]);
        }
        Ok(())
    })
}

fn triangles(edges: Relation<(Id, Id)>) -> Run {
    Box::new(move |reader| {
        let found = Relation::from_leapjoin(
            &edges,
            (edges.extend_with(|(a, _)| *a), edges.extend_with(|(_, b)| *b)),
            |(a, b), c| (*a, *b, *c),
        );
        for (a, b, c) in found.iter() {
            reader.ids(&[*a, *b, *c]);
        }
        Ok(())
    })
}

fn share(members: Relation<(Id, Id)>, chosen: Relation<(Id, ())>) -> Run {
    Box::new(move |reader| {
        let of_chosen = Relation::from_join(&chosen, &members, |group, (), a| (*group, *a));
        let pairs = Relation::from_join(&of_chosen, &members, |_, a, b| (*a, *b));
        for (a, b) in pairs.iter() {
            if a != b {
                reader.ids(&[*a, *b]);
            }
        }
        Ok(())
    })
}

fn same_generation(children: Relation<(Id, Id)>) -> Run {
    Box::new(move |reader| {
        let mut iteration = Iteration::new();
        let same = iteration.variable::<(Id, Id)>("same");
        // (b, x): x is a child of a, and a is of the generation of b.
        let half = iteration.variable_indistinct::<(Id, Id)>("half");
        same.insert(Relation::from_join(&children, &children, |_, x, y| (*x, *y)));
        while iteration.changed() {
            half.from_join(&same, &children, |_, b, x| (*b, *x));
            same.from_join(&half, &children, |_, x, y| (*x, *y));
        }
        for (x, y) in same.complete().iter() {
            reader.ids(&[*x, *y]);
        }
        Ok(())
    })
}
