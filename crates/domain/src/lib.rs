//! What the words of the gateway mean: ids, money, prices, messages, states, refusals.
//!
//! Pure: no I/O, no async, no clock, no randomness. The same input gives the same answer, because
//! time, chance and settings are arguments. Everything else in the house may use this crate; it
//! uses nothing of ours.

pub mod api_key;
pub mod ids;
mod json;
pub mod ledger;
pub mod market;
pub mod message;
pub mod money;
pub mod rates;
pub mod refusal;
pub mod send;
pub mod template;
pub mod time;
pub mod webhook;
mod words;
