//! Webhooks, both ways: what Meta reports, what a customer is told, and the rules of telling.
//!
//! Meta's payloads are read into items of one message, status or change each; an item is what a
//! delivery carries. The bytes of a delivery are Meta's own, cut down to that item, and fixed when
//! it is made: every attempt and every replay sends the same.
//!
//! Inwards: [`HubSecrets::verify`], [`read()`], [`Item::identity`], [`settle::decide`].
//! Outwards: [`Item::body`], [`EndpointUrl`], [`standard_signature`], [`Schedule`].

pub mod address;
mod body;
mod endpoint;
mod event;
mod explain;
mod identity;
mod item;
mod read;
mod retry;
pub mod settle;
mod signature;
mod status;
pub mod view;

pub use body::{BodyChanges, CallbackData, MediaUrls};
pub use endpoint::{
    EndpointHost, EndpointUrl, HEADER_NAME_BYTES_MAX, HEADER_VALUE_BYTES_MAX, HEADERS_BYTES_MAX, HEADERS_MAX, PlainHttp, URL_BYTES_MAX,
    UrlRules, check_headers,
};
pub use event::{EventKind, EventSet};
pub use explain::{Again, Explanation, explain};
pub use item::Item;
pub use read::{BUG_MET, ITEMS_MAX, Unreadable, read};
pub use retry::{Pace, Schedule, Verdict, WAIT_MAX_MS, WAITS_MAX, classify, retry_after_ms};
pub use signature::{
    BEARER_CHARS_MAX, BEARER_CHARS_MIN, BEARER_PREFIX, HUB_HEADER, HubSecrets, NotSigned, SECRET_BYTES_MAX, SECRET_BYTES_MIN,
    SECRET_PREFIX, SigningSecret, check_bearer, generate_bearer, hub_signature, standard_signature,
};
pub use status::{Pricing, PricingType, StatusKind};
pub use view::{Text, User, View};

#[cfg(test)]
#[path = "tests/payload.rs"]
mod tests_payload;
