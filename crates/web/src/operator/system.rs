//! The gateway itself: doctor and backup.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;
use turnpike_domain::rates::ZoneFrom;
use turnpike_engine::control::ControlFault;
use turnpike_engine::directory::App;
use turnpike_store::events::{QuarantineReason, QuarantineRecord};
use turnpike_store::{BackupReport, StoreError};

use super::answer::{Actor, Body, Data, Fault};
use super::{Check, Operator};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupBody {
    target: PathBuf,
}

/// One look at Meta must not take longer: there may be many applications.
const META_CHECK_DEADLINE: Duration = Duration::from_secs(5);

pub(super) async fn doctor(State(operator): State<Operator>) -> Data<Vec<Check>> {
    let mut checks = operator.machine.checks();
    checks.push(database(&operator).await);
    checks.push(ledger(&operator).await);
    checks.push(unwritten(&operator));
    let apps: Vec<_> = operator.engine.directory().snapshot().applications.values().cloned().collect();
    if apps.is_empty() {
        checks.push(Check {
            name: "applications".to_owned(),
            ok: true,
            detail: "there is none yet".to_owned(),
            advice: Some("Make one with: turnpike app create NAME".to_owned()),
        });
    }
    for app in &apps {
        let name = format!("application {}", app.row.app_id);
        checks.push(match operator.engine.look_at_number(app, META_CHECK_DEADLINE).await {
            Ok(detail) => Check { name, ok: true, detail, advice: None },
            Err((detail, advice)) => Check { name, ok: false, detail, advice: Some(advice) },
        });
        checks.push(time_zone(app));
    }
    checks.extend(endpoints(&operator, &apps).await);
    checks.push(quarantine(&operator).await);
    checks.push(erasures(&operator).await);
    Data(checks)
}

/// Where an application's prices begin their dates; wrong only where Meta told a zone that nobody
/// here can name.
fn time_zone(app: &App) -> Check {
    let name = format!("time zone of {}", app.row.app_id);
    let zone = app.zone.zone.name();
    if let (Some(id), advice @ Some(_)) = (&app.zone.unknown_meta_id, app.zone_advice()) {
        let detail = format!("Meta says {id}, which is not known to this version; prices' dates begin in {zone}");
        return Check { name, ok: false, detail, advice };
    }
    let from = match app.zone.from {
        ZoneFrom::Operator => "set by an operator",
        ZoneFrom::Meta => "the account's, from Meta",
        ZoneFrom::Default => "the default; Meta has not told the account's yet",
    };
    Check { name, ok: true, detail: format!("{zone}, {from}"), advice: None }
}

/// Endpoints that do not take their events, each with what to do, and how many do. Who switched one
/// off knows of it; it is said, and nothing is wrong.
async fn endpoints(operator: &Operator, apps: &[Arc<App>]) -> Vec<Check> {
    let (mut checks, mut healthy) = (Vec::new(), 0_usize);
    for app in apps {
        let views = match operator.engine.endpoint_views(app).await {
            Ok(views) => views,
            // The database's own check says what is the matter.
            Err(_) => continue,
        };
        for view in views {
            let waiting = view.backlog.first + view.backlog.retries;
            let of = format!("--app {} --endpoint {}", view.app_id, view.name);
            let enable = format!("turnpike webhook enable {of} --backlog replay");
            let (ok, detail, advice) = match (&view.problem, view.is_active, &view.disabled_reason, &view.failing_since) {
                (Some(problem), ..) => (false, problem.clone(), format!("Set it anew: turnpike webhook set {of} --url https://…")),
                (None, false, Some(reason), _) => {
                    (false, format!("off: {reason}; {waiting} events wait"), format!("Once it is mended: {enable}"))
                }
                (None, false, None, _) => (true, format!("switched off; {waiting} events wait"), format!("On again: {enable}")),
                (None, true, _, Some(since)) => (
                    false,
                    format!("fails since {since}; {waiting} events wait"),
                    format!("See what it answers: turnpike webhook test {of}"),
                ),
                (None, true, _, None) => {
                    healthy += 1;
                    continue;
                }
            };
            checks.push(Check { name: format!("endpoint {} of {}", view.name, view.app_id), ok, detail, advice: Some(advice) });
        }
    }
    if healthy > 0 {
        checks.push(Check { name: "endpoints".to_owned(), ok: true, detail: format!("take their events: {healthy}"), advice: None });
    }
    checks
}

/// As many of the newest are counted.
const QUARANTINE_LOOKED_AT: u32 = 500;

/// What waits in quarantine is nobody's fault here, and wants a look.
async fn quarantine(operator: &Operator) -> Check {
    let name = "quarantine".to_owned();
    match operator.engine.quarantined(None, QUARANTINE_LOOKED_AT).await {
        Ok(kept) => {
            let waits = |record: &&QuarantineRecord| record.replayed_at.is_none() && !record.body.is_empty();
            let waiting = kept.iter().filter(waits).count();
            // What failed at every try is a fault of ours, and somebody must mend it.
            let given_up = |record: &&QuarantineRecord| record.reason == QuarantineReason::Poison && record.next_try_at.is_none();
            let broken = kept.iter().filter(waits).filter(given_up).count();
            let detail = match (waiting, broken) {
                (0, _) => "nothing waits".to_owned(),
                (waiting, 0) => format!("{waiting} webhooks of Meta's wait"),
                (waiting, broken) => format!("{waiting} webhooks of Meta's wait, {broken} of them failed at every try"),
            };
            Check { name, ok: broken == 0, detail, advice: (waiting > 0).then(|| "See: turnpike quarantine list".to_owned()) }
        }
        Err(_) => Check { name, ok: false, detail: "cannot be read".to_owned(), advice: Some("Look at the log.".to_owned()) },
    }
}

/// What a broken row or a bug stands in the way of is kept and tried again, and somebody must mend it.
fn unwritten(operator: &Operator) -> Check {
    let name = "writes".to_owned();
    match operator.engine.unwritten() {
        0 => Check { name, ok: true, detail: "none is refused".to_owned(), advice: None },
        refused => Check {
            name,
            ok: false,
            detail: format!("refused at every try, and kept: {refused} (outcomes of messages, or notices)"),
            advice: Some("The log's lines with PAGE name them; turnpike ledger verify finds the row.".to_owned()),
        },
    }
}

/// Users who are to be forgotten are, within 72 hours (contract §10).
async fn erasures(operator: &Operator) -> Check {
    let name = "erasures".to_owned();
    let check = |ok, detail: String, advice: Option<&str>| Check { name: name.clone(), ok, detail, advice: advice.map(str::to_owned) };
    match operator.engine.erasures_standing().await {
        Ok(found) if found.unreadable > 0 => check(
            false,
            format!("{} cannot be read, so nobody knows whom they are about", found.unreadable),
            Some(
                "Put back erasures.journal from the newest backup, or the master key that it was written under; else ask for these erasures again.",
            ),
        ),
        Ok(found) if found.copy_is_behind => check(
            false,
            "the copy of erasures.journal (retention.erasures_copy) could not be written".to_owned(),
            Some("See that its folder is there and can be written; it catches up within a minute. Until then do not lose this disk."),
        ),
        Ok(found) if found.late > 0 => {
            check(false, format!("{} are not done after 72 hours", found.late), Some("Look at the log: it says what stands in the way."))
        }
        Ok(found) if found.open > 0 => check(true, format!("{} under way", found.open), None),
        Ok(_) => check(true, "none waits".to_owned(), None),
        Err(_) => check(false, "cannot be read".to_owned(), Some("Look at the log.")),
    }
}

async fn database(operator: &Operator) -> Check {
    let name = "database".to_owned();
    match operator.engine.store().ready().await {
        Ok(()) => Check { name, ok: true, detail: "takes writes; schema up to date".to_owned(), advice: None },
        Err(error) => Check {
            name,
            ok: false,
            detail: error.to_string(),
            advice: Some("Look at the disk and the log, then restart the gateway.".to_owned()),
        },
    }
}

async fn ledger(operator: &Operator) -> Check {
    let name = "ledger".to_owned();
    match operator.engine.store().verify().await {
        Ok(found) if found.clean => Check {
            name,
            ok: true,
            detail: format!("adds up (journal entries: {}, messages: {})", found.entries, found.messages),
            advice: None,
        },
        Ok(found) => {
            let broken: Vec<&str> = found.checks.iter().filter(|check| !check.holds).map(|check| check.id).collect();
            Check {
                name,
                ok: false,
                detail: format!("violated: {}", broken.join(", ")),
                advice: Some("Run: turnpike ledger verify. Stop sending until it is understood.".to_owned()),
            }
        }
        Err(error) => Check { name, ok: false, detail: error.to_string(), advice: Some("Look at the log.".to_owned()) },
    }
}

pub(super) async fn backup(
    State(operator): State<Operator>,
    actor: Actor,
    Body(body): Body<BackupBody>,
) -> Result<Data<BackupReport>, Fault> {
    if !body.target.is_absolute() {
        return Err(ControlFault::field("target", "must be an absolute path").into());
    }
    if body.target.exists() {
        return Err(ControlFault::field("target", "must not exist yet: a backup never overwrites").into());
    }
    // Nothing that a backup meets says anything of the ledger: the caller hears what stood in its way.
    let report = operator.engine.store().backup(body.target.clone()).await.map_err(|error| match error {
        StoreError::Unavailable { reason } => ControlFault::rule(reason),
        other => ControlFault::Store(other),
    })?;
    tracing::info!(actor = actor.name(), target = %body.target.display(), bytes = report.bytes, "wrote a backup");
    Ok(Data(report))
}
