//! The commands, one file per noun.

pub(crate) mod demo;
pub(crate) mod serve;
