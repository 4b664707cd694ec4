//! The gateway as its users meet it: real processes, real HTTP, a database on disk, and a simulated
//! Meta that writes down what it was sent.
//!
//! One module a promise: what the founding examples say ([`seed`]), what is refused and how
//! ([`bad`], [`errors`], [`routes`]), repeats ([`idempotency`]), money ([`money`]), every way in which Meta's
//! side can break ([`matrix`]), a process that is killed between any two instructions while it sends
//! ([`kill`]) and while webhooks come and go ([`intake_kill`]), every kind of event from Meta to an endpoint
//! ([`kinds`]), and the whole story from a send to the
//! tap that answers it ([`story`]), what a demo promises ([`demo`]), what the API's description says of every answer and delivery ([`document`]), what a gateway says of itself
//! ([`secrecy`]), who was erased ([`erasure`]), and what no delivery may reach ([`canary`]). [`planted`] plants bugs into the gateway
//! and sees that these tests find them: a test that cannot fail is worth nothing.

mod bad;
mod canary;
mod client;
mod demo;
mod document;
mod erasure;
mod errors;
mod house;
mod idempotency;
mod intake_kill;
mod kill;
mod kinds;
mod listen;
mod matrix;
mod media;
mod money;
#[cfg(feature = "planted-bugs")]
mod planted;
mod policy;
mod process;
mod receiver;
mod routes;
mod secrecy;
mod seed;
mod story;
