//! The server's side of the protocol: everything of one tenant, without I/O.
//!
//! Modules in reading order. `output`: what goes in and comes out. `records`: what each client has
//! been answered. `staging`: transactions between acceptance and disk. `tenant`: the façade, and
//! `commit` the way of a transaction through it. `session`: one peer and its pace. `instances`:
//! shared subscriptions, with `facts` and `rows` for the two modes, `parts` for frames and `trouble`
//! for what goes wrong; `ring` and `linger` are what is kept for those who come back, and `resume`
//! says what they are sent. `joins`: a session's subscriptions. `recovery`: opening.
//!
//! Invariants: nothing is published, acknowledged or sent before the log has it; a session gets
//! all parts of a commit before the marker or answer that says so; what belongs to one session is
//! never in a shared frame.

mod commit;
mod facts;
mod instances;
mod joins;
mod linger;
mod output;
mod parts;
mod records;
mod recovery;
mod resume;
mod ring;
mod rows;
mod session;
mod staging;
mod tenant;
mod trouble;

#[cfg(test)]
mod tests;

pub use output::{
    AppendFailure, Identity, RecoveryError, Refusal, RequestId, ResumeLimits, Rights, TenantConfig,
    TenantOutput, TenantStats, TransactAccepted, TransactError,
};
pub use records::digest;
pub use recovery::Recovery;
pub use tenant::Tenant;
