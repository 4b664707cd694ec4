//! The simulator over real sockets: what its documentation promises, seen from a client.

mod client;
mod sending;
mod validating;
