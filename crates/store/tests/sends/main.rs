//! The send path of the store: what every engine must do, and what SQLite must survive.

mod chance;
mod clock;
mod conformance;
mod house;
mod model;
mod proof;
mod recovery;
mod statement;
mod undone;
