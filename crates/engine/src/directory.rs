//! Organizations and applications in memory: what a send needs to know about its sender.
//!
//! Read on every message, written by people now and then: so the whole directory is one immutable
//! value that a write replaces. What a message must not wait for (the opened token, the proof, the
//! price switches of its zone) is made when the directory is.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::rates::{AppZone, CardSchedule, Markup, Terms};
use turnpike_domain::refusal::NotAllowed;
use turnpike_domain::send::{ConnectionType, Mode};
use turnpike_store::applications::{Application, ApplicationStatus};
use turnpike_store::organizations::Organization;

use crate::graph::Link;

/// A sending application with all that its messages need.
#[derive(Debug)]
pub struct App {
    /// As stored.
    pub row: Application,
    /// Who pays.
    pub organization: Arc<Organization>,
    /// The way to Meta; `None` while it is a draft, or where its token cannot be opened.
    pub live: Option<Arc<Link>>,
    /// The way to the built-in simulator; `None` where that is switched off.
    pub sandbox: Option<Arc<Link>>,
    /// The number's ceiling towards Meta, messages a second (contract §4).
    pub number_per_second: u32,
    /// Where its prices' dates begin, and who said so.
    pub zone: AppZone,
    /// Which rate card is in force when, in that zone.
    pub schedule: CardSchedule,
    /// What the organization pays on the list prices, and who pays Meta.
    pub terms: Terms,
}

/// The ways out of an application, opened and parsed.
#[derive(Debug, Default)]
pub struct Ways {
    /// See [`App::live`].
    pub live: Option<Arc<Link>>,
    /// See [`App::sandbox`].
    pub sandbox: Option<Arc<Link>>,
}

/// Messages a second of a number that nobody upgraded (meta-cloud-api §4).
const CLOUD_API_PER_SECOND: u32 = 80;
/// Messages a second of a number shared with the WhatsApp Business app (meta-cloud-api §4).
const COEXISTENCE_PER_SECOND: u32 = 20;

impl App {
    /// The application as stored, with its ways out.
    #[must_use]
    pub fn new(row: Application, organization: Arc<Organization>, ways: Ways, zone: AppZone, schedule: CardSchedule) -> App {
        let number_per_second = row.number_per_second.unwrap_or(match row.connection_type {
            ConnectionType::CloudApi => CLOUD_API_PER_SECOND,
            ConnectionType::Coexistence => COEXISTENCE_PER_SECOND,
        });
        let markup = Markup { factor_ppm: organization.factor_ppm, fixed: organization.fixed, base_fee: organization.base_fee };
        let terms = Terms { markup, billing: row.meta_billing };
        App { row, organization, live: ways.live, sandbox: ways.sandbox, number_per_second, zone, schedule, terms }
    }

    /// What is to be done about the time zone, where Meta's number of it is not known here.
    #[must_use]
    pub fn zone_advice(&self) -> Option<String> {
        let id = self.zone.unknown_meta_id.as_deref()?;
        let app = &self.row.app_id;
        Some(format!("Meta's time zone {id} is not known to this version; set it with: turnpike app set {app} --timezone ZONE"))
    }

    /// Whether a key of this mode may send for the application now (AUTH_006). Sandbox keys work
    /// on drafts, because CI has no Meta account (contract §5).
    ///
    /// # Errors
    /// The reason why not.
    pub fn may_send(&self, mode: Mode) -> Result<(), NotAllowed> {
        match (self.row.status, mode) {
            (ApplicationStatus::Suspended, _) => Err(NotAllowed::ApplicationSuspended),
            (ApplicationStatus::Draft, Mode::Live) => Err(NotAllowed::ApplicationDraft),
            (_, Mode::Sandbox) if self.sandbox.is_none() => Err(NotAllowed::SandboxOff),
            _ => Ok(()),
        }
    }

    /// The WABA whose templates a message of this mode uses.
    #[must_use]
    pub fn waba(&self, mode: Mode) -> Option<String> {
        match mode {
            Mode::Sandbox => Some(sandbox_id(&self.row.app_id)),
            Mode::Live | Mode::Fake => self.row.waba_id.clone(),
        }
    }

    /// The way out for a message of this mode.
    #[must_use]
    pub fn link(&self, mode: Mode) -> Option<&Arc<Link>> {
        match mode {
            Mode::Live => self.live.as_ref(),
            Mode::Sandbox => self.sandbox.as_ref(),
            Mode::Fake => None,
        }
    }
}

/// What begins the built-in simulator's names of an application.
pub(crate) const SANDBOX: &str = "sandbox-";

/// How the built-in simulator knows an application, as number and as WABA (contract §5).
pub(crate) fn sandbox_id(app_id: &str) -> String {
    format!("{SANDBOX}{app_id}")
}

/// All organizations and applications, as of the last write.
#[derive(Debug, Default)]
pub struct Directory {
    state: ArcSwap<State>,
}

/// One moment of the directory.
#[derive(Debug, Default)]
pub struct State {
    /// By key.
    pub organizations: HashMap<OrganizationId, Arc<Organization>>,
    /// By key.
    pub applications: HashMap<ApplicationId, Arc<App>>,
    /// By public name.
    pub by_app_id: HashMap<String, ApplicationId>,
}

impl Directory {
    /// Replaces everything.
    pub fn replace(&self, organizations: Vec<Arc<Organization>>, applications: Vec<App>) {
        let by_app_id = applications.iter().map(|app| (app.row.app_id.clone(), app.row.key)).collect();
        let applications = applications.into_iter().map(|app| (app.row.key, Arc::new(app))).collect();
        let organizations = organizations.into_iter().map(|organization| (organization.key, organization)).collect();
        self.state.store(Arc::new(State { organizations, applications, by_app_id }));
    }

    /// The application of a key.
    #[must_use]
    pub fn application(&self, key: ApplicationId) -> Option<Arc<App>> {
        self.state.load().applications.get(&key).cloned()
    }

    /// The whole of it, for lists.
    #[must_use]
    pub fn snapshot(&self) -> Arc<State> {
        self.state.load_full()
    }
}
