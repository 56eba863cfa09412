//! What a client is made with.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tercet_engine::limits::Budget;
use tercet_schema::Schema;
use tercet_storage::ClientStore;
use tercet_sync::Limits;

/// Tells the milliseconds since 1970. It may jump either way: stamps do not suffer.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a client is made with.
pub struct ClientConfig {
    /// The server: `http://host:port` or `ws://host:port`, with a path if it stands behind one.
    pub url: String,
    /// The app.
    pub app: String,
    /// The API key.
    pub key: String,
    /// Where writes wait that the server has not answered, and where subscriptions are kept for
    /// the next start. `None`: in memory, and whatever is unanswered when the process ends is lost.
    pub store: Option<Box<dyn ClientStore>>,
    /// What every write is checked against. Writes of entities are checked by their own types
    /// whether or not this is given.
    pub schema: Option<Schema>,
    /// What is checked before a write, until the server states its own limits.
    pub limits: Limits,
    /// For the evaluation of one query or subscription.
    pub budget: Budget,
}

impl ClientConfig {
    /// A client of a server's app, with everything in memory and without limits of its own.
    pub fn new(
        url: impl Into<String>,
        app: impl Into<String>,
        key: impl Into<String>,
    ) -> ClientConfig {
        ClientConfig {
            url: url.into(),
            app: app.into(),
            key: key.into(),
            store: None,
            schema: None,
            limits: Limits::default(),
            budget: Budget::unlimited(),
        }
    }
}

/// Without the key.
impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("url", &self.url)
            .field("app", &self.app)
            .field("store", &self.store.is_some())
            .finish_non_exhaustive()
    }
}

/// The system's time.
pub(crate) fn system_clock() -> Clock {
    Arc::new(|| {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Thirty-two random bytes of the system.
pub(crate) fn random_seed() -> [u8; 32] {
    let bytes = nanoid::rngs::default(32);
    bytes.try_into().expect("as many bytes as asked for")
}
