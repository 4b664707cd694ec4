//! What programs see of the gateway: HTTP in, HTTP out (ARCHITECTURE.md).
//!
//! [`server`] is the front door: sockets, limits, framing, draining. [`error`] is the one place
//! that writes an error, from a catalogue that docs/errors.md is made from. [`router`] sends a
//! request to who answers it: [`messaging`] customers' programs, [`meta`] Meta's webhooks,
//! [`operator`] the program's commands, [`operations`] health checks, metrics, the page of errors and the
//! API's description, which [`openapi`] makes.

pub mod error;
pub mod gate;
pub mod messaging;
pub mod meta;
pub mod openapi;
pub mod operations;
pub mod operator;
pub mod request_id;
pub mod router;
pub mod server;
