//! The trait of a client's outbox: its durable name and the writes it has not been answered.
//!
//! It keeps transaction boundaries and order and never drops a write by itself. What is sent when
//! is decided by the client peer.

use serde::{Deserialize, Serialize};
use tercet_engine::fact::Transaction;
use tercet_engine::ids::{ClientId, ClientSeq};

use crate::error::StorageError;

/// A transaction that has not been answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its number among its client's transactions.
    pub number: ClientSeq,
    /// What is to be sent.
    pub transaction: Transaction,
}

/// What a client must find again after a restart.
///
/// Contract: a call that returned `Ok` is handed to the operating system (*stored*): it survives
/// the end of the process. Each call happens whole or not at all.
pub trait Outbox: Send {
    /// The client id these writes belong to; none in a new outbox.
    ///
    /// # Errors
    /// When storage fails.
    fn client(&mut self) -> Result<Option<ClientId>, StorageError>;

    /// Stores a transaction, or replaces the one of the same number (after a re-stamp).
    ///
    /// # Errors
    /// When storage fails.
    fn put(&mut self, pending: &Pending) -> Result<(), StorageError>;

    /// Forgets an answered transaction. One that is not there is no error.
    ///
    /// # Errors
    /// When storage fails.
    fn remove(&mut self, number: ClientSeq) -> Result<(), StorageError>;

    /// What is pending, in order of number.
    ///
    /// # Errors
    /// When storage fails.
    fn load(&mut self) -> Result<Vec<Pending>, StorageError>;

    /// Takes a client id with exactly these pending transactions, in one step: at the very start
    /// (none pending), and when a client takes a new id and renumbers.
    ///
    /// # Errors
    /// When storage fails.
    fn replace(&mut self, client: &ClientId, pending: &[Pending]) -> Result<(), StorageError>;
}
