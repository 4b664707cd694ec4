//! Shops whose events go somewhere, and attempts at them.

use turnpike_domain::ids::OrganizationId;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EventKind, EventSet};
use turnpike_store::Store;
use turnpike_store::deliveries::{Attempt, DeliveryFilter, DeliveryRecord, Due, Finish, Finished, Lane};
use turnpike_store::endpoints::{Endpoint, EndpointId, NewEndpoint};
use turnpike_store::events::{Intake, Recorded};
use turnpike_store::organizations::Created;
use uuid::Uuid;

use crate::house::{House, START, hash};
use crate::story::{SOON, Shop};

/// When nothing claimed in a test is free by its lease.
pub(crate) const FAR: UnixMs = UnixMs(START.0 + 86_400_000);

pub(crate) fn new_endpoint(shop: Shop, name: &str) -> NewEndpoint {
    NewEndpoint {
        organization: shop.owner,
        application: shop.application,
        id: Uuid::from_u128(name.bytes().fold(u128::from(shop.application.0.unsigned_abs()), |sum, byte| sum * 257 + u128::from(byte))),
        name: name.to_owned(),
        url: format!("https://{name}.example/hook"),
        headers_sealed: Some(b"sealed headers".to_vec()),
        events: EventSet::of_a_new_endpoint(),
        sandbox: false,
        ordered: false,
        send_bearer: true,
        secret_sealed: b"sealed secret".to_vec(),
        bearer_sealed: b"sealed bearer".to_vec(),
        at: START,
    }
}

pub(crate) async fn endpoint(store: &dyn Store, shop: Shop, name: &str) -> Endpoint {
    match store.create_endpoint(new_endpoint(shop, name)).await.expect("answers") {
        Created::New(endpoint) => endpoint,
        Created::Taken(field) => panic!("{field} is taken"),
    }
}

/// A shop with one endpoint.
pub(crate) async fn shop(house: &House, name: &str) -> (Shop, EndpointId) {
    let shop = Shop::open(house, name).await;
    let endpoint = endpoint(&*house.store, shop, "default").await;
    (shop, endpoint.key)
}

/// Records events of a shop that go to these endpoints, in one commit; returns their ids. Each is
/// about a user of its own number.
pub(crate) async fn events(store: &dyn Store, shop: Shop, numbers: std::ops::Range<u64>, at: UnixMs, to: &[EndpointId]) -> Vec<Uuid> {
    let made = numbers
        .map(|number| {
            let mut event = shop.event(EventKind::Messages, number);
            // Two shops' events are not each other's repeats.
            event.identity = hash(&format!("identity of {}", shop.application.0), number);
            event.endpoints = to.to_vec();
            event.at = at;
            event
        })
        .collect();
    let intake = Intake { received_at: at, raw: None, events: made, quarantine: Vec::new() };
    let recorded = store.record(intake).await.expect("recorded");
    let new = |recorded: Recorded| match recorded {
        Recorded::New { id, .. } => id,
        other => panic!("not new: {other:?}"),
    };
    recorded.into_iter().map(new).collect()
}

pub(crate) async fn some(store: &dyn Store, shop: Shop, numbers: std::ops::Range<u64>, to: EndpointId) -> Vec<Uuid> {
    events(store, shop, numbers, SOON, &[to]).await
}

pub(crate) async fn claim(store: &dyn Store, endpoint: EndpointId, lane: Lane, now: UnixMs) -> Vec<Due> {
    store.claim(endpoint, lane, now, FAR, 1_000).await.expect("claims")
}

pub(crate) fn attempt(at: UnixMs, status: u16) -> Attempt {
    Attempt { at, status: Some(status), latency_ms: 12, fault: None, answer: format!("said {status}") }
}

pub(crate) async fn finish(store: &dyn Store, due: &Due, finish: Finish) {
    let status = if finish == Finish::Delivered { 200 } else { 500 };
    let attempt = (finish != Finish::Back).then(|| attempt(SOON, status));
    store.finish(vec![Finished { key: due.key, endpoint: due.endpoint, attempt, finish }]).await.expect("finishes");
}

/// Everything that a filter names, page by page.
pub(crate) async fn listed(store: &dyn Store, owner: OrganizationId, shop: Shop, filter: DeliveryFilter, page: u32) -> Vec<DeliveryRecord> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let found = store.deliveries(owner, shop.application, filter, before, page).await.expect("lists");
        assert!(found.deliveries.len() <= page as usize);
        all.extend(found.deliveries);
        match found.next {
            Some(next) => before = Some(next),
            None => return all,
        }
    }
}
