//! The flags that say which server, which app, and by what right.

use std::path::Path;

use anyhow::Result;
use clap::Args;

use crate::admin_token;
use crate::api::{Admin, App, Server};
use crate::failure::Failure;

/// Where `tercet serve` listens when it is not told.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:7878";

/// Where `tercet serve` keeps its data when it is not told.
pub(crate) const DEFAULT_DATA: &str = "tercet-data";

/// Which server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ServerFlags {
    /// The server's address
    #[arg(long, global = true, env = "TERCET_URL", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:7878")]
    pub(crate) url: String,
}

impl ServerFlags {
    /// A caller of this server.
    ///
    /// # Errors
    /// When the address is none.
    pub(crate) fn server(&self) -> Result<Server> {
        Server::new(&self.url)
    }
}

/// Which app, and the key that opens it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct AppFlags {
    #[command(flatten)]
    pub(crate) server: ServerFlags,
    /// The app's id, as `tercet apps create` prints it
    #[arg(long, env = "TERCET_APP", value_name = "ID")]
    app: Option<String>,
    /// An API key of the app, as `tercet apps key` prints it; the variable keeps it out of the
    /// list of processes and of the shell's history
    #[arg(long, env = "TERCET_KEY", value_name = "KEY", hide_env_values = true)]
    key: Option<String>,
}

impl AppFlags {
    /// The app's id.
    ///
    /// # Errors
    /// When none is given.
    pub(crate) fn app_id(&self) -> Result<&str, Failure> {
        self.app.as_deref().filter(|app| !app.is_empty()).ok_or_else(|| {
            Failure::new("no app is named").with_hint(
                "give --app ID or set TERCET_APP; `tercet apps create NAME` makes an app",
            )
        })
    }

    /// The key.
    ///
    /// # Errors
    /// When none is given.
    pub(crate) fn key(&self) -> Result<&str, Failure> {
        self.key.as_deref().filter(|key| !key.is_empty()).ok_or_else(|| {
            Failure::new("no key is given")
                .with_hint("give --key KEY or set TERCET_KEY; `tercet apps key APP` makes a key")
        })
    }

    /// A caller of this app.
    ///
    /// # Errors
    /// When the address, the app or the key is missing.
    pub(crate) fn app(&self) -> Result<App> {
        Ok(self.server.server()?.app(self.app_id()?, self.key()?))
    }
}

/// Which server, with the right to make apps and keys.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct AdminFlags {
    #[command(flatten)]
    server: ServerFlags,
    /// The server's admin token. Without one, a server on this machine is asked with the token in
    /// ./tercet-data/admin-token, where `tercet serve` puts the one it makes
    #[arg(long, global = true, env = "TERCET_ADMIN_TOKEN", value_name = "TOKEN")]
    #[arg(hide_env_values = true)]
    admin_token: Option<String>,
}

impl AdminFlags {
    /// A caller with the admin's rights.
    ///
    /// # Errors
    /// When the address or the token is missing.
    pub(crate) fn admin(&self) -> Result<Admin> {
        let server = self.server.server()?;
        let given = self.admin_token.clone().filter(|token| !token.is_empty());
        let token = match given {
            Some(token) => Some(token),
            // A token found on this disk is sent to this machine only.
            None if server.is_local() => admin_token::read(Path::new(DEFAULT_DATA))?,
            None => None,
        };
        let token = token.ok_or_else(|| {
            Failure::new("no admin token is given").with_hint(
                "give --admin-token TOKEN or set TERCET_ADMIN_TOKEN; `tercet serve` tells where \
                 the token is that it made",
            )
        })?;
        Ok(server.admin(&token))
    }
}
