//! Users of an application: when one last wrote, whether one stopped marketing. A number travels in
//! a body, never in a path that somebody logs.

use std::time::Duration;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use turnpike_domain::message::{Bsuid, PhoneNumber};
use turnpike_domain::time::UnixMs;
use turnpike_engine::control::ControlFault;
use turnpike_engine::erasures::ErasureView;
use turnpike_store::users::{UserNote, UserStanding};

use super::Operator;
use super::answer::{Actor, Body, Data, Fault};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichUser {
    user: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Learnt {
    Wrote,
    OptOut,
    OptIn,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    user: String,
    note: Learnt,
    /// An RFC 3339 instant; now where none is given.
    at: Option<String>,
}

/// A user as operators see him: what is known, not who he is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserView {
    last_wrote_at: Option<String>,
    window_open: bool,
    opted_out_at: Option<String>,
}

pub(super) async fn show(
    State(operator): State<Operator>,
    Path(app): Path<String>,
    Body(which): Body<WhichUser>,
) -> Result<Data<UserView>, Fault> {
    let app = operator.application(&app)?;
    let known = operator.engine.user(&app, recipient(&which.user)?).await?;
    Ok(Data(view(known, operator.engine.clock().now())))
}

pub(super) async fn note(
    State(operator): State<Operator>,
    actor: Actor,
    Path(app): Path<String>,
    Body(body): Body<Note>,
) -> Result<Data<UserView>, Fault> {
    let app = operator.application(&app)?;
    let now = operator.engine.clock().now();
    let at = match &body.at {
        Some(text) => UnixMs::parse(text).ok_or_else(|| ControlFault::field("at", "must be an instant such as 2026-10-01T00:00:00Z"))?,
        None => now,
    };
    if at > now {
        return Err(ControlFault::field("at", "must not lie in the future").into());
    }
    let note = match body.note {
        Learnt::Wrote => UserNote::Wrote(at),
        Learnt::OptOut => UserNote::OptedOut(at),
        Learnt::OptIn => UserNote::OptedIn(at),
    };
    let known = operator.engine.note_user(&app, recipient(&body.user)?, note).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, "noted something of a user");
    Ok(Data(view(known, now)))
}

fn view(known: UserStanding, now: UnixMs) -> UserView {
    UserView {
        last_wrote_at: known.last_wrote_at.map(UnixMs::to_rfc3339),
        window_open: known.window_is_open(now),
        opted_out_at: known.opted_out_at.map(UnixMs::to_rfc3339),
    }
}

/// How long a request waits for an erasure to be done; a large store takes longer, and the answer then
/// says that it is pending.
const ERASURE_WAIT: Duration = Duration::from_secs(10);

/// Erases what is kept of a user in the whole organization, under every name that it is known by. What
/// is not done in the time of a request goes on behind it.
pub(super) async fn erase(
    State(operator): State<Operator>,
    actor: Actor,
    Path(org): Path<String>,
    Body(which): Body<WhichUser>,
) -> Result<Data<ErasureView>, Fault> {
    let organization = operator.organization(&org)?;
    let id = operator.engine.ask_erasure(&organization, recipient(&which.user)?).await?;
    tracing::info!(actor = actor.name(), organization.id = %organization.id, erasure.id = %id, "a user is to be erased");
    Ok(Data(operator.engine.erasure_within(&organization, id, ERASURE_WAIT).await?))
}

/// The newest erasures of an organization, whoever they are about.
pub(super) async fn erasures(State(operator): State<Operator>, Path(org): Path<String>) -> Result<Data<Vec<ErasureView>>, Fault> {
    let organization = operator.organization(&org)?;
    Ok(Data(operator.engine.erasures_of(&organization).await?))
}

/// One of them.
pub(super) async fn erasure(State(operator): State<Operator>, Path((org, id)): Path<(String, String)>) -> Result<Data<ErasureView>, Fault> {
    let organization = operator.organization(&org)?;
    let id = uuid::Uuid::try_parse(&id).map_err(|_| ControlFault::NotFound("erasure"))?;
    Ok(Data(operator.engine.erasure(&organization, id).await?))
}

/// Carries out every erasure that waits, where no gateway does: after a restore.
pub(super) async fn carry_out(State(operator): State<Operator>) -> Result<Data<CarriedOut>, Fault> {
    let erasures = operator.engine.carry_out_erasures().await.map_err(ControlFault::from)?;
    Ok(Data(CarriedOut { erasures }))
}

#[derive(Serialize)]
pub(super) struct CarriedOut {
    erasures: usize,
}

/// Digits or BSUID, as a send would name him.
fn recipient(text: &str) -> Result<&str, ControlFault> {
    let text = text.trim_start_matches('+');
    if PhoneNumber::parse(text).is_none() && Bsuid::parse(text).is_none() {
        return Err(ControlFault::field("user", "must be 7 to 15 digits with country code, or a user id such as US.13491208655302741918"));
    }
    Ok(text)
}
