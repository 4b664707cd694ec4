//! Applications: list, make, connect, change, stop.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use turnpike_domain::rates::ZoneFrom;
use turnpike_domain::send::{ConnectionType, MetaBilling, Mode};
use turnpike_engine::control::ControlFault;
use turnpike_engine::control::applications::{Change, Connect};
use turnpike_engine::directory::App;
use turnpike_engine::secret::Secret;
use turnpike_store::applications::{ApplicationStatus, Paused};

use super::Operator;
use super::answer::{Actor, Asked, Body, Data, Fault};

/// An application as operators see it. The token is never shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplicationView {
    id: uuid::Uuid,
    app_id: String,
    organization: String,
    display_name: String,
    status: ApplicationStatus,
    phone_number_id: Option<String>,
    waba_id: Option<String>,
    phone_number: Option<String>,
    meta_app_id: Option<String>,
    has_token: bool,
    connection_type: ConnectionType,
    /// The one that prices go by.
    timezone: String,
    timezone_from: ZoneFrom,
    meta_timezone_id: Option<String>,
    timezone_advice: Option<String>,
    meta_billing: MetaBilling,
    number_per_second: u32,
    enforce_window: bool,
    body_retention_days: u16,
    paused: Option<Paused>,
    templates: usize,
    templates_synced_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl ApplicationView {
    fn of(operator: &Operator, app: &App) -> ApplicationView {
        let row = &app.row;
        let waba = app.waba(Mode::Live).and_then(|waba| operator.engine.waba_templates(&waba));
        ApplicationView {
            id: row.id,
            app_id: row.app_id.clone(),
            organization: app.organization.name.clone(),
            display_name: row.display_name.clone(),
            status: row.status,
            phone_number_id: row.phone_number_id.clone(),
            waba_id: row.waba_id.clone(),
            phone_number: row.phone_number.clone(),
            meta_app_id: row.meta_app_id.clone(),
            has_token: row.token_sealed.is_some(),
            connection_type: row.connection_type,
            timezone: app.zone.zone.name().to_owned(),
            timezone_from: app.zone.from,
            meta_timezone_id: row.meta_timezone_id.clone(),
            timezone_advice: app.zone_advice(),
            meta_billing: row.meta_billing,
            number_per_second: app.number_per_second,
            enforce_window: row.enforce_window,
            body_retention_days: row.body_retention_days,
            paused: row.paused.clone(),
            templates: waba.as_ref().map_or(0, |waba| waba.rows.len()),
            templates_synced_at: waba.map(|waba| waba.synced_at.to_rfc3339()),
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfOrganization {
    pub org: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewApplication {
    org: Option<String>,
    display_name: String,
    app_id: Option<String>,
    #[serde(default)]
    connect: Option<ConnectBody>,
    #[serde(default)]
    settings: Option<ChangeBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ConnectBody {
    phone_number_id: String,
    waba_id: String,
    access_token: String,
    phone_number: Option<String>,
    meta_app_id: Option<String>,
    connection_type: Option<ConnectionType>,
}

impl From<ConnectBody> for Connect {
    fn from(body: ConnectBody) -> Connect {
        Connect {
            phone_number_id: body.phone_number_id,
            waba_id: body.waba_id,
            token: Secret::new(body.access_token),
            phone_number: body.phone_number,
            meta_app_id: body.meta_app_id,
            connection_type: body.connection_type,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChangeBody {
    display_name: Option<String>,
    /// An IANA zone, or `meta` for the account's own.
    timezone: Option<String>,
    meta_billing: Option<MetaBilling>,
    /// 0 goes back to the connection type's ceiling.
    number_per_second: Option<u32>,
    enforce_window: Option<bool>,
    body_retention_days: Option<u16>,
}

impl From<ChangeBody> for Change {
    fn from(body: ChangeBody) -> Change {
        Change {
            display_name: body.display_name,
            timezone: body.timezone,
            meta_billing: body.meta_billing,
            number_per_second: body.number_per_second.map(|ceiling| (ceiling != 0).then_some(ceiling)),
            enforce_window: body.enforce_window,
            body_retention_days: body.body_retention_days,
        }
    }
}

pub(super) async fn list(
    State(operator): State<Operator>,
    Asked(asked): Asked<OfOrganization>,
) -> Result<Data<Vec<ApplicationView>>, Fault> {
    let only = asked.org.as_deref().map(|org| operator.organization_asked(Some(org))).transpose()?;
    let state = operator.engine.directory().snapshot();
    let mut apps: Vec<&Arc<App>> =
        state.applications.values().filter(|app| only.as_ref().is_none_or(|only| only.key == app.row.organization)).collect();
    apps.sort_by_key(|app| app.row.key);
    Ok(Data(apps.into_iter().map(|app| ApplicationView::of(&operator, app)).collect()))
}

pub(super) async fn create(
    State(operator): State<Operator>,
    actor: Actor,
    Body(new): Body<NewApplication>,
) -> Result<Data<ApplicationView>, Fault> {
    let organization = operator.organization_asked(new.org.as_deref())?;
    let mut app = operator.engine.create_application(&organization, &new.display_name, new.app_id.as_deref()).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, "made an application");
    if let Some(settings) = new.settings {
        app = operator.engine.change_application(&app, settings.into()).await?;
    }
    if let Some(connect) = new.connect {
        app = operator.engine.connect_application(&app, connect.into()).await?;
        operator.sync_in_background(&app);
    }
    Ok(Data(ApplicationView::of(&operator, &app)))
}

pub(super) async fn show(State(operator): State<Operator>, Path(app): Path<String>) -> Result<Data<ApplicationView>, Fault> {
    let app = operator.application(&app)?;
    Ok(Data(ApplicationView::of(&operator, &app)))
}

pub(super) async fn change(
    State(operator): State<Operator>,
    actor: Actor,
    Path(app): Path<String>,
    Body(change): Body<ChangeBody>,
) -> Result<Data<ApplicationView>, Fault> {
    let app = operator.application(&app)?;
    let changed = operator.engine.change_application(&app, change.into()).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, "changed an application");
    Ok(Data(ApplicationView::of(&operator, &changed)))
}

pub(super) async fn connect(
    State(operator): State<Operator>,
    actor: Actor,
    Path(app): Path<String>,
    Body(connect): Body<ConnectBody>,
) -> Result<Data<ApplicationView>, Fault> {
    let app = operator.application(&app)?;
    let connected = operator.engine.connect_application(&app, connect.into()).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, "connected an application to its number");
    operator.sync_in_background(&connected);
    Ok(Data(ApplicationView::of(&operator, &connected)))
}

pub(super) async fn suspend(
    State(operator): State<Operator>,
    actor: Actor,
    Path(app): Path<String>,
) -> Result<Data<ApplicationView>, Fault> {
    let app = operator.application(&app)?;
    let app = operator.engine.suspend_application(&app).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, "suspended an application");
    Ok(Data(ApplicationView::of(&operator, &app)))
}

pub(super) async fn resume(
    State(operator): State<Operator>,
    actor: Actor,
    Path(app): Path<String>,
) -> Result<Data<ApplicationView>, Fault> {
    let app = operator.application(&app)?;
    let app = operator.engine.resume_application(&app).await?;
    tracing::info!(actor = actor.name(), application.id = %app.row.app_id, "resumed an application");
    Ok(Data(ApplicationView::of(&operator, &app)))
}

impl Operator {
    /// The application that a path names: `appId`s are unique, so no organization is needed. `-` is
    /// the only application of the only organization.
    pub(super) fn application(&self, named: &str) -> Result<Arc<App>, ControlFault> {
        let state = self.engine.directory().snapshot();
        if named == "-" {
            return self.engine.the_only_application();
        }
        let found = state.by_app_id.get(named).and_then(|key| state.applications.get(key));
        found.cloned().ok_or(ControlFault::NotFound("application"))
    }

    fn sync_in_background(&self, app: &Arc<App>) {
        let (engine, app) = (Arc::clone(&self.engine), Arc::clone(app));
        self.engine.tasks().spawn(async move {
            if let Err(failure) = engine.sync_templates(&app, Mode::Live).await {
                tracing::warn!(application.id = %app.row.app_id, failure = %failure, "syncing templates of a newly connected application");
            }
        });
    }
}
