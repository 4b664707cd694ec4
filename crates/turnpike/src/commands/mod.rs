//! The commands, one file per noun. Those that work on a gateway are one request each to its
//! operator's routes, and a way to show the answer.

pub(crate) mod api_key;
pub(crate) mod app;
pub(crate) mod backup;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod key;
pub(crate) mod ledger;
pub(crate) mod listen;
mod listing;
pub(crate) mod message;
pub(crate) mod org;
pub(crate) mod quarantine;
pub(crate) mod rates;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod sim;
pub(crate) mod template;
pub(crate) mod user;
pub(crate) mod wallet;
pub(crate) mod webhook;

#[cfg(test)]
mod tests;
