//! Look-ups: what happened to a message, what became of its money, and what to do now.

use serde::Serialize;
use turnpike_domain::ids::MessageId;
use turnpike_domain::ledger::{Leg, LegState};
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::refusal::{LimitKind, Refusal};
use turnpike_domain::send::{Category, MessageKind, MessageState, Mode};
use turnpike_domain::webhook::{Pricing, StatusKind, settle};
use turnpike_store::events::StatusRecord;
use turnpike_store::messages::{MessageRecord, Recalled};

use super::request::Billing;
use super::stored::{Answer, Content};
use super::telling::{Failed, Reader, Told, problem, status_view, timeline, why};
use crate::Engine;
use crate::caller::Caller;
use crate::keys::Scopes;
use crate::limits::Standing;
use crate::vault::Purpose;

/// A message as its owner sees it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageView {
    /// Our id.
    pub id: MessageId,
    /// Meta's id, once known.
    pub wamid: Option<String>,
    /// `appId` of the application.
    pub app_id: String,
    /// Digits or BSUID, while kept.
    pub to: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: MessageKind,
    /// Live, sandbox or fake.
    pub mode: Mode,
    /// Where it stands.
    pub state: MessageState,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// What Meta reported, in the order in which statuses follow each other.
    pub statuses: Vec<StatusView>,
    /// Its price at admission.
    pub price: Billing,
    /// What became of the money, leg by leg.
    pub money: Money,
    /// Why it did not go out, in plain words, with what to do.
    pub problem: Option<Problem>,
    /// The caller's callback data, while kept.
    pub biz_opaque_callback_data: Option<String>,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEntry {
    /// When, RFC 3339.
    pub at: String,
    /// What, one of the states or a movement of money.
    pub event: String,
    /// In words.
    pub detail: String,
}

/// A status of Meta's, with its price or its failure explained.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// Which.
    pub status: StatusKind,
    /// Meta's timestamp, RFC 3339.
    pub at: String,
    /// When it reached us, RFC 3339.
    pub received_at: String,
    /// Its price, where it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
    /// Why Meta could not deliver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// Why Meta could not deliver, in plain words.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureView {
    /// Meta's code.
    pub code: i64,
    /// Meta's title.
    pub title: String,
    /// Meta's details.
    pub details: Option<String>,
    /// What happened.
    pub what_happened: &'static str,
    /// What to do.
    pub what_to_do: &'static str,
}

/// Both legs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// Our fee.
    pub base: LegState,
    /// Why it stands so.
    pub base_why: String,
    /// Meta's fee.
    pub meta: LegState,
    /// Why it stands so.
    pub meta_why: String,
    /// Meta's fee where it bills the customer itself: reported, never held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta_reported: Option<Micros>,
    /// Of both.
    pub currency: Currency,
}

/// Why a message did not go out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Our code, `GW_001` …
    pub code: &'static str,
    /// Meta's code, where it is Meta's.
    pub meta_code: Option<i64>,
    /// Meta's words, or ours.
    pub title: String,
    /// More of them.
    pub details: Option<String>,
    /// What to do.
    pub hint: String,
    /// For Meta's support.
    pub fbtrace_id: Option<String>,
}

/// What `/v1/wa/me` shows (contract §3.3).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// `appId`.
    pub app_id: String,
    /// Its name.
    pub display_name: String,
    /// `DRAFT`, `ACTIVATED`, `SUSPENDED`.
    pub status: turnpike_store::applications::ApplicationStatus,
    /// The sending number, digits.
    pub phone_number: Option<String>,
    /// Meta's id of it.
    pub phone_number_id: Option<String>,
    /// Why the number is paused, where Meta barred it.
    pub paused: Option<turnpike_store::applications::Paused>,
    /// Live or sandbox.
    pub mode: Mode,
    /// The key's scopes.
    pub scopes: Vec<&'static str>,
    /// Limits and what is left of them.
    pub limits: Standing,
    /// The wallet that this key spends from (scope `billing:read`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<MyBalance>,
}

/// A wallet, as an API key may see it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MyBalance {
    /// Its currency.
    pub currency: Currency,
    /// What a new message may cost at most.
    pub available: Micros,
    /// What is reserved for messages under way.
    pub held: Micros,
}

impl Engine {
    /// A message of the caller's application by our id or by wamid. Another's is not found.
    ///
    /// # Errors
    /// REQ_005 where there is none, AUTH_006, RATE_001, BILL_002.
    pub async fn look_up(&self, caller: &Caller, id_or_wamid: &str) -> Result<MessageView, Refusal> {
        self.begin_look_up(caller)?;
        let organization = caller.app.organization.key;
        let record = self.find_message(organization, id_or_wamid).await?;
        // Another application of the same organization is another number: not this key's business.
        let record = record.filter(|record| record.application == caller.key.application && same_world(caller.mode(), record.mode));
        self.owners_view(&record.ok_or(Refusal::NoSuchMessage)?).await
    }

    /// A message by the Idempotency-Key that it was sent with; never sends.
    ///
    /// # Errors
    /// As [`Engine::look_up`].
    pub async fn look_up_by_key(&self, caller: &Caller, idempotency_key: &str) -> Result<MessageView, Refusal> {
        self.begin_look_up(caller)?;
        let hash = self.idempotency_hash(caller, idempotency_key);
        let organization = caller.app.organization.key;
        let recalled = self.store.recall(organization, caller.key.application, hash, None, self.clock.now()).await;
        match recalled.map_err(|_| Refusal::LedgerUnreachable)? {
            Recalled::Kept(record) => self.owners_view(&record).await,
            Recalled::InFlight(key) => {
                let record = self.store.message(organization, key).await.map_err(|_| Refusal::LedgerUnreachable)?;
                self.owners_view(&record.ok_or(Refusal::NoSuchMessage)?).await
            }
            Recalled::Nothing | Recalled::KeyReused => Err(Refusal::NoSuchMessage),
        }
    }

    /// The caller's own standing.
    ///
    /// # Errors
    /// RATE_001, BILL_002.
    pub async fn me(&self, caller: &Caller) -> Result<Me, Refusal> {
        self.limits.take_lookup(caller.key.key, &caller.key.policy, self.tick())?;
        let app = &caller.app;
        let balance = if caller.key.policy.scopes.contains(Scopes::BILLING_READ) {
            let balance = self.store.balance(app.organization.key, caller.mode()).await.map_err(|_| Refusal::LedgerUnreachable)?;
            balance.map(|balance| MyBalance { currency: app.organization.currency, available: balance.available(), held: balance.held() })
        } else {
            None
        };
        Ok(Me {
            app_id: app.row.app_id.clone(),
            display_name: app.row.display_name.clone(),
            status: app.row.status,
            phone_number: app.row.phone_number.clone(),
            phone_number_id: app.row.phone_number_id.clone(),
            paused: app.row.paused.clone(),
            mode: caller.mode(),
            scopes: caller.key.policy.scopes.names(),
            limits: self.standing(caller),
            balance,
        })
    }

    /// Limits of the caller's key and what is left of them, for headers.
    #[must_use]
    pub fn standing(&self, caller: &Caller) -> Standing {
        self.limits.standing(caller.key.key, &caller.key.policy, self.tick(), self.clock.now())
    }

    fn begin_look_up(&self, caller: &Caller) -> Result<(), Refusal> {
        caller.needs(Scopes::READ)?;
        self.limits.take_lookup(caller.key.key, &caller.key.policy, self.tick()).map_err(|limited| {
            debug_assert!(limited.limit != LimitKind::Address);
            Refusal::from(limited)
        })
    }

    /// A message of an organization by our id or by wamid.
    ///
    /// # Errors
    /// BILL_002 where the store does not answer.
    pub async fn find_message(
        &self,
        organization: turnpike_domain::ids::OrganizationId,
        id_or_wamid: &str,
    ) -> Result<Option<MessageRecord>, Refusal> {
        if let Ok(id) = uuid::Uuid::try_parse(id_or_wamid) {
            return self.store.message_by_id(organization, MessageId(id)).await.map_err(|_| Refusal::LedgerUnreachable);
        }
        let hash = self.wamid_hash(id_or_wamid);
        let found = self.store.messages_by_wamid(organization, hash).await.map_err(|_| Refusal::LedgerUnreachable)?;
        // Meta's words are forgotten before the message is; then its hash of 128 bits says enough.
        let is_named_so =
            |record: &MessageRecord| self.open_answer(record).and_then(|answer| answer.wamid()).is_none_or(|wamid| wamid == id_or_wamid);
        Ok(found.into_iter().find(is_named_so))
    }

    /// A stored message as its owner sees it: what an operator did and why, and not who that was.
    async fn owners_view(&self, record: &MessageRecord) -> Result<MessageView, Refusal> {
        let mut view = MessageView { timeline: timeline(record, &self.told(record), Reader::Owner), ..self.view(record) };
        self.mark_window(record, &mut view).await?;
        Ok(view)
    }

    /// A stored message as operators see it, with what is known of its user's window.
    ///
    /// # Errors
    /// BILL_002 where the store does not answer.
    pub async fn timeline_view(&self, record: &MessageRecord) -> Result<MessageView, Refusal> {
        let mut view = self.view(record);
        self.mark_window(record, &mut view).await?;
        Ok(view)
    }

    /// Says what is known of the window of a free-form message, where it was not known to be open
    /// (contract §3.2: only Meta knows for sure, so by default it is passed on): `outside_window` where
    /// the user last wrote too long before, `window_unknown` where nothing was ever heard of the user.
    /// What Meta let through to the user's phone was inside the window, whatever we knew of it.
    async fn mark_window(&self, record: &MessageRecord, view: &mut MessageView) -> Result<(), Refusal> {
        let needs_window = record.mode != Mode::Fake && record.kind != MessageKind::Template && record.category == Category::Service;
        let is_proved = matches!(view.state, MessageState::Sent | MessageState::Delivered | MessageState::Read | MessageState::Played);
        let is_open_to_doubt = needs_window && !is_proved && view.state != MessageState::Refused;
        let (true, Some(to)) = (is_open_to_doubt, view.to.as_deref()) else { return Ok(()) };
        let user = self.user_hash(to);
        let known = self.store.user(record.organization, record.application, user).await.map_err(|_| Refusal::LedgerUnreachable)?;
        let (event, detail) = match known.last_wrote_at {
            // Who wrote later may have written before, too: only the last time is known.
            Some(at) if at > record.admitted_at || known.window_is_open(record.admitted_at) => return Ok(()),
            Some(at) => {
                ("outside_window", format!("Sent outside the known customer service window: the user last wrote at {}.", at.to_rfc3339()))
            }
            None => {
                let detail = "No message of this user is known here, so only Meta knows whether the customer service window is open.";
                ("window_unknown", detail.to_owned())
            }
        };
        let entry = TimelineEntry { at: record.admitted_at.to_rfc3339(), event: event.to_owned(), detail };
        view.timeline.insert(1.min(view.timeline.len()), entry);
        Ok(())
    }

    /// A stored message as operators see it.
    #[must_use]
    pub fn view(&self, record: &MessageRecord) -> MessageView {
        let content = record.content.as_deref().filter(|sealed| !sealed.is_empty()).and_then(|sealed| {
            let bytes = self.vault.open(Purpose::Content, record.organization, &record.token_salt, sealed).ok()?;
            Content::decode(&bytes)
        });
        let (answer, told) = (self.open_answer(record), self.told(record));
        let app = self.directory.application(record.application);
        let currency = app.as_ref().map_or(Currency::USD, |app| app.organization.currency);
        MessageView {
            id: record.id,
            wamid: answer.as_ref().and_then(Answer::wamid),
            app_id: app.map(|app| app.row.app_id.clone()).unwrap_or_default(),
            to: content.as_ref().map(|content| content.recipient.clone()),
            kind: record.kind,
            mode: record.mode,
            state: state_of(record),
            timeline: timeline(record, &told, Reader::Operator),
            statuses: told.iter().map(status_view).collect(),
            price: Billing {
                base_fee: record.base,
                meta_fee_held: record.meta,
                currency,
                market: record.market.clone(),
                category: record.category,
                rate_card: record.card.clone(),
            },
            money: Money {
                base: record.base_leg,
                base_why: why(record, Leg::Base, record.base_leg),
                meta: record.meta_leg,
                meta_why: why(record, Leg::Meta, record.meta_leg),
                meta_reported: (record.meta_reported != record.meta).then_some(record.meta_reported),
                currency,
            },
            problem: problem(record, &told, answer),
            biz_opaque_callback_data: content.and_then(|content| content.callback_data),
        }
    }

    /// The statuses of a message, with Meta's words opened.
    fn told<'a>(&self, record: &'a MessageRecord) -> Vec<Told<'a>> {
        let opened = |status: &'a StatusRecord| {
            let failure = status
                .failure
                .as_ref()
                .map(|failure| Failed { code: failure.code, words: self.failure_words(record.organization, record.application, failure) });
            Told { status, failure }
        };
        record.statuses.iter().map(opened).collect()
    }
}

/// Sandbox keys see sandbox messages, live keys live ones; fakes are seen by the key's either kind.
fn same_world(caller: Mode, message: Mode) -> bool {
    message == Mode::Fake || caller == message
}

/// Where a message stands, from its rows.
#[must_use]
pub fn state_of(record: &MessageRecord) -> MessageState {
    let outcome = record.outcome.map(|(outcome, _)| outcome);
    let resolution = record.resolution.as_ref().map(|end| end.resolution);
    settle::state(outcome, resolution, record.statuses.iter().map(|status| status.status))
}
