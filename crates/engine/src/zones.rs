//! The time zone of an account, as Meta tells it: where the dates of its prices begin (contract §6).
//!
//! It is read whenever the account's templates are: at start, on demand, every six hours. What Meta
//! says is kept as Meta says it, a number; which zone that is, and whether an operator's word goes
//! before it, is decided when the directory is built (`AppZone`), so that a later version may know a
//! number that this one does not. A new zone moves the dates of later sends only: what is held keeps
//! the card that it was held by.

use std::sync::Arc;

use turnpike_domain::send::Mode;
use turnpike_store::StoreError;
use turnpike_store::applications::{ApplicationChange, MetaTimezone};

use crate::Engine;
use crate::directory::App;
use crate::graph::{Link, Trace};
use crate::templates::SYNC_DEADLINE;

impl Engine {
    /// Asks Meta for a WABA's time zone and keeps it for every application of that WABA. A failure is
    /// logged and leaves what is known.
    pub(crate) async fn sync_zone(&self, link: &Link, waba_id: &str) {
        match self.graph.waba_timezone(link, waba_id, Some(SYNC_DEADLINE), &Trace::default()).await {
            Ok(Some(id)) => {
                if let Err(error) = self.keep_zone(waba_id, &id).await {
                    tracing::warn!(waba.id = %waba_id, error = %error, "keeping an account's time zone; it is asked for again with the next templates");
                }
            }
            Ok(None) => tracing::debug!(waba.id = %waba_id, "Meta does not say this account's time zone"),
            Err(failure) => {
                tracing::warn!(waba.id = %waba_id, failure = %failure, "reading an account's time zone; the last known one stays");
            }
        }
    }

    async fn keep_zone(&self, waba_id: &str, id: &str) -> Result<(), StoreError> {
        let state = self.directory.snapshot();
        let is_news = |app: &&Arc<App>| app.waba(Mode::Live).as_deref() == Some(waba_id) && app.row.meta_timezone_id.as_deref() != Some(id);
        let apps: Vec<&Arc<App>> = state.applications.values().filter(is_news).collect();
        for app in &apps {
            let told = MetaTimezone { waba_id: waba_id.to_owned(), id: id.to_owned() };
            let change = ApplicationChange { meta_timezone: Some(told), ..Default::default() };
            self.store.update_application(app.row.organization, app.row.key, change, self.clock.now()).await?;
        }
        if apps.is_empty() {
            return Ok(());
        }
        self.reload_directory().await?;
        for app in apps.iter().filter_map(|app| self.directory.application(app.row.key)) {
            match app.zone_advice() {
                Some(advice) => tracing::warn!(application.id = %app.row.app_id, "{advice}; until then its prices' dates begin in UTC"),
                None => {
                    tracing::info!(application.id = %app.row.app_id, zone = app.zone.zone.name(), from = ?app.zone.from, "Meta told the account's time zone");
                }
            }
        }
        Ok(())
    }
}
