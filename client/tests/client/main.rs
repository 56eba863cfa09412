//! Whole clients against the server's state machine in memory: [`local_first`] over channels and
//! in virtual time, [`websocket`] over loopback sockets.

mod harness;
mod local_first;
mod websocket;
