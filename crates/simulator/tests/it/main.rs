//! The simulator over real sockets: what its documentation promises, seen from a client.

mod client;
mod doors;
mod faults_http1;
mod faults_http2;
mod mangling;
mod process;
mod receiver;
mod sending;
mod templates;
mod tls;
mod validating;
mod webhooks;
