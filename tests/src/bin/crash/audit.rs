//! What the server promised, and the check that it kept it.
//!
//! A write is one transaction of two facts about its own entity, so that half a transaction
//! would be seen. Invariants checked: every acknowledged write is held; every held write was
//! sent; each is whole; no two acknowledgements name one `seq`, and a writer's grow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

/// One transaction of a trial. Its identity and its facts follow from these three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Write {
    pub(crate) trial: u32,
    pub(crate) writer: u32,
    /// Counts from 1, as client sequence numbers do.
    pub(crate) number: u32,
}

impl Write {
    /// The entity that only this write is about.
    fn entity(&self) -> String {
        format!("write-{}-{}-{}", self.trial, self.writer, self.number)
    }

    /// Reads an entity id back.
    fn from_entity(id: &str) -> Option<Write> {
        let mut numbers = id.strip_prefix("write-")?.split('-').map(str::parse);
        let mut next = || numbers.next()?.ok();
        let write = Write { trial: next()?, writer: next()?, number: next()? };
        numbers.next().is_none().then_some(write)
    }

    /// The body of the request. The same write gives the same identity and operations.
    pub(crate) fn body(&self) -> Json {
        let entity = self.entity();
        json!({
            "client": format!("crash-{}-{}", self.trial, self.writer),
            "number": self.number,
            "ops": [
                {"set": {"e": entity, "a": "write/number", "v": self.number}},
                {"add": {"e": entity, "a": "write/mark", "v": format!("{entity} is whole")}},
            ],
        })
    }
}

/// The writes a server holds, by what it answers to [`HELD_QUERY`] and [`WHOLE_QUERY`].
#[derive(Debug, Default)]
pub(crate) struct Held {
    writes: BTreeSet<Write>,
    strangers: Vec<String>,
    halves: Vec<String>,
}

/// Every entity with either of the two facts.
pub(crate) const HELD_QUERY: &str =
    "[:find [?e ...] :where (or [?e :write/number _] [?e :write/mark _])]";

/// Entity, number and mark of the whole ones.
pub(crate) const WHOLE_QUERY: &str =
    "[:find ?e ?n ?m :where [?e :write/number ?n] [?e :write/mark ?m]]";

impl Held {
    /// Reads the rows of both answers.
    pub(crate) fn from_rows(held: &[Json], whole: &[Json]) -> Held {
        let mut result = Held::default();
        let whole: BTreeMap<&str, &Json> =
            whole.iter().filter_map(|row| Some((entity_of(row)?, row))).collect();
        for row in held {
            let Some(id) = entity_of(row) else {
                result.strangers.push(row.to_string());
                continue;
            };
            let Some(write) = Write::from_entity(id) else {
                result.strangers.push(id.to_owned());
                continue;
            };
            let expected = json!([{"$ref": id}, write.number, format!("{id} is whole")]);
            if whole.get(id).is_some_and(|row| **row == expected) {
                result.writes.insert(write);
            } else {
                result.halves.push(id.to_owned());
            }
        }
        result
    }

    /// Whether the write is there, whole.
    pub(crate) fn contains(&self, write: &Write) -> bool {
        self.writes.contains(write)
    }
}

/// The entity id in the first column of a row.
fn entity_of(row: &Json) -> Option<&str> {
    row.get(0)?.get("$ref")?.as_str()
}

/// All acknowledgements of all trials.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    seqs: BTreeMap<Write, u64>,
    contradictions: Vec<String>,
}

impl Ledger {
    /// Notes acknowledged writes with the `seq` that each acknowledgement named.
    pub(crate) fn acknowledge(&mut self, writes: impl IntoIterator<Item = (Write, u64)>) {
        for (write, seq) in writes {
            if let Some(before) = self.seqs.insert(write, seq)
                && before != seq
            {
                self.contradictions.push(format!("{write:?} was seq {before}, then {seq}"));
            }
        }
    }

    /// Every broken promise, as a sentence. `unanswered` writes may be held or not.
    pub(crate) fn check(&self, held: &Held, unanswered: &[Write]) -> Vec<String> {
        let mut faults = self.contradictions.clone();
        for (write, seq) in &self.seqs {
            if !held.contains(write) {
                faults.push(format!("lost: {write:?}, acknowledged as seq {seq}"));
            }
        }
        for write in &held.writes {
            if !self.seqs.contains_key(write) && !unanswered.contains(write) {
                faults.push(format!("never sent, but there: {write:?}"));
            }
        }
        faults.extend(held.strangers.iter().map(|id| format!("never sent, but there: {id}")));
        faults.extend(held.halves.iter().map(|id| format!("half a transaction: {id}")));
        faults.extend(self.check_seqs());
        faults
    }

    fn check_seqs(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut writes = BTreeMap::new();
        for (write, seq) in &self.seqs {
            if let Some(other) = writes.insert(seq, write) {
                faults.push(format!("seq {seq} was given to {other:?} and to {write:?}"));
            }
        }
        for ((early, early_seq), (late, late_seq)) in self.seqs.iter().zip(self.seqs.iter().skip(1))
        {
            let same_writer = (early.trial, early.writer) == (late.trial, late.writer);
            if same_writer && early_seq >= late_seq {
                faults.push(format!("{early:?} is seq {early_seq}, {late:?} is {late_seq}"));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::{Held, Ledger, Write};

    const FIRST: Write = Write { trial: 1, writer: 0, number: 1 };
    const SECOND: Write = Write { trial: 1, writer: 0, number: 2 };

    /// What a server that holds these writes answers to the two queries.
    fn answers(writes: &[Write]) -> (Vec<Json>, Vec<Json>) {
        let ids = writes.iter().map(|write| (write.entity(), write.number));
        ids.map(|(id, number)| {
            let mark = format!("{id} is whole");
            (json!([{"$ref": id}]), json!([{"$ref": id}, number, mark]))
        })
        .unzip()
    }

    fn held(writes: &[Write]) -> Held {
        let (held, whole) = answers(writes);
        Held::from_rows(&held, &whole)
    }

    fn ledger(writes: &[(Write, u64)]) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.acknowledge(writes.iter().copied());
        ledger
    }

    #[test]
    fn kept_promises_are_no_fault() {
        let ledger = ledger(&[(FIRST, 1)]);
        assert!(ledger.check(&held(&[FIRST]), &[]).is_empty());
        assert!(ledger.check(&held(&[FIRST, SECOND]), &[SECOND]).is_empty());
        assert!(ledger.check(&held(&[FIRST]), &[SECOND]).is_empty());
    }

    #[test]
    fn each_broken_promise_is_a_fault() {
        let both = ledger(&[(FIRST, 1), (SECOND, 2)]);
        assert!(both.check(&held(&[FIRST]), &[])[0].starts_with("lost"));
        let one = ledger(&[(FIRST, 1)]);
        assert!(one.check(&held(&[FIRST, SECOND]), &[])[0].starts_with("never sent"));
        let (rows, _) = answers(&[FIRST]);
        let faults = one.check(&Held::from_rows(&rows, &[]), &[FIRST]);
        assert!(faults.iter().any(|fault| fault.starts_with("half")), "{faults:?}");
        let stranger = Held::from_rows(&[json!([{"$ref": "x"}])], &[]);
        assert!(Ledger::default().check(&stranger, &[])[0].ends_with("there: x"));
        let swapped = ledger(&[(FIRST, 2), (SECOND, 1)]);
        assert_eq!(swapped.check(&held(&[FIRST, SECOND]), &[]).len(), 1);
        let doubled = ledger(&[(FIRST, 1), (SECOND, 1)]);
        assert_eq!(doubled.check(&held(&[FIRST, SECOND]), &[]).len(), 2);
        let contradicted = ledger(&[(FIRST, 1), (FIRST, 2)]);
        assert_eq!(contradicted.check(&held(&[FIRST]), &[]).len(), 1);
    }

    #[test]
    fn entities_read_back_as_writes() {
        assert_eq!(Write::from_entity(&FIRST.entity()), Some(FIRST));
        for id in ["write-1-2", "write-1-2-3-4", "write-1-2-x", "other"] {
            assert_eq!(Write::from_entity(id), None, "{id}");
        }
    }
}
