//! A real server on a loopback port, asked over HTTP and WebSocket as any program would.
//!
//! Every test starts its own server on its own data. What the protocol decides is tested in
//! `tercet_sync`; here is what the server adds: routes, keys, errors, streams, restarts.
#![allow(clippy::unwrap_used)]

mod harness;

mod admission;
mod errors;
mod queries;
mod restart;
mod sessions;
mod transfer;
