//! Applications: made, connected to a number, changed, stopped.

use std::sync::Arc;

use turnpike_domain::rates::Zone;
use turnpike_domain::refusal::FieldFault;
use turnpike_domain::send::{ConnectionType, MetaBilling};
use turnpike_store::applications::{Application, ApplicationChange, ApplicationStatus, NewApplication};
use turnpike_store::organizations::{Created, Organization};

use super::ControlFault;
use super::organizations::name_fault;
use crate::Engine;
use crate::directory::App;
use crate::secret::Secret;
use crate::vault::Purpose;

/// What makes a draft an application that sends.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// Meta's id of the WhatsApp Business Account.
    pub waba_id: String,
    /// Meta's access token.
    pub token: Secret,
    /// The number, digits, where known.
    pub phone_number: Option<String>,
    /// Which of our apps at Meta the token belongs to.
    pub meta_app_id: Option<String>,
    /// Cloud API alone, or shared with the WhatsApp Business app.
    pub connection_type: Option<ConnectionType>,
}

/// What an operator may change of an application; `None` keeps.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Its name.
    pub display_name: Option<String>,
    /// IANA zone, or [`FOLLOW_META`].
    pub timezone: Option<String>,
    /// Who pays Meta.
    pub meta_billing: Option<MetaBilling>,
    /// The number's ceiling; `Some(None)` is the connection type's.
    pub number_per_second: Option<Option<u32>>,
    /// Whether a closed window refuses.
    pub enforce_window: Option<bool>,
    /// Days that bodies are kept.
    pub body_retention_days: Option<u16>,
}

/// In place of a zone: what Meta says of the account.
pub const FOLLOW_META: &str = "meta";

/// The highest ceiling that Meta gives a number is 1,000 a second (meta-cloud-api §4); a bench
/// against the simulator may go further.
const NUMBER_PER_SECOND_MAX: u32 = 1_000_000;
/// Bodies are kept this long or not at all (contract §10): they lie in tables by day that go whole.
const BODY_RETENTION_DAYS: u16 = 30;

impl Engine {
    /// Makes a draft; without `app_id` one is made from the name.
    ///
    /// # Errors
    /// Fields, `appId` taken.
    pub async fn create_application(
        self: &Arc<Self>,
        organization: &Organization,
        display_name: &str,
        app_id: Option<&str>,
    ) -> Result<Arc<App>, ControlFault> {
        let app_id = app_id.map_or_else(|| slug(display_name), str::to_owned);
        let mut faults: Vec<FieldFault> = name_fault("displayName", display_name).into_iter().collect();
        if app_id.is_empty() || app_id.len() > 100 || !app_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            faults.push(FieldFault::new("appId", "must be 1 to 100 of A-Z a-z 0-9 _ -"));
        }
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let at = self.clock.now();
        let new = NewApplication { organization: organization.key, id: self.uuid(at), app_id, display_name: display_name.to_owned(), at };
        match self.store.create_application(new).await? {
            Created::New(row) => self.reloaded(&row).await,
            Created::Taken(field) => Err(ControlFault::Taken(field)),
        }
    }

    /// Gives an application its number and token, and activates it.
    ///
    /// # Errors
    /// Fields, the number taken, not found.
    pub async fn connect_application(self: &Arc<Self>, app: &App, connect: Connect) -> Result<Arc<App>, ControlFault> {
        let faults = connect_faults(&connect, self);
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let sealed =
            self.vault.seal(Purpose::Token, app.row.organization, app.row.id.as_bytes(), connect.token.expose().as_bytes(), &*self.entropy);
        let change = ApplicationChange {
            status: Some(ApplicationStatus::Activated),
            phone_number_id: Some(connect.phone_number_id),
            waba_id: Some(connect.waba_id),
            phone_number: connect.phone_number,
            token_sealed: Some(sealed),
            meta_app_id: connect.meta_app_id,
            connection_type: connect.connection_type,
            // A new token is the cure for most bars; a bar that stands is learnt again at once.
            paused: Some(None),
            ..Default::default()
        };
        self.change(app, change).await
    }

    /// Changes settings.
    ///
    /// # Errors
    /// Fields, not found.
    pub async fn change_application(self: &Arc<Self>, app: &App, change: Change) -> Result<Arc<App>, ControlFault> {
        let mut faults: Vec<FieldFault> = Vec::new();
        faults.extend(change.display_name.as_deref().and_then(|name| name_fault("displayName", name)));
        let timezone = change.timezone.map(|zone| (zone != FOLLOW_META).then_some(zone));
        if let Some(Some(zone)) = &timezone
            && let Err(problem) = zone.parse::<Zone>()
        {
            faults.push(FieldFault::new("timezone", format!("{problem}, or {FOLLOW_META} for the account's own")));
        }
        if let Some(Some(ceiling)) = change.number_per_second
            && (ceiling == 0 || ceiling > NUMBER_PER_SECOND_MAX)
        {
            faults.push(FieldFault::new("numberPerSecond", format!("must be from 1 to {NUMBER_PER_SECOND_MAX}")));
        }
        if let Some(days) = change.body_retention_days
            && ![0, BODY_RETENTION_DAYS].contains(&days)
        {
            faults.push(FieldFault::new("bodyRetentionDays", format!("must be {BODY_RETENTION_DAYS}, or 0 to keep none")));
        }
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let change = ApplicationChange {
            display_name: change.display_name,
            timezone,
            meta_billing: change.meta_billing,
            number_per_second: change.number_per_second,
            enforce_window: change.enforce_window,
            body_retention_days: change.body_retention_days,
            ..Default::default()
        };
        self.change(app, change).await
    }

    /// Stops an application's sends; what is under way ends.
    ///
    /// # Errors
    /// Not found.
    pub async fn suspend_application(self: &Arc<Self>, app: &App) -> Result<Arc<App>, ControlFault> {
        self.change(app, ApplicationChange { status: Some(ApplicationStatus::Suspended), ..Default::default() }).await
    }

    /// Lets a suspended application send again, and lifts the pause of a barred number.
    ///
    /// # Errors
    /// Not found.
    pub async fn resume_application(self: &Arc<Self>, app: &App) -> Result<Arc<App>, ControlFault> {
        let connected = app.row.phone_number_id.is_some() && app.row.token_sealed.is_some();
        let status = if connected { ApplicationStatus::Activated } else { ApplicationStatus::Draft };
        self.change(app, ApplicationChange { status: Some(status), paused: Some(None), ..Default::default() }).await
    }

    /// The application of that `appId` in the organization; without one, its only one.
    ///
    /// # Errors
    /// Not found, or several where none was named.
    pub fn application_of(&self, organization: &Organization, app_id: Option<&str>) -> Result<Arc<App>, ControlFault> {
        let state = self.directory.snapshot();
        let mut own = state.applications.values().filter(|app| app.row.organization == organization.key);
        match app_id {
            Some(app_id) => own.find(|app| app.row.app_id == app_id).cloned().ok_or(ControlFault::NotFound("application")),
            None => only(own),
        }
    }

    /// The application that is meant where none is named: the only one there is, of whatever organization.
    ///
    /// # Errors
    /// There is none, or there are several; these are named.
    pub fn the_only_application(&self) -> Result<Arc<App>, ControlFault> {
        only(self.directory.snapshot().applications.values())
    }

    async fn change(self: &Arc<Self>, app: &App, change: ApplicationChange) -> Result<Arc<App>, ControlFault> {
        match self.store.update_application(app.row.organization, app.row.key, change, self.clock.now()).await? {
            Some(Created::New(row)) => self.reloaded(&row).await,
            Some(Created::Taken(field)) => Err(ControlFault::Taken(field)),
            None => Err(ControlFault::NotFound("application")),
        }
    }

    async fn reloaded(&self, row: &Application) -> Result<Arc<App>, ControlFault> {
        self.reload_directory().await?;
        self.directory.application(row.key).ok_or(ControlFault::NotFound("application"))
    }
}

/// Applications that an error names at most; the list of all is a command of its own.
const CANDIDATES_MAX: usize = 10;

/// The one application among these.
fn only<'a>(applications: impl Iterator<Item = &'a Arc<App>>) -> Result<Arc<App>, ControlFault> {
    let mut found: Vec<&Arc<App>> = applications.collect();
    match found.as_slice() {
        [] => Err(ControlFault::rule("there is no application yet; make one with: turnpike app create NAME")),
        [only] => Ok(Arc::clone(only)),
        _ => {
            found.sort_by(|a, b| a.row.app_id.cmp(&b.row.app_id));
            let named: Vec<String> =
                found.iter().take(CANDIDATES_MAX).map(|app| format!("{} ({})", app.row.app_id, app.organization.name)).collect();
            let further = match found.len() - named.len() {
                0 => String::new(),
                further => format!(" and {further} more (turnpike app list)"),
            };
            let named = named.join(", ");
            Err(ControlFault::field("app", format!("must be given (--app APP_ID), since there are several: {named}{further}")))
        }
    }
}

fn connect_faults(connect: &Connect, engine: &Engine) -> Vec<FieldFault> {
    let mut faults = Vec::new();
    for (path, id) in [("phoneNumberId", &connect.phone_number_id), ("wabaId", &connect.waba_id)] {
        if id.is_empty() || id.len() > 40 || !id.bytes().all(|b| b.is_ascii_digit()) {
            faults.push(FieldFault::new(path, "must be Meta's id: digits only"));
        }
    }
    if let Some(number) = &connect.phone_number
        && turnpike_domain::message::PhoneNumber::parse(number).is_none()
    {
        faults.push(FieldFault::new("phoneNumber", "must be 7 to 15 digits with country code, without +"));
    }
    let token = connect.token.expose();
    if token.is_empty() || token.len() > 4_096 || !token.bytes().all(|b| b.is_ascii_graphic()) {
        faults.push(FieldFault::new("accessToken", "must be the token that Meta gave: visible ASCII without spaces"));
    }
    if let Some(id) = &connect.meta_app_id
        && !engine.settings.meta_apps.iter().any(|app| app.id == *id)
    {
        faults.push(FieldFault::new("metaAppId", "must be the id of a [[meta.app]] in the configuration"));
    }
    faults
}

/// `Acme Shop` becomes `acme-shop`.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(100);
    slug.trim_end_matches('-').to_owned()
}
