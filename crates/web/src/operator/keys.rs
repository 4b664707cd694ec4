//! API keys: list, make, rotate, revoke. A key's text is in the answer that makes it, and nowhere else.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_engine::control::ControlFault;
use turnpike_engine::control::keys::{MadeKey, NewKey};
use turnpike_store::keys::{ApiKeyRow, KeyPolicy};

use super::Operator;
use super::answer::{Actor, Body, Data, Fault};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyView {
    id: uuid::Uuid,
    app_id: String,
    name: String,
    mode: Mode,
    prefix: String,
    last_four: String,
    is_active: bool,
    #[serde(flatten)]
    policy: KeyPolicy,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    created_at: String,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl KeyView {
    fn of(operator: &Operator, app_id: &str, row: &ApiKeyRow) -> KeyView {
        let now = operator.engine.clock().now();
        KeyView {
            id: row.id,
            app_id: app_id.to_owned(),
            name: row.name.clone(),
            mode: row.mode,
            prefix: row.prefix.clone(),
            last_four: row.last_four.clone(),
            is_active: row.revoked_at.is_none() && row.expires_at.is_none_or(|at| at > now),
            policy: row.policy.clone(),
            expires_at: row.expires_at.map(|at| at.to_rfc3339()),
            revoked_at: row.revoked_at.map(|at| at.to_rfc3339()),
            created_at: row.created_at.to_rfc3339(),
            key: None,
        }
    }

    fn made(operator: &Operator, app_id: &str, made: &MadeKey) -> KeyView {
        KeyView { key: Some(made.text.expose().to_owned()), ..KeyView::of(operator, app_id, &made.row) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewKeyBody {
    name: Option<String>,
    mode: Option<Mode>,
    rate_per_second: Option<u32>,
    rate_per_minute: Option<u32>,
    daily_limit: Option<u32>,
    concurrency_limit: Option<u32>,
    daily_spend: Option<Micros>,
    allowed_markets: Option<Vec<String>>,
    allowed_ips: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
    enforce_window: Option<bool>,
    /// From now.
    expires_in_seconds: Option<u64>,
    count: Option<usize>,
}

impl NewKeyBody {
    fn policy(&self) -> KeyPolicy {
        let usual = KeyPolicy::default();
        KeyPolicy {
            rate_per_second: self.rate_per_second.unwrap_or(usual.rate_per_second),
            rate_per_minute: self.rate_per_minute.unwrap_or(usual.rate_per_minute),
            daily_limit: self.daily_limit,
            concurrency_limit: self.concurrency_limit,
            daily_spend: self.daily_spend,
            allowed_markets: self.allowed_markets.clone(),
            allowed_ips: self.allowed_ips.clone(),
            scopes: self.scopes.clone().unwrap_or(usual.scopes),
            enforce_window: self.enforce_window.unwrap_or(false),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rotate {
    overlap_hours: Option<u32>,
}

/// Hours that an old key goes on beside the new one (reliability §e).
const OVERLAP_HOURS: u32 = 24;

pub(super) async fn list(State(operator): State<Operator>, Path(app): Path<String>) -> Result<Response, Fault> {
    let app = operator.application(&app)?;
    let rows = operator.engine.keys_of(&app).await?;
    let views: Vec<KeyView> = rows.iter().map(|row| KeyView::of(&operator, &app.row.app_id, row)).collect();
    Ok(Data(views).into_response())
}

pub(super) async fn create(
    State(operator): State<Operator>,
    actor: Actor,
    Path(app): Path<String>,
    Body(body): Body<NewKeyBody>,
) -> Result<Response, Fault> {
    let app = operator.application(&app)?;
    let mode = body.mode.unwrap_or(Mode::Live);
    if mode == Mode::Fake {
        return Err(ControlFault::field("mode", "must be live or sandbox").into());
    }
    let seconds = body.expires_in_seconds.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000));
    let new = NewKey {
        name: body.name.clone().unwrap_or_else(|| mode.as_str().to_owned()),
        mode,
        policy: body.policy(),
        expires_at: seconds.map(|ms| operator.engine.clock().now().plus_ms(ms)),
        count: body.count.unwrap_or(1),
    };
    let made = operator.engine.create_keys(&app, new).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, keys = made.len(), mode = mode.as_str(), "made API keys");
    let mut views: Vec<KeyView> = made.iter().map(|made| KeyView::made(&operator, &app.row.app_id, made)).collect();
    if body.count.is_none()
        && let Some(only) = views.pop()
    {
        return Ok(Data(only).into_response());
    }
    Ok(Data(views).into_response())
}

pub(super) async fn revoke(State(operator): State<Operator>, actor: Actor, Path(id): Path<String>) -> Result<Response, Fault> {
    let (app, row) = operator.key(&id).await?;
    let row = operator.engine.revoke_key(&app.organization, row.id).await?;
    tracing::info!(actor = actor.name(), key.id = %row.id, "revoked an API key");
    Ok(Data(KeyView::of(&operator, &app.row.app_id, &row)).into_response())
}

pub(super) async fn rotate(
    State(operator): State<Operator>,
    actor: Actor,
    Path(id): Path<String>,
    Body(rotate): Body<Rotate>,
) -> Result<Response, Fault> {
    let (app, row) = operator.key(&id).await?;
    let hours = rotate.overlap_hours.unwrap_or(OVERLAP_HOURS);
    let made = operator.engine.rotate_key(&app, &app.organization, row.id, hours).await?;
    tracing::info!(actor = actor.name(), key.id = %row.id, new_key.id = %made.row.id, overlap_hours = hours, "rotated an API key");
    Ok(Data(KeyView::made(&operator, &app.row.app_id, &made)).into_response())
}

impl Operator {
    /// The key of that id, or of that prefix and last four as lists show them, whosever it is.
    async fn key(&self, named: &str) -> Result<(std::sync::Arc<turnpike_engine::directory::App>, ApiKeyRow), ControlFault> {
        let id = uuid::Uuid::try_parse(named).map_err(|_| ControlFault::field("id", "must be the key's id, as key list shows it"))?;
        for app in self.engine.directory().snapshot().applications.values() {
            if let Some(row) = self.engine.keys_of(app).await?.into_iter().find(|row| row.id == id) {
                return Ok((std::sync::Arc::clone(app), row));
            }
        }
        Err(ControlFault::NotFound("API key"))
    }
}
