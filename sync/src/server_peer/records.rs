//! What is kept of each client: its last number, and the answers it may ask for again.
//!
//! Definitions: a number is *answered* when its record is in the log. Invariants: answers are kept
//! for the numbers `last − n_kept + 1 ..= last`, without gaps; an answer leaves only when its
//! client says that it has it and [`ANSWERS_KEPT_MIN`] newer ones are kept, or when there are more
//! than [`ANSWERS_KEPT_MAX`]. Everything here
//! is rebuilt from the log. What is staged but not durable is in `staging`.

use std::collections::{BTreeMap, VecDeque};

use tercet_engine::codec;
use tercet_engine::commit::Rejection;
use tercet_engine::fact::{Effect, Op};
use tercet_engine::ids::{ClientId, ClientSeq, Seq};

/// The most answers kept for one client. An import of so many chunks can be repeated whole.
pub(crate) const ANSWERS_KEPT_MAX: usize = 65_536;

/// The newest answers of a client that stay even when it says that it has them: it may die before
/// its outbox knows, and ask again.
pub(crate) const ANSWERS_KEPT_MIN: usize = 64;

/// Client ids that start so are the server's own; nobody may claim one.
pub(crate) const RESERVED_PREFIX: &str = "tercet:";

/// Whether a client id is the server's own.
pub(crate) fn is_reserved(client: &ClientId) -> bool {
    client.as_str().starts_with(RESERVED_PREFIX)
}

/// What tells a transaction from another one of its number: 128 bits of BLAKE3 over its encoded
/// operations. The stamp is not in it, because a client may have to take a new one.
pub fn digest(ops: &[Op]) -> [u8; 16] {
    let hash = blake3::hash(&codec::encode(&ops));
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// The recorded answer to one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) digest: [u8; 16],
    pub(crate) answer: Answer,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted { seq: Seq, effects: Effects },
    Rejected(Box<Rejection>),
}

/// The effects of a transaction; nearly always all applied, which needs no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effects {
    AllApplied(u32),
    Each(Box<[Effect]>),
}

impl From<Vec<Effect>> for Effects {
    fn from(effects: Vec<Effect>) -> Effects {
        match u32::try_from(effects.len()) {
            Ok(n) if effects.iter().all(|effect| *effect == Effect::Applied) => {
                Effects::AllApplied(n)
            }
            _ => Effects::Each(effects.into()),
        }
    }
}

impl Effects {
    /// One for each operation.
    pub(crate) fn to_vec(&self) -> Vec<Effect> {
        match self {
            Effects::AllApplied(n) => vec![Effect::Applied; *n as usize],
            Effects::Each(effects) => effects.to_vec(),
        }
    }
}

/// What is known of a number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup<'records> {
    /// It is answered.
    Answered(&'records Recorded),
    /// It is answered, and its client has said that it has the answer.
    Forgotten,
    /// It is the next one, or a later one.
    New,
}

/// All clients of a tenant.
#[derive(Debug, Default)]
pub(crate) struct Records {
    clients: BTreeMap<ClientId, ClientRecord>,
}

#[derive(Debug, Default)]
struct ClientRecord {
    last: ClientSeq,
    answers: VecDeque<Recorded>,
}

impl Records {
    /// The last number answered; 0 for a client never heard of.
    pub(crate) fn last(&self, client: &ClientId) -> ClientSeq {
        self.clients.get(client).map_or(ClientSeq(0), |record| record.last)
    }

    /// What is known of a number.
    pub(crate) fn find(&self, client: &ClientId, number: ClientSeq) -> Lookup<'_> {
        let Some(record) = self.clients.get(client) else { return Lookup::New };
        if number > record.last {
            return Lookup::New;
        }
        let age = usize::try_from(record.last.0 - number.0).unwrap_or(usize::MAX);
        let index = record.answers.len().checked_sub(age.saturating_add(1));
        index.map_or(Lookup::Forgotten, |index| Lookup::Answered(&record.answers[index]))
    }

    /// Takes the answer of the client's next number.
    pub(crate) fn add(&mut self, client: &ClientId, recorded: Recorded) {
        let record = self.clients.entry(client.clone()).or_default();
        record.last = record.last.next();
        // Nobody can ask for the answers of the server's own transactions.
        if !is_reserved(client) {
            record.answers.push_back(recorded);
        }
        if record.answers.len() > ANSWERS_KEPT_MAX {
            record.answers.pop_front();
        }
    }

    /// The client has the answers up to this number.
    pub(crate) fn forget(&mut self, client: &ClientId, through: ClientSeq) {
        let Some(record) = self.clients.get_mut(client) else { return };
        let n_newer =
            usize::try_from(record.last.0.saturating_sub(through.0)).unwrap_or(usize::MAX);
        let n_old = record.answers.len().saturating_sub(n_newer.max(ANSWERS_KEPT_MIN));
        record.answers.drain(..n_old);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn recorded(seq: u64) -> Recorded {
        let effects = Effects::from(vec![Effect::Applied]);
        Recorded { digest: [0; 16], answer: Answer::Accepted { seq: Seq(seq), effects } }
    }

    #[test]
    fn answers_are_kept_until_the_client_has_them() {
        let client = ClientId::new("c").unwrap();
        let mut records = Records::default();
        assert_eq!(records.find(&client, ClientSeq(1)), Lookup::New);
        let n = ANSWERS_KEPT_MIN as u64;
        for seq in 1..=n + 3 {
            records.add(&client, recorded(seq));
        }
        assert_eq!(records.find(&client, ClientSeq(1)), Lookup::Answered(&recorded(1)));
        assert_eq!(records.find(&client, ClientSeq(n)), Lookup::Answered(&recorded(n)));
        assert_eq!(records.find(&client, ClientSeq(n + 4)), Lookup::New);
        records.forget(&client, ClientSeq(2));
        assert_eq!(records.find(&client, ClientSeq(2)), Lookup::Forgotten);
        assert_eq!(records.find(&client, ClientSeq(3)), Lookup::Answered(&recorded(3)));
        // The newest stay whatever the client says.
        records.forget(&client, ClientSeq(999));
        assert_eq!(records.find(&client, ClientSeq(3)), Lookup::Forgotten);
        assert_eq!(records.find(&client, ClientSeq(4)), Lookup::Answered(&recorded(4)));
        assert_eq!(records.find(&client, ClientSeq(0)), Lookup::Forgotten);
        assert_eq!(records.last(&client), ClientSeq(n + 3));
    }

    #[test]
    fn mixed_effects_read_back() {
        let effects = vec![Effect::Applied, Effect::Superseded];
        assert_eq!(Effects::from(effects.clone()).to_vec(), effects);
        assert_eq!(Effects::from(vec![Effect::Applied; 3]).to_vec(), vec![Effect::Applied; 3]);
    }
}
