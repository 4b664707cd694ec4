//! What happens: the ways of a message, and the rooms that they pass through.
//!
//! Knows no web framework and no SQL. Time, chance and the network come in through [`clock`],
//! [`entropy`] and [`transport`], so that a test can hold all three.

pub mod clock;
pub mod entropy;
pub mod graph;
pub mod keys;
pub mod transport;
pub mod vault;
