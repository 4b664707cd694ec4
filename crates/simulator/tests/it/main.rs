//! The simulator over real sockets: what its documentation promises, seen from a client.

mod client;
mod faults_http1;
mod faults_http2;
mod sending;
mod tls;
mod validating;
