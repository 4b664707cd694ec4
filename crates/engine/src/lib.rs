//! What happens: the ways of a message, and the rooms that they pass through.
//!
//! Knows no web framework and no SQL. Time, chance and the network come in through [`clock`],
//! [`entropy`] and [`transport`], so that a test can hold all three.

pub mod caller;
pub mod clock;
pub mod control;
pub mod delivery;
pub mod directory;
pub mod endpoints;
pub mod entropy;
pub mod erasures;
pub mod feed;
mod gateway;
pub mod graph;
pub mod intake;
pub mod keys;
pub mod limits;
pub mod media;
pub mod metrics;
pub mod net;
mod notices;
pub mod rates;
mod reasons;
pub mod secret;
pub mod send;
pub mod settings;
mod shelter;
pub mod sweep;
pub mod templates;
pub mod transport;
pub mod turns;
mod unwritten;
pub mod vault;
mod zones;

pub use gateway::{Engine, Parts, StartError};
