//! Messages: list by state, show, resolve an unknown, refund.

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use turnpike_domain::ids::MessageKey;
use turnpike_domain::ledger::{Leg, LegState, Resolution};
use turnpike_engine::control::ControlFault;
use turnpike_engine::control::messages::ResolveOrder;
use turnpike_engine::send::view::MessageView;
use turnpike_store::messages::{MessageFilter, MessageRecord};

use super::Operator;
use super::answer::{Actor, Asked, Body, Data, Fault, Page, page_size};

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State_ {
    Any,
    InFlight,
    Unknown,
    Accepted,
    Sent,
    Delivered,
    Read,
    Failed,
    Refused,
    PresumedNotSent,
}

impl From<State_> for MessageFilter {
    fn from(state: State_) -> MessageFilter {
        match state {
            State_::Any => MessageFilter::Any,
            State_::InFlight => MessageFilter::InFlight,
            State_::Unknown => MessageFilter::Unknown,
            State_::Accepted => MessageFilter::Accepted,
            State_::Sent => MessageFilter::Sent,
            State_::Delivered => MessageFilter::Delivered,
            State_::Read => MessageFilter::Read,
            State_::Failed => MessageFilter::Failed,
            State_::Refused => MessageFilter::Refused,
            State_::PresumedNotSent => MessageFilter::PresumedNotSent,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessagePage {
    org: Option<String>,
    app: Option<String>,
    state: Option<State_>,
    before: Option<i64>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfOrganization {
    org: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ResolvedAs {
    Accepted,
    Failed,
    NotSent,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResolveBody {
    org: Option<String>,
    message: String,
    r#as: ResolvedAs,
    wamid: Option<String>,
    #[serde(default)]
    reason: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WhichLeg {
    Base,
    Meta,
    Both,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundBody {
    org: Option<String>,
    message: String,
    leg: Option<WhichLeg>,
    #[serde(default)]
    reason: String,
}

#[derive(Serialize)]
pub(super) struct RefundedLeg {
    leg: Leg,
    #[serde(flatten)]
    state: LegState,
}

pub(super) async fn list(State(operator): State<Operator>, Asked(page): Asked<MessagePage>) -> Result<Page<MessageView>, Fault> {
    let organization = operator.organization_asked(page.org.as_deref())?;
    let app = page.app.as_deref().map(|app| operator.engine.application_of(&organization, Some(app))).transpose()?;
    let filter = page.state.map(MessageFilter::from).unwrap_or_default();
    let limit = page_size(page.limit);
    let before = page.before.map(MessageKey);
    let rows = operator.engine.store().list_messages(organization.key, app.map(|app| app.row.key), filter, before, limit).await?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).map(|row| row.key.to_string());
    Ok(Page { data: rows.iter().map(|row| operator.engine.view(row)).collect(), next })
}

pub(super) async fn show(
    State(operator): State<Operator>,
    Path(id): Path<String>,
    Asked(asked): Asked<OfOrganization>,
) -> Result<Data<MessageView>, Fault> {
    let record = operator.message(asked.org.as_deref(), &id).await?;
    Ok(Data(operator.engine.timeline_view(&record).await?))
}

pub(super) async fn resolve(
    State(operator): State<Operator>,
    actor: Actor,
    Body(body): Body<ResolveBody>,
) -> Result<Data<MessageView>, Fault> {
    let record = operator.message(body.org.as_deref(), &body.message).await?;
    let resolution = match body.r#as {
        ResolvedAs::Accepted => Resolution::Accepted,
        ResolvedAs::Failed => Resolution::Failed,
        ResolvedAs::NotSent => Resolution::PresumedNotSent,
    };
    let order = ResolveOrder { resolution, wamid: body.wamid, reason: body.reason, actor: actor.name().to_owned() };
    operator.engine.resolve_message(&record, order).await?;
    tracing::info!(actor = actor.name(), message.id = %record.id, resolution = ?resolution, "resolved an unknown message");
    let record = operator.message(body.org.as_deref(), &record.id.to_string()).await?;
    Ok(Data(operator.engine.view(&record)))
}

pub(super) async fn refund(
    State(operator): State<Operator>,
    actor: Actor,
    Body(body): Body<RefundBody>,
) -> Result<Data<Vec<RefundedLeg>>, Fault> {
    let record = operator.message(body.org.as_deref(), &body.message).await?;
    let legs: &[Leg] = match body.leg.unwrap_or(WhichLeg::Both) {
        WhichLeg::Base => &[Leg::Base],
        WhichLeg::Meta => &[Leg::Meta],
        // Both means: of what was captured.
        WhichLeg::Both if record.meta_leg.taken().0 == 0 => &[Leg::Base],
        WhichLeg::Both if record.base_leg.taken().0 == 0 => &[Leg::Meta],
        WhichLeg::Both => &Leg::ALL,
    };
    let refunded = operator.engine.refund(&record, legs, &body.reason, actor.name()).await?;
    tracing::info!(actor = actor.name(), message.id = %record.id, legs = legs.len(), "refunded a message");
    Ok(Data(refunded.into_iter().map(|(leg, state)| RefundedLeg { leg, state }).collect()))
}

impl Operator {
    /// A message by id or wamid in the organization that was named, or in any where none was.
    async fn message(&self, org: Option<&str>, id: &str) -> Result<MessageRecord, Fault> {
        let organizations = match org {
            Some(org) => vec![self.engine.organization(Some(org))?],
            None => self.engine.directory().snapshot().organizations.values().cloned().collect(),
        };
        for organization in organizations {
            if let Some(record) = self.engine.find_message(organization.key, id).await? {
                return Ok(record);
            }
        }
        Err(ControlFault::NotFound("message").into())
    }
}
