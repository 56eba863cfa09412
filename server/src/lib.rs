//! The multi-tenant server: HTTP and WebSocket around the sync state machines.
