//! Wallets: show, top up, correct, state; and the ledger's proof.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use turnpike_domain::ledger::Balance;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_engine::control::ControlFault;
use turnpike_engine::control::money::WalletOrder;
use turnpike_store::ledger::{StatementPeriod, StatementQuery, Verification, WalletMovement};
use uuid::Uuid;

use super::Operator;
use super::answer::{Actor, Asked, Body, Data, Fault, envelope, page_size};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WalletView {
    organization: String,
    mode: Mode,
    currency: Currency,
    /// What was paid in and not yet taken.
    posted: Micros,
    held: Micros,
    held_base: Micros,
    held_meta: Micros,
    available: Micros,
}

fn view(organization: &str, mode: Mode, currency: Currency, balance: Balance) -> WalletView {
    WalletView {
        organization: organization.to_owned(),
        mode,
        currency,
        posted: balance.posted,
        held: balance.held(),
        held_base: balance.held_base,
        held_meta: balance.held_meta,
        available: balance.available(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichWallet {
    #[serde(default)]
    sandbox: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    amount: Micros,
    #[serde(default)]
    reason: String,
    id: Option<Uuid>,
    #[serde(default)]
    sandbox: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatementAsked {
    #[serde(default)]
    sandbox: bool,
    /// Movements from then on, an RFC 3339 instant or a date in UTC.
    from: Option<String>,
    /// Movements before then.
    until: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

/// When to tell of a low balance; `null` tells no more.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alert {
    below: Option<Micros>,
    #[serde(default)]
    sandbox: bool,
}

fn mode_of(sandbox: bool) -> Mode {
    if sandbox { Mode::Sandbox } else { Mode::Live }
}

pub(super) async fn alert(
    State(operator): State<Operator>,
    actor: Actor,
    Path(org): Path<String>,
    Body(alert): Body<Alert>,
) -> Result<Data<Alert>, Fault> {
    let organization = operator.organization(&org)?;
    if alert.below.is_some_and(Micros::is_negative) {
        return Err(ControlFault::field("below", "must not be negative").into());
    }
    operator.engine.store().set_wallet_alert(organization.key, mode_of(alert.sandbox), alert.below).await?;
    tracing::info!(actor = actor.name(), organization.id = %organization.id, "set the alert of a wallet");
    Ok(Data(alert))
}

pub(super) async fn show(
    State(operator): State<Operator>,
    Path(org): Path<String>,
    Asked(which): Asked<WhichWallet>,
) -> Result<Data<WalletView>, Fault> {
    let organization = operator.organization(&org)?;
    let mode = mode_of(which.sandbox);
    let balance = operator.engine.store().balance(organization.key, mode).await?.ok_or(ControlFault::NotFound("wallet"))?;
    Ok(Data(view(&organization.name, mode, organization.currency, balance)))
}

pub(super) async fn top_up(
    State(operator): State<Operator>,
    actor: Actor,
    Path(org): Path<String>,
    Body(order): Body<Order>,
) -> Result<Data<WalletView>, Fault> {
    carry_out(&operator, &actor, &org, order, WalletMovement::TopUp).await
}

pub(super) async fn adjust(
    State(operator): State<Operator>,
    actor: Actor,
    Path(org): Path<String>,
    Body(order): Body<Order>,
) -> Result<Data<WalletView>, Fault> {
    carry_out(&operator, &actor, &org, order, WalletMovement::Adjust).await
}

async fn carry_out(
    operator: &Operator,
    actor: &Actor,
    org: &str,
    order: Order,
    movement: WalletMovement,
) -> Result<Data<WalletView>, Fault> {
    let organization = operator.organization(org)?;
    let mode = mode_of(order.sandbox);
    let amount = order.amount;
    let order = WalletOrder { id: order.id, mode, movement, amount, reason: order.reason, actor: actor.name().to_owned() };
    let balance = operator.engine.move_wallet(&organization, order).await?;
    tracing::info!(actor = actor.name(), organization.id = %organization.id, movement = ?movement, amount = %amount, mode = mode.as_str(), "moved a wallet");
    Ok(Data(view(&organization.name, mode, organization.currency, balance)))
}

pub(super) async fn statement(
    State(operator): State<Operator>,
    Path(org): Path<String>,
    Asked(asked): Asked<StatementAsked>,
) -> Result<StatementAnswer, Fault> {
    let organization = operator.organization(&org)?;
    let instant = |path: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => UnixMs::parse(text)
            .map(Some)
            .ok_or_else(|| ControlFault::field(path, "must be a date such as 2026-10-01, or an instant such as 2026-10-01T00:00:00Z")),
    };
    let before = asked.before.as_deref().map(str::parse).transpose();
    let query = StatementQuery {
        organization: organization.key,
        mode: mode_of(asked.sandbox),
        from: instant("from", &asked.from)?,
        until: instant("until", &asked.until)?,
        before: before.map_err(|_| ControlFault::field("before", "must be the nextCursor of an earlier page"))?,
        limit: page_size(asked.limit),
    };
    if let (Some(from), Some(until)) = (query.from, query.until)
        && from >= until
    {
        return Err(ControlFault::field("until", "must be later than from").into());
    }
    let page = operator.engine.store().statement(query).await?;
    let data = page.lines.into_iter().map(|line| StatementLineView { when: line.at.to_rfc3339(), line }).collect();
    Ok(StatementAnswer { data, next: page.next.map(|next| next.to_string()), period: page.period, currency: organization.currency })
}

/// A page of lines; the first one of a period with what was available at both its ends.
pub(super) struct StatementAnswer {
    data: Vec<StatementLineView>,
    next: Option<String>,
    period: Option<StatementPeriod>,
    currency: Currency,
}

impl IntoResponse for StatementAnswer {
    fn into_response(self) -> Response {
        let mut body = json!({"isSuccess": true, "data": self.data, "pagingMetadata": {"nextCursor": self.next}});
        if let Some(period) = self.period {
            body["period"] = json!({"opening": period.opening, "closing": period.closing, "currency": self.currency});
        }
        envelope(StatusCode::OK, &body)
    }
}

/// A line with its time as people read it.
#[derive(Serialize)]
pub(super) struct StatementLineView {
    when: String,
    #[serde(flatten)]
    line: turnpike_store::ledger::StatementLine,
}

pub(super) async fn verify(State(operator): State<Operator>) -> Result<Data<Verification>, Fault> {
    Ok(Data(operator.engine.store().verify().await?))
}
