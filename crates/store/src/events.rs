//! Events: what Meta reported, recorded once, with everything that follows from it in one commit.
//!
//! An event is one message, status or change. Recording it notes the user's window, moves the
//! message's state and money, and makes a delivery for each endpoint that wants it, or does none of
//! these: a repeat of what is known changes nothing.

use serde::Serialize;
use turnpike_domain::ids::{ApplicationId, AttemptToken, MessageId, MessageKey, OrganizationId};
use turnpike_domain::ledger::LegState;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{UnixMs, UtcDay};
use turnpike_domain::webhook::{EventKind, Pricing, StatusKind};
use uuid::Uuid;

use crate::Answer;
use crate::endpoints::EndpointId;
use crate::messages::Hash16;
use crate::users::UserNote;

/// An event's place in the order of recording: monotonic, never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EventKey(pub i64);

/// What one POST of Meta's (or one event of our own) brings.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    /// Now.
    pub received_at: UnixMs,
    /// The POST as it came, sealed, where raw webhooks are kept.
    pub raw: Option<Vec<u8>>,
    /// What was read and routed.
    pub events: Vec<NewEvent>,
    /// What was signed and could not be read or routed.
    pub quarantine: Vec<Quarantine>,
}

/// One event to record.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Owner.
    pub organization: OrganizationId,
    /// The application whose number it is about.
    pub application: ApplicationId,
    /// Live or sandbox.
    pub mode: Mode,
    /// What it is.
    pub kind: EventKind,
    /// Keyed hash of what makes it the same event when Meta repeats it.
    pub identity: Hash16,
    /// Meta's own timestamp of it; `received_at` where it has none.
    pub at: UnixMs,
    /// Keyed hash of the user, where it is about one: erasure, and order per user.
    pub user: Option<Hash16>,
    /// The same user under further names (a user id beside the number): the note counts for each,
    /// and erasure finds the event by any.
    pub aliases: Vec<Hash16>,
    /// What it says of the user's window or wishes.
    pub note: Option<UserNote>,
    /// What it says of a message of ours.
    pub status: Option<StatusReport>,
    /// The delivery's bytes, sealed.
    pub body: Vec<u8>,
    /// The endpoints that want it, of this application.
    pub endpoints: Vec<EndpointId>,
    /// The notice that it tells of, which is then done ([`Events::notices`]).
    pub notice: Option<i64>,
}

/// A status of a message of ours.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// Our token, where Meta echoed one. Only with it money moves (contract §8).
    pub token: Option<AttemptToken>,
    /// Keyed hash of the wamid.
    pub wamid: Hash16,
    /// The wamid as an answer, sealed: kept where this status is the first to tell it.
    pub answer: Vec<u8>,
    /// Which status.
    pub status: StatusKind,
    /// Meta's timestamp.
    pub at: UnixMs,
    /// Its price, where the status has one.
    pub pricing: Option<Pricing>,
    /// Why it failed.
    pub failure: Option<StatusFailure>,
    /// False where it was signed with a customer's own app secret: then it never moves a Meta fee
    /// that the operator is billed (contract §8).
    pub moves_operator_fee: bool,
    /// Meta's fee by the category that the price names, by the card and markup pinned at the hold;
    /// `None` where it is the category that the hold assumed. Above the hold the rest is a
    /// `late_capture`, below it the rest goes back.
    pub repriced: Option<turnpike_domain::money::Micros>,
}

/// Why Meta could not deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct StatusFailure {
    /// Meta's code.
    pub code: i64,
    /// Meta's title and details, sealed: its texts may name the user, so they go with an erasure (contract
    /// §10). Empty where they are gone.
    #[serde(default, with = "hexadecimal", skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<u8>,
}

/// Bytes as text, in the JSON that rows hold.
mod hexadecimal {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A status as the timeline shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusRecord {
    /// Which.
    pub status: StatusKind,
    /// Meta's timestamp.
    pub at: UnixMs,
    /// When it reached us.
    pub received_at: UnixMs,
    /// Its price, where it had one.
    pub pricing: Option<Pricing>,
    /// Why it failed.
    pub failure: Option<StatusFailure>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Committed.
    New {
        /// Its key.
        key: EventKey,
        /// Its id towards people; `webhook-id` is made of it.
        id: Uuid,
        /// What a status did.
        status: Option<StatusEffect>,
    },
    /// It is known: no second event. Where a repeat says more of its message than was known (our
    /// token, a price), that is noted, and settles what it can.
    Duplicate,
    /// The organization has no such application any more: nothing changed.
    NotFound,
    /// Rows that it is about cannot be read: nothing of it was done, and the rest went on.
    Broken {
        /// Which row, and what of it.
        fault: String,
    },
}

/// What a status did to its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusEffect {
    /// The message; `None` where the status is about a message that we did not send.
    pub message: Option<(MessageKey, MessageId)>,
    /// Whether an unknown outcome was decided by it.
    pub resolved: bool,
    /// Where the legs stand after it.
    pub legs: Option<(LegState, LegState)>,
}

/// Something signed that could not be read, or belongs to nobody here.
#[derive(Clone, Debug)]
pub struct Quarantine {
    /// Why it is here.
    pub reason: QuarantineReason,
    /// The app whose secret signed it.
    pub meta_app_id: Option<String>,
    /// WABA id, where it was readable.
    pub waba_id: Option<String>,
    /// Number id, where it was readable.
    pub phone_number_id: Option<String>,
    /// Meta's field, where it was readable.
    pub field: Option<String>,
    /// Keyed hash of the bytes: Meta repeats, and one copy is enough.
    pub identity: Hash16,
    /// A whole payload of the part that is quarantined (readable again by intake), sealed.
    pub body: Vec<u8>,
}

/// Why something is quarantined. The number is what the database keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum QuarantineReason {
    /// Not JSON, or not a webhook of Meta's (WH_004).
    Unreadable = 1,
    /// No application has this number or account.
    UnknownNumber = 2,
    /// Number and account belong to different organizations, or the signing app does not fit.
    Mismatch = 3,
    /// It can be read and has an owner, and something of ours stands in the way: broken rows, or a
    /// bug. It is tried [`POISON_TRIES`] times (reliability §c3).
    Poison = 4,
}

/// How often a part that something of ours stands in the way of is tried in all (reliability §c3).
pub const POISON_TRIES: u16 = 5;

/// How long after the first, second, third and fourth try it is tried again: what heals by itself
/// heals within minutes, and within three hours somebody has been called.
pub const POISON_AGAIN_AFTER_MS: [i64; POISON_TRIES as usize - 1] = [60_000, 300_000, 1_800_000, 7_200_000];

/// What became of a part that something of ours stands in the way of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poisoned {
    /// Its number in quarantine.
    pub id: i64,
    /// How often it was tried so far.
    pub tries: u16,
    /// Whether that was the last time: from now on it waits for a person.
    pub is_given_up: bool,
}

/// A quarantined payload, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineRecord {
    /// Its number.
    pub id: i64,
    /// When it came first.
    pub at: UnixMs,
    /// Why it is here.
    pub reason: QuarantineReason,
    /// The app whose secret signed it.
    pub meta_app_id: Option<String>,
    /// WABA id, where it was readable.
    pub waba_id: Option<String>,
    /// Number id, where it was readable.
    pub phone_number_id: Option<String>,
    /// Meta's field, where it was readable.
    pub field: Option<String>,
    /// When it was replayed, if it was.
    pub replayed_at: Option<UnixMs>,
    /// How often it was tried; 0 where trying again cannot help.
    pub tries: u16,
    /// When it is tried again by itself; `None` where a person must.
    pub next_try_at: Option<UnixMs>,
    /// What stood in the way at the last try, for [`QuarantineReason::Poison`].
    pub fault: Option<String>,
    /// The payload, sealed.
    #[serde(skip)]
    pub body: Vec<u8>,
}

/// A webhook of Meta's that is kept as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeptWebhook {
    /// A payload in quarantine, by its number.
    Quarantined(i64),
    /// A POST, by its day and its number there.
    Raw(UtcDay, i64),
}

/// An event, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// Its key.
    #[serde(skip)]
    pub key: EventKey,
    /// Its id towards people.
    pub id: Uuid,
    /// Its application.
    #[serde(skip)]
    pub application: ApplicationId,
    /// Live or sandbox.
    pub mode: Mode,
    /// What it is.
    pub kind: EventKind,
    /// When it was recorded.
    pub at: UnixMs,
    /// The message of ours that it is about.
    pub message: Option<MessageId>,
    /// The delivery's bytes, sealed, while kept.
    #[serde(skip)]
    pub body: Option<Vec<u8>>,
}

/// Something that happened and whose event is still to be made: an outbox row, written in the
/// commit that made it happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: UnixMs,
    /// Whose.
    pub organization: OrganizationId,
    /// What.
    pub what: NoticeKind,
}

/// What a [`Notice`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// An unknown outcome was decided, by whatever evidence (`message_resolved`).
    MessageResolved(MessageKey),
    /// An endpoint was disabled (`endpoint_disabled`), with the reason.
    EndpointDisabled(EndpointId, String),
    /// An endpoint has failed for a day (`endpoint_failing`).
    EndpointFailing(EndpointId),
    /// What waited for an endpoint was too much or too old (`backlog_overflow`): so much became dead
    /// letters since its owner was last told.
    BacklogOverflow(EndpointId, crate::deliveries::GivenUp),
    /// Available fell below the organization's alert (`balance_low`).
    BalanceLow {
        /// Live or play wallet.
        mode: Mode,
        /// What was available then.
        available: turnpike_domain::money::Micros,
    },
}

/// A hold that no status decided in time, or a delivery without a price (its fee is held, or was
/// given back before the delivery was known): due for the sweeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Owner.
    pub organization: OrganizationId,
    /// Which message.
    pub message: MessageKey,
    /// Whether a delivery was reported (then Meta's fee is taken as it was held), or not (released).
    pub delivered: bool,
}

/// An unknown outcome that evidence has not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenUnknown {
    /// Owner.
    pub organization: OrganizationId,
    /// Its application.
    pub application: ApplicationId,
    /// Which message.
    pub message: MessageKey,
    /// Admission.
    pub admitted_at: UnixMs,
    /// Whether statuses of this number arrived for messages admitted before it and for messages
    /// admitted after it.
    pub neighbours_heard: bool,
}

/// What [`Events::contents`] gives: owner and sealed content of each message, in order.
pub type Contents = Vec<Option<(OrganizationId, Vec<u8>)>>;

/// When intake last worked, and spans (from, until) in which it did not, in order.
pub type IntakeGaps = (Option<UnixMs>, Vec<(UnixMs, UnixMs)>);

/// Most rows of one page of [`Events::open_unknowns`], whatever is asked for.
pub const OPEN_UNKNOWNS_MAX: u32 = 1_000;

/// Reads and writes of events.
pub trait Events {
    /// Records what one POST brings, in one commit, in order; the answers are `events`' in order.
    /// The store groups intakes of several callers into one commit by itself.
    fn record(&self, intake: Intake) -> Answer<'_, Vec<Recorded>>;

    /// The sealed content (recipient, callback data) of messages, in order, while kept: intake
    /// restores the caller's callback data of those whose token says that there is one.
    fn contents(&self, messages: Vec<MessageKey>) -> Answer<'_, Contents>;

    /// The price pinned at a message's hold, where the message is this organization's.
    fn pinned(&self, organization: OrganizationId, message: MessageKey) -> Answer<'_, Option<(crate::messages::PinnedPrice, UnixMs)>>;

    /// One event of an organization.
    fn event(&self, organization: OrganizationId, id: Uuid) -> Answer<'_, Option<EventRecord>>;

    /// Events of an application after `after` (or the newest place where `None`), oldest first, at
    /// most `limit`; and the place to go on from.
    fn events_after(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        after: Option<EventKey>,
        limit: u32,
    ) -> Answer<'_, (Vec<EventRecord>, EventKey)>;

    /// The key that an event's id names; `None` where the id was never given out.
    fn event_key(&self, id: Uuid) -> Option<EventKey>;

    /// What Meta reported of a message, in the order in which statuses follow each other.
    fn statuses(&self, organization: OrganizationId, message: MessageKey) -> Answer<'_, Vec<StatusRecord>>;

    /// Notices whose event is still to be made, oldest first.
    fn notices(&self, limit: u32) -> Answer<'_, Vec<Notice>>;

    /// Takes a notice off without an event (nobody can be told).
    fn drop_notice(&self, id: i64) -> Answer<'_, ()>;

    /// Quarantined payloads, newest first, before `before`.
    fn quarantined(&self, before: Option<i64>, limit: u32) -> Answer<'_, Vec<QuarantineRecord>>;

    /// Marks a quarantined payload as replayed; false where there is none of that number.
    fn quarantine_replayed(&self, id: i64, at: UnixMs) -> Answer<'_, bool>;

    /// Keeps parts that something of ours stands in the way of, each with what that is, and counts
    /// one more try of each; the answers are in order.
    fn note_poison(&self, parts: Vec<(Quarantine, String)>, at: UnixMs) -> Answer<'_, Vec<Poisoned>>;

    /// Kept parts that are to be tried again by `now`, the longest due first, at most `limit`.
    fn poison_due(&self, now: UnixMs, limit: u32) -> Answer<'_, Vec<QuarantineRecord>>;

    /// Tries a kept part no more by itself; false where there is none of that number.
    fn give_up_poison(&self, id: i64) -> Answer<'_, bool>;

    /// One quarantined payload; `None` where there is none of that number.
    fn quarantined_one(&self, id: i64) -> Answer<'_, Option<QuarantineRecord>>;

    /// Unknown outcomes admitted before `admitted_before`, oldest first, those after `after` alone: a
    /// page that holds fewer than `limit` (at most [`OPEN_UNKNOWNS_MAX`]) is the last.
    fn open_unknowns(&self, admitted_before: UnixMs, after: Option<MessageKey>, limit: u32) -> Answer<'_, Vec<OpenUnknown>>;

    /// Accepted messages whose Meta fee is still held though they were admitted before
    /// `admitted_before`, or delivered without a price before `delivered_before`; at most `limit`,
    /// oldest first. Remembers how far it looked, so that a message is looked at once.
    fn overdue(&self, admitted_before: UnixMs, delivered_before: UnixMs, limit: u32) -> Answer<'_, Vec<Overdue>>;

    /// Puts holds aside that could not be decided, so that those behind them are reached: they are due
    /// again after as long as if they had been reported `at`.
    fn park_overdue(&self, messages: Vec<MessageKey>, at: UnixMs) -> Answer<'_, ()>;

    /// Notes that intake could not be relied on between two instants.
    fn intake_was_down(&self, from: UnixMs, until: UnixMs) -> Answer<'_, ()>;

    /// Notes that intake works at `at`; a start reads it to know since when it did not.
    fn intake_works(&self, at: UnixMs) -> Answer<'_, ()>;

    /// When intake last worked, and every span since `since` in which it did not.
    fn intake_gaps(&self, since: UnixMs) -> Answer<'_, IntakeGaps>;

    /// Drops raw webhooks of days before `raw`, events with their bodies and deliveries of days
    /// before `events`, statuses of messages admitted before `statuses`. Goes by slices.
    fn forget_events_before(&self, raw: UtcDay, events: UtcDay, statuses: UtcDay) -> Answer<'_, u32>;

    /// Every name of a user of which some are known: those that stand beside them in an event, and
    /// those that messages to them, or statuses of these, bear; until nothing new is found. Goes by
    /// what is kept; the given names are among the answer's.
    fn names_of_user(&self, organization: OrganizationId, names: Vec<Hash16>) -> Answer<'_, Vec<Hash16>>;

    /// Erases one user of an organization, by all of these names: bodies of events and their raw
    /// webhooks, contents and answers of messages, the windows. Returns how many rows it emptied.
    fn erase_user(&self, organization: OrganizationId, names: Vec<Hash16>) -> Answer<'_, u64>;

    /// Webhooks that are kept as they came and belong to no organization: quarantine, then raw ones,
    /// oldest first, those after `after`; not the emptied ones. Whom one is about, its bytes tell, and
    /// they are sealed.
    fn kept_webhooks(&self, after: Option<KeptWebhook>, limit: u32) -> Answer<'_, Vec<(KeptWebhook, Vec<u8>)>>;

    /// Empties kept webhooks, for good; their rows stay, so that a repeat of Meta's is known. Returns
    /// how many it emptied.
    fn erase_webhooks(&self, webhooks: Vec<KeptWebhook>) -> Answer<'_, u64>;
}
