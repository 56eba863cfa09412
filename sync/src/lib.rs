//! Messages, codecs and the two peers of the protocol as state machines without I/O.
