//! A task list that keeps itself: typed entities, a live query with a rule, and a file.
//!
//! Run it twice with a directory (`cargo run -p tercet --example task_list -- some/directory`): the
//! second run goes on where the first one ended. Without one, everything is in memory.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use tercet::{Database, Entity, Id, Ref};

/// A task, which may have to wait for others.
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(type = "task", crate = "tercet::schema")]
struct Task {
    id: Id<Task>,
    title: String,
    #[entity(default = false)]
    done: bool,
    after: Vec<Ref<Task>>,
}

/// Tasks that are not done, and wait for nothing that is not done: directly or further on.
const READY: &str = "
    [:find ?title
     :in $ %
     :where [?task :task/title ?title] [?task :task/done false]
            (not (waits ?task _))]";

const RULES: &str = "
    [(waits ?task ?open) [?task :task/after ?open] [?open :task/done false]]
    [(waits ?task ?open) [?task :task/after ?middle] (waits ?middle ?open)]";

fn main() -> Result<(), Box<dyn Error>> {
    let db = match std::env::args().nth(1) {
        Some(directory) => Database::open(directory)?,
        None => Database::memory(),
    };
    run(&db)
}

fn run(db: &Database) -> Result<(), Box<dyn Error>> {
    let task = |id: &str, title: &str, after: &[&str]| -> Result<Task, Box<dyn Error>> {
        let after = after.iter().map(|id| Ref::new(id)).collect::<Result<_, _>>()?;
        Ok(Task { id: Id::new(id)?, title: title.into(), done: false, after })
    };
    let mut dig = task("dig", "Dig the bed", &[])?;
    if db.snapshot().get::<Task>(&dig.id)?.is_none() {
        db.save(&dig)?;
        db.save(&task("sow", "Sow carrots", &["dig"])?)?;
        db.save(&task("eat", "Eat them", &["sow"])?)?;
    }

    let mut ready = db.subscribe((READY, RULES), ())?;
    let first = ready.next().ok_or("the database is open")??;
    println!("ready: {:?}", first.answer.rows);

    dig.done = !db.snapshot().get::<Task>(&dig.id)?.is_some_and(|dig| dig.done);
    if let Some(commit) = db.save(&dig)? {
        println!("commit {}: `{}` is done: {}", commit.seq, dig.title, dig.done);
    }
    let change = ready.next().ok_or("the database is open")??;
    for came in &change.delta.added {
        println!("now ready: {:?}", came.row);
    }
    for went in &change.delta.removed {
        println!("no more:   {:?}", went.row);
    }
    Ok(())
}

#[test]
fn a_task_becomes_ready_when_what_it_waited_for_is_done() {
    let db = Database::memory();
    let ready = || db.query((READY, RULES), ()).expect("it is valid").rows;
    let title = |text: &str| [[tercet::Output::Value(text.into())]];
    run(&db).expect("it runs on nothing");
    assert_eq!(ready(), title("Sow carrots"));
    run(&db).expect("it runs on what it left, and takes it back");
    assert_eq!(ready(), title("Dig the bed"));
}
