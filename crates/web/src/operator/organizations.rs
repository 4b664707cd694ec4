//! Organizations: list, make, show, price.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::rates::Markup;
use turnpike_engine::control::ControlFault;
use turnpike_store::ledger::Wallet;
use turnpike_store::organizations::Organization;

use super::Operator;
use super::answer::{Actor, Body, Data, Fault};

/// An organization as operators see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrganizationView {
    id: uuid::Uuid,
    name: String,
    currency: Currency,
    base_fee: Micros,
    factor: String,
    fixed: Micros,
    created_at: String,
}

impl OrganizationView {
    fn of(organization: &Organization) -> OrganizationView {
        OrganizationView {
            id: organization.id,
            name: organization.name.clone(),
            currency: organization.currency,
            base_fee: organization.base_fee,
            factor: Micros(organization.factor_ppm).to_string(),
            fixed: organization.fixed,
            created_at: organization.created_at.to_rfc3339(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrganizationDetail {
    #[serde(flatten)]
    organization: OrganizationView,
    wallets: Vec<Wallet>,
    applications: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewOrganization {
    name: String,
    currency: Option<Currency>,
    base_fee: Option<Micros>,
    /// A factor is a decimal such as `1.05`: millionths, as money is.
    factor: Option<Micros>,
    fixed: Option<Micros>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Prices {
    base_fee: Option<Micros>,
    factor: Option<Micros>,
    fixed: Option<Micros>,
}

pub(super) async fn list(State(operator): State<Operator>) -> Data<Vec<OrganizationView>> {
    let state = operator.engine.directory().snapshot();
    let mut all: Vec<&Arc<Organization>> = state.organizations.values().collect();
    all.sort_by_key(|organization| organization.key);
    Data(all.into_iter().map(|organization| OrganizationView::of(organization)).collect())
}

pub(super) async fn create(
    State(operator): State<Operator>,
    actor: Actor,
    Body(new): Body<NewOrganization>,
) -> Result<Data<OrganizationView>, Fault> {
    let usual = Markup::default();
    let markup = Markup {
        base_fee: new.base_fee.unwrap_or(usual.base_fee),
        factor_ppm: new.factor.map_or(usual.factor_ppm, |factor| factor.0),
        fixed: new.fixed.unwrap_or(usual.fixed),
    };
    let made = operator.engine.create_organization(&new.name, new.currency.unwrap_or(Currency::USD), markup).await?;
    tracing::info!(actor = actor.name(), organization.id = %made.id, "made an organization");
    Ok(Data(OrganizationView::of(&made)))
}

pub(super) async fn show(State(operator): State<Operator>, Path(org): Path<String>) -> Result<Data<OrganizationDetail>, Fault> {
    let organization = operator.organization(&org)?;
    let wallets = operator.engine.store().wallets(organization.key).await?;
    let state = operator.engine.directory().snapshot();
    let applications = state.applications.values().filter(|app| app.row.organization == organization.key).count();
    Ok(Data(OrganizationDetail { organization: OrganizationView::of(&organization), wallets, applications }))
}

pub(super) async fn set_prices(
    State(operator): State<Operator>,
    actor: Actor,
    Path(org): Path<String>,
    Body(prices): Body<Prices>,
) -> Result<Data<OrganizationView>, Fault> {
    let organization = operator.organization(&org)?;
    let factor = prices.factor.map(|factor| factor.0);
    let changed = operator.engine.set_prices(&organization, prices.base_fee, factor, prices.fixed).await?;
    tracing::info!(actor = actor.name(), organization.id = %organization.id, "set an organization's prices");
    Ok(Data(OrganizationView::of(&changed)))
}

/// In a path, `-` stands for "the only one there is".
const THE_ONLY_ONE: &str = "-";

impl Operator {
    /// The organization that a path names.
    pub(super) fn organization(&self, named: &str) -> Result<Arc<Organization>, ControlFault> {
        self.engine.organization((named != THE_ONLY_ONE).then_some(named))
    }

    /// The organization that a query or body names.
    pub(super) fn organization_asked(&self, named: Option<&str>) -> Result<Arc<Organization>, ControlFault> {
        self.engine.organization(named)
    }
}
