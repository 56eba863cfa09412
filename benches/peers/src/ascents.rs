//! ascent: Datalog compiled by a macro, over hash indexes.
//!
//! A program is a value that is filled, run once and read; it builds its indexes when it runs, and
//! there is no way to keep those of the facts. So timed are copying the facts into a new program,
//! indexing, evaluation, and reading the result.

use std::rc::Rc;

use anyhow::Result;
use ascent::ascent;

use crate::contest::{Engine, Ground, Run};
use crate::facts::Id;
use crate::shape::{Edges, QUESTIONS, Shape, TRIANGLES, shape};

/// Everything but triangles.
pub(crate) const PROGRAMS: Engine = Engine { name: "ascent", questions: QUESTIONS, prepare };

/// Triangles, by binary joins.
pub(crate) const TRIANGLE: Engine = Engine { name: "ascent", questions: TRIANGLES, prepare };

ascent! {
    struct Reach;
    relation from(Id);
    relation edge(Id, Id);
    relation reach(Id);
    reach(y) <-- from(x), edge(x, y);
    reach(z) <-- reach(y), edge(y, z);
}

ascent! {
    struct Closure;
    relation edge(Id, Id);
    relation path(Id, Id);
    path(x, y) <-- edge(x, y);
    path(x, z) <-- path(x, y), edge(y, z);
}

ascent! {
    struct ClosureFrom;
    relation from(Id);
    relation edge(Id, Id);
    relation path(Id, Id);
    path(x, y) <-- from(x), edge(x, y);
    path(x, z) <-- path(x, y), edge(y, z);
}

ascent! {
    struct Triangles;
    relation edge(Id, Id);
    relation triangle(Id, Id, Id);
    triangle(a, b, c) <-- edge(a, b), edge(b, c), edge(a, c);
}

ascent! {
    struct Share;
    relation member(Id, Id);
    relation chosen(Id);
    relation pair(Id, Id);
    pair(a, b) <-- chosen(group), member(group, a), member(group, b), if a != b;
}

ascent! {
    struct SameGeneration;
    relation child(Id, Id);
    relation same(Id, Id);
    same(x, y) <-- child(p, x), child(p, y);
    same(x, y) <-- same(a, b), child(a, x), child(b, y);
}

fn prepare(ground: &Rc<Ground>, question: &str, parameters: &[&str]) -> Result<Run> {
    Ok(match shape(&ground.facts, question, parameters)? {
        Shape::Reach { edges, from } => Box::new(move |reader| {
            let mut program =
                Reach { from: vec![(from,)], edge: edges.clone(), ..Reach::default() };
            program.run();
            program.reach.iter().for_each(|(y,)| reader.ids(&[*y]));
            Ok(())
        }),
        Shape::Closure { edges } => Box::new(move |reader| {
            let mut program = Closure { edge: edges.clone(), ..Closure::default() };
            program.run();
            program.path.iter().for_each(|(x, y)| reader.ids(&[*x, *y]));
            Ok(())
        }),
        Shape::ClosureFrom { edges, sources } => closure_from(edges, sources),
        Shape::Triangles { edges } => Box::new(move |reader| {
            let mut program = Triangles { edge: edges.clone(), ..Triangles::default() };
            program.run();
            program.triangle.iter().for_each(|(a, b, c)| reader.ids(&[*a, *b, *c]));
            Ok(())
        }),
        Shape::Share { members, chosen } => {
            let chosen: Vec<(Id,)> = chosen.into_iter().map(|group| (group,)).collect();
            Box::new(move |reader| {
                let (member, chosen) = (members.clone(), chosen.clone());
                let mut program = Share { member, chosen, ..Share::default() };
                program.run();
                program.pair.iter().for_each(|(a, b)| reader.ids(&[*a, *b]));
                Ok(())
            })
        }
        Shape::SameGeneration { children } => Box::new(move |reader| {
            let child = children.clone();
            let mut program = SameGeneration { child, ..SameGeneration::default() };
            program.run();
            program.same.iter().for_each(|(x, y)| reader.ids(&[*x, *y]));
            Ok(())
        }),
    })
}

fn closure_from(edges: Edges, sources: Vec<Id>) -> Run {
    let sources: Vec<(Id,)> = sources.into_iter().map(|source| (source,)).collect();
    Box::new(move |reader| {
        let (from, edge) = (sources.clone(), edges.clone());
        let mut program = ClosureFrom { from, edge, ..ClosureFrom::default() };
        program.run();
        program.path.iter().for_each(|(x, y)| reader.ids(&[*x, *y]));
        Ok(())
    })
}
