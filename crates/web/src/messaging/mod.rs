//! The messaging API, `/v1/wa/…`: what customers' back ends call with an API key.
//!
//! A handler frames the request, finds the caller, makes one engine call and says how it looks.
//! Every rule is the engine's.

pub mod answer;
pub mod headers;
pub mod lookup;
pub mod query;
pub mod send;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::ORIGIN;
use http::request::Parts;
use turnpike_domain::refusal::{NotAllowed, Refusal};
use turnpike_engine::Engine;
use turnpike_engine::caller::Caller;

/// Where the messaging API begins.
pub const BASE: &str = "/v1/wa/";

/// The messaging API over one engine.
#[derive(Clone)]
pub struct Messaging {
    /// The works.
    pub engine: Arc<Engine>,
}

impl Messaging {
    /// Step 2: who calls. Before the body is read, so that nobody without a key makes us read one.
    ///
    /// # Errors
    /// AUTH_001 to AUTH_006, RATE_001 `address`.
    fn caller(&self, parts: &Parts, address: Option<IpAddr>) -> Result<Caller, Refusal> {
        let caller = self.engine.authenticate(headers::bearer(&parts.headers)?, address)?;
        // Keys do not belong in browsers (contract §1).
        if parts.headers.contains_key(ORIGIN) {
            return Err(Refusal::NotAllowed(NotAllowed::Browser));
        }
        Ok(caller)
    }
}
