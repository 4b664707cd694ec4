//! What Meta signed and sent, and nobody here could read or own.

use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::Value;
use turnpike_engine::control::ControlFault;

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

pub(super) async fn replay(State(operator): State<Operator>, actor: Actor, Path(id): Path<String>) -> Result<Data<Value>, Fault> {
    let number = id.parse().map_err(|_| ControlFault::NotFound("quarantined payload"))?;
    let replayed = operator.engine.replay_quarantined(number).await?;
    tracing::info!(actor = actor.name(), quarantine.id = number, "replayed a quarantined payload");
    Ok(Data(with_times(replayed)))
}
