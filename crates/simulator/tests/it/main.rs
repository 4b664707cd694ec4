//! The simulator over real sockets: what its documentation promises, seen from a client.

mod callbacks;
mod client;
mod delivering;
mod doors;
mod faults_http1;
mod faults_http2;
mod files;
mod forgetting;
mod groups_and_calls;
mod mangling;
mod playing;
mod process;
mod receiver;
mod remembering;
mod sending;
mod templates;
mod tls;
mod uploads;
mod validating;
mod webhooks;
