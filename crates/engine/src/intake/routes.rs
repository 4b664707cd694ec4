//! Whom an item concerns: number and account to applications.
//!
//! A number belongs to one application, and its account must be that application's too. What names
//! no number is about the account, and goes to each application of it: an account can be shared by
//! two organizations, and then each gets its own copy. Whatever does not fit goes into quarantine
//! rather than to somebody by guess.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use hashbrown::HashMap;
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::send::Mode;
use turnpike_domain::webhook::Item;
use turnpike_store::events::QuarantineReason;

use super::Signer;
use crate::directory::{App, Directory, SANDBOX, State};

/// An application that an item goes to.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) app: Arc<App>,
    /// Live, or sandbox where the built-in simulator says it.
    pub(super) mode: Mode,
}

/// The applications by Meta's names, as of one moment of the directory.
pub(super) struct Routes {
    directory: Arc<State>,
    by_number: HashMap<String, Arc<App>>,
    by_account: HashMap<String, Vec<Arc<App>>>,
}

/// The newest [`Routes`].
#[derive(Default)]
pub(super) struct RouteBook(ArcSwapOption<Routes>);

impl RouteBook {
    /// The routes of the directory as it is now; made anew only after somebody wrote to it.
    pub(super) fn of(&self, directory: &Directory) -> Arc<Routes> {
        let now = directory.snapshot();
        if let Some(routes) = self.0.load_full().filter(|routes| Arc::ptr_eq(&routes.directory, &now)) {
            return routes;
        }
        let routes = Arc::new(Routes::of(now));
        self.0.store(Some(Arc::clone(&routes)));
        routes
    }
}

/// Fields that are about the chats of one number, which Meta names in `metadata` (meta-cloud-api §5).
/// Where that cannot be read, nobody is guessed by the account (contract §8).
const OF_A_NUMBER: [&str; 8] =
    ["messages", "standby", "message_echoes", "smb_message_echoes", "history", "smb_app_state_sync", "calls", "user_preferences"];

impl Routes {
    fn of(directory: Arc<State>) -> Routes {
        let (mut by_number, mut by_account) = (HashMap::new(), HashMap::<String, Vec<Arc<App>>>::new());
        for app in directory.applications.values() {
            if let Some(number) = &app.row.phone_number_id {
                by_number.insert(number.clone(), Arc::clone(app));
            }
            if let Some(account) = &app.row.waba_id {
                by_account.entry(account.clone()).or_default().push(Arc::clone(app));
            }
        }
        for apps in by_account.values_mut() {
            apps.sort_unstable_by_key(|app| app.row.key);
        }
        Routes { directory, by_number, by_account }
    }

    /// Whom `item` goes to: at least one application.
    ///
    /// # Errors
    /// Why it goes to nobody.
    pub(super) fn destinations(&self, signer: &Signer, item: &Item<'_>) -> Result<Vec<Destination>, QuarantineReason> {
        // A partner's event tells of its clients: it stays with the operator, who finds it in the
        // quarantine (contract §7).
        if item.is_partner {
            return Err(QuarantineReason::UnknownNumber);
        }
        // The number alone tells whose chat it is: an account has many, of several applications.
        if item.phone_number_id.is_none() && OF_A_NUMBER.contains(&&*item.field) {
            return Err(QuarantineReason::Unreadable);
        }
        let account = item.waba_id.as_deref();
        match item.phone_number_id.as_deref() {
            Some(number) if signer.is_simulator() => self.of_sandbox(number, account).map(|destination| vec![destination]),
            Some(number) => self.of_number(signer, number, account).map(|destination| vec![destination]),
            None if signer.is_simulator() => {
                let account = account.ok_or(QuarantineReason::UnknownNumber)?;
                self.of_sandbox(account, Some(account)).map(|destination| vec![destination])
            }
            None => self.of_account(signer, account.ok_or(QuarantineReason::UnknownNumber)?, item.display_phone_number.as_deref()),
        }
    }

    /// Whose number or account an item is about, whoever signed it; `None` where it is nobody's, or of
    /// several organizations.
    pub(super) fn owner(&self, item: &Item<'_>) -> Option<OrganizationId> {
        if let Some(number) = item.phone_number_id.as_deref() {
            let of_sandbox =
                || Some(self.directory.applications.get(self.directory.by_app_id.get(number.strip_prefix(SANDBOX)?)?)?.row.organization);
            return self.by_number.get(number).map(|app| app.row.organization).or_else(of_sandbox);
        }
        let apps: Vec<&Arc<App>> = self.by_account.get(item.waba_id.as_deref()?)?.iter().collect();
        apps.first().map(|app| app.row.organization).filter(|_| are_of_one_organization(&apps))
    }

    fn of_number(&self, signer: &Signer, number: &str, account: Option<&str>) -> Result<Destination, QuarantineReason> {
        let Some(app) = self.by_number.get(number) else {
            // A live app that speaks of a sandbox is lying, or is not who it seems.
            return Err(if number.starts_with(SANDBOX) { QuarantineReason::Mismatch } else { QuarantineReason::UnknownNumber });
        };
        let is_its_account = match (&app.row.waba_id, account) {
            (Some(its), Some(named)) => its == named,
            (None, _) => true,
            (Some(_), None) => false,
        };
        if !is_its_account || !signer.speaks_for(&app.row) {
            return Err(QuarantineReason::Mismatch);
        }
        Ok(Destination { app: Arc::clone(app), mode: Mode::Live })
    }

    fn of_sandbox(&self, name: &str, account: Option<&str>) -> Result<Destination, QuarantineReason> {
        // The simulator's secret is good for its own ids alone, whatever else it names.
        let app_id = name.strip_prefix(SANDBOX).ok_or(QuarantineReason::Mismatch)?;
        if account != Some(name) {
            return Err(QuarantineReason::Mismatch);
        }
        let key = self.directory.by_app_id.get(app_id).ok_or(QuarantineReason::UnknownNumber)?;
        let app = self.directory.applications.get(key).ok_or(QuarantineReason::UnknownNumber)?;
        Ok(Destination { app: Arc::clone(app), mode: Mode::Sandbox })
    }

    /// The applications of an account. Where the item shows a number it is about that number: its
    /// application alone, or those of the account that might have it.
    fn of_account(&self, signer: &Signer, account: &str, shown: Option<&str>) -> Result<Vec<Destination>, QuarantineReason> {
        let all = self.by_account.get(account).map(Vec::as_slice).unwrap_or_default();
        if all.is_empty() {
            return Err(if account.starts_with(SANDBOX) { QuarantineReason::Mismatch } else { QuarantineReason::UnknownNumber });
        }
        let mut apps: Vec<&Arc<App>> = all.iter().filter(|app| signer.speaks_for(&app.row)).collect();
        if apps.is_empty() {
            return Err(QuarantineReason::Mismatch);
        }
        if let Some(digits) = shown.map(digits_of) {
            let its: Vec<&Arc<App>> =
                apps.iter().copied().filter(|app| app.row.phone_number.as_deref().map(digits_of).as_ref() == Some(&digits)).collect();
            if its.is_empty() {
                apps.retain(|app| app.row.phone_number.is_none());
                if !are_of_one_organization(&apps) {
                    return Err(QuarantineReason::Mismatch);
                }
            } else {
                apps = its;
            }
        }
        if apps.is_empty() {
            return Err(QuarantineReason::UnknownNumber);
        }
        Ok(apps.into_iter().map(|app| Destination { app: Arc::clone(app), mode: Mode::Live }).collect())
    }
}

fn are_of_one_organization(apps: &[&Arc<App>]) -> bool {
    let first: Option<OrganizationId> = apps.first().map(|app| app.row.organization);
    apps.iter().all(|app| Some(app.row.organization) == first)
}

/// Meta shows numbers as people write them: `+1 555-078-3881`.
fn digits_of(shown: &str) -> String {
    shown.chars().filter(char::is_ascii_digit).collect()
}
