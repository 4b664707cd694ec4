//! Media for customers by their API key: a received file down, a file of theirs up, one deleted.
//!
//! Meta keeps the files; the gateway stands between, so that Meta's token never leaves. A download is
//! a stream from Meta to the customer, as fast as the slower of the two; an upload lies on disk until
//! it is known to be one that WhatsApp takes ([`kinds`], [`spool`]). Neither is ever whole in memory,
//! and how many are under way at once is bounded.
//!
//! Whose a file is, Meta decides: every question about it bears the number id of the key's
//! application, and a file of another number is answered like one that does not exist.

pub mod kinds;
pub mod spool;
mod transfer;

pub use transfer::{Incoming, Outgoing, StreamError, Transfer, Transferred};
