//! What is refused because Meta would fail it anyway, where operator or key enforces that: free-form
//! messages outside the customer service window, marketing to a user who stopped it.
//!
//! By default nothing is: only Meta knows for sure whether a window is open. Enforced, a user of
//! whom nothing is known has no open window.

use turnpike_domain::message::NewMessage;
use turnpike_domain::refusal::Refusal;
use turnpike_domain::send::{Category, MessageKind};
use turnpike_store::messages::Hash16;
use turnpike_store::users::{UserNote, UserStanding};

use crate::Engine;
use crate::caller::Caller;
use crate::control::ControlFault;
use crate::directory::App;

impl Engine {
    /// Step 6, policy (contract §3.2).
    pub(super) async fn enforce_policy(
        &self,
        caller: &Caller,
        message: &NewMessage,
        category: Option<Category>,
        user: Hash16,
    ) -> Result<(), Refusal> {
        if !caller.key.policy.enforce_window && !caller.app.row.enforce_window {
            return Ok(());
        }
        let needs_window = message.kind() != MessageKind::Template && message.direct_send_category().is_none();
        let is_marketing = category == Some(Category::Marketing);
        if !needs_window && !is_marketing {
            return Ok(());
        }
        let app = &caller.app;
        let known = self.store.user(app.organization.key, app.row.key, user).await.map_err(|_| Refusal::LedgerUnreachable)?;
        if is_marketing && known.opted_out_at.is_some() {
            return Err(Refusal::OptedOut);
        }
        if needs_window && !known.window_is_open(self.clock.now()) {
            return Err(Refusal::WindowClosed { closed_at: known.window_closes_at() });
        }
        Ok(())
    }

    /// What is known of a user (digits or BSUID) of an application.
    ///
    /// # Errors
    /// The store's silence.
    pub async fn user(&self, app: &App, user: &str) -> Result<UserStanding, ControlFault> {
        Ok(self.store.user(app.organization.key, app.row.key, self.user_hash(user)).await?)
    }

    /// Notes that a user wrote, stopped marketing or wants it again.
    ///
    /// # Errors
    /// Not found, the store's silence.
    pub async fn note_user(&self, app: &App, user: &str, note: UserNote) -> Result<UserStanding, ControlFault> {
        let noted = self.store.note_user(app.organization.key, app.row.key, self.user_hash(user), note).await?;
        noted.ok_or(ControlFault::NotFound("application"))
    }

    /// The hash that a user is known by: the same as a send to that number or id has.
    pub(crate) fn user_hash(&self, user: &str) -> Hash16 {
        self.vault.recipient().hash(&[user.as_bytes()])
    }
}
