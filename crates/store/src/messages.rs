//! Messages: admitted with their money in one commit, settled once, found again.
//!
//! The rows that bear money (admission, outcome, resolution, settlement) hold no personal data and
//! are only ever inserted. Recipient, body and Meta's answer are sealed bytes in tables by day,
//! which retention drops and erasure deletes.

use serde::Serialize;
use turnpike_domain::ids::{ApiKeyId, ApplicationId, MessageId, MessageKey, OrganizationId};
use turnpike_domain::ledger::{Leg, LegState, OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::{Category, MessageKind, MetaBilling, MetaEndpoint, Mode};
use turnpike_domain::time::{UnixMs, UtcDay};

use crate::Answer;

/// 16 bytes of a keyed BLAKE3: an idempotency key in its scope, a request, a wamid, a recipient.
pub type Hash16 = [u8; 16];

/// One send that asks to be admitted.
#[derive(Clone, Debug)]
pub struct Admit {
    /// Who pays.
    pub organization: OrganizationId,
    /// Which number sends.
    pub application: ApplicationId,
    /// Which key asked.
    pub api_key: ApiKeyId,
    /// Now.
    pub at: UnixMs,
    /// Live and sandbox hold in their own wallets; a fake only looks at the live balance.
    pub mode: Mode,
    /// What it is.
    pub kind: MessageKind,
    /// Which of Meta's endpoints carries it.
    pub endpoint: MetaEndpoint,
    /// Its price, pinned.
    pub price: PinnedPrice,
    /// The hash of (application, mode, Idempotency-Key), where the caller gave one.
    pub idempotency: Option<Hash16>,
    /// The hash of the request (surface, path, flags, body bytes).
    pub fingerprint: Hash16,
    /// Refuse as [`Admission::LikelyRepeat`] where an equal request of this application and mode
    /// without a key has an unknown outcome admitted after this instant; `None` skips the check
    /// (a key was given, or `X-Allow-Duplicate: true`).
    pub likely_repeat_since: Option<UnixMs>,
    /// Keyed hash of the recipient: pair limits after a restart, erasure, search.
    pub recipient: Hash16,
    /// Sealed recipient, body and the caller's callback data; empty where bodies are not kept and
    /// nothing must be restored.
    pub content: Vec<u8>,
    /// The token's random part.
    pub token_salt: [u8; 12],
    /// Where the key has a daily limit or spend, the days it counts in: then its usage rows are kept
    /// in the same commit.
    pub counts_in: Option<CountsIn>,
}

/// The days in which a message counts: those of the limits that it passed, which it may have done
/// before a midnight that its admission comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountsIn {
    /// As a message.
    pub message: UtcDay,
    /// With what it holds.
    pub spend: UtcDay,
}

impl CountsIn {
    /// Both in one day.
    #[must_use]
    pub fn day(day: UtcDay) -> CountsIn {
        CountsIn { message: day, spend: day }
    }
}

/// A price as it was at the hold; settlement never asks a newer card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedPrice {
    /// Held on the base leg.
    pub base: Micros,
    /// Held on the Meta leg: 0 where Meta bills the customer.
    pub meta: Micros,
    /// Meta's fee as reported, also where the customer pays it.
    pub meta_reported: Micros,
    /// Who pays Meta.
    pub meta_billing: MetaBilling,
    /// Market code.
    pub market: &'static str,
    /// Category that was assumed.
    pub category: Category,
    /// Id of the rate card, interned by the engine.
    pub card: std::sync::Arc<str>,
    /// Markup of the organization at the hold: factor in millionths.
    pub factor_ppm: i64,
    /// Markup of the organization at the hold: added after the factor.
    pub fixed: Micros,
}

/// What became of an [`Admit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Committed: the message exists and its money is held.
    New {
        /// Its key.
        key: MessageKey,
        /// Its id towards people.
        id: MessageId,
    },
    /// The same Idempotency-Key and request has a kept answer: that of `key`. Nothing was written.
    Replayed {
        /// The earlier message.
        key: MessageKey,
    },
    /// The same Idempotency-Key is still in flight. Nothing was written.
    InFlight {
        /// The earlier message.
        key: MessageKey,
    },
    /// The Idempotency-Key was used for another request. Nothing was written.
    KeyReused,
    /// No key, and an equal request's outcome is unknown. Nothing was written.
    LikelyRepeat {
        /// The unknown message.
        key: MessageKey,
        /// Its id towards people.
        id: MessageId,
    },
    /// The balance does not cover base + Meta fee. Nothing was written.
    InsufficientFunds {
        /// What is available.
        available: Micros,
    },
    /// The organization has no such wallet (never, unless a row was removed by hand).
    NoWallet,
}

impl Admission {
    /// Whether the request is one that came before, as far as anybody can tell.
    #[must_use]
    pub fn is_repeat(&self) -> bool {
        match self {
            Admission::Replayed { .. } | Admission::InFlight { .. } | Admission::KeyReused | Admission::LikelyRepeat { .. } => true,
            Admission::New { .. } | Admission::InsufficientFunds { .. } | Admission::NoWallet => false,
        }
    }
}

/// How a send ended. Written once; a second one changes nothing.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Owner.
    pub organization: OrganizationId,
    /// Which message.
    pub message: MessageKey,
    /// Now.
    pub at: UnixMs,
    /// What it was.
    pub kind: OutcomeKind,
    /// Meta's error code, where it refused.
    pub meta_code: Option<i64>,
    /// Keyed hash of the wamid, where Meta accepted.
    pub wamid: Option<Hash16>,
    /// Sealed answer: wamid and Meta's body, or the refusal; what a replay and a look-up show.
    pub answer: Vec<u8>,
}

/// What became of an [`Outcome`] or a [`Resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Written, and the money moved, in one commit.
    Done,
    /// There was one already; it stands.
    Already {
        /// The outcome that stands.
        outcome: OutcomeKind,
        /// The resolution that stands, if any.
        resolution: Option<Resolution>,
    },
    /// The outcome is not unknown (or there is none yet), so there is nothing to resolve.
    NotUnknown,
    /// No such message in this organization.
    NotFound,
    /// Rows of it cannot be read: nothing changed, and the rest of the batch went on.
    Broken {
        /// Which row, and what of it.
        fault: String,
    },
}

/// Who says how an unknown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Evidence {
    /// Meta's answer, later than we answered our caller.
    LateAnswer = 1,
    /// A verified status with our token.
    Status = 2,
    /// An operator, with a reason.
    Operator = 3,
    /// Time and healthy intake.
    Presumed = 4,
}

/// The end of an unknown outcome.
#[derive(Clone, Debug)]
pub struct Resolve {
    /// Owner.
    pub organization: OrganizationId,
    /// Which message.
    pub message: MessageKey,
    /// Now.
    pub at: UnixMs,
    /// What it was after all.
    pub resolution: Resolution,
    /// Who says so.
    pub evidence: Evidence,
    /// The operator's name and words, or what the evidence was.
    pub reason: String,
    /// Keyed hash of the wamid, where it is now known.
    pub wamid: Option<Hash16>,
    /// Sealed answer; empty keeps what stands.
    pub answer: Vec<u8>,
}

/// A message, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// Its key.
    pub key: MessageKey,
    /// Its id towards people.
    pub id: MessageId,
    /// Owner.
    pub organization: OrganizationId,
    /// Its application.
    pub application: ApplicationId,
    /// The key that asked.
    pub api_key: ApiKeyId,
    /// Admission.
    pub admitted_at: UnixMs,
    /// Live, sandbox or fake.
    pub mode: Mode,
    /// What it is.
    pub kind: MessageKind,
    /// Which endpoint.
    pub endpoint: MetaEndpoint,
    /// Market code at admission.
    pub market: String,
    /// Category at admission.
    pub category: Category,
    /// Rate card at admission.
    pub card: String,
    /// Who pays Meta.
    pub meta_billing: MetaBilling,
    /// Base fee at admission. What a fake is priced at, too, though its legs hold nothing.
    pub base: Micros,
    /// Meta's fee at admission, likewise.
    pub meta: Micros,
    /// Meta's fee as reported.
    pub meta_reported: Micros,
    /// What became of the base leg.
    pub base_leg: LegState,
    /// What became of the Meta leg.
    pub meta_leg: LegState,
    /// The token's random part.
    pub token_salt: [u8; 12],
    /// Hash of the request.
    pub fingerprint: Hash16,
    /// Hash of the Idempotency-Key in its scope.
    pub idempotency: Option<Hash16>,
    /// How its own answer ended; `None` while in flight.
    pub outcome: Option<(OutcomeKind, UnixMs)>,
    /// Meta's error code, where it refused.
    pub meta_code: Option<i64>,
    /// How an unknown was resolved.
    pub resolution: Option<ResolutionRecord>,
    /// Later movements of its legs (settlements, refunds, late captures), oldest first.
    pub movements: Vec<LegMovement>,
    /// What Meta reported of it, in the order in which statuses follow each other, while kept.
    pub statuses: Vec<crate::events::StatusRecord>,
    /// Sealed recipient, body and callback data, while kept.
    pub content: Option<Vec<u8>>,
    /// Sealed answer, while kept (the newest: a resolution's replaces the outcome's).
    pub answer: Option<Vec<u8>>,
}

/// How an unknown was resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolutionRecord {
    /// What it was after all.
    pub resolution: Resolution,
    /// Who says so.
    pub evidence: Evidence,
    /// In words.
    pub reason: String,
    /// When.
    pub at: UnixMs,
}

/// One later movement of a leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LegMovement {
    /// Which leg.
    pub leg: Leg,
    /// What happened.
    pub movement: turnpike_domain::ledger::Movement,
    /// How much.
    pub amount: Micros,
    /// Why: `status`, `operator: …`, `no status for 38 days`.
    pub reason: String,
    /// When.
    pub at: UnixMs,
}

/// What [`Messages::recall`] found under an Idempotency-Key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recalled {
    /// Nothing that is kept: the request may go on.
    Nothing,
    /// A kept answer of the same request.
    Kept(Box<MessageRecord>),
    /// The same request is in flight.
    InFlight(MessageKey),
    /// Another request used the key.
    KeyReused,
}

/// Which messages a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MessageFilter {
    /// All.
    #[default]
    Any,
    /// Admitted, without an outcome.
    InFlight,
    /// Unknown and not resolved.
    Unknown,
    /// Accepted by Meta (also by resolution).
    Accepted,
    /// Refused or not sent.
    Refused,
    /// Presumed not sent.
    PresumedNotSent,
    /// Meta sent it on, and nothing further is known.
    Sent,
    /// On the recipient's device, and not seen as far as is known.
    Delivered,
    /// Shown to the recipient, or played.
    Read,
    /// Meta could not deliver it.
    Failed,
}

/// One stored message that limits are rebuilt from after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentSend {
    /// The key that asked.
    pub api_key: ApiKeyId,
    /// The number that sends.
    pub application: ApplicationId,
    /// Admission.
    pub at: UnixMs,
    /// Live, sandbox or fake.
    pub mode: Mode,
    /// Keyed hash of the recipient.
    pub recipient: Hash16,
    /// Whether Meta may have seen it (it was not refused before a byte left).
    pub reached_meta: bool,
}

/// What a key used today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayUsage {
    /// The key.
    pub api_key: ApiKeyId,
    /// The day.
    pub day: UtcDay,
    /// Messages admitted (fakes too).
    pub messages: u32,
    /// Held amounts.
    pub spend: Micros,
}

/// Reads and writes of messages.
pub trait Messages {
    /// Admits a batch in order: each message, both holds and its idempotency key in one commit
    /// with the others. The answers are in the same order. The store groups batches of several
    /// callers into one commit by itself.
    fn admit(&self, batch: Vec<Admit>) -> Answer<'_, Vec<Admission>>;

    /// Records outcomes and what they do to the money. A message without outcome at the next start
    /// becomes unknown by itself.
    fn settle(&self, batch: Vec<Outcome>) -> Answer<'_, Vec<Settled>>;

    /// Resolves unknown outcomes.
    fn resolve(&self, batch: Vec<Resolve>) -> Answer<'_, Vec<Settled>>;

    /// Whether an Idempotency-Key may be known: false means certainly not. Reads memory only.
    fn may_know(&self, idempotency: &Hash16) -> bool;

    /// What is kept under an Idempotency-Key at `now` (24 h after a final outcome it is forgotten;
    /// an unknown one never is). Never sends, never writes. `fingerprint: None` is a look-up by
    /// key alone: it finds the newest message under the key, also where its answer does not use up
    /// the key or is kept no longer, for as long as the store can find it.
    fn recall(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        idempotency: Hash16,
        fingerprint: Option<Hash16>,
        now: UnixMs,
    ) -> Answer<'_, Recalled>;

    /// One message of an organization.
    fn message(&self, organization: OrganizationId, key: MessageKey) -> Answer<'_, Option<MessageRecord>>;

    /// The message that an id names, in this organization; `None` where the id was never given out.
    fn message_by_id(&self, organization: OrganizationId, id: MessageId) -> Answer<'_, Option<MessageRecord>>;

    /// The messages of an organization whose wamid has this hash (none or one, barring hash
    /// collisions: the caller compares the wamid inside the answer).
    fn messages_by_wamid(&self, organization: OrganizationId, wamid: Hash16) -> Answer<'_, Vec<MessageRecord>>;

    /// Messages of an organization (all applications or one), newest first, before `before`.
    fn list_messages(
        &self,
        organization: OrganizationId,
        application: Option<ApplicationId>,
        filter: MessageFilter,
        before: Option<MessageKey>,
        limit: u32,
    ) -> Answer<'_, Vec<MessageRecord>>;

    /// Messages admitted since `since`, in order, for rebuilding windows and pairs at start.
    fn recent_sends(&self, since: UnixMs) -> Answer<'_, Vec<RecentSend>>;

    /// What keys with daily limits used on `day`.
    fn day_usage(&self, day: UtcDay) -> Answer<'_, Vec<DayUsage>>;

    /// Drops contents and answers of days before the given ones. Whom a message went to stays, hashed, as
    /// long as its answer does, so that an erasure finds it. Returns how many day tables went.
    fn forget_before(&self, contents: UtcDay, answers: UtcDay) -> Answer<'_, u32>;
}
