//! What every store promises beside the way of a message: organizations, applications, keys,
//! templates and rate cards, that nobody finds another's, and that a backup brings all of it back.
//!
//! Written against the seam, so that another engine is held to the same by being opened in
//! [`story`].

mod backup;
mod erasures;
mod isolation;
mod records;
mod story;
mod users;
