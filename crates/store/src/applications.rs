//! Applications: one sending number each, with its token sealed.

use serde::Serialize;
use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::send::{ConnectionType, MetaBilling};
use turnpike_domain::time::UnixMs;
use uuid::Uuid;

use crate::Answer;
use crate::organizations::Created;

/// Whether an application may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
pub enum ApplicationStatus {
    /// No number yet: sandbox only.
    Draft = 0,
    /// Connected.
    Activated = 1,
    /// Stopped by an operator.
    Suspended = 2,
}

/// An application. Its token is sealed; only the engine opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// The store's key of it.
    #[serde(skip)]
    pub key: ApplicationId,
    /// The organization that owns it.
    #[serde(skip)]
    pub organization: OrganizationId,
    /// Its UUID.
    pub id: Uuid,
    /// Its public name in paths, `[A-Za-z0-9_-]{1,100}`, unique.
    pub app_id: String,
    /// What people call it.
    pub display_name: String,
    /// Whether it may send.
    pub status: ApplicationStatus,
    /// Meta's id of the number; unique among applications.
    pub phone_number_id: Option<String>,
    /// Meta's id of the WhatsApp Business Account.
    pub waba_id: Option<String>,
    /// The number itself, digits only, where known.
    pub phone_number: Option<String>,
    /// Meta's access token, sealed.
    #[serde(skip)]
    pub token_sealed: Option<Vec<u8>>,
    /// Which `[[meta.app]]` of the configuration the token belongs to.
    pub meta_app_id: Option<String>,
    /// How the number is connected.
    pub connection_type: ConnectionType,
    /// IANA zone in which its prices' dates begin, where an operator set one; else it is that of
    /// [`Application::meta_timezone_id`].
    pub timezone: Option<String>,
    /// Meta's number of the account's zone, as Meta last told it: digits, known to us or not.
    pub meta_timezone_id: Option<String>,
    /// Who pays Meta.
    pub meta_billing: MetaBilling,
    /// The number's ceiling in messages a second, where it is not the connection type's.
    pub number_per_second: Option<u32>,
    /// Whether a closed customer service window refuses free-form messages (POL_001).
    pub enforce_window: bool,
    /// How many days bodies are kept; 0 keeps none.
    pub body_retention_days: u16,
    /// Why the number is paused, where Meta barred it.
    pub paused: Option<Paused>,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it last changed.
    pub updated_at: UnixMs,
}

/// A number that Meta barred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paused {
    /// Meta's code.
    pub code: i64,
    /// Meta's words.
    pub title: String,
    /// What to do.
    pub hint: String,
    /// Since when; RFC 3339 wherever it is written.
    #[serde(with = "written_since")]
    pub since: UnixMs,
}

/// Rows of an early form hold a number of milliseconds, which is still read.
mod written_since {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use turnpike_domain::time::UnixMs;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Ms(i64),
    }

    pub(super) fn serialize<S: Serializer>(since: &UnixMs, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&since.to_rfc3339())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMs, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => UnixMs::parse(&text).ok_or_else(|| D::Error::custom("must be an RFC 3339 instant")),
            Written::Ms(ms) => Ok(UnixMs(ms)),
        }
    }
}

/// What Meta said of an account's time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaTimezone {
    /// Of which WABA. Nothing changes where the application has another one by now.
    pub waba_id: String,
    /// Meta's number of it.
    pub id: String,
}

/// What a new application needs; the rest is set by [`Applications::update_application`].
#[derive(Clone, Debug)]
pub struct NewApplication {
    /// Its owner.
    pub organization: OrganizationId,
    /// Its UUID.
    pub id: Uuid,
    /// Its public name.
    pub app_id: String,
    /// What people call it.
    pub display_name: String,
    /// Now.
    pub at: UnixMs,
}

/// The fields of an application that change; `None` leaves one as it is.
#[derive(Clone, Debug, Default)]
pub struct ApplicationChange {
    /// See [`Application::display_name`].
    pub display_name: Option<String>,
    /// See [`Application::status`].
    pub status: Option<ApplicationStatus>,
    /// See [`Application::phone_number_id`].
    pub phone_number_id: Option<String>,
    /// See [`Application::waba_id`]; another one's time zone is not known yet.
    pub waba_id: Option<String>,
    /// See [`Application::phone_number`].
    pub phone_number: Option<String>,
    /// See [`Application::token_sealed`].
    pub token_sealed: Option<Vec<u8>>,
    /// See [`Application::meta_app_id`].
    pub meta_app_id: Option<String>,
    /// See [`Application::connection_type`].
    pub connection_type: Option<ConnectionType>,
    /// See [`Application::timezone`]; `Some(None)` follows Meta again.
    pub timezone: Option<Option<String>>,
    /// See [`Application::meta_timezone_id`].
    pub meta_timezone: Option<MetaTimezone>,
    /// See [`Application::meta_billing`].
    pub meta_billing: Option<MetaBilling>,
    /// See [`Application::number_per_second`]; `Some(None)` goes back to the default.
    pub number_per_second: Option<Option<u32>>,
    /// See [`Application::enforce_window`].
    pub enforce_window: Option<bool>,
    /// See [`Application::body_retention_days`].
    pub body_retention_days: Option<u16>,
    /// See [`Application::paused`]; `Some(None)` lifts it.
    pub paused: Option<Option<Paused>>,
}

/// Reads and writes of applications.
pub trait Applications {
    /// Makes a draft. An organization that does not exist is an error, since its key comes from the
    /// store itself.
    fn create_application(&self, new: NewApplication) -> Answer<'_, Created<Application>>;
    /// All applications of all organizations: the engine keeps them in memory.
    fn applications(&self) -> Answer<'_, Vec<Application>>;
    /// Changes one; `None` where the organization has no such application, `Taken` where the
    /// number is another application's.
    fn update_application(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        change: ApplicationChange,
        at: UnixMs,
    ) -> Answer<'_, Option<Created<Application>>>;
}
