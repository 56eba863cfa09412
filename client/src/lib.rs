//! The Rust client: local-first writes, live queries, reconnect and resume.
