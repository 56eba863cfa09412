//! Bytes ↔ requests and messages: HTTP routes, problem documents, and the WebSocket upgrade.

pub(crate) mod http;
pub(crate) mod linger;
pub(crate) mod problem;
pub(crate) mod ws;
