//! What Meta signed and sent, and nobody here could read, own or take in.

use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use turnpike_engine::control::ControlFault;
use turnpike_engine::intake::Payload;

use super::Operator;
use super::answer::{Actor, Asked, Data, Fault, Page, page_size};
use super::webhooks::with_times;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    before: Option<i64>,
    limit: Option<u32>,
}

pub(super) async fn list(State(operator): State<Operator>, Asked(which): Asked<Which>) -> Result<Page<Value>, Fault> {
    let limit = page_size(which.limit);
    let records = operator.engine.quarantined(which.before, limit).await?;
    let is_full = u32::try_from(records.len()).unwrap_or(u32::MAX) >= limit;
    let next = records.last().map(|record| record.id.to_string()).filter(|_| is_full);
    Ok(Page { data: records.into_iter().map(with_times).collect(), next })
}

/// One payload with its bytes: personal data, shown to who asks for this one, and never logged.
pub(super) async fn show(State(operator): State<Operator>, actor: Actor, Path(id): Path<String>) -> Result<Data<Value>, Fault> {
    let payload = operator.engine.quarantined_payload(number(&id)?).await?;
    tracing::info!(actor = actor.name(), quarantine.id = payload.record.id, "showed a quarantined payload");
    Ok(Data(view(&payload)))
}

fn view(payload: &Payload) -> Value {
    let Payload { record, body, is_erased, is_signer_known, goes_to } = payload;
    let mut view = with_times(record);
    // What is no text (Meta's is) is shown by its bytes.
    view["payload"] = json!(body.as_deref().and_then(|body| std::str::from_utf8(body).ok()));
    view["payloadHex"] = json!(body.as_deref().filter(|body| std::str::from_utf8(body).is_err()).map(hex));
    view["erased"] = json!(is_erased);
    // Nothing comes here unsigned: the bytes were verified when they came.
    view["signature"] = json!("verified");
    view["signerConfigured"] = json!(is_signer_known);
    view["goesTo"] = json!(goes_to);
    view["recorded"] = json!(record.replayed_at.is_some());
    view
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) async fn discard(State(operator): State<Operator>, actor: Actor, Path(id): Path<String>) -> Result<Data<Value>, Fault> {
    let number = number(&id)?;
    operator.engine.discard_quarantined(number).await?;
    tracing::info!(actor = actor.name(), quarantine.id = number, "discarded a quarantined payload");
    Ok(Data(json!({"id": number, "discarded": true})))
}

fn number(id: &str) -> Result<i64, ControlFault> {
    id.parse().map_err(|_| ControlFault::NotFound("quarantined payload"))
}

pub(super) async fn replay(State(operator): State<Operator>, actor: Actor, Path(id): Path<String>) -> Result<Data<Value>, Fault> {
    let number = number(&id)?;
    let replayed = operator.engine.replay_quarantined(number).await?;
    tracing::info!(actor = actor.name(), quarantine.id = number, "replayed a quarantined payload");
    Ok(Data(with_times(replayed)))
}
