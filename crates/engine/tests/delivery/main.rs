//! Deliveries from the commit of an event to a customer's endpoint, over real sockets, with a real
//! store below: order, fairness, failures, replays, restarts, chaos, and the guard on addresses.

mod addresses;
mod authority;
mod bounds;
mod chaos;
mod encrypted;
mod failing;
mod guarding;
mod house;
mod keeping;
mod ordering;
mod promises;
mod receiver;
mod signing;
mod store_trouble;
