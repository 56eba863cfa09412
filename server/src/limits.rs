//! Every bound of the server in one place: what it accepts, keeps waiting and gives out.
//!
//! A bound exists for each queue, body, frame, query and connection, so that no peer can take
//! more than its share. What a transaction, frame or subscription may be is in
//! [`tercet_sync::Limits`], because clients are told those.

use std::num::NonZeroUsize;
use std::time::Duration;

/// The server's bounds.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// What clients are told in the welcome, and held to.
    pub sync: tercet_sync::Limits,
    /// What is kept for clients that come back after a short while.
    pub resume: tercet_sync::ResumeLimits,
    /// How far ahead of the server's time a stamp may be, in milliseconds.
    pub drift_ms_max: u64,

    /// Open connections; the next ones wait to be accepted.
    pub connections_max: usize,
    /// The request line and headers of a request must be there within this time.
    pub head_timeout: Duration,
    /// Bytes of a request's line and headers.
    pub head_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// A body that is read as a whole must be there within this time.
    pub body_timeout: Duration,
    /// A streaming body, either way, must make some progress within this time.
    pub stream_timeout: Duration,
    /// Bytes of the body of an admin request.
    pub admin_body_bytes_max: usize,
    /// Bytes of the body of a transaction; its JSON is larger than what it writes.
    pub transact_body_bytes_max: usize,
    /// Bytes of the body of a query, inputs included.
    pub query_body_bytes_max: usize,

    /// Bytes of a query's text, and of its rules' text.
    pub query_text_bytes_max: usize,
    /// How long one evaluation may take.
    pub query_time: Duration,
    /// Rows that all steps of one evaluation may make together.
    pub query_work_rows_max: u64,
    /// Rows that all steps of one evaluation of a subscription may make. Lower, because it runs on
    /// the task that owns the tenant: while it does, the tenant's writers wait.
    pub live_work_rows_max: u64,
    /// Bytes that the tables of one evaluation may hold.
    pub query_bytes_max: u64,
    /// Rows of one answer.
    pub query_rows_max: usize,
    /// Bytes of one answer as JSON.
    pub query_answer_bytes_max: usize,
    /// Queries over HTTP that run at the same time; the next ones are refused.
    pub queries_max: usize,

    /// Bytes of a line of an import.
    pub import_line_bytes_max: usize,
    /// Imports that run at the same time; the next ones are refused.
    pub imports_max: usize,
    /// Exports that run at the same time; the next ones are refused.
    pub exports_max: usize,
    /// Commits that one request for changes gives.
    pub changes_max: usize,
    /// How long a followed list of changes is silent before it says that it is there.
    pub heartbeat_interval: Duration,

    /// A session's hello must be there within this time.
    pub hello_timeout: Duration,
    /// Bytes of a hello: nobody has shown a key yet.
    pub hello_bytes_max: usize,
    /// How often a session is pinged.
    pub ping_interval: Duration,
    /// A session that is silent for so long is taken for gone.
    pub silence_max: Duration,
    /// A write to a socket must be taken within this time.
    pub write_timeout: Duration,
    /// Frames that are no message before a session is ended.
    pub malformed_frames_max: u32,
    /// About how many bytes are queued towards a session before it counts as slow.
    pub queue_bytes_max: usize,

    /// Commands that wait for a tenant; who sends more waits.
    pub tenant_commands_max: usize,
    /// A tenant that nobody has asked anything for so long is unloaded.
    pub tenant_idle: Duration,
    /// Threads that run storage; a tenant stays on one.
    pub storage_threads: NonZeroUsize,
    /// Storage jobs of one tenant that wait.
    pub storage_jobs_max: usize,
    /// Storage jobs of the registry that wait: look-ups of keys that are not known yet.
    pub registry_jobs_max: usize,
    /// Bytes of the log that recovery reads at a time.
    pub replay_bytes: usize,
    /// How long open connections may take to end when the server stops.
    pub stop_timeout: Duration,
}

impl Default for ServerLimits {
    /// What the documentation states.
    fn default() -> ServerLimits {
        ServerLimits {
            sync: tercet_sync::Limits::default(),
            resume: tercet_sync::ResumeLimits::default(),
            drift_ms_max: 60_000,
            connections_max: 10_000,
            head_timeout: Duration::from_secs(10),
            head_bytes_max: 16 << 10,
            headers_max: 64,
            body_timeout: Duration::from_secs(30),
            stream_timeout: Duration::from_secs(30),
            admin_body_bytes_max: 16 << 10,
            transact_body_bytes_max: 32 << 20,
            query_body_bytes_max: 1 << 20,
            query_text_bytes_max: 64 << 10,
            query_time: Duration::from_secs(5),
            query_work_rows_max: 50_000_000,
            live_work_rows_max: 5_000_000,
            query_bytes_max: 256 << 20,
            query_rows_max: 1_000_000,
            query_answer_bytes_max: 256 << 20,
            queries_max: 32,
            import_line_bytes_max: 8 << 20,
            imports_max: 16,
            exports_max: 8,
            changes_max: 10_000,
            heartbeat_interval: Duration::from_secs(15),
            hello_timeout: Duration::from_secs(5),
            hello_bytes_max: 16 << 10,
            ping_interval: Duration::from_secs(20),
            silence_max: Duration::from_secs(45),
            write_timeout: Duration::from_secs(10),
            malformed_frames_max: 16,
            queue_bytes_max: 32 << 20,
            tenant_commands_max: 256,
            tenant_idle: Duration::from_secs(300),
            storage_threads: NonZeroUsize::new(4).expect("four is not zero"),
            storage_jobs_max: 64,
            registry_jobs_max: 1_024,
            replay_bytes: 4 << 20,
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// Operations in one transaction of an import. A constant, not a setting: an import that is
/// repeated on another server must be cut at the same lines.
pub(crate) const IMPORT_OPS: usize = 10_000;

/// Bytes of ids, attributes and values after which an import's transaction is closed; a constant
/// for the same reason.
pub(crate) const IMPORT_BYTES: u64 = 4 << 20;

/// Transactions of an import that are sent and not answered.
pub(crate) const IMPORT_IN_FLIGHT: usize = 2;

/// Messages beyond `queue_max` that a session's queue holds, so that a subscription's first
/// answer, which comes at once, finds room.
pub(crate) const QUEUE_SLACK: usize = 4_096;

/// API keys kept in memory.
pub(crate) const KNOWN_KEYS_MAX: usize = 10_000;
