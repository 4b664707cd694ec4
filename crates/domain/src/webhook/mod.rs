//! Webhooks, both ways: what Meta reports, what a customer is told, and the rules of telling.
//!
//! Meta's payloads are read into items of one message, status or change each; an item is what a
//! delivery carries. The bytes of a delivery are Meta's own, cut down to that item, and fixed when
//! it is made: every attempt and every replay sends the same.

mod event;
mod status;

pub use event::{EventKind, EventSet};
pub use status::{Pricing, PricingType, StatusKind};
