//! Putting a native client together: where the server is, who asks, and where to keep things.

use std::path::PathBuf;

use tercet_engine::limits::Budget;
use tercet_schema::Schema;
use tercet_storage::{AppId, ClientStore, Durability, LibsqlClientStore};
use tercet_sync::Limits;

use crate::client::Client;
use crate::config::ClientConfig;
use crate::error::ClientError;

/// A client in the making; [`Client::builder`] begins one.
///
/// ```no_run
/// use tercet_client::Client;
/// # async fn run() -> Result<(), tercet_client::ClientError> {
/// let client = Client::builder()
///     .url("http://127.0.0.1:7878")
///     .app("myapp")
///     .key("trc_key")
///     .data_dir("/var/lib/myprogram/tercet")
///     .connect()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing happens before `connect`"]
pub struct ClientBuilder {
    config: ClientConfig,
    data_dir: Option<PathBuf>,
    durability: Durability,
}

impl Client {
    /// Begins a client.
    pub fn builder() -> ClientBuilder {
        let config = ClientConfig::new("", "", "");
        ClientBuilder { config, data_dir: None, durability: Durability::Process }
    }
}

impl ClientBuilder {
    /// The server: `http://host:port` or `ws://host:port`, with a path if it stands behind one.
    pub fn url(mut self, url: impl Into<String>) -> ClientBuilder {
        self.config.url = url.into();
        self
    }

    /// The app.
    pub fn app(mut self, app: impl Into<String>) -> ClientBuilder {
        self.config.app = app.into();
        self
    }

    /// The API key.
    pub fn key(mut self, key: impl Into<String>) -> ClientBuilder {
        self.config.key = key.into();
        self
    }

    /// Keeps unanswered writes, and what subscriptions hold, in a directory of the app in this one,
    /// made if it does not exist. One client at a time may use it; two users of an app need two.
    /// Without one, whatever is unanswered when the process ends is lost.
    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> ClientBuilder {
        self.data_dir = Some(directory.into());
        self
    }

    /// What a *stored* write survives: with [`Durability::Process`], which is the default, the end
    /// of the process, also by `kill -9`; with [`Durability::PowerCut`] also that of the system.
    pub fn durability(mut self, durability: Durability) -> ClientBuilder {
        self.durability = durability;
        self
    }

    /// Keeps things in another store than a directory.
    pub fn store(mut self, store: impl ClientStore + 'static) -> ClientBuilder {
        self.config.store = Some(Box::new(store));
        self
    }

    /// What every write is checked against.
    pub fn schema(mut self, schema: Schema) -> ClientBuilder {
        self.config.schema = Some(schema);
        self
    }

    /// What is checked before a write, until the server states its own limits.
    pub fn limits(mut self, limits: Limits) -> ClientBuilder {
        self.config.limits = limits;
        self
    }

    /// For the evaluation of one query or subscription.
    pub fn budget(mut self, budget: Budget) -> ClientBuilder {
        self.config.budget = budget;
        self
    }

    /// Starts the client, as [`Client::connect`] does.
    ///
    /// # Errors
    /// When something is missing or not valid; when the data directory is in use, damaged, or
    /// cannot be reached.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(self) -> Result<Client, ClientError> {
        let ClientBuilder { mut config, data_dir, durability } = self;
        if let Some(data_dir) = data_dir {
            if config.store.is_some() {
                let why = "there is a store already; give one of the two".to_owned();
                return Err(ClientError::Config { what: "the data directory", why });
            }
            let app = AppId::new(&config.app)
                .map_err(|error| ClientError::Config { what: "the app", why: error.to_string() })?;
            let store = LibsqlClientStore::open(&data_dir.join(app.as_str()), durability)?;
            config.store = Some(Box::new(store));
        }
        Client::connect(config)
    }
}
