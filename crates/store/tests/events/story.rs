//! Shops with endpoints, and what Meta says about their messages.

use turnpike_domain::ids::{ApplicationId, AttemptToken, MessageKey, OrganizationId};
use turnpike_domain::ledger::{LegState, OutcomeKind};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EventKind, Pricing, PricingType, StatusKind};
use turnpike_store::Store;
use turnpike_store::applications::NewApplication;
use turnpike_store::endpoints::EndpointId;
use turnpike_store::events::{Intake, NewEvent, Recorded, StatusEffect, StatusFailure, StatusReport};
use turnpike_store::messages::MessageRecord;
use turnpike_store::organizations::Created;
use uuid::Uuid;

use crate::house::{House, START, admitted, hash, organization, settle, text};

/// When Meta's POSTs come, unless a test says otherwise.
pub(crate) const SOON: UnixMs = UnixMs(START.0 + 2_000);

/// The base fee and Meta's fee that a text holds.
pub(crate) const BASE: Micros = Micros(1_000);
pub(crate) const META: Micros = Micros(3_400);

/// An organization with one application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shop {
    pub(crate) owner: OrganizationId,
    pub(crate) application: ApplicationId,
}

impl Shop {
    pub(crate) async fn open(house: &House, name: &str) -> Shop {
        let store = &*house.store;
        let owner = organization(store, name, Micros(10_000_000)).await;
        let number = name.bytes().fold(11, |sum, byte| sum * 257 + u128::from(byte));
        let new = NewApplication {
            organization: owner,
            id: Uuid::from_u128(number),
            app_id: format!("app-{name}"),
            display_name: name.to_owned(),
            at: START,
        };
        let Created::New(application) = store.create_application(new).await.expect("creates") else { panic!("{name} is taken") };
        Shop { owner, application: application.key }
    }

    /// An endpoint of the shop in this slot, written where the control plane would.
    pub(crate) fn endpoint(self, house: &House, slot: u8) -> EndpointId {
        let database = house.database();
        database
            .execute(
                "INSERT INTO endpoints (organization, application, slot, uuid, name, url, events, sandbox, ordered, send_bearer,
                                        secret_sealed, bearer_sealed, is_active, failures, created_at, updated_at)
                 VALUES (?1, ?2, ?3, randomblob(16), ?4, 'https://shop.example/hook', 0, 0, 0, 0, x'00', x'00', 1, 0, 1, 1)",
                rusqlite::params![self.owner.0, self.application.0, slot, format!("hook {slot}")],
            )
            .expect("an endpoint");
        EndpointId(database.last_insert_rowid())
    }

    /// A message of the shop's in flight.
    pub(crate) async fn send(self, store: &dyn Store, number: u64) -> MessageKey {
        self.send_at(store, number, START).await
    }

    pub(crate) async fn send_at(self, store: &dyn Store, number: u64, at: UnixMs) -> MessageKey {
        let mut new = text(self.owner, number);
        new.application = self.application;
        new.at = at;
        admitted(store, new).await
    }

    /// A message that Meta accepted.
    pub(crate) async fn sent(self, store: &dyn Store, number: u64) -> MessageKey {
        let key = self.send(store, number).await;
        settle(store, self.owner, key, OutcomeKind::Accepted).await;
        key
    }

    /// A status of a message, with its token.
    pub(crate) fn status(self, message: MessageKey, status: StatusKind) -> NewEvent {
        let mut event = self.event(EventKind::MessageStatus, message.0.unsigned_abs() * 16 + u64::from(status.number()));
        event.status = Some(report(message, status));
        event
    }

    /// An event of this kind that is about no message of ours.
    pub(crate) fn event(self, kind: EventKind, number: u64) -> NewEvent {
        NewEvent {
            organization: self.owner,
            application: self.application,
            mode: Mode::Live,
            kind,
            identity: hash("identity", number),
            at: SOON,
            user: Some(hash("recipient", number)),
            aliases: Vec::new(),
            note: None,
            status: None,
            body: format!("sealed body {number}").into_bytes(),
            endpoints: Vec::new(),
            notice: None,
        }
    }

    pub(crate) async fn message(self, store: &dyn Store, key: MessageKey) -> MessageRecord {
        store.message(self.owner, key).await.expect("reads").expect("is there")
    }

    pub(crate) async fn legs(self, store: &dyn Store, key: MessageKey) -> (LegState, LegState) {
        let message = self.message(store, key).await;
        (message.base_leg, message.meta_leg)
    }
}

pub(crate) fn token(key: MessageKey) -> AttemptToken {
    AttemptToken { key, attempt: 1, category: None, has_callback_data: false, salt: [3; 12] }
}

pub(crate) fn report(message: MessageKey, status: StatusKind) -> StatusReport {
    StatusReport {
        token: Some(token(message)),
        wamid: hash("wamid", message.0.unsigned_abs()),
        answer: format!("sealed wamid of {}", message.0).into_bytes(),
        status,
        at: SOON,
        pricing: matches!(status, StatusKind::Sent | StatusKind::Delivered | StatusKind::Read | StatusKind::Played).then(regular),
        failure: (status == StatusKind::Failed).then(|| StatusFailure { code: 131_026, words: b"sealed words".to_vec() }),
        moves_operator_fee: true,
        repriced: None,
    }
}

pub(crate) fn regular() -> Pricing {
    Pricing { kind: Some(PricingType::Regular), billable: Some(true), category: Some("service".to_owned()) }
}

pub(crate) fn free() -> Pricing {
    Pricing { kind: Some(PricingType::FreeCustomerService), billable: Some(false), category: Some("service".to_owned()) }
}

/// One POST with these events.
pub(crate) fn post(events: Vec<NewEvent>) -> Intake {
    Intake { received_at: SOON, raw: Some(b"sealed post".to_vec()), events, quarantine: Vec::new() }
}

pub(crate) async fn record(store: &dyn Store, events: Vec<NewEvent>) -> Vec<Recorded> {
    store.record(post(events)).await.expect("the store answers")
}

/// Records one event that must be new; returns what its status did.
pub(crate) async fn new(store: &dyn Store, event: NewEvent) -> Option<StatusEffect> {
    match record(store, vec![event]).await.pop() {
        Some(Recorded::New { status, .. }) => status,
        other => panic!("not new: {other:?}"),
    }
}
