//! Organizations: made, found, priced.

use std::sync::Arc;

use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::rates::Markup;
use turnpike_domain::refusal::FieldFault;
use turnpike_store::organizations::{Created, NewOrganization, Organization};
use uuid::Uuid;

use super::ControlFault;
use crate::Engine;

/// Characters of an organization's or application's name.
pub const NAME_MAX: usize = 100;

impl Engine {
    /// Makes an organization with its wallets, empty.
    ///
    /// # Errors
    /// Fields, or `name` taken.
    pub async fn create_organization(&self, name: &str, currency: Currency, markup: Markup) -> Result<Arc<Organization>, ControlFault> {
        let mut faults = markup.faults("");
        faults.extend(name_fault("name", name));
        if self.rates.schedule(currency, &turnpike_domain::rates::Zone::utc()).is_none() {
            faults.push(FieldFault::new("currency", "must be a currency with a rate card; import one first (turnpike rates import)"));
        }
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let at = self.clock.now();
        let new = NewOrganization {
            id: self.uuid(at),
            name: name.to_owned(),
            currency,
            base_fee: markup.base_fee,
            factor_ppm: markup.factor_ppm,
            fixed: markup.fixed,
            at,
        };
        match self.store.create_organization(new).await? {
            Created::New(organization) => {
                self.reload_directory().await?;
                Ok(Arc::new(organization))
            }
            Created::Taken(field) => Err(ControlFault::Taken(field)),
        }
    }

    /// The organization of that id or name; without one, the only one there is.
    ///
    /// # Errors
    /// Not found, or several where none was named.
    pub fn organization(&self, named: Option<&str>) -> Result<Arc<Organization>, ControlFault> {
        let state = self.directory.snapshot();
        let Some(named) = named else {
            let mut all = state.organizations.values();
            return match (all.next(), all.next()) {
                (Some(only), None) => Ok(Arc::clone(only)),
                (None, _) => Err(ControlFault::rule("there is no organization yet; make one with: turnpike org create NAME")),
                (Some(_), Some(_)) => {
                    Err(ControlFault::field("org", "must be given, since there are several organizations (--org NAME or id)"))
                }
            };
        };
        let id = Uuid::try_parse(named).ok();
        let found = state.organizations.values().find(|organization| Some(organization.id) == id || organization.name == named);
        found.cloned().ok_or(ControlFault::NotFound("organization"))
    }

    /// Sets what an organization pays from now on; `None` keeps a figure.
    ///
    /// # Errors
    /// Fields, not found.
    pub async fn set_prices(
        &self,
        organization: &Organization,
        base_fee: Option<Micros>,
        factor_ppm: Option<i64>,
        fixed: Option<Micros>,
    ) -> Result<Organization, ControlFault> {
        let markup = Markup {
            base_fee: base_fee.unwrap_or(organization.base_fee),
            factor_ppm: factor_ppm.unwrap_or(organization.factor_ppm),
            fixed: fixed.unwrap_or(organization.fixed),
        };
        let faults = markup.faults("");
        if !faults.is_empty() {
            return Err(ControlFault::Fields(faults));
        }
        let changed = self.store.set_prices(organization.key, markup.base_fee, markup.factor_ppm, markup.fixed).await?;
        self.reload_directory().await?;
        changed.ok_or(ControlFault::NotFound("organization"))
    }
}

/// What is wrong with a name, if anything.
pub(super) fn name_fault(path: &str, name: &str) -> Option<FieldFault> {
    let length = name.chars().count();
    let problem = if name.trim().is_empty() {
        "must not be empty".to_owned()
    } else if length > NAME_MAX {
        format!("must be at most {NAME_MAX} characters ({length} given)")
    } else if name.chars().any(char::is_control) {
        "must not hold control characters".to_owned()
    } else {
        return None;
    };
    Some(FieldFault::new(path, problem))
}
