//! Deliveries: event × endpoint, until the endpoint took it or the schedule is over.
//!
//! A delivery's key is its event's key × 16 + its endpoint's slot, so it is found from either
//! without an index. Only what is pending stands in an index.

use serde::Serialize;
use turnpike_domain::ids::{ApplicationId, MessageId, OrganizationId};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EventKind, EventSet};
use uuid::Uuid;

use crate::Answer;
use crate::endpoints::EndpointId;
use crate::events::EventKey;
use crate::messages::Hash16;

/// A delivery's place: its event's key × 16 + its endpoint's slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DeliveryKey(pub i64);

/// First attempts and retries wait apart, so that neither delays the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Lane {
    /// Never tried.
    First = 0,
    /// Tried, or asked for again.
    Retry = 1,
}

/// Where a delivery stands. The number is what the database keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum DeliveryState {
    /// To be tried, or to be tried again.
    Pending = 0,
    /// The endpoint answered 2xx.
    Delivered = 1,
    /// The schedule is over: a dead letter.
    Dead = 2,
    /// Given up by its owner: dropped with the backlog.
    Dropped = 3,
}

/// What waits for one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    /// The endpoint.
    #[serde(skip)]
    pub endpoint: EndpointId,
    /// Deliveries never tried.
    pub first: u64,
    /// Deliveries waiting for another try.
    pub retries: u64,
    /// When the earliest of these is due.
    pub next_retry_at: Option<UnixMs>,
    /// Since when the one that waits longest could have been tried; in the future where all are to
    /// be tried later.
    pub due_since: UnixMs,
}

/// When something of an endpoint is to be tried next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextDue {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Whether deliveries wait that were never tried.
    pub has_first: bool,
    /// When the earliest of those that wait for another try is due.
    pub retry_at: Option<UnixMs>,
}

/// A delivery whose first attempt failed lately and that waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// The delivery.
    pub key: DeliveryKey,
    /// The user that its event is about.
    pub user: Hash16,
    /// When its first attempt ended.
    pub failed_at: UnixMs,
}

/// How long a backlog may be, and how old (reliability §c4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogBounds {
    /// Deliveries of one organization that may wait.
    pub most: u64,
    /// What was due before then waits too long.
    pub due_after: UnixMs,
    /// An owner who was told after this is not told again yet.
    pub told_before: UnixMs,
}

/// What was given up of a backlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Because more waited than may.
    pub many: u64,
    /// Because it had waited too long.
    pub old: u64,
}

/// What was given up of an endpoint's backlog since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its owner.
    pub organization: OrganizationId,
    /// How many, and why.
    pub given_up: GivenUp,
    /// When the last of them were.
    pub last_at: UnixMs,
    /// How many of them no notice tells of yet.
    pub untold: u64,
    /// When the last notice was left.
    pub told_at: Option<UnixMs>,
}

/// A delivery that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its key.
    pub key: DeliveryKey,
    /// Its event.
    pub event: EventKey,
    /// The event's id; `webhook-id` is made of it.
    pub event_id: Uuid,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// Owner.
    pub organization: OrganizationId,
    /// Its application.
    pub application: ApplicationId,
    /// Live or sandbox.
    pub mode: Mode,
    /// What it is.
    pub kind: EventKind,
    /// The message of ours that it is about.
    pub message: Option<MessageId>,
    /// The user that it is about.
    pub user: Option<Hash16>,
    /// When the event was recorded.
    pub at: UnixMs,
    /// How often it was tried since it was made or last asked for again.
    pub attempts: u16,
    /// The bytes to post, sealed; `None` where they are kept no longer.
    pub body: Option<Vec<u8>>,
}

/// One try, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When it began.
    pub at: UnixMs,
    /// What the endpoint answered; `None` where it did not.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub latency_ms: u32,
    /// Why there was no answer, in a few words: `timeout`, `connection refused`, `blocked address` …
    pub fault: Option<String>,
    /// The first bytes of the answer.
    pub answer: String,
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The endpoint took it.
    Delivered,
    /// It is tried again then.
    Retry(UnixMs),
    /// The schedule is over.
    Dead,
    /// It was not tried after all (the endpoint was switched off in between): it waits as before.
    Back,
}

/// An attempt to record.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Which delivery.
    pub key: DeliveryKey,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// The try; `None` with [`Finish::Back`].
    pub attempt: Option<Attempt>,
    /// What it came to.
    pub finish: Finish,
}

/// A delivery, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryRecord {
    /// Its key.
    #[serde(skip)]
    pub key: DeliveryKey,
    /// The event's id.
    pub event_id: Uuid,
    /// Its endpoint's key.
    #[serde(skip)]
    pub endpoint: EndpointId,
    /// Its application.
    #[serde(skip)]
    pub application: ApplicationId,
    /// What it is; `None` where what is stored of it cannot be read.
    pub kind: Option<EventKind>,
    /// Live or sandbox; `None` likewise.
    pub mode: Option<Mode>,
    /// Where it stands.
    pub state: DeliveryState,
    /// When the event was recorded.
    pub at: UnixMs,
    /// When it is tried next.
    pub next_at: Option<UnixMs>,
    /// The message of ours that it is about.
    pub message: Option<MessageId>,
    /// How often it was tried, in all.
    pub tries: u16,
    /// The tries, oldest first; only where one delivery is asked for.
    pub attempts: Vec<Attempt>,
}

/// Deliveries, newest first, and whether there may be more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryPage {
    /// What was found.
    pub deliveries: Vec<DeliveryRecord>,
    /// Where to go on; `None` at the end. A page that is not full has it too where the store stopped
    /// looking, so that one call never reads for more than a second or two.
    pub next: Option<DeliveryKey>,
}

/// Which deliveries a list shows or a replay takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only this endpoint's.
    pub endpoint: Option<EndpointId>,
    /// Only in this state.
    pub state: Option<DeliveryState>,
    /// Only of these kinds.
    pub kinds: Option<EventSet>,
    /// Only of events recorded from then on.
    pub from: Option<UnixMs>,
    /// Only of events recorded before then.
    pub until: Option<UnixMs>,
}

/// Reads and writes of deliveries.
pub trait Deliveries {
    /// What waits, per endpoint that has something waiting: of one organization, or of all. It counts,
    /// so it takes as long as the backlogs are.
    fn backlogs(&self, organization: Option<OrganizationId>) -> Answer<'_, Vec<Backlog>>;

    /// When something is to be tried next, per endpoint that has something waiting. It counts nothing.
    fn next_due(&self) -> Answer<'_, Vec<NextDue>>;

    /// When the earliest retry of an endpoint that is due after `after` is due.
    fn next_retry(&self, endpoint: EndpointId, after: UnixMs) -> Answer<'_, Option<UnixMs>>;

    /// What of an endpoint failed for the first time after `since` and waits for another try, with
    /// the user whose line it may hold; what is about no user is left out.
    fn stalled(&self, endpoint: EndpointId, since: UnixMs) -> Answer<'_, Vec<Stalled>>;

    /// Makes dead letters of what an organization's backlog has too much: what waits too long, and
    /// the oldest of what is beyond the number. Leaves a notice for each endpoint whose owner is to
    /// hear of it. By slices, each a commit of its own; nothing of others is touched.
    fn trim_backlog(&self, organization: OrganizationId, bounds: BacklogBounds, at: UnixMs) -> Answer<'_, GivenUp>;

    /// What was given up of backlogs, per endpoint that had too much: of one organization, or of all.
    fn overflows(&self, organization: Option<OrganizationId>) -> Answer<'_, Vec<Overflow>>;

    /// Takes up to `limit` deliveries of an endpoint and lane that are due at `now`, oldest first.
    /// What was claimed is not claimed again until it was finished, or `lease_until` is over.
    fn claim(&self, endpoint: EndpointId, lane: Lane, now: UnixMs, lease_until: UnixMs, limit: u32) -> Answer<'_, Vec<Due>>;

    /// Records attempts and what they came to. A delivery that was deleted meanwhile is passed over.
    fn finish(&self, batch: Vec<Finished>) -> Answer<'_, ()>;

    /// Deliveries of an application, newest first, before `before`, without their attempts.
    fn deliveries(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        filter: DeliveryFilter,
        before: Option<DeliveryKey>,
        limit: u32,
    ) -> Answer<'_, DeliveryPage>;

    /// One delivery with its attempts.
    fn delivery(&self, organization: OrganizationId, event: Uuid, endpoint: EndpointId) -> Answer<'_, Option<DeliveryRecord>>;

    /// Makes one pending again, due at once, with a whole schedule; false where there is none, or
    /// its event's bytes are kept no longer.
    fn replay(&self, organization: OrganizationId, event: Uuid, endpoint: EndpointId, now: UnixMs) -> Answer<'_, bool>;

    /// Makes what the filter names pending again, also where the endpoint never had a delivery of
    /// the event; `filter.endpoint` must be given. Returns how many.
    fn replay_range(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        filter: DeliveryFilter,
        now: UnixMs,
    ) -> Answer<'_, u64>;

    /// Gives up what waits for an endpoint ([`DeliveryState::Dropped`]). Returns how many.
    fn drop_backlog(&self, organization: OrganizationId, endpoint: EndpointId) -> Answer<'_, u64>;
}
