//! What an event changes in the gateway itself: templates are read again, bars are told to the
//! operator.

use std::sync::Arc;
use std::time::Duration;

use turnpike_domain::ids::ApplicationId;
use turnpike_domain::send::Mode;
use turnpike_domain::webhook::view::AccountChange;
use turnpike_domain::webhook::{Item, View};

use super::After;
use super::routes::Destination;
use crate::Engine;

/// Meta tells of a hundred templates in a hundred webhooks: they are read once, this much later,
/// and so never before Meta's own copy has changed.
const REREAD_AFTER: Duration = Duration::from_millis(1_500);

/// What Meta calls it when an account can send no more, or soon will not (meta-cloud-api §5.6).
const BARS: [&str; 5] = ["DISABLED_UPDATE", "ACCOUNT_RESTRICTION", "ACCOUNT_VIOLATION", "ACCOUNT_DELETED", "ACCOUNT_OFFBOARDED"];

impl Engine {
    /// Notes what `item` changes beside the store, for when it is recorded.
    pub(super) fn note_effects(&self, after: &mut After, destination: &Destination, item: &Item<'_>) {
        let Destination { app, mode } = destination;
        match &item.view {
            View::Template(_) => {
                if let Some(waba_id) = app.waba(*mode) {
                    after.reread.insert((app.row.key, waba_id));
                }
            }
            View::Account(change) => {
                if let Some(bar) = bar_of(change) {
                    self.intake.metrics.bars.inc();
                    tracing::error!(application.id = %app.row.app_id, event = bar, "Meta bars this account, or announces that it will; see the event `account`");
                }
            }
            View::Security(_) => {
                self.intake.metrics.bars.inc();
                tracing::warn!(application.id = %app.row.app_id, "the PIN of this number was changed at Meta, or somebody asked for that; see the event `account`");
            }
            _ => {}
        }
    }

    /// Reads an account's templates again in a moment, once for all who ask meanwhile.
    pub(super) fn reread_templates(self: &Arc<Self>, application: ApplicationId, waba_id: String) {
        if !self.intake.rereading.lock().insert(waba_id.clone()) {
            return;
        }
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            let stays = engine.stopping().run_until_cancelled(tokio::time::sleep(REREAD_AFTER)).await;
            engine.intake.rereading.lock().remove(&waba_id);
            let (Some(()), Some(app)) = (stays, engine.directory.application(application)) else { return };
            let mode = if app.waba(Mode::Sandbox).as_ref() == Some(&waba_id) { Mode::Sandbox } else { Mode::Live };
            // Not waited for: whoever sends the template next is compared with what comes.
            let _ = engine.refetch(&app, mode, &waba_id);
        });
    }
}

fn bar_of(change: &AccountChange<'_>) -> Option<&'static str> {
    let event = BARS.into_iter().find(|bar| *bar == change.event);
    let is_banned = matches!(change.ban_state.as_deref(), Some("DISABLE" | "SCHEDULE_FOR_DISABLE"));
    // Meta also tells of the end of a ban under the same name.
    match (event, change.ban_state.as_deref()) {
        (_, Some("REINSTATE")) => None,
        (None, _) if is_banned => Some("ban"),
        (event, _) => event,
    }
}
