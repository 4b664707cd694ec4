//! What Meta reports of a message that we sent, and what it says of its price.

use serde::{Deserialize, Serialize};

use crate::words::words;

words! {
    /// A status. Messages only move forward through them; `failed` stands beside the line.
    StatusKind {
        /// Left Meta's servers.
        Sent = 1 "sent",
        /// On the recipient's device.
        Delivered = 2 "delivered",
        /// Shown to the recipient.
        Read = 3 "read",
        /// A voice message was played.
        Played = 4 "played",
        /// Could not be delivered.
        Failed = 5 "failed",
    }
}

words! {
    /// `pricing.type` of a status.
    PricingType {
        /// Charged.
        Regular = 1 "regular",
        /// Free, inside the customer service window.
        FreeCustomerService = 2 "free_customer_service",
        /// Free, inside the 72 hours after a click on an advertisement.
        FreeEntryPoint = 3 "free_entry_point",
        /// A type that Meta added later: not chargeable, since only `regular` is.
        Other = 9 "other",
    }
}

/// `pricing` of a status, as far as money goes by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pricing {
    /// `type`; missing in old payloads.
    #[serde(rename = "type", alias = "kind")]
    pub kind: Option<PricingType>,
    /// `billable`; decides only where `type` is missing.
    pub billable: Option<bool>,
    /// `category`, as Meta spells it.
    pub category: Option<String>,
}

impl Pricing {
    /// Whether Meta charges the message (contract §6); `None` where the object says neither.
    #[must_use]
    pub fn is_chargeable(&self) -> Option<bool> {
        match self.kind {
            Some(kind) => Some(kind == PricingType::Regular),
            None => self.billable,
        }
    }
}
