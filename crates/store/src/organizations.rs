//! Organizations: the paying accounts, and what they pay.

use serde::Serialize;
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::time::UnixMs;
use uuid::Uuid;

use crate::Answer;

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// The store's key of it.
    #[serde(skip)]
    pub key: OrganizationId,
    /// Its id towards people.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The wallet's currency; a rate card must exist for it.
    pub currency: Currency,
    /// What we take per message.
    pub base_fee: Micros,
    /// Meta's list price is multiplied by this, in millionths (1_000_000 = unchanged).
    pub factor_ppm: i64,
    /// Added to each Meta fee after the factor.
    pub fixed: Micros,
    /// When it was made.
    pub created_at: UnixMs,
}

/// What a new organization needs.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// Its id towards people.
    pub id: Uuid,
    /// Its name; unique.
    pub name: String,
    /// The wallet's currency.
    pub currency: Currency,
    /// What we take per message.
    pub base_fee: Micros,
    /// See [`Organization::factor_ppm`].
    pub factor_ppm: i64,
    /// See [`Organization::fixed`].
    pub fixed: Micros,
    /// Now.
    pub at: UnixMs,
}

/// Answers of a write that may meet its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created<T> {
    /// Made, committed.
    New(T),
    /// The name, or another unique field, is taken. Says which.
    Taken(&'static str),
}

/// Reads and writes of organizations.
pub trait Organizations {
    /// Makes an organization with both its wallets (live and play), empty.
    fn create_organization(&self, new: NewOrganization) -> Answer<'_, Created<Organization>>;
    /// All of them, oldest first.
    fn organizations(&self) -> Answer<'_, Vec<Organization>>;
    /// Sets what an organization pays from now on; messages already held keep their price.
    fn set_prices(
        &self,
        organization: OrganizationId,
        base_fee: Micros,
        factor_ppm: i64,
        fixed: Micros,
    ) -> Answer<'_, Option<Organization>>;
}
