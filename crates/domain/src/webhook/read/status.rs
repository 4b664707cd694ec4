//! Statuses of messages that a business sent (meta-cloud-api §5.5).

use super::Found;
use super::contacts::user;
use super::source::{Source, get};
use crate::json::{Kind, Value};
use crate::webhook::event::EventKind;
use crate::webhook::item::Edited;
use crate::webhook::status::{Pricing, PricingType, StatusKind};
use crate::webhook::view::{Conversation, Status, View};

pub(super) fn read<'t>(source: Source<'t>, object: Value<'_>) -> Found<'t> {
    let name = source.member_or_empty(object, "status");
    let status = StatusKind::parse(&name);
    let to_group = source.member(object, "recipient_type").as_deref() == Some("group");
    let recipient = if to_group {
        ["recipient_participant_id", "recipient_participant_user_id", "recipient_participant_parent_user_id"]
    } else {
        ["recipient_id", "recipient_user_id", "recipient_parent_user_id"]
    };
    let mut edits = Vec::new();
    source.mark(object, "biz_opaque_callback_data", object.span().start, &Edited::CallbackData, &mut edits);
    Found {
        kind: match status {
            Some(StatusKind::Sent | StatusKind::Delivered | StatusKind::Failed) => EventKind::MessageStatus,
            Some(StatusKind::Read | StatusKind::Played) => EventKind::Read,
            None => EventKind::Other,
        },
        user: user(source, object, recipient),
        at: source.timestamp(object),
        wamid: source.member(object, "id").filter(|id| !id.is_empty()),
        view: View::Status(Box::new(Status {
            status,
            name,
            group_id: if to_group { source.member(object, "recipient_id") } else { None },
            callback_data: source.member(object, "biz_opaque_callback_data"),
            pricing: get(object, "pricing").filter(|pricing| pricing.kind() == Kind::Object).map(|pricing| read_pricing(source, pricing)),
            conversation: get(object, "conversation").map(|conversation| Conversation {
                id: source.member_or_empty(conversation, "id"),
                origin: get(conversation, "origin").and_then(|origin| source.member(origin, "type")),
                expires_at: source.integer(conversation, "expiration_timestamp"),
            }),
            errors: source.errors(object),
        })),
        edits,
    }
}

fn read_pricing(source: Source<'_>, pricing: Value<'_>) -> Pricing {
    let billable = get(pricing, "billable").and_then(|billable| match billable.kind() {
        Kind::True => Some(true),
        Kind::False => Some(false),
        _ => None,
    });
    Pricing {
        // A type that is there and unknown is known not to be `regular`.
        kind: source.member(pricing, "type").map(|kind| PricingType::parse(&kind).unwrap_or(PricingType::Other)),
        billable,
        category: source.member(pricing, "category").map(std::borrow::Cow::into_owned),
    }
}
