//! From an item and whom it concerns to the event that the store records.

use std::sync::Arc;

use turnpike_domain::ids::{ApplicationId, AttemptToken, OrganizationId};
use turnpike_domain::market::Market;
use turnpike_domain::money::Micros;
use turnpike_domain::rates::{Markup, meta_fee};
use turnpike_domain::refusal::MetaRefusal;
use turnpike_domain::send::{Category, MetaBilling};
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::view::{CallEvent, Content, Message, Status, UserPreference, Wish};
use turnpike_domain::webhook::{BodyChanges, Item, MediaUrls, StatusKind, User, View, explain};
use turnpike_store::StoreError;
use turnpike_store::events::{NewEvent, StatusFailure, StatusReport};
use turnpike_store::messages::{Hash16, PinnedPrice};
use turnpike_store::users::UserNote;

use super::Signer;
use super::callback::{Restoring, change_of};
use super::routes::Destination;
use crate::Engine;
use crate::directory::App;
use crate::graph::codes::meaning;
use crate::send::stored::{Answer, FailureWords, Reported};
use crate::vault::Purpose;

/// An event to record, and what else it says of its user.
pub(super) struct Built {
    pub(super) event: NewEvent,
    pub(super) moved: Option<Moved>,
}

/// A user who is named otherwise from now on: the window goes over to the new names.
pub(super) struct Moved {
    /// The event's that says so.
    pub(super) identity: Hash16,
    app: Arc<App>,
    from: Vec<Hash16>,
    to: Vec<Hash16>,
}

impl Engine {
    /// As [`Engine::build`]; without the batch's `restoring` it looks for its own.
    pub(super) async fn build_one(
        &self,
        destination: &Destination,
        signer: &Signer,
        item: &Item<'_>,
        restoring: Option<&Restoring>,
        now: UnixMs,
    ) -> Result<Built, StoreError> {
        match restoring {
            Some(restoring) => self.build(destination, signer, item, restoring, now).await,
            None => {
                let own = Restoring::of(self, std::slice::from_ref(item)).await?;
                self.build(destination, signer, item, &own, now).await
            }
        }
    }

    /// The event that `item` is for one application.
    async fn build(
        &self,
        destination: &Destination,
        signer: &Signer,
        item: &Item<'_>,
        restoring: &Restoring,
        now: UnixMs,
    ) -> Result<Built, StoreError> {
        let Destination { app, mode } = destination;
        let (organization, application) = (app.row.organization, app.row.key);
        let token = self.token_of(item);
        let text = token.as_ref().and_then(|token| restoring.text(self, organization, token));
        let changes =
            BodyChanges { callback_data: change_of(token.as_ref(), text.as_deref()), media: MediaUrls::Under(&self.intake.media) };
        let at = item.at.unwrap_or(now);
        let status = match &item.view {
            View::Status(status) => self.status_report(app, signer, item, status, token, at).await?,
            _ => None,
        };
        let mut names = self.names_of(item.user.as_ref()).into_iter();
        let user = names.next();
        let mut aliases: Vec<Hash16> = names.collect();
        // Such an event opens no window, so these say only whose it is: erasure finds it by either.
        aliases.extend(self.new_names_of(item).into_iter().filter(|name| Some(*name) != user));
        let event = NewEvent {
            organization,
            application,
            mode: *mode,
            kind: item.kind,
            identity: self.event_identity(destination, signer, item),
            at,
            user,
            aliases,
            note: note_of(&item.view, at, now),
            status,
            body: self.seal_event_body(organization, application, &item.body(&changes)),
            endpoints: self.endpoints.wanting(application, *mode, item.kind),
            notice: None,
        };
        let moved = self.moved(event.identity, app, item);
        Ok(Built { event, moved })
    }

    /// What makes it the same event when Meta repeats it. What a customer's own app says is kept
    /// apart: else its copy of a status would make the operator's, which settles, a repeat.
    pub(super) fn event_identity(&self, destination: &Destination, signer: &Signer, item: &Item<'_>) -> Hash16 {
        let marks = [destination.mode.number(), u8::from(signer.moves_operator_fee())];
        self.vault.event().hash(&[&destination.app.row.key.0.to_be_bytes(), &marks, &item.identity()])
    }

    /// The hashes of all names of a user, the one that its line goes by first: the same hashes that
    /// a send to that number or id has.
    pub(super) fn names_of(&self, user: Option<&User<'_>>) -> Vec<Hash16> {
        user.map(|user| user.names().map(|name| self.user_hash(name)).collect()).unwrap_or_default()
    }

    /// What a status says of a message; `None` for a word that is not a status that we know, and
    /// for groups, to which nothing is sent from here.
    async fn status_report(
        &self,
        app: &App,
        signer: &Signer,
        item: &Item<'_>,
        status: &Status<'_>,
        token: Option<AttemptToken>,
        at: UnixMs,
    ) -> Result<Option<StatusReport>, StoreError> {
        let (Some(kind), Some(wamid), None) = (status.status, item.wamid.as_deref(), &status.group_id) else { return Ok(None) };
        let failure = (kind == StatusKind::Failed).then(|| words_of(status));
        let repriced = match token {
            Some(token) if signer.moves_operator_fee() => self.repriced(app, status, &token).await?,
            _ => None,
        };
        Ok(Some(StatusReport {
            wamid: self.wamid_hash(wamid),
            answer: token.map(|token| self.reported_answer(app, &token, wamid, failure.as_ref())).unwrap_or_default(),
            token,
            status: kind,
            at,
            pricing: status.pricing.clone(),
            failure: failure.map(|(code, words)| self.sealed_failure(app, code, &words)),
            moves_operator_fee: signer.moves_operator_fee(),
            repriced,
        }))
    }

    /// What a replay and a look-up show where no answer of Meta's ever came.
    fn reported_answer(&self, app: &App, token: &AttemptToken, wamid: &str, failure: Option<&(i64, FailureWords)>) -> Vec<u8> {
        let reported = Reported { wamid: wamid.to_owned(), failure: failure.map(|(code, words)| refusal_of(*code, words)) };
        let answer = Answer::Reported(Box::new(reported)).encode();
        self.vault.seal(Purpose::Answer, app.row.organization, &token.key.0.to_be_bytes(), &answer, &*self.entropy)
    }

    fn sealed_failure(&self, app: &App, code: i64, words: &FailureWords) -> StatusFailure {
        // Two texts, whose JSON cannot fail.
        let plain = serde_json::to_vec(words).unwrap_or_default();
        let row = failure_row(app.row.key);
        StatusFailure { code, words: self.vault.seal(Purpose::Answer, app.row.organization, &row, &plain, &*self.entropy) }
    }

    /// What Meta wrote of a failure; `None` where it was erased, or cannot be opened.
    pub(crate) fn failure_words(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        failure: &StatusFailure,
    ) -> Option<FailureWords> {
        let plain = self.vault.open(Purpose::Answer, organization, &failure_row(application), &failure.words).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// Meta's fee in the category that the price names, where that is not the one of the hold: by
    /// the card and markup of the hold, whatever is in force now (contract §6).
    async fn repriced(&self, app: &App, status: &Status<'_>, token: &AttemptToken) -> Result<Option<Micros>, StoreError> {
        let Some(named) = status.pricing.as_ref().and_then(|pricing| category_of(pricing.category.as_deref()?)) else {
            return Ok(None);
        };
        if token.category == Some(named) {
            return Ok(None);
        }
        let Some((pinned, _)) = self.store.pinned(app.row.organization, token.key).await? else { return Ok(None) };
        if pinned.category == named || pinned.meta_billing == MetaBilling::Customer {
            return Ok(None);
        }
        let fee = self.fee_by_pin(&pinned, named);
        if fee.is_none() {
            tracing::error!(card = %pinned.card, market = pinned.market, category = %named, "a message cannot be priced anew by the card of its hold; it settles as held");
        }
        Ok(fee)
    }

    fn fee_by_pin(&self, pinned: &PinnedPrice, category: Category) -> Option<Micros> {
        let cards = self.rates.cards();
        let card = cards.iter().find(|card| card.id().to_string() == *pinned.card)?;
        let markup = Markup { factor_ppm: pinned.factor_ppm, fixed: pinned.fixed, base_fee: pinned.base };
        meta_fee(card, &markup, Market::parse(pinned.market)?, category).ok()
    }

    /// A user whose number or id changed: the names before and those from now on.
    fn moved(&self, identity: Hash16, app: &Arc<App>, item: &Item<'_>) -> Option<Moved> {
        let from = self.names_of(item.user.as_ref());
        let to: Vec<Hash16> = self.new_names_of(item).into_iter().filter(|name| !from.contains(name)).collect();
        (!from.is_empty() && !to.is_empty()).then(|| Moved { identity, app: Arc::clone(app), from, to })
    }

    /// Notes for a user's new names what is known under the old ones. Done twice it changes nothing.
    pub(super) async fn move_window(&self, moved: Moved) -> Result<(), StoreError> {
        let Moved { app, from, to, .. } = moved;
        let (mut wrote_at, mut opted_out_at) = (None, None);
        for name in from {
            let known = self.store.user(app.row.organization, app.row.key, name).await?;
            wrote_at = wrote_at.max(known.last_wrote_at);
            opted_out_at = opted_out_at.max(known.opted_out_at);
        }
        let notes: Vec<UserNote> = wrote_at.map(UserNote::Wrote).into_iter().chain(opted_out_at.map(UserNote::OptedOut)).collect();
        for name in to {
            for note in &notes {
                self.store.note_user(app.row.organization, app.row.key, name, *note).await?;
            }
        }
        Ok(())
    }
}

/// What an item says of its user's window or wishes. A window is opened by what a user writes or by
/// a call, never by what a business sends (meta-cloud-api §10), and never later than now.
fn note_of(view: &View<'_>, at: UnixMs, now: UnixMs) -> Option<UserNote> {
    let at = at.min(now);
    match view {
        View::Message(message) if opens_window(message) => Some(UserNote::Wrote(at)),
        View::Call(CallEvent { is_inbound: Some(true), .. }) => Some(UserNote::Wrote(at)),
        View::UserPreference(UserPreference { wish: Wish::Stop, .. }) => Some(UserNote::OptedOut(at)),
        View::UserPreference(UserPreference { wish: Wish::Resume, .. }) => Some(UserNote::OptedIn(at)),
        _ => None,
    }
}

/// Whether the user wrote to the business with it: not what Meta says about the user, not a change
/// of what was written before, nothing in a group.
fn opens_window(message: &Message<'_>) -> bool {
    let is_told_by_meta = matches!(
        message.content,
        Content::System { .. } | Content::RequestWelcome | Content::Edit { .. } | Content::Revoke { .. } | Content::MediaPlaceholder
    );
    !is_told_by_meta && message.group_id.is_none()
}

/// What the words of a failure are bound to. A status may come without our token: then nobody knows yet
/// which message it is about.
fn failure_row(application: ApplicationId) -> Vec<u8> {
    [b"failure of a status".as_slice(), &application.0.to_be_bytes()].concat()
}

fn words_of(status: &Status<'_>) -> (i64, FailureWords) {
    match status.errors.first() {
        Some(error) => (error.code, FailureWords { title: error.title.to_string(), details: error.details.as_deref().map(str::to_owned) }),
        None => (0, FailureWords { title: "Meta did not say why".to_owned(), details: None }),
    }
}

/// A failed status as the refusal that a repeat of the send hears (contract §3.5).
fn refusal_of(code: i64, words: &FailureWords) -> MetaRefusal {
    MetaRefusal {
        class: meaning(code, None).class,
        code,
        subcode: None,
        title: words.title.clone(),
        details: words.details.clone(),
        fbtrace_id: None,
        hint: explain(code).what_to_do.to_owned(),
        // The answer is kept: the same request hears it for ever.
        retryable: false,
        retry_after_ms: None,
        by_gateway: false,
    }
}

/// The category that a price names (meta-cloud-api §5.5); `None` for those that cost nothing or that
/// no card has.
fn category_of(name: &str) -> Option<Category> {
    match name {
        "marketing_lite" => Some(Category::Marketing),
        "authentication_international" => Some(Category::AuthenticationInternational),
        other => Category::parse(other),
    }
}
