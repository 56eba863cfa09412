//! A transaction from the program's side: how it is put together, and what becomes of it.
//!
//! A write is *visible* at once, *stored* when the outbox has it, *accepted* when it is durable on
//! the server. The program waits for the one it needs; none of them has a time limit, because an
//! offline client may stay offline.

use tercet_engine::fact::{Effect, Op};
use tercet_engine::ids::{Attribute, Checkpoint, ClientSeq, EntityId, IdError};
use tercet_engine::value::Value;
use tercet_schema::{Key, Ref};
use tokio::sync::watch;

use crate::error::ClientError;
use crate::status::Rejected;

/// What has become of a write.
#[derive(Debug, Clone)]
pub(crate) enum Progress {
    /// In the answers of this replica.
    Visible(ClientSeq),
    /// In the outbox.
    Stored(ClientSeq),
    /// Durable on the server.
    Accepted(ClientSeq, Accepted),
    /// Taken out again.
    Rejected(Rejected),
}

/// What the server made of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What became of each operation, right after the whole transaction.
    pub effects: Vec<Effect>,
    /// Its commit; none where there was nothing to write.
    pub checkpoint: Option<Checkpoint>,
}

/// A transaction that is visible here. Dropping it changes nothing; a clone is the same write.
#[derive(Debug, Clone)]
pub struct Write {
    progress: watch::Receiver<Progress>,
}

impl Write {
    pub(crate) fn new(progress: watch::Receiver<Progress>) -> Write {
        Write { progress }
    }

    /// A write of nothing, which is done.
    pub(crate) fn nothing() -> Write {
        let accepted = Accepted { effects: Vec::new(), checkpoint: None };
        // The sender may go: nothing will follow.
        Write::new(watch::channel(Progress::Accepted(ClientSeq(0), accepted)).1)
    }

    /// Its number among this replica's transactions; 0 for a write of nothing. It changes when the
    /// replica has to take a new identity.
    pub fn number(&self) -> ClientSeq {
        match &*self.progress.borrow() {
            Progress::Visible(number)
            | Progress::Stored(number)
            | Progress::Accepted(number, _) => *number,
            Progress::Rejected(rejected) => rejected.number,
        }
    }

    /// Waits until the write survives the end of this process: until the outbox has it, or without
    /// an outbox, until the server has.
    ///
    /// # Errors
    /// When the server refused it, or the client was closed first.
    pub async fn stored(&self) -> Result<(), ClientError> {
        let is_stored = |progress: &Progress| !matches!(progress, Progress::Visible(_));
        match self.wait(is_stored).await? {
            Progress::Rejected(rejected) => Err(ClientError::Rejected(rejected)),
            _ => Ok(()),
        }
    }

    /// Waits until the write is durable on the server.
    ///
    /// # Errors
    /// When the server refused it, or the client was closed first.
    pub async fn accepted(&self) -> Result<Accepted, ClientError> {
        let is_answered = |progress: &Progress| {
            matches!(progress, Progress::Accepted(..) | Progress::Rejected(_))
        };
        match self.wait(is_answered).await? {
            Progress::Rejected(rejected) => Err(ClientError::Rejected(rejected)),
            Progress::Accepted(_, accepted) => Ok(accepted),
            Progress::Visible(_) | Progress::Stored(_) => unreachable!("waited for an answer"),
        }
    }

    async fn wait(&self, until: impl FnMut(&Progress) -> bool) -> Result<Progress, ClientError> {
        let mut progress = self.progress.clone();
        // `wait_for` looks at the value now first, so a write that is done is done.
        let reached = progress.wait_for(until).await.map_err(|_| ClientError::Closed)?;
        Ok(reached.clone())
    }
}

/// What names an entity: an id, a typed id, or its text.
pub trait EntityArgument {
    /// The id.
    ///
    /// # Errors
    /// When the text is none.
    fn into_entity_id(self) -> Result<EntityId, IdError>;
}

impl EntityArgument for EntityId {
    fn into_entity_id(self) -> Result<EntityId, IdError> {
        Ok(self)
    }
}

impl EntityArgument for &EntityId {
    fn into_entity_id(self) -> Result<EntityId, IdError> {
        Ok(self.clone())
    }
}

impl<T> EntityArgument for &Ref<T> {
    fn into_entity_id(self) -> Result<EntityId, IdError> {
        Ok(self.as_entity_id().clone())
    }
}

impl EntityArgument for &str {
    fn into_entity_id(self) -> Result<EntityId, IdError> {
        EntityId::new(self)
    }
}

/// Operations in the making, for [`Client::write`](crate::Client::write). What is wrong with ids
/// and attributes is reported when all operations are given, everything at once.
#[derive(Debug, Default)]
pub struct Transaction {
    ops: Vec<Op>,
    n_given: usize,
    errors: Vec<(usize, IdError)>,
}

impl Transaction {
    /// The field is exactly this value.
    pub fn set(
        &mut self,
        entity: impl EntityArgument,
        attribute: &str,
        value: impl Into<Value>,
    ) -> &mut Transaction {
        let v = value.into();
        self.field(entity, attribute, |e, a| Op::Set { e, a, v })
    }

    /// The field is empty.
    pub fn unset(&mut self, entity: impl EntityArgument, attribute: &str) -> &mut Transaction {
        self.field(entity, attribute, |e, a| Op::Unset { e, a })
    }

    /// The value is a member of the field.
    pub fn add(
        &mut self,
        entity: impl EntityArgument,
        attribute: &str,
        value: impl Into<Value>,
    ) -> &mut Transaction {
        let v = value.into();
        self.field(entity, attribute, |e, a| Op::Add { e, a, v })
    }

    /// Takes back the membership of the value, as this replica sees it.
    pub fn remove(
        &mut self,
        entity: impl EntityArgument,
        attribute: &str,
        value: impl Into<Value>,
    ) -> &mut Transaction {
        let v = value.into();
        self.field(entity, attribute, |e, a| Op::Remove { e, a, v, covers: None })
    }

    /// The entity is gone.
    pub fn delete(&mut self, entity: impl EntityArgument) -> &mut Transaction {
        self.entity(entity, |e| Op::Delete { e })
    }

    /// Takes back the deletion of the entity, as this replica sees it.
    pub fn restore(&mut self, entity: impl EntityArgument) -> &mut Transaction {
        self.entity(entity, |e| Op::Restore { e, covers: None })
    }

    /// An operation as it is.
    pub fn op(&mut self, op: Op) -> &mut Transaction {
        self.take(Ok(op))
    }

    fn field(
        &mut self,
        entity: impl EntityArgument,
        attribute: &str,
        op: impl FnOnce(EntityId, Attribute) -> Op,
    ) -> &mut Transaction {
        let ids = entity.into_entity_id().and_then(|e| Ok((e, Attribute::new(attribute)?)));
        self.take(ids.map(|(e, a)| op(e, a)))
    }

    fn entity(
        &mut self,
        entity: impl EntityArgument,
        op: impl FnOnce(EntityId) -> Op,
    ) -> &mut Transaction {
        self.take(entity.into_entity_id().map(op))
    }

    fn take(&mut self, op: Result<Op, IdError>) -> &mut Transaction {
        match op {
            Ok(op) => self.ops.push(op),
            Err(error) => self.errors.push((self.n_given, error)),
        }
        self.n_given += 1;
        self
    }

    pub(crate) fn finish(self) -> Result<Vec<Op>, ClientError> {
        if self.errors.is_empty() {
            Ok(self.ops)
        } else {
            Err(ClientError::Ids { errors: self.errors })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn wrong_ids_are_reported_together_with_their_operations() {
        let mut transaction = Transaction::default();
        transaction.set("u1", "user/name", "Ann").set("", "user/name", 1).delete("u2");
        transaction.add("u1", "name", true);
        let error = transaction.finish().unwrap_err();
        assert_eq!(error.code(), "id_empty");
        assert_eq!(
            error.to_string(),
            "operation 1: an entity id must not be empty\n\
             operation 3: `name` is not an attribute; write it as type/field, for example user/name"
        );
    }

    #[tokio::test]
    async fn a_write_of_nothing_is_done_and_an_abandoned_one_is_closed() {
        assert_eq!(Write::nothing().accepted().await.unwrap().checkpoint, None);
        let (sender, receiver) = watch::channel(Progress::Visible(ClientSeq(1)));
        let write = Write::new(receiver);
        drop(sender);
        assert_eq!(write.stored().await, Err(ClientError::Closed));
    }
}
