//! The facts of the replica measures: tasks, each written at its own time.
//!
//! An id of 21 random characters, the owner (one of a thousand users), a text of about thirty
//! characters made of words, whether it is done, when it was created, and a
//! priority. They are put into the
//! log of the tenant as the server itself would have put them there over months, one commit each.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use tercet::{Attribute, Date, EntityId, Op, Value};
use tercet_engine::commit::{LogRecord, Origin};
use tercet_engine::fact::Transaction;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{ClientId, ClientSeq, ReplicaId, Seq};
use tercet_storage::{AppId, LibsqlStorage, Storage as _, TenantId};
use tercet_tests::random::Random;

/// What finds all of them, with all their fields.
pub(super) const QUERY: &str = "[:find ?e ?owner ?text ?done ?created ?priority
    :where [?e :task/owner ?owner] [?e :task/text ?text] [?e :task/done ?done]
           [?e :task/created ?created] [?e :task/priority ?priority]]";

const N_USERS: usize = 1_000;
const TEXT_CHARS: usize = 30;
const RECORDS_EACH: usize = 10_000;

/// The letters of nano ids.
const LETTERS: &[u8; 64] = b"useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict";

const WORDS: [&str; 64] = [
    "about", "account", "after", "agenda", "answer", "before", "board", "book", "budget", "build",
    "call", "change", "check", "clean", "client", "close", "contract", "copy", "customer", "data",
    "design", "draft", "email", "event", "explain", "feedback", "file", "finish", "first", "fix",
    "follow", "forward", "garden", "gift", "help", "invoice", "kitchen", "launch", "letter",
    "list", "meeting", "milk", "move", "note", "offer", "order", "paint", "paper", "phone", "plan",
    "print", "project", "question", "read", "repair", "report", "review", "room", "sales", "send",
    "ship", "table", "ticket", "write",
];

/// Appends so many tasks to the log of an app whose server is not running.
pub(super) fn append(directory: &Path, app: &str, n_tasks: usize) -> Result<()> {
    let storage = LibsqlStorage::open(directory)?;
    let mut log = storage.open_tenant(&TenantId::of_app(AppId::new(app)?))?;
    let mut random = Random::new(7);
    let mut now_ms = 1_750_000_000_000;
    let first = log.last_seq().0;
    let mut numbers = BTreeMap::new();
    let mut records = Vec::with_capacity(RECORDS_EACH);
    for n in 1..=n_tasks as u64 {
        // One every two minutes or so, of some hundred devices.
        now_ms += 1 + random.below(240_000) as u64;
        let replica = ReplicaId(1 + random.below(100) as u64);
        let transaction =
            Transaction { hlc: Hlc::new(now_ms, 0, replica), ops: task(&mut random, now_ms)? };
        let client = ClientId::new(format!("device-{}", replica.0))?;
        // Each device counts its own transactions.
        let number = numbers.entry(replica).or_insert(ClientSeq(0));
        *number = number.next();
        let origin = Origin { client, number: *number, digest: [0; 16] };
        let seq = Seq(first + n);
        records.push(LogRecord::Commit { seq, at_ms: now_ms, origin, transaction });
        if records.len() == RECORDS_EACH || n == n_tasks as u64 {
            log.append(&records)?;
            records.clear();
        }
    }
    Ok(())
}

fn task(random: &mut Random, now_ms: u64) -> Result<Vec<Op>> {
    let id: String = (0..21).map(|_| char::from(LETTERS[random.below(64)])).collect();
    let e = EntityId::new(id)?;
    let mut text = String::new();
    while text.len() < TEXT_CHARS {
        if !text.is_empty() {
            text.push(' ');
        }
        let word: &str = WORDS[random.below(WORDS.len())];
        text += word;
    }
    text.truncate(TEXT_CHARS);
    let owner = EntityId::new(format!("user-{}", random.below(N_USERS)))?;
    let created = Date::from_ms(i64::try_from(now_ms)?)?;
    let field =
        |name: &str, v: Value| anyhow::Ok(Op::Set { e: e.clone(), a: Attribute::new(name)?, v });
    Ok(vec![
        field("task/owner", Value::Ref(owner))?,
        field("task/text", Value::from(text.trim_end()))?,
        field("task/done", Value::Boolean(random.chance(40)))?,
        field("task/created", Value::Date(created))?,
        field("task/priority", Value::int(random.below(5) as i64))?,
    ])
}
