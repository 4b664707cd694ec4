//! Templates as Meta last gave them, and asking Meta now.

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use turnpike_domain::rates::ZoneFrom;
use turnpike_domain::send::Mode;
use turnpike_engine::control::ControlFault;

use super::Operator;
use super::answer::{Actor, Asked, Body, Data, Fault};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default)]
    sandbox: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemplateView {
    name: String,
    language: String,
    status: Option<String>,
    category: Option<String>,
    quality: Option<String>,
    synced_at: String,
}

/// What was read: templates, and where prices' dates begin by now.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Synced {
    templates: usize,
    timezone: String,
    timezone_from: ZoneFrom,
    timezone_advice: Option<String>,
}

/// What a list shows of Meta's definition.
#[derive(Deserialize)]
struct Shown {
    status: Option<String>,
    category: Option<String>,
    quality_score: Option<Quality>,
}

#[derive(Deserialize)]
struct Quality {
    score: Option<String>,
}

fn mode_of(sandbox: bool) -> Mode {
    if sandbox { Mode::Sandbox } else { Mode::Live }
}

pub(super) async fn list(
    State(operator): State<Operator>,
    Path(app): Path<String>,
    Asked(which): Asked<Which>,
) -> Result<Data<Vec<TemplateView>>, Fault> {
    let app = operator.application(&app)?;
    let waba = app.waba(mode_of(which.sandbox)).and_then(|waba| operator.engine.waba_templates(&waba));
    let Some(waba) = waba else { return Ok(Data(Vec::new())) };
    let synced_at = waba.synced_at.to_rfc3339();
    let views = waba
        .rows
        .iter()
        .map(|row| {
            let shown: Option<Shown> = serde_json::from_str(&row.definition).ok();
            let (status, category, quality) =
                shown.map(|s| (s.status, s.category, s.quality_score.and_then(|q| q.score))).unwrap_or_default();
            TemplateView { name: row.name.clone(), language: row.language.clone(), status, category, quality, synced_at: synced_at.clone() }
        })
        .collect();
    Ok(Data(views))
}

pub(super) async fn sync(
    State(operator): State<Operator>,
    actor: Actor,
    Path(app): Path<String>,
    Body(which): Body<Which>,
) -> Result<Data<Synced>, Fault> {
    let app = operator.application(&app)?;
    let templates = operator.engine.sync_templates(&app, mode_of(which.sandbox)).await.map_err(ControlFault::Rule)?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, templates, "synced templates");
    // Anew, since the sync may have changed it.
    let app = operator.engine.directory().application(app.row.key).ok_or(ControlFault::NotFound("application"))?;
    let (timezone, timezone_from) = (app.zone.zone.name().to_owned(), app.zone.from);
    Ok(Data(Synced { templates, timezone, timezone_from, timezone_advice: app.zone_advice() }))
}
