//! Users of an application: when one last wrote to it, and whether one stopped its marketing.

use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::time::UnixMs;

use crate::Answer;
use crate::messages::Hash16;

/// What is known of a user. Nothing known is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserStanding {
    /// The user's last message to the number: it opens the customer service window.
    pub last_wrote_at: Option<UnixMs>,
    /// Since when the user wants no marketing from this number.
    pub opted_out_at: Option<UnixMs>,
}

/// How long a user's message keeps the customer service window open (meta-cloud-api §10).
const WINDOW_MS: i64 = 24 * 3_600_000;

impl UserStanding {
    /// When the window closes, or closed; `None` where the user never wrote.
    #[must_use]
    pub fn window_closes_at(&self) -> Option<UnixMs> {
        self.last_wrote_at.map(|at| at.plus_ms(WINDOW_MS))
    }

    /// Whether the window is open at `now`.
    #[must_use]
    pub fn window_is_open(&self, now: UnixMs) -> bool {
        self.window_closes_at().is_some_and(|at| at > now)
    }
}

/// Something learnt of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserNote {
    /// The user wrote then. An older note than what is known changes nothing.
    Wrote(UnixMs),
    /// The user stopped marketing then. An older wish than the newest known changes nothing.
    OptedOut(UnixMs),
    /// The user wants marketing again, since then. An older wish changes nothing here either.
    OptedIn(UnixMs),
}

/// Reads and writes of users. A user is the keyed hash of a phone number or BSUID.
pub trait Users {
    /// What is known of a user; of another organization's application nothing is.
    fn user(&self, organization: OrganizationId, application: ApplicationId, user: Hash16) -> Answer<'_, UserStanding>;
    /// Notes something; `None` where the organization has no such application.
    fn note_user(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        user: Hash16,
        note: UserNote,
    ) -> Answer<'_, Option<UserStanding>>;
}
