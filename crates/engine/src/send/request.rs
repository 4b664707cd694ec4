//! What a send is asked with, and what it answers.

use bytes::Bytes;
use turnpike_domain::ids::MessageId;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::refusal::{FieldFault, Refusal};
use turnpike_domain::send::{Category, Mode};

pub use crate::graph::Trace;

/// One request for a message, framed by the web and not yet understood.
#[derive(Debug)]
pub struct SendRequest {
    /// The body's bytes; they are kept as they are and spliced, never written anew.
    pub body: Bytes,
    /// Whether the content type says JSON.
    pub is_json: bool,
    /// The query's flags, or what is wrong with the query.
    pub flags: Result<SendFlags, Vec<FieldFault>>,
    /// The Idempotency-Key, unquoted; or what is wrong with it.
    pub idempotency_key: Result<Option<String>, FieldFault>,
    /// `X-Allow-Duplicate: true` (contract §3.5).
    pub allow_duplicate: bool,
    /// Passed on to Meta and into logs.
    pub trace: Trace,
}

/// `mmlite` and `is_fake` (contract §3, query).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendFlags {
    /// Use Meta's marketing endpoint.
    pub mmlite: bool,
    /// Check and price only.
    pub is_fake: bool,
}

/// The answer to a send.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Meta (or the simulator, or the fake) accepted it.
    Sent(Sent),
    /// A read mark or typing indicator went through.
    Marked(Mode),
    /// It did not.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The message, where one was stored.
        message: Option<MessageId>,
        /// Whether this is a kept answer given again.
        replayed: bool,
        /// Live or sandbox, for `X-Gateway-Mode`.
        mode: Mode,
    },
}

impl Reply {
    /// A refusal of a request that never became a message.
    #[must_use]
    pub fn refused(refusal: Refusal, mode: Mode) -> Reply {
        Reply::Refused { refusal, message: None, replayed: false, mode }
    }
}

/// An accepted send.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Our id of it.
    pub message: MessageId,
    /// Meta's answer, as it stands in `data`.
    pub data: Bytes,
    /// What it costs.
    pub billing: Billing,
    /// Live, sandbox or fake.
    pub mode: Mode,
    /// Whether this is a kept answer given again.
    pub replayed: bool,
}

/// What a message costs, as `billing` shows it (contract §3.3).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Billing {
    /// Our fee.
    pub base_fee: Micros,
    /// Meta's fee that is held; 0 where Meta bills the customer.
    pub meta_fee_held: Micros,
    /// The wallet's currency.
    pub currency: Currency,
    /// Market code of the recipient.
    pub market: String,
    /// Category that it was priced by.
    pub category: Category,
    /// Id of the rate card.
    pub rate_card: String,
}

/// What `/check` answers: the price and whether it would be covered.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Always true: a no is a refusal.
    pub valid: bool,
    /// What kind of message it is.
    #[serde(rename = "type")]
    pub kind: turnpike_domain::send::MessageKind,
    /// What it would cost.
    pub billing: Billing,
    /// What the template check could say: `matched`, `not_checked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<&'static str>,
}
