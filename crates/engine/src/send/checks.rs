//! Steps 4 to 8 before the commit: everything that can say no without touching money.

use std::sync::Arc;

use turnpike_domain::market::{Country, Market};
use turnpike_domain::message::{self, NewMessage};
use turnpike_domain::money::Micros;
use turnpike_domain::rates::{PricedAs, price};
use turnpike_domain::refusal::{FieldFault, LimitKind, NotAllowed, Refusal};
use turnpike_domain::send::{Category, MessageKind, MetaEndpoint, Mode};
use turnpike_store::messages::{Hash16, PinnedPrice};

use super::request::{Billing, SendRequest};
use crate::Engine;
use crate::caller::Caller;
use crate::directory::App;
use crate::keys::Scopes;
use crate::limits::{KeySlot, NumberSlot, SpendGuard};
use crate::templates::TemplateVerdict;

/// A request that nothing but the balance and Meta can still refuse.
pub(super) enum Ready {
    /// A read mark or typing indicator: passed through, never charged.
    Mark(NewMessage),
    /// A message with its price.
    Send(Box<ReadySend>),
}

/// What a request is checked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// To be told what would happen.
    Check,
    /// To be sent.
    Send,
}

/// A message that may be admitted.
pub(super) struct ReadySend {
    pub message: NewMessage,
    pub endpoint: MetaEndpoint,
    pub pinned: PinnedPrice,
    pub recipient_hash: Hash16,
    /// Bodies of authentication templates are never kept (contract §10).
    pub is_authentication: bool,
    /// `matched` or `not_checked`.
    pub template_check: &'static str,
}

impl ReadySend {
    /// What it costs, as the caller sees it.
    pub(super) fn billing(&self, app: &App) -> Billing {
        Billing {
            base_fee: self.pinned.base,
            meta_fee_held: self.pinned.meta,
            currency: app.organization.currency,
            market: self.pinned.market.to_owned(),
            category: self.pinned.category,
            rate_card: self.pinned.card.to_string(),
        }
    }

    /// What its hold takes.
    pub(super) fn total(&self) -> Micros {
        Micros(self.pinned.base.0.saturating_add(self.pinned.meta.0))
    }
}

impl Engine {
    /// Step 4: the key's windows, its day and its concurrency.
    pub(super) fn take_slot(&self, caller: &Caller) -> Result<KeySlot, Refusal> {
        Ok(self.limits.take(caller.key.key, &caller.key.policy, self.tick(), self.clock.now())?)
    }

    /// Steps 5 and 6: content type, JSON, fields, market, template; and the price.
    pub(super) async fn make_ready(self: &Arc<Self>, caller: &Caller, request: &SendRequest, mode: Mode) -> Result<Ready, Refusal> {
        if !request.is_json {
            return Err(Refusal::NotJson);
        }
        let endpoint = match &request.flags {
            Ok(flags) if flags.mmlite => MetaEndpoint::MarketingMessages,
            _ => MetaEndpoint::Messages,
        };
        let parsed = message::parse(request.body.clone(), endpoint);
        let message = match (parsed, &request.flags) {
            (Ok(message), Ok(_)) => message,
            // All faults at once: those of the query stand beside those of the body.
            (Err(Refusal::Fields(body)), Err(query)) => return Err(Refusal::Fields(query.iter().cloned().chain(body).collect())),
            (Err(refusal), _) => return Err(refusal),
            (Ok(_), Err(query)) => return Err(Refusal::Fields(query.clone())),
        };
        if message.kind() == MessageKind::ReadMark {
            return Ok(Ready::Mark(message));
        }
        self.price_and_check(caller, message, endpoint, mode).await.map(|ready| Ready::Send(Box::new(ready)))
    }

    async fn price_and_check(
        self: &Arc<Self>,
        caller: &Caller,
        message: NewMessage,
        endpoint: MetaEndpoint,
        mode: Mode,
    ) -> Result<ReadySend, Refusal> {
        let app = &caller.app;
        // Every parsed message but a read mark has a recipient.
        let recipient = message.recipient().ok_or(Refusal::Bug)?.as_str();
        let recipient_hash = self.vault.recipient().hash(&[recipient.as_bytes()]);
        let country = Country::of_recipient(recipient);
        let card = app.schedule.at(self.clock.now());
        self.allow_market(caller, country, card.market_of(country))?;
        let (template_category, template_check) = self.check_template(app, &message, endpoint, mode).await?;
        self.enforce_policy(caller, &message, template_category, recipient_hash).await?;
        let priced_as = PricedAs::of(message.kind(), template_category, message.direct_send_category());
        let price = price(card, &app.terms, country, priced_as).map_err(|fault| {
            tracing::error!(fault = %fault, organization.id = %app.organization.id, "pricing a message");
            Refusal::Bug
        })?;
        let pinned = PinnedPrice {
            base: price.base,
            meta: price.meta,
            meta_reported: price.reported_meta,
            meta_billing: app.terms.billing,
            market: price.market.code(),
            category: price.category,
            card: self.rates.name_of(price.card),
            factor_ppm: app.terms.markup.factor_ppm,
            fixed: app.terms.markup.fixed,
        };
        let is_authentication =
            template_category == Some(Category::Authentication) || message.direct_send_category() == Some(Category::Authentication);
        Ok(ReadySend { message, endpoint, pinned, recipient_hash, is_authentication, template_check })
    }

    fn allow_market(&self, caller: &Caller, country: Country, market: Market) -> Result<(), Refusal> {
        match &caller.key.policy.allowed_markets {
            Some(allowed) if !Market::list_allows(allowed, country, market) => Err(Refusal::NotAllowed(NotAllowed::Market)),
            _ => Ok(()),
        }
    }

    /// Step 6 for templates: the synced definition, refetched where it is too old to refuse by.
    async fn check_template(
        self: &Arc<Self>,
        app: &Arc<App>,
        message: &NewMessage,
        endpoint: MetaEndpoint,
        mode: Mode,
    ) -> Result<(Option<Category>, &'static str), Refusal> {
        let Some(used) = message.template() else { return Ok((None, "not_checked")) };
        let may_be = |category| endpoint != MetaEndpoint::MarketingMessages || category == Category::Marketing;
        let category = match self.template_verdict(app, mode, used, may_be).await {
            TemplateVerdict::Fits(category) => category,
            TemplateVerdict::Unknown(category) => return Ok((category, "not_checked")),
            TemplateVerdict::Refused(refusal) => return Err(Refusal::MetaRefused(refusal)),
        };
        if !category.is_none_or(may_be) {
            return Err(Refusal::Fields(vec![FieldFault::new(
                "template.name",
                "must name a template of category MARKETING with mmlite=true; send this one without mmlite",
            )]));
        }
        Ok((category, "matched"))
    }

    /// Step 7: a number that Meta barred, its ceiling and the pair. Sandbox and fake touch none.
    pub(super) fn take_number_and_pair(
        &self,
        caller: &Caller,
        ready: &ReadySend,
        mode: Mode,
        errand: Errand,
    ) -> Result<Option<NumberSlot>, Refusal> {
        if mode != Mode::Live {
            return Ok(None);
        }
        let paused = self.paused(&caller.app);
        let ceiling = caller.app.number_per_second;
        if let (Some(refusal), Errand::Check) = (&paused, errand) {
            return Err(Refusal::MetaRefused(Box::new(refusal.clone())));
        }
        let slot = self.limits.take_number_and_pair(caller.key.application, ceiling, ready.recipient_hash, self.tick());
        match paused {
            // Whom a limit refuses does not learn whether the bar is lifted, so it takes no turn.
            Some(refusal) if slot.is_err() || !self.may_probe(&caller.app) => {
                if let Ok(slot) = slot {
                    slot.give_back();
                }
                Err(Refusal::MetaRefused(Box::new(refusal)))
            }
            _ => Ok(Some(slot?)),
        }
    }

    /// The key's spend of the day (contract §4).
    pub(super) fn reserve_spend(&self, caller: &Caller, ready: &ReadySend) -> Result<Option<SpendGuard>, Refusal> {
        let Some(limit) = caller.key.policy.daily_spend else { return Ok(None) };
        let now = self.clock.now();
        match self.limits.reserve_spend(caller.key.key, now, ready.total(), limit) {
            Ok(guard) => Ok(Some(guard)),
            Err(limited) => Err(Refusal::Limited { limit: LimitKind::Spend, retry_after_ms: limited.retry_after_ms }),
        }
    }

    /// Whether the wallet covers a price now, without holding it.
    pub(super) async fn is_covered(&self, caller: &Caller, ready: &ReadySend, mode: Mode) -> Result<(), Refusal> {
        if mode == Mode::Sandbox {
            return Ok(());
        }
        let balance = self.store.balance(caller.app.organization.key, Mode::Live).await.map_err(|_| Refusal::LedgerUnreachable)?;
        let available = balance.map(|balance| balance.available()).unwrap_or_default();
        if available < ready.total() {
            return Err(self.insufficient(caller, &ready.billing(&caller.app), available));
        }
        Ok(())
    }

    /// BILL_001 for a caller; the balance itself only with scope `billing:read`.
    pub(super) fn insufficient(&self, caller: &Caller, billing: &Billing, available: Micros) -> Refusal {
        Refusal::InsufficientBalance {
            required: Micros(billing.base_fee.0.saturating_add(billing.meta_fee_held.0)),
            currency: billing.currency,
            available: caller.key.policy.scopes.contains(Scopes::BILLING_READ).then_some(available),
        }
    }
}
